"""The numbers of ``summary.json`` from a run: its state, its history, its last frame."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import rfasim
from rfasim.damage import CRITERIA
from rfasim.margin import Distance, by_criterion, common, tumour_measures
from rfasim.outcome import summarise, tissue_cells, zone_distance, zone_points
from rfasim.solver.level_set import Array, level_crossings
from rfasim.solver.location import Locator

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.domain import Domain
    from rfasim.frame import Frame
    from rfasim.geometry import Tube
    from rfasim.simulation import Simulation

NEAR = 0.01
"""what is farther [m] from the place of the smallest margin is not said to be near it"""
CAPSULE = "liver capsule"


def summary_of(simulation: Simulation, history: Any, probes: Any, last: Frame, *, mesh_seconds: float,
               wall_seconds: float) -> dict[str, Any]:  # fmt: skip
    """The numbers of ``summary.json`` for a run that has reached ``last``; ``history`` and ``probes``: the columns of
    their tables, one entry a step."""
    case, mesh, s = simulation.case, simulation.mesh, simulation.state
    distances = {path: shape.distance(_in_space(simulation)) for path, shape in simulation.domain.tumours.items()}
    exposure = Exposure(simulation)
    summary = summarise(
        case_name=case.name, case_sha256=case.sha256, version=rfasim.__version__, criterion=case.zone.criterion,
        mesh=mesh, mesh_seconds=mesh_seconds, history=history, probes=probes, last=last,
        run={"wall_s": wall_seconds, "threads": case.solver.threads, "peak_memory_mb": peak_memory_mb()},
        tip=case.electrodes[0].tip_point, direction=case.electrodes[0].axis,
        vaporised_water=float(simulation.storage.water_mass @ s.most_lost) + s.boiled_off / case.boiling.latent_heat,
        tumours=list(_tumour_rows(simulation, distances)),
        structures=list(structure_rows(simulation, exposure)),
        vessels=vessel_rows(simulation, exposure),
    )  # fmt: skip
    summary["zone"]["healthy_ml"] = _healthy(simulation, distances)
    summary["run"]["rejected_steps"] = s.rejected
    if simulation.wetting is not None and s.pores is not None:
        summary["saline"] = simulation.wetting.model.rows(s.pores)
    summary["electrical"] |= {
        "roll_off_time_s": s.memory.roll_off_time,
        "roll_offs": s.memory.roll_offs,
        "stopped_by": s.memory.finished or None,
        "events": [
            {"time_s": time, "from": left, "to": entered, "reason": reason}
            for time, left, entered, reason in s.memory.events
        ],
    }
    return summary


def result_meta(case: Case, domain: Domain) -> dict[str, Any]:
    """What goes into ``fields.vtkhdf`` beside the fields, for pictures of the result."""
    return {
        "title": case.name,
        "criterion": case.zone.criterion,
        "tissues": list(domain.tissue_names),
        "electrodes": [
            {"name": device.device, "tip": device.tip_point.tolist(), "direction": device.axis.tolist()}
            for device in case.electrodes
        ],
        "vessels": [
            {"name": vessel.name, "points": vessel.points, "diameter": vessel.diameter} for vessel in case.vessels
        ],
    }


def _in_space(simulation: Simulation) -> Array:
    """The nodes as points (n, 3) [m]."""
    points = simulation.mesh.points
    if simulation.mesh.axisymmetric:
        points = np.stack([points[:, 0], np.zeros(len(points)), points[:, 1]], axis=1)
    return points


def _level(simulation: Simulation) -> Array:
    return np.asarray(simulation.state.damage.measure(simulation.case.zone.criterion))


def _tumour_rows(simulation: Simulation, distances: dict[str, Array]) -> Iterator[dict[str, Any]]:
    """The ``tumours`` part: the target first."""
    around, every = simulation.domain.surroundings, simulation.case.every_tumour
    organ = None if around is None or around.organ is None else around.organ.distance
    levels = {name: np.asarray(simulation.state.damage.measure(name)) for name in CRITERIA}
    models = by_criterion(simulation.mesh, levels, list(distances.values()))
    for (path, distance), by_model in zip(distances.items(), models, strict=True):
        row = tumour_measures(simulation.mesh, _level(simulation), distance, organ)
        at = row["minimal_margin_at_mm"]
        beside = None if at is None else nearest(simulation, 1e-3 * np.array([at]))
        yield {"name": every[path].name or path, **row, "minimal_margin_near": beside,
               "by_model": by_model}  # fmt: skip


def _healthy(simulation: Simulation, distances: dict[str, Array]) -> float | None:
    """Dead tissue [ml] that is no tumour; None without tumours."""
    if not distances:
        return None
    outside = np.min(list(distances.values()), axis=0)
    return 1e6 * common(simulation.mesh, outside, _level(simulation), tissue_cells(simulation.mesh))[0]


def _structures(simulation: Simulation) -> Iterator[tuple[str, Distance | None, Array]]:
    """The capsule and the organs at risk: name, signed distance (None: too far away), and middles of their voxels.

    Inside of the capsule's distance is what lies outside of the liver: what burns there is not liver.
    """
    around = simulation.domain.surroundings
    if around is None:
        return
    organ = around.organ
    if organ is not None:
        yield CAPSULE, lambda points: -organ.distance(points), np.zeros((0, 3))
    for name, shape in around.structures.items():
        yield name, None if shape is None else shape.distance, np.zeros((0, 3)) if shape is None else shape.labelled


def nearest(simulation: Simulation, point: Array) -> dict[str, Any] | None:
    """The vessel, capsule or organ nearest to ``point`` (1, 3) [m], and how far it is, if within :data:`NEAR`."""
    tubes = [(vessel.name, vessel.geometry().distance) for vessel in simulation.domain.vessels]
    others = [(name, distance) for name, distance, _ in _structures(simulation) if distance is not None]
    best = min(((float(distance(point)[0]), name) for name, distance in (*tubes, *others)), default=(np.inf, ""))
    return {"name": best[1], "distance_mm": 1e3 * max(best[0], 0.0)} if best[0] <= NEAR else None


def structure_rows(simulation: Simulation, exposure: Exposure) -> Iterator[dict[str, Any]]:
    """The ``structures`` part: how near the zone comes to each, how much of it dies, how hot it gets."""
    mesh, f = simulation.mesh, _level(simulation)
    zone = zone_points(mesh, f)
    for name, distance, own in _structures(simulation):
        row = {"name": name, "zone_distance_mm": None, "dead_ml": 0.0, "max_temperature_c": None,
               "max_cem43_min": None}  # fmt: skip
        if distance is not None:
            nodal = distance(mesh.points)
            hottest, dose = exposure(own, nodal)
            row |= {
                "zone_distance_mm": zone_distance(zone, distance),
                "dead_ml": 1e6 * common(mesh, -nodal, f, exposure.cells)[0],
                "max_temperature_c": hottest, "max_cem43_min": dose,
            }  # fmt: skip
        yield row


class Exposure:
    """Highest temperature [degC] and dose [equivalent min at 43 degC] of the whole run in tissue at points (n, 3), and
    on the surface where a nodal ``distance`` is zero; None where neither lies in tissue of the mesh."""

    def __init__(self, simulation: Simulation) -> None:
        self.mesh, self.cells = simulation.mesh, tissue_cells(simulation.mesh)
        self.case = simulation.case
        values = simulation.state.damage.values()
        # a dose grows tenfold within a cell: straight lines are those of its logarithm
        self.fields = np.stack([values["max_temperature"], np.log1p(values["cem43"])], axis=1)

    @functools.cached_property
    def _locator(self) -> Locator:
        return Locator(self.mesh.points, self.mesh.cells, self.cells)

    def __call__(self, points: Array, distance: Array | None = None) -> tuple[float | None, float | None]:
        mesh, found = self.mesh, [np.zeros((0, 2))]
        if distance is not None:
            crossings, _, _ = level_crossings(mesh.points, mesh.cells, -distance, 0.0, self.cells)
            found.append(np.stack([crossings.interpolate(field) for field in self.fields.T], axis=1))
        if not mesh.axisymmetric:
            low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
            points = points[((points >= low) & (points <= high)).all(axis=1)]
            if self.case.mesh.file is None:
                points = points[self.case.domain.depth(points, self.case.domain_centre) > 0.0]
            if len(points):
                cell, weights = self._locator(points)
                there = cell >= 0
                found.append(np.einsum("ij,ijk->ik", weights[there], self.fields[mesh.cells[cell[there]]]))
        every = np.concatenate(found)
        if len(every) == 0:
            return None, None
        return float(every[:, 0].max()), float(np.expm1(every[:, 1].max()))


def vessel_rows(simulation: Simulation, exposure: Exposure | None = None) -> list[dict[str, Any]]:
    """What ``summary.json`` tells of each vessel; of those held at their temperature no flow is known."""
    exposure = exposure or Exposure(simulation)
    d, s = simulation.domain, simulation.state
    told = {} if simulation.blood is None else simulation.blood.rows()
    for index, vessel in enumerate(d.vessels):
        if index in told:
            continue
        wall = d.mesh.facets.get(f"vessels[{index}].wall")
        hottest = None
        if wall is not None and len(wall):
            hottest = float(s.temperature[np.unique(wall)].max())
        told[index] = {
            "name": vessel.name, "kind": vessel.kind, "treatment": "held", "diameter_mm": vessel.diameter * 1e3,
            "flow_ml_min": None, "heat_removed_j": s.vessel_heat[index] if index < len(s.vessel_heat) else 0.0,
            "wall_max_temperature_c": hottest,
            "patent": True, "state": "patent",
        }  # fmt: skip
    zone = zone_points(d.mesh, _level(simulation)) if d.vessels else np.zeros((0, 3))
    for index, vessel in enumerate(d.vessels):
        tube = vessel.geometry()
        told[index]["zone_distance_mm"] = zone_distance(zone, tube.distance)
        told[index]["wall_max_cem43_min"] = exposure(wall_points(tube))[1]
    return [told[index] for index in range(len(d.vessels))]


def wall_points(tube: Tube, step: float = 2e-3, around: int = 8) -> Array:
    """Points (n, 3) just outside a tube's wall, ``around`` of them every ``step`` [m] along it."""
    out = []
    angles = 2 * np.pi * np.arange(around) / around
    line = np.asarray(tube.points)
    for a, b in itertools.pairwise(line):
        length = float(np.linalg.norm(b - a))
        way = (b - a) / length
        u = np.cross(way, np.eye(3)[np.argmin(np.abs(way))])
        u /= np.linalg.norm(u)
        v = np.cross(way, u)
        ring = 1.02 * tube.radius * (np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v)
        middles = a + np.linspace(0.0, length, max(2, int(length / step) + 1))[:, None] * way
        out.append((middles[:, None] + ring).reshape(-1, 3))
    return np.concatenate(out)


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far [MB]; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)
