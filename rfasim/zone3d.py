"""The ablation zone in space around the device, by VTK in a child process or else by matplotlib.

VTK ends the process with a segmentation fault where the machine has no GL library, so it never runs in this
process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.plot import INK, STYLE, criterion_text, figure, png, zone_volume_text
from rfasim.section import across_direction, device_facets, electrode_axis, inside_field, parts_of_cells
from rfasim.slicing import (
    Floats,
    Indices,
    connected,
    cut,
    facing_out,
    off_the_device,
    revolve,
    without_slivers,
)

if TYPE_CHECKING:
    from rfasim.result import Result

Surface = tuple[Floats, Indices]  # points (n, 3) in mm, triangles (k, 3)
COLOURS = {
    "zone": "#4cb8f0", "contact": "#d5dadf", "insulation": "#37424c", "vessels": "#e0576f",
    "tumour": "#3fae6a",
}  # fmt: skip
OPACITY = {"zone": 0.45, "contact": 1.0, "insulation": 1.0, "vessels": 0.95, "tumour": 0.6}
LABELS = {"contact": "contact", "insulation": "insulated part", "vessels": "vessels", "tumour": "tumour"}
LIGHT = np.array([-0.35, 0.55, 0.76])  # in camera coordinates: over the left shoulder
PIXELS = (1800, 1800)  # drawn larger than shown, instead of anti-aliasing
LIBRARIES = (("libEGL.so.1", "vtkEGLRenderWindow"), ("libOSMesa.so.8", "vtkOSOpenGLRenderWindow"),
             ("libOSMesa.so.6", "vtkOSOpenGLRenderWindow"))  # fmt: skip
INSTALL_GL = "apt-get install libegl1 libgl1-mesa-dri"
INSTALL_PYVISTA = "pip install 'pyvista>=0.46,<0.50'"


def render_window() -> str | None:
    """The VTK window class to use without a screen; '' where VTK needs no help, None where it crashes."""
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
    """The surfaces to draw, by name, in mm: first electrode's tip at 0, handle up; axisymmetric revolved."""
    mesh = result.mesh
    tip, axis = electrode_axis(result)
    if mesh.axisymmetric:
        points = 1e3 * np.column_stack([mesh.points[:, 0], (tip[-1] - mesh.points[:, 1]) * axis[-1]])
    else:
        across = across_direction(result, tip, axis)
        points = 1e3 * (mesh.points - tip) @ np.stack([across, np.cross(-axis, across), -axis], axis=1)

    def surface(where: Floats, pieces: NDArray[Any]) -> Surface:
        used, new = np.unique(pieces, return_inverse=True)
        where, pieces = where[used], new.reshape(pieces.shape).astype(np.int64)
        return revolve(where, pieces) if mesh.axisymmetric else (where, pieces)

    contact = points[np.unique(device_facets(result, ".contact"))]

    def level_surface(cells: NDArray[Any], level: Floats) -> Surface:
        edge = cut(cells, level)
        if len(edge.pieces) == 0:
            return np.zeros((0, 3)), edge.pieces
        where = edge.values(points)
        pieces = facing_out(edge, points, cells, level)
        body = connected(pieces, len(where))
        bodies = np.unique(body)
        shown = off_the_device([where[np.unique(pieces[body == k])] for k in bodies], contact)
        pieces = pieces[np.isin(body, bodies[shown])]
        where, pieces = without_slivers(where, pieces, 0.006 * float(np.ptp(where, axis=0).max()))
        where, pieces = surface(where, pieces)
        # what was swept around the axis meets itself there
        return without_slivers(where, pieces, 1e-6) if mesh.axisymmetric else (where, pieces)

    found: dict[str, Surface] = {}
    parts = parts_of_cells(result)
    tissue = ~parts.pop("metal", np.zeros(mesh.n_cells, dtype=np.bool_))
    if "zone_level" in result.field_names:
        level = result.field("zone_level").astype(np.float64)
        found["zone"] = level_surface(mesh.cells[tissue], level)
    for name in ("contact", "insulation"):
        facets = device_facets(result, f".{name}")
        if len(facets):
            found[name] = surface(points, facets)  # a device keeps its edges
    for name, chosen in parts.items():
        found[name] = level_surface(mesh.cells[tissue], inside_field(mesh, chosen))
    return _cropped({name: drawn for name, drawn in found.items() if len(drawn[1])})


