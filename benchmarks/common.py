"""What the benchmarks share beside :mod:`rfasim.bench`: rows as they come, whole runs in turn."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rfasim.threads import ONE_THREAD

# One thread, also for numpy's BLAS: set before numpy is imported. Its threads spin while they wait, which on a busy
# machine costs more than they bring and spoils what is measured beside them.
for _name, _number in ONE_THREAD.items():
    os.environ.setdefault(_name, _number)

import numpy as np  # noqa: E402

from rfasim.case import Case  # noqa: E402
from rfasim.frame import Frame  # noqa: E402
from rfasim.simulation import Simulation  # noqa: E402

Array = np.ndarray[Any, Any]
HERE = Path(__file__).resolve().parent


def emit(row: dict[str, Any], out: Path | None) -> None:
    """Print a row as one line of JSON and append it to ``out``."""
    line = json.dumps(row, default=float)
    print(line, flush=True)
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


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
