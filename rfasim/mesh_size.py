"""How large the cells of a mesh should be, where: surfaces, patches and the lattice box around the domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim.errors import InputError
from rfasim.geometry import Ball, Box, Cylinder, Shape
from rfasim.lattice import MAX_LEVEL

Array: TypeAlias = NDArray[np.float64]

# Edge of the leaves at a surface over the edge length asked for there: cutting the lattice leaves surface
# triangles whose mean edge is 0.6 to 0.8 of the leaf's.
COARSENING = {2: 1.3, 3: 1.5}
SLACK = 1.06  # how far an octant may exceed the sizes asked for away from surfaces


@dataclass(frozen=True)
class Patch:
    """The part of a surface where ``shape.distance <= 0``.

    The curve on the surface where that distance is zero is the patch's rim, where the electric field is
    singular: edges near it are refined to ``rim_size`` [m] and mesh edges run along it.
    """

    name: str
    shape: Shape
    rim_size: float | None = None


@dataclass(frozen=True)
class Surface:
    """A surface the mesh conforms to.

    ``size`` [m] is the mean edge length at the surface, or, with ``rest_size``, at its patches: away from
    them the octants grow up to ``rest_size`` (which must still resolve the cross-section: at most half a
    shaft's diameter). ``inside`` is the region of the cells inside, or None for a hole. Facets are named
    ``name.patch`` and ``name.rest``. ``grow``: edge length gained per distance from it, where that is not the mesh's.
    """

    name: str
    shape: Shape
    size: float
    inside: str | None = None
    patches: tuple[Patch, ...] = ()
    rest: str = "insulation"
    rest_size: float | None = None
    grow: float | None = None


def _check_length(path: str, value: float | None) -> None:
    if value is not None and not (np.isfinite(value) and value > 0):
        raise InputError(path, f"got {value!r}; must be a length above 0 m")


@dataclass(frozen=True, eq=False)
class Frame:
    """The lattice box: where it lies, how it is divided, and the curved wall of the domain, if any."""

    dim: int
    lower: Array  # (dim,)
    edge: Array  # (dim,) edges of a root octant
    roots: NDArray[np.int32]
    upper: Array
    wall: Shape | None  # the domain's own curved surface
    finest: float

    @staticmethod
    def of(
        domain: Box | Cylinder | Ball,
        surfaces: tuple[Surface, ...],
        max_size: float | None,
        grow: float,
        axisymmetric: bool,
    ) -> Frame:
        if not (np.isfinite(grow) and grow > 0):
            raise InputError("mesh.grow", f"got {grow!r}; must be above 0, 0.7 to 1 is usual")
        names = [surface.name for surface in surfaces]
        if len(set(names)) < len(names):
            raise InputError("mesh.surfaces", f"the names {names} are not all different")
        sizes: list[float] = []
        for surface in surfaces:
            _check_length(f"{surface.name}.size", surface.size)
            _check_length(f"{surface.name}.rest_size", surface.rest_size)
            sizes.append(surface.size)
            for patch in surface.patches:
                _check_length(f"{surface.name}.{patch.name}.rim_size", patch.rim_size)
                if patch.rim_size is not None:
                    sizes.append(patch.rim_size)
        low, high = domain.bounds()
        keep = [0, 2] if axisymmetric else [0, 1, 2]
        wall: Shape | None = None
        exact = np.ones(3, dtype=np.bool_)
        if isinstance(domain, Cylinder):
            a, b = np.asarray(domain.a), np.asarray(domain.b)
            if a[0] != b[0] or a[1] != b[1]:
                raise InputError("mesh.domain", "a cylindrical domain must be parallel to z")
            if not axisymmetric:
                reach = np.array([0.0, 0.0, 2.0 * abs(b[2] - a[2]) + 4.0 * domain.radius])
                wall = Cylinder(np.minimum(a, b) - reach, np.maximum(a, b) + reach, domain.radius)
                exact[:2] = False
        elif isinstance(domain, Ball):
            wall = domain
            exact[:] = False
        elif not isinstance(domain, Box):
            raise InputError("mesh.domain", f"got {type(domain).__name__}; expected Box, Cylinder or Ball")
        if axisymmetric:
            if isinstance(domain, Box):
                if low[0] < 0:
                    raise InputError("mesh.domain", f"spans r from {low[0]:g} m; r must not be negative")
            else:
                if abs(low[0] + high[0]) > 1e-12 or abs(low[1] + high[1]) > 1e-12:
                    raise InputError("mesh.domain", "an axisymmetric domain must be centred on the z axis")
                low = np.array([0.0, 0.0, low[2]])
        extent = (high - low)[keep]
        limit = float(extent.min()) / 8.0 if max_size is None else float(max_size)
        _check_length("mesh.max_size", limit)
        finest = min([*(COARSENING[len(keep)] * size for size in sizes), limit])
        exact = exact[keep]
        lower, upper, edge, roots = _divide(low[keep], high[keep], exact, finest, limit, axisymmetric)
        return Frame(len(keep), lower, edge, roots, upper, wall, finest)

    def embed(self, points: Array) -> Array:
        """Points of the mesh as points in space: (r, z) -> (r, 0, z)."""
        if self.dim == 3:
            return points
        out = np.zeros((len(points), 3))
        out[:, 0], out[:, 2] = points[:, 0], points[:, 1]
        return out


def _divide(
    lower: Array, upper: Array, exact: NDArray[np.bool_], finest: float, limit: float, axisymmetric: bool
) -> tuple[Array, Array, Array, NDArray[np.int32]]:
    """Lower and upper corner, root edges and root counts of the lattice box.

    The finest leaves come out at most 10 % larger than ``finest`` and as close to it as nearly cubic octants
    allow.
    """
    extent = upper - lower
    depth = min(int(np.floor(np.log2(limit / finest * 1.1))), MAX_LEVEL)
    best: tuple[float, float, NDArray[np.int64]] | None = None
    for coarser in np.linspace(1.08, 0.72, 37):
        for up in range(3):
            target = finest * coarser * 2.0 ** max(depth - up, 0)
            counts = np.maximum(1, np.round(extent / target)).astype(np.int64)
            edges = (extent / counts)[exact]
            stretch = float(edges.max() / edges.min()) if len(edges) else 1.0
            leaf = float(edges.max() / target) * coarser if len(edges) else coarser
            # at most 10 % too large, hardly stretched, few root octants, and then as close as can be
            cost = 30 * max(0.0, leaf - 1.1) + 30 * max(0.0, stretch - 1.04) + abs(leaf - 1.0) + 0.12 * up
            if best is None or cost < best[0] - 1e-12:
                best = (cost, target, counts)
    assert best is not None
    _, target, counts = best
    edges = extent / counts
    cubic = float(np.exp(np.log(edges[exact]).mean())) if exact.any() else target
    lower, upper = lower.copy(), upper.copy()
    for d in np.flatnonzero(~exact):
        # half a root beyond the curved wall, so that it crosses the lattice well inside the box
        edges[d] = cubic
        on_axis = axisymmetric and d == 0
        counts[d] = int(np.ceil(extent[d] / cubic + (0.5 if on_axis else 1.0)))
        spare = counts[d] * cubic - extent[d]
        if not on_axis:
            lower[d] -= 0.5 * spare
            upper[d] += 0.5 * spare
        else:
            upper[d] += spare
    if counts.max() << (depth + 2) >= 1 << 20:
        raise InputError(
            "mesh",
            f"the smallest size {finest:g} m is too fine for a domain of {extent.max():g} m; give a ratio "
            "below 50 000",
        )
    return lower, upper, edges, counts.astype(np.int32)


def box_distance(points: Array, bounds: tuple[Array, Array]) -> Array:
    """Distance of points (n, 3) to a box, 0 inside: a cheap lower bound of the distance to what is in it."""
    lower, upper = bounds
    outside = np.maximum(np.maximum(lower - points, points - upper), 0.0)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", outside, outside)))


class SizeField:
    """Decides which octants are too large."""

    def __init__(
        self,
        frame: Frame,
        surfaces: tuple[Surface, ...],
        grow: float,
        extra_size: Callable[[Array], Array] | None,
    ) -> None:
        self.frame, self.surfaces, self.grow, self.extra_size = frame, surfaces, grow, extra_size
        self.bounds = [surface.shape.bounds() for surface in surfaces]
        self.coarsening = COARSENING[frame.dim]

    def too_large(self, centres: Array, edge: float) -> NDArray[np.bool_]:
        """Which octants, given by centres (n, dim) and edge in root edges, must be divided."""
        frame = self.frame
        points = frame.embed(frame.lower + centres * frame.edge)
        width = float(frame.edge.max()) * edge / 1.11  # octants may be stretched and 10 % too large
        out = np.zeros(len(points), dtype=np.bool_)
        for surface, bounds in zip(self.surfaces, self.bounds, strict=True):
            rims = [patch.rim_size for patch in surface.patches if patch.rim_size is not None]
            smallest = self.coarsening * min([surface.size, *rims])
            if smallest >= width:
                continue
            room = box_distance(points, bounds)
            grow = self.grow if surface.grow is None else surface.grow
            ask = np.flatnonzero(~out & (smallest + grow * np.maximum(room - width, 0.0) < width))
            if len(ask):
                out[ask] = self._surface_wants(surface, np.ascontiguousarray(points[ask]), width)
        if self.extra_size is not None:
            ask = np.flatnonzero(~out)
            if len(ask):
                # leaves come in powers of two: one slightly too wide is not worth eight of half its width
                out[ask] = SLACK * np.asarray(self.extra_size(np.ascontiguousarray(points[ask]))) < width
        if frame.wall is not None:
            ask = np.flatnonzero(out)
            out[ask[frame.wall.distance(points[ask]) > 2.0 * width]] = False
        return out

    def _surface_wants(self, surface: Surface, points: Array, width: float) -> NDArray[np.bool_]:
        """Which octants ``surface`` wants divided: those larger than its size field, and inside a hole only
        those that touch its surface."""
        distance = surface.shape.distance(points)
        touching = np.abs(distance) < width
        relevant = touching if surface.inside is None else np.ones(len(points), dtype=np.bool_)
        relevant = relevant | (distance > 0)
        grow = self.grow if surface.grow is None else surface.grow
        rise = np.where(touching, 0.0, grow * np.abs(distance))
        finest = self.coarsening * surface.size
        size: Array = np.full(len(points), finest)
        wants = np.zeros(len(points), dtype=np.bool_)
        gaps = [patch.shape.distance(points) for patch in surface.patches]
        if surface.rest_size is not None and gaps:
            away = np.maximum(np.min(gaps, axis=0) - width, 0.0)
            size = np.minimum(max(surface.rest_size, finest), finest + self.grow * away)
        elif surface.rest_size is not None:
            size[:] = max(surface.rest_size, finest)
        wants |= size + rise < width
        for patch, gap in zip(surface.patches, gaps, strict=True):
            if patch.rim_size is not None:
                rim = np.hypot(distance, gap)
                near = touching & (np.abs(gap) < width)
                wants |= np.where(near, 0.0, self.grow * rim) + self.coarsening * patch.rim_size < width
        return wants & relevant
