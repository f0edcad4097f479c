"""Fluids that flow through tubes as rows of stations, and exchange heat with nodes of a mesh.

    C_s dtheta_s/dt = sum over inflows F (theta_upstream - theta_s) + sum over pairs g (T_node - theta_s)

A station is a short length of a tube, mixed across: ``C`` its heat capacity [J/K], ``F`` the capacity rate [W/K] of
what flows into it (upwind, so that theta never leaves the range of what feeds it), ``g`` the conductance [W/K] to a
node. Given the nodes' temperatures the stations follow from one sweep with the stream, exactly; the nodes see them as a
reaction ``g`` and a source ``g theta``. What a station loses its successor or an outlet gains, so that heat is
conserved over junctions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.jit import kernel
from rfasim.solver.space import Array


@kernel
def gather_exchange(nodes: Any, stations: Any, exchange: Any, T: Any, received: Any, total: Any) -> None:
    """Of each station the sums of ``g T`` and of ``g`` over its pairs."""
    received[:] = 0.0
    total[:] = 0.0
    for k in range(np.uint64(nodes.shape[0])):
        s = stations[k]
        received[s] += exchange[k] * T[nodes[k]]
        total[s] += exchange[k]


@kernel
def add_exchange(nodes: Any, stations: Any, exchange: Any, pooled: Any, T: Any, theta: Any, received: Any,
                 total: Any, out: Any) -> None:  # fmt: skip
    """Add ``g (theta - T)`` of every pair to its node; ``T`` is the node's, of pooled stations the mean of theirs."""
    for k in range(np.uint64(nodes.shape[0])):
        i, s = nodes[k], stations[k]
        felt = received[s] / total[s] if pooled[s] and total[s] > 0.0 else T[i]
        out[i] += exchange[k] * (theta[s] - felt)


@kernel
def follow_stream(order: Any, starts: Any, sources: Any, rates: Any, inlet: Any, goal: Any, capacity: Any, dh: float,
                  received: Any, total: Any, theta: Any) -> None:  # fmt: skip
    """Stations in the order of the stream: ``(C + dh (F + G)) theta = goal + dh (F theta_up + g T)``.

    ``sources[starts[s]:starts[s + 1]]`` are the stations that feed ``s``, with ``rates``; -1 stands for an inlet of
    temperature ``inlet[s]``. A station without capacity, inflow and pairs keeps its value.
    """
    for k in range(np.uint64(order.shape[0])):
        s = order[k]
        gain = goal[s] + dh * received[s]
        weight = capacity[s] + dh * total[s]
        for e in range(starts[s], starts[s + 1]):
            rate = dh * rates[e]
            weight += rate
            if sources[e] < 0:
                gain += rate * inlet[s]
            else:
                gain += rate * theta[sources[e]]
        if weight > 0.0:
            theta[s] = gain / weight


@kernel
def carried_by_stream(starts: Any, sources: Any, rates: Any, inlet: Any, theta: Any, carried: Any) -> None:
    """Heat [W] that the stream takes out of each station: ``sum F (theta - theta_upstream)``."""
    for s in range(np.int64(carried.shape[0])):
        total = 0.0
        for e in range(starts[s], starts[s + 1]):
            up = inlet[s] if sources[e] < 0 else theta[sources[e]]
            total += rates[e] * (theta[s] - up)
        carried[s] = total


