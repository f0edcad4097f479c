"""What is kept of a run beside its row: the zone on voxels, fields, readings.

    zones.zarr      (runs, ...) 1 in the zone, 0 outside, 255 where nothing is known; a chunk a run
    fields/N.zarr   nodes, cells, temperature and zone level at the end of run N
    history/N.parquet
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.rasters import raster
from rfasim.checkpoint import disk_errors
from rfasim.errors import InputError
from rfasim.outcome import tissue_cells
from rfasim.solver.location import Locator
from rfasim.sweep.study import Keep, Study, Zones
from rfasim.tables import write_table

if TYPE_CHECKING:
    from rfasim.simulation import Simulation

ZONES, FIELDS, HISTORY = "zones.zarr", "fields", "history"
UNKNOWN = 255
Array = NDArray[np.float64]


def zarr() -> Any:
    """The library; raises InputError where it is not installed."""
    try:
        import zarr
    except ImportError:
        raise InputError("keep", "zones and fields need zarr; install it with: pip install 'rfasim[sweep]'") from None
    return zarr


def voxel_axes(zones: Zones, case: Any) -> tuple[Array, ...]:
    """The middles of the voxels along each axis [m]: x, y, z; r and z of an axisymmetric case."""
    n = max(round(zones.size / zones.spacing), 1)
    steps = np.asarray((np.arange(n) - (n - 1) / 2) * zones.spacing, np.float64)
    x, y, z = case.domain_centre
    if case.domain.axisymmetric:
        radii = np.asarray((np.arange((n + 1) // 2) + 0.5) * zones.spacing, np.float64)
        return radii, z + steps
    return x + steps, y + steps, z + steps


def prepare(study: Study, folder: Path) -> None:
    """Make room for what will be kept, before the first run."""
    keep = study.keep
    if keep.zones is None and not keep.fields:
        return
    library = zarr()
    if keep.zones is not None:
        axes = voxel_axes(keep.zones, study.middle)
        shape = tuple(map(len, axes))
        with disk_errors(folder / ZONES):
            array = library.create_array(
                folder / ZONES, shape=(study.n_runs, *shape), chunks=(1, *shape), dtype="uint8", fill_value=UNKNOWN,
                overwrite=True, dimension_names=("run", *("xyz" if len(axes) == 3 else "rz")),
            )  # fmt: skip
            array.attrs.update({"axes_m": [axis.tolist() for axis in axes], "frame": "LPS"})


def keep(what: Keep, folder: Path, run: int, simulation: Simulation, history: dict[str, list[Any]]) -> None:
    """Keep what is asked of a run."""
    level = np.asarray(simulation.state.damage.measure(simulation.case.zone.criterion))
    if what.zones is not None:
        with disk_errors(folder / ZONES):
            array = zarr().open_array(folder / ZONES, mode="r+")
            array[run] = zone_on_voxels(simulation, level, what.zones)
    if what.fields:
        path, part = folder / FIELDS / f"{run}.zarr", folder / FIELDS / f"{run}.part"
        with disk_errors(path):
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(path, ignore_errors=True)
            group = zarr().create_group(part, overwrite=True)
            mesh = simulation.mesh
            for name, values in (
                ("points_m", mesh.points), ("cells", mesh.cells), ("temperature_c", simulation.state.temperature),
                ("zone_level", level),
            ):  # fmt: skip
                small = values.astype(np.float32) if values.dtype == np.float64 else values
                group.create_array(name, data=small)
            part.replace(path)
    if what.history:
        path = folder / HISTORY / f"{run}.parquet"
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, history)


def zone_on_voxels(simulation: Simulation, level: Array, zones: Zones) -> NDArray[np.uint8]:
    """1 where the middle of a voxel is in the zone, 0 in living tissue, UNKNOWN in devices and outside the domain."""
    axes, mesh = voxel_axes(zones, simulation.case), simulation.mesh
    tissue = tissue_cells(mesh)
    if mesh.axisymmetric:
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        cells, weights = Locator(mesh.points, mesh.cells, tissue)(points)
        there = np.where(cells >= 0, np.einsum("ij,ij->i", level[mesh.cells[cells]], weights), np.nan)
        values = there.reshape([len(axis) for axis in axes])
    else:
        to_world = np.diag([zones.spacing] * 3 + [1.0])
        to_world[:3, 3] = [axis[0] for axis in axes]
        values = raster(mesh.points, mesh.cells[tissue], level, tuple(map(len, axes)), to_world, np.nan)
    return np.where(np.isnan(values), UNKNOWN, values >= 0).astype(np.uint8)
