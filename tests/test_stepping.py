"""The time stepper: order, damping, its error estimate, its books, and the kinks of boiling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rfasim.heat import Boiling, Storage
from rfasim.solver.linear import System
from rfasim.solver.space import Space
from rfasim.solver.stepping import (
    ERROR_WEIGHTS,
    GAMMA,
    WEIGHTS,
    Flow,
    Stepper,
    advance_over_kinks,
    next_step,
    temperature_of,
)  # fmt: skip
from rfasim.tissues import Tissue
from rfasim.verification.columns import column, front

CAPACITY = 2.0  # J/K


def _point_stepper(n: int = 1) -> tuple[Space, Stepper]:
    """Nodes that do not exchange heat: one ordinary differential equation each."""
    space = column(1.0, 4)
    return space, Stepper(space, System(space, np.zeros(space.n_nodes, bool)), (), 1e-12, 1e-13)


def _storage(T):
    return CAPACITY * T, np.full_like(T, CAPACITY)


def _uniform_flow(space: Space, reaction: float, source: float) -> Flow:
    one = np.ones(space.n_nodes)
    return Flow(np.zeros(space.n_edges), reaction * one, source * one)


def _decay(h: float, end: float, reaction: float) -> float:
    """T(end) of 2 dT/dt = -reaction T from T = 1."""
    space, stepper = _point_stepper()
    flow = _uniform_flow(space, reaction, 0.0)
    T = np.ones(space.n_nodes)
    H = CAPACITY * T
    for _ in range(round(end / h)):
        step = stepper.step(_storage, T, H, h, flow, flow, T)
        T, H = step.temperatures[2], step.enthalpy
    return float(T[0])


def test_second_order_on_a_decay():
    errors = [abs(_decay(h, 2.0, 1.0) - math.exp(-1.0)) for h in (0.5, 0.25, 0.125, 0.0625)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > 1.95


def test_second_order_with_a_source_that_changes_along_the_step():
    # 2 dT/dt = 2 t, sources given at the ends of each step: T = t^2 / 2 is met exactly by a second-order formula
    space, stepper = _point_stepper()
    T, H, h = np.zeros(space.n_nodes), np.zeros(space.n_nodes), 0.3
    for k in range(5):
        a, b = _uniform_flow(space, 0, 2 * k * h), _uniform_flow(space, 0, 2 * (k + 1) * h)
        step = stepper.step(_storage, T, H, h, a, b, T)
        T, H = step.temperatures[2], step.enthalpy
    assert pytest.approx((5 * h) ** 2 / 2, rel=1e-12) == T


def test_stiff_decay_dies_at_once_and_does_not_oscillate():
    # step times rate = 1e6: an A-stable formula that is not L-stable (trapezoidal) would answer near -1
    value = _decay(1.0, 1.0, 2e6)
    assert abs(value) < 1e-5
    values = [_decay(1.0, 4.0, rate) for rate in (2.0, 20.0, 200.0)]
    assert all(abs(v) < math.exp(-1.0) for v in values)


def test_error_estimate_is_third_order_and_of_the_right_size():
    space, stepper = _point_stepper()
    flow = _uniform_flow(space, 2.0, 0.0)
    T = np.ones(space.n_nodes)
    estimates, true = [], []
    for h in (0.1, 0.05):
        step = stepper.step(_storage, T, CAPACITY * T, h, flow, flow, T)
        estimates.append(abs(step.error[0]))
        true.append(abs(step.temperatures[2][0] - math.exp(-h)))
    assert math.log2(estimates[0] / estimates[1]) == pytest.approx(3.0, abs=0.2)
    assert 0.3 < estimates[1] / true[1] < 3.0


def test_embedded_weights_are_of_third_order():
    c = np.array([0.0, GAMMA, 1.0])
    third = np.array(WEIGHTS) - np.array(ERROR_WEIGHTS)
    assert sum(WEIGHTS) == pytest.approx(1.0)
    assert np.array(WEIGHTS) @ c == pytest.approx(1 / 2)
    assert third.sum() == pytest.approx(1.0)
    assert third @ c == pytest.approx(1 / 2)
    assert third @ c**2 == pytest.approx(1 / 3)


def test_step_size_follows_the_cube_root_of_the_error():
    assert next_step(1.0, 0.9**3) == pytest.approx(1.0)
    assert next_step(1.0, 8.0 * 0.9**3) == pytest.approx(0.5)
    assert next_step(1.0, 0.0) == 2.0
    assert next_step(1.0, 1e-9) == 2.0
    assert next_step(1.0, 1e9) == pytest.approx(0.2)


def _boiling_column(latent_heat: float = 2.257e6):
    tissue = Tissue(conductivity=0.2)
    space = column(0.01, 30)
    boiling = Boiling(latent_heat=latent_heat, diffusivity=0.0)
    return space, boiling, Storage(space, np.zeros(space.n_cells, np.uint32), [tissue], boiling)


def test_heat_only_moves_so_the_enthalpy_is_conserved():
    space, _, storage = _boiling_column()
    nothing = np.zeros(space.n_nodes)
    stepper = Stepper(space, System(space, nothing.astype(bool)), storage.kinks, 1e-6, 1e-10)
    flow = Flow(space.assemble(np.full(space.n_cells, 0.52)), nothing, nothing)
    T = 37.0 + 50.0 * np.cos(300 * space.points[:, 1]) ** 2
    H, _ = storage.enthalpy(T, nothing)
    before = H.sum()
    for h in (0.1, 1.0, 10.0, *[1000.0] * 8):
        step = stepper.step(lambda x: storage.enthalpy(x, nothing), T, H, h, flow, flow, T)
        T, H = step.temperatures[2], step.enthalpy
    assert H.sum() == pytest.approx(before, rel=1e-13)
    assert np.ptp(T) < 1e-3  # and it ends up even


def test_boiling_column_closes_its_energy_and_stays_in_order():
    space, boiling, storage = _boiling_column()
    nothing = np.zeros(space.n_nodes)
    stepper = Stepper(space, System(space, nothing.astype(bool)), storage.kinks, 1e-4, 1e-10)
    source = 3e7 * space.node_volumes() * np.exp(-space.points[:, 1] / 0.002)
    flow = Flow(space.assemble(np.full(space.n_cells, 0.52)), nothing, source)
    T = np.full(space.n_nodes, 37.0)
    H, _ = storage.enthalpy(T, nothing)
    start, time = H.sum(), 0.0
    for _ in range(150):
        step = stepper.step(lambda x: storage.enthalpy(x, nothing), T, H, 0.5, flow, flow, T)
        T, H = step.temperatures[2], step.enthalpy
        time += 0.5
    lost = boiling.water_lost(T, nothing)
    assert lost.max() > 0
    assert lost.min() == 0.0  # it boils at one end only
    # what the temperatures say is stored is what went in
    stored, _ = storage.enthalpy(T, nothing)
    assert (stored - H).sum() == pytest.approx(0.0, abs=1e-5 * source.sum() * time)
    assert H.sum() - start == pytest.approx(source.sum() * time, rel=1e-12)
    for line in T.reshape(2, -1):  # the nodes on the axis and those on the side, by depth
        assert np.all(np.diff(line) < 1e-3)  # hottest at the heated end, no oscillation across the front


def test_drying_front_is_neumanns():
    exact, computed, stefan = front(overheat=34.0, water_fraction=0.05, end=100.0, n=100, steps=200)
    assert stefan == pytest.approx(0.99, abs=0.03)
    assert computed == pytest.approx(exact, rel=0.01)


def test_no_node_jumps_over_two_kinks_at_once():
    T = np.array([90.0, 99.5, 110.0, 50.0])
    delta = np.array([50.0, 5.0, -50.0, 10.0])
    new = advance_over_kinks(T, delta, (99.0, 100.0))
    assert 99.0 < new[0] < 99.001
    assert 100.0 < new[1] < 100.001
    assert 98.9 < new[2] < 100.0
    assert new[3] == 60.0


def test_temperature_of_inverts_the_enthalpy_across_the_kinks():
    space, _, storage = _boiling_column()
    gone = np.zeros(space.n_nodes)
    T = np.linspace(20.0, 180.0, space.n_nodes)
    H, _ = storage.enthalpy(T, gone)
    found = temperature_of(lambda x: storage.enthalpy(x, gone), H, np.full(space.n_nodes, 37.0), storage.kinks)
    assert found == pytest.approx(T, abs=1e-5)
