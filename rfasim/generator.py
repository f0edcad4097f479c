"""What a generator measures, what it commands, and when it goes over to something else or stops.

Knows no field and no device: only volts, amperes, watts, ohms, the readings of thermocouples, and the names of the
terminals it is wired to. All amplitudes are RMS. A protocol is data (a tuple of phases); :class:`Program` runs it, and
what it has to remember is a :class:`Memory`. Every method is pure: the same memory and reading give the same result.

    program = Program((Connection(("electrodes[0].contact",), (GROUND,)),), (Phase("on", Level("power", 30.0)),), ...)
    memory = program.begin()
    quantity, value = program.setpoint(memory, time, impedance, temperatures)
    memory = program.observe(memory, operate(quantity, value, program.limits, admittance, time))
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Literal

Quantity = Literal["power", "voltage", "current", "emf"]
Measure = Literal["average", "lowest", "highest"]
Shares = tuple[tuple[int, float], ...]

GROUND = "ground"
"""the dispersive pad, or the domain's boundary"""
NOW = 1e-9
"""s: times closer than this are the same"""
PARTS = 16
"""pieces of a step within which a regulator's bound is met"""


@dataclass(frozen=True)
class Reading:
    """What a generator measures: time [s], voltage [V], current [A], power [W], complex impedance [ohm], and the
    temperatures [degC] of the devices' thermocouples, in the devices' order."""

    time: float
    voltage: float
    current: float
    power: float
    impedance: complex
    limited_by: str = ""
    temperatures: tuple[float, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Largest power [W], voltage [V] and current [A] that the source can give, and its inner resistance [ohm]."""

    power: float
    voltage: float
    current: float
    inner_resistance: float = 0.0


def operate(quantity: Quantity, value: float, limits: Limits, admittance: complex, time: float = 0.0) -> Reading:
    """Operating point of a source that holds ``quantity`` at ``value`` [V, A or W] on a load of ``admittance`` [S].

    ``I = |Y| V``, ``P = Re(Y) V^2``; the lowest of the voltages that command and limits allow wins. "emf" is an
    open-circuit voltage behind ``limits.inner_resistance``: ``V = emf / |1 + R_I Y|``, so that a resistance R takes
    ``4 P_setup R R_I / (R + R_I)^2`` with ``P_setup = emf^2 / (4 R_I)`` (Altrogge 2007).
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
        "emf": lambda: value / abs(1.0 + limits.inner_resistance * admittance),
    }[quantity]()
    if value == 0.0:
        wanted = 0.0  # off is off, even on an open circuit
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


@dataclass(frozen=True)
class Connection:
    """Terminals on the generator's one end and on its other end; what is in neither floats."""

    source: tuple[str, ...]
    returns: tuple[str, ...]


def mean_reading(readings: Sequence[tuple[float, Reading]]) -> Reading:
    """What a generator shows that switches faster than it can be read: shares of time and readings -> their mean.

    Power and impedance are means, voltage and current effective values.
    """
    if len(readings) == 1:
        return readings[0][1]
    total = sum(share for share, _ in readings)
    return Reading(
        time=readings[0][1].time,
        voltage=math.sqrt(sum(share * r.voltage**2 for share, r in readings) / total),
        current=math.sqrt(sum(share * r.current**2 for share, r in readings) / total),
        power=sum(share * r.power for share, r in readings),
        impedance=sum(share * r.impedance for share, r in readings) / total,
        limited_by=next((r.limited_by for _, r in readings if r.limited_by), ""),
    )


# ------------------------------------------------------------------------------------------ what a generator holds


@dataclass(frozen=True)
class Level:
    """A quantity held at ``value + share * (power at the last roll-off) + rate * (time since the phase began)``.

    ``rate`` is per second, ``maximum`` bounds the result. With ``every`` > 0 [s] the rise comes in steps of
    ``rate * every``, as when somebody turns the power up once a minute.
    """

    quantity: Quantity
    value: float = 0.0
    share: float = 0.0
    rate: float = 0.0
    every: float = 0.0
    maximum: float = math.inf

    def at(self, elapsed: float, roll_off_power: float) -> float:
        """The value after ``elapsed`` seconds of rise."""
        return max(0.0, min(self.maximum, self.value + self.share * roll_off_power + self.rate * elapsed))


