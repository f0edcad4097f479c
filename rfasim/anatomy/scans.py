"""Scans from files: values on a lattice of voxels (NIfTI, NRRD, a folder of DICOM slices); the grid of any image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.labels import LabelImage
from rfasim.anatomy.reading import SEG, check_dicom, first_line, missing, nifti_volume, nrrd_volume, read_labels
from rfasim.errors import InputError
from rfasim.frames import placed

Array = NDArray[np.float64]
KINDS = "a NIfTI (.nii, .nii.gz) or NRRD (.nrrd, .nhdr) file, or a folder with the slices of one DICOM series"


@dataclass(frozen=True, eq=False)
class Scan:
    """``values`` (nx, ny, nz), in Hounsfield units for CT; ``to_world`` (4, 4): voxel numbers to LPS metres;
    ``slices``: of a DICOM series, its files as pydicom datasets without pixels."""

    values: NDArray[np.float32]
    to_world: Array
    slices: tuple[Any, ...] = field(default=(), repr=False)

    def sample(self, points: Array) -> Array:
        """Values at points (n, 3; LPS metres), linear between voxels' middles; NaN outside of the scan."""
        from scipy.ndimage import map_coordinates

        inverse = np.linalg.inv(self.to_world)
        numbers = points @ inverse[:3, :3].T + inverse[:3, 3]
        found = map_coordinates(self.values, np.clip(numbers, 0, np.array(self.values.shape) - 1).T, order=1)
        beyond = ((numbers < -0.5) | (numbers > np.array(self.values.shape) - 0.5)).any(axis=1)
        return np.where(beyond, np.nan, found)


def read_scan(path: str | Path) -> Scan:
    """The scan in a file or a folder. Raises InputError where there is none that can be read."""
    path = Path(path)
    if not path.exists():
        raise InputError(str(path), f"cannot be read: there is no such file or folder; give {KINDS}")
    if path.is_dir():
        return _series(path)
    with open(path, "rb") as file:
        head = file.read(132)
    if head[128:] == b"DICM":
        raise InputError(str(path), "is a single DICOM file; give the folder with all slices of the scan")
    if path.name.lower().endswith((".nrrd", ".nhdr")) or head.startswith(b"NRRD"):
        data, world, _, layers = nrrd_volume(str(path))
        if layers:
            raise InputError(str(path), "has several volumes; a scan is one")
    else:
        data, world, _ = nifti_volume(str(path))
    return Scan(np.asarray(data, np.float32), world)


def _series(folder: Path) -> Scan:
    """The one series of slices in a folder."""
    try:
        import highdicom
        import pydicom
    except ImportError:
        raise missing(str(folder), "highdicom", "dicom") from None
    found: dict[str, list[Any]] = {}
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        try:
            check_dicom(file)
            data = pydicom.dcmread(file)
            kind = str(data.get("SOPClassUID", ""))
            is_slice = kind != SEG and "ImagePositionPatient" in data and "PixelData" in data
            series = str(data.get("SeriesInstanceUID", ""))
        except InputError:
            raise
        except Exception:
            continue  # not DICOM, or damaged: said below when nothing else is there
        if is_slice:
            found.setdefault(series, []).append(data)
    if len(found) != 1:
        counts = ", ".join(f"{len(slices)} slices" for slices in found.values())
        what = f"holds {len(found)} series ({counts}); give a folder with one" if found else (
            f"holds no slices of a DICOM scan; give {KINDS}")  # fmt: skip
        raise InputError(str(folder), what)
    (slices,) = found.values()
    try:
        volume: Any = highdicom.get_volume_from_series(slices, dtype=np.float32)
    except MemoryError:
        raise InputError(str(folder), "has more voxels than fit into memory; crop it") from None
    except Exception as error:  # pydicom and highdicom raise what their parsing meets
        raise InputError(str(folder), f"its slices make no volume ({first_line(error)})") from None
    world = placed(str(folder), np.array(volume.affine, dtype=np.float64), "LPS")
    for data in slices:
        del data.PixelData
    return Scan(np.asarray(volume.array, np.float32), world, tuple(slices))


def read_grid(path: str | Path) -> LabelImage:
    """The voxels of any image, a scan or labels: an image without labels on its grid."""
    try:
        image = read_scan(path)
    except InputError:
        labels = read_labels(path)
        return LabelImage(np.zeros(labels.data.shape, np.uint8), labels.to_world)
    return LabelImage(np.zeros(image.values.shape, np.uint8), image.to_world)
