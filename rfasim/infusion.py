"""Saline: what is injected where, when, how strong and how fast; before the current is on and while it flows.

    >>> Infusion(rate=1e-6 / 60, concentration=50.0).spans
    (0.0, None)

Concentrations are g of NaCl per litre of solution (kg/m^3); per cent are g per 100 ml, as printed on the bottle.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rfasim.quantities import (
    Concentration,
    Diffusivity,
    Distance,
    Duration,
    Fraction,
    Length,
    Point,
    Problems,
    Quantity,
    Record,
    Time,
    Viscosity,
    Volume,
    text,
)

# Liquid when it comes in.
FluidTemperature = Annotated[float, Quantity("degC", 0.0, 95.0)]
# A syringe pump at its fastest is far below this.
Flow = Annotated[float, Quantity("m^3/s", 0.0, 1e-4)]
ISOTONIC = 9.0
"""g/l: 0.9 % NaCl conducts, and holds water, as the fluid between cells does"""


class Infusion(Record):
    """A fluid that leaves a perfused device by its outlets while the current flows."""

    electrode: int = Field(default=0, ge=0)
    """number of the device in electrodes, counted from 0; it must have outlets"""
    outlets: tuple[str, ...] = ()
    """names of the outlets that are open; all when empty (`rfasim devices NAME` lists them)"""
    rate: Flow
    """volume flow of all open outlets together; 0: none, to compare with"""
    concentration: Concentration = ISOTONIC
    """NaCl in the fluid; % are g per 100 ml"""
    temperature: FluidTemperature = 21.0
    """of the fluid where it leaves the device"""
    before: Time = 0.0
    """how long before the start of the run the pump is switched on"""
    start: Time = 0.0
    """simulated time at which the pump is switched on"""
    stop: Time | None = None
    """simulated time at which it is switched off; at the end of the run when not stated"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.before > 0 and self.start > 0:
            raise Problems([("before", "and start say the same thing; leave one out")])
        if self.stop is not None and self.stop <= self.start:
            raise Problems([("stop", f"{text(self.stop, 's')} is not after start, {text(self.start, 's')}")])
        return self

    @property
    def spans(self) -> tuple[float, float | None]:
        """When the pump runs [s], from and to; before the run is negative."""
        return (-self.before if self.before > 0 else self.start, self.stop)


class Bolus(Record):
    """A volume of fluid injected before the run, as by a syringe at one place."""

    at: Point
    """where the needle's opening was"""
    volume: Volume
    """of the fluid"""
    concentration: Concentration = ISOTONIC
    """NaCl in the fluid; % are g per 100 ml"""
    before: Duration = 60.0
    """time from the beginning of the injection to the start of the run"""
    duration: Duration = 30.0
    """how long the injection took"""
    radius: Length = 1e-3
    """within which of the place the fluid enters the tissue"""
    spread: Literal["pressure", "ball"] = "pressure"
    """pressure: it seeps through the pores as pressure drives it; ball: it fills the pores of a ball"""

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if self.duration > self.before:
            problem = f"{text(self.duration, 's')} is longer than before, {text(self.before, 's')}: the run would begin"
            raise Problems([("duration", f"{problem} while it is still injected; use an infusion for that")])
        return self


class Saline(Record):
    """Saline in the tissue: injections and infusions, and how the fluid and its salt get on. The tissues say how wide
    their pores are, how easily they let a fluid pass and how much they swell."""

    infusions: tuple[Infusion, ...] = ()
    """what perfused devices let out"""
    boluses: tuple[Bolus, ...] = ()
    """what was injected before the run"""
    tissue_concentration: Concentration = ISOTONIC
    """NaCl of the fluid in the pores, and of the blood's water; isotonic"""
    diffusivity: Diffusivity = 7.4e-10
    """of salt in the pores: 2.0e-9 m^2/s in water at 37 degC times 0.37, as for water (`boiling.water_diffusivity`)"""
    dispersivity: Distance = 5e-4
    """length over which the flow's ways through the tissue differ: half the width of a liver lobule, 1 mm (assumed)"""
    viscosity: Viscosity = 7e-4
    """of the fluid in the pores; water at 37 degC"""
    extraction: Fraction = 1.0
    """share of its salt that passing blood exchanges with the pores: 1 where vessels are as open to it as sinusoids"""
    backflow_gap: Distance = 0.0
    """width of the gap between a device and the tissue, through which fluid runs back along the shaft; 0: sealed"""
    boundary: Literal["open", "sealed"] = "open"
    """whether fluid can leave through the outer boundary"""

    @property
    def active(self) -> bool:
        """Whether there is any."""
        return bool(self.boluses) or any(infusion.rate > 0 for infusion in self.infusions)

    @property
    def begins(self) -> float:
        """When the first of it is injected [s]; at most 0, the start of the run."""
        times = [infusion.spans[0] for infusion in self.infusions] + [-bolus.before for bolus in self.boluses]
        return min([0.0, *times])
