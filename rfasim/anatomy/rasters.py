"""A field on a mesh of tetrahedra, at the middles of an image's voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.jit import kernel

Array = NDArray[np.float64]


@kernel
def _fill(points: Any, cells: Any, values: Any, out: Any) -> None:
    """Linear interpolation of ``values`` in each cell at the whole-numbered places within it."""
    nx, ny, nz = out.shape
    weights = np.empty(4)
    for c in range(cells.shape[0]):
        a, b, d, e = points[cells[c, 0]], points[cells[c, 1]], points[cells[c, 2]], points[cells[c, 3]]
        low0 = max(0, int(np.ceil(min(a[0], b[0], d[0], e[0]) - 1e-9)))
        low1 = max(0, int(np.ceil(min(a[1], b[1], d[1], e[1]) - 1e-9)))
        low2 = max(0, int(np.ceil(min(a[2], b[2], d[2], e[2]) - 1e-9)))
        high0 = min(nx - 1, int(np.floor(max(a[0], b[0], d[0], e[0]) + 1e-9)))
        high1 = min(ny - 1, int(np.floor(max(a[1], b[1], d[1], e[1]) + 1e-9)))
        high2 = min(nz - 1, int(np.floor(max(a[2], b[2], d[2], e[2]) + 1e-9)))
        if low0 > high0 or low1 > high1 or low2 > high2:
            continue
        u, v, w = b - a, d - a, e - a
        det = (
            u[0] * (v[1] * w[2] - v[2] * w[1]) - u[1] * (v[0] * w[2] - v[2] * w[0]) + u[2] * (v[0] * w[1] - v[1] * w[0])
        )
        if det == 0.0:
            continue
        for i in range(low0, high0 + 1):
            for j in range(low1, high1 + 1):
                for k in range(low2, high2 + 1):
                    x, y, z = i - a[0], j - a[1], k - a[2]
                    weights[1] = (
                        x * (v[1] * w[2] - v[2] * w[1])
                        - y * (v[0] * w[2] - v[2] * w[0])
                        + z * (v[0] * w[1] - v[1] * w[0])
                    ) / det
                    weights[2] = (
                        u[0] * (y * w[2] - z * w[1]) - u[1] * (x * w[2] - z * w[0]) + u[2] * (x * w[1] - y * w[0])
                    ) / det
                    weights[3] = (
                        u[0] * (v[1] * z - v[2] * y) - u[1] * (v[0] * z - v[2] * x) + u[2] * (v[0] * y - v[1] * x)
                    ) / det
                    weights[0] = 1.0 - weights[1] - weights[2] - weights[3]
                    if weights.min() >= -1e-9:
                        total = 0.0
                        for n in range(4):
                            total += weights[n] * values[cells[c, n]]
                        out[i, j, k] = total


def raster(points: Array, cells: NDArray[np.integer], values: Array, shape: tuple[int, ...], to_world: Array,
           outside: float) -> Array:  # fmt: skip
    """``values`` (n_nodes,) of tetrahedra ``cells`` (m, 4) between ``points`` [m], at the voxels of a grid of ``shape``
    whose numbers ``to_world`` (4, 4) takes to LPS metres; ``outside`` where there is no cell."""
    inverse = np.linalg.inv(to_world)
    numbers = np.asarray(points, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
    out = np.full(shape, outside)
    _fill(numbers, np.ascontiguousarray(cells), np.ascontiguousarray(values, dtype=np.float64), out)
    return out
