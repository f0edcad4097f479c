"""A device that the case describes itself: round tubes along lines, of which stretches conduct."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from rfasim.electrodes.device import Array, Contact, Turned, line_filling
from rfasim.electrodes.tined import RESOLVED
from rfasim.geometry import Ball, Difference, HalfSpace, Intersection, Nearer, Shape, Tube, Union
from rfasim.quantities import Distance, Length, Point, Problems, Record, text

_NEAR = 1e-7  # m: closer than this is the same point
_THIN = 1e-3  # m: thicker parts are whole on any sensible mesh
_FAT = 1.5  # how much wider than a part the tube is that marks a contact on it


class Part(Record):
    """A round tube along a line; its round ends reach half a diameter beyond the first and the last point."""

    name: str = Field(min_length=1)
    points: tuple[Point, ...] = Field(min_length=2, max_length=1000)
    """points of the middle line, in the device's own axes"""
    diameter: Length

    @property
    def line(self) -> Array:
        """Points (n, 3) of the middle line [m]."""
        return np.array(self.points, float)

    @property
    def marks(self) -> Array:
        """Length (n,) along the line up to each point [m]."""
        return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(self.line, axis=0), axis=1)))

    @property
    def length(self) -> float:
        """Length of the line [m]."""
        return float(self.marks[-1])

    def at(self, lengths: Array) -> Array:
        """Points (n, 3) at the given lengths (n,) along the line [m]."""
        marks, line = self.marks, self.line
        return np.stack([np.interp(lengths, marks, line[:, d]) for d in range(3)], axis=1)

    def between(self, start: float, end: float) -> Array:
        """Points of the line between two lengths along it, ends included [m]."""
        marks = self.marks
        inner = marks[(marks > start + _NEAR) & (marks < end - _NEAR)]
        return self.at(np.concatenate([[start], inner, [end]]))

    def samples(self) -> tuple[Array, Array]:
        """Lengths (n,) along the line, a sixth of the diameter apart (at most 4000 of them), and their points."""
        n = min(4000, 2 + int(6 * self.length / self.diameter))
        lengths = np.linspace(0.0, self.length, n)
        return lengths, self.at(lengths)


class Stretch(Record):
    """A contact: the surface of a part between two lengths along its line; all its ends included."""

    name: str = Field(min_length=1)
    part: str
    start: Distance = 0.0
    """length along the part's line where the contact starts"""
    end: Length | None = None
    """where it ends; the end of the part when not stated"""
    terminal: str = ""
    """contacts with the same terminal are joined inside the device; its own name when not stated"""
    stage: int = Field(default=0, ge=0, le=20)
    """deployment stage from which the contact conducts"""


class Place(Record):
    """A named point of the device, in its own axes."""

    name: str = Field(min_length=1)
    at: Point


