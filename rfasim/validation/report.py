"""Scores as tables: on the terminal, as Markdown with a plot, and as JSON."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rfasim.validation.scores import Comparison, Score, by_quantity
from rfasim.validation.study import label_of, unit_of

FAR = 2.0  # standard deviations from which a difference is marked
_HEADER = ("cell", "quantity", "measured", "predicted", "difference", "in SD", "")
_TOTALS = ("quantity", "cells", "within 1 SD", "within 2 SD", "mean error", "bias", "mean relative error")
Row = tuple[str, ...]


def _digits(values: Sequence[float | None]) -> int:
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return 0 if largest >= 100 else 1 if largest >= 10 else 2


def _text(value: float | None, digits: int, *, signed: bool = False) -> str:
    if value is None:
        return "none"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def mark(row: Comparison) -> str:
    """What a table says beside a comparison."""
    if row.error is None:
        return "MISSING"
    return "far" if row.in_sd is not None and abs(row.in_sd) > FAR else ""


def _comparison_row(row: Comparison) -> Row:
    digits, unit = _digits([row.measured, row.predicted]), unit_of(row.quantity)
    spread = "" if row.sd is None else f" ± {_text(row.sd, digits)}"
    return (
        label_of(row.quantity),
        f"{_text(row.measured, digits)}{spread} {unit}".rstrip(),
        _text(row.predicted, digits),
        "-" if row.error is None else _text(row.error, digits, signed=True),
        "-" if row.in_sd is None else f"{row.in_sd:+.1f}",
        mark(row),
    )


def cell_rows(score: Score) -> Iterator[Row]:
    """The rows of the table of cells; a cell's name stands in its first row only."""
    for outcome in score.outcomes:
        name = outcome.cell.name
        for row in outcome.comparisons:
            yield (name, *_comparison_row(row))
            name = ""


def total_rows(score: Score) -> Iterator[Row]:
    """The rows of the table of totals."""
    for row in score.totals:
        unit, digits = unit_of(row.quantity), _digits([row.mean_error])
        counted = str(row.count) if not row.missing else f"{row.count}, {row.missing} missing"
        yield (
            label_of(row.quantity),
            counted,
            _percent(row.within_1_sd),
            _percent(row.within_2_sd),
            f"{_text(row.mean_error, digits)} {unit}".rstrip(),
            f"{_text(row.bias, digits, signed=True)} {unit}".rstrip(),
            _percent(row.mean_relative_error),
        )


def peak_lines(score: Score) -> Iterator[str]:
    """A sentence for each optimum."""
    for peak in score.peaks:
        unit = unit_of(peak.over)
        predicted = "cannot be told" if peak.predicted is None else f"{peak.predicted:g} {unit}".rstrip()
        off = "" if peak.error is None else f" (off by {peak.error:+g} {unit})".replace(" )", ")")
        yield f"{peak.name}: measured {peak.measured:g} {unit}, predicted {predicted}{off}"


def aim_lines(score: Score) -> Iterator[str]:
    """A sentence for each aim."""
    if not score.is_complete:
        yield "The aims are about all cells; this was the quick selection."
    for verdict in score.verdicts:
        word = "met" if verdict.met else "MISSED"
        yield f"{word}: {verdict.aim.text}; it is in {verdict.near} of {verdict.count}"


def print_score(score: Score) -> None:
    """The score of a study on stdout."""
    from rfasim.terminal import print_columns

    study = score.study
    print(f"\n{study.title}\n{'-' * len(study.title)}")
    print(textwrap.fill(f"{study.source}. {study.measures}", 110))
    print_columns(_HEADER, list(cell_rows(score)))
    print_columns(_TOTALS, list(total_rows(score)))
    for outcome in score.failures:
        print(f"Failed: {outcome.cell.name}: {outcome.failure}")
    for title, lines in (
        ("Optima", list(peak_lines(score))),
        ("Aims", list(aim_lines(score))),
        ("Assumed", list(study.assumed)),
        ("Where it disagrees, and the likely reason", list(study.remarks)),
    ):
        if lines:
            print(f"{title}:")
            for line in lines:
                print(textwrap.fill(line, 110, initial_indent="  - ", subsequent_indent="    "))
    count = len(score.outcomes)
    print(f"{count} cell{'s' if count > 1 else ''} in {score.seconds:.0f} s.")


# ----------------------------------------------------------------------------------------------------- Markdown


def markdown(score: Score, picture: str | None = None) -> str:
    """The score of a study as a page: what is missed comes first."""
    study = score.study
    parts = [f"# {study.title}", f"{study.source}. {study.measures}"]
    aims = [f"- {line}" for line in aim_lines(score)]
    if aims:
        parts += ["## Aims", "\n".join(aims)]
    if study.remarks:
        parts += ["## Where it disagrees, and the likely reason", "\n".join(f"- {line}" for line in study.remarks)]
    if score.failures:
        parts += ["## Failed", "\n".join(f"- {o.cell.name}: {o.failure}" for o in score.failures)]
    if score.peaks:
        parts += ["## Optima", "\n".join(f"- {line}" for line in peak_lines(score))]
    parts += ["## Totals", _table(_TOTALS, list(total_rows(score)))]
    if picture:
        parts.append(f"![Predicted against measured]({picture})")
    parts += ["## Cells", _table(_HEADER, list(cell_rows(score)))]
    parts.append(f"Differences are predicted minus measured; *far* is more than {FAR:g} standard deviations.")
    if study.assumed:
        parts += ["## Assumed", "\n".join(f"- {line}" for line in study.assumed)]
    return "\n\n".join(parts) + "\n"


def _table(header: Row, rows: Sequence[Row]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# --------------------------------------------------------------------------------------------------------- plot

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito: for all eyes
_MARKS = ("o", "s", "^", "D", "v", "P")


def draw(score: Score) -> bytes:
    """A PNG: predicted against measured, a panel for each quantity, with the measured standard deviations."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from rfasim.plot import GRID, INK, STYLE

    quantities = list(by_quantity(score.outcomes))
    columns = min(len(quantities), 3)
    rows = -(-len(quantities) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.2 * columns, 4.0 * rows + 0.5), layout="constrained")
        figure.suptitle(score.study.title, x=0.01, ha="left", fontweight="bold", color=INK)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, quantity in zip(panels, quantities, strict=False):
            _draw_panel(axes, score, quantity, GRID, INK)
        for axes in panels[len(quantities) :]:
            axes.set_visible(False)
        if len(groups := _groups(score)) > 1:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(groups), 4), frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _groups(score: Score) -> list[str]:
    return list(dict.fromkeys(outcome.cell.group or "" for outcome in score.outcomes))


def _draw_panel(axes: Any, score: Score, quantity: str, grid: str, ink: str) -> None:
    pairs = [
        (outcome.cell.group or "", row)
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
        own = [row for name, row in pairs if name == group]
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
    values = [value for _, row in pairs for value in (row.measured, row.predicted or 0.0)]
    low, high = min(0.0, *values), 1.08 * max(values) + 1e-9
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, zorder=1)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def write_report(score: Score, folder: Path) -> list[Path]:
    """Write NAME.md, NAME.json and NAME.png into ``folder``; their paths. Raises InputError when it cannot."""
    from rfasim.checkpoint import write_bytes
    from rfasim.yaml_io import write_text

    name = score.study.name
    files = [folder / f"{name}{ending}" for ending in (".md", ".json", ".png")]
    write_text(files[0], markdown(score, f"{name}.png"))
    write_text(files[1], json.dumps(score.plain(), indent=2, ensure_ascii=False) + "\n")
    write_bytes(files[2], draw(score))
    return files
