"""Slices through the patient as radiologists look at them, and a tumour's surface coloured by its margin.

Axial slices are seen from the feet, coronal ones from the front: the patient's right is on the viewer's left. Sagittal
slices are seen from the patient's left: the front is on the viewer's left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.rasters import raster
from rfasim.geometry import Tube, Union
from rfasim.margin import MarginMap

if TYPE_CHECKING:
    from rfasim.anatomy import Scan
    from rfasim.scene import Scene
    from rfasim.sweep.bands import Band

Array = NDArray[np.float64]

ZONE, TUMOUR, CAPSULE, NEEDLE = "#ff7a00", "#00b5d8", "#5c4033", "#101418"
VESSELS = {"portal": "#8e6fd1", "hepatic": "#3c78c8", "cava": "#3c78c8", "artery": "#d1344b"}
STRUCTURE = "#2e9e44"
# tissues where no scan is given; what is not here gets the last
TISSUES = {
    "liver": "#e9d5cb", "tumour": "#d8c3b4", "fat": "#f6efcf", "muscle": "#dfb9b3", "lung": "#dfeaf3",
    "bile": "#cfe3b4", "gallbladder": "#cfe3b4", "kidney": "#d9bfa9", "stomach": "#ecd9e6", "colon": "#e6ddca",
    "blood": "#e3b0b8", "": "#e4e4e4",
}  # fmt: skip
# by class of the margin: below 0, to 5, to 10, from 10 mm; told apart also with colour-blind eyes
MARGIN_COLOURS = ("#b2182b", "#f4a582", "#92c5de", "#2166ac")
MARGIN_ENDS = (-np.inf, 0.0, 5.0, 10.0, np.inf)  # mm
MARGIN_NAMES = ("below 0 mm", "0 to 5 mm", "5 to 10 mm", "from 10 mm")
CT_WINDOW = (-115.0, 235.0)  # HU: level 60, width 350, for the abdomen
PIXELS = 240  # along a slice
SURROUNDINGS, LEAST = 0.03, 0.05  # m around tumour and zone; half the least width of a view


@dataclass(frozen=True)
class Plane:
    """A plane of the patient: ``across`` and ``up`` are axes (0 x, 1 y, 2 z) with the sign of the viewer's right and
    upper side; ``letters`` are those of the left, right, upper and lower edge."""

    name: str
    across: tuple[int, int]
    up: tuple[int, int]
    letters: tuple[str, str, str, str]

    @property
    def normal(self) -> int:
        """The axis that all of the plane has in common."""
        return 3 - self.across[0] - self.up[0]


PLANES = (
    Plane("axial", (0, 1), (1, -1), ("R", "L", "A", "P")),
    Plane("coronal", (0, 1), (2, 1), ("R", "L", "H", "F")),
    Plane("sagittal", (1, 1), (2, 1), ("A", "P", "H", "F")),
)


@dataclass(frozen=True, eq=False)
class View:
    """What slices show: around ``centre`` (3,) [m], ``half`` [m] to each side."""

    scene: Scene
    scan: Scan | None
    centre: Array
    half: float
    band: Band | None = None  # how sure the zone is

    @functools.cached_property
    def trees(self) -> dict[str, Callable[[Array], Array]]:
        """Distance to the vessels of each kind."""
        kinds: dict[str, list[Any]] = {}
        for vessel in self.scene.vessels:
            kinds.setdefault(vessel.kind, []).append(Tube(vessel.points, vessel.diameter / 2))
        return {kind: Union(tubes).distance for kind, tubes in kinds.items()}


def view_of(scene: Scene, scan: Scan | None, band: Band | None = None) -> View:
    """The view through the middle of the target, else of the first device's conducting part; it holds the zone."""
    mesh = scene.result.mesh
    path = next(iter(scene.tumours), None)
    dead = mesh.points[scene.level() >= 0]
    ends = [dead.min(axis=0), dead.max(axis=0)] if len(dead) else []
    centre = np.asarray(scene.case.electrodes[0].active_centre, float)
    if path is not None:
        lower, upper = (np.asarray(end) for end in scene.tumours[path].bounds())
        centre, ends = 0.5 * (lower + upper), [*ends, lower, upper]
    half = max((float(np.abs(end - centre).max()) for end in ends), default=0.0)
    return View(scene, scan, centre, max(half + SURROUNDINGS, LEAST), band)


