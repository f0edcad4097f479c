"""A solver process: takes jobs from a pipe, sends back what becomes of them.

A new message in the pipe ends the job that is being done, at its next step: whoever moves the needle again wants the
old answer no more. Images are read in here too, so that a broken file can end no more than this process.
"""

from __future__ import annotations

import pickle
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.case import Case, case_from_dict, case_yaml, rebased
from rfasim.checks import crossings
from rfasim.damage import CRITERIA, measure
from rfasim.domain import Domain, build_domain, mesh_of
from rfasim.errors import InputError, RunError
from rfasim.frame import Frame
from rfasim.margin import banded, margin_map, tumour_measures
from rfasim.mesh import Mesh
from rfasim.outcome import zone_measures, zone_surface
from rfasim.preview.grid import Grid
from rfasim.preview.growth import Growth
from rfasim.preview.levels import Level, at_level, pierced_as_lines, within_reach
from rfasim.preview.surfaces import file_name, patches
from rfasim.simulation import Simulation
from rfasim.solver.level_set import distances_between
from rfasim.summary import Exposure, nearest, structure_rows, summary_of
from rfasim.tables import add_row, strict_json
from rfasim.views import MARGIN_COLOURS, MARGIN_ENDS

Array = NDArray[np.float64]
MESH, LEVELS, SURFACE = "mesh.pickle", "levels", "zone.npy"
RESULT = "result"
FAR = 5e-3
"""a tumour that is farther [m] from the zone is not worth a second at a first look"""


class Cancelled(Exception):
    """Something else is wanted."""


@dataclass(frozen=True)
class Job:
    """A case to run. ``case``: plain data; ``folder``: where files for the page go; ``models``: the damage models that
    are wanted, the one to show while it runs first."""

    run: int
    side: str
    level: Level
    case: dict[str, Any]
    base: str
    folder: str
    models: tuple[str, ...] = tuple(CRITERIA)
    against: str | None = None
    """folder of the coarse run that this one is to be compared with"""


@dataclass(frozen=True)
class Look:
    """A scene to prepare."""

    case: dict[str, Any]
    base: str
    folder: str
    scan: str | None = None


@dataclass(frozen=True)
class Inspect:
    """A file somebody gave: what is it?"""

    path: str


@dataclass(frozen=True)
class Band:
    """Some of the runs of an uncertainty study."""

    run: int
    case: dict[str, Any]
    base: str
    runs: tuple[int, ...]
    of: int


Send = Callable[[dict[str, Any], bytes | None], None]


