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

POWER, MINUTES = 30.0, 2.0  # W in the mean over time, min
ACTIVE = 0.025  # m, of each tip
NEEDLES = tuple(f"electrodes[0].needle_{number}" for number in (1, 2, 3))
TOGETHER = {"protocol": "constant_power", "power": POWER}
IN_TURNS = {"protocol": "switching_monopolar", "power": POWER, "longest": 20.0, "roll_off": {"rise": 500.0}}
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
            "domain": {"radius": 0.055, "height": 0.09},
            "mesh": {"size": 7e-4, "rim_size": 7e-4, "grow": 0.8, "zone_size": 4e-3, "zone_reach": 0.005},
            "time": {"tolerance": 1.0},
            "output": {"frames_every": 60.0},
            "probes": [{"name": "middle", "at": (0, 0, 0)}],
        }
    )


@pytest.fixture(scope="module")
def domain() -> Domain:
    return build_domain(_case(TOGETHER))


def _joule_density(simulation: Simulation, centre: tuple[float, float, float]) -> float:
    """Joule heat [W/m^3] at the start, mean over the nodes within 4 mm of a point."""
    heat, volume = simulation.now.sources[0], simulation.node_volume
    near = np.linalg.norm(simulation.mesh.points - np.array(centre), axis=1) < 4e-3
    assert near.any()
    return float(heat[near].sum() / volume[near].sum())


def _started(generator: dict[str, Any], domain: Domain) -> Simulation:
    simulation = Simulation(_case(generator), domain=domain)
    next(simulation.frames())
    return simulation


def test_needles_driven_together_put_no_heat_into_the_middle(domain):
    together, averaged = _started(TOGETHER, domain), _started(AVERAGED, domain)
    middle, outside = (0.0, 0.0, 0.0), (-0.0462, 0.0, 0.0)  # each 23 mm from the nearest needle
    assert together.now.reading.power == pytest.approx(POWER)
    assert averaged.now.reading.power == pytest.approx(POWER)
    # exactly nothing, but for the mesh and for the nodes being within 4 mm of the middle
    assert _joule_density(together, middle) < 0.02 * _joule_density(averaged, middle)
    # the shield is not free: what is missing in the middle is outside
    assert _joule_density(together, middle) < 0.02 * _joule_density(together, outside)
    assert _joule_density(together, outside) > 1.5 * _joule_density(averaged, outside)


def test_averaged_turns_heat_the_middle_as_each_turn_does(domain):
    """The heat is the mean of three patterns that agree in the middle, as far as the mesh is alike from there."""
    first, averaged = _started(IN_TURNS, domain), _started(AVERAGED, domain)
    middle = (0.0, 0.0, 0.0)
    assert _joule_density(averaged, middle) == pytest.approx(_joule_density(first, middle), rel=0.15)


def _rise(generator: dict[str, Any], domain: Domain) -> float:
    """How much warmer [K] the middle is at the end, at the same power and time for all."""
    last = list(Simulation(_case(generator), domain=domain).frames())[-1]
    assert last.time == 60 * MINUTES
    assert last.energy["electrical"] == pytest.approx(POWER * last.time, rel=1e-6)
    assert abs(last.energy["imbalance"]) < 1e-3 * last.energy["electrical"]
    return float(last.probes["middle"] - 37.0)


def test_switched_needles_heat_the_middle_that_simultaneous_ones_leave_cold(domain):
    together, in_turns, averaged = (_rise(generator, domain) for generator in (TOGETHER, IN_TURNS, AVERAGED))
    assert together < 0.3 * averaged
    assert together < 0.3 * in_turns
    assert in_turns == pytest.approx(averaged, rel=0.1)  # turns are short against the time heat takes to spread
