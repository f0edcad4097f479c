"""Pictures of a study: response curves, sensitivities with their convergence, the band of the zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.plot import figure, png
from rfasim.sweep.bands import LEVELS, Band
from rfasim.sweep.rows import INPUT
from rfasim.sweep.sensitivity import Sensitivity

if TYPE_CHECKING:
    from rfasim.sweep.answers import Answers

Array = NDArray[np.float64]
DOTS, LINE, SECOND = "#9db4c8", "#0b4f8a", "#d97706"
MOST_DOTS = 4000
BINS = 10


def label(study: Any, name: str) -> str:
    """A variable with its unit."""
    unit = study.unit(name)
    return f"{name} ({unit})" if unit else name


def responses(found: Answers) -> bytes:
    """Each output over each variable: the runs as dots, their middle with the range of the middle half as a line."""
    from rfasim.sweep.answers import levels_of

    names, outputs = found.study.names, found.outputs
    drawing = figure(1.2 + 2.3 * len(names), 0.6 + 2.1 * len(outputs))
    axes = np.atleast_2d(drawing.subplots(len(outputs), len(names), sharey="row", squeeze=False))
    for row, output in enumerate(outputs):
        for column, name in enumerate(names):
            ax = axes[row, column]
            x, y = found.inputs[:, column], found.values[output]
            there = np.isfinite(x) & np.isfinite(y)
            x, y = x[there], y[there]
            shown = slice(None, None, max(len(x) // MOST_DOTS, 1))
            ax.plot(x[shown], y[shown], ".", color=DOTS, markersize=3, alpha=0.7, zorder=1)
            middles = binned(x, y)
            if len(middles):
                at, low, median, high = middles.T
                ax.fill_between(at, low, high, color=LINE, alpha=0.18, linewidth=0)
                ax.plot(at, median, "-o" if len(at) <= BINS else "-", color=LINE, markersize=3, linewidth=1.5)
            column_name = INPUT + name
            shown_values = found.table[column_name].to_pylist() if column_name in found.table.column_names else []
            levels = levels_of(found.study, name, shown_values)
            if levels:
                ax.set_xticks(range(len(levels)), levels, rotation=30, ha="right")
            if row == len(outputs) - 1:
                ax.set_xlabel(label(found.study, name), fontsize=9)
            if column == 0:
                ax.set_ylabel(output, fontsize=9)
            ax.tick_params(labelsize=8)
            ax.spines[["top", "right"]].set_visible(False)
    drawing.suptitle(f"{found.study.name}: {found.table.num_rows} runs", fontsize=11, fontweight="bold")
    return bytes(png(drawing))


def binned(x: Array, y: Array) -> Array:
    """Rows of place, lower quartile, median, upper quartile: by value where there are few, else in equal counts."""
    if len(x) == 0:
        return np.zeros((0, 4))
    levels = np.unique(x)
    if len(levels) <= BINS:
        groups = [x == level for level in levels]
    else:
        edges = np.quantile(x, np.linspace(0, 1, BINS + 1))
        number = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, BINS - 1)
        groups = [number == k for k in range(BINS)]
    return np.array([[x[g].mean(), *np.percentile(y[g], (25, 50, 75))] for g in groups if g.any()])


def sensitivities(found: Sequence[Sensitivity]) -> bytes:
    """For each output the indices with their intervals, and how they settled with the number of runs."""
    n = len(found)
    longest = max(len(one.names) for one in found)
    drawing = figure(9.5, 0.8 + n * (0.9 + 0.32 * longest))
    axes = drawing.subplots(n, 2, squeeze=False, gridspec_kw={"width_ratios": [1.6, 1]})
    for one, (bars, lines) in zip(found, axes, strict=True):
        order = [one.names.index(name) for name in one.ranking()][::-1]
        height = 0.8 / len(one.estimates)
        for k, (estimate, colour) in enumerate(zip(one.estimates, (LINE, SECOND), strict=False)):
            at = np.arange(len(order)) + (0.5 * (len(one.estimates) - 1) - k) * height
            widths = np.nan_to_num(estimate.half_widths[order])
            bars.barh(at, estimate.values[order], height, xerr=widths, color=colour, ecolor="#101418",
                      error_kw={"linewidth": 0.8, "capsize": 2}, label=estimate.what.replace("_", " "))  # fmt: skip
        bars.set_yticks(range(len(order)), [one.names[k] for k in order], fontsize=8)
        fit = "" if one.fit is None else f", Q2 {one.fit:.2f}"
        bars.set_title(f"{one.output}: {one.method}{fit}", fontsize=9, loc="left")
        bars.legend(fontsize=7, frameon=False, loc="lower right")
        sizes = list(one.convergence)
        for k in order[::-1][:6]:
            lines.plot(sizes, [one.convergence[size][k] for size in sizes], "-o", markersize=3, label=one.names[k])
        lines.set_xlabel("runs", fontsize=8)
        lines.set_title(f"{one.estimates[0].what.replace('_', ' ')} as runs are added", fontsize=9, loc="left")
        if sizes:
            lines.legend(fontsize=7, frameon=False)
        for ax in (bars, lines):
            ax.tick_params(labelsize=8)
            ax.spines[["top", "right"]].set_visible(False)
        lines.axhline(0, color="#c8c8c8", linewidth=0.6)
        bars.axvline(0, color="#c8c8c8", linewidth=0.6)
    return bytes(png(drawing))


def band(one: Band, title: str) -> bytes:
    """The share of runs that ablate, in the planes through the middle; lines at 5, 50 and 95 %."""
    if one.axisymmetric:
        r, z = (1e3 * axis for axis in one.axes)
        mirrored = np.concatenate([one.probability[::-1], one.probability])
        panels = [("r", "z", np.concatenate([-r[::-1], r]), z, mirrored)]
    else:
        x, y, z = (1e3 * axis for axis in one.axes)
        i, j, k = (len(axis) // 2 for axis in one.axes)
        p = one.probability
        panels = [("x", "y", x, y, p[:, :, k]), ("x", "z", x, z, p[:, j]), ("y", "z", y, z, p[i])]
    drawing = figure(1.2 + 3.2 * len(panels), 4.2)
    axes = np.atleast_1d(drawing.subplots(1, len(panels)))
    filled = None
    for ax, (first, second, u, v, values) in zip(axes, panels, strict=True):
        filled = ax.contourf(u, v, values.T, np.linspace(0, 1, 11), cmap="YlOrRd")
        lines = ax.contour(u, v, values.T, sorted(LEVELS), colors=["#7a7a7a", "#202020", "#202020"],
                           linestyles=["dotted", "solid", "dashed"], linewidths=1.2)  # fmt: skip
        ax.clabel(lines, fmt=lambda level: f"{100 * level:.0f} %", fontsize=7)
        ax.set_aspect("equal")
        ax.set_xlabel(f"{first} (mm)", fontsize=8)
        ax.set_ylabel(f"{second} (mm)", fontsize=8)
        ax.tick_params(labelsize=7)
    drawing.colorbar(filled, ax=list(axes), label=f"share of {one.runs} runs that ablate", shrink=0.8)
    volumes = ", ".join(f"{100 * share:.0f} %: {1e6 * one.volume(share):.1f} ml" for share in LEVELS)
    drawing.suptitle(f"{title}: zone in at least {volumes}", fontsize=10, fontweight="bold")
    return bytes(png(drawing))
