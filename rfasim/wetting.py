"""Saline during a run: what the fluid in the pores does to the tissue's heat, its boiling and its conductivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rfasim import brine
from rfasim.heat import Boiling, Storage
from rfasim.saline import Pores, SalineModel, Seepage
from rfasim.solver import kernels, transport
from rfasim.solver.space import Array
from rfasim.solver.stepping import WEIGHTS, Drift, Step, Stepper
from rfasim.tissues import BODY, WATER_HEAT

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.domain import Domain

# Tissue with fresh water in its pores conducts at least this share of what it did.
LEAST_CONDUCTING = 0.2


class Wetting:
    """The saline of a run. ``pores`` is what the step that is tried ends with; accepted ones are in the run's state."""

    def __init__(self, case: Case, domain: Domain, boiling: Boiling, uptake: Array, T: Array, start: float
                 ) -> None:  # fmt: skip
        """``T`` [degC] of the nodes, ``start`` of the tissue at the start; ``uptake`` as for :meth:`seep`."""
        self.model, self.domain, self.boiling = SalineModel(case, domain), domain, boiling
        self.pores = self.model.start(uptake, T)
        self._take(self.pores)
        self.more: Array = np.zeros(1)  # J that each node's content has more at the end than at the start of a step
        self._seeped: tuple[float, float, Pores, Seepage] | None = None
        self._initial_fluid = float(self.model.fluid(self.pores).sum())  # kg
        self._per_kg = WATER_HEAT * (start - BODY)  # J/kg: heat of the fluid at the start's temperature
        self._shifted = 0.0  # J of that in the books

    def _take(self, pores: Pores) -> None:
        self.pores = pores
        self.concentration = self.model.concentration(pores)
        self._gains = self.model.gains(pores)

    def hold(self, storage: Storage, pores: Pores) -> None:
        """Take ``pores`` as what the tissue holds: its heat capacity, boiling point and conductivity."""
        if pores is not self.pores:
            self._take(pores)
        self._swell(storage, pores)

    def _swell(self, storage: Storage, pores: Pores) -> None:
        storage.swell(self.model.fluid(pores), self.boiling.raised(self.model.elevation(pores)))

    def restore(self, pores: Pores) -> None:
        """Go on from the pores of a checkpoint."""
        self._take(pores)
        self._shifted = self._per_kg * (float(self.model.fluid(pores).sum()) - self._initial_fluid)

    # ------------------------------------------------------------------------------------------------------- steps

    def forget(self) -> None:
        """What a step was tried with does not hold any more: the inflow of blood has changed."""
        self._seeped = None

    def seep(self, time: float, h: float, before: Pores, storage: Storage, uptake: Array, is_open: Array, T: Array,
             gone: Array) -> Drift | None:  # fmt: skip
        """Let saline seep for ``h`` [s] from the pores ``before``, and hold what the tissue then does; what the fluid
        carries meanwhile, None where nothing moves.

        ``uptake`` [m^3/s] of blood and the ``is_open`` share of its vessels take salt up; ``T`` and ``gone`` are the
        tissue's temperature and the share of its water that has left.
        """
        if self._seeped is None or self._seeped[:2] != (time, h):
            self._seeped = (time, h, *self.model.step(before, h, uptake, is_open, T))
        pores, flow = self._seeped[2:]
        self._swell(storage, before)
        had, _ = storage.enthalpy(T, gone)
        storage.swell(self.model.fluid(pores), storage.boiling)
        has, _ = storage.enthalpy(T, gone)
        self.more = has - had
        self.hold(storage, pores)
        moves = bool(flow.edges.any() or flow.source.any())
        return self.model.drift(flow, self.boiling.latent_heat) if moves else None

    def refill(self, h: float, drift: Drift, storage: Storage, T: Array, gone: Array, most_lost: Array
               ) -> tuple[Array, Array, Array, float]:  # fmt: skip
        """Where steam has left for good, saline that flows in takes the place of the water: ``gone`` and ``most_lost``
        after ``h`` [s] of it, the heat [J] that each node gains, and the latent heat that went with the steam."""
        space = self.domain.space
        arrived = np.zeros(space.n_nodes)
        transport.arriving(drift.edges, space.lower, space.upper, arrived)
        renewed = h * (arrived + drift.source) / WATER_HEAT / np.maximum(storage.water_mass, 1e-30)

        def content(gone: Array) -> tuple[Array, float]:
            H, _ = storage.enthalpy(T, gone)
            return H, float(kernels.dot(storage.latent, storage.boiling.water_lost(T, gone)))

        (had, steam), gone = content(gone), gone / (1.0 + renewed)
        has, less = content(gone)
        return gone, most_lost / (1.0 + renewed), has - had, steam - less

    # ------------------------------------------------------------------------------------------------------- laws

    def conductivity(self, y: Array, T: Array, water_lost: Array) -> Array:
        """The admittivity ``y`` of each cell [S/m] and what the salt in its pores adds: at the vertices by
        concentration and swelling, with the dry and the wet part of a cell in series.

        Salt stays behind as water leaves, so the fluid that is left conducts the better.
        """
        d, cells = self.domain, self.domain.space.cells
        more, dried = np.empty(len(cells)), np.ones(len(cells))
        kernels.cell_mean(cells, d.cell_tissue, self._gains * brine.warmth(T), more)
        if self.boiling.enabled and water_lost.any():
            stronger = brine.concentrated(self.concentration, water_lost)
            table = np.stack([tissue.water_law.factor(water_lost) * stronger for tissue in d.tissues])
            kernels.cell_mean(cells, d.cell_tissue, 1.0 / table, dried)
        salted = y + np.where(self.model.cells, more / dried, 0.0)
        # fresh water in the pores cannot take more than the cells around them leave
        low = np.real(salted) < LEAST_CONDUCTING * np.real(y)
        salted[low] = LEAST_CONDUCTING * y[low]
        return salted

    # ------------------------------------------------------------------------------------------------------- books

    def booked(self, h: float, step: Step, stepper: Stepper) -> tuple[float, float]:
        """What the fluid of a step took [J] (less what it brought), and the heat that went into its own boiling."""
        took = boiled = 0.0
        if stepper.drift is not None:
            for weight, T in zip(WEIGHTS, step.temperatures, strict=True):
                vapour = float(stepper.vapour(T).sum())
                boiled -= h * weight * vapour
                took -= h * weight * (float(stepper.carried(T).sum()) - vapour)
        return took - float(self.more.sum()), boiled

    def shifted(self, storage: Storage) -> tuple[float, float]:
        """Heat [J] of the fluid that came in since the start, at the start's temperature: in all, and since asked last.

        Heat is counted from 37 degC; what the fluid brings and holds, from the temperature at the start.
        """
        now = self._per_kg * float(np.sum(storage.fluid) - self._initial_fluid)
        change, self._shifted = now - self._shifted, now
        return now, change
