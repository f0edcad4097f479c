"""From a case to a domain: mesh, tissue of each cell, and which nodes and facets play which part.

The only place that knows both the words of a case and the names on a mesh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfasim import geometry, lumens
from rfasim.case import DEFAULT_SIZE
from rfasim.electrodes.device import Metal
from rfasim.errors import InputError
from rfasim.mesh import Mesh
from rfasim.meshing import Patch, Surface, build_mesh
from rfasim.solver import surface
from rfasim.solver.space import Array, Space
from rfasim.tissues import Tissue, resolve_tissues

if TYPE_CHECKING:
    from rfasim.anatomy import LabelImage, Surroundings
    from rfasim.case import Case, Vessel


# The insulated part of a device carries no current: edges of this share of its diameter keep it round enough.
REST_SIZE = 0.6
# Thin parts that came out broken are meshed again with edges so many times finer.
FINER = (1.0, 0.8, 0.64, 0.5)
# A cell of tissue whose middle is nearer to the middle of a part than this share of its radius runs through the part;
# parts are broken when that happens along more than such a share of their length (a pinch changes nothing).
CROSSED, BROKEN = 0.45, 0.01
# A contact without an extent is the whole surface of its device.
EVERYWHERE = geometry.HalfSpace((0.0, 0.0, 1e3), (0.0, 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Domain:
    """A meshed case.

    ``cell_tissue`` indexes ``tissues``; metal cells have a "tissue" too (density, heat capacity, thermal conductivity)
    but do not ``conduct`` (their potential is that of their contact). ``held`` maps a ledger account to nodes and the
    temperature [degC] they are held at. ``contacts`` are their nodes, one array a contact.
    """

    mesh: Mesh
    space: Space
    tissue_names: tuple[str, ...]
    tissues: tuple[Tissue, ...]
    cell_tissue: Array
    conducts: Array
    contacts: tuple[Array, ...]
    contact_names: tuple[str, ...]
    contact_terminals: tuple[str, ...]  # what each contact is wired to inside its device
    contact_stages: tuple[int, ...]  # deployment stage from which each conducts
    ground: Array  # nodes at 0 V
    far_electric: Array  # outer facets with the asymptotic electric condition
    far_thermal: Array  # outer facets with the asymptotic thermal condition
    held: tuple[tuple[str, Array, float], ...]
    held_by_vessel: dict[int, int]  # which entry of ``held`` belongs to which vessel of the case
    vessels: tuple[Vessel, ...]  # those of the case, then those from its label images
    vessel_of_cell: Array  # (n_cells,) the vessel whose lumen a cell is in, where blood flows; else -1
    source_centre: Array  # middle of the contacts, (d,)
    tumours: dict[str, geometry.Shape]  # by their places in the case, the target first
    surroundings: Surroundings | None  # liver and organs at risk, where label images show them


def tumour_shapes(case: Case, base: Path | None) -> dict[str, geometry.Shape]:
    """The tumours by their places in the case, read from label images where they are in some; raises InputError."""
    shapes: dict[str, geometry.Shape] = {}
    for path, tumour in case.every_tumour.items():
        if tumour.shape != "labels":
            shapes[path] = tumour.geometry()
            continue
        from rfasim.anatomy import tumour_shape

        shapes[path] = shape = tumour_shape(tumour, path, base)
        depth = float(case.domain.depth(shape.labelled, case.domain_centre).min())
        if depth < 0:
            at = ", ".join(f"{1e3 * x:.1f}" for x in shape.centre)
            raise InputError(
                path,
                f"its middle is ({at}) mm, and it reaches {-1e3 * depth:.1f} mm outside the domain, a {case.domain}; "
                "bring the needle to it, enlarge the domain, or leave the tumour out",
            )
    return shapes


def build_domain(case: Case, base: Path | None = None, mesh: Mesh | None = None) -> Domain:
    """Mesh and label ``case``; files it names are looked for from ``base``. ``mesh``: that of the same geometry, made
    before."""
    tumours = tumour_shapes(case, base)
    surroundings = surroundings_of(case, base, tumours)
    vessels = all_vessels(case, base)
    mesh = mesh_of(case, base, vessels) if mesh is None else mesh
    space = Space(mesh.points, mesh.cells)
    library = resolve_tissues(case.tissues)
    names, cell_tissue, held_cells = _tissue_of_cells(case, vessels, mesh, library, base, tumours)
    tissues = tuple(library[name] if name in library else _metal(case, name) for name in names)
    is_metal = np.array([name not in library for name in names])
    parts = {
        f"electrodes[{index}].{contact.name}": (f"electrodes[{index}].{contact.terminal}", contact.stage)
        for index, device in enumerate(case.electrodes)
        for contact in device.contacts()
    }
    for name in parts:
        if len(mesh.facets.get(name, ())) == 0:
            there = name in mesh.facets or case.mesh.file is None
            reason = "touches no cell of the mesh; is it inside the domain?" if there else (
                "is missing from the mesh; name a group of its facets so, or translate its name in mesh.groups"
            )
            raise InputError(name, reason)
    contact_names = tuple(parts)
    contacts = tuple(surface.nodes_of(mesh.facets[name]) for name in contact_names)
    _check_apart(contact_names, contacts, tuple(terminal for terminal, _ in parts.values()))
    electric, thermal = case.domain.electric_boundary, case.domain.thermal_boundary
    sides, ends = _outer_parts(case, mesh)
    ground = [f for f, kind in ((sides, electric.kind), (ends, electric.ends or electric.kind)) if kind == "ground"]
    far_e = [f for f, kind in ((sides, electric.kind), (ends, electric.ends or electric.kind)) if kind == "far_field"]
    far_t = [f for f, kind in ((sides, thermal.kind), (ends, thermal.ends or thermal.kind)) if kind == "far_field"]
    fixed = [f for f, kind in ((sides, thermal.kind), (ends, thermal.ends or thermal.kind)) if kind == "fixed"]
    outer_temperature = case.body_temperature if thermal.temperature is None else thermal.temperature
    if case.domain.pad is not None:
        ground.append(_pad(case, mesh))
    ground_nodes = _nodes(ground)
    held: list[tuple[str, Array, float]] = []
    taken = np.zeros(mesh.n_nodes, bool)

    def hold(account: str, nodes: Array, temperature: float) -> bool:
        new = nodes[~taken[nodes]]
        taken[new] = True
        if len(new):
            held.append((account, new, temperature))
        return len(new) > 0

    by_vessel: dict[int, int] = {}

    for index, device in enumerate(case.electrodes):
        if device.thermal.kind == "wall":
            for contact in device.contacts():
                nodes = surface.nodes_of(mesh.facets[f"electrodes[{index}].{contact.name}"])
                hold("coolant", nodes, device.thermal.temperature)
    vessel_of_cell = np.full(mesh.n_cells, -1, np.int32)
    for index, vessel in enumerate(vessels):
        region = f"vessels[{index}].lumen"
        if region not in mesh.region_names:
            if case.mesh.file is not None and lumens.is_meshed(case, vessel):
                raise InputError(
                    "mesh.file",
                    f"has no region '{region}' for '{vessel.name}'; name the cells inside it so, and its wall's facets "
                    f"'vessels[{index}].wall', or give the vessel treatment: line",
                )
            continue
        cells = mesh.regions == mesh.region_names.index(region)
        if vessel.treatment != "held":
            vessel_of_cell[cells] = index
            continue
        temperature = case.blood.temperature if vessel.temperature is None else vessel.temperature
        if hold("vessels", np.unique(mesh.cells[cells]), temperature):
            by_vessel[index] = len(held) - 1
    if held_cells.any():
        hold("vessels", np.unique(mesh.cells[held_cells]), case.blood.temperature)
    hold("boundary", _nodes(fixed), outer_temperature)
    empty = np.zeros((0, mesh.dim), np.uint32)
    return Domain(
        mesh=mesh,
        space=space,
        tissue_names=tuple(names),
        tissues=tissues,
        cell_tissue=cell_tissue,
        conducts=~is_metal[cell_tissue],
        contacts=contacts,
        contact_names=contact_names,
        contact_terminals=tuple(terminal for terminal, _ in parts.values()),
        contact_stages=tuple(stage for _, stage in parts.values()),
        ground=np.setdiff1d(ground_nodes, np.concatenate(contacts)),
        far_electric=np.concatenate([empty, *far_e]),
        far_thermal=np.concatenate([empty, *far_t]),
        held=tuple(held),
        held_by_vessel=by_vessel,
        vessels=vessels,
        vessel_of_cell=vessel_of_cell,
        source_centre=_source_centre(mesh, contact_names),
        tumours=tumours,
        surroundings=surroundings,
    )


def _check_apart(names: tuple[str, ...], contacts: tuple[Array, ...], terminals: tuple[str, ...]) -> None:
    """Two terminals that share a node of the mesh would be one."""
    for k, nodes in enumerate(contacts):
        for other in range(k):
            if terminals[k] != terminals[other] and len(np.intersect1d(nodes, contacts[other])):
                raise InputError(
                    names[k],
                    f"touches {names[other]} in the mesh, a short circuit; leave insulation between them at least as "
                    "wide as mesh.size, or lower mesh.size",
                )


def _pad(case: Case, mesh: Mesh) -> Array:
    """Outer facets under the dispersive pad."""
    pad = case.domain.pad
    assert pad is not None
    outer = mesh.facets.get("outer", np.zeros((0, mesh.dim), np.uint32))
    at = np.array(pad.at)
    if mesh.axisymmetric:
        at = np.array([np.hypot(at[0], at[1]), at[2]])
    under = np.linalg.norm(mesh.points[outer].mean(axis=1) - at, axis=1) <= pad.radius
    if not under.any():
        raise InputError("domain.pad", "covers no facet of the domain's surface; move it there or make it larger")
    return np.asarray(outer[under])


def domain_shape(case: Case) -> geometry.Box | geometry.Cylinder | geometry.Ball:
    """The outer shape of ``case`` in metres; centred on the first electrode's active part unless stated."""
    d = case.domain
    centre = np.array(case.domain_centre)
    if d.shape == "ball":
        return geometry.Ball(centre, d.radius)
    if d.shape == "cylinder":
        half = np.array([0.0, 0.0, d.height / 2])
        return geometry.Cylinder(centre - half, centre + half, d.radius)
    half = np.array(d.size) / 2
    return geometry.Box(centre - half, centre + half)


