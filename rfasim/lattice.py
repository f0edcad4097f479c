"""The background lattice of the mesher: a balanced quadtree or octree and the well-shaped simplices in its
leaves.

Octants are (level, integer coordinates); level 0 is a grid of roots, each level halves the edge. In 3-D the
simplices are the body-centred cubic tetrahedra of Labelle and Shewchuk, Isosurface stuffing, ACM Trans.
Graph. 26 (2007) 57, section 3: bisected where an edge has a midpoint, fans and half pyramids where levels
meet. In 2-D each leaf is a fan of right triangles about its centre. Vertices live on integer coordinates in
half finest cells, so corners, centres, face centres and edge midpoints are exact keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim.jit import kernel

Ints: TypeAlias = NDArray[np.int32]
MAX_LEVEL = 15
_BITS = 19  # of each coordinate in an octant's key, 21 in a vertex's
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_HALF = np.uint64(32)


@kernel
def find(table: Any, key: Any) -> Any:
    """Slot of ``key`` in an open-addressing table (a power of two long), or the free slot where it
    belongs."""
    mask = np.uint64(len(table) - 1)
    mixed = (key ^ (key >> _HALF)) * _GOLDEN
    slot = (mixed ^ (mixed >> _HALF)) & mask
    while table[slot] != key and table[slot] != EMPTY:
        slot = (slot + _ONE) & mask
    return slot


@kernel
def octant_key(level: Any, x: Any, y: Any, z: Any) -> Any:
    return (
        (np.uint64(level) << np.uint64(57))
        | (np.uint64(x) << np.uint64(38))
        | (np.uint64(y) << np.uint64(19))
    ) | np.uint64(z)


@kernel
def vertex_key(x: Any, y: Any, z: Any) -> Any:
    return (np.uint64(x) << np.uint64(42)) | (np.uint64(y) << np.uint64(21)) | np.uint64(z)


def new_table(n_keys: int) -> NDArray[np.uint64]:
    """An empty table that stays at most half full with ``n_keys`` keys."""
    return np.full(1 << max(6, int(2 * n_keys).bit_length()), EMPTY, dtype=np.uint64)


@kernel
def _children(octants: Any, chosen: Any, n_chosen: Any) -> Any:
    dim = octants.shape[1]
    per = 1 << dim
    out = np.empty((n_chosen * per, dim), dtype=np.int32)
    n = 0
    for i in range(len(octants)):
        if chosen[i]:
            for c in range(per):
                for d in range(dim):
                    out[n, d] = 2 * octants[i, d] + ((c >> d) & 1)
                n += 1
    return out


@kernel
def _balanced_parents(fine: Any, coarse: Any, level: Any, extent: Any) -> Any:
    """``coarse`` (refined octants at ``level``) and the parents of all neighbours of ``fine`` (one level
    below)."""
    dim = fine.shape[1]
    table = np.full(1 << 10, EMPTY, dtype=np.uint64)
    while len(table) < 4 * len(coarse):
        table = np.full(2 * len(table), EMPTY, dtype=np.uint64)
    out = np.empty((len(coarse) + 64, dim), dtype=np.int32)
    n = 0
    for i in range(len(coarse)):
        key = octant_key(level, coarse[i, 0], coarse[i, 1], coarse[i, 2] if dim == 3 else 0)
        table[find(table, key)] = key
        out[n] = coarse[i]
        n += 1
    for i in range(len(fine)):
        for c in range(1 << dim):
            x, y, z = np.int32(0), np.int32(0), np.int32(0)
            outside = False
            for d in range(dim):
                parent = fine[i, d] >> 1
                if (c >> d) & 1:  # the other parent that a neighbour along this axis can have
                    parent += 1 if fine[i, d] & 1 else -1
                outside = outside or parent < 0 or parent >= extent[d]
                if d == 0:
                    x = parent
                elif d == 1:
                    y = parent
                else:
                    z = parent
            if outside:
                continue
            key = octant_key(level, x, y, z)
            slot = find(table, key)
            if table[slot] == key:
                continue
            table[slot] = key
            if n == len(out):
                larger = np.empty((2 * n, dim), dtype=np.int32)
                larger[:n] = out
                out = larger
            out[n, 0] = x
            out[n, 1] = y
            if dim == 3:
                out[n, 2] = z
            n += 1
            if 2 * n > len(table):
                old = table
                table = np.full(2 * len(old), EMPTY, dtype=np.uint64)
                for k in range(len(old)):
                    if old[k] != EMPTY:
                        table[find(table, old[k])] = old[k]
    return out[:n]


@kernel
def _insert(table: Any, octants: Any, level: Any) -> Any:
    dim = octants.shape[1]
    for i in range(len(octants)):
        key = octant_key(level, octants[i, 0], octants[i, 1], octants[i, 2] if dim == 3 else 0)
        table[find(table, key)] = key


@kernel
def _unrefined(table: Any, octants: Any, level: Any) -> Any:
    dim = octants.shape[1]
    out = np.empty(len(octants), dtype=np.bool_)
    for i in range(len(octants)):
        key = octant_key(level, octants[i, 0], octants[i, 1], octants[i, 2] if dim == 3 else 0)
        out[i] = table[find(table, key)] != key
    return out


@dataclass(frozen=True, eq=False)
class Tree:
    """A balanced quadtree or octree: leaves (n, dim) in integer coordinates of their own level, and their
    levels."""

    roots: Ints  # (dim,) number of root octants along each axis
    depth: int  # level of the finest leaves
    leaves: Ints
    levels: NDArray[np.uint8]
    refined: NDArray[np.uint64]  # hash table of the refined octants

    def centres(self) -> NDArray[np.float64]:
        """Centres of the leaves (n, dim) in units of a root's edge."""
        return (self.leaves + 0.5) * (0.5 ** self.levels.astype(np.float64))[:, None]


