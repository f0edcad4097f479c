"""Blood in vessels during a run: its temperature, what it carries away, injured walls, clots, and what stands still.

Two things can happen to a vessel, and they are told apart, because they were in experiments (Lu et al., AJR 178
(2002) 47: of pig liver veins thinner than 3 mm all had injured walls, one in five was closed):

- ``wall injured``: its wall has coagulated all round (Omega = 1 of the coagulation set at the wall's mean temperature)
over
  at least one diameter of its length. Thrombosis may follow within days (Ng et al. 2004: portal branches heated during
  a Pringle manoeuvre were closed a week later). The flow goes on.
- ``thrombosed``: blood has turned solid in it (:data:`rfasim.damage.BLOOD_COAGULATION`). Flowing blood takes its dose
along,
  so that it must be far hotter than blood that stands. With ``circulation.thrombosis: occlude`` the vessel is closed
  then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rfasim.circulation import Inflow
from rfasim.damage import BLOOD_COAGULATION, Damage
from rfasim.heat import Storage
from rfasim.solver.space import Array
from rfasim.solver.stepping import GAMMA, WEIGHTS, Step
from rfasim.vessels import Bloodstream, Regime

WALL_CRITERION = "arrhenius_coagulation"
BODY = 37.0  # degC: heat is counted from here, as in the tissue's storage


@dataclass
class Blood:
    """The blood of a run; arrays of one entry a station, but ``hottest`` (a vessel of the case)."""

    stream: Bloodstream
    regime: Regime
    temperature: Array  # degC, of the bulk
    nusselt: Array  # at the end of the last step
    next_nusselt: Array  # at the end of the next one
    coagulation: Array  # Omega of the blood that passes, or stands, there
    wall: Damage  # of the wall, by its mean temperature all round
    hottest: Array  # degC, the hottest point of the wall so far
    carried: Array  # J that the stream has taken out of each station
    closed: tuple[int, ...] = ()  # vessels that no blood passes any more

    @classmethod
    def start(cls, stream: Bloodstream, inflow: Inflow, T: Array) -> Blood:
        """Blood as it is when the tissue has the temperatures ``T``."""
        regime = stream.regime(inflow)
        # a lumen's blood has the temperature of what surrounds it; a line holds none
        theta = np.where(stream.volume > 0, stream.wall_temperature(T, stream.inlet), stream.inlet)
        theta = regime.streams.follow(stream.exchange(regime, stream.nusselt_at(regime, T, theta)), T, theta)
        n, vessels = stream.n, len(stream.domain.vessels)
        Nu = stream.nusselt_at(regime, T, theta)
        return cls(stream, regime, theta, Nu, Nu, np.zeros(n), Damage.start(n), np.full(vessels, -np.inf), np.zeros(n))

    # ------------------------------------------------------------------------------------------------- heat

    def exchange(self, *, ahead: bool) -> Array:
        """Conductance [W/K] of each pair of a node and a station, now or at the end of the next step.

        That end is known before the step: Nusselt numbers taken from temperatures that are only expected swing.
        """
        return self.stream.exchange(self.regime, self.next_nusselt if ahead else self.nusselt)

    def joule_in_lines(self, fields: Array, rows: Array, shares: Sequence[float], T: Array) -> Array:
        """Joule heat [W] of the blood at each station of a line (see :meth:`Bloodstream.joule_in_lines`)."""
        return self.stream.joule_in_lines(self.regime, fields, rows, shares, T, self.temperature)

    def collect(self, power: Array, held: Array, fixed: Array) -> Array:
        """Power [W] into each station of what is set free in nodes inside lumens (``held``, but not ``fixed``)."""
        b = self.stream
        volume = np.bincount(b.lumen_nodes, b.lumen_volumes, b.n_nodes)
        inside = held & ~fixed & (volume > 0)
        share = np.where(inside, power / np.where(volume > 0, volume, 1.0), 0.0)
        return np.bincount(b.lumen_stations, b.lumen_volumes * share[b.lumen_nodes], b.n)

    @property
    def heat(self) -> float:
        """Heat [J] above 37 degC that flowing blood holds in meshed vessels."""
        return float(self.regime.streams.capacity @ (self.temperature - BODY))

    def show(self, T: Array, held: Array, fixed: Array) -> None:
        """Write the blood's temperature into nodes inside lumens where it flows: those ``held``, but not ``fixed``."""
        b = self.stream
        volume = np.bincount(b.lumen_nodes, b.lumen_volumes, b.n_nodes)
        total = np.bincount(b.lumen_nodes, b.lumen_volumes * self.temperature[b.lumen_stations], b.n_nodes)
        inside = held & ~fixed & (volume > 0)
        T[inside] = total[inside] / volume[inside]

    def advance(self, step: Step, h: float) -> float:
        """Take over a step of ``h`` [s]; the heat [J] that the blood has carried away in it."""
        streams = self.regime.streams
        gained = np.zeros(self.stream.n)
        for weight, theta in zip(WEIGHTS, step.stations, strict=True):
            gained += h * weight * streams.carried(theta)
        self.carried += gained
        walls = [
            self.stream.inner_wall(self.regime, self.nusselt, T, theta)
            for T, theta in zip(step.temperatures, step.stations, strict=True)
        ]
        self.wall.advance(walls[0], walls[1], GAMMA * h)
        self.wall.advance(walls[1], walls[2], (1 - GAMMA) * h)
        after = self._at_rest(step.temperatures[2], step.stations[2])
        self._coagulate(step.stations[0], after, h)
        self.temperature = after
        self.nusselt = self.next_nusselt
        self.next_nusselt = self.stream.next_nusselt(self.regime, self.nusselt, step.temperatures[2], after)
        self._note_hottest(step.temperatures[2], walls[2])
        return float(gained.sum())

    def _at_rest(self, T: Array, theta: Array) -> Array:
        """``theta``, where blood is at rest as warm as the nodes in the lumen, or around the line."""
        b = self.stream
        filled = b.volume > 0
        total = np.bincount(b.lumen_stations, b.lumen_volumes * T[b.lumen_nodes], b.n)
        inside = np.where(filled, total / np.where(filled, b.volume, 1.0), b.wall_temperature(T, theta))
        return np.where(self.regime.moves, theta, inside)

    def _coagulate(self, before: Array, after: Array, h: float) -> None:
        """The dose of the blood: it grows with temperature and moves with the stream, ``dOmega/dt + u dOmega/ds =
        k(T)``.

        Backward Euler, for it never overshoots; blood that is fed in has none.
        """
        b, streams = self.stream, self.regime.streams
        rate = BLOOD_COAGULATION.mean_rate(before, after)
        with np.errstate(over="ignore"):
            grown = np.minimum(self.coagulation + h * rate, 1e30)
        self.coagulation = streams.drift(self.coagulation, b.content, b.content * (grown - self.coagulation), h)

    def _note_hottest(self, T: Array, wall: Array) -> None:
        b = self.stream
        nodes = np.full(b.n, -np.inf)
        np.maximum.at(nodes, b.stations, T[b.nodes])
        at = np.where(b.is_line, wall, nodes)
        for k in b.of_case:
            mine = (b.vessel == k) & b.has_wall
            if mine.any():
                self.hottest[k] = max(self.hottest[k], float(at[mine].max()))

    # ----------------------------------------------------------------------------------------------- changes

    def thrombosed(self) -> tuple[int, ...]:
        """Vessels in which blood has turned solid."""
        solid = self.coagulation >= BLOOD_COAGULATION.threshold
        return tuple(k for k in self.stream.of_case if solid[self.stream.vessel == k].any())

    def change(self, inflow: Inflow, T: Array, gone: Array, storage_of: Callable[[Array], Storage]) -> Array | None:
        """Go on with another ``inflow`` or other closed vessels; what each node of the tissue gains by it [J], or None
        where the tissue's part stays as it is.

        Blood that comes to rest in a meshed vessel becomes part of the heat equation's domain, node by node with the
        heat that it has; blood that begins to flow takes its heat along. Neither makes or loses any.
        ``storage_of`` gives the storage of marked cells, ``gone`` the share of water that has left.
        """
        b, before = self.stream, self.regime
        self.regime = b.regime(inflow, self.closed)
        rest, flow = self.regime.still - before.still, before.still - self.regime.still
        gain: Array = np.zeros(b.n_nodes)
        rows: Any = np.flatnonzero(np.isin(b.vessel[b.lumen_stations], list(rest)))
        if len(rows):
            station = b.lumen_stations[rows]
            heat = b.lumen_volumes[rows] / b.volume[station] * b.capacity[station] * (self.temperature[station] - BODY)
            gain += np.bincount(b.lumen_nodes[rows], heat, b.n_nodes)
        rows = np.flatnonzero(np.isin(b.vessel[b.lumen_stations], list(flow)))
        if len(rows):
            kept, _ = storage_of(np.isin(b.domain.vessel_of_cell, list(flow))).enthalpy(T, gone)
            volume = np.bincount(b.lumen_nodes[rows], b.lumen_volumes[rows], b.n_nodes)
            share = b.lumen_volumes[rows] / volume[b.lumen_nodes[rows]]
            heat = np.bincount(b.lumen_stations[rows], share * kept[b.lumen_nodes[rows]], b.n)
            own = np.isin(b.vessel, list(flow)) & (b.capacity > 0)
            self.temperature[own] = BODY + heat[own] / b.capacity[own]
            gain -= kept
        self.nusselt = self.next_nusselt = b.nusselt_at(self.regime, T, self.temperature)
        # what holds no heat follows at once
        theta = self.regime.streams.follow(b.exchange(self.regime, self.nusselt), T, self.temperature)
        self.temperature = np.where(self.regime.streams.capacity > 0, self.temperature, theta)
        return gain if rest or flow else None

    # ------------------------------------------------------------------------------------------------ outcome

    def rows(self) -> dict[int, dict[str, Any]]:
        """What ``summary.json`` tells of each flowing vessel, by its index in the case."""
        b, out = self.stream, {}
        solid = self.thrombosed()
        dead = self.wall.measure(WALL_CRITERION) >= 0.0
        normal = b.regime(Inflow())
        for k in b.of_case:
            vessel, own = b.domain.vessels[k], b.vessel == k
            injured = self._injured_length(k, dead)
            state = "thrombosed" if k in solid else "wall injured" if injured >= vessel.diameter else "patent"
            flow = b.flow_of_vessel(normal, k)
            seen = own & b.has_wall
            out[k] = {
                "name": vessel.name, "kind": vessel.kind, "treatment": "line" if b.is_line[own].all() else "resolved",
                "diameter_mm": vessel.diameter * 1e3, "flow_ml_min": flow * 6e7,
                "heat_removed_j": float(self.carried[own].sum()),
                "wall_max_temperature_c": float(self.hottest[k]) if np.isfinite(self.hottest[k]) else None,
                "wall_max_damage": float(self.wall.arrhenius_coagulation[seen].max()) if seen.any() else None,
                "wall_injured_mm": injured * 1e3,
                "blood_end_temperature_c": float(self.temperature[own].max()),
                "patent": state != "thrombosed", "state": state,
            }  # fmt: skip
        return out

    def _injured_length(self, vessel: int, dead: Array) -> float:
        """Longest stretch [m] of a vessel whose wall has coagulated all round."""
        b, longest = self.stream, 0.0
        for first, n in zip(b.first, b.count, strict=True):
            if b.vessel[first] == vessel:
                run = 0
                for is_dead in dead[first : first + n] & b.has_wall[first : first + n]:
                    run = run + 1 if is_dead else 0
                    longest = max(longest, run * float(b.length[first]))
        return longest

    # -------------------------------------------------------------------------------------------- checkpoints

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        out: dict[str, Any] = {f"blood_wall_{name}": values for name, values in self.wall.state().items()}
        return out | {
            "blood_temperature": self.temperature, "blood_nusselt": self.nusselt,
            "blood_next_nusselt": self.next_nusselt, "blood_coagulation": self.coagulation,
            "blood_hottest": self.hottest, "blood_carried": self.carried,
            "blood_closed": np.array(self.closed, np.int64),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any], inflow: Inflow) -> None:
        """Take back what :meth:`state` gave, at a moment with this ``inflow``."""
        self.temperature, self.coagulation = np.array(saved["blood_temperature"]), np.array(saved["blood_coagulation"])
        self.nusselt, self.next_nusselt = np.array(saved["blood_nusselt"]), np.array(saved["blood_next_nusselt"])
        self.hottest, self.carried = np.array(saved["blood_hottest"]), np.array(saved["blood_carried"])
        prefix = "blood_wall_"
        wall = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
        self.wall = Damage.from_state(wall)
        self.closed = tuple(int(k) for k in np.atleast_1d(saved["blood_closed"]))
        self.regime = self.stream.regime(inflow, self.closed)
