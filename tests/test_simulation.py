"""The coupled loop: the same bits again, resumable, within the generator's limits, balanced, stopped by roll-off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rfasim.case import Case, case_from_dict
from rfasim.checkpoint import read_checkpoint, write_checkpoint
from rfasim.errors import RunError
from rfasim.frame import Frame
from rfasim.generator import operate
from rfasim.simulation import Simulation
from rfasim.solver import space


def _case(**changes: Any) -> Case:
    """A short needle run on a mesh of a thousand nodes."""
    data: dict[str, Any] = {
        "name": "test",
        "electrodes": [{"device": "needle", "tip": (0, 0, -0.015)}],
        "generator": {"protocol": "constant_power", "power": 20.0, "duration": 20.0},
        "domain": {"axisymmetric": True, "radius": 0.04, "height": 0.08},
        "mesh": {"size": 7e-4, "rim_size": 3.5e-4},
        "output": {"frames_every": 10.0},
    }
    if "protocol" in changes.get("generator", {}):
        data["generator"] = {"duration": 20.0}
    for key, value in changes.items():
        both = isinstance(data.get(key), dict) and isinstance(value, dict)
        data[key] = {**data[key], **value} if both else value
    return case_from_dict(data)


def _frames(case: Case) -> list[Frame]:
    return list(Simulation(case).frames())


def _same_bits(a: Frame, b: Frame) -> bool:
    fields = ("temperature", "potential", "water_lost")
    numbers = ("time", "step", "power", "voltage", "current", "impedance", "zone_volume", "max_temperature", "energy")
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in fields)
        and all(np.array_equal(a.damage[name], b.damage[name]) for name in a.damage)
        and all(getattr(a, name) == getattr(b, name) for name in numbers)
    )


BOILING = {"generator": {"protocol": "constant_power", "power": 40.0, "duration": 30.0}}
VARYING = {
    "tissues": {"liver": {
        "thermal_conductivity_law": {"kind": "guntur_2013"}, "heat_capacity_law": {"kind": "haemmerich_2006"},
        "coagulation_gain": 1.143,
    }},
    "generator": {"protocol": "constant_voltage", "voltage": 40.0, "duration": 10.0},
    "boiling": {"returning_fraction": 0.3},
}  # fmt: skip


def test_the_same_case_gives_the_same_bits():
    a, b = _frames(_case(**BOILING)), _frames(_case(**BOILING))
    assert len(a) == len(b)
    assert max(frame.max_temperature for frame in a) > 99.0  # boiling is part of it
    assert all(_same_bits(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("changes", [BOILING, VARYING], ids=["boiling", "varying laws"])
@pytest.mark.parametrize("after", [1, 7])
def test_a_run_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, changes, after):
    whole = _frames(_case(**changes))
    first = Simulation(_case(**changes))
    for _, frame in zip(range(after + 1), first.frames(), strict=False):
        last = frame
    write_checkpoint(tmp_path, 1, first.save_state())
    found = read_checkpoint(tmp_path)
    assert found is not None
    second = Simulation(_case(**changes))
    second.load_state(found[1])
    rest = list(second.frames())
    k = next(i for i, frame in enumerate(whole) if frame.time == last.time)
    assert k == after
    assert len(rest) == len(whole) - k - 1
    assert all(_same_bits(x, y) for x, y in zip(rest, whole[k + 1 :], strict=True))
    assert second.state.steps == len(whole) - 1


def test_a_checkpoint_of_another_mesh_is_refused():
    simulation = Simulation(_case())
    next(simulation.frames())
    other = Simulation(_case(mesh={"size": 6e-4}))
    with pytest.raises(RunError, match="another mesh"):
        other.load_state(simulation.save_state())


def test_a_checkpoint_that_an_older_version_wrote_is_refused():
    simulation = Simulation(_case())
    next(simulation.frames())
    saved = simulation.save_state()
    del saved["iterations"]
    with pytest.raises(RunError, match="another version of rfasim"):
        Simulation(_case()).load_state(saved)


def test_one_and_two_threads_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(space, "PIECE_CELLS", 300)
    runs = [_frames(_case(**VARYING, solver={"threads": threads})) for threads in (1, 2)]
    assert Simulation(_case()).space.n_pieces > 4
    assert len(runs[0]) == len(runs[1])
    assert all(_same_bits(x, y) for x, y in zip(*runs, strict=True))


@pytest.mark.parametrize(
    ("source", "limited_by"),
    [
        ({"protocol": "constant_voltage", "voltage": 15.0}, ""),
        ({"protocol": "constant_voltage", "voltage": 30.0, "max_current": 0.2}, "current"),
        ({"protocol": "constant_voltage", "voltage": 30.0, "max_power": 3.0}, "power"),
        ({"protocol": "constant_current", "current": 0.15}, ""),
        ({"protocol": "constant_current", "current": 0.5, "max_voltage": 12.0}, "voltage"),
        ({"protocol": "constant_current", "current": 0.5, "max_power": 3.0}, "power"),
        ({"protocol": "constant_power", "power": 3.0}, ""),
        ({"protocol": "constant_power", "power": 10.0, "max_voltage": 12.0}, "voltage"),
        ({"protocol": "constant_power", "power": 10.0, "max_current": 0.15}, "current"),
    ],
    ids=lambda value: "-".join(str(v) for v in value.values()) if isinstance(value, dict) else value,
)
def test_every_step_is_at_the_sources_operating_point(source, limited_by):
    case = _case(generator={"duration": 4.0} | source, mesh={"size": 7e-4, "rim_size": 7e-4})
    program = case.generator.program(case.connection, case.terminals)
    quantity, value = program.setpoint(program.begin(), 0.0, 100.0)
    for frame in _frames(case):
        wanted = operate(quantity, value, case.generator.limits, 1 / frame.impedance)
        assert frame.voltage == pytest.approx(wanted.voltage, rel=1e-12)
        assert frame.current == pytest.approx(frame.voltage / abs(frame.impedance), rel=1e-9)
        assert frame.power == pytest.approx(frame.voltage**2 * (1 / frame.impedance).real, rel=1e-9)
        assert frame.limited_by == limited_by


def test_output_frames_land_on_their_times_and_the_run_on_its_end():
    frames = _frames(_case(generator={"duration": 25.0}, output={"frames_every": 10.0}))
    assert [frame.time for frame in frames if frame.output] == [0.0, 10.0, 20.0, 25.0]
    assert np.all(np.diff([frame.time for frame in frames]) > 0)


def test_first_frame_is_the_untouched_tissue_under_voltage():
    first = _frames(_case(generator={"duration": 1.0}))[0]
    assert (first.time, first.step, first.zone_volume) == (0.0, 0.0, 0.0)
    assert np.all(first.temperature == 37.0)
    assert first.power == pytest.approx(20.0)
    # displacement current in liver at 480 kHz is 0.52 of the conduction current (Gabriel 1996)
    assert math.degrees(np.angle(first.impedance)) == pytest.approx(-math.degrees(math.atan(0.5236)), abs=0.1)


def test_roll_off_stops_the_run_and_tells_when():
    simulation = Simulation(_case(generator={"power": 60.0, "duration": 300.0}, mesh={"size": 7e-4, "rim_size": 7e-4}))
    frames = list(simulation.frames())
    last, before = frames[-1], frames[-2]
    assert last.rolled_off
    assert not before.rolled_off
    assert last.output
    assert simulation.state.memory.roll_off_time == last.time < 300.0
    lowest = min(abs(frame.impedance) for frame in frames)
    assert abs(last.impedance) >= lowest + 30.0 > abs(before.impedance)
    # found to a tenth of a second or to the smallest step that the books allow
    assert last.step <= 0.11
    assert last.water_lost.max() > 0.5


def test_roll_off_comes_no_later_for_the_size_of_the_steps():
    """While a contact dries node by node a step is found too long though the changes of the heat cancel."""

    def roll_off(**time: Any) -> float:
        generator = {"protocol": "constant_power", "power": 30.0, "duration": 60.0}
        mesh = {"size": 3e-4, "rim_size": 1e-4, "grow": 0.3}
        return _frames(_case(generator=generator, mesh=mesh, time=time, output={"frames_every": 60.0}))[-1].time

    small = roll_off(max_step=0.25)
    assert 20.0 < small < 50.0
    assert roll_off() == pytest.approx(small, rel=0.01)


def test_a_run_that_does_not_stop_at_roll_off_goes_on_and_remembers_it():
    source = {"power": 60.0, "duration": 40.0, "roll_off": {"rise": 5.0, "stop": False}}
    simulation = Simulation(_case(generator=source, mesh={"size": 7e-4, "rim_size": 7e-4}))
    *_, last = simulation.frames()
    assert last.rolled_off
    assert last.time == 40.0
    assert simulation.state.memory.roll_off_time is not None
    assert simulation.state.memory.roll_off_time < 40.0


@pytest.mark.parametrize(
    "changes",
    [
        {"electrodes": [{"device": "needle", "tip": (0, 0, -0.015), "thermal": {"kind": "wall", "temperature": 15.0}}]},
        {"electrodes": [{"device": "needle", "tip": (0, 0, -0.015),
                         "thermal": {"kind": "coolant", "temperature": 10.0, "h": 3000.0}}]},
        {"electrodes": [{"device": "needle", "tip": (0, 0, -0.015), "thermal": {"kind": "metal"}}]},
        {"domain": {"thermal_boundary": {"kind": "far_field"}, "electric_boundary": {"kind": "far_field"}}},
        {"domain": {"thermal_boundary": {"kind": "insulated"}}, "tissues": {"liver": {"metabolic_heat": 1000.0}}},
        BOILING,
        VARYING,
    ],
    ids=["wall", "coolant", "metal", "far field", "metabolism", "boiling", "varying"],
)  # fmt: skip
def test_energy_in_is_energy_stored_plus_carried_off(changes):
    frames = _frames(_case(**changes))
    last = frames[-1]
    books = last.energy
    assert books["electrical"] > 50.0
    assert abs(books["imbalance"]) < 1e-6 * books["electrical"]
    assert books["stored"] > 0 or books["coolant"] > books["electrical"]
    if "electrodes" in changes and changes["electrodes"][0]["thermal"]["kind"] != "metal":
        assert books["coolant"] > 10.0
    if changes is BOILING:
        assert books["latent"] > 0
    if "metabolic_heat" in str(changes):
        volume = math.pi * 0.04**2 * 0.08
        assert books["metabolic"] == pytest.approx(1000.0 * volume * last.time, rel=0.01)
        assert books["boundary"] == 0.0


def test_a_cooled_wall_keeps_its_temperature_and_a_meshed_metal_warms_evenly():
    wall = {"device": "needle", "tip": (0, 0, -0.015), "thermal": {"kind": "wall", "temperature": 15.0}}
    simulation = Simulation(_case(electrodes=[wall]))
    *_, last = simulation.frames()
    contact = simulation.domain.contacts[0]
    assert np.all(last.temperature[contact] == 15.0)
    assert last.max_temperature > 45.0
    metal = {"device": "needle", "tip": (0, 0, -0.015), "thermal": {"kind": "metal"}}
    simulation = Simulation(_case(electrodes=[metal]))
    *_, last = simulation.frames()
    assert np.all(simulation.potential.fields[0][simulation.domain.contacts[0]] == 1.0)
    inside = simulation.metal_of_port[0]
    assert len(inside) > 0
    assert np.all(np.abs(last.potential[inside]) == pytest.approx(last.voltage))


def test_perfusion_cools_and_stops_where_tissue_has_coagulated():
    with_blood, stopped, without = (
        _frames(_case(generator={"power": 12.0, "duration": 60.0}, perfusion_stop=stop, tissues=tissues))[-1]
        for stop, tissues in (
            (None, {"liver": {"perfusion": 0.02}}),
            ("isotherm_50", {"liver": {"perfusion": 0.02}}),
            (None, {"liver": {"perfusion": 0.0}}),
        )
    )
    assert with_blood.max_temperature < stopped.max_temperature < without.max_temperature
    assert with_blood.energy["perfusion"] > stopped.energy["perfusion"] > 0.0
    assert without.energy["perfusion"] == 0.0


def test_tighter_tolerance_takes_more_steps_and_comes_closer():
    def run(tolerance: float) -> tuple[int, np.ndarray]:
        frames = _frames(_case(generator={"power": 8.0}, time={"tolerance": tolerance}, boiling={"enabled": False}))
        return len(frames), frames[-1].temperature

    (few, loose), (more, tight), (_, reference) = run(1.0), run(0.05), run(0.002)
    assert few < more
    assert np.abs(tight - reference).max() < 0.5 * np.abs(loose - reference).max()
    assert np.abs(tight - reference).max() < 0.1
