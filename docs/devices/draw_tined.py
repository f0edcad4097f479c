"""Draws the tined devices of docs/devices in section, to scale, from the records that describe them.

python docs/devices/draw_tined.py
"""

# ruff: noqa: E501  (the lines are elements of a drawing)

from __future__ import annotations

import math
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
from draw import INK, METAL, SHAFT, line, measure, mm, svg, words  # noqa: E402

from rfasim.electrodes.christmas_tree import ChristmasTree  # noqa: E402
from rfasim.electrodes.tined import Tined  # noqa: E402
from rfasim.electrodes.umbrella import Umbrella  # noqa: E402

SCALE = 9.0  # px per mm
X, Y, LEFT = 330.0, 290.0, 60.0  # the cannula's end, the axis, the edge of the drawing
COLOURS = (METAL, "#e9b872", "#d98e73", "#a86f8a")


def arc(device: Tined, start: float, end: float, side: int, colour: str) -> str:
    """The part of a tine between two lengths along it [m], above (side 1) or below (-1) the axis."""
    radius = 1e3 * SCALE * device.bend
    ring = 1e3 * SCALE * (0.5 * device.array_diameter_reached - 0.5 * device.tine_diameter)
    ring -= radius * (1 - math.cos(min(math.pi, (device.tine_length - device.tine_diameter / 2) / device.bend)))

    def at(length: float) -> tuple[float, float]:
        angle = length / device.bend
        return X + radius * math.sin(angle), Y - side * (ring + radius * (1 - math.cos(angle)))

    (x0, y0), (x1, y1) = at(start), at(end)
    large, sweep = int((end - start) / device.bend > math.pi), int(side < 0)
    path = f"M{x0:.2f},{y0:.2f} A{radius:.2f},{radius:.2f} 0 {large} {sweep} {x1:.2f},{y1:.2f}"
    width = 1e3 * SCALE * device.tine_diameter
    return "\n".join(f'<path d="{path}" fill="none" stroke="{c}" stroke-width="{w:g}" stroke-linecap="round"/>' for c, w in ((INK, width + 2), (colour, width)))


def cannula(device: Tined, contact: float = 0.0) -> list[str]:
    """The cannula, of which the last ``contact`` metres conduct."""
    half, rim = 0.5e3 * SCALE * device.cannula_diameter, X - 1e3 * SCALE * contact
    parts = [f'<rect x="{LEFT:g}" y="{Y - half:g}" width="{rim - LEFT:g}" height="{2 * half:g}" fill="{SHAFT}" stroke="{INK}"/>']
    if contact:
        parts.append(f'<rect x="{rim:g}" y="{Y - half:g}" width="{X - rim:g}" height="{2 * half:g}" fill="{METAL}" stroke="{INK}"/>')
    return [*parts, words((LEFT + rim) / 2, Y + half + 20, "insulation"), line(X, Y - 22, X, Y + 22, "3 3"), words(X - 6, Y + 38, "tip", "end")]


def across(x: float, width: float, text: str) -> list[str]:
    """A vertical dimension line about the axis."""
    y0, y1 = Y - 0.5e3 * SCALE * width, Y + 0.5e3 * SCALE * width
    return [line(x, y0, x, y1), line(x - 5, y0, x + 5, y0), line(x - 5, y1, x + 5, y1), words(x + 8, Y + 5, text, "start")]


def umbrella() -> str:
    """Two tines of the umbrella of 3.5 cm, whole and partly deployed."""
    device = Umbrella.model_validate({"device": "umbrella", "model": "leveen_3.5", "tip": (0.0, 0.0, 0.0)})
    whole = device.tine_length - device.tine_diameter / 2
    body = [
        *(arc(device, 0.0, whole, side, METAL) for side in (1, -1)),
        *cannula(device),
        *across(X + 1e3 * SCALE * device.bend + 30, device.array_diameter, f"array_diameter {mm(device.array_diameter)}"),
        words(X - 12, Y - 1e3 * SCALE * (device.array_diameter / 2) + 4, "end of a tine", "end"),
        words(LEFT, 60, f"2 of {device.tines} tines, {mm(device.tine_diameter)} thick, bend_degrees {device.bend_degrees:g}", "start"),
    ]
    return svg(700, 480, body, "The umbrella in section, to scale")


def christmas_tree() -> str:
    """Two tines of the christmas tree with the pieces that each stage adds."""
    device = ChristmasTree.model_validate({"device": "christmas_tree", "model": "starburst_xl_5cm", "tip": (0.0, 0.0, 0.0)})
    ends = [*device.extensions[:-1], device.tine_length - device.tine_diameter / 2]
    body = []
    for stage in reversed(range(len(ends))):
        start = 0.0 if stage == 0 else ends[stage - 1]
        body += [arc(device, start, ends[stage], side, COLOURS[stage]) for side in (1, -1)]
        x, y = 560.0, 110.0 + 24 * stage
        body += [f'<rect x="{x:g}" y="{y - 11:g}" width="14" height="14" fill="{COLOURS[stage]}" stroke="{INK}"/>',
                 words(x + 22, y, f"stage {stage}: to {mm(device.extensions[stage])}", "start")]
    body += [
        *cannula(device, device.trocar_contact),
        *measure(X - 1e3 * SCALE * device.trocar_contact, X, Y - 30, f"trocar_contact {mm(device.trocar_contact)}"),
        words(LEFT, 60, f"2 of {device.tines} tines, {mm(device.tine_diameter)} thick, bend_radius {mm(device.bend_radius)}", "start"),
        words(X + 1e3 * SCALE * device.bend_radius * 0.98, 50, "thermocouple", "start"),
    ]
    return svg(760, 560, body, "The christmas tree in section, to scale: what each deployment stage adds")


DRAWINGS = {"umbrella.svg": umbrella, "christmas_tree.svg": christmas_tree}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
