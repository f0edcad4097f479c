"""What a user may ask of a generator: one record a protocol.

A record says in a case file how a generator behaves; :meth:`Source.program` wires it to the terminals of a device and
gives the phases that ``generator.Program`` runs. To add a protocol, write its record and name it in ``Generator``.
What real devices run is in ``presets``.

    generator: {preset: leveen_rf3000, maximum: 80 W}
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Discriminator, Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic_core import core_schema

from rfasim.complaints import near, shown
from rfasim.errors import InputError
from rfasim.generator import (
    GROUND,
    Clock,
    Condition,
    Connection,
    Delivered,
    Drive,
    Elapsed,
    Exit,
    Impedance,
    Level,
    Limits,
    Measure,
    Phase,
    Program,
    Regulator,
    Shares,
    Warm,
    Yielding,
)
from rfasim.presets import PROTOCOLS
from rfasim.quantities import (
    Current,
    Duration,
    Energy,
    Fraction,
    Gain,
    GainRate,
    PositiveNumber,
    Power,
    PowerRate,
    Problems,
    Quantity,
    Record,
    Temperature,
    Time,
    Voltage,
    text,
)
from rfasim.quantities import Impedance as Ohms

Kelvins = Annotated[float, Quantity("K", 0.0, 100.0)]
Ratio = Annotated[float, Quantity("", 1.0, 1e6)]


class Threshold(Record):
    """A roll-off: the impedance's size has risen over the lowest one so far, because tissue at the contact dried.

    Devices differ (+20 ohm, +30 ohm, 1.2 or 2 times): whichever of the stated rises comes first counts.
    """

    rise: Ohms | None = 30.0
    """rise over the lowest impedance that counts as roll-off"""
    ratio: PositiveNumber | None = None
    """or this many times the lowest impedance so far"""
    above: Ohms | None = None
    """or this impedance itself"""

    def condition(self, baseline: Literal["lowest", "start"] = "lowest") -> Impedance:
        return Impedance(self.rise, self.ratio, self.above, baseline)

    @property
    def stated(self) -> bool:
        return not (self.rise is None and self.ratio is None and self.above is None)


class RollOff(Threshold):
    """What counts as roll-off, and whether it ends the run.

    The impedance's size has risen over the lowest one so far, because tissue at the contact dried. Devices differ
    (+20 ohm, +30 ohm, 1.2 or 2 times): whichever of the stated rises comes first counts.
    """

    stop: bool = True
    """end the run at roll-off"""

    def exits(self) -> tuple[Exit, ...]:
        """The exit that ends the run, or only notes the first roll-off."""
        return (Exit(self.condition(), "stop" if self.stop else "note", roll_off=True),) if self.stated else ()


class Source(Record):
    """What all protocols have: how long the generator is on, and the most it can give."""

    preset: str | None = None
    """the row of the catalogue that the values come from, unless stated"""
    duration: Duration = 720.0
    """how long the generator is on at most"""
    max_power: Power = 200.0
    """the source's largest power (200 W class generator)"""
    max_voltage: Voltage = 200.0
    """the source's largest RMS voltage (assumed)"""
    max_current: Current = 2.0
    """the source's largest RMS current (2000 mA class generator)"""

    @property
    def limits(self) -> Limits:
        return Limits(self.max_power, self.max_voltage, self.max_current)

    @property
    def peak_power(self) -> float:
        """The most it can command [W]."""
        return self.max_power

    def program(self, default: Connection, terminals: tuple[str, ...]) -> Program:
        """The protocol wired to a device.

        ``default`` is how the device is wired unless the protocol switches; ``terminals`` are all that can be wired.
        Raises InputError with a path below ``generator``.
        """
        return Program((default,), self.plan(), self.limits, self.duration)

    def plan(self) -> tuple[Phase, ...]:
        """The phases on the one connection of a protocol that does not switch."""
        raise NotImplementedError(f"{type(self).__name__} has to say what its phases are")

    def _over(self, **given: float) -> list[tuple[str, str]]:
        """Powers that are more than the source can give, as problems."""
        limit = f"max_power, {text(self.max_power, 'W')}; lower it or raise the limit"
        over = [(name, value) for name, value in given.items() if value > self.max_power]
        return [(name, f"{text(value, 'W')} is more than {limit}") for name, value in over]


