"""Blood in vessels: where it flows, how warm it is, and what it takes from the tissue.

    rho_b c_b (A dT_b/dt + Q dT_b/ds) = h P (T_wall - T_b),      h = Nu k_b / D

The bulk temperature ``T_b`` lives on stations along the centre lines. A meshed vessel exchanges heat through its wall's
facets. A thin one is a line: it exchanges heat with the tissue on a circle around it, of radius ``r``, through

    q' = (T(r) - T_b) / (1 / (pi Nu k_b) + ln(r_eq / R) / (2 pi k))       [W/m]

whose second resistance is that of the tissue between its wall (radius ``R``) and the circle; where the mesh is coarser
than the vessel, the circle is as wide as an edge, so that its mean temperature is one that the mesh can tell (Koeppl,
Vidotto, Wohlmuth & Zunino 2018, Int. J. Numer. Meth. Biomed. Eng. 34:e3095, spread a line source likewise).

The Nusselt number at a station is that of the boundary layer which the wall's temperatures upstream have made. A layer
is as thick as after an entry length ``x``, with ``x^(-1/3) = sum_j (s - s_j)^(-1/3) dT_j / dT``: Leveque's solution for
each rise ``dT_j`` of the wall temperature, superposed (Lighthill 1950, Proc. R. Soc. A 202:359). It begins anew in each
segment of the network.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rfasim.circulation import Inflow
from rfasim.convection import local_nusselt, prandtl, reynolds
from rfasim.lumens import FAR_SIZE, is_meshed
from rfasim.network import flowing_network
from rfasim.solver import surface
from rfasim.solver.linear import System
from rfasim.solver.location import Locator
from rfasim.solver.space import Array
from rfasim.solver.streams import Streams
from rfasim.tissues import resolve_tissues
from rfasim.vessel_kernels import entry_lengths, fill_gaps, settled_walls

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.domain import Domain

# Length of a station over the vessel's diameter; and at least so many stations in a segment, because the upwind scheme
# spreads the temperature by about one station.
STATION, FEWEST = 0.25, 40
# Blood moves by heat conduction, not by its flow, where the Peclet number u D / alpha is below this.
STILL = 1.0
# Points on the circle around a line; radius of the circle over the mesh's edge. What is felt there is off by what the
# tissue inside gives off itself, Q (r^2 - R^2) / 4 k: with a whole edge 5.8 % of the heat that a 2 mm vessel takes in
# evenly heated tissue with edges of 1.4 mm, with 0.6 of it 2.8 %, and no less below (five drawn lines).
AROUND, CIRCLE = 8, 0.6
# How many edges beyond its circle, or its wall, the field around a vessel is taken to be a logarithm.
REACH = 2.5
# A wall facet is divided so many times along each edge, so that its area goes to the right stations.
PARTS = 4
# Keeps the stations of different vessels apart [m].
APART = 1e3
# The wall is warmer than the incoming blood by at least this [K] where a boundary layer is worth tracing.
LEAST_RISE = 0.01


Layers = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, float, Array]


@dataclass(frozen=True)
class Regime:
    """What a stretch of constant flows is made of: the streams, the speed at each station, what stands still."""

    streams: Streams
    pairs: Array  # which pairs of node and station the streams have
    flow: Array  # (stations,) [m^3/s], along the segment's points
    moves: Array  # (stations,) bool: whether the blood there is more than a part of the tissue
    still: frozenset[int]  # meshed vessels of the case that are part of the heat equation's domain


class Bloodstream:
    """The flowing vessels of a case on its mesh.

    Station arrays: ``vessel`` (of the case), ``segment``, ``length`` [m], ``diameter`` [m], ``content`` [J/K]: what the
    blood in it can store. Pairs of a node and a station carry ``measure``: wall area [m^2], or length of line [m].
    """

    def __init__(self, case: Case, domain: Domain) -> None:
        self.case, self.domain = case, domain
        network, self.of_case = flowing_network(domain.vessels)
        assert network is not None, "no blood flows"
        self.network = network
        self.n_nodes = domain.space.n_nodes
        self.tissues = resolve_tissues(case.tissues)
        blood = case.blood
        self.heat_per_volume = blood.density * blood.heat_capacity
        self.kinematic_viscosity = blood.viscosity / blood.density
        self.diffusivity = blood.thermal_conductivity / self.heat_per_volume
        self.prandtl = prandtl(self.kinematic_viscosity, self.diffusivity)
        self._place_stations()
        meshed = np.array([is_meshed(case, v) for v in domain.vessels])
        self.is_line = ~meshed[self.vessel]
        self.resistance = np.zeros(self.n)  # m K/W, between the wall and what is felt of the mesh
        self.line_cell = np.full(self.n, -1)  # the cell that a line's station is in
        self.circle, self.reach = np.zeros(self.n), np.zeros(self.n)  # m, of a line: its circle; how far it is traced
        self.directions = self._directions()
        walls = [k for k in self.of_case if meshed[k]]
        rows = [self._wall_pairs(walls), self._line_pairs()]
        self.nodes, self.stations, self.measure = self._summed(
            *(np.concatenate([row[k].ravel() for row in rows]) for k in range(3))
        )
        if (self.reach > 0).any():
            self.resistance *= self._mesh_resistance() / (2 * np.pi)
        # blood in the lumens' cells: (node, station, volume)
        self.lumen_nodes, self.lumen_stations, self.lumen_volumes = self._summed(*self._lumen_shares(walls))
        self.volume = np.bincount(self.lumen_stations, self.lumen_volumes, self.n)
        self.capacity = np.zeros(self.n)
        for k in walls:
            tissue, mine = self.tissues[domain.vessels[k].tissue], self.vessel == k
            self.capacity[mine] = self.volume[mine] * tissue.density * tissue.heat_capacity
        self.wall = np.bincount(self.stations, self.measure, self.n)
        self.has_wall = self.wall > 0
        inlet = [blood.temperature if v.temperature is None else v.temperature for v in domain.vessels]
        self.inlet = np.array(inlet)[self.vessel]
        self.content = self.heat_per_volume * np.pi / 4 * self.diameter**2 * self.length

    def _place_stations(self) -> None:
        """Stations of equal length along each segment of the network."""
        segment, length, middle = [], [], []
        self.first: list[int] = []
        self.count: list[int] = []
        for number, piece in enumerate(self.network.segments):
            n = max(FEWEST, int(np.ceil(piece.length / (STATION * piece.diameter))))
            along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(piece.points, axis=0), axis=1))])
            at = (np.arange(n) + 0.5) / n * along[-1]
            self.first.append(sum(self.count))
            self.count.append(n)
            segment.append(np.full(n, number))
            length.append(np.full(n, along[-1] / n))
            middle.append(np.stack([np.interp(at, along, piece.points[:, axis]) for axis in range(3)], axis=1))
        self.firsts, self.counts = np.array(self.first), np.array(self.count)
        self.steps = np.diff(np.arange(max(self.count) + 1.0) ** (2 / 3))
        self.segment = np.concatenate(segment)
        self.length = np.concatenate(length)
        self.middle = np.concatenate(middle)
        pieces = self.network.segments
        self.diameter = np.array([piece.diameter for piece in pieces])[self.segment]
        self.vessel = np.array([self.of_case[piece.vessel] for piece in pieces])[self.segment]
        self.n = len(self.segment)

    def _nearest(self, vessel: Array, x: Array) -> Array:
        """The station nearest to each point ``x`` (n, 3) of those of its ``vessel`` (n,)."""
        from scipy.spatial import cKDTree

        # a fourth coordinate keeps the vessels apart, and is exactly 0 between those of one
        places = np.column_stack([self.middle, APART * self.vessel])
        return np.asarray(cKDTree(places).query(np.column_stack([x, APART * vessel]))[1])

    def _wall_pairs(self, vessels: Sequence[int]) -> tuple[Array, Array, Array]:
        """Nodes of the walls, stations, and wall area [m^2] between them."""
        none = np.zeros((0, 3), np.uint32)
        walls = [self.domain.mesh.facets.get(f"vessels[{k}].wall", none) for k in vessels]
        facets = np.concatenate([none, *walls]).astype(np.int64)
        vessel = np.repeat(np.array(vessels, np.int64), [len(wall) for wall in walls])
        if len(facets) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        corners = self.domain.space.points[facets]
        normal = 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        weights = _subdivision(PARTS)
        x = np.einsum("pv,fvd->fpd", weights, corners)
        station = self._nearest(np.repeat(vessel, len(weights)), x.reshape(-1, 3)).reshape(len(facets), -1)
        # the part of the round wall that a facet stands for, seen from the centre line: exact whatever its facets
        along = self.directions[station]
        out = x - self.middle[station]
        out -= np.einsum("fpd,fpd->fp", out, along)[..., None] * along
        squared = np.maximum(np.einsum("fpd,fpd->fp", out, out), 1e-30)
        radius = np.array([v.diameter / 2 for v in self.domain.vessels])[vessel][:, None]
        area = radius * np.abs(np.einsum("fd,fpd->fp", normal, out)) / squared
        shares = area[..., None] / len(weights) * weights
        k = np.array([t.thermal_conductivity for t in self.domain.tissues])
        behind = surface.facet_cells(self.domain.space.cells, facets, self.domain.vessel_of_cell < 0)
        mean = np.bincount(station.ravel(), np.repeat(k[self.domain.cell_tissue[behind]], len(weights)), self.n)
        seen = np.bincount(station.ravel(), minlength=self.n)
        own = np.flatnonzero(seen)
        self.resistance[own] = seen[own] / mean[own]
        self.reach[own] = (0.5 + REACH * FAR_SIZE) * self.diameter[own]
        nodes = np.broadcast_to(facets[:, None, :], shares.shape)
        return nodes, np.broadcast_to(station[:, :, None], shares.shape), shares

    def _lumen_shares(self, vessels: Sequence[int]) -> tuple[Array, Array, Array]:
        """Nodes of the lumens, stations, and volume of blood [m^3] between them."""
        space, of_cell = self.domain.space, self.domain.vessel_of_cell
        cells = np.flatnonzero(np.isin(of_cell, vessels))
        vertices = space.cells[cells].astype(np.int64)
        if len(cells) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        station = self._nearest(of_cell[cells], space.points[vertices].mean(axis=1))
        shares = np.asarray(space.shares[cells])
        return vertices, np.broadcast_to(station[:, None], vertices.shape), shares

    def _line_pairs(self) -> tuple[Array, Array, Array]:
        """Nodes around lines, stations, and length of line [m] between them; notes the tissue's resistance."""
        domain, space = self.domain, self.domain.space
        own = np.flatnonzero(self.is_line)
        if len(own) == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        locator = Locator(space.points, space.cells, domain.conducts & (domain.vessel_of_cell < 0))
        at, _ = locator(self.middle[own])
        inside = at >= 0
        own, at = own[inside], at[inside]
        self.line_cell[own] = at
        # the edge of a regular tetrahedron of the cell's volume
        edge = np.cbrt(6 * np.sqrt(2.0) * space.volumes[at])
        radius = np.maximum(self.diameter[own] / 2, CIRCLE * edge)
        u, v = _across(self.directions[own])
        turn = 2 * np.pi * (np.arange(AROUND) + 0.5) / AROUND
        x = self.middle[own][:, None] + radius[:, None, None] * (
            np.cos(turn)[None, :, None] * u[:, None] + np.sin(turn)[None, :, None] * v[:, None]
        )
        cell, weights = locator(x.reshape(-1, 3))
        found = cell >= 0
        station = np.repeat(own, AROUND)[found]
        vertices = space.cells[cell[found]].astype(np.int64)
        around = np.bincount(station, minlength=self.n)
        share = weights[found] * (self.length / np.maximum(around, 1))[station][:, None]
        k = np.array([t.thermal_conductivity for t in domain.tissues])[domain.cell_tissue[at]]
        self.resistance[own] = 1.0 / k
        self.circle[own], self.reach[own] = radius, radius + REACH * edge
        return vertices, np.broadcast_to(station[:, None], vertices.shape), share

    def _summed(self, nodes: Array, stations: Array, values: Array) -> tuple[Array, Array, Array]:
        """Rows (node, station, value) with equal pairs added up, ordered by vessel, then by node."""
        stations = stations.ravel()
        pair = (self.vessel[stations].astype(np.int64) * self.n_nodes + nodes.ravel()) * self.n + stations
        pairs, inverse = np.unique(pair, return_inverse=True)
        return (
            pairs // self.n % self.n_nodes, pairs % self.n,
            np.bincount(inverse.reshape(-1), values.ravel(), len(pairs)),
        )  # fmt: skip

    def _mesh_resistance(self) -> Array:
        """``ln(r_eq / R)`` at each station: what lies between the vessel's wall and what it feels of the mesh.

        A line gives its heat to the corners of cells around it; a meshed wall's nodes are linear in between, where the
        temperature falls off like a logarithm. So the mesh itself is asked: its own solution around all vessels, with
        heat 1 W/m given to their nodes and ``-ln(r) / 2 pi`` some edges away, has at a vessel's nodes the mean
        ``-ln(r_eq) / 2 pi``. (For wells in reservoirs: Peaceman, SPE J. 18 (1978) 183.)
        """
        from scipy.spatial import cKDTree

        space, radius = self.domain.space, self.diameter / 2
        known = np.flatnonzero(self.reach > 0)
        _, nearest = cKDTree(self.middle[known]).query(space.points)
        nearest = known[nearest]
        off = space.points - self.middle[nearest]
        distance = np.linalg.norm(off, axis=1)
        along = self.directions[nearest]
        off -= np.einsum("nd,nd->n", off, along)[:, None] * along
        tissue = self.domain.vessel_of_cell < 0
        touched = np.zeros(space.n_nodes, bool)
        touched[np.unique(space.cells[tissue])] = True
        far = (distance > self.reach[nearest]) & touched
        system = System(space, far, ~touched)
        if system.n == 0:
            return np.zeros(self.n)
        little = np.full(space.n_nodes, 1e-12 * np.cbrt(space.volumes.max()))
        system.set_matrix(space.assemble(tissue.astype(float)), little)
        u = np.where(far, -np.log(np.maximum(np.linalg.norm(off, axis=1), 1e-9)) / (2 * np.pi), 0.0)
        length = np.where(self.is_line, 1.0, 1.0 / (np.pi * self.diameter))[self.stations] * self.measure
        system.solve(np.bincount(self.nodes, length, space.n_nodes), u, 1e-6)
        felt = np.bincount(self.stations, length * u[self.nodes], self.n)
        total = np.bincount(self.stations, length, self.n)
        reference = np.where(self.is_line, self.circle, radius)
        asked = -2 * np.pi * felt / np.where(total > 0, total, 1.0)
        # where vessels meet or end the field is another, and there the logarithm tells little
        reference = np.maximum(reference, 1e-9)
        beyond = np.clip(asked - np.log(reference), -0.1, np.where(self.is_line, 0.7, 0.2))
        return np.where(total > 0, np.maximum(np.log(reference / radius) + beyond, 0.0), 0.0)

    def _directions(self) -> Array:
        """Unit vector along the centre line at each station."""
        first, last = self.firsts, self.firsts + self.counts - 1
        out = np.empty((self.n, 3))
        out[1:-1] = (self.middle[2:] - self.middle[:-2]) / 2
        out[first] = self.middle[first + 1] - self.middle[first]
        out[last] = self.middle[last] - self.middle[last - 1]
        return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))

    # ------------------------------------------------------------------------------------------------- flow

    def regime(self, inflow: Inflow, closed: Sequence[int] = ()) -> Regime:
        """The streams with ``inflow`` and the ``closed`` vessels (of the case) shut."""
        blood = self.case.blood
        stated: list[float | None] = []
        for k in self.of_case:
            vessel = self.domain.vessels[k]
            flow = vessel.stated_flow
            stated.append(0.0 if k in closed else None if flow is None else flow * inflow.of(vessel.kind))
        flows = self.network.flows(stated, blood.viscosity)
        section = np.array([np.pi / 4 * piece.diameter**2 for piece in self.network.segments])
        diameters = np.array([piece.diameter for piece in self.network.segments])
        flows = np.where(np.abs(flows) / section * diameters / self.diffusivity < STILL, 0.0, flows)
        moves = flows != 0.0
        feeds, order = self._feeds(flows)
        flow = flows[self.segment]
        still = frozenset(
            int(k) for k in np.unique(self.vessel[~self.is_line]) if not moves[self.segment[self.vessel == k]].any()
        )
        # a meshed vessel that stands still is part of the heat equation's domain; a line that does is tissue
        alive = np.where(self.is_line, flow != 0.0, ~np.isin(self.vessel, list(still)))
        pairs = np.flatnonzero(alive[self.stations])
        streams = Streams(
            np.where(alive, self.capacity, 0.0), self.nodes[pairs], self.stations[pairs], feeds, self.inlet, order,
            self.is_line, self.n_nodes,
        )  # fmt: skip
        return Regime(streams, pairs, flow, alive, still)

    def _feeds(self, flows: Array) -> tuple[Array, Array]:
        """Rows (station, what feeds it, capacity rate [W/K]), and the stations in the order of the stream."""
        pieces = self.network.segments
        rows: list[tuple[int, int, float]] = []
        order: list[Array] = []
        leaving: dict[int, list[tuple[int, float]]] = {}  # node -> (last station, flow) of what flows into it
        out = np.zeros(len(self.network.nodes))  # what flows out of each node into segments
        for number, piece in enumerate(pieces):
            if flows[number] != 0:
                out[piece.start if flows[number] > 0 else piece.end] += abs(flows[number])
        for number in self.network.order(flows):
            piece, flow = pieces[number], flows[number]
            own = self.first[number] + np.arange(self.count[number])
            own = own if flow >= 0 else own[::-1]
            order.append(own)
            if flow == 0:
                continue
            start, end = (piece.start, piece.end) if flow > 0 else (piece.end, piece.start)
            rate = self.heat_per_volume * abs(flow)
            arriving = leaving.get(start, [])
            total = max(sum(q for _, q in arriving), out[start])
            for station, q in arriving:
                rows.append((int(own[0]), station, rate * q / total))
            # what no segment brings comes from outside: an inlet, or small branches that were left out
            missing = 1.0 - sum(q for _, q in arriving) / total
            if not arriving or missing > 1e-9:
                rows.append((int(own[0]), -1, rate * missing))
            rows += [(int(b), int(a), rate) for a, b in itertools.pairwise(own)]
            leaving.setdefault(end, []).append((int(own[-1]), abs(flow)))
        feeds = np.array(rows, float).reshape(-1, 3)
        return feeds, np.concatenate(order)

    # ------------------------------------------------------------------------------------------------- heat

    def wall_temperature(self, T: Array, theta: Array) -> Array:
        """Mean temperature [degC] all round of the wall at each station (of a line: on its circle)."""
        total = np.bincount(self.stations, self.measure * T[self.nodes], self.n)
        wall = np.where(self.has_wall, total / np.where(self.has_wall, self.wall, 1.0), theta)
        # gaps between coarse facets; what is outside the domain is as warm as its blood
        fill_gaps(self.firsts, self.counts, self.has_wall, wall)
        return np.asarray(wall)

    def nusselt_at(self, regime: Regime, T: Array, theta: Array) -> Array:
        """Nusselt number at each station, with the nodes at ``T`` and the blood at ``theta`` [degC]."""
        return self.nusselt(regime, self.wall_temperature(T, theta), theta)

    def nusselt(self, regime: Regime, wall: Array, theta: Array) -> Array:
        """Nusselt number at each station for the temperatures of wall and blood [degC]."""
        return self._nusselt(regime, self._entry_lengths(regime, wall, theta))

    def next_nusselt(self, regime: Regime, Nu: Array, T: Array, theta: Array) -> Array:
        """The same with the nodes at ``T``, after a step that was made with ``Nu``: on the way to where wall and
        boundary layer agree.

        A layer is thin where the wall gets warmer, and then cools it: the numbers of the present wall would be too high
        there and after the next step too low, ever more so along a long vessel. So they are those of the wall as it
        will be, if the tissue's resistance is the film's. Whatever it is, a deviation of one wavelength becomes
        ``(A - h) (h - K) / ((A + h) (h + K))`` times itself, with the layer's answer ``A`` (real part above 0), the
        film's ``h`` and the tissue's ``K``: always less.
        """
        wall, settled = self.wall_temperature(T, theta), np.empty(self.n)
        distance = self._entry_lengths(regime, wall, theta)
        settled_walls(*self._layers(regime, wall, theta), Nu, self._nusselt(regime, distance), distance, settled)
        return self.nusselt(regime, settled, theta)

    def _layers(self, regime: Regime, wall: Array, theta: Array) -> Layers:
        """What the loops over boundary layers take: the segments, the walls, and what flows into each station."""
        s = regime.streams
        return (
            self.firsts, self.counts, self.length, regime.flow, wall, theta, s.starts, s.sources, s.rates, s.inlet,
            LEAST_RISE, self.steps,
        )  # fmt: skip

    def _entry_lengths(self, regime: Regime, wall: Array, theta: Array) -> Array:
        distance = np.empty(self.n)
        entry_lengths(*self._layers(regime, wall, theta), distance)
        return distance

    def _nusselt(self, regime: Regime, distance: Array) -> Array:
        Re = reynolds(np.abs(regime.flow), self.diameter, self.kinematic_viscosity)
        return np.asarray(local_nusselt(Re, self.prandtl, self.diameter, distance))

    def exchange(self, regime: Regime, Nu: Array) -> Array:
        """Conductance [W/K] of the regime's pairs of node and station, with the Nusselt numbers of the stations."""
        return np.asarray(self._conductance(Nu)[self.stations[regime.pairs]] * self.measure[regime.pairs])

    def _conductance(self, Nu: Array) -> Array:
        """Per wall area [W/(m^2 K)], of lines per length [W/(m K)]."""
        k = self.case.blood.thermal_conductivity
        film = 1.0 / (np.pi * Nu * k)
        along = 1.0 / (film + self.resistance)
        return np.asarray(np.where(self.is_line, along, along / (np.pi * self.diameter)))

    def joule_in_lines(self, regime: Regime, fields: Array, rows: Array, shares: Sequence[float], T: Array,
                       theta: Array) -> Array:  # fmt: skip
        """Joule heat [W] of blood in lines, less that of the tissue which the mesh has in its place, at each station.

        The field in a thin conducting cylinder is ``E`` along it and ``2 y_t / (y_t + y_b) E`` across it, where ``E``
        is that of the tissue without it. ``fields`` (ports, n_nodes): unit potentials; ``rows`` (n, ports): voltages,
        each for its share of the time.
        """
        out = np.zeros(self.n)
        own = np.flatnonzero((self.line_cell >= 0) & (regime.flow != 0.0))
        if len(own) == 0:
            return out
        space = self.domain.space
        p = space.points[space.cells[self.line_cell[own]]]
        u = (rows @ fields[:, space.cells[self.line_cell[own]].ravel()]).reshape(len(rows), len(own), 4)
        steps = (u[:, :, 1:] - u[:, :, :1])[..., None]
        E = np.linalg.solve((p[:, 1:] - p[:, :1]).astype(steps.dtype), steps)[..., 0]
        along = np.abs(np.einsum("rsd,sd->rs", E, self.directions[own])) ** 2
        across = np.maximum(np.sum(np.abs(E) ** 2, axis=2) - along, 0.0)
        along, across = (np.asarray(shares) @ part for part in (along, across))
        y_tissue, y_blood = self._line_admittivities(own, self.wall_temperature(T, theta)[own], theta[own])
        inside = np.abs(2 * y_tissue / (y_tissue + y_blood)) ** 2
        heat = y_blood.real * (along + inside * across) - y_tissue.real * (along + across)
        out[own] = heat * np.pi / 4 * self.diameter[own] ** 2 * self.length[own]
        return out

    def _line_admittivities(self, own: Array, tissue_T: Array, blood_T: Array) -> tuple[Array, Array]:
        """Admittivity [S/m] of the tissue around and of the blood in stations of lines, at their temperatures."""
        case, d = self.case, self.domain
        y_tissue, y_blood = np.empty(len(own), complex), np.empty(len(own), complex)
        kinds = d.cell_tissue[self.line_cell[own]]
        for kind in np.unique(kinds):
            at = kinds == kind
            tissue = d.tissues[kind]
            y_tissue[at] = tissue.admittivity(case.frequency) * tissue.conductivity_law.factor(tissue_T[at])
        for vessel in np.unique(self.vessel[own]):
            at, tissue = self.vessel[own] == vessel, self.tissues[self.domain.vessels[vessel].tissue]
            y_blood[at] = tissue.admittivity(case.frequency) * tissue.conductivity_law.factor(blood_T[at])
        if case.electric.admittivity == "real":
            y_tissue.imag = y_blood.imag = 0.0
        return y_tissue, y_blood

    def inner_wall(self, regime: Regime, Nu: Array, T: Array, theta: Array) -> Array:
        """Mean temperature [degC] of the wall itself at each station: of a line, inwards from its circle."""
        wall = self.wall_temperature(T, theta)
        film = 1.0 / (np.pi * Nu * self.case.blood.thermal_conductivity)
        share = np.where(self.is_line & (regime.flow != 0), film / (film + self.resistance), 1.0)
        return np.asarray(theta + share * (wall - theta))

    def flow_of_vessel(self, regime: Regime, vessel: int) -> float:
        """Largest volume flow [m^3/s] in a vessel of the case."""
        return float(np.abs(regime.flow[self.vessel == vessel]).max())


def _subdivision(n: int) -> Array:
    """Barycentric coordinates of the middles of the n^2 equal parts of a triangle."""
    out = []
    for i in range(n):
        for j in range(n - i):
            out.append(((3 * i + 1) / (3 * n), (3 * j + 1) / (3 * n)))
            if i + j < n - 1:
                out.append(((3 * i + 2) / (3 * n), (3 * j + 2) / (3 * n)))
    ab = np.array(out)
    return np.column_stack([ab, 1 - ab.sum(axis=1)])


def _across(along: Array) -> tuple[Array, Array]:
    """Two unit vectors perpendicular to each direction and to each other."""
    helper = np.eye(3)[np.abs(along).argmin(axis=1)]
    u = np.cross(along, helper)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return u, np.cross(along, u)
