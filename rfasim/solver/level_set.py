"""Where a P1 field exceeds a level: its volume, and the surface around it, exact for the linear interpolant.

Fields live on the nodes of a simplex mesh: tetrahedra with points (x, y, z), or triangles with points (r,
z) that are turned about the axis r = 0 (weight 2 pi r). "Above" means value >= level. The error against a
smooth field is that of linear interpolation: second order in the cell size.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rfasim.jit import inline_kernel, kernel

Array = NDArray[np.float64]
Index = NDArray[np.uint32]
Mask = NDArray[np.bool_]

# For each pattern of corners above the level (bit i = corner i) an even permutation of the corners that
# puts the odd one out first, or the pair above first: the sub-shapes keep the orientation of the cell.
_TETRAHEDRON = np.zeros((16, 4), dtype=np.uint32)
for _i, _order in enumerate([(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)]):
    _TETRAHEDRON[1 << _i] = _TETRAHEDRON[15 ^ (1 << _i)] = _order
for _order in [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 2, 0), (2, 3, 0, 1)]:
    _TETRAHEDRON[(1 << _order[0]) | (1 << _order[1])] = _order


@inline_kernel
def _fraction(inside: float, outside: float, level: float) -> float:
    """How far along an edge from the corner above to the corner below the level is met, 0..1."""
    return (inside - level) / (inside - outside)


@inline_kernel
def _ring(r: float, area: float) -> float:
    return 2.0 * math.pi * r * area


@kernel
def _volume_tetrahedra(points: Array, cells: Index, values: Array, level: float, mask: Mask) -> float:
    total = 0.0
    for c in range(cells.shape[0]):
        if not mask[c]:
            continue
        code, count = 0, 0
        for i in range(4):
            if values[cells[c, i]] >= level:
                code |= 1 << i
                count += 1
        if count == 0:
            continue
        n0, n1, n2, n3 = cells[c, 0], cells[c, 1], cells[c, 2], cells[c, 3]
        ax, ay, az = (
            points[n1, 0] - points[n0, 0],
            points[n1, 1] - points[n0, 1],
            points[n1, 2] - points[n0, 2],
        )
        bx, by, bz = (
            points[n2, 0] - points[n0, 0],
            points[n2, 1] - points[n0, 1],
            points[n2, 2] - points[n0, 2],
        )
        cx, cy, cz = (
            points[n3, 0] - points[n0, 0],
            points[n3, 1] - points[n0, 1],
            points[n3, 2] - points[n0, 2],
        )
        volume = abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)) / 6.0
        if count == 4:
            total += volume
            continue
        p = values[cells[c, _TETRAHEDRON[code, 0]]]
        q = values[cells[c, _TETRAHEDRON[code, 1]]]
        r = values[cells[c, _TETRAHEDRON[code, 2]]]
        s = values[cells[c, _TETRAHEDRON[code, 3]]]
        if count == 1:
            total += volume * _fraction(p, q, level) * _fraction(p, r, level) * _fraction(p, s, level)
        elif count == 3:
            below = (p - level) / (p - q) * ((p - level) / (p - r)) * ((p - level) / (p - s))
            total += volume * (1.0 - below)
        else:  # p, q above: the wedge p, q, pr, ps, qr, qs is three tetrahedra
            pr, ps = _fraction(p, r, level), _fraction(p, s, level)
            qr, qs = _fraction(q, r, level), _fraction(q, s, level)
            total += volume * (pr * ps + qr * qs * (1.0 - ps) + qr * ps * (1.0 - pr))
    return total


@kernel
def _volume_rings(points: Array, cells: Index, values: Array, level: float, mask: Mask) -> float:
    total = 0.0
    for c in range(cells.shape[0]):
        if not mask[c]:
            continue
        count, odd = 0, 0
        for i in range(3):
            if values[cells[c, i]] >= level:
                count += 1
        if count == 0:
            continue
        n0, n1, n2 = cells[c, 0], cells[c, 1], cells[c, 2]
        ax, ay = points[n1, 0] - points[n0, 0], points[n1, 1] - points[n0, 1]
        bx, by = points[n2, 0] - points[n0, 0], points[n2, 1] - points[n0, 1]
        area = 0.5 * abs(ax * by - ay * bx)
        whole = _ring((points[n0, 0] + points[n1, 0] + points[n2, 0]) / 3.0, area)
        if count == 3:
            total += whole
            continue
        for i in range(3):
            if (values[cells[c, i]] >= level) == (count == 1):
                odd = i
        # the small triangle at the corner that stands alone; a ring has the volume of its centroid's circle
        # x area
        p, q, r = cells[c, odd], cells[c, (odd + 1) % 3], cells[c, (odd + 2) % 3]
        fq = (values[p] - level) / (values[p] - values[q])
        fr = (values[p] - level) / (values[p] - values[r])
        rp = points[p, 0]
        centre = rp + (fq * (points[q, 0] - rp) + fr * (points[r, 0] - rp)) / 3.0
        small = _ring(centre, area * fq * fr)
        total += small if count == 1 else whole - small
    return total


@kernel
def _count_crossed(cells: Index, values: Array, level: float, mask: Mask) -> int:
    """Number of surface simplices: one for each crossed cell, two where the cut is a quadrilateral."""
    total = 0
    corners = cells.shape[1]
    for c in range(cells.shape[0]):
        if not mask[c]:
            continue
        count = 0
        for i in range(corners):
            if values[cells[c, i]] >= level:
                count += 1
        if count == 0 or count == corners:
            continue
        total += 2 if corners == 4 and count == 2 else 1
    return total


@inline_kernel
def _edge(edges: NDArray[np.uint32], row: int, column: int, inside: int, outside: int) -> None:
    edges[row, column, 0] = inside
    edges[row, column, 1] = outside


@kernel
def _cut_tetrahedra(
    edges: NDArray[np.uint32], owner: Index, cells: Index, values: Array, level: float, mask: Mask
) -> None:
    """Triangles as three mesh edges (corner above, corner below), seen anticlockwise from below the level."""
    row = 0
    for c in range(cells.shape[0]):
        if not mask[c]:
            continue
        code, count = 0, 0
        for i in range(4):
            if values[cells[c, i]] >= level:
                code |= 1 << i
                count += 1
        if count == 0 or count == 4:
            continue
        p, q = cells[c, _TETRAHEDRON[code, 0]], cells[c, _TETRAHEDRON[code, 1]]
        r, s = cells[c, _TETRAHEDRON[code, 2]], cells[c, _TETRAHEDRON[code, 3]]
        owner[row] = c
        if count == 1:
            _edge(edges, row, 0, p, q)
            _edge(edges, row, 1, p, r)
            _edge(edges, row, 2, p, s)
            row += 1
        elif count == 3:
            _edge(edges, row, 0, q, p)
            _edge(edges, row, 1, s, p)
            _edge(edges, row, 2, r, p)
            row += 1
        else:
            _edge(edges, row, 0, p, r)
            _edge(edges, row, 1, p, s)
            _edge(edges, row, 2, q, s)
            owner[row + 1] = c
            _edge(edges, row + 1, 0, p, r)
            _edge(edges, row + 1, 1, q, s)
            _edge(edges, row + 1, 2, q, r)
            row += 2


@kernel
def _cut_triangles(
    edges: NDArray[np.uint32], owner: Index, cells: Index, values: Array, level: float, mask: Mask
) -> None:
    """Segments as two mesh edges (corner above, corner below), with what is above the level to their left."""
    row = 0
    for c in range(cells.shape[0]):
        if not mask[c]:
            continue
        count, odd = 0, 0
        for i in range(3):
            if values[cells[c, i]] >= level:
                count += 1
        if count == 0 or count == 3:
            continue
        for i in range(3):
            if (values[cells[c, i]] >= level) == (count == 1):
                odd = i
        p, q, r = cells[c, odd], cells[c, (odd + 1) % 3], cells[c, (odd + 2) % 3]
        owner[row] = c
        if count == 1:
            _edge(edges, row, 0, p, q)
            _edge(edges, row, 1, p, r)
        else:
            _edge(edges, row, 0, r, p)
            _edge(edges, row, 1, q, p)
        row += 1


def _prepared(
    points: Array, cells: NDArray[np.integer], values: Array, cell_mask: Mask | None
) -> tuple[Array, Index, Array, Mask]:
    if cells.ndim != 2 or points.ndim != 2 or cells.shape[1] != points.shape[1] + 1:
        raise ValueError(f"points {points.shape} and cells {cells.shape} are no simplices in 2-D or 3-D")
    if values.shape != (points.shape[0],):
        raise ValueError(
            f"expected one value for each of the {points.shape[0]} nodes, got shape {values.shape}"
        )
    if cell_mask is not None and cell_mask.shape != (cells.shape[0],):
        raise ValueError(
            f"expected one flag for each of the {cells.shape[0]} cells, got shape {cell_mask.shape}"
        )
    mask = np.ones(cells.shape[0], dtype=np.bool_) if cell_mask is None else cell_mask
    return (
        np.ascontiguousarray(points, dtype=np.float64),
        np.ascontiguousarray(cells, dtype=np.uint32),
        np.ascontiguousarray(values, dtype=np.float64),
        np.ascontiguousarray(mask, dtype=np.bool_),
    )


def volume_above(
    points: Array,
    cells: NDArray[np.integer],
    values: Array,
    level: float,
    axisymmetric: bool = False,
    cell_mask: Mask | None = None,
) -> float:
    """Volume (m^3) where the linear interpolant of ``values`` is at least ``level``.

    ``points`` (n, 3) or, with ``axisymmetric``, (n, 2) as (r, z) with weight 2 pi r; ``cells`` (m, dim +
    1); ``cell_mask`` (m,) keeps the cells that count. Raises ValueError for shapes that do not fit.
    """
    points, nodes, values, mask = _prepared(points, cells, values, cell_mask)
    if axisymmetric != (points.shape[1] == 2):
        raise ValueError("2-D meshes are axisymmetric, 3-D meshes are not")
    if axisymmetric:
        return float(_volume_rings(points, nodes, values, float(level), mask))
    return float(_volume_tetrahedra(points, nodes, values, float(level), mask))


class Crossings(NamedTuple):
    """Where a surface meets mesh edges: from nodes ``above`` (k,) to ``below`` (k,), at ``share`` (k,)."""

    above: NDArray[np.int64]
    below: NDArray[np.int64]
    share: Array

    def interpolate(self, field: Array) -> Array:
        """A nodal field (n, ...) at the crossings (k, ...)."""
        start = field[self.above]
        share = self.share.reshape(-1, *[1] * (start.ndim - 1))
        values: Array = start + share * (field[self.below] - start)
        return values


def level_crossings(
    points: Array,
    cells: NDArray[np.integer],
    values: Array,
    level: float,
    cell_mask: Mask | None = None,
) -> tuple[Crossings, Index, Index]:
    """:func:`level_surface` with the crossed edges in the place of the vertices."""
    points, nodes, values, mask = _prepared(points, cells, values, cell_mask)
    dim = points.shape[1]
    count = int(_count_crossed(nodes, values, float(level), mask))
    edges = np.empty((count, dim, 2), dtype=np.uint32)
    owner = np.empty(count, dtype=np.uint32)
    cut = _cut_tetrahedra if dim == 3 else _cut_triangles
    cut(edges, owner, nodes, values, float(level), mask)
    pairs = edges.reshape(-1, 2).astype(np.int64)
    keys, simplices = np.unique(pairs[:, 0] * points.shape[0] + pairs[:, 1], return_inverse=True)
    above, below = np.divmod(keys, points.shape[0])
    share = (values[above] - level) / (values[above] - values[below])
    return Crossings(above, below, share), simplices.reshape(count, dim).astype(np.uint32), owner


def level_surface(
    points: Array,
    cells: NDArray[np.integer],
    values: Array,
    level: float,
    cell_mask: Mask | None = None,
) -> tuple[Array, Index, Index]:
    """The surface at ``level`` of the interpolant: vertices (k, dim), simplices (s, dim), cells (s,).

    Triangles in 3-D, segments in 2-D; neighbours share their vertices. Triangles turn anticlockwise seen
    from below the level (normals point out of what is above); segments have what is above to their left.
    The last array tells which cell each simplex lies in. Where the field ends at the mesh's boundary the
    surface stays open.
    """
    crossings, simplices, owner = level_crossings(points, cells, values, level, cell_mask)
    return crossings.interpolate(np.asarray(points, dtype=np.float64)), simplices, owner


def level_points(
    points: Array, cells: NDArray[np.integer], values: Array, level: float, cell_mask: Mask | None = None
) -> Array:
    """The points (k, dim) where the interpolant equals ``level`` on the edges of the cells."""
    return level_surface(points, cells, values, level, cell_mask)[0]


def clip_simplices(corners: Array, values: Array, level: float) -> Array:
    """The parts of segments, triangles or tetrahedra above ``level``, as such again and turned alike.

    ``corners`` (n, k, m) with k = 2, 3 or 4 corners of m coordinates; columns beyond the coordinates, such
    as another field, are interpolated too. ``values`` (n, k). Exact for the linear interpolant.
    """
    n_corners = values.shape[1]
    count = (values >= level).sum(axis=1)
    parts = [corners[count == n_corners]]
    for k in range(1, n_corners):
        rows = np.flatnonzero(count == k)
        p, v = corners[rows], values[rows]
        if n_corners == 4:
            code = (v >= level) @ (1 << np.arange(4))
            order = _TETRAHEDRON[code].astype(np.int64)
        else:
            # turn each one until the corner that stands alone (of a segment, the one above) comes first
            odd = np.argmax((v >= level) == (k == 1), axis=1)
            order = (odd[:, None] + np.arange(n_corners)) % n_corners
        p, v = np.take_along_axis(p, order[:, :, None], axis=1), np.take_along_axis(v, order, axis=1)

        def cut(i: int, j: int, p: Array = p, v: Array = v) -> Array:
            share = (v[:, i] - level) / (v[:, i] - v[:, j])
            crossing: Array = p[:, i] + share[:, None] * (p[:, j] - p[:, i])
            return crossing

        pieces: list[list[Array]]
        a, b = p[:, 0], p[:, 1]
        if n_corners == 2:
            c = cut(0, 1)
            swapped = (order[:, 0] == 1)[:, None]
            pieces = [[np.where(swapped, c, a), np.where(swapped, a, c)]]
        elif k == 1:
            pieces = [[a, *(cut(0, i) for i in range(1, n_corners))]]
        elif n_corners == 3:
            pieces = [[cut(0, 1), b, p[:, 2]], [cut(0, 1), p[:, 2], cut(0, 2)]]
        elif k == 3:
            c, d, x, y, z = p[:, 2], p[:, 3], cut(0, 1), cut(0, 2), cut(0, 3)
            pieces = [[x, b, c, d], [y, x, c, d], [x, y, z, d]]
        else:
            ac, ad, bc, bd = cut(0, 2), cut(0, 3), cut(1, 2), cut(1, 3)
            pieces = [[a, b, ac, ad], [bc, b, bd, ad], [ac, b, bc, ad]]
        parts += [np.stack(piece, axis=1) for piece in pieces]
    return np.concatenate(parts)


@inline_kernel
def _clamp(x: float) -> float:
    return min(max(x, 0.0), 1.0)


@inline_kernel
def _to_segment(
    px: float, py: float, pz: float, ax: float, ay: float, az: float, bx: float, by: float, bz: float
) -> float:
    """Squared distance from p to the segment a b."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    length = ux * ux + uy * uy + uz * uz
    t = _clamp(((px - ax) * ux + (py - ay) * uy + (pz - az) * uz) / length) if length > 0.0 else 0.0
    x, y, z = px - ax - t * ux, py - ay - t * uy, pz - az - t * uz
    return x * x + y * y + z * z


