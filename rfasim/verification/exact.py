"""Closed forms and quadratures that the program is held to; SI units, temperatures as rises [K] unless said.

Nothing here knows a mesh: each function is a second, independent way to the number it stands for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import erf, erfcx, i0, i1, k0, k1

Array = NDArray[np.float64]
Surface = Literal["adiabatic", "cooled"]


# ------------------------------------------------------------------------- Kohlrausch: exact in any geometry


def kohlrausch_adiabatic(sigma: float, k: float, voltage: float, alpha: float = 0.0) -> float:
    """Highest steady rise without perfusion, electrode adiabatic, all current ending at 0 V and rise 0.

    ``sigma V^2 / (2 k)``; with ``sigma (1 + alpha dT)`` it is ``(exp(alpha sigma V^2 / (2 k)) - 1) / alpha``.
    Kohlrausch 1900; Greenwood and Williamson, Proc. R. Soc. A 246 (1958) 13.
    """
    linear = sigma * voltage**2 / (2 * k)
    return linear if alpha == 0.0 else math.expm1(alpha * linear) / alpha


def kohlrausch_cooled(sigma: float, k: float, voltage: float) -> float:
    """The same where the electrode too is held at rise 0: ``sigma V^2 / (8 k)``, on the surface of half the voltage."""
    return sigma * voltage**2 / (8 * k)


def kohlrausch_field(sigma: float, k: float, voltage: float, potential: ArrayLike, surface: Surface) -> Array:
    """Rise everywhere: ``(sigma / k) (V phi - phi^2 / 2)`` (adiabatic), ``(sigma / 2k) (V phi - phi^2)`` (cooled)."""
    phi = np.asarray(potential, dtype=np.float64)
    if surface == "adiabatic":
        return sigma / k * (voltage * phi - phi**2 / 2)
    return sigma / (2 * k) * (voltage * phi - phi**2)


# -------------------------------------------------------------------------------------------------- sphere


@cache
def _leggauss(n: int) -> tuple[Array, Array]:
    x, w = np.polynomial.legendre.leggauss(n)
    return x, w


def _legendre(low: Array | float, high: Array | float, n: int) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights on intervals ``low``..``high`` (arrays: one row an interval)."""
    x, w = _leggauss(n)
    half = 0.5 * (np.asarray(high) - np.asarray(low))[..., None]
    return np.asarray(low)[..., None] + half * (1 + x), half * w


