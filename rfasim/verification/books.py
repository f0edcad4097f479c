"""What must hold in every run: energy books, power of the ports, doses, one needle in two and three dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rfasim.case import Case, case_from_dict, load_case
from rfasim.damage import MODELS, Arrhenius
from rfasim.domain import build_domain
from rfasim.electric import FarField, Potential
from rfasim.frame import Frame
from rfasim.simulation import Simulation
from rfasim.solver import surface
from rfasim.verification import exact
from rfasim.verification.bodies import UNBOUNDED, body_case, last_frame
from rfasim.verification.claims import Claim, relative

CASES = Path(__file__).resolve().parents[2] / "cases"
"""The shipped cases; they come with the source, not with an installed package."""


def needs_images(case: Case) -> bool:
    """Whether the case reads files that are not shipped with it."""
    return case.anatomy is not None or case.mesh.file is not None


def ledger(quick: bool) -> Iterator[Claim]:
    """Energy in = energy stored, carried off and lost, for every shipped case that needs no further files."""
    coarse = [("mesh.size", "0.6 mm"), ("mesh.rim_size", "0.3 mm")]
    for path in sorted(CASES.glob("*.yaml")):
        case = load_case(path)
        if needs_images(case) or (quick and not case.domain.axisymmetric):
            continue
        # the books close on any mesh: three dimensions take a coarse one, the quick selection a short run too
        changes = [] if case.domain.axisymmetric and not quick else list(coarse)
        if quick:
            changes.append(("generator.duration", "60 s"))
        frame = last_frame(Simulation(load_case(path, changes)))
        part = abs(frame.energy["imbalance"]) / frame.energy["electrical"]
        name, note = f"{path.name}, {frame.time:.0f} s", f"in parts of the {frame.energy['electrical']:.0f} J delivered"
        yield Claim("Energy ledger", name, 0.0, frame.energy["imbalance"], part, 1e-6, "J", note)


def admittance(quick: bool) -> Iterator[Claim]:
    """Power at the ports against the volume integral of ``Re(y) |grad phi|^2``, cell by cell, plus the far field's."""
    group = "Port power"
    needle = case_from_dict(
        {
            "name": "needle", "electrodes": [{"device": "needle", "tip": (0, 0, -0.015)}],
            "generator": {"protocol": "constant_power", "power": 20.0}, "mesh": {"size": 6e-4, "rim_size": 3e-4},
            "domain": {"axisymmetric": quick},
        }
    )  # fmt: skip
    pair = body_case(
        "pair", {"device": "ball", "radius": 0.002}, {"shape": "ball", "radius": 0.1, "centre": (0, 0, 0), **UNBOUNDED},
        voltage=1.0, mesh={"size": 6e-4, "rim_size": 6e-4},
        electrodes=[{"device": "ball", "radius": 0.002, "centre": (s * 0.01, 0, 0)} for s in (-1, 1)],
    )  # fmt: skip
    for name, case, volts in (("needle, complex", needle, [15.0]), ("two ports, far field", pair, [10.0, -4.0])):
        domain = build_domain(case)
        space = domain.space
        far = None
        if len(domain.far_electric):
            factor = surface.far_field_factor(space.points, domain.far_electric, domain.source_centre)
            far = FarField(domain.far_electric, factor, surface.facet_cells(space.cells, domain.far_electric))
        y = np.array([tissue.admittivity(case.frequency) for tissue in domain.tissues])[domain.cell_tissue]
        potential = Potential(space, domain.contacts, domain.ground, np.zeros(0, np.int64), far, is_complex=True,
                              tolerance=1e-10)  # fmt: skip
        voltages = np.array(volts)
        ports = float(np.real(voltages @ potential.solve(y) @ voltages))
        field = potential.field(voltages)
        inflow = space.multiply(potential.conductance, field)
        currents = [inflow[nodes].sum() for nodes in domain.contacts]
        integral = float(np.sum(y.real * space.volumes * np.sum(np.abs(space.gradient(field)) ** 2, axis=1)))
        if far is not None:
            integral += float(np.sum(far.diagonal(y, space.n_nodes).real * np.abs(field) ** 2))
        label = f"{name}, {'axisymmetric' if space.axisymmetric else '3-D'}"
        yield relative(group, f"from the admittance matrix, {label}", integral, ports, 1e-8, "W")
        flow = float(np.real(np.vdot(voltages, currents)))
        yield relative(group, f"from the current through the contacts, {label}", integral, flow, 1e-8, "W")


