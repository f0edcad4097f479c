"""Kernels that fit a lattice to surfaces: mark crossings, split edges, keep and improve the shape of cells.

All of them serve triangles and tetrahedra alike. ``value`` is a level set at the vertices: exactly zero on
the surface.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.jit import kernel
from rfasim.lattice import EMPTY, find
from rfasim.mesh_kernels import angle_cosines


@kernel
def mark_vertices(cells: Any, chosen: Any, marked: Any) -> Any:
    """Mark the vertices of the chosen cells."""
    for i in range(len(chosen)):
        for k in range(cells.shape[1]):
            marked[cells[chosen[i], k]] = True


@kernel
def mark_snaps(cells: Any, chosen: Any, value: Any, alpha: Any, closeness: Any, snap: Any, close: Any) -> Any:
    """Mark the vertices from which a crossing lies within the fraction ``alpha`` of an edge, and the ends of
    crossing edges that are closer to the surface than ``closeness`` (of each chosen cell), which are marked
    ``close`` too."""
    nv = cells.shape[1]
    for i in range(len(chosen)):
        c = chosen[i]
        for j in range(nv):
            for k in range(j + 1, nv):
                a, b = cells[c, j], cells[c, k]
                if value[a] * value[b] < 0.0:
                    t = value[a] / (value[a] - value[b])
                    if abs(value[a]) < closeness[i]:
                        close[a] = True
                    if abs(value[b]) < closeness[i]:
                        close[b] = True
                    if t < alpha or close[a]:
                        snap[a] = True
                    if t > 1.0 - alpha or close[b]:
                        snap[b] = True


@kernel
def find_spoiled(points: Any, cells: Any, chosen: Any, moved: Any, way: Any, limit: Any, spoiled: Any) -> Any:
    """Of each chosen cell whose smallest sine fell below ``limit``, mark the moved vertex with the longest
    ``way``; returns the number of vertices marked."""
    nv = cells.shape[1]
    cosines = np.empty(6 if nv == 4 else 3)
    n = 0
    for i in range(len(chosen)):
        c = chosen[i]
        longest = -1
        for k in range(nv):
            if moved[cells[c, k]] and (longest < 0 or way[cells[c, k]] > way[cells[c, longest]]):
                longest = k
        if longest < 0 or spoiled[cells[c, longest]]:
            continue
        if angle_cosines(points, cells[c, 0], cells[c, 1], cells[c, 2], cells[c, nv - 1], cosines) < limit:
            spoiled[cells[c, longest]] = True
            n += 1
    return n


@kernel
def crossing_edges(cells: Any, chosen: Any, value: Any) -> Any:
    """All edges (n, 2) whose ends have strictly opposite values, each once."""
    nv = cells.shape[1]
    table = np.full(1 << 10, EMPTY, dtype=np.uint64)
    out = np.empty((256, 2), dtype=np.uint32)
    n = 0
    for i in range(len(chosen)):
        c = chosen[i]
        for j in range(nv):
            for k in range(j + 1, nv):
                a, b = cells[c, j], cells[c, k]
                if value[a] * value[b] < 0.0:
                    if a > b:
                        a, b = b, a
                    key = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
                    slot = find(table, key)
                    if table[slot] == key:
                        continue
                    table[slot] = key
                    if n == len(out):
                        larger = np.empty((2 * n, 2), dtype=np.uint32)
                        larger[:n] = out
                        out = larger
                    out[n, 0], out[n, 1] = a, b
                    n += 1
                    if 2 * n > len(table):
                        old = table
                        table = np.full(2 * len(old), EMPTY, dtype=np.uint64)
                        for q in range(len(old)):
                            if old[q] != EMPTY:
                                table[find(table, old[q])] = old[q]
    return out[:n]


@kernel
def split_edges(
    cells: Any, origin: Any, owner: Any, chosen: Any, edges: Any, rank: Any, first_new: Any
) -> Any:
    """Split the chosen cells at the middle vertices ``first_new + e`` of ``edges[e]``.

    Each cell is bisected at its split edges one after the other in the order of ``rank``, which is the same
    in all cells around an edge or a face, so that neighbours agree whatever the ranks are. Returns the cells
    with the pieces appended (the first piece takes the place of its parent), with their origin and owner, and
    the numbers of all the pieces.
    """
    nv = cells.shape[1]
    size = 64
    while size < 3 * len(edges):
        size *= 2
    table = np.full(size, EMPTY, dtype=np.uint64)
    edge_of = np.empty(size, dtype=np.int64)
    for e in range(len(edges)):
        key = (np.uint64(edges[e, 0]) << np.uint64(32)) | np.uint64(edges[e, 1])
        slot = find(table, key)
        table[slot] = key
        edge_of[slot] = e
    is_end = np.zeros(first_new, dtype=np.bool_)
    for e in range(len(edges)):
        is_end[edges[e, 0]] = True
        is_end[edges[e, 1]] = True
    room = 2 * len(chosen) + 64
    m = len(cells)
    new_cells = np.empty((m + room, nv), dtype=np.uint32)
    new_origin = np.empty(m + room, dtype=np.uint32)
    new_owner = np.empty(m + room, dtype=np.int32)
    new_cells[:m] = cells
    new_origin[:m] = origin
    new_owner[:m] = owner
    pieces = np.empty(room + len(chosen) + 64, dtype=np.int64)
    n_pieces = 0
    cut = np.empty(6, dtype=np.int64)
    part = np.empty((64, 4), dtype=np.uint32)
    for i in range(len(chosen)):
        c = chosen[i]
        n_cut = 0
        for j in range(nv):
            if not is_end[cells[c, j]]:
                continue
            for k in range(j + 1, nv):
                if not is_end[cells[c, k]]:
                    continue
                a, b = cells[c, j], cells[c, k]
                if a > b:
                    a, b = b, a
                key = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
                slot = find(table, key)
                if table[slot] == key:
                    cut[n_cut] = edge_of[slot]
                    n_cut += 1
        if n_cut == 0:
            continue
        for j in range(1, n_cut):  # insertion sort by rank
            e = cut[j]
            k = j
            while k > 0 and rank[cut[k - 1]] > rank[e]:
                cut[k] = cut[k - 1]
                k -= 1
            cut[k] = e
        for k in range(nv):
            part[0, k] = cells[c, k]
        n_part = 1
        for j in range(n_cut):
            a, b = edges[cut[j], 0], edges[cut[j], 1]
            middle = np.uint32(first_new + cut[j])
            for q in range(n_part):
                at_a, at_b = -1, -1
                for k in range(nv):
                    if part[q, k] == a:
                        at_a = k
                    elif part[q, k] == b:
                        at_b = k
                if at_a >= 0 and at_b >= 0:
                    for k in range(nv):
                        part[n_part, k] = part[q, k]
                    part[q, at_b] = middle
                    part[n_part, at_a] = middle
                    n_part += 1
        if m + n_part > len(new_cells):
            longer = len(new_cells) * 3 // 2 + 64
            more_cells = np.empty((longer, nv), dtype=np.uint32)
            more_origin = np.empty(longer, dtype=np.uint32)
            more_owner = np.empty(longer, dtype=np.int32)
            more_cells[:m] = new_cells[:m]
            more_origin[:m] = new_origin[:m]
            more_owner[:m] = new_owner[:m]
            new_cells, new_origin, new_owner = more_cells, more_origin, more_owner
        if n_pieces + n_part > len(pieces):
            more_pieces = np.empty(2 * len(pieces) + 64, dtype=np.int64)
            more_pieces[:n_pieces] = pieces[:n_pieces]
            pieces = more_pieces
        for q in range(n_part):
            at = c if q == 0 else m
            for k in range(nv):
                new_cells[at, k] = part[q, k]
            new_origin[at] = origin[c]
            new_owner[at] = owner[c]
            pieces[n_pieces] = at
            n_pieces += 1
            if q > 0:
                m += 1
    return new_cells[:m], new_origin[:m], new_owner[:m], pieces[:n_pieces]


@kernel
def sides(cells: Any, chosen: Any, value: Any, out: Any) -> Any:
    """Side of each chosen cell: 1 outside, -1 inside, 0 when all its vertices are on the surface."""
    for i in range(len(chosen)):
        out[i] = 0
        for k in range(cells.shape[1]):
            v = value[cells[chosen[i], k]]
            if v != 0.0:
                out[i] = 1 if v > 0.0 else -1
                break


@kernel
def cells_around(cells: Any, wanted: Any) -> Any:
    """Cells around the wanted vertices: start (n_wanted + 1,), cell numbers, and each vertex's row (-1: not
    wanted)."""
    row = np.full(len(wanted), -1, dtype=np.int64)
    n = 0
    for v in range(len(wanted)):
        if wanted[v]:
            row[v] = n
            n += 1
    start = np.zeros(n + 1, dtype=np.int64)
    for i in range(len(cells)):
        for k in range(cells.shape[1]):
            r = row[cells[i, k]]
            if r >= 0:
                start[r + 1] += 1
    for r in range(n):
        start[r + 1] += start[r]
    fill = start[:n].copy()
    ring = np.empty(start[n], dtype=np.int64)
    for i in range(len(cells)):
        for k in range(cells.shape[1]):
            r = row[cells[i, k]]
            if r >= 0:
                ring[fill[r]] = i
                fill[r] += 1
    return start, ring, row


@kernel
def smallest_sines(points: Any, cells: Any, chosen: Any, sine: Any) -> Any:
    """Smallest sine of the angles of the chosen cells, into their places in ``sine``."""
    nv = cells.shape[1]
    cosines = np.empty(6 if nv == 4 else 3)
    for i in range(len(chosen)):
        c = chosen[i]
        sine[c] = angle_cosines(points, cells[c, 0], cells[c, 1], cells[c, 2], cells[c, nv - 1], cosines)


@kernel
def ring_quality(points: Any, cells: Any, ring: Any, first: Any, last: Any, floor: Any, cosines: Any) -> Any:
    """Smallest sine in a vertex's ring of cells; stops as soon as it falls to ``floor`` or below."""
    nv = cells.shape[1]
    worst = 2.0
    for q in range(first, last):
        c = ring[q]
        s = angle_cosines(points, cells[c, 0], cells[c, 1], cells[c, 2], cells[c, nv - 1], cosines)
        if s < worst:
            worst = s
            if worst <= floor:
                break
    return worst


