"""Bodies with exact solutions, run through the whole program: ball, spheroid, rod, pair of balls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rfasim.case import Case, case_from_dict
from rfasim.frame import Frame
from rfasim.simulation import Simulation
from rfasim.verification import exact
from rfasim.verification.claims import Claim, relative

SIGMA, K, DENSITY, HEAT_CAPACITY = 0.2, 0.52, 1060.0, 3600.0
BLOOD = {"density": 1060.0, "heat_capacity": 3617.0}
BODY = 37.0
# A steady state does not depend on the heat capacity: with a hundredth of it two hours are like a week (the slowest
# transient of 0.15 m of tissue takes 1e5 s), and the cell death that every run books is not booked for a week.
QUICK_HEAT_CAPACITY, FOREVER = 36.0, 1e4
VOLTAGE = 15.0

ADIABATIC = {"kind": "adiabatic"}
COOLED = {"kind": "wall", "temperature": BODY}
CONSTANT = {"kind": "constant"}
UNBOUNDED = {"electric_boundary": {"kind": "far_field"}, "thermal_boundary": {"kind": "far_field"}}


def body_case(name: str, electrode: dict[str, Any], domain: dict[str, Any], *, voltage: float | None = None,
              power: float | None = None, duration: float = FOREVER, max_step: float = FOREVER,
              frames_every: float | None = None, steady: bool = True, law: dict[str, Any] = CONSTANT,
              perfusion: float = 0.0, mesh: dict[str, Any] | None = None,
              probes: dict[str, tuple[float, float, float]] | None = None, tolerance: float = 0.3,
              **more: Any) -> Case:  # fmt: skip
    """A case with constant properties, no boiling and no cell death that acts back."""
    source: dict[str, Any] = {"duration": duration, "roll_off": {"stop": False}}
    if voltage is not None:
        source |= {"protocol": "constant_voltage", "voltage": voltage}
    else:
        source |= {"protocol": "constant_power", "power": power}
    tissue = {
        "conductivity": SIGMA, "relative_permittivity": 0.0, "conductivity_law": law, "thermal_conductivity": K,
        "density": DENSITY, "heat_capacity": QUICK_HEAT_CAPACITY if steady else HEAT_CAPACITY,
        "water_fraction": 0.0, "perfusion": perfusion,
    }  # fmt: skip
    data = {
        "name": name,
        "electrodes": [electrode],
        "generator": source,
        "domain": domain,
        "tissues": {"liver": tissue},
        "electric": {"admittivity": "real"},
        "boiling": {"enabled": False},
        "perfusion_stop": None,
        "blood": BLOOD,
        "mesh": mesh or {},
        "time": {"tolerance": tolerance, "max_step": max_step, "first_step": 0.05},
        "output": {"frames_every": frames_every or duration},
        "outside_band": True,  # no device is asked for its rated power
        "probes": [{"name": key, "at": at} for key, at in (probes or {}).items()],
    }
    return case_from_dict(data | more)


def last_frame(simulation: Simulation) -> Frame:
    """Run to the end."""
    *_, frame = simulation.frames()
    return frame


# ---------------------------------------------------------------------------------------------- Kohlrausch


def kohlrausch(quick: bool) -> Iterator[Claim]:
    """Highest temperature of a needle without perfusion, whatever the mesh: the two-way coupling and its books."""
    group = "Kohlrausch identity"
    linear = {f"{a:g}": {"kind": "linear", "slope": a, "high": 400.0} for a in (0.015, 0.02)}
    for dimension in ("axisymmetric", "3-D"):
        three = dimension == "3-D"
        mesh = {"size": 6e-4, "rim_size": 3e-4} if three else {"size": 3e-4, "rim_size": 1e-4}
        domain = {"shape": "cylinder", "radius": 0.06, "height": 0.12, "axisymmetric": not three}
        for electrode, law, gate in (
            ("adiabatic", "0", 0.005),
            ("cooled", "0", 0.005),
            ("adiabatic", "0.015", 0.01),
            ("adiabatic", "0.02", 0.01),
        ):
            if quick and (three or law == "0.015"):
                continue
            thermal = ADIABATIC if electrode == "adiabatic" else COOLED
            # where the conductivity answers to the temperature, the steady state is a fixed point of the coupling by
            # extrapolation, which steps longer than the tissue's own time (30 s in this cylinder) do not settle on
            time = {"duration": 600.0, "max_step": 20.0} if law in linear else {}
            case = body_case(
                "needle", {"device": "needle", "tip": (0, 0, -0.015), "thermal": thermal}, domain, voltage=VOLTAGE,
                law=linear.get(law, CONSTANT), mesh=mesh, **time,  # type: ignore[arg-type]
            )  # fmt: skip
            rise = last_frame(Simulation(case)).max_temperature - BODY
            if electrode == "cooled":
                wanted, label = exact.kohlrausch_cooled(SIGMA, K, VOLTAGE), "(b) cooled"
            else:
                wanted = exact.kohlrausch_adiabatic(SIGMA, K, VOLTAGE, float(law))
                label = "(a) adiabatic" if law == "0" else f"(c) sigma +{100 * float(law):g} %/K"
            yield relative(group, f"{label}, {dimension}", wanted, rise, gate, "K")


# -------------------------------------------------------------------------------------------------- sphere

BALL_RADIUS = 0.0015
BALL_POWER = 2.0
STEADY_RADII = (1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0)  # mm
TRANSIENT_RADII = (1.5, 3.0, 5.0, 10.0)
TIMES = (10.0, 60.0, 300.0, 720.0)


def _ball_case(thermal: str, perfusion: float, radii: tuple[float, ...], *, duration: float, three: bool) -> Case:
    direction = np.array([math.sin(1.0), 0.0, math.cos(1.0)])  # no axis of the mesh
    return body_case(
        "ball",
        {"device": "ball", "radius": BALL_RADIUS, "thermal": ADIABATIC if thermal == "adiabatic" else COOLED},
        {"shape": "ball", "radius": 0.08 if three else 0.15, "axisymmetric": not three, **UNBOUNDED},
        power=BALL_POWER, perfusion=perfusion, duration=duration, steady=duration == FOREVER,
        frames_every=10.0 if duration < FOREVER else None,
        mesh={"size": 8e-5, "rim_size": 8e-5, "grow": 0.15, "max_size": 0.03} if three
        else {"size": 1e-4, "rim_size": 1e-4, "grow": 0.12, "max_size": 0.01},
        tolerance=0.1,
        probes={f"{r:g}": tuple(1e-3 * r * direction) for r in radii},
    )  # fmt: skip


def _ball(perfusion: float) -> exact.Sphere:
    exchange = BLOOD["density"] * BLOOD["heat_capacity"] * perfusion
    return exact.Sphere(BALL_RADIUS, BALL_POWER, K, K / (DENSITY * HEAT_CAPACITY), exchange)


def sphere(quick: bool) -> Iterator[Claim]:
    """Ball in unbounded tissue: every tabulated point, the error in parts of the largest rise of its row."""
    group = "Sphere"
    steady = [(w, t, False) for w in (0.0, 1e-3, 6.4e-3, 17.9e-3) for t in ("adiabatic", "cooled")]
    transient = [(w, t, False) for w in (0.0, 6.4e-3) for t in ("adiabatic", "cooled")]
    if quick:
        steady, transient = [steady[0]], [(6.4e-3, "cooled", False)]
    else:
        steady += [(0.0, "adiabatic", True), (6.4e-3, "cooled", True)]
    for w, thermal, three in steady:
        frame = last_frame(Simulation(_ball_case(thermal, w, STEADY_RADII, duration=FOREVER, three=three)))
        body = _ball(w)
        wanted = [body.steady(1e-3 * r, thermal) for r in STEADY_RADII]  # type: ignore[arg-type]
        found = [frame.probes[f"{r:g}"] - BODY for r in STEADY_RADII]
        where = ", 3-D" if three else ""
        yield _worst(group, f"steady, w = {w:g} 1/s, {thermal}{where}", STEADY_RADII, wanted, found)
    for w, thermal, three in transient:
        frames = Simulation(_ball_case(thermal, w, TRANSIENT_RADII, duration=TIMES[-1], three=three)).frames()
        body = _ball(w)
        for frame in frames:
            if not any(abs(frame.time - t) < 1e-6 for t in TIMES):
                continue
            wanted = [body.transient(1e-3 * r, frame.time, thermal) for r in TRANSIENT_RADII]  # type: ignore[arg-type]
            found = [frame.probes[f"{r:g}"] - BODY for r in TRANSIENT_RADII]
            yield _worst(group, f"{frame.time:.0f} s, w = {w:g} 1/s, {thermal}", TRANSIENT_RADII, wanted, found)


def _worst(group: str, name: str, radii: tuple[float, ...], wanted: list[float], found: list[float],
           gate: float = 0.01) -> Claim:  # fmt: skip
    """The point of a row that is furthest off, in parts of the row's largest exact rise."""
    k = int(np.argmax(np.abs(np.array(found) - np.array(wanted))))
    note = f"worst of {len(radii)} points, r = {radii[k]:g} mm; of the largest rise"
    return relative(group, name, wanted[k], found[k], gate, "K", of=max(wanted), note=note)


