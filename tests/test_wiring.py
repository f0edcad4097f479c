"""Contacts, protocols and deployment through the whole program: mesh, potential, generator, heat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rfasim.case import Case, case_from_dict
from rfasim.errors import InputError
from rfasim.frame import Frame
from rfasim.simulation import Simulation

AXIAL = {"shape": "cylinder", "radius": 0.04, "height": 0.1, "axisymmetric": True}
COARSE = {"size": 4e-4, "rim_size": 2e-4, "max_size": 0.008}
BIPOLAR = {"device": "bipolar_needle", "model": "celon_t30", "tip": (0.0, 0.0, -0.015)}
TREE = {
    "device": "christmas_tree", "tip": (0.0, 0.0, 0.0), "tines": 3, "tine_diameter": 6e-4, "trocar_contact": 0.004,
    "extensions": (0.008, 0.012), "thermocouple_tines": 3,
}  # fmt: skip


def make(electrode: dict[str, Any] = BIPOLAR, **more: Any) -> Case:
    data: dict[str, Any] = {
        "name": "wired", "electrodes": [electrode], "domain": AXIAL, "mesh": COARSE, "outside_band": True,
        "generator": {"protocol": "constant_power", "power": 10.0, "duration": 5.0},
    }  # fmt: skip
    return case_from_dict(data | more)


def first(case: Case) -> Frame:
    return next(Simulation(case).frames())


def ohms(**electric: Any) -> float:
    return abs(first(make(electric=electric)).impedance)


DISTAL, PROXIMAL = "electrodes[0].distal", "electrodes[0].proximal"


def test_a_bipolar_device_is_wired_between_its_contacts_unless_stated() -> None:
    assert make().connection.source == (DISTAL,)
    assert make().connection.returns == (PROXIMAL,)
    assert ohms() == pytest.approx(ohms(source=[PROXIMAL], returns=[DISTAL]), rel=1e-9)


def test_metal_that_floats_shunts_the_tissue_and_a_covered_contact_does_not() -> None:
    floating = ohms(source=[DISTAL], returns=["ground"])
    covered = ohms(source=[DISTAL], returns=["ground"], insulated=[PROXIMAL])
    together = ohms(source=[DISTAL, PROXIMAL], returns=["ground"])
    assert together < floating < 0.999 * covered


def test_no_net_current_leaves_a_pair() -> None:
    simulation = Simulation(make())
    frame = next(simulation.frames())
    v = np.array([1.0, 0.0]) if simulation.ports[0] == (DISTAL,) else np.array([0.0, 1.0])
    on_contacts = [frame.potential[simulation.potential.ports[k]].mean() for k in range(2)]
    currents = simulation.potential.admittance @ np.array(on_contacts)
    assert abs(currents.sum()) < 1e-9 * abs(currents[0])
    assert abs(currents @ v) == pytest.approx(frame.current, rel=1e-6)


def test_the_smaller_the_pad_and_the_further_the_higher_the_impedance() -> None:
    def with_pad(z: float, radius: float) -> float:
        domain = AXIAL | {"pad": {"at": (0.0, 0.0, z), "radius": radius}}
        return abs(first(make(domain=domain, electric={"source": [DISTAL], "returns": ["ground"]})).impedance)

    all_round = ohms(source=[DISTAL], returns=["ground"])
    assert all_round < with_pad(-0.05, 0.03) < with_pad(-0.05, 0.01)


def test_a_pad_on_a_grounded_boundary_or_beside_the_surface_is_refused() -> None:
    pad = {"at": (0.0, 0.0, -0.05), "radius": 0.01}
    with pytest.raises(InputError, match="is the ground, but so is electric_boundary"):
        make(domain=AXIAL | {"pad": pad, "electric_boundary": {"kind": "ground"}})
    with pytest.raises(InputError, match="covers no facet"):
        first(make(domain=AXIAL | {"pad": pad | {"at": (0.0, 0.0, 0.0)}}, electric={"returns": ["ground"]}))


def test_mean_heat_of_switched_pairs_is_that_of_each_pair_in_turn() -> None:
    potential = Simulation(make()).potential
    potential.solve(np.full(potential.space.n_cells, 0.2 + 0.1j))
    random = np.random.default_rng(3)
    rows = random.normal(size=(5, 2)) + 1j * random.normal(size=(5, 2))
    shares = random.dirichlet(np.ones(5))
    heat, beyond = potential.joule(rows, list(shares))
    parts = [potential.joule(row) for row in rows]
    wanted = sum(share * part for share, (part, _) in zip(shares, parts, strict=True))
    assert np.allclose(heat, wanted, rtol=1e-10, atol=1e-12 * np.max(wanted))
    assert beyond == pytest.approx(sum(s * b for s, (_, b) in zip(shares, parts, strict=True)))


def test_steps_land_on_the_edges_of_a_table_and_the_books_follow_it() -> None:
    phases = [
        {"name": "low", "power": 3.0, "lasts": 2.5},
        {"name": "off", "off": True, "lasts": 1.5},
        {"name": "ramp", "power": 2.0, "ramp": 1.0, "lasts": 4.0, "then": "stop"},
    ]
    frames = list(Simulation(make(generator={"protocol": "table", "phases": phases, "duration": 60.0})).frames())
    times = [frame.time for frame in frames]
    assert {2.5, 4.0, 8.0} <= set(times)
    assert times[-1] == 8.0
    wanted = 3.0 * 2.5 + 4.0 * (2.0 + 6.0) / 2
    assert frames[-1].energy["electrical"] == pytest.approx(wanted, rel=1e-9)
    assert abs(frames[-1].energy["imbalance"]) < 1e-6 * wanted
    assert [frame.phase for frame in frames if frame.time in (2.0, 3.9, 8.0)][-1] == "ramp"


def test_temperature_control_reaches_its_target_and_stays() -> None:
    needle = {"device": "needle", "tip": (0.0, 0.0, -0.015), "thermal": {"kind": "adiabatic"}}
    control = {
        "protocol": "temperature", "target": 80.0, "power": 30.0, "gain": 1.0, "integral_gain": 0.05,
        "stages": [{"stage": 0, "hold": 60.0}], "duration": 400.0,
    }  # fmt: skip
    simulation = Simulation(make(needle, generator=control))
    frames = list(simulation.frames())
    held = [f.probes["electrodes[0].tip"] for f in frames if f.phase.startswith("hold")]
    assert simulation.state.memory.finished == "time"
    assert max(abs(T - 80.0) for T in held) < 2.5  # a PI control swings a little
    assert held[-1] == pytest.approx(80.0, abs=1.5)
    assert simulation.state.steps < 120  # it once took 38 000


def staged(**more: Any) -> Simulation:
    generator = {
        "protocol": "temperature", "target": 60.0, "power": 30.0, "gain": 1.0, "integral_gain": 0.05,
        "stages": [{"stage": 0, "hold": 2.0}, {"stage": 1, "hold": 3.0}], "duration": 120.0,
    }  # fmt: skip
    domain = {"shape": "cylinder", "radius": 0.03, "height": 0.07}
    mesh = {"max_size": 0.008, "zone_size": 0.004, "grow": 0.7}
    return Simulation(make(TREE, domain=domain, mesh=mesh, generator=generator, **more))


def test_tines_that_are_pushed_out_lower_the_impedance_and_a_resumed_run_goes_on_to_the_same_bits() -> None:
    simulation = staged()
    frames, saved = [], None
    for frame in simulation.frames():
        frames.append(frame)
        if saved is None and simulation.stage == 1:
            saved, at = simulation.save_state(), len(frames)
    before = [abs(f.impedance) for f in frames if f.phase.endswith("1")][-1]
    after = [abs(f.impedance) for f in frames if f.phase.endswith("2")][-1]
    assert after < 0.95 * before
    assert saved is not None
    assert abs(frames[-1].energy["imbalance"]) < 1e-6 * frames[-1].energy["electrical"]
    again = staged()
    again.load_state(saved)
    rest = list(again.frames())
    assert [f.time for f in rest] == [f.time for f in frames[at:]]
    assert np.array_equal(rest[-1].temperature, frames[-1].temperature)
    assert rest[-1].energy == frames[-1].energy


def test_threads_do_not_change_the_bits() -> None:
    one = list(Simulation(make(generator={"protocol": "constant_power", "power": 20.0, "duration": 2.0})).frames())
    generator = {"protocol": "constant_power", "power": 20.0, "duration": 2.0}
    two = list(Simulation(make(generator=generator, solver={"threads": 2})).frames())
    assert np.array_equal(one[-1].temperature, two[-1].temperature)


def test_power_beyond_what_the_electrode_is_made_for_is_refused() -> None:
    with pytest.raises(InputError, match="more than the 40 W that the electrodes are made for"):
        make(generator={"protocol": "constant_power", "power": 50.0}, outside_band=False)


@pytest.mark.parametrize(
    ("electric", "message"),
    [
        ({"source": ["electrodes[0].tip"]}, "is no contact"),
        ({"source": [DISTAL, DISTAL]}, "is named already"),
        ({"source": [DISTAL], "returns": [DISTAL]}, "is named already"),
        ({"source": ["ground"]}, "is no contact"),
        ({"insulated": [DISTAL], "returns": [PROXIMAL]}, "is empty"),
    ],
)
def test_bad_wiring_is_refused(electric: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(electric=electric)


def test_a_stage_or_a_thermocouple_that_is_not_there_is_refused() -> None:
    control = {"protocol": "temperature", "target": 60.0, "power": 30.0, "stages": [{"stage": 2, "hold": 2.0}]}
    with pytest.raises(InputError, match="asks for deployment stage 2, but the last one of the electrodes is 1"):
        make(TREE, domain={"shape": "cylinder"}, mesh={}, generator=control)
    with pytest.raises(InputError, match="no electrode has a thermocouple"):
        make(generator=control)


