"""Protocols on a lump of tissue: traces like those of real generators; the catalogue; what is refused.

The lump (no space, one temperature, one dryness) does what tissue does: its impedance falls as it warms, rises as the
contact dries, and falls again when the power is off. Its numbers are made up so that it takes 20 to 60 W.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jsonschema
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rfasim.complaints import complaints
from rfasim.errors import InputError
from rfasim.generator import GROUND, Connection, Memory, Program, Reading, operate
from rfasim.presets import PROTOCOLS
from rfasim.protocols import Generator
from rfasim.quantities import Record

NEEDLE = "electrodes[0].contact"
MONOPOLAR = Connection((NEEDLE,), (GROUND,))
ADAPTER: TypeAdapter[Any] = TypeAdapter(Generator)


class Holder(Record):
    generator: Generator


def source(**data: Any) -> Any:
    """A protocol as a case file gives it."""
    return ADAPTER.validate_python(data, context={"from_file": True})


def preset(name: str, **changes: Any) -> Any:
    return source(preset=name, **changes)


# ------------------------------------------------------------------------------------------------ a lump of tissue


@dataclass(frozen=True)
class Lump:
    """Tissue around a contact; ``boils`` [W] is what it stands before the contact dries."""

    impedance_37: float = 100.0  # ohm
    heat_capacity: float = 60.0  # J/K
    conductance: float = 0.5  # W/K: in the long run 1 W warms by 2 K
    boils: float = 35.0  # W
    drying: float = 4.0  # s
    wetting: float = 5.0  # s
    temperature: float = 37.0
    dryness: float = 0.0

    @property
    def impedance(self) -> complex:
        wet = self.impedance_37 / (1 + 0.015 * (min(self.temperature, 100.0) - 37.0))
        return wet * (1 + 8.0 * self.dryness**2) * (1 - 0.2j)

    def after(self, power: float, dt: float) -> Lump:
        """The same tissue after ``power`` [W] for ``dt`` [s]."""
        T, dry = self.temperature, self.dryness
        n = max(1, math.ceil(dt / 0.05))
        for _ in range(n):
            T += dt / n * (power - self.conductance * (T - 37.0)) / self.heat_capacity
            hot = max(0.0, T - 70.0) / 30.0  # only warm tissue dries
            rate = hot * max(0.0, power / self.boils - 1.0) / self.drying - dry / self.wetting
            dry = min(1.0, max(0.0, dry + dt / n * rate))
        return dataclasses.replace(self, temperature=T, dryness=dry)


@dataclass
class Trace:
    """What a run left: one entry a step, and the generator's last memory."""

    program: Program
    memory: Memory
    readings: list[Reading]
    phases: list[str]
    connections: list[int]

    def at(self, time: float) -> Reading:
        """The reading at ``time``, the one behind a jump."""
        return min(reversed(self.readings), key=lambda r: abs(r.time - time))

    def stays(self, phase: str) -> list[tuple[float, float]]:
        """From when to when each stay in ``phase`` was."""
        entered, found, now = 0.0, [], self.program.phases[0].name
        for time, left, to, _ in self.memory.events:
            if left == to:
                continue
            if left == phase:
                found.append((entered, time))
            entered, now = time, to
        return found if now != phase else [*found, (entered, self.memory.time)]

    def power_in(self, phase: str) -> list[float]:
        return [r.power for r, name in zip(self.readings, self.phases, strict=True) if name == phase]