# -------------------------------------------------------------------------------------- spheroid and annulus

SPHEROID = (0.015, 0.00075)
SPHEROID_RADII = (0.75, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0)


def spheroid(quick: bool) -> Iterator[Claim]:
    """The needle with an exact field: prolate spheroid, 30 mm long and 1.5 mm wide, in unbounded tissue.

    In 3-D the resistance takes a finer mesh than the temperatures; with a constant conductivity the first frame has it.
    """
    group = "Spheroid needle"
    needle = exact.SpheroidNeedle(*SPHEROID)
    for thermal, three in (("adiabatic", False), ("cooled", False), ("adiabatic", True)):
        if quick and (three or thermal == "cooled"):
            continue
        case = body_case(
            "spheroid",
            {"device": "spheroid", "semi_axes": SPHEROID, "thermal": ADIABATIC if thermal == "adiabatic" else COOLED},
            {"shape": "ball", "radius": 0.08 if three else 0.15, "axisymmetric": not three, **UNBOUNDED},
            voltage=VOLTAGE,
            mesh={"size": 2.5e-4, "rim_size": 2.5e-4, "grow": 0.4, "max_size": 0.03} if three
            else {"size": 1e-4, "rim_size": 1e-4, "grow": 0.12, "max_size": 0.01},
            probes={f"{r:g}": (1e-3 * r, 0.0, 0.0) for r in SPHEROID_RADII},
        )  # fmt: skip
        frame = last_frame(Simulation(case))
        where = "3-D" if three else "axisymmetric"
        if thermal == "adiabatic":
            found_r = frame.impedance.real
            if three:
                fine = case.mesh.model_copy(update={"size": 1e-4, "rim_size": 1e-4, "grow": 0.14})
                found_r = next(Simulation(case.model_copy(update={"mesh": fine})).frames()).impedance.real
            yield relative(group, f"resistance, {where}", needle.resistance(SIGMA), found_r, 0.005, "ohm")
        phi = VOLTAGE * needle.potential(1e-3 * np.array(SPHEROID_RADII))
        wanted = exact.kohlrausch_field(SIGMA, K, VOLTAGE, phi, thermal)  # type: ignore[arg-type]
        found = [frame.probes[f"{r:g}"] - BODY for r in SPHEROID_RADII]
        yield _worst(group, f"rise, {thermal}, {where}", SPHEROID_RADII, list(wanted), found)


