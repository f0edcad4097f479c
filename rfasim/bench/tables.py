"""Rows for people: the table on the terminal and in Markdown, and how time grows with the number of cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

GOAL_EXPONENT = 1.1


def markdown(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A Markdown table; ``columns``: key in the row -> format ("" leaves it as it is)."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = []
        for key, spec in columns.items():
            value = row.get(key)
            cells.append("" if value is None else format(value, spec))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def seconds(value: float | None) -> str:
    """Three digits, in the unit that suits."""
    if value is None:
        return ""
    if value < 1.0:
        return f"{1e3 * value:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def _said(row: Mapping[str, Any]) -> str:
    """What else is worth a word."""
    if "failed" in row:
        return f"FAILED: {row['failed']}"
    if "skipped" in row:
        return f"skipped: {row['skipped']}"
    if "runs_per_s" in row:
        return f"{row['runs_per_s']:.2f} runs/s, {row['workers']} workers"
    counts = row.get("counts", {})
    parts = [f"{counts['steps']} steps"] if "steps" in counts else []
    if "cg_heat" in counts:
        parts.append(f"{counts['cg_potential']} + {counts['cg_heat']} iterations")
    if "iterations" in counts:
        parts.append(f"{counts['iterations']} iterations")
    return ", ".join(parts)


def _peak(row: Mapping[str, Any]) -> str:
    return f"{row['peak_mb']:.0f} MB" if row.get("alone") and row.get("peak_mb") else ""


def _per_cell(row: Mapping[str, Any]) -> str:
    return f"{row['kb_per_cell']:.2f} kB" if row.get("alone") and row.get("cells", 0) >= 100_000 else ""


COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "row": lambda row: str(row["row"]),
    "cells": lambda row: str(row.get("cells", "")),
    "cold": lambda row: seconds(row.get("cold_s")),
    "warm": lambda row: seconds(row.get("warm_s")),
    "clock": lambda row: seconds(row.get("clock_s")),
    "x reference": lambda row: f"{row['ratio']:.3g}" if "ratio" in row else "",
    "of bandwidth": lambda row: f"{row['share_of_bandwidth']:.1%}" if "share_of_bandwidth" in row else "",
    "error": lambda row: "" if row.get("error_%") is None else f"{row['error_%']:.2f} %",
    "peak": _peak,
    "a cell": _per_cell,
    "": _said,
}
"""Columns of the table: heading -> what stands there"""


def lines_of(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The table's cells."""
    return [[cell(row) for cell in COLUMNS.values()] for row in rows]


def exponent(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The slope of log(least time) over log(cells) of ``rows``, by least squares; None for fewer than two sizes."""
    points = [(math.log(row["cells"]), math.log(row["best_s"])) for row in rows if row.get("best_s")]
    if len({x for x, _ in points}) < 2:
        return None
    mx, my = (sum(column) / len(points) for column in zip(*points, strict=True))
    return float(sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points))


def ladders(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The same problem at several sizes, in 3-D and axisymmetric."""
    found: dict[str, list[Mapping[str, Any]]] = {"3-D": [], "axisymmetric": []}
    for row in rows:
        name = row["row"]
        if row.get("error_%") is None or row.get("best_s") is None or not name.startswith("run."):
            continue
        if name.startswith("run.axisymmetric."):
            found["axisymmetric"].append(row)
        elif name.removeprefix("run.")[0].isdigit():
            found["3-D"].append(row)
    return {label: ladder for label, ladder in found.items() if ladder}


def sentences(data: Mapping[str, Any]) -> list[str]:
    """What stands around the table: machine, bandwidth, exponents."""
    m = data["machine"]
    said = [
        f"{data['date']}, {m['cpu']}, {m['cores']} cores (load {m['load']}), one thread; Python {m['python']}, numpy "
        f"{m['numpy']}, numba {m['numba']}, scipy {m['scipy']}, rfasim {m['rfasim']}, commit {m['commit']}"
    ]
    moved = [row["bandwidth_gb_per_s"] for row in data["rows"] if "bandwidth_gb_per_s" in row]
    if moved:
        said.append(f"memory bandwidth of one core, a triad's in the same process: {moved[0]:.1f} GB/s")
    for label, value in data["exponents"].items():
        goal = "" if label != "3-D" else f" (goal {GOAL_EXPONENT}: {'met' if value <= GOAL_EXPONENT else 'MISSED'})"
        said.append(f"time grows with the cells to the power of {value:.2f}, {label}{goal}")
    return said


def page(data: Mapping[str, Any]) -> str:
    """Everything as Markdown, with what each row is."""
    headings = [heading or "note" for heading in COLUMNS]
    table = [dict(zip(headings, line, strict=True)) for line in lines_of(data["rows"])]
    what = [{"row": row["row"], "what": row["what"]} for row in data["rows"]]
    parts = [
        "# rfasim bench", "\n".join(f"- {sentence}" for sentence in sentences(data)),
        markdown(table, dict.fromkeys(headings, "")),
        "CPU seconds; cold: the first call in a process; warm: the median of those after it; clock: beside it on the "
        "wall; x reference: the least over that of the reference kernel in turn with it; of bandwidth: the bytes that "
        "have to move, each array once, over the time and the bandwidth (above 100 %: the cache holds it); "
        "peak and a cell: memory, all of the process and what the run adds.",
        markdown(what, dict.fromkeys(("row", "what"), "")),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"