# Simplices are looked at in blocks of so many neighbours.
BLOCK = 16


@kernel
def _distances(out: Array, points: Array, corners: Array, centres: Array, radii: Array, middles: Array,
               reaches: Array) -> None:  # fmt: skip
    """Distance of each point (n, 3) to the nearest triangle (s, 3, 3) or segment (s, 2, 3); ``out`` comes with
    distances to some point of the surface. ``middles`` and ``reaches``: balls around each block of simplices."""
    triangles = corners.shape[1] == 3
    count = corners.shape[0]
    for i in range(points.shape[0]):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        best = out[i]
        for block in range(middles.shape[0]):
            cx, cy, cz = px - middles[block, 0], py - middles[block, 1], pz - middles[block, 2]
            reach = best + reaches[block]
            if cx * cx + cy * cy + cz * cz >= reach * reach:
                continue
            for j in range(block * BLOCK, min((block + 1) * BLOCK, count)):
                # a simplex whose enclosing ball is farther than the best so far need not be looked at
                cx, cy, cz = px - centres[j, 0], py - centres[j, 1], pz - centres[j, 2]
                reach = best + radii[j]
                if cx * cx + cy * cy + cz * cz >= reach * reach:
                    continue
                ax, ay, az = corners[j, 0, 0], corners[j, 0, 1], corners[j, 0, 2]
                bx, by, bz = corners[j, 1, 0], corners[j, 1, 1], corners[j, 1, 2]
                nearest = _to_segment(px, py, pz, ax, ay, az, bx, by, bz)
                if triangles:
                    qx, qy, qz = corners[j, 2, 0], corners[j, 2, 1], corners[j, 2, 2]
                    nearest = min(nearest, _to_segment(px, py, pz, bx, by, bz, qx, qy, qz))
                    nearest = min(nearest, _to_segment(px, py, pz, qx, qy, qz, ax, ay, az))
                    ux, uy, uz = bx - ax, by - ay, bz - az
                    vx, vy, vz = qx - ax, qy - ay, qz - az
                    wx, wy, wz = px - ax, py - ay, pz - az
                    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
                    square = nx * nx + ny * ny + nz * nz
                    if square > 0.0:
                        # barycentric coordinates of the foot of the perpendicular
                        s = (
                            wx * (vy * nz - vz * ny) + wy * (vz * nx - vx * nz) + wz * (vx * ny - vy * nx)
                        ) / square
                        t = (
                            wx * (ny * uz - nz * uy) + wy * (nz * ux - nx * uz) + wz * (nx * uy - ny * ux)
                        ) / square
                        if s >= 0.0 and t >= 0.0 and s + t <= 1.0:
                            height = wx * nx + wy * ny + wz * nz
                            nearest = min(nearest, height * height / square)
                distance = math.sqrt(nearest)
                if distance < best:
                    best = distance
        out[i] = best