def surroundings_of(case: Case, base: Path | None, tumours: dict[str, geometry.Shape]) -> Surroundings | None:
    """The liver and the organs at risk that label images show; None without any. Raises InputError for a device whose
    conducting part lies outside the liver."""
    if case.anatomy is None:
        return None
    from rfasim.anatomy import read_surroundings

    found = read_surroundings(case, base, tumours)
    if found.organ is not None:
        for index, device in enumerate(case.electrodes):
            middle = np.asarray(device.active_centre, float)
            outside = float(found.organ.distance(middle[None])[0])
            if outside > 0:
                at = ", ".join(f"{1e3 * x:.1f}" for x in middle)
                raise InputError(
                    f"electrodes[{index}]",
                    f"the middle of its conducting part, ({at}) mm, is {1e3 * outside:.1f} mm outside the liver of the "
                    "label images; give its place in patient coordinates (LPS), or name the liver's labels in "
                    "anatomy.labels[].organ",
                )
    return found


# The vessels of the last few cases with label images: they are asked for by the mesh, the domain and the run.
_KNOWN: deque[tuple[Case, Path | None, tuple[LabelImage, ...], tuple[Vessel, ...]]] = deque(maxlen=4)
# Of which of those cases they were looked at.
_CHECKED: deque[tuple[Case, tuple[Vessel, ...]]] = deque(maxlen=4)


