"""Patient coordinates: the one place where millimetres and axes of files become LPS metres, and back.

Inside rfasim points are metres in DICOM's frame LPS (x to the patient's left, y to the back, z to the head). NIfTI has
RAS (right, front, head); NRRD, DICOM and 3D Slicer's markups have LPS, or say what they have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rfasim.errors import InputError

Array = NDArray[np.float64]

# the direction that each letter of a frame's name points to, in LPS
_AXES = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
UNITS = {"meter": 1.0, "m": 1.0, "mm": 1e-3, "cm": 1e-2, "micron": 1e-6, "um": 1e-6, "unknown": 1e-3}
"""metres of a unit as files name them; millimetres where they say nothing"""


def to_lps(frame: str, unit: str = "mm") -> Array:
    """The matrix (4, 4) that takes coordinates of ``frame``, three letters such as RAS, in ``unit`` to LPS metres.

    Raises KeyError for a frame that is none.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = UNITS[unit] * np.array([_AXES[letter] for letter in frame], dtype=np.float64).T
    if abs(np.linalg.det(matrix)) == 0.0:
        raise KeyError(frame)
    return matrix


def placed(path: str, affine: Array, frame: str, unit: str = "mm") -> Array:
    """Voxel numbers to LPS metres (4, 4), from ``affine``, voxel numbers to ``frame``; raises InputError with the
    ``path`` of the file where that gives voxels without volume."""
    axes = affine[:3, :3]
    with np.errstate(over="ignore"):  # numbers of a damaged file: infinite lengths have no volume below
        lengths = np.linalg.norm(axes, axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not (lengths > 0).all() or abs(np.linalg.det(axes / np.where(lengths > 0, lengths, 1.0))) < 1e-3:
        raise InputError(path, "has voxels without volume: its affine matrix is singular or holds NaN")
    world: Array = to_lps(frame, unit) @ affine
    return world


def from_lps(to_world: Array, frame: str) -> Array:
    """Voxel numbers to millimetres of ``frame`` (4, 4), from voxel numbers to LPS metres."""
    matrix: Array = np.linalg.inv(to_lps(frame)) @ to_world
    return matrix
