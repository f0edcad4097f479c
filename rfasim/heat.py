"""The bioheat equation as a sum of terms.

    dH(T)/dt = div(k grad T)                  Conduction
             + Re(y) |grad phi|^2             Joule
             + w rho_b c_b (T_b - T)          Perfusion      (rises with mild heat, stops where tissue has coagulated)
             + q_m                            Metabolism
             + h (T_c - T) on surfaces        SurfaceExchange (cooled shafts, far field)
             - rho_w c_w q . grad T           stepping.Drift: what saline carries that seeps through the pores
             + h (T_blood - T) on walls       vessels.Bloodstream: the blood's temperature is an unknown of its own

``H`` is the volumetric enthalpy with the latent heat of the tissue's water. Each term says what it adds to each node:
a reaction [W/K] and a source [W], so that the node gains ``source - reaction * T``. A missing term is not in the tuple.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from rfasim.solver.space import Array, Space
from rfasim.solver.stepping import Kinks
from rfasim.tissues import WATER_HEAT, Constant, PerfusionLaw, Stasis, Tissue


@dataclass(frozen=True)
class HeatState:
    """What terms may depend on: temperature [degC], Joule heat [W], open perfusion (0..1), degree of vascular stasis
    (0..1, where a law asks for it), all per node."""

    temperature: Array
    joule: Array
    perfusion_open: Array
    stasis: Array | None = None


class HeatTerm(Protocol):
    """One term of the equation; ``ledger`` names the account its heat is booked to."""

    @property
    def ledger(self) -> str: ...

    def __call__(self, state: HeatState) -> tuple[Array | None, Array]:
        """Reaction [W/K] (None: zero) and source [W] of each node."""
        ...


@dataclass(frozen=True)
class Joule:
    """Heat of the current."""

    ledger: str = "electrical"

    def __call__(self, state: HeatState) -> tuple[Array | None, Array]:
        return None, state.joule


@dataclass(frozen=True)
class Perfusion:
    """Pennes 1948: blood at ``blood_temperature`` exchanges ``w rho_b c_b``, by tissues that share a law of ``w``.

    ``parts``: (law, exchange [W/K] per node at 37 degC, with the inflow of the moment); without a law it is constant.
    """

    parts: tuple[tuple[PerfusionLaw | None, Array], ...]
    blood_temperature: float
    ledger: str = "perfusion"

    def __call__(self, state: HeatState) -> tuple[Array | None, Array]:
        total: Array = np.zeros_like(state.temperature)
        for law, exchange in self.parts:
            if law is None:
                total += exchange
            elif isinstance(law, Stasis):
                assert state.stasis is not None
                total += exchange * law.factor(state.stasis)
            else:
                total += exchange * law.factor(state.temperature)
        reaction = total * state.perfusion_open
        return reaction, reaction * self.blood_temperature


@dataclass(frozen=True)
class Metabolism:
    """Metabolic heat, ``power`` [W] per node."""

    power: Array
    ledger: str = "metabolic"

    def __call__(self, state: HeatState) -> tuple[Array | None, Array]:
        return None, self.power


@dataclass(frozen=True)
class SurfaceExchange:
    """A surface in contact with a medium at ``temperature`` [degC]: ``exchange`` = h times nodal area [W/K]."""

    exchange: Array
    temperature: float
    ledger: str

    def __call__(self, state: HeatState) -> tuple[Array | None, Array]:
        return self.exchange, self.exchange * self.temperature


@dataclass(frozen=True)
class Boiling:
    """When the tissue's water turns to steam: linearly between ``start`` and ``end`` [degC], ``latent_heat`` [J/kg].

    ``returning`` is the share of the steam that condenses in place when the tissue cools; the rest has left for good.
    """

    start: float | Array = 99.0
    end: float | Array = 100.0
    latent_heat: float = 2.257e6
    returning: float = 1.0
    diffusivity: float = 3.2e-9
    enabled: bool = True

    def raised(self, elevation: Array) -> Boiling:
        """As it is where dissolved salt raises the boiling point by ``elevation`` [K] at each node."""
        return replace(self, start=self.start + elevation, end=self.end + elevation)

    def at(self, nodes: Array) -> Boiling:
        """As it is at the listed ``nodes``."""
        if not isinstance(self.start, np.ndarray):
            return self
        return replace(self, start=self.start[nodes], end=np.asarray(self.end)[nodes])

    def active(self, T: Array) -> Array:
        """Fraction of the water that would be steam at ``T`` if none had left."""
        return np.asarray(np.clip((T - self.start) / (self.end - self.start), 0.0, 1.0))

    def water_lost(self, T: Array, gone: Array) -> Array:
        """Fraction of the water that is steam at ``T``, where ``gone`` has left for good."""
        if not self.enabled:
            return gone
        return np.asarray(np.maximum(gone, self.active(T)))


class Storage:
    """Enthalpy of every node as a function of its temperature, summed over the tissues that meet there.

    ``H = V [rho c int(f dT) + x (W L - W c_w (T - T_boil))]``: dry tissue has lost its water's latent heat ``W L`` and
    its heat capacity ``W c_w``. Lumped, so that every node closes its own balance.
    """

    def __init__(self, space: Space, cell_tissue: Array, tissues: Sequence[Tissue], boiling: Boiling,
                 cells: Array | None = None) -> None:
        """``cells`` (n_cells,) bool: those that store heat here, when not all do (flowing blood does so elsewhere)."""
        self.boiling = boiling
        self.linear = np.zeros(space.n_nodes)  # J/K of tissues with constant heat capacity
        self.varying: list[tuple[Tissue, Array]] = []  # and J/K of the others
        self.water_mass = np.zeros(space.n_nodes)  # kg
        for index, tissue in enumerate(tissues):
            mask = cell_tissue == index if cells is None else (cell_tissue == index) & cells
            if not mask.any():
                continue
            volume = space.node_volumes(mask)
            capacity = volume * tissue.density * tissue.heat_capacity
            if isinstance(tissue.heat_capacity_law, Constant):
                self.linear += capacity
            else:
                self.varying.append((tissue, capacity))
            self.water_mass += volume * tissue.water
        self.water_capacity = self.water_mass * WATER_HEAT  # J/K per node
        self._own = self.linear, self.water_capacity
        self.latent = self.water_mass * boiling.latent_heat  # J per node
        self.own_water: Array = self.water_mass
        self.fluid: Array | float = 0.0  # kg per node, more than the tissue's own

    def shift_water(self, mass: Array) -> None:
        """Let ``mass`` [kg] of water evaporate from each node; its heat capacity stays where it is, so that no node
        can lose more of that than it has."""
        self.own_water = mass
        self.water_mass = mass + self.fluid
        self.latent = self.water_mass * self.boiling.latent_heat

    def swell(self, fluid: Array, boiling: Boiling) -> None:
        """Hold ``fluid`` [kg] more at each node than the tissue does by itself, which boils as ``boiling`` says."""
        self.boiling = boiling
        # from the tissue's own, so that what was held before leaves no rounding behind
        own_linear, own_water = self._own
        self.linear, self.water_capacity = own_linear + fluid * WATER_HEAT, own_water + fluid * WATER_HEAT
        self.fluid = fluid
        self.shift_water(self.own_water)

    @property
    def kinks(self) -> Kinks:
        """Temperatures where the slope of H jumps [degC]."""
        return (self.boiling.start, self.boiling.end) if self.boiling.enabled else ()

    def kinks_at(self, nodes: Array) -> Kinks:
        """The same, of the listed ``nodes``."""
        boiling = self.boiling.at(nodes)
        return (boiling.start, boiling.end) if boiling.enabled else ()

    def enthalpy(self, T: Array, gone: Array, nodes: Array | None = None) -> tuple[Array, Array]:
        """``H`` [J] and ``dH/dT`` [J/K] of each node, or of the listed ``nodes`` (``T``, ``gone`` are theirs)."""
        linear, latent, water, boiling = self.linear, self.latent, self.water_capacity, self.boiling
        if nodes is not None:
            linear, latent, water, boiling = linear[nodes], latent[nodes], water[nodes], boiling.at(nodes)
        H = linear * (T - 37.0)
        slope = linear.copy()
        for tissue, capacity in self.varying:
            own = capacity if nodes is None else capacity[nodes]
            H += own * tissue.heat_capacity_law.integral(T)
            slope += own * tissue.heat_capacity_law.factor(T)
        if not self.boiling.enabled:
            return H, slope
        hot = np.flatnonzero((boiling.start < T) | (gone > 0.0))
        if len(hot):
            t, lost, boiling = T[hot], gone[hot], boiling.at(hot)
            start, end = boiling.start, boiling.end
            x = boiling.water_lost(t, lost)
            boiling_off = (t > start) & (t < end) & (x > lost)
            value = latent[hot] - water[hot] * (t - start)
            H[hot] += x * value
            slope[hot] -= x * water[hot]
            slope[hot] += np.where(boiling_off, value / (end - start), 0.0)
        return H, slope
