"""Signed-distance shapes: negative inside, positive outside, in metres.

Every shape is a frozen record with ``distance(points)`` and ``bounds()``. A distance is either exact or a
safe lower bound of the true one, and always 1-Lipschitz, so that the mesher may skip whatever is provably far
from a surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfasim.errors import InputError
from rfasim.jit import kernel

Array: TypeAlias = NDArray[np.float64]
Vector: TypeAlias = Sequence[float] | Array


@runtime_checkable
class Shape(Protocol):
    """A closed set given by its signed distance."""

    def distance(self, points: Array) -> Array:
        """Signed distance [m] of points (n, 3) [m]: negative inside, 1-Lipschitz."""
        ...

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner (3,) [m] of an axis-parallel box around the shape; may be infinite."""
        ...


def _points(points: ArrayLike) -> Array:
    array = np.ascontiguousarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"points have shape {array.shape}; expected (n, 3)")
    return array


def _vector(owner: object, name: str, value: ArrayLike) -> Array:
    array = np.array(value, dtype=np.float64)
    path = f"{type(owner).__name__}.{name}"
    if array.shape != (3,):
        raise InputError(path, f"got {value!r}; expected three coordinates in metres")
    if not np.isfinite(array).all():
        raise InputError(path, f"got {value!r}; the coordinates must be finite numbers")
    array.setflags(write=False)
    object.__setattr__(owner, name, array)
    return array


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{type(owner).__name__}.{name}", f"got {value!r}; must be a length above 0 m")


def _rotation(owner: object, name: str, value: ArrayLike) -> Array:
    array = np.array(value, dtype=np.float64)
    if array.shape != (3, 3) or not np.allclose(array @ array.T, np.eye(3), atol=1e-9):
        path = f"{type(owner).__name__}.{name}"
        raise InputError(path, "is not a rotation; give a (3, 3) matrix with orthonormal rows")
    array.setflags(write=False)
    object.__setattr__(owner, name, array)
    return array


@kernel
def _segments_distance(points: Any, segments: Any, starts: Any, spheres: Any, out: Any) -> Any:
    """Distance to tubes: segments (n, 7) hold a, b and radius; tube k owns segments starts[k]:starts[k + 1]
    and lies inside spheres[k] (centre, radius), which spares most of the work in a union of many."""
    n_tubes = len(spheres)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        best = np.inf
        for k in range(n_tubes):
            dx, dy, dz = x - spheres[k, 0], y - spheres[k, 1], z - spheres[k, 2]
            reach = best + spheres[k, 3]
            if reach < 0.0 or dx * dx + dy * dy + dz * dz > reach * reach:
                continue
            for s in range(starts[k], starts[k + 1]):
                ux = segments[s, 3] - segments[s, 0]
                uy = segments[s, 4] - segments[s, 1]
                uz = segments[s, 5] - segments[s, 2]
                px, py, pz = x - segments[s, 0], y - segments[s, 1], z - segments[s, 2]
                length2 = ux * ux + uy * uy + uz * uz
                t = 0.0
                if length2 > 0.0:
                    t = min(1.0, max(0.0, (px * ux + py * uy + pz * uz) / length2))
                px -= t * ux
                py -= t * uy
                pz -= t * uz
                best = min(best, np.sqrt(px * px + py * py + pz * pz) - segments[s, 6])
        out[i] = best


@kernel
def _profile_distance(points: Any, origin: Any, axis: Any, profile: Any, out: Any) -> Any:
    """Distance to the solid of revolution of a convex profile (m, 2) of (axial, radial) pairs that starts and
    ends on the axis and has the inside to its right."""
    m = len(profile)
    for i in range(len(points)):
        px, py, pz = points[i, 0] - origin[0], points[i, 1] - origin[1], points[i, 2] - origin[2]
        a = px * axis[0] + py * axis[1] + pz * axis[2]
        px -= a * axis[0]
        py -= a * axis[1]
        pz -= a * axis[2]
        r = np.sqrt(px * px + py * py + pz * pz)
        best = np.inf
        inside = True
        for s in range(m - 1):
            ua, ur = profile[s + 1, 0] - profile[s, 0], profile[s + 1, 1] - profile[s, 1]
            qa, qr = a - profile[s, 0], r - profile[s, 1]
            if ua * qr - ur * qa > 0.0:
                inside = False
            t = min(1.0, max(0.0, (qa * ua + qr * ur) / (ua * ua + ur * ur)))
            qa -= t * ua
            qr -= t * ur
            best = min(best, qa * qa + qr * qr)
        out[i] = -np.sqrt(best) if inside else np.sqrt(best)