def found_vessels(case: Case, base: Path | None = None) -> tuple[Vessel, ...]:
    """The vessels of a case, and those that its label images hold, wherever its needles are. Raises InputError."""
    if case.anatomy is None or not any(image.vessels for image in case.anatomy.labels):
        return case.vessels
    from rfasim.anatomy import images_of, vessels_of

    images = tuple(image for _, image in images_of(case.anatomy, base))
    for known, from_, of, found in tuple(_KNOWN):
        same = known.anatomy is case.anatomy and known.vessels is case.vessels and from_ == base
        if not same or known.domain_centre != case.domain_centre:
            continue
        if all(a is b for a, b in zip(of, images, strict=True)):
            return found
    vessels = (*case.vessels, *vessels_of(case.anatomy, base, case))
    _KNOWN.append((case, base, images, vessels))
    return vessels


def all_vessels(case: Case, base: Path | None = None) -> tuple[Vessel, ...]:
    """Those vessels; raises InputError for what does not fit."""
    vessels = found_vessels(case, base)
    if vessels is case.vessels or any(known is case and of is vessels for known, of in tuple(_CHECKED)):
        return vessels
    from rfasim.checks import misplaced_vessels

    for path, sentence in misplaced_vessels(case, vessels):
        raise InputError(path, sentence)
    _CHECKED.append((case, vessels))
    return vessels


