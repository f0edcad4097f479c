"""A network of blood vessels: which tubes meet where, and how much blood flows through each piece.

``build_network`` cuts the vessels where others join them; ``Network.flows`` shares the blood out after Poiseuille;
``Network.order`` tells in which sequence the blood passes the pieces.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
from numpy.typing import NDArray

from rfasim.errors import InputError

if TYPE_CHECKING:
    from rfasim.case import Vessel

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
Place = tuple[int, float]  # vessel, way along its centre line [m]

_SAME = 1e-6  # m: places nearer than this are one; far below the diameter of any vessel that has blood of its own
_DETOUR = 3.0  # radii: what hangs together by a way no longer than this is one branching, and is not joined again
_BALANCED = 1e-12  # share of the flows at a place by which stated flows may miss: the rounding of numbers, no more
_STILL = 1e-13  # share of the largest flow: less than this is rounding, and stands still
_ROUNDS = 4  # of solving for the flows; wide and narrow may differ by 1e8 in conductance, which costs as many digits
_ML_MIN = 1e-6 / 60  # m^3/s


@dataclass(frozen=True, eq=False)
class Tube:
    """A vessel: its name, the vertices of its centre line (n, 3) [m] and its diameter [m]."""

    name: str
    points: Array
    diameter: float
    collects: bool = False
    """a draining vessel, a hepatic vein or the cava: its stated flow is that at its last point"""


@dataclass(frozen=True, eq=False)
class Segment:
    """A piece of vessel number ``vessel`` from node ``start`` to node ``end``; its points run like the vessel's."""

    vessel: int
    points: Array
    length: float
    diameter: float
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Network:
    """Vessels cut into segments that meet at nodes.

    ``nodes`` (n_nodes, 3) are their positions [m]; ``free`` (n_nodes,) says which are free ends, of one segment only.
    """

    vessels: tuple[Tube, ...]
    segments: tuple[Segment, ...]
    nodes: Array
    free: Mask

    def flows(self, stated: Sequence[float | None], viscosity: float) -> Array:
        """Volume flow of each segment [m^3/s], positive along its points.

        ``stated[k]`` is the flow of vessel k from its first to its last point (negative: against them), None where it
        follows from the rest. It is that of the vessel's first segment, or of the last if the vessel ``collects``; what
        joins on the way changes the flow of the other segments. In every segment without a stated flow

            Q = pi D^4 / (128 mu L) (p_start - p_end)      (Hagen 1839, Poiseuille 1840; mu = ``viscosity`` [Pa s]),

        the free ends of such segments are at pressure 0 (the capillary bed), and what flows into a node flows out of
        it, to 1e-12 of the largest flow. One viscosity for all does not change how the blood is shared out. A vessel
        that no flow reaches, flows that do not balance and flow with no way out raise InputError (``vessels[k]``).
        """
        given = self._given(stated)
        loose = np.isnan(given)
        parts = self._parts(loose)
        self._refuse_unreached(loose)
        self._refuse_unbalanced(given, parts)
        flow = np.where(loose, 0.0, given)
        largest = float(np.abs(flow).max(initial=0.0))
        if largest == 0:
            return flow
        conductance = np.array([math.pi * s.diameter**4 / (128 * viscosity * s.length) for s in self.segments])
        conductance /= conductance.max()
        # the level of the pressure does not matter in a part without free ends: any node of it may be 0
        _, first = np.unique(parts, return_index=True)
        zero = self.free.copy()
        zero[first[~np.isin(parts[first], parts[self.free])]] = True
        pressures = self._pressures(np.where(loose, conductance, 0.0), zero)
        start, end = self._ends
        # The pressures at both ends of a wide segment are nearly the same, so a first answer balances to 1e-9 only.
        # What is left over at the nodes is sent through the network again: the flows gain as many digits each time.
        for _ in range(_ROUNDS):
            pressure = pressures(self._surplus(flow))
            flow[loose] += (conductance * (pressure[start] - pressure[end]))[loose]
        flow[loose & (np.abs(flow) <= _STILL * largest)] = 0.0
        return flow

    def order(self, flows: Array) -> Index:
        """Numbers of the segments, every one after all that feed it; those without flow last.

        Stated flows that go round in a circle raise InputError.
        """
        size = np.abs(flows)
        moving = np.flatnonzero(size > _STILL * size.max(initial=0.0))
        start, end = self._ends
        inlet, outlet = np.where(flows > 0, start, end), np.where(flows > 0, end, start)
        waiting = np.bincount(outlet[moving], minlength=len(self.nodes))
        leaving: list[list[int]] = [[] for _ in self.nodes]
        for segment in moving.tolist():
            leaving[inlet[segment]].append(segment)
        ready = sorted(segment for node in np.flatnonzero(waiting == 0) for segment in leaving[node])
        for segment in ready:  # grows while it is read
            waiting[outlet[segment]] -= 1
            if waiting[outlet[segment]] == 0:
                ready.extend(leaving[outlet[segment]])
        left = set(moving.tolist()) - set(ready)
        if left:
            self._refuse_circle(left, inlet, outlet)
        return np.concatenate([np.array(ready, dtype=np.int64), np.setdiff1d(np.arange(len(flows)), moving)])

    @property
    def _ends(self) -> tuple[Index, Index]:
        pairs = np.array([(segment.start, segment.end) for segment in self.segments], dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _given(self, stated: Sequence[float | None]) -> Array:
        """The stated flow of each segment, NaN where there is none."""
        if len(stated) != len(self.vessels):
            raise ValueError(f"{len(stated)} flows are stated for {len(self.vessels)} vessels")
        given = np.full(len(self.segments), np.nan)
        own: list[list[int]] = [[] for _ in self.vessels]
        for number, segment in enumerate(self.segments):
            own[segment.vessel].append(number)
        for k, (vessel, flow) in enumerate(zip(self.vessels, stated, strict=True)):
            if flow is not None:
                given[own[k][-1 if vessel.collects else 0]] = flow
        return given

    def _parts(self, links: Mask) -> Index:
        """For each node the number of its part: what hangs together through the segments of ``links``."""
        start, end = (ends[links] for ends in self._ends)
        n = len(self.nodes)
        graph = scipy.sparse.coo_array((np.ones(len(start)), (start, end)), shape=(n, n))
        return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)

    def _surplus(self, flow: Array) -> Array:
        """What flows into each node less what flows out of it."""
        start, end = self._ends
        n = len(self.nodes)
        return np.asarray(np.bincount(end, flow, n) - np.bincount(start, flow, n))

    def _pressures(self, conductance: Array, zero: Mask) -> Callable[[Array], Array]:
        """From the inflow at each node to its pressure: sum_j G_ij (p_i - p_j) = inflow_i, p = 0 at ``zero`` nodes."""
        start, end = self._ends
        n = len(self.nodes)
        where = np.concatenate([start, end, start, end]), np.concatenate([start, end, end, start])
        entries = np.concatenate([conductance, conductance, -conductance, -conductance])
        inner = np.flatnonzero(~zero)
        if len(inner) == 0:
            return np.zeros_like
        matrix = scipy.sparse.coo_array((entries, where), shape=(n, n)).tocsr()
        factors = scipy.sparse.linalg.splu(matrix[inner][:, inner].tocsc())

        def solve(inflow: Array) -> Array:
            pressure = np.zeros(n)
            pressure[inner] = factors.solve(inflow[inner])
            return pressure

        return solve

    # ------------------------------------------------------------------------------------------------ refusals

    def _name(self, vessel: int) -> str:
        return f"'{self.vessels[vessel].name}'"

    def _refuse_unreached(self, loose: Mask) -> None:
        """Every vessel must hang together with one whose flow is stated."""
        parts = self._parts(np.ones(len(self.segments), dtype=bool))[self._ends[0]]  # of each segment
        dry = np.flatnonzero(~np.isin(parts, parts[~loose]))
        if len(dry) == 0:
            return
        vessel = self.segments[dry[0]].vessel
        others = {s.vessel for s, part in zip(self.segments, parts, strict=True) if part != parts[dry[0]]}
        gaps = sorted((_gap(self.vessels[vessel], self.vessels[other]), other) for other in others)
        nearest = f" (the nearest, {self._name(gaps[0][1])}, is {_mm(gaps[0][0])} away)" if gaps else ""
        raise InputError(
            f"vessels[{vessel}]",
            f"{self._name(vessel)} is joined to no vessel with a flow; state its flow (0 mL/min for blood that stands "
            f"still), or let one of its ends meet another vessel{nearest}",
        )

    def _refuse_unbalanced(self, given: Array, parts: Index) -> None:
        """What is stated to flow into a part without free ends must be stated to flow out of it."""
        loose = np.isnan(given)
        flow = np.where(loose, 0.0, given)
        start, end = (parts[ends] for ends in self._ends)
        n = len(self.nodes)
        excess = np.bincount(end, flow, n) - np.bincount(start, flow, n)
        size = np.bincount(end, np.abs(flow), n) + np.bincount(start, np.abs(flow), n)
        wrong = np.abs(excess) > _BALANCED * size
        wrong[parts[self.free]] = False
        if not wrong.any():
            return
        part = int(np.argmax(wrong))
        across = np.flatnonzero(~loose & ((start == part) != (end == part)))
        says = ", ".join(
            f"{self._name(self.segments[s].vessel)} {'brings' if (end[s] == part) == (flow[s] >= 0) else 'takes'} "
            f"{_ml_min(abs(flow[s]))}"
            for s in across
        )
        path = f"vessels[{self.segments[across[np.argmax(np.abs(flow[across]))]].vessel}]"
        left = f"{_ml_min(abs(excess[part]))} {'too much' if excess[part] > 0 else 'too little'}"
        inside = sorted({self.segments[s].vessel for s in np.flatnonzero(loose & (start == part))})
        if inside:
            raise InputError(
                path,
                f"{says}, and no end of {' or '.join(map(self._name, inside))} is free: flow with no "
                f"{'outlet' if excess[part] > 0 else 'inlet'}, {left}; state flows that balance, or leave an end free",
            )
        raise InputError(
            path,
            f"the flows that meet at {_at(self.nodes[np.argmax(parts == part)])} do not balance: {says}, {left}; "
            "correct one, or leave one out so that it follows from the others",
        )

    def _refuse_circle(self, left: set[int], inlet: Index, outlet: Index) -> None:
        """Name a circle among the segments of ``left``, which wait for each other."""
        here, seen = min(left), list[int]()
        while here not in seen:
            seen.append(here)
            here = min(s for s in left if outlet[s] == inlet[here])
        circle = sorted({self.segments[s].vessel for s in seen[seen.index(here) :]})
        raise InputError(
            f"vessels[{circle[0]}]",
            f"the blood goes round in a circle through {', '.join(map(self._name, circle))}; state flows that lead "
            "from an inlet to an outlet",
        )


