"""Scores as tables: on the terminal, as Markdown with a picture, and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rfasim.validation.names import label_of, unit_of
from rfasim.validation.scores import Comparison, Score, lookup

FAR = 2.0  # standard deviations from which a difference is marked
_HEADER = ("cell", "quantity", "measured", "predicted", "difference", "in SD", "")
_RELATIONS = ("of several cells", "measured", "predicted", "difference", "in SD", "")
_TOTALS = ("quantity", "cells", "within 1 SD", "within 2 SD", "mean error", "bias", "mean relative error")
Row = tuple[str, ...]


def digits_of(values: Sequence[float | None]) -> int:
    """How many digits to show after the point: three in all for the largest of ``values``."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return 0 if largest >= 100 else 1 if largest >= 10 else 2


def _text(value: float | None, digits: int, *, signed: bool = False) -> str:
    if value is None:
        return "none"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def mark(row: Comparison, shortened: bool = False) -> str:
    """What a table says beside a comparison."""
    if row.error is None:
        return "MISSING"
    if shortened:
        return "shortened"
    return "far" if row.in_sd is not None and abs(row.in_sd) > FAR else ""


def _numbers(row: Comparison, unit: str) -> Row:
    """Measured, predicted, the difference, and that in standard deviations."""
    digits = digits_of([row.measured, row.predicted])
    spread = "" if row.sd is None else f" ± {_text(row.sd, digits)}"
    return (
        f"{_text(row.measured, digits)}{spread} {unit}".rstrip(),
        _text(row.predicted, digits),
        "-" if row.error is None else _text(row.error, digits, signed=True),
        "-" if row.in_sd is None else f"{row.in_sd:+.1f}",
    )


def cell_rows(score: Score) -> Iterator[Row]:
    """The rows of the table of cells; a cell's name stands in its first row only."""
    for outcome in score.outcomes:
        name = outcome.cell.name
        for row in outcome.comparisons:
            unit = unit_of(row.quantity)
            yield (name, label_of(row.quantity), *_numbers(row, unit), mark(row, score.shortened))
            name = ""


def total_rows(score: Score) -> Iterator[Row]:
    """The rows of the table of totals."""
    for row in score.totals:
        unit, digits = unit_of(row.quantity), digits_of([row.mean_error])
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


def relation_rows(score: Score) -> Iterator[Row]:
    """The rows of the table of what is said about several cells."""
    for each in score.related:
        yield (each.row.quantity, *_numbers(each.row, each.unit), each.detail or mark(each.row))


def curve_header(score: Score) -> Row:
    """The columns of the table of curves."""
    return ("cell", *(f"{label_of(of)} ({unit_of(of)})".removesuffix(" ()") for of in _curve_quantities(score)))


def curve_rows(score: Score) -> Iterator[Row]:
    """What was predicted for each cell that a curve passes, measured or not."""
    columns = _curve_quantities(score)
    overs = {curve.over for curve in score.study.curves}
    outcomes = [outcome for outcome in score.outcomes if overs & set(outcome.cell.at)]
    table = [[lookup(outcome.summary or {}, of) for of in columns] for outcome in outcomes]
    digits = [digits_of([row[k] for row in table]) for k in range(len(columns))]
    for outcome, row in zip(outcomes, table, strict=True):
        yield (outcome.cell.name, *(_text(value, n) for value, n in zip(row, digits, strict=True)))


def _curve_quantities(score: Score) -> list[str]:
    return list(dict.fromkeys(curve.of for curve in score.study.curves))


def peak_lines(score: Score) -> Iterator[str]:
    """A sentence for each optimum."""
    for peak in score.peaks:
        unit = unit_of(peak.over)
        predicted = "cannot be told" if peak.predicted is None else f"{peak.predicted:g} {unit}".rstrip()
        off = "" if peak.error is None else f" (off by {peak.error:+g} {unit})".replace(" )", ")")
        yield f"{peak.name}: measured {peak.measured:g} {unit}, predicted {predicted}{off}"


def aim_lines(score: Score) -> Iterator[str]:
    """A sentence for each aim."""
    if score.shortened:
        changes = ", ".join(f"{place} = {value}" for place, value in score.study.shortened.items())
        yield f"Shortened to be quick, so these numbers are no predictions: {changes}."
    elif not score.is_complete:
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
    for header, rows in _tables(score).values():
        print_columns(header, rows)
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


def _tables(score: Score) -> dict[str, tuple[Row, list[Row]]]:
    """The tables that have rows, by their title: header and rows."""
    tables = {
        "Cells": (_HEADER, list(cell_rows(score))),
        "Curves": (curve_header(score), list(curve_rows(score)) if score.study.curves else []),
        "Totals": (_TOTALS, [] if score.shortened else list(total_rows(score))),
        "Several cells": (_RELATIONS, list(relation_rows(score))),
    }
    return {title: (header, rows) for title, (header, rows) in tables.items() if rows}


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
    tables = {title: _table(*rows) for title, rows in _tables(score).items()}
    for title in ("Several cells", "Totals"):
        if title in tables:
            parts += [f"## {title}", tables[title]]
    if picture:
        parts.append(f"![Predicted against measured]({picture})")
    if "Cells" in tables:
        parts += ["## Cells", tables["Cells"]]
        parts.append(f"Differences are predicted minus measured; *far* is more than {FAR:g} standard deviations.")
    if "Curves" in tables:
        parts += ["## Predicted, cell by cell", tables["Curves"]]
    if study.assumed:
        parts += ["## Assumed", "\n".join(f"- {line}" for line in study.assumed)]
    return "\n\n".join(parts) + "\n"


def _table(header: Row, rows: Sequence[Row]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def files_of(score: Score, drawn: Sequence[Score] = ()) -> dict[str, bytes]:
    """NAME.md, NAME.json and NAME.png of a score; ``drawn``: the same study with other tissue data, for the bands."""
    from rfasim.validation.picture import draw

    name = score.study.name
    return {
        f"{name}.md": markdown(score, f"{name}.png").encode(),
        f"{name}.json": (json.dumps(score.plain(), indent=2, ensure_ascii=False) + "\n").encode(),
        f"{name}.png": draw(score, drawn),
    }


def write_report(score: Score, folder: Path) -> list[Path]:
    """Write the files of a score into ``folder``; their paths. Raises RunError when it cannot."""
    return write_files(files_of(score), folder)


def write_files(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write files into ``folder``, each whole or not at all; their paths. Raises RunError when it cannot."""
    from rfasim.checkpoint import disk_errors, write_bytes

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_bytes(folder / name, data)
    return [folder / name for name in files]
