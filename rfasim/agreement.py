"""A predicted zone in the patient's images, and how well it agrees with a segmented ablation.

- *Dice*: twice the common volume over the sum of both.
- *Surface distance*: from points all over either surface to the other one; their mean, the 95th percentile, and the
  largest (Hausdorff).

Both are measured on smooth surfaces through the voxels (:mod:`rfasim.anatomy.smooth`), so distances are no better than
a share of a voxel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy import LabelImage, LabelShape, read_labels
from rfasim.errors import InputError
from rfasim.exports import ZONE, zone_image
from rfasim.frames import to_lps
from rfasim.scene import read_scene
from rfasim.solver.level_set import distances_between

Array = NDArray[np.float64]
def read_registration(path: Path) -> Array:
    """A rigid motion (4, 4) in LPS metres from a text file: 4 lines of 4 numbers, in LPS millimetres."""
    try:
        matrix = np.loadtxt(path)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from None
    except ValueError:
        matrix = np.zeros(0)
    turn = matrix[:3, :3] if matrix.shape == (4, 4) else np.zeros((3, 3))
    if matrix.shape != (4, 4) or not np.allclose(turn.T @ turn, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise InputError(str(path), "is no rigid motion: give 4 lines of 4 numbers, a rotation and a shift in mm (LPS)")
    scale = to_lps("LPS")
    moved: Array = scale @ matrix @ np.linalg.inv(scale)
    return moved


def compare(predicted: LabelImage, actual: LabelImage, *, predicted_label: int | str = ZONE,
            actual_label: int | str = 1, registration: Array | None = None) -> dict[str, Any]:  # fmt: skip
    """How well the predicted zone agrees with the actual one; ``registration`` (4, 4; LPS metres) moves the first.

    Raises InputError where a label is missing.
    """
    shapes = []
    for image, label, path in ((predicted, predicted_label, "PREDICTED"), (actual, actual_label, "ACTUAL")):
        numbers = image.numbers(label)
        if not numbers:
            raise InputError(path, f"has no label '{label}'; there are: {image.describe()}")
        if path == "PREDICTED" and registration is not None:
            image = LabelImage(image.data, registration @ image.to_world, image.names)
        shapes.append(LabelShape(image, numbers))
    one, other = shapes
    surfaces = [shape.surface() for shape in shapes]
    (there, back), areas = distances_between(*surfaces)
    both, weights = np.concatenate([there, back]), np.concatenate(areas)
    order = np.argsort(both)
    share = np.cumsum(weights[order]) / weights.sum()
    volumes, common = _volumes(one, other)
    return {
        "dice": 2 * common / sum(volumes),
        "mean_surface_distance_mm": 1e3 * 0.5 * sum(
            float(np.average(distance, weights=area)) for distance, area in zip((there, back), areas, strict=True)
        ),
        "surface_distance_95_mm": 1e3 * float(both[order][np.searchsorted(share, 0.95)]),
        "hausdorff_distance_mm": 1e3 * float(both.max()),
        "predicted_volume_ml": 1e6 * volumes[0],
        "actual_volume_ml": 1e6 * volumes[1],
        "common_volume_ml": 1e6 * common,
        "centre_distance_mm": 1e3 * float(np.linalg.norm(one.centre - other.centre)),
        "registration": registration is not None,
    }


def _volumes(one: LabelShape, other: LabelShape, most: int = 4_000_000) -> tuple[list[float], float]:
    """Both volumes [m^3] and what they have in common, by cubes of which each counts as far as it is within."""
    lower = np.minimum(one.bounds()[0], other.bounds()[0])
    upper = np.maximum(one.bounds()[1], other.bounds()[1])
    edge = max(0.5e-3, float(np.cbrt((upper - lower).prod() / most)))
    n = np.ceil((upper - lower) / edge).astype(int)
    volumes, common = np.zeros(2), 0.0
    y, z = (lower[k] + edge * (np.arange(n[k]) + 0.5) for k in (1, 2))
    plane = np.stack(np.meshgrid(y, z, indexing="ij"), axis=-1).reshape(-1, 2)
    for i in range(n[0]):
        points = np.column_stack([np.full(len(plane), lower[0] + edge * (i + 0.5)), plane])
        inside = [np.clip(0.5 - shape.distance(points) / edge, 0.0, 1.0) for shape in (one, other)]
        volumes += [float(part.sum()) for part in inside]
        common += float(np.minimum(*inside).sum())
    return (volumes * edge**3).tolist(), common * edge**3


def labels_of(path: Path, grid: LabelImage) -> LabelImage:
    """The zone of a result folder on ``grid``, or the label image at ``path``."""
    if (path / "summary.json").is_file():
        return zone_image(read_scene(path), grid)
    return read_labels(path)
