"""The kernels by themselves, each beside the bytes that it has to move."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from rfasim.bench.work import Facts, Work
from rfasim.damage import Damage
from rfasim.geometry import Capsule, Cylinder
from rfasim.mesh import Mesh
from rfasim.meshing import Surface, build_mesh
from rfasim.solver import kernels
from rfasim.solver.linear import System, factor, sweep
from rfasim.solver.location import Locator
from rfasim.solver.space import Array, Space

FINEST = {True: 0.35e-3, False: 0.15e-3}  # m, edges at the needle: about 150 000 and 1 130 000 cells
POINTS = {True: 10_000, False: 50_000}
OUTER = 0.06  # m


def graded_mesh(finest: float = FINEST[False]) -> Mesh:
    """A needle in a cylinder; with the default about 1.1 M cells, most of them near the needle."""
    needle = Surface("needle", Capsule((0.0, 0.0, -0.015), (0.0, 0.0, 0.1), 0.75e-3), size=finest)
    outside = Cylinder((0.0, 0.0, -OUTER), (0.0, 0.0, OUTER), OUTER)
    return build_mesh(outside, [needle], grow=1500 * finest, max_size=0.01)


@cache
def prepared(quick: bool) -> tuple[Mesh, Space, Array]:
    """The mesh, its space and a coefficient a cell."""
    mesh = graded_mesh(FINEST[quick])
    return mesh, Space(mesh.points, mesh.cells), np.random.default_rng(20).uniform(0.5, 2.0, mesh.n_cells)


def size_of(space: Space) -> dict[str, int]:
    """Nodes and cells."""
    return {"nodes": space.n_nodes, "cells": space.n_cells}


def bytes_moved(space: Space, nnz: int) -> dict[str, float]:
    """Bytes that must pass between memory and core in an assembly, each array once [B per cell].

    Edges: a row's weights (8 each), places (4 each), cell number (4) and coefficient (8); the conductances are zeroed,
    read and written. Full rows: conductances read once more, the lower neighbours' list (4), the two row starts, the
    data written. Lines that are read only because they are written are not counted.
    """
    terms = sum(t.weights.size * 12 + len(t.cells) * 12 for t in space.terms)
    edges = terms + 3 * 8 * space.n_edges
    rows = 8 * space.n_edges + 4 * space.n_edges + 2 * 4 * space.n_nodes + 8 * nnz
    return {"edges": edges / space.n_cells, "full_csr": (edges + rows) / space.n_cells}


def csr_assembly(space: Space, coefficient: Array) -> tuple[Any, Callable[[], None]]:
    """A matrix in full rows (scipy's CSR) whose pattern is there, and what puts a coefficient a cell into it."""
    matrix, lower_indptr, lower_edges = space.csr_pattern()
    g = np.empty(space.n_edges)

    def assemble() -> None:
        space.assemble(coefficient, out=g)
        kernels.expand_to_csr(g, space.indptr, lower_indptr, lower_edges, matrix.data)

    return matrix, assemble


def assembly(quick: bool) -> Work:
    """A coefficient a cell into the matrix' full rows."""
    _, space, coefficient = prepared(quick)
    matrix, call = csr_assembly(space, coefficient)
    moved = bytes_moved(space, matrix.nnz)["full_csr"] * space.n_cells
    return Work(call, batch=5 if quick else 1, facts={**size_of(space), "bytes": moved})


def product(quick: bool) -> Work:
    """The matrix, kept as one conductance an edge, times a vector."""
    _, space, coefficient = prepared(quick)
    g, u, out = space.assemble(coefficient), np.linspace(0.0, 1.0, space.n_nodes), np.empty(space.n_nodes)

    def call() -> None:
        kernels.multiply(g, space.indptr, space.upper, u, out)

    return Work(call, 20 if quick else 5, {**size_of(space), "bytes": 12 * space.n_edges + 20 * space.n_nodes})


def _unit_potential(quick: bool) -> tuple[Space, System, Array]:
    """The system of a unit potential between the needle and the outer wall, and where the first guess stands."""
    mesh, space, coefficient = prepared(quick)
    needle = np.unique(mesh.facets["needle.insulation"])
    held = np.zeros(space.n_nodes, bool)
    held[needle] = True
    held[np.abs(mesh.points[:, 2]) > OUTER - 1e-9] = True
    system = System(space, held)
    system.set_matrix(space.assemble(coefficient))
    u = np.zeros(space.n_nodes)
    u[needle] = 1.0
    return space, system, u


def preconditioner(quick: bool) -> Work:
    """The incomplete factor made, and applied once (two triangular sweeps)."""
    space, system, u = _unit_potential(quick)
    iterations = system.solve(None, u.copy(), 1e-6)
    g = np.empty_like(system.g)
    y = np.empty(system.n)

    def call() -> None:
        g[:] = system.g  # any matrix will do: what is timed does not depend on the values
        factor(g, system.lower, system.upper, system.diagonal, system.scale, system.middle)
        y[:] = 1.0
        sweep(g, system.lower, system.upper, y)
        sweep(system.g_back, system.upper_back, system.lower_back, y)

    # the copy (2 x 8), the factor's three passes over the edges (12, 16, 24), two sweeps (16 each); a node: 14 numbers
    moved = (16 + 12 + 16 + 24 + 32) * len(g) + 112 * system.n
    return Work(call, 5 if quick else 1, {**size_of(space), "bytes": moved, "iterations": iterations})


def conjugate_gradients(quick: bool) -> Work:
    """A unit potential from nothing to 1e-6, matrix given."""
    space, system, start = _unit_potential(quick)

    def call() -> Facts:
        return {"iterations": system.solve(None, start.copy(), 1e-6)}

    iterations = int(call()["iterations"])
    # an iteration: two sweeps (16 a edge each), some 14 passes over vectors
    moved = iterations * (32 * len(system.g) + 14 * 8 * system.n)
    return Work(call, 1, {**size_of(space), "bytes": moved})


def mesher(quick: bool) -> Work:
    """The needle's mesh, from shapes to cells in order."""

    def call() -> dict[str, Any]:
        mesh = graded_mesh(FINEST[quick])
        return {"nodes": mesh.n_nodes, "cells": mesh.n_cells, "bytes": 24 * mesh.n_nodes + 16 * mesh.n_cells}

    return Work(call)


def locate(quick: bool) -> Work:
    """Cells and weights of points drawn in the domain; the search tree is there."""
    mesh, space, _ = prepared(quick)
    find = Locator(mesh.points, mesh.cells, np.ones(mesh.n_cells, bool))
    n = POINTS[quick]
    x = np.random.default_rng(7).uniform(-0.7 * OUTER, 0.7 * OUTER, (n, 3))

    def call() -> Facts:
        return {"found": int((find(x)[0] >= 0).sum())}

    moved = (24 + 8 + 32) * n + 24 * space.n_nodes + 16 * space.n_cells
    return Work(call, facts={**size_of(space), "points": n, "bytes": moved})


def damage(quick: bool) -> Work:
    """All damage models over one step at 30 000 nodes; arithmetic, not memory, takes the time."""
    n = 30_000
    start = 37.0 + 60.0 * np.random.default_rng(0).random(n) ** 4
    done = Damage.start(n)

    def call() -> Facts:
        done.advance(start, start + 1.0, 2.0)
        return {"nodes": n}

    return Work(call, batch=5)
