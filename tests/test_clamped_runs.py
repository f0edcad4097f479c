"""Short runs with vessels: books, clamps, checkpoints, clots, and what the summary says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rfasim.case import Case, case_from_dict
from rfasim.checkpoint import read_checkpoint, write_checkpoint
from rfasim.frame import Frame
from rfasim.simulation import Simulation
from rfasim.summary import vessel_rows

THICK = {"name": "portal", "kind": "portal", "points": [(0.006, -0.05, 0.0), (0.006, 0.05, 0.0)], "diameter": 4e-3,
         "velocity": 0.1}  # fmt: skip
THIN = {"name": "vein", "kind": "hepatic", "points": [(-0.006, 0.05, 0.004), (-0.006, -0.05, -0.004)], "diameter": 2e-3,
        "velocity": 0.05}  # fmt: skip


def _case(*vessels: dict[str, Any], duration: float = 25.0, **changes: Any) -> Case:
    """A coarse needle run of some seconds; the first vessels stand 3 mm beside the needle."""
    return case_from_dict(
        {
            "name": "test", "electrodes": [{"device": "needle", "tip": (0, 0, -0.01), "active_length": 0.02}],
            "generator": {"protocol": "constant_power", "power": 15.0, "duration": duration},
            "domain": {"radius": 0.04, "height": 0.08}, "mesh": {"size": 8e-4, "rim_size": 5e-4},
            "output": {"frames_every": 10.0}, "vessels": list(vessels), **changes,
        }
    )  # fmt: skip


def _last(case: Case) -> tuple[Simulation, Frame]:
    simulation = Simulation(case)
    *_, frame = simulation.frames()
    return simulation, frame


CLAMP = {"pringle": [{"from": 8.0, "to": 16.0}]}


@pytest.mark.parametrize("vessels", [(THICK,), (THIN,), (THICK, THIN)], ids=["lumen", "line", "both"])
@pytest.mark.parametrize("circulation", [{}, CLAMP], ids=["open", "clamped"])
def test_energy_in_equals_energy_stored_plus_carried_off(vessels: Any, circulation: Any) -> None:
    simulation, frame = _last(_case(*vessels, circulation=circulation))
    assert abs(frame.energy["imbalance"]) <= 1e-6 * frame.energy["electrical"]
    removed = [row["heat_removed_j"] for row in vessel_rows(simulation)]
    assert sum(removed) == pytest.approx(frame.energy["vessels"], rel=1e-9)
    assert all(heat > 0 for heat in removed)


def test_steps_land_on_the_clamp_and_perfusion_stops_while_it_is_closed() -> None:
    frames = list(Simulation(_case(THICK, circulation=CLAMP)).frames())
    times = [frame.time for frame in frames]
    assert {8.0, 16.0} <= set(times)
    taken = dict(zip(times, (frame.energy["perfusion"] for frame in frames), strict=True))
    assert taken[16.0] == taken[8.0] > 0
    assert frames[-1].energy["perfusion"] > taken[16.0]


def test_a_clamp_makes_the_tissue_hotter_and_lets_blood_rest() -> None:
    open_, frame = _last(_case(THICK))
    shut, clamped = _last(_case(THICK, circulation={"pringle": "on"}))
    assert open_.blood is not None
    assert shut.blood is not None
    assert (open_.blood.regime.still, shut.blood.regime.still) == (frozenset(), {0})
    assert clamped.energy["vessels"] == clamped.energy["perfusion"] == 0.0
    assert frame.energy["vessels"] > 0
    beside = np.argmin(np.linalg.norm(shut.mesh.points - [0.004, 0.0, 0.0], axis=1))
    assert shut.state.temperature[beside] > open_.state.temperature[
        np.argmin(np.linalg.norm(open_.mesh.points - [0.004, 0.0, 0.0], axis=1))
    ]


@pytest.mark.parametrize(("inflow", "still"), [("portal", {0}), ("arterial", set())])
def test_portal_and_arterial_occlusion_stop_their_own_vessels(inflow: str, still: set[int]) -> None:
    simulation = Simulation(_case(THICK, circulation={"pringle": "on", "inflow": inflow}))
    assert simulation.blood is not None
    assert simulation.blood.regime.still == still


def test_a_run_stopped_inside_a_clamp_goes_on_to_the_same_bits(tmp_path: Any) -> None:
    case = _case(THICK, THIN, circulation=CLAMP)
    whole, end = _last(case)
    first = Simulation(case)
    for frame in first.frames():
        if frame.time > 10.0:
            break
    write_checkpoint(tmp_path, 1, first.save_state())
    found = read_checkpoint(tmp_path)
    assert found is not None
    second = Simulation(case)
    second.load_state(found[1])
    *_, resumed = second.frames()
    assert np.array_equal(resumed.temperature, end.temperature)
    assert resumed.energy == end.energy
    assert vessel_rows(second) == vessel_rows(whole)


def test_blood_that_creeps_past_the_needle_clots_and_is_closed_when_asked() -> None:
    slow = {**THICK, "points": [(0.0035, -0.05, 0.0), (0.0035, 0.05, 0.0)], "velocity": 3e-4}
    hot: dict[str, Any] = {
        "generator": {"protocol": "constant_power", "power": 40.0, "duration": 60.0}, "boiling": {"enabled": False},
    }  # fmt: skip
    reported, _ = _last(_case(slow, **hot))
    (row,) = vessel_rows(reported)
    assert (row["state"], row["patent"]) == ("thrombosed", False)
    assert reported.blood is not None
    assert reported.blood.regime.still == frozenset()
    closed, frame = _last(_case(slow, circulation={"thrombosis": "occlude"}, **hot))
    assert closed.blood is not None
    assert closed.blood.regime.still == {0}
    assert abs(frame.energy["imbalance"]) <= 1e-6 * frame.energy["electrical"]


def test_the_summary_says_of_each_vessel_what_it_is_and_what_became_of_it() -> None:
    held = {"name": "held", "points": [(0.0, 0.02, -0.05), (0.0, 0.02, 0.05)], "diameter": 4e-3, "treatment": "held"}
    simulation, _ = _last(_case(THICK, THIN, held, duration=5.0))
    thick, thin, kept = vessel_rows(simulation)
    assert [row["treatment"] for row in (thick, thin, kept)] == ["resolved", "line", "held"]
    assert thick["flow_ml_min"] == pytest.approx(0.1 * np.pi / 4 * 16 * 60, rel=1e-6)
    assert kept["flow_ml_min"] is None
    assert {"kind", "wall_max_temperature_c", "wall_max_damage", "wall_injured_mm", "blood_end_temperature_c", "state",
            "zone_distance_mm"} <= thick.keys()  # fmt: skip


def test_threads_do_not_change_a_bit() -> None:
    one, two = (_last(_case(THICK, THIN, duration=5.0, solver={"threads": n}))[1] for n in (1, 2))
    assert np.array_equal(one.temperature, two.temperature)


def test_mild_heat_raises_perfusion_and_stasis_ends_it() -> None:
    law = {"liver": {"perfusion_law": {"kind": "he_2004_stasis"}}}
    plain = _last(_case(duration=20.0, perfusion_stop=None))[1]
    risen = _last(_case(duration=20.0, perfusion_stop=None, tissues=law))[1]
    assert risen.energy["perfusion"] != pytest.approx(plain.energy["perfusion"], rel=1e-3)
    assert risen.damage["vascular_stasis"].max() > 4.6
    state = Simulation(_case(duration=20.0, perfusion_stop=None, tissues=law))
    assert state.knows_stasis
