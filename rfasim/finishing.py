"""From fitted cells to a mesh: drop holes, improve poor cells, balance curved surfaces, name facets."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim import meshing_kernels as kernels
from rfasim.errors import InputError
from rfasim.fitting import BIT, Fitting
from rfasim.mesh import Indices, Mesh, sweep_keys

Array: TypeAlias = NDArray[np.float64]

POOR_SINE = 0.3  # cells with an angle below 17.5 or above 162.5 degrees are improved
BAD_SINE = 0.23  # below 13 or above 167 degrees: the vertices of such cells may even leave a surface


def finished_mesh(fitting: Fitting, background: str, balance: bool) -> Mesh:
    """Drop holes and cut-off crumbs, improve poor cells, name facets, number along a curve."""
    near = kernels.touching_cells(
        fitting.cells, (fitting.touch != 0) | (fitting.walls != 0), fitting.frame.dim
    )
    faces, surface, face_cell = fitting.interfaces(near)
    kept = ~fitting.is_dropped(fitting.owner)
    kept[kept] = _large_components(np.ascontiguousarray(fitting.cells[kept]), len(fitting.points))
    cells = np.ascontiguousarray(fitting.cells[kept])
    owner = fitting.owner[kept]
    whole = kept[face_cell]
    faces, surface = faces[whole], surface[whole]
    if len(cells) == 0:
        raise InputError("mesh", "nothing of the domain is left; the surfaces cover it")
    _improve(fitting, cells)
    if balance:
        _balance(fitting, cells, faces, surface)
    facets = _named(fitting, faces, surface)

    used = np.zeros(len(fitting.points), dtype=np.bool_)
    used[cells.ravel()] = True
    used_nodes = np.flatnonzero(used)
    nodes = used_nodes[np.argsort(sweep_keys(fitting.points[used_nodes]), kind="stable")]
    number = np.zeros(len(fitting.points), dtype=np.uint32)
    number[nodes] = np.arange(len(nodes), dtype=np.uint32)
    centroids = fitting.points[cells[:, 0]]
    for c in range(1, cells.shape[1]):
        centroids += fitting.points[cells[:, c]]
    order = np.argsort(sweep_keys(centroids), kind="stable")
    region_names, regions = _regions(fitting, owner[order], background)
    return Mesh(
        fitting.points[nodes],
        number[cells[order]],
        regions,
        region_names,
        {name: number[f] for name, f in facets.items()},
        fitting.frame.dim == 2,
    )


def _regions(
    fitting: Fitting, owner: NDArray[np.int32], background: str
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    names = [background]
    code = []
    for surface in fitting.surfaces:
        name = surface.inside or background
        if name not in names:
            names.append(name)
        code.append(names.index(name))
    return tuple(names), np.array([*code, 0], dtype=np.int32)[owner]


def _named(fitting: Fitting, faces: Indices, surface: NDArray[np.int32]) -> dict[str, Indices]:
    out: dict[str, Indices] = {}
    number = fitting.n_fitted
    for k, given in enumerate(fitting.surfaces):
        mine = faces[surface == k]
        if len(mine) == 0:
            raise InputError(
                given.name,
                f"has no surface in the domain: it lies outside, or is thinner than its "
                f"size {given.size:g} m",
            )
        centres = fitting.points[mine].mean(axis=1)
        free = np.ones(len(mine), dtype=np.bool_)
        for patch in given.patches:
            inside = free & (fitting.value_of(number, centres) <= 0)
            number += 1
            if not inside.any():
                raise InputError(f"{given.name}.{patch.name}", "does not meet the surface inside the domain")
            out[f"{given.name}.{patch.name}"] = mine[inside]
            free &= ~inside
        out[f"{given.name}.{given.rest}"] = mine[free]
    out["outer"] = faces[(surface == -2) | (surface == fitting.outside)]
    return out


def _improve(fitting: Fitting, cells: Indices) -> None:
    """Move vertices of poor cells, those on surfaces along them, until the smallest sines have grown.

    Where two surfaces nearly touch, that may not be enough: the last sweeps let the vertices of cells that
    are still bad leave the surfaces a little.
    """
    sine = np.empty(len(cells))
    changed = np.arange(len(cells))
    for sweep in range(10):
        relaxed = sweep >= 5
        limit = BAD_SINE if relaxed else POOR_SINE
        kernels.smallest_sines(fitting.points, cells, changed, sine)
        poor = np.flatnonzero(sine < limit)
        if len(poor) == 0:
            return
        wanted = np.zeros(len(fitting.points), dtype=np.bool_)
        kernels.mark_vertices(cells, poor, wanted)
        vertices = np.flatnonzero(wanted)
        start, ring, row = kernels.cells_around(cells, wanted)
        changed = ring
        before, old = np.empty(len(vertices)), fitting.points[vertices]
        kernels.ring_qualities(fitting.points, cells, vertices, start, ring, row, before)
        freedom = _freedom(fitting, vertices, relaxed)
        kernels.improve_vertices(
            fitting.points, cells, vertices, start, ring, row, freedom, 1.3 * limit, 3 if sweep == 0 else 5
        )
        moved = (fitting.points[vertices] != old).any(axis=1)
        if relaxed:
            fitting.on[vertices[moved]] = 0
            continue
        rows = np.flatnonzero(moved & (fitting.on[vertices] != 0))
        if len(rows):
            bent = vertices[rows]
            reach = np.sqrt(((fitting.points[bent] - old[rows]) ** 2).sum(axis=1))
            target, fits = fitting.project(fitting.points[bent], fitting.walls[bent], fitting.on[bent], reach)
            target[~fits] = old[rows[~fits]]
            kernels.settle_vertices(fitting.points, cells, bent, start, ring, row, target, before[rows])


def _balance(fitting: Fitting, cells: Indices, faces: Indices, surface: NDArray[np.int32]) -> None:
    """Shift the vertices of curved surfaces outwards until the facets lie on the surface on average.

    With its vertices on it, a polyhedron lies inside a convex surface by about edge^2 / (12 radius): a needle
    comes out too thin. The mean distance of the facets around a vertex, by the midpoint rule, is what it is
    shifted by; that leaves an error of higher order in volume and mean radius.
    """
    dim, n = fitting.frame.dim, len(fitting.points)
    level: dict[int, Array] = {}
    for k in range(fitting.n_fitted):
        mine = faces[surface == k]
        if len(mine) == 0:
            continue
        corners = fitting.points[mine]
        pairs = [(0, 1)] if dim == 2 else [(0, 1), (1, 2), (2, 0)]
        middle = [fitting.value_of(k, 0.5 * (corners[:, a] + corners[:, b])) for a, b in pairs]
        # the ends count as zero: Simpson's rule on an edge, the midpoint rule on a triangle
        gap = np.mean(middle, axis=0) * (2.0 / 3.0 if dim == 2 else 1.0)
        side = corners[:, 1:] - corners[:, :1]
        weight = np.sqrt((side[:, 0] ** 2).sum(axis=1))
        if dim == 3:
            weight = np.sqrt((np.cross(side[:, 0], side[:, 1]) ** 2).sum(axis=1))
        total, share = np.zeros(n), np.zeros(n)
        for c in range(dim):
            total += np.bincount(mine[:, c], weights=weight * gap, minlength=n)
            share += np.bincount(mine[:, c], weights=weight, minlength=n)
        level[k] = -total / np.where(share > 0, share, 1.0)
    wanted = np.zeros(n, dtype=np.bool_)
    for k, shift in level.items():
        wanted |= (np.abs(shift) > 1e-5 * fitting.frame.finest) & (fitting.on & BIT[k] != 0)
    vertices = np.flatnonzero(wanted)
    if len(vertices) == 0:
        return
    start, ring, row = kernels.cells_around(cells, wanted)
    used = np.diff(start) > 0  # a vertex of a hole's facet may have lost all its cells
    largest = np.max([np.abs(shift[vertices]) for shift in level.values()], axis=0)
    target, fits = fitting.project(
        fitting.points[vertices],
        fitting.walls[vertices],
        fitting.on[vertices],
        4.0 * largest,
        {k: shift[vertices] for k, shift in level.items()},
    )
    go = fits & used
    before = np.full(int(go.sum()), POOR_SINE)
    kernels.settle_vertices(fitting.points, cells, vertices[go], start, ring, row, target[go], before)


def _freedom(fitting: Fitting, vertices: NDArray[np.int64], relaxed: bool) -> Array:
    """Projector (n, dim, dim) onto the directions in which each vertex may move: along its surfaces and
    walls, or along the walls only when ``relaxed``."""
    dim = fitting.frame.dim
    free = fitting.free_axes(fitting.walls[vertices])
    out = free[:, :, None] * np.eye(dim)
    if relaxed:
        return out
    bits = fitting.on[vertices]
    step = 1e-4 * fitting.frame.finest
    for mask in np.unique(bits):
        if mask == 0:
            continue
        rows = np.flatnonzero(bits == mask)
        x = fitting.points[vertices[rows]]
        active = [k for k in range(len(fitting.shapes)) if mask & BIT[k]]
        slope = np.stack(
            [fitting.gradients(k, x, fitting.value_of(k, x), step, free[rows]) for k in active], axis=1
        )
        gram = slope @ slope.transpose(0, 2, 1) + 1e-9 * np.eye(len(active))
        out[rows] -= slope.transpose(0, 2, 1) @ np.linalg.solve(gram, slope)
    return out


def _large_components(cells: Indices, n_points: int) -> NDArray[np.bool_]:
    """Which cells belong to a connected part with at least a hundredth of the cells of the largest one.

    Crumbs that two surfaces cut off between them would float: no current and no heat could reach them.
    """
    if len(cells) == 0:
        return np.zeros(0, dtype=np.bool_)
    label = kernels.label_by_vertices(cells, n_points)
    count = np.bincount(label)
    return count[label] * 100 >= count.max()  # type: ignore[no-any-return]