@dataclass(frozen=True)
class Regulator:
    """Power that takes the thermocouples to ``target`` [degC]: ``gain e + integral_gain * integral of e dt``.

    ``e`` = target - temperature; gains in W/K and W/(K s). The integral is kept where it can act (0 to ``maximum``
    [W], and no more than a limited source gives), so that it does not wind up during heating.
    """

    target: float
    maximum: float
    gain: float
    integral_gain: float
    measure: Measure = "average"

    def error(self, temperatures: tuple[float, ...]) -> float:
        return self.target - measured(temperatures, self.measure)

    def integral(self, before: float, last: float, now: float, dt: float) -> float:
        """The integral part [W] a time ``dt`` after it was ``before``, with errors ``last`` and ``now`` [K].

        The error runs linearly; the bound is met within the step, so that the result does not depend on its length.
        """
        value = before
        for part in range(PARTS):
            begins, ends = (last + (now - last) * (part + k) / PARTS for k in (0, 1))
            wanted = value + self.integral_gain * dt / PARTS * 0.5 * (begins + ends)
            value = min(max(wanted, 0.0), max(0.0, self.maximum - self.gain * ends))
        return value


@dataclass(frozen=True)
class Yielding:
    """Power that gives way to a rising impedance: ``power`` [W] up to ``begin`` times the lowest impedance so far,
    then falling linearly to ``least`` [W] at ``end`` times the lowest."""

    power: float
    least: float
    begin: float
    end: float

    def at(self, impedance: float, lowest: float) -> float:
        ratio = impedance / lowest if math.isfinite(impedance) else math.inf
        way = min(max((ratio - self.begin) / (self.end - self.begin), 0.0), 1.0)
        return self.power + way * (self.least - self.power)


Drive = Level | Regulator | Yielding


def measured(temperatures: tuple[float, ...], measure: Measure) -> float:
    """Average, lowest or highest of the thermocouples [degC]."""
    if not temperatures:
        raise ValueError("a protocol that watches temperatures needs a thermocouple")
    if measure == "average":
        return math.fsum(temperatures) / len(temperatures)
    return min(temperatures) if measure == "lowest" else max(temperatures)


# ----------------------------------------------------------------------------------------- what ends a phase


@dataclass(frozen=True)
class Elapsed:
    """So many seconds after the phase began."""

    time: float


@dataclass(frozen=True)
class Clock:
    """So many seconds after the run began."""

    time: float


@dataclass(frozen=True)
class Impedance:
    """The impedance's size has risen by ``rise`` [ohm] over its baseline, to ``ratio`` times it, or to ``above`` [ohm]:
    whichever comes first. The baseline is the lowest so far, or the first, seen by the same contacts."""

    rise: float | None = None
    ratio: float | None = None
    above: float | None = None
    baseline: Literal["lowest", "start"] = "lowest"

    def threshold(self, base: float) -> float:
        """The impedance [ohm] that counts, over a baseline of ``base`` [ohm]."""
        found = math.inf
        if self.rise is not None:
            found = min(found, base + self.rise)
        if self.ratio is not None:
            found = min(found, base * self.ratio)
        if self.above is not None:
            found = min(found, self.above)
        return found


@dataclass(frozen=True)
class Warm:
    """The thermocouples have reached ``temperature`` [degC]."""

    temperature: float
    measure: Measure = "average"


@dataclass(frozen=True)
class Delivered:
    """So much energy [J] has been delivered since the run began."""

    energy: float


Condition = Elapsed | Clock | Impedance | Warm | Delivered
_REASONS = {Elapsed: "time", Clock: "time", Impedance: "impedance", Warm: "temperature", Delivered: "energy"}


