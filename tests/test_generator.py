"""Sources on a load, and the machine that runs protocols: what it commands, notices and remembers."""

from __future__ import annotations

import cmath
import math

import pytest

from rfasim.generator import (
    GROUND,
    Clock,
    Connection,
    Delivered,
    Elapsed,
    Exit,
    Impedance,
    Level,
    Limits,
    Memory,
    Phase,
    Program,
    Reading,
    Regulator,
    Warm,
    Yielding,
    measured,
    operate,
)

WIDE = Limits(power=1e4, voltage=1e4, current=1e4)
LOAD = 1 / 100.0  # S


# ----------------------------------------------------------------------------------------------- operating point


@pytest.mark.parametrize(
    ("quantity", "value", "limits", "voltage", "limited_by"),
    [
        ("voltage", 20.0, WIDE, 20.0, ""),
        ("current", 0.5, WIDE, 50.0, ""),
        ("power", 25.0, WIDE, 50.0, ""),
        # 25 W on 100 ohm takes 50 V and 0.5 A
        ("power", 25.0, Limits(200.0, 40.0, 2.0), 40.0, "voltage"),
        ("power", 25.0, Limits(200.0, 200.0, 0.3), 30.0, "current"),
        ("voltage", 50.0, Limits(9.0, 200.0, 2.0), 30.0, "power"),
        ("voltage", 50.0, Limits(200.0, 200.0, 0.2), 20.0, "current"),
        ("current", 0.5, Limits(4.0, 200.0, 2.0), 20.0, "power"),
        ("current", 0.5, Limits(200.0, 10.0, 2.0), 10.0, "voltage"),
        # two limits are passed: the tighter one counts
        ("power", 100.0, Limits(200.0, 60.0, 0.5), 50.0, "current"),
        # exactly at a limit nothing is limited
        ("power", 25.0, Limits(25.0, 50.0, 0.5), 50.0, ""),
        # 90 V behind 80 ohm, on 100 ohm
        ("emf", 90.0, Limits(1e4, 1e4, 1e4, 80.0), 50.0, ""),
        ("emf", 90.0, Limits(1e4, 30.0, 1e4, 80.0), 30.0, "voltage"),
        ("emf", 90.0, WIDE, 90.0, ""),
    ],
)
def test_operating_point(quantity, value, limits, voltage, limited_by):
    reading = operate(quantity, value, limits, complex(LOAD), time=3.0)
    assert reading.voltage == pytest.approx(voltage)
    assert reading.current == pytest.approx(voltage * LOAD)
    assert reading.power == pytest.approx(voltage**2 * LOAD)
    assert reading.impedance == pytest.approx(100.0)
    assert reading.limited_by == limited_by
    assert reading.time == 3.0


def test_a_capacitive_load_takes_more_current_than_its_power_needs():
    y = 0.01 + 0.005j
    reading = operate("power", 25.0, WIDE, y)
    assert reading.power == pytest.approx(25.0)
    assert reading.current == pytest.approx(abs(y) * 50.0)
    assert reading.current * reading.voltage > reading.power
    assert reading.impedance == pytest.approx(1 / y)


@pytest.mark.parametrize("resistance", [10.0, 50.0, 80.0, 120.0, 1000.0])
def test_a_real_source_gives_the_power_of_altrogge_2007(resistance):
    setup, inner = 200.0, 80.0
    limits = Limits(1e4, 1e4, 1e4, inner)
    reading = operate("emf", math.sqrt(4 * setup * inner), limits, complex(1 / resistance))
    assert reading.power == pytest.approx(4 * setup * resistance * inner / (resistance + inner) ** 2)
    assert reading.power <= setup * (1 + 1e-12)


def test_a_real_source_on_a_complex_load_obeys_ohms_law_in_the_circuit():
    emf, inner, load = 253.0, 80.0, 60.0 - 25.0j
    reading = operate("emf", emf, Limits(1e4, 1e4, 1e4, inner), 1 / load)
    current = emf / (inner + load)
    assert reading.current == pytest.approx(abs(current))
    assert reading.voltage == pytest.approx(abs(current * load))
    assert reading.power == pytest.approx(abs(current) ** 2 * load.real)


