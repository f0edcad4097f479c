"""The plane that a section picture shows: mirrored half plane, or a cut along the first electrode's axis through what
conducts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.slicing import Floats, Indices, chains, connected, cut

if TYPE_CHECKING:
    from rfasim.mesh import Mesh
    from rfasim.result import Result

SPREAD = 3e-3  # m: contacts further than this from the axis are a device of several parts
LARGEST = 14  # parts of a device that planes are laid through
VESSEL_WORDS = ("vessel", "vein", "portal", "artery", "blood", "lumen", "vena")


@dataclass(frozen=True)
class Placement:
    """Where a section lies in space: its zero, what is drawn to the right, and the way that is drawn downwards (m)."""

    origin: Floats
    across: Floats
    axis: Floats


@dataclass(frozen=True)
class Section:
    """A triangulated plane; points in mm from the tip: across the needle, and along it towards the handle.

    ``sample`` takes nodal values to the section's points. ``device`` and ``insulation`` are lines (n, 2) in
    mm, ``metal`` the triangles inside a meshed electrode; ``parts`` holds a field for tumour and vessels
    each, positive inside. ``contacts`` holds the lines of each contact that the plane cuts, by its name.
    ``tubes`` are the vessels of the case: centre line (n, 3) (in the plane's two coordinates and above it) and radius
    in mm; ``parts`` then holds only what else is a vessel.
    """

    points: Floats
    triangles: Indices
    sample: Callable[[NDArray[Any]], Floats]
    device: list[Floats]
    insulation: list[Floats]
    metal: NDArray[np.bool_]
    parts: dict[str, Floats] = field(default_factory=dict)
    contacts: dict[str, list[Floats]] = field(default_factory=dict)
    tubes: list[tuple[Floats, float]] = field(default_factory=list)
    placement: Placement | None = None


def parts_of_cells(result: Result) -> dict[str, NDArray[np.bool_]]:
    """Which cells are ``tumour``, ``vessels`` or the electrodes' ``metal``, from regions and tissue names."""
    mesh = result.mesh
    named = [(mesh.regions, list(mesh.region_names))]
    if "tissue" in result.cell_data and "tissues" in result.meta:
        named.append((result.cell_data["tissue"], list(result.meta["tissues"])))
    parts = {name: np.zeros(mesh.n_cells, dtype=np.bool_) for name in ("tumour", "vessels", "metal")}
    for numbers, names in named:
        for number, name in enumerate(names):
            lower = name.lower()
            if lower.startswith("electrodes["):
                parts["metal"] |= numbers == number
            elif "tumour" in lower or "tumor" in lower:
                parts["tumour"] |= numbers == number
            elif any(word in lower for word in VESSEL_WORDS):
                parts["vessels"] |= numbers == number
    return {name: chosen for name, chosen in parts.items() if chosen.any()}


def inside_field(mesh: Mesh, chosen: NDArray[np.bool_]) -> Floats:
    """A nodal field (n_nodes,), positive inside the ``chosen`` cells and zero on their smoothed surface.

    The share of the chosen in a node's surroundings, less the share beyond which nodes stand for as much
    volume as the chosen cells have: an image's voxels do not show as teeth, and thin vessels do not vanish.
    """
    volumes = np.abs(mesh.volumes())
    cells, corners = mesh.cells.astype(np.int64).ravel(), mesh.cells.shape[1]
    around = np.bincount(cells, weights=np.repeat(volumes, corners), minlength=mesh.n_nodes)
    within = np.bincount(cells, weights=np.repeat(volumes * chosen, corners), minlength=mesh.n_nodes)
    share = within / np.maximum(around, 1e-300)
    order = np.argsort(-share)
    needed = np.searchsorted(np.cumsum(around[order]), within.sum()).clip(max=mesh.n_nodes - 1)
    return np.asarray(share - np.clip(share[order[needed]], 0.02, 0.98))


def electrode_axis(result: Result) -> tuple[Floats, Floats]:
    """The first electrode's tip (m) and the unit direction it was pushed in; axisymmetric: only z counts."""
    electrodes = result.meta.get("electrodes") or []
    if electrodes and {"tip", "direction"} <= electrodes[0].keys():
        direction = np.asarray(electrodes[0]["direction"], dtype=np.float64)
        return np.asarray(electrodes[0]["tip"], dtype=np.float64), direction / np.linalg.norm(direction)
    # a mesh from elsewhere: the contact's long axis, pointing away from the outer end of the device
    mesh = result.mesh
    contact = [f for name, f in mesh.facets.items() if name.startswith("electrodes[") and "contact" in name]
    points = mesh.points[np.unique(np.concatenate(contact))] if contact else mesh.points
    centre = points.mean(axis=0)
    if mesh.axisymmetric:
        direction = np.array([0.0, -1.0])
    else:
        direction = np.linalg.svd(points - centre, full_matrices=False)[2][0]
        direction = direction if direction[-1] < 0 else -direction
    return centre + ((points - centre) @ direction).max() * direction, direction


def vessel_tubes(result: Result) -> list[tuple[Floats, float]]:
    """Centre line (n, 3) and radius (m) of each vessel of the case, whether the mesh resolves it or not."""
    return [
        (np.asarray(vessel["points"], dtype=np.float64), 0.5 * float(vessel["diameter"]))
        for vessel in result.meta.get("vessels") or []
    ]


def inside_tubes(section: Section, x: Floats, y: Floats) -> Floats | None:
    """How deep (mm) the points (x, y) of the plane lie in one of the section's tubes; None where none is near."""
    where = np.stack([x, y, np.zeros_like(x)], axis=-1)
    low, high = where.reshape(-1, 3).min(axis=0), where.reshape(-1, 3).max(axis=0)
    deepest: Floats | None = None
    for line, radius in section.tubes:
        for a, b in itertools.pairwise(line):
            if np.any(np.minimum(a, b) > high + radius) or np.any(np.maximum(a, b) < low - radius):
                continue
            share = np.clip((where - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-12), 0.0, 1.0)
            depth = radius - np.linalg.norm(where - a - share[..., None] * (b - a), axis=-1)
            deepest = depth if deepest is None else np.maximum(deepest, depth)
    return deepest


def across_direction(result: Result, origin: Floats, axis: Floats) -> Floats:
    """A unit vector normal to ``axis``, towards the second electrode, else tumour, else nearest vessel."""
    mesh, meta = result.mesh, result.meta.get("electrodes") or []
    candidates = [np.asarray(other["tip"], dtype=np.float64) for other in meta[1:] if "tip" in other]
    parts = parts_of_cells(result)
    for name in ("tumour", "vessels"):
        if name in parts:
            centres = mesh.points[mesh.cells[parts[name]]].mean(axis=1)
            if name == "tumour":
                candidates.append(centres.mean(axis=0))
            else:
                candidates.append(_nearest(centres, origin - 0.01 * axis))
    if "vessels" not in parts and (tubes := vessel_tubes(result)):
        steps = np.linspace(0.0, 1.0, 21)[:, None]
        lines = [a + steps * (b - a) for line, _ in tubes for a, b in itertools.pairwise(line)]
        candidates.append(_nearest(np.concatenate(lines), origin - 0.01 * axis))
    for candidate in [*(c - origin for c in candidates), np.eye(3)[0], np.eye(3)[1]]:
        across = candidate - (candidate @ axis) * axis
        if np.linalg.norm(across) > 1.5e-3:
            return np.asarray(across / np.linalg.norm(across))
    raise AssertionError("one of two unit vectors is not along the axis")


def _nearest(points: Floats, to: Floats) -> Floats:
    return np.asarray(points[np.linalg.norm(points - to, axis=1).argmin()])


def contact_facets(result: Result) -> dict[str, Indices]:
    """Facets (n, dim) of each contact, by name."""
    return {
        name: facets.astype(np.int64)
        for name, facets in result.mesh.facets.items()
        if name.startswith("electrodes[") and not name.endswith(".insulation") and len(facets)
    }


def best_plane(result: Result, origin: Floats, axis: Floats) -> tuple[Floats, Floats]:
    """A point (m) of the plane to show and the unit vector across ``axis`` in it, for a mesh in three dimensions.

    A straight needle is cut along its axis, towards what :func:`across_direction` names. Needles side by side and
    tines are cut by the plane along the axis that meets most of their contacts. The point is the nearest to ``origin``.
    """
    points, across = result.mesh.points, across_direction(result, origin, axis)
    found = [*contact_facets(result).values()]
    facets = np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)

    def sideways(x: Floats) -> Floats:
        return np.asarray((x - origin) - np.multiply.outer((x - origin) @ axis, axis))

    if len(facets) == 0 or np.linalg.norm(sideways(points[facets].mean(axis=1)), axis=1).max() < SPREAD:
        return origin, across
    corners = points[facets]
    sizes = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) ** 0.5
    part = connected(facets, len(points))
    largest = sorted(set(part.tolist()), key=lambda k: -float(sizes[part == k].sum()))[:LARGEST]
    middles = [sideways(corners[part == k].mean(axis=(0, 1))) for k in largest]
    far = sideways(corners.mean(axis=1))
    middles.append(far[np.argmax(np.linalg.norm(far, axis=1))])
    through = [(np.zeros(3), across), *((np.zeros(3), m) for m in middles)]
    through += [(a, b - a) for a, b in itertools.combinations(middles[:-1], 2)]
    best, most = (np.zeros(3), across), 0.0
    for start, way in through:
        if np.linalg.norm(way) < 1e-3:
            continue
        way = way / np.linalg.norm(way)
        level = ((points - origin - start) @ np.cross(way, axis))[facets]
        # facets with an edge in the plane count on one side of it
        met = float(sizes[(level.min(axis=1) < -1e-9) & (level.max(axis=1) >= -1e-9)].sum())
        if met > 1.02 * most:  # of equal planes the first
            best, most = (start - (start @ way) * way, way), met
    return origin + best[0], best[1]


