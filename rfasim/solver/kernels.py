"""Compiled kernels of the P1 element: numbers in, numbers out.

For a P1 simplex the stiffness is the cell's coefficient times one constant number per edge,
``w_ij = -int grad(lambda_i) . grad(lambda_j)`` (the rows sum to zero), so a matrix is stored as one conductance
``g_ij = sum_cells coefficient * w_ij`` per edge of the mesh: ``(A u)_i = sum_j g_ij (u_i - u_j)``.

Edges are sorted by (lower node, higher node): the array of conductances is at the same time the strict upper
triangle of the matrix in compressed rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.jit import kernel

# local edges of a triangle and of a tetrahedron, as pairs of local vertices
TRIANGLE_EDGES = np.array([[0, 1], [0, 2], [1, 2]], dtype=np.uint32)
TETRAHEDRON_EDGES = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]], dtype=np.uint32)


@kernel
def tetrahedron_geometry(points: Any, cells: Any, weights: Any, volumes: Any) -> None:
    """Edge weights (n, 6) [m] and volumes (n,) [m^3] of tetrahedra; a weight is opposite edge length times cot/6."""
    for c in range(cells.shape[0]):
        a, b, d, e = cells[c, 0], cells[c, 1], cells[c, 2], cells[c, 3]
        x1 = points[b, 0] - points[a, 0]
        y1 = points[b, 1] - points[a, 1]
        z1 = points[b, 2] - points[a, 2]
        x2 = points[d, 0] - points[a, 0]
        y2 = points[d, 1] - points[a, 1]
        z2 = points[d, 2] - points[a, 2]
        x3 = points[e, 0] - points[a, 0]
        y3 = points[e, 1] - points[a, 1]
        z3 = points[e, 2] - points[a, 2]
        # 6 V grad(lambda_1..3)
        gx1, gy1, gz1 = y2 * z3 - z2 * y3, z2 * x3 - x2 * z3, x2 * y3 - y2 * x3
        gx2, gy2, gz2 = y3 * z1 - z3 * y1, z3 * x1 - x3 * z1, x3 * y1 - y3 * x1
        gx3, gy3, gz3 = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
        six_volume = x1 * gx1 + y1 * gy1 + z1 * gz1
        volumes[c] = six_volume / 6.0
        scale = -1.0 / (6.0 * six_volume)
        w12 = (gx1 * gx2 + gy1 * gy2 + gz1 * gz2) * scale
        w13 = (gx1 * gx3 + gy1 * gy3 + gz1 * gz3) * scale
        w23 = (gx2 * gx3 + gy2 * gy3 + gz2 * gz3) * scale
        k11 = -(gx1 * gx1 + gy1 * gy1 + gz1 * gz1) * scale
        k22 = -(gx2 * gx2 + gy2 * gy2 + gz2 * gz2) * scale
        k33 = -(gx3 * gx3 + gy3 * gy3 + gz3 * gz3) * scale
        weights[c, 0] = k11 - w12 - w13
        weights[c, 1] = k22 - w12 - w23
        weights[c, 2] = k33 - w13 - w23
        weights[c, 3] = w12
        weights[c, 4] = w13
        weights[c, 5] = w23


@kernel
def triangle_geometry(points: Any, cells: Any, weights: Any, volumes: Any, shares: Any) -> None:
    """Axisymmetric triangles (r, z): edge weights (n, 3) [m], volumes of revolution (n,) [m^3], vertex shares of it.

    Everything carries 2 pi r: the volume is 2 pi r_mean A and vertex i owns 2 pi A (2 r_i + r_j + r_k)/12 of it.
    """
    for c in range(cells.shape[0]):
        a, b, d = cells[c, 0], cells[c, 1], cells[c, 2]
        r0, z0, r1, z1, r2, z2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[d, 0], points[d, 1]
        double_area = (r1 - r0) * (z2 - z0) - (r2 - r0) * (z1 - z0)
        r_sum = r0 + r1 + r2
        volumes[c] = np.pi * double_area * r_sum / 3.0
        scale = -2.0 * np.pi * (r_sum / 3.0) / (2.0 * double_area)
        # the edge opposite each vertex
        x0, y0, x1, y1, x2, y2 = r2 - r1, z2 - z1, r0 - r2, z0 - z2, r1 - r0, z1 - z0
        weights[c, 0] = (x0 * x1 + y0 * y1) * scale
        weights[c, 1] = (x0 * x2 + y0 * y2) * scale
        weights[c, 2] = (x1 * x2 + y1 * y2) * scale
        factor = np.pi * double_area / 12.0
        shares[c, 0] = factor * (r_sum + r0)
        shares[c, 1] = factor * (r_sum + r1)
        shares[c, 2] = factor * (r_sum + r2)


@kernel
def count_lower_ends(cells: Any, local_edges: Any, counts: Any) -> None:
    """How many (cell, edge) pairs have each node as the lower end; ``counts`` has one more entry than nodes."""
    for c in range(cells.shape[0]):
        for e in range(local_edges.shape[0]):
            i, j = cells[c, local_edges[e, 0]], cells[c, local_edges[e, 1]]
            counts[min(i, j) + np.uint32(1)] += 1


@kernel
def collect_edges(cells: Any, local_edges: Any, starts: Any, buckets: Any, indptr: Any) -> None:
    """Fill each node's bucket with its distinct higher neighbours in rising order; ``indptr`` gets their numbers."""
    n_nodes = starts.shape[0] - 1
    filled = np.zeros(n_nodes, np.uint32)
    for c in range(cells.shape[0]):
        for e in range(local_edges.shape[0]):
            a, b = cells[c, local_edges[e, 0]], cells[c, local_edges[e, 1]]
            i, j = min(a, b), max(a, b)
            first = starts[i]
            last = first + filled[i]
            place = last
            while place > first and buckets[place - np.uint32(1)] > j:
                place -= np.uint32(1)
            if place > first and buckets[place - np.uint32(1)] == j:
                continue
            k = last
            while k > place:
                buckets[k] = buckets[k - np.uint32(1)]
                k -= np.uint32(1)
            buckets[place] = j
            filled[i] += np.uint32(1)
    indptr[0] = 0
    for i in range(n_nodes):
        indptr[i + 1] = indptr[i] + filled[i]


