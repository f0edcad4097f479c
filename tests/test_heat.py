"""Each heat term, and the stored heat, against hand computation."""

from __future__ import annotations

import numpy as np
import pytest
from grids import cube, rectangle

from rfasim.heat import Boiling, HeatState, Joule, Metabolism, Perfusion, Storage, SurfaceExchange
from rfasim.solver.space import Space
from rfasim.tissues import ALL_TEMPERATURE_LAWS, WATER_HEAT, Linear, Tissue


def _state(n: int, open_: float = 1.0) -> HeatState:
    return HeatState(np.full(n, 60.0), np.linspace(0.0, 1.0, n), np.full(n, open_))


def test_joule_is_a_source_and_nothing_else():
    reaction, source = Joule()(_state(4))
    assert reaction is None
    assert source == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_perfusion_takes_w_rho_c_times_the_difference_to_blood():
    space = Space(*cube(2))
    w, rho, c = 0.0064, 1050.0, 3617.0
    term = Perfusion(((None, space.node_volumes() * w * rho * c),), 37.0)
    reaction, source = term(_state(space.n_nodes))
    power = source.sum() - (reaction * 60.0).sum()
    assert power == pytest.approx(-w * rho * c * 1.0 * (60.0 - 37.0))  # the cube holds 1 m^3


def test_perfusion_stops_where_vessels_have_closed():
    term = Perfusion(((None, np.array([2.0, 2.0])),), 37.0)
    state = HeatState(np.array([50.0, 50.0]), np.zeros(2), np.array([1.0, 0.25]))
    reaction, source = term(state)
    assert reaction == pytest.approx([2.0, 0.5])
    assert source == pytest.approx([74.0, 18.5])


def test_metabolism_and_surface_exchange():
    reaction, source = Metabolism(np.array([1.0, 2.0]))(_state(2))
    assert reaction is None
    assert source == pytest.approx([1.0, 2.0])
    reaction, source = SurfaceExchange(np.array([3.0, 0.0]), 10.0, "coolant")(_state(2))
    assert source - reaction * 60.0 == pytest.approx([-150.0, 0.0])


def test_a_body_at_its_mediums_temperature_gains_nothing():
    for term in (Perfusion(((None, np.ones(3)),), 60.0), SurfaceExchange(np.ones(3), 60.0, "boundary")):
        reaction, source = term(_state(3))
        assert source - reaction * 60.0 == pytest.approx(np.zeros(3))


@pytest.fixture
def wet():
    space = Space(*rectangle(0.01, 0.01, 3))
    tissue = Tissue(conductivity=0.2, density=1000.0, heat_capacity=3600.0, water_fraction=0.7)
    boiling = Boiling(start=99.0, end=100.0, latent_heat=2.257e6)
    return space, tissue, boiling, Storage(space, np.zeros(space.n_cells, np.uint32), [tissue], boiling)


def test_stored_heat_below_boiling_is_rho_c_delta_T(wet):
    space, _, _, storage = wet
    H, slope = storage.enthalpy(np.full(space.n_nodes, 57.0), np.zeros(space.n_nodes))
    volume = np.pi * 0.01**2 * 0.01
    assert H.sum() == pytest.approx(volume * 1000.0 * 3600.0 * 20.0)
    assert slope.sum() == pytest.approx(volume * 1000.0 * 3600.0)


def test_stored_heat_above_boiling_holds_the_latent_heat_and_lacks_the_water(wet):
    space, tissue, _, storage = wet
    H, slope = storage.enthalpy(np.full(space.n_nodes, 110.0), np.zeros(space.n_nodes))
    volume, water = np.pi * 0.01**2 * 0.01, 700.0
    dry = 1000.0 * 3600.0 - water * WATER_HEAT
    assert tissue.water == pytest.approx(water)
    assert slope.sum() == pytest.approx(volume * dry)
    assert H.sum() == pytest.approx(volume * (3.6e6 * 73.0 + water * 2.257e6 - water * WATER_HEAT * 11.0))


