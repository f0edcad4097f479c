"""The preview's two answers on twenty placements: seconds, and how far the coarse zone is from the fine one.

    python benchmarks/preview.py                 # all twenty
    python benchmarks/preview.py --only 0,3,7
    python benchmarks/preview.py --full          # and against the case as it is shipped, which takes minutes each

Each placement is run as the page runs it: a solver process that has done the scene and one other placement before.
Prints a JSON line a placement, then a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rfasim.preview.draft import Draft
from rfasim.preview.work import Job, do

CASE = Path(__file__).parents[1] / "cases/phantom.yaml"
# Tumour 1 is a lobed one of 24 mm among the veins, tumour 2 lies under the capsule, tumour 3 above the gallbladder.
ONE, TWO, THREE = [-77.0, -5.0, 22.0], [-121.0, 4.0, -6.0], [-56.0, -29.0, -16.0]
SIDE = [-168.0, 0.0, -10.0]


def _from(entry: list[float], target: list[float], **more: Any) -> dict[str, Any]:
    return {"entry": entry, "target": target, **more}


PLACEMENTS: list[dict[str, Any]] = [
    _from(SIDE, ONE),
    _from(SIDE, [-77.0, -5.0, 28.0]),
    _from(SIDE, [-72.0, 1.0, 24.0]),
    _from([-150.0, -60.0, 10.0], ONE),
    _from([-80.0, -100.0, 20.0], [-78.0, -8.0, 24.0]),
    _from(SIDE, ONE, pringle=True),
    _from(SIDE, ONE, vessels=False),
    _from(SIDE, ONE, power_w=20.0),
    _from(SIDE, ONE, power_w=20.0, minutes=6.0),
    _from(SIDE, ONE, device="cooled_needle", model="cooltip_20", power_w=25.0),
    _from(SIDE, ONE, device="cooled_needle", model="cooltip_40", power_w=45.0),
    _from(SIDE, ONE, device="bipolar_needle", model="celon_t30", power_w=30.0),
    _from([-165.0, 10.0, -30.0], TWO),
    _from([-165.0, 10.0, -30.0], TWO, power_w=20.0),
    _from([-150.0, -50.0, -20.0], TWO, device="cooled_needle", model="cooltip_20", power_w=20.0),
    _from([-150.0, -40.0, -30.0], THREE),
    _from([-150.0, -40.0, -30.0], THREE, pringle=True),
    _from([-60.0, -105.0, -20.0], THREE, device="cooled_needle", model="cooltip_20", power_w=20.0),
    _from(SIDE, ONE, protocol="cooltip_pulsed"),
    _from([-110.0, -95.0, 60.0], [-80.0, 3.0, 22.0]),
]


def run(draft: Draft, level: Any, folder: Path, against: Path | None) -> dict[str, Any]:
    """One run as the page's solver does it; its last event, and the seconds to it."""
    found: dict[str, Any] = {}

    def send(event: dict[str, Any], _: bytes | None) -> None:
        if event["event"] == "zone" and "clock_s" not in found:
            found.update(zone_s=time.perf_counter() - started)
        if event["event"] == "done":
            found.update(event, clock_s=time.perf_counter() - started, cpu_s=time.process_time() - cpu)

    models = (draft.case.zone.criterion,)
    case = draft.case.model_dump(mode="json")
    started, cpu = time.perf_counter(), time.process_time()
    do(Job(1, "a", level, case, str(draft.base), str(folder), models, None if against is None else str(against)),
       send, lambda: None)  # fmt: skip
    return found


def measure(change: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Both answers for one placement."""
    draft = Draft.read(CASE)
    draft.change(change)
    coarse = run(draft, "coarse", folder / "coarse", None)
    fine = run(draft, "fine", folder / "fine", folder / "coarse")
    difference = fine["difference"] or {}
    return {
        "placement": {key: value for key, value in change.items() if key not in ("entry",)},
        "zone_s": round(coarse["zone_s"], 2),
        "coarse_s": round(coarse["clock_s"], 2), "coarse_cpu_s": round(coarse["cpu_s"], 2),
        "fine_s": round(fine["clock_s"], 2), "fine_cpu_s": round(fine["cpu_s"], 2),
        "coarse_ml": round(coarse["history"]["zone_volume_ml"][-1], 2),
        "fine_ml": round(fine["history"]["zone_volume_ml"][-1], 2),
        "mean_mm": difference.get("mean_mm"), "largest_mm": difference.get("largest_mm"),
    }  # fmt: skip


def full(change: dict[str, Any]) -> float:
    """The zone [ml] of the case with the mesh and the steps that it asks for itself."""
    from rfasim.preview.levels import within_reach
    from rfasim.simulation import Simulation

    draft = Draft.read(CASE)
    draft.change(change)
    simulation = Simulation(within_reach(draft.case, draft.base), draft.base)
    for frame in simulation.frames():
        last = frame
    return round(last.zone_volume * 1e6, 2)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    chosen = [int(k) for k in options.only.split(",")] if options.only else list(range(len(PLACEMENTS)))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        warm = Draft.read(CASE)
        warm.change(_from(SIDE, [-80.0, -3.0, 20.0]))
        for level in ("coarse", "fine"):
            run(warm, level, Path(folder) / f"warm-{level}", None)
        for number in chosen:
            row = {"number": number, **measure(PLACEMENTS[number], Path(folder))}
            if options.full:
                row["full_ml"] = full(PLACEMENTS[number])
            rows.append(row)
            print(json.dumps(row), flush=True)
    off = [100 * (row["coarse_ml"] / row["fine_ml"] - 1) for row in rows]
    print(json.dumps({
        "placements": len(rows), "cpus": os.cpu_count(),
        "zone_s_median": statistics.median(row["zone_s"] for row in rows),
        "coarse_s_median": statistics.median(row["coarse_s"] for row in rows),
        "coarse_s_max": max(row["coarse_s"] for row in rows),
        "fine_s_median": statistics.median(row["fine_s"] for row in rows),
        "fine_s_max": max(row["fine_s"] for row in rows),
        "volume_off_percent_mean": round(statistics.mean(off), 2),
        "volume_off_percent_largest": round(max(off, key=abs), 2), "within_5_percent": sum(abs(x) <= 5 for x in off),
        "mean_mm_median": statistics.median(row["mean_mm"] or 0.0 for row in rows),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