def build_network(vessels: Sequence[Tube]) -> Network:
    """Join vessels where an end of one meets another, and cut them there.

    An end meets another vessel that it comes near to, within half of the larger of the two diameters: at a vertex that
    it coincides with (1 um), otherwise at an end, at the nearest other vertex, at the nearest point of the centre line,
    whichever comes first in this list. What is nearest is joined first. Two places that do not coincide are not joined
    if they hang together already by a way no longer than three of those half diameters: the first branching of a
    branch may lie inside a wide trunk, and is no second mouth into it. No node holds two places of one vessel.
    """
    tubes = tuple(vessels)
    ways = [np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(t.points, axis=0), axis=1))]) for t in tubes]
    places: list[Place] = [(k, s) for k, way in enumerate(ways) for s in (0.0, float(way[-1]))]
    groups = _join(places, _joints(tubes, ways, places))

    def point(place: Place) -> Array:
        k, s = place
        return np.array([np.interp(s, ways[k], coordinate) for coordinate in tubes[k].points.T])

    node = {places[n]: number for number, group in enumerate(groups) for n in group}
    nodes = np.array([np.mean([point(places[n]) for n in group], axis=0) for group in groups]).reshape(-1, 3)
    segments = []
    for k, tube in enumerate(tubes):
        for first, last in pairwise(sorted(place for place in node if place[0] == k)):
            inner = tube.points[(ways[k] > first[1] + _SAME) & (ways[k] < last[1] - _SAME)]
            points = np.vstack([point(first), inner, point(last)])
            segments.append(Segment(k, points, last[1] - first[1], tube.diameter, node[first], node[last]))
    ends = np.array([(s.start, s.end) for s in segments], dtype=np.int64).ravel()
    return Network(tubes, tuple(segments), nodes, np.bincount(ends, minlength=len(nodes)) == 1)