def _uniform(temperature: float, duration: float, *, heat: float = 0.0, perfusion: float = 0.0) -> Frame:
    """Tissue that is the same everywhere: nothing through the outer wall, and next to no current."""
    case = case_from_dict(
        {
            "name": "uniform", "electrodes": [{"device": "needle", "tip": (0, 0, -0.015)}],
            "generator": {"protocol": "constant_voltage", "voltage": 1e-6, "duration": duration},
            "domain": {"axisymmetric": True, "thermal_boundary": {"kind": "insulated"}},
            "tissues": {"liver": {"perfusion": perfusion, "metabolic_heat": heat}},
            "blood": {"temperature": temperature}, "body_temperature": temperature, "perfusion_stop": None,
            "mesh": {"size": 7e-4, "rim_size": 7e-4}, "output": {"frames_every": duration}, "time": {"tolerance": 0.01},
        }
    )  # fmt: skip
    return last_frame(Simulation(case))


def doses(quick: bool) -> Iterator[Claim]:
    """Cell death at one temperature, after a whole run; and evenly heated, perfused tissue."""
    for celsius in (50.0,) if quick else (42.0, 50.0, 60.0):
        frame = _uniform(celsius, 120.0)
        for name, model in MODELS.items():
            if isinstance(model, Arrhenius):
                wanted = exact.arrhenius_omega(model.frequency_factor, model.activation_energy, celsius, 120.0)
            elif name == "cem43":
                wanted = exact.cem43(celsius, 120.0)
            else:
                continue
            found = frame.damage[name]
            worst = float(found[np.argmax(np.abs(found - wanted))])
            yield relative("Isothermal damage", f"{name}, 120 s at {celsius:g} degC", wanted, worst, 1e-9, "")
    heat, perfusion = 1e5, 0.0064
    frame = _uniform(37.0, 300.0, heat=heat, perfusion=perfusion)
    wanted = exact.uniform_perfused(heat, perfusion * 1050.0 * 3617.0, 1079.0 * 3540.0, 300.0)
    rise = frame.max_temperature - 37.0
    yield relative("Uniform perfused tissue", "rise after 300 s at 0.1 W/ml", wanted, rise, 0.005, "K")


def dimensions(quick: bool) -> Iterator[Claim]:
    """The same needle, axisymmetric and 3-D: problem A, whose zone is a sleeve of 1.6 mm radius."""
    if quick or not CASES.is_dir():
        return
    fine = [("mesh.size", "0.1 mm"), ("mesh.rim_size", "0.03 mm"), ("mesh.grow", "0.15")]
    flat = last_frame(Simulation(load_case(CASES / "problem_a_axisymmetric.yaml", fine)))
    medium = [("mesh.size", "0.15 mm"), ("mesh.rim_size", "0.06 mm"), ("mesh.grow", "0.2")]
    full = last_frame(Simulation(load_case(CASES / "problem_a.yaml", medium)))
    group = "Axisymmetric against 3-D"
    yield relative(group, "impedance after 12 min", flat.impedance.real, full.impedance.real, 0.01, "ohm")
    yield relative(group, "zone volume", 1e6 * flat.zone_volume, 1e6 * full.zone_volume, 0.01, "ml")
    yield relative(group, "highest rise", flat.max_temperature - 37, full.max_temperature - 37, 0.01, "K")
