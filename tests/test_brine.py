"""Salt water: its tables against the numbers they are from, and what it makes of a tissue's conductivity."""

from __future__ import annotations

import numpy as np
import pytest

from rfasim import brine
from rfasim.tissues import GABRIEL, LIBRARY


@pytest.mark.parametrize(
    ("concentration", "T", "expected"),
    [
        # isotonic saline: 1.6 S/m at 25 degC, 2.0 S/m at 37 degC
        (9.0, 25.0, 1.6), (9.0, 37.0, 2.0),
        # CRC Handbook, 20 degC: 5, 10, 20 % by mass
        (51.7, 20.0, 7.01), (107.1, 20.0, 12.6), (229.6, 20.0, 20.4),
        # Mettler: saturated solution 22.6 S/m at 20 degC and 25.1 S/m at 25 degC
        (317.0, 20.0, 22.6), (317.0, 25.0, 25.1),
    ],
)  # fmt: skip
def test_conductivity_of_salt_water_is_that_of_the_tables(concentration: float, T: float, expected: float) -> None:
    assert brine.conductivity(np.array(concentration), np.array(T)) == pytest.approx(expected, rel=0.02)


def test_what_does_not_dissolve_does_not_conduct() -> None:
    found = brine.conductivity(np.array([317.0, 360.0]), np.array(25.0))
    assert found[0] == found[1]
    assert np.all(np.diff(brine.conductivity(np.linspace(0, 317, 50), np.array(25.0))) > 0)


def test_the_boiling_point_rises_as_osmotic_coefficients_say() -> None:
    # 1 mol/kg: 2 x 0.513 K kg/mol x 0.93 to 0.94; 58.4 g in a litre of water make 57.4 g/l
    assert brine.boiling_elevation(np.array(57.4)) == pytest.approx(0.96, abs=0.03)
    assert brine.boiling_elevation(np.array(0.0)) == 0.0
    assert 7.5 < brine.boiling_elevation(np.array(317.0)) <= 8.7


def test_tissue_that_nothing_was_injected_into_conducts_as_measured() -> None:
    c, zero = np.array([9.0]), np.zeros(1)
    assert brine.gain(c, 9.0, zero, 0.16, 2.1) == pytest.approx(0.0, abs=1e-15)
    assert brine.gain(np.array([50.0]), 9.0, zero, 0.16, 2.1) > 0.1
    assert brine.gain(np.array([0.0]), 9.0, zero, 0.16, 2.1) < 0
    # fluid of the same strength makes the pores wider
    assert brine.gain(c, 9.0, np.array([0.2]), 0.16, 2.1) > 0.05


def test_the_pores_of_liver_conduct_as_liver_does_below_the_dispersion_of_its_cells() -> None:
    liver = LIBRARY["liver"]
    pores = brine.formation(np.array(liver.porosity), liver.pore_exponent)
    found = float(pores * brine.conductivity(np.array(9.0), np.array(37.0)))
    assert found == pytest.approx(GABRIEL["liver"].admittivity(1e3).real, rel=0.1)


def test_fluid_that_loses_water_gets_stronger_until_it_is_saturated() -> None:
    lost = np.array([0.0, 0.5, 0.9, 1.0])
    found = brine.concentrated(np.full(4, 50.0), lost)
    assert found[0] == 1.0
    assert found[1] == pytest.approx(
        brine.conductivity(np.array(100.0), np.array(25.0)) / brine.conductivity(np.array(50.0), np.array(25.0))
    )
    assert found[2] == found[3]
