"""One step of ``dH(T)/dt = source - reaction T - K T`` by TR-BDF2, and the size of the next one.

TR-BDF2 (Bank et al. 1985; as a diagonally implicit Runge-Kutta pair: Hosea & Shampine, Appl. Numer. Math. 20, 1996) is
second order and L-stable; both implicit stages share one matrix, and its embedded third-order formula measures the
error. ``H`` is carried, not recomputed from ``T``: the stage rates are summed with the formula's weights, so that the
books close however well the stages were solved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from rfasim.solver import kernels
from rfasim.solver.asymmetric import AsymmetricSystem
from rfasim.solver.linear import NotConverged, System
from rfasim.solver.space import Array, Space
from rfasim.solver.streams import Streams
from rfasim.solver.transport import add_carried, add_upwind, drift_matrix, fitted

GAMMA = 2.0 - np.sqrt(2.0)
DIAGONAL = GAMMA / 2.0
WEIGHT = np.sqrt(2.0) / 4.0
WEIGHTS = (WEIGHT, WEIGHT, DIAGONAL)
# weights minus those of the embedded third-order formula
ERROR_WEIGHTS = (WEIGHT - (1 - WEIGHT) / 3, WEIGHT - (3 * WEIGHT + 1) / 3, DIAGONAL - DIAGONAL / 3)

MAX_NEWTON = 40
# What may be left of the heat of a stage when its iteration stops.
BOOKS = 5e-6
# That is given to all nodes alike so many times at most, and only where less than this share of it would leave at once.
MOST_SHIFTS, LEAKING = 3, 0.1
# What a sum over the nodes cannot tell from nothing, as a share of it.
ROUNDING = 1e-13
# Where the carrier makes the iteration linear anyway, each of its linear systems is solved only this far.
LOOSE = 1e-3


NO_PAIRS = np.zeros(0)
Kinks = tuple[float | Array, ...]  # of all nodes alike, or of each


@dataclass(frozen=True)
class Flow:
    """What drives the temperature at one moment: edge conductances [W/K], nodal reaction [W/K] and source [W]; of the
    streams the conductance [W/K] of each pair of a node and a station, and the source [W] of each station."""

    conductance: Array
    reaction: Array
    source: Array
    exchange: Array = field(default_factory=lambda: NO_PAIRS)
    station_source: Array = field(default_factory=lambda: NO_PAIRS)

    def towards(self, other: Flow, part: float) -> Flow:
        """The flow a ``part`` of the way to ``other``."""
        same = self.conductance is other.conductance
        mix = self.conductance if same else (1 - part) * self.conductance + part * other.conductance
        return replace(
            self,
            conductance=mix,
            reaction=(1 - part) * self.reaction + part * other.reaction,
            source=(1 - part) * self.source + part * other.source,
            exchange=(1 - part) * self.exchange + part * other.exchange,
            station_source=(1 - part) * self.station_source + part * other.station_source,
        )


@dataclass(frozen=True)
class Drift:
    """What a fluid carries that seeps along the edges during a step: ``edges`` [W/K], its flow times its heat capacity;
    ``source`` [W/K] and ``heat`` [W] of what comes in at the nodes (source times its temperature); ``latent`` [K], heat
    of vaporisation over heat capacity: where the stepper's carrier says that water is gone, what flows in takes that
    too.
    """

    edges: Array
    source: Array
    heat: Array
    latent: float


@dataclass(frozen=True)
class Step:
    """Result of one step: temperatures and rates of the three stages, end enthalpy, error estimate [K] per node; and
    the temperatures of the streams' stations in the three stages."""

    temperatures: tuple[Array, Array, Array]
    rates: tuple[Array, Array, Array]
    enthalpy: Array
    error: Array
    newton: int
    stations: tuple[Array, Array, Array]


