"""``rfasim sweep``: what the command line asks, checked, and what people see while a study goes on."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from rfasim import __version__
from rfasim.errors import InputError
from rfasim.progress import clock
from rfasim.sweep import engine, kept
from rfasim.sweep.rows import COMPLETE
from rfasim.sweep.store import ABOUT, ATTEMPTS, PLAN, ROWS, STUDY, TABLE, Store
from rfasim.sweep.study import Study, load_study
from rfasim.sweep.work import MESHES

Stop = Callable[[], AbstractContextManager[list[int]]]
DONE, FAILED, INTERRUPTED = 0, 1, 130
SAY_EVERY = 30.0
"""seconds between two lines where nobody watches"""
# what a study puts into its folder; meshes are of use to the next one too
OURS = (ABOUT, STUDY, PLAN, ROWS, TABLE, ATTEMPTS, kept.ZONES, kept.FIELDS, kept.HISTORY, "answers")
START = 10.0
"""seconds until the workers have their libraries and kernels"""
ROW_BYTES = 1500
"""a row in the table, about"""


def parse_shard(text: str) -> tuple[int, int]:
    """``"3/10"``, the third of ten, as (2, 10); raises ValueError."""
    first, slash, second = text.partition("/")
    if not slash or not first.strip().isdecimal() or not second.strip().isdecimal():
        raise ValueError(f"'{text}' is no share of the runs; write i/n, such as 1/10")
    i, n = int(first), int(second)
    if not 1 <= i <= n:
        raise ValueError(f"'{text}' is no share of the runs; i goes from 1 to {n}")
    return i - 1, n


def sweep(options: Namespace, stop_requests: Stop) -> int:
    """Do the study; the exit code."""
    study = load_study(options.study, options.overrides)
    if options.dry_run:
        return _dry_run(study, options)
    if options.out is None:
        raise InputError("--out", "is needed: the folder for the results")
    shard: tuple[int, int] | None = options.shard
    store = Store(options.out, "" if shard is None else f"-{shard[0] + 1}-of-{shard[1]}")
    with contextlib.ExitStack() as held:
        _prepare(store, study, resume=options.resume, overwrite=options.overwrite, shard=shard, held=held)
        mine = engine.shard_of(study.n_runs, shard)
        if shard is None:
            store.drop_doubles()
        missing = engine.Missing(mine, store.finished())
        count = engine.Count(len(mine), missing.n_done)
        interrupted = False
        if missing.n_done < len(mine):
            with stop_requests() as stop, engine.cluster(options.workers, options.scheduler) as client:
                if not options.quiet:
                    _say(f"dashboard: {client.dashboard_link}")
                with Display(quiet=options.quiet) as display:
                    engine.conduct(
                        store, client, count, iter(missing), show=display.show, stopped=lambda: bool(stop), mine=mine
                    )
                interrupted = bool(stop)
        store.gather(mine)
        return _finish(store, study, count, mine, options, interrupted=interrupted)


def do_study(study: Study, out: Path, stop_requests: Stop, *, workers: int | None, quiet: bool) -> bool:
    """Do what is missing of a study in ``out``, anew when another one is there; whether it came to its end."""
    store = Store(out)
    same = store.exists and not _difference(store, study)
    with contextlib.ExitStack() as held:
        _prepare(store, study, resume=same, overwrite=not same, shard=None, held=held)
        store.drop_doubles()
        missing = engine.Missing(range(study.n_runs), store.finished())
        count = engine.Count(study.n_runs, missing.n_done)
        stopped = False
        if missing.n_done < study.n_runs:
            with stop_requests() as stop, engine.cluster(workers, None) as client, Display(quiet=quiet) as display:
                engine.conduct(store, client, count, iter(missing), show=display.show, stopped=lambda: bool(stop),
                               mine=range(study.n_runs))  # fmt: skip
                stopped = bool(stop)
        store.gather()
    return not stopped


def _prepare(store: Store, study: Study, *, resume: bool, overwrite: bool, shard: tuple[int, int] | None,
             held: contextlib.ExitStack) -> None:  # fmt: skip
    """See that the folder holds this study and that nobody else does it; raises InputError and RunError."""
    folder = store.folder
    if folder.exists() and not folder.is_dir():
        raise InputError("--out", f"{folder} is a file; give a folder")
    if folder.is_dir() and not store.exists and not _is_ours(folder):
        raise InputError("--out", f"{folder} is not empty and holds no study; give another folder")
    if resume and not folder.is_dir():
        raise InputError("--resume", f"{folder} holds no study that could go on; leave --resume out to start one")
    engine.prepare_folder(folder)
    with store.creating():  # several shards may start at the same time
        if store.exists and not (resume or overwrite or shard is not None):
            ways = "another folder, --resume to go on with the study in it, or --overwrite to begin anew"
            raise InputError("--out", f"{folder} holds a study; give {ways}")
        if resume and not store.exists:
            raise InputError("--resume", f"{folder} holds no study that could go on; leave --resume out to start one")
        held.enter_context(store.claimed())
        if store.exists and not overwrite:
            if difference := _difference(store, study):
                raise InputError("--resume", f"the study is not the one in {folder}: {difference}")
            return
        for path in (folder / name for name in OURS):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        kept.prepare(study, folder)
        store.create(study)


def _is_ours(folder: Path) -> bool:
    """Whether nothing is in a folder but what a study puts there at its start."""
    known = (*OURS, MESHES)
    return all(name in known or name.startswith(".lock") or name.endswith(".tmp") for name in os.listdir(folder))


def _difference(store: Store, study: Study) -> str:
    """The first thing in which the study differs from that in the folder; empty when none."""
    about = store.about()
    if about["study_sha256"] == study.sha256:
        return ""
    if about["rfasim_version"] != __version__:
        return f"it was begun with rfasim {about['rfasim_version']}, this is {__version__}"
    old, new = store.study_data(), study.as_data()
    for data in (old, new):
        for told in ("folder", "description", "outputs", "tables"):
            data.pop(told, None)
    return _first(old, new) or "the content of a file that the case or the design names has changed"


def _first(old: Any, new: Any, path: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if found := _first(old.get(key), new.get(key), f"{path}.{key}" if path else str(key)):
                return found
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = (_first(a, b, f"{path}[{k}]") for k, (a, b) in enumerate(zip(old, new, strict=True)))
        return next(filter(None, pairs), "")
    return "" if old == new else f"{path} was {old} and is {new}"


def _finish(store: Store, study: Study, count: engine.Count, mine: range, options: Namespace, *,
            interrupted: bool) -> int:  # fmt: skip
    statuses = Counter(status for run, status in store.statuses() if run in mine)
    done, total = sum(statuses.values()), len(mine)
    bad = done - statuses[COMPLETE]
    told = {
        "study": study.name, "folder": str(store.folder), "runs": total, "done": done, "this_time": count.now,
        "statuses": dict(statuses), "seconds": round(time.monotonic() - count.started, 2),
    }  # fmt: skip
    if options.json:
        print(json.dumps(told, indent=2))
    else:
        print(f"{study.name}: {done} of {total} runs done, {count.now} of them now"
              + (f"; without result: {bad}" if bad else ""))  # fmt: skip
        for run, error in store.errors(mine, 3):
            print(f"  run {run}: {error}")
        print(f"Files: {store.folder}")
    if done < total:
        changes = [word for path, value in options.overrides for word in ("--set", f"{path}={value}")]
        again = ["--resume"] if options.shard is None else ["--shard", f"{options.shard[0] + 1}/{options.shard[1]}"]
        words = ["rfasim", "sweep", str(options.study), *changes, "--out", str(store.folder), *again]
        _say(f"go on with: {shlex.join(words)}")
        return INTERRUPTED if interrupted else FAILED
    if not options.json:
        print(f"Answers: rfasim study {store.folder}")
    return FAILED if bad else DONE


def _dry_run(study: Study, options: Namespace) -> int:
    """Print how many runs, how long, how much disk."""
    from rfasim.domain import estimate

    cost = estimate(study.middle, study.base)
    n = len(engine.shard_of(study.n_runs, options.shard))
    workers = options.workers or os.cpu_count() or 1
    seconds = START + n * cost.warm_seconds / min(workers, n)
    size = n * ROW_BYTES
    if study.keep.zones is not None:
        voxels = 1
        for axis in kept.voxel_axes(study.keep.zones, study.middle):
            voxels *= len(axis)
        size += n * (voxels // 30 + 200)  # zones compress well
    if study.keep.fields:
        size += int(n * (cost.nodes * 20 + cost.cells * 16) * 0.6)
    if study.keep.history:
        size += n * 25_000
    told = {
        "study": study.name, "runs": n, "workers": workers, "seconds": round(seconds, 1), "bytes": size,
        "cells": round(cost.cells), "memory_mb_each": round(cost.memory_mb), "varies": study.names,
    }  # fmt: skip
    if options.json:
        print(json.dumps(told, indent=2))
        return DONE
    print(f"{study.name}: {n} runs of about {cost.cells:.0f} cells, {study.design.kind.replace('_', ' ')}")
    for name in study.names:
        print(f"  {name}: {_range(study, name)}")
    print(f"Expect about {clock(seconds)} on {workers} workers, {cost.memory_mb:.0f} MB of memory for each, and "
          f"{_bytes(size)} of disk.")  # fmt: skip
    return DONE


def _range(study: Study, name: str) -> str:
    variable = study.vary.get(name)
    if variable is None or variable.kind == "given":
        return "as given in each row"
    if variable.n_levels is not None:
        return ", ".join(str(value) for value in (variable.values or variable.choices))
    ends = f"{variable.low} to {variable.high}" if variable.low is not None and variable.high is not None else ""
    middle = f"{variable.mean} +- {variable.sd}" if variable.sd is not None else ""
    return f"{' within '.join(filter(None, (middle, ends)))} ({variable.kind.replace('_', '-')})"


def _bytes(size: float) -> str:
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:.3g} TB"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class Display:
    """A bar with rate and time left; a line now and then where nobody watches."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.quiet = quiet
        self.is_live = not quiet and self.console.is_terminal and not os.environ.get("CI")
        self._said = time.monotonic()
        self._note = ""
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self.is_live:
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (BarColumn(bar_width=24), TextColumn("{task.fields[text]}"))
            self._bar = Progress(*columns, console=self.console, refresh_per_second=4)
            self._task = self._bar.add_task("study", total=1, text="starting the workers")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, count: engine.Count) -> None:
        """Show how far it is."""
        if self._bar is not None:
            self._bar.update(self._task, total=count.total, completed=count.before + count.now, text=line(count))
        elif not self.quiet and (time.monotonic() - self._said > SAY_EVERY or count.note != self._note):
            self._said, self._note = time.monotonic(), count.note
            _say(line(count))


def line(count: engine.Count) -> str:
    """How far a study is, in one line."""
    parts = [f"{count.before + count.now} of {count.total}"]
    left, spent = count.seconds_left, time.monotonic() - count.started
    if left is not None and spent > 0:
        rate = count.now / spent
        parts.append(f"{rate:.1f} runs/s" if rate >= 1 else f"{clock(1 / rate)} a run")
        parts.append(f"{clock(left)} left")
    if count.failed:
        parts.append(f"{count.failed} without result")
    if count.note:
        parts.append(count.note)
    return "  ".join(parts)