@dataclass(frozen=True)
class Sphere:
    """A ball of radius ``a`` [m] that gives ``power`` [W] to unbounded tissue of conductivity ``k`` [W/(m K)].

    ``diffusivity`` k/(rho c) [m^2/s]; ``exchange`` rho_b c_b w [W/(m^3 K)]. The Joule heat is ``P a / (4 pi r^4)``.
    """

    a: float
    power: float
    k: float
    diffusivity: float
    exchange: float = 0.0

    def steady(self, r: float, surface: Surface) -> float:
        """Rise at ``r`` after a long time.

        Without perfusion ``(P/4 pi k)(1/r - a/2r^2)`` and ``(P/8 pi k)(1/r - a/r^2)``; with it the Green's function
        of ``u'' - m^2 u`` for ``u = r dT`` is integrated.
        """
        a, scale = self.a, self.power / (4 * math.pi * self.k)
        if self.exchange == 0.0:
            if surface == "adiabatic":
                return scale * (1 / r - a / (2 * r**2))
            return scale / 2 * (1 / r - a / r**2)
        m = math.sqrt(self.exchange / self.k)
        reflection = (m - 1 / a) / (m + 1 / a) if surface == "adiabatic" else -1.0
        total = 0.0
        # the kernel has a kink at r; r' = 1/x turns the source 1/r'^3 into a polynomial
        for low, high in ((1e-12, 1 / r), (1 / r, 1 / a)):
            if high <= low:
                continue
            x, w = _legendre(low, high, 400)
            rr = 1 / x
            green = np.exp(-m * np.abs(r - rr)) + reflection * np.exp(-m * (r + rr - 2 * a))
            total += float(np.sum(w * x * green)) / (2 * m)
        return scale * a * total / r

    def transient(self, r: float, t: float, surface: Surface) -> float:
        """Rise at ``r`` a time ``t`` after switching on, from a uniform start; the ball itself stores no heat.

        ``u = r dT`` obeys the heat equation on a half line; its Green's function is an image for the cooled surface,
        an image and an exponential for the adiabatic one (``du/dr = u/a``).
        """
        a, kappa = self.a, self.diffusivity
        beta = self.exchange * kappa / self.k
        sign = 1.0 if surface == "adiabatic" else -1.0
        xi = r - a
        x, wx = _legendre(0.0, 1.0, 160)
        s, ws = t * x**2, 2 * t * x * wx  # s = t x^2 resolves the first instants
        width = 2 * np.sqrt(kappa * s)
        # xi' = g^2 g: points crowd at the ball, where the source is
        reach = xi + 8 * width
        middle = np.minimum(xi, reach)
        image = np.zeros_like(s)
        for low, high in ((np.zeros_like(s), np.cbrt(middle)), (np.cbrt(middle), np.cbrt(reach))):
            g, wg = _legendre(low, high, 160)
            other, weight = g**3, 3 * g**2 * wg
            kernel = np.exp(-(((xi - other) / width[:, None]) ** 2))
            mirrored = np.exp(-(((xi + other) / width[:, None]) ** 2))
            kernel = (kernel + sign * mirrored) / (math.sqrt(math.pi) * width[:, None])
            if surface == "adiabatic":
                along = (xi + other) / width[:, None] + width[:, None] / (2 * a)
                kernel -= mirrored * erfcx(along) / a
            image += np.sum(weight * kernel / (a + other) ** 3, axis=1)
        total = float(np.sum(ws * np.exp(-beta * s) * image))
        return kappa * self.power * a / (4 * math.pi * self.k) * total / r


# ---------------------------------------------------------------------------------- spheroid, annulus, pair


@dataclass(frozen=True)
class SpheroidNeedle:
    """A prolate spheroid of semi-axes ``along`` > ``across`` [m] at 1 V; 0 V far away or on a confocal spheroid.

    ``phi = (Q(eta) - Q_R) / (Q(eta_0) - Q_R)`` with ``Q = arccoth`` and ``eta = (r1 + r2) / 2f`` from the foci.
    """

    along: float
    across: float
    ground_radius: float = math.inf  # equatorial radius of the grounded confocal spheroid

    @property
    def focus(self) -> float:
        return math.sqrt(self.along**2 - self.across**2)

    @property
    def _outer(self) -> float:
        if math.isinf(self.ground_radius):
            return 0.0
        return math.atanh(self.focus / math.hypot(self.ground_radius, self.focus))

    def resistance(self, sigma: float) -> float:
        """[ohm]"""
        return (math.atanh(self.focus / self.along) - self._outer) / (4 * math.pi * sigma * self.focus)

    def potential(self, rho: ArrayLike, z: ArrayLike = 0.0) -> Array:
        """At distance ``rho`` from the axis and ``z`` from the middle."""
        rho, z = np.asarray(rho, dtype=np.float64), np.asarray(z, dtype=np.float64)
        f = self.focus
        eta = (np.hypot(rho, z - f) + np.hypot(rho, z + f)) / (2 * f)
        q0 = math.atanh(f / self.along)
        return np.asarray((np.arctanh(1 / eta) - self._outer) / (q0 - self._outer))


