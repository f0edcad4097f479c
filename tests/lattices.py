"""Small meshes with known nodes, made without the project's mesher: what measures are tested on."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from rfasim.mesh import Mesh

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


MM = 1e-3
SIDE = 20 * MM  # half the side of the cube, height and radius of the half plane


def box(n: int = 20, seed: int | None = 1, shaft: float | None = None, inside: str | None = None) -> Mesh:
    """A 40 mm cube; with ``shaft`` a square rod of that half width above z = 0: a hole, or metal."""
    points, cells = cube(n, seed)
    points = points * SIDE
    regions = np.zeros(len(cells), dtype=np.int32)
    names, facets = ("tissue",), {}
    if shaft is not None:
        points, cells = cube(n)
        points = points * SIDE
        centre = points[cells].mean(axis=1)
        rod = (np.abs(centre[:, :2]).max(axis=1) < shaft) & (centre[:, 2] > 0)
        hole = Mesh(points, cells[~rod], regions[~rod], names).boundary_facets()
        on_rod = np.abs(points[hole]).max(axis=(1, 2)) < SIDE - 1e-9
        top = (np.abs(points[hole][:, :, :2]).max(axis=(1, 2)) < shaft + 1e-9) & (
            points[hole][:, :, 2].min(axis=1) >= 0
        )
        facets = {"electrodes[0].contact": hole[on_rod | top]}
        if inside:
            names, regions = ("tissue", inside), rod.astype(np.int32)
        else:
            cells, regions = cells[~rod], regions[~rod]
            used, renumbered = np.unique(cells, return_inverse=True)
            points, cells = points[used], renumbered.reshape(-1, 4)
            facets = {name: np.searchsorted(used, f) for name, f in facets.items()}
    return Mesh(points, cells, regions, names, facets)


def section(n: int = 40, seed: int | None = 1, shaft: float | None = None) -> Mesh:
    """The (r, z) half plane of a cylinder, 20 mm by 40 mm, without a rod of radius ``shaft`` above z = 0."""
    points, cells = half_plane(n, None if shaft else seed)
    points = points * SIDE
    facets = {}
    if shaft is not None:
        centre = points[cells].mean(axis=1)
        cells = cells[~((centre[:, 0] < shaft) & (centre[:, 1] > 0))]
        used, renumbered = np.unique(cells, return_inverse=True)
        points, cells = points[used], renumbered.reshape(-1, 3)
        edges = Mesh(points, cells, np.zeros(len(cells), np.int32), ("tissue",), {}, True).boundary_facets()
        ends = points[edges]
        rod = (ends[:, :, 0].max(axis=1) < shaft + 1e-9) & (ends[:, :, 1].min(axis=1) >= 0)
        facets = {"electrodes[0].contact": edges[rod & (ends[:, :, 0].max(axis=1) > 0)]}
    return Mesh(points, cells, np.zeros(len(cells), np.int32), ("tissue",), facets, axisymmetric=True)


def ball_ml(radius: float) -> float:
    return 4 / 3 * math.pi * radius**3 * 1e6