ROD_RADIUS, TUBE_RADIUS, ROD_LENGTH = 0.00075, 0.05, 0.005
ROD_RADII = (0.75, 1.0, 2.0, 4.0, 6.124, 10.0, 20.0)


def annulus(quick: bool) -> Iterator[Claim]:
    """A rod through a cylinder with insulated ends: a field of the radius alone."""
    group = "Annulus"
    ring = exact.Annulus(ROD_RADIUS, TUBE_RADIUS)
    radii = 1e-3 * np.array(ROD_RADII)
    for thermal, w, three in (
        ("cooled", 0.0, False), ("adiabatic", 6.4e-3, False), ("cooled", 6.4e-3, False), ("cooled", 0.0, True),
    ):  # fmt: skip
        if quick and (three or thermal == "adiabatic"):
            continue
        case = body_case(
            "rod",
            {"device": "rod", "diameter": 2 * ROD_RADIUS, "thermal": ADIABATIC if thermal == "adiabatic" else COOLED},
            {
                "shape": "cylinder", "radius": TUBE_RADIUS, "height": ROD_LENGTH, "axisymmetric": not three,
                "electric_boundary": {"kind": "ground", "ends": "insulated"},
                "thermal_boundary": {"kind": "fixed", "ends": "insulated"},
            },
            voltage=VOLTAGE, perfusion=w,
            mesh={"size": 1.5e-4, "rim_size": 1.5e-4, "grow": 0.15, "max_size": 0.005} if three
            else {"size": 1e-4, "rim_size": 1e-4, "grow": 0.12, "max_size": 0.005},
            probes={f"{r:g}": (1e-3 * r, 0.0, 0.0) for r in ROD_RADII},
        )  # fmt: skip
        simulation = Simulation(case)
        frame = last_frame(simulation)
        where = "3-D" if three else "axisymmetric"
        if w == 0.0:
            wanted_r = ring.resistance(SIGMA, ROD_LENGTH)
            yield relative(group, f"resistance, {where}", wanted_r, frame.impedance.real, 0.005, "ohm")
            points = simulation.mesh.points
            r = np.abs(points[:, 0]) if simulation.mesh.axisymmetric else np.hypot(points[:, 0], points[:, 1])
            off = frame.potential.real / VOLTAGE - ring.potential(np.clip(r, ROD_RADIUS, TUBE_RADIUS))
            worst = float(np.abs(off).max())
            name = f"potential at all nodes, {where}"
            yield Claim(group, name, 0.0, worst, worst, 0.005, "", "in parts of the voltage")
            rise = frame.max_temperature - BODY
            yield relative(group, f"highest rise, {thermal}, {where}", exact.kohlrausch_cooled(SIGMA, K, VOLTAGE), rise,
                           0.005, "K")  # fmt: skip
        else:
            exchange = BLOOD["density"] * BLOOD["heat_capacity"] * w
            wanted = ring.perfused(radii, SIGMA, K, VOLTAGE, exchange, thermal)  # type: ignore[arg-type]
            found = [frame.probes[f"{r:g}"] - BODY for r in ROD_RADII]
            yield _worst(group, f"rise, {thermal}, w = {w:g} 1/s, {where}", ROD_RADII, list(wanted), found)


