"""Whether the parts of a case fit together: what no part can know alone, as (path, sentence) pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rfasim.circulation import Inflow
from rfasim.complaints import near
from rfasim.errors import InputError
from rfasim.generator import GROUND
from rfasim.network import flowing_network, renumbered
from rfasim.quantities import text
from rfasim.tissues import LIBRARY, Tissue, resolve_tissues

if TYPE_CHECKING:
    from rfasim.case import Case, Vessel

Found = Iterator[tuple[str, str]]
Array = np.ndarray[Any, Any]
_NEAR = 1e-9  # m: closer than this is the same point


def problems(case: Case) -> list[tuple[str, str]]:
    """Everything that does not fit, in the order of the case's fields; [] for a sound case."""
    found = [
        *_frequency(case),
        *_electrodes(case),
        *_wiring(case),
        *_rated_power(case),
        *_axisymmetry(case),
        *_tissue_names(case),
        *_tumours(case),
        *_vessels(case),
        *_circulation(case),
        *_saline(case),
        *_mesh(case),
        *_probes(case),
    ]
    return found


def _mm(length: float) -> str:
    """A length as a person says it, to a hundredth of a millimetre."""
    return f"{round(1e3 * length, 2):g} mm"


def _point(point: object) -> str:
    return f"({', '.join(f'{round(1e3 * float(x), 2):g}' for x in np.asarray(point))}) mm"


def _frequency(case: Case) -> Found:
    if not case.outside_band and not 350e3 <= case.frequency <= 480e3:
        yield (
            "frequency",
            f"{text(case.frequency, 'Hz')} is outside 350 to 480 kHz, the band of ablation generators; "
            "set outside_band: true if it is meant",
        )


def _electrodes(case: Case) -> Found:
    for index, device in enumerate(case.electrodes):
        path = f"electrodes[{index}]"
        centres, radii = device.filling()
        for contact in device.contacts():
            inside = contact.holds(centres)
            depth = case.domain.depth(centres, case.domain_centre) - radii
            if device.through:
                nearest = np.argmin(np.linalg.norm(centres - case.domain_centre, axis=1))
                worst = float(depth[nearest])
            else:
                worst = float(depth[inside].min()) if inside.any() else math.inf
            if worst <= 0:
                yield (
                    path,
                    f"its {contact.name} reaches {_mm(-worst)} outside the domain, a {case.domain} around "
                    f"{_point(case.domain_centre)}; move the electrode or enlarge the domain",
                )
        for other in range(index):
            overlap = float((case.electrodes[other].shape().distance(centres) - radii).min())
            if overlap < 0:
                yield path, f"overlaps electrodes[{other}] by {_mm(-overlap)}; move one of them"


def _wiring(case: Case) -> Found:
    every = [f"electrodes[{k}].{terminal}" for k, device in enumerate(case.electrodes) for terminal in device.terminals]
    where: dict[str, str] = {}
    sound = True
    for field in ("source", "returns", "insulated"):
        for index, name in enumerate(getattr(case.electric, field)):
            path = f"electric.{field}[{index}]"
            known = [*every, GROUND] if field == "returns" else every
            if name not in known:
                yield path, f"'{name}' is no contact; {near(name, known)}"
                sound = False
            elif name in where:
                yield path, f"'{name}' is named already, in {where[name]}; name each contact once"
                sound = False
            where.setdefault(name, path)
    if not sound:
        return
    wired = case.connection
    if not wired.source:
        yield "electric.source", "is empty: every contact is a return or insulated; leave one for the source"
    electric, domain = case.electric, case.domain
    sides, ends = domain.electric_boundary.kind, domain.electric_boundary.ends
    insulated = sides == "insulated" and ends in (None, "insulated") and domain.pad is None
    if GROUND in wired.returns and insulated:
        yield (
            "domain.electric_boundary",
            "is insulated all round, so the current has nowhere to go; use ground or far_field on a part of it, "
            "a domain.pad, or electric.returns for a contact",
        )
    if electric.insulated and case.mesh.file is None and len(case.terminals) == 0:
        yield "electric.insulated", "leaves no contact; take one out"
    try:
        program = case.generator.program(wired, case.terminals)
    except InputError as error:
        yield (f"generator.{error.path}" if error.path else "generator"), error.message
        return
    if program.needs_thermocouples and not any(device.thermocouples for device in case.electrodes):
        yield (
            "generator",
            "goes by temperatures, but no electrode has a thermocouple; take another protocol, or another device",
        )
    most = max(device.stages for device in case.electrodes) - 1
    if program.last_stage > most:
        yield (
            "generator.stages" if hasattr(case.generator, "stages") else "generator",
            f"asks for deployment stage {program.last_stage}, but the last one of the electrodes is {most} "
            "(counted from 0); take another device or fewer stages",
        )


