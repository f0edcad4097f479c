"""Shielding: parallel needles driven together leave the middle between them cold, needles that take turns heat it.

Three needles at the corners of a triangle pull the current outwards. At equal voltages the three fields in the middle
add up to nothing, whatever the needles look like: it is symmetry. What is left is the field along the axis, which
vanishes too where the potential on the axis is highest. A needle that is on alone has nobody to cancel it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rfasim.case import Case, case_from_dict
from rfasim.domain import Domain, build_domain
from rfasim.simulation import Simulation

POWER, MINUTES = 45.0, 4.0  # W in the mean over time, min
ACTIVE = 0.025  # m, of each tip
NEEDLES = tuple(f"electrodes[0].needle_{number}" for number in (1, 2, 3))
TOGETHER = {"protocol": "constant_power", "power": POWER}
IN_TURNS = {"protocol": "switching_monopolar", "power": POWER, "longest": 15.0, "roll_off": {"rise": 500.0}}
AVERAGED = {
    "protocol": "switching", "power": POWER, "averaged": True, "pairs": [[[name], ["ground"]] for name in NEEDLES],
}  # fmt: skip


def _case(generator: dict[str, Any]) -> Case:
    """Three separable cooled needles, neighbours 40 mm apart; the domain is centred between their contacts."""
    cluster = {"device": "cooled_cluster", "model": "octopus", "spacing": 0.04, "tip": (0, 0, -ACTIVE / 2)}
    return case_from_dict(
        {
            "name": "shielding",
            "electrodes": [cluster],
            "generator": {**generator, "duration": 60 * MINUTES},
            "domain": {"radius": 0.06, "height": 0.12},
            "mesh": {"size": 7e-4, "rim_size": 5e-4, "grow": 0.6, "zone_size": 4e-3},
            "time": {"tolerance": 1.0},
            "output": {"frames_every": 60.0},
            "probes": [{"name": "middle", "at": (0, 0, 0)}],
        }
    )


@pytest.fixture(scope="module")
def domain() -> Domain:
    return build_domain(_case(TOGETHER))


def _densities(simulation: Simulation) -> tuple[float, float]:
    """Joule heat [W/m^3] at the start, mean over a ball of 3 mm in the middle and over one that far outside."""
    simulation.moment(0.0, simulation.state.temperature, simulation.state.temperature, 0.0)
    heat = simulation.now.sources[0]
    volume = simulation.space.node_volumes()
    found = []
    for centre in ((0.0, 0.0, 0.0), (-0.0462, 0.0, 0.0)):  # 23 mm from the nearest needle either
        near = np.linalg.norm(simulation.mesh.points - centre, axis=1) < 3e-3
        found.append(float(heat[near].sum() / volume[near].sum()))
    return found[0], found[1]


def _run(generator: dict[str, Any], domain: Domain) -> dict[str, float]:
    """What the middle gets and how warm it is at the end."""
    simulation = Simulation(_case(generator), domain=domain)
    frames = list(simulation.frames())
    last = frames[-1]
    assert last.time == 60 * MINUTES
    assert last.energy["electrical"] == pytest.approx(POWER * last.time, rel=1e-6)
    assert abs(last.energy["imbalance"]) < 1e-3 * last.energy["electrical"]
    return {"rise": last.probes["middle"] - 37.0, "hottest": max(frame.max_temperature for frame in frames)}
