"""Markups files of 3D Slicer (``.mrk.json``): a needle's way in, curves such as vessels out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfasim.errors import InputError
from rfasim.frames import to_lps

# what the file calls the frames
_FRAMES = {"LPS": "LPS", "1": "LPS", "RAS": "RAS", "0": "RAS"}
_UNITS = ("mm", "cm", "m")
LARGEST = 10_000_000
"""bytes of a file that is read; one with a line has 3000"""
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
Point = tuple[float, float, float]


def read_line(path: Path) -> tuple[Point, Point]:
    """The first and the last point [m, LPS] of the one line in a markups file; raises InputError."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        data = json.loads(raw.decode("utf-8-sig")) if len(raw) <= LARGEST else None
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(str(path), "is no JSON, or cut off; give a markups line (.mrk.json) of 3D Slicer") from None
    markups = data.get("markups") if isinstance(data, dict) else None
    lines = [m for m in markups if isinstance(m, dict) and m.get("type") == "Line"] if isinstance(markups, list) else []
    if len(lines) != 1:
        raise InputError(str(path), f"holds {len(lines)} lines; give a markups file of 3D Slicer with one line")
    (line,) = lines
    frame, unit = str(line.get("coordinateSystem", "LPS")), str(line.get("coordinateUnits", "mm"))
    if frame not in _FRAMES or unit not in _UNITS:
        raise InputError(str(path), f"has coordinates in {frame}, {unit}; LPS or RAS, in mm, cm or m, can be read")
    points = line.get("controlPoints")
    points = points if isinstance(points, list) else []
    places = [place for point in points if (place := _position(point)) is not None]
    if len(points) != 2 or len(places) != 2:
        found = f"has a line of {len(points)} points"
        raise InputError(str(path), f"{found}; it takes two that are placed, entry and target")
    turn = to_lps(_FRAMES[frame], unit)[:3, :3]
    (ex, ey, ez), (tx, ty, tz) = ((turn @ place).tolist() for place in places)
    return (ex, ey, ez), (tx, ty, tz)


def _position(point: Any) -> Point | None:
    """The place of a control point, None where it has none."""
    if not isinstance(point, dict) or point.get("positionStatus", "defined") != "defined":
        return None
    where = point.get("position")
    if not isinstance(where, list) or len(where) != 3 or not all(isinstance(x, (int, float)) for x in where):
        return None
    try:
        x, y, z = (float(value) for value in where)
    except OverflowError:  # a whole number of four hundred digits
        return None
    return (x, y, z) if all(map(math.isfinite, (x, y, z))) else None


@dataclass(frozen=True)
class Curve:
    """A line through points [m, LPS] with a radius [m] at each."""

    name: str
    description: str
    points: Sequence[Sequence[float]]
    radii: Sequence[float]


def curves_file(curves: Iterable[Curve]) -> bytes:
    """A file with curves, in LPS millimetres; each point's description says the radius.

    Format: Slicer's markups schema 1.0.3.
    """
    markups = []
    for curve in curves:
        points = [
            {"position": [round(1e3 * x, 3) for x in point], "description": f"radius {1e3 * radius:.2f} mm"}
            for point, radius in zip(curve.points, curve.radii, strict=True)
        ]
        markups.append(
            {
                "type": "Curve",
                "name": curve.name,
                "description": curve.description,
                "coordinateSystem": "LPS",
                "coordinateUnits": "mm",
                "controlPoints": points,
                "display": {"pointLabelsVisibility": False},
            }
        )
    return json.dumps({"@schema": SCHEMA, "markups": markups}, indent=1).encode()
