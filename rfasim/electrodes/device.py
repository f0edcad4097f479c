"""What every electrode has in common: it is geometry, in metres, in world coordinates, and nothing else.

A device knows its shape, which part of its surface conducts (its contacts), what keeps it at which
temperature, and where its sensors sit. It knows no mesh, no tissue and no watts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from rfasim.geometry import Shape
from rfasim.quantities import (
    Density,
    Distance,
    HeatTransfer,
    Point,
    Power,
    Problems,
    Quantity,
    Record,
    SpecificHeat,
    Temperature,
    ThermalConductivity,
    Vector,
)

Array = NDArray[np.float64]
Degrees = Annotated[float, Quantity("", 0.0, 360.0)]


@dataclass(frozen=True)
class Contact:
    """A conducting part of a device's surface: where that lies inside ``extent`` (everywhere for None).

    ``rim`` says that the contact ends on a smooth surface, where the current density is singular (as r^-1/2)
    and a mesh has to be fine. Contacts of one device with the same ``terminal`` are joined inside it; a case
    names the terminal. A contact conducts from the deployment ``stage`` on (0: from the start); before that
    its surface is insulated.
    """

    name: str
    extent: Shape | None = None
    rim: bool = False
    terminal: str = ""
    stage: int = 0

    def __post_init__(self) -> None:
        if not self.terminal:
            object.__setattr__(self, "terminal", self.name)

    def holds(self, points: Array, within: float = 0.0) -> NDArray[np.bool_]:
        """Which ``points`` (n, 3) of the device lie in the contact's extent, or no further than ``within`` [m]."""
        if self.extent is None:
            return np.ones(len(points), np.bool_)
        return np.asarray(self.extent.distance(points) < within)


@dataclass(frozen=True)
class Datum:
    """A parameter's value as one writes it ("35 mm") and where that is from.

    A source that begins with ``assumed`` says that none gives the value.
    """

    value: Any
    source: str


@dataclass(frozen=True)
class Model:
    """A device as it is sold: what its family's parameters are, each with its source."""

    title: str
    data: Mapping[str, Datum]
    protocol: str = ""
    """the protocol of the catalogue that its generator runs"""
    notes: str = ""


class Adiabatic(Record):
    """No heat passes the surface of the device, and it stores none."""

    kind: Literal["adiabatic"] = "adiabatic"


class Wall(Record):
    """The contact's surface is held at a temperature."""

    kind: Literal["wall"]
    temperature: Temperature
    """temperature of the contact's surface"""


class Coolant(Record):
    """Coolant flows inside and takes ``h (T - temperature)`` W/m^2 from the contact's surface."""

    kind: Literal["coolant"]
    temperature: Temperature
    """temperature of the coolant"""
    h: HeatTransfer
    """heat-transfer coefficient between coolant and surface"""


# density kg/m^3, heat capacity J/(kg K), thermal conductivity W/(m K)
METALS: dict[str, tuple[float, float, float]] = {
    "steel": (7900.0, 500.0, 16.0),  # AISI 304 and 316, EN 10088-1 table A.1: 7900, 500, 15 to 16
    "nitinol": (6450.0, 840.0, 18.0),  # as in the hepatic tumour ablation model of the COMSOL gallery
}


class Metal(Record):
    """The device is meshed and conducts and stores heat; its potential is that of its contact.

    The named material gives the properties that are not stated.
    """

    kind: Literal["metal"]
    material: Literal["steel", "nitinol"] = "steel"
    density: Density = 0.0
    heat_capacity: SpecificHeat = 0.0
    thermal_conductivity: ThermalConductivity = 0.0

    @model_validator(mode="after")
    def _fill_in(self) -> Self:
        names = ("density", "heat_capacity", "thermal_conductivity")
        for name, value in zip(names, METALS[self.material], strict=True):
            if name not in self.model_fields_set:
                object.__setattr__(self, name, value)
        return self


Thermal = Annotated[Adiabatic | Wall | Coolant | Metal, Field(discriminator="kind")]


