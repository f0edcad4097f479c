"""A study's score as a picture: its curves, and predicted against measured."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

from rfasim.validation.names import label_of, unit_of
from rfasim.validation.relations import Curve
from rfasim.validation.scores import Outcome, Score, by_quantity, lookup
from rfasim.validation.spread import Band, band_of
from rfasim.validation.tally import Row

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito: for all eyes
CHARACTERS = 38  # of a title above each panel
_MARKS = ("o", "s", "^", "D", "v", "P")


def draw(score: Score, drawn: Sequence[Score] = ()) -> bytes:
    """A PNG: the study's curves, then predicted against measured with the measured standard deviations, by quantity.

    ``drawn``: the same cells with other tissue data; the band of each prediction is then a broad pale bar.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from rfasim.plot import GRID, INK, STYLE

    quantities, curves = list(by_quantity(score.outcomes)), score.study.curves
    count = max(1, len(curves) + len(quantities))
    columns = min(count, 3)
    rows = -(-count // columns)
    with rc_context(STYLE):
        title = textwrap.wrap(score.study.title, CHARACTERS * columns)
        groups = _groups(score)
        height = 4.0 * rows + 0.5 + 0.25 * len(title) + (0.4 if len(groups) > 1 else 0.0)
        figure = Figure(figsize=(4.2 * columns, height), layout="compressed")
        figure.suptitle("\n".join(title), x=0.01, ha="left", fontweight="bold", color=INK)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, curve in zip(panels, curves, strict=False):
            _draw_curve(axes, score, curve, drawn, GRID, INK)
        for axes, quantity in zip(panels[len(curves) :], quantities, strict=False):
            _draw_panel(axes, score, quantity, drawn, GRID, INK)
        for axes in panels[len(curves) + len(quantities) :]:
            axes.set_visible(False)
        if len(groups) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(groups), 4), frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _groups(score: Score) -> list[str]:
    return list(dict.fromkeys(outcome.cell.group or "" for outcome in score.outcomes))


def _band(score: Score, drawn: Sequence[Score], outcome: Outcome, place: str) -> Band | None:
    """What the draws make of a number of a cell's summary."""
    k = score.outcomes.index(outcome)
    return band_of([lookup(one.outcomes[k].summary or {}, place) for one in drawn])


def _draw_bands(axes: Any, bands: Sequence[tuple[float, Band | None]], colour: str) -> None:
    """Broad pale bars from the low to the high end of each band, at its place along the horizontal axis."""
    known = [(x, band) for x, band in bands if band is not None]
    axes.vlines(
        [x for x, _ in known], [band.low for _, band in known], [band.high for _, band in known],
        color=colour, alpha=0.3, linewidth=5, zorder=1.5,
    )  # fmt: skip


