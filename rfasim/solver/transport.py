"""What a flow along the edges of a mesh carries: conservative, and without over- or undershoots.

A flow is one number an edge, positive from its lower node to its upper one. Two schemes share the edges:

- *Exponential fitting* (Scharfetter & Gummel 1969; Il'in 1969) for what is conducted well, such as heat: the edge gets
  the least conductance more that makes its two-point problem exact, ``|q|/2 coth(|q|/2g) - g``. Where conduction rules
  that vanishes to second order, where the flow rules it is the upwind scheme.
- *Flux-corrected transport* (Boris & Book 1973; Zalesak 1979; for finite elements Kuzmin) for what hardly spreads, such
  as salt: an implicit upwind step, which keeps every value between those around it for any step, and then as much of
  the difference to the central flux as keeps it there. Edges of obtuse cells conduct backwards; in the first step they
  do nothing, in the second they count, so that neither the bounds nor the accuracy depend on the mesh's angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rfasim.jit import kernel
from rfasim.solver.asymmetric import AsymmetricSystem
from rfasim.solver.space import Array, Space

SOLVED = 1e-10  # what the implicit step may leave, relative: the bounds hold to this


@kernel
def fitted(g: Any, q: Any, out: Any) -> None:
    """Conductance ``out`` that an edge of conductance ``g`` needs with the flow ``q`` (both [W/K], say)."""
    for k in range(np.uint64(g.shape[0])):
        half = 0.5 * abs(q[k])
        if half == 0.0:
            out[k] = 0.0
        elif g[k] <= 0.01 * half:
            out[k] = half - max(g[k], 0.0)
        else:
            P = half / g[k]
            # coth(P) P - 1 loses its digits where P is small
            out[k] = g[k] * (P * P / 3.0) if P < 1e-3 else half / np.tanh(P) - g[k]


@kernel
def add_carried(q: Any, extra: Any, lower: Any, upper: Any, u: Any, out: Any) -> None:
    """Add to ``out`` what the flow ``q`` brings to each node of the difference to its own ``u``:
    ``sum_in q (u_j - u_i)`` in the fitted scheme with the conductance ``extra``."""
    for k in range(np.uint64(q.shape[0])):
        i, j = lower[k], upper[k]
        d = u[j] - u[i]
        out[i] += (extra[k] - 0.5 * q[k]) * d
        out[j] -= (extra[k] + 0.5 * q[k]) * d


@kernel
def add_upwind(q: Any, lower: Any, upper: Any, u: Any, out: Any) -> None:
    """As :func:`add_carried`, upwind: only where the flow comes from counts."""
    for k in range(np.uint64(q.shape[0])):
        i, j = lower[k], upper[k]
        if q[k] > 0.0:
            out[j] += q[k] * (u[i] - u[j])
        else:
            out[i] -= q[k] * (u[j] - u[i])


@kernel
def drift_matrix(g: Any, q: Any, spread: Any, rise: Any, latent: float, dh: float, lower: Any, upper: Any, down: Any,
                 up: Any, diagonal: Any) -> None:  # fmt: skip
    """``dh`` times the matrix of what edges conduct (``g``) and the flow ``q`` carries; of a carrier that has the slope
    ``rise`` [1/K] at each node, what ``spread`` and ``latent`` times the flow carry upwind. Adds to ``diagonal``."""
    spreads = spread.shape[0] > 0
    for k in range(np.uint64(q.shape[0])):
        i, j = lower[k], upper[k]
        half = 0.5 * q[k]
        a, b = g[k] - half, g[k] + half
        forth, back = latent * max(q[k], 0.0), latent * max(-q[k], 0.0)
        if spreads:
            forth += spread[k]
            back += spread[k]
        down[k] = dh * (a + back * rise[j])
        up[k] = dh * (b + forth * rise[i])
        diagonal[i] += dh * (a + back * rise[i])
        diagonal[j] += dh * (b + forth * rise[j])


@kernel
def divergence(q: Any, lower: Any, upper: Any, out: Any) -> None:
    """What leaves each node along its edges, less what comes in."""
    out[:] = 0.0
    for k in range(np.uint64(q.shape[0])):
        out[lower[k]] += q[k]
        out[upper[k]] -= q[k]


@kernel
def _change(q: Any, spread: Any, lower: Any, upper: Any, c: Any, out: Any) -> None:
    for k in range(np.uint64(q.shape[0])):
        i, j = lower[k], upper[k]
        d = c[i] - c[j]
        g = max(spread[k], 0.0)
        out[i] += (min(q[k], 0.0) - g) * d
        out[j] += (max(q[k], 0.0) + g) * d


@kernel
def leaving(q: Any, spread: Any, lower: Any, upper: Any, out: Any) -> None:
    """What leaves each node along its edges, carried and spread."""
    out[:] = 0.0
    for k in range(np.uint64(q.shape[0])):
        g = max(spread[k], 0.0)
        out[lower[k]] += g + max(q[k], 0.0)
        out[upper[k]] += g + max(-q[k], 0.0)


@kernel
def arriving(q: Any, lower: Any, upper: Any, out: Any) -> None:
    """Add what comes to each node along its edges."""
    for k in range(np.uint64(q.shape[0])):
        if q[k] > 0.0:
            out[upper[k]] += q[k]
        else:
            out[lower[k]] -= q[k]


@kernel
def upwind_matrix(q: Any, spread: Any, dt: float, lower: Any, upper: Any, down: Any, up: Any, diagonal: Any) -> None:
    """Add ``dt`` times the conservative upwind operator to a matrix: couplings ``down``, ``up`` and its diagonal."""
    for k in range(np.uint64(q.shape[0])):
        g = max(spread[k], 0.0)
        out_i, out_j = g + max(q[k], 0.0), g + max(-q[k], 0.0)
        down[k] = dt * out_j  # row i gains what leaves j
        up[k] = dt * out_i
        diagonal[lower[k]] += dt * out_i
        diagonal[upper[k]] += dt * out_j


@kernel
def correction(q: Any, spread: Any, dt: float, lower: Any, upper: Any, c0: Any, c1: Any, implicit: Any, flux: Any
               ) -> None:  # fmt: skip
    """Amount [what ``c`` counts times volume] that each edge should carry more, from its lower to its upper node, than
    the upwind step did: central in space, and between the step's ends by the larger ``implicit`` share."""
    for k in range(np.uint64(q.shape[0])):
        i, j = lower[k], upper[k]
        w = max(implicit[i], implicit[j])
        ci, cj = (1.0 - w) * c0[i] + w * c1[i], (1.0 - w) * c0[j] + w * c1[j]
        high = 0.5 * q[k] * (ci + cj) - spread[k] * (cj - ci)
        low = (q[k] * c1[i] if q[k] > 0.0 else q[k] * c1[j]) - max(spread[k], 0.0) * (c1[j] - c1[i])
        flux[k] = dt * (high - low)


