"""What a flow carries along the edges of a mesh, against a slow and plain second way; the asymmetric solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from rfasim.solver.asymmetric import AsymmetricSystem
from rfasim.solver.space import Array, Space
from rfasim.solver.transport import Exchange, Transport, divergence, fitted
from rfasim.verification.saline import column, stream


def dense(space: Space, down: Array, up: Array, diagonal: Array) -> Any:
    """The matrix with row lower, column upper = -down, and the other way round -up."""
    low, high = space.lower, space.upper
    rows, columns = np.concatenate([low, high]), np.concatenate([high, low])
    values = -np.concatenate([down, up])
    n = space.n_nodes
    return sparse.csr_array((values, (rows, columns)), shape=(n, n)) + sparse.diags_array(diagonal)


@pytest.mark.parametrize("held", [False, True])
def test_the_asymmetric_solver_solves_as_a_direct_one_does(held: bool) -> None:
    space = column(30, 6, 0.2)
    rng = np.random.default_rng(3)
    down, up = rng.uniform(0, 1, space.n_edges), rng.uniform(0, 1, space.n_edges)
    diagonal = np.full(space.n_nodes, 0.2)
    # diagonally dominant by columns, as upwind transport is
    np.add.at(diagonal, space.lower, up)
    np.add.at(diagonal, space.upper, down)
    b, x = rng.normal(size=space.n_nodes), np.zeros(space.n_nodes)
    fixed = np.zeros(space.n_nodes, bool)
    if held:  # couplings to held nodes are left out
        fixed[space.points[:, 1] == 0.0] = True
    system = AsymmetricSystem(space, fixed)
    system.set_matrix(down, up, diagonal)
    system.solve(b, x, 1e-12)
    A = dense(space, down, up, diagonal)
    free = ~fixed
    wanted = np.zeros(space.n_nodes)
    wanted[free] = spsolve(A[free][:, free], b[free])
    assert x == pytest.approx(wanted, rel=1e-8, abs=1e-10)


def test_the_fitted_conductance_makes_the_two_point_problem_exact() -> None:
    g, q = np.array([1.0, 1.0, 1.0, 1e-9, 1.0]), np.array([1e-4, 1.0, -40.0, 1.0, 0.0])
    extra = np.empty(5)
    fitted(g, q, extra)
    half = np.abs(q) / 2
    wanted = np.where(half > 0, half / np.tanh(np.maximum(half / g, 1e-9)) - g, 0.0)
    assert extra == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def limited(space: Space, amount: Array, content: Array, dt: float, q: Array, spread: Array, at: Exchange) -> Array:
    """One step as in :class:`Transport`, in loops over edges and a dense matrix."""
    n, low, high = space.n_nodes, space.lower, space.upper
    c0 = amount / content
    A = np.diag(content + dt * (at.sink + at.exchange))
    g = np.maximum(spread, 0.0)
    for k, (i, j) in enumerate(zip(low, high, strict=True)):
        there, back = g[k] + max(q[k], 0.0), g[k] + max(-q[k], 0.0)
        A[i, i] += dt * there
        A[j, i] -= dt * there
        A[j, j] += dt * back
        A[i, j] -= dt * back
    c1 = np.linalg.solve(A, amount + dt * (at.source * at.incoming + at.exchange * at.bath))
    through = np.zeros(n)
    for k, (i, j) in enumerate(zip(low, high, strict=True)):
        through[i] += g[k] + max(q[k], 0.0)
        through[j] += g[k] + max(-q[k], 0.0)
    w = np.maximum(0.5, 1 - 0.5 / np.maximum(dt * (through + at.sink) / content, 1e-12))
    most, least = np.maximum(c0, c1), np.minimum(c0, c1)
    high_end, low_end = most.copy(), least.copy()
    upwind, more = np.zeros(len(low)), np.zeros(len(low))
    gain, loss = np.zeros(n), np.zeros(n)
    for k, (i, j) in enumerate(zip(low, high, strict=True)):
        share = max(w[i], w[j])
        a, b = ((1 - share) * c0[m] + share * c1[m] for m in (i, j))
        upwind[k] = (q[k] * c1[i] if q[k] > 0 else q[k] * c1[j]) - g[k] * (c1[j] - c1[i])
        more[k] = dt * (0.5 * q[k] * (a + b) - spread[k] * (b - a) - upwind[k])
        high_end[i], high_end[j] = max(high_end[i], most[j]), max(high_end[j], most[i])
        low_end[i], low_end[j] = min(low_end[i], least[j]), min(low_end[j], least[i])
        for giver, taker, f in ((i, j, max(more[k], 0.0)), (j, i, max(-more[k], 0.0))):
            gain[taker] += f
            loss[giver] += f
    room, stock = content * (high_end - c1), content * (c1 - low_end)
    new = amount + dt * (at.source * at.incoming - at.sink * c1 - at.exchange * (c1 - at.bath))
    for k, (i, j) in enumerate(zip(low, high, strict=True)):
        giver, taker = (i, j) if more[k] > 0 else (j, i)
        f = more[k]
        if f != 0.0:
            f *= min(1.0, stock[giver] / loss[giver], room[taker] / gain[taker])
        new[i] -= dt * upwind[k] + f
        new[j] += dt * upwind[k] + f
    return np.asarray(new)


@pytest.mark.parametrize("dt", [1.0, 20.0])
def test_a_step_is_that_of_the_slow_way(dt: float) -> None:
    space = column(12, 4, 0.2)
    q, source, sink = stream(space)
    volume = space.node_volumes()
    spread = space.assemble(np.full(space.n_cells, 2e-8))
    at = Exchange(source, np.full(space.n_nodes, 3.0), sink, 1e-3 * volume, 0.5)
    amount = volume * np.random.default_rng(5).uniform(0, 2, space.n_nodes)
    done = Transport(space, np.ones(space.n_nodes, bool)).step(amount, volume, volume, dt, q, spread, at)
    assert done.amount == pytest.approx(limited(space, amount, volume, dt, q, spread, at), rel=1e-9)
    assert done.concentration == pytest.approx(done.amount / volume)
    total = done.amount.sum() + done.left.sum() + done.exchanged.sum()
    assert total == pytest.approx(amount.sum() + dt * (source @ at.incoming), rel=1e-13)


def test_an_even_field_stays_even() -> None:
    space = column(20, 5, 0.3)
    q, source, sink = stream(space)
    volume, ones = space.node_volumes(), np.ones(space.n_nodes)
    spread = space.assemble(np.full(space.n_cells, 2e-8))
    at = Exchange(source, 7.0 * ones, sink, 0.0 * ones, 0.0)
    done = Transport(space, ones > 0).step(7.0 * volume, volume, volume, 5.0, q, spread, at)
    assert done.concentration == pytest.approx(7.0 * ones, rel=1e-11)
    out = np.empty(space.n_nodes)
    divergence(q, space.lower, space.upper, out)
    assert source - sink - out == pytest.approx(np.zeros(space.n_nodes), abs=1e-15)
