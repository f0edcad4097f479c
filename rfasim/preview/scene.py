"""What there is to look at besides the zone: the background's voxels, and surfaces of liver, vessels and tumours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.writing import write_nifti
from rfasim.case import Case, Vessel
from rfasim.checkpoint import write_bytes
from rfasim.domain import domain_shape, found_vessels, tumour_shapes
from rfasim.geometry import Shape
from rfasim.preview.grid import Grid
from rfasim.preview.levels import within_reach
from rfasim.preview.surfaces import file_name, mz3, rgb
from rfasim.views import CT_WINDOW, TUMOUR, VESSELS

Array = NDArray[np.float64]
MOST_VOXELS = 12_000_000
ROOM = 0.01
"""what is shown around the domain [m]"""
FINEST = 1e-3
# muted, so that zone and vessels stand out
TISSUE_COLOURS = {
    "liver": "#7d6257", "fat": "#c9b98a", "muscle": "#8d5f5f", "lung": "#3c4650", "kidney": "#7a5a6e",
    "bone": "#cfcabf", "colon": "#6e6a52", "stomach": "#716052", "bile": "#5d7f4e", "blood": "#4f6fa5",
    "skin": "#b89a86", "tumour": TUMOUR,
}  # fmt: skip
OTHER = "#5b5f66"


def make_scene(case: Case, base: Path, folder: Path, scan_path: Path | None = None) -> dict[str, Any]:
    """Write volumes and surfaces into ``folder``; what the page is told of them, its files by their names."""
    case = within_reach(case, base)
    folder.mkdir(parents=True, exist_ok=True)
    middle = np.asarray(case.domain_centre)
    half = _half_size(case) + ROOM
    tumours = tumour_shapes(case, base)
    vessels = found_vessels(case, base)
    grid = Grid.over(middle - half, middle + half, finest=FINEST, most=MOST_VOXELS)
    labels, table = _labels(case, base, grid, tumours, vessels)
    kind, window = "labels", None
    if scan_path is not None:
        from rfasim.anatomy import read_scan

        values = read_scan(scan_path).sample(grid.points()).reshape(grid.shape)
        grey = np.nan_to_num(values, nan=-1024.0).clip(-2048, 4095).astype(np.int16)
        write_nifti(folder / "background.nii", grey, grid.to_world)
        write_nifti(folder / "labels.nii", labels, grid.to_world)
        kind = "ct"
        low, high = CT_WINDOW
        window = [0.5 * (low + high), high - low]
    else:
        write_nifti(folder / "background.nii", labels, grid.to_world)
    surfaces = []

    def add(name: str, title: str, what: str, data: bytes, colour: str, opacity: int) -> None:
        write_bytes(folder / f"{name}.mz3", data)
        surfaces.append({"id": name, "name": title, "kind": what, "rgba": list(rgb(colour, opacity))})

    liver = [row["number"] for row in table if row["name"] == "liver"]
    if case.anatomy is not None and liver:
        add("liver", "Liver", "organ", _isosurface(np.isin(labels, liver), grid, coarse=3), TISSUE_COLOURS["liver"], 60)
    for blood, title in VESSEL_TITLES.items():
        tubes = [vessel for vessel in vessels if vessel.kind == blood]
        if tubes:
            points, faces = _tubes(tubes)
            add(f"vessels_{blood}", title, "vessels", mz3(points, faces), VESSELS.get(blood, VESSELS["portal"]), 255)
    for path, shape in tumours.items():
        name = case.every_tumour[path].name or path
        add(file_name(path), name, "tumour", shape_surface(shape), TUMOUR, 255)
    return {
        "background": {"kind": kind, "window": window}, "labels": table, "surfaces": surfaces,
        "centre": (1e3 * middle).round(3).tolist(),
        "box": (1e3 * np.stack([middle - half, middle + half])).round(3).tolist(),
    }  # fmt: skip


VESSEL_TITLES = {
    "hepatic": "Hepatic veins", "portal": "Portal veins", "artery": "Arteries", "cava": "Vena cava", "user": "Vessels",
}  # fmt: skip


def _half_size(case: Case) -> Array:
    low, high = domain_shape(case).bounds()
    return np.asarray(0.5 * (np.asarray(high) - np.asarray(low)))


def _labels(case: Case, base: Path, grid: Grid, tumours: dict[str, Shape],
            vessels: tuple[Vessel, ...]) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:  # fmt: skip
    """Tissue, tumours and vessels on the grid, and what each number is."""
    names: list[str] = []

    def number(name: str) -> int:
        if name not in names:
            names.append(name)
        return names.index(name) + 1

    points = grid.points()
    if case.anatomy is None:
        out = np.full(grid.shape, number(case.background), np.uint8)
    else:
        from rfasim.anatomy import tissue_of_points

        found, index, _ = tissue_of_points(
            case.anatomy, points, base, background=case.background, tumours=tuple(case.every_tumour.values())
        )
        out = np.array([number(name) for name in found], np.uint8)[index].reshape(grid.shape)
    for shape in tumours.values():
        _paint(out, grid, shape.distance, shape.bounds(), number("tumour"))
    for vessel in vessels:
        tube = vessel.geometry()
        _paint(out, grid, tube.distance, tube.bounds(), number("blood"))
    table = [{"number": k + 1, "name": name, "rgb": list(rgb(_colour(name))[:3])} for k, name in enumerate(names)]
    return out, table


def _colour(name: str) -> str:
    return next((colour for key, colour in TISSUE_COLOURS.items() if name.startswith(key)), OTHER)


def _paint(out: NDArray[np.uint8], grid: Grid, distance: Callable[[Array], Array], bounds: Any, number: int) -> None:
    """Number what is inside a shape, looking only into its box."""
    slices = []
    for k in range(3):
        first = int(np.clip(np.floor((bounds[0][k] - grid.to_world[k, 3]) / grid.edge), 0, grid.shape[k]))
        last = int(np.clip(np.ceil((bounds[1][k] - grid.to_world[k, 3]) / grid.edge) + 1, 0, grid.shape[k]))
        slices.append(slice(first, last))
    axes = [axis[part] for axis, part in zip(grid.axes(), slices, strict=True)]
    if min(map(len, axes)) == 0:
        return
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    inside = distance(points.reshape(-1, 3)).reshape(points.shape[:3]) <= 0.0
    out[tuple(slices)][inside] = number


def _marching_cubes(values: NDArray[Any], level: float) -> tuple[Array, NDArray[Any]]:
    """Corners in voxel numbers, and triangles that look out of what is below ``level``."""
    from skimage import measure

    library: Any = measure
    corners, faces, _, _ = library.marching_cubes(values, level, gradient_direction="ascent")
    return corners, faces[:, ::-1]


def _isosurface(inside: NDArray[np.bool_], grid: Grid, coarse: int = 1) -> bytes:
    """A smooth surface around voxels."""
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter(inside.astype(np.float32), coarse)[::coarse, ::coarse, ::coarse]
    soft = np.pad(soft, 1)
    if soft.max() <= 0.5:
        return mz3(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    corners, faces = _marching_cubes(-soft, -0.5)
    places = grid.to_world[:3, 3] + grid.edge * coarse * (corners - 1.0)
    return mz3(places, faces)


def shape_surface(shape: Shape, edge: float = 1e-3) -> bytes:
    """The surface of a shape, by its distance on a lattice."""

    low, high = (np.asarray(end) for end in shape.bounds())
    edge = max(edge, float((high - low).max()) / 120)
    low, high = low - 2 * edge, high + 2 * edge
    axes = [np.arange(a, b + edge, edge) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    away = shape.distance(points.reshape(-1, 3)).reshape(points.shape[:3])
    if not away.min() < 0 < away.max():
        return mz3(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    corners, faces = _marching_cubes(away.astype(np.float32), 0.0)
    return mz3(low + edge * corners, faces)


def _tubes(vessels: list[Vessel], around: int = 12) -> tuple[Array, NDArray[np.int64]]:
    """Tubes along the vessels' lines, open at their ends."""
    places: list[Array] = []
    faces: list[NDArray[np.int64]] = []
    start = 0
    angles = 2 * np.pi * np.arange(around) / around
    for vessel in vessels:
        line = np.asarray(vessel.points, float)
        ways = np.gradient(line, axis=0)
        ways /= np.linalg.norm(ways, axis=1)[:, None]
        across = np.cross(ways[0], np.eye(3)[int(np.argmin(np.abs(ways[0])))])
        rings = []
        for point, way in zip(line, ways, strict=True):
            across = across - (across @ way) * way  # carried along, so that the tube does not twist
            across /= np.linalg.norm(across)
            other = np.cross(way, across)
            ring = np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * other
            rings.append(point + 0.5 * vessel.diameter * ring)
        n = len(line)
        k = np.arange(around)
        for i in range(n - 1):
            a, b = start + i * around + k, start + i * around + (k + 1) % around
            c, d = a + around, b + around
            faces.append(np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]))
        places += rings
        start += n * around
    return np.concatenate(places), np.concatenate(faces)