@kernel
def compress_edges(starts: Any, buckets: Any, indptr: Any, lower: Any, upper: Any) -> None:
    """Copy the buckets into the sorted edge list."""
    for i in range(indptr.shape[0] - 1):
        first = starts[i]
        for k in range(indptr[i], indptr[i + 1]):
            lower[k] = i
            upper[k] = buckets[first + k - indptr[i]]


@kernel
def find_slots(cells: Any, local_edges: Any, indptr: Any, upper: Any, slots: Any) -> None:
    """The edge number of each local edge of each cell."""
    for c in range(cells.shape[0]):
        for e in range(local_edges.shape[0]):
            a, b = cells[c, local_edges[e, 0]], cells[c, local_edges[e, 1]]
            i, j = min(a, b), max(a, b)
            k = indptr[i]
            while upper[k] != j:
                k += np.uint32(1)
            slots[c, e] = k


@kernel
def first_and_last_piece(slots: Any, cuts: Any, first: Any, last: Any) -> None:
    """First and last of the pieces (``cuts``: cell numbers) whose cells touch each edge."""
    for p in range(cuts.shape[0] - 1):
        for c in range(np.uint64(cuts[p]), np.uint64(cuts[p + 1])):
            for e in range(slots.shape[1]):
                first[slots[c, e]] = min(first[slots[c, e]], p)
                last[slots[c, e]] = max(last[slots[c, e]], p)


@kernel
def count_terms(weights: Any, negligible: float, counts: Any) -> None:
    """How many of a cell's edges weigh more than ``negligible`` times its heaviest one."""
    for c in range(np.uint64(weights.shape[0])):
        heaviest = 0.0
        for e in range(weights.shape[1]):
            heaviest = max(heaviest, abs(weights[c, e]))
        counts[c] = 0
        for e in range(weights.shape[1]):
            if not abs(weights[c, e]) <= negligible * heaviest:
                counts[c] += 1