def _joints(tubes: Sequence[Tube], ways: list[Array], places: list[Place]) -> list[tuple[float, int, int, float]]:
    """(gap, number of an end, number of the place that it meets, reach); adds new places to ``places``."""
    if not tubes:
        return []
    low = np.array([tube.points.min(axis=0) for tube in tubes])
    high = np.array([tube.points.max(axis=0) for tube in tubes])
    diameter = np.array([tube.diameter for tube in tubes])
    found = []
    of_tube: list[list[tuple[int, float]]] = [[] for _ in tubes]  # number and way of the places of each
    for number, (k, way) in enumerate(places):
        of_tube[k].append((number, way))
    for end in range(2 * len(tubes)):
        own, point = end // 2, tubes[end // 2].points[-(end % 2)]
        reach = np.maximum(diameter, diameter[own]) / 2
        apart = np.linalg.norm(np.maximum(0, np.maximum(low - point, point - high)), axis=1)
        for k in np.flatnonzero(apart <= reach).tolist():
            meeting = _meeting(tubes[k].points, ways[k], point, float(reach[k])) if k != own else None
            if meeting is None:
                continue
            gap, way = meeting
            number = next((n for n, s in of_tube[k] if abs(s - way) < _SAME), len(places))
            if number == len(places):
                places.append((k, way))
                of_tube[k].append((number, way))
            found.append((gap, end, number, float(reach[k])))
    return found


