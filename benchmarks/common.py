"""What the benchmarks share: facts about the machine, medians of repeats, memory bandwidth, rows as they come."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# One thread, also for numpy's BLAS: set before numpy is imported. Its threads spin while they wait, which on a busy
# machine costs more than they bring and spoils what is measured beside them.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from rfasim.case import Case  # noqa: E402
from rfasim.frame import Frame  # noqa: E402
from rfasim.jit import kernel  # noqa: E402
from rfasim.simulation import Simulation  # noqa: E402

Array = np.ndarray[Any, Any]
HERE = Path(__file__).resolve().parent


def machine() -> dict[str, Any]:
    """CPU, versions, commit and load, to stand beside every figure."""
    import numba
    import scipy

    import rfasim

    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    command = ["git", "describe", "--always", "--dirty"]
    git = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "cpu": cpu, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2), "system": platform.platform(),
        "python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__,
        "scipy": scipy.__version__, "rfasim": rfasim.__version__, "commit": git.stdout.strip() or None,
    }  # fmt: skip


class Timing:
    """Medians of clock and CPU seconds over repeats, and the best repeat's CPU seconds."""

    def __init__(self, clock: list[float], cpu: list[float]) -> None:
        self.clock, self.cpu, self.best = float(np.median(clock)), float(np.median(cpu)), float(min(cpu))


def measure(function: Callable[[], object], repeats: int) -> Timing:
    """Time ``function`` after one call that does not count (it compiles, loads, and touches the memory)."""
    function()
    clock, cpu = [], []
    for _ in range(repeats):
        t, c = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    return Timing(clock, cpu)


@kernel
def triad(a: Any, b: Any, c: Any) -> None:
    """``a = b + 3 c``: two streams read, one written."""
    for i in range(np.uint64(a.shape[0])):
        a[i] = b[i] + 3.0 * c[i]


def bandwidth(megabytes: int = 480, repeats: int = 9) -> float:
    """Memory bandwidth of one core [GB/s of CPU time]: triad over ``megabytes`` in all, 24 bytes an entry.

    A line that is written is usually read first; it is not counted, here as in the kernels' bytes.
    """
    n = megabytes * 1_000_000 // 24
    a, b, c = np.zeros(n), np.ones(n), np.full(n, 2.0)
    timing = measure(lambda: triad(a, b, c), repeats)
    return 24e-9 * n / timing.cpu


def emit(row: dict[str, Any], out: Path | None) -> None:
    """Print a row as one line of JSON and append it to ``out``."""
    line = json.dumps(row, default=float)
    print(line, flush=True)
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """A Markdown table; ``columns``: key in the row -> format ("" leaves it as it is)."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = []
        for key, spec in columns.items():
            value = row.get(key)
            cells.append("" if value is None else format(value, spec))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def say(text: str) -> None:
    """A line for the person who watches; kept apart from the rows."""
    print(text, file=sys.stderr, flush=True)


def in_turn(cases: Mapping[str, Callable[[], Case]], rounds: int, tell: Callable[[Simulation, Frame], str],
            prefix: str = "") -> None:  # fmt: skip
    """Whole runs of some cases in turn, mesh included: CPU seconds of each with what ``tell`` says of it, then the
    medians and how many times the first one's they are."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            started = time.process_time()
            simulation = Simulation(case())
            *_, frame = simulation.frames()
            seconds[name].append(time.process_time() - started)
            print(f"{prefix}{name}: {seconds[name][-1]:.1f} s, {tell(simulation, frame)}", flush=True)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"{prefix}{name}: median {median:.1f} s, {median / first:.2f} times")