@kernel
def _tines_distance(
    points: Any, origin: Any, rotation: Any, n: Any, ring: Any, bend: Any, angle: Any, radius: Any, out: Any
) -> Any:
    """Distance to ``n`` equal arcs in planes through an axis: that of the arc whose plane is nearest."""
    step = 2.0 * np.pi / n
    end_u, end_v = ring + bend * (1.0 - np.cos(angle)), bend * np.sin(angle)
    for i in range(len(points)):
        px, py, pz = points[i, 0] - origin[0], points[i, 1] - origin[1], points[i, 2] - origin[2]
        x = px * rotation[0, 0] + py * rotation[1, 0] + pz * rotation[2, 0]
        y = px * rotation[0, 1] + py * rotation[1, 1] + pz * rotation[2, 1]
        v = -(px * rotation[0, 2] + py * rotation[1, 2] + pz * rotation[2, 2])
        turn = np.arctan2(y, x)
        turn -= step * np.floor(turn / step + 0.5)
        r = np.sqrt(x * x + y * y)
        u, w = r * np.cos(turn), r * np.sin(turn)
        du = ring + bend - u
        at = np.arctan2(v, du)
        if at < 0.0:
            at += 2.0 * np.pi
        if at <= angle:
            out[i] = np.sqrt((np.sqrt(du * du + v * v) - bend) ** 2 + w * w) - radius
        else:
            to_start = (u - ring) ** 2 + v * v
            to_end = (u - end_u) ** 2 + (v - end_v) ** 2
            out[i] = np.sqrt(min(to_start, to_end) + w * w) - radius


@kernel
def _ellipsoid_distance(points: Any, semi: Any, out: Any) -> Any:
    """Exact distance to an ellipsoid about the origin; semi-axes (3,) sorted from large to small.

    The nearest point is e_i^2 y_i / (t + e_i^2) with t the largest root of sum (e_i y_i / (t + e_i^2))^2 = 1
    (D. Eberly, Distance from a point to an ellipse, an ellipsoid, or a hyperellipsoid, section 3), found by
    bisection in the scaled variables of that report, which cannot fail.
    """
    e0, e1, e2 = semi[0], semi[1], semi[2]
    for i in range(len(points)):
        y0, y1, y2 = abs(points[i, 0]), abs(points[i, 1]), abs(points[i, 2])
        tiny = 1e-14 * e0
        y0, y1, y2 = max(y0, tiny), max(y1, tiny), max(y2, tiny)
        z0, z1, z2 = y0 / e0, y1 / e1, y2 / e2
        g = z0 * z0 + z1 * z1 + z2 * z2 - 1.0
        r0, r1 = (e0 / e2) ** 2, (e1 / e2) ** 2
        n0, n1, n2 = r0 * z0, r1 * z1, z2
        low = z2  # of t / e2^2 + 1, which keeps its digits near the centre
        high = 1.0 if g < 0.0 else np.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
        w = low
        for _ in range(200):
            w = 0.5 * (low + high)
            if w in (low, high):
                break
            f0, f1, f2 = n0 / (w + (r0 - 1.0)), n1 / (w + (r1 - 1.0)), n2 / w
            if f0 * f0 + f1 * f1 + f2 * f2 > 1.0:
                low = w
            else:
                high = w
        x0, x1, x2 = r0 * y0 / (w + (r0 - 1.0)), r1 * y1 / (w + (r1 - 1.0)), y2 / w
        distance = np.sqrt((x0 - y0) ** 2 + (x1 - y1) ** 2 + (x2 - y2) ** 2)
        out[i] = distance if g > 0.0 else -distance


def _tube_arrays(tubes: Sequence[tuple[Array, float]]) -> tuple[Array, NDArray[np.int64], Array]:
    """Segments, starts and bounding spheres of tubes given as (polyline (n, 3), radius)."""
    segments, starts, spheres = [], [0], []
    for line, radius in tubes:
        pieces = np.empty((max(len(line) - 1, 1), 7))
        pieces[:, :3], pieces[:, 3:6], pieces[:, 6] = line[: len(pieces)], line[-len(pieces) :], radius
        centre = 0.5 * (line.min(axis=0) + line.max(axis=0))
        reach = np.sqrt(((line - centre) ** 2).sum(axis=1)).max() + radius
        segments.append(pieces)
        starts.append(starts[-1] + len(pieces))
        spheres.append([*centre, reach])
    return np.concatenate(segments), np.array(starts, dtype=np.int64), np.array(spheres)


