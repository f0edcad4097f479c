"""What leaves for the hospital's viewer: zone, margins, temperature and dose on the patient's voxels; surfaces.

Images keep the grid that they are made for. Surfaces are triangles in LPS millimetres, as 3D Slicer takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy import LabelImage, Scan
from rfasim.anatomy.rasters import raster
from rfasim.anatomy.writing import write_dicom_seg, write_nifti, write_seg_nrrd
from rfasim.checkpoint import write_atomically, write_bytes
from rfasim.errors import InputError
from rfasim.margin import MarginMap
from rfasim.markups import Curve, curves_file
from rfasim.outcome import zone_surface
from rfasim.scene import Scene

if TYPE_CHECKING:
    from rfasim.case import Vessel

Array = NDArray[np.float64]
What = Literal["zone", "margin", "temperature", "dose"]
WHATS: tuple[What, ...] = ("zone", "margin", "temperature", "dose")
ZONE = 1
"""the label of the zone in an image that is made of a result"""
# classes of the margin: label, name, lower end [m]
CLASSES = ((1, "margin below 0 mm", -np.inf), (2, "margin 0 to 5 mm", 0.0), (3, "margin 5 to 10 mm", 5e-3),
           (4, "margin from 10 mm", 10e-3))  # fmt: skip
IMAGES, SURFACES = (".nii", ".nii.gz", ".seg.nrrd", ".dcm"), (".stl", ".vtp")


def zone_image(scene: Scene, grid: LabelImage, criterion: str | None = None) -> LabelImage:
    """The zone on the voxels of ``grid``: 1 where tissue is dead at the voxel's middle.

    The device's channel, and living tissue that the zone encloses (the sleeve of a cooled needle), count as the zone,
    as they do for a ruler. Raises InputError where no voxel is in the zone.
    """
    from scipy.ndimage import binary_fill_holes

    values = _raster(scene, scene.level(criterion), grid)
    # where no cell is: the device inside the zone is filled below, what is outside the domain stays alive
    dead = np.nan_to_num(values, nan=-1.0) >= 0
    device = np.isnan(values) & _beside(dead)
    data = np.asarray(binary_fill_holes(dead | device)).astype(np.uint8)
    if not data.any():
        raise InputError(str(scene.result.folder), "has no zone at the middle of any voxel of the image")
    return LabelImage(data, grid.to_world, {ZONE: "zone"})


def _raster(scene: Scene, values: Array, grid: LabelImage) -> Array:
    mesh = scene.result.mesh
    return raster(mesh.points, mesh.cells, values, grid.data.shape, grid.to_world, np.nan)


def _beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels that ``mask`` surrounds on opposite sides: a needle is thinner than two voxels."""
    from scipy.ndimage import binary_closing

    return np.asarray(binary_closing(np.pad(mask, 2), iterations=1)[2:-2, 2:-2, 2:-2])


def margin_image(scene: Scene, grid: LabelImage, tumour: str, criterion: str | None = None) -> Array:
    """The margin [mm] in the outermost voxels of a tumour on ``grid``, NaN elsewhere.

    A voxel takes the margin of the nearest point of the tumour's surface. Raises InputError where no voxel's middle is
    in the tumour.
    """
    from scipy.ndimage import binary_erosion
    from scipy.spatial import cKDTree

    margins, shape = scene.margins(tumour, criterion), scene.tumours[tumour]
    near = grid.crop(*shape.bounds())
    places = near.places(np.argwhere(np.ones(near.data.shape, np.bool_)).astype(np.float64))
    inside = (shape.distance(places) < 0).reshape(near.data.shape) if len(places) else np.zeros((0, 0, 0), np.bool_)
    if not inside.any():
        raise InputError(str(scene.result.folder), f"no voxel of the image has its middle in {tumour}")
    shell = inside & ~np.asarray(binary_erosion(np.pad(inside, 1)))[1:-1, 1:-1, 1:-1]
    _, nearest = cKDTree(margins.points).query(places[shell.ravel()])
    out = np.full(grid.data.shape, np.nan)
    own = np.rint(grid.voxels(places[shell.ravel()])).astype(int)
    out[tuple(own.T)] = 1e3 * margins.margin[nearest]
    return out