def section_of(result: Result, like: Placement | None = None) -> Section:
    """The section of ``result`` through its first electrode, or the plane through most of its contacts.

    With ``like`` (of another run) it is turned as that one, where the two devices are parallel.
    """
    return _mirrored(result) if result.mesh.axisymmetric else _plane(result, like)


def beside(section: Section, like: Section) -> Section:
    """``section`` in the coordinates of ``like``, so that a place in tissue is at the same point of both pictures.

    The same section where the two are turned differently: then each has its own tip as zero.
    """
    here, there = section.placement, like.placement
    if here is None or there is None or not (_same(here.axis, there.axis) and _same(here.across, there.across)):
        return section
    apart = 1e3 * (here.origin - there.origin)
    flat = np.array([apart @ here.across, -apart @ here.axis])
    if np.abs(flat).max() < 1e-6:
        return section
    solid = np.append(flat, 0.0)
    return replace(
        section,
        points=section.points + flat,
        device=[line + flat for line in section.device],
        insulation=[line + flat for line in section.insulation],
        contacts={name: [line + flat for line in lines] for name, lines in section.contacts.items()},
        tubes=[(line + solid, radius) for line, radius in section.tubes],
        placement=there,
    )


def _same(a: Floats, b: Floats) -> bool:
    return bool(np.linalg.norm(a - b) < 1e-6)


