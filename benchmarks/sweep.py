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
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from rfasim import __version__
from rfasim.sweep import engine
from rfasim.sweep.rows import row_of
from rfasim.sweep.store import Store
from rfasim.sweep.study import Study, study_from_dict
from rfasim.sweep.work import do_run

CASE = Path(__file__).parents[1] / "cases/needle_axisymmetric.yaml"
NUMBERS = {f"number_{k}": 0.1 * k for k in range(60)}


def stand_in(folder: str, run: int) -> tuple[int, str]:
    """A run of no length: its row has as many numbers as a real one."""
    row = row_of(run, {"power": float(run)}, status="complete", seconds=0.0, version=__version__, summary=NUMBERS)
    Store(Path(folder)).write_row(row)
    return run, "complete"


def study(runs: int) -> Study:
    """Power and perfusion of the axisymmetric needle, 12 minutes each."""
    return study_from_dict(
        {
            "name": "throughput", "case": CASE.name,
            "vary": {
                "power": {"path": "generator.power", "low": "15 W", "high": "40 W"},
                "perfusion": {"path": "tissues.liver.perfusion", "low": "0.003 1/s", "high": "0.012 1/s"},
            },
            "design": {"kind": "latin_hypercube", "runs": runs},
        },
        CASE.parent,
    )  # fmt: skip


def measure(runs: int, task: engine.Task, workers: int | None) -> dict[str, Any]:
    """Do the study in a temporary folder; seconds without the start of the workers, and the memory used."""
    with tempfile.TemporaryDirectory() as folder:
        store, one = Store(Path(folder) / "study"), study(runs)
        store.folder.mkdir()
        store.create(one)
        mine = engine.shard_of(runs, None)
        count = engine.Count(runs, 0)
        with engine.cluster(workers, None) as client:
            n_workers = len(client.nthreads())
            before, started = resident_mb(), time.perf_counter()
            highest = before

            def show(_: engine.Count) -> None:
                nonlocal highest
                highest = max(highest, resident_mb())

            engine.conduct(store, client, count, iter(engine.Missing(mine, iter(()))), show=show,
                           stopped=lambda: False, mine=mine, task=task)  # fmt: skip
            seconds = time.perf_counter() - started
        table = store.read(["run", "seconds", "status"])
        inside = sum(table["seconds"].to_pylist())
        assert table.num_rows == runs
        return {
            "runs": runs, "workers": n_workers, "seconds": round(seconds, 2), "runs_per_s": round(runs / seconds, 2),
            "complete": table["status"].to_pylist().count("complete"),
            "share_outside_runs": round(1 - inside / (n_workers * seconds), 4),
            "main_mb_before": round(before, 1), "main_mb_highest": round(highest, 1),
            "cpus": os.cpu_count(), "machine": platform.machine(), "rfasim": __version__,
        }  # fmt: skip


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
            print(json.dumps(measure(runs, stand_in, options.workers)), flush=True)
        return
    print(json.dumps(measure(options.runs or 1000, do_run, options.workers)), flush=True)


if __name__ == "__main__":
    main()
