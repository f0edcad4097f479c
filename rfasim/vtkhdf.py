"""Fields over time in one VTKHDF file, which ParaView and pyvista open with its time steps.

The geometry is stored once; each step only adds its nodal arrays and an offset into them (VTKHDF 2.0, type
``UnstructuredGrid``, group ``Steps``: https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/).
What VTK has no place for (named facets, region names, whether the mesh is axisymmetric) stands beside it in
the group ``rfasim``, so that the mesh comes back whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rfasim.mesh import Mesh

MOST_PACKED = 1040  # deflate packs no better than 1032 : 1
VTK_TRIANGLE, VTK_TETRA = 5, 10


class _Disk(io.FileIO):
    """A file that HDF5 can always write to; the first failure of the disk is kept in ``error``.

    HDF5 crashes the process (segmentation fault) when a write fails while it closes a file. So from the first
    failure on, what it writes is held in memory instead, and the caller raises ``error`` when HDF5 is done.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None
        self._held: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        start, done = self.tell(), 0
        while self.error is None and done < len(view):  # a disk that fills up may take a part
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._held.append((start + done, bytes(view[done:])))
            self.seek(start + len(view))
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        start = self.tell()
        got = super().readinto(view) or 0
        if self._held:
            view[got:] = bytes(len(view) - got)
            got = len(view)
            for offset, data in self._held:
                low, high = max(offset, start), min(offset + len(data), start + len(view))
                if low < high:
                    view[low - start : high - start] = data[low - offset : high - offset]
            self.seek(start + got)
        return got

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def write_vtkhdf(
    path: Path,
    mesh: Mesh,
    cell_data: Mapping[str, NDArray[Any]],
    times: Sequence[float],
    names: Sequence[str],
    frames: Iterator[NDArray[np.float32]],
    meta: dict[str, Any],
) -> None:
    """Write ``frames`` (one array ``(len(names), n_nodes)`` for each of ``times``) and the mesh to ``path``.

    Axisymmetric points (r, z) are written as (r, 0, z). One frame is in memory at a time. Raises OSError
    when the disk is full; the caller writes under a temporary name.
    """
    with _Disk(path) as disk:
        _write(disk, mesh, cell_data, times, names, frames, meta)
        if disk.error is not None:
            raise disk.error


def _write(
    disk: _Disk,
    mesh: Mesh,
    cell_data: Mapping[str, NDArray[Any]],
    times: Sequence[float],
    names: Sequence[str],
    frames: Iterator[NDArray[np.float32]],
    meta: dict[str, Any],
) -> None:
    import h5py

    n_nodes, dim = mesh.points.shape
    n_cells = len(mesh.cells)
    points = np.asarray(mesh.points, dtype=np.float64)
    if dim == 2:
        points = np.column_stack([points[:, 0], np.zeros(n_nodes), points[:, 1]])
    # a step's array is one chunk: compressed by itself, read by itself
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    with h5py.File(disk, "w", libver=("earliest", "v110")) as file:
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array([2, 0], dtype=np.int64)
        root.attrs.create("Type", b"UnstructuredGrid", dtype="S16")
        root["NumberOfPoints"] = np.array([n_nodes], dtype=np.int64)
        root["NumberOfCells"] = np.array([n_cells], dtype=np.int64)
        root["NumberOfConnectivityIds"] = np.array([mesh.cells.size], dtype=np.int64)
        root.create_dataset("Points", data=points, **packed)
        root.create_dataset("Connectivity", data=mesh.cells.ravel().astype(np.int64), **packed)
        root.create_dataset("Offsets", data=np.arange(n_cells + 1, dtype=np.int64) * (dim + 1), **packed)
        kind = VTK_TRIANGLE if dim == 2 else VTK_TETRA
        root.create_dataset("Types", data=np.full(n_cells, kind, dtype=np.uint8), **packed)
        cells = root.create_group("CellData")
        for name, values in cell_data.items():
            kept = np.float32 if np.asarray(values).dtype.kind == "f" else np.int32
            cells.create_dataset(name, data=np.asarray(values, dtype=kept), **packed)

        point_data = root.create_group("PointData")
        for name in names:
            point_data.create_dataset(
                name, shape=(len(times) * n_nodes,), dtype=np.float32, chunks=(n_nodes,), **packed
            )
        for i, frame in enumerate(frames):
            for name, values in zip(names, frame, strict=True):
                point_data[name][i * n_nodes : (i + 1) * n_nodes] = values
            if disk.error is not None:
                return
        _write_steps(root, times, names, list(cell_data), n_nodes)

        ours = file.create_group("rfasim")
        ours["meta"] = json.dumps(meta)
        ours["axisymmetric"] = bool(mesh.axisymmetric)
        ours["region_names"] = json.dumps(list(mesh.region_names))
        facets = ours.create_group("facets")
        for i, (name, nodes) in enumerate(mesh.facets.items()):
            facets.create_dataset(str(i), data=np.asarray(nodes, dtype=np.uint32)).attrs["name"] = name
        file.flush()