def mesh_of(case: Case, base: Path | None, all_of_them: tuple[Vessel, ...] | None = None) -> Mesh:
    """The mesh of a case; ``all_of_them``: its vessels, those from label images too."""
    options = case.mesh
    if options.file is not None:
        from rfasim.mesh_io import read_mesh

        return read_mesh(_resolve(options.file, base), groups=dict(options.groups) or None, unit=options.unit)
    every = all_vessels(case, base) if all_of_them is None else all_of_them
    meshed = lumens.groups(case, every, options.size or DEFAULT_SIZE)
    surfaces = lumens.surfaces(case, every, meshed)
    for path, tumour in case.every_tumour.items():
        if tumour.shape != "labels" and tumour.sharp:
            shape = tumour.geometry()
            size = max(options.size or DEFAULT_SIZE, shape_size(shape) / 15)
            surfaces.append(Surface(path, shape, size, inside=path, rest="surface"))
    extra_sizes = _extra_sizes(case, base, lumens.sizes(case, every, meshed))
    for finer in FINER:
        electrodes = [_electrode_surface(case, index, finer) for index in range(len(case.electrodes))]
        mesh = build_mesh(
            domain_shape(case),
            [*surfaces, *electrodes],
            grow=options.grow,
            max_size=options.max_size,
            extra_size=extra_sizes,
            axisymmetric=case.domain.axisymmetric,
        )
        broken = _broken_parts(case, mesh)
        if broken is None or options.size is not None:
            break
    if broken is not None:
        index, where = broken
        raise InputError(
            "mesh.size",
            f"is too coarse for the thin parts of electrodes[{index}]: they are not whole near "
            f"({', '.join(f'{1e3 * x:.1f}' for x in where)}) mm; give a smaller one",
        )
    return lumens.named(every, meshed, mesh)


def _electrode_surface(case: Case, index: int, finer: float) -> Surface:
    """The surface of a device as the mesher takes it; thin parts with edges ``finer`` times those they ask for."""
    device, name = case.electrodes[index], f"electrodes[{index}]"
    size, rim_size = case.mesh.sizes_at(device)
    if device.mesh_size is not None and case.mesh.size is None:
        size, rim_size = finer * size, finer * rim_size
    patches = tuple(
        Patch(contact.name, contact.extent or EVERYWHERE, rim_size if contact.rim else None)
        for contact in device.contacts()
    )
    inside = f"{name}.metal" if device.thermal.kind == "metal" else None
    rest = max(size, REST_SIZE * device.insulated_width)
    return Surface(name, device.shape(), size, inside=inside, patches=patches, rest_size=rest)


