"""The result folder: written while a run goes on, finished in one move, read back.

While a run goes on everything lies in ``DIR/.partial``; an earlier result in ``DIR`` stays whole until the
new one is complete on the disk. Then the files are renamed into place, ``summary.json`` last: its presence
means finished.

===================  =====================================================================================
``summary.json``     the numbers, units in the keys; ``status``: complete, partial (stopped by hand) or failed
``history.parquet``  one row a step; the unit of each column in its metadata
``probes.parquet``   temperature at requested points, one row a step
``fields.vtkhdf``    nodal fields at the output times, for ParaView, pyvista and :class:`Result`
``case.yaml``        the resolved case
===================  =====================================================================================
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rfasim.checkpoint import (
    disk_errors,
    lock,
    read_checkpoint,
    sync,
    write_atomically,
    write_bytes,
    write_checkpoint,
)
from rfasim.errors import InputError, RunError
from rfasim.tables import Columns, add_row, read_table, strict_json, write_table
from rfasim.vtkhdf import read_field, read_mesh, read_times, write_vtkhdf

if TYPE_CHECKING:
    from rfasim.frame import Frame
    from rfasim.mesh import Mesh

PARTIAL = ".partial"
PICTURES = ("section.png", "zone3d.png", "history.png")
_FILES = ("case.yaml", "history.parquet", "probes.parquet", "fields.vtkhdf")
_STATUS = ("complete", "partial", "failed")


def zone_level(criterion: str, damage: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Nodal field of the damage criterion, >= 0 where tissue is dead, smooth across the border.

    ``damage`` holds the values by model name as frames and result folders do; see :func:`rfasim.damage.measure`.
    """
    from rfasim.damage import measure  # compiled kernels: loaded when used

    return measure(criterion, damage)


def _fields(frame: Frame, criterion: str | None) -> dict[str, NDArray[np.float32]]:
    """What goes into ``fields.vtkhdf``: name -> nodal values; a complex potential as two parts."""
    fields: dict[str, NDArray[Any]] = {
        "temperature_c": frame.temperature,
        "potential_v": frame.potential.real,
    }
    if np.iscomplexobj(frame.potential):
        fields["potential_imaginary_v"] = frame.potential.imag
    fields["water_lost"] = frame.water_lost
    if frame.concentration is not None and frame.pore_pressure is not None:
        fields |= {"concentration_g_l": frame.concentration, "pore_pressure_kpa": frame.pore_pressure * 1e-3}
    fields |= {f"damage_{name}": values for name, values in frame.damage.items()}
    if criterion is not None:
        level = zone_level(criterion, frame.damage)
        fields |= {"zone": level >= 0.0, "zone_level": np.clip(level, -1e3, 1e3)}
    most = float(np.finfo(np.float32).max)
    return {name: np.clip(values, -most, most).astype(np.float32) for name, values in fields.items()}


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on: the loop's own ``state`` and what had been written by then."""

    state: dict[str, Any]
    case_yaml: str
    mesh_sha256: str
    number: int
    history: Columns
    probes: Columns
    output_times: list[float]
    fields: list[str]

    @property
    def time(self) -> float:
        """Simulated time (s) at the checkpoint."""
        return float(self.history["time_s"][-1]) if self.history.get("time_s") else 0.0


def load_checkpoint(folder: str | Path) -> Checkpoint | None:
    """The newest usable checkpoint of the unfinished run in ``folder``; None where there is none.

    Raises RunError when checkpoint files are there but none is whole.
    """
    found = read_checkpoint(Path(folder) / PARTIAL)
    if found is None:
        return None
    number, stored = found
    own = stored.pop("rfasim")
    history, probes = (
        {name: stored.pop(f"{kind}/{name}").tolist() for name in own[kind]} for kind in ("history", "probes")
    )
    return Checkpoint(
        state=stored,
        case_yaml=own["case_yaml"],
        mesh_sha256=own["mesh_sha256"],
        number=number,
        history=history,
        probes=probes,
        output_times=own["output_times"],
        fields=own["fields"],
    )


