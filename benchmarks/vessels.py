"""What ten vessels cost: the needle case with and without a portal tree, hepatic veins and an artery around the zone.

    python benchmarks/vessels.py [--rounds 3]

CPU seconds of whole runs, mesh included, in turn; the ratio of the medians, beside the counts that it is made of.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from common import in_turn

from rfasim.case import load_case
from rfasim.frame import Frame
from rfasim.simulation import Simulation

NEEDLE = Path(__file__).resolve().parents[1] / "cases" / "needle.yaml"
VESSELS = """[
  {name: portal, kind: portal, points: [[-40 mm, -60 mm, 20 mm], [-20 mm, 0 mm, 10 mm]], diameter: 8 mm, velocity: 13 cm/s},
  {name: portal a, kind: portal, diameter: 5 mm, points: [[-20 mm, 0 mm, 10 mm], [-14 mm, 20 mm, 4 mm], [-10 mm, 60 mm, 0 mm]]},
  {name: portal b, kind: portal, diameter: 4 mm, points: [[-20 mm, 0 mm, 10 mm], [0 mm, 14 mm, 20 mm], [30 mm, 30 mm, 50 mm]]},
  {name: portal a1, kind: portal, diameter: 2 mm,
   points: [[-14 mm, 20 mm, 4 mm], [-4 mm, 14 mm, -10 mm], [20 mm, 12 mm, -30 mm]]},
  {name: portal b1, kind: portal, diameter: 2.5 mm, points: [[0 mm, 14 mm, 20 mm], [14 mm, 8 mm, 10 mm], [50 mm, 10 mm, 0 mm]]},
  {name: hepatic, kind: hepatic, diameter: 6 mm, velocity: 6 cm/s,
   points: [[20 mm, -10 mm, -50 mm], [16 mm, -8 mm, 0 mm], [10 mm, -30 mm, 55 mm]]},
  {name: hepatic 1, kind: hepatic, diameter: 2.5 mm, points: [[50 mm, 0 mm, 5 mm], [30 mm, -4 mm, 2 mm], [16 mm, -8 mm, 0 mm]]},
  {name: hepatic 2, kind: hepatic, diameter: 2 mm,
   points: [[-10 mm, -10 mm, -30 mm], [4 mm, -14 mm, -10 mm], [16 mm, -8 mm, 0 mm]]},
  {name: artery, kind: artery, diameter: 1.5 mm, velocity: 20 cm/s,
   points: [[-36 mm, -60 mm, 26 mm], [-16 mm, 2 mm, 16 mm], [-6 mm, 12 mm, 10 mm]]},
  {name: artery 1, kind: artery, diameter: 1 mm, points: [[-6 mm, 12 mm, 10 mm], [4 mm, 8 mm, -4 mm]]},
]"""  # noqa: E501  (a vessel a line)
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
