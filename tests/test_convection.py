"""Forced convection in a tube: the exact Graetz solution, the limits of every regime, printed values."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rfasim import convection
from rfasim.convection import (
    LAMINAR,
    NEAREST,
    TURBULENT,
    friction_factor,
    gnielinski_mean_nusselt,
    gnielinski_nusselt,
    graetz_number,
    hausen_nusselt,
    interval_nusselt,
    laminar_nusselt,
    local_nusselt,
    mean_nusselt,
    prandtl,
    reynolds,
)
from rfasim.verification import graetz

Array = NDArray[np.float64]

DEVELOPED = 3.6567934577632924  # Nu of developed laminar flow, wall of one temperature; OEIS A282581
GRAETZ = np.geomspace(1, 1000, 61)
GAUSS = np.polynomial.legendre.leggauss(120)
D, PR = 0.01, 25.0  # a hepatic vein of 10 mm; blood
RE = np.array([0.0, 1.0, 100.0, 2299.0, 2301.0, 3100.0, 4001.0, 20000.0])


@pytest.mark.parametrize("module", [convection, graetz], ids=["convection", "graetz"])
def test_examples_in_the_docstrings_run(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ the exact solution


def test_graetz_eigenvalues_are_the_published_ones() -> None:
    square, weight = graetz.series()
    printed = [2.7043644, 6.679032, 10.67338, 14.67108, 18.66987]  # Shah and London 1978
    np.testing.assert_allclose(np.sqrt(square[:5]), printed, rtol=4e-7)
    np.testing.assert_allclose((weight * square / 8)[:5], [0.748775, 0.543828, 0.462861, 0.415418, 0.382919], rtol=2e-6)
    n = np.arange(10, 30)  # Sellars, Tribus and Klein 1956: lambda_n -> 4 n + 8/3
    np.testing.assert_allclose(np.sqrt(square[n]), 4 * n + 8 / 3, rtol=3e-5)


def test_graetz_starts_warm_and_ends_developed() -> None:
    assert graetz.bulk_temperature(0.0) == pytest.approx(1, abs=3e-8)
    assert graetz.local_nusselt(1.0) == pytest.approx(DEVELOPED, rel=1e-12)
    assert graetz.local_nusselt(1e6) == pytest.approx(DEVELOPED, rel=1e-12)


@pytest.mark.parametrize("volume", [0.003, 0.03, 0.1, 0.3])
def test_graetz_is_the_penetration_of_gormley_and_kennedy(volume: float) -> None:
    # diffusion to the wall of a tube, 1949, with volume = D L / Q = 4 x* / pi; printed to three digits
    if volume < 0.01:
        printed = 1 - 5.50 * volume ** (2 / 3) + 3.77 * volume + 0.814 * volume ** (4 / 3)
    else:
        printed = 0.819 * np.exp(-11.5 * volume) + 0.0975 * np.exp(-70.1 * volume) + 0.0325 * np.exp(-179 * volume)
    assert graetz.bulk_temperature(np.pi / 4 * volume) == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(
    ("x_plus", "printed"), [(0.001, 12.80), (0.004, 8.03), (0.01, 6.00), (0.04, 4.17), (0.1, 3.71)]
)
def test_graetz_is_the_table_of_kays(x_plus: float, printed: float) -> None:
    # Kays, Convective heat and mass transfer; x+ = 2 x*, printed to three digits
    assert graetz.local_nusselt(x_plus / 2) == pytest.approx(printed, rel=0.003)


# ------------------------------------------------------------------------------------------------- laminar


def outlet(law: Callable[[Array], Array], x_star: float) -> float:
    """exp(-4 int Nu dx*): Gauss in z = x*^(1/3), in which Nu dx* is smooth at the entry."""
    node, weight = GAUSS
    z = x_star ** (1 / 3) * (1 + node) / 2
    return float(np.exp(-4 * np.sum(weight * law(z**3) * 3 * z**2) * x_star ** (1 / 3) / 2))


def vdi(x: Array) -> Array:
    return np.asarray(np.cbrt(3.66**3 + 0.7**3 + (1.077 * x ** (-1 / 3) - 0.7) ** 3))


def shah_london(x: Array) -> Array:
    near, far = 1.077 * x ** (-1 / 3) - 0.7, 3.657 + 6.874 * (1e3 * x) ** -0.488 * np.exp(-57.2 * x)
    return np.where(x <= 0.01, near, far)


def misses(law: Callable[[Array], Array]) -> tuple[float, float]:
    """Largest error of the outlet temperature, over that between inlet and wall, and of the heat taken up."""
    exact = graetz.bulk_temperature(1 / GRAETZ)
    error = np.array([outlet(law, 1 / gz) for gz in GRAETZ]) - exact
    return float(np.abs(error).max()), float(np.abs(error / (1 - exact)).max())


def test_outlet_of_a_tube_is_that_of_the_exact_solution() -> None:
    assert max(misses(laminar_nusselt)) < 1e-4  # asked for: 1e-2


def test_outlet_is_met_also_as_a_share_of_what_is_left() -> None:
    length = D * 500 * PR / GRAETZ
    theta = np.exp(-4 * mean_nusselt(500.0, PR, D, length) / GRAETZ)
    np.testing.assert_allclose(theta, graetz.bulk_temperature(1 / GRAETZ), rtol=1e-4)


def test_the_usual_fits_miss_by_what_the_comment_says() -> None:
    assert misses(vdi) == pytest.approx((0.016, 0.025), abs=0.0005)
    assert misses(shah_london) == pytest.approx((0.011, 0.043), abs=0.0005)
    below, above = shah_london(np.array([0.01, 0.01 + 1e-9]))
    assert (below, above) == pytest.approx((4.30, 4.92), abs=0.005)


def test_local_law_is_the_exact_one() -> None:
    x = np.geomspace(1e-6, 10, 500)
    np.testing.assert_allclose(laminar_nusselt(x), graetz.local_nusselt(x), rtol=1e-4)


def test_laminar_law_falls_without_a_jump() -> None:
    x = np.geomspace(1e-9, 10, 40001)
    nu = laminar_nusselt(x)
    assert (np.diff(nu) < 1e-14).all()
    assert (np.diff(np.log(nu)) / np.diff(np.log(x)) > -0.4).all()  # Leveque's is -1/3; a jump would be far steeper
    at = laminar_nusselt(np.array([0.01 - 1e-12, 0.01 + 1e-12]))
    assert at[0] == pytest.approx(at[1], rel=1e-9)


def test_near_the_entry_it_is_leveque() -> None:
    x = np.array([1e-9, 1e-8, 1e-7])
    np.testing.assert_allclose(laminar_nusselt(x), 1.077 * x ** (-1 / 3), rtol=0.006)


def test_far_downstream_it_is_developed() -> None:
    assert local_nusselt(1000.0, PR, D, 1e3 * D * PR * 1000) == pytest.approx(DEVELOPED, rel=1e-8)
    assert local_nusselt(1000.0, PR, D, np.inf) == pytest.approx(DEVELOPED, rel=1e-8)


@pytest.mark.parametrize("slow", [0.0, 1e-300, 1e-9])
def test_blood_that_stands_still_is_developed(slow: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert local_nusselt(slow, PR, D, [0.0, 0.01, 1.0]) == pytest.approx([DEVELOPED] * 3, rel=1e-6)
        assert interval_nusselt(slow, PR, D, [0.0, 0.0], [0.01, 0.0]) == pytest.approx([DEVELOPED] * 2, rel=1e-6)


# ------------------------------------------------------------------------------------- stations and lengths


@pytest.mark.parametrize("re", [50.0, 1500.0, 3000.0, 9000.0])
def test_interval_is_the_mean_of_the_local_law(re: float) -> None:
    node, weight = GAUSS
    for start, end in [(0.004, 0.006), (0.02, 0.5), (0.3, 9.0)]:
        a, b = np.cbrt([start, end])
        z = a + (b - a) * (1 + node) / 2
        mean = np.sum(weight * local_nusselt(re, PR, D, z**3) * 3 * z**2) * (b - a) / 2 / (end - start)
        assert interval_nusselt(re, PR, D, start, end) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("re", [50.0, 1500.0, 3000.0, 9000.0])
@pytest.mark.parametrize("n", [1, 7, 300])
def test_stations_together_are_the_whole_length(re: float, n: int) -> None:
    edges = np.linspace(0, 0.2, n + 1)
    each = interval_nusselt(re, PR, D, edges[:-1], edges[1:])
    assert np.all(np.diff(each) < 0)
    assert each.mean() == pytest.approx(float(mean_nusselt(re, PR, D, 0.2)), rel=1e-9)


def test_stations_give_the_exact_temperatures_on_the_way() -> None:
    edges = np.linspace(0, 0.3, 31)
    x = edges / (D * 400 * PR)
    theta = np.exp(-4 * np.cumsum(interval_nusselt(400.0, PR, D, edges[:-1], edges[1:]) * np.diff(x)))
    np.testing.assert_allclose(theta, graetz.bulk_temperature(x[1:]), rtol=1e-4)


def test_beginning_of_the_heated_wall_is_finite() -> None:
    np.testing.assert_array_equal(local_nusselt(RE, PR, D, 0.0), local_nusselt(RE, PR, D, NEAREST * D))
    np.testing.assert_array_equal(mean_nusselt(RE, PR, D, 0.0), mean_nusselt(RE, PR, D, NEAREST * D))
    assert np.isfinite(local_nusselt(RE, PR, D, 0.0)).all()


def test_short_interval_is_the_local_value() -> None:
    nu = interval_nusselt(RE, PR, D, 0.05, 0.05 + 1e-5)
    np.testing.assert_allclose(nu, local_nusselt(RE, PR, D, 0.05 + NEAREST * D / 2), rtol=1e-5)


@pytest.mark.parametrize(("gz", "printed"), [(1.0, 3.724), (10.0, 4.223), (100.0, 7.248), (11000.0, 39.0135)])
def test_hausen_gives_the_printed_values(gz: float, printed: float) -> None:
    # the last one is an example of the library ht, from Re = 1e5, Pr = 1.1, D/L = 0.1; the others by hand
    assert hausen_nusselt(gz, 1.0, 1.0, 1.0) == pytest.approx(printed, abs=6e-4)


def test_vdi_mean_takes_up_the_heat_of_the_exact_solution() -> None:
    mean = gnielinski_mean_nusselt(GRAETZ, 1.0, 1.0, 1.0)
    heat = 1 - np.exp(-4 * mean / GRAETZ)
    np.testing.assert_allclose(heat, 1 - graetz.bulk_temperature(1 / GRAETZ), rtol=0.009)
    assert gnielinski_mean_nusselt(1e-9, 1.0, 1.0, 1.0) == pytest.approx(3.66, rel=1e-3)


def test_means_of_the_vdi_and_of_the_local_law_agree() -> None:
    re = np.array([100.0, 1000.0, 2300.0, 3000.0, 5000.0, 1e5])
    np.testing.assert_allclose(gnielinski_mean_nusselt(re, PR, D, 0.1), mean_nusselt(re, PR, D, 0.1), rtol=0.02)


# ---------------------------------------------------------------------------------- turbulent, transitional


def test_gnielinski_gives_the_textbook_numbers() -> None:
    # example of the library ht after Rohsenow, Hartnett and Cho 1998, with its friction factor
    assert gnielinski_nusselt(1e5, 1.2, 0.0185) == pytest.approx(254.62682749, rel=1e-9)
    # water at 40 degC, Re = 10760, Pr = 4.32: Dittus and Boelter give 69.4 (Cengel, heating of water in a tube)
    assert gnielinski_nusselt(10760.0, 4.32) == pytest.approx(69.4, rel=0.1)


def test_friction_is_that_of_petukhov() -> None:
    re = np.geomspace(4e3, 1e6, 50)
    np.testing.assert_allclose(friction_factor(re), (0.79 * np.log(re) - 1.64) ** -2, rtol=0.03)
    assert friction_factor(1e5) == pytest.approx(0.0180, abs=0.0003)  # Moody's diagram, smooth tube


def test_turbulent_entry_fades() -> None:
    far = local_nusselt(1e4, PR, D, 1e4 * D)
    assert far == pytest.approx(float(gnielinski_nusselt(1e4, PR)), rel=1e-3)
    assert local_nusselt(1e4, PR, D, D) == pytest.approx(4 / 3 * float(gnielinski_nusselt(1e4, PR)), rel=1e-12)
    # the mean over a length has Gnielinski's own factor
    assert mean_nusselt(1e4, PR, D, 8 * D) == pytest.approx(1.25 * float(gnielinski_nusselt(1e4, PR)), rel=1e-12)


@pytest.mark.parametrize("border", [LAMINAR, TURBULENT])
@pytest.mark.parametrize("x", [0.0, 0.01, 0.3])
def test_regimes_meet_without_a_jump(border: float, x: float) -> None:
    sides = np.array([border * (1 - 1e-10), border * (1 + 1e-10)])
    for nu in (local_nusselt(sides, PR, D, x), mean_nusselt(sides, PR, D, x), interval_nusselt(sides, PR, D, x, x + D)):
        assert nu[0] == pytest.approx(nu[1], rel=1e-8)


@pytest.mark.parametrize("pr", [0.7, 4.0, 25.0])
@pytest.mark.parametrize("x", [0.001, 0.05, 2.0])
def test_faster_blood_exchanges_more_heat(pr: float, x: float) -> None:
    assert (np.diff(local_nusselt(np.linspace(0, 2e4, 2001), pr, D, x)) >= 0).all()


def test_half_way_between_the_regimes_is_their_mean() -> None:
    a, middle, b = local_nusselt([2300.0, 3150.0, 4000.0], PR, D, 0.05)
    assert middle == pytest.approx((a + b) / 2, rel=1e-12)


# -------------------------------------------------------------------------------------------------- numbers


def test_reynolds_of_a_flow_does_not_ask_for_its_direction() -> None:
    # 1 L/min in 10 mm: 0.212 m/s; nu = 3.3e-6 m^2/s
    assert reynolds([1e-3 / 60, -1e-3 / 60], 0.01, 3.3e-6) == pytest.approx([643.05] * 2, rel=1e-4)
    assert graetz_number(643.0, 25.0, 0.01, 0.1) == pytest.approx(1607.5)
    assert graetz_number(643.0, 25.0, 0.01, 0.0) == np.inf
    assert prandtl(3.3e-6, 1.32e-7) == pytest.approx(25)


def test_arrays_broadcast() -> None:
    nu = local_nusselt(RE[:, None], PR, np.array([0.003, 0.01])[:, None, None], np.linspace(0, 0.1, 5))
    assert nu.shape == (2, 8, 5)
    assert nu[1, 2, 3] == local_nusselt(RE[2], PR, 0.01, 0.075)
    assert interval_nusselt(RE[:, None], PR, D, np.zeros(5), np.full(5, 0.1)).shape == (8, 5)
