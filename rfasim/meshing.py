"""Shapes and a size field become a conforming graded mesh, in 3-D or in the (r, z) half plane.

Isosurface stuffing (Labelle and Shewchuk, ACM Trans. Graph. 26 (2007) 57) over a balanced octree: vertices close to a
surface slide onto it, the simplices that still cross it are bisected at the crossing. Surfaces are fitted one after
the other; a vertex that lies on one stays on it while the next is fitted. The rims of patches, where the field is
singular, become chains of edges. A last pass moves vertices (on surfaces: along them) where cells came out poor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim import meshing_kernels as kernels
from rfasim.errors import InputError
from rfasim.geometry import Ball, Box, Cylinder, Shape
from rfasim.lattice import MAX_LEVEL, Tree, grow_tree, lattice_simplices
from rfasim.mesh import Indices, Mesh, curve_keys
from rfasim.mesh_kernels import face_vertices, match_faces, orient

Array: TypeAlias = NDArray[np.float64]
LevelSet: TypeAlias = Callable[[Array], Array]

SNAP = 0.3  # fraction of an edge from which a vertex moves onto a crossing, tuned on drawn poses
NEAR = 1.35  # a leaf farther than this many edges from a surface holds no cell that meets it
CLOSE = 0.1  # a vertex closer than this fraction of its leaf's edge always does
SPOILED_SINE = 0.06  # a snap that leaves a cell flatter than this is undone
POOR_SINE = 0.3  # cells with an angle below 17.5 or above 162.5 degrees are improved
BAD_SINE = 0.17  # below 10 or above 170 degrees: such cells may even leave a surface
MAX_LEAVES = 20_000_000
# Edge of the leaves at a surface over the edge length asked for there: cutting the lattice leaves triangles whose mean
# edge is about 0.6 of the leaf's.
COARSENING = {2: 1.3, 3: 1.5}


@dataclass(frozen=True)
class Patch:
    """The part of a surface where ``shape.distance <= 0``.

    The curve on the surface where that distance is zero is the patch's rim, where the electric field is singular:
    edges near it are refined to ``rim_size`` [m] and mesh edges run along it.
    """

    name: str
    shape: Shape
    rim_size: float | None = None


@dataclass(frozen=True)
class Surface:
    """A surface the mesh conforms to.

    ``size`` [m] is the mean edge length at the surface, or, with ``rest_size``, at its patches: away from them the
    octants grow up to ``rest_size`` (which must still resolve the cross-section: at most half a shaft's diameter).
    ``inside`` is the
    region of the cells inside, or None for a hole. Facets are named ``name.patch`` and ``name.rest``.
    """

    name: str
    shape: Shape
    size: float
    inside: str | None = None
    patches: tuple[Patch, ...] = ()
    rest: str = "insulation"
    rest_size: float | None = None


def build_mesh(
    domain: Box | Cylinder | Ball,
    surfaces: Sequence[Surface] = (),
    *,
    background: str = "tissue",
    grow: float = 0.7,
    max_size: float | None = None,
    extra_size: Callable[[Array], Array] | None = None,
    axisymmetric: bool = False,
    balance: bool = True,
) -> Mesh:
    """Mesh ``domain`` so that it conforms to ``surfaces``; where they overlap, the later one wins.

    Edges follow the smallest of: over surfaces size + grow * distance, likewise from each rim; they are at most
    ``max_size`` [m] (default an eighth of the domain) and ``extra_size(points (n, 3))`` [m]. The domain's boundary is the
    facet set ``outer``. A box, and the flat ends of a cylinder (which must be along z), are exact. With
    ``axisymmetric`` the shapes are taken at (r, 0, z) and the mesh is the half section r >= 0; a Box domain then
    spans r = lower x .. upper x. With ``balance`` the nodes of curved surfaces are shifted (by about edge^2 / 12 radius)
    so that facets lie on the surface on average, which makes areas, volumes and resistances far more accurate; without
    it the nodes lie on the surface.

    Raises InputError for sizes that are not positive or too fine for the domain, and for surfaces outside it.

    >>> from rfasim.geometry import Capsule
    >>> needle = Surface("needle", Capsule((0, 0, 0), (0, 0, 0.2), 0.75e-3), size=0.3e-3)
    >>> build_mesh(Cylinder((0, 0, -0.06), (0, 0, 0.06), 0.06), [needle], axisymmetric=True).dim
    2
    """
    surfaces = tuple(surfaces)
    frame = _Frame.of(domain, surfaces, max_size, grow, axisymmetric)
    field = _SizeField(frame, surfaces, grow, extra_size)
    tree = grow_tree(frame.roots, field.too_large, MAX_LEAVES)
    if tree is None:
        raise InputError(
            "mesh", f"would need more than {MAX_LEAVES:,} octants; give larger sizes (the smallest is {frame.finest:g} m)"
        )
    fitting = _Fitting(frame, surfaces, tree)
    fitting.cut_surfaces()
    fitting.cut_rims()
    return fitting.mesh(background, balance)


def _positive(path: str, value: float | None) -> None:
    if value is not None and not (np.isfinite(value) and value > 0):
        raise InputError(path, f"got {value!r}; must be a length above 0 m")


@dataclass(frozen=True, eq=False)
class _Frame:
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
    ) -> _Frame:
        if not (np.isfinite(grow) and grow > 0):
            raise InputError("mesh.grow", f"got {grow!r}; must be above 0, 0.7 to 1 is usual")
        names = [surface.name for surface in surfaces]
        if len(set(names)) < len(names):
            raise InputError("mesh.surfaces", f"the names {names} are not all different")
        sizes: list[float] = []
        for surface in surfaces:
            _positive(f"{surface.name}.size", surface.size)
            _positive(f"{surface.name}.rest_size", surface.rest_size)
            sizes.append(surface.size)
            for patch in surface.patches:
                _positive(f"{surface.name}.{patch.name}.rim_size", patch.rim_size)
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
        _positive("mesh.max_size", limit)
        finest = min([*(COARSENING[len(keep)] * size for size in sizes), limit])
        exact = exact[keep]
        lower, upper, edge, roots = _divide(low[keep], high[keep], exact, finest, limit, axisymmetric)
        return _Frame(len(keep), lower, edge, roots, upper, wall, finest)

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

    The finest leaves come out at most 10 % larger than ``finest`` and as close to it as nearly cubic octants allow.
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
            f"the smallest size {finest:g} m is too fine for a domain of {extent.max():g} m; give a ratio below 50 000",
        )
    return lower, upper, edges, counts.astype(np.int32)


def _box_distance(points: Array, bounds: tuple[Array, Array]) -> Array:
    """Distance of points (n, 3) to a box, 0 inside: a cheap lower bound of the distance to what is in it."""
    lower, upper = bounds
    outside = np.maximum(np.maximum(lower - points, points - upper), 0.0)
    return np.sqrt(np.einsum("ij,ij->i", outside, outside))


class _SizeField:
    """Decides which octants are too large."""

    def __init__(
        self,
        frame: _Frame,
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
            room = _box_distance(points, bounds)
            ask = np.flatnonzero(~out & (smallest + self.grow * np.maximum(room - width, 0.0) < width))
            if len(ask):
                out[ask] = self._surface_wants(surface, np.ascontiguousarray(points[ask]), width)
        if self.extra_size is not None:
            ask = np.flatnonzero(~out)
            if len(ask):
                out[ask] = np.asarray(self.extra_size(np.ascontiguousarray(points[ask]))) < width
        if frame.wall is not None:
            ask = np.flatnonzero(out)
            out[ask[frame.wall.distance(points[ask]) > 2.0 * width]] = False
        return out

    def _surface_wants(self, surface: Surface, points: Array, width: float) -> NDArray[np.bool_]:
        """Which octants ``surface`` wants divided: those larger than its size field, and inside a hole only those
        that touch its surface."""
        distance = surface.shape.distance(points)
        touching = np.abs(distance) < width
        relevant = touching if surface.inside is None else np.ones(len(points), dtype=np.bool_)
        relevant = relevant | (distance > 0)
        rise = np.where(touching, 0.0, self.grow * np.abs(distance))
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


_BIT = [np.uint64(1) << np.uint64(k) for k in range(64)]


class _Fitting:
    """The lattice while surfaces are fitted into it, one after the other."""

    def __init__(self, frame: _Frame, surfaces: tuple[Surface, ...], tree: Tree) -> None:
        self.frame, self.surfaces = frame, surfaces
        dim = frame.dim
        shapes: list[Shape] = [surface.shape for surface in surfaces]
        self.outside = len(surfaces)  # owner of the cells beyond the domain's curved wall, which beats all others
        self.n_fitted = len(surfaces) + (frame.wall is not None)
        if frame.wall is not None:
            shapes.append(frame.wall)
        self.patches = [(s, patch) for s, surface in enumerate(surfaces) for patch in surface.patches]
        shapes += [patch.shape for _, patch in self.patches]
        if len(shapes) > 63:
            raise InputError(
                "mesh.surfaces", f"{len(shapes)} surfaces and patches; at most 63, join shapes in a Union"
            )
        self.shapes = shapes
        self.tree = tree
        centres = frame.lower + tree.centres() * frame.edge
        self.leaf_edge = float(frame.edge.max()) * 0.5 ** tree.levels.astype(np.float64)
        in_space = np.ascontiguousarray(frame.embed(centres))
        self.leaf_value = [self._leaf_distance(k, in_space) for k in range(self.n_fitted)]
        skipped = self._deep_leaves()
        coordinates, self.cells, self.origin = lattice_simplices(tree, skipped)
        last = (frame.roots.astype(np.int64) << (tree.depth + 1)).astype(np.int32)
        self.points = frame.lower + coordinates * (frame.edge * 0.5 ** (tree.depth + 1))
        self.walls = np.zeros(len(coordinates), dtype=np.uint8)
        for d in range(dim):
            at_end = coordinates[:, d] == last[d]
            self.points[at_end, d] = frame.upper[d]
            self.walls |= (coordinates[:, d] == 0).astype(np.uint8) << np.uint8(2 * d)
            self.walls |= at_end.astype(np.uint8) << np.uint8(2 * d + 1)
        orient(self.points, self.cells)
        self.owner = np.full(len(self.cells), -1, dtype=np.int32)
        self.touch = np.zeros(len(self.points), dtype=np.uint64)  # level sets whose zero runs through the vertex
        self.on = np.zeros(len(self.points), dtype=np.uint64)  # those it also lies on, to rounding

    # -- level sets ---------------------------------------------------------------------------------------------

    def _value(self, k: int, points: Array) -> Array:
        value = self.shapes[k].distance(np.ascontiguousarray(self.frame.embed(points)))
        # the wall of the domain is fitted like the others, with the domain inside
        return -value if k == self.outside and self.frame.wall is not None else value

    def _leaf_distance(self, k: int, centres: Array) -> Array:
        if k == self.outside:
            return -self.shapes[k].distance(centres)
        value = _box_distance(centres, self.shapes[k].bounds())
        ask = np.flatnonzero(value <= NEAR * self.leaf_edge)
        value[ask] = self.shapes[k].distance(np.ascontiguousarray(centres[ask]))
        return value

    def _deep_leaves(self) -> NDArray[np.bool_]:
        """Leaves far from all surfaces whose cells will not be kept."""
        owner = np.full(len(self.leaf_edge), -1, dtype=np.int32)
        far = np.ones(len(owner), dtype=np.bool_)
        for k, value in enumerate(self.leaf_value):
            far &= np.abs(value) > NEAR * self.leaf_edge
            owner[value < 0] = k
        return far & self._is_dropped(owner)

    def _is_dropped(self, owner: NDArray[np.int32]) -> NDArray[np.bool_]:
        dropped = np.array([s.inside is None for s in self.surfaces] + [True, False])  # ..., outside, background (-1)
        return dropped[owner]

    # -- surfaces -----------------------------------------------------------------------------------------------

    def cut_surfaces(self) -> None:
        """Fit all surfaces, the finest first, because it finds the lattice still regular; the wall last."""
        order = sorted(range(len(self.surfaces)), key=lambda k: (self.surfaces[k].size, k))
        if self.frame.wall is not None:
            order.append(self.outside)
        for k in order:
            self._cut(k)

    def _cut(self, k: int) -> None:
        near_leaf = np.abs(self.leaf_value[k]) <= NEAR * self.leaf_edge
        near = near_leaf[self.origin]
        inside_far = ~near & (self.leaf_value[k] < 0)[self.origin]
        self.owner[inside_far] = np.maximum(self.owner[inside_far], k)
        chosen = np.flatnonzero(near)
        if len(chosen) == 0:
            return
        value = np.full(len(self.points), np.inf)
        marked = np.zeros(len(self.points), dtype=np.bool_)
        kernels.mark_vertices(self.cells, chosen, marked)
        asked = np.flatnonzero(marked)
        value[asked] = self._value(k, self.points[asked])
        closeness = CLOSE * self.leaf_edge[self.origin[chosen]]
        value = self._snap(k, self.cells, chosen, value, closeness, _BIT[k])
        n_before = len(self.cells)
        edges = kernels.crossing_edges(self.cells, chosen, value)
        value = self._split(chosen, value, edges, _BIT[k])
        chosen = np.concatenate([chosen, np.arange(n_before, len(self.cells))])
        side = np.empty(len(chosen), dtype=np.int8)
        kernels.sides(self.cells, chosen, value, side)
        flat = np.flatnonzero(side == 0)
        if len(flat):
            side[flat] = np.sign(self._value(k, self.points[self.cells[chosen[flat]]].mean(axis=1)))
        inside = chosen[side < 0]
        self.owner[inside] = np.maximum(self.owner[inside], k)

    def _snap(
        self,
        k: int,
        simplices: Indices,
        chosen: NDArray[np.int64],
        value: Array,
        closeness: Array,
        same: np.uint64,
    ) -> Array:
        """Slide vertices of the chosen simplices (cells, or faces on a surface) that are close to the zero of level
        set ``k`` onto it (and onto ``same``); those that cannot move there count as being on it."""
        snap = np.zeros(len(self.points), dtype=np.bool_)
        kernels.mark_snaps(simplices, chosen, value, SNAP, closeness, snap)
        moved = np.flatnonzero(snap)
        if len(moved):
            old = self.points[moved]
            new, fits = self._project(old, self.walls[moved], self.on[moved] | same, 3.0 * np.abs(value[moved]))
            where = np.full(len(self.points), -1, dtype=np.int64)
            where[moved] = np.arange(len(moved))
            was_on = self.on[moved].copy()
            self.points[moved[fits]] = new[fits]
            self.on[moved[fits]] |= same
            ring = kernels.touching_cells(self.cells, snap, 1)
            active = snap.copy()
            active[moved[~fits]] = False
            for _ in range(20):
                spoiled = np.zeros(len(self.points), dtype=np.bool_)
                if kernels.find_spoiled(self.points, self.cells, ring, active, SPOILED_SINE, spoiled) == 0:
                    break
                back = np.flatnonzero(spoiled)
                self.points[back] = old[where[back]]
                self.on[back] = was_on[where[back]]
                active[back] = False
            value[moved] = 0.0
        self.touch[value == 0.0] |= _BIT[k]
        return value

    def _split(self, chosen: NDArray[np.int64], value: Array, edges: Indices, same: np.uint64) -> Array:
        """Split edges where ``value`` crosses zero, in the chosen cells; the new vertices lie on the level sets in
        ``same`` and on those that both ends share. Returns the longer values."""
        if len(edges) == 0:
            return value
        a, b = edges[:, 0], edges[:, 1]
        t = value[a] / (value[a] - value[b])
        start = self.points[a] + t[:, None] * (self.points[b] - self.points[a])
        length = np.sqrt(((self.points[b] - self.points[a]) ** 2).sum(axis=1))
        walls = self.walls[a] & self.walls[b]
        # a common surface of both ends is one of the edge's unless the edge runs through the gap between two sheets
        common = self.on[a] & self.on[b]
        for j in range(len(self.shapes)):
            has = np.flatnonzero(common & _BIT[j])
            if len(has):
                off = np.abs(self._value(j, start[has])) > 0.15 * length[has]
                common[has[off]] &= ~_BIT[j]
        new, fits = self._project(start, walls, common | same, 0.25 * length)
        start[fits] = new[fits]
        first_new = len(self.points)
        rank = np.empty(len(edges), dtype=np.int64)
        rank[np.argsort(-length, kind="stable")] = np.arange(len(edges))
        self.cells, self.origin, self.owner, _ = kernels.split_edges(
            self.cells, self.origin, self.owner, chosen, edges, rank, first_new
        )
        self.points = np.concatenate([self.points, start])
        self.walls = np.concatenate([self.walls, walls])
        self.touch = np.concatenate([self.touch, (self.touch[a] & self.touch[b]) | same])
        self.on = np.concatenate([self.on, np.where(fits, common | same, np.uint64(0))])
        return np.concatenate([value, np.zeros(len(edges))])

    def _gradients(self, k: int, points: Array, value: Array, step: float, free: Array) -> Array:
        """Gradient of level set ``k`` by differences, without the components that the walls forbid."""
        out = np.empty_like(points)
        for d in range(points.shape[1]):
            moved = points.copy()
            moved[:, d] += step
            out[:, d] = (self._value(k, moved) - value) / step
        return out * free

    def _free(self, walls: NDArray[np.uint8]) -> Array:
        return np.stack(
            [(walls >> np.uint8(2 * d)) & np.uint8(3) == 0 for d in range(self.frame.dim)], axis=1
        ).astype(np.float64)

    def _project(
        self,
        points: Array,
        walls: NDArray[np.uint8],
        bits: NDArray[np.uint64],
        reach: Array,
        level: dict[int, Array] | None = None,
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Nearest points on the intersection of the level sets in ``bits``, and whether they are within ``reach``.

        Newton steps of least length, along the walls of the box where a vertex lies on one. ``level`` asks for other
        values than zero.
        """
        out = points.copy()
        fits = np.zeros(len(points), dtype=np.bool_)
        free = self._free(walls)
        tolerance, step = 1e-7 * self.frame.finest, 1e-4 * self.frame.finest
        reach = reach + 10.0 * tolerance
        for mask in np.unique(bits):
            rows = np.flatnonzero(bits == mask)
            active = [k for k in range(len(self.shapes)) if mask & _BIT[k]]
            if len(active) > self.frame.dim:
                continue
            for iteration in range(5):
                x = out[rows]
                value = np.stack([self._value(k, x) for k in active], axis=1)
                for j, k in enumerate(active):
                    if level is not None and k in level:
                        value[:, j] -= level[k][rows]
                good = np.abs(value).max(axis=1) <= tolerance
                fits[rows[good]] = True
                rows, x, value = rows[~good], x[~good], value[~good]
                if len(rows) == 0 or iteration == 4:
                    break
                slope = np.stack(
                    [self._gradients(k, x, self._value(k, x), step, free[rows]) for k in active], axis=1
                )
                gram = slope @ slope.transpose(0, 2, 1) + 1e-9 * np.eye(len(active))
                shift = -np.einsum("nkd,nk->nd", slope, np.linalg.solve(gram, value[:, :, None])[:, :, 0])
                length = np.sqrt((shift**2).sum(axis=1))
                shift *= np.minimum(1.0, reach[rows] / np.maximum(length, 1e-300))[:, None]
                out[rows] = x + shift
        fits &= np.sqrt(((out - points) ** 2).sum(axis=1)) <= reach
        return out, fits

    # -- rims ---------------------------------------------------------------------------------------------------

    def _interfaces(self, chosen: NDArray[np.int64]) -> tuple[Indices, NDArray[np.int32], NDArray[np.int64]]:
        """Faces between different owners among the chosen cells and faces on the box: vertices, the level set or
        (background -1 ...) they belong to, and the cell each was taken from."""
        part = self.cells[chosen]
        flagged = (self.touch != 0) | (self.walls != 0)
        owner_cell, local, neighbour, _ = match_faces(part, flagged)
        owners = self.owner[chosen]
        first = owners[owner_cell]
        second = np.where(neighbour >= 0, owners[neighbour], -2)
        surface = np.maximum(first, second)
        # take the face from the cell inside its surface when that is kept, else from the other one
        dropped_first = self._is_dropped(first)
        dropped_second = np.where(second == -2, True, self._is_dropped(np.where(second == -2, -1, second)))
        swap = ((second == surface) & ~dropped_second & (second != first)) | (dropped_first & ~dropped_second)
        differ = (first != second) & ~(dropped_first & dropped_second)
        taken = np.where(swap, neighbour, owner_cell)
        faces = face_vertices(part, owner_cell, local)
        faces[swap, 0], faces[swap, 1] = faces[swap, 1].copy(), faces[swap, 0].copy()
        alone = second == -2
        common = self.walls[faces[:, 0]]
        for c in range(1, faces.shape[1]):
            common = common & self.walls[faces[:, c]]
        surface = np.where(alone, -2, surface)
        keep = differ & (~alone | (common != 0))
        if self.frame.dim == 2 and self.frame.lower[0] == 0.0:  # the axis is no boundary
            keep &= ~alone | (common != 1)
        return faces[keep], surface[keep].astype(np.int32), chosen[taken[keep]]

    def cut_rims(self) -> None:
        """Let mesh edges run along the rims of the patches."""
        for j, (s, _) in enumerate(self.patches):
            k = self.n_fitted + j
            flagged = self.touch != 0
            chosen = kernels.touching_cells(self.cells, flagged, 2)
            faces, surface, face_cell = self._interfaces(chosen)
            face_cell = face_cell[surface == s]
            faces = np.ascontiguousarray(faces[surface == s])
            if len(faces) == 0:
                continue
            asked = np.unique(faces)
            value = np.full(len(self.points), np.inf)
            value[asked] = self._value(k, self.points[asked])
            everything = np.arange(len(faces))
            both = _BIT[k] | _BIT[s]
            value = self._snap(k, faces, everything, value, CLOSE * self.leaf_edge[self.origin[face_cell]], both)
            edges = kernels.crossing_edges(faces, everything, value)
            self._split(chosen, value, edges, both)

    # -- the finished mesh --------------------------------------------------------------------------------------

    def mesh(self, background: str, balance: bool) -> Mesh:
        """Drop holes and cut-off crumbs, improve poor cells, name facets, number along a curve."""
        near = kernels.touching_cells(self.cells, (self.touch != 0) | (self.walls != 0), self.frame.dim)
        faces, surface, face_cell = self._interfaces(near)
        kept = ~self._is_dropped(self.owner)
        kept[kept] = _large_components(np.ascontiguousarray(self.cells[kept]), len(self.points))
        cells = np.ascontiguousarray(self.cells[kept])
        owner = self.owner[kept]
        whole = kept[face_cell]
        faces, surface = faces[whole], surface[whole]
        if len(cells) == 0:
            raise InputError("mesh", "nothing of the domain is left; the surfaces cover it")
        self._improve(cells)
        if balance:
            self._balance(cells, faces, surface)
        facets = self._named(faces, surface)

        used = np.zeros(len(self.points), dtype=np.bool_)
        used[cells.ravel()] = True
        used_nodes = np.flatnonzero(used)
        nodes = used_nodes[np.argsort(curve_keys(self.points[used_nodes]), kind="stable")]
        number = np.zeros(len(self.points), dtype=np.uint32)
        number[nodes] = np.arange(len(nodes), dtype=np.uint32)
        centroids = sum(self.points[cells[:, c]] for c in range(1, cells.shape[1])) + self.points[cells[:, 0]]
        order = np.argsort(curve_keys(centroids), kind="stable")
        region_names, regions = self._regions(owner[order], background)
        return Mesh(
            self.points[nodes],
            number[cells[order]],
            regions,
            region_names,
            {name: number[f] for name, f in facets.items()},
            self.frame.dim == 2,
        )

    def _regions(self, owner: NDArray[np.int32], background: str) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        names = [background]
        code = []
        for surface in self.surfaces:
            name = surface.inside or background
            if name not in names:
                names.append(name)
            code.append(names.index(name))
        return tuple(names), np.array([*code, 0], dtype=np.int32)[owner]

    def _named(self, faces: Indices, surface: NDArray[np.int32]) -> dict[str, Indices]:
        out: dict[str, Indices] = {}
        number = self.n_fitted
        for k, given in enumerate(self.surfaces):
            mine = faces[surface == k]
            if len(mine) == 0:
                raise InputError(
                    given.name, f"has no surface in the domain: it lies outside, or is thinner than its size {given.size:g} m"
                )
            centres = self.points[mine].mean(axis=1)
            free = np.ones(len(mine), dtype=np.bool_)
            for patch in given.patches:
                inside = free & (self._value(number, centres) <= 0)
                number += 1
                if not inside.any():
                    raise InputError(f"{given.name}.{patch.name}", "does not meet the surface inside the domain")
                out[f"{given.name}.{patch.name}"] = mine[inside]
                free &= ~inside
            out[f"{given.name}.{given.rest}"] = mine[free]
        out["outer"] = faces[(surface == -2) | (surface == self.outside)]
        return out

    def _improve(self, cells: Indices) -> None:
        """Move vertices of poor cells, those on surfaces along them, until the smallest sines have grown.

        Where two surfaces nearly touch, that may not be enough: the last sweeps let the vertices of cells that are
        still bad leave the surfaces a little.
        """
        sine = np.empty(len(cells))
        for sweep in range(5):
            relaxed = sweep >= 3
            limit = BAD_SINE if relaxed else POOR_SINE
            if kernels.bad_cells(self.points, cells, limit, sine) == 0:
                if relaxed:
                    return
                continue
            wanted = np.zeros(len(self.points), dtype=np.bool_)
            kernels.mark_vertices(cells, np.flatnonzero(sine < limit), wanted)
            vertices = np.flatnonzero(wanted)
            start, ring, row = kernels.cells_around(cells, wanted)
            before, old = np.empty(len(vertices)), self.points[vertices]
            kernels.ring_qualities(self.points, cells, vertices, start, ring, row, before)
            freedom = self._freedom(vertices, relaxed)
            kernels.improve_vertices(
                self.points, cells, vertices, start, ring, row, freedom, 1.3 * limit, 3 if sweep == 0 else 5
            )
            moved = (self.points[vertices] != old).any(axis=1)
            if relaxed:
                self.on[vertices[moved]] = 0
                continue
            rows = np.flatnonzero(moved & (self.on[vertices] != 0))
            if len(rows):
                bent = vertices[rows]
                reach = np.sqrt(((self.points[bent] - old[rows]) ** 2).sum(axis=1))
                target, fits = self._project(self.points[bent], self.walls[bent], self.on[bent], reach)
                target[~fits] = old[rows[~fits]]
                kernels.settle_vertices(self.points, cells, bent, start, ring, row, target, before[rows])

    def _balance(self, cells: Indices, faces: Indices, surface: NDArray[np.int32]) -> None:
        """Shift the vertices of curved surfaces outwards until the facets lie on the surface on average.

        With its vertices on it, a polyhedron lies inside a convex surface by about edge^2 / (12 radius): a needle
        comes out too thin. The mean distance of the facets around a vertex, by the midpoint rule, is what it is
        shifted by; that leaves an error of higher order in volume and mean radius.
        """
        dim, n = self.frame.dim, len(self.points)
        level: dict[int, Array] = {}
        for k in range(self.n_fitted):
            mine = faces[surface == k]
            if len(mine) == 0:
                continue
            corners = self.points[mine]
            pairs = [(0, 1)] if dim == 2 else [(0, 1), (1, 2), (2, 0)]
            middle = [self._value(k, 0.5 * (corners[:, a] + corners[:, b])) for a, b in pairs]
            gap = np.mean(middle, axis=0) * (2.0 / 3.0 if dim == 2 else 1.0)  # the vertices themselves are at zero
            side = corners[:, 1:] - corners[:, :1]
            weight = np.sqrt((side[:, 0] ** 2).sum(axis=1))
            if dim == 3:
                weight = np.sqrt((np.cross(side[:, 0], side[:, 1]) ** 2).sum(axis=1))
            total, share = np.zeros(n), np.zeros(n)
            for c in range(dim):
                total += np.bincount(mine[:, c], weights=weight * gap, minlength=n)
                share += np.bincount(mine[:, c], weights=weight, minlength=n)
            level[k] = -total / np.where(share > 0, share, 1.0)
        wanted = np.zeros(n, dtype=np.bool_)
        for k, shift in level.items():
            wanted |= (np.abs(shift) > 1e-5 * self.frame.finest) & (self.on & _BIT[k] != 0)
        vertices = np.flatnonzero(wanted)
        if len(vertices) == 0:
            return
        start, ring, row = kernels.cells_around(cells, wanted)
        used = np.diff(start) > 0  # a vertex of a hole's facet may have lost all its cells
        largest = np.max([np.abs(shift[vertices]) for shift in level.values()], axis=0)
        target, fits = self._project(
            self.points[vertices],
            self.walls[vertices],
            self.on[vertices],
            4.0 * largest,
            {k: shift[vertices] for k, shift in level.items()},
        )
        go = fits & used
        before = np.full(int(go.sum()), POOR_SINE)
        kernels.settle_vertices(self.points, cells, vertices[go], start, ring, row, target[go], before)

    def _freedom(self, vertices: NDArray[np.int64], relaxed: bool) -> Array:
        """Projector (n, dim, dim) onto the directions in which each vertex may move: along its surfaces and walls,
        or along the walls only when ``relaxed``."""
        dim = self.frame.dim
        free = self._free(self.walls[vertices])
        out = free[:, :, None] * np.eye(dim)
        if relaxed:
            return out
        bits = self.on[vertices]
        step = 1e-4 * self.frame.finest
        for mask in np.unique(bits):
            if mask == 0:
                continue
            rows = np.flatnonzero(bits == mask)
            x = self.points[vertices[rows]]
            active = [k for k in range(len(self.shapes)) if mask & _BIT[k]]
            slope = np.stack([self._gradients(k, x, self._value(k, x), step, free[rows]) for k in active], axis=1)
            gram = slope @ slope.transpose(0, 2, 1) + 1e-9 * np.eye(len(active))
            out[rows] -= slope.transpose(0, 2, 1) @ np.linalg.solve(gram, slope)
        return out


def _large_components(cells: Indices, n_points: int) -> NDArray[np.bool_]:
    """Which cells belong to a connected part with at least a hundredth of the cells of the largest one.

    Crumbs that two surfaces cut off between them would float: no current and no heat could reach them.
    """
    if len(cells) == 0:
        return np.zeros(0, dtype=np.bool_)
    label = kernels.label_by_vertices(cells, n_points)
    count = np.bincount(label)
    return count[label] * 100 >= count.max()  # type: ignore[no-any-return]