@kernel
def limit(flux: Any, lower: Any, upper: Any, content: Any, c0: Any, c1: Any, passes: Any) -> None:
    """Zalesak's limiter: scale each edge's ``flux`` so that no node leaves the range of ``c0`` and ``c1`` around it.

    Only edges in ``passes`` connect.
    """
    n = np.uint64(c1.shape[0])
    most, least = np.maximum(c0, c1), np.minimum(c0, c1)
    high, low = most.copy(), least.copy()
    gain, loss = np.zeros(n), np.zeros(n)
    for k in range(np.uint64(flux.shape[0])):
        if passes[k]:
            i, j = lower[k], upper[k]
            high[i] = max(high[i], most[j])
            high[j] = max(high[j], most[i])
            low[i] = min(low[i], least[j])
            low[j] = min(low[j], least[i])
            f = flux[k]
            gain[j] += max(f, 0.0)
            loss[i] += max(f, 0.0)
            gain[i] += max(-f, 0.0)
            loss[j] += max(-f, 0.0)
    for i in range(n):
        gain[i] = min(1.0, content[i] * (high[i] - c1[i]) / gain[i]) if gain[i] > 0.0 else 1.0
        loss[i] = min(1.0, content[i] * (c1[i] - low[i]) / loss[i]) if loss[i] > 0.0 else 1.0
    for k in range(np.uint64(flux.shape[0])):
        if passes[k]:
            i, j = lower[k], upper[k]
            flux[k] *= min(loss[i], gain[j]) if flux[k] > 0.0 else min(gain[i], loss[j])
        else:
            flux[k] = 0.0