class Stepper:
    """Advances nodal temperatures on the free nodes of ``system``; held nodes keep theirs.

    ``carrier``: a quantity ``x(T)`` that rises from 0 to 1 between the kinks, and the edge conductances [W] with which
    it spreads and carries heat (latent heat with water). What its flow from a node between the kinks does to a node
    outside is left to the next Newton round: the matrix stays symmetric (unless something seeps).

    ``seeps``: what flows through them, a :class:`Drift` a step, by exponential fitting (see
    :mod:`rfasim.solver.transport`); the matrix is then not symmetric, and the carrier's part in it complete.

    ``streams``: what flows past the nodes. Their stations are unknowns of the same stages. In each Newton round they
    are followed exactly from the nodes' temperatures; what a node's change does to the stations downstream is left to
    the next round. That closes in by itself, because a station never moves by more than the nodes that heat it.

    ``storage(T)`` gives enthalpy [J] and its slope [J/K] per node; ``kinks`` are temperatures where the slope jumps.
    ``tolerance`` [K]: to what the stages are solved. ``books``: what may be left of the heat of a stage.
    """

    def __init__(self, space: Space, system: System, kinks: Kinks, tolerance: float,
                 linear_tolerance: float, carrier: tuple[Callable[[Array], Array], Array] | None = None,
                 streams: Streams | None = None, *, seeps: bool = False, books: float = BOOKS) -> None:
        self.books = books
        self.carrier, self.streams = carrier, streams
        self.skew = AsymmetricSystem(space, system.held) if seeps else None
        self.drift: Drift | None = None
        self._fitted = NO_PAIRS
        self.space, self.system, self.kinks = space, system, kinks
        self.tolerance, self.linear_tolerance = tolerance, linear_tolerance

    def rate(self, flow: Flow, T: Array, theta: Array) -> Array:
        """Power into each node [W] at temperature ``T``, with the stations at ``theta``."""
        out = flow.source - flow.reaction * T - self.space.multiply(flow.conductance, T)
        if self.streams is not None:
            self.streams.add(flow.exchange, T, theta, out)
        if self.carrier is not None:
            x = self.carrier[0](T)
            if x.any():
                out -= self.space.multiply(self.carrier[1], x)
        if self.drift is not None:
            out += self.carried(T)
        return np.asarray(out)

    def _outwards(self, flow: Flow) -> float:
        """What goes to held nodes and stations [W] for each kelvin that all free nodes are warmer."""
        free = self.system.free
        ones = np.zeros(self.space.n_nodes)
        ones[free] = 1.0
        out = self.space.multiply(flow.conductance, ones)[free].sum()
        if self.streams is not None:
            out += flow.exchange.sum()
        return float(out)

    def carried(self, T: Array) -> Array:
        """Power [W] that the fluid of this step brings to each node at temperature ``T``, vapour's heat included."""
        drift, space = self.drift, self.space
        assert drift is not None
        out = drift.heat - drift.source * T
        add_carried(drift.edges, self._fitted, space.lower, space.upper, T, out)
        return np.asarray(out + self.vapour(T))

    def vapour(self, T: Array) -> Array:
        """The part of it that is heat of vaporisation (negative: what flows into dry tissue boils off)."""
        drift, space = self.drift, self.space
        assert drift is not None
        out = np.zeros_like(T)
        if self.carrier is not None and drift.latent > 0:
            x = self.carrier[0](T)
            if x.any():
                out -= drift.source * x
                add_upwind(drift.edges, space.lower, space.upper, x, out)
        return np.asarray(drift.latent * out)

    def _fit(self, conductance: Array) -> None:
        """Weigh the drift's edges against what they conduct."""
        if self.drift is not None:
            self._fitted = np.empty_like(conductance)
            fitted(conductance, self.drift.edges, self._fitted)

    def _rise(self) -> float:
        """Slope [1/K] of the carrier between the kinks; as far from each other at one node as at another."""
        return 1.0 / float(np.min(np.asarray(self.kinks[-1]) - np.asarray(self.kinks[0])))

    def _matrix(self, dh: float, flow: Flow, T: Array, slope: Array) -> None:
        """Factor the Newton matrix at ``T``, or what is symmetric of it."""
        if self.drift is not None:
            self._skew_matrix(dh, flow, T, slope)
            return
        edges, diagonal = dh * flow.conductance, slope + dh * flow.reaction
        if self.streams is not None:
            diagonal += dh * self.streams.node_conductance(flow.exchange)
        if self.carrier is not None:
            x = self.carrier[0](T)
            moving = (x > 0.0) & (x < 1.0)
            if moving.any():
                scale = dh * self._rise()
                kernels.add_moving(moving, scale * self.carrier[1], self.space.lower, self.space.upper, edges, diagonal)
        self.system.set_matrix(edges, diagonal)

    def _skew_matrix(self, dh: float, flow: Flow, T: Array, slope: Array) -> None:
        """Factor the whole Newton matrix of nodes through which a fluid seeps."""
        drift, skew = self.drift, self.skew
        assert drift is not None
        assert skew is not None
        diagonal = slope + dh * flow.reaction
        if self.streams is not None:
            diagonal += dh * self.streams.node_conductance(flow.exchange)
        rise, spread, latent = np.zeros_like(T), np.zeros(0), 0.0
        if self.carrier is not None:
            x = self.carrier[0](T)
            rise = np.where((x > 0.0) & (x < 1.0), self._rise(), 0.0)
            spread, latent = self.carrier[1], drift.latent
        diagonal += dh * drift.source * (1.0 + latent * rise)
        down, up = np.empty_like(drift.edges), np.empty_like(drift.edges)
        drift_matrix(
            flow.conductance + self._fitted, drift.edges, spread, rise, latent, dh, self.space.lower, self.space.upper,
            down, up, diagonal,
        )  # fmt: skip
        skew.set_matrix(down, up, diagonal)

    def step(self, storage: Callable[[Array], tuple[Array, Array]], T: Array, H: Array, h: float, start: Flow,
             end: Flow, guess: Array, theta: Array = NO_PAIRS) -> Step:
        """One step of ``h`` [s] from ``T``, ``H`` (and stations at ``theta``); ``guess`` is the expected end
        temperature. Raises NotConverged."""
        free, streams = self.system.free, self.streams
        self._fit(end.conductance)
        f0 = self.rate(start, T, theta)
        middle = start.towards(end, GAMMA)
        first = (1 - GAMMA) * T + GAMMA * guess
        goals = (NO_PAIRS, NO_PAIRS)
        if streams is not None:
            b0 = streams.rate(start.exchange, T, theta) + start.station_source
            E = streams.capacity * theta
            goals = (E + h * DIAGONAL * b0, E)
        T1, f1, theta1, n1, _ = self._solve(
            storage, first, H + h * DIAGONAL * f0, h * DIAGONAL, middle, theta, goals[0]
        )
        if streams is not None:
            b1 = streams.rate(middle.exchange, T1, theta1) + middle.station_source
            goals = (goals[0], goals[1] + h * WEIGHT * (b0 + b1))
        # the third stage starts from what the second has learnt about the guess
        second = guess + (T1 - first) * min(1.0, 1.0 / GAMMA)
        T2, f2, theta2, n2, stiff = self._solve(
            storage, second, H + h * WEIGHT * (f0 + f1), h * DIAGONAL, end, theta1, goals[1]
        )
        new = H.copy()
        new[free] += h * (WEIGHT * f0 + WEIGHT * f1 + DIAGONAL * f2)[free]
        error = np.zeros_like(T)
        a, b, c = ERROR_WEIGHTS
        error[free] = h * (a * f0 + b * f1 + c * f2)[free] / stiff
        return Step((T, T1, T2), (f0, f1, f2), new, error, n1 + n2, (theta, theta1, theta2))

    def _solve(self, storage: Callable[[Array], tuple[Array, Array]], guess: Array, goal: Array, dh: float,
               flow: Flow, theta: Array, station_goal: Array) -> tuple[Array, Array, Array, int, Array]:
        """Newton on ``H(T) - goal - dh rate(T) = 0``; returns T, its rate, the stations, the iterations and the matrix'
        diagonal."""
        free, streams = self.system.free, self.streams
        T = guess.copy()
        factored: Array | None = None
        solver = self.system if self.drift is None or self.skew is None else self.skew
        linear = self.drift is not None or self.carrier is None or not self.carrier[0](T).any()
        # What lags behind in the streams is lost or gained heat all along a vessel, and a thousandth of a kelvin of a
        # node that boils is as much as many of one that does not: it must not show in the books.
        exact, shifts = ROUNDING * np.abs(goal[free]).sum(), 0
        for iteration in range(MAX_NEWTON):
            H, slope = storage(T)
            if streams is not None:
                theta = streams.follow(flow.exchange, T, theta, station_goal + dh * flow.station_source, dh)
            rate = self.rate(flow, T, theta)
            residual = goal + dh * rate - H
            if factored is None or np.any(np.abs(slope - factored)[free] > 0.01 * factored[free]):
                self._matrix(dh, flow, T, slope)
                factored = slope
                diagonal = solver.diagonal
            size = np.abs(residual[free]) / diagonal
            if not np.all(np.isfinite(size)):
                raise NotConverged("the temperature is not finite")
            if iteration > 0 and size.max() <= self.tolerance:
                given = np.abs(flow.source - flow.reaction * T)[free].sum()  # W; without any: what moves
                allowed = self.books * dh * (given if given > 0 else np.abs(rate[free]).sum()) + exact
                left = residual[free].sum()
                if abs(left) <= allowed:
                    return T, rate, theta, iteration, diagonal
                if shifts < MOST_SHIFTS and self.drift is None:
                    held, out = slope[free].sum(), self._outwards(flow)
                    if dh * out < LEAKING * held:
                        # Newton for one number: what is left goes to all nodes alike, and moves nothing between them
                        shifts += 1
                        T[free] += left / (held + dh * (out + flow.reaction[free].sum()))
                        continue
            delta = np.zeros_like(T)
            solver.solve(residual, delta, self.linear_tolerance if linear else LOOSE)
            T = advance_over_kinks(T, delta, self.kinks)
        raise NotConverged(f"the enthalpy iteration left {size.max():.2g} K after {MAX_NEWTON} rounds")


def advance_over_kinks(T: Array, delta: Array, kinks: Kinks) -> Array:
    """``T + delta``, but no node jumps over more than one kink of its enthalpy at a time."""
    new = T + delta
    for kink in kinks:
        new = np.where((kink > T) & (new > kink), kink + 1e-9, new)
        new = np.where((kink < T) & (new < kink), kink - 1e-9, new)
    return new


def temperature_of(storage: Callable[[Array], tuple[Array, Array]], H: Array, guess: Array, kinks: Kinks,
                   tolerance: float = 1e-6) -> Array:
    """Temperatures whose enthalpy is ``H``: Newton node by node, kink by kink."""
    T = guess.copy()
    for _ in range(MAX_NEWTON):
        value, slope = storage(T)
        delta = (H - value) / slope
        T = advance_over_kinks(T, delta, kinks)
        if np.abs(delta).max(initial=0.0) <= tolerance:
            break
    return T


def next_step(h: float, error: float, *, grow: float = 2.0) -> float:
    """The size after a step of ``h`` whose error is ``error`` tolerances: second-order formula, safety 0.9."""
    if error <= 0:
        return h * grow
    return h * float(np.clip(0.9 * error ** (-1.0 / 3.0), 0.2, grow))
