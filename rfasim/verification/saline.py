"""Saline against exact solutions: Darcy flow from a ball, a front in a column, heat that a flow carries, bounds, books.

Darcy and the front from a ball go through the public path (case -> domain -> saline); their exact numbers share no code
with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from rfasim.case import Case, case_from_dict
from rfasim.domain import build_domain
from rfasim.saline import Pores, SalineModel
from rfasim.simulation import Simulation
from rfasim.solver.linear import System
from rfasim.solver.space import Array, Space
from rfasim.solver.stepping import Drift, Flow, Stepper
from rfasim.solver.transport import Exchange, Transport, divergence
from rfasim.verification.claims import Claim, order, relative

BALL, OUTER = 2e-3, 0.05  # m: the source's radius, the domain's
RATE, PERMEABILITY, VISCOSITY = 1e-9, 2e-14, 7e-4  # m^3/s, m^2, Pa s
MOBILITY = PERMEABILITY / VISCOSITY
# A column along z in which water moves at 0.1 mm/s.
LENGTH, WIDTH, SPEED = 0.05, 0.01, 1e-4  # m, m, m/s


def ball_case(duration: float, *, swelling: float, boundary: str = "open", **saline: Any) -> Case:
    """Fluid from the surface of a ball in the middle of a ball of tissue, into pores that hardly fill."""
    bolus = {
        "at": (0.0, 0.0, 0.0), "volume": RATE * duration, "duration": duration, "before": duration, "radius": 1e-4,
        "concentration": 59.0,
    }  # fmt: skip
    return case_from_dict(
        {
            "name": "ball", "electrodes": [{"device": "ball", "radius": BALL, "centre": (0.0, 0.0, 0.0)}],
            "generator": {"protocol": "constant_voltage", "voltage": 1e-6},
            "domain": {"shape": "ball", "radius": OUTER, "axisymmetric": True},
            "mesh": {"size": 1.5e-4, "grow": 0.1, "zone_size": 6e-4},
            "tissues": {
                "liver": {
                    "permeability": PERMEABILITY, "swelling": swelling, "swelling_limit": 1.0, "perfusion": 0.0,
                    "porosity": 0.2,
                }
            },
            "saline": {"viscosity": VISCOSITY, "boundary": boundary, "boluses": [bolus], **saline},
        }
    )  # fmt: skip


def injected(case: Case) -> tuple[SalineModel, Pores]:
    """The tissue just when the injection has ended."""
    model = SalineModel(case, build_domain(case))
    nothing = np.zeros(model.space.n_nodes)
    return model, model.start(nothing, nothing)


def _radii(model: SalineModel) -> Array:
    return np.asarray(np.linalg.norm(model.space.points, axis=1))


def _mean(model: SalineModel, nodes: Array, values: Array) -> float:
    """By volume: the fluid does not leave the ball in quite the same density everywhere, but as much as it should."""
    weight = model.volume[nodes]
    return float(weight @ values / weight.sum())


def pressure_of_ball(r: Array, t: float, swelling: float) -> Array:
    """Pressure around a ball that lets out a steady flow into boundless tissue from t = 0 on (as heat from a ball)."""
    a, spread = BALL, math.sqrt(MOBILITY / swelling * t)
    x = (r - a) / (2 * spread)
    late = np.exp(-(x**2)) * special.erfcx(x + spread / a)
    return np.asarray(RATE / (4 * math.pi * MOBILITY * r) * (special.erfc(x) - late))


def darcy(quick: bool) -> Iterator[Claim]:
    """Pressure around a ball: steady in a ball of tissue, and while it builds up."""
    group = "Darcy flow from a ball"
    # matter as stiff as can be: steady at once
    model, pores = injected(ball_case(10.0, swelling=1e-8))
    r = _radii(model)
    for radius in (3e-3, 5e-3, 1e-2):
        near = np.abs(r - radius) < 5e-4
        wanted = RATE / (4 * math.pi * MOBILITY) * (1 / r[near] - 1 / OUTER)
        ratio = _mean(model, near, pores.pressure[near] / wanted)
        at = RATE / (4 * math.pi * MOBILITY) * (1 / radius - 1 / OUTER)
        yield relative(group, f"steady, {1e3 * radius:g} mm", at * 1e-3, at * ratio * 1e-3, 0.01, "kPa")
    swelling = 1e-5
    for time in (2.0,) if quick else (2.0, 10.0):
        model, pores = injected(ball_case(time, swelling=swelling))
        r = _radii(model)
        near = (r > 3e-3) & (r < 4e-3)
        wanted = pressure_of_ball(r[near], time, swelling)
        ratio = _mean(model, near, pores.pressure[near] / wanted)
        at = float(pressure_of_ball(np.array([3.5e-3]), time, swelling)[0])
        yield relative(group, f"after {time:g} s, 3 to 4 mm", at * 1e-3, at * ratio * 1e-3, 0.01, "kPa")
        wanted_ml = 1e6 * RATE * time
        yield relative(group, f"fluid after {time:g} s", wanted_ml, 1e6 * float(pores.swelling.sum()), 1e-6, "ml")


def front(quick: bool) -> Iterator[Claim]:
    """How far the salt has come that leaves a ball, without diffusion: fluid in, front out."""
    duration = 400.0 if quick else 1600.0
    model, pores = injected(ball_case(duration, swelling=1e-8, diffusivity=0.0, dispersivity=0.0))
    r, c = _radii(model), model.concentration(pores)
    wanted = (BALL**3 + 3 * RATE * duration / (4 * math.pi * 0.2)) ** (1 / 3)
    # the radius within which the pores would hold the salt that they do
    held = float((model.pores * (c - 9.0)).sum()) / 50.0 / 0.2
    found = (BALL**3 + 3 * held / (4 * math.pi)) ** (1 / 3)
    name = f"front after {duration:g} s"
    yield relative("Salt from a ball", f"{name}, by its amount", 1e3 * wanted, 1e3 * found, 1e-3, "mm")
    half = _crossing(r, (c - 9.0) / 50.0)
    yield relative("Salt from a ball", f"{name}, by half its strength", 1e3 * wanted, 1e3 * half, 0.01, "mm")
    most = float(max(c.max() - 59.0, 9.0 - c.min())) / 50.0
    yield Claim("Salt from a ball", "over- and undershoot", 0.0, most, max(most, 0.0), 1e-9, "", "of the step")


def _crossing(r: Array, share: Array) -> float:
    """Radius [m] at which ``share`` crosses one half, by a straight line through its mean in thin shells."""
    edges = np.linspace(BALL, 3 * np.interp(0.5, np.sort(share), r[np.argsort(share)]), 40)
    which = np.digitize(r, edges)
    middle = np.array([r[which == k].mean() for k in range(1, 40) if (which == k).any()])
    mean = np.array([share[which == k].mean() for k in range(1, 40) if (which == k).any()])
    last = np.flatnonzero(mean >= 0.5)[-1]
    a, b = mean[last], mean[last + 1]
    return float(middle[last] + (a - 0.5) / (a - b) * (middle[last + 1] - middle[last]))


# ------------------------------------------------------------------------------------------------------ a column


def column(n: int, across: int, shaken: float = 0.0) -> Space:
    """A round column of ``n`` layers, ``across`` cells wide, its inner nodes ``shaken`` by that share of a cell."""
    r, z = np.linspace(0.0, WIDTH, across + 1), np.linspace(0.0, LENGTH, n + 1)
    points = np.stack(np.meshgrid(r, z, indexing="ij"), axis=-1).reshape(-1, 2)
    number = np.arange(len(points)).reshape(across + 1, n + 1)
    inner = np.zeros(number.shape, bool)
    inner[1:-1, 1:-1] = True
    jolt = np.random.default_rng(1).uniform(-1, 1, (int(inner.sum()), 2))
    points[inner.ravel()] += shaken * jolt * [WIDTH / across, LENGTH / n]
    a, b, c, d = (part.ravel() for part in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
    return Space(points, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]))


def stream(space: Space) -> tuple[Array, Array, Array]:
    """The uniform flow through a column: edges, what comes in at the bottom, what leaves at the top [m^3/s]."""
    z = space.points[:, 1]
    g = space.assemble(np.ones(space.n_cells))
    q = SPEED * g * (z[space.upper] - z[space.lower])
    out = np.empty(space.n_nodes)
    divergence(q, space.lower, space.upper, out)
    return q, np.where(z == 0.0, out, 0.0), np.where(z == LENGTH, -out, 0.0)


def step_in_column(n: int, dt: float, end: float, spread: float, shaken: float = 0.0, across: int = 8
                   ) -> tuple[float, float, float]:  # fmt: skip
    """Salt flows into a column from t = 0 on: mean error relative to the mean, over- or undershoot, what is missing."""
    space = column(n, across, shaken)
    q, source, sink = stream(space)
    volume, nothing = space.node_volumes(), np.zeros(space.n_nodes)
    transport = Transport(space, np.ones(space.n_nodes, bool))
    at = Exchange(source, np.ones(space.n_nodes), sink, nothing, 0.0)
    amount, left, worst = nothing, 0.0, 0.0
    edges = space.assemble(np.full(space.n_cells, spread))
    for _ in range(round(end / dt)):
        done = transport.step(amount, volume, volume, dt, q, edges, at)
        amount, left = done.amount, left + float(done.left.sum())
        worst = max(worst, float(done.concentration.max()) - 1.0, -float(done.concentration.min()))
    z = space.points[:, 1]
    wanted = inflow_step(z, end, spread) if spread > 0 else (z < SPEED * end).astype(float)
    error = float(volume @ np.abs(done.concentration - wanted)) / float(volume @ wanted)
    missing = abs(float(amount.sum()) + left - float(source.sum()) * end) / (float(source.sum()) * end)
    return error, worst, missing


def inflow_step(z: Array, t: float, D: float) -> Array:
    """A fluid that carries c = 1 flows into a half space from t = 0 on (Lindstrom et al. 1967; van Genuchten & Alves
    1982, A2)."""
    v, root = SPEED, 2 * math.sqrt(D * t)
    near, far, peclet = (z - v * t) / root, (z + v * t) / root, v * v * t / D
    hill = np.exp(-(near**2))
    tail = (1 + v * z / D + peclet) * hill * special.erfcx(far)
    return np.asarray(0.5 * special.erfc(near) + math.sqrt(peclet / math.pi) * hill - 0.5 * tail)


def carried(quick: bool) -> Iterator[Claim]:
    """A step of salt that flows and spreads: error, order, bounds on a stretched mesh, and the amount."""
    group, end, D = "Salt in a column", 250.0, 2e-8
    sizes = (50, 100) if quick else (50, 100, 200)
    found = [step_in_column(n, 100.0 / n, end, D) for n in sizes]
    yield Claim(group, f"step, {sizes[-1]} cells", 0.0, found[-1][0], found[-1][0], 0.01, "", "mean error, relative")
    rough = [step_in_column(n, 100.0 / n, end, D, 0.25, n // 5) for n in sizes]
    yield Claim(group, "step, shaken mesh", 0.0, rough[-1][0], rough[-1][0], 0.01, "", "mean error, relative")
    yield order(group, "order in space and time", 2.0, [error for error, _, _ in found], 0.4)
    for name, found_there in {
        "long steps": step_in_column(100, 10.0, end, D),
        "no diffusion": step_in_column(100, 1.0, end, 0.0),
        "cells 10 times as wide as high, shaken": step_in_column(100, 1.0, end, D, 0.3, 2),
        "cells 20 times as high as wide, shaken": step_in_column(20, 2.0, end, D, 0.3, 80),
    }.items():
        _, worst, missing = found_there
        yield Claim(group, f"over- or undershoot: {name}", 0.0, worst, max(worst, 0.0), 1e-9, "", "of the step")
        yield Claim(group, f"missing salt: {name}", 0.0, missing, missing, 1e-12, "", "share")


# ---------------------------------------------------------------------------------------------------------- heat


def heat_in_column(n: int, steps: int, end: float, *, conductivity: float = 2.0) -> tuple[float, float]:
    """Error [K, root of the mean square] of a temperature that a flow carries and tissue conducts, against a field that
    was manufactured; and the heat that is missing, relative to what moved."""
    space = column(n, n // 5)
    q, source, sink = stream(space)
    capacity, water = 3.8e6, 4.15e6
    z, volume = space.points[:, 1], space.node_volumes()
    w, speed, tau = 2 * math.pi / LENGTH, SPEED * water, 60.0
    conduction = space.assemble(np.full(space.n_cells, conductivity))

    def field(t: float) -> Array:
        return np.asarray(40.0 + 10.0 * np.exp(-t / tau) * np.cos(w * z))

    def needed(t: float) -> Array:
        swing = 10.0 * np.exp(-t / tau)
        change = -capacity / tau * np.cos(w * z) + conductivity * w * w * np.cos(w * z) - speed * w * np.sin(w * z)
        return np.asarray(volume * swing * change)

    stepper = Stepper(space, System(space, np.zeros(space.n_nodes, bool)), (), 1e-9, 1e-12, seeps=True)
    zero, T, h = np.zeros(space.n_nodes), field(0.0), end / steps
    H, moved, brought = capacity * volume * T, 0.0, 0.0
    before = float(H.sum())
    for k in range(steps):
        t0, t1 = k * h, (k + 1) * h
        # what comes in is as warm as the field at the bottom, on the mean of the step
        inlet = 0.5 * (field(t0)[z == 0.0][0] + field(t1)[z == 0.0][0])
        stepper.drift = Drift(water * q, water * source, water * source * inlet, 0.0)
        done = stepper.step(
            lambda u: (capacity * volume * u, capacity * volume), T, H, h, Flow(conduction, zero, needed(t0)),
            Flow(conduction, zero, needed(t1)), T,
        )  # fmt: skip
        weights = (math.sqrt(2) / 4, math.sqrt(2) / 4, 1 - math.sqrt(2) / 2)
        for weight, part, u in zip(weights, (0.0, 2 - math.sqrt(2), 1.0), done.temperatures, strict=True):
            made = (1 - part) * needed(t0).sum() + part * needed(t1).sum()
            brought += h * weight * (made + water * (float(source.sum()) * inlet - float(sink @ u)))
            moved += h * weight * water * float(source.sum()) * inlet
        T, H = done.temperatures[2], done.enthalpy
    error = math.sqrt(float(volume @ (T - field(end)) ** 2) / float(volume.sum()))
    return error, abs(float(H.sum()) - before - brought) / moved


def warmed(quick: bool) -> Iterator[Claim]:
    """Heat that a flow carries: order of the manufactured field, its books, and no overshoot where the flow rules."""
    group = "Heat carried by a flow"
    pairs = ((25, 10), (50, 20)) if quick else ((25, 10), (50, 20), (100, 40))
    errors = [heat_in_column(n, steps, 60.0)[0] for n, steps in pairs]
    yield order(group, "order in space and time", 2.0, errors, 0.2)
    missing = heat_in_column(25, 10, 60.0)[1]
    yield Claim(group, "missing heat", 0.0, missing, missing, 1e-10, "", "of what was carried")
    space = column(50, 2)
    q, source, _ = stream(space)
    zero, volume = np.zeros(space.n_nodes), space.node_volumes()
    stepper = Stepper(space, System(space, zero > 0), (), 1e-9, 1e-12, seeps=True)
    # hardly any conduction: a cell's Peclet number is 400
    stepper.drift = Drift(4.15e6 * q, 4.15e6 * source, 4.15e6 * source, 0.0)
    weak = space.assemble(np.full(space.n_cells, 1e-3))
    T, worst = zero, 0.0
    for _ in range(50):
        flow = Flow(weak, zero, zero)
        done = stepper.step(lambda u: (3.8e6 * volume * u, 3.8e6 * volume), T, 3.8e6 * volume * T, 2.0, flow, flow, T)
        T = done.temperatures[2]
        worst = max(worst, float(T.max()) - 1.0, -float(T.min()))
    name = "over- or undershoot of a step, Peclet 400"
    yield Claim(group, name, 0.0, worst, max(worst, 0.0), 1e-9, "", "of the step")


def books(quick: bool) -> Iterator[Claim]:
    """Salt and energy of a run with all of it: boiling, infusion, perfusion, drainage, backflow, an open boundary."""
    case = case_from_dict(
        {
            "name": "infusion", "electrodes": [{"device": "wet_needle", "model": "uniblate", "tip": (0, 0, -0.0125)}],
            "generator": {"protocol": "constant_power", "power": 30.0, "duration": 60.0 if quick else 180.0},
            "domain": {"shape": "cylinder", "radius": 0.03, "height": 0.06, "axisymmetric": True},
            "boiling": {"returning_fraction": 0.5},
            "saline": {
                "backflow_gap": 1e-5,
                "infusions": [{"rate": 1e-6 / 60, "concentration": 50.0, "start": 10.0, "stop": 45.0}],
                "boluses": [{"at": (0, 0, -0.02), "volume": 2e-6, "concentration": 0.0}],
            },
        }
    )  # fmt: skip
    simulation = Simulation(case)
    missing = max(abs(frame.energy["imbalance"]) for frame in simulation.frames())
    missing /= simulation.state.energy["electrical"]
    name = "energy, at every step"
    yield Claim("Books of an infusion", name, 0.0, missing, missing, 1e-6, "", "of the electrical energy")
    assert simulation.wetting is not None
    assert simulation.state.pores is not None
    lost = abs(simulation.wetting.model.imbalance(simulation.state.pores))
    yield Claim("Books of an infusion", "salt", 0.0, lost, lost, 1e-6, "", "of what was injected")