@dataclass(frozen=True)
class Annulus:
    """Tissue between a rod of radius ``a`` at 1 V and a tube of radius ``outer`` at 0 V [m]."""

    a: float
    outer: float

    def resistance(self, sigma: float, length: float) -> float:
        """``ln(R/a) / (2 pi sigma length)`` [ohm]."""
        return math.log(self.outer / self.a) / (2 * math.pi * sigma * length)

    def potential(self, r: ArrayLike) -> Array:
        return np.asarray(np.log(self.outer / np.asarray(r)) / math.log(self.outer / self.a))

    def perfused(
        self, r: ArrayLike, sigma: float, k: float, voltage: float, exchange: float, surface: Surface
    ) -> Array:
        """Steady perfused rise, 0 at ``outer``: Green's function of ``(r u')'/r - m^2 u`` from Bessel functions."""
        m, a, b = math.sqrt(exchange / k), self.a, self.outer
        if surface == "cooled":
            inner_i, inner_k = k0(m * a), -i0(m * a)
        else:
            inner_i, inner_k = k1(m * a), i1(m * a)

        def left(x: Array) -> Array:  # meets the condition at a
            return np.asarray(inner_i * i0(m * x) + inner_k * k0(m * x))

        def right(x: Array) -> Array:  # is 0 at b
            return np.asarray(k0(m * b) * i0(m * x) - i0(m * b) * k0(m * x))

        # r (left right' - left' right) does not depend on r; I0 K0' - I0' K0 = -1 / (m r) gives it
        wronskian = inner_i * i0(m * b) + inner_k * k0(m * b)
        heat = sigma * (voltage / math.log(b / a)) ** 2 / k  # times 1/r^2
        out = []
        for radius in np.atleast_1d(np.asarray(r, dtype=np.float64)):
            total = 0.0
            for low, high, here in ((a, radius, right), (radius, b, left)):
                if high <= low:
                    continue
                y, w = _legendre(math.log(low), math.log(high), 200)
                x = np.exp(y)
                there = left(x) if here is right else right(x)
                total += float(np.sum(w * there * float(here(np.array(radius)))))
            out.append(-heat * total / wronskian)
        return np.array(out)


def two_spheres_resistance(a: float, distance: float, sigma: float) -> float:
    """Between two balls of radius ``a`` whose centres are ``distance`` apart, in unbounded tissue [ohm].

    ``1 / (2 pi sigma a sum_n sinh(mu) / sinh(n mu))``, ``cosh mu = distance / 2a`` (bispherical coordinates).
    """
    mu = math.acosh(distance / (2 * a))
    total = sum(math.sinh(mu) / math.sinh(n * mu) for n in range(1, max(20, int(60 / mu))))
    return 1 / (2 * math.pi * sigma * a * total)


# ----------------------------------------------------------------------------------------- others


def stefan_root(stefan: float) -> float:
    """``lambda`` of the one-phase front ``s = 2 lambda sqrt(alpha t)``.

    It solves ``lambda exp(lambda^2) erf(lambda) = Ste / sqrt(pi)``.
    """
    return float(
        brentq(lambda x: x * math.exp(x * x) * erf(x) - stefan / math.sqrt(math.pi), 1e-9, 3.0, xtol=1e-14)
    )


def uniform_perfused(heat: float, exchange: float, capacity: float, t: float) -> float:
    """Rise of evenly heated perfused tissue: ``(q / e) (1 - exp(-e t / rho c))``, ``e = rho_b c_b w``."""
    return -heat / exchange * math.expm1(-exchange * t / capacity)


def arrhenius_omega(frequency_factor: float, activation_energy: float, celsius: float, t: float) -> float:
    """``Omega = A t exp(-Ea / R T)`` at one temperature."""
    return t * math.exp(math.log(frequency_factor) - activation_energy / (8.314462618 * (celsius + 273.15)))


def cem43(celsius: float, t: float) -> float:
    """Equivalent minutes at 43 degC after ``t`` seconds at one temperature: ``t R^(43 - T)``, R = 0.5 or 0.25."""
    base = 0.5 if celsius >= 43 else 0.25
    return t / 60 * math.pow(base, 43 - celsius)
