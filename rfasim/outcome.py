"""What came of a run: the zone and its axes, the margin around the tumour, the numbers of ``summary.json``.

A zone is where a damage measure f (see :func:`rfasim.damage.measure`) is at least zero, by linear
interpolation inside each cell. Volumes count tissue only: no metal, no vessel lumen, no hole. Shapes
contain the needle, as a pathologist's ruler does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfasim import mesh_kernels
from rfasim.damage import CRITERIA, measure
from rfasim.solver.level_set import (
    Array,
    Mask,
    clip_simplices,
    level_crossings,
    volume_above,
)

if TYPE_CHECKING:
    from rfasim.frame import Frame
    from rfasim.mesh import Mesh

_kernels: Any = mesh_kernels

# Temperatures [degC] of which ``probes`` tells when they were reached first.
REACHED = (50, 54, 60)


def tissue_cells(mesh: Mesh) -> Mask:
    """Which cells are tissue (n_cells,): all but electrode metal and vessel lumen."""
    is_tissue = [not name.endswith((".metal", ".lumen")) for name in mesh.region_names]
    mask: Mask = np.array(is_tissue, dtype=np.bool_)[mesh.regions]
    return mask


def volume_ml(mesh: Mesh, f: Array, level: float = 0.0) -> float:
    """Volume in ml of the tissue where the nodal field ``f`` (n_nodes,) is at least ``level``."""
    return 1e6 * volume_above(mesh.points, mesh.cells, f, level, mesh.axisymmetric, tissue_cells(mesh))


@dataclass(frozen=True)
class Boundary:
    """The zone's boundary as simplices (n, dim, dim), turned so that their normals leave the zone."""

    front: Array  # inside tissue
    piece: NDArray[np.integer]  # number of the connected piece that each simplex of the front is in
    caps: Array  # where tissue ends: vessel walls, the domain's outside; not at a device
    axisymmetric: bool

    @property
    def points(self) -> Array:
        """All corners, (n, dim)."""
        dim = self.front.shape[2]
        return np.concatenate([self.front.reshape(-1, dim), self.caps.reshape(-1, dim)])

    def around(self, origin: Array) -> Array:
        """The simplices without cavities: pieces that turn their back on ``origin`` enclose living tissue.

        Such is the sleeve of tissue that a cooled needle keeps alive.
        """
        return np.concatenate([self.front[self._facing(origin)[self.piece] > 0.0], self.caps])

    def cavities(self, origin: Array) -> list[Array]:
        """The pieces that turn their back on ``origin``."""
        facing, there = self._facing(origin), np.unique(self.piece)
        return [self.front[self.piece == number] for number in there[facing[there] <= 0.0]]

    def _facing(self, origin: Array) -> Array:
        normals = _normals(self.front, self.axisymmetric)
        return np.asarray(np.bincount(self.piece, weights=((self.front[:, 0] - origin) * normals).sum(axis=1)), float)


def device_facets(mesh: Mesh) -> NDArray[np.uint32]:
    """The facets of all devices (n, dim)."""
    names = [name for name in mesh.facets if name.startswith("electrodes[")]
    empty = np.zeros((0, mesh.points.shape[1]), dtype=np.uint32)
    return np.concatenate([empty, *(mesh.facets[name] for name in names)])