class Custom(Turned):
    """Round tubes along lines, given in the device's own axes: the tip is at the origin and it points along -z.

    The device is placed by ``tip`` and ``direction`` (or ``entry`` and ``target``) and turned by ``turn_degrees``.
    What is no contact is insulated.
    """

    device: Literal["custom"]
    parts: tuple[Part, ...] = Field(min_length=1, max_length=60)
    """the tubes the device is made of; two may touch only where a point of one lies on the line of the other"""
    conducting: tuple[Stretch, ...] = Field(min_length=1, max_length=40)
    """the contacts"""
    return_terminals: tuple[str, ...] = ()
    """terminals that take the current back; none for a monopolar device"""
    sensors: tuple[Place, ...] = ()
    """thermocouples"""
    openings: tuple[Place, ...] = ()
    """where a fluid leaves"""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        found: list[tuple[str, str]] = []
        for field in ("parts", "conducting", "sensors", "openings"):
            found += _repeated(field, [entry.name for entry in getattr(self, field)])
        found = found or [*self._part_problems()]
        found = found or [*self._contact_problems(), *self._crossings()]
        if found:
            raise Problems(found)
        return self

    def _part_problems(self) -> Iterable[tuple[str, str]]:
        for index, part in enumerate(self.parts):
            steps = np.diff(part.marks)
            if steps.min() < _NEAR:
                k = int(np.argmin(steps)) + 1
                yield f"parts[{index}].points[{k}]", "is the same as the point before; leave it out"
                continue
            lengths, points = part.samples()
            # at most 700 samples, for the pairs of them
            chosen = np.unique(np.linspace(0, len(lengths) - 1, 700).astype(int))
            lengths, points = lengths[chosen], points[chosen]
            gaps = np.linalg.norm(points[:, None] - points[None, :], axis=2)
            apart = np.abs(lengths[:, None] - lengths[None, :])
            if ((gaps < part.diameter) & (apart > 2 * part.diameter)).any():
                yield (
                    f"parts[{index}].points",
                    f"'{part.name}' runs into itself; keep its turns wider than its diameter, "
                    f"{text(part.diameter, 'm')}",
                )

    def _contact_problems(self) -> Iterable[tuple[str, str]]:
        known = {part.name: part for part in self.parts}
        spans: list[tuple[int, str, float, float]] = []
        for index, contact in enumerate(self.conducting):
            path = f"conducting[{index}]"
            part = known.get(contact.part)
            if part is None:
                yield f"{path}.part", f"'{contact.part}' is no part; {_near(contact.part, known)}"
                continue
            end = part.length if contact.end is None else contact.end
            if end > part.length + _NEAR:
                yield (
                    f"{path}.end",
                    f"{text(end, 'm')} is past the end of '{part.name}', which is {_mm(part.length)} long; "
                    "lower it or lengthen the part",
                )
            elif contact.start >= end:
                yield (
                    f"{path}.start",
                    f"{text(contact.start, 'm')} is not before the contact's end at {_mm(end)}; exchange them",
                )
            else:
                for other, name, low, high in spans:
                    if name == part.name and contact.start < high - _NEAR and end > low + _NEAR:
                        yield (
                            path,
                            f"overlaps conducting[{other}] on '{part.name}': {_mm(contact.start)} to {_mm(end)} and "
                            f"{_mm(low)} to {_mm(high)}; shorten one of them",
                        )
                spans.append((index, part.name, contact.start, end))
        terminals = dict.fromkeys(contact.terminal or contact.name for contact in self.conducting)
        for index, name in enumerate(self.return_terminals):
            if name not in terminals:
                yield f"return_terminals[{index}]", f"'{name}' is no terminal; {_near(name, terminals)}"

    def _crossings(self) -> Iterable[tuple[str, str]]:
        """Pairs of parts that touch where they are not joined."""
        for (i, one), (j, other) in itertools.combinations(enumerate(self.parts), 2):
            reach = 0.5 * (one.diameter + other.diameter)
            points = one.samples()[1]
            distance = Tube(other.line, 1e-12).distance(points)
            touching = np.flatnonzero(distance < reach)
            if len(touching) == 0:
                continue
            joints = _joints(one, other)
            for run in np.split(touching, np.flatnonzero(np.diff(touching) > 1) + 1):
                step = one.length / max(len(points) - 1, 1)
                near = np.linalg.norm(points[run][:, None] - joints[None, :], axis=2) if len(joints) else None
                if near is None or near.min() > step + _NEAR:
                    where = points[run[np.argmin(distance[run])]]
                    yield (
                        f"parts[{j}]",
                        f"'{other.name}' crosses '{one.name}' (parts[{i}]) near {_point(where)} of the device; move "
                        "one of them, or join them with a point that lies on both lines",
                    )
                    break

    # ------------------------------------------------------------------------------------------- geometry

    def _world(self, points: Array) -> Array:
        """Points (n, 3) of the device's own axes, where they are."""
        first, second = self.sideways(), np.cross(-self.axis, self.sideways())
        return self.tip_point + np.asarray(points) @ np.stack([first, second, -self.axis])

    def _tube(self, part: Part) -> Tube:
        return Tube(self._world(part.line), 0.5 * part.diameter)

    def shape(self) -> Shape:
        return Union([self._tube(part) for part in self.parts])

    def contacts(self) -> tuple[Contact, ...]:
        found = []
        for contact, part, start, end in self._stretches():
            shapes: list[Shape] = [self._stretch(part, start, end)]
            joined = [other for other in self.parts if other is not part and len(_joints(part, other))]
            if joined:  # of a surface where parts meet, each has what is nearer to it
                shapes.append(Nearer(self._tube(part), Union([self._tube(other) for other in joined])))
            cut = start > 0 or end < part.length
            extent = shapes[0] if len(shapes) == 1 else Intersection(shapes)
            found.append(Contact(contact.name, extent, rim=cut, terminal=contact.terminal, stage=contact.stage))
        return tuple(found)

    def _stretches(self) -> list[tuple[Stretch, Part, float, float]]:
        """Each contact with its part and where on that it starts and ends [m]."""
        known = {part.name: part for part in self.parts}
        out = []
        for contact in self.conducting:
            part = known[contact.part]
            end = part.length if contact.end is None else min(contact.end, part.length)
            # an end within rounding of the part's is the part's
            out.append((contact, part, contact.start, part.length if part.length - end < _NEAR else end))
        return out

    def _stretch(self, part: Part, start: float, end: float) -> Shape:
        """A tube wider than the part around what is between two lengths, cut at right angles to the line."""
        radius = _FAT * 0.5 * part.diameter
        around: Shape = Tube(self._world(part.between(start, end)), radius)
        caps = []
        for length, side in ((start, 1.0), (end, -1.0)):
            if 0 < length < part.length:
                step = min(_NEAR, 0.25 * (end - start))
                here, inward = self._world(part.at(np.array([length, length + side * step])))
                caps.append(Intersection((HalfSpace(here, inward - here), Ball(here, 1.2 * radius))))
        return Difference(around, Union(caps)) if caps else around

    @property
    def returns(self) -> tuple[str, ...]:
        return self.return_terminals

    @property
    def outlets(self) -> tuple[tuple[str, Array], ...]:
        return self._places(self.openings)

    @property
    def thermocouples(self) -> tuple[tuple[str, Array], ...]:
        return self._places(self.sensors)

    def _places(self, places: tuple[Place, ...]) -> tuple[tuple[str, Array], ...]:
        return tuple((place.name, self._world(np.array([place.at]))[0]) for place in places)

    @property
    def active_centre(self) -> Array:
        """Middle of the box around all contacts, in the device's own axes [m]."""
        lines = [part.between(start, end) for _, part, start, end in self._stretches()]
        points = np.concatenate(lines)
        return np.asarray(self._world(0.5 * (points.min(axis=0) + points.max(axis=0))[None, :])[0])

    @property
    def smallest_feature(self) -> float:
        spans = [end - start for _, _, start, end in self._stretches()]
        return min([*spans, *(part.diameter for part in self.parts)])

    @property
    def mesh_size(self) -> float | None:
        thinnest = min(part.diameter for part in self.parts)
        return RESOLVED * thinnest if thinnest <= _THIN else None

    def filling(self) -> tuple[Array, Array]:
        centres, radii = [], []
        for part in self.parts:
            for a, b in itertools.pairwise(self._world(part.line)):
                along, radius = line_filling(a, b, 0.5 * part.diameter)
                centres.append(along)
                radii.append(radius)
        return np.concatenate(centres), np.concatenate(radii)


def _joints(one: Part, other: Part) -> Array:
    """Given points of either line that lie on the other line: (n, 3) [m]."""
    found = [
        a.line[Tube(b.line, 1e-12).distance(a.line) < max(_NEAR, 1e-3 * b.diameter)]
        for a, b in ((one, other), (other, one))
    ]
    return np.concatenate(found)


def _repeated(path: str, names: list[str]) -> Iterable[tuple[str, str]]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (
                f"{path}[{index}].name",
                f"'{name}' is named twice, it is {path}[{names.index(name)}] already; give another name",
            )


def _near(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(known)}"


def _mm(length: float) -> str:
    return f"{round(1e3 * length, 3):g} mm"


def _point(point: Array) -> str:
    return f"({', '.join(f'{round(1e3 * float(x), 2):g}' for x in point)}) mm"