class ConstantPower(Source):
    """Hold the power; the voltage follows the tissue's impedance."""

    protocol: Literal["constant_power"]
    power: Power
    """the power to hold"""
    roll_off: RollOff = RollOff()

    @property
    def peak_power(self) -> float:
        return self.power

    def plan(self) -> tuple[Phase, ...]:
        return (Phase("on", Level("power", self.power), exits=self.roll_off.exits()),)

    @model_validator(mode="after")
    def _below_limit(self) -> Self:
        if self.power > self.max_power:
            raise ValueError(f"power: {self.power:g} W is more than max_power {self.max_power:g} W; raise the limit")
        return self


class ConstantVoltage(Source):
    """Hold the RMS voltage."""

    protocol: Literal["constant_voltage"]
    voltage: Voltage
    """the RMS voltage to hold"""
    roll_off: RollOff = RollOff()

    def plan(self) -> tuple[Phase, ...]:
        return (Phase("on", Level("voltage", self.voltage), exits=self.roll_off.exits()),)

    @model_validator(mode="after")
    def _below_limit(self) -> Self:
        if self.voltage > self.max_voltage:
            raise ValueError(
                f"voltage: {self.voltage:g} V is more than max_voltage {self.max_voltage:g} V; raise the limit"
            )
        return self


class ConstantCurrent(Source):
    """Hold the RMS current."""

    protocol: Literal["constant_current"]
    current: Current
    """the RMS current to hold"""
    roll_off: RollOff = RollOff()

    def plan(self) -> tuple[Phase, ...]:
        return (Phase("on", Level("current", self.current), exits=self.roll_off.exits()),)

    @model_validator(mode="after")
    def _below_limit(self) -> Self:
        if self.current > self.max_current:
            raise ValueError(
                f"current: {self.current:g} A is more than max_current {self.max_current:g} A; raise the limit"
            )
        return self


class RealSource(Source):
    """A source with an inner resistance: a load R takes ``4 power R R_I / (R + R_I)^2`` (Altrogge 2007)."""

    protocol: Literal["real_source"]
    power: Power = 200.0
    """the power it is set to, which only a load like its inner resistance takes (P_setup, Altrogge 2007)"""
    inner_resistance: Ohms = 80.0
    """R_I, Altrogge 2007"""
    max_voltage: Voltage = 1000.0
    """assumed not to bind: the formula has no such limit"""
    max_current: Current = 100.0
    """assumed not to bind: the formula has no such limit"""
    roll_off: RollOff = RollOff()

    @property
    def limits(self) -> Limits:
        return Limits(self.max_power, self.max_voltage, self.max_current, self.inner_resistance)

    @property
    def peak_power(self) -> float:
        return self.power

    def plan(self) -> tuple[Phase, ...]:
        emf = math.sqrt(4.0 * self.power * self.inner_resistance)
        return (Phase("on", Level("emf", emf), exits=self.roll_off.exits()),)

    @model_validator(mode="after")
    def _below_limit(self) -> Self:
        if found := self._over(power=self.power):
            raise Problems(found)
        return self