def _parts_at_devices(mesh: Mesh, f: Array, cells: Mask) -> Mask:
    """Those of ``cells`` (all have a dead node) in parts that touch a device, else in the largest part."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    dead = f >= 0.0
    nodes = mesh.cells[cells]
    rows, columns = [], []
    for i in range(nodes.shape[1]):
        for j in range(i):
            both = dead[nodes[:, i]] & dead[nodes[:, j]]
            rows.append(nodes[both, i])
            columns.append(nodes[both, j])
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), dtype=np.bool_), (row, column)), shape=(len(f), len(f)))
    _, label = connected_components(graph, directed=False)
    device = np.unique(device_facets(mesh))
    wanted = np.unique(label[device[dead[device]]])
    # a cell cannot hold dead nodes of two parts: they would be neighbours
    part = np.where(dead[nodes], label[nodes], -1).max(axis=1)
    if len(wanted) == 0:
        volumes = np.bincount(part, weights=mesh.volumes()[cells])
        wanted = np.array([volumes.argmax()])
    kept = np.zeros(len(mesh.cells), dtype=np.bool_)
    kept[np.flatnonzero(cells)[np.isin(part, wanted)]] = True
    return kept


def zone_boundary(mesh: Mesh, f: Array, cells: Mask) -> Boundary:
    """The boundary of the zone within ``cells``."""
    crossings, simplices, _ = level_crossings(mesh.points, mesh.cells, f, 0.0, cells)
    front = crossings.interpolate(mesh.points)[simplices]
    # what is left open is closed by the boundary of the tissue, except where a device fills the hole
    nodes = mesh.cells[cells]
    everywhere = np.ones(len(mesh.points), dtype=np.bool_)
    owner, local, neighbour, _ = _kernels.match_faces(nodes, everywhere)
    alone = neighbour < 0
    faces = _kernels.face_vertices(nodes, owner[alone], local[alone])
    faces = faces[(f[faces] >= 0.0).any(axis=1)]
    faces = faces[~_among(faces, device_facets(mesh))]
    if mesh.axisymmetric:
        faces = faces[(mesh.points[faces, 0] > 0.0).any(axis=1)]
    caps = clip_simplices(mesh.points[faces], f[faces], 0.0)
    return Boundary(front, _pieces(simplices, len(crossings.share)), caps, mesh.axisymmetric)


def zone_surface(mesh: Mesh, f: Array) -> Array:
    """Simplices (n, dim, dim) [m] of the boundary of the zone ``f >= 0``, without the surfaces of living tissue that it
    encloses; none where there is no zone."""
    zone = tissue_cells(mesh) & (f[mesh.cells] >= 0.0).any(axis=1)
    if not zone.any():
        return np.zeros((0, mesh.dim, mesh.dim))
    found = zone_boundary(mesh, f, zone)
    return found.around(found.points.mean(axis=0))


def _among(faces: NDArray[np.uint32], others: NDArray[np.uint32]) -> Mask:
    """Which of ``faces`` (n, dim) are in ``others``, whatever the order of their nodes."""
    both = np.sort(np.concatenate([faces, others]), axis=1)
    _, number = np.unique(both, axis=0, return_inverse=True)
    number = number.reshape(-1)
    return np.isin(number[: len(faces)], number[len(faces) :])


def _pieces(simplices: NDArray[np.uint32], n_vertices: int) -> NDArray[np.integer]:
    """Number of the connected piece of each simplex."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = np.repeat(simplices[:, 0], simplices.shape[1] - 1)
    links = (np.ones(len(first), dtype=np.bool_), (first, simplices[:, 1:].ravel()))
    _, label = connected_components(coo_array(links, shape=(n_vertices, n_vertices)), directed=False)
    piece: NDArray[np.integer] = label[simplices[:, 0]]
    return piece


def _normals(corners: Array, axisymmetric: bool) -> Array:
    """Normal of each simplex times its area (of a segment: of the ring it sweeps)."""
    if corners.shape[1] == 3:
        normals: Array = 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return normals
    along = corners[:, 1] - corners[:, 0]
    right = np.stack([along[:, 1], -along[:, 0]], axis=1)
    weight = 2.0 * math.pi * corners[:, :, 0].mean(axis=1) if axisymmetric else np.ones(len(corners))
    return right * weight[:, None]


