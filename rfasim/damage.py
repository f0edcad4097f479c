"""Cell death from temperature: every damage model on every run, one number or two per node.

All models are always advanced together, because the literature does not agree on one and the price of the
others is small beside the two linear solves of a step. Temperatures are in degC, times in seconds, CEM43 in
minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfasim.jit import inline_kernel, kernel

Field = NDArray[np.float64]

GAS_CONSTANT = 8.314462618  # J/(mol K), CODATA 2018
KELVIN = 273.15


@dataclass(frozen=True)
class Arrhenius:
    """First-order death: ``Omega(t) = integral of A exp(-Ea / (R T)) dt``, dead where Omega >= ``threshold``.

    A (1/s) is ``frequency_factor``, Ea (J/mol) ``activation_energy``, T in kelvin. Omega = 1 leaves 37 %
    alive, Omega = 4.6 leaves 1 %.
    """

    frequency_factor: float
    activation_energy: float
    threshold: float
    source: str

    @property
    def log_factor(self) -> float:
        """ln(A), with A in 1/s."""
        return math.log(self.frequency_factor)

    @property
    def activation_temperature(self) -> float:
        """Ea / R in kelvin."""
        return self.activation_energy / GAS_CONSTANT

    def rate(self, temperature: ArrayLike) -> Field:
        """dOmega/dt in 1/s at ``temperature`` (degC, any shape)."""
        kelvin = np.asarray(temperature, dtype=np.float64) + KELVIN
        rates: Field = np.exp(self.log_factor - self.activation_temperature / kelvin)
        return rates

    def mean_rate(self, T0: ArrayLike, T1: ArrayLike) -> Field:
        """Mean dOmega/dt in 1/s of a step from ``T0`` to ``T1`` (degC, (n,)), as :meth:`Damage.advance` takes it."""
        start, end = np.ascontiguousarray(T0, np.float64), np.ascontiguousarray(T1, np.float64)
        out = np.empty_like(start)
        _mean_rates(out, start, end, self.log_factor, self.activation_temperature)
        return out


@dataclass(frozen=True)
class Cem43:
    """Equivalent minutes at 43 degC: ``CEM43 = integral of R^(43 - T) dt``, dead from ``threshold`` minutes.

    R is ``r_above`` from 43 degC up and ``r_below`` under it, however cold.
    """

    r_above: float
    r_below: float
    threshold: float
    source: str


@dataclass(frozen=True)
class ThreeState:
    """Alive (A), vulnerable (V) and dead (D) fractions, A + V + D = 1; dead where D >= ``threshold``.

    ``dA/dt = -kf A + kb V``, ``dD/dt = kf V``, ``kf = kf_bar exp(T / Tk) (1 - A)`` with T in degC.
    """

    kf_bar: float
    kb: float
    tk: float
    alive_at_start: float
    threshold: float
    source: str


@dataclass(frozen=True)
class Isotherm:
    """Dead where the highest temperature so far has reached ``threshold`` degC."""

    threshold: float
    source: str


Model = Arrhenius | Cem43 | ThreeState | Isotherm

_COAGULATION = Arrhenius(
    frequency_factor=5.51e41,
    activation_energy=2.769e5,
    threshold=1.0,
    source="Liver coagulation as many simulation papers use it; the original was not read. Within 10 % in "
    "time, from 43 to 70 degC, of Jacques' k = (kB T / h) exp(dS / R - dH / (R T)) with dS = 553.5 J/(mol K) "
    "and dH = 2.768e5 J/mol (omlc.org/news/may06/livercoag, 50 % coagulation)",
)
_CELL_DEATH = Arrhenius(
    frequency_factor=7.39e39,
    activation_energy=2.577e5,
    threshold=1.0,
    source="Liver, Jacques, as printed by Mertyna et al. 2009 and in COMSOL's bioheat materials. It gives "
    "2.9e-4 1/s at 37 degC: untouched tissue counts as dead within the hour",
)
_STASIS = Arrhenius(
    frequency_factor=1.98e106,
    activation_energy=6.67e5,
    threshold=1.0,
    source="Blood stands still in small vessels: Brown 1992 (rat muscle; values remembered and met in public code), as "
    "Schutt and Haemmerich 2008 used them for liver. Steep: 27 min at 45, 33 s at 50, 0.02 s at 60 degC",
)
_CEM43 = Cem43(
    r_above=0.5,
    r_below=0.25,
    threshold=240.0,
    source="Sapareto and Dewey, Int J Radiat Oncol Biol Phys 1984;10:787; 240 min is the usual threshold, "
    "340 min is also used for liver",
)
_THREE_STATE = ThreeState(
    kf_bar=3.33e-3,
    kb=7.77e-3,
    tk=40.5,
    alive_at_start=0.99,
    threshold=0.8,
    source="O'Neill et al., Ann Biomed Eng 2011;39:570, doi:10.1007/s10439-010-0177-1. Starts with 1 % "
    "vulnerable cells. Not stable at body temperature (D = 0.8 after 64 min at 37 degC), slow above 60 degC",
)

MODELS: dict[str, Model] = {
    "arrhenius_coagulation": _COAGULATION,
    "arrhenius_cell_death": _CELL_DEATH,
    "vascular_stasis": _STASIS,
    "cem43": _CEM43,
    "three_state": _THREE_STATE,
    "isotherm_50": Isotherm(50.0, "the usual stand-in for the zone in simulation papers"),
    "isotherm_54": Isotherm(54.0, "between the two others, for heating over a few minutes"),
    "isotherm_60": Isotherm(60.0, "coagulation within a minute by the coagulation set above"),
}

BLOOD_COAGULATION = Arrhenius(
    frequency_factor=7.6e66,
    activation_energy=4.55e5,
    threshold=1.0,
    source="Blood turns solid: haemoglobin denatures, Lepock et al. 1989 (values remembered). 24 s at 75, 2.6 s at "
    "80 degC, as coagulum is seen to form between 75 and 80 degC; 4 min at 70 degC",
)
"""Not a model of cell death: what closes a vessel from inside."""

CRITERIA: tuple[str, ...] = tuple(MODELS)

DEFAULT_CRITERION = "arrhenius_coagulation"
"""The zone of a run unless the case says otherwise: Omega >= 1 of the coagulation set.

