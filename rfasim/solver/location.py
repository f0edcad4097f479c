"""Which cell of a simplex mesh holds a point, for many points at once."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from rfasim.solver.location_kernels import locate
from rfasim.solver.space import Array

# A point is looked for in the cells around its nearest nodes, this many of them in turn.
NEAREST = (1, 4, 32)
# How far outside a cell, in barycentric coordinates, a point may lie that is taken as in it (rounding).
SLIVER = 1e-6


class Locator:
    """Finds the cells, of those marked in ``chosen`` (n_cells,) bool, that hold given points."""

    def __init__(self, points: Array, cells: Array, chosen: Array) -> None:
        from scipy.spatial import cKDTree

        self.points, self.cells = points, cells
        numbers = np.flatnonzero(chosen)
        d = cells.shape[1]
        # the chosen cells around each node, as compressed rows
        around = scipy.sparse.csr_array(
            (np.ones(d * len(numbers), np.int8), cells[numbers].ravel(), d * np.arange(len(numbers) + 1)),
            shape=(len(numbers), len(points)),
        ).tocsc()
        self.starts, self.around = around.indptr.astype(np.int64), numbers[around.indices]
        self.used = np.flatnonzero(np.diff(self.starts))
        self.tree = cKDTree(points[self.used])

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """The cell (-1: none) and the barycentric weights (n, d + 1) of each point ``x`` (n, d)."""
        d = self.points.shape[1]
        found = np.full(len(x), -1, np.int64)
        weights = np.zeros((len(x), d + 1))
        for count in NEAREST:
            lost = np.flatnonzero(found < 0)
            if len(lost) == 0:
                break
            _, near = self.tree.query(x[lost], k=min(count, len(self.used)))
            nodes = self.used[np.asarray(near).reshape(len(lost), -1)]
            cell, own = np.empty(len(lost), np.int64), np.zeros((len(lost), d + 1))
            locate(x[lost], nodes, self.starts, self.around, self.points, self.cells, SLIVER, cell, own)
            found[lost], weights[lost] = cell, own
        return found, weights