def margin_classes(margin: Array, to_world: Array) -> LabelImage:
    """A margin image [mm] as labels: below 0, 0 to 5, 5 to 10, and from 10 mm."""
    data = np.zeros(margin.shape, np.uint8)
    known = np.isfinite(margin)
    for number, _, lower in CLASSES:
        data[known & (np.nan_to_num(margin, nan=-np.inf) >= 1e3 * lower)] = number
    return LabelImage(data, to_world, {number: name for number, name, _ in CLASSES})


def zone_triangles(scene: Scene, criterion: str | None = None) -> Array:
    """Triangles (n, 3, 3) [m] of the zone's boundary, without the surfaces of living tissue that it encloses."""
    triangles = zone_surface(scene.result.mesh, scene.level(criterion))
    if len(triangles) == 0:
        raise InputError(str(scene.result.folder), "has no zone")
    return triangles


def export(scene: Scene, out: Path, what: What, *, like: LabelImage | Scan | None = None, tumour: str | None = None,
           criterion: str | None = None) -> str:  # fmt: skip
    """Write ``what`` of a result to the file ``out``, whose ending says how; a sentence about it.

    ``like``: the image on whose grid an image lies; for DICOM SEG the scan it refers to. Raises InputError for a
    combination that does not go together, and RunError on a disk error.
    """
    ending = next((end for end in (*IMAGES[::-1], *SURFACES) if out.name.lower().endswith(end)), None)
    if ending is None:
        raise InputError("--out", f"'{out.name}' is of no known kind; end it in {', '.join((*IMAGES, *SURFACES))}")
    if ending in SURFACES:
        return _export_surface(scene, out, what, ending, tumour, criterion)
    if like is None:
        raise InputError("--like", f"is needed for {ending}: name the image or scan whose voxels it shall have")
    if ending == ".dcm" and (not isinstance(like, Scan) or not like.slices):
        raise InputError("--like", "must be the folder with the DICOM slices of the scan, which a DICOM SEG refers to")
    if ending in (".dcm", ".seg.nrrd") and what not in ("zone", "margin"):
        raise InputError("--out", f"{ending} holds labels, and {what} has none; end it in .nii.gz")
    grid = like if isinstance(like, LabelImage) else LabelImage(np.zeros(like.values.shape, np.uint8), like.to_world)
    if what in ("temperature", "dose"):
        field, unit = ("damage_max_temperature", "degC") if what == "temperature" else ("damage_cem43", "min")
        values = _raster(scene, scene.result.field(field).astype(np.float64), grid)
        write_nifti(out, values.astype(np.float32), grid.to_world)
        return f"highest {what} of the run [{unit}], NaN outside the domain and in devices"
    if what == "margin":
        path = scene.tumour(tumour)
        margin = margin_image(scene, grid, path, criterion)
        name = scene.case.every_tumour[path].name or path
        smallest = f"on the surface of {name}, smallest {np.nanmin(margin):.1f} mm"
        if ending.startswith(".nii"):
            write_nifti(out, margin.astype(np.float32), grid.to_world)
            return f"margin [mm] {smallest}; NaN elsewhere"
        image, told = margin_classes(margin, grid.to_world), f"margin in four classes {smallest}"
    else:
        image = zone_image(scene, grid, criterion)
        told = f"label 1: the zone, {1e6 * image.voxel_volume * int(image.data.sum()):.2f} ml in voxels"
    if ending == ".dcm":
        assert isinstance(like, Scan)
        write_dicom_seg(out, image, like.slices, description=f"rfasim {what}: {scene.case.name}"[:64])
    elif ending == ".seg.nrrd":
        write_seg_nrrd(out, image)
    else:
        write_nifti(out, image.data, image.to_world, image.names)
    return told