def drive(program: Program, lumps: Sequence[Lump | Ball] = (Lump(),), step: float = 0.5, memory: Memory | None = None,
          stop_after: float = math.inf) -> Trace:  # fmt: skip
    """Run ``program`` as the coupled loop does: land on edges, locate what readings set off, look behind jumps.

    ``lumps``: what each connection sees. Temperatures are those of the lumps.
    """
    tissue = list(lumps)

    def look(memory: Memory, time: float, tissue: list[Any]) -> Reading:
        temperatures = tuple(lump.temperature for lump in tissue)
        power = current = voltage = 0.0
        for index, share in program.shares(memory):
            y = 1 / tissue[index].impedance
            quantity, value = program.setpoint(memory, time, abs(1 / y), temperatures)
            one = operate(quantity, value, program.limits, y, time)
            power, current, voltage = (
                power + share * one.power, current + share * one.current, voltage + share * one.voltage
            )  # fmt: skip
            impedance, limited = one.impedance, one.limited_by
        return Reading(time, voltage, current, power, impedance, limited, temperatures)

    def moved(memory: Memory, began: Reading, ended: Reading, dt: float) -> list[Any]:
        out = list(tissue)
        shares = dict(program.shares(memory))
        for index in range(len(out)):
            # a connection's own power while its turn is on: equal for all here
            out[index] = out[index].after(shares.get(index, 0.0) * 0.5 * (began.power + ended.power), dt)
        return out

    memory = program.begin() if memory is None else memory
    now = look(memory, memory.time, tissue)
    memory = program.observe(memory, now)
    trace = Trace(program, memory, [now], [program.phases[memory.phase].name], [program.shares(memory)[0][0]])
    while not memory.finished and memory.time < stop_after:
        h = min(step, program.edge(memory) - memory.time)
        assert h > 0, "an edge lies behind"
        while True:
            end = look(memory, memory.time + h, moved(memory, now, now, h))
            reached = moved(memory, now, end, h)
            end = look(memory, memory.time + h, reached)
            if program.excess(memory, end) < 0 or h <= 0.01:
                break
            h /= 2
        tissue = reached
        before = memory
        memory = program.observe(memory, end)
        trace.readings.append(end)
        trace.phases.append(program.phases[before.phase].name)
        trace.connections.append(program.shares(before)[0][0])
        now = end
        if memory.power is None and not memory.finished:
            now = look(memory, memory.time, tissue)
            memory = program.observe(memory, now)
            trace.readings.append(now)
            trace.phases.append(program.phases[memory.phase].name)
            trace.connections.append(program.shares(memory)[0][0])
    trace.memory = memory
    return trace


def run(generator: Any, lump: Lump | Ball | None = None, step: float = 0.5) -> Trace:
    return drive(generator.program(MONOPOLAR, (NEEDLE,)), [lump or Lump()], step)


# ------------------------------------------------------------------------------------------------------ traces


def test_constant_power_rolls_off_and_stops():
    trace = run(source(protocol="constant_power", power="45 W"))
    assert trace.memory.finished == "roll_off"
    assert trace.memory.roll_offs == 1
    last = trace.readings[-1]
    assert abs(last.impedance) == pytest.approx(trace.memory.lowest_impedance + 30.0, abs=0.5)
    # impedance first falls with heat, then rises
    sizes = [abs(r.impedance) for r in trace.readings]
    assert sizes[0] > 1.3 * min(sizes)
    assert all(r.power == pytest.approx(45.0) for r in trace.readings)


def test_constant_power_goes_on_past_roll_off_when_asked_to():
    trace = run(source(protocol="constant_power", power="45 W", roll_off={"stop": False}))
    stopped = run(source(protocol="constant_power", power="45 W"))
    assert trace.memory.finished == "duration"
    assert trace.memory.roll_offs == 1
    assert trace.memory.roll_off_time == stopped.memory.time
    assert trace.memory.time == 720.0


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        ({"protocol": "constant_voltage", "voltage": "40 V"}, "voltage", 40.0),
        ({"protocol": "constant_current", "current": "400 mA"}, "current", 0.4),
    ],
)
def test_constant_voltage_and_current_are_held(data, name, value):
    trace = run(source(**data, duration="60 s"))
    assert all(getattr(r, name) == pytest.approx(value) for r in trace.readings)
    assert trace.memory.finished == "duration"