def _draw_curve(axes: Any, score: Score, curve: Curve, drawn: Sequence[Score], grid: str, ink: str) -> None:
    """What was predicted as filled marks on a line, what was measured as hollow ones."""
    axes.set_title(label_of(curve.of))
    axes.set_xlabel(f"{label_of(curve.over)} ({unit_of(curve.over)})".removesuffix(" ()"))
    axes.set_ylabel(f"{label_of(curve.of)} ({unit_of(curve.of)})".removesuffix(" ()"))
    axes.grid(color=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    if curve.scale == "log":
        axes.set_xscale("symlog", linthresh=1.0)
    for number, group in enumerate(_groups(score)):
        own = [o for o in score.outcomes if (o.cell.group or "") == group and curve.over in o.cell.at]
        own.sort(key=lambda outcome: outcome.cell.at[curve.over])
        shape, colour = _MARKS[number % len(_MARKS)], _COLOURS[number % len(_COLOURS)]
        told = [(o.cell.at[curve.over], lookup(o.summary or {}, curve.of)) for o in own]
        known = [(x, y) for x, y in told if y is not None]
        axes.plot(
            [x for x, _ in known], [y for _, y in known], marker=shape, color=colour, markersize=5, label=group or None
        )
        _draw_bands(axes, [(o.cell.at[curve.over], _band(score, drawn, o, curve.of)) for o in own], colour)
        measured = [o.cell for o in own if curve.of in o.cell.measured]
        if measured:
            axes.errorbar(
                [cell.at[curve.over] for cell in measured],
                [cell.measured[curve.of][0] for cell in measured],
                yerr=[cell.deviation(curve.of) or 0.0 for cell in measured],
                fmt=shape, color=ink, markerfacecolor="white", markersize=5, elinewidth=0.9,
            )  # fmt: skip
    low, high = axes.get_ylim()
    low = min(0.0, low)
    axes.set_ylim(low, high + 0.04 * (high - low))


def _draw_panel(
    axes: Any, score: Score, quantity: str, drawn: Sequence[Score], grid: str, ink: str
) -> None:
    pairs = [
        (outcome.cell.group or "", row, _band(score, drawn, outcome, quantity))
        for outcome in score.outcomes
        for row in outcome.comparisons
        if row.quantity == quantity and row.predicted is not None
    ]
    unit = unit_of(quantity)
    axes.set_title(label_of(quantity))
    axes.set_xlabel(f"measured ({unit})" if unit else "measured")
    axes.set_ylabel(f"predicted ({unit})" if unit else "predicted")
    axes.grid(color=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    for number, group in enumerate(_groups(score)):
        own = [row for name, row, _ in pairs if name == group]
        bands = [(row.measured, band) for name, row, band in pairs if name == group]
        _draw_bands(axes, bands, _COLOURS[number % len(_COLOURS)])
        axes.errorbar(
            [row.measured for row in own],
            [row.predicted for row in own],
            xerr=[row.sd or 0.0 for row in own],
            fmt=_MARKS[number % len(_MARKS)],
            color=_COLOURS[number % len(_COLOURS)],
            markersize=5,
            elinewidth=0.9,
            label=group or None,
        )
    if not pairs:
        return
    values = [value for _, row, _ in pairs for value in (row.measured + (row.sd or 0.0), row.predicted or 0.0)]
    values += [end for *_, band in pairs if band is not None for end in (band.low, band.high)]
    _square(axes, values, ink)


def _square(axes: Any, values: Sequence[float], ink: str) -> None:
    """Both axes alike, from 0 or below to beyond the largest value, with the line on which they are equal."""
    low, high = min(0.0, *values), 1.08 * max(values) + 1e-9
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, zorder=1)
    axes.set(xlim=(low, high), ylim=(low, high), box_aspect=1)


def draw_overview(rows: Sequence[Row]) -> bytes | None:
    """A PNG of all studies: predicted against measured, lengths and volumes; None where there are neither."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from rfasim.plot import GRID, INK, STYLE

    shown = [row for row in rows if row.predicted is not None]
    panels = [pair for pair in (("mm", "lengths"), ("ml", "volumes")) if any(row.unit == pair[0] for row in shown)]
    if not panels:
        return None
    studies = list(dict.fromkeys(row.study for row in shown if row.unit in dict(panels)))
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(panels), 6.8), layout="compressed")
        for axes, (unit, words) in zip(figure.subplots(1, len(panels), squeeze=False).ravel(), panels, strict=True):
            for number, study in enumerate(studies):
                own = [row for row in shown if row.unit == unit and row.study == study]
                colour = _COLOURS[number % len(_COLOURS)]
                _draw_bands(axes, [(row.measured, row.band) for row in own], colour)
                axes.errorbar(
                    [row.measured for row in own], [row.predicted for row in own], xerr=[row.sd or 0.0 for row in own],
                    fmt=_MARKS[number % len(_MARKS)], color=colour, markersize=5, elinewidth=0.9, label=study,
                )  # fmt: skip
            axes.set_title(words)
            axes.set_xlabel(f"measured ({unit})")
            axes.set_ylabel(f"predicted ({unit})")
            axes.grid(color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)
            here = [row for row in shown if row.unit == unit]
            ends = [end for row in here if row.band is not None for end in (row.band.low, row.band.high)]
            ends += [end for row in here for end in (row.measured + (row.sd or 0.0), row.predicted or 0.0)]
            _square(axes, ends, INK)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(studies), 4), frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