def _mirrored(result: Result) -> Section:
    mesh, n = result.mesh, result.mesh.n_nodes
    tip, direction = electrode_axis(result)
    half = 1e3 * np.column_stack([mesh.points[:, 0], (tip[-1] - mesh.points[:, 1]) * direction[-1]])
    on_axis = mesh.points[:, 0] <= 1e-12
    image = np.where(on_axis, np.arange(n), np.cumsum(~on_axis) - 1 + n)  # each node's mirror image
    points = np.concatenate([half, half[~on_axis] * [-1.0, 1.0]])
    origin = np.concatenate([np.arange(n), np.flatnonzero(~on_axis)])
    cells = mesh.cells.astype(np.int64)
    triangles = np.concatenate([cells, image[cells][:, ::-1]])
    parts = parts_of_cells(result)
    metal = np.tile(parts.pop("metal", np.zeros(mesh.n_cells, dtype=np.bool_)), 2)

    def lines(ending: str) -> list[Floats]:
        facets = device_facets(result, ending)
        return [points[line] for line in chains(np.concatenate([facets, image[facets]]))]

    return Section(
        points, triangles, lambda nodal: np.asarray(nodal, dtype=np.float64)[origin],
        lines(""), lines(".insulation"), metal,
        {name: inside_field(mesh, chosen)[origin] for name, chosen in parts.items()},
        {name: [points[line] for line in chains(np.concatenate([f, image[f]]))]
         for name, f in contact_facets(result).items()},
        placement=Placement(np.array([0.0, 0.0, tip[-1]]), np.eye(3)[0], np.array([0.0, 0.0, np.sign(direction[-1])])),
    )  # fmt: skip