def test_leveen_climbs_in_steps_pauses_half_a_minute_and_restarts_at_its_fraction():
    trace = run(preset("leveen_rf3000"), Lump(boils=25.0))
    ramp, *_ = trace.stays("ramp")
    assert ramp[1] > 90.0
    for minute in range(int(ramp[1] // 60)):
        assert trace.at(60.0 * minute + 30.0).power == pytest.approx(30.0 + 10.0 * minute)
    (pause,) = trace.stays("pause 1")
    assert pause[1] - pause[0] == pytest.approx(30.0, abs=1e-6)
    assert max(trace.power_in("pause 1")) == 0.0
    at_roll_off = 30.0 + 10.0 * (ramp[1] // 60)
    assert trace.power_in("restart 1") == pytest.approx([0.7 * at_roll_off] * len(trace.power_in("restart 1")))
    assert trace.memory.roll_off_time == ramp[1] == pause[0]
    # 0.7 of that is more than this tissue stands
    assert (trace.memory.finished, trace.memory.roll_offs) == ("roll_off", 2)


def test_a_restart_that_tissue_stands_lasts_to_the_end():
    trace = run(preset("leveen_rf3000", fraction=0.5))
    assert (trace.memory.finished, trace.memory.roll_offs, trace.memory.time) == ("duration", 1, 900.0)


def test_a_power_ramp_may_restart_more_than_once():
    trace = run(preset("leveen_rf3000", roll_offs=4, fraction=0.9), Lump(boils=20.0))
    names = [to for _, _, to, _ in trace.memory.events]
    assert names[:6] == ["pause 1", "restart 1", "pause 2", "restart 2", "pause 3", "restart 3"]
    levels = [trace.power_in(f"restart {k}")[0] for k in (1, 2, 3)]
    assert levels[1] == pytest.approx(0.9 * levels[0])
    assert levels[2] == pytest.approx(0.9 * levels[1])


def test_go_smarts_algorithm_holds_half_power_for_300_s_and_then_ramps_anew():
    early = Lump(boils=20.0, heat_capacity=20.0)
    trace = run(preset("leveen_super_slim_2cm"), early)
    ramp, *_ = trace.stays("ramp")
    assert ramp[1] < 300.0
    assert trace.at(60.0).power == pytest.approx(10.0, abs=0.1)
    assert trace.stays("pause 1") == [pytest.approx((ramp[1], ramp[1] + 30.0))]
    assert trace.stays("restart 1") == [pytest.approx((ramp[1] + 30.0, ramp[1] + 330.0))]
    (second,) = trace.stays("ramp 2")
    assert trace.at(second[0] + 30.0).power == pytest.approx(5.0, abs=0.1)
    assert (trace.memory.finished, trace.memory.roll_offs) == ("roll_off", 2)
    late = run(preset("leveen_super_slim_2cm"), Lump(boils=45.0))
    assert late.memory.time > 300.0
    assert (late.memory.finished, late.memory.roll_offs) == ("roll_off", 1)


def test_cooltip_pulses_until_20_ohm_over_the_lowest_and_rests_15_s_at_10_w():
    # a cooled contact: dries in seconds at 100 W, wets again while it rests
    lump = Lump(boils=60.0, conductance=1.0)
    trace = run(preset("cooltip_pulsed", power="100 W", rest_power="10 W"), lump)
    rests = trace.stays("rest")
    assert len(rests) >= 10
    assert all(end - began == pytest.approx(15.0, abs=1e-6) for began, end in rests[:-1])
    assert trace.power_in("rest") == pytest.approx([10.0] * len(trace.power_in("rest")))
    pulses = trace.stays("pulse")
    assert trace.memory.roll_offs == sum(1 for event in trace.memory.events if event[3] == "roll_off")
    assert trace.memory.roll_offs in (len(pulses), len(pulses) - 1)
    assert all(end - began >= 2.0 - 1e-6 for began, end in pulses[:-1])
    # the first pulse is by far the longest, as on a real generator
    lengths = [end - began for began, end in pulses]
    assert lengths[0] > 3 * max(lengths[1:])
    on = sum(lengths) / trace.memory.time
    assert 0.2 < on < 0.8
    assert trace.memory.energy == pytest.approx(trace.memory.time * (100.0 * on + 10.0 * (1 - on)), rel=1e-3)
    assert trace.memory.finished == "duration"


def test_pulses_may_hold_a_current():
    trace = run(source(protocol="pulsed", current="1.3 A", rest_power="0 W"), Lump(boils=60.0, conductance=1.0))
    pulses = [r for r, name in zip(trace.readings, trace.phases, strict=True) if name == "pulse"]
    assert all(r.current == pytest.approx(1.3) for r in pulses)
    assert trace.memory.roll_offs > 3
    assert max(trace.power_in("rest")) == 0.0


@dataclass(frozen=True)
class Ball:
    """Tissue around a round source of heat, by finite volumes: liver's conductivity and perfusion, 60 mm wide.

    ``radius`` [m] 2.5 mm is like a needle, 10 mm like an array of tines. The thermocouple sits where it is hottest.
    """

    radius: float
    rise: tuple[float, ...] = (0.0,) * 120  # K

    impedance = complex(80.0)

    @property
    def temperature(self) -> float:
        return 37.0 + self.rise[0]

    def after(self, power: float, dt: float) -> Ball:
        r = np.linspace(self.radius, 0.06, len(self.rise))
        width = r[1] - r[0]
        source = r**-4 / (4 * np.pi * r**2 * width * r**-4).sum() / 3.8e6  # K/J; Joule heat falls as r^-4
        rise = np.array(self.rise)
        n = math.ceil(dt / (0.4 * width**2 / 1.37e-7))
        for _ in range(n):
            flux = (r[:-1] + width / 2) ** 2 * np.diff(rise) / width
            change = 1.37e-7 * (np.append(flux, 0.0) - np.append(0.0, flux)) / (r**2 * width)
            rise += dt / n * (change + power * source - 0.004 * rise)
            rise[-1] = 0.0
        return dataclasses.replace(self, rise=tuple(rise.tolist()))


@pytest.mark.parametrize(
    ("name", "tissue", "overshoot", "latest"),
    [
        ("starburst_2cm", Lump(heat_capacity=20.0, conductance=0.3, boils=1e9), 1.0, 300.0),
        ("starburst_2cm", Lump(heat_capacity=60.0, conductance=0.5, boils=1e9), 1.0, 300.0),
        ("starburst_2cm", Lump(heat_capacity=100.0, conductance=0.3, boils=1e9), 4.0, 300.0),
        ("starburst_2cm", Ball(0.010), 2.0, 240.0),
        ("starburst_2cm", Ball(0.006), 1.0, 240.0),
        ("uniblate", Ball(0.0025), 1.0, 120.0),
    ],
)
def test_temperature_control_reaches_its_target_hardly_overshoots_and_holds_for_the_stated_time(
    name, tissue, overshoot, latest
):
    generator = preset(name)
    trace = run(generator, tissue)
    temperatures = [r.temperatures[0] for r in trace.readings]
    assert max(temperatures) - generator.target < overshoot
    (hold,) = trace.stays("hold 1")
    assert hold[0] < latest
    assert hold[1] - hold[0] == pytest.approx(generator.stages[0].hold, abs=1e-6)
    assert trace.at(hold[0]).temperatures[0] == pytest.approx(generator.target - 0.5, abs=0.1)
    assert abs(temperatures[-1] - generator.target) < 0.5
    assert trace.memory.finished == "time"
    assert max(r.power for r in trace.readings) <= generator.power * (1 + 1e-9)


def test_starburst_pushes_its_tines_out_as_each_stage_has_been_held():
    trace = run(preset("starburst_5cm"), Lump(boils=1e9))
    stages = [trace.program.phases[[p.name for p in trace.program.phases].index(name)].stage for name in trace.phases]
    assert sorted(set(stages)) == [0, 1, 2, 3]
    assert stages == sorted(stages)
    lengths = [end - began for k in (1, 2, 3, 4) for began, end in trace.stays(f"hold {k}")]
    assert lengths == pytest.approx([30.0, 30.0, 420.0, 420.0])
    assert trace.program.last_stage == 3
    # the target was reached already: the next stage's time begins at once
    assert trace.stays("heat 2") == [(pytest.approx(trace.stays("hold 1")[0][1]),) * 2]
    # the controller goes on smoothly where the stages meet
    powers = [r.power for r in trace.readings]
    assert max(abs(b - a) for a, b in itertools.pairwise(powers)) < 5.0


def test_uniblate_is_held_at_its_power_limit_while_it_heats():
    trace = run(preset("uniblate"), Lump(conductance=0.4, boils=1e9))
    heating = trace.power_in("heat 1")
    assert heating[: len(heating) // 2] == pytest.approx([30.0] * (len(heating) // 2))
    assert trace.stays("hold 1")[0][1] - trace.stays("hold 1")[0][0] == pytest.approx(900.0)
    assert max(r.temperatures[0] for r in trace.readings) < 106.0


def test_celon_gives_way_to_the_resistance_and_stops_at_its_energy():
    weak = run(preset("celon_power"), Lump(boils=18.0))
    strong = run(preset("celon_power"), Lump(boils=1e9))
    for trace in (weak, strong):
        assert trace.memory.finished == "energy"
        assert trace.memory.energy == pytest.approx(15e3, abs=30.0 * 0.01)
        assert all(2.0 - 1e-9 <= r.power <= 30.0 + 1e-9 for r in trace.readings)
    assert strong.memory.time == pytest.approx(500.0, abs=0.1)
    assert weak.memory.time > 550.0
    # drying is held off instead of cutting the power
    assert max(abs(r.impedance) for r in weak.readings[-100:]) < 2.0 * weak.memory.lowest_impedance
    reduced = weak.readings[-1]
    ratio = abs(reduced.impedance) / weak.memory.lowest_impedance
    assert reduced.power == pytest.approx(30.0 - 28.0 * (ratio - 1.2) / 0.8, rel=1e-6)


TERMINALS = tuple(f"electrodes[{k}].{end}" for k in range(3) for end in ("distal", "proximal"))


def test_multipolar_switching_goes_through_all_pairs_with_equal_dwell():
    generator = preset("celon_multipolar", averaged=False, reduction=None, dwell="2 s", duration="60 s")
    program = generator.program(MONOPOLAR, TERMINALS)
    assert len(program.connections) == 15
    assert {frozenset(c.source + c.returns) for c in program.connections} == {
        frozenset((a, b)) for a in TERMINALS for b in TERMINALS if a != b
    }
    trace = drive(program, [Lump(boils=1e9)] * 15)
    for k in range(15):
        stays = trace.stays(f"pair {k + 1}")
        assert len(stays) == 2
        assert all(end - began == pytest.approx(2.0, abs=1e-6) for began, end in stays)
    assert trace.memory.energy == pytest.approx(75.0 * 60.0)


def test_averaged_switching_gives_each_pair_its_share_of_the_same_energy():
    pairs = [[["a"], ["b"]], [["b"], ["c"]], [["a"], ["c"]]]
    data = {"protocol": "switching", "pairs": pairs, "power": "60 W", "dwell": "2 s", "duration": "60 s"}
    lumps = [Lump(boils=1e9)] * 3
    turns = drive(source(**data).program(MONOPOLAR, ("a", "b", "c")), lumps)
    mean = drive(source(**data, averaged=True).program(MONOPOLAR, ("a", "b", "c")), lumps)
    assert mean.program.shares(mean.memory) == ((0, 1 / 3), (1, 1 / 3), (2, 1 / 3))
    assert len(mean.program.phases) == 1
    assert turns.memory.energy == pytest.approx(mean.memory.energy)
    hot, mild = turns.readings[-1].temperatures, mean.readings[-1].temperatures
    assert hot == pytest.approx(mild, abs=1.5)
    assert mean.program.edge(mean.program.begin()) == 60.0  # nothing to land on


def test_pairs_may_join_terminals_and_use_the_ground():
    generator = source(protocol="switching", power="50 W", pairs=[[["a", "b"], ["c"]], [["c"], ["ground"]]])
    program = generator.program(MONOPOLAR, ("a", "b", "c"))
    assert program.connections == (Connection(("a", "b"), ("c",)), Connection(("c",), (GROUND,)))


def test_octopus_hands_on_at_a_spike_or_after_the_longest_turn():
    program = preset("octopus_switching", power="60 W").program(MONOPOLAR, ("a", "b", "c"))
    assert program.connections == tuple(Connection((name,), (GROUND,)) for name in "abc")
    # needle b dries soon, the others never
    lumps = [Lump(boils=1e9), Lump(boils=8.0, impedance_37=150.0, heat_capacity=20.0), Lump(boils=1e9)]
    trace = drive(program, lumps)
    a, b, c = (trace.stays(f"needle {k}") for k in (1, 2, 3))
    assert all(end - began == pytest.approx(30.0, abs=1e-6) for began, end in a[:-1] + c[:-1])
    assert all(2.0 - 1e-6 <= end - began < 30.0 for began, end in b[1:-1])
    assert trace.memory.roll_offs >= len(b) - 1
    assert [round(began) for began, _ in a][:2] == [0, round(c[0][1])]
    assert trace.memory.finished == "duration"


def test_a_real_source_gives_less_power_off_its_best_load():
    trace = run(preset("altrogge_2007", power="60 W", duration="60 s"), Lump(boils=1e9))
    for reading in trace.readings:
        z = reading.impedance
        assert reading.power == pytest.approx(4 * 60.0 * z.real * 80.0 / abs(z + 80.0) ** 2)
    assert max(r.power for r in trace.readings) < 60.0
    assert not any(r.limited_by for r in trace.readings)


def test_a_table_runs_as_written():
    generator = source(
        protocol="table", duration="10 min",
        phases=[
            {"name": "warm up", "power": "20 W", "lasts": "1 min"},
            {"name": "ramp", "power": "20 W", "ramp": "10 W/min", "lasts": "90 s", "until": {"impedance": "200 ohm"}},
            {"off": True, "lasts": "15 s"},
            {"name": "volts", "voltage": "30 V", "until": {"time": "4 min"},
             "connect": {"source": ["b"], "returns": ["a"]}},
            {"name": "regulated", "temperature": "70 degC", "until": {"temperature": "69 degC"}, "stage": 1},
            {"name": "end", "current": "0.6 A", "until": {"energy": "14 kJ"}, "then": "stop"},
        ],
    )  # fmt: skip
    program = generator.program(Connection(("a",), (GROUND,)), ("a", "b"))
    assert program.connections == (Connection(("a",), (GROUND,)), Connection(("b",), ("a",)))
    trace = drive(program, [Lump(boils=1e9), Lump(boils=1e9)])
    assert trace.stays("warm up") == [(0.0, 60.0)]
    assert trace.stays("ramp") == [pytest.approx((60.0, 150.0))]
    assert trace.at(105.0).power == pytest.approx(27.5, abs=0.1)
    assert trace.stays("phase 3") == [pytest.approx((150.0, 165.0))]
    assert trace.stays("volts") == [pytest.approx((165.0, 240.0))]
    assert {c for c, name in zip(trace.connections, trace.phases, strict=True) if name == "volts"} == {1}
    assert [event[3] for event in trace.memory.events[-2:]] == ["temperature", "energy"]
    assert trace.memory.finished == "energy"
    assert trace.memory.energy == pytest.approx(14e3, abs=1.0)


def test_a_table_may_go_round():
    phases = [{"name": "on", "power": "40 W", "lasts": "20 s"}, {"off": True, "lasts": "10 s", "then": "on"}]
    trace = run(source(protocol="table", duration="2 min", phases=phases))
    assert [end - began for began, end in trace.stays("on")] == pytest.approx([20.0] * 4)
    assert trace.memory.energy == pytest.approx(4 * 20.0 * 40.0)


# ------------------------------------------------------------------------------ what must not depend on the steps


@pytest.mark.parametrize(
    ("name", "changes", "lump", "seconds"),
    [
        ("leveen_rf3000", {}, Lump(), 0.3),
        ("cooltip_pulsed", {"power": "100 W", "duration": "200 s"}, Lump(boils=60.0, conductance=1.0), 1.0),
        ("starburst_3cm", {}, Lump(boils=1e9), 1.0),
        ("celon_power", {}, Lump(boils=18.0), 0.5),
    ],
)
def test_what_happens_does_not_depend_on_the_steps(name, changes, lump, seconds):
    coarse = run(preset(name, **changes), lump, step=1.0).memory
    fine = run(preset(name, **changes), lump, step=0.125).memory
    assert [event[1:] for event in coarse.events] == [event[1:] for event in fine.events]
    for one, other in zip(coarse.events, fine.events, strict=True):
        assert one[0] == pytest.approx(other[0], abs=seconds)
    assert coarse.energy == pytest.approx(fine.energy, rel=2e-3)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_memory_read_back_goes_on_to_the_same_bits(name):
    terminals = ("a", "b", "c")
    program = preset(name).program(Connection(("a",), ("b",)), terminals)
    lumps = [Lump(boils=25.0)] * len(program.connections)
    first = drive(program, lumps, stop_after=60.0)
    saved = Memory.from_json(first.memory.to_json())
    assert saved == first.memory
    warm = [Lump(boils=25.0, temperature=80.0, dryness=0.1)] * len(program.connections)
    went_on = drive(program, warm, memory=first.memory, stop_after=90.0).memory
    read_back = drive(program, warm, memory=saved, stop_after=90.0).memory
    assert went_on.to_json() == read_back.to_json()


# ---------------------------------------------------------------------------------------------- the catalogue


def leaves(data: Any, before: str = "") -> set[str]:
    found = set[str]()
    for key, value in data.items():
        found |= leaves(value, f"{before}{key}.") if isinstance(value, dict) else {before + key}
    return found


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_number_of_the_catalogue_has_a_source_or_says_that_it_is_assumed(name):
    row = PROTOCOLS[name]
    numbers = {path for path in leaves(row.data) if path not in ("protocol", "roll_off.rise")}
    if row.data.get("roll_off", {}).get("rise") is not None:
        numbers.add("roll_off.rise")
    assert numbers == set(row.sources)
    assert all(len(source) > 5 for source in row.sources.values())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_resolved_preset_reads_back_as_the_same_and_satisfies_the_schema(name):
    generator = preset(name)
    assert generator.preset == name
    written = json.loads(json.dumps(Holder(generator=generator).model_dump(mode="json")))
    assert Holder.model_validate(written, context={"from_file": True}).generator == generator
    schema = jsonschema.Draft202012Validator(Holder.model_json_schema())
    schema.validate(written)
    schema.validate({"generator": {"preset": name}})
    assert not schema.is_valid({"generator": {"preset": "none such"}})
    assert not schema.is_valid({"generator": {"power": "30 W"}})


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_program_commands_more_than_its_peak_power(name):
    generator = preset(name)
    program = generator.program(Connection(("a",), ("b",)), ("a", "b", "c"))
    trace = drive(program, [Lump(boils=200.0)] * len(program.connections), step=2.0)
    assert max(r.power for r in trace.readings) <= generator.peak_power * (1 + 1e-9)
    assert generator.peak_power <= generator.max_power


def test_a_case_changes_single_values_of_a_preset():
    generator = preset("cooltip_pulsed", power="150 W", roll_off={"rise": "30 ohm"})
    assert (generator.power, generator.roll_off.rise, generator.rest) == (150.0, 30.0, 15.0)
    assert preset("celon_power", reduction={"least": "5 W"}).reduction.begin == 1.2
    from_python = ADAPTER.validate_python({"preset": "leveen_rf3000", "maximum": 80.0})
    assert (from_python.maximum, from_python.peak_power) == (80.0, 80.0)


# ----------------------------------------------------------------------------------------------- what is refused


def refusal(data: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"generator": data}, context={"from_file": True})
    return "\n".join(f"{path}: {sentence}" for path, sentence in complaints(caught.value, Holder))


RAMP = {"protocol": "power_ramp"}
PI = {"protocol": "temperature", "target": "105 degC", "power": "150 W", "stages": [{"hold": "5 min"}]}
PAIRS = {"protocol": "switching", "power": "50 W"}


def table(*phases: Any, **more: Any) -> dict[str, Any]:
    return {"protocol": "table", "phases": list(phases), **more}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"preset": "leven_rf3000"}, "generator.preset: got 'leven_rf3000'; did you mean leveen_rf3000"),
        ({"preset": 3}, "generator.preset: got 3; choose one of cooltip_pulsed, leveen_rf3000"),
        ("leveen_rf3000", "got 'leveen_rf3000', which is a preset; write generator: {preset: leveen_rf3000}"),
        ({"preset": "uniblate", "protocol": "pulsed"}, "generator.protocol: the preset uniblate runs temperature"),
        ({"preset": "uniblate", "powr": "30 W"}, "generator.powr: is no known key; did you mean power?"),
        ({"preset": "uniblate", "power": "300 W"}, "generator.power: 300 W is more than max_power, 250 W"),
        ({"protocol": "puls", "power": "3 W"}, "generator.protocol: got 'puls'; did you mean pulsed"),
        ({}, "generator.protocol: is missing; choose one of constant_power"),
        ({"protocol": "constant_power", "power": "250 W"}, "generator.power: 250 W is more than max_power 200 W"),
        ({"protocol": "constant_voltage", "voltage": "250 V"}, "generator.voltage: 250 V is more than max_voltage"),
        ({"protocol": "constant_current", "current": "2.5 A"}, "generator.current: 2.5 A is more than max_current 2 A"),
        ({"protocol": "real_source", "power": "300 W"}, "generator.power: 300 W is more than max_power"),
        ({"protocol": "real_source", "inner_resistance": "0 ohm"}, "generator.inner_resistance: got 0 ohm"),
        ({**RAMP, "rate": "-5 W/min"}, "generator.rate: has to be more than 0 W/min"),
        ({**RAMP, "rate": "10 W"}, "generator.rate: '10 W' is in W, which is not a rise of power"),
        ({**RAMP, "start": "90 W", "maximum": "80 W"}, "generator.start: 90 W is more than maximum, 80 W"),
        ({**RAMP, "maximum": "300 W"}, "generator.maximum: 300 W is more than max_power, 200 W"),
        ({**RAMP, "roll_offs": 0}, "generator.roll_offs: got 0; it must be at least 1"),
        ({**RAMP, "fraction": 1.5}, "generator.fraction: got 1.5; it must be at most 1"),
        ({**RAMP, "roll_off": {"rise": None}}, "generator.roll_off: says nothing"),
        ({"protocol": "pulsed"}, "generator: needs either the power or the current"),
        ({"protocol": "pulsed", "power": "9 W", "current": "1 A"}, "generator: needs either the power or the current"),
        ({"preset": "cooltip_pulsed", "current": "1 A"}, "it has both (beside a preset take one away with null)"),
        ({"protocol": "pulsed", "current": "3 A"}, "generator.current: 3 A is more than max_current, 2 A"),
        ({"protocol": "pulsed", "power": "9 W", "rest": "-15 s"}, "generator.rest: got -15 s; it must be more"),
        ({**PI, "gain": "0 W/K", "integral_gain": "0 W/(K s)"}, "generator.gain: and integral_gain are both 0"),
        ({**PI, "gain": "1 W"}, "generator.gain: '1 W' is in W, which is not a gain"),
        ({**PI, "stages": []}, "generator.stages: holds 0 entries; it needs at least 1"),
        ({**PI, "stages": [{"hold": "0 s"}]}, "generator.stages[0].hold: got 0 s; it must be more than 0 s"),
        ({**PI, "stages": [{"stage": 2, "hold": "1 s"}, {"stage": 1, "hold": "1 s"}]},
         "generator.stages[1].stage: goes back"),
        ({"protocol": "resistance_controlled", "power": "30 W", "energy": "0 J"}, "generator.energy: is 0 J"),
        ({"protocol": "resistance_controlled", "power": "30 W", "reduction": {"begin": 1.5, "end": 1.5}},
         "generator.reduction.end: 1.5 is not above begin, 1.5"),
        ({**PAIRS, "pairs": "al"}, "generator.pairs: got 'al'; did you mean all?"),
        ({**PAIRS, "pairs": [["a", "b"]]}, "generator.pairs[0][0]: got 'a'; expected a list"),
        ({**PAIRS, "pairs": []}, "generator.pairs: holds 0 entries; it needs at least 1"),
        ({**PAIRS, "dwell": "-1 s"}, "generator.dwell: got -1 s; it must be more than 0 s"),
        ({**PAIRS, "dwell": "0 s"}, "generator.dwell: got 0 s; it must be more than 0 s"),
        ({"protocol": "switching_monopolar", "power": "50 W", "longest": "1 s"},
         "generator.blanking: 2 s is not less than longest, 1 s"),
        (table(), "generator.phases: holds 0 entries; it needs at least 1"),
        (table({"lasts": "5 s"}), "generator.phases[0]: holds nothing"),
        (table({"power": "5 W", "voltage": "5 V"}), "generator.phases[0].voltage: is given beside power"),
        (table({"voltage": "5 V", "ramp": "1 W/s", "lasts": "5 s"}), "generator.phases[0].ramp: is a rise of power"),
        (table({"power": "5 W", "until": {}}), "generator.phases[0].until: says nothing"),
        (table({"power": "5 W", "name": "stop", "lasts": "1 s"}), "generator.phases[0].name: 'stop' has a meaning"),
        (table({"power": "500 W"}), "generator.phases[0].power: 500 W is more than max_power, 200 W"),
        (table({"current": "3 A"}), "generator.phases[0].current: 3 A is more than max_current, 2 A"),
        (table({"power": "150 W", "ramp": "10 W/min", "lasts": "6 min"}),
         "generator.phases[0].ramp: leads to 210 W after 360 s, which is outside 0 W to max_power, 200 W"),
        (table({"power": "15 W", "ramp": "-10 W/min", "lasts": "2 min"}), "generator.phases[0].ramp: leads to -5 W"),
        (table({"power": "5 W", "until": {"time": "1 h"}}), "generator.phases[0].until.time: 3600 s is after"),
        (table({"power": "5 W", "lasts": "1 s", "then": "rst"}, {"name": "rest", "off": True}),
         "generator.phases[0].then: 'rst' is no phase; did you mean rest"),
        (table({"power": "5 W", "name": "a", "lasts": "1 s"}, {"name": "a", "off": True}),
         "generator.phases[1].name: 'a' is the name of an earlier phase"),
        (table({"power": "5 W"}, {"name": "rest", "off": True}),
         "generator.phases[0]: never ends, so 'rest' is never reached; give it lasts or until"),
        (table({"power": "5 W", "lasts": "1 s", "then": "phase 1"}, {"name": "rest", "off": True}),
         "generator.phases[1]: is never reached"),
        (table({"power": "5 W", "then": "stop"}), "generator.phases[0].then: is never reached: the phase has no end"),
    ],
)  # fmt: skip
def test_a_wrong_protocol_is_refused_with_its_path_and_what_to_do(data, message):
    assert message in refusal(data)