It is a dose and not a final isotherm, because the history counts: in measured ablations the temperature at
the margin at switch-off lies anywhere between 33 and 58 degC. It stands for coagulation, the whitening that
published zone diameters measure. And it is harmless at body temperature (1.3e-5 1/s at 37 degC: 21 hours to
Omega = 1), which the other liver set is not: at 2.9e-4 1/s that one kills untouched tissue in 57 minutes,
and after 12 minutes at 30 W it draws a zone twice as large. The two disagree by a factor
of 14 to 20 in time between 45 and 60 degC; every run reports both.
"""

# A dose of zero has no logarithm; one second at 0 degC leaves 6e-12, so no real dose is this small.
_SMALLEST = 1e-30
# Before the first step no temperature has been seen.
_NOTHING_SEEN = -KELVIN
# Above this the three-state rates stay what they are there (the cells have been dead for long).
_HOTTEST = 200.0
# Nodes that the three-state integrator takes together.
_BLOCK = 64


@inline_kernel
def _mean_growth(d: float) -> float:
    """(exp(d) - 1) / d: the mean of a rate that grows by exp(d) along a step, over the rate at its start."""
    if abs(d) > 0.25:
        return math.expm1(d) / d
    # ten terms of the series, 1e-14 relative: no second exponential, and no 0 / 0
    tail = 1.0 + d * (1 / 7) * (1.0 + d * (1 / 8) * (1.0 + d * (1 / 9) * (1.0 + d * (1 / 10))))
    middle = 1.0 + d * (1 / 4) * (1.0 + d * (1 / 5) * (1.0 + d * (1 / 6) * tail))
    return 1.0 + d * (1 / 2) * (1.0 + d * (1 / 3) * middle)


@inline_kernel
def _mean_arrhenius(log_factor: float, activation: float, inverse0: float, inverse1: float) -> float:
    """Mean rate (1/s) while ln(rate) runs linearly between 1/T = ``inverse0`` and ``inverse1`` (1/K)."""
    return math.exp(log_factor - activation * inverse0) * _mean_growth(activation * (inverse0 - inverse1))


@inline_kernel
def _mean_cem(below: float, above: float, T0: float, T1: float) -> float:
    """Mean of R^(43 - T) while T runs linearly from T0 to T1; -ln R is ``below`` or ``above`` 43 degC."""
    x0, x1 = T0 - 43.0, T1 - 43.0
    s0 = below if x0 < 0.0 else above
    s1 = below if x1 < 0.0 else above
    if s0 == s1:
        return math.exp(s0 * x0) * _mean_growth(s0 * (x1 - x0))
    # the rate is 1 where the line crosses 43 degC
    crossing = x0 / (x0 - x1)
    return crossing * _mean_growth(s0 * x0) + (1.0 - crossing) * _mean_growth(s1 * x1)


@kernel
def _advance_three_state(
    alive: Field,
    dead: Field,
    T0: Field,
    T1: Field,
    dt: float,
    kf_bar: float,
    kb: float,
    tk: float,
    hottest: float,
) -> None:
    """Classical Runge-Kutta, with as many substeps as the fastest rate asks for (rate x substep <= 0.2).

    Nodes go in blocks that share the number of substeps, so that the inner loop has no branch and no
    exponential and the compiler makes vector instructions of it.
    """
    rate, half = np.empty(_BLOCK), np.empty(_BLOCK)
    for first in range(0, alive.size, _BLOCK):
        size = min(_BLOCK, alive.size - first)
        A, D = alive[first : first + size], dead[first : first + size]
        fastest = kb
        for i in range(size):
            # written so that a NaN temperature neither counts as hot nor sets the number of substeps
            start = hottest if T0[first + i] > hottest else T0[first + i]
            end = hottest if T1[first + i] > hottest else T1[first + i]
            x = (end - start) / tk
            rate[i], half[i] = kf_bar * math.exp(start / tk), x
            highest = rate[i] * (1.0 + x + x * x) if x > 0.0 else rate[i]
            if highest > fastest:
                fastest = highest
        n = max(1, math.ceil(dt * fastest / 0.2))
        h = dt / n
        for i in range(size):
            x = half[i] / (2 * n)
            half[i] = 1.0 + x * _mean_growth(x)  # growth of the rate over half a substep
        for _ in range(n):
            for i in range(size):
                a, d, k = A[i], D[i], rate[i]
                k_mid = k * half[i]
                k_end = k_mid * half[i]
                v = 1.0 - a - d
                f = k * (1.0 - a)
                a1, d1 = kb * v - f * a, f * v
                p, q = a + 0.5 * h * a1, d + 0.5 * h * d1
                v = 1.0 - p - q
                f = k_mid * (1.0 - p)
                a2, d2 = kb * v - f * p, f * v
                p, q = a + 0.5 * h * a2, d + 0.5 * h * d2
                v = 1.0 - p - q
                f = k_mid * (1.0 - p)
                a3, d3 = kb * v - f * p, f * v
                p, q = a + h * a3, d + h * d3
                v = 1.0 - p - q
                f = k_end * (1.0 - p)
                a4, d4 = kb * v - f * p, f * v
                A[i] = a + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
                D[i] = d + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
                rate[i] = k_end


@kernel
def _advance_doses(
    coagulation: Field,
    cell_death: Field,
    stasis: Field,
    cem43: Field,
    hottest: Field,
    T0: Field,
    T1: Field,
    dt: float,
    log_factors: Field,
    activations: Field,
    below: float,
    above: float,
) -> None:
    for i in range(T0.size):
        inverse0, inverse1 = 1.0 / (T0[i] + 273.15), 1.0 / (T1[i] + 273.15)
        coagulation[i] += dt * _mean_arrhenius(log_factors[0], activations[0], inverse0, inverse1)
        cell_death[i] += dt * _mean_arrhenius(log_factors[1], activations[1], inverse0, inverse1)
        stasis[i] += dt * _mean_arrhenius(log_factors[2], activations[2], inverse0, inverse1)
        cem43[i] += dt / 60.0 * _mean_cem(below, above, T0[i], T1[i])
        # written so that a NaN temperature stays visible
        if not T0[i] <= hottest[i]:
            hottest[i] = T0[i]
        if not T1[i] <= hottest[i]:
            hottest[i] = T1[i]


@kernel
def _mean_rates(out: Field, T0: Field, T1: Field, log_factor: float, activation: float) -> None:
    for i in range(T0.size):
        out[i] = _mean_arrhenius(log_factor, activation, 1.0 / (T0[i] + 273.15), 1.0 / (T1[i] + 273.15))


def _arrhenius(name: str) -> Arrhenius:
    model = MODELS.get(name)
    if not isinstance(model, Arrhenius):
        sets = ", ".join(key for key, value in MODELS.items() if isinstance(value, Arrhenius))
        raise ValueError(f"'{name}' is no Arrhenius set; there are: {sets}")
    return model


_LOG_FACTORS = np.array([_COAGULATION.log_factor, _CELL_DEATH.log_factor, _STASIS.log_factor])
_ACTIVATIONS = np.array([model.activation_temperature for model in (_COAGULATION, _CELL_DEATH, _STASIS)])


def arrhenius_rate(temperature: ArrayLike, name: str = DEFAULT_CRITERION) -> Field:
    """dOmega/dt = A exp(-Ea / (R T)) in 1/s of the set ``name`` at ``temperature`` (degC, any shape)."""
    return _arrhenius(name).rate(temperature)


def measure(name: str, values: Mapping[str, Field]) -> Field:
    """Nodal field f of the criterion ``name`` with f >= 0 where tissue is dead, shape (n_nodes,).

    ``values`` are those of :meth:`Damage.values`. The field is made for linear interpolation inside a cell:
    doses span decades from node to node, but their logarithm is nearly linear in temperature. So f is
    ln(Omega / 1), ln(CEM43 / 240 min), D - 0.8 or T_max - T_threshold. Raises ValueError for an unknown
    name.
    """
    model = MODELS.get(name)
    if model is None:
        raise ValueError(f"'{name}' is no damage criterion; there are: {', '.join(CRITERIA)}")
    if isinstance(model, Isotherm):
        return values["max_temperature"] - model.threshold
    if isinstance(model, ThreeState):
        return values["three_state"] - model.threshold
    # np.maximum passes NaN on: a broken temperature must not look like healthy tissue
    return np.log(np.maximum(values[name], _SMALLEST) / model.threshold)


def _contiguous(temperature: ArrayLike, n: int) -> Field:
    array: Field = np.ascontiguousarray(temperature, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"expected one temperature for each of the {n} nodes, got shape {array.shape}")
    return array


@dataclass
class Damage:
    """What heat has done so far at each node; arrays of shape (n_nodes,).

    >>> damage = Damage.start(1)
    >>> damage.advance([60.0], [60.0], 60.0)
    >>> bool(damage.measure("arrhenius_coagulation")[0] > 0)
    True
    """

    arrhenius_coagulation: Field
    arrhenius_cell_death: Field
    vascular_stasis: Field
    cem43: Field
    alive: Field
    dead: Field
    max_temperature: Field

    @classmethod
    def start(cls, n_nodes: int) -> Self:
        """Untouched tissue: no dose, 1 % vulnerable cells (three-state), no temperature seen yet."""
        zero = np.zeros(n_nodes)
        alive = np.full(n_nodes, _THREE_STATE.alive_at_start)
        return cls(zero, zero.copy(), zero.copy(), zero.copy(), alive, zero.copy(), np.full(n_nodes, _NOTHING_SEEN))

    def advance(self, T0: ArrayLike, T1: ArrayLike, dt: float) -> None:
        """Add what ``dt`` seconds do while each node goes from ``T0`` to ``T1`` (degC, shape (n_nodes,)).

        Arrhenius: ln(rate) linear in time between the ends, so the step adds dt times the logarithmic mean
        of the two rates; exact when T0 = T1. CEM43: exact for temperatures linear in time, the bend at 43
        degC included. Three-state: Runge-Kutta of order 4 with T linear in time, substeps where rates ask
        for them. Raises ValueError for a wrong shape or a negative or infinite ``dt``.
        """
        n = self.cem43.size
        start, end = _contiguous(T0, n), _contiguous(T1, n)
        if not (dt >= 0.0 and math.isfinite(dt)):
            raise ValueError(f"a step lasts zero seconds or more, got {dt!r}")
        below, above = -math.log(_CEM43.r_below), -math.log(_CEM43.r_above)
        _advance_doses(
            self.arrhenius_coagulation, self.arrhenius_cell_death, self.vascular_stasis, self.cem43,
            self.max_temperature, start, end, float(dt), _LOG_FACTORS, _ACTIVATIONS, below, above,
        )  # fmt: skip
        _advance_three_state(
            self.alive, self.dead, start, end, float(dt),
            _THREE_STATE.kf_bar, _THREE_STATE.kb, _THREE_STATE.tk, _HOTTEST,
        )  # fmt: skip

    def predict_omega(self, name: str, T0: ArrayLike, T1: ArrayLike, dt: float) -> Field:
        """Omega of the Arrhenius set ``name`` after a step as :meth:`advance` takes it, without taking it."""
        model = _arrhenius(name)
        omega: Field = getattr(self, name)
        rates = np.empty_like(omega)
        start, end = _contiguous(T0, omega.size), _contiguous(T1, omega.size)
        _mean_rates(rates, start, end, model.log_factor, model.activation_temperature)
        with np.errstate(over="ignore"):  # dead is dead
            rates *= dt
        rates += omega
        return rates

    def values(self) -> dict[str, Field]:
        """What people quote: Omega of the Arrhenius sets, CEM43 (min), dead fraction, highest temperature (degC)."""
        return {
            "arrhenius_coagulation": self.arrhenius_coagulation,
            "arrhenius_cell_death": self.arrhenius_cell_death,
            "vascular_stasis": self.vascular_stasis,
            "cem43": self.cem43,
            "three_state": self.dead,
            "max_temperature": self.max_temperature,
        }

    def measure(self, name: str) -> Field:
        """:func:`measure` of these nodes."""
        return measure(name, self.values())

    def copy(self) -> Self:
        """An independent copy, for a step that may be taken back."""
        return self.from_state({key: array.copy() for key, array in self.state().items()})

    def state(self) -> dict[str, Field]:
        """The arrays a checkpoint needs, by name (views, not copies)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The reverse of :meth:`state`; raises ValueError when an array is missing or the lengths differ."""
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in state]:
            raise ValueError(f"the saved damage lacks {', '.join(missing)}")
        arrays = [np.ascontiguousarray(state[name], dtype=np.float64) for name in names]
        if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
            raise ValueError("the saved damage has arrays of different lengths")
        return cls(*arrays)
