"""The numbers of ``summary.json`` from a run: its state, its history, its last frame."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import rfasim
from rfasim.outcome import summarise, zone_distance

if TYPE_CHECKING:
    from rfasim.frame import Frame
    from rfasim.simulation import Simulation


def summary_of(simulation: Simulation, history: Any, probes: Any, last: Frame, *, mesh_seconds: float,
               wall_seconds: float) -> dict[str, Any]:  # fmt: skip
    """The numbers of ``summary.json`` for a run that has reached ``last``; ``history`` and ``probes``: the columns of
    their tables, one entry a step."""
    case, mesh, s = simulation.case, simulation.mesh, simulation.state
    points = mesh.points
    if mesh.axisymmetric:
        points = np.stack([points[:, 0], np.zeros(mesh.n_nodes), points[:, 1]], axis=1)
    tumour = None if simulation.domain.tumour is None else simulation.domain.tumour.distance(points)
    summary = summarise(
        case_name=case.name, case_sha256=case.sha256, version=rfasim.__version__, criterion=case.zone.criterion,
        mesh=mesh, mesh_seconds=mesh_seconds, history=history, probes=probes, last=last,
        run={"wall_s": wall_seconds, "threads": case.solver.threads, "peak_memory_mb": peak_memory_mb()},
        tip=case.electrodes[0].tip_point, direction=case.electrodes[0].axis,
        vaporised_water=float(simulation.storage.water_mass @ s.most_lost) + s.boiled_off / case.boiling.latent_heat,
        tumour_distance=tumour,
        vessels=vessel_rows(simulation),
    )  # fmt: skip
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


def vessel_rows(simulation: Simulation) -> list[dict[str, Any]]:
    """What ``summary.json`` tells of each vessel; of those held at their temperature no flow is known."""
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
    f = s.damage.measure(simulation.case.zone.criterion)
    for index, vessel in enumerate(d.vessels):
        told[index]["zone_distance_mm"] = zone_distance(d.mesh, f, vessel.geometry().distance)
    return [told[index] for index in range(len(d.vessels))]


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far [MB]; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)
