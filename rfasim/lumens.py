"""Meshed vessels: the surfaces the mesher follows, and which cells and facets belong to which vessel.

Vessels of about the same size are one surface (one cut of the mesh for many vessels, and no wall where two tubes of one
tree overlap); which vessel a cell belongs to is decided afterwards, by the nearest centre line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rfasim import geometry
from rfasim.mesh import Mesh
from rfasim.meshing import Surface
from rfasim.solver import surface
from rfasim.solver.space import Array

if TYPE_CHECKING:
    from rfasim.case import Case, Vessel

# Edge over diameter: where the zone will lie, and far from it, where a tube must only stay round.
NEAR_SIZE, FAR_SIZE = 0.25, 0.6
# Of a line: edge over diameter where the zone will lie, and the least edge [m]. It is no surface of the mesh, but the
# temperature falls off towards it over a length like its diameter.
LINE_SIZE, LEAST_LINE_SIZE = 0.6, 1.5e-3
# Edge length gained per distance from a vessel: steeper than from an electrode, for no current gathers there.
GROW = 1.0
# Edge at a surface over the octants' there (see mesh_size.COARSENING): the size field is about octants.
OCTANTS = 1.5


def is_meshed(case: Case, vessel: Vessel) -> bool:
    """Whether ``vessel`` is a lumen in the mesh, not a line."""
    if vessel.treatment == "auto":
        return bool(vessel.diameter >= case.circulation.resolve_from)
    return vessel.treatment in ("resolved", "held")


@dataclass(frozen=True)
class Group:
    """Meshed vessels (indices in the case) of about the same edge length [m], as one surface."""

    name: str
    vessels: tuple[int, ...]
    size: float


def _enters(case: Case, vessel: Vessel) -> bool:
    """Whether a vessel's centre line comes into the domain (a tree from an image may go on outside)."""
    points = np.array(vessel.points)
    if case.domain.depth(points, case.domain_centre).max() > 0:
        return True
    line = np.concatenate([np.linspace(a, b, 50) for a, b in pairwise(points)])
    return bool(case.domain.depth(line, case.domain_centre).max() > 0)


Vessels = Sequence["Vessel"]


def groups(case: Case, vessels: Vessels, smallest: float) -> list[Group]:
    """The meshed vessels by size; the lattice knows only powers of two, so nearby sizes go together."""
    found: dict[int, list[tuple[int, float]]] = {}
    for index, vessel in enumerate(vessels):
        if is_meshed(case, vessel) and _enters(case, vessel):
            size = case.mesh.vessel_size or max(NEAR_SIZE * vessel.diameter, smallest)
            found.setdefault(int(np.floor(np.log2(size / 1e-4) * 2)), []).append((index, size))
    return [
        Group(f"vessels.{k}", tuple(index for index, _ in rows), min(size for _, size in rows))
        for k, (_, rows) in enumerate(sorted(found.items()))
    ]


def tubes(vessels: Vessels, some: Sequence[int]) -> geometry.Union:
    """The lumens of some vessels as one shape."""
    return geometry.Union([vessels[index].geometry() for index in some])


def surfaces(case: Case, vessels: Vessels, found: list[Group]) -> list[Surface]:
    """What the mesher follows; the size is that far from the zone (near it :func:`sizes` asks for less)."""
    out = []
    for group in found:
        thinnest = min(vessels[index].diameter for index in group.vessels)
        size = case.mesh.vessel_size or max(FAR_SIZE * thinnest, group.size)
        shape, inside = tubes(vessels, group.vessels), f"{group.name}.lumen"
        out.append(Surface(group.name, shape, size, inside=inside, rest="wall", grow=GROW))
    return out


def sizes(case: Case, vessels: Vessels, found: list[Group]) -> Callable[[Array, Array], Array]:
    """Edge lengths that vessels ask for at points (n, 3), as a function of them and of their distance beyond the zone:
    what is far from the zone cannot matter."""
    shapes = [(tubes(vessels, group.vessels), OCTANTS * group.size) for group in found]
    lines: dict[float, list[int]] = {}
    for index, vessel in enumerate(vessels):
        if not is_meshed(case, vessel):
            size = case.mesh.vessel_size or max(LINE_SIZE * vessel.diameter, LEAST_LINE_SIZE)
            lines.setdefault(size, []).append(index)
    shapes += [(tubes(vessels, some), size) for size, some in lines.items()]

    def at(points: Array, beyond: Array) -> Array:
        out = np.full(len(points), np.inf)
        for shape, size in shapes:
            out = np.minimum(out, size + GROW * np.maximum(np.abs(shape.distance(points)), beyond))
        return out

    return at


def named(vessels: Vessels, found: list[Group], mesh: Mesh) -> Mesh:
    """The mesh with a region ``vessels[k].lumen`` and facets ``vessels[k].wall`` for each meshed vessel."""
    if not found:
        return mesh
    regions, names = mesh.regions.copy(), list(mesh.region_names)
    facets = {name: f for name, f in mesh.facets.items() if not name.startswith("vessels.")}
    number = {}
    for group in found:
        for index in group.vessels:
            number[index] = len(names)
            names.append(f"vessels[{index}].lumen")
    for group in found:
        if f"{group.name}.lumen" in mesh.region_names:
            cells = np.flatnonzero(mesh.regions == mesh.region_names.index(f"{group.name}.lumen"))
            owner = _nearest(vessels, group, mesh.points[mesh.cells[cells]].mean(axis=1))
            regions[cells] = np.array([number[index] for index in group.vessels])[owner]
    lumen = regions >= len(mesh.region_names)
    for group in found:
        wall = mesh.facets[f"{group.name}.wall"]
        # where two groups meet, one vessel opens into the other: that is no wall
        outside = surface.facet_cells(mesh.cells, wall, ~lumen)
        inside = surface.facet_cells(mesh.cells, wall, lumen)
        real = ~lumen[outside] & lumen[inside]
        for index in group.vessels:
            facets[f"vessels[{index}].wall"] = wall[real & (regions[inside] == number[index])]
    kept, renumbered = np.unique(regions, return_inverse=True)
    return replace(
        mesh, regions=renumbered.reshape(-1).astype(np.int32), region_names=tuple(names[k] for k in kept), facets=facets
    )


def _nearest(vessels: Vessels, group: Group, points: Array) -> Array:
    """Which vessel of the group, by position in it, each point lies deepest in."""
    if len(group.vessels) == 1:
        return np.zeros(len(points), np.int64)
    depth = np.stack([vessels[index].geometry().distance(points) for index in group.vessels])
    return np.asarray(depth.argmin(axis=0))
