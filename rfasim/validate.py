"""``rfasim validate``: the program against published experiments; it shows, and gates nothing.

A study is a file (see :mod:`rfasim.validation.study`): to add one, write it into ``cases/validation``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from rfasim.case import Case
from rfasim.errors import InputError, RunError
from rfasim.validation.runs import simulate_summary
from rfasim.validation.scores import Outcome, Score, compare, failed
from rfasim.validation.study import Cell, Study, find_studies, read_study

__all__ = ["main", "run_study", "simulate_summary"]

FEW = 4  # cells fewer than this are not worth the seconds that another process takes to start
MOST_PROCESSES = 8  # each holds a simulation of its own; a study has some tens of cells
Watch = Callable[[int, int, Cell], None]
Run = tuple[dict[str, Any] | None, str, bool]
"""The summary of a run; without one the reason, and whether it is the input's fault."""


def run_study(
    study: Study,
    base: Path | None = None,
    *,
    quick: bool = False,
    processes: int = 1,
    watch: Watch = lambda *_: None,
) -> Score:
    """Run the cells of a study, or its quick selection; a run that fails is an outcome of its own.

    ``base``: folder that file names in the study's case are relative to. ``watch(number, count, cell)`` is called
    when all cells before that one are done. ``processes``: how many cells run at a time; each runs on its own, so the
    numbers are the same. More than one start new interpreters, which import the caller's main module: guard it with
    ``if __name__ == "__main__"``. Raises InputError.
    """
    started = time.perf_counter()
    cells = study.selection(quick)
    runs = _runs([study.case_of(cell, quick) for cell in cells], base, processes)
    outcomes: list[Outcome] = []
    try:
        for number, cell in enumerate(cells, start=1):
            watch(number, len(cells), cell)
            summary, reason, refused = next(runs)
            if refused:  # what only the mesh can tell, such as a device outside the domain
                raise InputError(f"{study.name}, cell '{cell.name}'", reason)
            outcomes.append(failed(cell, reason) if summary is None else compare(cell, summary))
    finally:
        runs.close()
    return Score(study, tuple(outcomes), time.perf_counter() - started, shortened=quick and bool(study.shortened))


def _run(case: Case, base: Path | None) -> Run:
    """Run a case; failures as plain data, because not every exception survives the way between processes."""
    try:
        return simulate_summary(case, base), "", False
    except (RunError, ArithmeticError) as error:
        return None, str(error), False
    except InputError as error:
        return None, str(error), True


def _runs(cases: Sequence[Case], base: Path | None, processes: int) -> Generator[Run, None, None]:
    """The runs in the order of the cases, several at a time; when closed, what has not begun is dropped."""
    if processes <= 1:
        for case in cases:
            yield _run(case, base)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # spawned, not forked: a fork copies the locks of threads that it does not copy
    pool = ProcessPoolExecutor(min(processes, len(cases)), mp_context=get_context("spawn"))
    try:
        for future in [pool.submit(_run, case, base) for case in cases]:
            try:
                yield future.result()
            except BrokenProcessPool:
                yield None, "its process, or one beside it, was ended from outside; memory may have run out", False
    finally:
        pool.shutdown(cancel_futures=True)


def processes_for(count: int) -> int:
    """How many processes ``count`` cells are worth on this machine."""
    from rfasim.doctor import usable_cores

    return 1 if count < FEW else max(1, min(count, MOST_PROCESSES, int(usable_cores())))


def main(
    words: Sequence[str] = (), *, quick: bool = False, as_json: bool = False, out: Path | None = None
) -> int:
    """Run studies given by name or path (all shipped ones for none), print them; 0, or 1 when a run failed.

    Cells run on all cores that this process may use.

    With ``out`` each study is written there as NAME.md, NAME.json and NAME.png. Raises InputError.
    """
    from rfasim.validation.report import print_score, write_report

    paths = find_studies(words)
    studies = [read_study(path) for path in paths]  # what is wrong is said before anything runs
    scores: list[Score] = []
    for path, study in zip(paths, studies, strict=True):
        with _Progress(study) as progress:
            processes = processes_for(len(study.selection(quick)))
            score = run_study(study, path.resolve().parent, quick=quick, processes=processes, watch=progress.show)
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
