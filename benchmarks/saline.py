"""What an infusion costs: the same run without and with saline that a needle lets out, in turn.

    python benchmarks/saline.py [--rounds 3]

CPU seconds of whole runs, mesh included; the ratio of the medians, beside the counts that it is made of. Powers are so
low that neither run rolls off, so that both simulate the same time; at 15 W nothing boils, at 30 W the dry run does.
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial

from common import in_turn

from rfasim.bench.problems import AXISYMMETRIC, problem
from rfasim.case import Case
from rfasim.frame import Frame
from rfasim.simulation import Simulation

PLACES: dict[str, dict[str, str]] = {"half plane": AXISYMMETRIC, "three dimensions": {}}
POWERS = ("15 W", "30 W")
INFUSIONS = {"dry": "0 ml/min", "1 ml/min of 5 %": "1 ml/min"}


def case(changes: dict[str, str], power: str, rate: str, duration: str) -> Case:
    """A perfused-cooled needle in perfused liver; the infusion begins a minute before."""
    own = {"generator.power": power, "generator.duration": duration, "saline.infusions.0.rate": rate}
    return problem("saline", {**changes, **own})


def tell(simulation: Simulation, frame: Frame) -> str:
    """The counts that a run's time is made of, and what came of it."""
    state, skew = simulation.state, simulation.stepper.skew
    iterations = simulation.heat_system.iterations + (0 if skew is None else skew.iterations)
    salt = 0.0
    if simulation.wetting is not None and state.pores is not None:
        salt = abs(simulation.wetting.model.imbalance(state.pores))
    counts = f"{state.steps} steps, {state.newton} rounds, {iterations} iterations of heat"
    books = abs(frame.energy["imbalance"]) / frame.energy["electrical"]
    return (
        f"{simulation.mesh.n_nodes} nodes, {counts}, zone {1e6 * frame.zone_volume:.2f} ml, "
        f"{abs(frame.impedance):.1f} ohm, imbalance {books:.0e}, of salt {salt:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", default="12 min")
    options = parser.parse_args()
    for (place, changes), power in itertools.product(PLACES.items(), POWERS):
        list(Simulation(case(changes, power, "1 ml/min", "5 s")).frames())  # compiles
        cases = {name: partial(case, changes, power, rate, options.duration) for name, rate in INFUSIONS.items()}
        in_turn(cases, options.rounds, tell, f"{place}, {power}, ")


if __name__ == "__main__":
    main()