def device_facets(result: Result, ending: str) -> Indices:
    """Facets (n, dim) on the electrodes whose name ends with ``ending``."""
    facets = [
        f
        for name, f in result.mesh.facets.items()
        if name.startswith("electrodes[") and name.endswith(ending)
    ]
    dim = result.mesh.points.shape[1]
    return np.concatenate([np.zeros((0, dim)), *facets]).astype(np.int64)


def _plane(result: Result, like: Placement | None) -> Section:
    mesh = result.mesh
    tip, axis = electrode_axis(result)
    origin, across = best_plane(result, tip, axis)
    if like is not None and _same(axis, like.axis) and _same(origin, tip):
        across = like.across  # a plane beside the axis belongs to its own device
    normal = np.cross(across, axis)
    level = (mesh.points - origin) @ normal
    level[np.abs(level) < 1e-9] = 0.0  # nodes that are meant to lie in the plane
    frame = 1e3 * np.stack([across, -axis], axis=1)

    slice_ = cut(mesh.cells, level)
    points = slice_.values((mesh.points - origin) @ frame)
    parts = parts_of_cells(result)
    metal = parts.pop("metal", np.zeros(mesh.n_cells, dtype=np.bool_))[slice_.parents]
    tubes = vessel_tubes(result)
    if tubes and "vessels" in parts:  # they are round, cells are not
        lumens = [k for k, name in enumerate(mesh.region_names) if name.startswith("vessels[")]
        parts["vessels"] = parts["vessels"] & ~np.isin(mesh.regions, lumens)
    fields = {name: slice_.values(inside_field(mesh, chosen)) for name, chosen in parts.items() if chosen.any()}

    def lines(facets: Indices) -> list[Floats]:
        if len(facets) == 0:
            return []
        edge = cut(facets, level)
        where = edge.values((mesh.points - origin) @ frame)
        return [where[line] for line in chains(edge.pieces)]

    contacts = {name: found for name, facets in contact_facets(result).items() if (found := lines(facets))}
    device, insulation = (lines(device_facets(result, ending)) for ending in ("", ".insulation"))
    space = 1e3 * np.stack([across, -axis, np.cross(across, -axis)], axis=1)
    drawn = [((line - origin) @ space, 1e3 * radius) for line, radius in tubes]
    placement = Placement(origin, across, axis)
    return Section(
        points, slice_.pieces, slice_.values, device, insulation, metal, fields, contacts, drawn, placement
    )