@pytest.mark.parametrize(
    ("data", "terminals", "path", "message"),
    [
        (PAIRS, ("a",), "pairs", "all pairs need at least two terminals; there are: a"),
        ({**PAIRS, "pairs": [[["electrodes[0].distl"], ["electrodes[0].proximal"]]]}, TERMINALS, "pairs[0][0][0]",
         "'electrodes[0].distl' is no terminal here; did you mean electrodes[0].distal"),
        ({**PAIRS, "pairs": [[["a"], ["b"]], [["a", "a"], ["b"]]]}, ("a", "b"), "pairs[1][0][1]",
         "'a' is named already, in pairs[1][0][0]"),
        ({**PAIRS, "pairs": [[["a"], ["a"]]]}, ("a", "b"), "pairs[0][1][0]", "'a' is named already, in pairs[0][0][0]"),
        ({**PAIRS, "pairs": [[["a"], []]]}, ("a", "b"), "pairs[0][1]", "is empty; name at least one of a, b, ground"),
        ({**PAIRS, "pairs": [[["ground"], ["a"]]]}, ("a", "b"), "pairs[0][0][0]", "'ground' is a return only"),
        ({"protocol": "switching_monopolar", "power": "50 W"}, ("a",), "protocol", "needs at least two terminals"),
        (table({"power": "5 W", "connect": {"source": ["a"], "returns": ["c"]}}), ("a", "b"),
         "phases[0].connect.returns[0]", "'c' is no terminal here; choose one of a, b, ground"),
    ],
)  # fmt: skip
def test_wrong_wiring_is_refused_with_its_path_and_the_nearest_names(data, terminals, path, message):
    with pytest.raises(InputError) as caught:
        source(**data).program(Connection(terminals[:1], (GROUND,)), terminals)
    assert caught.value.path == path
    assert message in caught.value.message


def test_the_page_on_protocols_lists_the_catalogue_as_it_is():
    page = (Path(__file__).parent.parent / "docs/protocols.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert dict(rows) == {name: row.data["protocol"] for name, row in PROTOCOLS.items()}
    words = {get_args(kind.model_fields["protocol"].annotation)[0] for kind in get_args(get_args(Generator)[0])}
    assert all(f"`{word}`" in page for word in words)