@kernel
def improve_vertices(
    points: Any,
    cells: Any,
    vertices: Any,
    start: Any,
    ring: Any,
    row: Any,
    freedom: Any,
    goal: Any,
    halvings: Any,
) -> Any:
    """Move each vertex by pattern search so that the smallest sine of its ring of cells grows.

    ``freedom`` (n, dim, dim) projects a step onto the directions that the vertex may take (identity: free,
    tangent plane: on a surface). The step starts at a third of the nearest edge; a vertex is left alone above
    ``goal``.
    """
    dim = points.shape[1]
    cosines = np.empty(6 if dim == 3 else 3)
    old = np.empty(dim)
    n_directions = 14 if dim == 3 else 8
    for i in range(len(vertices)):
        v = vertices[i]
        first, last = start[row[v]], start[row[v] + 1]
        best = ring_quality(points, cells, ring, first, last, -1.0, cosines)
        if best >= goal:
            continue
        nearest = np.inf
        for q in range(first, last):
            for k in range(dim + 1):
                w = cells[ring[q], k]
                if w != v:
                    distance = 0.0
                    for x in range(dim):
                        distance += (points[w, x] - points[v, x]) ** 2
                    nearest = min(nearest, distance)
        step = np.sqrt(nearest) / 3.0
        for _ in range(halvings):
            for _ in range(3):
                moved = False
                for direction in range(n_directions):
                    size = 0.0
                    for x in range(dim):
                        old[x] = points[v, x]
                        shift = 0.0
                        for y in range(dim):
                            if direction < 2 * dim:  # along the axes, then along the diagonals
                                along = (1.0 if direction & 1 else -1.0) if direction >> 1 == y else 0.0
                            else:
                                along = (1.0 if ((direction - 2 * dim) >> y) & 1 else -1.0) / np.sqrt(dim)
                            shift += freedom[i, x, y] * along
                        size += shift * shift
                        points[v, x] += step * shift
                    quality = -1.0
                    if size > 0.04:
                        quality = ring_quality(points, cells, ring, first, last, best, cosines)
                    if quality > best + 1e-6:
                        best = quality
                        moved = True
                    else:
                        for x in range(dim):
                            points[v, x] = old[x]
                if not moved or best >= goal:
                    break
            step *= 0.5