def _export_surface(scene: Scene, out: Path, what: What, ending: str, tumour: str | None, criterion: str | None) -> str:
    if what == "zone":
        triangles = zone_triangles(scene, criterion)
        values: dict[str, Any] = {}
        told = f"the zone's boundary, {len(triangles)} triangles"
    elif what == "margin":
        margins = scene.margins(scene.tumour(tumour), criterion)
        triangles = margins.points[margins.simplices]
        values = {"margin_mm": _on_corners(margins)}
        told = f"the tumour's surface, {len(triangles)} triangles" + (" with margin_mm" if ending == ".vtp" else "")
    else:
        raise InputError("--out", f"{ending} holds a surface, and {what} has none; end it in .nii.gz")
    if ending == ".stl":
        write_bytes(out, stl(1e3 * triangles))
    else:
        write_vtp(out, 1e3 * triangles, values)
    return f"{told}; LPS, mm"


def export_vessels(vessels: Sequence[Vessel], out: Path) -> str:
    """Write the vessels of a case as lines, as they are computed: in the direction of the blood, each with one radius.

    ``.mrk.json`` is for 3D Slicer, ``.vtp`` for ParaView with ``radius_mm`` and ``vessel`` (its number in the list).
    Raises InputError for another ending, or when there is none.
    """
    if not vessels:
        raise InputError("--what", "there are no vessels in this case")
    if out.name.lower().endswith(".mrk.json"):
        curves = (
            Curve(v.name, f"{v.kind}, {1e3 * v.diameter:.1f} mm wide", v.points, [v.diameter / 2] * len(v.points))
            for v in vessels
        )
        write_bytes(out, curves_file(curves))
    elif out.name.lower().endswith(".vtp"):
        pyvista = _pyvista(out)
        points = 1e3 * np.concatenate([np.array(v.points) for v in vessels])
        counts = [len(v.points) for v in vessels]
        rows = [[n, *range(end - n, end)] for n, end in zip(counts, np.cumsum(counts).tolist(), strict=True)]
        lines = pyvista.PolyData(points, lines=np.concatenate(rows))
        lines.point_data["radius_mm"] = np.repeat([1e3 * v.diameter / 2 for v in vessels], counts)
        lines.point_data["vessel"] = np.repeat(np.arange(len(vessels)), counts)
        _write_polydata(lines, out)
    else:
        raise InputError("--out", f"'{out.name}' is of no known kind for lines; end it in .mrk.json or .vtp")
    length = sum(np.linalg.norm(np.diff(v.points, axis=0), axis=1).sum() for v in vessels)
    return f"{len(vessels)} vessels, {1e3 * length:.0f} mm of lines; LPS, mm"


def _on_corners(margins: MarginMap) -> Array:
    """The margin [mm] at each triangle's corners, (n, 3)."""
    return 1e3 * margins.margin[: margins.corners][margins.simplices]


def stl(triangles: Array) -> bytes:
    """Triangles (n, 3, 3) as a binary STL file, in their own unit."""
    rows = np.zeros(len(triangles), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    rows["normal"], rows["corners"] = normals / np.where(lengths > 0, lengths, 1.0), triangles
    return b"rfasim SPACE=LPS mm".ljust(80) + np.uint32(len(rows)).tobytes() + rows.tobytes()


def write_vtp(out: Path, triangles: Array, values: dict[str, Array]) -> None:
    """Write triangles (n, 3, 3) with ``values`` (n, 3) at their corners as VTK PolyData (``.vtp``)."""
    pyvista = _pyvista(out)
    points, index = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    faces = np.concatenate([np.full((len(triangles), 1), 3), index.reshape(-1, 3)], axis=1)
    surface = pyvista.PolyData(points, faces.ravel())
    for name, corners in values.items():
        at = np.empty(len(points))
        at[index.reshape(-1)] = corners.reshape(-1)
        surface.point_data[name] = at
    _write_polydata(surface, out)


def _pyvista(out: Path) -> Any:
    try:
        import pyvista
    except ImportError:
        raise InputError(str(out), "needs pyvista to be written; install it with: pip install 'rfasim[viz]'") from None
    return pyvista


def _write_polydata(data: Any, out: Path) -> None:
    data.field_data["space"] = ["LPS"]
    data.field_data["unit"] = ["mm"]
    write_atomically(out, lambda temporary: _save(data, temporary))


def _save(surface: Any, temporary: Path) -> None:
    named = temporary.with_name(temporary.name + ".vtp")  # the ending tells pyvista how
    surface.save(named)
    named.replace(temporary)
