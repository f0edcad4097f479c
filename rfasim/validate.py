"""``rfasim validate``: the program against published experiments; it shows, and gates nothing.

A study is a file (see :mod:`rfasim.validation.study`): to add one, write it into ``cases/validation``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfasim.case import Case
from rfasim.checkpoint import disk_errors
from rfasim.errors import InputError, RunError
from rfasim.progress import clock
from rfasim.validation.kept import FOLDER, Kept
from rfasim.validation.runs import simulate_summary
from rfasim.validation.scores import Outcome, Score, compare, failed
from rfasim.validation.spread import Draw, changes_of, draws
from rfasim.validation.study import Cell, Study, find_studies, read_study

if TYPE_CHECKING:
    from rfasim.validation.dossier import Dossier, Studied

__all__ = ["main", "report", "run_study", "simulate_summary"]

DRAWS = 16  # runs with other tissue data for each axisymmetric cell, unless stated
FEW = 4  # cells fewer than this are not worth the seconds that another process takes to start
MOST_PROCESSES = 8  # each holds a simulation of its own; a study has some tens of cells
Watch = Callable[[int, int, Cell], None]


@dataclass(frozen=True)
class Job:
    """A case to run, the folder that file names in it are relative to, and where its summary is kept."""

    case: Case
    base: Path | None
    kept: Kept | None = None


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
    runs = _runs([Job(study.case_of(cell, quick), base) for cell in cells], processes)
    outcomes: list[Outcome] = []
    try:
        for number, cell in enumerate(cells, start=1):
            watch(number, len(cells), cell)
            outcomes.append(_outcome(study, cell, next(runs)))
    finally:
        runs.close()
    return Score(study, tuple(outcomes), time.perf_counter() - started, shortened=quick and bool(study.shortened))


def _outcome(study: Study, cell: Cell, run: Run) -> Outcome:
    """What a run says of its cell. Raises InputError for what only the mesh can tell, such as a device outside."""
    summary, reason, refused = run
    if refused:
        raise InputError(f"{study.name}, cell '{cell.name}'", reason)
    return failed(cell, reason) if summary is None else compare(cell, summary)


def _run(job: Job) -> Run:
    """Do a job; failures as plain data, because not every exception survives the way between processes."""
    try:
        summary = simulate_summary(job.case, job.base)
    except (RunError, ArithmeticError) as error:
        return None, str(error), False
    except InputError as error:
        return None, str(error), True
    if job.kept is not None:  # here, so that what is done is kept whatever becomes of the others
        job.kept.keep(job.case, summary)
    return summary, "", False


def _runs(jobs: Sequence[Job], processes: int) -> Generator[Run, None, None]:
    """The runs in the order of the jobs, several at a time; when closed, what has not begun is dropped."""
    if processes <= 1:
        for job in jobs:
            yield _run(job)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # spawned, not forked: a fork copies the locks of threads that it does not copy
    pool = ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn"))
    try:
        for future in [pool.submit(_run, job) for job in jobs]:
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
        with _Progress() as progress:

            def watch(number: int, count: int, cell: Cell, name: str = study.name, line: _Progress = progress) -> None:
                line.show(f"{name}: cell {number} of {count}, {cell.name}")

            processes = processes_for(len(study.selection(quick)))
            score = run_study(study, path.resolve().parent, quick=quick, processes=processes, watch=watch)
        scores.append(score)
        if not as_json:
            print_score(score)
        if out is not None:
            for file in write_report(score, out):
                print(f"Written: {file}", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps({"studies": [score.plain() for score in scores]}, indent=2, ensure_ascii=False))
    return 1 if any(score.failures for score in scores) else 0


# ------------------------------------------------------------------------------------------------------- dossier


def report(
    words: Sequence[str],
    folder: Path,
    *,
    quick: bool = False,
    draws_flat: int = DRAWS,
    draws_3d: int = 0,
    verified: Path | None = None,
    as_json: bool = False,
) -> int:
    """Write the dossier of studies given by name or path (all shipped ones for none) into ``folder``.

    ``draws_flat`` and ``draws_3d``: runs of each cell with other tissue data, for the bands; the latter for studies
    with cells in three dimensions. ``verified``: what ``rfasim verify --json`` printed, instead of its quick selection.
    Runs are kept in the folder and not done again; pages are written at the end, each whole. 0; 1 when a cell's run
    failed or a gate of the verification is missed. Raises InputError and RunError.
    """
    from rfasim.validation.dossier import Dossier, Verified, made_now, read_verified
    from rfasim.validation.page import as_html
    from rfasim.validation.picture import draw_overview
    from rfasim.validation.report import files_of, write_files

    paths = find_studies(words)
    studies = [read_study(path) for path in paths]
    names = [study.name for study in studies]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError("STUDY", f"'{twice[0]}' is given twice")
    known = None if verified is None else read_verified(verified)
    samples = {True: draws(draws_flat, "--uncertainty"), False: draws(draws_3d, "--uncertainty-3d")}
    kept = _folder_for(folder)
    jobs: dict[Place, Job] = {}
    for s, (path, study) in enumerate(zip(paths, studies, strict=True)):
        own = _jobs_of(study, path.resolve().parent, quick, samples, kept)
        jobs |= {(s, draw, cell): job for (draw, cell), job in own.items()}
    runs = _all_runs(jobs)
    studied = [
        _studied(study, quick, {place[1:]: run for place, run in runs.items() if place[0] == s})
        for s, study in enumerate(studies)
    ]
    if known is None:
        from rfasim.verify import claims

        _say("rfasim verify --quick: exact solutions")
        found_claims = tuple({**vars(claim), "met": claim.met} for claim in claims(quick=True))
        known = Verified(found_claims, "rfasim verify --quick, run for this dossier")
    dossier = Dossier(tuple(studied), known, made_now(), quick)
    files: dict[str, bytes] = {}
    for one in studied:
        files |= files_of(one.score, one.drawn)
    pictures = {study.name: files[f"{study.name}.png"] for study in studies}
    plain_text = json.dumps(dossier.plain(), indent=2, ensure_ascii=False)
    files["dossier.json"] = (plain_text + "\n").encode()
    files["dossier.html"] = as_html(dossier, pictures, draw_overview(dossier.cells)).encode()  # last: the rest is there
    write_files(files, folder)
    if as_json:
        print(plain_text)
    else:
        _print_dossier(dossier, folder / "dossier.html")
    return 1 if dossier.failures or dossier.verified.missed else 0


Place = tuple[int, int, int]
"""study, draw (0: its own tissue) and cell of a run"""


def _jobs_of(
    study: Study, base: Path, quick: bool, samples: Mapping[bool, Sequence[Draw]], kept: Kept
) -> dict[tuple[int, int], Job]:
    """The runs of a study by draw and cell; ``samples``: the draws, by whether all its cells are axisymmetric."""
    cells = study.selection(quick)
    cases = [study.case_of(cell, quick) for cell in cells]
    jobs = {(0, c): Job(case, base, kept) for c, case in enumerate(cases)}
    for d, draw in enumerate(samples[all(case.domain.axisymmetric for case in cases)], start=1):
        for c, (cell, case) in enumerate(zip(cells, cases, strict=True)):
            changed = study.case_of(cell, quick, changes_of(case, study.controlled, draw))
            jobs[d, c] = Job(changed, base, kept)
    return jobs


def _studied(study: Study, quick: bool, runs: Mapping[tuple[int, int], Run]) -> Studied:
    """A study's score, and those of its draws, from its runs by draw and cell. Raises InputError."""
    from rfasim.validation.dossier import Studied

    scores = []
    cells = study.selection(quick)
    for d in range(1 + max(draw for draw, _ in runs)):
        outcomes = tuple(_outcome(study, cell, runs[d, c]) for c, cell in enumerate(cells))
        scores.append(Score(study, outcomes, 0.0, shortened=quick and bool(study.shortened)))
    return Studied(scores[0], tuple(scores[1:]))