def box_of(surfaces: dict[str, Surface]) -> NDArray[np.float64]:
    """What is worth seeing, (2, 3) in mm: zone and contacts with room, not a whole shaft or vessel."""
    core = [surfaces[name][0] for name in ("zone", "contact") if name in surfaces]
    points = np.concatenate(core or [points for points, _ in surfaces.values()])
    low, high = points.min(axis=0), points.max(axis=0)
    room = max(5.0, 0.25 * float((high - low).max()))
    return np.stack([low - room, high + room])


def _cropped(surfaces: dict[str, Surface]) -> dict[str, Surface]:
    """Without the triangles outside the box."""
    if not surfaces:
        return surfaces
    low, high = box_of(surfaces)
    out = {}
    for name, (points, triangles) in surfaces.items():
        # a shaft ends where the box does, not at its next triangle: those are long
        points = points.clip(low, high) if name == "insulation" else points
        corners = points[triangles]
        kept = np.all((corners.max(axis=1) >= low) & (corners.min(axis=1) <= high), axis=1)
        kept &= np.ptp(corners, axis=1).max(axis=1) > 0
        if kept.any():
            out[name] = (points, triangles[kept])
    return out


@dataclass(frozen=True)
class Camera:
    """A parallel projection: ``centre``, ``half`` mm to each side; ``axes``: rows right, up, towards us."""

    centre: Floats
    half: float
    axes: Floats

    @classmethod
    def looking_at(cls, surfaces: dict[str, Surface]) -> Camera:
        """From the front, a little from the right and above, with all surfaces in view."""
        towards = np.array([0.5, -1.0, 0.35])
        towards /= np.linalg.norm(towards)
        right = np.cross([0.0, 0.0, 1.0], towards)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(towards, right), towards])
        points = np.concatenate([points[np.unique(triangles)] for points, triangles in surfaces.values()])
        seen = points.clip(*box_of(surfaces)) @ axes.T
        low, high = seen.min(axis=0), seen.max(axis=0)
        return cls(axes.T @ ((low + high) / 2), 0.54 * float((high - low)[:2].max()), axes)


def draw_zone3d(result: Result, say: Callable[[str], None] = lambda _: None) -> bytes:
    """The 3-D picture as PNG bytes; ``say`` is told in one sentence when VTK could not be used and why."""
    import matplotlib
    from matplotlib.patches import Patch

    surfaces = surfaces_of(result)
    with matplotlib.rc_context(STYLE):
        drawing = figure(7.4, 7.4)
        axes = drawing.add_subplot()
        axes.set_axis_off()
        if surfaces:
            camera = Camera.looking_at(surfaces)
            picture, reason = render_by_vtk(surfaces, camera)
            half = camera.half
            if picture is None:
                say(f"zone3d.png is drawn in a simpler way, because {reason}.")
                paint(axes, surfaces, camera)
            else:
                axes.imshow(picture, extent=(-half, half, -half, half), interpolation="antialiased")
            axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
            _scale_bar(axes, half)
        volume = zone_volume_text(result)
        axes.set_title(
            f"Ablation zone, {volume}" if "zone" in surfaces else "No tissue reached the zone's criterion"
        )
        labels = LABELS | {"zone": criterion_text(result.meta.get("criterion", "zone"))}
        handles = [
            Patch(facecolor=COLOURS[n], edgecolor=INK, linewidth=0.5, label=labels[n]) for n in surfaces
        ]
        drawing.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=10)
        return png(drawing)


