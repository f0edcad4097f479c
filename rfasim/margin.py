"""The zone against tumours: coverage, residual, the margin all over a tumour's surface, the part under the capsule.

The *margin* at a point of the tumour's surface is its signed distance to the boundary of the zone, positive where the
point lies in the zone. The zone also ends at vessel walls; living tissue that it encloses (the sleeve of a cooled
needle) belongs to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.outcome import device_facets, tissue_cells, zone_boundary
from rfasim.solver.level_set import (
    Array,
    Mask,
    clip_simplices,
    distance_to_surface,
    encloses,
    level_crossings,
    volume_above,
)

if TYPE_CHECKING:
    from rfasim.mesh import Mesh

Distance = Callable[[Array], Array]
"""signed distance [m] of points (n, 3) to a shape, negative inside"""

# A complete ablation leaves no part of the tumour's surface alive, and inside no more than this share of its volume,
# beside the sleeve (m) that a cooled device keeps alive until it is drawn out.
RESIDUAL_ALLOWED = 0.01
SLEEVE = 1e-3
# mRECIST asks of a partial response 30 % less diameter of viable tumour: of balls, this share of the volume dead.
PARTIAL = 1.0 - 0.7**3
# Margin (m) from which an ablation is A0; what lies less deep under the capsule is subcapsular.
A0_MARGIN = 5e-3
# Steps of the margin (m) by which shares of the surface are told.
STEPS = {"covered": 0.0, "over_5mm": 5e-3, "over_10mm": 10e-3}


@dataclass(frozen=True)
class MarginMap:
    """The margin all over a tumour's surface.

    ``points`` (n, dim) are the corners of ``simplices`` (m, dim), then their middles; ``margin`` (n + m,) [m] is that
    at each. ``living`` is the margin to living liver only, where the liver's surface is known: beyond the capsule no
    tumour can grow back.
    """

    points: Array
    simplices: NDArray[np.uint32]
    margin: Array
    living: Array | None
    depth: Array | None  # m under the capsule

    @property
    def corners(self) -> int:
        """How many of the points are corners."""
        return len(self.points) - len(self.simplices)

    @property
    def at_middles(self) -> slice:
        """The points in the middles of the simplices."""
        return slice(self.corners, None)

    def areas(self, axisymmetric: bool) -> Array:
        """Area of each simplex [m^2]; of a segment that of the ring it sweeps."""
        at = self.points[self.simplices]
        if at.shape[1] == 2:
            length = np.linalg.norm(at[:, 1] - at[:, 0], axis=1)
            return np.asarray(length * (2 * math.pi * at[:, :, 0].mean(axis=1) if axisymmetric else 1.0))
        across = np.cross(at[:, 1] - at[:, 0], at[:, 2] - at[:, 0])
        return np.asarray(0.5 * np.linalg.norm(across, axis=1))


def banded(margins: MarginMap, ends: Sequence[float]) -> list[Array]:
    """The surface cut where the margin is one of ``ends`` [m]: triangles (n, 3, 3) [m] below the first, between each
    two, and from the last on. Exact for the linear interpolant, so that classes end where the margin does."""
    corners = np.concatenate(
        [margins.points[margins.simplices], margins.margin[margins.simplices][..., None]], axis=2
    )
    out = []
    for end in ends:
        out.append(clip_simplices(corners, -corners[..., 3], -end)[..., :3])
        corners = clip_simplices(corners, corners[..., 3], end)
    return [*out, corners[..., :3]]


def margin_map(mesh: Mesh, f: Array, distance: Array, organ: Distance | None = None) -> MarginMap | None:
    """The margin of the zone ``f >= 0`` over the surface of the tumour ``distance <= 0`` (both nodal; distance in m).

    None without any zone, or where the tumour has no surface in tissue. ``organ``: of the liver with its tumours.
    """
    crossings, simplices, _ = level_crossings(mesh.points, mesh.cells, -distance, 0.0, tissue_cells(mesh))
    vertices, at_vertices = crossings.interpolate(mesh.points), crossings.interpolate(f)
    zone = _zone(mesh, f)
    if len(simplices) == 0 or zone is None:
        return None
    points = np.concatenate([vertices, vertices[simplices].mean(axis=1)])
    dead = zone.holds(points, np.concatenate([at_vertices, at_vertices[simplices].mean(axis=1)]) >= 0.0)
    away = distance_to_surface(points, zone.boundary)
    margin = np.where(dead, away, -away)
    living = depth = None
    if organ is not None and not mesh.axisymmetric:
        depth = -organ(points)
        inside = zone.boundary[organ(np.ascontiguousarray(zone.boundary.mean(axis=1))) < 0.0]
        living = np.where(dead, distance_to_surface(points, inside), margin)
    return MarginMap(points, simplices, margin, living, depth)


@dataclass(frozen=True)
class _Zone:
    """The zone's boundary without cavities (n, dim, dim), and the boxes (m, 2, dim) that cavities lie in."""

    boundary: Array
    cavities: Array
    axisymmetric: bool

    def holds(self, points: Array, dead: Mask) -> Mask:
        """Which points are in the zone; ``dead`` are those with dead tissue.

        What lives inside the zone, the sleeve of a cooled needle, belongs to its shape.
        """
        out = dead.copy()
        boxed = [((points >= low) & (points <= high)).all(axis=1) for low, high in self.cavities]
        asked = ~dead & np.any(boxed, axis=0) if boxed else np.zeros(len(points), np.bool_)
        out[asked] = encloses(self.boundary, points[asked], self.axisymmetric)
        return out