def _write_steps(
    root: Any, times: Sequence[float], names: Sequence[str], cell_names: Sequence[str], n_nodes: int
) -> None:
    """Where each time step finds its data: the geometry always at 0, the nodal arrays one after the other."""
    n_steps = len(times)
    steps = root.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(n_steps)
    steps["Values"] = np.asarray(times, dtype=np.float64)
    zeros = np.zeros(n_steps, dtype=np.int64)
    steps["NumberOfParts"] = np.ones(n_steps, dtype=np.int64)
    steps["PartOffsets"] = zeros
    steps["PointOffsets"] = zeros
    steps["CellOffsets"] = zeros[:, None]
    steps["ConnectivityIdOffsets"] = zeros[:, None]
    offsets = steps.create_group("PointDataOffsets")
    for name in names:
        offsets[name] = np.arange(n_steps, dtype=np.int64) * n_nodes
    cell_offsets = steps.create_group("CellDataOffsets")
    for name in cell_names:
        cell_offsets[name] = zeros


def read_mesh(path: Path) -> tuple[Mesh, dict[str, NDArray[Any]], dict[str, Any]]:
    """The mesh, the values of its cells by name, and the ``meta`` that :func:`write_vtkhdf` stored."""
    import h5py

    from rfasim.mesh import Mesh

    with h5py.File(path, "r") as file:
        root, ours = file["VTKHDF"], file["rfasim"]
        _check_sizes(file)
        axisymmetric = bool(ours["axisymmetric"][()])
        points = root["Points"][:]
        n_corners = 3 if root["Types"][0] == VTK_TRIANGLE else 4
        mesh = Mesh(
            points=np.ascontiguousarray(points[:, [0, 2]]) if n_corners == 3 else points,
            cells=root["Connectivity"][:].astype(np.uint32).reshape(-1, n_corners),
            regions=root["CellData/region"][:],
            region_names=tuple(json.loads(ours["region_names"].asstr()[()])),
            facets={
                ours["facets"][key].attrs["name"]: ours["facets"][key][:]
                for key in sorted(ours["facets"], key=int)
            },
            axisymmetric=axisymmetric,
        )
        cell_data = {name: values[:] for name, values in root["CellData"].items()}
        if any(len(values) != mesh.n_cells for values in cell_data.values()):
            raise ValueError("its cells have not as many values as there are cells")
        return mesh, cell_data, json.loads(ours["meta"].asstr()[()])


def _check_sizes(file: Any) -> None:
    """Raise ValueError for arrays that announce far more than the file holds, before anything is made room for."""
    import h5py

    def check(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset) and found.nbytes > 1_000_000 + MOST_PACKED * found.id.get_storage_size():
            raise ValueError(f"its array '{name}' announces more than the file holds")

    file.visititems(check)


def read_times(path: Path) -> tuple[NDArray[np.float64], list[str]]:
    """The output times (s) and the names of the nodal fields."""
    import h5py

    with h5py.File(path, "r") as file:
        times, fields = file["VTKHDF/Steps/Values"][:], file["VTKHDF/PointData"]
        if times.dtype.kind != "f" or not np.isfinite(times).all():
            raise ValueError("its output times are no numbers")
        expected = (len(times) * int(file["VTKHDF/NumberOfPoints"][0]),)
        if wrong := [name for name in fields if fields[name].shape != expected]:
            raise ValueError(f"its field '{wrong[0]}' has not a value for each node and time")
        return times, list(fields)


def read_field(path: Path, name: str, index: int) -> NDArray[np.float32]:
    """Nodal values ``(n_nodes,)`` of ``name`` at output time ``index``."""
    import h5py

    with h5py.File(path, "r") as file:
        root = file["VTKHDF"]
        n_nodes = int(root["NumberOfPoints"][0])
        start = int(root["Steps/PointDataOffsets"][name][index])
        values: NDArray[np.float32] = root["PointData"][name][start : start + n_nodes]
        return values
