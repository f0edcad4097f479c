"""The plane that a section picture shows: mirrored half plane, or a cut along the first electrode's axis through what
conducts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
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
class Section:
    """A triangulated plane; points in mm from the tip: across the needle, and along it towards the handle.

    ``sample`` takes nodal values to the section's points. ``device`` and ``insulation`` are lines (n, 2) in
    mm, ``metal`` the triangles inside a meshed electrode; ``parts`` holds a field for tumour and vessels
    each, positive inside. ``contacts`` holds the lines of each contact that the plane cuts, by its name.
    """

    points: Floats
    triangles: Indices
    sample: Callable[[NDArray[Any]], Floats]
    device: list[Floats]
    insulation: list[Floats]
    metal: NDArray[np.bool_]
    parts: dict[str, Floats] = field(default_factory=dict)
    contacts: dict[str, list[Floats]] = field(default_factory=dict)


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
                middle = origin - 0.01 * axis
                candidates.append(centres[np.linalg.norm(centres - middle, axis=1).argmin()])
    for candidate in [*(c - origin for c in candidates), np.eye(3)[0], np.eye(3)[1]]:
        across = candidate - (candidate @ axis) * axis
        if np.linalg.norm(across) > 1.5e-3:
            return np.asarray(across / np.linalg.norm(across))
    raise AssertionError("one of two unit vectors is not along the axis")


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


def section_of(result: Result) -> Section:
    """The section of ``result`` through its first electrode, or the plane through most of its contacts."""
    return _mirrored(result) if result.mesh.axisymmetric else _plane(result)


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


def _plane(result: Result) -> Section:
    mesh = result.mesh
    tip, axis = electrode_axis(result)
    origin, across = best_plane(result, tip, axis)
    normal = np.cross(across, axis)
    level = (mesh.points - origin) @ normal
    level[np.abs(level) < 1e-9] = 0.0  # nodes that are meant to lie in the plane
    frame = 1e3 * np.stack([across, -axis], axis=1)

    slice_ = cut(mesh.cells, level)
    points = slice_.values((mesh.points - origin) @ frame)
    parts = parts_of_cells(result)
    metal = parts.pop("metal", np.zeros(mesh.n_cells, dtype=np.bool_))[slice_.parents]
    fields = {name: slice_.values(inside_field(mesh, chosen)) for name, chosen in parts.items()}

    def lines(facets: Indices) -> list[Floats]:
        if len(facets) == 0:
            return []
        edge = cut(facets, level)
        where = edge.values((mesh.points - origin) @ frame)
        return [where[line] for line in chains(edge.pieces)]

    contacts = {name: found for name, facets in contact_facets(result).items() if (found := lines(facets))}
    device, insulation = (lines(device_facets(result, ending)) for ending in ("", ".insulation"))
    return Section(points, slice_.pieces, slice_.values, device, insulation, metal, fields, contacts)