def _broken_parts(case: Case, mesh: Mesh) -> tuple[int, Array] | None:
    """First device of thin parts that tissue runs through, and where: a cell whose middle is near a part's own."""
    from scipy.spatial import cKDTree

    thin = [k for k, d in enumerate(case.electrodes) if d.mesh_size is not None]
    for index in thin if not case.domain.axisymmetric else []:
        centres, radii = case.electrodes[index].filling()
        own = f"electrodes[{index}].metal"
        tissue = np.array([name != own for name in mesh.region_names])[mesh.regions]
        middles = mesh.points[mesh.cells[tissue]].mean(axis=1)
        near = cKDTree(middles).query(centres, distance_upper_bound=float(radii.max()))[0]
        crossed = (near < CROSSED * radii) & (case.domain.depth(centres, case.domain_centre) > 0)
        if crossed.mean() > BROKEN:
            return index, centres[np.argmax(crossed)]
    return None


def shape_size(shape: geometry.Shape) -> float:
    """The smallest extent of a bounded shape [m]."""
    lower, upper = shape.bounds()
    return float(np.min(np.asarray(upper) - np.asarray(lower)))


def _extra_sizes(case: Case, base: Path | None, walls: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    """Size field beyond the surfaces': the region the zone will grow into, and the vessels near it."""
    options = case.mesh
    parts = [(device.shape(), contact.extent) for device in case.electrodes for contact in device.contacts()]
    vessels = None
    if case.anatomy is not None and options.vessel_size is not None:
        from rfasim.anatomy import vessel_distance

        vessels = vessel_distance(case.anatomy, base, case)

    def sizes(points: Array) -> Array:
        near = np.full(len(points), np.inf)
        for shape, extent in parts:
            distance = shape.distance(points)
            if extent is not None:
                distance = np.maximum(distance, extent.distance(points))
            near = np.minimum(near, distance)
        beyond = np.maximum(near - options.zone_reach, 0.0)
        out = options.zone_size + options.grow * beyond
        if vessels is not None and options.vessel_size is not None:
            # vessels far from the contacts cannot matter: let them go coarse
            out = np.minimum(out, options.vessel_size + options.grow * np.maximum(vessels(points), beyond))
        return np.asarray(np.minimum(out, walls(points, beyond)))

    return sizes


def _tissue_of_cells(case: Case, vessels: tuple[Vessel, ...], mesh: Mesh, library: dict[str, Tissue],
                     base: Path | None, tumours: dict[str, geometry.Shape]
                     ) -> tuple[list[str], Array, Array]:  # fmt: skip
    """Tissue names, index of each cell, and the cells that are held at blood temperature."""
    names: list[str] = []

    def number(name: str) -> int:
        if name not in names:
            names.append(name)
        return names.index(name)

    held = np.zeros(mesh.n_cells, bool)
    centroids = mesh.points[mesh.cells].mean(axis=1)
    if mesh.axisymmetric:
        centroids = np.stack([centroids[:, 0], np.zeros(mesh.n_cells), centroids[:, 1]], axis=1)
    tissue = np.full(mesh.n_cells, number(case.background), np.uint32)
    if case.anatomy is not None:
        from rfasim.anatomy import tissue_of_points

        found, index, held = tissue_of_points(
            case.anatomy, centroids, base, background=case.background, tumours=case.every_tumour.values()
        )
        tissue = np.array([number(name) for name in found], np.uint32)[index]
    every = case.every_tumour
    for path, shape in tumours.items():
        if not every[path].sharp:
            lower, upper = shape.bounds()
            near = np.flatnonzero(((centroids >= lower) & (centroids <= upper)).all(axis=1) & ~held)
            # blood in a vessel stays blood where a tumour touches it
            tissue[near[shape.distance(centroids[near]) < 0]] = number(every[path].tissue)
    for region, name in enumerate(mesh.region_names):
        cells = mesh.regions == region
        if not cells.any() or name == "tissue":
            continue
        if name in every:
            tissue[cells] = number(every[name].tissue)
        elif name.startswith("vessels["):
            tissue[cells] = number(vessels[int(name[8 : name.index("]")])].tissue)
        elif name.startswith("electrodes[") or name in library:
            tissue[cells] = number(name)
        else:
            raise InputError("mesh.file", f"region '{name}' is neither a tissue nor a part; name it after a tissue")
    for name in names:
        if name not in library and not name.startswith("electrodes["):
            raise InputError("background", f"'{name}' is not a known tissue")
    used = np.unique(tissue)
    return [names[k] for k in used], np.searchsorted(used, tissue).astype(np.uint32), held


def _metal(case: Case, region: str) -> Tissue:
    """The metal of a meshed electrode as a heat conductor."""
    metal = case.electrodes[int(region[11 : region.index("]")])].thermal
    if not isinstance(metal, Metal):
        raise InputError("mesh.file", f"has a region '{region}', but the electrode's thermal kind is not metal")
    return Tissue(
        source="metal of a meshed electrode",
        conductivity=1.0,  # not used: metal cells are left out of the potential
        relative_permittivity=0.0,
        thermal_conductivity=metal.thermal_conductivity,
        density=metal.density,
        heat_capacity=metal.heat_capacity,
        water_fraction=0.0,
    )


def _outer_parts(case: Case, mesh: Mesh) -> tuple[Array, Array]:
    """Outer facets on the domain's sides and on its flat ends (a cylinder's top and bottom)."""
    outer = mesh.facets.get("outer", np.zeros((0, mesh.dim), np.uint32))
    if case.domain.shape != "cylinder" or len(outer) == 0:
        return outer, outer[:0]
    z = mesh.points[outer][:, :, -1]
    low, high = case.domain_centre[2] - case.domain.height / 2, case.domain_centre[2] + case.domain.height / 2
    near = 1e-6 * case.domain.height
    is_end = np.all(z < low + near, axis=1) | np.all(z > high - near, axis=1)
    return outer[~is_end], outer[is_end]


def _nodes(facets: list[Array]) -> Array:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *(f.ravel().astype(np.int64) for f in facets)]))