class PowerRamp(Source):
    """Power that rises until roll-off; then a pause and a restart at reduced power, until it rolls off for good.

    The restart holds a fraction of the power that was set at the roll-off. Umbrella (LeVeen) class.
    """

    protocol: Literal["power_ramp"]
    start: Power = 30.0
    """power at the start; World J Gastroenterol 2007;13:2841"""
    rate: PowerRate = 10.0 / 60.0
    """rise of the power; World J Gastroenterol 2007;13:2841"""
    every: Duration | None = None
    """turn the power up in steps, one after each such time; a steady rise when not stated"""
    maximum: Power | None = None
    """highest power; max_power when not stated"""
    roll_off: Threshold = Threshold()
    pause: Duration = 30.0
    """off after a roll-off"""
    fraction: Fraction = 0.5
    """of the power at roll-off to restart with; 0.5 to 0.7 in use"""
    restart: Duration | None = None
    """how long the reduced power is held; then a new ramp begins at start. Until roll-off when not stated"""
    roll_offs: int = Field(default=2, ge=1, le=20)
    """the roll-off that ends the run"""
    restart_until: Time | None = None
    """a roll-off later than this time of the run is final"""

    @property
    def peak_power(self) -> float:
        return self.max_power if self.maximum is None else self.maximum

    def plan(self) -> tuple[Phase, ...]:
        top = self.peak_power
        ramp = Level("power", self.start, rate=self.rate, every=self.every or 0.0, maximum=top)
        phases: list[Phase] = []
        for turn in range(1, self.roll_offs + 1):
            final = Exit(self.roll_off.condition(), "stop", roll_off=True)
            leave: tuple[Exit, ...] = (final,)
            if turn < self.roll_offs:
                again = Exit(self.roll_off.condition(), f"pause {turn}", roll_off=True)
                leave = (again,)
                if self.restart_until is not None:
                    again = Exit(again.when, again.to, roll_off=True, before=self.restart_until)
                    leave = (again, Exit(final.when, "stop", roll_off=True, after=self.restart_until))
            if turn == 1:
                phases.append(Phase("ramp", ramp, exits=leave))
            else:
                reduced = Level("power", share=self.fraction, maximum=top)
                held = () if self.restart is None else (Exit(Elapsed(self.restart), f"ramp {turn}"),)
                phases.append(Phase(f"restart {turn - 1}", reduced, exits=(*leave, *held)))
                if held:
                    phases.append(Phase(f"ramp {turn}", ramp, exits=leave))
            if turn < self.roll_offs:
                off = Exit(Elapsed(self.pause), f"restart {turn}")
                phases.append(Phase(f"pause {turn}", Level("power"), exits=(off,)))
        return tuple(phases)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        found = self._over(start=self.start, **({} if self.maximum is None else {"maximum": self.maximum}))
        if not found and self.start > self.peak_power:
            found.append(("start", f"{text(self.start, 'W')} is more than maximum, {text(self.peak_power, 'W')}"))
        if self.rate <= 0:
            found.append(("rate", "has to be more than 0 W/min; for a steady power use protocol: constant_power"))
        if not self.roll_off.stated:
            found.append(("roll_off", "says nothing; give it a rise, a ratio or an impedance above which it counts"))
        if found:
            raise Problems(found)
        return self


class Pulsed(Source):
    """Power or current that is held until the impedance has risen, then a rest at little power, and again.

    Impedance-controlled pulsing of internally cooled needles; each end of a pulse counts as a roll-off.
    """

    protocol: Literal["pulsed"]
    power: Power | None = None
    """power during a pulse"""
    current: Current | None = None
    """or current during a pulse"""
    roll_off: Threshold = Threshold(rise=20.0)
    """ends a pulse: +20 ohm (Ji, Acad Radiol 2011;18:1171), elsewhere +30 ohm"""
    baseline: Literal["lowest", "start"] = "lowest"
    """what the impedance rises over: the lowest so far, or that at the start"""
    rest: Duration = 15.0
    """time between pulses; Ji, Acad Radiol 2011"""
    rest_power: Power = 10.0
    """power between pulses; Ji, Acad Radiol 2011 (elsewhere 0 W)"""
    blanking: Time = 2.0
    """time after switching on in which the impedance does not count (assumed)"""

    @property
    def peak_power(self) -> float:
        return self.max_power if self.power is None else max(self.power, self.rest_power)

    def plan(self) -> tuple[Phase, ...]:
        pulse = Level("power", self.power) if self.power is not None else Level("current", self.current or 0.0)
        risen = Exit(self.roll_off.condition(self.baseline), "rest", roll_off=True, blank=self.blanking)
        return (
            Phase("pulse", pulse, exits=(risen,)),
            Phase("rest", Level("power", self.rest_power), exits=(Exit(Elapsed(self.rest), "pulse"),)),
        )

    @model_validator(mode="after")
    def _one_pulse(self) -> Self:
        found = self._over(rest_power=self.rest_power, **({} if self.power is None else {"power": self.power}))
        if (self.power is None) == (self.current is None):
            what = "neither" if self.power is None else "both (beside a preset take one away with null)"
            found.append(("", f"needs either the power or the current of a pulse; it has {what}"))
        if self.current is not None and self.current > self.max_current:
            found.append(
                ("current", f"{text(self.current, 'A')} is more than max_current, {text(self.max_current, 'A')}")
            )
        if not self.roll_off.stated:
            found.append(("roll_off", "says nothing; give it a rise, a ratio or an impedance above which it counts"))
        if found:
            raise Problems(found)
        return self


