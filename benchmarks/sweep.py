"""Throughput of studies: real axisymmetric runs, and what the engine itself costs, with a stand-in for the run.

    python benchmarks/sweep.py                   # 1000 runs of 12 minutes, one geometry
    python benchmarks/sweep.py --runs 100
    python benchmarks/sweep.py --stand-in        # 1000, 10 000 and 100 000 runs that do nothing but write their row
    python benchmarks/sweep.py --stand-in --runs 1000

The stand-in shows what scheduling, storing and gathering cost a run, and that the memory of the conducting process does
not grow with the study. Prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from rfasim import __version__
from rfasim.bench.throughput import measure
from rfasim.sweep import engine
from rfasim.sweep.rows import row_of
from rfasim.sweep.store import Store
from rfasim.sweep.work import do_run

NUMBERS = {f"number_{k}": 0.1 * k for k in range(60)}


def stand_in(folder: str, run: int) -> tuple[int, str]:
    """A run of no length: its row has as many numbers as a real one."""
    row = row_of(run, {"power": float(run)}, status="complete", seconds=0.0, version=__version__, summary=NUMBERS)
    Store(Path(folder)).write_row(row)
    return run, "complete"


def watched(runs: int, task: engine.Task, workers: int | None) -> dict[str, Any]:
    """A study, with the memory of this process before and at the most."""
    before = resident_mb()
    highest = [before]
    found = measure(runs, workers, task, lambda: highest.append(max(highest.pop(), resident_mb())))
    return {**found, "main_mb_before": round(before, 1), "main_mb_highest": round(highest[0], 1),
            "machine": platform.machine(), "rfasim": __version__}  # fmt: skip


def resident_mb() -> float:
    """Memory of this process [MB]."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--stand-in", action="store_true")
    options = parser.parse_args()
    if options.stand_in:
        for runs in (options.runs,) if options.runs else (1000, 10_000, 100_000):
            print(json.dumps(watched(runs, stand_in, options.workers)), flush=True)
        return
    print(json.dumps(watched(options.runs or 1000, do_run, options.workers)), flush=True)


if __name__ == "__main__":
    main()
