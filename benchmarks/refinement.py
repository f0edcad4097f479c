"""A device's run against the same run meshed finer: how far is the zone from converged?

    python -m benchmarks.refinement                                    # the 2 cm umbrella, 15 W for three minutes
    python -m benchmarks.refinement --ready                            # its ready case as it is, ramp and roll-off
    python -m benchmarks.refinement --case cases/devices/octopus.yaml --ready --fineness 1 1.41

A mesh of fineness 2 has edges half as long everywhere: every length that the case's mesh states or leaves to its
defaults, and the growth per distance, are halved (about eight times the nodes). The last fineness is the reference.
Exits with 1 when the zone of the first differs from it by more than 3 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common

from rfasim.bench.tables import markdown
from rfasim.case import Case, case_from_dict
from rfasim.outcome import volume_ml, zone_measures
from rfasim.simulation import Simulation
from rfasim.yaml_io import parse_yaml, read_text

CASE = common.HERE.parent / "cases" / "devices" / "umbrella.yaml"
ALLOWED = 3.0  # percent of the zone's volume
COLUMNS = {
    "fineness": "g", "nodes": "", "impedance_ohm": ".2f", "zone_ml": ".3f", "long_mm": ".2f", "short_mm": ".2f",
    "over_60_ml": ".3f", "max_c": ".1f", "roll_off_s": ".1f", "steps": "", "cpu_s": ".0f", "wall_s": ".0f",
}  # fmt: skip
COMPARED = ("impedance_ohm", "zone_ml", "long_mm", "short_mm", "over_60_ml", "roll_off_s")


def refined(data: dict[str, Any], fineness: float, where: str) -> Case:
    """The case with the edges of its mesh ``fineness`` times as short: at the contacts, away from them, or all."""
    case = case_from_dict(data)
    options = case.mesh
    size, rim = options.sizes_at(case.electrodes[0])
    near, far = fineness if where != "zone" else 1.0, fineness if where != "contacts" else 1.0
    mesh: dict[str, Any] = {
        "size": size / near, "rim_size": rim / near, "grow": options.grow / far, "max_size": options.max_size / far,
        "zone_size": options.zone_size / far, "zone_reach": options.zone_reach,
    }  # fmt: skip
    return case_from_dict({**data, "mesh": mesh})


def run(case: Case, limit: float) -> dict[str, Any]:
    """Run ``case`` [for ``limit` seconds of its time]; what came out."""
    clock, cpu = time.perf_counter(), time.process_time()
    simulation = Simulation(case)
    first = last = None
    hottest = 0.0
    for frame in simulation.frames():
        first, last = first or frame, frame
        hottest = max(hottest, frame.max_temperature)
        if frame.output:
            common.say(
                f"  {frame.time:7.1f} s {abs(frame.impedance):7.2f} ohm {frame.power:6.1f} W "
                f"{frame.max_temperature:6.1f} degC {1e6 * frame.zone_volume:7.3f} ml, "
                f"{time.perf_counter() - clock:.0f} s"
            )
        if frame.time >= limit:
            break
    assert first is not None
    assert last is not None
    device = case.electrodes[0]
    zone = zone_measures(
        simulation.mesh, simulation.state.damage.measure(case.zone.criterion), device.tip_point, device.axis
    )
    book = simulation.state
    return {
        "nodes": simulation.mesh.n_nodes, "cells": simulation.mesh.n_cells, "impedance_ohm": abs(first.impedance),
        "end_ohm": abs(last.impedance), "end_s": last.time, "zone_ml": zone["volume_ml"],
        "long_mm": zone["long_axis_mm"], "short_mm": zone["short_axis_mm"],
        "over_60_ml": volume_ml(simulation.mesh, last.temperature, 60.0), "max_c": hottest,
        "roll_off_s": book.memory.roll_off_time, "steps": book.steps,
        "delivered_j": last.energy["electrical"],
        "imbalance": abs(simulation.imbalance()) / last.energy["electrical"],
        "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - clock,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, default=CASE)
    parser.add_argument("--ready", action="store_true", help="with the generator of the case file")
    parser.add_argument("--power", type=float, default=15.0, help="W, held when not --ready")
    parser.add_argument("--duration", type=float, default=180.0, help="s, for which it is held")
    parser.add_argument("--until", type=float, default=float("inf"), help="s, where runs are cut off")
    parser.add_argument("--fineness", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument(
        "--where", choices=("all", "contacts", "zone"), default="all", help="what of the mesh becomes finer"
    )
    parser.add_argument("--out", type=Path, help="append the rows to this file, a line of JSON each")
    options = parser.parse_args()
    data = parse_yaml(read_text(options.case), str(options.case))
    if not options.ready:
        held = {"protocol": "constant_power", "power": options.power, "duration": options.duration}
        data = {**data, "generator": held}
    rows = []
    for fineness in options.fineness:
        case = refined(data, fineness, options.where)
        common.say(f"{case.name}, fineness {fineness:g}")
        row = {"case": case.name, "ready": options.ready, "where": options.where, "fineness": fineness}
        rows.append(row | run(case, options.until))
        common.emit(rows[-1], options.out)
    print(markdown(rows, COLUMNS))
    fine = rows[-1]
    for row in rows[:-1]:
        off = {key: 100 * (row[key] / fine[key] - 1) for key in COMPARED if row[key] and fine[key]}
        changes = ", ".join(f"{key} {value:+.2f} %" for key, value in off.items())
        common.say(f"fineness {row['fineness']:g} against {fine['fineness']:g}: {changes}")
    first = rows[0]["zone_ml"] / fine["zone_ml"] - 1
    sys.exit(1 if abs(100 * first) > ALLOWED else 0)


if __name__ == "__main__":
    main()