def test_an_open_circuit_gets_the_voltage_limit_and_no_power():
    for quantity in ("power", "current"):
        reading = operate(quantity, 1.0, Limits(200.0, 150.0, 2.0), 0j)
        assert (reading.voltage, reading.current, reading.power) == (150.0, 0.0, 0.0)
        assert reading.limited_by == "voltage"
        assert math.isinf(abs(reading.impedance))
    assert operate("emf", 90.0, Limits(200.0, 150.0, 2.0, 80.0), 0j).voltage == 90.0


def test_a_source_that_is_off_gives_nothing_even_to_an_open_circuit():
    for quantity in ("power", "current", "voltage", "emf"):
        for admittance in (0j, 0.01 + 0j):
            reading = operate(quantity, 0.0, Limits(200.0, 150.0, 2.0, 80.0), admittance)
            assert (reading.voltage, reading.current, reading.power, reading.limited_by) == (0.0, 0.0, 0.0, "")


# ------------------------------------------------------------------------------------------------ what is held


def program(*phases: Phase, duration: float = 100.0, limits: Limits = WIDE, n: int = 1) -> Program:
    wired = tuple(Connection((f"electrodes[{k}].contact",), (GROUND,)) for k in range(n))
    return Program(wired, phases, limits, duration)


def read(time: float, power: float = 10.0, impedance: complex = 100.0, temperature: float = 37.0,
         limited_by: str = "") -> Reading:  # fmt: skip
    voltage = math.sqrt(power * abs(impedance))
    return Reading(time, voltage, voltage / abs(impedance), power, impedance, limited_by, (temperature,))


def value(of: Program, memory: Memory, time: float, impedance: float = 100.0, temperature: float = 37.0) -> float:
    return of.setpoint(memory, time, impedance, (temperature,))[1]


def test_a_ramp_rises_and_stops_at_its_maximum():
    ramp = program(Phase("ramp", Level("power", 30.0, rate=10 / 60, maximum=50.0)))
    start = ramp.begin()
    assert [value(ramp, start, t) for t in (0.0, 60.0, 120.0, 300.0)] == pytest.approx([30.0, 40.0, 50.0, 50.0])
    assert ramp.edge(start) == 100.0  # a steady ramp has no jumps


def test_a_staircase_jumps_at_its_edges_and_is_flat_between_them():
    stairs = program(Phase("ramp", Level("power", 30.0, rate=0.5, every=20.0, maximum=50.0)))
    memory = stairs.begin()
    assert stairs.edge(memory) == 20.0
    # on the edge the old value holds until the edge has been observed
    assert [value(stairs, memory, t) for t in (0.0, 10.0, 20.0)] == [30.0, 30.0, 30.0]
    memory = stairs.observe(memory, read(20.0, 30.0))
    assert memory.power is None
    assert value(stairs, memory, 20.0) == 40.0
    memory = stairs.observe(memory, read(20.0, 40.0))
    assert (memory.power, memory.energy) == (40.0, 600.0)
    assert stairs.edge(memory) == 40.0
    memory = stairs.observe(memory, read(40.0, 40.0))
    assert value(stairs, memory, 40.0) == 50.0
    assert stairs.edge(memory) == 100.0  # no jump past the maximum


def test_a_restart_is_a_share_of_the_power_that_was_set_not_of_what_a_limited_source_gave():
    two = program(
        Phase("on", Level("power", 40.0), exits=(Exit(Impedance(rise=30.0), roll_off=True),)),
        Phase("restart", Level("power", share=0.7)),
    )
    memory = two.observe(two.begin(), read(0.0, 40.0))
    memory = two.observe(memory, read(1.0, 25.0, 200.0, limited_by="voltage"))
    assert value(two, memory, 1.0) == pytest.approx(28.0)
    amperes = program(
        Phase("on", Level("current", 0.5), exits=(Exit(Impedance(rise=30.0), roll_off=True),)),
        Phase("restart", Level("power", share=0.5)),
    )
    memory = amperes.observe(amperes.begin(), read(0.0, 25.0))
    memory = amperes.observe(memory, read(1.0, 40.0, 200.0))
    assert value(amperes, memory, 1.0) == pytest.approx(20.0)