def _tubes_distance(points: Array, arrays: tuple[Array, NDArray[np.int64], Array]) -> Array:
    points = _points(points)
    out = np.empty(len(points))
    _segments_distance(points, *arrays, out)
    return out


@dataclass(frozen=True, eq=False)
class Ball:
    """The ball of the given centre (3,) and radius [m]."""

    centre: Vector
    radius: float

    def __post_init__(self) -> None:
        _vector(self, "centre", self.centre)
        _positive(self, "radius")

    def distance(self, points: Array) -> Array:
        offset = _points(points) - self.centre
        distance: Array = np.sqrt(np.einsum("ij,ij->i", offset, offset)) - self.radius
        return distance

    def bounds(self) -> tuple[Array, Array]:
        centre = np.asarray(self.centre)
        return centre - self.radius, centre + self.radius


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """The ellipsoid of the given centre, three semi-axes [m] and, optionally, rotation (its columns are the
    axes).

    The distance is exact, inside and outside.
    """

    centre: Vector
    semi_axes: Vector
    rotation: Array | None = None

    def __post_init__(self) -> None:
        _vector(self, "centre", self.centre)
        semi = _vector(self, "semi_axes", self.semi_axes)
        if not (semi > 0).all():
            raise InputError("Ellipsoid.semi_axes", f"got {semi.tolist()}; all three must be above 0 m")
        _rotation(self, "rotation", np.eye(3) if self.rotation is None else self.rotation)

    def distance(self, points: Array) -> Array:
        semi = np.asarray(self.semi_axes)
        order = np.argsort(-semi, kind="stable")
        local = (_points(points) - self.centre) @ np.asarray(self.rotation)
        out = np.empty(len(local))
        _ellipsoid_distance(np.ascontiguousarray(local[:, order]), semi[order], out)
        return out

    def bounds(self) -> tuple[Array, Array]:
        centre = np.asarray(self.centre)
        reach = np.sqrt(((np.asarray(self.rotation) * np.asarray(self.semi_axes)) ** 2).sum(axis=1))
        return centre - reach, centre + reach


@dataclass(frozen=True, eq=False)
class Tube:
    """All points within ``radius`` [m] of a polyline (n, 3): a round tube with round ends and joints."""

    points: ArrayLike
    radius: float

    def __post_init__(self) -> None:
        line = np.array(self.points, dtype=np.float64)
        if line.ndim != 2 or line.shape[1:] != (3,) or len(line) == 0 or not np.isfinite(line).all():
            raise InputError(
                "Tube.points", f"has shape {line.shape}; expected (n, 3) finite coordinates, n >= 1"
            )
        line.setflags(write=False)
        object.__setattr__(self, "points", line)
        _positive(self, "radius")

    @cached_property
    def _arrays(self) -> tuple[Array, NDArray[np.int64], Array]:
        return _tube_arrays([(np.asarray(self.points), self.radius)])

    def distance(self, points: Array) -> Array:
        return _tubes_distance(points, self._arrays)

    def bounds(self) -> tuple[Array, Array]:
        line = np.asarray(self.points)
        return line.min(axis=0) - self.radius, line.max(axis=0) + self.radius


