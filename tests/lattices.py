"""Small meshes with known nodes, made without the project's mesher: what measures are tested on."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Cells = NDArray[np.uint32]


def cube(n: int, seed: int | None = None) -> tuple[Points, Cells]:
    """The cube [-1, 1]^3 in 6 n^3 positively oriented tetrahedra, inner nodes shaken by a seed."""
    axis = np.linspace(-1.0, 1.0, n + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    corner = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    strides = np.array([(n + 1) ** 2, n + 1, 1])
    base = corner @ strides
    cells = [base[:, None] + np.cumsum([0, *[strides[i] for i in order]]) for order in permutations(range(3))]
    tetrahedra = np.concatenate(cells)
    if seed is not None:
        inner = np.all(np.abs(points) < 1 - 1e-9, axis=1)
        points[inner] += np.random.default_rng(seed).uniform(-0.2 / n, 0.2 / n, (inner.sum(), 3))
    flipped = np.linalg.det(points[tetrahedra[:, 1:]] - points[tetrahedra[:, :1]]) < 0
    tetrahedra[flipped] = tetrahedra[flipped][:, [0, 2, 1, 3]]
    return points, tetrahedra.astype(np.uint32)


def half_plane(n: int, seed: int | None = None) -> tuple[Points, Cells]:
    """The rectangle r in [0, 1], z in [-1, 1] in 4 n^2 anticlockwise triangles, nodes shaken likewise."""
    r, z = np.linspace(0, 1, n + 1), np.linspace(-1, 1, 2 * n + 1)
    points = np.stack(np.meshgrid(r, z, indexing="ij"), axis=-1).reshape(-1, 2)
    i, j = np.meshgrid(np.arange(n), np.arange(2 * n), indexing="ij")
    step = 2 * n + 1
    base = (i * step + j).reshape(-1)
    lower, upper = [base, base + step, base + step + 1], [base, base + step + 1, base + 1]
    cells = np.concatenate([np.stack(lower, 1), np.stack(upper, 1)])
    if seed is not None:
        inner = (points[:, 0] > 1e-9) & (points[:, 0] < 1 - 1e-9) & (np.abs(points[:, 1]) < 1 - 1e-9)
        points[inner] += np.random.default_rng(seed).uniform(-0.2 / n, 0.2 / n, (inner.sum(), 2))
    return points, cells.astype(np.uint32)
