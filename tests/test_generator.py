"""Sources on a load: commands, limits, roll-off."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from rfasim.generator import ConstantCurrent, ConstantPower, ConstantVoltage, Limits, RollOff, operate

WIDE = Limits(power=1e4, voltage=1e4, current=1e4)
LOAD = 1 / 100.0  # S


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


def test_an_open_circuit_gets_the_voltage_limit_and_no_power():
    for quantity in ("power", "current"):
        reading = operate(quantity, 1.0, Limits(200.0, 150.0, 2.0), 0j)
        assert (reading.voltage, reading.current, reading.power) == (150.0, 0.0, 0.0)
        assert reading.limited_by == "voltage"
        assert math.isinf(abs(reading.impedance))


def test_roll_off_by_rise_or_by_ratio_whichever_comes_first():
    rise = RollOff(rise=30.0)
    assert rise.excess(129.0, 100.0) < 0
    assert rise.excess(130.0, 100.0) == 0
    both = RollOff(rise=30.0, ratio=1.2)
    assert both.excess(125.0, 100.0) == pytest.approx(5.0)
    assert both.excess(250.0, 215.0) == pytest.approx(5.0)
    assert RollOff(rise=None, ratio=None).excess(1e9, 1.0) == -math.inf


def test_commands_and_defaults():
    assert ConstantPower(protocol="constant_power", power=30.0).command() == ("power", 30.0)
    assert ConstantVoltage(protocol="constant_voltage", voltage=15.0).command() == ("voltage", 15.0)
    assert ConstantCurrent(protocol="constant_current", current=1.0).command() == ("current", 1.0)
    assert ConstantPower(protocol="constant_power", power=30.0).limits == Limits(200.0, 200.0, 2.0)


@pytest.mark.parametrize(
    ("source", "fields", "message"),
    [
        (ConstantPower, {"protocol": "constant_power", "power": 250.0}, "more than max_power 200 W"),
        (ConstantVoltage, {"protocol": "constant_voltage", "voltage": 250.0}, "more than max_voltage 200 V"),
        (ConstantCurrent, {"protocol": "constant_current", "current": 2.5}, "more than max_current 2 A"),
    ],
)
def test_a_command_past_its_own_limit_is_refused(source, fields, message):
    with pytest.raises(ValidationError, match=message):
        source(**fields)