@dataclass(frozen=True)
class _Axis:
    """The needle's axis: ``along`` is the distance past the tip, positive in the direction of insertion."""

    tip: Array
    direction: Array
    dim: int

    @classmethod
    def of(cls, mesh: Mesh, point: ArrayLike, direction: ArrayLike) -> _Axis:
        tip, d = np.asarray(point, dtype=np.float64), np.asarray(direction, dtype=np.float64)
        dim = mesh.points.shape[1]
        if mesh.axisymmetric:  # the axis is r = 0; only z and the sense along it are left to say
            tip, d = np.array([0.0, tip[-1]]), np.array([0.0, d[-1]])
        length = float(np.linalg.norm(d))
        if tip.shape != (dim,) or d.shape != (dim,) or not length > 0.0:
            raise ValueError(
                f"the needle's axis needs a point and a direction in {dim}-D, got {point!r} and {direction!r}"
            )
        return cls(tip, d / length, dim)

    def along(self, points: Array) -> Array:
        positions: Array = (points - self.tip) @ self.direction
        return positions

    def across(self, points: Array) -> Array:
        """Two coordinates perpendicular to the axis, right-handed with it (3-D)."""
        helper = np.eye(3)[np.argmin(np.abs(self.direction))]
        u = np.cross(self.direction, helper)
        u /= np.linalg.norm(u)
        v = np.cross(self.direction, u)
        coordinates: Array = (points - self.tip) @ np.stack([u, v], axis=1)
        return coordinates

    def sections(self, corners: Array, heights: Array) -> Array:
        """Area of the cross-section at each of ``heights`` along the axis."""
        along = self.along(corners)
        if self.dim == 2:
            return self._discs(corners[:, :, 0], along, heights)
        across = self.across(corners.reshape(-1, 3)).reshape(-1, 3, 2)
        low, high = along.min(axis=1), along.max(axis=1)
        areas = np.zeros(len(heights))
        for n, height in enumerate(heights):
            cut = np.flatnonzero((low < height) & (high >= height))
            s, xy = along[cut], across[cut]
            up, down = np.zeros((len(cut), 2)), np.zeros((len(cut), 2))
            for i, j in ((0, 1), (1, 2), (2, 0)):
                with np.errstate(divide="ignore", invalid="ignore"):
                    crossing = xy[:, i] + ((height - s[:, i]) / (s[:, j] - s[:, i]))[:, None] * (
                        xy[:, j] - xy[:, i]
                    )
                rising, falling = (
                    (s[:, i] < height) & (s[:, j] >= height),
                    (s[:, i] >= height) & (s[:, j] < height),
                )
                up[rising], down[falling] = crossing[rising], crossing[falling]
            # seen against the axis, the outline of an outward-turned surface runs anticlockwise from down
            # to up
            areas[n] = 0.5 * (down[:, 0] * up[:, 1] - down[:, 1] * up[:, 0]).sum()
        return areas

    def _discs(self, r: Array, along: Array, heights: Array) -> Array:
        a, b = along[:, 0], along[:, 1]
        outward = np.where(self.direction[1] > 0, b > a, b < a)
        areas = np.zeros(len(heights))
        for n, height in enumerate(heights):
            cut = np.flatnonzero((np.minimum(a, b) < height) & (np.maximum(a, b) >= height))
            share = (height - a[cut]) / (b[cut] - a[cut])
            radius = r[cut, 0] + share * (r[cut, 1] - r[cut, 0])
            areas[n] = math.pi * (np.where(outward[cut], 1.0, -1.0) * radius**2).sum()
        return areas

    def largest_section(self, corners: Array, low: float, high: float) -> float:
        """Largest cross-section between two heights: 64 planes, then 32 more around the best of them."""
        best = 0.0
        for count in (64, 32):
            spacing = (high - low) / count
            heights: Array = low + spacing * (np.arange(count, dtype=np.float64) + 0.5)
            areas = self.sections(corners, heights)
            best = max(best, float(areas.max()))
            centre = float(heights[areas.argmax()])
            low, high = max(low, centre - spacing), min(high, centre + spacing)
        return best


def zone_measures(
    mesh: Mesh, f: Array, axis_point: ArrayLike, axis_direction: ArrayLike
) -> dict[str, float | None]:
    """Size and shape of the zone ``f >= 0`` (``f`` nodal, (n_nodes,)) around a needle.

    ``axis_point`` is the needle's tip (m), ``axis_direction`` points the way it was inserted; axisymmetric
    meshes use only their last component.

    - ``volume_ml``: all dead tissue, wherever it lies. The needle's own volume (below 1 %) is not tissue.
    - ``long_axis_mm``: extent of the zone along the needle.
    - ``short_axis_mm``: diameter of the circle with the area of the largest cross-section perpendicular to
      the needle (for a round zone its diameter; for others between the two diameters a ruler gives).
    - ``sphericity``: ``pi^(1/3) (6 V)^(2/3) / A`` of the closed zone (Wadell, J Geol 1935;43:250): 1 for a
      ball.
    - ``beyond_tip_mm``: how far the zone reaches past the tip; negative when it ends before it.

    Shape (all but the volume) is that of the parts of the zone that touch a device, or of the largest part
    when none does: a burn under a distant pad is no part of it. The needle, and living tissue enclosed in
    the zone (the sleeve of a cooled needle), belong to the shape. Without any dead tissue the lengths are 0
    and the last two are None.
    """
    axis = _Axis.of(mesh, axis_point, axis_direction)
    cells = tissue_cells(mesh) & (f[mesh.cells] >= 0.0).any(axis=1)
    nothing: dict[str, float | None] = {"volume_ml": 0.0, "long_axis_mm": 0.0, "short_axis_mm": 0.0}
    nothing |= {"sphericity": None, "beyond_tip_mm": None}
    if not cells.any():
        return nothing
    kept = _parts_at_devices(mesh, f, cells)
    boundary = zone_boundary(mesh, f, kept)
    reach = axis.along(boundary.points)
    if len(reach) == 0:  # dead nodes exactly at the level: a zone without extent
        return nothing
    low, high = float(reach.min()), float(reach.max())
    # the origin lies on the axis where the zone ends towards the entry: the hole that the shaft leaves in
    # the surface there has no height above it and adds nothing to the volume enclosed
    origin = axis.tip + low * axis.direction
    corners = boundary.around(origin)
    normals = _normals(corners, mesh.axisymmetric)
    area = float(np.linalg.norm(normals, axis=1).sum())
    enclosed = float(((corners.mean(axis=1) - origin) * normals).sum()) / 3.0
    section = axis.largest_section(corners, low, high)
    return {
        "volume_ml": volume_ml(mesh, f),
        "long_axis_mm": 1e3 * (high - low),
        "short_axis_mm": 2e3 * math.sqrt(max(section, 0.0) / math.pi),
        "sphericity": math.pi ** (1 / 3) * (6.0 * max(enclosed, 0.0)) ** (2 / 3) / area
        if area > 0.0
        else None,
        "beyond_tip_mm": 1e3 * high,
    }