def test_power_gives_way_linearly_to_the_rise_over_the_lowest_impedance():
    celon = program(Phase("on", Yielding(power=30.0, least=2.0, begin=1.2, end=2.0)))
    memory = celon.observe(celon.begin(), read(0.0, impedance=50.0))
    powers = [value(celon, memory, 1.0, z) for z in (40.0, 50.0, 60.0, 80.0, 100.0, 1e6, math.inf)]
    assert powers == pytest.approx([30.0, 30.0, 30.0, 16.0, 2.0, 2.0, 2.0])
    assert value(celon, celon.begin(), 0.0, 70.0) == 30.0  # nothing seen yet: what is now is the lowest


def test_a_regulators_integral_is_the_trapezoid_of_the_error():
    pi = Regulator(target=105.0, maximum=150.0, gain=0.5, integral_gain=0.025)
    control = program(Phase("heat", pi))
    memory = control.observe(control.begin(), read(0.0, temperature=65.0))
    # error 40 K falls to 20 K in 10 s: integral 0.025 * 300 K s, proportional 0.5 * 20 K
    assert value(control, memory, 10.0, temperature=85.0) == pytest.approx(7.5 + 10.0)
    halves = control.observe(memory, read(5.0, temperature=75.0))
    assert value(control, halves, 10.0, temperature=85.0) == pytest.approx(17.5)


def test_a_regulator_does_not_wind_up_while_it_is_at_its_limit():
    pi = Regulator(target=105.0, maximum=30.0, gain=1.0, integral_gain=0.025)
    control = program(Phase("heat", pi), duration=1e4)
    memory = control.observe(control.begin(), read(0.0, temperature=37.0))
    for time in range(10, 2000, 10):
        memory = control.observe(memory, read(float(time), 30.0, temperature=80.0))
    # 5000 K s at 0.025 W/(K s) would be 125 W; what can act beside 25 W of proportional part is 5 W
    assert memory.integral == pytest.approx(5.0)
    assert value(control, memory, memory.time, temperature=110.0) == 0.0


def test_a_regulator_follows_a_source_that_gives_less_than_it_commands():
    control = program(Phase("heat", Regulator(105.0, 150.0, 1.0, 0.025)), duration=1e4)
    memory = control.observe(control.begin(), read(0.0, temperature=85.0))
    for time in range(10, 500, 10):
        memory = control.observe(memory, read(float(time), 40.0, temperature=85.0, limited_by="current"))
    assert memory.integral == pytest.approx(20.0)  # 20 W + 1 W/K * 20 K = the 40 W that came


@pytest.mark.parametrize(("measure", "expected"), [("average", 60.0), ("lowest", 50.0), ("highest", 80.0)])
def test_thermocouples_are_averaged_or_the_extreme_one_is_taken(measure, expected):
    assert measured((50.0, 50.0, 80.0), measure) == expected
    with pytest.raises(ValueError, match="needs a thermocouple"):
        measured((), measure)


# ------------------------------------------------------------------------------------------- what ends a phase


@pytest.mark.parametrize(
    ("condition", "below", "at"),
    [
        (Impedance(rise=30.0), 129.99, 130.0),
        (Impedance(ratio=1.2), 119.99, 120.0),
        (Impedance(rise=30.0, ratio=1.2), 119.99, 120.0),
        (Impedance(rise=30.0, ratio=2.0), 129.99, 130.0),
        (Impedance(above=110.0), 109.99, 110.0),
        (Impedance(rise=30.0, ratio=1.5, above=700.0), 129.99, 130.0),
    ],
)
def test_an_impedance_counts_by_rise_ratio_or_itself_whichever_comes_first(condition, below, at):
    one = program(Phase("on", Level("power", 10.0), exits=(Exit(condition, "stop", roll_off=True),)))
    memory = one.observe(one.begin(), read(0.0, impedance=100.0))
    assert one.excess(memory, read(1.0, impedance=below)) < 0
    assert not one.observe(memory, read(1.0, impedance=below)).finished
    assert one.excess(memory, read(1.0, impedance=at)) >= 0
    assert one.observe(memory, read(1.0, impedance=at)).finished == "roll_off"
    assert one.excess(memory, read(1.0, impedance=complex(math.inf))) == math.inf


