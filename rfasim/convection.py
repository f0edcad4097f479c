"""Forced convection inside a round tube: Nusselt numbers of laminar, transitional and turbulent flow.

The heat transfer coefficient is h = Nu k / D. All functions take numbers or arrays that broadcast, in SI units, and
return an array. Every law is for a smooth tube, a velocity profile that is developed where heating begins, a wall of
one temperature round its circumference, and properties that do not depend on temperature.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LAMINAR = 2300.0
"""Reynolds number up to which the flow is laminar; Gnielinski 2013"""
TURBULENT = 4000.0
"""Reynolds number from which the flow is turbulent; Gnielinski 2013"""
NEAREST = 0.01
"""share of a diameter: what is nearer to the beginning of the heated wall counts as this far, an interval that is
shorter counts as this long. There, conduction along the tube (left out of every law here) is what keeps Nu finite."""

# The laminar law. Two fits are in common use; both were held against the exact solution (rfasim/verification/graetz.py)
# for a wall of one temperature and Graetz numbers 1 to 1000. Error of the outlet temperature as a share of the
# difference between inlet and wall, and of the heat taken up:
#   cubic blend of the VDI Heat Atlas, G1 (local)                        1.6 %    2.5 %
#   Shah and London 1978, joint at x* = 0.01 as usually printed          1.1 %    4.3 %   jumps up, 4.30 to 4.92
#   the same with the joint at x* = 0.001, where its parts come closest  0.03 %   0.45 %  still jumps up, by 0.8 %
# Neither is within 1 %, continuous and falling. What both approximate is: five exponentials of Graetz's series, and
# Leveque's expansion before those five suffice: 0.0006 % and 0.006 %, smooth, with an integral in closed form.
_EIGENVALUES = np.array([2.70436442, 6.67903145, 10.67337954, 14.67107846, 18.66987186])  # lambda_n
_CONSTANTS = np.array([0.74877456, 0.54382796, 0.46286106, 0.41541845, 0.38291919])  # G_n
# both to eight digits from rfasim/verification/graetz.py; Shah and London 1978 print them to six or seven
_WEIGHTS = 8 * _CONSTANTS / _EIGENVALUES**2
_DEVELOPED = float(_EIGENVALUES[0] ** 2 / 2)  # 3.657
_FASTER = _EIGENVALUES**2 - _EIGENVALUES[0] ** 2
_JOINT = 0.01  # x*: five exponentials give Nu to 2e-5 here
_POWERS = np.array([2 / 3, 1.0, 4 / 3, 5 / 3])


def _entry_terms() -> Array:
    """Coefficients of theta = 1 + sum c_p x*^p, for p = 2/3, 1, 4/3 and 5/3.

    The first is Leveque's (1928), the second Newman's (1969: mean Nu = 1.6151 x*^(-1/3) - 1.2 - ...); the last two make
    theta and its slope continuous at the joint.
    """
    leveque = 6 * (8 / 9) ** (1 / 3) / math.gamma(4 / 3)  # 4 * 1.5 * 1.0767
    known = np.array([-leveque, 4.8])
    decay = _WEIGHTS * np.exp(-2 * _EIGENVALUES**2 * _JOINT)
    theta, slope = decay.sum(), -2 * (_EIGENVALUES**2 * decay).sum()
    value, rise = _JOINT**_POWERS, _POWERS * _JOINT ** (_POWERS - 1)
    rest = np.array([theta - 1 - known @ value[:2], slope - known @ rise[:2]])
    return np.concatenate([known, np.linalg.solve(np.array([value[2:], rise[2:]]), rest)])


_ENTRY = _entry_terms()


def _array(value: ArrayLike) -> Array:
    return np.asarray(value, dtype=float)


def reynolds(flow: ArrayLike, diameter: ArrayLike, kinematic_viscosity: ArrayLike) -> Array:
    """Reynolds number of a volume flow [m^3/s], of either sign, in a tube of ``diameter`` [m].

    ``Re = u D / nu`` with the mean velocity ``u = 4 |Q| / (pi D^2)`` and the kinematic viscosity nu [m^2/s].

    >>> float(reynolds(1e-5, 0.01, 3e-6).round(1))
    424.4
    """
    return 4 * np.abs(_array(flow)) / (math.pi * _array(diameter) * _array(kinematic_viscosity))


def prandtl(kinematic_viscosity: ArrayLike, diffusivity: ArrayLike) -> Array:
    """Prandtl number Pr = nu / a, from the kinematic viscosity and the thermal diffusivity, both [m^2/s].

    >>> float(prandtl(3.3e-6, 1.36e-7).round(1))
    24.3
    """
    return _array(kinematic_viscosity) / _array(diffusivity)


def graetz_number(reynolds: ArrayLike, prandtl: ArrayLike, diameter: ArrayLike, distance: ArrayLike) -> Array:
    """Graetz number Gz = Re Pr D / x = 1/x*, dimensionless; infinite at distance 0. Source: Incropera 2011."""
    with np.errstate(divide="ignore"):
        return _array(reynolds) * _array(prandtl) * _array(diameter) / _array(distance)


def friction_factor(reynolds: ArrayLike) -> Array:
    """Darcy friction factor of turbulent flow in a smooth tube.

    f = (1.8 log10(Re) - 1.5)^-2, from Re = 4000 to 1e6. Source: Konakov 1946, as in Gnielinski 2013. At most 3 %
    below Petukhov's (0.79 ln(Re) - 1.64)^-2 (Incropera 2011).
    """
    return np.asarray((1.8 * np.log10(_array(reynolds)) - 1.5) ** -2.0)


def gnielinski_nusselt(reynolds: ArrayLike, prandtl: ArrayLike, friction: ArrayLike | None = None) -> Array:
    """Nusselt number of developed turbulent flow.

    Nu = (f/8) (Re - 1000) Pr / (1 + 12.7 (f/8)^(1/2) (Pr^(2/3) - 1)), with ``friction`` f from ``friction_factor``
    when not given. From Re = 4000 to 1e6 and Pr = 0.1 to 1000, within 10 to 20 % of measurements. Source: Gnielinski
    1976, 2013.

    >>> float(gnielinski_nusselt(1e5, 1.2, 0.0185).round(2))
    254.63
    """
    eighth = (friction_factor(reynolds) if friction is None else _array(friction)) / 8
    pr = _array(prandtl)
    return np.asarray(eighth * (_array(reynolds) - 1000) * pr / (1 + 12.7 * eighth**0.5 * (pr ** (2 / 3) - 1)))


def _star(reynolds: Array, prandtl: Array, diameter: Array, distance: Array) -> Array:
    """x* = x / (D Re Pr); infinite for blood that stands still, which has all the time to develop."""
    with np.errstate(divide="ignore", invalid="ignore"):
        star = distance / (reynolds * prandtl * diameter)
    return np.where(np.isnan(star), np.inf, star)  # 0/0: stands still at the beginning


def _excess(star: Array) -> Array:
    """int_0^x* (Nu - 3.657) dx* = -ln(theta)/4 - 3.657 x*, which stays finite however far x* is."""
    near, far = np.minimum(star, _JOINT), np.maximum(star, _JOINT)
    entry = -np.log1p(near[..., None] ** _POWERS @ _ENTRY) / 4 - _DEVELOPED * near
    series = -np.log(np.exp(-2 * far[..., None] * _FASTER[1:]) @ _WEIGHTS[1:] + _WEIGHTS[0]) / 4
    return np.asarray(np.where(star < _JOINT, entry, series))


def laminar_nusselt(star: ArrayLike) -> Array:
    """Local Nusselt number of laminar flow at x* = x / (D Re Pr) > 0 behind the beginning of the heated wall.

    Nu = -(1/4) d ln(theta)/dx* with theta = sum_{n<5} 8 G_n / lambda_n^2 exp(-2 lambda_n^2 x*) from x* = 0.01, and
    theta = 1 - 6.460 x*^(2/3) + 4.8 x* + 1.028 x*^(4/3) + 1.630 x*^(5/3) below. Falls from Leveque's
    1.077 x*^(-1/3) to 3.657; within 0.01 % of the exact solution. Sources: Graetz 1883, Leveque 1928, Newman 1969,
    Shah and London 1978.

    >>> laminar_nusselt([0.001, 0.01, 1.0]).round(3).tolist()
    [10.131, 4.916, 3.657]
    """
    x = _array(star)
    near, far = np.minimum(x, _JOINT)[..., None], np.maximum(x, _JOINT)[..., None]
    entry = -(near ** (_POWERS - 1) @ (_POWERS * _ENTRY)) / (1 + near**_POWERS @ _ENTRY) / 4
    decay = np.exp(-2 * far * _FASTER[1:])
    series = _DEVELOPED + decay @ (_WEIGHTS * _FASTER)[1:] / (_WEIGHTS[0] + decay @ _WEIGHTS[1:]) / 2
    return np.asarray(np.where(x < _JOINT, entry, series))


def _blend(reynolds: Array, laminar: Array, turbulent: Array) -> Array:
    """Linear in Re between the laminar value at 2300 and the turbulent one at 4000; Gnielinski 2013."""
    share = np.clip((reynolds - LAMINAR) / (TURBULENT - LAMINAR), 0, 1)
    return np.asarray((1 - share) * laminar + share * turbulent)


def local_nusselt(reynolds: ArrayLike, prandtl: ArrayLike, diameter: ArrayLike, distance: ArrayLike) -> Array:
    """Local Nusselt number at ``distance`` [m] behind the place where the wall begins to be heated, in any regime.

    Laminar (Re <= 2300): ``laminar_nusselt``. Turbulent (Re >= 4000): ``gnielinski_nusselt`` times the entry factor
    1 + (1/3) (D/x)^(2/3), whose mean over a length is Gnielinski's 1 + (D/L)^(2/3) (1976; VDI Heat Atlas G1). Between
    them linear in Re, from the laminar value at 2300 to the turbulent one at 4000 (Gnielinski 1995, 2013). 3.657 for
    blood that stands still. A ``distance`` below D/100 counts as D/100, so the value is finite at 0.

    >>> local_nusselt([0.0, 500.0, 3000.0, 8000.0], 25.0, 0.01, 0.05).round(2).tolist()
    [3.66, 13.84, 35.94, 111.86]
    """
    re, pr, size = _array(reynolds), _array(prandtl), _array(diameter)
    x = np.maximum(_array(distance), NEAREST * size)
    laminar = laminar_nusselt(_star(np.minimum(re, LAMINAR), pr, size, x))
    entry = 1 + (size / x) ** (2 / 3) / 3
    return _blend(re, laminar, gnielinski_nusselt(np.maximum(re, TURBULENT), pr) * entry)


def interval_nusselt(
    reynolds: ArrayLike, prandtl: ArrayLike, diameter: ArrayLike, start: ArrayLike, end: ArrayLike
) -> Array:
    """Mean of ``local_nusselt`` from distance ``start`` to ``end`` [m], exact and finite where ``start`` is 0.

    (1/(x1 - x0)) int Nu dx: laminar -ln(theta1/theta0) / (4 (x1* - x0*)), so that exp(-4 Nu (x1* - x0*)) is the very
    ratio of Graetz's bulk temperatures; turbulent with the entry factor
    1 + D^(2/3) (x1^(1/3) - x0^(1/3)) / (x1 - x0). Regimes and sources as ``local_nusselt``. An interval shorter than
    D/100 counts as D/100 long.
    """
    re, pr, size, x0 = _array(reynolds), _array(prandtl), _array(diameter), _array(start)
    x1 = np.maximum(_array(end), x0 + NEAREST * size)
    slow = np.minimum(re, LAMINAR)
    rise = _excess(_star(slow, pr, size, x1)) - _excess(_star(slow, pr, size, x0))
    laminar = _DEVELOPED + rise * slow * pr * size / (x1 - x0)
    entry = 1 + size ** (2 / 3) * (np.cbrt(x1) - np.cbrt(x0)) / (x1 - x0)
    return _blend(re, laminar, gnielinski_nusselt(np.maximum(re, TURBULENT), pr) * entry)


def mean_nusselt(reynolds: ArrayLike, prandtl: ArrayLike, diameter: ArrayLike, length: ArrayLike) -> Array:
    """Mean Nusselt number over a heated ``length`` [m] from its beginning: ``interval_nusselt`` from 0.

    >>> float(mean_nusselt(500.0, 25.0, 0.01, 0.05).round(2))
    21.05
    """
    return interval_nusselt(reynolds, prandtl, diameter, 0.0, length)


def hausen_nusselt(reynolds: ArrayLike, prandtl: ArrayLike, diameter: ArrayLike, length: ArrayLike) -> Array:
    """Mean Nusselt number over a heated ``length`` [m] of laminar flow, after Hausen.

    Nu = 3.66 + 0.0668 Gz / (1 + 0.04 Gz^(2/3)), Gz = Re Pr D / L; Re below 2300. Source: Hausen 1943; Incropera 2011.
    Up to 10 % too much heat for Graetz numbers 1 to 1000.

    >>> float(hausen_nusselt(1e5, 1.1, 0.5, 5.0).round(4))
    39.0135
    """
    gz = graetz_number(reynolds, prandtl, diameter, length)
    return np.asarray(3.66 + 0.0668 * gz / (1 + 0.04 * gz ** (2 / 3)))


def gnielinski_mean_nusselt(reynolds: ArrayLike, prandtl: ArrayLike, diameter: ArrayLike, length: ArrayLike) -> Array:
    """Mean Nusselt number over a heated ``length`` [m] as the VDI Heat Atlas gives it, in any regime.

    Laminar: Nu^3 = 3.66^3 + 0.7^3 + (1.615 Gz^(1/3) - 0.7)^3, Gz = Re Pr D / L. Turbulent: ``gnielinski_nusselt``
    times 1 + (D/L)^(2/3), L >= D. Between Re = 2300 and 4000 linear. Source: Gnielinski 1995, 2013; VDI Heat Atlas G1.
    The laminar mean takes up the heat of the exact solution within 0.9 % for Graetz numbers 1 to 1000.
    """
    re = _array(reynolds)
    gz = graetz_number(np.minimum(re, LAMINAR), prandtl, diameter, length)
    laminar = np.cbrt(3.66**3 + 0.7**3 + (1.615 * np.cbrt(gz) - 0.7) ** 3)
    entry = 1 + (_array(diameter) / _array(length)) ** (2 / 3)
    return _blend(re, laminar, gnielinski_nusselt(np.maximum(re, TURBULENT), prandtl) * entry)