def _zone(mesh: Mesh, f: Array) -> _Zone | None:
    cells = tissue_cells(mesh)
    zone = cells & (f[mesh.cells] >= 0.0).any(axis=1)
    if not zone.any():
        return None
    found = zone_boundary(mesh, f, zone)
    if len(found.points) == 0:
        return None
    origin = found.points.mean(axis=0)
    if mesh.axisymmetric:  # what a ring encloses is seen from the axis
        origin[0] = 0.0
    boundary, cavities = found.around(origin), found.cavities(origin)
    if len(boundary) == 0:
        return None
    boxes = [(piece.min(axis=(0, 1)), piece.max(axis=(0, 1))) for piece in cavities]
    return _Zone(boundary, np.array(boxes), mesh.axisymmetric)


def by_criterion(mesh: Mesh, levels: Mapping[str, Array], distances: Sequence[Array]) -> list[dict[str, Any]]:
    """For each tumour (nodal ``distances``) and each criterion, whose zone is ``level >= 0``: ``ablated_fraction``,
    ``residual_ml``, ``minimal_margin_mm`` and ``margin_class``, as in :func:`tumour_measures`."""
    cells = tissue_cells(mesh)
    zones = {name: _zone(mesh, f) for name, f in levels.items()}
    out = []
    for distance in distances:
        own = cells & (distance[mesh.cells] <= 0.0).any(axis=1)
        volume = volume_above(mesh.points, mesh.cells, -distance, 0.0, mesh.axisymmetric, own)
        crossings, _, _ = level_crossings(mesh.points, mesh.cells, -distance, 0.0, own)
        points = crossings.interpolate(mesh.points)
        rows = {}
        for name, f in levels.items():
            residual, _ = common(mesh, -distance, -f, own)
            zone, reach = zones[name], None
            if zone is not None and len(points):
                dead = zone.holds(points, crossings.interpolate(f) >= 0.0)
                if dead.all():
                    reach = distance_to_surface(points, zone.boundary, "smallest").min()
                else:
                    reach = -distance_to_surface(points[~dead], zone.boundary, "largest").max()
            rows[name] = {
                "ablated_fraction": min(max(1.0 - residual / volume, 0.0), 1.0), "residual_ml": 1e6 * residual,
                "minimal_margin_mm": None if reach is None else 1e3 * float(reach),
                "margin_class": margin_class(-math.inf if reach is None else reach),
            }  # fmt: skip
        out.append(rows)
    return out


def tumour_measures(mesh: Mesh, f: Array, distance: Array, organ: Distance | None = None,
                    margins: MarginMap | None = None) -> dict[str, Any]:  # fmt: skip
    """How well the zone ``f >= 0`` covers the tumour ``distance <= 0`` (both nodal; distance in m).

    - ``volume_ml``, ``residual_ml``, ``ablated_fraction``: tumour tissue, what of it is alive, and the dead share;
      exact for the linear interpolants of both fields. ``residual_at_mm``: the middle of what is alive.
    - ``minimal_margin_mm``: the smallest margin of the tumour's surface, and ``minimal_margin_at_mm`` where that is.
      None without any zone.
    - ``margin_class``: A0 from 5 mm all round, A1 from 0 to 5 mm, A2 where tumour sticks out of the zone.
    - ``surface``: shares of the tumour's surface with a margin of at least 0, 5 and 10 mm.
    - ``subcapsular``: with ``organ``, see :func:`subcapsular_measures`; else None.
    - ``response``, after mRECIST (Lencioni & Llovet, Semin Liver Dis 2010;30:52): complete where no tumour lives
      (margin >= 0 and at most 1 % of the volume alive farther than 1 mm from the device), partial where a ball of what
      lives has a diameter 30 % less than one of the tumour (66 % of the volume dead), else none. This is what was
      destroyed at once; mRECIST itself is read off enhancement in a later image.

    ``margins``: the tumour's :func:`margin_map` with the same ``organ``, where it is known already. Raises ValueError
    when the tumour touches no tissue of the mesh.
    """
    cells = tissue_cells(mesh)
    volume = volume_above(mesh.points, mesh.cells, -distance, 0.0, mesh.axisymmetric, cells)
    if volume <= 0.0:
        raise ValueError("the tumour lies in no tissue of this mesh")
    residual, at = common(mesh, -distance, -f, cells)
    fraction = min(max(1.0 - residual / volume, 0.0), 1.0)
    margins = margin_map(mesh, f, distance, organ) if margins is None else margins
    reach, where, shares = -math.inf, None, dict.fromkeys(STEPS, 0.0)
    if margins is not None:
        reach = float(margins.margin.min())
        where = margins.points[int(margins.margin.argmin())]
        areas = margins.areas(mesh.axisymmetric)
        inner = margins.margin[margins.at_middles]
        shares = {name: float(areas[inner >= step].sum() / areas.sum()) for name, step in STEPS.items()}
    if reach >= 0.0 and _beside_the_sleeve(mesh, f, distance, cells) <= RESIDUAL_ALLOWED * volume:
        response = "complete"
    else:
        response = "partial" if fraction >= PARTIAL else "none"
    return {
        "volume_ml": 1e6 * volume,
        "ablated_fraction": fraction,
        "residual_ml": 1e6 * residual,
        "residual_at_mm": None if at is None else _millimetres(at),
        "minimal_margin_mm": None if margins is None else 1e3 * reach,
        "minimal_margin_at_mm": None if where is None else _millimetres(where),
        "margin_class": margin_class(reach),
        "surface": {f"{name}_fraction": share for name, share in shares.items()},
        "subcapsular": None if margins is None else subcapsular_measures(margins, mesh.axisymmetric),
        "response": response,
    }