class Stage(Record):
    """A stretch at the target temperature."""

    stage: int = Field(default=0, ge=0)
    """how far the device is deployed, counted from 0"""
    hold: Duration
    """time at the target; it begins when the target is reached"""


class TemperatureControl(Source):
    """Power that takes the thermocouples to a target and holds them there, stage by stage of the deployment.

    ``P = gain e + integral_gain * integral of e dt`` with e = target - temperature, between 0 and power.
    """

    protocol: Literal["temperature"]
    target: Temperature
    """temperature that the thermocouples are taken to"""
    power: Power
    """the highest power that the controller may command"""
    gain: Gain = 2.0
    """proportional gain (assumed: it damps the integral part; 1 W/K suits a needle, 3 W/K a multi-tined device)"""
    integral_gain: GainRate = 0.025
    """integral gain: Go-Smart's 0.025 W/K a step, read as a gain per second (assumed)"""
    measure: Measure = "average"
    """which of the thermocouples is controlled: their average, the lowest or the highest"""
    within: Kelvins = 0.5
    """the target counts as reached so far below it (assumed: the display shows whole degrees)"""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """how long at the target, stage by stage of the deployment"""
    roll_off: RollOff = RollOff(stop=False)

    @property
    def peak_power(self) -> float:
        return self.power

    def plan(self) -> tuple[Phase, ...]:
        drive = Regulator(self.target, self.power, self.gain, self.integral_gain, self.measure)
        reached = Exit(Warm(self.target - self.within, self.measure), "next")
        watch = self.roll_off.exits()
        phases: list[Phase] = []
        for number, stage in enumerate(self.stages, 1):
            phases.append(Phase(f"heat {number}", drive, stage=stage.stage, exits=(*watch, reached)))
            held = Exit(Elapsed(stage.hold), "next")
            phases.append(Phase(f"hold {number}", drive, stage=stage.stage, exits=(*watch, held)))
        return tuple(phases)

    @model_validator(mode="after")
    def _can_control(self) -> Self:
        found = self._over(power=self.power)
        if self.gain == 0 and self.integral_gain == 0:
            found.append(("gain", "and integral_gain are both 0, so nothing would ever heat; raise one of them"))
        for index in range(1, len(self.stages)):
            if self.stages[index].stage < self.stages[index - 1].stage:
                found.append((f"stages[{index}].stage", "goes back; tines are only pushed further out"))
        if found:
            raise Problems(found)
        return self


class Reduction(Record):
    """How power gives way to a rising resistance: full up to ``begin`` times the lowest one so far, then falling
    linearly to ``least`` at ``end`` times it. The device's own law is not published: all numbers are assumed."""

    begin: Ratio = 1.2
    """times the lowest impedance up to which the power is full (assumed)"""
    end: Ratio = 2.0
    """times the lowest impedance from which the power is least (assumed)"""
    least: Power = 2.0
    """what is left of the power (assumed)"""

    def drive(self, power: float) -> Yielding:
        return Yielding(power, min(self.least, power), self.begin, self.end)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.begin:
            raise Problems([("end", f"{self.end:g} is not above begin, {self.begin:g}")])
        return self