@dataclass(frozen=True, eq=False)
class Tines:
    """A crown of ``n`` equal round tubes, each an arc of a circle in a plane through a common axis.

    In its own axes (the columns of ``rotation``) the arcs start at distance ``ring`` [m] from ``origin`` (3,),
    the first at +x, go along -z and turn outwards by ``angle`` [rad] with the radius ``bend`` [m]; the tubes
    have round ends and the given ``radius`` [m]. The distance is exact outside.
    """

    origin: Vector
    rotation: Array
    n: int
    ring: float
    bend: float
    angle: float
    radius: float

    def __post_init__(self) -> None:
        _vector(self, "origin", self.origin)
        _rotation(self, "rotation", self.rotation)
        _positive(self, "n", "ring", "bend", "angle", "radius")
        if self.angle > 1.5 * np.pi:
            raise InputError("Tines.angle", f"got {self.angle:g} rad; it must be at most three quarters of a turn")

    def distance(self, points: Array) -> Array:
        points = _points(points)
        out = np.empty(len(points))
        _tines_distance(
            points, self.origin, self.rotation, self.n, self.ring, self.bend, self.angle, self.radius, out
        )
        return out

    def bounds(self) -> tuple[Array, Array]:
        steps = np.append(np.arange(0.0, self.angle, 0.5 * np.pi), self.angle)
        wide = self.ring + self.bend * (1.0 - np.cos(steps).min())
        forward = self.bend * np.sin(steps)
        origin, axis = np.asarray(self.origin), -np.asarray(self.rotation)[:, 2]
        lower_1, upper_1 = _disc_bounds(origin + (forward.min() - self.radius) * axis, axis, wide + self.radius)
        lower_2, upper_2 = _disc_bounds(origin + (forward.max() + self.radius) * axis, axis, wide + self.radius)
        return np.minimum(lower_1, lower_2), np.maximum(upper_1, upper_2)


@dataclass(frozen=True, eq=False)
class Capsule:
    """All points within ``radius`` [m] of the segment from ``a`` to ``b``: a cylinder with round ends."""

    a: Vector
    b: Vector
    radius: float

    def __post_init__(self) -> None:
        _vector(self, "a", self.a)
        _vector(self, "b", self.b)
        _positive(self, "radius")

    @cached_property
    def _arrays(self) -> tuple[Array, NDArray[np.int64], Array]:
        return _tube_arrays([(np.array([self.a, self.b]), self.radius)])

    def distance(self, points: Array) -> Array:
        return _tubes_distance(points, self._arrays)

    def bounds(self) -> tuple[Array, Array]:
        return np.minimum(self.a, self.b) - self.radius, np.maximum(self.a, self.b) + self.radius


def _disc_bounds(centre: Array, axis: Array, radius: float) -> tuple[Array, Array]:
    reach = radius * np.sqrt(np.maximum(0.0, 1.0 - axis**2))
    return centre - reach, centre + reach


@dataclass(frozen=True, eq=False)
class Cylinder:
    """The round cylinder with flat ends whose axis runs from ``a`` to ``b``; the distance is exact."""

    a: Vector
    b: Vector
    radius: float

    def __post_init__(self) -> None:
        a, b = _vector(self, "a", self.a), _vector(self, "b", self.b)
        _positive(self, "radius")
        if not np.linalg.norm(b - a) > 0:
            raise InputError("Cylinder.b", f"got {b.tolist()}, the same point as a; the ends must be apart")

    def distance(self, points: Array) -> Array:
        a, b = np.asarray(self.a), np.asarray(self.b)
        length = float(np.linalg.norm(b - a))
        profile = np.array([[0.0, 0.0], [0.0, self.radius], [length, self.radius], [length, 0.0]])
        points = _points(points)
        out = np.empty(len(points))
        _profile_distance(points, a, (b - a) / length, profile, out)
        return out

    def bounds(self) -> tuple[Array, Array]:
        a, b = np.asarray(self.a), np.asarray(self.b)
        axis = (b - a) / np.linalg.norm(b - a)
        lower_a, upper_a = _disc_bounds(a, axis, self.radius)
        lower_b, upper_b = _disc_bounds(b, axis, self.radius)
        return np.minimum(lower_a, lower_b), np.maximum(upper_a, upper_b)


