"""What ten vessels cost: the needle case with and without a portal tree, hepatic veins and an artery around the zone.

    python benchmarks/vessels.py [--rounds 3]

CPU seconds of whole runs, mesh included, in turn; the ratio of the medians, beside the counts that it is made of.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from common import in_turn

from rfasim.bench.problems import VESSELS
from rfasim.case import load_case
from rfasim.frame import Frame
from rfasim.simulation import Simulation

NEEDLE = Path(__file__).resolve().parents[1] / "cases" / "needle.yaml"
SETS = {
    "no vessel": [],
    "ten vessels, four of them meshed": [("vessels", VESSELS)],
    "ten vessels, all lines": [("vessels", VESSELS), ("circulation.resolve_from", "20 mm")],
}


def tell(simulation: Simulation, frame: Frame) -> str:
    """The counts that a run's time is made of, and what came of it."""
    iterations = simulation.heat_system.iterations, simulation.potential.system.iterations
    return (
        f"{simulation.mesh.n_nodes} nodes, {simulation.state.steps} steps, "
        f"{simulation.state.newton} rounds, {iterations[0]} + {iterations[1]} iterations of heat + potential, "
        f"zone {1e6 * frame.zone_volume:.2f} ml, {frame.energy['vessels']:.0f} J to vessels, "
        f"imbalance {abs(frame.energy['imbalance']) / frame.energy['electrical']:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    list(Simulation(load_case(NEEDLE, [("generator.duration", "5 s"), *SETS["ten vessels, all lines"]])).frames())
    in_turn({name: partial(load_case, NEEDLE, changes) for name, changes in SETS.items()}, options.rounds, tell)


if __name__ == "__main__":
    main()
