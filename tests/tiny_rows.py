"""A row for tests: the matrix product on a small mesh."""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.bench import micro, work
from rfasim.bench.clock import Reference
from rfasim.solver.space import Space

MESH = micro.graded_mesh(2e-3)


def tiny_row(reference: Reference) -> dict[str, Any]:
    """Measure it in this process."""
    space = Space(MESH.points, MESH.cells)
    g, u, out = np.ones(space.n_edges), np.ones(space.n_nodes), np.empty(space.n_nodes)

    def prepare(quick: bool) -> work.Work:
        return work.Work(lambda: micro.kernels.multiply(g, space.indptr, space.upper, u, out), 40, micro.size_of(space))

    return work.carry_out(prepare, True, reference)