def grid_of(view: View, plane: Plane) -> tuple[Array, tuple[float, float, float, float]]:
    """Matrix (4, 4) from pixel numbers (across, up, 0) to LPS metres, and the extent [mm] of the picture."""
    step = 2 * view.half / PIXELS
    to_world = np.zeros((4, 4))
    to_world[plane.across[0], 0], to_world[plane.up[0], 1] = plane.across[1] * step, plane.up[1] * step
    to_world[plane.normal, 2], to_world[3, 3] = step, 1.0
    to_world[:3, 3] = view.centre - to_world[:3, :2].sum(axis=1) * (PIXELS - 1) / 2
    half = 1e3 * view.half
    return to_world, (-half, half, -half, half)


def draw_slice(axes: Any, view: View, plane: Plane) -> None:
    """Draw one slice through the middle of ``view``."""
    from matplotlib.colors import to_rgb

    to_world, extent = grid_of(view, plane)
    numbers = np.stack(np.meshgrid(np.arange(PIXELS), np.arange(PIXELS), indexing="ij"), axis=-1).reshape(-1, 2)
    points = numbers @ to_world[:3, :2].T + to_world[:3, 3]

    def field(values: Array) -> Array:
        return np.asarray(values.reshape(PIXELS, PIXELS).T)

    def outline(values: Array, colour: str, level: float = 0.0, width: float = 1.8, style: Any = "solid") -> None:
        if np.nanmin(values) < level < np.nanmax(values):
            axes.contour(values, levels=[level], colors=[colour], linewidths=width, linestyles=[style], extent=extent)

    scene = view.scene
    if view.scan is None:
        names, index = _tissues(view, points)
        colours = np.array([to_rgb(_tissue_colour(name)) for name in names])
        picture = colours[index.reshape(PIXELS, PIXELS).T]
        axes.imshow(picture, origin="lower", extent=extent, interpolation="nearest")
    else:
        values = field(view.scan.sample(points))
        low, high = grey_window(view.scan)
        axes.imshow(values, origin="lower", extent=extent, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    for kind, tree in view.trees.items():
        values = field(tree(points))
        if (values < 0).any():
            colour = VESSELS.get(kind, VESSELS["cava"])
            axes.contourf(values, levels=[-1.0, 0.0], colors=[colour], alpha=0.75, extent=extent)
    around = scene.surroundings
    if around is not None:
        for structure in around.structures.values():
            if structure is not None:
                outline(field(structure.distance(points)), STRUCTURE, width=1.2)
        if around.organ is not None:
            outline(field(around.organ.distance(points)), CAPSULE if view.scan is None else "#d9b38c", width=1.0)
    for shape in scene.tumours.values():
        values = field(shape.distance(points))
        outline(values, TUMOUR)
        outline(values, TUMOUR, level=5e-3, width=1.0, style=(0, (2, 2)))
    outline(field(_level(view, points, to_world)), ZONE, width=2.2)
    if view.band is not None:
        chance = field(view.band.at(points))
        for share, style in ((0.95, (0, (5, 1))), (0.05, (0, (1, 1)))):
            outline(chance, ZONE, level=share, width=1.2, style=style)
    for device in scene.case.electrodes:
        values = field(device.shape().distance(points))
        if (values < 0).any():
            axes.contourf(values, levels=[-1.0, 0.0], colors=[NEEDLE], extent=extent, zorder=3)
        tip = np.asarray(device.tip_point, float)
        start = tip - 0.3 * np.asarray(device.axis, float)
        way = [
            [1e3 * sign * (point[axis] - view.centre[axis]) for point in (start, tip)]
            for axis, sign in (plane.across, plane.up)
        ]
        axes.plot(*way, color="white", linewidth=2.6, alpha=0.6, zorder=2)
        axes.plot(*way, color=NEEDLE, linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
    _frame(axes, view, plane, extent)


def _frame(axes: Any, view: View, plane: Plane, extent: tuple[float, float, float, float]) -> None:
    """Title, letters of the sides, a bar of 20 mm."""
    from matplotlib import patheffects

    half = extent[1]
    axes.set_xlim(-half, half)
    axes.set_ylim(-half, half)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    side = "xyz"[plane.normal]
    axes.set_title(f"{plane.name}, {side} = {1e3 * view.centre[plane.normal]:.0f} mm", fontsize=9, loc="left", pad=3)
    effects = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    places = [(0.03, 0.5), (0.97, 0.5), (0.5, 0.96), (0.5, 0.04)]
    for letter, place in zip(plane.letters, places, strict=True):
        axes.text(*place, letter, transform=axes.transAxes, ha="center", va="center", fontsize=10,
                  fontweight="bold", color="#14202b", path_effects=effects)  # fmt: skip
    left = -0.93 * half
    axes.plot([left, left + 20], [-0.9 * half] * 2, color="white", linewidth=5, solid_capstyle="butt")
    axes.plot([left, left + 20], [-0.9 * half] * 2, color="#14202b", linewidth=2.5, solid_capstyle="butt")
    axes.text(left, -0.87 * half, "20 mm", fontsize=8, va="bottom", color="#14202b", path_effects=effects)


def grey_window(scan: Scan) -> tuple[float, float]:
    """Values that are drawn black and white: the abdominal window of CT, else the middle 98 %."""
    sample = scan.values[::4, ::4, ::2]
    low, high = float(sample.min()), float(sample.max())
    if low <= -500 and high >= 150:
        return CT_WINDOW
    low, high = np.percentile(sample, [1, 99])
    return float(low), float(high) if high > low else float(low) + 1.0


def _tissue_colour(name: str) -> str:
    return next((colour for start, colour in TISSUES.items() if name.startswith(start)), TISSUES[""])


def _tissues(view: View, points: Array) -> tuple[list[str], NDArray[Any]]:
    """Tissue of each point, as the run had it: names, and index into them."""
    case, scene = view.scene.case, view.scene
    names, index = [case.background], np.zeros(len(points), np.int64)
    if case.anatomy is not None:
        from rfasim.anatomy import tissue_of_points

        names, found, _ = tissue_of_points(
            case.anatomy, points, scene.result.folder, background=case.background, tumours=case.every_tumour.values()
        )
        index = found.astype(np.int64)
    for path, shape in scene.tumours.items():
        names = [*names, case.every_tumour[path].tissue]
        index[shape.distance(points) < 0] = len(names) - 1
    return names, index


def _level(view: View, points: Array, to_world: Array) -> Array:
    """The zone's level on the pixels: below zero outside of the domain; in a device that of the nearest tissue."""
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    mesh, case = view.scene.result.mesh, view.scene.case
    values = raster(mesh.points, mesh.cells, view.scene.level(), (PIXELS, PIXELS, 1), to_world, np.nan)[:, :, 0]
    outside = (case.domain.depth(points, case.domain_centre) < 0).reshape(PIXELS, PIXELS)
    values[outside & np.isnan(values)] = -1.0
    missing = np.isnan(values)
    if missing.any() and not missing.all():
        nearest: Any = distance_transform_edt(missing, return_distances=False, return_indices=True)
        values = values[tuple(nearest)]
    values = np.nan_to_num(values, nan=-1.0)
    dead = values >= 0
    values[np.asarray(binary_fill_holes(dead)) & ~dead] = 1.0  # what lives inside the zone belongs to its shape
    return np.clip(values, -1.0, 1.0)  # levels span decades: only those about zero are drawn


def draw_margins(axes: Any, margins: MarginMap) -> None:
    """Draw a tumour's surface coloured by the class of its margin, seen from where that is smallest (3-D axes)."""
    from matplotlib.colors import to_rgb
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    corners = 1e3 * margins.points[margins.simplices]
    middle = corners.mean(axis=(0, 1))
    margin = 1e3 * margins.margin[margins.at_middles]
    number = np.searchsorted(MARGIN_ENDS, margin, side="right").clip(1, 4) - 1
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.where(lengths > 0, lengths, 1.0)
    worst = 1e3 * margins.points[int(margins.margin.argmin())] - middle
    worst /= max(float(np.linalg.norm(worst)), 1e-9)
    light = 0.62 + 0.38 * np.abs(normals @ worst)
    colours = np.array([to_rgb(colour) for colour in MARGIN_COLOURS])[number] * light[:, None]
    axes.add_collection3d(Poly3DCollection(corners, facecolors=colours, edgecolors="none", antialiased=False))
    reach = float(np.abs(corners - middle).max())
    for set_limits, at in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), middle, strict=True):
        set_limits(at - reach, at + reach)
    axes.set_box_aspect((1, 1, 1), zoom=1.45)
    axes.view_init(elev=float(np.degrees(np.arcsin(worst[2]))), azim=float(np.degrees(np.arctan2(worst[1], worst[0]))))
    axes.set_axis_off()