def grow_tree(
    roots: Ints, too_large: Callable[[NDArray[np.float64], float], NDArray[np.bool_]], max_octants: int
) -> Tree | None:
    """Refine octants where ``too_large(centres in root edges, edge in root edges)``, then balance over all
    neighbours.

    Returns None when the tree would exceed ``max_octants``.
    """
    dim = len(roots)
    grid = np.meshgrid(*[np.arange(n, dtype=np.int32) for n in roots], indexing="ij")
    octants = np.ascontiguousarray(np.stack([axis.ravel() for axis in grid], axis=1))
    first = octants
    refined: list[Ints] = []
    total = len(octants)
    for level in range(MAX_LEVEL):
        edge = 0.5**level
        chosen = too_large((octants + 0.5) * edge, edge)
        n_chosen = int(np.count_nonzero(chosen))
        if n_chosen == 0:
            break
        total += n_chosen << dim
        if total > max_octants:
            return None
        refined.append(np.ascontiguousarray(octants[chosen]))
        octants = _children(octants, chosen, n_chosen)
    depth = len(refined)
    for level in range(depth - 2, -1, -1):
        extent = (roots.astype(np.int64) << level).astype(np.int32)
        refined[level] = _balanced_parents(refined[level + 1], refined[level], level, extent)
    table = new_table(sum(len(part) for part in refined))
    for level, part in enumerate(refined):
        _insert(table, part, level)
    leaves, levels = [first[_unrefined(table, first, 0)]], []
    levels.append(np.zeros(len(leaves[0]), dtype=np.uint8))
    for level, part in enumerate(refined):
        children = _children(part, np.ones(len(part), dtype=np.bool_), len(part))
        children = children[_unrefined(table, children, level + 1)]
        leaves.append(children)
        levels.append(np.full(len(children), level + 1, dtype=np.uint8))
    return Tree(roots, depth, np.ascontiguousarray(np.concatenate(leaves)), np.concatenate(levels), table)


@kernel
def _is_refined(table: Any, level: Any, x: Any, y: Any, z: Any) -> Any:
    key = octant_key(level, x, y, z)
    return table[find(table, key)] == key