@kernel
def pack_terms(listed: Any, weights: Any, slots: Any, negligible: float, packed: Any, places: Any) -> None:
    """Terms of the ``listed`` cells, the negligible ones dropped; rows left short are filled with zeros."""
    for k in range(np.uint64(listed.shape[0])):
        c = listed[k]
        heaviest = 0.0
        for e in range(weights.shape[1]):
            heaviest = max(heaviest, abs(weights[c, e]))
        n = np.uint64(0)
        for e in range(weights.shape[1]):
            if not abs(weights[c, e]) <= negligible * heaviest:
                packed[k, n] = weights[c, e]
                places[k, n] = slots[c, e]
                n += np.uint64(1)
        for e in range(n, np.uint64(packed.shape[1])):
            packed[k, e] = 0.0
            places[k, e] = slots[c, 0]


@kernel
def add_cells(
    coefficient: Any, cells: Any, weights: Any, slots: Any, begin: int, end: int, conductance: Any
) -> None:
    """The assembly loop: ``conductance[slot] += coefficient[cell] * weight``, all terms of rows begin..end-1."""
    if weights.shape[1] == 6:
        for k in range(np.uint64(begin), np.uint64(end)):
            y = coefficient[cells[k]]
            conductance[slots[k, 0]] += y * weights[k, 0]
            conductance[slots[k, 1]] += y * weights[k, 1]
            conductance[slots[k, 2]] += y * weights[k, 2]
            conductance[slots[k, 3]] += y * weights[k, 3]
            conductance[slots[k, 4]] += y * weights[k, 4]
            conductance[slots[k, 5]] += y * weights[k, 5]
    elif weights.shape[1] == 4:
        for k in range(np.uint64(begin), np.uint64(end)):
            y = coefficient[cells[k]]
            conductance[slots[k, 0]] += y * weights[k, 0]
            conductance[slots[k, 1]] += y * weights[k, 1]
            conductance[slots[k, 2]] += y * weights[k, 2]
            conductance[slots[k, 3]] += y * weights[k, 3]
    else:
        for k in range(np.uint64(begin), np.uint64(end)):
            y = coefficient[cells[k]]
            for e in range(np.uint64(weights.shape[1])):
                conductance[slots[k, e]] += y * weights[k, e]


@kernel
def add_squared_steps(
    cells: Any, weights: Any, slots: Any, lower: Any, upper: Any, u: Any, out: Any
) -> None:
    """Add ``weight (u_i - u_j)^2`` of each term to its cell: ``|grad u|^2`` times its volume."""
    for k in range(np.uint64(cells.shape[0])):
        total = 0.0
        for e in range(np.uint64(weights.shape[1])):
            step = u[lower[slots[k, e]]] - u[upper[slots[k, e]]]
            total += weights[k, e] * step * step
        out[cells[k]] += total


@kernel
def transpose_edges(upper: Any, lower_indptr: Any, lower_edges: Any) -> None:
    """The edges to each node's lower neighbours, in rising order, as compressed rows."""
    n = lower_indptr.shape[0] - 1
    lower_indptr[:] = 0
    for e in range(np.uint64(upper.shape[0])):
        lower_indptr[upper[e] + np.uint32(1)] += np.uint32(1)
    for i in range(n):
        lower_indptr[i + 1] += lower_indptr[i]
    place = lower_indptr[:-1].copy()
    for e in range(np.uint64(upper.shape[0])):
        j = upper[e]
        lower_edges[place[j]] = e
        place[j] += np.uint32(1)


@kernel
def csr_columns(
    lower: Any, upper: Any, indptr: Any, lower_indptr: Any, lower_edges: Any, columns: Any, starts: Any
) -> None:
    """Columns and row starts of the full matrix, in the order in which :func:`expand_to_csr` writes."""
    one = np.uint64(1)
    p = np.uint64(0)
    for i in range(np.uint64(indptr.shape[0] - 1)):
        starts[i] = p
        for k in range(np.uint64(lower_indptr[i]), np.uint64(lower_indptr[i + one])):
            columns[p] = lower[lower_edges[k]]
            p += one
        columns[p] = i
        p += one
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + one])):
            columns[p] = upper[k]
            p += one
    starts[indptr.shape[0] - 1] = p


