"""All runs of a study on Dask workers: a bounded number in flight, answers as they come, rows gathered on the way.

A worker that dies is replaced and its run done again; nothing that was finished is lost with it, because results are
files by then. This process holds no results, so its memory does not grow with the study.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rfasim.checkpoint import disk_errors
from rfasim.errors import InputError, RunError
from rfasim.sweep.rows import COMPLETE
from rfasim.sweep.store import Store
from rfasim.sweep.work import do_run
from rfasim.threads import ONE_THREAD

AHEAD = 2
"""runs given out for each worker, so that none waits for the next"""
GATHER_EVERY = 5.0
"""seconds between two times that rows go into the table, at least; more where that takes long"""
GATHER_SHARE = 0.01
"""share of the time that may go into it"""
PAUSE = 0.005
"""seconds between two looks at what has been answered; workers have work meanwhile"""
PATIENCE = "20s"
"""how long a scheduler may say nothing, at the start and when the line to it is cut"""
Task = Callable[[str, int], tuple[int, str]]


@dataclass
class Count:
    """How far a study is."""

    total: int
    before: int
    """done by earlier sessions"""
    statuses: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    note: str = ""
    """what holds it up"""

    @property
    def now(self) -> int:
        """Done in this session."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Runs of this session without numbers."""
        return self.now - self.statuses[COMPLETE] - self.statuses["there"]

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None as long as nobody knows."""
        spent = time.monotonic() - self.started
        return spent / self.now * (self.total - self.before - self.now) if self.now else None


class Missing:
    """The runs of ``mine`` that are not done, as an iterator that holds a bit a run."""

    def __init__(self, mine: range, done: Iterator[int]) -> None:
        self.mine, self.flags = mine, bytearray(len(mine))
        for run in done:
            if run in mine:
                self.flags[mine.index(run)] = 1

    @property
    def n_done(self) -> int:
        """How many were done when this was made."""
        return sum(self.flags)

    def __iter__(self) -> Iterator[int]:
        return (run for run, done in zip(self.mine, self.flags, strict=True) if not done)


def shard_of(n_runs: int, shard: tuple[int, int] | None) -> range:
    """The runs of shard (i, n), i from 0: every n-th, so that all shards take as long."""
    return range(n_runs) if shard is None else range(shard[0], n_runs, shard[1])


@contextlib.contextmanager
def cluster(workers: int | None, address: str | None) -> Iterator[Any]:
    """A client of one-thread workers on this machine, or of the scheduler at ``address``."""
    try:
        import dask
        import distributed
    except ImportError:
        raise InputError("sweep", "needs Dask; install it with: pip install 'rfasim[sweep]'") from None
    if address is not None:
        try:
            with distributed.Client(address, timeout=PATIENCE) as client:
                yield client
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError("--scheduler", f"nobody answers at {address}: {error}") from None
        return
    settings = {
        "distributed.nanny.pre-spawn-environ": ONE_THREAD,
        "distributed.worker.preload": ["rfasim.sweep.worker"],
        "distributed.scheduler.allowed-failures": 100,  # runs are counted in files, and given up by the worker
        "distributed.worker.memory.terminate": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        # what Dask remembers of runs that are over: its memory must not grow with the study
        "distributed.admin.low-level-log-length": 1000,
        "distributed.comm.timeouts.connect": "60s",
        "distributed.admin.tick.limit": "60s",
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=workers or os.cpu_count() or 1, threads_per_worker=1, processes=True, memory_limit=0,
            dashboard_address="127.0.0.1:0", silence_logs=50, local_directory=None,
        ) as local,
        distributed.Client(local) as client,
    ):  # fmt: skip
        yield client


def conduct(store: Store, client: Any, count: Count, missing: Iterator[int], *, show: Callable[[Count], None],
            stopped: Callable[[], bool], mine: range, task: Task = do_run) -> None:  # fmt: skip
    """Do the runs of ``missing``; ``show`` is called after each and while nothing happens.

    Ends early when ``stopped`` says so. Raises RunError when results cannot be written for too long.
    """
    from distributed import as_completed

    folder = str(store.folder.absolute())
    gather = Gathering(store, count, mine)

    flying: dict[Any, int] = {}
    token = uuid.uuid4().hex  # other studies may be at the same scheduler

    def submit(runs: Iterator[int], number: int) -> list[Any]:
        new = {client.submit(task, folder, run, key=f"run-{token}-{run}"): run for run in islice(runs, number)}
        flying.update(new)
        return list(new)

    answers = as_completed(submit(missing, AHEAD * _n_workers(client)), with_results=True, raise_errors=False)
    try:
        while flying and not stopped():
            answered = answers.next_batch(block=False)
            lost = []
            for future, result in answered:
                run = flying.pop(future)
                if future.status == "error":
                    raise _why(future.exception())
                if isinstance(result, tuple):
                    count.statuses[result[1]] += 1
                else:  # gone with its worker
                    lost.append(run)
            n = len(answered)
            answered = future = None  # so that Dask forgets them
            for new in [*submit(iter(lost), len(lost)), *submit(missing, n - len(lost))]:
                answers.add(new)
            show(count)
            gather.when_due()
            if n == 0:
                if client.status == "closed":
                    raise RunError("the scheduler is gone; what is finished is kept, and --resume goes on")
                time.sleep(PAUSE)
    finally:
        if client.status == "running":
            client.cancel(list(flying))
        gather.now()
        show(count)


class Gathering:
    """Puts rows into the table now and then; a full disk is noted, and tried again."""

    def __init__(self, store: Store, count: Count, mine: range) -> None:
        self.store, self.count, self.mine = store, count, mine
        self.due = time.monotonic() + GATHER_EVERY

    def when_due(self) -> None:
        """Gather when the time has come."""
        if time.monotonic() >= self.due:
            with contextlib.suppress(RunError):
                self.now()

    def now(self) -> None:
        """Gather; raises RunError on a full disk, with the rows still there."""
        started = time.monotonic()
        try:
            with disk_errors(self.store.table):
                self.store.gather(self.mine)
            self.count.note = ""
        except RunError as error:
            self.count.note = str(error)
            raise
        finally:
            spent = time.monotonic() - started
            self.due = time.monotonic() + max(GATHER_EVERY, spent / GATHER_SHARE)


def _n_workers(client: Any) -> int:
    return max(int(sum(client.nthreads().values())), 1)


def _why(error: BaseException) -> RunError:
    if isinstance(error, RunError):
        return error
    what = f"{type(error).__name__}: {error}"
    return RunError(f"the workers cannot go on: {what}; what is finished is kept, and --resume goes on")


def prepare_folder(out: Path) -> None:
    """Make the folder; raises RunError."""
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