def distances_between(one: Array, other: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """From the middle of each triangle of either surface (n, 3, 3) the distance [m] to the other one: those of ``one``
    and of ``other``, then the triangles' areas [m^2]."""
    there, back = (distance_to_surface(a.mean(axis=1), b) for a, b in ((one, other), (other, one)))
    sizes = (np.cross(s[:, 1] - s[:, 0], s[:, 2] - s[:, 0]) for s in (one, other))
    areas, others = (np.asarray(0.5 * np.linalg.norm(size, axis=1)) for size in sizes)
    return (there, back), (areas, others)


def distance_to_surface(points: Array, corners: Array, only: Literal["smallest", "largest"] | None = None) -> Array:
    """Unsigned distance (m) from ``points`` (n, dim) to the nearest simplex of ``corners`` (s, dim, dim).

    Exact for those triangles (3-D) or segments (2-D, in the plane); infinite where there is none. ``only`` one may be
    asked for: the answer then holds it, and those of some of the points.
    """
    from scipy.spatial import cKDTree

    dim = points.shape[1]
    padding = (0, 3 - dim)
    queries = np.pad(np.asarray(points, dtype=np.float64), ((0, 0), padding))
    simplices = np.pad(np.asarray(corners, dtype=np.float64), ((0, 0), (0, 0), padding))
    centres = simplices.mean(axis=1)
    radii = np.linalg.norm(simplices - centres[:, None], axis=2).max(axis=1, initial=0.0)
    if len(simplices) == 0:
        return np.full(len(queries), np.inf)
    tree = cKDTree(centres, leafsize=BLOCK)
    distances = np.asarray(tree.query(queries)[0])
    if only is not None:  # a point's distance is at most that to a middle, at least that less the largest radius
        least = distances - radii.max()
        asked = least <= distances.min() if only == "smallest" else distances >= least.max()
        queries, distances = np.ascontiguousarray(queries[asked]), distances[asked]
    near = tree.indices  # neighbours one after the other
    simplices, centres, radii = simplices[near], centres[near], radii[near]
    starts = np.arange(0, len(centres), BLOCK)
    sizes = np.diff(starts, append=len(centres))
    middles = np.add.reduceat(centres, starts) / sizes[:, None]
    away = np.linalg.norm(centres - np.repeat(middles, sizes, axis=0), axis=1) + radii
    _distances(distances, queries, simplices, centres, radii, middles, np.maximum.reduceat(away, starts))
    return distances


@kernel
def _turns(out: Array, points: Array, corners: Array) -> None:
    """How much of all directions the simplices fill, seen from each point: 1 from inside a closed surface."""
    dim = corners.shape[1]
    for i in range(points.shape[0]):
        total = 0.0
        for j in range(corners.shape[0]):
            ax, ay = corners[j, 0, 0] - points[i, 0], corners[j, 0, 1] - points[i, 1]
            bx, by = corners[j, 1, 0] - points[i, 0], corners[j, 1, 1] - points[i, 1]
            if dim == 2:
                total += math.atan2(ax * by - ay * bx, ax * bx + ay * by) / (2 * math.pi)
                continue
            # van Oosterom & Strackee, IEEE Trans. Biomed. Eng. 30 (1983) 125
            az, bz = corners[j, 0, 2] - points[i, 2], corners[j, 1, 2] - points[i, 2]
            cx, cy = corners[j, 2, 0] - points[i, 0], corners[j, 2, 1] - points[i, 1]
            cz = corners[j, 2, 2] - points[i, 2]
            a = math.sqrt(ax * ax + ay * ay + az * az)
            b = math.sqrt(bx * bx + by * by + bz * bz)
            c = math.sqrt(cx * cx + cy * cy + cz * cz)
            triple = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
            ab, ac, bc = ax * bx + ay * by + az * bz, ax * cx + ay * cy + az * cz, bx * cx + by * cy + bz * cz
            total += 2 * math.atan2(triple, a * b * c + ab * c + ac * b + bc * a) / (4 * math.pi)
        out[i] = total


def encloses(boundary: Array, points: Array, axisymmetric: bool) -> Mask:
    """Which ``points`` (n, dim) the outward-turned ``boundary`` (s, dim, dim) goes round more than half: its solid
    angle seen from them. (It may have a hole, where a needle's shaft leaves it, so that nothing sees it all round.)"""
    if axisymmetric:  # the section through the axis: the other half runs the other way
        boundary = np.concatenate([boundary, (boundary * [-1.0, 1.0])[:, ::-1]])
    ends = boundary.reshape(-1, boundary.shape[2])
    within = ((points >= ends.min(axis=0)) & (points <= ends.max(axis=0))).all(axis=1)  # seen from outside: less
    share = np.zeros(int(within.sum()))
    _turns(share, np.ascontiguousarray(points[within]), np.ascontiguousarray(boundary))
    inside = np.zeros(len(points), dtype=np.bool_)
    inside[within] = np.abs(share) > 0.5
    return inside