def zone_points(mesh: Mesh, f: Array) -> Array:
    """Points (n, 3) of the zone ``f >= 0``: its nodes, and where its border crosses edges; for distances to it."""
    cells = tissue_cells(mesh) & (f[mesh.cells] >= 0.0).any(axis=1)
    crossings, _, _ = level_crossings(mesh.points, mesh.cells, f, 0.0, cells)
    nodes = np.unique(mesh.cells[cells])
    return np.concatenate([crossings.interpolate(mesh.points), mesh.points[nodes[f[nodes] >= 0.0]]])


def zone_distance(zone: Array, distance: Callable[[Array], Array]) -> float | None:
    """Distance [mm] from something, such as a vessel's wall, to the points of a zone (:func:`zone_points`); 0 where
    they touch, None without a zone. ``distance(points (n, 3))`` is its signed distance [m]."""
    if len(zone) == 0:
        return None
    # a node on a wall may be off the tube's own surface by what facets are flatter than it
    return 1e3 * max(float(distance(zone).min()), 0.0)


def electrical_measures(
    history: Mapping[str, Sequence[Any]], simulated: float, delivered: float
) -> dict[str, Any]:
    """The ``electrical`` part of the summary from the columns of ``history.parquet``.

    ``simulated`` in s and ``delivered`` in J; the mean power is their ratio. Roll-offs count the times at
    which ``rolled_off`` became true.
    """
    rolled = np.asarray(history["rolled_off"], dtype=np.bool_)
    risen = np.flatnonzero(rolled & ~np.concatenate([[False], rolled[:-1]]))
    return {
        "initial_impedance_ohm": float(history["impedance_ohm"][0]),
        "final_impedance_ohm": float(history["impedance_ohm"][-1]),
        "initial_impedance_phase_deg": float(history["phase_deg"][0]),
        "roll_off_time_s": float(history["time_s"][int(risen[0])]) if len(risen) else None,
        "roll_offs": len(risen),
        "delivered_energy_j": delivered,
        "peak_power_w": float(np.max(history["power_w"])),
        "mean_power_w": delivered / simulated if simulated > 0.0 else 0.0,
        "mean_current_a": _mean_over_time(history, "current_a"),
        "lowest_impedance_ohm": float(np.min(history["impedance_ohm"])),
        "highest_impedance_ohm": float(np.max(history["impedance_ohm"])),
    }


def _mean_over_time(history: Mapping[str, Sequence[Any]], name: str) -> float:
    """Mean of a reading over time, straight from step to step."""
    time, values = np.asarray(history["time_s"], float), np.asarray(history[name], float)
    if len(time) < 2:
        return float(values[-1])
    return float(np.trapezoid(values, time) / (time[-1] - time[0]))


