"""Two pictures: time against cells, and error against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rfasim.bench.tables import GOAL_EXPONENT, exponent, ladders

COLOURS = {"3-D": "#1f5fa8", "axisymmetric": "#b3541e"}


def draw(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the pictures for which there are rows; their paths."""
    found = ladders(rows)
    if not found:
        return []
    return [_time(found, folder / "time_against_cells.png"), _error(found, folder / "error_against_time.png")]


def _axes(x: str, y: str, title: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(which="major", color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.12)
    return figure, axes


def _time(found: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> Path:
    figure, axes = _axes(
        "cells", "CPU time of mesh and run [s]",
        f"Problem A, 12 min, one thread: time against cells (goal: exponent {GOAL_EXPONENT} in 3-D)",
    )  # fmt: skip
    for label, rows in found.items():
        x, y = [row["cells"] for row in rows], [row["best_s"] for row in rows]
        axes.plot(x, y, "o-", color=COLOURS[label], linewidth=1.5, markersize=5)
        slope = exponent(rows)
        said = label if slope is None else f"{label}, exponent {slope:.2f}"
        middle = len(x) // 2
        axes.annotate(said, (x[middle], y[middle]), xytext=(10, -16), textcoords="offset points", fontsize=10,
                      color=COLOURS[label])  # fmt: skip
        if len(x) > 1:
            goal = [y[0] * (value / x[0]) ** GOAL_EXPONENT for value in (x[0], x[-1])]
            axes.plot([x[0], x[-1]], goal, ":", color="#777777", linewidth=1)
    axes.text(0.98, 0.03, f"dotted: cells to the power of {GOAL_EXPONENT}", transform=axes.transAxes, ha="right",
              color="#777777", fontsize=9)  # fmt: skip
    figure.savefig(path)
    return path


def _error(found: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> Path:
    figure, axes = _axes(
        "CPU time of mesh and run [s]", "largest error of impedance, rise and 50 °C volume [%]",
        "Problem A, 12 min, one thread: error against time",
    )  # fmt: skip
    for label, rows in found.items():
        x, y = [row["best_s"] for row in rows], [row["error_%"] for row in rows]
        axes.plot(x, y, "o-", color=COLOURS[label], linewidth=1.5, markersize=5)
        for k, row in enumerate(rows):
            cells = f"{row['cells']:,} cells".replace(",", " ")
            axes.annotate(cells if k else f"{label}, {cells}", (x[k], y[k]), xytext=(8, 5), textcoords="offset points",
                          fontsize=9, color=COLOURS[label], weight="normal" if k else "bold")  # fmt: skip
    axes.margins(x=0.22, y=0.12)
    axes.axhline(1.0, color="#777777", linewidth=1, linestyle=":")
    axes.text(1.0, 1.0, "1 %", transform=axes.get_yaxis_transform(), color="#777777", fontsize=9, ha="right",
              va="bottom")  # fmt: skip
    figure.savefig(path)
    return path