def test_stored_heat_is_continuous_rising_and_its_slope_is_its_derivative(wet):
    space, _, _, storage = wet
    gone = np.zeros(space.n_nodes)
    for T in (40.0, 98.9, 99.0001, 99.5, 99.9999, 100.5, 130.0):
        here, slope = storage.enthalpy(np.full(space.n_nodes, T), gone)
        after, _ = storage.enthalpy(np.full(space.n_nodes, T + 1e-6), gone)
        assert slope == pytest.approx((after - here) / 1e-6, rel=2e-3)
        assert np.all(slope > 0)
    for kink in storage.kinks:
        below, _ = storage.enthalpy(np.full(space.n_nodes, kink - 1e-9), gone)
        above, _ = storage.enthalpy(np.full(space.n_nodes, kink + 1e-9), gone)
        assert above == pytest.approx(below, rel=1e-6)


def test_water_that_has_left_for_good_does_not_boil_again(wet):
    space, _, boiling, storage = wet
    half = np.full(space.n_nodes, 0.5)
    wet_to_dry = [storage.enthalpy(np.full(space.n_nodes, T), half)[0].sum() for T in (98.0, 101.0)]
    all_wet = [storage.enthalpy(np.full(space.n_nodes, T), 0 * half)[0].sum() for T in (98.0, 101.0)]
    ratio = (wet_to_dry[1] - wet_to_dry[0]) / (all_wet[1] - all_wet[0])
    assert ratio == pytest.approx(0.5, abs=0.01)
    assert boiling.water_lost(np.array([37.0, 99.25, 99.75, 120.0]), np.full(4, 0.5)) == pytest.approx(
        [0.5, 0.5, 0.75, 1.0]
    )


def test_without_boiling_there_are_no_kinks_and_no_latent_heat(wet):
    space, tissue, _, _ = wet
    storage = Storage(space, np.zeros(space.n_cells, np.uint32), [tissue], Boiling(enabled=False))
    assert storage.kinks == ()
    H, _ = storage.enthalpy(np.full(space.n_nodes, 137.0), np.zeros(space.n_nodes))
    assert H.sum() == pytest.approx(np.pi * 1e-6 * 3.6e6 * 100.0)


@pytest.mark.parametrize("law", ALL_TEMPERATURE_LAWS, ids=lambda law: law.kind)
def test_heat_capacity_that_varies_integrates_to_the_stored_heat(law):
    space = Space(*rectangle(0.01, 0.01, 2))
    tissue = Tissue(conductivity=0.2, heat_capacity_law=law)
    storage = Storage(space, np.zeros(space.n_cells, np.uint32), [tissue], Boiling(enabled=False))
    T = np.linspace(37.0, 95.0, 2001)
    factors = np.array([storage.enthalpy(np.full(space.n_nodes, t), np.zeros(space.n_nodes))[1].sum() for t in T])
    H, _ = storage.enthalpy(np.full(space.n_nodes, 95.0), np.zeros(space.n_nodes))
    by_trapezoids = np.sum(0.5 * (factors[1:] + factors[:-1]) * np.diff(T))
    assert H.sum() == pytest.approx(by_trapezoids, rel=1e-6)


def test_two_tissues_share_the_nodes_between_them():
    space = Space(*cube(2))
    side = (space.points[space.cells].mean(axis=1)[:, 0] > 0.5).astype(np.uint32)
    heavy = Tissue(conductivity=0.2, density=2000.0, heat_capacity=3000.0, water_fraction=0.5)
    light = Tissue(conductivity=0.2, density=1000.0, heat_capacity_law=Linear(kind="linear", slope=0.001))
    storage = Storage(space, side, [heavy, light], Boiling())
    H, _ = storage.enthalpy(np.full(space.n_nodes, 47.0), np.zeros(space.n_nodes))
    expected = 0.5 * 2000.0 * 3000.0 * 10.0 + 0.5 * 1000.0 * 3540.0 * (10.0 + 0.5 * 0.001 * 100.0)
    assert H.sum() == pytest.approx(expected)
    assert storage.water_mass.sum() == pytest.approx(0.5 * 1000.0 + 0.5 * 680.0)