@kernel
def ring_qualities(points: Any, cells: Any, vertices: Any, start: Any, ring: Any, row: Any, out: Any) -> Any:
    """Smallest sine in the ring of each vertex."""
    cosines = np.empty(6 if points.shape[1] == 3 else 3)
    for i in range(len(vertices)):
        r = row[vertices[i]]
        out[i] = ring_quality(points, cells, ring, start[r], start[r + 1], -1.0, cosines)


@kernel
def settle_vertices(
    points: Any, cells: Any, vertices: Any, start: Any, ring: Any, row: Any, target: Any, before: Any
) -> Any:
    """Put each vertex to its ``target`` unless its ring gets worse there than both now and ``before``."""
    dim = points.shape[1]
    cosines = np.empty(6 if dim == 3 else 3)
    old = np.empty(dim)
    kept = np.zeros(len(vertices), dtype=np.bool_)
    for i in range(len(vertices)):
        v = vertices[i]
        r = row[v]
        now = ring_quality(points, cells, ring, start[r], start[r + 1], -1.0, cosines)
        for x in range(dim):
            old[x] = points[v, x]
            points[v, x] = target[i, x]
        if ring_quality(points, cells, ring, start[r], start[r + 1], -1.0, cosines) >= 0.95 * min(
            now, before[i]
        ):
            kept[i] = True
        else:
            for x in range(dim):
                points[v, x] = old[x]
    return kept


@kernel
def label_by_vertices(cells: Any, n_points: Any) -> Any:
    """Component number of each cell when cells are joined through common vertices."""
    parent = np.arange(n_points)
    for i in range(len(cells)):
        a = np.int64(cells[i, 0])
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        for k in range(1, cells.shape[1]):
            b = np.int64(cells[i, k])
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b
                a = b
    out = np.empty(len(cells), dtype=np.int64)
    for i in range(len(cells)):
        a = np.int64(cells[i, 0])
        while parent[a] != a:
            a = parent[a]
        out[i] = a
    return out


@kernel
def touching_cells(cells: Any, flagged: Any, least: Any) -> Any:
    """Numbers of the cells with at least ``least`` flagged vertices."""
    out = np.empty(len(cells), dtype=np.int64)
    n = 0
    for i in range(len(cells)):
        count = 0
        for k in range(cells.shape[1]):
            count += 1 if flagged[cells[i, k]] else 0
        if count >= least:
            out[n] = i
            n += 1
    return out[:n].copy()
