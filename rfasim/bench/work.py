"""What a row does, and how it is timed: once fresh, then in turn with the reference kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rfasim.bench.clock import Reference, seconds_of
from rfasim.jit import CACHE_FOLDER
from rfasim.summary import peak_memory_mb
from rfasim.threads import ONE_THREAD

Facts = Mapping[str, Any]
COUNTS = ("nodes", "cells", "steps", "rejected", "newton", "cg_potential", "cg_heat", "iterations", "found")
"""Numbers of a row that do not depend on the machine, but for rounding."""
BUDGET = {True: 1.0, False: 4.0}
"""s of CPU for the repeats of a row, quick and not; at least three repeats (two of what is slow), at most 40"""
SLOW = 1.5
LONG = 40.0
"""s; what takes longer is done twice besides the first time, or not again"""


@dataclass
class Work:
    """``call`` is what is timed, ``batch`` of it at a time; what it returns, and ``facts``, become part of the row."""

    call: Callable[[], Facts | None]
    batch: int = 1
    facts: dict[str, Any] = field(default_factory=dict)
    load_s: float = 0.0
    """CPU seconds that loading the kernels took before, where ``call`` does not show them"""
    timer: Callable[[Callable[[], object]], tuple[float, float]] = seconds_of
    """clock and CPU seconds of a call"""
    once: bool = False


def seconds_of_processes(function: Callable[[], object]) -> tuple[float, float]:
    """Clock and CPU seconds of the processes that a call starts and waits for; on Windows the clock twice."""
    try:
        import resource
    except ImportError:
        started = time.perf_counter()
        function()
        return (time.perf_counter() - started,) * 2

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before, started = used(), time.perf_counter()
    function()
    return time.perf_counter() - started, used() - before


def start_python(arguments: list[str], **environment: str) -> str:
    """Run this Python with one thread; what it prints. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **ONE_THREAD, **environment}, capture_output=True, text=True,
        encoding="utf-8", check=True,
    )  # fmt: skip
    return done.stdout


def _kernels() -> set[Path]:
    """Compiled kernels in the cache."""
    return set(CACHE_FOLDER.rglob("*.nbc"))


def carry_out(prepare: Callable[[bool], Work], quick: bool, reference: Reference) -> dict[str, Any]:
    """Prepare a row's work and time it, in turn with the reference; the row's numbers.

    ``cold_s``: CPU seconds of the first call in a process (loading the kernels included, compiling as well where
    ``compiled`` is not 0); ``warm_s``: the median of the calls after it, ``best_s`` the least of them; ``ratio``: the
    least over the least of the reference.
    """
    there = _kernels()
    work = prepare(quick)
    before = peak_memory_mb()
    found: dict[str, Any] = {}

    def first() -> None:
        found.update(work.call() or {})

    clock, cold = work.timer(first)
    row = {**work.facts, **found, "cold_s": work.load_s + cold, "compiled": len(_kernels() - there)}
    peak = peak_memory_mb()
    if before is not None and peak is not None:
        row |= {"peak_mb": peak, "above_mb": peak - before}
    if work.once or cold > LONG:
        row |= {"warm_s": None if work.once else cold, "clock_s": clock, "repeats": 1, "best_s": cold}
        row |= {"reference_s": min(reference.seconds() for _ in range(5))}
    else:
        batch = work.batch

        def repeat() -> None:
            for _ in range(batch):
                work.call()

        # the first call of a quick thing was mostly loading
        estimate = cold if cold > SLOW else work.timer(work.call)[1] * batch
        repeats = int(np.clip(BUDGET[quick] / (estimate + 0.03), 2 if estimate > SLOW else 3, 40))
        references, clocks, times = [reference.seconds()], [], []
        for _ in range(repeats):
            clock, cpu = work.timer(repeat)
            clocks.append(clock / batch)
            times.append(cpu / batch)
            references.append(reference.seconds())
        row |= {
            "warm_s": float(np.median(times)), "clock_s": float(np.median(clocks)), "best_s": min(times),
            "repeats": repeats, "reference_s": min(references),
        }  # fmt: skip
    row["ratio"] = row["best_s"] / row["reference_s"]
    row["counts"] = {key: row[key] for key in COUNTS if row.get(key) is not None}
    if row.get("cells") and "above_mb" in row:
        row["kb_per_cell"] = row["above_mb"] * 1024 / row["cells"]
    if "bytes" in row:
        row["gb_per_s"] = 1e-9 * row["bytes"] / row["best_s"]
    row.pop("curve", None)
    return row
