"""A run as a row of a table: what varied, and every number of ``summary.json`` under its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rfasim.sweep.variables import Shown

Row = dict[str, Any]
INPUT = "input."
# statuses of a row; all but the first are runs without numbers
COMPLETE, FAILED, TIMEOUT, DIED = "complete", "failed", "timeout", "died"
_LEFT_OUT = ("case", "status", "mesh.seconds", "run.wall_s", "electrical.events")


def row_of(run: int, inputs: Mapping[str, Shown], *, status: str, seconds: float, version: str, case_sha256: str = "",
           error: str = "", summary: Mapping[str, Any] | None = None) -> Row:  # fmt: skip
    """The row of a run; ``summary`` for a complete one."""
    row: Row = {
        "run": run, "status": status, "seconds": round(seconds, 4), "error": error, "rfasim_version": version,
        "case_sha256": case_sha256,
    }  # fmt: skip
    row |= {INPUT + name: value for name, value in inputs.items()}
    if summary is not None:
        row |= {key: value for key, value in flat(summary) if key not in row and not key.startswith(_LEFT_OUT)}
    return row


def flat(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, word and null in nested data under its path; entries of a list by their ``name``.

    >>> dict(flat({"zone": {"volume_ml": 2.0}, "probes": [{"name": "tip", "max_temperature_c": 90.0}]}))
    {'zone.volume_ml': 2.0, 'probes.tip.max_temperature_c': 90.0}
    """
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from flat(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, (list, tuple)):
        seen: dict[str, int] = {}
        for index, value in enumerate(data):
            name = str(value["name"]) if isinstance(value, Mapping) and "name" in value else str(index)
            seen[name] = seen.get(name, 0) + 1
            name = name if seen[name] == 1 else f"{name} ({seen[name]})"
            rest = {k: v for k, v in value.items() if k != "name"} if isinstance(value, Mapping) else value
            yield from flat(rest, f"{path}.{name}")
    else:
        yield path, data
