"""A lattice while surfaces are fitted into it: vertices slide onto them, what still crosses is split.

Level sets are numbered: the surfaces in the order given, the curved wall of the domain, the patches.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim import meshing_kernels as kernels
from rfasim.errors import InputError
from rfasim.geometry import Shape
from rfasim.lattice import Tree, lattice_simplices
from rfasim.mesh import Indices
from rfasim.mesh_kernels import face_vertices, match_faces, orient
from rfasim.mesh_size import Frame, Surface, box_distance

Array: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

SNAP = 0.33  # fraction of an edge from which a vertex moves onto a crossing, tuned on drawn poses
CLOSE = 0.1  # a vertex closer than this fraction of its leaf's edge always does
SPOILED_SINE = 0.06  # a move that leaves a cell flatter than this is undone
NEAR = 1.35  # a leaf farther than this many edges from a surface holds no cell that meets it

BIT = [np.uint64(1) << np.uint64(k) for k in range(64)]


class Fitting:
    """The lattice while surfaces are fitted into it, one after the other."""

    def __init__(self, frame: Frame, surfaces: tuple[Surface, ...], tree: Tree) -> None:
        self.frame, self.surfaces = frame, surfaces
        dim = frame.dim
        shapes: list[Shape] = [surface.shape for surface in surfaces]
        self.outside = len(surfaces)  # owns the cells beyond the domain's curved wall, and beats all others
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
        # level sets whose zero runs through a vertex, and those that it also lies on to rounding
        self.touch = np.zeros(len(self.points), dtype=np.uint64)
        self.on = np.zeros(len(self.points), dtype=np.uint64)

    def value_of(self, k: int, points: Array) -> Array:
        """Level set ``k`` at points (n, dim) of the mesh."""
        value = self.shapes[k].distance(np.ascontiguousarray(self.frame.embed(points)))
        # the wall of the domain is fitted like the others, with the domain inside
        return -value if k == self.outside and self.frame.wall is not None else value

    def _leaf_distance(self, k: int, centres: Array) -> Array:
        if k == self.outside:
            return -self.shapes[k].distance(centres)
        value = box_distance(centres, self.shapes[k].bounds())
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
        return far & self.is_dropped(owner)

    def is_dropped(self, owner: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether cells of these owners (surfaces, outside, background -1) are not part of the mesh."""
        return np.array([s.inside is None for s in self.surfaces] + [True, False])[owner]

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
        value[asked] = self.value_of(k, self.points[asked])
        closeness = CLOSE * self.leaf_edge[self.origin[chosen]]
        value = self._snap(k, self.cells, chosen, value, closeness, BIT[k])
        n_before = len(self.cells)
        edges = kernels.crossing_edges(self.cells, chosen, value)
        value = self._split(chosen, value, edges, BIT[k])
        chosen = np.concatenate([chosen, np.arange(n_before, len(self.cells))])
        side = np.empty(len(chosen), dtype=np.int8)
        kernels.sides(self.cells, chosen, value, side)
        flat = np.flatnonzero(side == 0)
        if len(flat):
            side[flat] = np.sign(self.value_of(k, self.points[self.cells[chosen[flat]]].mean(axis=1)))
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
        """Slide vertices of the chosen simplices (cells, or faces on a surface) that are close to the zero of
        level set ``k`` onto it (and onto ``same``). One that cannot move there stays off, or, very close,
        counts as on it."""
        snap = np.zeros(len(self.points), dtype=np.bool_)
        close = np.zeros(len(self.points), dtype=np.bool_)
        kernels.mark_snaps(simplices, chosen, value, SNAP, closeness, snap, close)
        moved = np.flatnonzero(snap)
        if len(moved):
            old, was_on = self.points[moved], self.on[moved].copy()
            new, fits = self.project(old, self.walls[moved], was_on | same, 3.0 * np.abs(value[moved]))
            where = np.full(len(self.points), -1, dtype=np.int64)
            where[moved] = np.arange(len(moved))
            self.points[moved[fits]] = new[fits]
            self.on[moved[fits]] |= same
            ring = kernels.touching_cells(self.cells, snap, 1)
            active = snap.copy()
            active[moved[~fits]] = False
            way = np.abs(value)
            for _ in range(50):
                spoiled = np.zeros(len(self.points), dtype=np.bool_)
                if not kernels.find_spoiled(
                    self.points, self.cells, ring, active, way, SPOILED_SINE, spoiled
                ):
                    break
                back = np.flatnonzero(spoiled)
                self.points[back] = old[where[back]]
                self.on[back] = was_on[where[back]]
                active[back] = False
            value[snap & (active | close)] = 0.0
        self.touch[value == 0.0] |= BIT[k]
        return value

    def _split(self, chosen: NDArray[np.int64], value: Array, edges: Indices, same: np.uint64) -> Array:
        """Split edges where ``value`` crosses zero, in the chosen cells; the new vertices lie on the level
        sets in ``same`` and on those that both ends share. Returns the longer values."""
        if len(edges) == 0:
            return value
        a, b = edges[:, 0], edges[:, 1]
        t = value[a] / (value[a] - value[b])
        start = self.points[a] + t[:, None] * (self.points[b] - self.points[a])
        length = np.sqrt(((self.points[b] - self.points[a]) ** 2).sum(axis=1))
        walls = self.walls[a] & self.walls[b]
        # what both ends lie on, the edge lies on, unless it runs through the gap between two sheets
        common = self.on[a] & self.on[b]
        for j in range(len(self.shapes)):
            has = np.flatnonzero(common & BIT[j])
            if len(has):
                off = np.abs(self.value_of(j, start[has])) > 0.15 * length[has]
                common[has[off]] &= ~BIT[j]
        new, fits = self.project(start, walls, common | same, 0.25 * length)
        first_new = len(self.points)
        rank = np.empty(len(edges), dtype=np.int64)
        rank[np.argsort(-length, kind="stable")] = np.arange(len(edges))
        self.cells, self.origin, self.owner, pieces = kernels.split_edges(
            self.cells, self.origin, self.owner, chosen, edges, rank, first_new
        )
        # where surfaces meet at a small angle, points slid onto their crossing can fall together: undo that
        moved = np.concatenate([np.zeros(first_new, dtype=np.bool_), fits])
        way = np.concatenate([np.zeros(first_new), np.sqrt(((new - start) ** 2).sum(axis=1))])
        self.points = np.concatenate([self.points, np.where(fits[:, None], new, start)])
        for _ in range(20):
            spoiled = np.zeros(len(self.points), dtype=np.bool_)
            n = kernels.find_spoiled(self.points, self.cells, pieces, moved, way, SPOILED_SINE, spoiled)
            if n == 0:
                break
            back = np.flatnonzero(spoiled)
            self.points[back] = start[back - first_new]
            moved[back] = False
        self.walls = np.concatenate([self.walls, walls])
        self.touch = np.concatenate([self.touch, (self.touch[a] & self.touch[b]) | same])
        self.on = np.concatenate([self.on, np.where(moved[first_new:], common | same, np.uint64(0))])
        return np.concatenate([value, np.zeros(len(edges))])

    def gradients(self, k: int, points: Array, value: Array, step: float, free: Array) -> Array:
        """Gradient of level set ``k`` by differences, without the components that the walls forbid."""
        out = np.empty_like(points)
        for d in range(points.shape[1]):
            moved = points.copy()
            moved[:, d] += step
            out[:, d] = (self.value_of(k, moved) - value) / step
        return out * free

    def free_axes(self, walls: NDArray[np.uint8]) -> Array:
        """1 for the axes (n, dim) along which a vertex may move, 0 across the walls of the box it lies on."""
        return np.stack(
            [(walls >> np.uint8(2 * d)) & np.uint8(3) == 0 for d in range(self.frame.dim)], axis=1
        ).astype(np.float64)

    def project(
        self,
        points: Array,
        walls: NDArray[np.uint8],
        bits: NDArray[np.uint64],
        reach: Array,
        level: dict[int, Array] | None = None,
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Nearest points on the intersection of the level sets in ``bits``, and whether they are within
        ``reach``.

        Newton steps of least length, along the walls of the box where a vertex lies on one. ``level`` asks
        for other values than zero.
        """
        out = points.copy()
        fits = np.zeros(len(points), dtype=np.bool_)
        free = self.free_axes(walls)
        tolerance, step = 1e-7 * self.frame.finest, 1e-4 * self.frame.finest
        reach = reach + 10.0 * tolerance
        for mask in np.unique(bits):
            rows = np.flatnonzero(bits == mask)
            active = [k for k in range(len(self.shapes)) if mask & BIT[k]]
            if len(active) > self.frame.dim:
                continue
            for iteration in range(5):
                x = out[rows]
                value = np.stack([self.value_of(k, x) for k in active], axis=1)
                for j, k in enumerate(active):
                    if level is not None and k in level:
                        value[:, j] -= level[k][rows]
                good = np.abs(value).max(axis=1) <= tolerance
                fits[rows[good]] = True
                rows, x, value = rows[~good], x[~good], value[~good]
                if len(rows) == 0 or iteration == 4:
                    break
                slope = np.stack(
                    [self.gradients(k, x, self.value_of(k, x), step, free[rows]) for k in active], axis=1
                )
                gram = slope @ slope.transpose(0, 2, 1) + 1e-9 * np.eye(len(active))
                shift = -np.einsum("nkd,nk->nd", slope, np.linalg.solve(gram, value[:, :, None])[:, :, 0])
                length = np.sqrt((shift**2).sum(axis=1))
                shift *= np.minimum(1.0, reach[rows] / np.maximum(length, 1e-300))[:, None]
                out[rows] = x + shift
        fits &= np.sqrt(((out - points) ** 2).sum(axis=1)) <= reach
        return out, fits

    def interfaces(self, chosen: NDArray[np.int64]) -> tuple[Indices, NDArray[np.int32], NDArray[np.int64]]:
        """Faces between cells of different owners, and on the box: vertices, the surface each belongs to (the
        later of the two owners, or -2 on the box), and the cell it was taken from."""
        part = self.cells[chosen]
        flagged = (self.touch != 0) | (self.walls != 0)
        owner_cell, local, neighbour, _ = match_faces(part, flagged)
        owners = self.owner[chosen]
        first = owners[owner_cell]
        second = np.where(neighbour >= 0, owners[neighbour], -2)
        surface = np.maximum(first, second)
        # take the face from the cell inside its surface when that is kept, else from the other one
        dropped_first = self.is_dropped(first)
        dropped_second = np.where(second == -2, True, self.is_dropped(np.where(second == -2, -1, second)))
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
            faces, surface, face_cell = self.interfaces(chosen)
            face_cell = face_cell[surface == s]
            faces = np.ascontiguousarray(faces[surface == s])
            if len(faces) == 0:
                continue
            asked = np.unique(faces)
            value = np.full(len(self.points), np.inf)
            value[asked] = self.value_of(k, self.points[asked])
            everything = np.arange(len(faces))
            both = BIT[k] | BIT[s]
            value = self._snap(
                k, faces, everything, value, CLOSE * self.leaf_edge[self.origin[face_cell]], both
            )
            edges = kernels.crossing_edges(faces, everything, value)
            self._split(chosen, value, edges, both)