def test_it_is_the_size_of_the_impedance_that_rises():
    one = program(Phase("on", Level("power", 10.0), exits=(Exit(Impedance(rise=30.0), "stop", roll_off=True),)))
    memory = one.observe(one.begin(), read(0.0, impedance=cmath.rect(100.0, -0.4)))
    assert one.excess(memory, read(1.0, impedance=cmath.rect(129.0, -1.0))) < 0
    assert one.excess(memory, read(1.0, impedance=cmath.rect(131.0, -0.1))) >= 0


def test_the_baseline_is_the_lowest_so_far_or_the_first():
    def rolls_off(baseline: str, impedances: list[float]) -> bool:
        one = program(Phase("on", Level("power"), exits=(Exit(Impedance(rise=20.0, baseline=baseline), "stop", True),)))
        memory = one.begin()
        for time, impedance in enumerate(impedances):
            memory = one.observe(memory, read(float(time), impedance=impedance))
        return memory.finished == "roll_off"

    assert rolls_off("lowest", [100.0, 70.0, 95.0])
    assert not rolls_off("start", [100.0, 70.0, 95.0])
    assert rolls_off("start", [100.0, 70.0, 121.0])


def test_excess_runs_linearly_and_its_zero_is_the_threshold():
    one = program(Phase("on", Level("power", 10.0), exits=(Exit(Warm(60.0), "stop"), Exit(Delivered(1000.0), "stop"))))
    memory = one.observe(one.begin(), read(0.0, 10.0))
    found = [one.excess(memory, read(t, 10.0, temperature=40.0 + t)) for t in (10.0, 15.0, 20.0)]
    assert found[1] == pytest.approx(0.5 * (found[0] + found[2]))
    assert found[2] == pytest.approx(0.0, abs=1e-12)
    assert one.excess(memory, read(99.0, 10.0)) == pytest.approx(-0.01)  # 990 of 1000 J
    assert one.observe(memory, read(100.0, 10.0)).finished == "energy"


def test_what_is_blank_cannot_happen_yet_and_the_stepper_lands_where_it_can():
    one = program(Phase("on", Level("power", 10.0), exits=(Exit(Impedance(above=50.0), "stop", True, blank=2.0),)))
    memory = one.observe(one.begin(), read(0.0))
    assert one.edge(memory) == 2.0
    assert one.excess(memory, read(2.0)) == -math.inf
    assert not one.observe(memory, read(1.0)).finished
    assert one.observe(memory, read(2.0)).finished == "roll_off"


def test_an_exit_can_be_limited_to_a_part_of_the_run():
    early = Exit(Impedance(above=50.0), "second", True, before=30.0)
    late = Exit(Impedance(above=50.0), "stop", True, after=30.0)
    two = program(Phase("first", Level("power"), exits=(early, late)), Phase("second", Level("power")))
    assert two.edge(two.begin()) == 30.0
    before = two.observe(two.observe(two.begin(), read(0.0, impedance=40.0)), read(20.0, impedance=60.0))
    assert (two.phases[before.phase].name, before.roll_offs) == ("second", 1)
    after = two.observe(two.observe(two.begin(), read(0.0, impedance=40.0)), read(30.0, impedance=60.0))
    assert after.finished == "roll_off"


