"""Material laws and named tissues: shape of every law, and the published dispersions."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rfasim.errors import InputError
from rfasim.tissues import (
    ALL_TEMPERATURE_LAWS,
    BODY,
    EPSILON_0,
    GABRIEL,
    LIBRARY,
    Archie,
    Linear,
    LinearInWater,
    Table,
    Tissue,
    TissueOverride,
    resolve_tissues,
)  # fmt: skip

T = np.linspace(-10.0, 200.0, 4201)
laws = pytest.mark.parametrize("law", ALL_TEMPERATURE_LAWS, ids=lambda law: law.kind)


@laws
def test_law_is_one_at_body_temperature_positive_and_continuous(law):
    f = law.factor(T)
    assert law.factor(np.array([BODY])) == pytest.approx([1.0], abs=1e-12)
    assert np.all(f > 0)
    assert np.abs(np.diff(f)).max() < 0.005  # 0.05 K apart


@laws
def test_integral_is_zero_at_body_temperature_and_its_derivative_is_the_factor(law):
    assert law.integral(np.array([BODY])) == pytest.approx([0.0], abs=1e-12)
    h = 1e-4
    slope = (law.integral(T + h) - law.integral(T - h)) / (2 * h)
    assert slope == pytest.approx(law.factor(T), rel=1e-4)


@laws
def test_law_is_constant_where_no_measurement_supports_it(law):
    f = law.factor(np.array([150.0, 180.0, 200.0]))
    assert np.ptp(f) == 0.0


def test_published_ends_of_the_thermal_laws():
    by_kind = {law.kind: law for law in ALL_TEMPERATURE_LAWS}
    k = by_kind["guntur_2013"].factor(np.array([20.0, 35.0, 90.0]))
    assert k[1] / k[0] == pytest.approx(1 - 0.096, abs=5e-4)  # -9.6 % from 20 to 35 degC
    assert k[2] / k[1] == pytest.approx(1.45, abs=5e-4)  # +45 % from there to 90 degC
    fall = by_kind["choi_2013"].factor(np.array([25.0, 80.0]))
    assert 1 - fall[1] / fall[0] == pytest.approx(0.2, abs=0.01)
    c = by_kind["haemmerich_2006"].factor(np.array([50.0, 83.5]))
    assert c[1] / c[0] == pytest.approx(1.17, abs=1e-3)


def test_a_law_that_would_turn_negative_is_refused():
    with pytest.raises(ValidationError, match="negative"):
        Linear(kind="linear", slope=-0.02)
    with pytest.raises(ValidationError, match="37 degC"):
        Table(kind="table", temperatures=(50.0, 60.0), factors=(1.0, 1.1))
    with pytest.raises(ValidationError, match="rise"):
        Table(kind="table", temperatures=(30.0, 30.0), factors=(1.0, 1.1))


@pytest.mark.parametrize("law", [Archie(), LinearInWater(kind="linear")], ids=lambda law: law.kind)
def test_drying_lowers_the_conductivity_to_the_dry_value(law):
    f = law.factor(np.linspace(0.0, 1.0, 101))
    assert f[0] == pytest.approx(1.0)
    assert f[-1] == pytest.approx(law.dry)
    assert np.all(np.diff(f) < 0)


# S/m and relative permittivity at 350, 375, 460, 470, 480, 500 kHz, computed apart from this program from the rows of
# Gabriel 1996 (reference: liver at 500 kHz is IFAC's 0.1481 S/m, 2770)
EVALUATED = {
    "liver": ((0.1296, 0.1331, 0.1436, 0.1448, 0.1459, 0.1481), (3625, 3449, 2957, 2908, 2861, 2770)),
    "blood": ((0.7272, 0.7305, 0.7423, 0.7438, 0.7452, 0.7482), (4572, 4509, 4291, 4266, 4240, 4189)),
    "muscle": ((0.4177, 0.4228, 0.4390, 0.4408, 0.4425, 0.4459), (4755, 4541, 3904, 3837, 3772, 3647)),
    "fat": ((0.0247, 0.0248, 0.0248, 0.0248, 0.0248, 0.0248), (41, 39, 36, 35, 35, 35)),
    "bile": ((1.400,) * 6, (120,) * 6),
    "vessel_wall": ((0.3226, 0.3228, 0.3236, 0.3237, 0.3237, 0.3239), (386, 370, 328, 324, 320, 312)),
    "kidney": ((0.2096, 0.2129, 0.2235, 0.2248, 0.2260, 0.2283), (4146, 4005, 3602, 3561, 3521, 3443)),
    "skin_wet": ((0.1542, 0.1588, 0.1722, 0.1736, 0.1750, 0.1776), (5160, 4816, 3924, 3841, 3760, 3610)),
    "skin_dry": ((0.0023, 0.0025, 0.0036, 0.0037, 0.0039, 0.0042), (1083, 1080, 1068, 1066, 1065, 1062)),
}
FREQUENCIES = np.array([350e3, 375e3, 460e3, 470e3, 480e3, 500e3])


@pytest.mark.parametrize("name", EVALUATED)
def test_dispersion_gives_the_published_values(name):
    sigma, permittivity = EVALUATED[name]
    y = np.array([GABRIEL[name].admittivity(f) for f in FREQUENCIES])
    assert y.real == pytest.approx(np.array(sigma), abs=0.6e-4 if max(sigma) < 1 else 6e-4)
    assert y.imag / (2 * np.pi * FREQUENCIES * EPSILON_0) == pytest.approx(np.array(permittivity), abs=0.6)


@pytest.mark.parametrize("name", GABRIEL)
def test_dispersion_is_passive_and_conductivity_rises_with_frequency(name):
    f = np.geomspace(1e3, 1e8, 60)
    y = np.array([GABRIEL[name].admittivity(x) for x in f])
    assert np.all(y.real > 0)
    assert np.all(y.imag > 0)
    assert np.all(np.diff(y.real) > -1e-12)


@pytest.mark.parametrize("name", LIBRARY)
def test_named_tissue_states_its_source_and_is_physical(name):
    tissue = LIBRARY[name]
    assert tissue.source
    y = tissue.admittivity(480e3)
    assert y.real > 0
    assert y.imag >= 0
    assert tissue.density * tissue.heat_capacity > tissue.water * 4180.0


def test_stated_values_win_over_the_dispersion():
    tissue = Tissue(dispersion="liver", conductivity=0.35)
    assert tissue.admittivity(480e3).real == 0.35
    assert tissue.admittivity(480e3).imag == GABRIEL["liver"].admittivity(480e3).imag
    real = Tissue(dispersion="liver", relative_permittivity=0.0)
    assert real.admittivity(480e3).imag == 0.0


def test_overrides_change_only_what_they_state():
    tissues = resolve_tissues({"liver": TissueOverride(perfusion=0.01), "scar": TissueOverride(base="muscle")})
    assert tissues["liver"].perfusion == 0.01
    assert tissues["liver"].dispersion == "liver"
    assert tissues["scar"] == LIBRARY["muscle"]


def test_wrong_overrides_are_refused_with_their_path():
    with pytest.raises(InputError, match=r"tissues\.x\.base.*liver"):
        resolve_tissues({"x": TissueOverride(base="livr")})
    with pytest.raises(InputError, match=r"tissues\.liver.*water_fraction"):
        resolve_tissues({"liver": TissueOverride(heat_capacity=1000.0)})
