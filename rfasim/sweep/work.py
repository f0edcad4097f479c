"""One run of a study, in a worker: the case, the loop, what is kept, and last of all the row.

The row is written before the worker answers. A run that is there already is not run again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rfasim import __version__
from rfasim.errors import InputError, RunError
from rfasim.sweep.rows import COMPLETE, DIED, FAILED, TIMEOUT, Row, row_of
from rfasim.sweep.store import ATTEMPTS, Store
from rfasim.sweep.study import Study
from rfasim.sweep.variables import Shown

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.simulation import Simulation

MESHES = "meshes"
PATIENCE, RETRY = 600.0, 2.0
"""how long [s] a worker waits for room on a full disk, and how often it looks"""
GRACE = 30.0
"""how much longer [s] than the limit a run may hang between two steps before its worker is ended"""
T = TypeVar("T")


def do_run(folder: str, run: int) -> tuple[int, str]:
    """Do one run of the study in ``folder``; its number and the status of its row.

    Raises RunError when the row cannot be written, which is the study's problem and not the run's.
    """
    store, study = _opened(folder)
    if store.row_file(run).exists():
        return run, "there"
    tried = _attempt(store, run)
    started = time.monotonic()
    inputs: dict[str, Shown] = {}

    def row(status: str, **more: Any) -> Row:
        return row_of(run, inputs, status=status, seconds=time.monotonic() - started, version=__version__, **more)

    if tried > study.limits.attempts:
        died = f"its worker died {tried - 1} times; did it run out of memory?"
        with contextlib.suppress(InputError, ValueError):
            inputs.update({name: one.shown for name, one in study.settings(run).items()})
        found = row(DIED, error=died)
    else:
        with _watched(store, row, study.limits.time):
            found = _run(study, store, run, inputs, row)
    patiently(lambda: store.write_row(found))
    _attempt_file(store, run).unlink(missing_ok=True)
    return run, str(found["status"])


@functools.lru_cache(maxsize=2)
def _opened(folder: str) -> tuple[Store, Study]:
    store = Store(Path(folder))
    return store, store.study()


def _run(study: Study, store: Store, run: int, inputs: dict[str, Shown], row: Callable[..., Row]) -> Row:
    """The run as a row, whatever becomes of it; only what the disk does is raised."""
    from rfasim.sweep import kept

    sha256 = ""
    try:
        shown, case = study.run_case(run)
        inputs.update(shown)
        sha256 = case.sha256
        simulation, history, summary = simulate(case, study.base, store.folder / MESHES, study.limits.time)
    except TimeoutError as error:
        return row(TIMEOUT, case_sha256=sha256, error=str(error))
    except (InputError, RunError) as error:
        if is_full(error):
            raise
        return row(FAILED, case_sha256=sha256, error=str(error))
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError, AssertionError, MemoryError) as error:
        return row(FAILED, case_sha256=sha256, error=f"unexpected {type(error).__name__}: {error}")
    patiently(lambda: kept.keep(study.keep, store.folder, run, simulation, history))
    return row(COMPLETE, case_sha256=sha256, summary=summary)


def simulate(case: Case, base: Path, meshes: Path, limit: float) -> tuple[Simulation, dict[str, list[Any]], Any]:
    """Run a case to its end without writing anything but its mesh: simulation, readings, and numbers.

    Raises TimeoutError after ``limit`` seconds.
    """
    from rfasim.domain import build_domain
    from rfasim.mesh_cache import cached_mesh
    from rfasim.simulation import Simulation
    from rfasim.summary import summary_of
    from rfasim.tables import add_row

    started = time.monotonic()
    mesh = None if case.mesh.file is not None else cached_mesh(case, base, meshes)
    mesh_seconds = time.monotonic() - started
    simulation = Simulation(case, base, build_domain(case, base, mesh))
    history: dict[str, list[Any]] = {}
    probes: dict[str, list[Any]] = {}
    last = None
    for frame in simulation.frames():
        last = frame
        add_row(history, frame.readings())
        add_row(probes, frame.temperatures())
        if time.monotonic() - started > limit:
            reached = f"{frame.time:.1f} s of {case.generator.duration:g} s"
            raise TimeoutError(f"was at {reached} after {limit:g} s by the clock")
    assert last is not None
    seconds = time.monotonic() - started
    return simulation, history, summary_of(
        simulation, history, probes, last, mesh_seconds=mesh_seconds, wall_seconds=seconds
    )


# ------------------------------------------------------------------------------------------------ what goes wrong


def is_full(error: BaseException) -> bool:
    """Whether it is the disk that has no room."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def patiently(write: Callable[[], T]) -> T:
    """Write, and where the disk is full try again until there is room, or for ten minutes."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return write()
        except RunError as error:
            if not is_full(error) or time.monotonic() > until:
                raise
        time.sleep(RETRY)


@contextlib.contextmanager
def _watched(store: Store, row: Callable[..., Row], limit: float) -> Iterator[None]:
    """End the worker when a run hangs: its row says so, and the run is not tried again."""
    over = threading.Event()

    def give_up() -> None:
        if not over.is_set():
            found = row(TIMEOUT, error=f"hung for more than {limit + GRACE:g} s without a step")
            with contextlib.suppress(RunError):
                store.write_row(found)
            os._exit(1)

    watch = threading.Timer(limit + GRACE, give_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.cancel()


def _attempt_file(store: Store, run: int) -> Path:
    return store.folder / ATTEMPTS / str(run)


def _attempt(store: Store, run: int) -> int:
    """Which attempt this is, counted from 1; a file remembers it until the row is there."""
    path = _attempt_file(store, run)
    try:
        with path.open("ab") as file:
            file.write(b".")
            return file.tell()
    except OSError:  # a full disk: nobody counts then
        return 1