def _rated_power(case: Case) -> Found:
    """What the electrodes are made for, together: the generator shares its power among them."""
    rated = [device.rated_power for device in case.electrodes]
    stated = [power for power in rated if power is not None]
    if case.outside_band or len(stated) < len(rated):
        return
    peak = case.generator.peak_power
    if peak > sum(stated) * (1 + 1e-9):
        yield (
            "generator",
            f"may give {text(peak, 'W')}, more than the {text(sum(stated), 'W')} that the electrodes are made for "
            "(rated_power); lower its power or max_power, or set outside_band: true if it is meant",
        )


def _axisymmetry(case: Case) -> Found:
    if not case.domain.axisymmetric:
        return
    three = "which takes domain.axisymmetric: false"
    if case.domain.shape == "box":
        yield "domain.shape", "a box is not round about the z axis; use a cylinder or a ball"
    if math.hypot(*case.domain_centre[:2]) > _NEAR and case.domain.centre is not None:
        yield "domain.centre", f"{_point(case.domain.centre)} is not on the z axis, {three}"
    if len(case.electrodes) > 1:
        yield (
            "electrodes",
            f"there are {len(case.electrodes)}, but only one can be on the z axis, {three}",
        )
    device = case.electrodes[0]
    centres, _ = device.filling()
    off = float(np.hypot(centres[:, 0], centres[:, 1]).max())
    if abs(device.axis[2]) < 1 - 1e-12:
        yield "electrodes[0]", f"does not point along the z axis, {three}"
    elif off > _NEAR:
        yield "electrodes[0]", f"does not lie on the z axis (it is {_mm(off)} away), {three}"
    for path, tumour in case.every_tumour.items():
        if tumour.shape == "labels":
            yield path, f"from a label image is not round about the z axis, {three}"
            continue
        if math.hypot(*tumour.centre[:2]) > _NEAR:
            yield f"{path}.centre", f"{_point(tumour.centre)} is not on the z axis, {three}"
        if tumour.shape == "ellipsoid" and tumour.semi_axes[0] != tumour.semi_axes[1]:
            yield f"{path}.semi_axes", f"differ along x and y, which is not round about the z axis, {three}"
    if case.vessels:
        yield "vessels", f"are not round about the z axis, {three}"
    if case.anatomy is not None:
        yield "anatomy", f"is not round about the z axis, {three}"


def _tissue_names(case: Case) -> Found:
    try:
        known = resolve_tissues(case.tissues)
    except InputError as error:
        field, colon, sentence = error.message.partition(": ")
        if colon and field in Tissue.model_fields:
            yield f"{error.path}.{field}", sentence
        else:
            yield error.path, error.message
        known = {**LIBRARY, **dict.fromkeys(case.tissues, LIBRARY["liver"])}
    used = [("background", case.background)]
    used += [(f"{path}.tissue", tumour.tissue) for path, tumour in case.every_tumour.items()]
    used += [(f"vessels[{index}].tissue", vessel.tissue) for index, vessel in enumerate(case.vessels)]
    if case.anatomy is not None:
        for index, image in enumerate(case.anatomy.labels):
            used += [
                (f"anatomy.labels[{index}].mapping.{label}", name) for label, name in image.mapping.items()
            ]
        used.append(("anatomy.outside", case.anatomy.outside))
    for path, name in used:
        if name not in known:
            yield path, f"'{name}' is no known tissue; {near(name, known)}"


