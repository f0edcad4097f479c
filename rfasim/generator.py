"""What a generator reads, what it commands, and when it stops. Knows no field: only volts, amperes, watts and ohms.

All amplitudes are RMS. A source holds one of voltage, current or power and respects limits on the other two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rfasim.quantities import Current, Duration, Impedance, PositiveNumber, Power, Voltage


@dataclass(frozen=True)
class Reading:
    """What a generator measures: time [s], voltage [V], current [A], power [W], complex impedance [ohm]."""

    time: float
    voltage: float
    current: float
    power: float
    impedance: complex
    limited_by: str = ""


@dataclass(frozen=True)
class Limits:
    """Largest power [W], voltage [V] and current [A] that the source can give."""

    power: float
    voltage: float
    current: float


def operate(quantity: Literal["voltage", "current", "power"], value: float, limits: Limits, admittance: complex,
            time: float = 0.0) -> Reading:
    """Operating point of a source that holds ``quantity`` at ``value`` [V, A or W] on a load of ``admittance`` [S].

    ``I = |Y| V``, ``P = Re(Y) V^2``; the lowest of the voltages that command and limits allow wins.
    """
    size, conductance = abs(admittance), admittance.real
    allowed = {
        "voltage": limits.voltage,
        "current": limits.current / size if size > 0 else math.inf,
        "power": math.sqrt(limits.power / conductance) if conductance > 0 else math.inf,
    }
    wanted = {
        "voltage": lambda: value,
        "current": lambda: value / size if size > 0 else math.inf,
        "power": lambda: math.sqrt(value / conductance) if conductance > 0 else math.inf,
    }[quantity]()
    limit = min(allowed, key=lambda name: allowed[name])
    voltage = min(wanted, allowed[limit])
    return Reading(
        time=time,
        voltage=voltage,
        current=size * voltage,
        power=conductance * voltage**2,
        impedance=1 / admittance if admittance != 0 else complex(math.inf),
        limited_by=limit if allowed[limit] < wanted else "",
    )


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RollOff(_Record):
    """Roll-off: the impedance's size has risen over the lowest one so far, because tissue at the contact dried.

    Devices differ (+20 ohm, +30 ohm, 1.2 or 2 times): the rise counts in ohm or as a ratio, whichever comes first.
    """

    rise: Impedance | None = Field(default=30.0, description="rise over the lowest impedance that counts as roll-off")
    ratio: PositiveNumber | None = Field(default=None, description="or this many times the lowest impedance so far")
    stop: bool = Field(default=True, description="end the run at roll-off")

    def excess(self, impedance: float, lowest: float) -> float:
        """How far ``impedance`` [ohm] is past the threshold; roll-off when >= 0."""
        excess = -math.inf
        if self.rise is not None:
            excess = max(excess, impedance - lowest - self.rise)
        if self.ratio is not None:
            excess = max(excess, impedance - lowest * self.ratio)
        return excess


class _Source(_Record):
    duration: Duration = Field(default=720.0, description="how long the generator is on")
    max_power: Power = Field(default=200.0, description="the source's largest power (200 W class generator)")
    max_voltage: Voltage = Field(default=200.0, description="the source's largest RMS voltage")
    max_current: Current = Field(default=2.0, description="the source's largest RMS current (2000 mA class generator)")
    roll_off: RollOff = RollOff()

    @property
    def limits(self) -> Limits:
        return Limits(self.max_power, self.max_voltage, self.max_current)


class ConstantPower(_Source):
    """Hold the power; the voltage follows the tissue's impedance."""

    protocol: Literal["constant_power"]
    power: Power

    def command(self) -> tuple[Literal["power"], float]:
        return "power", self.power

    @model_validator(mode="after")
    def _below_limit(self) -> ConstantPower:
        if self.power > self.max_power:
            raise ValueError(f"power: {self.power:g} W is more than max_power {self.max_power:g} W; raise the limit")
        return self


class ConstantVoltage(_Source):
    """Hold the RMS voltage."""

    protocol: Literal["constant_voltage"]
    voltage: Voltage

    def command(self) -> tuple[Literal["voltage"], float]:
        return "voltage", self.voltage

    @model_validator(mode="after")
    def _below_limit(self) -> ConstantVoltage:
        if self.voltage > self.max_voltage:
            raise ValueError(
                f"voltage: {self.voltage:g} V is more than max_voltage {self.max_voltage:g} V; raise the limit"
            )
        return self


class ConstantCurrent(_Source):
    """Hold the RMS current."""

    protocol: Literal["constant_current"]
    current: Current

    def command(self) -> tuple[Literal["current"], float]:
        return "current", self.current

    @model_validator(mode="after")
    def _below_limit(self) -> ConstantCurrent:
        if self.current > self.max_current:
            raise ValueError(
                f"current: {self.current:g} A is more than max_current {self.max_current:g} A; raise the limit"
            )
        return self


Generator = Annotated[ConstantPower | ConstantVoltage | ConstantCurrent, Field(discriminator="protocol")]
