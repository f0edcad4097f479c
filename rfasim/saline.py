"""Saline during a run: pore pressure, where the fluid goes, and its salt.

    d(zeta(p))/dt = div(K grad p) + injected - L p                       fluid: Darcy, swelling, drainage
    d(n c)/dt = div(D grad c - q c) + injected c_in - L p c - w (c - c_0)  salt: carried, spread, taken up by blood

``p`` [Pa] is the pressure above that of the blood; ``zeta`` the fluid that a volume of tissue takes up by swelling,
``zeta_max (1 - exp(-S p / zeta_max))``; ``K`` = permeability over viscosity; ``q = -K grad p``; ``n`` = porosity +
zeta; ``c`` [g/l] NaCl in the pores' fluid. Fluid is counted by edges and summed, so that none is lost whatever a solver
leaves; the salt rides on just these flows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rfasim import brine
from rfasim.errors import InputError, RunError
from rfasim.infusion import Bolus
from rfasim.solver import kernels, surface
from rfasim.solver.linear import NotConverged, System
from rfasim.solver.space import Array
from rfasim.solver.stepping import WEIGHTS, Drift, Flow, Stepper, next_step
from rfasim.solver.transport import Exchange, Transport, divergence, turnover
from rfasim.tissues import WATER_HEAT

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.domain import Domain

WATER = 993.0  # kg/m^3 at 37 degC
# The outlet of a device spreads over the nodes within this [m] of it: a hole of 0.6 mm.
OUTLET_RADIUS = 3e-4
# Fluid from a place inside a device, or a fine vessel, enters the tissue around it up to this far [m].
FARTHEST = 3e-3
# Error of a step in the pressure, and to what each stage is solved, of its root mean square; the linear systems.
PRESSURE_TOLERANCE, SOLVED, LINEAR = 0.02, 2e-3, 1e-3
# Salt that a step moves: at most this share of what is more (or less) in the tissue than usual, and what this volume
# [m^3] of fluid holds. A front gets blurred by as much, and less as the plume grows.
PLUME, UNRESOLVED = 0.1, 1e-8
LEAST_RANGE = 1.0  # g/l
FULL = 0.95  # share of what tissue can take up
FIRST_STEP, LEAST_STEP = 0.02, 1e-5  # s
LEAST_LEFT, MOST_SPARED = 0.1, 50  # share of a node's fluid that is left where the flow would take more; rounds


@dataclass(frozen=True)
class Release:
    """A fluid that comes in at ``nodes`` (with ``shares`` that sum to 1) from ``start`` to ``stop`` [s]."""

    nodes: Array
    shares: Array
    start: float
    stop: float
    rate: float  # m^3/s
    concentration: float  # g/l
    temperature: float | None  # degC; None: as warm as the tissue


@dataclass(frozen=True)
class Pores:
    """Fluid and salt in the tissue at one moment; arrays of one entry a node."""

    time: float
    pressure: Array  # Pa
    swelling: Array  # m^3 of fluid that the node took up
    salt: Array  # kg
    step: float  # s, to try next
    injected: float = 0.0  # m^3
    injected_salt: float = 0.0  # kg
    taken_up: float = 0.0  # kg that blood took, less what it gave
    left: float = 0.0  # kg that left through the outer boundary
    highest: float = 0.0  # Pa, so far

    @classmethod
    def from_state(cls, saved: dict[str, Any]) -> Pores | None:
        """From what a checkpoint holds of :func:`vars`; None where it holds nothing."""
        if not saved:
            return None
        plain: dict[str, Any] = {k: np.array(value) if np.ndim(value) else float(value) for k, value in saved.items()}
        return cls(**plain)


@dataclass
class Seepage:
    """What flowed during a step, per second: edges and nodes [m^3/s], and the heat [m^3 K/s] of what came in."""

    edges: Array
    source: Array
    warm: Array
    _total: float = field(default=0.0)

    def add(self, dt: float, edges: Array, source: Array, warm: Array) -> None:
        """Add a part of the step."""
        self.edges += dt * edges
        self.source += dt * source
        self.warm += dt * warm
        self._total += dt

    def mean(self) -> Seepage:
        """The mean over what was added."""
        n = self._total or 1.0
        return Seepage(self.edges / n, self.source / n, self.warm / n)


@dataclass(frozen=True)
class _Flow:
    """What flows during a step of the pressure, per second, all of it even: at edges and nodes."""

    pressure: Array  # Pa, at the end
    edges: Array  # m^3/s
    source: Array  # m^3/s that come in
    incoming: Array  # kg/s of salt with it
    warm: Array  # m^3 K/s of heat with it
    sink: Array  # m^3/s that leave
    rise: Array  # m^3/s that stay
    spread: Array  # m^3/s, by which edges diffuse and disperse salt
    injected: float  # m^3/s in all, what comes in by the open boundary apart
    injected_salt: float  # kg/s


class SalineModel:
    """Where fluid can go in a domain and what it meets there; ``step`` goes from a state to a later one."""

    def __init__(self, case: Case, domain: Domain) -> None:
        self.case, self.domain, space = case.saline, domain, domain.space
        self.space, tissues = space, domain.tissues
        options = case.saline

        def of_cells(name: str) -> Array:
            return np.array([getattr(tissue, name) for tissue in tissues])[domain.cell_tissue]

        pores = of_cells("porosity")
        held = np.zeros(space.n_cells, bool)
        for account, nodes, _ in domain.held:
            if account == "vessels":
                inside = np.zeros(space.n_nodes, bool)
                inside[nodes] = True
                held |= inside[space.cells].all(axis=1)
        self.cells = domain.conducts & (domain.vessel_of_cell < 0) & ~held & (pores > 0)
        if not self.cells.any():
            raise InputError("saline", "no tissue of this case has pores (porosity above 0) that a fluid could enter")
        wet = np.zeros(space.n_nodes, bool)
        wet[np.unique(space.cells[self.cells])] = True
        self.wet, n = wet, space.n_nodes
        self.volume = space.node_volumes(self.cells)
        shares = space.shares[self.cells]

        def at_nodes(values: Array) -> Array:
            """Volume times ``values`` of the cells, at the nodes."""
            return np.bincount(space.cells[self.cells].ravel(), (shares * values[self.cells, None]).ravel(), n)

        self.pores = at_nodes(pores)
        self.compliance = at_nodes(of_cells("swelling"))
        self.most = at_nodes(of_cells("swelling_limit"))
        # what is not perfused drains nothing
        self.drainage = at_nodes(of_cells("drainage") * (of_cells("perfusion") > 0))
        self.cell_pores = np.where(self.cells, pores, 0.0)
        self.mobility = np.where(self.cells, of_cells("permeability") / options.viscosity, 0.0)
        self.conductance = space.assemble(self.mobility)
        if options.backflow_gap > 0:
            self._add_gap(options.backflow_gap**3 / (12 * options.viscosity))
        outer = domain.mesh.facets.get("outer", np.zeros((0, space.points.shape[1]), np.uint32))
        self.open = np.zeros(n, bool)
        if options.boundary == "open":
            self.open[np.unique(outer)] = True
            self.open &= wet
        # a film conducts along edges, too, that cells leave out
        self.system = System(space, self.open | ~wet, carries=self.conductance != 0)
        # what the nodes hold is summed from the rates, so no fluid is lost however well the pressure was solved
        self.stepper = Stepper(space, self.system, (), 1.0, LINEAR, books=1.0)
        self.transport = Transport(space, wet)
        self.releases = tuple(self._releases(case))
        strengths = [options.tissue_concentration, *(release.concentration for release in self.releases)]
        # where all fluids are alike there is no front
        self.range = max(max(strengths) - min(strengths), LEAST_RANGE)

    # ------------------------------------------------------------------------------------------ what is injected

    def _releases(self, case: Case) -> list[Release]:
        out = []
        for index, bolus in enumerate(case.saline.boluses):
            if bolus.spread == "pressure":
                nodes, shares = self._around([np.array(bolus.at)], bolus.radius, f"saline.boluses[{index}].at")
                start = -bolus.before
                out.append(
                    Release(nodes, shares, start, start + bolus.duration, bolus.volume / bolus.duration,
                            bolus.concentration, None)
                )  # fmt: skip
        for index, infusion in enumerate(case.saline.infusions):
            if infusion.rate == 0:
                continue
            outlets = dict(case.electrodes[infusion.electrode].outlets)
            points = [outlets[name] for name in infusion.outlets or outlets]
            nodes, shares = self._around(points, OUTLET_RADIUS, f"saline.infusions[{index}]")
            start, stop = infusion.spans
            out.append(
                Release(nodes, shares, start, np.inf if stop is None else stop, infusion.rate, infusion.concentration,
                        infusion.temperature)
            )  # fmt: skip
        return out

    def _around(self, points: list[Array], radius: float, path: str) -> tuple[Array, Array]:
        """Tissue nodes within ``radius`` of the points (the nearest at least), and the share of the fluid of each."""
        at = self.flat(np.array(points))
        free = np.flatnonzero(self.wet & ~self.open)
        total: Array = np.zeros(self.space.n_nodes)
        for point in at:
            distance = np.linalg.norm(self.space.points[free] - point, axis=1)
            if distance.min() > max(radius, FARTHEST):
                raise InputError(
                    path, f"is {distance.min() * 1e3:.1f} mm from the nearest tissue with pores; move it there"
                )
            near = free[distance <= max(radius, 1.0001 * distance.min())]
            total[near] += self.volume[near] / self.volume[near].sum() / len(at)
        nodes = np.flatnonzero(total)
        return nodes, total[nodes]

    def flat(self, points: Array) -> Array:
        """Points (n, 3) as the mesh has them: (r, z) where it is axisymmetric."""
        if not self.space.axisymmetric:
            return points
        return np.stack([np.hypot(points[:, 0], points[:, 1]), points[:, 2]], axis=1)

    def _add_gap(self, sheet: float) -> None:
        """Let fluid run along the devices' surfaces: a film of ``sheet`` = width^3 / (12 viscosity) [m^3/(Pa s)]."""
        mesh = self.domain.mesh
        names = [name for name in mesh.facets if name.startswith("electrodes[")]
        facets = np.concatenate([mesh.facets[name] for name in names])
        facets = facets[self.wet[facets].all(axis=1)]
        i, j, weight = surface.sheet_edges(self.space.points, facets)
        self.conductance += sheet * self.space.on_edges(i, j, weight)

    def next_switch(self, time: float) -> float:
        """The next time after ``time`` [s] at which a pump is switched; infinite when there is none."""
        times = [t for release in self.releases for t in (release.start, release.stop)]
        return min((t for t in times if t > time), default=np.inf)

    def switches(self, time: float) -> bool:
        """Whether a pump is switched at ``time``."""
        return any(time in (release.start, release.stop) for release in self.releases)

    # ---------------------------------------------------------------------------------------------------- states

    def start(self, uptake: Array, temperature: Array) -> Pores:
        """The tissue as it is at the start of the run, after what was injected before."""
        n, options = self.space.n_nodes, self.case
        pores = Pores(options.begins, np.zeros(n), np.zeros(n), self.pores * options.tissue_concentration, FIRST_STEP)
        for bolus in options.boluses:
            if bolus.spread == "ball":
                pores = self._painted(pores, bolus)
        while pores.time < 0:
            until = min(0.0, self.next_switch(pores.time))
            pores, _ = self.step(pores, until - pores.time, uptake, np.ones(n), temperature)
            pores = replace(pores, time=until)
        return pores

    def _painted(self, pores: Pores, bolus: Bolus) -> Pores:
        """The pores of a ball, filled: the fluid that was in them has left."""
        cells = self.space.cells[self.cells]
        middles = self.space.points[cells].mean(axis=1)
        volumes, content = self.space.volumes[self.cells], self.cell_pores[self.cells]
        distance = np.linalg.norm(middles - self.flat(np.array([bolus.at]))[0], axis=1)
        order = np.argsort(distance, kind="stable")
        filled = np.cumsum((volumes * content)[order])
        if filled[-1] < bolus.volume:
            raise InputError("saline.boluses", f"{bolus.volume * 1e6:g} ml are more than the domain's pores hold")
        share = np.zeros(len(cells))
        whole = int(np.searchsorted(filled, bolus.volume))
        share[order[:whole]] = 1.0
        before = filled[whole - 1] if whole else 0.0
        share[order[whole]] = (bolus.volume - before) / (filled[whole] - before)
        parts = (self.space.shares[self.cells] * (share * content)[:, None]).ravel()
        fresh = np.bincount(cells.ravel(), parts, self.space.n_nodes)
        old = pores.salt / np.where(self.pores > 0, self.pores, 1.0)
        salt = pores.salt + fresh * (bolus.concentration - old)
        return replace(
            pores, salt=salt, injected=pores.injected + bolus.volume,
            injected_salt=pores.injected_salt + bolus.volume * bolus.concentration,
            left=pores.left + float(fresh @ old) + (bolus.volume - float(fresh.sum())) * bolus.concentration,
        )  # fmt: skip

    def concentration(self, pores: Pores) -> Array:
        """NaCl [g/l] in the pores' fluid at each node; where there are no pores that of all tissue."""
        content = self.pores + pores.swelling
        fine = self.wet & (content > 0)
        return np.where(fine, pores.salt / np.where(fine, content, 1.0), self.case.tissue_concentration)

    def swollen(self, pores: Pores) -> Array:
        """Fluid taken up per volume of tissue at each node."""
        return np.maximum(pores.swelling, 0.0) / np.where(self.wet, self.volume, 1.0)

    def imbalance(self, pores: Pores) -> float:
        """Salt that the books cannot account for, as a share of what was injected."""
        gained = float((pores.salt - self.pores * self.case.tissue_concentration).sum())
        lost = pores.injected_salt - gained - pores.taken_up - pores.left
        return lost / max(pores.injected_salt, pores.injected * self.case.tissue_concentration, 1e-15)

    # ----------------------------------------------------------------------------------------------------- steps

    def _mean(self, p: Array) -> float:
        """Root of the volume's mean of the squares."""
        return float(np.sqrt(kernels.dot(self.volume, p**2) / self.volume.sum()))

    def _storage(self, p: Array) -> tuple[Array, Array]:
        """Fluid [m^3] that each node takes up at the pressure ``p``, and its slope."""
        most = np.where(self.most > 0, self.most, 1.0)
        gone = np.exp(-np.maximum(p, 0.0) * self.compliance / most)
        value = np.where(p > 0, most * (1.0 - gone), self.compliance * p)
        return value, self.compliance * gone

    def step(self, pores: Pores, h: float, uptake: Array, is_open: Array, temperature: Array) -> tuple[Pores, Seepage]:
        """``h`` [s] further: ``uptake`` [m^3/s] of each node is the blood that exchanges salt with it, ``is_open`` the
        share of the small vessels that is; ``temperature`` that of the tissue."""
        total = Seepage(np.zeros(self.space.n_edges), np.zeros(self.space.n_nodes), np.zeros(self.space.n_nodes))
        blood = self.case.extraction * uptake * is_open * self.wet
        left, dt = h, pores.step
        while left > 1e-9 * h:
            last = dt >= left * (1 - 1e-9)
            part = left if last else min(dt, left)
            flow, better = self._flow(pores, part, is_open, temperature)
            if flow is None:
                dt = part * better
                if dt < LEAST_STEP:
                    raise RunError(f"the saline's time step fell below {LEAST_STEP:g} s at {pores.time:.2f} s")
                continue
            left = 0.0 if last else left - part
            # a step cut short by its end says nothing about the next
            dt = part * better if not last else max(dt, part * better)
            total.add(part, flow.edges, flow.source, flow.warm)
            pores = self._carry(pores, part, flow, blood)
        return replace(pores, step=dt), total.mean()

    def _flow(self, pores: Pores, dt: float, is_open: Array, temperature: Array) -> tuple[_Flow | None, float]:
        """What flows in a step of the pressure, None where it was too long; and the size to go on with, relative."""
        space, n = self.space, self.space.n_nodes
        source, incoming, warm = np.zeros(n), np.zeros(n), np.zeros(n)
        middle = pores.time + dt / 2
        for release in self.releases:
            if release.start <= middle < release.stop:
                rate = release.rate * release.shares
                source[release.nodes] += rate
                incoming[release.nodes] += rate * release.concentration
                own = temperature[release.nodes] if release.temperature is None else release.temperature
                warm[release.nodes] += rate * own
        injected, salt = float(source.sum()), float(incoming.sum())
        end, q, sink, growth, spread = pores.pressure, np.zeros(space.n_edges), np.zeros(n), 2.0, None
        if injected > 0 or pores.pressure.any():
            drainage = self.drainage * is_open
            at = Flow(self.conductance, drainage, source)
            self.stepper.tolerance = SOLVED * self._mean(pores.pressure) + 1e-3
            # what the last steps left unsolved is made up for, but where hardly any more fits in
            full = (self.most > 0) & (pores.swelling > FULL * self.most)
            H = np.where(full, self._storage(pores.pressure)[0], pores.swelling)
            try:
                result = self.stepper.step(self._storage, pores.pressure, H, dt, at, at, pores.pressure)
            except NotConverged:
                return None, 0.25
            end = result.temperatures[2]
            error = self._mean(result.error) / (PRESSURE_TOLERANCE * (self._mean(end) + 1e-3))
            if not np.isfinite(error):
                return None, 0.25
            if error > 1.5 and dt > FIRST_STEP:
                return None, min(0.7, next_step(1.0, error))
            # when a pump starts the pressure jumps: what it does in the first moments is not resolved, only counted
            growth = 2.0 if dt <= FIRST_STEP else max(0.5, next_step(1.0, error))
            mean = np.zeros(n)
            for w, p in zip(WEIGHTS, result.temperatures, strict=True):
                mean += w * p
            q = self.conductance * (mean[space.lower] - mean[space.upper])
            sink, spread = drainage * np.maximum(mean, 0.0), mean
        out = np.empty(n)
        divergence(q, space.lower, space.upper, out)
        # what arrives at the open boundary leaves; what would come in by it is fluid like that of all tissue
        sink[self.open] = np.maximum(-out[self.open], 0.0)
        source[self.open] = np.maximum(out[self.open], 0.0)
        incoming[self.open] = source[self.open] * self.case.tissue_concentration
        rise = (source - sink - out) * self.wet
        content = self.pores + pores.swelling
        if (content + dt * rise)[self.wet].min() <= 0:
            # no pressure below the tissue's is real; obtuse angles make one beside an outlet, however short the step
            spared = self._spared(q, source - sink, content, dt)
            if spared is None:
                return None, 0.5
            q, rise = spared
        return _Flow(end, q, source, incoming, warm, sink, rise, self._spread(spread), injected, salt), growth

    def _spared(self, q: Array, source: Array, content: Array, dt: float) -> tuple[Array, Array] | None:
        """The edges' flows ``q`` [m^3/s], less where they would take more than a node has; what nodes then gain.

        None where it is not the flow along edges that takes so much.
        """
        space, n = self.space, self.space.n_nodes
        q, out = q.copy(), np.empty(n)
        for _ in range(MOST_SPARED):  # what one node keeps may be what the next one counted on
            divergence(q, space.lower, space.upper, out)
            rise = (source - out) * self.wet
            short = self.wet & (content + dt * rise <= 0)
            if not short.any():
                return q, rise
            gives = np.bincount(np.where(q > 0, space.lower, space.upper), np.abs(q), n)
            most = np.maximum(gives + rise + (1 - LEAST_LEFT) * content / dt, 0.0)
            share = np.where(short, most / np.where(short, gives, 1.0), 1.0)
            q *= np.where(q > 0, share[space.lower], share[space.upper])
        return None

    def _carry(self, pores: Pores, dt: float, flow: _Flow, blood: Array) -> Pores:
        """Let ``flow`` carry the salt for ``dt`` [s], in steps that move no more of it than a share of the plume."""
        usual = self.case.tissue_concentration
        strength = np.where(flow.source > 0, flow.incoming / np.where(flow.source > 0, flow.source, 1.0), 0.0)
        exchange = Exchange(flow.source, strength, flow.sink, blood, usual)
        space, content, salt = self.space, self.pores + pores.swelling, pores.salt
        taken, left, t = 0.0, 0.0, 0.0
        comes_in = float(flow.incoming[self.open].sum())
        while t < dt:
            c = np.where(self.wet, salt / np.where(content > 0, content, 1.0), usual)
            moved = turnover(flow.edges, flow.spread, space.lower, space.upper, c, exchange)
            allowed = PLUME * float(np.abs(salt - content * usual)[self.wet].sum()) + UNRESOLVED * self.range
            parts = max(1, math.ceil((dt - t) * moved / allowed)) if moved > 0 else 1
            part = (dt - t) / parts
            after = content + part * flow.rise
            done = self.transport.step(salt, content, after, part, flow.edges, flow.spread, exchange)
            salt, content = done.amount, after
            taken += float(done.exchanged.sum() + done.left[~self.open].sum())
            left += float(done.left[self.open].sum()) - part * comes_in
            t = dt if parts == 1 else t + part
        return replace(
            pores, time=pores.time + dt, pressure=flow.pressure, swelling=pores.swelling + dt * flow.rise, salt=salt,
            injected=pores.injected + dt * flow.injected, injected_salt=pores.injected_salt + dt * flow.injected_salt,
            taken_up=pores.taken_up + taken, left=pores.left + left,
            highest=max(pores.highest, float(flow.pressure.max())),
        )  # fmt: skip

    def _spread(self, pressure: Array | None) -> Array:
        """Edge conductances [m^3/s] of the salt: diffusion in the pores, and dispersion by the flow."""
        space, spread = self.space, self.case.diffusivity * self.cell_pores
        if pressure is not None and self.case.dispersivity > 0:
            speed = self.mobility * np.sqrt(space.squared_gradient(pressure))  # Darcy's, m/s
            spread = spread + self.case.dispersivity * speed
        return space.assemble(spread)

    # --------------------------------------------------------------------------------------------- for the tissue

    def drift(self, seepage: Seepage, latent_heat: float) -> Drift:
        """What the fluid of a step carries of heat."""
        capacity = WATER * WATER_HEAT
        return Drift(
            capacity * seepage.edges, capacity * seepage.source, capacity * seepage.warm, latent_heat / WATER_HEAT
        )

    def fluid(self, pores: Pores) -> Array:
        """Fluid [kg] that each node holds more than its tissue does."""
        return np.asarray(WATER * np.maximum(pores.swelling, 0.0))

    def elevation(self, pores: Pores) -> Array:
        """By how much [K] the tissue's water boils later at each node than with its usual salt."""
        usual = brine.boiling_elevation(np.array(self.case.tissue_concentration))
        return np.asarray(brine.boiling_elevation(self.concentration(pores)) - usual)

    def gains(self, pores: Pores) -> Array:
        """How much more [S/m at 25 degC] each tissue (n_tissues, n_nodes) conducts than with its usual fluid."""
        c, swelling, usual = self.concentration(pores), self.swollen(pores), self.case.tissue_concentration
        return np.stack(
            [brine.gain(c, usual, swelling, t.porosity, t.pore_exponent) for t in self.domain.tissues]
        )  # fmt: skip

    def rows(self, pores: Pores) -> dict[str, Any]:
        """What ``summary.json`` tells of the saline."""
        c = self.concentration(pores)
        usual = self.case.tissue_concentration
        gained = float((pores.salt - self.pores * usual).sum())
        strong = np.abs(c - usual) > 0.5 * usual
        return {
            "injected_ml": pores.injected * 1e6,
            "injected_salt_g": pores.injected_salt * 1e3,
            "salt_in_tissue_g": gained * 1e3,
            "salt_taken_up_g": pores.taken_up * 1e3,
            "salt_left_g": pores.left * 1e3,
            "salt_imbalance_fraction": self.imbalance(pores),
            "swelling_ml": float(pores.swelling.sum()) * 1e6,
            "highest_concentration_g_l": float(c[self.wet].max()),
            "plume_ml": float(self.volume[strong].sum()) * 1e6,
            "highest_pressure_kpa": pores.highest * 1e-3,
        }