def _scale_bar(axes: Any, half: float) -> None:
    length = next((mm for mm in (50.0, 20.0, 10.0, 5.0, 2.0, 1.0) if mm <= 0.6 * half), 1.0)
    left, bottom = -0.96 * half, -0.95 * half
    axes.plot([left, left + length], [bottom, bottom], color=INK, linewidth=3.0, solid_capstyle="butt")
    axes.text(
        left + length / 2, bottom + 0.02 * half, f"{length:g} mm", ha="center", va="bottom", fontsize=10.5
    )


def paint(axes: Any, surfaces: dict[str, Surface], camera: Camera) -> None:
    """All triangles from back to front with flat shading: what matplotlib can do, and it cannot crash."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgb

    flat, depth, colours = [], [], []
    for name, (points, triangles) in surfaces.items():
        corners = ((points - camera.centre) @ camera.axes.T)[triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        size = np.linalg.norm(normals, axis=1)
        facing = np.abs(normals @ LIGHT) / np.where(size > 0, size, 1.0)
        shade = np.clip(0.45 + 0.6 * facing, 0.0, 1.0)[:, None]
        alpha = np.full((len(triangles), 1), 0.6 * OPACITY[name] if OPACITY[name] < 0.9 else 1.0)
        flat.append(corners[:, :, :2])
        depth.append(corners[:, :, 2].mean(axis=1))
        colours.append(np.hstack([shade * to_rgb(COLOURS[name]), alpha]))
    order = np.argsort(np.concatenate(depth))
    axes.add_collection(
        PolyCollection(
            list(np.concatenate(flat)[order]), facecolors=np.concatenate(colours)[order], linewidths=0.0
        )
    )


def render_by_vtk(
    surfaces: dict[str, Surface], camera: Camera, pixels: tuple[int, int] = PIXELS
) -> tuple[NDArray[Any] | None, str]:
    """The picture (rows, columns, 3) drawn by VTK in a child process, or None and the reason in words."""
    window = render_window()
    if window is None:
        return None, f"this machine has no library for 3-D pictures (to get one: {INSTALL_GL})"
    if find_spec("pyvista") is None:
        return None, f"pyvista is not installed (to get it: {INSTALL_PYVISTA})"
    import matplotlib.image
    from matplotlib.colors import to_rgb

    arrays: dict[str, Any] = {
        "centre": camera.centre,
        "half": camera.half,
        "axes": camera.axes,
        "pixels": pixels,
    }
    arrays["bounds"] = box_of(surfaces).T.ravel()
    for name, (points, triangles) in surfaces.items():
        arrays |= {f"{name}/points": points, f"{name}/triangles": triangles}
        arrays[f"{name}/style"] = np.array([*to_rgb(COLOURS[name]), OPACITY[name]])
    with tempfile.TemporaryDirectory(prefix="rfasim-") as folder:
        source, target = Path(folder, "surfaces.npz"), Path(folder, "picture.png")
        np.savez(source, **arrays)
        environment = {**os.environ, **({"VTK_DEFAULT_OPENGL_WINDOW": window} if window else {})}
        command = [sys.executable, "-m", "rfasim.render", str(source), str(target)]
        try:
            child = subprocess.run(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=180,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, "the 3-D library did not answer within three minutes"
        except OSError as error:
            return None, f"no second process could be started ({error.strerror})"
        if child.returncode != 0 or not target.is_file():
            said = child.stderr.decode(errors="replace").strip().splitlines()
            how = (
                f"was ended by signal {-child.returncode}"
                if child.returncode < 0
                else f"said: {said[-1] if said else ''}"
            )
            return None, f"the 3-D library {how} (the usual cure: {INSTALL_GL})"
        return matplotlib.image.imread(target)[..., :3], ""


def trial() -> str:
    """Draw one small translucent ball by VTK; '' when it worked, else the reason in words."""
    angle = np.linspace(0.0, np.pi, 25)
    arc = np.column_stack([np.sin(angle), np.cos(angle)])
    surfaces = {"zone": revolve(arc, np.column_stack([np.arange(24), np.arange(1, 25)]))}
    picture, reason = render_by_vtk(surfaces, Camera.looking_at(surfaces), (200, 200))
    if picture is not None and float(np.ptp(picture)) == 0.0:
        return "VTK runs but draws nothing"
    return reason