def serve(pipe: Connection) -> None:
    """Do one job after another until the other end closes."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which closes the pipe

    def send(event: dict[str, Any], data: bytes | None = None) -> None:
        pipe.send((event, data))

    def check() -> None:
        if pipe.poll():
            raise Cancelled

    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        if job is None:  # only ended what was being done
            continue
        try:
            do(job, send, check)
        except Cancelled:  # whoever wanted something else knows
            continue
        except (EOFError, BrokenPipeError):
            return
        except (InputError, RunError) as error:
            send({"event": "failed", "message": str(error), **_where(job)}, None)
        except MemoryError:
            send({"event": "failed", "message": "there is not enough memory for this", **_where(job)}, None)
        except Exception as error:  # the page goes on, whatever it was
            traceback.print_exc()
            told = f"unexpected {type(error).__name__}: {error} (a mistake in rfasim)"
            send({"event": "failed", "message": told, **_where(job)}, None)


def _where(job: Any) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("run", "side", "level") if hasattr(job, name)} | {
        "job": type(job).__name__
    }


def do(job: Any, send: Send, check: Callable[[], None]) -> None:
    """Do a job."""
    if isinstance(job, Job):
        run(job, send, check)
    elif isinstance(job, Band):
        band(job, send, check)
    elif isinstance(job, Look):
        from rfasim.preview.scene import make_scene

        scan = None if job.scan is None else Path(job.scan)
        send({"event": "scene", **make_scene(case_from_dict(job.case), Path(job.base), Path(job.folder), scan)}, None)
    elif isinstance(job, Inspect):
        from rfasim.preview.uploads import inspect

        send({"event": "inspected", **inspect(Path(job.path))}, None)


# ------------------------------------------------------------------------------------------------------------ a run


def run(job: Job, send: Send, check: Callable[[], None]) -> None:
    """Run a case at its level; frames, voxels and numbers as they come."""
    started = time.monotonic()
    base, folder = Path(job.base), Path(job.folder)
    asked = case_from_dict(job.case)
    case = pierced_as_lines(within_reach(at_level(asked, job.level), base), base)
    check()
    mesh = mesh_of(case, base)
    check()
    domain = build_domain(case, base, mesh)
    check()
    simulation = Simulation(case, base, domain)
    mesh_seconds = time.monotonic() - started
    where: dict[str, Any] = {"run": job.run, "side": job.side, "level": job.level}
    shutil.rmtree(folder, ignore_errors=True)
    (folder / LEVELS).mkdir(parents=True)
    (folder / MESH).write_bytes(pickle.dumps(mesh))
    grid = Grid.around(mesh.points[np.concatenate(domain.contacts)])
    growth = Growth(mesh, grid)
    kept = _Kept(folder, simulation, base, mesh_seconds, started, fine=job.level == "fine")
    model, duration = job.models[0], case.generator.duration
    told = 0.0
    with kept:
        for frame in simulation.frames():
            check()
            kept.add(frame)
            if frame.output or time.monotonic() - told > 0.25:
                told = time.monotonic()
                send({"event": "frame", **where, **_reading(frame), "share": min(frame.time / duration, 1.0)}, None)
            if frame.output and growth.add(frame.time, measure(model, frame.damage)):
                send(_zone(where, model, frame.time, grid), growth.bytes())
        last = kept.last
        if not last.output:
            kept.keep(last)
            if growth.add(last.time, measure(model, last.damage)):
                send(_zone(where, model, last.time, grid), growth.bytes())
        check()
        summary, files = quick_numbers(simulation, kept.columns, folder, thorough=job.level == "fine")
        done = {"event": "done", **where, "seconds": round(time.monotonic() - started, 2)}
        done |= told_of(summary, case, asked, domain)
        done["history"] = kept.history()
        done["difference"] = difference(job.against, np.load(folder / SURFACE))
        done["tumours"] = files
        done["end_s"] = last.time
        send(strict_json(done), None)
        check()
        kept.finish()  # for the report, which can wait
    for name in job.models[1:]:
        check()
        other = Growth(mesh, grid)
        for at, values in zip(kept.times, kept.damages, strict=True):
            other.add(at, measure(name, values))
        send(_zone(where, name, last.time, grid), other.bytes())


class _Kept:
    """What is kept of a run: levels for surfaces; of a fine one the whole result, for the report."""

    def __init__(self, folder: Path, simulation: Simulation, base: Path, mesh_seconds: float, started: float, *,
                 fine: bool) -> None:  # fmt: skip
        self.folder, self.simulation, self.base, self.fine = folder, simulation, base, fine
        self.mesh_seconds, self.started = mesh_seconds, started
        self.times: list[float] = []
        self.damages: list[Mapping[str, Array]] = []
        self.columns: dict[str, list[Any]] = {}
        self.probes: dict[str, list[Any]] = {}
        self.writer: Any = None
        self.last: Frame

    def __enter__(self) -> _Kept:
        if self.fine:
            from rfasim.result import ResultWriter
            from rfasim.summary import result_meta

            case, domain = self.simulation.case, self.simulation.domain
            out = self.folder / RESULT
            resolved = case_yaml(rebased(case, self.base, out))
            self.writer = ResultWriter(out, resolved, domain.mesh, result_meta(case, domain),
                                       cell_data={"tissue": domain.cell_tissue})  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def add(self, frame: Frame) -> None:
        self.last = frame
        if self.writer is not None:
            self.writer.add(frame)
        add_row(self.columns, frame.readings())
        add_row(self.probes, frame.temperatures())
        if frame.output:
            self.keep(frame)

    def keep(self, frame: Frame) -> None:
        values = {name: np.array(one) for name, one in frame.damage.items()}
        levels = np.array([measure(name, values) for name in CRITERIA], np.float32)
        np.save(self.folder / LEVELS / f"{len(self.times):04d}.npy", levels)
        self.times.append(frame.time)
        self.damages.append(values)
        times = self.folder / LEVELS / "times.npy"
        np.save(times.with_suffix(".part.npy"), np.array(self.times))
        times.with_suffix(".part.npy").replace(times)

    def history(self) -> dict[str, list[float]]:
        names = ("time_s", "power_w", "impedance_ohm", "max_temperature_c", "zone_volume_ml")
        return {name: [round(float(value), 4) for value in self.columns[name]] for name in names}

    def finish(self) -> None:
        """Write the whole result of a fine run."""
        if self.writer is not None:
            found = summary_of(
                self.simulation, self.columns, self.probes, self.last, mesh_seconds=self.mesh_seconds,
                wall_seconds=time.monotonic() - self.started,
            )  # fmt: skip
            self.writer.finish(found)


def quick_numbers(simulation: Simulation, columns: Mapping[str, list[Any]], folder: Path, *,
                  thorough: bool) -> tuple[dict[str, Any], list[dict[str, str]]]:  # fmt: skip
    """The parts of ``summary.json`` that the page shows, and the tumours' surfaces in the colours of their margin.

    A look that is not ``thorough`` leaves out tumours that are far from the zone, and organs at risk.
    """
    case, mesh, domain = simulation.case, simulation.mesh, simulation.domain
    level = np.asarray(simulation.state.damage.measure(case.zone.criterion))
    surface = zone_surface(mesh, level)
    np.save(folder / SURFACE, surface)
    device = case.electrodes[0]
    tumours, files = [], []
    for number, (path, shape) in enumerate(domain.tumours.items()):
        low, high = (np.asarray(end) for end in shape.bounds())
        away = np.maximum(0.0, np.maximum(low - surface.reshape(-1, 3), surface.reshape(-1, 3) - high))
        if number and not thorough and (len(surface) == 0 or np.linalg.norm(away, axis=1).min() > FAR):
            continue
        distance = shape.distance(mesh.points)
        margins = margin_map(mesh, level, distance)
        row = tumour_measures(mesh, level, distance, margins=margins)
        at = row["minimal_margin_at_mm"]
        beside = None if at is None else nearest(simulation, 1e-3 * np.array([at]))
        tumours.append({"name": case.every_tumour[path].name or path, **row, "minimal_margin_near": beside})
        if margins is not None:
            name = file_name(path)
            parts = banded(margins, [1e-3 * end for end in MARGIN_ENDS[1:-1]])
            (folder / f"margin_{name}.mz3").write_bytes(patches(parts, MARGIN_COLOURS))
            files.append({"id": name, "file": f"margin_{name}.mz3"})
    told: dict[str, Any] = {
        "zone": zone_measures(mesh, level, device.tip_point, device.axis), "tumours": tumours,
        "vessels": [] if simulation.blood is None else list(simulation.blood.rows().values()),
        "electrical": {
            "delivered_energy_j": float(columns["electrical_j"][-1]),
            "roll_off_time_s": simulation.state.memory.roll_off_time,
        },
    }  # fmt: skip
    if thorough:
        told["structures"] = list(structure_rows(simulation, Exposure(simulation)))
    return told, files


def _reading(frame: Frame) -> dict[str, Any]:
    return {
        "time_s": round(frame.time, 2), "power_w": round(frame.power, 3),
        "impedance_ohm": round(abs(frame.impedance), 3), "max_temperature_c": round(frame.max_temperature, 2),
        "zone_volume_ml": round(frame.zone_volume * 1e6, 4),
    }  # fmt: skip


def _zone(where: dict[str, Any], model: str, at: float, grid: Grid) -> dict[str, Any]:
    return {"event": "zone", **where, "model": model, "time_s": round(at, 2), **grid.told()}


def told_of(summary: Mapping[str, Any], case: Case, asked: Case, domain: Domain) -> dict[str, Any]:
    """Numbers and sentences for the page."""
    from rfasim.preview.words import numbers_of, sentences_of, verdict_of

    left_out = [one.name or "a tumour" for one in asked.tumours if one not in case.tumours]
    middles = {
        case.every_tumour[path].name or path: 0.5 * np.sum(shape.bounds(), axis=0)
        for path, shape in domain.tumours.items()
    }
    crossed = sorted({k for k, _ in crossings(asked, domain.vessels)})
    pierced = [(domain.vessels[k].name, domain.vessels[k].diameter) for k in crossed]
    return {
        "numbers": numbers_of(summary),
        "words": sentences_of(summary, middles, left_out, pierced),
        "verdict": verdict_of(summary),
    }


def difference(against: str | None, surface: Array) -> dict[str, float] | None:
    """How far this zone is from the coarse one: distances between the surfaces, both ways, and volumes."""
    path = None if against is None else Path(against) / SURFACE
    if path is None or not path.is_file() or len(surface) == 0:
        return None
    other = np.load(path)
    if len(other) == 0:
        return None
    away, size = (np.concatenate(both) for both in distances_between(surface, other))
    volumes = [float(np.einsum("ij,ij->i", s[:, 0], np.cross(s[:, 1], s[:, 2])).sum() / 6) for s in (surface, other)]
    return {
        "mean_mm": round(1e3 * float(np.average(away, weights=size)), 3),
        "largest_mm": round(1e3 * float(away.max()), 3),
        "volume_percent": round(100 * (volumes[0] / volumes[1] - 1), 2),
    }


def surface_at(folder: Path, model: str, at: float) -> Array:
    """Triangles of a run's zone at a time [s], by a damage model, from its files; none before there is one."""
    times = np.load(folder / LEVELS / "times.npy")
    number = int(np.searchsorted(times, at + 1e-6)) - 1
    if number < 0:
        return np.zeros((0, 3, 3))
    levels = np.load(folder / LEVELS / f"{number:04d}.npy")
    mesh = _mesh_of(str(folder), (folder / MESH).stat().st_mtime_ns)
    return zone_surface(mesh, levels[list(CRITERIA).index(model)].astype(np.float64))