class ResistanceControl(Source):
    """Power that is reduced as the tissue's resistance rises, until a target energy is delivered. Celon class."""

    protocol: Literal["resistance_controlled"]
    power: Power
    """the power while the resistance is low"""
    energy: Energy | None = None
    """target energy, at which it stops"""
    reduction: Reduction = Reduction()
    duration: Duration = 1800.0
    """how long the generator is on at most (assumed: the energy ends it)"""
    roll_off: RollOff = RollOff(stop=False)

    @property
    def peak_power(self) -> float:
        return self.power

    def plan(self) -> tuple[Phase, ...]:
        enough = () if self.energy is None else (Exit(Delivered(self.energy), "stop"),)
        return (Phase("on", self.reduction.drive(self.power), exits=(*enough, *self.roll_off.exits())),)

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        found = self._over(power=self.power) + _no_energy(self.energy)
        if found:
            raise Problems(found)
        return self


Pair = tuple[tuple[str, ...], tuple[str, ...]]
Pairs = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[tuple[Pair, ...], Field(min_length=1), Tag("list")],
    Discriminator(lambda given: "all" if isinstance(given, str) else "list"),
]


class Switching(Source):
    """Multipolar: the pairs of contacts take turns, each with the same power for the same time.

    Switching that is much faster than heat spreads may be averaged: every pair is on all the time with its share.
    """

    protocol: Literal["switching"]
    pairs: Pairs = "all"
    """"all" pairs of terminals, or a list of pairs [sources, returns]"""
    dwell: Duration = 1.0
    """how long a pair's turn is (assumed)"""
    power: Power
    """what a pair gets during its turn"""
    averaged: bool = False
    """take the average over all turns instead of following each"""
    reduction: Reduction | None = None
    """let the power give way to a rising resistance, pair by pair (all together when averaged)"""
    energy: Energy | None = None
    """target energy, at which it stops"""
    roll_off: RollOff = RollOff(stop=False)

    @property
    def peak_power(self) -> float:
        return self.power

    def program(self, default: Connection, terminals: tuple[str, ...]) -> Program:
        if self.pairs == "all":
            if len(terminals) < 2:
                known = ", ".join(terminals) or "none"
                raise InputError("pairs", f"all pairs need at least two terminals; there are: {known}")
            wired = [Connection((a,), (b,)) for a, b in itertools.combinations(terminals, 2)]
        else:
            wired = [
                _wired(source, returns, terminals, f"pairs[{index}]", "[0]", "[1]")
                for index, (source, returns) in enumerate(self.pairs)
            ]
        drive = Level("power", self.power) if self.reduction is None else self.reduction.drive(self.power)
        enough = () if self.energy is None else (Exit(Delivered(self.energy), "stop"),)
        leave = (*enough, *self.roll_off.exits())
        n = len(wired)
        if self.averaged or n == 1:
            shares: Shares = tuple((k, 1.0 / n) for k in range(n))
            phases: tuple[Phase, ...] = (Phase("all pairs", drive, shares, exits=leave),)
        else:
            names = [f"pair {k + 1}" for k in range(n)]
            phases = tuple(
                Phase(names[k], drive, ((k, 1.0),), exits=(*leave, Exit(Elapsed(self.dwell), names[(k + 1) % n])))
                for k in range(n)
            )
        return Program(tuple(wired), phases, self.limits, self.duration)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = self._over(power=self.power) + _no_energy(self.energy)
        if found:
            raise Problems(found)
        return self