def test_phases_end_by_the_clock_where_the_edge_says():
    two = program(
        Phase("on", Level("power", 10.0), exits=(Exit(Elapsed(7.0)),)),
        Phase("off", Level("power"), exits=(Exit(Clock(20.0), "stop"),)),
    )
    memory = two.observe(two.begin(), read(0.0))
    assert two.edge(memory) == 7.0
    assert two.observe(memory, read(6.9999)).phase == 0
    memory = two.observe(memory, read(7.0 - 1e-10))
    assert two.phases[memory.phase].name == "off"
    assert two.setpoint(memory, 7.0, 100.0) == ("power", 0.0)
    assert two.edge(memory) == 20.0
    memory = two.observe(memory, read(20.0, 0.0))
    assert (memory.finished, two.edge(memory), two.setpoint(memory, 20.0, 100.0)) == ("time", math.inf, ("power", 0.0))
    assert two.excess(memory, read(21.0)) == -math.inf
    assert two.observe(memory, read(30.0)) == memory


def test_the_duration_ends_everything():
    one = program(Phase("on", Level("power", 10.0), exits=(Exit(Elapsed(200.0)),)))
    memory = one.observe(one.begin(), read(100.0))
    assert (memory.finished, memory.events) == ("duration", ((100.0, "on", "", "duration"),))


def test_the_first_roll_off_can_be_noted_without_an_end():
    noted = Exit(Impedance(rise=30.0), "note", roll_off=True)
    one = program(Phase("on", Level("power", 10.0), exits=(noted, Exit(Elapsed(50.0), "stop"))))
    memory = one.observe(one.begin(), read(0.0))
    assert one.excess(memory, read(10.0, impedance=140.0)) > 0
    memory = one.observe(memory, read(10.0, impedance=140.0))
    assert (memory.roll_offs, memory.roll_off_time, memory.finished, memory.power) == (1, 10.0, "", 10.0)
    assert one.excess(memory, read(20.0, impedance=150.0)) == -math.inf
    memory = one.observe(memory, read(20.0, impedance=150.0))
    assert (memory.roll_offs, memory.roll_off_time) == (1, 10.0)
    assert one.observe(memory, read(50.0, impedance=150.0)).finished == "time"


def test_energy_is_the_trapezoid_and_a_jump_is_not_smeared():
    two = program(
        Phase("on", Level("power", 100.0), exits=(Exit(Elapsed(10.0)),)),
        Phase("off", Level("power")),
    )
    memory = two.observe(two.begin(), read(0.0, 100.0))
    memory = two.observe(memory, read(4.0, 50.0))
    assert memory.energy == pytest.approx(300.0)
    memory = two.observe(memory, read(10.0, 100.0))
    assert memory.energy == pytest.approx(750.0)
    # whether or not the power behind the jump is observed, the rest takes nothing
    assert two.observe(memory, read(20.0, 0.0)).energy == pytest.approx(750.0)
    assert two.observe(two.observe(memory, read(10.0, 0.0)), read(20.0, 0.0)).energy == pytest.approx(750.0)


def test_every_connection_has_a_lowest_impedance_of_its_own():
    spike = Exit(Impedance(rise=30.0), roll_off=True)
    turns = program(
        Phase("a", Level("power", 10.0), ((0, 1.0),), exits=(Exit(spike.when, "b", True),)),
        Phase("b", Level("power", 10.0), ((1, 1.0),), exits=(Exit(spike.when, "a", True),)),
        n=2,
    )
    memory = turns.observe(turns.begin(), read(0.0, impedance=50.0))
    memory = turns.observe(memory, read(1.0, impedance=85.0))
    # the other needle stands at 90 ohm by nature: that is no rise
    assert turns.phases[memory.phase].name == "b"
    memory = turns.observe(turns.observe(memory, read(1.0, impedance=90.0)), read(2.0, impedance=95.0))
    assert (turns.phases[memory.phase].name, memory.roll_offs) == ("b", 1)
    memory = turns.observe(memory, read(3.0, impedance=120.0))
    assert (turns.phases[memory.phase].name, memory.roll_offs) == ("a", 2)
    assert memory.lowest == (50.0, 90.0)
    assert memory.lowest_impedance == 50.0


