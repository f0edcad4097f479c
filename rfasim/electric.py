"""The potential of each port, the admittance matrix and the Joule heat.

``div(y grad phi) = 0`` with ``y = sigma + i omega eps``; phi is 1 V on one port and 0 V on the others. All volts and
amperes are RMS, so the heat is ``Re(y) |grad phi|^2`` without a factor of one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rfasim.solver import kernels
from rfasim.solver.linear import System
from rfasim.solver.space import Array, Space

# The fields are kept as long as the conductances have moved by no more than this share since they were solved for,
# weighted with the power they carry. The admittance then misses by its square, the heat's distribution by about itself.
KEPT_UNTIL = 3e-3


@dataclass(frozen=True)
class FarField:
    """Asymptotic condition on outer facets: ``y du/dn = -y factor u``."""

    nodes: Array  # (n, d) vertices of the facets
    factor: Array  # (n, d) [m]
    cells: Array  # (n,) the cell behind each facet

    def diagonal(self, admittivity: Array, n_nodes: int) -> Array:
        """What the condition adds to the diagonal [S], for ``admittivity`` per cell."""
        values = (admittivity[self.cells][:, None] * self.factor).ravel()
        out = np.bincount(self.nodes.ravel(), values.real, n_nodes)
        if np.iscomplexobj(values):
            return np.asarray(out + 1j * np.bincount(self.nodes.ravel(), values.imag, n_nodes))
        return out


class Potential:
    """Unit potentials of the ports of a domain and what follows from them.

    ``ports``: node numbers of each contact; ``ground``: nodes held at 0 V; ``idle``: nodes inside metal.
    ``fields`` (ports, n_nodes) are kept between calls as first guesses. ``currents`` (ports, ports) are the same as
    ``admittance`` read off at the contacts' nodes: less exact, but its symmetry says something.
    """

    def __init__(self, space: Space, ports: Sequence[Array], ground: Array, idle: Array, far_field: FarField | None,
                 *, is_complex: bool, tolerance: float, threads: int = 1) -> None:
        held = np.zeros(space.n_nodes, bool)
        for nodes in (*ports, ground):
            held[nodes] = True
        idle_mask = np.zeros(space.n_nodes, bool)
        idle_mask[idle] = True
        self.space, self.ports, self.far_field = space, ports, far_field
        self.system = System(space, held, idle_mask & ~held)
        self.tolerance, self.threads = tolerance, threads
        dtype = complex if is_complex else float
        self.fields = np.zeros((len(ports), space.n_nodes), dtype)
        for port, nodes in enumerate(ports):
            self.fields[port, nodes] = 1.0
        self.admittance = np.zeros((len(ports), len(ports)), complex)
        self.currents = self.admittance.copy()
        self.conductance = np.zeros(space.n_edges, dtype)
        self._past: list[tuple[float, Array]] = []
        self.is_fresh = False
        """whether the fields were solved for the last conductances, not kept from some that were nearly the same"""
        self._solved: Array | None = None  # the conductances that the fields were solved for
        self._carried: list[float] = []  # what each field carries with their sizes; made when it is asked for

    def solve(self, admittivity: Array, time: float | None = None) -> Array:
        """Unit fields and admittance matrix [S] for ``admittivity`` per cell [S/m], of which it returns a copy.

        ``Y_pq = u_p^T A u_q``: of all ways to read a current off the discrete field the one whose error is quadratic
        in what is left of the residual. ``time`` lets the first guess be extrapolated from the last two calls, and the
        fields be kept while the conductances have hardly moved.
        """
        self.conductance = self.space.assemble(admittivity, threads=self.threads, out=self.conductance)
        self.far_diagonal = None
        if self.far_field is not None:
            self.far_diagonal = self.far_field.diagonal(admittivity, self.space.n_nodes)
        self.is_fresh = time is None or self._moved() > KEPT_UNTIL
        if self.is_fresh:
            self._solve_fields(time)
        for q in range(len(self.ports)):
            current = self.space.multiply(self.conductance, self.fields[q])
            if self.far_diagonal is not None:
                current = current + self.far_diagonal * self.fields[q]
            for p, nodes in enumerate(self.ports):
                self.admittance[p, q] = kernels.dot(self.fields[p], current)
                self.currents[p, q] = current[nodes].sum()
        return self.admittance.copy()

    def _solve_fields(self, time: float | None) -> None:
        self.system.set_matrix(self.conductance, self.far_diagonal)
        again = len(self._past) > 0 and self._past[-1][0] == time
        if again:  # a correction: what was found is a better guess than what was extrapolated
            self._past.pop()
        elif time is not None:
            self._extrapolate(time)
        workers = min(self.threads, len(self.ports))
        if workers > 1:
            # the kernels release the interpreter's lock; each port has a field of its own, so the bits do not depend on
            # who solves it
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda field: self.system.solve(None, field, self.tolerance), self.fields))
        else:
            for field in self.fields:
                self.system.solve(None, field, self.tolerance)
        self._solved, self._carried = self.conductance.copy(), []
        if time is not None:
            self._past = [*self._past, (time, self.fields.copy())][-2:]

    def _moved(self) -> float:
        """How far the conductances have moved since the fields were solved for: largest share over the ports."""
        if self._solved is None:
            return np.inf
        if not self._carried:
            size = np.abs(self._solved)
            self._carried = [float(self.space.dissipation(size, u).sum()) for u in self.fields]
        change = np.abs(self.conductance - self._solved)
        return max(
            float(self.space.dissipation(change, u).sum()) / carried
            for u, carried in zip(self.fields, self._carried, strict=True)
        )

    def relative_change(self, admittivity: Array) -> float:
        """Largest share of a port's heat that changes, were ``admittivity`` what it now is, fields kept.

            sum over nodes |change of the heat at the node| / heat of all

        Nowhere does less here make up for more there: where tissue dries the field moves away from it, so that an
        admittance that has hardly changed with the field kept may change by several per cent with the field that comes.
        """
        change = self.space.assemble(admittivity, threads=self.threads) - self.conductance
        far_change = None
        if self.far_field is not None:
            far_change = self.far_field.diagonal(admittivity, self.space.n_nodes) - self.far_diagonal
        worst = 0.0
        for port, u in enumerate(self.fields):
            heat = self.space.dissipation(change, u)
            if np.iscomplexobj(change):
                heat = np.hypot(heat, self.space.dissipation(change.imag.copy(), u))
            moved = np.abs(heat)
            if far_change is not None:
                moved += np.abs(far_change) * np.abs(u) ** 2
            worst = max(worst, float(moved.sum() / abs(self.admittance[port, port])))
        return worst

    def _extrapolate(self, time: float) -> None:
        if len(self._past) == 2:
            (t0, u0), (t1, u1) = self._past
            if t1 > t0 and time - t1 <= 3 * (t1 - t0):
                self.fields = u1 + (u1 - u0) * ((time - t1) / (t1 - t0))

    def drop_after(self, time: float) -> None:
        """Forget fields of times after ``time``: those of a step that was refused."""
        before = len(self._past)
        self._past = [entry for entry in self._past if entry[0] <= time]
        if len(self._past) < before:
            self._solved = None  # the fields are those of a time that did not come

    def state(self) -> dict[str, Array]:
        """What a checkpoint needs: the fields and those kept for extrapolation."""
        out = {"potential_fields": self.fields}
        if self._solved is not None:
            out["potential_solved"] = self._solved
        for k, (t, u) in enumerate(self._past):
            out[f"potential_past_{k}"] = u
            out[f"potential_past_time_{k}"] = np.array(t)
        return out

    def restore(self, state: dict[str, Array]) -> None:
        """Take back what :meth:`state` gave."""
        self.fields = np.array(state["potential_fields"])
        self._solved = np.array(state["potential_solved"]) if "potential_solved" in state else None
        self._carried = []
        self._past = [
            (float(state[f"potential_past_time_{k}"]), np.array(state[f"potential_past_{k}"]))
            for k in range(2) if f"potential_past_{k}" in state
        ]  # fmt: skip

    def field(self, voltages: Array) -> Array:
        """Potential of all nodes [V] for the port ``voltages``."""
        return np.asarray((np.asarray(voltages)[:, None] * self.fields).sum(axis=0))

    def joule(self, voltages: Array, shares: Sequence[float] = (1.0,)) -> tuple[Array, float]:
        """Nodal Joule heat [W] for the port ``voltages`` and the power that leaves through the far field [W].

        Their sum is the power that the ports deliver, ``Re(V^H Y V)``. With several rows of voltages (n, ports) it is
        their mean over ``shares`` of the time. Heat is a quadratic form ``V^H G V`` in the voltages, so the mean needs
        no more fields than there are ports: those of the eigenvectors of ``sum(share V V^H)``.
        """
        rows, weights = np.atleast_2d(voltages), np.asarray(shares)
        if len(rows) > 1:
            outer = rows[:, :, None] * rows[:, None, :].conj()
            values, vectors = np.linalg.eigh((weights[:, None, None] * outer).sum(axis=0))
            keep = values > 1e-14 * values.max()
            rows, weights = (np.sqrt(values[keep]) * vectors[:, keep]).T, np.ones(int(keep.sum()))
        heat, beyond = np.zeros(self.space.n_nodes), 0.0
        for row, share in zip(rows, weights, strict=True):
            u = self.field(row)
            heat += share * self.space.dissipation(self.conductance, u)
            if self.far_diagonal is not None:
                beyond += share * float(np.sum(np.real(self.far_diagonal) * np.abs(u) ** 2))
        return heat, beyond
