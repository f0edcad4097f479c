"""The P1 space on a mesh: edges, weights and the assembly of edge conductances."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse

from rfasim.solver import kernels

Array = np.ndarray[Any, Any]

# A large mesh is assembled in fixed pieces of about this many cells, however many threads work on them.
PIECE_CELLS = 100_000


class Space:
    """P1 functions on simplices: ``points`` (n, d) [m], ``cells`` (m, d+1); (r, z) with weight 2 pi r when d = 2.

    ``indptr``, ``upper``: the strict upper triangle's pattern, one entry per edge; ``weights`` (m, edges) [m];
    ``volumes`` (m,) [m^3]; ``shares`` (m, d+1) [m^3]: each vertex' part of the lumped volume.
    """

    def __init__(self, points: Array, cells: Array) -> None:
        self.points = np.ascontiguousarray(points, dtype=np.float64)
        self.cells = np.ascontiguousarray(cells, dtype=np.uint32)
        n_cells, n_vertices = self.cells.shape
        self.n_nodes = len(self.points)
        self.n_cells = n_cells
        self.axisymmetric = n_vertices == 3
        local = kernels.TRIANGLE_EDGES if self.axisymmetric else kernels.TETRAHEDRON_EDGES
        self.weights = np.empty((n_cells, len(local)))
        self.volumes = np.empty(n_cells)
        if self.axisymmetric:
            self.shares = np.empty((n_cells, 3))
            kernels.triangle_geometry(self.points, self.cells, self.weights, self.volumes, self.shares)
        else:
            kernels.tetrahedron_geometry(self.points, self.cells, self.weights, self.volumes)
            self.shares = np.broadcast_to((0.25 * self.volumes)[:, None], (n_cells, 4))
        counts = np.zeros(self.n_nodes + 1, np.int64)
        kernels.count_lower_ends(self.cells, local, counts)
        starts = np.cumsum(counts).astype(np.uint32)
        buckets = np.empty(int(starts[-1]), np.uint32)
        self.indptr = np.empty(self.n_nodes + 1, np.uint32)
        kernels.collect_edges(self.cells, local, starts, buckets, self.indptr)
        self.n_edges = int(self.indptr[-1])
        self.lower = np.empty(self.n_edges, np.uint32)
        self.upper = np.empty(self.n_edges, np.uint32)
        kernels.compress_edges(starts, buckets, self.indptr, self.lower, self.upper)
        self.slots = np.empty((n_cells, len(local)), np.uint32)
        kernels.find_slots(self.cells, local, self.indptr, self.upper, self.slots)
        self._cut_into_pieces()

    def node_volumes(self, mask: Array | None = None) -> Array:
        """Lumped volume of each node [m^3], of the cells in ``mask`` (all when None)."""
        cells, shares = (self.cells, self.shares) if mask is None else (self.cells[mask], self.shares[mask])
        return np.bincount(cells.ravel(), weights=shares.ravel(), minlength=self.n_nodes)

    def assemble(self, coefficient: Array, *, threads: int = 1, out: Array | None = None) -> Array:
        """Edge conductances ``g = sum over cells of coefficient * weight`` (real or complex).

        The pieces own their edges; cells with an edge that belongs to two pieces are added last, in their order. So
        every edge sums its cells in one fixed order and the bits do not depend on ``threads``.
        """
        total = np.empty(self.n_edges, coefficient.dtype) if out is None else out
        total[:] = 0

        def add(piece: int) -> None:
            begin, end = self.cuts[piece], self.cuts[piece + 1]
            kernels.add_cells(coefficient, self.weights, self.slots, self.is_shared, begin, end, total)

        n_pieces = len(self.cuts) - 1
        if threads > 1 and n_pieces > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(add, range(n_pieces)))
        else:
            for piece in range(n_pieces):
                add(piece)
        if len(self.shared):
            kernels.add_listed_cells(coefficient, self.weights, self.slots, self.shared, total)
        return total

    def _cut_into_pieces(self) -> None:
        n_pieces = max(1, round(self.n_cells / PIECE_CELLS))
        self.cuts = np.linspace(0, self.n_cells, n_pieces + 1).astype(np.int64)
        self.is_shared = np.zeros(self.n_cells, np.bool_)
        if n_pieces > 1:
            first = np.full(self.n_edges, n_pieces, np.int32)
            last = np.full(self.n_edges, -1, np.int32)
            kernels.first_and_last_piece(self.slots, self.cuts, first, last)
            self.is_shared = np.asarray((first != last)[self.slots].any(axis=1))
        self.shared = np.flatnonzero(self.is_shared).astype(np.uint32)

    def multiply(self, conductance: Array, u: Array) -> Array:
        """``A u`` for the matrix of ``conductance``."""
        out = np.empty(self.n_nodes, np.result_type(conductance, u))
        kernels.multiply(conductance, self.indptr, self.upper, u.astype(out.dtype, copy=False), out)
        return out

    def dissipation(self, conductance: Array, u: Array) -> Array:
        """Nodal Joule heat of the field ``u`` [W when conductance is in S and u in V RMS]."""
        heat = np.empty(self.n_nodes)
        kernels.edge_dissipation(conductance, self.indptr, self.upper, u, heat)
        return heat

    def csr_pattern(self) -> tuple[scipy.sparse.csr_matrix, Array, Array, Array]:
        """A full CSR matrix and the places of upper, lower and diagonal entries in its ``data``."""
        n, m = self.n_nodes, self.n_edges
        rows = np.concatenate([self.lower, self.upper, np.arange(n, dtype=np.uint32)])
        columns = np.concatenate([self.upper, self.lower, np.arange(n, dtype=np.uint32)])
        order = np.lexsort((columns, rows))
        slots = np.empty(2 * m + n, np.uint32)
        slots[order] = np.arange(2 * m + n, dtype=np.uint32)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
        matrix = scipy.sparse.csr_matrix((np.zeros(2 * m + n), columns[order].astype(np.int32), indptr), shape=(n, n))
        return matrix, slots[:m], slots[m : 2 * m], slots[2 * m :]

    def csr(self, conductance: Array) -> scipy.sparse.csr_matrix:
        """The matrix of ``conductance`` as scipy's CSR (for checks and for algebraic multigrid)."""
        matrix, upper, lower, diagonal = self.csr_pattern()
        data = np.zeros(matrix.nnz, conductance.dtype)
        kernels.expand_to_csr(conductance, self.lower, self.upper, lower, upper, diagonal, data)
        return scipy.sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)

    def gradient(self, u: Array) -> Array:
        """Constant gradient of the P1 function ``u`` in each cell, (m, d)."""
        p = self.points[self.cells]
        edges = p[:, 1:] - p[:, :1]
        steps = (u[self.cells[:, 1:]] - u[self.cells[:, :1]])[..., None]
        return np.linalg.solve(edges.astype(steps.dtype, copy=False), steps)[..., 0]