def test_several_transitions_at_once_are_all_made_and_a_circle_is_left():
    reached = Exit(Warm(50.0))
    chain = program(
        Phase("heat 1", Level("power", 10.0), exits=(reached,)),
        Phase("heat 2", Level("power", 20.0), stage=1, exits=(reached,)),
        Phase("hold", Level("power", 5.0), stage=2, exits=(Exit(Elapsed(10.0)),)),
    )
    memory = chain.observe(chain.begin(), read(1.0, temperature=55.0))
    assert (chain.phases[memory.phase].name, memory.stage, len(memory.events)) == ("hold", 2, 2)
    circle = program(
        Phase("a", Level("power"), exits=(Exit(Warm(50.0), "b"),)),
        Phase("b", Level("power"), exits=(Exit(Warm(50.0), "a"),)),
    )
    memory = circle.observe(circle.begin(), read(1.0, temperature=55.0))
    assert (memory.phase, len(memory.events)) == (0, 2)
    # asked again at the same moment it stays: only time brings the next round
    assert circle.observe(memory, read(1.0, temperature=55.0)).events == memory.events


# ----------------------------------------------------------------------------------------------------- memory


def test_memory_is_the_same_after_a_round_trip_through_json():
    memory = Memory(
        time=0.1 + 0.2, phase=2, since=1 / 3, stage=1, roll_offs=2, roll_off_time=math.pi, roll_off_power=2 / 3,
        lowest_impedance=100 / 7, lowest=(100 / 7, math.inf), first=(math.e * 1e-300, math.inf), energy=1e5 / 3,
        power=None, integral=5e-324, temperatures=(37.1, 1e17 / 3), events=((1 / 9, "ramp 1", "pause 1", "roll_off"),),
    )  # fmt: skip
    assert Memory.from_json(memory.to_json()) == memory
    assert Memory.from_json(Memory().to_json()) == Memory()


def test_asking_changes_nothing_and_gives_the_same_answer_again():
    leave = (Exit(Warm(60.0)), Exit(Impedance(rise=30.0), "stop", True))
    control = program(
        Phase("heat", Regulator(60.0, 50.0, 1.0, 0.1), exits=leave),
        Phase("hold", Level("power", 5.0)),
    )
    memory = control.observe(control.begin(), read(0.0))
    saved = memory.to_json()
    readings = [read(3.0, 20.0, 90.0, 61.0), read(3.0, 20.0, 140.0, 50.0), read(3.0, 20.0, 90.0, 50.0)]

    def answers() -> list[object]:
        return [
            (control.observe(memory, r), control.excess(memory, r), control.setpoint(memory, 3.0, 90.0, r.temperatures))
            for r in readings
        ]

    assert answers() == answers()
    assert memory.to_json() == saved


def test_a_reading_from_the_past_is_refused():
    one = program(Phase("on", Level("power", 10.0)))
    with pytest.raises(ValueError, match="older than the memory"):
        one.observe(one.observe(one.begin(), read(5.0)), read(4.0))


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((Phase("a", Level("power")), Phase("a", Level("power"))), "same name"),
        ((Phase("a", Level("power"), ((1, 1.0),)),), "uses connection 1; there are 1"),
        ((Phase("a", Level("power"), exits=(Exit(Elapsed(1.0), "c"),)),), "which is no phase"),
        ((Phase("a", Level("power"), exits=(Exit(Elapsed(1.0), "note"),)),), "no roll-off"),
    ],
)
def test_a_program_that_cannot_run_is_refused(phases, message):
    with pytest.raises(ValueError, match=message):
        program(*phases)


def test_a_program_says_what_it_needs():
    plain = program(Phase("on", Level("power", 10.0)))
    assert not plain.needs_thermocouples
    assert plain.last_stage == 0
    assert program(Phase("heat", Regulator(60.0, 50.0, 1.0, 0.1), stage=3)).needs_thermocouples
    assert program(Phase("on", Level("power"), exits=(Exit(Warm(60.0)),))).needs_thermocouples
    assert program(Phase("a", Level("power"), stage=3), Phase("b", Level("power"), stage=1)).last_stage == 3