# -------------------------------------------------------------------------------------------- two spheres


def two_spheres(quick: bool) -> Iterator[Claim]:
    """Two balls in unbounded tissue, 3-D: source and return, and nothing to infinity."""
    a, distance = 0.002, 0.02
    size, grow = (1.5e-4, 0.18) if quick else (1.25e-4, 0.13)
    case = body_case(
        "pair", {"device": "ball", "radius": a, "centre": (-distance / 2, 0, 0)},
        {"shape": "ball", "radius": 0.1, "centre": (0, 0, 0), **UNBOUNDED}, voltage=1.0,
        mesh={"size": size, "rim_size": size, "grow": grow, "max_size": 0.05},
        electrodes=[{"device": "ball", "radius": a, "centre": (s * distance / 2, 0, 0)} for s in (-1, 1)],
        electric={
            "admittivity": "real", "source": ["electrodes[0].contact"], "returns": ["electrodes[1].contact"],
        },
    )  # fmt: skip
    simulation = Simulation(case)
    resistance = next(simulation.frames()).impedance.real
    wanted = exact.two_spheres_resistance(a, distance, SIGMA)
    yield relative("Two spheres", "resistance between them, 3-D", wanted, resistance, 0.005, "ohm",
                   note=f"{simulation.mesh.n_nodes} nodes")  # fmt: skip