class Streams:
    """Stations, what flows between them, and the nodes they exchange heat with.

    ``capacity`` (n,) [J/K]; ``nodes``, ``stations`` (pairs,): which node exchanges with which station; ``feeds``: rows
    (station, station that feeds it or -1 for an inlet, capacity rate [W/K]); ``inlet`` (n,) [degC]; ``order`` (n,): all
    stations, each after those that feed it. ``pooled`` (n,) bool: stations that feel the mean temperature of their
    nodes and give to each by its share, as a thin line in the middle of them does; others exchange with each node by
    itself.
    """

    def __init__(self, capacity: Array, nodes: Array, stations: Array, feeds: Array, inlet: Array, order: Array,
                 pooled: Array, n_nodes: int) -> None:
        self.n, self.n_nodes = len(capacity), n_nodes
        self.capacity, self.inlet = np.ascontiguousarray(capacity, float), np.ascontiguousarray(inlet, float)
        self.nodes, self.stations = nodes.astype(np.uint32), stations.astype(np.uint32)
        by_station = feeds[np.argsort(feeds[:, 0], kind="stable")]
        self.sources = by_station[:, 1].astype(np.int64)
        self.rates = np.ascontiguousarray(by_station[:, 2])
        self.starts = np.searchsorted(by_station[:, 0], np.arange(self.n + 1)).astype(np.int64)
        self.order = order.astype(np.int64)
        self.pooled = np.ascontiguousarray(pooled, np.bool_)

    def node_conductance(self, exchange: Array) -> Array:
        """What the pairs put on the diagonal of a Newton matrix [W/K]: of each node the sum of ``g``.

        A pooled station resists only a change of its nodes' mean. Half of ``g`` on each of them is as
        much too small for the mean as it is too large for all else.
        """
        share = np.where(self.pooled, 0.5, 1.0)[self.stations]
        return np.bincount(self.nodes, share * exchange, self.n_nodes)

    def add(self, exchange: Array, T: Array, theta: Array, out: Array) -> None:
        """Add to ``out`` (n_nodes,) the heat [W] that each node takes from its stations."""
        received, total = np.empty(self.n), np.empty(self.n)
        gather_exchange(self.nodes, self.stations, exchange, T, received, total)
        add_exchange(self.nodes, self.stations, exchange, self.pooled, T, theta, received, total, out)

    def follow(self, exchange: Array, T: Array, theta: Array, goal: Array | None = None, dh: float = 1.0) -> Array:
        """Stations after an implicit stage of ``dh`` [s] with end value ``goal`` [J] before it; steady when None.

        ``theta`` is kept where nothing determines a station.
        """
        received, total = np.empty(self.n), np.empty(self.n)
        gather_exchange(self.nodes, self.stations, exchange, T, received, total)
        out = theta.copy()
        steady = goal is None
        follow_stream(
            self.order, self.starts, self.sources, self.rates, self.inlet,
            np.zeros(self.n) if goal is None else goal, np.zeros(self.n) if steady else self.capacity, dh,
            received, total, out,
        )  # fmt: skip
        return out

    def drift(self, values: Array, content: Array, source: Array, dh: float) -> Array:
        """A property of the fluid after ``dh`` [s], carried by the stream as heat is, from a ``source`` [content x
        property] in that time; ``content`` (n,) [J/K] of each station. What comes in by inlets has none."""
        nothing, out = np.zeros(self.n), values.copy()
        follow_stream(
            self.order, self.starts, self.sources, self.rates, nothing, content * values + source, content, dh,
            nothing, nothing, out,
        )  # fmt: skip
        return out

    def carried(self, theta: Array) -> Array:
        """Heat [W] that the stream takes out of each station. The sum is what leaves by the outlets less what came in
        by the inlets, as long as what flows into a junction flows out of it."""
        out = np.empty(self.n)
        carried_by_stream(self.starts, self.sources, self.rates, self.inlet, theta, out)
        return out

    def gained(self, exchange: Array, T: Array, theta: Array) -> Array:
        """Heat [W] that each station takes from its nodes."""
        received, total = np.empty(self.n), np.empty(self.n)
        gather_exchange(self.nodes, self.stations, exchange, T, received, total)
        return np.asarray(received - total * theta)

    def rate(self, exchange: Array, T: Array, theta: Array) -> Array:
        """Power into each station [W]."""
        return self.gained(exchange, T, theta) - self.carried(theta)
