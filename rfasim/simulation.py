"""The coupled loop: generator, potential, heat, cell death; one frame after each accepted step.

    for frame in Simulation(case).frames(): ...

A step goes: expected end temperature (extrapolated) -> admittivity -> potential and admittance -> what the generator's
program commands -> operating point -> Joule heat -> one TR-BDF2 step of the bioheat equation -> damage -> ledger.
Potential and heat couple through the extrapolation, whose error is second order in the step and is watched along with
the step's own error; a step whose expectation missed is repeated with what it reached.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfasim.blood import Blood
from rfasim.circuit import check_admittance, joined_terminals, port_voltages
from rfasim.damage import MODELS, Arrhenius, Damage
from rfasim.domain import Domain, build_domain
from rfasim.electric import FarField, Potential
from rfasim.errors import RunError
from rfasim.frame import Frame
from rfasim.generator import GROUND, CommandSearch, Reading, mean_reading, operate
from rfasim.heat import Boiling, HeatState, HeatTerm, Joule, Metabolism, Perfusion, Storage, SurfaceExchange
from rfasim.outcome import tissue_cells
from rfasim.sensors import Probes, Thermocouples
from rfasim.solver import kernels, surface
from rfasim.solver.level_set import volume_above
from rfasim.solver.linear import NotConverged, System
from rfasim.solver.space import Array
from rfasim.solver.stepping import GAMMA, NO_PAIRS, WEIGHTS, Flow, Step, Stepper, next_step, temperature_of
from rfasim.state import ACCOUNTS, Moment, State
from rfasim.tissues import Constant, PerfusionLaw, Stasis
from rfasim.vessels import Bloodstream
from rfasim.wetting import Wetting

if TYPE_CHECKING:
    from rfasim.case import Case

# A contact node keeps at least this share of its water (at a contact's rim the current density is singular).
LEAST_WATER_KEPT = 0.5
# Tissue that is at least this much [K] warmer than at the start counts in the mean error of a step.
WARM = 0.5
# The expected end temperature may miss by this many time tolerances: it enters only through the conductivity.
GUESS_TOLERANCE = 4.0
# No node is expected to get hotter in a step than this [K] above where it is, or above boiling.
FURTHEST_GUESS = 20.0
# A step whose expectation missed by up to this many tolerances is repeated with what it reached, not shortened.
CORRECTABLE = 8.0
MOST_CORRECTIONS = 8
# What a reading sets off (roll-off, a temperature reached) is located to this time [s]: generators sample as often.
EVENT_RESOLUTION = 0.1
# What a generator that regulates commands at the temperatures reached may differ by this share from what it commanded
# at those expected; commands below a fifth of the source's limit count as that.
COMMAND_TOLERANCE, LEAST_COMMAND = 0.05, 0.2
# After a jump of the command the first step is this many times the case's first step.
STEP_AFTER_JUMP = 10.0


class Simulation:
    """A case, meshed and ready to run. ``base`` is the folder that file names in the case are relative to."""

    def __init__(self, case: Case, base: Path | None = None, domain: Domain | None = None) -> None:
        self.case = case
        self.domain = build_domain(case, base) if domain is None else domain
        d, space = self.domain, self.domain.space
        self.mesh, self.space = d.mesh, space
        omega = case.frequency
        self.is_complex = case.electric.admittivity == "complex"
        y = np.array([tissue.admittivity(omega) for tissue in d.tissues])
        self.admittivity_37 = y if self.is_complex else y.real.copy()
        self.admittivity_37[[k for k in range(len(y)) if not d.conducts[d.cell_tissue == k].any()]] = 0.0
        b = case.boiling
        self.plain_boiling = Boiling(
            b.start, b.end, b.latent_heat, b.returning_fraction, b.water_diffusivity, b.enabled
        )
        self.inflow = case.circulation.inflow_at(0.0)
        self.blood: Blood | None = None
        start = case.body_temperature if case.initial_temperature is None else case.initial_temperature
        T = np.full(space.n_nodes, start)
        for _, nodes, temperature in d.held:
            T[nodes] = temperature
        if any(vessel.treatment != "held" for vessel in d.vessels):
            self.blood = Blood.start(Bloodstream(case, d), self.inflow, T)
        self.wetting: Wetting | None = None
        if case.saline.active:
            self.wetting = Wetting(case, d, self.plain_boiling, self._uptake(), T, start)
        self.shift: tuple[Array, Array, Array] | None = None
        self.program = case.generator.program(case.connection, case.terminals)
        conducting = np.zeros(space.n_nodes, bool)
        conducting[np.unique(space.cells[d.conducts])] = True
        self.conducting, self.tissue_nodes = conducting, np.flatnonzero(conducting)
        self._prepare_potential(0)
        self._prepare_storage()
        if self.plain_boiling.enabled:
            self.shift = self._water_shift()
            self._apply_shift()
        self._prepare_heat()
        self.probes = Probes(case, d)
        self.state = self._start(T)

    # ------------------------------------------------------------------------------------------- preparation

    def _prepare_potential(self, stage: int) -> None:
        """Ports as they are at a deployment stage, each made of the terminals that are always wired together."""
        d, space, case = self.domain, self.space, self.case
        nodes: dict[str, list[Array]] = {}
        self.port_of_contact: list[str | None] = []
        for contact, terminal, since in zip(d.contacts, d.contact_terminals, d.contact_stages, strict=True):
            live = since <= stage and terminal in case.terminals
            self.port_of_contact.append(terminal if live else None)
            if live:
                nodes.setdefault(terminal, []).append(contact)
        self.ports = joined_terminals(self.program.connections, tuple(nodes))
        port = {terminal: k for k, terminals in enumerate(self.ports) for terminal in terminals}
        self.wires = tuple(
            (
                sorted({port[name] for name in connection.source if name in port}),
                sorted({port[name] for name in connection.returns if name in port}),
                GROUND in connection.returns,
            )
            for connection in self.program.connections
        )
        self.port_number = port
        far = None
        if len(d.far_electric):
            far = FarField(
                nodes=d.far_electric,
                factor=surface.far_field_factor(space.points, d.far_electric, d.source_centre),
                cells=surface.facet_cells(space.cells, d.far_electric, d.conducts),
            )
        self.grounded = far is not None or len(d.ground) > 0
        merged = [np.unique(np.concatenate([n for name in names for n in nodes[name]])) for names in self.ports]
        self.potential = Potential(
            space, merged, d.ground, np.flatnonzero(~self.conducting), far, is_complex=self.is_complex,
            tolerance=case.solver.potential_tolerance, threads=case.solver.threads,
        )  # fmt: skip
        self.stage = stage
        self.metal_of_port = self._metal_nodes()
        self.thermocouples = Thermocouples(case, d, self.tissue_nodes, stage)

    def _metal_nodes(self) -> list[Array]:
        """Nodes inside metal, for showing its potential: those of a device belong to the port of its first contact."""
        d = self.domain
        out = [np.zeros(0, np.int64) for _ in self.ports]
        for index, device in enumerate(self.case.electrodes):
            region = f"electrodes[{index}].metal"
            port = self.port_number.get(f"electrodes[{index}].{device.terminals[0]}")
            if port is not None and region in d.mesh.region_names:
                inside = np.unique(d.mesh.cells[d.mesh.regions == d.mesh.region_names.index(region)])
                out[port] = np.union1d(out[port], inside[~self.conducting[inside]])
        return out

    def _prepare_storage(self) -> None:
        """Which cells the heat equation is about, and what they store: blood that flows is left to its stations."""
        d, space = self.domain, self.space
        still = frozenset[int]() if self.blood is None else self.blood.regime.still
        self.heat_cells = (d.vessel_of_cell < 0) | np.isin(d.vessel_of_cell, list(still))
        touched = np.zeros(space.n_nodes, bool)
        touched[np.unique(space.cells[self.heat_cells])] = True
        self.is_fixed = np.zeros(space.n_nodes, bool)
        for _, nodes, _ in d.held:
            self.is_fixed[nodes] = True
        self.is_held = ~touched | self.is_fixed
        self.storage = self._storage_of(self.heat_cells)
        self._apply_shift()
        if self.wetting is not None:
            self.wetting.hold(self.storage, self.wetting.pores)

    def _storage_of(self, cells: Array) -> Storage:
        """What the marked cells store."""
        return Storage(self.space, self.domain.cell_tissue, self.domain.tissues, self.plain_boiling, cells)

    @property
    def boiling(self) -> Boiling:
        """When the tissue's water boils, with the salt that is in it."""
        return self.storage.boiling

    def _uptake(self) -> Array:
        """Blood [m^3/s] that passes each node while its small vessels are open."""
        d, space, inflow = self.domain, self.space, self.inflow
        w = np.array([tissue.perfusion_with(inflow.portal, inflow.arterial) for tissue in d.tissues])[d.cell_tissue]
        w = w * (d.vessel_of_cell < 0)
        return np.bincount(space.cells.ravel(), (space.shares * w[:, None]).ravel(), space.n_nodes)

    def _prepare_heat(self) -> None:
        d, space, case = self.domain, self.space, self.case
        blood, inflow = case.blood, self.inflow
        parts: dict[PerfusionLaw | None, Array] = {}
        metabolic = np.zeros(space.n_nodes)
        for index, tissue in enumerate(d.tissues):
            volume = space.node_volumes((d.cell_tissue == index) & self.heat_cells)
            w = tissue.perfusion_with(inflow.portal, inflow.arterial)
            law = None if isinstance(tissue.perfusion_law, Constant) else tissue.perfusion_law
            if w > 0:
                exchange = volume * w * blood.density * blood.heat_capacity
                parts[law] = parts[law] + exchange if law in parts else exchange
            metabolic += volume * tissue.metabolic_heat
        self.knows_stasis = any(isinstance(law, Stasis) for law in parts)
        terms: list[HeatTerm] = [Joule()]
        if any(tissue.perfusion > 0 for tissue in d.tissues):
            terms.append(Perfusion(tuple(parts.items()), blood.temperature))
        if metabolic.any():
            terms.append(Metabolism(metabolic))
        for index, device in enumerate(case.electrodes):
            if device.thermal.kind == "coolant":
                names = [f"electrodes[{index}].{contact.name}" for contact in device.contacts()]
                area = surface.nodal_area(space.points, np.concatenate([d.mesh.facets[name] for name in names]))
                terms.append(SurfaceExchange(device.thermal.h * area, device.thermal.temperature, "coolant"))
        if len(d.far_thermal):
            terms.append(SurfaceExchange(self._far_exchange(), case.body_temperature, "boundary"))
        self.terms = tuple(terms)
        self.heat_system = System(space, self.is_held)
        carrier = None
        if self.boiling.enabled and (self.boiling.diffusivity > 0 or self.wetting is not None):
            latent = np.array([tissue.water for tissue in d.tissues]) * self.boiling.latent_heat
            spreads = (latent * self.boiling.diffusivity)[d.cell_tissue] * self.heat_cells
            carrier = (lambda T: self.boiling.active(T), space.assemble(spreads, threads=case.solver.threads))
        self.stepper = Stepper(
            space, self.heat_system, self.storage.kinks, 0.02 * case.time.tolerance, case.solver.heat_tolerance,
            carrier, None if self.blood is None else self.blood.regime.streams, seeps=self.wetting is not None,
        )  # fmt: skip
        self.uptake = self._uptake()
        if self.wetting is not None:
            self.wetting.forget()
        k_37 = np.array([tissue.thermal_conductivity for tissue in d.tissues])
        self.cell_k_37 = k_37[d.cell_tissue] * self.heat_cells
        self.fixed_conduction: Array | None = None
        if all(isinstance(tissue.thermal_conductivity_law, Constant) for tissue in d.tissues):
            self.fixed_conduction = space.assemble(self.cell_k_37, threads=case.solver.threads)

    def _water_shift(self) -> tuple[Array, Array, Array]:
        """What each node keeps of its water, and the edges (from, to) along which the rest goes in equal parts.

        It lets a contact dry at the rate of the heat at its surface, not at the mean rate of a half cell.

        Heat falls off so quickly from a thin contact that half a cell away it is a third less; the node's share of
        water would dry late by as much. So the node keeps the part that dries along with the surface,
        ``q_node / q_surface`` of it with ``q_surface = |J_n|^2 Re(1/y)`` and ``J_n`` from the nodal current, and the
        rest goes to the neighbours. Both the shift and the error it removes vanish with the cell size.
        """
        d, space = self.domain, self.space
        T = np.full(space.n_nodes, self.case.body_temperature)
        zero = np.zeros(space.n_nodes)
        y = self.admittivity(T, zero, zero)
        self.potential.solve(y)
        volume = space.node_volumes(d.conducts)
        is_contact = np.zeros(space.n_nodes, bool)
        for nodes in d.contacts:
            is_contact[nodes] = True
        kept = np.ones(space.n_nodes)
        node_y = np.ones(space.n_nodes, y.dtype)
        for vertex in range(space.cells.shape[1]):
            node_y[space.cells[d.conducts, vertex]] = y[d.conducts]
        for name, nodes, terminal in zip(d.contact_names, d.contacts, self.port_of_contact, strict=True):
            if terminal is None:  # covered, or not yet deployed
                continue
            u = self.potential.fields[self.port_number[terminal]]
            area = surface.nodal_area(space.points, d.mesh.facets[name])[nodes]
            current = space.multiply(self.potential.conductance, u)[nodes]
            at_surface = np.abs(current / area) ** 2 * np.real(1 / node_y[nodes])
            in_cell = space.dissipation(self.potential.conductance, u)[nodes] / volume[nodes]
            kept[nodes] = np.clip(in_cell / at_surface, LEAST_WATER_KEPT, 1.0)
        # along the edges that leave the contact, in equal parts
        low, high = space.lower, space.upper
        out = np.concatenate([low[is_contact[low] & ~is_contact[high]], high[is_contact[high] & ~is_contact[low]]])
        to = np.concatenate([high[is_contact[low] & ~is_contact[high]], low[is_contact[high] & ~is_contact[low]]])
        ways = np.bincount(out, minlength=space.n_nodes)
        kept[is_contact & (ways == 0)] = 1.0
        return kept, out, to

    def _apply_shift(self) -> None:
        if self.shift is None:
            return
        kept, out, to = self.shift
        n, mass = self.space.n_nodes, self.storage.water_mass
        given = (1 - kept) * mass / np.maximum(np.bincount(out, minlength=n), 1)
        self.storage.shift_water(kept * mass + np.bincount(to, given[out], n))

    def _far_exchange(self) -> Array:
        """Heat leaves an outer facet as from a compact source in unbounded (perfused) tissue: k (1/r + m)."""
        d, space, blood = self.domain, self.space, self.case.blood
        facets = d.far_thermal
        cells = surface.facet_cells(space.cells, facets)
        factor = surface.far_field_factor(space.points, facets, d.source_centre)
        shares, _ = surface.facet_measures(space.points, facets)
        k = np.array([t.thermal_conductivity for t in d.tissues])[d.cell_tissue[cells]]
        w = np.array([t.perfusion_with(self.inflow.portal, self.inflow.arterial) for t in d.tissues])
        w = w[d.cell_tissue[cells]]
        m = np.sqrt(w * blood.density * blood.heat_capacity / k)
        values = k[:, None] * (factor + m[:, None] * shares) * (d.vessel_of_cell[cells] < 0)[:, None]
        return np.bincount(facets.ravel(), values.ravel(), space.n_nodes)

    def _start(self, T: Array) -> State:
        n = self.space.n_nodes
        gone = np.zeros(n)
        if self.blood is not None:
            self.blood.show(T, self.is_held, self.is_fixed)
        H, _ = self.storage.enthalpy(T, gone)
        self.initial_heat = float(H.sum()) + (0.0 if self.blood is None else self.blood.heat)
        self.initial_temperature = T.copy()
        self.node_volume = self.space.node_volumes()
        counts = self.domain.conducts & tissue_cells(self.domain.mesh)
        self.zone_cells = None if counts.all() else counts
        return State(
            0.0, T, H, gone, gone.copy(), Damage.start(n), self.case.time.first_step, self.program.begin(),
            pores=None if self.wetting is None else self.wetting.pores,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------ laws at nodes

    def admittivity(self, T: Array, water_lost: Array, omega: Array) -> Array:
        """Admittivity of each cell [S/m]: the vertices' resistivities, by the tissue's laws, in series.

        A drying front lies across the current, so inside a cell the dry and the wet part are in series and the cell's
        resistance grows with the share of it that has dried. (The plain mean of the conductivities lets the current
        through until the last vertex is dry: impedance in steps, roll-off late by half a cell.)
        """
        d = self.domain
        table = np.empty((len(d.tissues), self.space.n_nodes))
        coagulated = None
        for k, tissue in enumerate(d.tissues):
            table[k] = tissue.conductivity_law.factor(T)
            if self.boiling.enabled:
                table[k] *= tissue.water_law.factor(water_lost)
            if tissue.coagulation_gain > 0:
                coagulated = 1.0 - np.exp(-omega) if coagulated is None else coagulated
                table[k] *= 1.0 + tissue.coagulation_gain * coagulated
        resistance = np.empty(self.space.n_cells)
        kernels.cell_mean(self.space.cells, d.cell_tissue, 1.0 / table, resistance)
        y = np.asarray(self.admittivity_37[d.cell_tissue] / resistance)
        return y if self.wetting is None else self.wetting.conductivity(y, T, water_lost)

    def _seep(self, h: float) -> Array | float:
        """Let saline seep for ``h`` [s]; heat [J] that each node's content has more at the same temperature."""
        s, wetting = self.state, self.wetting
        if wetting is None or s.pores is None:
            return 0.0
        is_open = self.perfusion_open(s.temperature, s.temperature, 0.0)
        self.stepper.drift = wetting.seep(
            s.time, h, s.pores, self.storage, self.uptake, is_open, s.temperature, s.gone
        )
        self.stepper.kinks = self.storage.kinks
        return wetting.more

    def conduction(self, T: Array) -> Array:
        """Thermal edge conductances [W/K]."""
        if self.fixed_conduction is not None:
            return self.fixed_conduction
        d = self.domain
        table = np.stack([tissue.thermal_conductivity_law.factor(T) for tissue in d.tissues])
        factor = np.empty(self.space.n_cells)
        kernels.cell_mean(self.space.cells, d.cell_tissue, table, factor)
        return self.space.assemble(self.cell_k_37 * factor, threads=self.case.solver.threads)

    def perfusion_open(self, T0: Array, T1: Array, dt: float) -> Array:
        """Share of the vessels that is still open after a step from T0 to T1: exp(-Omega), or 0/1 by a threshold."""
        name = self.case.perfusion_stop
        damage = self.state.damage
        if name is None:
            return np.ones_like(T0)
        if isinstance(MODELS[name], Arrhenius):
            return np.asarray(np.exp(-damage.predict_omega(name, T0, T1, dt)))
        return np.where(damage.measure(name) >= 0, 0.0, 1.0)

    def moment(self, time: float, T0: Array, T: Array, dt: float, command: float | None = None) -> Moment:
        """What drives the tissue at ``time``, were its temperature ``T`` then (``T0`` a time ``dt`` before).

        ``command`` stands for what a regulator would command [W].
        """
        state = self.state
        lost = self.boiling.water_lost(T, state.gone)
        omega = state.damage.predict_omega("arrhenius_coagulation", T0, T, dt)
        Y = self.potential.solve(self.admittivity(T, lost, omega), time)
        if self.potential.is_fresh:  # currents at the nodes of kept fields are off by as much as the conductances moved
            check_admittance(Y, self.potential.currents, time)
        return self.drive(time, T0, T, dt, command)

    def drive(self, time: float, T0: Array, T: Array, dt: float, command: float | None = None) -> Moment:
        """As :meth:`moment`, with the unit fields as they are."""
        memory, program, Y = self.state.memory, self.program, self.potential.admittance
        temperatures = self.thermocouples.read(T)
        readings: list[tuple[float, Reading]] = []
        rows: list[Array] = []
        for index, share in program.shares(memory):
            source, returns, to_ground = self.wires[index]
            per_volt, admittance = port_voltages(Y, source, returns, to_ground=to_ground, grounded=self.grounded)
            impedance = abs(1 / admittance) if admittance != 0 else np.inf
            quantity, value = program.setpoint(memory, time, impedance, temperatures)
            value = value if command is None else command
            reading = operate(quantity, value, program.limits, admittance, time)
            readings.append((share, reading))
            rows.append(reading.voltage * (per_volt if self.is_complex else per_volt.real))
        shares = [share for share, _ in readings]
        heat, beyond = self.potential.joule(np.array(rows), shares)
        in_blood = NO_PAIRS
        if self.blood is not None:
            in_blood = self.blood.joule_in_lines(self.potential.fields, np.array(rows), shares, T)
        # the ports' power is the reference: what the residual left over is spread with the heat
        total, power = heat.sum() + beyond + in_blood.sum(), sum(share * reading.power for share, reading in readings)
        scale = power / total if total > 0 else 0.0
        heat *= scale
        beyond *= scale
        in_blood = scale * in_blood
        shown = self.potential.field(rows[0])
        for port, nodes in enumerate(self.metal_of_port):
            shown[nodes] = rows[0][port]
        reading = replace(mean_reading(readings), temperatures=temperatures)
        stasis = None
        if self.knows_stasis:
            stasis = -np.expm1(-self.state.damage.predict_omega("vascular_stasis", T0, T, dt))
        heat_state = HeatState(T, heat, self.perfusion_open(T0, T, dt), stasis)
        reactions, sources = [], []
        for term in self.terms:
            reaction, emitted = term(heat_state)
            reactions.append(reaction)
            sources.append(emitted)
        zero = np.zeros_like(T)
        sum_of_sources = np.sum(sources, axis=0)
        flow = Flow(self.conduction(T), sum((r for r in reactions if r is not None), zero), sum_of_sources)
        if self.blood is not None:
            flow = replace(
                flow, exchange=self.blood.exchange(ahead=dt > 0),
                station_source=in_blood + self.blood.collect(sum_of_sources, self.is_held, self.is_fixed),
            )  # fmt: skip
        return Moment(reading, shown, beyond, float(in_blood.sum()), reactions, sources, flow)

    # --------------------------------------------------------------------------------------------------- loop

    def frames(self) -> Iterator[Frame]:
        """Run from the present state to the end of the protocol; the first frame is the start itself."""
        s = self.state
        if s.steps == 0:
            self.now = self.moment(s.time, s.temperature, s.temperature, 0.0)
            s.memory = self.program.observe(s.memory, self.now.reading)
            yield self._frame(self.now, 0.0, True)
        while not s.memory.finished:
            yield self._advance()

    def _advance(self) -> Frame:
        """One accepted step."""
        case, s = self.case, self.state
        edge = min(self.program.edge(s.memory), case.circulation.next_switch(s.time))
        if self.wetting is not None:
            edge = min(edge, self.wetting.model.next_switch(s.time))
        before = self.program.excess(s.memory, self.now.reading)
        failure = ""
        for _ in range(40):
            h, lands = self._land(min(s.step, case.time.max_step), edge)
            guess = self._expected(s.time + h)
            try:
                end, step, errors, missed = self._attempt(h, guess)
            except NotConverged as reason:
                failure = str(reason)
                self._retreat(h, 0.25)
                continue
            T = step.temperatures[2]
            error = max(errors)
            if not np.isfinite(error):
                failure = "the temperature is not finite"
                self._retreat(h, 0.25)
                continue
            if error > 1.0 and h > case.time.min_step:
                failure = f"the error stayed {error:.2g} times the tolerance"
                s.rejected += 1
                self._retreat(h, min(0.7, next_step(1.0, error)))
                continue
            error = max(errors[0], missed)
            reading = replace(end.reading, temperatures=self.thermocouples.read(T))
            excess = self.program.excess(s.memory, reading)
            if excess >= 0 and h > EVENT_RESOLUTION:
                # a little beyond where the straight line through the two ends crosses zero
                share = before / (before - excess) if np.isfinite(before) and before < 0 else 0.5
                self._retreat(h, float(np.clip(1.05 * share, EVENT_RESOLUTION / h, 0.8)))
                continue
            if len(s.past) < 2:
                error = max(error, 0.1)  # the first extrapolations know nothing yet
            proposal = next_step(h, error)
            s.step = proposal if not lands or proposal < h else max(s.step, proposal)
            return self._accept(h, step, end, reading)
        where = self.mesh.points[np.argmax(np.abs(self.state.temperature - case.body_temperature))] * 1e3
        raise RunError(
            f"the time step fell to {s.step:.1e} s at {s.time:.2f} s: {failure}; hottest near "
            f"({', '.join(f'{x:.1f}' for x in where)}) mm. Try a coarser time.tolerance or look at the case there."
        )

    def _attempt(self, h: float, guess: Array) -> tuple[Moment, Step, tuple[float, float], float]:
        """A step of ``h`` [s] with the expected end temperature ``guess``, repeated with the temperature reached as
        long as that missed by too much and the repetitions close in on it.

        Returns what drives the end, the step, the errors (of the step; of the expectation that it was computed with)
        and by how much the first expectation missed, all in tolerances.
        """
        s, tolerance = self.state, self.case.time.tolerance
        search = CommandSearch() if self.program.regulates(s.memory) else None
        command = None if search is None else self.now.reading.power
        missed: list[float] = []
        more = self._seep(h)
        while True:
            end = self.moment(s.time + h, s.temperature, guess, h, command)
            step = self.stepper.step(
                lambda T: self.storage.enthalpy(T, s.gone), s.temperature, s.enthalpy + more, h,
                self.now.flow, end.flow,
                guess, NO_PAIRS if self.blood is None else self.blood.temperature,
            )
            T = step.temperatures[2]
            missed.append(
                max(
                    self._mean(T - guess, T) / (GUESS_TOLERANCE * tolerance),
                    self._admittance_change(T, end) / self.case.time.admittance_tolerance,
                )
            )
            error, off = self._mean(step.error, T) / tolerance, 0.0
            if search is not None and command is not None:
                used = command
                wanted = self._command(end, self.thermocouples.read(T))
                off = abs(wanted - used) / max(wanted, used, LEAST_COMMAND * self.program.limits.power)
                off /= COMMAND_TOLERANCE
                command = search.next(used, wanted)
            closing_in = len(missed) == 1 or missed[-1] < max(0.5 * missed[-2], 1.0)
            correctable = error <= 1.0 and missed[-1] <= CORRECTABLE and closing_in and len(missed) < MOST_CORRECTIONS
            if max(missed[-1], off) <= 1.0 or not correctable:
                # many rounds are dear: rather two shorter steps
                return end, step, (error, max(missed[-1], off)), max(missed[0], 1.0 if len(missed) > 3 else 0.0)
            guess = T

    def _command(self, end: Moment, temperatures: tuple[float, ...]) -> float:
        """What the generator commands at the end of a step, at those temperatures [degC] of the thermocouples."""
        impedance = abs(end.reading.impedance)
        return self.program.setpoint(self.state.memory, end.reading.time, impedance, temperatures)[1]

    def _mean(self, error: Array, T: Array) -> float:
        """Root of the volume's mean of ``error`` squared over warmed tissue.

        A mean, not the largest: when a contact dries its nodes go one after the other, each with a kink, and steps
        that resolved every one of them would be as many as there are nodes.
        """
        weight = self.node_volume * (np.abs(T - self.initial_temperature) > WARM)
        total = weight.sum()
        return float(np.sqrt(kernels.dot(weight, error**2) / total)) if total > 0 else float(np.abs(error).max())

    def _admittance_change(self, T: Array, end: Moment) -> float:
        """Share of the heat that has changed places, or size, from the expected to the reached temperature ``T``, with
        the field kept: no less than the relative change of the admittance with that field."""
        s = self.state
        lost = self.boiling.water_lost(T, s.gone)
        omega = s.damage.predict_omega("arrhenius_coagulation", s.temperature, T, end.reading.time - s.time)
        y = self.admittivity(T, lost, omega)
        return self.potential.relative_change(y)

    def _retreat(self, h: float, factor: float) -> None:
        s = self.state
        s.step = h * factor
        # fields computed for the refused end must not feed the next extrapolation
        self.potential.drop_after(s.time)
        if s.step < 1e-3 * self.case.time.min_step:
            raise RunError(f"the time step fell below {s.step:.1e} s at {s.time:.2f} s")

    def _land(self, h: float, edge: float) -> tuple[float, bool]:
        """Shorten ``h`` so that the step ends on, or well before, the next output time or edge of the protocol."""
        s = self.state
        every = self.case.output.frames_every
        target = min(edge, every * (math.floor(s.time / every + 1e-9) + 1))
        left = target - s.time
        if h >= left * (1 - 1e-9):
            return left, True
        return (left / 2, True) if h > 0.6 * left else (h, False)

    def _expected(self, time: float) -> Array:
        """Temperature extrapolated to ``time`` through the last steps.

        Where water boils the temperature has a kink but the enthalpy goes on smoothly, so there it is the enthalpy
        that is extrapolated.
        """
        s = self.state
        if not s.past:
            return s.temperature.copy()
        times = [*(t for t, _, _ in s.past), s.time]
        weights = _lagrange(times, time)
        guess = _combine(weights, [*(T for _, T, _ in s.past), s.temperature])
        if self.boiling.enabled:
            margin, kinks = self.boiling.start, self.storage.kinks_at
            near = np.flatnonzero((np.maximum(guess, s.temperature) > margin) & ~self.is_held)
            if len(near):
                H = _combine(weights, [*(H[near] for _, _, H in s.past), s.enthalpy[near]])
                gone = s.gone[near]
                guess[near] = temperature_of(
                    lambda T: self.storage.enthalpy(T, gone, near), H, s.temperature[near], kinks(near)
                )
        # a node that has just dried heats so fast for a moment that the line through its last values leads anywhere
        guess = np.minimum(guess, np.maximum(s.temperature, self.boiling.end) + FURTHEST_GUESS)
        guess[self.is_held] = s.temperature[self.is_held]
        return guess

    def _accept(self, h: float, step: Any, end: Moment, reading: Reading) -> Frame:
        s = self.state
        closing = False
        if self.blood is not None:
            s.energy["vessels"] += self.blood.advance(step, h)
            self.blood.show(step.temperatures[2], self.is_held, self.is_fixed)
            closing = self._close_vessels()
        self._book(h, step, end)
        if self.wetting is not None:
            s.pores = self.wetting.pores
        T0, T1, T2 = step.temperatures
        s.damage.advance(T0, T1, GAMMA * h)
        s.damage.advance(T1, T2, (1 - GAMMA) * h)
        s.past = [*s.past, (s.time, s.temperature, s.enthalpy)][-2:]
        s.time += h
        s.time = self._snapped(s.time)
        every = self.case.output.frames_every
        at_output = s.time == every * round(s.time / every)
        s.temperature, s.enthalpy = T2, step.enthalpy
        lost = self.boiling.water_lost(T2, s.gone)
        s.most_lost = np.maximum(s.most_lost, lost)
        s.gone = np.maximum(s.gone, (1.0 - self.boiling.returning) * s.most_lost)
        self._refill(h)
        s.steps += 1
        s.newton += step.newton
        self.now = end
        s.memory = self.program.observe(s.memory, replace(reading, time=s.time))
        frame = self._frame(end, h, at_output or bool(s.memory.finished))
        if (closing or s.time in self.case.circulation.switches) and not s.memory.finished:
            self._recirculate()
        if s.memory.power is None and not s.memory.finished:
            self._jump()
        if self.wetting is not None and self.wetting.model.switches(s.time):
            s.step = min(s.step, STEP_AFTER_JUMP * self.case.time.first_step)
        return frame

    def _refill(self, h: float) -> None:
        """Where steam has left for good, saline that flows in takes the place of the water."""
        s, drift = self.state, self.stepper.drift
        if self.wetting is None or drift is None or not s.gone.any():
            return
        s.gone, s.most_lost, gain, latent = self.wetting.refill(
            h, drift, self.storage, s.temperature, s.gone, s.most_lost
        )
        s.enthalpy = s.enthalpy + gain
        # the steam that left keeps its latent heat; the rest is the heat of the water that came
        s.boiled_off += latent
        brought = float(gain.sum()) + latent
        s.energy["saline"] -= brought
        s.energy["stored"] += brought

    def _snapped(self, time: float) -> float:
        """``time``, without its rounding error where it is an output time or an edge of the protocol."""
        every = self.case.output.frames_every
        edge = self.program.edge(self.state.memory)
        pumps = () if self.wetting is None else (self.wetting.model.next_switch(self.state.time - 1e-6),)
        for mark in (edge, every * round(time / every), *self.case.circulation.switches, *pumps):
            if abs(time - mark) < 1e-9 * max(1.0, mark):
                return float(mark)
        return time

    def _close_vessels(self) -> bool:
        """Shut the vessels in which blood has turned solid, where the case wants it; whether there are new ones."""
        if self.blood is None or self.case.circulation.thrombosis != "occlude":
            return False
        closed = tuple(sorted({*self.blood.closed, *self.blood.thrombosed()}))
        new = closed != self.blood.closed
        self.blood.closed = closed
        return new

    def _recirculate(self) -> None:
        """Go on with the inflow of this moment, and the vessels that are open."""
        s = self.state
        self.inflow = self.case.circulation.inflow_at(s.time)
        if self.blood is not None:
            gain = self.blood.change(self.inflow, s.temperature, s.gone, self._storage_of)
            if gain is not None:
                # of free nodes it is the enthalpy that has been carried along, to the last joule
                H = np.where(self.is_held, self.storage.enthalpy(s.temperature, s.gone)[0], s.enthalpy) + gain
                self._prepare_storage()
                T = s.temperature.copy()
                self.blood.show(T, self.is_held, self.is_fixed)
                free = np.flatnonzero(~self.is_held)
                T[free] = temperature_of(
                    lambda t: self.storage.enthalpy(t, s.gone[free], free), H[free], T[free],
                    self.storage.kinks_at(free),
                )
                s.temperature, s.enthalpy = T, H
                # nodes held at the outer boundary take no heat: what blood brings there has left
                kept, _ = self.storage.enthalpy(T, s.gone)
                s.energy["boundary"] += float((H - kept)[self.is_fixed].sum())
        self._prepare_heat()
        s.past = []
        s.step = min(s.step, STEP_AFTER_JUMP * self.case.time.first_step)
        self.now = self.drive(s.time, s.temperature, s.temperature, 0.0)

    def _jump(self) -> None:
        """Go on after the command has jumped: what was extrapolated from before is worth nothing."""
        s = self.state
        s.past = []
        s.step = min(s.step, STEP_AFTER_JUMP * self.case.time.first_step)
        if s.memory.stage != self.stage:
            self._prepare_potential(s.memory.stage)
            self.now = self.moment(s.time, s.temperature, s.temperature, 0.0)
        else:
            self.now = self.drive(s.time, s.temperature, s.temperature, 0.0)
        s.memory = self.program.observe(s.memory, self.now.reading)  # the power that is on now

    def _book(self, h: float, step: Any, end: Moment) -> None:
        """Add the step to the ledger, with the formula's own weights."""
        s, now = self.state, self.now
        book = s.energy
        for weight, part, T in zip(WEIGHTS, (0.0, GAMMA, 1.0), step.temperatures, strict=True):
            for k, term in enumerate(self.terms):
                power = (1 - part) * now.sources[k].sum() + part * end.sources[k].sum()
                r0, r1 = now.reactions[k], end.reactions[k]
                if r0 is not None and r1 is not None:
                    power -= (1 - part) * kernels.dot(r0, T) + part * kernels.dot(r1, T)
                gain = term.ledger in ("electrical", "metabolic")
                book[term.ledger] += h * weight * (power if gain else -power)
            beyond = (1 - part) * now.beyond + part * end.beyond
            book["electrical"] += h * weight * beyond
            book["boundary"] += h * weight * beyond
            book["electrical"] += h * weight * ((1 - part) * now.in_lines + part * end.in_lines)
        held = [0.0] * len(self.domain.held)
        for weight, rate in zip(WEIGHTS, step.rates, strict=True):
            for k, (_, nodes, _) in enumerate(self.domain.held):
                held[k] += h * weight * float(rate[nodes].sum())
        for (account, _, _), joules in zip(self.domain.held, held, strict=True):
            book[account] += joules
        s.vessel_heat = s.vessel_heat or [0.0] * len(self.domain.vessels)
        for index, k in self.domain.held_by_vessel.items():
            s.vessel_heat[index] += held[k]
        lost = self.boiling.water_lost(step.temperatures[2], s.gone)
        # what is stored is read off the temperatures, so that the imbalance shows what the solvers left over
        H, _ = self.storage.enthalpy(step.temperatures[2], s.gone)
        latent = float(kernels.dot(self.storage.latent, lost)) if self.boiling.enabled else 0.0
        book["latent"] = latent + s.boiled_off
        blood = 0.0 if self.blood is None else self.blood.heat
        book["stored"] = float(H.sum()) + blood - self.initial_heat - latent
        if self.wetting is not None:
            took, boiled = self.wetting.booked(h, step, self.stepper)
            fluid, change = self.wetting.shifted(self.storage)
            s.boiled_off += boiled
            book["latent"] += boiled
            book["stored"] -= fluid
            book["saline"] += took + change

    # ------------------------------------------------------------------------------------------- checkpoints

    def save_state(self) -> dict[str, Any]:
        """Arrays and numbers from which :meth:`load_state` goes on to the same bits."""
        out = self.state.save() | self.now.save(with_conductance=self.fixed_conduction is None)
        out |= self.potential.state()
        if self.blood is not None:
            out |= self.blood.state()
        out["iterations"] = np.array([self.potential.system.iterations, self.heat_system.iterations])
        # damage and fields go on in place
        return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in out.items()}

    def load_state(self, saved: dict[str, Any]) -> None:
        """Go on from what :meth:`save_state` gave, on the same case and mesh. Raises RunError where it gave less."""
        try:
            self._load(saved)
        except KeyError as missing:
            raise RunError(
                f"the checkpoint is of another version of rfasim (it holds no {missing}); start the run anew, with "
                "--overwrite"
            ) from None

    def _load(self, saved: dict[str, Any]) -> None:
        if np.shape(saved["temperature"]) != (self.space.n_nodes,):
            raise RunError("the checkpoint belongs to another mesh; start the run anew")
        self.state = State.load(saved)
        if self.wetting is not None and self.state.pores is not None:
            self.wetting.restore(self.state.pores)
        if self.state.memory.stage != self.stage:
            self._prepare_potential(self.state.memory.stage)
        self.inflow = self.case.circulation.inflow_at(self.state.time)
        if self.blood is not None:
            self.blood.restore(saved, self.inflow)
        self._prepare_storage()
        self._prepare_heat()
        self.potential.system.iterations, self.heat_system.iterations = (int(n) for n in saved["iterations"])
        self.potential.restore(saved)
        self.now = Moment.load(saved, len(self.terms), self.fixed_conduction)

    def imbalance(self) -> float:
        """Energy that the ledger cannot account for [J]."""
        e = self.state.energy
        return e["electrical"] + e["metabolic"] - sum(e[a] for a in ACCOUNTS[2:])

    def present_frame(self) -> Frame:
        """The state as it is, as a frame of its own (a resumed run that was already at its end has no other)."""
        return self._frame(self.now, 0.0, True)

    def _frame(self, moment: Moment, h: float, output: bool) -> Frame:
        s = self.state
        criterion = self.case.zone.criterion
        zone = volume_above(
            self.space.points, self.space.cells, s.damage.measure(criterion), 0.0, self.space.axisymmetric,
            self.zone_cells,
        )  # fmt: skip
        salt: dict[str, Any] = {}
        if self.wetting is not None:
            salt = {"concentration": self.wetting.concentration, "pore_pressure": self.wetting.pores.pressure,
                    "injected": self.wetting.pores.injected}  # fmt: skip
        return Frame(
            time=s.time,
            step=h,
            temperature=s.temperature,
            potential=moment.potential,
            water_lost=self.boiling.water_lost(s.temperature, s.gone),
            damage={name: values.copy() for name, values in s.damage.values().items()} if output else s.damage.values(),
            power=moment.reading.power,
            voltage=moment.reading.voltage,
            current=moment.reading.current,
            impedance=moment.reading.impedance,
            max_temperature=float(s.temperature[self.tissue_nodes].max()),
            zone_volume=float(zone),
            energy={**s.energy, "imbalance": self.imbalance()},
            probes={
                **self.probes(s.temperature),
                **dict(zip(self.thermocouples.names, self.thermocouples.read(s.temperature), strict=True)),
            },
            output=output,
            rolled_off=s.memory.roll_offs > 0,
            phase=self.program.phases[s.memory.phase].name,
            limited_by=moment.reading.limited_by,
            **salt,
        )


def _lagrange(times: list[float], at: float) -> list[float]:
    """Weights that extrapolate values at ``times`` to ``at``."""
    weights = []
    for i, ti in enumerate(times):
        w = 1.0
        for j, tj in enumerate(times):
            if j != i:
                w *= (at - tj) / (ti - tj)
        weights.append(w)
    return weights


def _combine(weights: list[float], values: list[Array]) -> Array:
    out = weights[0] * values[0]
    for w, v in zip(weights[1:], values[1:], strict=True):
        out += w * v
    return out