@kernel
def _grown_vertices(table: Any, ids: Any, coordinates: Any, n: Any) -> Any:
    """Room for twice as many vertices: a larger table, its numbers, and longer coordinates."""
    larger = np.full(2 * len(table), EMPTY, dtype=np.uint64)
    larger_ids = np.empty(2 * len(table), dtype=np.uint32)
    for k in range(len(table)):
        if table[k] != EMPTY:
            slot = find(larger, table[k])
            larger[slot] = table[k]
            larger_ids[slot] = ids[k]
    longer = np.empty((len(larger) // 2 + 64, coordinates.shape[1]), dtype=np.int32)
    longer[:n] = coordinates[:n]
    return larger, larger_ids, longer


@kernel
def _vertex(table: Any, ids: Any, coordinates: Any, n: Any, x: Any, y: Any, z: Any) -> Any:
    """Number of the vertex at (x, y, z), and the number of vertices so far."""
    key = vertex_key(x, y, z)
    slot = find(table, key)
    if table[slot] != key:
        table[slot] = key
        ids[slot] = n
        coordinates[n, 0] = x
        coordinates[n, 1] = y
        coordinates[n, 2] = z
        n += 1
    return ids[slot], n


@kernel
def _tetrahedra(leaves: Any, levels: Any, skipped: Any, depth: Any, roots: Any, refined: Any) -> Any:
    """Tetrahedra of an octree: vertex coordinates in half finest cells, cells, and the leaf each cell came
    from."""
    n_leaves = len(leaves)
    table = np.full(1 << 10, EMPTY, dtype=np.uint64)
    while len(table) < 6 * n_leaves:
        table = np.full(2 * len(table), EMPTY, dtype=np.uint64)
    ids = np.empty(len(table), dtype=np.uint32)
    coordinates = np.empty((len(table) // 2 + 64, 3), dtype=np.int32)
    cells = np.empty((14 * n_leaves + 64, 4), dtype=np.uint32)
    origin = np.empty(14 * n_leaves + 64, dtype=np.uint32)
    n, m = 0, 0
    here = np.empty(
        3, dtype=np.int64
    )  # this leaf, its neighbour, and an octant beside both, at the leaf's level
    there = np.empty(3, dtype=np.int64)
    beside = np.empty(3, dtype=np.int64)
    centre = np.empty(3, dtype=np.int64)  # the same places in half finest cells
    face = np.empty(3, dtype=np.int64)
    p = np.empty(3, dtype=np.int64)
    for leaf in range(n_leaves):
        if skipped[leaf]:
            continue
        if 2 * (n + 40) > len(table):
            table, ids, coordinates = _grown_vertices(table, ids, coordinates, n)
        if m + 48 > len(cells):
            more_cells = np.empty((len(cells) * 3 // 2 + 64, 4), dtype=np.uint32)
            more_cells[:m] = cells[:m]
            cells = more_cells
            more_origin = np.empty(len(cells), dtype=np.uint32)
            more_origin[:m] = origin[:m]
            origin = more_origin
        level = int(levels[leaf])
        half = 1 << (depth - level)  # half the leaf's edge in half finest cells
        for d in range(3):
            here[d] = leaves[leaf, d]
            centre[d] = (2 * here[d] + 1) * half
        c, n = _vertex(table, ids, coordinates, n, centre[0], centre[1], centre[2])
        for d in range(3):
            u, v = (d + 1) % 3, (d + 2) % 3
            for side in range(-1, 2, 2):
                there[:] = here
                there[d] += side
                face[:] = centre
                face[d] += side * half
                boundary = there[d] < 0 or there[d] >= roots[d] << level
                finer = not boundary and _is_refined(refined, level, there[0], there[1], there[2])
                coarser = (
                    not boundary
                    and not finer
                    and level > 0
                    and not _is_refined(refined, level - 1, there[0] >> 1, there[1] >> 1, there[2] >> 1)
                )
                if coarser:
                    # two tetrahedra; the diagonal of the small face runs through the centre of the large one
                    p[:] = face
                    pu = half if here[u] & 1 else -half  # towards the rim of the large face
                    pv = half if here[v] & 1 else -half
                    p[u] = face[u] - pu
                    p[v] = face[v] - pv
                    inner, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                    p[u] = face[u] + pu
                    p[v] = face[v] + pv
                    outer, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                    p[u] = face[u] - pu
                    first, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                    p[u] = face[u] + pu
                    p[v] = face[v] - pv
                    second, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                    for k in range(2):
                        cells[m, 0], cells[m, 1], cells[m, 2] = c, inner, outer
                        cells[m, 3] = first if k == 0 else second
                        origin[m] = leaf
                        m += 1
                    continue
                if not boundary and not finer and side < 0:
                    continue  # the leaf beyond emits them
                if boundary or finer:
                    apex, n = _vertex(table, ids, coordinates, n, face[0], face[1], face[2])
                else:
                    apex, n = _vertex(
                        table,
                        ids,
                        coordinates,
                        n,
                        2 * face[0] - centre[0],
                        2 * face[1] - centre[1],
                        2 * face[2] - centre[2],
                    )
                for edge in range(4):
                    across, along = (u, v) if edge < 2 else (v, u)
                    shift = 1 if edge & 1 else -1
                    p[:] = face
                    p[across] = face[across] + shift * half
                    p[along] = face[along] - half
                    a, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                    p[along] = face[along] + half
                    b, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                    bisected = finer
                    if not bisected:
                        beside[:] = here
                        beside[across] += shift
                        if beside[across] >= 0 and beside[across] < roots[across] << level:
                            bisected = _is_refined(refined, level, beside[0], beside[1], beside[2])
                            if not bisected and not boundary:
                                beside[d] += side
                                bisected = _is_refined(refined, level, beside[0], beside[1], beside[2])
                    if bisected:
                        p[along] = face[along]
                        middle, n = _vertex(table, ids, coordinates, n, p[0], p[1], p[2])
                        cells[m, 0], cells[m, 1], cells[m, 2], cells[m, 3] = c, apex, a, middle
                        origin[m] = leaf
                        m += 1
                        cells[m, 0], cells[m, 1], cells[m, 2], cells[m, 3] = c, apex, middle, b
                        origin[m] = leaf
                        m += 1
                    else:
                        cells[m, 0], cells[m, 1], cells[m, 2], cells[m, 3] = c, apex, a, b
                        origin[m] = leaf
                        m += 1
    return coordinates[:n], cells[:m], origin[:m]


@kernel
def _triangles(leaves: Any, levels: Any, skipped: Any, depth: Any, roots: Any, refined: Any) -> Any:
    """Triangles of a quadtree: vertex coordinates in half finest cells, cells, and the leaf each cell came
    from."""
    n_leaves = len(leaves)
    table = np.full(1 << 10, EMPTY, dtype=np.uint64)
    while len(table) < 16 * n_leaves + 64:
        table = np.full(2 * len(table), EMPTY, dtype=np.uint64)
    ids = np.empty(len(table), dtype=np.uint32)
    coordinates = np.empty((9 * n_leaves + 9, 3), dtype=np.int32)
    cells = np.empty((8 * n_leaves, 3), dtype=np.uint32)
    origin = np.empty(8 * n_leaves, dtype=np.uint32)
    n, m = 0, 0
    for leaf in range(n_leaves):
        if skipped[leaf]:
            continue
        level = int(levels[leaf])
        half = 1 << (depth - level)
        i, j = leaves[leaf, 0], leaves[leaf, 1]
        x, y = (2 * i + 1) * half, (2 * j + 1) * half
        c, n = _vertex(table, ids, coordinates, n, x, y, 0)
        for k in range(4):  # counter-clockwise: right, top, left, bottom
            dx = 1 if k == 0 else (-1 if k == 2 else 0)
            dy = 1 if k == 1 else (-1 if k == 3 else 0)
            a, n = _vertex(table, ids, coordinates, n, x + (dx + dy) * half, y + (dy - dx) * half, 0)
            b, n = _vertex(table, ids, coordinates, n, x + (dx - dy) * half, y + (dy + dx) * half, 0)
            s, t = i + dx, j + dy
            inside = s >= 0 and t >= 0 and s < roots[0] << level and t < roots[1] << level
            if inside and _is_refined(refined, level, s, t, 0):
                middle, n = _vertex(table, ids, coordinates, n, x + dx * half, y + dy * half, 0)
                cells[m, 0], cells[m, 1], cells[m, 2] = c, a, middle
                origin[m] = leaf
                m += 1
                a = middle
            cells[m, 0], cells[m, 1], cells[m, 2] = c, a, b
            origin[m] = leaf
            m += 1
    return coordinates[:n, :2].copy(), cells[:m], origin[:m]


def lattice_simplices(
    tree: Tree, skipped: NDArray[np.bool_]
) -> tuple[Ints, NDArray[np.uint32], NDArray[np.uint32]]:
    """Vertices (n, dim) in half finest cells, cells (m, dim + 1), and the leaf (m,) that each cell belongs
    to.

    Cells of leaves that are ``skipped`` are left out. The orientation of the cells is not yet settled.
    """
    emit = _tetrahedra if len(tree.roots) == 3 else _triangles
    coordinates, cells, origin = emit(
        tree.leaves, tree.levels, skipped, tree.depth, tree.roots.astype(np.int64), tree.refined
    )
    return coordinates, cells, origin
