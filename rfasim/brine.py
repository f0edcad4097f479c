"""Sodium chloride in water: conductivity, boiling point; and what it does to the conductivity of a porous tissue.

Concentrations in g of NaCl per litre of solution.

    >>> float(conductivity(np.array(9.0), np.array(25.0)).round(2))
    1.6
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Conductivity at 20 degC (CRC Handbook, "Electrical conductivity of aqueous solutions", by mass per cent; remembered
# but for the saturated solution, 22.6 S/m at 20 degC in Mettler's tables) against g/l (mass per cent times density).
_CONCENTRATION = np.array([0.0, 5.02, 10.05, 20.25, 51.7, 107.1, 166.3, 229.6, 317.0])
_AT_20 = np.array([0.0, 0.82, 1.60, 3.02, 7.01, 12.6, 17.1, 20.4, 22.6])
PER_KELVIN = 0.0214  # 1/K of the value at 25 degC, 10 % NaCl (Mettler); saturated 2.1 %/K from 25 to 35 degC
SATURATED = 317.0  # g/l: 26.4 % by mass at 20 degC; it hardly grows with temperature (28.2 % at 100 degC)
_MOLAR = 58.443  # g/mol
# Boiling point of NaCl solutions above that of water [K], against mol of NaCl per kg of water: the saturated solution
# (28.2 % by mass at 100 degC, 6.7 mol/kg) boils at 108.7 degC; dilute ones by 2 x 0.513 K kg/mol times the osmotic
# coefficient, 0.93 at 1, 1.05 at 3 and 1.27 at 6 mol/kg (Robinson & Stokes, remembered; at 25 degC).
_MOLALITY = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.7])
_ELEVATION = np.array([0.0, 0.47, 0.96, 2.02, 3.23, 4.58, 6.07, 8.7])


def _at_most_saturated(concentration: Array) -> Array:
    return np.asarray(np.clip(concentration, 0.0, SATURATED))


def conductivity(concentration: Array, T: Array) -> Array:
    """``sigma`` [S/m] of brine of ``concentration`` [g/l] at ``T`` [degC]: ``sigma_25 (1 + 0.0214 (T - 25))``.

    Above saturation as saturated. Tables reach from 0 to 35 degC; up to 100 degC the straight line is 10 % low (the
    limiting conductivity of NaCl grows 2.86-fold from 25 to 100 degC, the line 2.6-fold).
    """
    return np.asarray(_at_25(concentration) * warmth(T))


def _at_25(concentration: Array) -> Array:
    return np.asarray(np.interp(concentration, _CONCENTRATION, _AT_20) / (1.0 - 5.0 * PER_KELVIN))


def warmth(T: Array) -> Array:
    """Conductivity of brine at ``T`` [degC] over that at 25 degC; no salt changes it by much."""
    return np.asarray(1.0 + PER_KELVIN * (np.clip(T, 0.0, 110.0) - 25.0))


def boiling_elevation(concentration: Array) -> Array:
    """By how much [K] brine of ``concentration`` [g/l] boils above water, up to 8.7 K where it is saturated."""
    c = _at_most_saturated(concentration)
    # a litre of solution holds about a litre of water less 0.37 ml per g of salt (density 1197 g/l when saturated)
    return np.asarray(np.interp(c / _MOLAR / (1.0 - 0.37e-3 * c), _MOLALITY, _ELEVATION))


def porosity(pores: float, swelling: Array) -> Array:
    """Fluid's share of tissue that held ``pores`` of it and took up ``swelling`` more (both per volume before)."""
    return np.asarray((pores + swelling) / (1.0 + swelling))


def formation(porosity: Array, exponent: float) -> Array:
    """Archie's law (1942): conductivity of a porous body over that of its fluid, ``porosity^exponent``."""
    return np.asarray(porosity**exponent)


def gain(concentration: Array, usual: float, swelling: Array, pores: float, exponent: float) -> Array:
    """How much more [S/m at 25 degC] a tissue conducts with this fluid in it than unswollen with the ``usual`` one.

    ``F(porosity) sigma(c) - F(pores) sigma(usual)``: the cells stay as they were and the pores' fluid is in parallel to
    them (the difference of two of Archie's laws, so that a tissue's own conductivity, whoever measured it, is not
    touched).
    """
    now = formation(porosity(pores, swelling), exponent) * _at_25(concentration)
    return np.asarray(now - pores**exponent * _at_25(np.array(usual)))


def concentrated(concentration: Array, lost: Array) -> Array:
    """How many times better the fluid conducts when a share ``lost`` of its water has left its salt behind."""
    left = np.maximum(1.0 - lost, 0.02)
    c = np.maximum(concentration, 1e-6)
    return np.asarray(_at_25(c / left) / _at_25(c))