class SwitchingMonopolar(Source):
    """Needles take turns against the ground: the next one's turn comes when the impedance has risen, or after a time.

    What is not on floats. Each needle's impedance rises over its own lowest.
    """

    protocol: Literal["switching_monopolar"]
    power: Power
    """what a needle gets during its turn"""
    longest: Duration = 30.0
    """longest turn of a needle (assumed)"""
    roll_off: Threshold = Threshold()
    """ends a needle's turn (assumed: +30 ohm; the device switches "according to the impedance changes")"""
    blanking: Time = 2.0
    """time after switching in which the impedance does not count (assumed)"""

    @property
    def peak_power(self) -> float:
        return self.power

    def program(self, default: Connection, terminals: tuple[str, ...]) -> Program:
        if len(terminals) < 2:
            known = ", ".join(terminals) or "none"
            raise InputError("protocol", f"switching_monopolar needs at least two terminals; there are: {known}")
        wired = tuple(Connection((name,), (GROUND,)) for name in terminals)
        names = [f"needle {k + 1}" for k in range(len(terminals))]
        phases = []
        for k, name in enumerate(names):
            to = names[(k + 1) % len(names)]
            leave = [Exit(Elapsed(self.longest), to)]
            if self.roll_off.stated:
                leave.insert(0, Exit(self.roll_off.condition(), to, roll_off=True, blank=self.blanking))
            phases.append(Phase(name, Level("power", self.power), ((k, 1.0),), exits=tuple(leave)))
        return Program(wired, tuple(phases), self.limits, self.duration)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = self._over(power=self.power)
        if self.blanking >= self.longest:
            found.append(("blanking", f"{self.blanking:g} s is not less than longest, {self.longest:g} s"))
        if found:
            raise Problems(found)
        return self


class Until(Record):
    """What ends a phase of a table; whichever of the stated conditions comes first."""

    impedance_rise: Ohms | None = None
    """over the lowest impedance so far of the same contacts"""
    impedance_ratio: PositiveNumber | None = None
    """or this many times it"""
    impedance: Ohms | None = None
    """or this impedance"""
    temperature: Temperature | None = None
    """temperature of the thermocouples that has to be reached"""
    measure: Measure = "average"
    """of the thermocouples: their average, the lowest or the highest"""
    energy: Energy | None = None
    """delivered since the start of the run"""
    time: Duration | None = None
    """since the start of the run"""
    blanking: Time = 0.0
    """time after the phase began in which the impedance does not count"""

    def exits(self, to: str) -> tuple[Exit, ...]:
        found: list[Exit] = []
        if not (self.impedance_rise is None and self.impedance_ratio is None and self.impedance is None):
            risen = Impedance(self.impedance_rise, self.impedance_ratio, self.impedance)
            found.append(Exit(risen, to, roll_off=True, blank=self.blanking))
        others: list[Condition] = []
        if self.temperature is not None:
            others.append(Warm(self.temperature, self.measure))
        if self.energy is not None:
            others.append(Delivered(self.energy))
        if self.time is not None:
            others.append(Clock(self.time))
        return (*found, *(Exit(when, to) for when in others))

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        found = _no_energy(self.energy)
        if not found and not self.exits("next"):
            found = [("", "says nothing; give for example energy, temperature, time or impedance_rise")]
        if found:
            raise Problems(found)
        return self


class Wires(Record):
    """How the generator is wired during a phase; contacts in neither list float."""

    source: tuple[str, ...] = Field(min_length=1)
    """contacts on the generator's one end"""
    returns: tuple[str, ...] = (GROUND,)
    """contacts, or ground, on its other end"""


class TablePhase(Record):
    """A line of a user's table: what is held, for how long or until when, and what follows."""

    name: str = Field(default="", max_length=40)
    """phase 1, phase 2, ... when not stated"""
    power: Power | None = None
    """the power to hold"""
    voltage: Voltage | None = None
    """or the RMS voltage"""
    current: Current | None = None
    """or the RMS current"""
    temperature: Temperature | None = None
    """or hold the thermocouples at this temperature, with at most max_power"""
    off: bool = False
    """or nothing is on"""
    ramp: PowerRate = 0.0
    """rise of the power from the stated one on; it may be negative"""
    lasts: Duration | None = None
    """how long the phase lasts at most"""
    until: Until | None = None
    """or what ends it"""
    then: str = "next"
    """the name of the phase that follows, next, or stop"""
    connect: Wires | None = None
    """how the generator is wired; as for the case when not stated"""
    stage: int = Field(default=0, ge=0)
    """how far the device is deployed, counted from 0"""

    def exits(self) -> tuple[Exit, ...]:
        lasts = () if self.lasts is None else (Exit(Elapsed(self.lasts), self.then),)
        return (*(() if self.until is None else self.until.exits(self.then)), *lasts)

    @model_validator(mode="after")
    def _holds_one_thing(self) -> Self:
        kinds = ("power", "voltage", "current", "temperature")
        held = [name for name in kinds if getattr(self, name) is not None] + (["off"] if self.off else [])
        found: list[tuple[str, str]] = []
        if not held:
            found.append(("", "holds nothing; give power, voltage, current or temperature, or off: true"))
        elif len(held) > 1:
            found.append((held[1], f"is given beside {held[0]}; a phase holds one of them"))
        if self.ramp and self.power is None:
            found.append(("ramp", "is a rise of power; give the power it starts from"))
        if self.name in ("next", "stop", "note"):
            found.append(("name", f"'{self.name}' has a meaning of its own; take another name"))
        if found:
            raise Problems(found)
        return self