@dataclass(frozen=True)
class Exit:
    """When a phase ends, and what follows: ``to`` is a phase's name, "next", "stop" or "note".

    "note" only counts the run's first roll-off and goes on. A ``blank`` time [s] after the phase began the exit cannot
    happen; nor outside the run's time from ``after`` to ``before`` [s].
    """

    when: Condition
    to: str = "next"
    roll_off: bool = False
    blank: float = 0.0
    after: float = 0.0
    before: float = math.inf

    @property
    def reason(self) -> str:
        return "roll_off" if self.roll_off else _REASONS[type(self.when)]


@dataclass(frozen=True)
class Phase:
    """A stretch of a protocol: what is held, on which connections, at which deployment stage, until when.

    ``shares``: pairs of (index of a connection, share of the time); each connection gets the set value while its turn
    is on. ``stage``: how far the device is deployed.
    """

    name: str
    drive: Drive
    shares: Shares = ((0, 1.0),)
    stage: int = 0
    exits: tuple[Exit, ...] = ()


# ------------------------------------------------------------------------------------------------- the machine


@dataclass(frozen=True)
class Memory:
    """All that a generator remembers; times in s, impedances in ohm, energies in J, powers in W.

    ``finished`` is empty while it runs, then why it ended. ``lowest`` and ``first`` are impedances by channel (contacts
    and stage), infinite where not seen yet. ``power`` is None right after a jump, when the last reading says nothing
    about what is on now. ``events``: (time, phase left, phase entered, reason).
    """

    time: float = 0.0
    phase: int = 0
    since: float = 0.0
    stage: int = 0
    finished: str = ""
    roll_offs: int = 0
    roll_off_time: float | None = None
    roll_off_power: float = 0.0
    lowest_impedance: float = math.inf
    lowest: tuple[float, ...] = ()
    first: tuple[float, ...] = ()
    energy: float = 0.0
    power: float | None = None
    integral: float = 0.0
    temperatures: tuple[float, ...] = ()
    events: tuple[tuple[float, str, str, str], ...] = ()

    def to_json(self) -> str:
        """As JSON text from which :meth:`from_json` makes the same bits."""
        return json.dumps(asdict(self))  # Python writes the shortest text that reads back to the same float

    @classmethod
    def from_json(cls, text: str) -> Memory:
        data = json.loads(text)
        for name in ("lowest", "first", "temperatures"):
            data[name] = tuple(data[name])
        data["events"] = tuple((float(t), str(a), str(b), str(why)) for t, a, b, why in data["events"])
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Program:
    """A protocol wired to a device: connections, phases, the source's limits, and how long it may last [s]."""

    connections: tuple[Connection, ...]
    phases: tuple[Phase, ...]
    limits: Limits
    duration: float

    def __post_init__(self) -> None:
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"two phases have the same name: {', '.join(names)}")
        for phase in self.phases:
            for index, _ in phase.shares:
                if not 0 <= index < len(self.connections):
                    raise ValueError(f"phase {phase.name} uses connection {index}; there are {len(self.connections)}")
            for leave in phase.exits:
                if leave.to not in (*names, "next", "stop", "note"):
                    raise ValueError(f"phase {phase.name} leads to {leave.to}, which is no phase")
                if leave.to == "note" and not leave.roll_off:
                    raise ValueError(f"phase {phase.name} notes something that is no roll-off")

    @cached_property
    def _channels(self) -> tuple[tuple[Shares, int], ...]:
        """What is seen through different contacts has impedances, and baselines, of its own."""
        return tuple(dict.fromkeys((phase.shares, phase.stage) for phase in self.phases))

    @cached_property
    def _channel_of(self) -> tuple[int, ...]:
        return tuple(self._channels.index((phase.shares, phase.stage)) for phase in self.phases)

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {phase.name: index for index, phase in enumerate(self.phases)}

    @property
    def needs_thermocouples(self) -> bool:
        """Whether some phase reads temperatures."""
        return any(
            isinstance(phase.drive, Regulator) or any(isinstance(leave.when, Warm) for leave in phase.exits)
            for phase in self.phases
        )

    @property
    def last_stage(self) -> int:
        """The highest deployment stage that the protocol asks for, counted from 0."""
        return max(phase.stage for phase in self.phases)

    def begin(self) -> Memory:
        """The memory of a generator that has just been switched on."""
        unseen = (math.inf,) * len(self._channels)
        return Memory(stage=self.phases[0].stage, lowest=unseen, first=unseen)

    def shares(self, memory: Memory) -> Shares:
        """The connections in use: pairs of (index, share of the time)."""
        return self.phases[memory.phase].shares

    def setpoint(self, memory: Memory, time: float, impedance: float, temperatures: tuple[float, ...] = ()
                 ) -> tuple[Quantity, float]:  # fmt: skip
        """What is held at ``time`` [s] >= ``memory.time``, and its value [W, V or A].

        ``impedance`` [ohm] and ``temperatures`` [degC] are those (expected) at ``time``. At an edge this is the value
        before the jump; after :meth:`observe` at the edge it is the value behind it.
        """
        drive = self.phases[memory.phase].drive
        if memory.finished:
            return "power", 0.0
        if isinstance(drive, Level):
            return drive.quantity, drive.at(self._elapsed(drive, memory, time), memory.roll_off_power)
        if isinstance(drive, Yielding):
            return "power", drive.at(impedance, min(impedance, memory.lowest[self._channel_of[memory.phase]]))
        error = drive.error(temperatures)
        return "power", min(max(drive.gain * error + self._integral(drive, memory, time, error), 0.0), drive.maximum)

    def regulates(self, memory: Memory) -> bool:
        """Whether what is held now answers to the thermocouples."""
        return not memory.finished and isinstance(self.phases[memory.phase].drive, Regulator)

    def edge(self, memory: Memory) -> float:
        """The next time [s] at which the clock ends a phase, arms an exit or makes the set value jump; at most the
        duration, infinite when the program is over. No step should cross it."""
        if memory.finished:
            return math.inf
        return min((time for time in self._edges(memory) if time > memory.time + NOW), default=self.duration)

    def excess(self, memory: Memory, reading: Reading) -> float:
        """How far ``reading`` is past the nearest condition that would end the phase, relative to its threshold.

        Negative before it, >= 0 behind it. What is not armed yet when the step begins, at ``memory.time``, is left out.
        """
        if memory.finished:
            return -math.inf
        return max(
            (
                self._margin(leave.when, memory, reading)
                for leave in self.phases[memory.phase].exits
                if not isinstance(leave.when, Elapsed | Clock) and self._armed(leave, memory, memory.time)
            ),
            default=-math.inf,
        )

    def observe(self, memory: Memory, reading: Reading) -> Memory:
        """The memory after a step that ended with ``reading``.

        Observe once more at the same time after a jump, with what is read then: it tells the power that is on now.
        Without that the first step behind a jump counts with the power at its end.
        """
        if reading.time < memory.time - NOW:
            raise ValueError(f"the reading at {reading.time:g} s is older than the memory, {memory.time:g} s")
        if memory.finished:
            return memory
        phase = self.phases[memory.phase]
        moved = reading.time > memory.time + NOW
        can_leave = reading.time > memory.since + NOW
        jumps = moved and self._jumps(phase, memory, reading.time)
        memory = self._taken_in(memory, reading)
        visited = {memory.phase}
        same_contacts = True
        at_end = reading.time >= self.duration - NOW
        while can_leave and (leave := self._fired(memory, reading, same_contacts)) is not None:
            if at_end and leave.to not in ("stop", "note"):
                break  # no phase begins when time is up
            before = memory.phase
            memory = self._left(memory, reading, leave)
            jumps = jumps or leave.to != "note"
            same_contacts = self._channel_of[memory.phase] == self._channel_of[before]
            if leave.to == "note":
                continue
            if memory.finished or memory.phase in visited:
                break
            visited.add(memory.phase)
        if at_end and not memory.finished:
            memory = self._over(memory, "duration")
        return replace(memory, power=None) if jumps and not memory.finished else memory

    # ------------------------------------------------------------------------------------------- in detail

    def _elapsed(self, drive: Level, memory: Memory, time: float) -> float:
        """Seconds of rise: those since the phase began, or the whole steps of them."""
        if drive.every <= 0:
            return time - memory.since
        taken = math.floor((memory.time - memory.since + NOW) / drive.every)
        if time > memory.time + NOW:  # steps that lie behind, the one at this very time not yet
            taken = max(taken, math.ceil((time - memory.since - NOW) / drive.every) - 1)
        return max(taken, 0) * drive.every

    def _integral(self, drive: Regulator, memory: Memory, time: float, error: float) -> float:
        last = drive.error(memory.temperatures) if memory.temperatures else error
        return drive.integral(memory.integral, last, error, max(time - memory.time, 0.0))

    def _edges(self, memory: Memory) -> Iterator[float]:
        phase = self.phases[memory.phase]
        yield self.duration
        for leave in phase.exits:
            if isinstance(leave.when, Elapsed):
                yield max(memory.since + leave.when.time, memory.since + leave.blank, leave.after)
            elif isinstance(leave.when, Clock):
                yield max(leave.when.time, memory.since + leave.blank, leave.after)
            else:
                yield from (memory.since + leave.blank, leave.after, leave.before)
        drive = phase.drive
        if isinstance(drive, Level) and drive.every > 0 and drive.rate != 0:
            taken = math.floor((memory.time - memory.since + NOW) / drive.every)
            ahead = drive.at((taken + 1) * drive.every, memory.roll_off_power)
            if ahead != drive.at(taken * drive.every, memory.roll_off_power):
                yield memory.since + (taken + 1) * drive.every

    def _jumps(self, phase: Phase, memory: Memory, time: float) -> bool:
        """Whether the set value jumps at ``time`` although the phase goes on."""
        drive = phase.drive
        if not isinstance(drive, Level) or drive.every <= 0:
            return False
        behind = replace(memory, time=time)
        return self._elapsed(drive, behind, time) != self._elapsed(drive, memory, time)

    def _taken_in(self, memory: Memory, reading: Reading) -> Memory:
        """Lowest impedances, energy and integral brought up to the reading."""
        channel, size = self._channel_of[memory.phase], abs(reading.impedance)
        dt = max(reading.time - memory.time, 0.0)
        began = reading.power if memory.power is None else memory.power
        drive, integral = self.phases[memory.phase].drive, memory.integral
        if isinstance(drive, Regulator):
            error = drive.error(reading.temperatures)
            integral = self._integral(drive, memory, reading.time, error)
            if reading.limited_by:
                integral = min(integral, max(0.0, reading.power - drive.gain * error))
        return replace(
            memory,
            time=reading.time,
            lowest_impedance=min(memory.lowest_impedance, size),
            lowest=_with(memory.lowest, channel, min(memory.lowest[channel], size)),
            first=_with(memory.first, channel, min(memory.first[channel], size) if memory.first[channel] == math.inf
                        else memory.first[channel]),
            energy=memory.energy + dt * 0.5 * (began + reading.power),
            power=reading.power,
            integral=integral,
            temperatures=reading.temperatures,
        )  # fmt: skip

    def _armed(self, leave: Exit, memory: Memory, time: float) -> bool:
        if leave.to == "note" and memory.roll_offs > 0:
            return False
        return time >= memory.since + leave.blank - NOW and leave.after - NOW <= time < leave.before - NOW

    def _margin(self, when: Condition, memory: Memory, reading: Reading) -> float:
        """How far the reading is past the condition, in units of its threshold (50 K for a temperature)."""
        if isinstance(when, Impedance):
            channel, size = self._channel_of[memory.phase], abs(reading.impedance)
            base = min(memory.lowest[channel], size) if when.baseline == "lowest" else memory.first[channel]
            threshold = when.threshold(size if math.isinf(base) else base)
            return -math.inf if math.isinf(threshold) else size / threshold - 1.0
        if isinstance(when, Warm):
            return (measured(reading.temperatures, when.measure) - when.temperature) / 50.0
        if isinstance(when, Delivered):
            return self._taken_in(memory, reading).energy / when.energy - 1.0
        raise TypeError(f"{type(when).__name__} goes by the clock")

    def _fired(self, memory: Memory, reading: Reading, same_contacts: bool) -> Exit | None:
        """The first exit of the phase that the clock or the reading calls for."""
        for leave in self.phases[memory.phase].exits:
            if not self._armed(leave, memory, memory.time):
                continue
            if isinstance(leave.when, Elapsed):
                fired = memory.time >= memory.since + leave.when.time - NOW
            elif isinstance(leave.when, Clock):
                fired = memory.time >= leave.when.time - NOW
            elif isinstance(leave.when, Impedance) and not same_contacts:
                fired = False  # the reading is that of other contacts
            else:
                fired = self._margin(leave.when, memory, reading) >= 0
            if fired:
                return leave
        return None

    def _left(self, memory: Memory, reading: Reading, leave: Exit) -> Memory:
        """The memory after the phase was left through ``leave``."""
        if leave.roll_off:
            drive = self.phases[memory.phase].drive
            power = reading.power
            if isinstance(drive, Level) and drive.quantity == "power":
                # what the generator was set to: a limited source may give less while the contact dries
                power = drive.at(self._elapsed(drive, memory, memory.time), memory.roll_off_power)
            first = memory.time if memory.roll_off_time is None else memory.roll_off_time
            memory = replace(
                memory, roll_offs=memory.roll_offs + 1, roll_off_time=first, roll_off_power=power
            )
        if leave.to == "stop" or (leave.to == "next" and memory.phase == len(self.phases) - 1):
            return self._over(memory, leave.reason)
        here = memory.phase
        to = {"note": here, "next": here + 1}.get(leave.to, self._index_of.get(leave.to, here))
        memory = self._told(memory, self.phases[to].name, leave.reason)
        if leave.to == "note":
            return memory
        keeps = isinstance(self.phases[to].drive, Regulator) and isinstance(self.phases[here].drive, Regulator)
        return replace(
            memory, phase=to, since=memory.time, stage=self.phases[to].stage,
            integral=memory.integral if keeps else 0.0,
        )  # fmt: skip

    def _over(self, memory: Memory, reason: str) -> Memory:
        return replace(self._told(memory, "", reason), finished=reason)

    def _told(self, memory: Memory, to: str, reason: str) -> Memory:
        entry = (memory.time, self.phases[memory.phase].name, to, reason)
        return replace(memory, events=(*memory.events, entry))


class CommandSearch:
    """Finds the command that its own outcome asks for: a regulator answers within a step to what the step does.

    Secant steps on ``wanted(used) - used``, which falls with ``used`` because more power makes it hotter, so that
    it has one root; kept inside the bracket once there is one.
    """

    def __init__(self) -> None:
        self.low, self.high = -math.inf, math.inf
        self.last: tuple[float, float] | None = None

    def next(self, used: float, wanted: float) -> float:
        """The command to try after ``used`` has led to a state in which ``wanted`` is commanded [W]."""
        off = wanted - used
        if off > 0:
            self.low = max(self.low, used)
        else:
            self.high = min(self.high, used)
        step = 0.3 * off  # the answer may be many times stronger
        if self.last is not None and self.last[1] != off:
            step = off * (used - self.last[0]) / (self.last[1] - off)
        self.last = used, off
        out = max(used + step, 0.0)
        if not self.low < out < self.high and math.isfinite(self.low) and math.isfinite(self.high):
            out = 0.5 * (self.low + self.high)
        return out


def _with(values: tuple[float, ...], index: int, value: float) -> tuple[float, ...]:
    return (*values[:index], value, *values[index + 1 :])