def _folder_for(folder: Path) -> Kept:
    """Make the folder and try it out, so that hours of runs are not done for a disk that takes nothing."""
    if folder.exists() and not folder.is_dir():
        raise InputError("--report", f"{folder} is a file; give a folder")
    probe = folder / ".probe"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    return Kept(folder / FOLDER)


def _all_runs(jobs: Mapping[Place, Job]) -> dict[Place, Run]:
    """The runs of all jobs: what is kept is read, the rest is done, what takes longest first."""
    found: dict[Place, Run] = {}
    for place, job in jobs.items():
        summary = None if job.kept is None else job.kept.find(job.case)
        if summary is not None:
            found[place] = summary, "", False
    if found:
        _say(f"{len(found)} of {len(jobs)} runs are there already")
    # predictions before draws, so that what is interrupted has them; three dimensions take minutes
    todo = sorted(jobs.keys() - found.keys(), key=lambda at: (at[1], jobs[at].case.domain.axisymmetric, at))
    started = time.perf_counter()
    runs = _runs([jobs[place] for place in todo], processes_for(len(todo)))
    try:
        with _Progress() as progress:
            for n, place in enumerate(todo):
                left = f", about {clock((time.perf_counter() - started) / n * (len(todo) - n))} left" if n else ""
                if progress.is_live or n % max(1, len(todo) // 20) == 0:
                    progress.show(f"{n} of {len(todo)} runs done{left}, next: {jobs[place].case.name}")
                found[place] = next(runs)
    except KeyboardInterrupt:
        _say("stopped; runs that are done are kept, and the same command goes on from them")
        raise
    finally:
        runs.close()
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_dossier(dossier: Dossier, page: Path) -> None:
    """What is missed and the totals, in lines."""
    for each in dossier.aims:
        word, verdict = "met" if each.verdict.met else "MISSED", each.verdict
        print(f"{word}: {each.study}: {verdict.aim.text}; it is in {verdict.near} of {verdict.count}")
    for study, cell, reason in dossier.failures:
        print(f"FAILED: {study}, {cell}: {reason}")
    for claim in dossier.verified.missed:
        print(f"GATE MISSED: {claim['group']}, {claim['name']}")
    for total in dossier.overall:
        errors = ""
        if total.mean_error is not None and total.bias is not None:
            errors = f", mean error {total.mean_error:.1f} {total.unit}, bias {total.bias:+.1f} {total.unit}"
        print(
            f"{total.name}: {total.count}, of {total.with_sd} with a standard deviation {total.within_1_sd} within 1 "
            f"and {total.within_2_sd} within 2{errors}; {total.overlapping} of {total.with_band} meet their band"
        )
    print(f"Written: {page}")


class _Progress:
    """What is running, on stderr: one line that changes, or a line each where nobody watches."""

    def __init__(self) -> None:
        self.is_live = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, text: str) -> None:
        """Say it in place of what was said before."""
        if self.is_live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            _say(text)