class PhaseTable(Source):
    """A protocol of the user's own: phases one after the other, each with what is held and what ends it."""

    protocol: Literal["table"]
    phases: tuple[TablePhase, ...] = Field(min_length=1)
    """the lines of the table, one after the other"""
    gain: Gain = 2.0
    """proportional gain of phases that hold a temperature (assumed)"""
    integral_gain: GainRate = 0.025
    """their integral gain: Go-Smart's 0.025 W/K a step, read as a gain per second (assumed)"""
    measure: Measure = "average"
    """which of the thermocouples they control: their average, the lowest or the highest"""

    @property
    def names(self) -> tuple[str, ...]:
        """The phases' names, made up where the user gave none."""
        return tuple(phase.name or f"phase {number}" for number, phase in enumerate(self.phases, 1))

    @property
    def peak_power(self) -> float:
        lines = [line for line in self.phases if not line.off]
        return max((self._peak(line) for line in lines), default=0.0)

    def _peak(self, line: TablePhase) -> float:
        if line.power is None or (line.ramp > 0 and line.lasts is None):
            return self.max_power
        return line.power + max(0.0, line.ramp * (line.lasts or 0.0))

    def program(self, default: Connection, terminals: tuple[str, ...]) -> Program:
        wired = [default]
        phases = []
        for index, (name, line) in enumerate(zip(self.names, self.phases, strict=True)):
            connection = default
            if line.connect is not None:
                path = f"phases[{index}].connect"
                connection = _wired(line.connect.source, line.connect.returns, terminals, path, ".source", ".returns")
            if connection not in wired:
                wired.append(connection)
            phases.append(
                Phase(name, self._drive(line), ((wired.index(connection), 1.0),), line.stage, line.exits())
            )
        return Program(tuple(wired), tuple(phases), self.limits, self.duration)

    def _drive(self, line: TablePhase) -> Drive:
        if line.temperature is not None:
            return Regulator(line.temperature, self.max_power, self.gain, self.integral_gain, self.measure)
        if line.voltage is not None:
            return Level("voltage", line.voltage)
        if line.current is not None:
            return Level("current", line.current)
        return Level("power", line.power or 0.0, rate=line.ramp, maximum=self.max_power)

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        found = [*self._wrong_values(), *self._wrong_names()]
        if not found:
            found = [*self._dead_ends()]
        if found:
            raise Problems(found)
        return self

    def _wrong_values(self) -> Iterable[tuple[str, str]]:
        for index, line in enumerate(self.phases):
            path = f"phases[{index}]"
            for name, unit in (("power", "W"), ("voltage", "V"), ("current", "A")):
                value, most = getattr(line, name), getattr(self, f"max_{name}")
                if value is not None and value > most:
                    yield f"{path}.{name}", f"{text(value, unit)} is more than max_{name}, {text(most, unit)}"
            if line.power is not None and line.ramp and line.lasts is not None:
                end = line.power + line.ramp * line.lasts
                if not 0 <= end <= self.max_power * (1 + 1e-9):
                    bounds = f"0 W to max_power, {text(self.max_power, 'W')}"
                    yield (
                        f"{path}.ramp",
                        f"leads to {end:g} W after {line.lasts:g} s, which is outside {bounds}; change ramp or lasts",
                    )
            if line.until is not None and line.until.time is not None and line.until.time > self.duration:
                yield f"{path}.until.time", f"{line.until.time:g} s is after the duration, {self.duration:g} s"

    def _wrong_names(self) -> Iterable[tuple[str, str]]:
        names = self.names
        for index, (name, line) in enumerate(zip(names, self.phases, strict=True)):
            if name in names[:index]:
                yield f"phases[{index}].name", f"'{name}' is the name of an earlier phase; give each its own"
            if line.then not in (*names, "next", "stop"):
                known = near(line.then, [*names, "next", "stop"])
                yield f"phases[{index}].then", f"'{line.then}' is no phase; {known}"
            if line.then != "next" and not line.exits():
                yield f"phases[{index}].then", "is never reached: the phase has no end; give it lasts or until"

    def _dead_ends(self) -> Iterable[tuple[str, str]]:
        """Phases that cannot be reached, told where the way to them ends."""
        reached, here = [0], 0
        while self.phases[here].exits():
            then = self.phases[here].then
            if then == "stop" or (then == "next" and here == len(self.phases) - 1):
                break
            here = here + 1 if then == "next" else self.names.index(then)
            if here in reached:
                break
            reached.append(here)
        lost = [name for index, name in enumerate(self.names) if index not in reached]
        if lost and not self.phases[here].exits():
            yield f"phases[{here}]", f"never ends, so '{lost[0]}' is never reached; give it lasts or until"
        elif lost:
            yield f"phases[{self.names.index(lost[0])}]", "is never reached; let some phase lead to it or take it out"


