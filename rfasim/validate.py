"""``rfasim validate``: the program against published experiments; it shows, and gates nothing.

A study is a file (see :mod:`rfasim.validation.study`): to add one, write it into ``cases/validation``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rfasim.errors import InputError, RunError
from rfasim.validation.runs import simulate_summary
from rfasim.validation.scores import Outcome, Score, compare, failed
from rfasim.validation.study import Cell, Study, find_studies, read_study

__all__ = ["main", "run_study", "simulate_summary"]

Watch = Callable[[int, int, Cell], None]


def run_study(study: Study, base: Path | None = None, *, quick: bool = False, watch: Watch = lambda *_: None) -> Score:
    """Run the cells of a study, or its quick selection; a run that fails is an outcome of its own.

    ``base``: folder that file names in the study's case are relative to. ``watch(number, count, cell)`` is called
    before each cell.
    """
    started = time.perf_counter()
    cells = study.selection(quick)
    outcomes: list[Outcome] = []
    for number, cell in enumerate(cells, start=1):
        watch(number, len(cells), cell)
        try:
            outcomes.append(compare(cell, simulate_summary(study.case_of(cell), base)))
        except (RunError, ArithmeticError) as error:
            outcomes.append(failed(cell, str(error)))
        except InputError as error:  # what only the mesh can tell, such as a device outside the domain
            raise InputError(f"{study.name}, cell '{cell.name}'", str(error)) from None
    return Score(study, tuple(outcomes), time.perf_counter() - started)


def main(
    words: Sequence[str] = (), *, quick: bool = False, as_json: bool = False, out: Path | None = None
) -> int:
    """Run studies given by name or path (all shipped ones for none), print them; 0, or 1 when a run failed.

    With ``out`` each study is written there as NAME.md, NAME.json and NAME.png. Raises InputError.
    """
    from rfasim.validation.report import print_score, write_report

    paths = find_studies(words)
    studies = [read_study(path) for path in paths]  # what is wrong is said before anything runs
    scores: list[Score] = []
    for path, study in zip(paths, studies, strict=True):
        with _Progress(study) as progress:
            score = run_study(study, path.resolve().parent, quick=quick, watch=progress.show)
        scores.append(score)
        if not as_json:
            print_score(score)
        if out is not None:
            for file in write_report(score, out):
                print(f"Written: {file}", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps({"studies": [score.plain() for score in scores]}, indent=2, ensure_ascii=False))
    return 1 if any(score.failures for score in scores) else 0


class _Progress:
    """Which cell is running, on stderr: one line that changes, or a line each where nobody watches."""

    def __init__(self, study: Study) -> None:
        self.name = study.name
        self.is_live = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, number: int, count: int, cell: Cell) -> None:
        """Say that the cell is running."""
        text = f"{self.name}: cell {number} of {count}, {cell.name}"
        if self.is_live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