@kernel
def expand_to_csr(conductance: Any, indptr: Any, lower_indptr: Any, lower_edges: Any, data: Any) -> None:
    """Full compressed rows from edge conductances: off-diagonals ``-g``, diagonal the row's sum of ``g``.

    Row by row: the lower neighbours are gathered, the upper ones are the row's own edges, so ``data`` is
    written in one stream and needs no list of places.
    """
    one = np.uint64(1)
    p = np.uint64(0)
    for i in range(np.uint64(indptr.shape[0] - 1)):
        total = 0.0 * conductance[0]
        for k in range(np.uint64(lower_indptr[i]), np.uint64(lower_indptr[i + one])):
            g = conductance[lower_edges[k]]
            total += g
            data[p] = -g
            p += one
        diagonal = p
        p += one
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + one])):
            g = conductance[k]
            total += g
            data[p] = -g
            p += one
        data[diagonal] = total


@kernel
def multiply(conductance: Any, indptr: Any, upper: Any, u: Any, out: Any) -> None:
    """``out = A u`` with ``(A u)_i = sum_j g_ij (u_i - u_j)``."""
    out[:] = 0.0
    for i in range(np.uint64(u.shape[0])):
        ui = u[i]
        own = out[i]
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])):
            j = upper[k]
            flow = conductance[k] * (ui - u[j])
            own += flow
            out[j] -= flow
        out[i] = own


@kernel
def edge_dissipation(conductance: Any, indptr: Any, upper: Any, u: Any, heat: Any) -> None:
    """Nodal heat of the currents: each edge's ``Re(g) |u_i - u_j|^2`` goes half to either end [W].

    The sum over the nodes is exactly the power ``Re(u^H A u)``, and with one conductivity the discrete field obeys
    Kohlrausch's identity node by node: sum_j g_ij (u_i - u_j)^2 / 2 = u_i (A u)_i - (A u^2/2)_i.
    """
    heat[:] = 0.0
    for i in range(np.uint64(u.shape[0])):
        ui = u[i]
        own = heat[i]
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])):
            j = upper[k]
            d = ui - u[j]
            half = 0.5 * (conductance[k].real * (d.real * d.real + d.imag * d.imag))
            own += half
            heat[j] += half
        heat[i] = own


@kernel
def cell_mean(cells: Any, region: Any, table: Any, out: Any) -> None:
    """Coefficient of each cell: mean over its vertices of its region's nodal values ``table[region, node]``."""
    n = cells.shape[1]
    if n == 4:
        for c in range(np.uint64(cells.shape[0])):
            row = table[region[c]]
            out[c] = 0.25 * ((row[cells[c, 0]] + row[cells[c, 1]]) + (row[cells[c, 2]] + row[cells[c, 3]]))
    else:
        for c in range(np.uint64(cells.shape[0])):
            row = table[region[c]]
            out[c] = (row[cells[c, 0]] + row[cells[c, 1]] + row[cells[c, 2]]) / 3.0


@kernel
def add_moving(moving: Any, conductance: Any, lower: Any, upper: Any, edges: Any, diagonal: Any) -> None:
    """Add the part of a carrier's matrix that moves with T: edges between two ``moving`` nodes, and the diagonal of a
    moving node for its edges to others."""
    for e in range(np.uint64(edges.shape[0])):
        i, j = lower[e], upper[e]
        if moving[i] and moving[j]:
            edges[e] += conductance[e]
        elif moving[i]:
            diagonal[i] += conductance[e]
        elif moving[j]:
            diagonal[j] += conductance[e]


@kernel
def dot(a: Any, b: Any) -> Any:
    """Plain (unconjugated) product sum. numpy's goes to BLAS, whose threads cost more than the sum on a busy machine
    and whose result may depend on how many they are."""
    total = 0.0 * (a[0] * b[0])
    for i in range(np.uint64(a.shape[0])):
        total += a[i] * b[i]
    return total
