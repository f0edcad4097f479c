"""Manufactured solution of the coupled problem: sigma(T), k(T), c(T), perfusion; orders in space and in time.

On a box of edge ``L`` (or a cylinder of radius and height ``L``) with ``p`` the product of a cosine for each direction

    T   = 45 + 25 g(t) p,              g = 1 - exp(-t/tau)/2    no heat through any wall
    phi = V (z/L + f(t) q),            q = p sin(pi z / L),  f = g/2   given at the ends, no current through the sides

and the sources that make them exact are added to both equations. The step below goes through the same calls as the
simulation's: expected temperature, admittivity in series, potential, Joule heat by edges, TR-BDF2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rfasim.case import case_from_dict
from rfasim.errors import RunError
from rfasim.heat import Boiling, Storage
from rfasim.simulation import Simulation
from rfasim.solver import kernels
from rfasim.solver.linear import System
from rfasim.solver.space import Array, Space
from rfasim.solver.stepping import Flow, Stepper
from rfasim.tissues import Linear, Tissue
from rfasim.verification.claims import Claim, order

L, TAU, VOLTAGE, MIDDLE, SWING = 0.02, 20.0, 12.0, 45.0, 25.0
EXCHANGE, BLOOD = 0.0064 * 1050.0 * 3617.0, 37.0  # W/(m^3 K), degC
TISSUE = Tissue(
    conductivity=0.2, conductivity_law=Linear(kind="linear", slope=0.015), thermal_conductivity=0.52,
    thermal_conductivity_law=Linear(kind="linear", slope=0.0025), heat_capacity_law=Linear(kind="linear", slope=0.003),
)  # fmt: skip
LABELS = ("temperature, L2", "potential, L2", "temperature, gradient", "potential, gradient")
CAPACITY = TISSUE.density * TISSUE.heat_capacity


def _slope(law: object) -> float:
    return float(law.slope)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Manufactured:
    """The exact fields and the sources they need, at points of either geometry."""

    points: Array

    def __post_init__(self) -> None:
        x = self.points * (math.pi / L)
        c, s, w = np.cos(x), np.sin(x), math.pi / L
        dim = x.shape[1]
        p, grad_p = np.prod(c, axis=1), np.empty_like(c)
        for d in range(dim):
            grad_p[:, d] = -w * s[:, d] * np.prod(np.delete(c, d, axis=1), axis=1)
        sides = np.prod(c[:, :-1], axis=1)
        # (r, z): cos'' + cos'/r, with sin(x)/x at the axis
        lap_sides = -(w**2) * (2 * sides if dim == 3 else c[:, 0] + np.sinc(self.points[:, 0] / L))
        lap_p = lap_sides * c[:, -1] - w**2 * p
        # q = sides * cos(z) sin(z) = sides * sin(2 z) / 2
        twice = 0.5 * np.sin(2 * x[:, -1])
        grad_q = np.empty_like(c)
        for d in range(dim - 1):
            grad_q[:, d] = -w * s[:, d] * np.prod(np.delete(c[:, :-1], d, axis=1), axis=1) * twice
        grad_q[:, -1] = sides * w * np.cos(2 * x[:, -1])
        lap_q = lap_sides * twice - 4 * w**2 * sides * twice
        for name, value in {"p": p, "grad_p": grad_p, "lap_p": lap_p, "q": sides * twice, "grad_q": grad_q,
                            "lap_q": lap_q}.items():  # fmt: skip
            object.__setattr__(self, name, value)

    p: Array = None  # type: ignore[assignment]
    grad_p: Array = None  # type: ignore[assignment]
    lap_p: Array = None  # type: ignore[assignment]
    q: Array = None  # type: ignore[assignment]
    grad_q: Array = None  # type: ignore[assignment]
    lap_q: Array = None  # type: ignore[assignment]

    @staticmethod
    def g(t: float) -> tuple[float, float]:
        """``g`` and ``dg/dt``."""
        return 1 - 0.5 * math.exp(-t / TAU), 0.5 / TAU * math.exp(-t / TAU)

    def temperature(self, t: float) -> Array:
        return MIDDLE + SWING * self.g(t)[0] * self.p

    def potential(self, t: float) -> Array:
        return VOLTAGE * (self.points[:, -1] / L + 0.5 * self.g(t)[0] * self.q)

    def gradients(self, t: float) -> tuple[Array, Array]:
        """Of temperature and potential."""
        g = self.g(t)[0]
        grad_phi = 0.5 * VOLTAGE * g * self.grad_q
        grad_phi[:, -1] += VOLTAGE / L
        return SWING * g * self.grad_p, grad_phi

    def sources(self, t: float) -> tuple[Array, Array]:
        """What has to be added to the current [A/m^3] and to the heat [W/m^3]."""
        g, dg = self.g(t)
        T = self.temperature(t)
        grad_T, grad_phi = self.gradients(t)
        assert TISSUE.conductivity is not None
        sigma = TISSUE.conductivity * TISSUE.conductivity_law.factor(T)
        d_sigma = TISSUE.conductivity * _slope(TISSUE.conductivity_law)
        k = TISSUE.thermal_conductivity * TISSUE.thermal_conductivity_law.factor(T)
        d_k = TISSUE.thermal_conductivity * _slope(TISSUE.thermal_conductivity_law)
        current = -(d_sigma * np.sum(grad_T * grad_phi, axis=1) + sigma * 0.5 * VOLTAGE * g * self.lap_q)
        heat = CAPACITY * TISSUE.heat_capacity_law.factor(T) * SWING * dg * self.p
        heat -= d_k * np.sum(grad_T**2, axis=1) + k * SWING * g * self.lap_p
        heat -= sigma * np.sum(grad_phi**2, axis=1)
        heat += EXCHANGE * (T - BLOOD)
        return current, heat


def box(n: int) -> Space:
    """Cube of edge L in 6 n^3 tetrahedra, its inner nodes moved a little so that no two cells are alike."""
    line = np.linspace(0.0, L, n + 1)
    points = np.stack([a.ravel() for a in np.meshgrid(line, line, line, indexing="ij")], axis=1)
    stride = np.array([(n + 1) ** 2, n + 1, 1])
    corner = (np.stack([a.ravel() for a in np.meshgrid(*[np.arange(n)] * 3, indexing="ij")], axis=1) * stride).sum(1)
    cells = []
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):
        way = np.cumsum([0, stride[a], stride[b], stride[c]])
        if (a, b, c) in ((0, 2, 1), (2, 1, 0), (1, 0, 2)):
            way = way[[0, 2, 1, 3]]
        cells.append(corner[:, None] + way)
    return Space(_shaken(points, n), np.concatenate(cells))


def disc(n: int) -> Space:
    """Cylinder of radius and height L in the (r, z) plane: 2 n^2 triangles."""
    line = np.linspace(0.0, L, n + 1)
    points = np.stack([a.ravel() for a in np.meshgrid(line, line, indexing="ij")], axis=1)
    i = np.arange(n)
    corner = (i[:, None] * (n + 1) + i).ravel()
    lower = np.stack([corner, corner + n + 1, corner + n + 2], axis=1)
    upper = np.stack([corner, corner + n + 2, corner + 1], axis=1)
    return Space(_shaken(points, n), np.concatenate([lower, upper]))


def _shaken(points: Array, n: int) -> Array:
    h = L / n
    inside = np.all((points > 0.5 * h) & (points < L - 0.5 * h), axis=1)
    moved = np.random.default_rng(2).uniform(-0.12 * h, 0.12 * h, points.shape)
    return np.where(inside[:, None], points + moved, points)


def solve(space: Space, end: float, steps: int) -> tuple[Array, Array]:
    """Temperature and potential at ``end`` [s] after ``steps`` equal steps."""
    exact = Manufactured(space.points)
    volume = space.node_volumes()
    tissue_of_cell = np.zeros(space.n_cells, np.uint32)
    storage = Storage(space, tissue_of_cell, [TISSUE], Boiling(enabled=False))
    nothing = np.zeros(space.n_nodes)
    z = space.points[:, -1]
    electric = System(space, (z == 0.0) | (z == L))
    stepper = Stepper(space, System(space, np.zeros(space.n_nodes, bool)), (), 1e-9, 1e-10)
    phi = np.zeros(space.n_nodes)

    def per_cell(base: float, table: Array) -> Array:
        out = np.empty(space.n_cells)
        kernels.cell_mean(space.cells, tissue_of_cell, table[None, :], out)
        return base * out

    def flow_at(t: float, T: Array) -> Flow:
        assert TISSUE.conductivity is not None
        resistance = per_cell(1.0, 1.0 / TISSUE.conductivity_law.factor(T))
        conductance = space.assemble(TISSUE.conductivity / resistance)
        current, heat = exact.sources(t)
        phi[~np.isin(np.arange(space.n_nodes), electric.free)] = 0.0
        phi[z == 0.0] = exact.potential(t)[z == 0.0]
        phi[z == L] = exact.potential(t)[z == L]
        electric.set_matrix(conductance)
        electric.solve(volume * current, phi, 1e-10)
        joule = space.dissipation(conductance, phi)
        k = per_cell(TISSUE.thermal_conductivity, TISSUE.thermal_conductivity_law.factor(T))
        exchange = volume * EXCHANGE
        return Flow(space.assemble(k), exchange, exchange * BLOOD + joule + volume * heat)

    T = exact.temperature(0.0)
    H, _ = storage.enthalpy(T, nothing)
    h = end / steps
    past = [exact.temperature(-2 * h), exact.temperature(-h), T]
    start = flow_at(0.0, T)
    for k in range(steps):
        guess = past[0] - 3 * past[1] + 3 * past[2]
        finish = flow_at((k + 1) * h, guess)
        step = stepper.step(lambda x: storage.enthalpy(x, nothing), T, H, h, start, finish, guess)
        T, H, start = step.temperatures[2], step.enthalpy, finish
        past = [past[1], past[2], T]
    return T, phi.copy()


def errors(space: Space, T: Array, phi: Array, t: float) -> tuple[float, float, float, float]:
    """Relative L2 errors: temperature, potential (nodal rule), and their gradients (at the cells' middles)."""
    exact = Manufactured(space.points)
    volume = space.node_volumes()
    middle = Manufactured(space.points[space.cells].mean(axis=1))
    grad_T, grad_phi = middle.gradients(t)

    def l2(error: Array, reference: Array) -> float:
        return math.sqrt(float(volume @ error**2) / float(volume @ reference**2))

    def of_gradient(error: Array, reference: Array) -> float:
        return math.sqrt(float(space.volumes @ (error**2).sum(1)) / float(space.volumes @ (reference**2).sum(1)))

    wanted = exact.temperature(t)
    return (
        l2(T - wanted, wanted - MIDDLE),
        l2(phi - exact.potential(t), exact.potential(t)),
        of_gradient(space.gradient(T) - grad_T, grad_T),
        of_gradient(space.gradient(phi) - grad_phi, grad_phi),
    )


def in_space(quick: bool) -> Iterator[Claim]:
    """Halving the cells at a step so short that only they matter."""
    group = "Manufactured solution"
    families = [("axisymmetric", disc, (12, 24, 48))]
    if not quick:
        families = [("axisymmetric", disc, (16, 32, 64)), ("3-D", box, (6, 12, 24))]
    for name, mesh, sizes in families:
        rows = []
        for n in sizes:
            space = mesh(n)
            T, phi = solve(space, 20.0, 80 if space.axisymmetric else 40)
            rows.append(errors(space, T, phi, 20.0))
        for column, label in enumerate(LABELS):
            wanted = 2.0 if column < 2 else 1.0
            yield order(group, f"{label}, {name}", wanted, [row[column] for row in rows])


def in_time(quick: bool) -> Iterator[Claim]:
    """Halving the step on one mesh, against a solution with far shorter steps on it."""
    group = "Order in time"
    space = disc(8 if quick else 16)
    reference, _ = solve(space, 40.0, 640)
    found = [solve(space, 40.0, n)[0] for n in (10, 20, 40)]
    yield order(group, "manufactured, coupled", 2.0, [float(np.abs(T - reference).max()) for T in found])
    if quick:
        return
    runs = [_needle(h) for h in (2.0, 1.0, 0.5, 0.125)]
    rises = [float(np.abs(T - runs[-1]).max()) for T in runs[:-1]]
    yield order(group, "needle at constant voltage, sigma(T)", 2.0, rises)


def _needle(step: float) -> Array:
    """Temperatures after a whole run of 64 s at one step size."""
    law = {"kind": "linear", "slope": 0.02, "high": 200.0}
    case = case_from_dict(
        {
            "name": "needle",
            "electrodes": [{"device": "needle", "tip": (0, 0, -0.015)}],
            "generator": {"protocol": "constant_voltage", "voltage": 9.0, "duration": 64.0},
            "domain": {"axisymmetric": True, "radius": 0.04, "height": 0.08},
            "tissues": {"liver": {"conductivity": 0.2, "conductivity_law": law}},
            "boiling": {"enabled": False},
            "mesh": {"size": 7e-4, "rim_size": 7e-4},
            # the tolerance lets every step grow, so that the largest allowed one is the step
            "time": {"tolerance": 100.0, "first_step": step, "max_step": step},
            "output": {"frames_every": 64.0},
            "solver": {"heat_tolerance": 1e-10, "potential_tolerance": 1e-10},
        }
    )
    simulation = Simulation(case)
    *_, last = simulation.frames()
    if simulation.state.steps != round(64.0 / step):
        raise RunError(f"took {simulation.state.steps} steps instead of {64.0 / step:g}: not equal ones")
    return last.temperature
