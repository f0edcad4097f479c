"""Facts about the machine, medians of repeats, memory bandwidth, and the reference that ratios are made with."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rfasim.doctor import commit
from rfasim.jit import kernel
from rfasim.solver.linear import sweep

Array = np.ndarray[Any, Any]


def machine() -> dict[str, Any]:
    """CPU, versions, commit and load, to stand beside every figure."""
    import numba
    import scipy

    import rfasim

    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu, "cores": os.cpu_count(), "load": None if load is None else round(load, 2),
        "system": platform.platform(), "python": platform.python_version(), "numpy": np.__version__,
        "numba": numba.__version__, "scipy": scipy.__version__, "rfasim": rfasim.__version__, "commit": commit(),
    }  # fmt: skip


class Timing:
    """Medians of clock and CPU seconds over repeats, and the best repeat's CPU seconds."""

    def __init__(self, clock: list[float], cpu: list[float]) -> None:
        self.clock, self.cpu, self.best = float(np.median(clock)), float(np.median(cpu)), float(min(cpu))


def seconds_of(function: Callable[[], object]) -> tuple[float, float]:
    """Clock and CPU seconds of one call."""
    t, c = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - t, time.process_time() - c


def measure(function: Callable[[], object], repeats: int) -> Timing:
    """Time ``function`` after one call that does not count (it compiles, loads, and touches the memory)."""
    function()
    clock, cpu = zip(*(seconds_of(function) for _ in range(repeats)), strict=True)
    return Timing(list(clock), list(cpu))


@kernel
def triad(a: Any, b: Any, c: Any) -> None:
    """``a = b + 3 c``: two streams read, one written."""
    for i in range(np.uint64(a.shape[0])):
        a[i] = b[i] + 3.0 * c[i]


@kernel
def chain(n: int) -> float:
    """``n`` steps of Newton's method for drifting square roots, each waiting for the last: no memory at all."""
    x, a = 1.5, 2.0
    for _ in range(np.uint64(n)):
        x = 0.5 * (x + a / x)
        a += 1e-9 * x
    return x


def bandwidth(megabytes: int = 480, repeats: int = 9) -> float:
    """Memory bandwidth of one core [GB/s of CPU time]: triad over ``megabytes`` in all, 24 bytes an entry.

    A line that is written is usually read first; it is not counted, here as in the kernels' bytes.
    """
    n = megabytes * 1_000_000 // 24
    a, b, c = np.zeros(n), np.ones(n), np.full(n, 2.0)
    timing = measure(lambda: triad(a, b, c), repeats)
    return 24e-9 * n / timing.cpu


@dataclass
class Reference:
    """A fixed piece of work of the code's own mix, a third of its time each: memory (triad over 48 MB), the triangular
    sweep of the preconditioner on a lattice of 27 000 nodes, and arithmetic that waits for itself."""

    triads: int = 5
    sweeps: int = 120
    steps: int = 1_200_000

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        """What it works on."""
        n, side = 2_000_000, 30
        nodes = np.arange(side**3, dtype=np.uint32).reshape(side, side, side)
        pairs = [(nodes[:-1], nodes[1:]), (nodes[:, :-1], nodes[:, 1:]), (nodes[:, :, :-1], nodes[:, :, 1:])]
        low, high = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
        order = np.lexsort((high, low))
        weights = np.full(len(low), 0.1)
        return np.zeros(n), np.ones(n), np.full(n, 2.0), weights, low[order], high[order], np.ones(side**3)

    def __call__(self) -> None:
        """Do it once."""
        a, b, c, weights, low, high, y = self.arrays
        for _ in range(self.triads):
            triad(a, b, c)
        for _ in range(self.sweeps):
            y[:] = 1.0
            sweep(weights, low, high, y)
        chain(self.steps)

    def seconds(self) -> float:
        """CPU seconds of doing it once."""
        return seconds_of(self)[1]
