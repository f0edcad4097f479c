"""A made-up patient: liver with tumours, vessel trees and neighbours, as shapes, label images and a scan.

Organs are ellipsoids and tubes of about the size and place that a reader of abdominal scans expects; none is of a
person. Portal vein and hepatic veins are grown in the liver (:mod:`rfasim.anatomy.trees`); their roots are as wide as
those of adults (12 and 10 mm). Labels have the names of the TCIA collection Colorectal-Liver-Metastases (Liver,
Hepatic, Portal, Tumor_1). Points are LPS metres, with the origin in the middle of the liver's height.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.centrelines import CentreLine, write_centre_lines
from rfasim.anatomy.labels import LabelImage
from rfasim.anatomy.trees import Tree, grow, stem
from rfasim.anatomy.writing import scan_slices, write_dicom_scan, write_dicom_seg, write_nifti, write_seg_nrrd
from rfasim.errors import InputError
from rfasim.geometry import Difference, Ellipsoid, Intersection, Shape, Tube, Union

Array = NDArray[np.float64]
MM = 1e-3

FAT_LAYER, WALL, DIAPHRAGM = 16 * MM, 12 * MM, 4 * MM
PORTAL_ROOT, PORTAL_RADIUS, PORTAL_ENDS = ((-8, 22, -52), (-34, 4, 10)), 6 * MM, 50
HEPATIC_ROOT, HEPATIC_RADIUS, HEPATIC_ENDS = ((-14, 40, 36), (-36, 18, 26)), 5 * MM, 40
NO_VESSELS = 3 * MM  # around tumours, which push vessels aside
LOWER, UPPER = np.array([-174.0, -120.0, -96.0]) * MM, np.array([96.0, 116.0, 100.0]) * MM
# of a scan in the portal venous phase [HU]; typical, for pictures only
HOUNSFIELD = {
    "Fat": -100, "Muscle": 58, "Lung": -820, "Diaphragm": 58, "Right_Kidney": 170, "Bowel": 15, "Stomach": 35,
    "Liver": 105, "Gallbladder": 8, "Bile_Duct": 8, "Cava": 140, "Hepatic": 165, "Portal": 180, "Tumor": 62,
}  # fmt: skip
NOISE = 9.0  # HU


@dataclass(frozen=True, eq=False)
class Phantom:
    """``parts``: what there is, by name; of two that overlap the later one is there. ``trees``: Hepatic and Portal."""

    parts: Mapping[str, Shape]
    trees: Mapping[str, Tree]

    def labels(self, spacing: Sequence[float] = (1.5 * MM, 1.5 * MM, 1.5 * MM)) -> LabelImage:
        """Voxels of the given edges [m] with the label of what is at their middles; 0 outside of the body."""
        step = np.asarray(spacing, dtype=np.float64)
        if step.shape != (3,) or not ((step >= 0.4 * MM) & (step <= 10 * MM)).all():
            raise InputError("spacing", f"got {step.tolist()} m; a voxel's edges are 0.4 to 10 mm")
        to_world = np.diag([*step, 1.0])
        to_world[:3, 3] = LOWER + step / 2
        shape = np.ceil((UPPER - LOWER) / step).astype(int)
        data = np.zeros(shape, np.uint8)
        for number, part in enumerate(self.parts.values(), start=1):
            low, high = (np.asarray(end) for end in part.bounds())
            first = np.clip(np.floor((low - to_world[:3, 3]) / step), 0, shape).astype(int)
            last = np.clip(np.ceil((high - to_world[:3, 3]) / step) + 1, first, shape).astype(int)
            _paint(data[tuple(map(slice, first, last))], part, to_world[:3, 3] + first * step, step, number)
        return LabelImage(data, to_world, dict(enumerate(self.parts, start=1)))

    def scan(self, labels: LabelImage, seed: int = 1) -> NDArray[np.int16]:
        """A scan [HU] on the grid of ``labels``, blurred by a voxel and noisy; the same seed, the same noise."""
        from scipy.ndimage import gaussian_filter

        table = np.full(len(self.parts) + 1, -1000.0)
        for number, name in labels.names.items():
            table[number] = HOUNSFIELD[name.partition("_")[0] if name.startswith("Tumor") else name]
        blurred: Any = gaussian_filter(table[labels.data], 0.6)
        noise = gaussian_filter(np.random.default_rng(seed).normal(size=labels.data.shape), 0.7)
        return np.asarray(np.rint(blurred + noise * (NOISE / noise.std())), np.int16)


def _paint(view: NDArray[np.uint8], part: Shape, origin: Array, step: Array, number: int, block: int = 6) -> None:
    """Give the voxels of ``view`` in ``part`` a ``number``. Distances are never too large, so that a block of voxels
    is told by its middle unless the surface is near."""
    counts = [range(0, n, block) for n in view.shape]
    corners = np.stack(np.meshgrid(*counts, indexing="ij"), axis=-1).reshape(-1, 3)
    own = np.stack(np.meshgrid(*[np.arange(block)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    away = part.distance(origin + step * (corners + (block - 1) / 2))
    near = np.abs(away) <= np.linalg.norm(step) * block / 2
    for corner in corners[(away < 0) & ~near]:
        view[tuple(slice(c, c + block) for c in corner)] = number
    voxels = (corners[near][:, None] + own).reshape(-1, 3)
    voxels = voxels[(voxels < view.shape).all(axis=1)]
    view[tuple(voxels.T)] = np.where(part.distance(origin + step * voxels) < 0, number, view[tuple(voxels.T)])


def make_phantom(seed: int = 1) -> Phantom:
    """The phantom whose vessels grow from ``seed``; the same seed gives the same vessels."""
    tumours: dict[str, Shape] = {
        "Tumor_1": Union([_ellipsoid((-78, -6, 22), (12, 11, 12)), _ellipsoid((-73, -2, 26), (9, 8, 8))]),
        "Tumor_2": _ellipsoid((-121, 4, -6), (9, 10, 9)),  # 2 mm under the capsule
        "Tumor_3": _ellipsoid((-56, -29, -16), (9, 8, 8)),  # above the gallbladder
    }
    cava = Tube(np.array([(-8, 44, -100), (-10, 46, 0), (-12, 44, 36), (-14, 34, 104)]) * MM, 10 * MM)
    gallbladder = _ellipsoid((-48, -30, -46), (13, 13, 23), tilt=20)
    ducts = Union([
        _tube([(-16, 10, -70), (-26, -2, -24), (-30, -10, -2), (-56, -13, 4)], 3.5),
        _tube([(-30, -10, -2), (-6, -22, 10), (16, -30, 16)], 2.5),
    ])  # fmt: skip
    whole = Union([_ellipsoid((-62, 0, 0), (70, 68, 75)), _ellipsoid((14, -34, 22), (64, 32, 27), tilt=-8)])
    liver = Difference(whole, Union([_ellipsoid((-16, 26, -80), (72, 58, 70)), gallbladder, cava]))
    no_vessels = Union([
        *(_larger(tumour, NO_VESSELS) for tumour in tumours.values()), _larger(ducts, NO_VESSELS), cava, gallbladder,
    ])  # fmt: skip
    free = Difference(liver, no_vessels)
    portal_root, hepatic_root = (np.array(ends) * MM for ends in (PORTAL_ROOT, HEPATIC_ROOT))
    random = np.random.default_rng(seed)
    box = liver.bounds()
    keep_clear = stem(portal_root[0], portal_root[1] + 0.3 * (portal_root[1] - portal_root[0]), PORTAL_RADIUS + 2 * MM)
    hepatic = grow(
        free.distance, box, hepatic_root[0], hepatic_root[1], HEPATIC_RADIUS, HEPATIC_ENDS, random, [keep_clear]
    )
    portal = grow(free.distance, box, portal_root[0], portal_root[1], PORTAL_RADIUS, PORTAL_ENDS, random, [hepatic])
    return Phantom({**_neighbours(), "Liver": liver, "Gallbladder": gallbladder, "Bile_Duct": ducts, "Cava": cava,
                    "Hepatic": hepatic.shape(), "Portal": portal.shape(), **tumours},
                   {"Hepatic": hepatic, "Portal": portal})  # fmt: skip


def write_phantom(phantom: Phantom, folder: Path, kind: str, spacing: Sequence[float], seed: int) -> list[Path]:
    """Write labels, scan and centre lines of the vessels into ``folder``; the paths.

    ``kind`` of the images: ``seg.nrrd`` and ``nii.gz`` (the scan is NIfTI), ``dicom`` (DICOM SEG, and CT slices in a
    folder). Centre lines are curves of 3D Slicer. Raises InputError for edges of voxels out of range.
    """
    labels = phantom.labels(spacing)
    scan = phantom.scan(labels, seed)
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "dicom":
        slices = scan_slices(scan, labels.to_world, seed)
        write_dicom_scan(folder / "ct", slices)
        write_dicom_seg(folder / "labels.dcm", labels, slices, description="made-up liver")
        written += [folder / "labels.dcm", folder / "ct"]
    else:
        if kind == "seg.nrrd":
            write_seg_nrrd(folder / "labels.seg.nrrd", labels)
        else:
            write_nifti(folder / "labels.nii.gz", labels.data, labels.to_world, labels.names)
        write_nifti(folder / "ct.nii.gz", scan, labels.to_world)
        written += [folder / f"labels.{kind}", folder / "ct.nii.gz"]
    for name, tree in phantom.trees.items():
        written.append(folder / f"{name.lower()}.mrk.json")
        write_centre_lines(lines_of(tree), written[-1])
    return written


def lines_of(tree: Tree) -> list[CentreLine]:
    """The vessels of a tree as centre lines."""
    branches = set(tree.parents.tolist())
    return [
        CentreLine(
            points=np.stack([tree.starts[k], tree.ends[k]]), radii=np.full(2, tree.radii[k]),
            nodes=(int(tree.parents[k]) + 1, k + 1),
            ends=("free" if tree.parents[k] < 0 else "branch", "branch" if k in branches else "free"),
            parent=int(tree.parents[k]), tree=0,
        )
        for k in range(len(tree.radii))
    ]  # fmt: skip


def _neighbours() -> dict[str, Shape]:
    """What lies around the liver, from the skin inwards."""
    body = _Layer((0, 0), (166, 112))
    wall, cavity = (_Layer((0, 0), (166 - 1e3 * off, 112 - 1e3 * off)) for off in (FAT_LAYER, FAT_LAYER + WALL))
    domes = [_ellipsoid((-62, 0, -2), (77, 76, 84)), _ellipsoid((48, -10, -28), (88, 80, 84))]
    thick = Union([_larger(dome, DIAPHRAGM) for dome in domes])
    above = _Above(0.0)
    return {
        "Fat": body,
        "Muscle": Difference(wall, cavity),
        "Lung": Difference(Intersection([cavity, above]), thick),
        "Diaphragm": Difference(Intersection([cavity, above, thick]), Union(domes)),
        "Right_Kidney": _ellipsoid((-72, 58, -64), (26, 24, 50)),
        "Bowel": _tube([(-112, -24, -80), (-66, -48, -84), (0, -52, -92)], 17),
        "Stomach": _ellipsoid((58, -26, -28), (44, 32, 34), tilt=-15),
    }


def _ellipsoid(centre: Sequence[float], semi_axes: Sequence[float], tilt: float = 0.0) -> Ellipsoid:
    """In mm, turned by ``tilt`` [degree] about the axis from front to back."""
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return Ellipsoid(MM * np.asarray(centre, float), MM * np.asarray(semi_axes, float), turn)


def _tube(points: Sequence[Sequence[float]], radius: float) -> Tube:
    return Tube(MM * np.asarray(points, float), radius * MM)


@dataclass(frozen=True, eq=False)
class _Larger:
    """A shape with ``by`` [m] more all round."""

    shape: Shape
    by: float

    def distance(self, points: Array) -> Array:
        return self.shape.distance(points) - self.by

    def bounds(self) -> tuple[Array, Array]:
        lower, upper = self.shape.bounds()
        return lower - self.by, upper + self.by


def _larger(shape: Shape, by: float) -> Shape:
    return _Larger(shape, by)


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is within an ellipse around the body's axis; not a true distance, but its sign."""

    centre: tuple[float, float]  # mm
    semi_axes: tuple[float, float]  # mm

    def distance(self, points: Array) -> Array:
        offset = (points[:, :2] - MM * np.array(self.centre)) / (MM * np.array(self.semi_axes))
        return np.asarray((np.linalg.norm(offset, axis=1) - 1.0) * MM * min(self.semi_axes))

    def bounds(self) -> tuple[Array, Array]:
        reach = MM * np.array([*self.semi_axes, 0.0])
        return np.array([-reach[0], -reach[1], LOWER[2]]), np.array([reach[0], reach[1], UPPER[2]])


@dataclass(frozen=True, eq=False)
class _Above:
    """What is higher than ``z`` [m]."""

    z: float

    def distance(self, points: Array) -> Array:
        return np.asarray(self.z - points[:, 2])

    def bounds(self) -> tuple[Array, Array]:
        return np.array([*LOWER[:2], self.z]), UPPER
