"""Kernels on simplices of either dimension: volumes, angles, faces."""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.jit import kernel


@kernel
def signed_volume(points: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Signed volume of the tetrahedron (a, b, c, d), or area of the triangle (a, b, c) when points are
    2-D."""
    ux, uy = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
    vx, vy = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
    if points.shape[1] == 2:
        return 0.5 * (ux * vy - uy * vx)
    uz, vz = points[b, 2] - points[a, 2], points[c, 2] - points[a, 2]
    wx, wy, wz = points[d, 0] - points[a, 0], points[d, 1] - points[a, 1], points[d, 2] - points[a, 2]
    return ((uy * vz - uz * vy) * wx + (uz * vx - ux * vz) * wy + (ux * vy - uy * vx) * wz) / 6.0


@kernel
def signed_volumes(points: Any, cells: Any, out: Any) -> Any:
    """Signed volume (area) of every cell."""
    last = cells.shape[1] - 1
    for i in range(len(cells)):
        out[i] = signed_volume(points, cells[i, 0], cells[i, 1], cells[i, 2], cells[i, last])


@kernel
def orient(points: Any, cells: Any) -> Any:
    """Swap two vertices of every cell whose signed volume is negative."""
    last = cells.shape[1] - 1
    for i in range(len(cells)):
        if signed_volume(points, cells[i, 0], cells[i, 1], cells[i, 2], cells[i, last]) < 0.0:
            cells[i, last - 1], cells[i, last] = cells[i, last], cells[i, last - 1]


@kernel
def angle_cosines(points: Any, a: Any, b: Any, c: Any, d: Any, out: Any) -> Any:
    """Cosines of the six dihedral angles of a tetrahedron, or of the three angles of a triangle, into
    ``out``.

    Returns the smallest sine of these angles, negative when the simplex is inverted.
    """
    if points.shape[1] == 2:
        ux, uy = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        vx, vy = points[c, 0] - points[b, 0], points[c, 1] - points[b, 1]
        wx, wy = points[a, 0] - points[c, 0], points[a, 1] - points[c, 1]
        u, v, w = np.sqrt(ux * ux + uy * uy), np.sqrt(vx * vx + vy * vy), np.sqrt(wx * wx + wy * wy)
        tiny = 1e-300
        out[0] = -(wx * ux + wy * uy) / (w * u + tiny)
        out[1] = -(ux * vx + uy * vy) / (u * v + tiny)
        out[2] = -(vx * wx + vy * wy) / (v * w + tiny)
        area2 = ux * vy - uy * vx
        return area2 / (max(u, v, w) * (u + v + w - max(u, v, w) - min(u, v, w)) + tiny)
    # outward face normals n_i (length twice the area) opposite to vertex i; the angle at the edge shared by
    # faces i and j has cosine -n_i.n_j / |n_i||n_j| and sine 6 V |edge| / (|n_i||n_j|)
    ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    wx, wy, wz = points[d, 0] - points[a, 0], points[d, 1] - points[a, 1], points[d, 2] - points[a, 2]
    bx, by, bz = wy * vz - wz * vy, wz * vx - wx * vz, wx * vy - wy * vx
    cx, cy, cz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
    dx, dy, dz = vy * uz - vz * uy, vz * ux - vx * uz, vx * uy - vy * ux
    volume6 = -(wx * dx + wy * dy + wz * dz)
    ax, ay, az = -(bx + cx + dx), -(by + cy + dy), -(bz + cz + dz)
    la = 1.0 / (np.sqrt(ax * ax + ay * ay + az * az) + 1e-300)
    lb = 1.0 / (np.sqrt(bx * bx + by * by + bz * bz) + 1e-300)
    lc = 1.0 / (np.sqrt(cx * cx + cy * cy + cz * cz) + 1e-300)
    ld = 1.0 / (np.sqrt(dx * dx + dy * dy + dz * dz) + 1e-300)
    out[0] = -(ax * bx + ay * by + az * bz) * la * lb
    out[1] = -(ax * cx + ay * cy + az * cz) * la * lc
    out[2] = -(ax * dx + ay * dy + az * dz) * la * ld
    out[3] = -(bx * cx + by * cy + bz * cz) * lb * lc
    out[4] = -(bx * dx + by * dy + bz * dz) * lb * ld
    out[5] = -(cx * dx + cy * dy + cz * dz) * lc * ld
    largest = 0.0
    for k in range(6):
        largest = max(largest, abs(out[k]))
    sine = np.sqrt(max(0.0, 1.0 - largest * largest))
    return sine if volume6 > 0.0 else -sine - 1e-9


@kernel
def extreme_cosines(points: Any, cells: Any, smallest: Any, largest: Any) -> Any:
    """Cosines of each cell's smallest and largest angle (2 and -2 for an inverted cell)."""
    last = cells.shape[1] - 1
    cosines = np.empty(6 if last == 3 else 3)
    for i in range(len(cells)):
        sine = angle_cosines(points, cells[i, 0], cells[i, 1], cells[i, 2], cells[i, last], cosines)
        smallest[i] = cosines.max() if sine > 0.0 else 2.0
        largest[i] = cosines.min() if sine > 0.0 else -2.0


@kernel
def match_faces(cells: Any, flagged: Any) -> Any:
    """Pair up the faces whose vertices are all ``flagged``.

    Returns owner cell, its local vertex opposite to the face, the neighbour cell (-1: none) and the number of
    faces that more than two cells share.
    """
    n_vertices = cells.shape[1]
    n_faces = 0
    for i in range(len(cells)):
        count = 0
        for k in range(n_vertices):
            count += 1 if flagged[cells[i, k]] else 0
        if count == n_vertices:
            n_faces += n_vertices
        elif count == n_vertices - 1:
            n_faces += 1
    size = 64
    while size < 2 * n_faces:
        size *= 2
    mask = np.uint64(size - 1)
    table = np.full(size, -1, dtype=np.int64)
    owner = np.empty(n_faces, dtype=np.int64)
    local = np.empty(n_faces, dtype=np.int64)
    neighbour = np.full(n_faces, -1, dtype=np.int64)
    corner = np.empty((n_faces, 3), dtype=np.uint32)
    n, extra = 0, 0
    for i in range(len(cells)):
        for k in range(n_vertices):
            a, b, c = np.uint32(0), np.uint32(0), np.uint32(0)  # the face's vertices, sorted
            candidate = True
            for q in range(n_vertices):
                if q == k:
                    continue
                v = cells[i, q]
                if not flagged[v]:
                    candidate = False
                    break
                if v > c:
                    a, b, c = b, c, v
                elif v > b:
                    a, b = b, v
                else:
                    a = v
            if not candidate:
                continue
            key = np.uint64(c) * np.uint64(0x9E3779B97F4A7C15)
            key = (key ^ (key >> np.uint64(29)) ^ np.uint64(b)) * np.uint64(0xBF58476D1CE4E5B9)
            key = (key ^ (key >> np.uint64(32)) ^ np.uint64(a)) * np.uint64(0x94D049BB133111EB)
            slot = (key ^ (key >> np.uint64(31))) & mask
            while table[slot] >= 0:
                f = table[slot]
                if corner[f, 0] == a and corner[f, 1] == b and corner[f, 2] == c:
                    break
                slot = (slot + np.uint64(1)) & mask
            if table[slot] < 0:
                table[slot] = n
                corner[n, 0], corner[n, 1], corner[n, 2] = a, b, c
                owner[n], local[n] = i, k
                n += 1
            elif neighbour[table[slot]] < 0:
                neighbour[table[slot]] = i
            else:
                extra += 1
    return owner[:n], local[:n], neighbour[:n], extra


@kernel
def face_vertices(cells: Any, owner: Any, local: Any) -> Any:
    """The vertices of each cell's face opposite to a local vertex, ordered so that the normal leaves the
    cell."""
    dim = cells.shape[1] - 1
    out = np.empty((len(owner), dim), dtype=np.uint32)
    for f in range(len(owner)):
        n = 0
        for k in range(dim + 1):
            if k != local[f]:
                out[f, n] = cells[owner[f], k]
                n += 1
        if local[f] % 2 == 1:  # odd permutation; in 2-D the normal of an edge (a, b) is to its right
            out[f, 0], out[f, 1] = out[f, 1], out[f, 0]
    return out
