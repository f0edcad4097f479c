"""Quantities as people write them ("30 W", "12 min", "37 degC") at the border, plain SI floats inside.

Each annotated type below (``Length``, ``Power``, ...) is a float in SI base units to the rest of the program;
temperatures are in degC. In a case file a value must carry its unit; from Python a bare float is taken as SI.
``Record`` is what every part of a case is made of.

    >>> parse("15 mm", "m")
    0.015
    >>> text(0.015, "m")
    '15 mm'
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction as Ratio
from numbers import Real
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema


class Record(BaseModel):
    """A part of a case: frozen, and it refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Problems(ValueError):
    """Several things that are wrong with one record: pairs of (path below that record, sentence)."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(f"{path}: {sentence}" if path else sentence for path, sentence in found))


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY = re.compile(rf"\s*({_NUMBER}|[-+]?\.?(?:nan|infinity|inf))\s*(.*?)\s*", re.IGNORECASE | re.ASCII)
# Units as pint may read them: a power is one digit after a name or number, so that nothing grows ("9**9**9").
_UNIT = re.compile(r"(?:[\w°%./() -]|(?<=[\w])\s*(?:\*\*|\^)\s*-?\d(?![\d*^])|\*(?!\*))+")
_LONGEST = 80
# all digits of what is written, and 0 for what no unit makes a float
_NEAR_ZERO = Context(prec=_LONGEST, Emin=-1000, Emax=1000)

# Units that case files use all the time, as exact factors to SI: they spare the quarter second that pint
# takes, and an exact factor makes "1.5 mm" the same float as 0.0015.
_MILLI, _MICRO = Ratio(1, 1000), Ratio(1, 1_000_000)
_MMHG = Ratio("133.322387415")  # Pa
_COMMON: dict[str, dict[str, int | Ratio]] = {
    "m": {
        "m": 1,
        "mm": _MILLI,
        "cm": Ratio(1, 100),
        "um": _MICRO,
        "µm": _MICRO,
        "\N{GREEK SMALL LETTER MU}m": _MICRO,
    },
    "s": {"s": 1, "ms": _MILLI, "min": 60, "h": 3600},
    "W": {"W": 1, "kW": 1000, "mW": _MILLI},
    "W/s": {"W/s": 1, "W/min": Ratio(1, 60)},
    # a gain is per kelvin of difference, so 1 W/degC is 1 W/K
    "W/K": {"W/K": 1, "W/degC": 1, "mW/K": _MILLI},
    "W/(K s)": {"W/(K s)": 1, "W/K/s": 1, "mW/(K s)": _MILLI, "W/(K min)": Ratio(1, 60)},
    "V": {"V": 1, "kV": 1000, "mV": _MILLI},
    "A": {"A": 1, "mA": _MILLI},
    "ohm": {"ohm": 1, "kohm": 1000, "Ω": 1, "\N{OHM SIGN}": 1},
    "Hz": {"Hz": 1, "kHz": 1000, "MHz": 1_000_000},
    "S/m": {"S/m": 1, "mS/m": _MILLI, "mS/cm": Ratio(1, 10), "S/cm": 100},
    "kg/m^3": {"kg/m^3": 1, "kg/m3": 1, "g/cm^3": 1000, "g/cm3": 1000, "g/ml": 1000},
    "J/(kg K)": {"J/(kg K)": 1, "J/kg/K": 1, "kJ/(kg K)": 1000, "kJ/kg/K": 1000},
    "W/(m K)": {"W/(m K)": 1, "W/m/K": 1},
    "1/s": {"1/s": 1, "1/min": Ratio(1, 60), "ml/min/ml": Ratio(1, 60)},
    "W/m^3": {"W/m^3": 1, "W/m3": 1, "kW/m^3": 1000, "kW/m3": 1000},
    "W/(m^2 K)": {"W/(m^2 K)": 1, "W/m^2/K": 1, "W/(m2 K)": 1},
    "1/K": {"1/K": 1, "%/K": Ratio(1, 100), "1/degC": 1, "%/degC": Ratio(1, 100)},
    "J": {"J": 1, "kJ": 1000},
    "J/kg": {"J/kg": 1, "kJ/kg": 1000, "MJ/kg": 1_000_000},
    "J/mol": {"J/mol": 1, "kJ/mol": 1000},
    "m^2/s": {"m^2/s": 1, "mm^2/s": _MICRO},
    "m^3/s": {"m^3/s": 1, "ml/min": _MICRO / 60, "mL/min": _MICRO / 60, "l/min": _MILLI / 60, "L/min": _MILLI / 60,
              "ml/h": _MICRO / 3600, "mL/h": _MICRO / 3600},
    "m^3": {"m^3": 1, "ml": _MICRO, "mL": _MICRO, "l": _MILLI, "L": _MILLI, "cm^3": _MICRO, "cm3": _MICRO},
    # salt in water, g per litre = kg/m^3; per cent as in clinics: g per 100 ml of solution
    "g/l": {"g/l": 1, "g/L": 1, "mg/ml": 1, "mg/mL": 1, "kg/m^3": 1, "%": 10, "mol/l": Ratio("58.443"),
            "mol/L": Ratio("58.443"), "mmol/l": Ratio("0.058443")},
    "m^2": {"m^2": 1, "um^2": _MICRO * _MICRO, "mm^2": _MICRO},
    "1/Pa": {"1/Pa": 1, "1/kPa": _MILLI, "1/mmHg": 1 / _MMHG},
    "1/(Pa s)": {"1/(Pa s)": 1, "1/(mmHg s)": 1 / _MMHG},
    "m/s": {"m/s": 1, "cm/s": Ratio(1, 100), "mm/s": _MILLI},
    "Pa s": {"Pa s": 1, "mPa s": _MILLI},
    # a difference of 1 degC is 1 K; pint would read "0.5 degC" as 273.65 K
    "K": {"K": 1, "mK": _MILLI, "degC": 1, "°C": 1},
    "degC": {"degC": 1, "°C": 1, "C": 1, "celsius": 1},
    "": {"": 1, "%": Ratio(1, 100)},
}
# The unit a value is written back in, with its exact factor to SI; all others are written in SI.
_WRITTEN: dict[str, tuple[str, Ratio]] = {
    "m": ("mm", _MILLI),
    "Hz": ("kHz", Ratio(1000)),
    "J/kg": ("kJ/kg", Ratio(1000)),
    "J/mol": ("kJ/mol", Ratio(1000)),
}
# What each unit measures and how a user might write one.
_MEANING: dict[str, tuple[str, str]] = {
    "m": ("a length", "15 mm"),
    "s": ("a time", "12 min"),
    "W": ("a power", "30 W"),
    "W/s": ("a rise of power", "10 W/min"),
    "W/K": ("a gain", "1 W/K"),
    "W/(K s)": ("a gain per time", "0.025 W/(K s)"),
    "V": ("a voltage", "15 V"),
    "A": ("a current", "0.5 A"),
    "ohm": ("an impedance", "30 ohm"),
    "Hz": ("a frequency", "480 kHz"),
    "S/m": ("an electrical conductivity", "0.2 S/m"),
    "kg/m^3": ("a density", "1060 kg/m^3"),
    "J/(kg K)": ("a heat capacity", "3600 J/(kg K)"),
    "W/(m K)": ("a thermal conductivity", "0.52 W/(m K)"),
    "1/s": ("a rate", "0.0064 1/s"),
    "W/m^3": ("a heat source", "500 W/m^3"),
    "W/(m^2 K)": ("a heat-transfer coefficient", "3000 W/(m^2 K)"),
    "1/K": ("a temperature coefficient", "1.5 %/K"),
    "J": ("an energy", "15 kJ"),
    "J/kg": ("a specific energy", "2257 kJ/kg"),
    "J/mol": ("a molar energy", "257.7 kJ/mol"),
    "m^2/s": ("a diffusivity", "0.0032 mm^2/s"),
    "m^3/s": ("a flow", "100 ml/min"),
    "m^3": ("a volume", "5 ml"),
    "g/l": ("a concentration of salt", "0.9 %"),
    "m^2": ("a permeability", "2e-14 m^2"),
    "1/Pa": ("a compliance", "1e-4 1/Pa"),
    "1/(Pa s)": ("a drainage", "2e-8 1/(Pa s)"),
    "m/s": ("a velocity", "15 cm/s"),
    "Pa s": ("a viscosity", "3.5 mPa s"),
    "K": ("a temperature difference", "0.5 K"),
    "degC": ("a temperature", "37 degC"),
    "": ("a plain number", "0.7"),
}


@functools.cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def _with_pint(suffix: str, unit: str) -> Ratio:
    """The factor from ``suffix`` to ``unit`` for any unit pint knows; raises ValueError with a sentence."""
    import pint

    if not _UNIT.fullmatch(suffix):
        raise ValueError("cannot be read as a number with a unit")
    registry = _registry()
    raised = re.sub(r"([A-Za-z])(\d)\b", r"\1^\2", suffix)  # people also write m3
    try:
        # only the unit goes to pint, never the number: there is no arithmetic in a case file
        one, wanted = registry.Quantity(1.0, registry.parse_units(raised)), unit or "dimensionless"
        if one.is_compatible_with(wanted) and not one._is_multiplicative:
            raise ArithmeticError
        factor = float(one.to(wanted).magnitude)
    except pint.DimensionalityError:
        raise ValueError(f"is in {suffix}, which is not {_MEANING[unit][0]}") from None
    except pint.UndefinedUnitError:
        raise ValueError(f"has a unit that is not known ('{suffix}')") from None
    except ArithmeticError:
        raise ValueError(f"is in {suffix}, a scale with its own zero; give it in {unit}") from None
    except Exception:  # pint's parser lets many kinds of error through
        raise ValueError("cannot be read as a number with a unit") from None
    return Ratio(factor)


def _factor(suffix: str, unit: str) -> Ratio:
    known = _COMMON[unit].get(suffix)
    return Ratio(known) if known is not None else _with_pint(suffix, unit)


def parse(value: Any, unit: str, *, needs_unit: bool = True) -> float:
    """``value`` ("30 W", or a float in SI) as a float in ``unit``; raises ValueError with the reason.

    The result is the float nearest to the decimal number written, so "1.5 mm" is exactly ``0.0015``.
    """
    allowed = f"expected {Quantity(unit).meaning}"
    if isinstance(value, Real) and not isinstance(value, bool):
        if needs_unit and unit:
            raise ValueError(f"{value} has no unit; {allowed}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif isinstance(value, str) and len(value) <= _LONGEST:
        match = _QUANTITY.fullmatch(value)
        if match is None:
            raise ValueError(f"'{value}' cannot be read as a number with a unit; {allowed}")
        digits, suffix = match[1], match[2]
        if not suffix and unit:
            raise ValueError(f"'{value}' has no unit; {allowed}")
        number = float(digits.lstrip(".")) if digits[-1].isalpha() else float(digits)
        if math.isfinite(number):
            # 0 as a float may be "5e-327" (kJ), which is more in J, or "1e-999999999", which would fill the memory
            exact = Ratio(digits) if number else Ratio(_NEAR_ZERO.create_decimal(digits))
            try:
                if unit == "degC" and suffix in ("K", "kelvin"):
                    number = float(exact - Ratio("273.15"))
                elif unit == "degC" and suffix in ("degF", "°F"):
                    number = float((exact - 32) * Ratio(5, 9))
                else:
                    number = float(exact * _factor(suffix, unit))
            except OverflowError:
                number = math.inf
            except ValueError as error:
                raise ValueError(f"'{value}' {error}; {allowed}") from None
    else:
        shown = "nothing" if value is None else repr(value)
        raise ValueError(f"got {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + '...'}; {allowed}")
    if not math.isfinite(number):
        raise ValueError(f"got {value}, which is not a finite number; {allowed}")
    return number


def text(value: float, unit: str) -> str | float:
    """How ``value`` (SI) is written into a case file: the shortest text that reads back to the same float."""
    if unit == "":
        return value
    name, factor = _WRITTEN.get(unit, (unit, Ratio(1)))
    # repr gives the shortest decimal that is this float; shifting its point is exact, reading it back is too
    shifted = Decimal(repr(float(value))) * Decimal(factor.denominator) / Decimal(factor.numerator)
    if shifted == 0:
        return f"0 {name}"
    if Decimal("1e-6") <= abs(shifted) < Decimal("1e12"):
        written = f"{shifted:f}"
        written = written.rstrip("0").rstrip(".") if "." in written else written
    else:
        written = f"{shifted.normalize():e}".lower().replace("e+", "e")
    return f"{written} {name}"


@dataclass(frozen=True)
class Quantity:
    """Metadata that makes an annotated float readable with its unit, bounded, and writable with its unit.

    ``Annotated[float, Quantity("m", 0.0, 10.0, low_open=True)]`` is a float in m from ``low`` to ``high``,
    ``low`` itself excluded when ``low_open``.
    """

    unit: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False

    @property
    def meaning(self) -> str:
        """What is expected, with an example: "a power such as '30 W'"."""
        meaning, example = _MEANING[self.unit]
        return f"{meaning} such as '{example}'"

    def read(self, value: Any, *, needs_unit: bool) -> float:
        """``value`` as a float in ``unit`` within the bounds; raises ValueError with a sentence."""
        number = parse(value, self.unit, needs_unit=needs_unit)
        given = value if isinstance(value, str) else text(number, self.unit)
        if self.low is not None and (number < self.low or (self.low_open and number == self.low)):
            word = "more than" if self.low_open else "at least"
            raise ValueError(f"got {given}; it must be {word} {_plain(self.low, self.unit)}")
        if self.high is not None and number > self.high:
            raise ValueError(f"got {given}; it must be at most {_plain(self.high, self.unit)}")
        return number

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def read(value: Any, info: core_schema.ValidationInfo[Any]) -> float:
            # only a case file insists on units: Python callers hold SI floats
            return self.read(value, needs_unit=bool(info.context and info.context.get("from_file")))

        def write(value: float) -> str | float:
            return text(value, self.unit)

        return core_schema.with_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(write, when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        written: dict[str, Any] = {
            "type": "string",
            "pattern": r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
            + (r"\s*(?![eE][-+]?[0-9])(1\s*/\s*)?[^\s0-9.]" if self.unit else r"\s*%?\s*$"),
            "description": f"{_MEANING[self.unit][0]} with its unit, such as '{_MEANING[self.unit][1]}'",
            "examples": [_MEANING[self.unit][1]],
        }
        if self.unit:
            return written
        plain: dict[str, Any] = {"type": "number"}
        if self.low is not None:
            plain["exclusiveMinimum" if self.low_open else "minimum"] = self.low
        if self.high is not None:
            plain["maximum"] = self.high
        return {"anyOf": [plain, {"type": "string", "pattern": written["pattern"]}]}


def _plain(value: float, unit: str) -> str:
    written = text(value, unit)
    return written if isinstance(written, str) else f"{written:g}"


Coordinate = Annotated[float, Quantity("m", -10.0, 10.0)]
Length = Annotated[float, Quantity("m", 0.0, 10.0, low_open=True)]
Distance = Annotated[float, Quantity("m", 0.0, 10.0)]
Time = Annotated[float, Quantity("s", 0.0, 1e7)]
Duration = Annotated[float, Quantity("s", 0.0, 1e7, low_open=True)]
Power = Annotated[float, Quantity("W", 0.0, 1e4)]
PowerRate = Annotated[float, Quantity("W/s", -1e4, 1e4)]
Gain = Annotated[float, Quantity("W/K", 0.0, 1e4)]
GainRate = Annotated[float, Quantity("W/(K s)", 0.0, 1e4)]
Voltage = Annotated[float, Quantity("V", 0.0, 1e5)]
Current = Annotated[float, Quantity("A", 0.0, 1e3)]
Impedance = Annotated[float, Quantity("ohm", 0.0, 1e9, low_open=True)]
Frequency = Annotated[float, Quantity("Hz", 0.0, 1e11, low_open=True)]
Temperature = Annotated[float, Quantity("degC", -100.0, 1000.0)]
TemperatureDifference = Annotated[float, Quantity("K", 0.0, 1000.0, low_open=True)]
Conductivity = Annotated[float, Quantity("S/m", 0.0, 1e9, low_open=True)]
ThermalConductivity = Annotated[float, Quantity("W/(m K)", 0.0, 1e4, low_open=True)]
Density = Annotated[float, Quantity("kg/m^3", 0.0, 3e4, low_open=True)]
SpecificHeat = Annotated[float, Quantity("J/(kg K)", 0.0, 1e5, low_open=True)]
Rate = Annotated[float, Quantity("1/s", 0.0, 1e3)]
HeatSource = Annotated[float, Quantity("W/m^3", 0.0, 1e12)]
HeatTransfer = Annotated[float, Quantity("W/(m^2 K)", 0.0, 1e9)]
PerKelvin = Annotated[float, Quantity("1/K", -1.0, 1.0)]
Diffusivity = Annotated[float, Quantity("m^2/s", 0.0, 1.0)]
VolumeFlow = Annotated[float, Quantity("m^3/s", 0.0, 1e-2)]
Volume = Annotated[float, Quantity("m^3", 0.0, 1e-3, low_open=True)]
Concentration = Annotated[float, Quantity("g/l", 0.0, 400.0)]
Permeability = Annotated[float, Quantity("m^2", 0.0, 1e-6, low_open=True)]
Compliance = Annotated[float, Quantity("1/Pa", 1e-8, 1.0)]
Drainage = Annotated[float, Quantity("1/(Pa s)", 0.0, 1.0)]
Velocity = Annotated[float, Quantity("m/s", 0.0, 10.0)]
Viscosity = Annotated[float, Quantity("Pa s", 0.0, 10.0, low_open=True)]
Energy = Annotated[float, Quantity("J", 0.0, 1e9)]
SpecificEnergy = Annotated[float, Quantity("J/kg", 0.0, 1e9)]
MolarEnergy = Annotated[float, Quantity("J/mol", 0.0, 1e9)]
Fraction = Annotated[float, Quantity("", 0.0, 1.0)]
Number = Annotated[float, Quantity("")]
PositiveNumber = Annotated[float, Quantity("", 0.0, None, low_open=True)]
Point = tuple[Coordinate, Coordinate, Coordinate]
Vector = tuple[Number, Number, Number]
