"""The ablation zone in space around the device, by VTK in a child process or else by matplotlib.

VTK ends the process with a segmentation fault where the machine has no GL library, so it never runs in this process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.section import _device_facets, electrode_axis, parts_of_cells
from rfasim.slicing import Floats, Indices, cut, revolve

if TYPE_CHECKING:
    from rfasim.result import Result

Surface = tuple[Floats, Indices]  # points (n, 3) in mm, triangles (k, 3)
COLOURS = {
    "zone": "#e4572e", "contact": "#dfe3e6", "insulation": "#3a4148", "vessels": "#4a90d9", "tumour": "#2a9d6f",
}  # fmt: skip
OPACITY = {"zone": 0.5, "contact": 1.0, "insulation": 1.0, "vessels": 0.9, "tumour": 0.45}
LIBRARIES = (("libEGL.so.1", "vtkEGLRenderWindow"), ("libOSMesa.so.8", "vtkOSOpenGLRenderWindow"),
             ("libOSMesa.so.6", "vtkOSOpenGLRenderWindow"))  # fmt: skip
INSTALL_GL = "apt-get install libegl1 libgl1-mesa-dri"
INSTALL_PYVISTA = "pip install 'rfasim[viz]'"


def render_window() -> str | None:
    """The VTK window class that works here without a screen; '' where VTK needs no help, None where it crashes."""
    if not sys.platform.startswith("linux"):
        return ""
    for library, window in LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return window
    return None


def surfaces_of(result: Result) -> dict[str, Surface]:
    """The surfaces to draw, by name, in mm from the tip of the first electrode; axisymmetric ones revolved."""
    mesh = result.mesh
    tip, direction = electrode_axis(result)
    points = 1e3 * (mesh.points - (np.array([0.0, tip[-1]]) if mesh.axisymmetric else tip))
    if mesh.axisymmetric and direction[-1] > 0:
        points = points * [1.0, -1.0]

    def surface(where: Floats, pieces: NDArray[Any]) -> Surface:
        if mesh.axisymmetric:
            return revolve(where, pieces)
        used, new = np.unique(pieces, return_inverse=True)
        return where[used], new.reshape(pieces.shape).astype(np.int64)

    found: dict[str, Surface] = {}
    parts = parts_of_cells(result)
    tissue = ~parts.pop("metal", np.zeros(mesh.n_cells, dtype=np.bool_))
    if "zone_level" in result.field_names:
        edge = cut(mesh.cells[tissue], result.field("zone_level"))
        if len(edge.pieces):
            found["zone"] = surface(edge.values(points), edge.pieces)
    for name in ("contact", "insulation"):
        facets = _device_facets(result, f".{name}")
        if len(facets):
            found[name] = surface(points, facets)
    for name, chosen in parts.items():
        found[name] = surface(points, _skin(mesh.cells[chosen].astype(np.int64)))
    return _cropped(found)


def _skin(cells: Indices) -> Indices:
    """Facets that belong to one of ``cells`` only."""
    facets = np.concatenate([np.delete(cells, k, axis=1) for k in range(cells.shape[1])])
    _, first, count = np.unique(np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True)
    return facets[first[count == 1]]


def _cropped(surfaces: dict[str, Surface]) -> dict[str, Surface]:
    """Leave out what lies far from zone and contacts: the rest of the shaft, vessels in other segments."""
    core = [surfaces[name][0] for name in ("zone", "contact") if name in surfaces]
    if not core:
        return surfaces
    everything = np.concatenate(core)
    low, high = everything.min(axis=0), everything.max(axis=0)
    room = max(6.0, 0.35 * float((high - low).max()))
    out = {}
    for name, (points, triangles) in surfaces.items():
        corners = points[triangles]
        kept = np.all((corners.max(axis=1) >= low - room) & (corners.min(axis=1) <= high + room), axis=1)
        if kept.any():
            out[name] = (points, triangles[kept])
    return out


def draw_zone3d(result: Result, say: Callable[[str], None] = lambda _: None) -> bytes:
    """The 3-D picture as PNG bytes; ``say`` is told in one sentence when VTK could not be used and why."""
    surfaces = surfaces_of(result)
    picture, reason = _by_vtk(surfaces)
    if picture is None:
        say(f"zone3d.png is drawn in a simpler way, because {reason}.")
        picture = _by_matplotlib(surfaces)
    return _framed(picture, result, surfaces)
