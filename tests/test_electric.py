"""Potential, ports and Joule heat: exact resistances, reciprocity, passivity, far field, kept first guesses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from grids import cube, half_disc, rectangle

from rfasim.electric import FarField, Potential
from rfasim.solver import surface
from rfasim.solver.space import Space

NONE = np.zeros(0, np.int64)


def _slab(n: int = 4, jitter: float = 0.15) -> tuple[Space, np.ndarray, np.ndarray]:
    space = Space(*cube(n, jitter))
    x = space.points[:, 0]
    return space, np.flatnonzero(x == 0), np.flatnonzero(x == 1)


def test_plates_have_the_exact_admittance_and_even_heat():
    space, left, right = _slab()
    potential = Potential(space, [left], right, NONE, None, is_complex=True, tolerance=1e-12)
    y = 0.2 + 0.1j
    assert potential.solve(np.full(space.n_cells, y))[0, 0] == pytest.approx(y, rel=1e-9)
    assert potential.fields[0] == pytest.approx(1 - space.points[:, 0], abs=1e-9)
    heat, beyond = potential.joule(np.array([10.0]))
    assert heat.sum() == pytest.approx(0.2 * 100.0)
    assert beyond == 0.0


def test_layers_in_series_and_side_by_side():
    space, left, right = _slab(4, 0.0)
    middle = space.points[space.cells].mean(axis=1)
    potential = Potential(space, [left], right, NONE, None, is_complex=False, tolerance=1e-12)
    in_series = np.where(middle[:, 0] < 0.5, 0.1, 0.4)
    assert potential.solve(in_series)[0, 0].real == pytest.approx(1 / (0.5 / 0.1 + 0.5 / 0.4), rel=1e-9)
    beside = np.where(middle[:, 1] < 0.5, 0.1, 0.4)
    assert potential.solve(beside)[0, 0].real == pytest.approx(0.25, rel=1e-9)


def test_coaxial_cylinder_has_the_exact_resistance():
    points, cells = rectangle(0.01, 0.02, 64, inner=0.001)
    space = Space(points, cells)
    inner, outer = np.flatnonzero(points[:, 0] == 0.001), np.flatnonzero(points[:, 0] == 0.01)
    potential = Potential(space, [inner], outer, NONE, None, is_complex=False, tolerance=1e-12)
    conductance = potential.solve(np.full(space.n_cells, 0.2))[0, 0].real
    assert 1 / conductance == pytest.approx(math.log(10) / (2 * math.pi * 0.2 * 0.02), rel=2e-3)


def _ball_in_tissue(outer: float) -> tuple[Space, np.ndarray, FarField]:
    points, cells = half_disc(0.001, outer, 80, 60)
    space = Space(points, cells)
    radius = np.hypot(points[:, 0], points[:, 1])
    ring = np.flatnonzero(radius > outer * (1 - 1e-9))
    facets = np.stack([ring[:-1], ring[1:]], axis=1)
    far = FarField(
        facets,
        surface.far_field_factor(points, facets, np.zeros(2)),
        surface.facet_cells(cells, facets),
    )
    return space, np.flatnonzero(radius < 0.001 * (1 + 1e-9)), far


@pytest.mark.parametrize("outer", [0.01, 0.05])
def test_far_field_makes_a_small_domain_unbounded(outer):
    space, contact, far = _ball_in_tissue(outer)
    potential = Potential(space, [contact], NONE, NONE, far, is_complex=False, tolerance=1e-11)
    resistance = 1 / potential.solve(np.full(space.n_cells, 0.2))[0, 0].real
    assert resistance == pytest.approx(1 / (4 * math.pi * 0.2 * 0.001), rel=3e-3)


def test_power_splits_into_tissue_and_beyond():
    space, contact, far = _ball_in_tissue(0.01)
    potential = Potential(space, [contact], NONE, NONE, far, is_complex=True, tolerance=1e-11)
    y = potential.solve(np.full(space.n_cells, 0.2 + 0.1j))[0, 0]
    heat, beyond = potential.joule(np.array([5.0]))
    assert heat.sum() + beyond == pytest.approx(25.0 * y.real, rel=1e-9)
    # of the power of a ball in unbounded tissue a/R is spent beyond R
    assert beyond / (heat.sum() + beyond) == pytest.approx(0.1, rel=0.02)


@pytest.fixture
def two_ports():
    space = Space(*cube(6, 0.15, seed=3))
    x = space.points
    a = np.flatnonzero((x[:, 0] == 0) & (x[:, 1] <= 0.5))
    b = np.flatnonzero((x[:, 0] == 1) & (x[:, 2] >= 0.5))
    ground = np.flatnonzero((x[:, 2] == 0) & (x[:, 0] > 0) & (x[:, 0] < 1))
    rng = np.random.default_rng(5)
    y = rng.uniform(0.1, 1.0, space.n_cells) + 1j * rng.uniform(0.0, 0.5, space.n_cells)
    return space, a, b, ground, y


def test_two_ports_are_reciprocal_and_passive(two_ports):
    space, a, b, ground, y = two_ports
    Y = Potential(space, [a, b], ground, NONE, None, is_complex=True, tolerance=1e-11).solve(y)
    assert Y[0, 1] == pytest.approx(Y[1, 0], rel=1e-8)
    assert np.linalg.eigvalsh(Y.real).min() > 0
    assert Y[0, 1].real < 0 < Y[0, 0].real


def test_fields_are_kept_while_conductances_hardly_move(two_ports):
    space, a, b, ground, y = two_ports
    potential = Potential(space, [a, b], ground, NONE, None, is_complex=True, tolerance=1e-11)
    fresh = []
    warmer = 1 + 0.004 * (space.points[space.cells].mean(axis=1)[:, 0] > 0.7)
    for time, factor in enumerate((1.0, warmer, 1.1)):
        Y = potential.solve(factor * y, float(time))
        fresh.append(potential.is_fresh)
        skew = abs(potential.currents[0, 1] - potential.currents[1, 0]) / np.abs(Y).max()
        # read off kept fields, currents are not reciprocal; the admittance is, to second order
        assert (skew < 1e-8) == potential.is_fresh
        exact = Potential(space, [a, b], ground, NONE, None, is_complex=True, tolerance=1e-11).solve(factor * y)
        assert np.abs(Y - exact).max() < 1e-5 * np.abs(exact).max()
    assert fresh == [True, False, True]


def test_two_port_power_is_the_heat_for_any_voltages(two_ports):
    space, a, b, ground, y = two_ports
    potential = Potential(space, [a, b], ground, NONE, None, is_complex=True, tolerance=1e-11)
    Y = potential.solve(y)
    for voltages in (np.array([3.0, 0.0]), np.array([1.0, 1.0]), np.array([2.0, -1.0])):
        heat, _ = potential.joule(voltages)
        assert heat.sum() == pytest.approx(float(np.real(voltages @ Y @ voltages)), rel=1e-9)


def test_a_floating_pair_carries_the_same_current_in_and_out(two_ports):
    space, a, b, _, y = two_ports
    potential = Potential(space, [a, b], NONE, NONE, None, is_complex=True, tolerance=1e-11)
    Y = potential.solve(y)
    # nothing is grounded: raising both ports by the same voltage drives nothing
    assert Y.sum(axis=1) == pytest.approx(np.zeros(2), abs=1e-8 * abs(Y[0, 0]))
    assert Y[0, 0] == pytest.approx(-Y[0, 1], rel=1e-7)


def test_idle_nodes_take_no_part():
    space, left, _ = _slab(4, 0.0)
    cells_on = space.points[space.cells][:, :, 0].max(axis=1) <= 0.5 + 1e-9
    inside = np.zeros(space.n_nodes, bool)
    inside[np.unique(space.cells[cells_on])] = True
    port = np.flatnonzero(space.points[:, 0] == 0.5)
    potential = Potential(space, [left], port, np.flatnonzero(~inside), None, is_complex=False, tolerance=1e-12)
    admittance = potential.solve(np.where(cells_on, 0.2, 0.0))
    assert admittance[0, 0].real == pytest.approx(0.4, rel=1e-9)
    assert np.all(potential.fields[0][~inside] == 0.0)


def test_estimated_change_of_admittance_is_right_to_second_order():
    space, left, right = _slab()
    potential = Potential(space, [left], right, NONE, None, is_complex=False, tolerance=1e-12)
    sigma = np.full(space.n_cells, 0.2)
    potential.solve(sigma)
    grown = sigma * (1 + 0.02 * np.random.default_rng(1).uniform(size=space.n_cells))
    guessed = potential.relative_change(grown)
    before = potential.admittance[0, 0].real
    true = potential.solve(grown)[0, 0].real / before - 1
    assert guessed == pytest.approx(true, rel=0.02)


def test_a_change_of_admittance_is_seen_though_more_here_makes_up_for_less_there():
    space, left, right = _slab(12)
    potential = Potential(space, [left], right, NONE, None, is_complex=False, tolerance=1e-12)
    sigma = np.full(space.n_cells, 0.2)
    potential.solve(sigma)
    middle = space.points[space.cells].mean(axis=1)[:, 0] - space.points[:, 0].mean()
    # as much heat more in one half as there is less in the other: with the field kept the sum stays
    tilted = sigma * np.where(middle > 0, 1.3, 0.7)
    assert potential.relative_change(tilted) == pytest.approx(0.3, rel=0.12)  # a node of the middle sees both
    before = potential.admittance[0, 0].real
    true = potential.solve(tilted)[0, 0].real / before - 1
    assert true == pytest.approx(-(0.3**2), abs=0.01)  # in series the field moves and the sum does not stay


def test_a_change_of_a_complex_admittance_counts_both_parts():
    space, left, right = _slab()
    potential = Potential(space, [left], right, NONE, None, is_complex=True, tolerance=1e-12)
    y = np.full(space.n_cells, 0.2 + 0.05j)
    potential.solve(y)
    assert potential.relative_change(y * 1.02) == pytest.approx(0.02, rel=1e-3)
    assert potential.relative_change(y + 0.004j) == pytest.approx(0.004 / abs(y[0]), rel=1e-3)


def test_extrapolated_guess_does_not_change_the_answer_and_saves_iterations():
    space, left, right = _slab(8)
    x, y, _ = space.points[space.cells].mean(axis=1).T

    def run(timed: bool) -> tuple[list[complex], int]:
        potential = Potential(space, [left], right, NONE, None, is_complex=False, tolerance=1e-8)
        values = []
        for k in range(6):
            sigma = 0.2 * np.exp(0.2 * k * x * y)
            values.append(complex(potential.solve(sigma, time=float(k) if timed else None)[0, 0]))
        return values, potential.system.iterations

    plain, cost = run(False)
    guessed, less = run(True)
    assert guessed == pytest.approx(plain, rel=1e-7)
    assert less < cost


def test_restored_potential_goes_on_to_the_same_bits():
    space, left, right = _slab()
    sigma = np.random.default_rng(0).uniform(0.1, 0.3, space.n_cells)

    def fresh() -> Potential:
        return Potential(space, [left], right, NONE, None, is_complex=False, tolerance=1e-6)

    one = fresh()
    for k in range(3):
        one.solve(sigma * (1 + 0.1 * k), time=float(k))
    other = fresh()
    other.restore(one.state())
    assert np.array_equal(one.solve(sigma * 1.3, time=3.0), other.solve(sigma * 1.3, time=3.0))
    assert np.array_equal(one.fields, other.fields)