class Device(Record):
    """One electrode; each family is a subclass with its own ``device:`` word, listed in ``electrodes``."""

    through: ClassVar[bool] = False
    """the device runs through the whole domain, so its contact may leave it"""
    MODELS: ClassVar[Mapping[str, Model]] = {}
    """named devices of this family; a family that has some gets a field ``model`` that chooses one"""
    SOURCES: ClassVar[Mapping[str, str]] = {}
    """where the family's own defaults are from, by parameter; what is missing here is assumed"""

    thermal: Thermal = Adiabatic()
    """how the device exchanges heat with the tissue"""
    rated_power: Power | None = None
    """the largest power the device is made for; not checked when not stated"""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_model(cls, data: Any) -> Any:
        """What the case does not state is as in the named model."""
        if isinstance(data, dict) and isinstance(name := data.get("model"), str) and name in cls.MODELS:
            return {**{key: datum.value for key, datum in cls.MODELS[name].data.items()}, **data}
        return data

    def shape(self) -> Shape:
        """The whole device as a signed distance in world coordinates [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say what its shape is")

    def contacts(self) -> tuple[Contact, ...]:
        """The conducting parts of the surface; they are disjoint."""
        return (Contact("contact"),)

    @property
    def axis(self) -> Array:
        """Unit vector (3,): the way the device points."""
        raise NotImplementedError(f"{type(self).__name__} has to say where it points")

    @property
    def tip_point(self) -> Array:
        """The foremost point (3,) [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say where its tip is")

    @property
    def active_centre(self) -> Array:
        """Middle of the conducting part (3,) [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say where its middle is")

    @property
    def smallest_feature(self) -> float:
        """The smallest width a mesh has to resolve [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say how fine it is")

    @property
    def insulated_width(self) -> float:
        """The smallest width of what is insulated [m]; a mesh may be coarser there."""
        return self.smallest_feature

    @property
    def mesh_size(self) -> float | None:
        """The coarsest edge at its contacts [m] with which a device of thin parts is still all there, None for
        others: a tine thinner than the lattice's cells gets lost between them."""
        return None

    @property
    def returns(self) -> tuple[str, ...]:
        """Terminals that take the current back unless the case says otherwise; none for a monopolar device."""
        return ()

    @property
    def terminals(self) -> tuple[str, ...]:
        """What a generator can be wired to, in the order of the contacts."""
        return tuple(dict.fromkeys(contact.terminal for contact in self.contacts()))

    @property
    def stages(self) -> int:
        """Number of deployment stages; 1 for a device that does not move."""
        return 1 + max(contact.stage for contact in self.contacts())

    @property
    def outlets(self) -> tuple[tuple[str, Array], ...]:
        """Openings through which a fluid leaves: pairs of (name, point (3,) [m])."""
        return ()

    @property
    def thermocouples(self) -> tuple[tuple[str, Array], ...]:
        """The device's own temperature sensors: pairs of (name, point (3,) [m])."""
        return ()

    def thermocouples_at(self, stage: int) -> tuple[tuple[str, Array], ...]:
        """Where the sensors are at a deployment ``stage``, in the order of ``thermocouples``."""
        return self.thermocouples

    def filling(self) -> tuple[Array, Array]:
        """Balls that fill the device: centres (n, 3) and radii (n,) [m], half a radius apart."""
        raise NotImplementedError(f"{type(self).__name__} has to say what fills it")

    def moved(self, rotation: Array, shift: Array) -> Self:
        """The same device after ``x -> rotation x + shift``."""
        raise NotImplementedError(f"{type(self).__name__} has to say how it moves")

    @property
    def rotation(self) -> Array:
        """The shortest rotation (3, 3) that takes -z, the way a device points by itself, to ``axis``."""
        return rotation_between(np.array([0.0, 0.0, -1.0]), self.axis)


class Placed(Device):
    """A device with a tip, placed either by ``tip`` and ``direction`` or by ``entry`` and ``target``."""

    tip: Point | None = None
    """the foremost point of the device"""
    direction: Vector | None = None
    """the way the device points, of any length; with a tip alone it is [0, 0, -1], the shaft upwards"""
    entry: Point | None = None
    """where the device enters the body, on the shaft"""
    target: Point | None = None
    """the point the device is aimed at; the tip comes to lie there"""
    beyond_target: Distance = 0.0
    """how much further the tip is pushed"""
    line: str | None = None
    """a line of 3D Slicer (``.mrk.json``, from the case file's folder): its first point is the entry, its last the
    target"""

    @model_validator(mode="after")
    def _one_pose(self) -> Self:
        by_tip = self.tip is not None or self.direction is not None
        if self.line is not None:
            raise Problems([("line", "is read with a case file only; give entry and target")])
        by_target = self.entry is not None or self.target is not None
        problems: list[tuple[str, str]] = []
        if by_tip and by_target:
            problems.append(("", "is placed in two ways; give either tip and direction, or entry and target"))
        elif not by_tip and not by_target:
            problems.append(("", "has no place; give its tip (and direction), or entry and target"))
        elif by_target and (self.entry is None or self.target is None):
            missing = "entry" if self.entry is None else "target"
            problems.append((missing, "is missing; entry and target belong together"))
        elif by_tip and self.tip is None:
            problems.append(("tip", "is missing; direction needs a tip"))
        elif self.entry is not None and self.entry == self.target:
            problems.append(
                ("target", "is the same point as entry, which leaves no direction; move one of them")
            )
        if by_tip and not by_target and self.beyond_target > 0:
            problems.append(
                ("beyond_target", "belongs to entry and target; with a tip, move the tip instead")
            )
        if self.direction is not None and not any(self.direction):
            problems.append(("direction", "got [0, 0, 0], which points nowhere; give for example [0, 0, -1]"))
        if problems:
            raise Problems(problems)
        if self.direction is None and self.tip is not None:
            object.__setattr__(self, "direction", (0.0, 0.0, -1.0))
        return self

    @property
    def axis(self) -> Array:
        if self.direction is not None:
            way = np.array(self.direction, float)
        else:
            way = np.subtract(np.array(self.target, float), np.array(self.entry, float))
        return unit(way)

    @property
    def tip_point(self) -> Array:
        if self.tip is not None:
            return np.array(self.tip, float)
        return np.array(self.target, float) + self.beyond_target * self.axis

    def moved(self, rotation: Array, shift: Array) -> Self:
        def point(p: Point | None) -> Point | None:
            return None if p is None else triple(rotation @ np.array(p) + shift)

        direction = None if self.direction is None else triple(rotation @ np.array(self.direction))
        return self.model_copy(
            update={
                "tip": point(self.tip),
                "direction": direction,
                "entry": point(self.entry),
                "target": point(self.target),
            }
        )


class Turned(Placed):
    """A placed device that is not round about its axis, so that it also matters how it is turned."""

    turn_degrees: Degrees = 0.0
    """how far the device is turned about the way it points; at 0 its first part lies towards +x where the
    device points along -z"""

    def _across(self) -> tuple[Array, Array]:
        first = self.rotation[:, 0]
        return first, np.cross(self.axis, first)

    def sideways(self, angle: ArrayLike = 0.0) -> Array:
        """Unit vectors (..., 3) across the axis at ``angle`` (...) [rad], counted from the device's first part."""
        first, second = self._across()
        way = np.asarray(angle, float)[..., None] + math.radians(self.turn_degrees)
        return np.asarray(np.cos(way) * first + np.sin(way) * second)

    def moved(self, rotation: Array, shift: Array) -> Self:
        moved = super().moved(rotation, shift)
        # the shortest rotation that gives the new axis turns the device otherwise than ``rotation`` does
        first, second = moved._across()
        way = rotation @ self.sideways()
        return moved.model_copy(update={"turn_degrees": math.degrees(math.atan2(way @ second, way @ first)) % 360})


def triple(vector: Array) -> tuple[float, float, float]:
    """A vector (3,) as three plain floats."""
    x, y, z = (float(v) for v in vector)
    return x, y, z


def unit(vector: Array) -> Array:
    """``vector`` (3,), of any length but zero, as a unit vector."""
    vector = vector / np.abs(vector).max()  # so that the square of a tiny or huge component stays a float
    return np.asarray(vector / np.linalg.norm(vector))


def rotation_between(start: Array, end: Array) -> Array:
    """The shortest rotation (3, 3) that takes unit vector ``start`` to unit vector ``end``."""
    between = start + end
    if np.linalg.norm(between) < 1e-15:  # half a turn, about any line across
        between = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
    between /= np.linalg.norm(between)
    # two reflections: the first turns start around, the second takes that to end
    reflect = [np.eye(3) - 2.0 * np.outer(normal, normal) for normal in (between, start)]
    return np.asarray(reflect[0] @ reflect[1])


def line_filling(start: Array, end: Array, radius: float) -> tuple[Array, Array]:
    """Equal balls with centres on a segment, at most half a radius apart and 2000 of them."""
    n = min(2000, 2 + int(np.linalg.norm(end - start) / (0.5 * radius)))
    return start + np.linspace(0.0, 1.0, n)[:, None] * (end - start), np.full(n, radius)


def check_electrode(device: Device, seed: int = 0) -> list[str]:
    """What is wrong with a device's geometry, as sentences; an empty list for a sound one.

    Asks at random points that the distance is 1-Lipschitz, that each contact lies on the surface and no two
    overlap, that the filling lies inside, and that moving the device moves its distance with it.
    """
    random = np.random.default_rng(seed)
    shape, wrong = device.shape(), []
    centres, radii = device.filling()
    reach = 0.06
    near = np.linalg.norm(centres - device.active_centre, axis=1) <= reach
    points = device.active_centre + random.uniform(-reach, reach, (4000, 3))
    distance = shape.distance(points)
    steps = random.normal(size=points.shape) * 10 ** random.uniform(-6, -2, (len(points), 1))
    change = np.abs(shape.distance(points + steps) - distance)
    if (change > np.linalg.norm(steps, axis=1) + 1e-12).any():
        wrong.append("the distance changes by more than the way walked (it is not 1-Lipschitz)")
    if (shape.distance(centres) > -radii + 1e-9).any():
        wrong.append("the filling is not inside the shape")
    way = random.normal(size=(4000, 3))
    way /= np.linalg.norm(way, axis=1)[:, None]
    chosen = random.choice(np.flatnonzero(near), 4000)
    surface = centres[chosen] + radii[chosen, None] * way
    for _ in range(60):  # sphere tracing outwards along the ray
        surface += way * np.maximum(-shape.distance(surface), 0.0)[:, None]
    surface = surface[np.abs(shape.distance(surface)) < 1e-9]  # rays along a shaft take longer
    if len(surface) < len(way) // 2:
        wrong.append("no surface is found on the way out of the device")
    held = np.zeros(len(surface), int)
    for contact in device.contacts():
        inside = np.ones(len(surface), bool)
        if contact.extent is not None:
            inside = contact.extent.distance(surface) < 0
            if contact.rim and inside.all():
                wrong.append(f"{contact.name} has a rim but covers the whole surface")
        if not inside.any():
            wrong.append(f"{contact.name} does not lie on the surface")
        held += inside
    if (held > 1).any():
        wrong.append("contacts overlap")
    rotation, upper = np.linalg.qr(random.normal(size=(3, 3)))
    rotation *= np.sign(np.diag(upper))
    rotation[:, 0] *= np.linalg.det(rotation)
    shift = random.uniform(-0.05, 0.05, 3)
    moved = device.moved(rotation, shift)
    if not np.allclose(moved.shape().distance(points @ rotation.T + shift), distance, rtol=0, atol=1e-9):
        wrong.append("moving the device does not move its distance with it")
    if not np.allclose(moved.tip_point, rotation @ device.tip_point + shift, rtol=0, atol=1e-9):
        wrong.append("moving the device does not move its tip with it")
    for contact, other in zip(device.contacts(), moved.contacts(), strict=True):
        if contact.extent is not None and other.extent is not None:
            here, there = contact.extent.distance(points), other.extent.distance(points @ rotation.T + shift)
            if not np.allclose(here, there, rtol=0, atol=1e-9):
                wrong.append(f"moving the device does not move its {contact.name} with it")
    return wrong