def _source_centre(mesh: Mesh, contact_names: tuple[str, ...]) -> Array:
    """Centroid of the contacts: where the far field seems to come from."""
    facets = np.concatenate([mesh.facets[name] for name in contact_names])
    shares, _ = surface.facet_measures(mesh.points, facets)
    centre = np.einsum("ij,ijk->k", shares, mesh.points[facets]) / shares.sum()
    if mesh.axisymmetric:
        centre[0] = 0.0
    return np.asarray(centre)


def _resolve(name: str | Path, base: Path | None) -> Path:
    path = Path(name)
    return path if path.is_absolute() or base is None else base / path


@dataclass(frozen=True)
class Cost:
    """What a run will need: mesh size, memory [MB] and time [s] on one core."""

    nodes: int
    cells: int
    memory_mb: float
    seconds: float
    """of a process of its own"""
    warm_seconds: float
    """of a run in a process that runs already"""


# Measured on the needle cases, 54 000 nodes, one core: a process with the libraries loaded; bytes a cell; what a node
# costs in a step, without boiling and what boiling adds. They only serve the estimate.
_BASE_MB, _BYTES_PER_CELL = 130.0, 600.0
_SECONDS_PER_NODE_STEP, _COMPLEX, _BOILING = 1.3e-6, 1.4, 3.0e-6
_TRIANGLES = 0.4
"""the same in an axisymmetric mesh, whose nodes have half as many neighbours and whose systems take few iterations"""
_START, _WARM = 2.0, 0.1
"""seconds until a process has its libraries and kernels; what any run costs beside its steps"""


def estimate(case: Case, base: Path | None = None) -> Cost:
    """What running ``case`` will cost: the mesh is made, the run is scaled from measured ones."""
    mesh = mesh_of(case, base)
    boils = case.boiling.enabled
    steps = 25 + 1.2 * case.generator.duration / min(case.output.frames_every, case.time.max_step * 3) + 20 * boils
    cost = _SECONDS_PER_NODE_STEP * (_COMPLEX if case.electric.admittivity == "complex" else 1.0) + _BOILING * boils
    cost *= _TRIANGLES if mesh.dim == 2 else 1.0
    warm = _WARM + steps * cost * mesh.n_nodes
    return Cost(
        nodes=mesh.n_nodes,
        cells=mesh.n_cells,
        memory_mb=_BASE_MB + _BYTES_PER_CELL * mesh.n_cells / 1e6,
        seconds=_START + warm,
        warm_seconds=warm,
    )
