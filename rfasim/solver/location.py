"""Which cell of a simplex mesh holds a point, for many points at once."""

from __future__ import annotations

import numpy as np

from rfasim.solver.space import Array

# A point is looked for in the cells around its nearest nodes, this many of them in turn.
NEAREST = (2, 8, 32)
# How far outside a cell, in barycentric coordinates, a point may lie that is taken as in it (curved walls are facets).
SLIVER = 1e-6


def locate(points: Array, cells: Array, x: Array) -> tuple[Array, Array]:
    """The cell (-1: none) and the barycentric weights (n, d + 1) of each point ``x`` (n, d)."""
    from scipy.spatial import cKDTree

    d = points.shape[1]
    found = np.full(len(x), -1, np.int64)
    weights = np.zeros((len(x), d + 1))
    used = np.unique(cells)
    tree = cKDTree(points[used])
    # the cells around each node, as compressed rows
    order = np.argsort(cells.ravel(), kind="stable")
    around = order // (d + 1)
    starts = np.searchsorted(cells.ravel()[order], np.arange(len(points) + 1))
    for count in NEAREST:
        open_ = np.flatnonzero(found < 0)
        if len(open_) == 0:
            break
        _, near = tree.query(x[open_], k=min(count, len(used)))
        nodes = used[np.asarray(near).reshape(len(open_), -1)]
        n = (starts[nodes + 1] - starts[nodes]).ravel()
        row = np.repeat(np.repeat(open_, nodes.shape[1]), n)
        begin = np.repeat(starts[nodes].ravel(), n)
        within = np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n)
        cell = around[begin + within]
        p = points[cells[cell]]
        rest = np.linalg.solve(np.swapaxes(p[:, 1:] - p[:, :1], 1, 2), (x[row] - p[:, 0])[..., None])[..., 0]
        w = np.concatenate([1 - rest.sum(axis=1, keepdims=True), rest], axis=1)
        inside = np.flatnonzero(w.min(axis=1) >= -SLIVER)
        # of several (a point on a shared facet) the first by cell number, so that the choice is fixed
        inside = inside[np.lexsort((cell[inside], row[inside]))]
        _, first = np.unique(row[inside], return_index=True)
        chosen = inside[first]
        found[row[chosen]] = cell[chosen]
        clipped = np.maximum(w[chosen], 0.0)
        weights[row[chosen]] = clipped / clipped.sum(axis=1, keepdims=True)
    return found, weights
