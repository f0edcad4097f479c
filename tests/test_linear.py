"""Conjugate gradients with the incomplete factor against direct solutions, real and complex."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg
from grids import cube, half_disc

from rfasim.bench.micro import OUTER, graded_mesh
from rfasim.solver.linear import KEPT, NotConverged, System, factor
from rfasim.solver.space import Space


def direct(space: Space, g: np.ndarray, extra: np.ndarray, held: np.ndarray, u: np.ndarray, b: np.ndarray):
    A = (space.csr(g) + sparse.diags(extra)).tocsc()
    free = ~held
    out = u.copy()
    rhs = b[free] - A[free][:, held] @ u[held]
    out[free] = scipy.sparse.linalg.spsolve(A[free][:, free], rhs)
    return out


@pytest.mark.parametrize("mesh", [cube(7, 0.15), half_disc(1.0, 20.0, 16, 12)])
@pytest.mark.parametrize("phase", [1.0, 1 + 0.5j])
def test_solution_equals_the_direct_one(mesh, phase):
    space = Space(*mesh)
    rng = np.random.default_rng(0)
    g = space.assemble(rng.uniform(0.2, 2.0, space.n_cells) * phase)
    held = np.zeros(space.n_nodes, bool)
    held[:13] = True
    extra = rng.uniform(0, 0.1, space.n_nodes) * space.node_volumes() * phase
    b = rng.normal(size=space.n_nodes).astype(g.dtype)
    u = np.where(held, rng.normal(size=space.n_nodes), 0).astype(g.dtype)
    expected = direct(space, g, extra, held, u, b)
    system = System(space, held)
    system.set_matrix(g, extra)
    iterations = system.solve(b, u, 1e-12)
    np.testing.assert_allclose(u, expected, atol=1e-9 * abs(expected).max())
    assert iterations < 60


def test_idle_nodes_and_their_edges_take_no_part():
    points, cells = cube(6)
    metal = (points[cells].mean(axis=1) > 0.5).all(axis=1)
    space = Space(points, cells)
    outside = np.unique(cells[~metal])
    idle = np.ones(space.n_nodes, bool)
    idle[outside] = False
    g = space.assemble(np.where(metal, 0.0, 1.0))
    held = (points[:, 0] == 0) | (points[:, 0] == 1) & ~idle
    u = np.where(points[:, 0] == 0, 1.0, 0.0)
    system = System(space, held, idle)
    system.set_matrix(g)
    system.solve(None, u, 1e-12)
    assert np.abs(space.multiply(g, u)[~held & ~idle]).max() < 1e-10


def test_the_factor_has_the_diagonal_that_docs_physics_time_says():
    rng = np.random.default_rng(0)
    n = 12
    low, high = np.nonzero(np.triu(rng.random((n, n)) < 0.5, 1))
    g = rng.uniform(0.1, 1.0, len(low))
    A = np.zeros((n, n))
    A[low, high] = A[high, low] = -g
    A += np.diag(0.3 - A.sum(axis=1))
    expected = np.zeros(n)
    for j in range(n):
        others = [sum(A[k, i] for k in range(i + 1, n) if k != j) for i in range(j)]
        dropped = [A[j, i] / expected[i] * (A[j, i] + KEPT * others[i]) for i in range(j)]
        expected[j] = A[j, j] - sum(dropped)
    scale, middle = np.empty(n), np.empty(n)
    factor(g, low.astype(np.uint32), high.astype(np.uint32), np.diag(A).copy(), scale, middle)
    np.testing.assert_allclose(scale**-2, expected, rtol=1e-13)
    np.testing.assert_allclose(middle, np.diag(A) / expected - 2, rtol=1e-12)


def iterations_of(points: np.ndarray, cells: np.ndarray, needle: np.ndarray) -> int:
    """Of a unit potential between the needle and the outer ends."""
    space = Space(points, cells)
    u = np.zeros(space.n_nodes)
    u[needle] = 1.0
    system = System(space, (u > 0) | (np.abs(points[:, 2]) > OUTER - 1e-9))
    system.set_matrix(space.assemble(np.ones(space.n_cells)))
    return system.solve(None, u, 1e-6)


def test_iterations_hardly_grow_with_the_cells_in_the_meshers_order():
    taken = []
    for edge in (1.4e-3, 0.35e-3):  # 40 000 and 172 000 cells: 17 and 19 iterations, and 105 in another order
        mesh = graded_mesh(edge)
        needle = np.unique(mesh.facets["needle.insulation"])
        taken.append(iterations_of(mesh.points, mesh.cells, needle))
    order = np.random.default_rng(0).permutation(mesh.n_nodes)
    number = np.empty(mesh.n_nodes, np.uint32)
    number[order] = np.arange(mesh.n_nodes)
    drawn = iterations_of(mesh.points[order], number[mesh.cells], number[needle])
    assert taken[1] < 1.3 * taken[0]
    assert taken[1] < 0.3 * drawn


def test_a_good_first_guess_saves_the_iterations():
    space = Space(*cube(8, 0.1))
    held = (space.points[:, 0] == 0) | (space.points[:, 0] == 1)
    system = System(space, held)
    system.set_matrix(space.assemble(np.ones(space.n_cells)))
    u = np.where(space.points[:, 0] == 0, 1.0, 0.0)
    cold = system.solve(None, u, 1e-8)
    assert system.solve(None, u, 1e-8) == 0 < cold


def test_a_hopeless_matrix_is_reported():
    space = Space(*cube(4))
    held = space.points[:, 0] == 0
    system = System(space, held)
    system.set_matrix(space.assemble(np.ones(space.n_cells)))
    b = np.ones(space.n_nodes)
    b[-1] = np.nan
    with pytest.raises(NotConverged):
        system.solve(b, np.zeros(space.n_nodes), 1e-8)