@dataclass(frozen=True, eq=False)
class Needle:
    """A round shaft with a conical tip.

    ``tip`` (3,) is the point of the cone, ``axis`` (3,) the direction from the tip towards the shaft
    (normalised here), ``length`` [m] the whole length, ``tip_length`` [m] that of the cone. The distance is
    exact.
    """

    tip: Vector
    axis: Vector
    radius: float
    length: float
    tip_length: float

    def __post_init__(self) -> None:
        _vector(self, "tip", self.tip)
        axis = _vector(self, "axis", self.axis)
        norm = float(np.linalg.norm(axis))
        if norm == 0:
            raise InputError("Needle.axis", "got the zero vector; give a direction from the tip to the shaft")
        _vector(self, "axis", axis / norm)
        _positive(self, "radius", "length", "tip_length")
        if self.tip_length >= self.length:
            raise InputError(
                "Needle.tip_length",
                f"{self.tip_length:g} m leaves no shaft; must be below length {self.length:g} m",
            )

    def distance(self, points: Array) -> Array:
        profile = np.array(
            [[0.0, 0.0], [self.tip_length, self.radius], [self.length, self.radius], [self.length, 0.0]]
        )
        points = _points(points)
        out = np.empty(len(points))
        _profile_distance(points, np.asarray(self.tip), np.asarray(self.axis), profile, out)
        return out

    def bounds(self) -> tuple[Array, Array]:
        tip, axis = np.asarray(self.tip), np.asarray(self.axis)
        lower_1, upper_1 = _disc_bounds(tip + self.tip_length * axis, axis, self.radius)
        lower_2, upper_2 = _disc_bounds(tip + self.length * axis, axis, self.radius)
        lower = np.minimum(np.minimum(lower_1, lower_2), tip)
        return lower, np.maximum(np.maximum(upper_1, upper_2), tip)


@dataclass(frozen=True, eq=False)
class Box:
    """The axis-parallel box between two corners (3,) [m]; the distance is exact."""

    lower: Vector
    upper: Vector

    def __post_init__(self) -> None:
        lower, upper = _vector(self, "lower", self.lower), _vector(self, "upper", self.upper)
        if not (lower < upper).all():
            raise InputError(
                "Box.upper", f"got {upper.tolist()}; must be above lower {lower.tolist()} on each axis"
            )

    def distance(self, points: Array) -> Array:
        lower, upper = np.asarray(self.lower), np.asarray(self.upper)
        q = np.abs(_points(points) - 0.5 * (lower + upper)) - 0.5 * (upper - lower)
        outside = np.maximum(q, 0.0)
        distance: Array = np.sqrt(np.einsum("ij,ij->i", outside, outside)) + np.minimum(q.max(axis=1), 0.0)
        return distance

    def bounds(self) -> tuple[Array, Array]:
        return np.array(self.lower), np.array(self.upper)


@dataclass(frozen=True, eq=False)
class HalfSpace:
    """All x with (x - point) . normal < 0; ``normal`` is normalised here."""

    point: Vector
    normal: Vector

    def __post_init__(self) -> None:
        _vector(self, "point", self.point)
        normal = _vector(self, "normal", self.normal)
        norm = float(np.linalg.norm(normal))
        if norm == 0:
            raise InputError(
                "HalfSpace.normal", "got the zero vector; give the direction that points outside"
            )
        _vector(self, "normal", normal / norm)

    def distance(self, points: Array) -> Array:
        distance: Array = (_points(points) - self.point) @ np.asarray(self.normal)
        return distance

    def bounds(self) -> tuple[Array, Array]:
        normal, point = np.asarray(self.normal), np.asarray(self.point)
        lower, upper = np.full(3, -np.inf), np.full(3, np.inf)
        for axis in range(3):
            if abs(normal[axis]) == 1.0:
                (upper if normal[axis] > 0 else lower)[axis] = point[axis]
        return lower, upper


@dataclass(frozen=True, eq=False)
class ConeSpace:
    """All x on one side of a cone around an axis: ``(r - point_r) normal_r + (z - point_z) normal_z < 0``.

    ``z`` is measured from ``origin`` (3,) along ``axis`` (3,), ``r`` from the axis; ``point`` and ``normal`` are
    pairs (r, z) [m], the normal points outside. Both vectors are normalised here.
    """

    origin: Vector
    axis: Vector
    point: tuple[float, float]
    normal: tuple[float, float]

    def __post_init__(self) -> None:
        _vector(self, "origin", self.origin)
        axis = _vector(self, "axis", self.axis)
        length, width = float(np.linalg.norm(axis)), float(np.hypot(*self.normal))
        if length == 0 or width == 0:
            raise InputError("ConeSpace", "has an axis or a normal of no length; give it a direction")
        _vector(self, "axis", axis / length)
        object.__setattr__(self, "normal", (self.normal[0] / width, self.normal[1] / width))

    def distance(self, points: Array) -> Array:
        offset = _points(points) - self.origin
        z = offset @ np.asarray(self.axis)
        r = np.sqrt(np.maximum(np.einsum("ij,ij->i", offset, offset) - z**2, 0.0))
        distance: Array = (r - self.point[0]) * self.normal[0] + (z - self.point[1]) * self.normal[1]
        return distance

    def bounds(self) -> tuple[Array, Array]:
        return np.full(3, -np.inf), np.full(3, np.inf)


