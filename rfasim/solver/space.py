"""The P1 space on a mesh: edges, weights and the assembly of edge conductances."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from rfasim.solver import kernels

Array = np.ndarray[Any, Any]

# A large mesh is assembled in fixed pieces of about this many cells, however many threads work on them.
PIECE_CELLS = 100_000

# An edge opposite a right dihedral angle weighs nothing, and a lattice mesh is made of such cells (a third of
# all terms): weights below this share of the heaviest are rounding, of coordinates 1000 times the cell size.
NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Terms:
    """What cells add to edges: row k adds ``coefficient[cells[k]] * weights[k]`` to the edges ``slots[k]``.

    Rows ``cuts[p]`` to ``cuts[p + 1]`` belong to piece p and touch no other piece's edges; those from
    ``cuts[-1]`` on belong to none.
    """

    cells: Array
    weights: Array
    slots: Array
    cuts: Array



class Space:
    """P1 functions on simplices: ``points`` (n, d) [m], ``cells`` (m, d+1); (r, z) with weight 2 pi r when d = 2.

    ``indptr``, ``upper``: the strict upper triangle's pattern, one entry per edge; ``terms``: the weights [m]
    of each cell's edges; ``carries`` (edges,): whether any of them is not zero; ``volumes`` (m,) [m^3];
    ``shares`` (m, d+1) [m^3]: each vertex' part of the lumped volume.
    """

    def __init__(self, points: Array, cells: Array) -> None:
        self.points = np.ascontiguousarray(points, dtype=np.float64)
        self.cells = np.ascontiguousarray(cells, dtype=np.uint32)
        n_cells, n_vertices = self.cells.shape
        self.n_nodes = len(self.points)
        self.n_cells = n_cells
        self.axisymmetric = n_vertices == 3
        local = kernels.TRIANGLE_EDGES if self.axisymmetric else kernels.TETRAHEDRON_EDGES
        weights = np.empty((n_cells, len(local)))
        self.volumes = np.empty(n_cells)
        if self.axisymmetric:
            self.shares = np.empty((n_cells, 3))
            kernels.triangle_geometry(self.points, self.cells, weights, self.volumes, self.shares)
        else:
            kernels.tetrahedron_geometry(self.points, self.cells, weights, self.volumes)
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
        slots = np.empty((n_cells, len(local)), np.uint32)
        kernels.find_slots(self.cells, local, self.indptr, self.upper, slots)
        self.terms = self._terms(weights, slots)
        # an edge opposite right dihedral angles only carries nothing: a third of them on a lattice mesh
        self.carries = np.zeros(self.n_edges, np.bool_)
        for terms in self.terms:
            self.carries[terms.slots[terms.weights != 0.0]] = True

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
            for t in self.terms:
                begin, end = t.cuts[piece], t.cuts[piece + 1]
                kernels.add_cells(coefficient, t.cells, t.weights, t.slots, begin, end, total)

        if threads > 1 and self.n_pieces > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(add, range(self.n_pieces)))
        else:
            for piece in range(self.n_pieces):
                add(piece)
        for t in self.terms:
            kernels.add_cells(coefficient, t.cells, t.weights, t.slots, t.cuts[-1], len(t.cells), total)
        return total

    def _terms(self, weights: Array, slots: Array) -> tuple[Terms, ...]:
        """The cells' terms, cells with right angles (4 of 6 edges, 2 of 3) apart from the others."""
        full = weights.shape[1]
        self.n_pieces = max(1, round(self.n_cells / PIECE_CELLS))
        cuts = np.linspace(0, self.n_cells, self.n_pieces + 1).astype(np.int64)
        piece = np.repeat(np.arange(self.n_pieces), np.diff(cuts))
        if self.n_pieces > 1:
            first = np.full(self.n_edges, self.n_pieces, np.int32)
            last = np.full(self.n_edges, -1, np.int32)
            kernels.first_and_last_piece(slots, cuts, first, last)
            piece[(first != last)[slots].any(axis=1)] = self.n_pieces
        counts = np.empty(self.n_cells, np.uint8)
        kernels.count_terms(weights, NEGLIGIBLE, counts)
        few = counts <= (4 if full == 6 else 2)
        terms = []
        for width, mask in ((4 if full == 6 else 2, few), (full, ~few)):
            cells = np.flatnonzero(mask)
            cells = cells[np.argsort(piece[cells], kind="stable")].astype(np.uint32)
            packed = np.empty((len(cells), width))
            places = np.empty((len(cells), width), np.uint32)
            kernels.pack_terms(cells, weights, slots, NEGLIGIBLE, packed, places)
            bounds = np.searchsorted(piece[cells], np.arange(self.n_pieces + 1))
            terms.append(Terms(cells, packed, places, bounds))
        return tuple(terms)

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

    def squared_gradient(self, u: Array) -> Array:
        """``|grad u|^2`` of the real P1 function ``u`` in each cell."""
        out = np.zeros(self.n_cells)
        for t in self.terms:
            kernels.add_squared_steps(t.cells, t.weights, t.slots, self.lower, self.upper, u, out)
        return np.asarray(np.maximum(out, 0.0) / self.volumes)

    def on_edges(self, i: Array, j: Array, values: Array) -> Array:
        """``values`` of the edges between nodes ``i`` and ``j``, summed into an array of all edges."""
        low, high = np.minimum(i, j).astype(np.int64), np.maximum(i, j).astype(np.int64)
        keys = self.lower.astype(np.int64) * self.n_nodes + self.upper
        wanted = low * self.n_nodes + high
        slots = np.searchsorted(keys, wanted)
        if (slots >= len(keys)).any() or (keys[slots] != wanted).any():
            raise ValueError("some pairs of nodes are no edges of the mesh")
        return np.bincount(slots, values, self.n_edges)

    def csr_pattern(self) -> tuple[scipy.sparse.csr_matrix, Array, Array]:
        """A full CSR matrix (of zeros), and starts and numbers of the edges to each node's lower neighbours,
        which :func:`kernels.expand_to_csr` needs to fill its ``data``."""
        n, m = self.n_nodes, self.n_edges
        lower_indptr, lower_edges = np.empty(n + 1, np.uint32), np.empty(m, np.uint32)
        kernels.transpose_edges(self.upper, lower_indptr, lower_edges)
        columns, starts = np.empty(2 * m + n, np.int32), np.empty(n + 1, np.int32)
        kernels.csr_columns(self.lower, self.upper, self.indptr, lower_indptr, lower_edges, columns, starts)
        matrix = scipy.sparse.csr_matrix((np.zeros(2 * m + n), columns, starts), shape=(n, n))
        return matrix, lower_indptr, lower_edges

    def csr(self, conductance: Array) -> scipy.sparse.csr_matrix:
        """The matrix of ``conductance`` as scipy's CSR (for checks and for algebraic multigrid)."""
        matrix, lower_indptr, lower_edges = self.csr_pattern()
        data = np.empty(matrix.nnz, conductance.dtype)
        kernels.expand_to_csr(conductance, self.indptr, lower_indptr, lower_edges, data)
        return scipy.sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)

    def gradient(self, u: Array) -> Array:
        """Constant gradient of the P1 function ``u`` in each cell, (m, d)."""
        p = self.points[self.cells]
        edges = p[:, 1:] - p[:, :1]
        steps = (u[self.cells[:, 1:]] - u[self.cells[:, :1]])[..., None]
        return np.linalg.solve(edges.astype(steps.dtype, copy=False), steps)[..., 0]
