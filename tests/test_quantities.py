"""Quantities with units: read exactly, written so that they read back, refused with a sentence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rfasim import quantities
from rfasim.quantities import Fraction, Length, Power, Quantity, Record, Temperature, parse, text

UNITS = sorted(quantities._MEANING)


@pytest.mark.parametrize(
    ("written", "unit", "value"),
    [
        ("30 W", "W", 30.0),
        ("12 min", "s", 720.0),
        ("480 kHz", "Hz", 480e3),
        ("1.5mm", "m", 0.0015),
        ("  7 mm ", "m", 0.007),
        ("1.1 mm", "m", 0.0011),
        ("0.2 S/m", "S/m", 0.2),
        ("2 mS/cm", "S/m", 0.2),
        ("37 degC", "degC", 37.0),
        ("310.15 K", "degC", 37.0),
        ("98.6 degF", "degC", 37.0),
        ("0.3 degC", "K", 0.3),
        ("2 %/K", "1/K", 0.02),
        ("36 ml/min/ml", "1/s", 0.6),
        ("2257 kJ/kg", "J/kg", 2257e3),
        ("50 %", "", 0.5),
        (".5", "", 0.5),
        ("1e-3 m", "m", 1e-3),
        ("1 inch", "m", 0.0254),
        ("0.52 W/(m*K)", "W/(m K)", 0.52),
        ("1 W/(m degC)", "W/(m K)", 1.0),
        ("3.6 kilojoule/kg/K", "J/(kg K)", 3600.0),
        ("5 min^-1", "1/s", 5 / 60),
        ("1e-400 m", "m", 0.0),
        ("0e999999999 m", "m", 0.0),
        ("-1e-99999999999999999999 m", "m", 0.0),
    ],
)
def test_units_are_converted_exactly(written: str, unit: str, value: float) -> None:
    assert parse(written, unit) == value


@given(st.sampled_from(UNITS), st.floats(-1e300, 1e300))
@example("m", 0.0015)
@example("m", 5e-324)
@example("J/kg", 5e-324)  # 5e-327 kJ/kg: no float by itself
@example("Hz", 1e300)
@example("K", -0.0)
def test_what_is_written_reads_back_to_the_same_float(unit: str, value: float) -> None:
    assert parse(text(value, unit), unit) == value


@given(st.integers(-(10**6), 10**6), st.integers(0, 6), st.sampled_from([("mm", 3), ("cm", 2), ("um", 6)]))
def test_a_length_in_a_file_is_the_float_a_python_user_would_write(
    n: int, digits: int, unit: tuple[str, int]
) -> None:
    name, shift = unit
    assert parse(f"{n}e-{digits} {name}", "m") == float(f"{n}e-{digits + shift}")


@pytest.mark.parametrize(
    ("written", "unit", "reason"),
    [
        ("30 mm", "W", "'30 mm' is in mm, which is not a power"),
        ("3 degC", "W", "'3 degC' is in degC, which is not a power"),
        ("30", "W", "'30' has no unit"),
        (30, "W", "30 has no unit"),
        ("5 bananas", "m", "'5 bananas' has a unit that is not known"),
        ("3 degF", "K", "a scale with its own zero; give it in K"),
        ("nan W", "W", "not a finite number"),
        (math.nan, "W", "nan has no unit"),
        ("-inf W", "W", "not a finite number"),
        ("1e999 W", "W", "not a finite number"),
        ("9e307 kW", "W", "not a finite number"),
        (10**400, "", "not a finite number"),
        ("W", "W", "'W' cannot be read as a number with a unit"),
        ("30 W W**9", "W", "is in W W**9, which is not a power"),
        ("1 mm**9**9**9", "m", "cannot be read as a number with a unit"),
        ("1 (((m**9)**9)**9)", "m", "cannot be read as a number with a unit"),
        ("1 m; import os", "m", "cannot be read as a number with a unit"),
        ("1 __import__('os')", "m", "cannot be read as a number with a unit"),
        ("1" * 100 + " m", "m", "expected a length"),
        (True, "W", "got True"),
        (None, "W", "got nothing"),
        ([30], "W", "got [30]"),
        ("0.5 W", "", "is in W, which is not a plain number"),
        ("٣ W", "W", "cannot be read as a number with a unit"),
    ],
)
def test_what_is_no_such_quantity_is_refused_with_the_reason_and_an_example(
    written: Any, unit: str, reason: str
) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        parse(written, unit)
    assert reason in str(refused.value)
    assert quantities._MEANING[unit][1] in str(refused.value)


def refusal(written: str, unit: str) -> str | None:
    """Why a text is refused; None when it is read as a finite number."""
    try:
        assert math.isfinite(parse(written, unit))
    except ValueError as refused:
        return str(refused)
    return None


@given(st.sampled_from(UNITS), st.text(max_size=30))
def test_any_text_is_read_or_refused_with_a_sentence(unit: str, written: str) -> None:
    reason = refusal(written, unit)
    assert reason is None or Quantity(unit).meaning in reason


@given(st.text("mskgWKAHz0123456789^*/() .%-", max_size=30))
def test_any_unit_is_read_or_refused_with_a_sentence(suffix: str) -> None:
    reason = refusal(f"2 {suffix}", "m")
    assert reason is None or "expected a length such as '15 mm'" in reason


def test_python_may_leave_units_out_and_files_may_not() -> None:
    power = TypeAdapter(Power)
    assert power.validate_python(30) == 30.0
    with pytest.raises(ValidationError, match="has no unit"):
        power.validate_python(30, context={"from_file": True})


@pytest.mark.parametrize(
    ("kind", "written", "reason"),
    [
        (Length, "0 mm", "got 0 mm; it must be more than 0 mm"),
        (Length, -0.003, "got -3 mm; it must be more than 0 mm"),
        (Power, "-1 W", "got -1 W; it must be at least 0 W"),
        (Temperature, "2000 degC", "got 2000 degC; it must be at most 1000 degC"),
        (Fraction, 1.2, "got 1.2; it must be at most 1"),
        (Fraction, "120 %", "got 120 %; it must be at most 1"),
    ],
)
def test_values_outside_their_range_are_refused_with_the_range(kind: Any, written: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(written)
    assert reason in str(refused.value)


def test_every_example_is_a_quantity_of_its_unit() -> None:
    for unit, (_, written) in quantities._MEANING.items():
        assert math.isfinite(parse(written, unit, needs_unit=bool(unit)))
        assert Quantity(unit).meaning.endswith(f"such as '{written}'")


def test_every_common_unit_is_what_pint_says_it_is() -> None:
    for unit, common in quantities._COMMON.items():
        for suffix, factor in common.items():
            known = suffix not in ("", "%", "ml/min/ml", "mol/l", "mol/L", "mmol/l")  # salt's moles are grams here
            if unit not in ("degC", "K") and suffix.isascii() and known:
                assert float(quantities._with_pint(suffix, unit)) == pytest.approx(float(factor), rel=1e-15)


def test_records_are_frozen_and_refuse_unknown_keys_and_non_numbers() -> None:
    class Tip(Record):
        length: Length
        share: float = 0.0

    tip = Tip(length=0.01)
    with pytest.raises(ValidationError):
        tip.length = 0.02  # type: ignore[misc]
    for wrong in ({"lenght": 0.01}, {"length": 0.01, "width": 1}, {"length": 0.01, "share": math.nan}):
        with pytest.raises(ValidationError):
            Tip.model_validate(wrong)