def probe_measures(probes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The ``probes`` part from the columns of ``probes.parquet``: the highest temperature at each, and when it was
    warm for the first time (straight from step to step; None where it never was)."""
    time = np.asarray(probes["time_s"], float) if probes else np.zeros(0)
    rows = []
    for column, values in probes.items():
        if column == "time_s":
            continue
        T = np.asarray(values, float)
        row: dict[str, Any] = {
            "name": column.removesuffix("_c"), "max_temperature_c": float(T.max()), "final_temperature_c": float(T[-1]),
        }  # fmt: skip
        for level in REACHED:
            above = np.flatnonzero(level <= T)
            first = int(above[0]) if len(above) else -1
            when = None if first < 0 else float(time[first])
            if first > 0:
                share = (level - T[first - 1]) / (T[first] - T[first - 1])
                when = float(time[first - 1] + share * (time[first] - time[first - 1]))
            row[f"time_to_{level}c_s"] = when
        rows.append(row)
    return rows


def energy_measures(energy: Mapping[str, float]) -> dict[str, float]:
    """The ``energy`` part: the ledger in J; the imbalance is over the larger of electrical and metabolic."""
    accounts = ("electrical", "stored", "latent", "perfusion", "vessels", "coolant", "boundary", "saline", "metabolic")
    given = max(abs(energy["electrical"]), abs(energy["metabolic"]))
    measures = {f"{name}_j": float(energy[name]) for name in accounts}
    measures["imbalance_fraction"] = abs(energy["imbalance"]) / given if given > 0.0 else 0.0
    return measures


def summarise(
    *,
    case_name: str,
    case_sha256: str,
    version: str,
    criterion: str,
    mesh: Mesh,
    mesh_seconds: float,
    history: Mapping[str, Sequence[Any]],
    last: Frame,
    run: Mapping[str, Any],
    tip: ArrayLike,
    direction: ArrayLike,
    vaporised_water: float = 0.0,
    tumours: Sequence[Mapping[str, Any]] = (),
    structures: Sequence[Mapping[str, Any]] = (),
    vessels: Sequence[Mapping[str, Any]] = (),
    probes: Mapping[str, Sequence[Any]] | None = None,
    initial_impedance: complex | None = None,
) -> dict[str, Any]:
    """The numbers of ``summary.json``: unit in the key, plain floats, None where there is nothing to say.

    ``history`` and ``probes`` hold the columns of their tables, one entry a step; ``last`` is the last frame;
    ``run`` has wall_s, threads and peak_memory_mb; ``tip`` (m) and ``direction`` (of insertion) are the
    first electrode's; ``vaporised_water`` in kg; ``tumours`` (the target first), ``structures`` and ``vessels`` the
    rows of those parts. The first impedance is ``initial_impedance`` (ohm), else that of the first step.

    The volumes above 50, 60 and 100 degC are those of the last temperature field, at the end of the run;
    what was ever as hot is in ``zone.by_model`` (isotherm_50, isotherm_60).
    """
    f = measure(criterion, last.damage)
    smallest, largest = mesh.min_max_dihedral()
    electrical = electrical_measures(history, last.time, float(last.energy["electrical"]))
    if initial_impedance is not None:
        electrical["initial_impedance_ohm"] = abs(initial_impedance)
        electrical["initial_impedance_phase_deg"] = math.degrees(
            math.atan2(initial_impedance.imag, initial_impedance.real)
        )
    return {
        "case": case_name,
        "rfasim_version": version,
        "case_sha256": case_sha256,
        "mesh": {
            "nodes": len(mesh.points),
            "cells": len(mesh.cells),
            "min_dihedral_deg": smallest,
            "max_dihedral_deg": largest,
            "seconds": mesh_seconds,
        },
        "run": {"simulated_s": last.time, "steps": len(history["time_s"]), **run},
        "electrical": electrical,
        "thermal": {
            "max_temperature_c": float(np.max(history["max_temperature_c"])),
            **{f"volume_over_{t}c_ml": volume_ml(mesh, last.temperature, t) for t in (50, 60, 100)},
            "vaporised_water_g": 1e3 * vaporised_water,
        },
        "zone": {
            "criterion": criterion,
            **zone_measures(mesh, f, tip, direction),
            "by_model": {
                name: {"volume_ml": volume_ml(mesh, measure(name, last.damage))} for name in CRITERIA
            },
        },
        "tumour": dict(tumours[0]) if tumours else None,
        "tumours": [dict(tumour) for tumour in tumours],
        "structures": [dict(structure) for structure in structures],
        "vessels": [dict(vessel) for vessel in vessels],
        "probes": probe_measures(probes or {}),
        "energy": energy_measures(last.energy),
    }