def _meeting(points: Array, way: Array, point: Array, reach: float) -> tuple[float, float] | None:
    """Where an end at ``point`` meets a vessel: (gap, way along the vessel), None if nowhere."""
    gap = np.linalg.norm(points - point, axis=1)
    nearest, end = int(np.argmin(gap)), 0 if gap[0] <= gap[-1] else len(gap) - 1
    if gap[nearest] <= _SAME:
        return 0.0, float(way[nearest])
    for vertex in (end, nearest):
        if gap[vertex] <= reach:
            return float(gap[vertex]), float(way[vertex])
    distance, foot = _foot(points, way, point)
    return (distance, foot) if distance <= reach else None


def _foot(points: Array, way: Array, point: Array) -> tuple[float, float]:
    """Distance of ``point`` from a polyline, and the way along it to the nearest point."""
    step = np.diff(points, axis=0)
    share = np.clip(np.sum((point - points[:-1]) * step, axis=1) / np.sum(step**2, axis=1), 0, 1)
    gap = np.linalg.norm(points[:-1] + share[:, None] * step - point, axis=1)
    k = int(np.argmin(gap))
    return float(gap[k]), float(way[k] + share[k] * (way[k + 1] - way[k]))


def _join(places: list[Place], joints: list[tuple[float, int, int, float]]) -> list[list[int]]:
    """The nodes, as lists of the numbers of places that they hold; every end is in one, other places if joined."""
    group = [[n] for n in range(len(places))]
    for gap, one, two, reach in sorted(joints):
        if {places[n][0] for n in group[one]} & {places[n][0] for n in group[two]}:
            continue
        if gap > 0 and _connected(places, group, one, two, _DETOUR * reach):
            continue
        merged = sorted(group[one] + group[two])
        for n in merged:
            group[n] = merged
    ends = 2 * (1 + max((vessel for vessel, _ in places), default=-1))
    return [members for n, members in enumerate(group) if members[0] == n and (n < ends or len(members) > 1)]


def _connected(places: list[Place], group: list[list[int]], one: int, two: int, limit: float) -> bool:
    """Whether a way along vessels and through joints no longer than ``limit`` [m] leads from ``one`` to ``two``."""
    best = {one: 0.0}
    queue = [(0.0, one)]
    while queue:
        way, here = heapq.heappop(queue)
        if here in group[two]:
            return True
        vessel, s = places[here]
        along = [(n, abs(t - s)) for n, (v, t) in enumerate(places) if v == vessel and n != here]
        for n, length in [*along, *((n, 0.0) for n in group[here])]:
            if way + length <= limit and way + length < best.get(n, math.inf):
                best[n] = way + length
                heapq.heappush(queue, (way + length, n))
    return False


def _gap(one: Tube, two: Tube) -> float:
    """Smallest distance [m] between an end of one vessel and the centre line of the other."""
    return min(
        _foot(line.points, np.arange(float(len(line.points))), tube.points[end])[0]
        for tube, line in ((one, two), (two, one))
        for end in (0, -1)
    )


def _mm(length: float) -> str:
    return f"{round(1e3 * length, 2):g} mm"


def _at(point: Array) -> str:
    return f"({', '.join(f'{round(1e3 * float(x), 2):g}' for x in point)}) mm"


def _ml_min(flow: float) -> str:
    return f"{float(flow) / _ML_MIN:.6g} mL/min"


# ---------------------------------------------------------------------------------------------- from a case


# The networks of the last few tuples of vessels: a case is checked, and then run.
_KNOWN: deque[tuple[Sequence[Vessel], tuple[Network | None, tuple[int, ...]]]] = deque(maxlen=4)


def flowing_network(vessels: Sequence[Vessel]) -> tuple[Network | None, tuple[int, ...]]:
    """The network of the vessels of a case in which blood flows (None without any), and which of them these are."""
    for known, found in tuple(_KNOWN):
        if known is vessels:
            return found
    flowing = tuple(k for k, vessel in enumerate(vessels) if vessel.treatment != "held")
    if not flowing:
        return None, ()
    chosen = [vessels[k] for k in flowing]
    network = build_network([Tube(v.name, np.array(v.points), v.diameter, v.collects) for v in chosen])
    if isinstance(vessels, tuple):  # else they may change
        for array in (network.nodes, network.free, *(piece.points for piece in network.segments)):
            array.setflags(write=False)
        _KNOWN.append((vessels, (network, flowing)))
    return network, flowing


def renumbered(path: str, flowing: Sequence[int]) -> str:
    """The path of a complaint about the network's ``vessels[k]``, with the number that this vessel has in the case."""
    match = re.match(r"vessels\[(\d+)\](.*)", path)
    return path if match is None else f"vessels[{flowing[int(match[1])]}]{match[2]}"