def _beside_the_sleeve(mesh: Mesh, f: Array, distance: Array, cells: Mask) -> float:
    """What lives of the tumour [m^3] farther than ``SLEEVE`` from every device."""
    from scipy.spatial import cKDTree

    facets = device_facets(mesh)
    if len(facets) == 0:
        return common(mesh, -distance, -f, cells)[0]
    # the middles too: facets are no longer than a sleeve is wide by much
    places = np.concatenate([mesh.points[np.unique(facets)], mesh.points[facets].mean(axis=1)])
    away = np.full(len(mesh.points), np.inf)
    near = np.flatnonzero((distance <= SLEEVE) & (f < 0.0))
    away[near] = cKDTree(places).query(mesh.points[near])[0] if len(near) else np.inf
    beside = np.minimum(-f, 1e3 * (np.minimum(away, 1.0) - SLEEVE))
    return common(mesh, -distance, beside, cells)[0]


def margin_class(margin: float) -> str:
    """A0 from 5 mm all round, A1 from 0 to 5 mm, A2 below; ``margin`` in m."""
    return "A0" if margin >= A0_MARGIN else "A1" if margin >= 0.0 else "A2"


def subcapsular_measures(margins: MarginMap, axisymmetric: bool) -> dict[str, Any] | None:
    """The part of the tumour's surface less than 5 mm under the liver's capsule, apart from the rest.

    Between that part and the capsule there is no room for a margin of 5 mm. ``fraction``: its share of the surface;
    ``minimal_margin_mm``: its smallest margin; ``elsewhere_minimal_margin_mm``: that of the rest; None where there is
    no such part. ``living_liver_margin_mm``: the smallest distance from the tumour to living liver, and
    ``margin_class`` by it: what is beyond the capsule asks for no margin. None where no liver lives around the tumour.
    None without a known liver.
    """
    if margins.depth is None or margins.living is None:
        return None
    under = margins.depth < A0_MARGIN
    areas = margins.areas(axisymmetric)
    living = float(margins.living.min())

    def smallest(part: Mask) -> float | None:
        return 1e3 * float(margins.margin[part].min()) if part.any() else None

    return {
        "fraction": float(areas[under[margins.at_middles]].sum() / areas.sum()),
        "minimal_margin_mm": smallest(under),
        "elsewhere_minimal_margin_mm": smallest(~under),
        "living_liver_margin_mm": 1e3 * living if math.isfinite(living) else None,
        "margin_class": margin_class(living),
    }


def common(mesh: Mesh, a: Array, b: Array, cells: Mask) -> tuple[float, Array | None]:
    """Volume [m^3] of the part of ``cells`` where both nodal fields are above zero, and its middle (None of nothing).

    Cells are cut along a = 0, then measured by b on the pieces.
    """
    nodes = mesh.cells[cells]
    nodes = nodes[(a[nodes] >= 0.0).any(axis=1) & (b[nodes] > 0.0).any(axis=1)]
    dim = mesh.points.shape[1]
    corners = np.concatenate([mesh.points, b[:, None]], axis=1)[nodes]
    pieces = clip_simplices(corners, a[nodes], 0.0)
    if len(pieces) == 0:
        return 0.0, None
    pieces = clip_simplices(pieces, pieces[:, :, dim], 0.0)[:, :, :dim]
    edges = pieces[:, 1:] - pieces[:, :1]
    weights = np.abs(np.linalg.det(edges)) / math.factorial(dim)
    if mesh.axisymmetric:
        weights = weights * 2 * math.pi * pieces[:, :, 0].mean(axis=1)
    volume = float(weights.sum())
    if volume <= 0.0:
        return 0.0, None
    middle = (weights[:, None] * pieces.mean(axis=1)).sum(axis=0) / volume
    if mesh.axisymmetric:
        middle[0] = 0.0
    return volume, middle


def _millimetres(point: Array) -> list[float]:
    x, y, z = point if len(point) == 3 else (point[0], 0.0, point[1])
    return [1e3 * float(x), 1e3 * float(y), 1e3 * float(z)]