def device_surface(case: Case, index: int) -> bytes:
    """An electrode's surface with its conducting parts in another colour."""
    device = case.electrodes[index]
    shape = device.shape()
    middle, tip = device.active_centre, device.tip_point
    centres, radii = device.filling()
    near = centres[np.linalg.norm(centres - middle, axis=1) < SHOWN]
    low = np.min([near.min(axis=0), tip], axis=0) - 2e-3 if len(near) else tip - 2e-3
    high = np.max([near.max(axis=0), tip], axis=0) + 2e-3 if len(near) else tip + 2e-3
    points, faces = _thin_surface(shape, low, high, float(radii.min()))
    if len(points) == 0:
        return mz3(points, faces)
    conducting = np.any([contact.holds(points, within=2e-4) for contact in device.contacts()], axis=0)
    colours = np.where(conducting[:, None], np.array(rgb(METAL), np.uint8), np.array(rgb(SHEATH), np.uint8))
    return mz3(points, faces, colours)


SHOWN = 0.07
"""how much of a shaft [m] is drawn as a surface, around the conducting part"""
METAL, SHEATH = "#e8e8e8", "#3f8f5f"


def _thin_surface(shape: Shape, low: Array, high: Array, thin: float) -> tuple[Array, NDArray[Any]]:
    """The surface of a thin shape: marching cubes in the blocks that it passes through only."""

    edge = max(0.5 * thin, float((high - low).max()) / 400)
    block = 16
    counts = [max(int(np.ceil(length / (edge * block))), 1) for length in high - low]
    starts = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    centres = low + edge * block * (starts + 0.5)
    near = np.abs(shape.distance(centres)) < edge * block * 0.9
    steps = edge * np.arange(block + 1)
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    points, faces, count = [], [], 0
    for start in starts[near]:
        corner = low + edge * block * start
        away = shape.distance((corner + lattice).reshape(-1, 3)).reshape(lattice.shape[:3])
        if not away.min() < 0 < away.max():
            continue
        at, sides = _marching_cubes(away, 0.0)
        points.append(corner + edge * at)
        faces.append(sides + count)
        count += len(at)
    if not points:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    return np.concatenate(points), np.concatenate(faces)
