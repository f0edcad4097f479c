"""A drying front in a column: the enthalpy and its stepper against Neumann's one-phase solution.

Saturated tissue at the boiling point, its face held hotter from t = 0: the dry layer grows as
``s = 2 lambda sqrt(alpha t)`` with the dry tissue's diffusivity ``alpha`` and ``Ste = c_dry dT / L``. Water
does not move.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from rfasim.heat import Boiling, Storage
from rfasim.solver.linear import System
from rfasim.solver.space import Array, Space
from rfasim.solver.stepping import Flow, Stepper
from rfasim.tissues import WATER_HEAT, Tissue
from rfasim.verification import exact
from rfasim.verification.claims import Claim, relative

WINDOW = (99.98, 100.0)  # degC; the water of the model boils over a range, here a narrow one


def column(length: float, n: int, radius: float = 1e-3) -> Space:
    """A round column of ``n`` layers along z, two nodes wide: the problems in it depend on z alone."""
    z = np.linspace(0.0, length, n + 1)
    points = np.concatenate([np.stack([np.full(n + 1, r), z], axis=1) for r in (0.0, radius)])
    i = np.arange(n)
    cells = np.concatenate([np.stack([i, i + n + 1, i + n + 2], axis=1), np.stack([i, i + n + 2, i + 1], axis=1)])
    return Space(points, cells)


def front(overheat: float, water_fraction: float, end: float, n: int, steps: int) -> tuple[float, float, float]:
    """Front position [m] after ``end`` seconds: exact, computed; and the Stefan number."""
    tissue = Tissue(conductivity=0.2, water_fraction=water_fraction)
    boiling = Boiling(start=WINDOW[0], end=WINDOW[1], diffusivity=0.0)
    dry = tissue.density * tissue.heat_capacity - tissue.water * WATER_HEAT  # J/(m^3 K)
    stefan = dry * overheat / (tissue.water * boiling.latent_heat)
    alpha = tissue.thermal_conductivity / dry
    position = 2 * exact.stefan_root(stefan) * math.sqrt(alpha * end)
    space = column(1.6 * position, n)
    storage = Storage(space, np.zeros(space.n_cells, np.uint32), [tissue], boiling)
    face = space.points[:, 1] == 0.0
    stepper = Stepper(space, System(space, face), storage.kinks, 1e-5, 1e-9)
    T = np.where(face, WINDOW[1] + overheat, WINDOW[0])
    nothing = np.zeros(space.n_nodes)
    conductance = space.assemble(np.full(space.n_cells, tissue.thermal_conductivity))
    flow = Flow(conductance, nothing, nothing)

    def enthalpy(T: Array) -> tuple[Array, Array]:
        return storage.enthalpy(T, nothing)

    H, _ = enthalpy(T)
    # the front goes as sqrt(t): even steps in sqrt(t) let each node dry in the same number of them
    times = end * np.linspace(0.0, 1.0, steps + 1) ** 2
    for h in np.diff(times):
        step = stepper.step(enthalpy, T, H, float(h), flow, flow, T)
        T, H = step.temperatures[2], step.enthalpy
    dried = boiling.water_lost(T, nothing) * storage.water_mass
    area = float(space.node_volumes().sum()) / float(space.points[:, 1].max())
    return position, float(dried.sum()) / (tissue.water * area), stefan


def stefan(quick: bool) -> Iterator[Claim]:
    """Front position at Stefan numbers 0.1 and 1."""
    for overheat, water in ((3.4, 0.05),) if quick else ((3.4, 0.05), (34.0, 0.05)):
        wanted, found, number = front(overheat, water, 100.0, 200 if quick else 400, 400 if quick else 1200)
        name = f"dried depth after 100 s, Ste = {number:.2f}"
        yield relative("Stefan front", name, 1e3 * wanted, 1e3 * found, 0.01, "mm")