def _tumours(case: Case) -> Found:
    random = np.random.default_rng(0)
    way = random.normal(size=(500, 3))
    way = np.vstack([np.eye(3), -np.eye(3), way / np.linalg.norm(way, axis=1)[:, None]])
    names: dict[str, str] = {}
    for path, tumour in case.every_tumour.items():
        name = tumour.name or path
        if name in names:
            yield f"{path}.name", f"'{name}' is taken by {names[name]}; give another name"
        names.setdefault(name, path)
        if tumour.shape == "labels":  # what is in an image is looked at when that is read
            continue
        size = tumour.semi_axes if tumour.shape == "ellipsoid" else (tumour.diameter / 2,) * 3
        surface = np.array(tumour.centre) + way * np.array(size)
        worst = float(case.domain.depth(surface, case.domain_centre).min())
        if worst < 0:
            yield path, f"reaches {_mm(-worst)} outside the domain, a {case.domain}; move it or enlarge the domain"


def _vessels(case: Case) -> Found:
    sound = True
    for index, vessel in enumerate(case.vessels):
        points = np.array(vessel.points)
        lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
        if (lengths < _NEAR).any():
            k = int(np.argmin(lengths)) + 1
            yield (
                f"vessels[{index}].points[{k}]",
                f"is the same as the point before, {_point(points[k])}; leave it out",
            )
            sound = False
            continue
        steps = [np.linspace(a, b, 200) for a, b in itertools.pairwise(points)]
        depth = case.domain.depth(np.concatenate(steps), case.domain_centre)
        if depth.max() < -vessel.diameter / 2:
            yield (
                f"vessels[{index}]",
                f"lies {_mm(-float(depth.max()))} outside the domain; leave it out or move it",
            )
        for other in range(len(case.electrodes)):
            if case.mesh.file is None:
                yield from _vessel_at_device(case, vessel, f"vessels[{index}]", other, np.concatenate(steps))
    yield from _repeated("vessels", [vessel.name for vessel in case.vessels])
    if sound and case.vessels:
        yield from _network(case, case.vessels)


def misplaced_vessels(case: Case, vessels: tuple[Vessel, ...]) -> Found:
    """What is wrong with vessels that only label images tell of (the case's own come first in ``vessels``).

    A needle may pass through those that are not meshed: a thin vessel gives way to it, and as a line it exchanges
    heat with the tissue beside the device only.
    """
    for k, other in crossings(case, vessels):
        if vessels[k].diameter >= case.circulation.resolve_from:
            line = _dense(np.array(vessels[k].points))
            yield from _vessel_at_device(case, vessels[k], f"vessels[{k}]", other, line)
    yield from _network(case, vessels)


def crossings(case: Case, vessels: tuple[Vessel, ...]) -> Iterator[tuple[int, int]]:
    """(vessel, electrode) where an electrode passes through a vessel that only label images tell of."""
    first = len(case.vessels)
    own = vessels[first:]
    lines = [np.array(vessel.points) for vessel in own]
    ends = np.array([(line.min(axis=0), line.max(axis=0)) for line in lines]).reshape(-1, 2, 3)
    reach = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / 2 + np.array([vessel.diameter / 2 for vessel in own])
    # a distance grows by no more than the way
    middles = np.ascontiguousarray(ends.mean(axis=1))
    near = [device.shape().distance(middles) - reach < 0 for device in case.electrodes]
    for k in np.flatnonzero(np.any(near, axis=0)).tolist():
        for other, device in enumerate(case.electrodes):
            if near[other][k] and device.shape().distance(_dense(lines[k])).min() < own[k].diameter / 2:
                yield first + k, other


def _dense(line: Array) -> Array:
    """A line with 50 points a segment."""
    return np.ascontiguousarray(np.concatenate([np.linspace(a, b, 50) for a, b in itertools.pairwise(line)]))


def _network(case: Case, vessels: tuple[Vessel, ...]) -> Found:
    network, flowing = flowing_network(vessels)
    if network is None:
        return
    try:
        network.order(network.flows([vessels[k].stated_flow for k in flowing], case.blood.viscosity))
    except InputError as error:
        yield renumbered(error.path, flowing), error.message


def _vessel_at_device(case: Case, vessel: Vessel, path: str, other: int, line: Array) -> Found:
    """A vessel through an electrode: blood would run through metal, and the needle bleed."""
    device = case.electrodes[other]
    gap = device.shape().distance(np.ascontiguousarray(line)) - vessel.diameter / 2
    nearest = int(np.argmin(gap))
    if gap[nearest] < 0:
        yield (
            path,
            f"'{vessel.name}' runs through electrodes[{other}] at {_point(line[nearest])} (they overlap by "
            f"{_mm(-float(gap[nearest]))}); move one of them",
        )


