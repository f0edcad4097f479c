"""Meshes by what they are of: runs of one geometry share one, in memory and in a folder, between processes too."""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from rfasim import __version__
from rfasim.case import Case, file_groups
from rfasim.checkpoint import locked, write_atomically
from rfasim.domain import mesh_of
from rfasim.errors import InputError, RunError
from rfasim.mesh import Mesh

# What a case says that its mesh does not hang on. What is not named here counts: a new field costs time at most.
_BESIDE_THE_MESH = (
    "name", "description", "frequency", "outside_band", "generator", "background", "tissues", "body_temperature",
    "initial_temperature", "blood", "saline", "electric", "boiling", "perfusion_stop", "zone", "time", "solver",
    "probes", "output",
)  # fmt: skip
_KEPT = 4
"""meshes kept in memory"""
_memory: OrderedDict[str, Mesh] = OrderedDict()


def mesh_key(case: Case, base: Path | None) -> str:
    """Hash of all that the mesh of a case hangs on: geometry, sizes, content of files, version of the program."""
    data = {key: value for key, value in case.model_dump(mode="json").items() if key not in _BESIDE_THE_MESH}
    data["circulation"] = data["circulation"]["resolve_from"]
    for device in data["electrodes"]:
        device["thermal"] = device["thermal"]["kind"]
    for vessel in data["vessels"]:
        for name in ("flow", "velocity", "temperature", "tissue", "name", "kind"):
            del vessel[name]
    for name in ("electric_boundary", "thermal_boundary"):
        del data["domain"][name]
    for group in file_groups(data):
        group["file"] = _content((base or Path()) / group["file"])
    return hashlib.sha256(json.dumps([data, __version__], sort_keys=True).encode()).hexdigest()[:32]


def _content(path: Path) -> str:
    """Hash of what a file, or the files of a folder, hold."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    try:
        return "".join(_hash(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file())
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from None


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_mesh(case: Case, base: Path | None, folder: Path) -> Mesh:
    """The mesh of a case: from memory, from ``folder``, or made and put there. Of many processes one makes it."""
    key = mesh_key(case, base)
    mesh = _memory.get(key)
    if mesh is None:
        path = folder / f"{key}.npz"
        mesh = _read(path)
        if mesh is None:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / f"{key}.lock", shared=False, wait=True):
                mesh = _read(path)  # another process may have made it meanwhile
                if mesh is None:
                    mesh = mesh_of(case, base)
                    _try_to_write(path, mesh)
        _memory[key] = mesh
    _memory.move_to_end(key)
    while len(_memory) > _KEPT:
        _memory.popitem(last=False)
    return mesh


def _try_to_write(path: Path, mesh: Mesh) -> None:
    try:
        write_atomically(path, lambda temporary: _write(temporary, mesh), durable=False)
    except RunError:
        return  # no room: it is made again where it is needed


def _write(path: Path, mesh: Mesh) -> None:
    about = {"regions": mesh.region_names, "facets": list(mesh.facets), "axisymmetric": mesh.axisymmetric}
    arrays: dict[str, Any] = {f"facets_{k}": facets for k, facets in enumerate(mesh.facets.values())}
    with path.open("wb") as file:
        np.savez(file, points=mesh.points, cells=mesh.cells, regions=mesh.regions, about=json.dumps(about), **arrays)


def _read(path: Path) -> Mesh | None:
    """The mesh in a file; None where there is none, or a broken one."""
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            return Mesh(
                points=data["points"], cells=data["cells"], regions=data["regions"],
                region_names=tuple(about["regions"]),
                facets={name: data[f"facets_{k}"] for k, name in enumerate(about["facets"])},
                axisymmetric=about["axisymmetric"],
            )  # fmt: skip
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