@dataclass(frozen=True)
class Exchange:
    """What a step does at the nodes: [m^3/s] that come in with ``incoming`` concentration, that leave with the node's
    own, and that exchange with ``bath``."""

    source: Array
    incoming: Array
    sink: Array
    exchange: Array
    bath: float


def turnover(q: Array, spread: Array, lower: Array, upper: Array, c: Array, at: Exchange) -> float:
    """How much per second the nodes' contents change where ``c`` is, upwind, summed without sign: what is swept of a
    front; nothing where a field is steady."""
    out = at.source * (at.incoming - c) - at.exchange * (c - at.bath)
    _change(q, spread, lower, upper, c, out)
    return float(np.abs(out).sum())


@dataclass(frozen=True)
class Carried:
    """Result of a step: concentrations, amounts, and what left by the sinks and by the exchange."""

    concentration: Array
    amount: Array
    left: Array
    exchanged: Array


class Transport:
    """Carries an amount along the edges between the ``wet`` nodes of a space."""

    def __init__(self, space: Space, wet: Array) -> None:
        self.space, self.wet = space, wet
        self.system = AsymmetricSystem(space, ~wet)
        self.passes = wet[space.lower] & wet[space.upper]

    def step(self, amount: Array, content0: Array, content1: Array, dt: float, q: Array, spread: Array,
             at: Exchange) -> Carried:
        """One step of ``dt`` [s]: ``d(content c)/dt = - div(q c - spread grad c) + source incoming - sink c -
        exchange (c - bath)``.

        ``content1 - content0 = dt (source - sink - div q)`` must hold; then every value stays between those that were
        there and came in. Amounts are summed from the edges' fluxes, so that none is lost whatever the solver leaves.
        """
        s, lower, upper = self.space, self.space.lower, self.space.upper
        c0 = np.where(self.wet, amount / np.where(content0 > 0, content0, 1.0), at.bath)
        down, up = np.zeros(s.n_edges), np.zeros(s.n_edges)
        diagonal = np.where(self.wet, content1 + dt * (at.sink + at.exchange), 1.0)
        upwind_matrix(q, spread, dt, lower, upper, down, up, diagonal)
        goal = amount + dt * (at.source * at.incoming + at.exchange * at.bath)
        c1 = c0.copy()
        self.system.set_matrix(down, up, diagonal)
        self.system.solve(goal, c1, SOLVED)
        out = np.empty(s.n_nodes)
        leaving(q, spread, lower, upper, out)
        through = dt * (out + at.sink) / np.where(content1 > 0, content1, 1.0)
        # second order in time while the flow renews a node at most once in the step, else implicit
        implicit = np.maximum(0.5, 1.0 - 0.5 / np.maximum(through, 1e-12))
        more = np.empty(s.n_edges)
        correction(q, spread, dt, lower, upper, c0, c1, implicit, more)
        limit(more, lower, upper, content1, c0, c1, self.passes)
        # what the upwind step carried, and the correction
        carried = np.where(q > 0, q * c1[lower], q * c1[upper]) - np.maximum(spread, 0.0) * (c1[upper] - c1[lower])
        lost = np.empty(s.n_nodes)
        divergence(dt * carried + more, lower, upper, lost)
        left, exchanged = dt * at.sink * c1, dt * at.exchange * (c1 - at.bath)
        new = amount + dt * at.source * at.incoming - left - exchanged - lost
        c = np.where(self.wet, new / np.where(content1 > 0, content1, 1.0), at.bath)
        return Carried(c, new, left, exchanged)
