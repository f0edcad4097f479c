"""Studies: runs a second, and what the engine costs beside the runs."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rfasim.bench.problems import PROBLEMS
from rfasim.sweep import engine
from rfasim.sweep.store import Store
from rfasim.sweep.study import Study, study_from_dict
from rfasim.sweep.work import do_run


def study(runs: int, folder: Path) -> Study:
    """Power and perfusion of the cooled needle, axisymmetric, 12 minutes each; the case is written into ``folder``."""
    case = {**PROBLEMS["cooled"], "domain": {**PROBLEMS["cooled"]["domain"], "axisymmetric": True}}
    (folder / "needle.yaml").write_text(json.dumps(case), encoding="utf-8")
    return study_from_dict(
        {
            "name": "throughput", "case": "needle.yaml",
            "vary": {
                "power": {"path": "generator.power", "low": "15 W", "high": "40 W"},
                "perfusion": {"path": "tissues.liver.perfusion", "low": "0.003 1/s", "high": "0.012 1/s"},
            },
            "design": {"kind": "latin_hypercube", "runs": runs},
        },
        folder,
    )  # fmt: skip


def measure(
    runs: int, workers: int | None, task: engine.Task = do_run, watch: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Do the study in a temporary folder; seconds without the start of the workers. ``watch`` is called meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, one = Store(folder / "study"), study(runs, folder)
        store.folder.mkdir()
        store.create(one)
        mine = engine.shard_of(runs, None)
        count = engine.Count(runs, 0)
        with engine.cluster(workers, None) as client:
            n_workers = len(client.nthreads())
            started = time.perf_counter()
            engine.conduct(store, client, count, iter(engine.Missing(mine, iter(()))), show=lambda _: watch(),
                           stopped=lambda: False, mine=mine, task=task)  # fmt: skip
            seconds = time.perf_counter() - started
        table = store.read(["run", "seconds", "status"])
        inside = sum(table["seconds"].to_pylist())
        assert table.num_rows == runs
        return {
            "runs": runs, "workers": n_workers, "seconds": round(seconds, 2), "runs_per_s": round(runs / seconds, 2),
            "complete": table["status"].to_pylist().count("complete"),
            "share_outside_runs": round(1 - inside / (n_workers * seconds), 4), "cpus": os.cpu_count(),
        }  # fmt: skip