class ResultWriter:
    """Takes the frames of a run and leaves a result folder; a kill at any moment leaves a run that can go on.

    ``meta`` (plain JSON) goes into ``fields.vtkhdf``; pictures use ``criterion`` (name of the damage
    criterion of the zone), ``title``, ``electrodes`` (list of ``{"name", "tip", "direction"}``, metres) and
    ``tissues`` (names for the cell data ``tissue``). ``cell_data``: further values of each cell,
    (n_cells,). With ``resume`` the frames after that checkpoint are forgotten. Raises RunError when the
    disk is full or another run is writing into the folder.

    >>> with ResultWriter(folder, case_yaml, mesh, meta) as writer:     # doctest: +SKIP
    ...     for frame in frames:
    ...         writer.add(frame)
    ...     writer.finish(summary)
    """

    def __init__(
        self,
        folder: str | Path,
        case_yaml: str,
        mesh: Mesh,
        meta: dict[str, Any] | None = None,
        resume: Checkpoint | None = None,
        cell_data: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.partial = self.folder / PARTIAL
        self.case_yaml, self.mesh, self.meta = case_yaml, mesh, dict(meta or {})
        self.cell_data = {"region": mesh.regions, **(cell_data or {})}
        self.history: Columns = {}
        self.probes: Columns = {}
        self.output_times: list[float] = []
        self.fields: list[str] = []
        self._number = 0
        self._last: Frame | None = None
        self._unsynced: list[Path] = []
        self._mesh_sha256 = mesh.sha256()
        with disk_errors(self.folder):
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.partial / "lock")
        if resume is not None:
            self._go_on_from(resume)
        keep = {self._spool(i).name for i in range(len(self.output_times))} | {"lock"}
        with disk_errors(self.partial):
            for path in self.partial.iterdir():
                if path.name not in keep and not (resume and path.name.startswith("checkpoint.")):
                    path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another run use the folder; what is in ``.partial`` stays."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _go_on_from(self, resume: Checkpoint) -> None:
        if resume.mesh_sha256 != self._mesh_sha256:
            raise RunError(
                f"{self.folder}: the mesh built now is not the one of the checkpoint (another version of "
                "rfasim or of its libraries?); start the run anew"
            )
        self._number = resume.number
        self.history = {name: list(values) for name, values in resume.history.items()}
        self.probes = {name: list(values) for name, values in resume.probes.items()}
        self.output_times, self.fields = list(resume.output_times), list(resume.fields)
        for i in range(len(self.output_times)):
            if not self._spool(i).exists():
                raise RunError(
                    f"{self._spool(i)}: this file of the unfinished run is gone; start the run anew"
                )

    def _spool(self, index: int) -> Path:
        return self.partial / f"frame_{index:06d}.npy"

    def add(self, frame: Frame) -> None:
        """Book one accepted step, and keep its fields when it is an output time."""
        for columns, values in ((self.history, frame.readings()), (self.probes, frame.temperatures())):
            if columns and columns.keys() != values.keys():
                raise ValueError(f"frames must hold the same readings: {list(values)} after {list(columns)}")
            add_row(columns, values)
        self._last = frame
        if frame.output:
            self._keep_fields(frame)

    def _keep_fields(self, frame: Frame) -> None:
        fields = _fields(frame, self.meta.get("criterion"))
        self.fields = self.fields or list(fields)
        if list(fields) != self.fields:
            raise ValueError(f"frames must hold the same fields: {list(fields)} after {self.fields}")
        path = self._spool(len(self.output_times))
        buffer = io.BytesIO()
        np.save(buffer, np.stack(list(fields.values())))
        # no view of the buffer: Python 3.12 crashes when it ends with one held by a failed write
        write_bytes(path, buffer.getvalue(), durable=False)  # synced at the next checkpoint
        self._unsynced.append(path)
        self.output_times.append(float(frame.time))

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Save ``state`` (arrays, numbers, strings) and all frames so far: a killed run goes on from here."""
        for path in self._unsynced:
            with disk_errors(path):
                sync(path)
        self._unsynced.clear()
        own = {
            "case_yaml": self.case_yaml,
            "mesh_sha256": self._mesh_sha256,
            "history": list(self.history),
            "probes": list(self.probes),
            "output_times": self.output_times,
            "fields": self.fields,
        }
        columns = {f"history/{name}": np.array(values) for name, values in self.history.items()}
        columns |= {f"probes/{name}": np.array(values) for name, values in self.probes.items()}
        write_checkpoint(self.partial, self._number + 1, {**state, **columns, "rfasim": own})
        self._number += 1

    def finish(self, summary: Mapping[str, Any], status: str = "complete") -> None:
        """Write the result, then move it into place; ``status`` is complete, partial or failed.

        A partial or failed run keeps its last checkpoint and can still go on from it. Raises RunError when
        the disk is full; then the folder still holds what it held before.
        """
        if status not in _STATUS:
            raise ValueError(f"status is one of {', '.join(_STATUS)}, not {status!r}")
        if self._last is not None and (not self.output_times or self.output_times[-1] != self._last.time):
            self._keep_fields(self._last)  # the state at the end is always kept
        ready = self.partial
        write_bytes(ready / "case.yaml", self.case_yaml.encode())
        write_table(ready / "history.parquet", self.history)
        write_table(ready / "probes.parquet", self.probes)
        frames = (np.load(self._spool(i)) for i in range(len(self.output_times)))
        write_atomically(
            ready / "fields.vtkhdf",
            lambda path: write_vtkhdf(
                path, self.mesh, self.cell_data, self.output_times, self.fields, frames, self.meta
            ),
        )
        text = json.dumps(strict_json({**summary, "status": status}), indent=2, allow_nan=False)
        write_bytes(ready / "summary.json", text.encode() + b"\n")
        with disk_errors(self.folder):
            # no summary while files of two runs could stand side by side
            for stale in ("summary.json", *PICTURES, "saline.png"):
                (self.folder / stale).unlink(missing_ok=True)
            for name in (*_FILES, "summary.json"):
                sync(self.folder)
                (ready / name).replace(self.folder / name)
            sync(self.folder)
        self.close()
        if status == "complete" or self._number == 0:
            shutil.rmtree(self.partial, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class Result:
    """A finished result folder: numbers, readings over time, and nodal fields at the output times.

    >>> result = Result.read("out")                                      # doctest: +SKIP
    >>> result.summary["zone"]["volume_ml"], result.history["power_w"]   # doctest: +SKIP
    >>> result.field("temperature_c", -1)                                # doctest: +SKIP
    """

    folder: Path
    summary: dict[str, Any]
    history: dict[str, NDArray[Any]]
    probes: dict[str, NDArray[Any]]
    units: dict[str, str]
    times: NDArray[np.float64]  # s, the output times
    field_names: list[str]
    mesh: Mesh
    cell_data: dict[str, NDArray[Any]]  # by name, (n_cells,); always ``region``
    meta: dict[str, Any]
    case_yaml: str

    @classmethod
    def read(cls, folder: str | Path) -> Result:
        """Read ``folder``; raises InputError when it holds no finished result or a damaged file."""
        folder = Path(folder)
        if not (folder / "summary.json").is_file():
            if (folder / PARTIAL).is_dir():
                raise InputError(str(folder), "holds a run that was cut off; let it go on with --resume")
            reason = (
                "is no result folder (there is no summary.json in it)"
                if folder.is_dir()
                else "does not exist"
            )
            raise InputError(str(folder), f"{reason}; give the folder that 'rfasim run --out' wrote")
        with damaged(folder / "summary.json"):
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            _check_summary(summary)
        with damaged(folder / "case.yaml"):
            case_yaml = (folder / "case.yaml").read_text(encoding="utf-8")
        with damaged(folder / "history.parquet"):
            history, units = read_table(folder / "history.parquet")
            _check_history(history)
        with damaged(folder / "probes.parquet"):
            probes, _ = read_table(folder / "probes.parquet")
        with damaged(folder / "fields.vtkhdf"):
            mesh, cell_data, meta = read_mesh(folder / "fields.vtkhdf")
            _check_meta(meta)
            times, names = read_times(folder / "fields.vtkhdf")
        return cls(folder, summary, history, probes, units, times, names, mesh, cell_data, meta, case_yaml)

    def field(self, name: str, time_index: int = -1) -> NDArray[np.float32]:
        """Nodal values ``(n_nodes,)`` of ``name`` (see ``field_names``) at ``times[time_index]``."""
        if name not in self.field_names:
            raise InputError(
                str(self.folder), f"there is no field '{name}'; there are {', '.join(self.field_names)}"
            )
        with damaged(self.folder / "fields.vtkhdf"):
            return read_field(self.folder / "fields.vtkhdf", name, time_index)


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Turns whatever meets a file of a result folder that is missing or damaged into one sentence (InputError)."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(str(path), "is missing from the result folder; run the case again") from None
    except InputError as error:
        raise InputError(str(path), f"is damaged ({error}); run the case again") from None
    except Exception as error:  # json, pyarrow and h5py raise what their parsing meets, memory errors included
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            str(path), f"cannot be read ({reason}); the file is damaged, run the case again"
        ) from None


def _check_summary(summary: Any) -> None:
    """Raise ValueError where the parts that pictures go by are something else; what a table needs, it finds out."""
    if not isinstance(summary, dict) or not isinstance(summary.get("case", ""), str):
        raise ValueError("it is no summary of a run")
    for name in ("run", "electrical", "thermal", "zone", "energy", "mesh"):
        if not isinstance(summary.get(name, {}), dict):
            raise ValueError(f"its part '{name}' is no group of numbers")
    events = summary.get("electrical", {}).get("events") or []
    if not all(isinstance(event, dict) and _is_number(event.get("time_s")) and "reason" in event for event in events):
        raise ValueError("its events have no times")
    if not isinstance(summary.get("zone", {}).get("volume_ml", 0.0), (int, float, type(None))):
        raise ValueError("its zone has no volume")


def _check_history(history: Mapping[str, NDArray[Any]]) -> None:
    """Raise ValueError where a column of readings holds none, or time stands still."""
    words = ("limited_by", "generator_phase")
    for name, values in history.items():
        if name not in words and values.dtype.kind not in "iufb":
            raise ValueError(f"its column '{name}' holds no numbers")
    times = history.get("time_s")
    if history and (times is None or not np.isfinite(times).all() or (np.diff(times) <= 0).any()):
        raise ValueError("its times do not go on from row to row")


def _check_meta(meta: Any) -> None:
    """Raise ValueError where electrodes or vessels, as pictures need them, are not where they should be."""
    if not isinstance(meta, dict):
        raise ValueError("it does not say what the run was of")
    for group in ("electrodes", "vessels", "tissues"):
        if not isinstance(meta.get(group, []), list):
            raise ValueError(f"its {group} are no list")
    if not all(isinstance(name, str) for name in meta.get("tissues", [])):
        raise ValueError("its tissues have no names")
    for electrode in meta.get("electrodes", []):
        places = [np.asarray(electrode[key], float) for key in ("tip", "direction") if key in electrode]
        if not all(place.shape == (3,) and np.isfinite(place).all() for place in places):
            raise ValueError("its electrodes are nowhere")
        if "direction" in electrode and not np.linalg.norm(electrode["direction"]) > 0:
            raise ValueError("its electrodes point nowhere")
    for vessel in meta.get("vessels", []):
        line = np.asarray(vessel["points"], float)
        if line.ndim != 2 or line.shape[1] != 3 or not np.isfinite(line).all() or not _is_number(vessel["diameter"]):
            raise ValueError("its vessels are nowhere")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
