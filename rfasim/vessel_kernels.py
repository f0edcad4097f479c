"""Loops along vessels: what lies between known places of a wall, and the boundary layer along it."""

from __future__ import annotations

import numpy as np

from rfasim.jit import kernel
from rfasim.solver.space import Array


@kernel
def fill_gaps(first: Array, count: Array, known: Array, values: Array) -> None:
    """In each segment the ``values`` of stations that lie between ``known`` ones, linearly in between."""
    for number in range(len(first)):
        before = -1
        for at in range(first[number], first[number] + count[number]):
            if not known[at]:
                continue
            if before >= 0 and at > before + 1:
                slope = (values[at] - values[before]) / (at - before)
                for gap in range(before + 1, at):
                    values[gap] = values[before] + slope * (gap - before)
            before = at


@kernel
def mixed_inflow(station: int, theta: Array, starts: Array, sources: Array, rates: Array, inlet: Array) -> float:
    """Temperature [degC] of what flows into a station, all together."""
    total, mixed = 0.0, 0.0
    for row in range(starts[station], starts[station + 1]):
        total += rates[row]
        mixed += rates[row] * (inlet[station] if sources[row] < 0 else theta[sources[row]])
    return theta[station] if total == 0.0 else mixed / total


@kernel
def entry_lengths(first: Array, count: Array, length: Array, flow: Array, wall: Array, theta: Array,
                  starts: Array, sources: Array, rates: Array, inlet: Array, least: float, steps: Array,
                  out: Array) -> None:  # fmt: skip
    """The entry length [m] that gives as thick a boundary layer as the ``wall`` upstream of each station has made.

    ``starts``, ``sources`` and ``rates`` say what flows into a station; ``steps`` are (n + 1)^(2/3) - n^(2/3); rises
    of no more than ``least`` [K] are not traced.
    """
    rises = np.empty(len(steps))
    for number in range(len(first)):
        begin, n = first[number], count[number]
        if flow[begin] == 0.0:
            out[begin : begin + n] = np.inf
            continue
        way = 1
        if flow[begin] < 0.0:
            begin, way = begin + n - 1, -1
        incoming = mixed_inflow(begin, theta, starts, sources, rates, inlet)
        scale = 1.5 * length[begin] ** (-1.0 / 3.0)  # times steps: mean of (s - s_j)^(-1/3) over a station
        before = 0.0
        for i in range(n):
            rise = wall[begin + way * i] - incoming
            rises[i] = rise - before
            before = rise
            thin = steps[i]
            if abs(rise) > least:
                thin = 0.0
                for j in range(i + 1):
                    thin += rises[j] * steps[i - j]
                thin /= rise
            thin = scale * max(thin, 1e-3 * steps[0])
            out[begin + way * i] = 1.0 / (thin * thin * thin)


@kernel
def settled_walls(first: Array, count: Array, length: Array, flow: Array, wall: Array, theta: Array, starts: Array,
                  sources: Array, rates: Array, inlet: Array, least: float, steps: Array, Nu: Array, found: Array,
                  distance: Array, out: Array) -> None:  # fmt: skip
    """Where the temperatures of the ``wall`` will come to rest, which were reached with the Nusselt numbers ``Nu`` and
    ask for others, those ``found`` at the entry lengths ``distance``; station by station downstream.

    Of each station ``Nu (T - wall) = Nu (wall - theta) - q``: the heat ``q`` that the layer takes from the new wall
    ``T``, which is ``found / thin`` times the sum of the new rises upstream, and tissue that answers like the film.
    """
    rises = np.empty(len(steps))
    for number in range(len(first)):
        begin, n = first[number], count[number]
        if flow[begin] == 0.0:
            for at in range(begin, begin + n):
                out[at] = wall[at]
            continue
        way = 1
        if flow[begin] < 0.0:
            begin, way = begin + n - 1, -1
        incoming = mixed_inflow(begin, theta, starts, sources, rates, inlet)
        scale = 1.5 * length[begin] ** (-1.0 / 3.0)
        before = 0.0
        for i in range(n):
            at = begin + way * i
            rise = wall[at] - incoming
            over = wall[at] - theta[at]
            if abs(rise) > least and over * rise > 0.0:
                take = found[at] * distance[at] ** (1.0 / 3.0) * scale * over / rise
                upstream = -before * steps[0]
                for j in range(i):
                    upstream += rises[j] * steps[i - j]
                rise = (Nu[at] * (rise + over) - take * upstream) / (Nu[at] + take * steps[0])
            rises[i] = rise - before
            before = rise
            out[at] = incoming + rise
