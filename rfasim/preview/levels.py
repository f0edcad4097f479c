"""How coarse the first answer is, and how fine the second: a case with another mesh and other time steps.

What is asked stays the same: devices, tissues, vessels, protocol. ``docs/preview.md`` shows what the coarse answer
misses, on twenty placements.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rfasim.case import Case, Domain
from rfasim.electrodes import Device
from rfasim.errors import InputError

Array = NDArray[Any]
Level = Literal["coarse", "fine"]


@dataclass(frozen=True)
class Setting:
    """Lengths in m, temperatures in K, times in s."""

    size: float
    """edge at the contacts"""
    rim_size: float
    """edge where a contact ends"""
    grow: float
    zone_size: float
    zone_reach: float
    """how far from the contacts edges are at most zone_size"""
    vessel_size: float
    resolve_from: float
    """vessels of at least this diameter are meshed"""
    tolerance: float
    admittance_tolerance: float
    max_step: float
    heat_tolerance: float
    potential_tolerance: float
    first_step: float
    shaft: float
    """how much of an insulated shaft stays behind the conducting part"""
    reach: float
    """how far around the conducting part vessels are looked at; how far the domain goes, where its boundary lets it"""
    frames: int
    """how many times the zone is shown on the way"""


SEVERAL_CONTACTS, SEVERAL_SIZE = 1e-4, 0.6e-3
"""largest tolerance of the potential, and largest edge [m] at the contacts, with more than one of them: they lie close
together, heat each other, and dry early"""
LEVELS: dict[Level, Setting] = {
    "coarse": Setting(
        size=0.8e-3, rim_size=0.8e-3, grow=1.0, zone_size=3e-3, zone_reach=0.011, vessel_size=4e-3, resolve_from=4e-3,
        tolerance=6.0, admittance_tolerance=0.08, max_step=150.0, heat_tolerance=1e-3, potential_tolerance=2e-4,
        first_step=5.0, shaft=0.02, reach=0.04, frames=5,
    ),
    "fine": Setting(
        size=0.6e-3, rim_size=0.3e-3, grow=0.8, zone_size=3e-3, zone_reach=0.015, vessel_size=3e-3, resolve_from=4e-3,
        tolerance=1.0, admittance_tolerance=0.02, max_step=40.0, heat_tolerance=1e-3, potential_tolerance=1e-4,
        first_step=0.2, shaft=1.0, reach=0.06, frames=20,
    ),
}  # fmt: skip


def at_level(case: Case, level: Level) -> Case:
    """The case, meshed and stepped as ``level`` says; never finer than the case itself asks for."""
    s, mesh, time, solver, circulation = LEVELS[level], case.mesh, case.time, case.solver, case.circulation
    several = len(case.terminals) > 1
    if mesh.file is None:
        coarser = {
            "grow": max(s.grow, mesh.grow),
            "zone_size": max(s.zone_size, mesh.zone_size),
            "zone_reach": min(s.zone_reach, mesh.zone_reach),
            "vessel_size": max(s.vessel_size, mesh.vessel_size or 0.0),
        }
        if not any(one.mesh_size for one in case.electrodes):  # tines get what they need to be whole
            size, rim = (min(one, SEVERAL_SIZE) if several else one for one in (s.size, s.rim_size))
            coarser |= {"size": max(size, mesh.size or 0.0), "rim_size": max(rim, mesh.rim_size or 0.0)}
        mesh = mesh.model_copy(update=coarser)
    steps = {
        "tolerance": max(s.tolerance, time.tolerance),
        "admittance_tolerance": max(s.admittance_tolerance, time.admittance_tolerance),
        "max_step": max(s.max_step, time.max_step),
        "first_step": max(s.first_step, time.first_step),
    }
    # between several contacts currents are differences, which asks for more of the potential
    potential = min(s.potential_tolerance, SEVERAL_CONTACTS) if several else s.potential_tolerance
    solves = {
        "heat_tolerance": max(s.heat_tolerance, solver.heat_tolerance),
        "potential_tolerance": max(potential, solver.potential_tolerance),
        "threads": 1,
    }
    anatomy = case.anatomy
    if anatomy is not None:
        anatomy = anatomy.model_copy(update={"crop": min(s.reach, anatomy.crop)})
    resolve = {"resolve_from": max(s.resolve_from, circulation.resolve_from)}
    return case.model_copy(
        update={
            "electrodes": tuple(_shortened(one, s.shaft) for one in case.electrodes),
            "mesh": mesh,
            "domain": _smaller(case, s.reach),
            "anatomy": anatomy,
            "circulation": circulation.model_copy(update=resolve),
            "time": time.model_copy(update=steps),
            "solver": solver.model_copy(update=solves),
            "output": case.output.model_copy(update={"frames_every": case.generator.duration / s.frames}),
        }
    )


def _shortened(device: Device, shaft: float) -> Device:
    """The device without the part of its shaft that is farther than ``shaft`` behind what conducts: there it is a thin
    hole that costs as many cells as the zone."""
    whole = getattr(device, "shaft_length", None)
    if whole is None:
        return device
    conducting = _conducting(device)
    if len(conducting) == 0:
        return device
    used = float(np.max((device.tip_point - conducting) @ device.axis)) + shaft
    return device if used >= whole else device.model_copy(update={"shaft_length": used})


def _conducting(device: Device) -> Array:
    """Points (n, 3) [m] that fill the conducting parts of a device."""
    points = device.filling()[0]
    return np.asarray(points[np.any([contact.holds(points) for contact in device.contacts()], axis=0)])


def _smaller(case: Case, reach: float) -> Domain:
    """A domain that goes no further than ``reach``, or than the devices need; as it is where its size is part of the
    problem: with a ground on its boundary, with a pad, with a stated place."""
    domain = case.domain
    electric = domain.electric_boundary
    is_open = {electric.kind, electric.ends or electric.kind} == {"far_field"}
    if not is_open or domain.pad is not None or domain.centre is not None:
        return domain
    middle = np.asarray(case.domain_centre)
    contacts = map(_conducting, case.electrodes)
    furthest = max(float(np.linalg.norm(points - middle, axis=1).max()) for points in contacts if len(points))
    half = max(reach, furthest + 0.6 * reach)
    if domain.shape == "ball":
        return domain.model_copy(update={"radius": min(domain.radius, half)})
    if domain.shape == "cylinder":
        return domain.model_copy(update={"radius": min(domain.radius, half), "height": min(domain.height, 2 * half)})
    return domain


WIDEST_PIERCED = 8e-3
"""what of the label images' vessels [m] a needle may pass through, for a look at what it would do"""


def pierced_as_lines(case: Case, base: Path | None) -> Case:
    """The case with the vessels that a needle passes through as lines, and with them all that are no wider: a meshed
    vessel has no room for a needle. A wider one is left, and refused when the domain is built."""
    from rfasim.checks import crossings
    from rfasim.domain import found_vessels

    vessels, circulation = found_vessels(case, base), case.circulation
    widths = [vessels[k].diameter for k, _ in crossings(case, vessels)]
    widest = max((width for width in widths if width <= WIDEST_PIERCED), default=0.0)
    if widest < circulation.resolve_from:
        return case
    return case.model_copy(update={"circulation": circulation.model_copy(update={"resolve_from": 1.001 * widest})})


def within_reach(case: Case, base: Path | None) -> Case:
    """The case without the further tumours that reach out of its domain now that the needle is elsewhere.

    The target stays; whoever builds the domain says when it is too far away.
    """
    from rfasim.domain import tumour_shapes

    kept = []
    for tumour in case.tumours:
        try:
            tumour_shapes(case.model_copy(update={"tumour": None, "tumours": (tumour,)}), base)
        except InputError:
            continue
        kept.append(tumour)
    return case.model_copy(update={"tumours": tuple(kept)})