def _no_energy(energy: float | None) -> list[tuple[str, str]]:
    return [("energy", "is 0 J, so nothing would be on; leave it out for no target")] if energy == 0 else []


def _wired(source: tuple[str, ...], returns: tuple[str, ...], terminals: tuple[str, ...], path: str, first: str,
           second: str) -> Connection:  # fmt: skip
    """The connection of named terminals; raises InputError below ``path`` + ``first`` or ``second``."""
    taken: dict[str, str] = {}
    for names, below, known in ((source, first, terminals), (returns, second, (*terminals, GROUND))):
        if not names:
            raise InputError(path + below, f"is empty; name at least one of {', '.join(known)}")
        for index, name in enumerate(names):
            here = f"{path}{below}[{index}]"
            if name not in known:
                word = "is a return only" if name == GROUND else "is no terminal here"
                raise InputError(here, f"'{name}' {word}; {near(name, known)}")
            if name in taken:
                raise InputError(here, f"'{name}' is named already, in {taken[name]}; name each terminal once")
            taken[name] = here
    return Connection(source, returns)


# --------------------------------------------------------------------------------------- what a case file may say


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` with what ``above`` states laid over it, group by group."""
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def _from_preset(data: Any) -> Any:
    """What the case does not state is as in the named row of the catalogue."""
    if isinstance(data, str) and data in PROTOCOLS:
        raise ValueError(f"got '{data}', which is a preset; write generator: {{preset: {data}}}")
    if not isinstance(data, dict) or (name := data.get("preset")) is None:
        return data
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise ValueError(f"preset: got {shown(name)}; {near(str(name), PROTOCOLS)}")
    row = PROTOCOLS[name].data
    if data.get("protocol", row["protocol"]) != row["protocol"]:
        raise ValueError(f"protocol: the preset {name} runs {row['protocol']}; leave protocol or preset out")
    return _merged(row, data)


class _OrPreset:
    """In the schema for editors: a preset alone is enough."""

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
                                     ) -> dict[str, Any]:  # fmt: skip
        named = {"type": "object", "properties": {"preset": {"enum": list(PROTOCOLS)}}, "required": ["preset"]}
        return {"anyOf": [handler(schema), named]}


Generator = Annotated[
    ConstantPower
    | ConstantVoltage
    | ConstantCurrent
    | RealSource
    | PowerRamp
    | Pulsed
    | TemperatureControl
    | ResistanceControl
    | Switching
    | SwitchingMonopolar
    | PhaseTable,
    Field(discriminator="protocol"),
    BeforeValidator(_from_preset),
    _OrPreset(),
]
ALL_PROTOCOLS: tuple[type[Source], ...] = get_args(get_args(Generator)[0])