_meshes: dict[tuple[str, int], Mesh] = {}


def _mesh_of(folder: str, changed: int) -> Mesh:
    """The mesh that one of our own processes wrote."""
    key = (folder, changed)
    if key not in _meshes:
        while len(_meshes) >= 8:
            _meshes.pop(next(iter(_meshes)))
        _meshes[key] = pickle.loads((Path(folder) / MESH).read_bytes())
    return _meshes[key]


# ------------------------------------------------------------------------------------------------------ uncertainty


def band(job: Band, send: Send, check: Callable[[], None]) -> None:
    """Coarse runs over the literature's ranges of the tissues: the zone of each on voxels."""
    from rfasim.sweep.uncertainty import uncertainty_study

    base = Path(job.base)
    case = within_reach(case_from_dict(job.case), base)
    study = uncertainty_study(case, base, job.of, 40.0)
    grid: Grid | None = None
    mesh: Mesh | None = None
    for number in job.runs:
        check()
        _, drawn = study.run_case(number)
        drawn = pierced_as_lines(at_level(drawn, "coarse"), base)
        mesh = mesh_of(drawn, base) if mesh is None else mesh  # one geometry
        domain = build_domain(drawn, base, mesh)
        simulation = Simulation(drawn, base, domain)
        grid = grid or Grid.around(mesh.points[np.concatenate(domain.contacts)])
        for frame in _checked(simulation.frames(), check):
            last = frame
        growth = Growth(mesh, grid)
        growth.add(last.time, np.asarray(simulation.state.damage.measure(drawn.zone.criterion)))
        event = {"event": "band_run", "run": job.run, "number": number, "volume_ml": last.zone_volume * 1e6}
        send(event | grid.told(), (growth.died <= last.time + 1).astype(np.uint8).tobytes(order="F"))


def _checked(frames: Iterator[Frame], check: Callable[[], None]) -> Iterator[Frame]:
    for frame in frames:
        check()
        yield frame