def _circulation(case: Case) -> Found:
    if case.anatomy is None or (not case.circulation.switches and case.circulation.inflow_at(0.0) == Inflow()):
        return
    for index, image in enumerate(case.anatomy.labels):
        if image.hold:
            yield (
                f"anatomy.labels[{index}].hold",
                "holds vessels at blood temperature whatever flows, but circulation changes what flows; give those "
                f"labels in vessels instead, as in {{{image.hold[0]}: {{kind: portal}}}}",
            )


def _mesh(case: Case) -> Found:
    mesh = case.mesh
    if mesh.file is not None:
        return
    for index, device in enumerate(case.electrodes):
        size, rim_size = mesh.sizes_at(device)
        if rim_size > size:
            yield "mesh.rim_size", f"{text(rim_size, 'm')} is more than size, {text(size, 'm')}"
        if size > mesh.max_size:
            yield "mesh.size", f"{text(size, 'm')} is more than max_size, {text(mesh.max_size, 'm')}"
        width = 2 * float(device.filling()[1].max())
        if size > width:
            yield "mesh.size", f"{text(size, 'm')} is wider than electrodes[{index}], {_mm(width)}; lower it"
        elif device.mesh_size is not None and size > device.mesh_size * (1 + 1e-9):
            yield (
                "mesh.size",
                f"{text(size, 'm')} is too coarse for the thin parts of electrodes[{index}], which would be lost; "
                f"give at most {_mm(device.mesh_size)}, or nothing for just that",
            )


def _saline(case: Case) -> Found:
    for index, infusion in enumerate(case.saline.infusions):
        path = f"saline.infusions[{index}]"
        if infusion.electrode >= len(case.electrodes):
            yield f"{path}.electrode", f"there is no electrodes[{infusion.electrode}]; the first one is 0"
            continue
        device = case.electrodes[infusion.electrode]
        outlets = dict(device.outlets)
        if not outlets:
            yield (
                f"{path}.electrode",
                f"electrodes[{infusion.electrode}] has no outlets; choose a perfused device (wet_needle, "
                "cooled_wet_needle, bipolar_wet_needle, or custom with outlets), or use saline.boluses",
            )
        for name in infusion.outlets:
            if name not in outlets:
                yield f"{path}.outlets", f"'{name}' is no outlet of it; {near(name, outlets)}"
        open_ones = {name: at for name, at in outlets.items() if not infusion.outlets or name in infusion.outlets}
        for name, at in open_ones.items():
            depth = float(case.domain.depth(np.array([at]), case.domain_centre)[0])
            if depth <= 0:
                yield f"{path}.outlets", f"{name} at {_point(at)} is {_mm(-depth)} outside the domain"
    for index, bolus in enumerate(case.saline.boluses):
        path = f"saline.boluses[{index}].at"
        depth = float(case.domain.depth(np.array([bolus.at]), case.domain_centre)[0])
        if depth <= 0:
            yield (
                path,
                f"{_point(bolus.at)} is {_mm(-depth)} outside the domain, a {case.domain} around "
                f"{_point(case.domain_centre)}; move it",
            )
        if case.domain.axisymmetric and math.hypot(*bolus.at[:2]) > _NEAR:
            yield path, f"{_point(bolus.at)} is not on the z axis, which takes domain.axisymmetric: false"


def _probes(case: Case) -> Found:
    for index, probe in enumerate(case.probes):
        point = np.array([probe.at])
        depth = float(case.domain.depth(point, case.domain_centre)[0])
        if depth < -_NEAR:
            yield (
                f"probes[{index}].at",
                f"{_point(probe.at)} is {_mm(-depth)} outside the domain, a {case.domain} around "
                f"{_point(case.domain_centre)}; move it",
            )
        for other, device in enumerate(case.electrodes):
            distance = float(device.shape().distance(point)[0])
            if distance < -_NEAR and device.thermal.kind != "metal":
                yield (
                    f"probes[{index}].at",
                    f"{_point(probe.at)} is {_mm(-distance)} inside electrodes[{other}], where no "
                    "tissue is; move it",
                )
    yield from _repeated("probes", [probe.name for probe in case.probes])


def _repeated(path: str, names: list[str]) -> Found:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (
                f"{path}[{index}].name",
                f"'{name}' is taken by {path}[{names.index(name)}]; give another name",
            )
