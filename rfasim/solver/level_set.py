"""Where a P1 field exceeds a level: its volume, and the surface around it, exact for the linear interpolant.

Fields live on the nodes of a simplex mesh: tetrahedra with points (x, y, z), or triangles with points (r,
z) that are turned about the axis r = 0 (weight 2 pi r). "Above" means value >= level. The error against a
smooth field is that of linear interpolation: second order in the cell size.
"""

from __future__ import annotations

import math

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
    points, nodes, values, mask = _prepared(points, cells, values, cell_mask)
    dim = points.shape[1]
    count = int(_count_crossed(nodes, values, float(level), mask))
    edges = np.empty((count, dim, 2), dtype=np.uint32)
    owner = np.empty(count, dtype=np.uint32)
    cut = _cut_tetrahedra if dim == 3 else _cut_triangles
    cut(edges, owner, nodes, values, float(level), mask)
    pairs = edges.reshape(-1, 2).astype(np.uint64)
    keys, simplices = np.unique(pairs[:, 0] * np.uint64(points.shape[0]) + pairs[:, 1], return_inverse=True)
    inside, outside = np.divmod(keys.astype(np.int64), points.shape[0])
    share = (values[inside] - level) / (values[inside] - values[outside])
    vertices = points[inside] + share[:, None] * (points[outside] - points[inside])
    return vertices, simplices.reshape(count, dim).astype(np.uint32), owner


def level_points(
    points: Array, cells: NDArray[np.integer], values: Array, level: float, cell_mask: Mask | None = None
) -> Array:
    """The points (k, dim) where the interpolant equals ``level`` on the edges of the cells."""
    return level_surface(points, cells, values, level, cell_mask)[0]


def facet_share_above(values: Array, level: float) -> Array:
    """Share (0..1) of each facet's area (length) above ``level`` from the ``values`` (n, 3) or (n, 2) there."""
    highest_first = -np.sort(-np.asarray(values, dtype=np.float64), axis=1)
    above = highest_first - level
    count = (above >= 0).sum(axis=1)
    share = (count == values.shape[1]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = above[:, 0] / (above[:, 0] - above[:, 1])
        if values.shape[1] == 2:
            return np.where(count == 1, top, share)
        one = top * above[:, 0] / (above[:, 0] - above[:, 2])
        two = 1.0 - above[:, 2] / (above[:, 2] - above[:, 0]) * (above[:, 2] / (above[:, 2] - above[:, 1]))
    return np.where(count == 1, one, np.where(count == 2, two, share))