@dataclass(frozen=True, eq=False)
class Nearer:
    """The points nearer to shape ``a`` than to ``b``; half the difference of their distances."""

    a: Shape
    b: Shape

    def distance(self, points: Array) -> Array:
        return 0.5 * (self.a.distance(points) - self.b.distance(points))

    def bounds(self) -> tuple[Array, Array]:
        return np.full(3, -np.inf), np.full(3, np.inf)


def _shapes(owner: object, name: str, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    given = tuple(shapes)
    if not given:
        raise InputError(f"{type(owner).__name__}.{name}", "is empty; give at least one shape")
    object.__setattr__(owner, name, given)
    return given


@dataclass(frozen=True, eq=False)
class Union:
    """The points in any of the shapes: the smallest of their distances (exact outside, a bound inside)."""

    shapes: Sequence[Shape]

    def __post_init__(self) -> None:
        _shapes(self, "shapes", self.shapes)

    @cached_property
    def _parts(self) -> tuple[tuple[Array, NDArray[np.int64], Array] | None, tuple[Shape, ...]]:
        """All round tubes in one kernel call, and the other shapes."""
        tubes: list[tuple[Array, float]] = []
        others: list[Shape] = []
        pending = list(self.shapes)[::-1]
        while pending:
            shape = pending.pop()
            if isinstance(shape, Tube):
                tubes.append((np.asarray(shape.points), shape.radius))
            elif isinstance(shape, Capsule):
                tubes.append((np.array([shape.a, shape.b]), shape.radius))
            elif isinstance(shape, Union):
                pending.extend(list(shape.shapes)[::-1])
            else:
                others.append(shape)
        return (_tube_arrays(tubes) if tubes else None), tuple(others)

    def distance(self, points: Array) -> Array:
        tubes, others = self._parts
        out = _tubes_distance(points, tubes) if tubes is not None else others[0].distance(points)
        for shape in others if tubes is not None else others[1:]:
            np.minimum(out, shape.distance(points), out=out)
        return out

    def bounds(self) -> tuple[Array, Array]:
        corners = [shape.bounds() for shape in self.shapes]
        return np.min([lower for lower, _ in corners], axis=0), np.max(
            [upper for _, upper in corners], axis=0
        )


@dataclass(frozen=True, eq=False)
class Intersection:
    """The points in all of the shapes: the largest of their distances (exact inside, a bound outside)."""

    shapes: Sequence[Shape]

    def __post_init__(self) -> None:
        _shapes(self, "shapes", self.shapes)

    def distance(self, points: Array) -> Array:
        return np.max([shape.distance(points) for shape in self.shapes], axis=0)  # type: ignore[no-any-return]

    def bounds(self) -> tuple[Array, Array]:
        corners = [shape.bounds() for shape in self.shapes]
        lower = np.max([low for low, _ in corners], axis=0)
        return lower, np.maximum(lower, np.min([high for _, high in corners], axis=0))


@dataclass(frozen=True, eq=False)
class Difference:
    """The points of ``a`` that are not in ``b``: max(distance a, -distance b), a bound of the true
    distance."""

    a: Shape
    b: Shape

    def distance(self, points: Array) -> Array:
        return np.maximum(self.a.distance(points), -self.b.distance(points))

    def bounds(self) -> tuple[Array, Array]:
        return self.a.bounds()


@dataclass(frozen=True, eq=False)
class Placed:
    """``shape`` moved by x_world = rotation x + translation."""

    shape: Shape
    rotation: Array
    translation: Vector

    def __post_init__(self) -> None:
        _rotation(self, "rotation", self.rotation)
        _vector(self, "translation", self.translation)

    def distance(self, points: Array) -> Array:
        return self.shape.distance((_points(points) - self.translation) @ self.rotation)

    def bounds(self) -> tuple[Array, Array]:
        lower, upper = self.shape.bounds()
        if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
            return np.full(3, -np.inf), np.full(3, np.inf)
        centre = np.asarray(self.rotation) @ (0.5 * (lower + upper)) + self.translation
        reach = np.abs(self.rotation) @ (0.5 * (upper - lower))
        return centre - reach, centre + reach
