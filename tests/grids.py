"""Small structured meshes for tests: a jittered cube of tetrahedra, a polar half disc of triangles."""

from __future__ import annotations

import itertools

import numpy as np


def cube(n: int, jitter: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The unit cube as 6 n^3 tetrahedra (Kuhn), inner nodes moved by up to ``jitter`` cells."""
    x = np.linspace(0, 1, n + 1)
    points = np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    inner = ((points > 1e-9) & (points < 1 - 1e-9)).all(1)
    points[inner] += np.random.default_rng(seed).uniform(-jitter, jitter, (inner.sum(), 3)) / n
    i, j, k = (a.ravel() for a in np.meshgrid(*[np.arange(n)] * 3, indexing="ij"))
    cells = []
    for order in itertools.permutations(range(3)):
        corner = [np.zeros(3, int)]
        for axis in order:
            corner.append(corner[-1] + np.eye(3, dtype=int)[axis])
        cells.append(np.stack([((i + a) * (n + 1) + j + b) * (n + 1) + k + c for a, b, c in corner], 1))
    return points, oriented(points, np.concatenate(cells))


def half_disc(inner: float, outer: float, rings: int, sectors: int) -> tuple[np.ndarray, np.ndarray]:
    """The (r, z) half section of a spherical shell, graded in the radius; nodes ring by ring, pole to pole."""
    r = np.geomspace(inner, outer, rings + 1)
    t = np.linspace(0, np.pi, sectors + 1)
    points = np.stack([np.outer(r, np.sin(t)), -np.outer(r, np.cos(t))], -1).reshape(-1, 2)
    points[np.abs(points[:, 0]) < 1e-12, 0] = 0.0
    i, j = (a.ravel() for a in np.meshgrid(np.arange(rings), np.arange(sectors), indexing="ij"))
    a, b, c, d = (
        i * (sectors + 1) + j, (i + 1) * (sectors + 1) + j, (i + 1) * (sectors + 1) + j + 1, i * (sectors + 1) + j + 1
    )  # fmt: skip
    return points, oriented(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def rectangle(width: float, height: float, n: int, inner: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(r, z) in inner..width x 0..height, n x n squares cut into triangles."""
    r, z = np.linspace(inner, width, n + 1), np.linspace(0, height, n + 1)
    points = np.stack(np.meshgrid(r, z, indexing="ij"), -1).reshape(-1, 2)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    a, b, c, d = i * (n + 1) + j, (i + 1) * (n + 1) + j, (i + 1) * (n + 1) + j + 1, i * (n + 1) + j + 1
    return points, oriented(points, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def oriented(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    p = points[cells]
    negative = np.linalg.det(p[:, 1:] - p[:, :1]) < 0
    cells[negative] = cells[negative][:, [0, 2, 1, *range(3, cells.shape[1])]]
    return cells.astype(np.uint32)
