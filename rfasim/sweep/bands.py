"""How sure the zone is: on each voxel the share of runs that ablate it, and the band between sure and hardly ever."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.sweep.kept import UNKNOWN, ZONES, zarr

Array = NDArray[np.float64]
LEVELS = (0.95, 0.5, 0.05)


@dataclass(frozen=True)
class Band:
    """The share of runs whose zone holds each voxel; ``axes`` are the voxels' middles [m], (r, z) or (x, y, z)."""

    probability: Array
    axes: tuple[Array, ...]
    runs: int

    @property
    def axisymmetric(self) -> bool:
        """Whether the voxels are rings."""
        return len(self.axes) == 2

    @property
    def spacing(self) -> float:
        """Edge of a voxel [m]."""
        return float(self.axes[-1][1] - self.axes[-1][0])

    @property
    def voxel_volumes(self) -> Array:
        """The volume [m^3] of each voxel."""
        edge = self.spacing
        if not self.axisymmetric:
            return np.full(self.probability.shape, edge**3)
        r = self.axes[0]
        return np.broadcast_to((2 * np.pi * r * edge**2)[:, None], self.probability.shape)

    def volume(self, share: float) -> float:
        """The volume [m^3] that is ablated in at least ``share`` of the runs."""
        return float(self.voxel_volumes[self.probability >= share].sum())

    def volumes(self) -> dict[str, float]:
        """The volumes [ml] of the band."""
        return {f"ablated_in_{100 * share:.0f}_percent_ml": 1e6 * self.volume(share) for share in LEVELS}

    def at(self, points: Array) -> Array:
        """The probability at points (n, 3) [m]; 0 outside of the voxels."""
        from scipy.interpolate import RegularGridInterpolator

        values, to_world = self.in_three_dimensions()
        axes = [first + self.spacing * np.arange(n) for first, n in zip(to_world[:3, 3], values.shape, strict=True)]
        return np.asarray(RegularGridInterpolator(axes, values, bounds_error=False, fill_value=0.0)(points))

    def in_three_dimensions(self) -> tuple[Array, Array]:
        """The probability on (x, y, z), and the matrix (4, 4) from voxels to LPS metres."""
        edge = self.spacing
        if self.axisymmetric:
            r, z = self.axes
            x = (np.arange(2 * len(r)) - len(r) + 0.5) * edge
            distance = np.hypot(*np.meshgrid(x, x, indexing="ij"))
            # linear between rings; what lies farther out than the last ring is outside
            k = np.clip(distance / edge - 0.5, 0.0, len(r) - 1.0)
            low = np.minimum(k.astype(int), len(r) - 2)
            part = (k - low)[..., None]
            values = (1 - part) * self.probability[low] + part * self.probability[low + 1]
            values = np.where((distance <= r[-1] + edge / 2)[..., None], values, 0.0)
            first = np.array([x[0], x[0], z[0]])
        else:
            values, first = self.probability, np.array([axis[0] for axis in self.axes])
        to_world = np.diag([edge, edge, edge, 1.0])
        to_world[:3, 3] = first
        return values, to_world

    def surface(self, share: float) -> Array:
        """Triangles (n, 3, 3) [m, LPS] around what is ablated in at least ``share`` of the runs."""
        from skimage.measure import marching_cubes

        values, to_world = self.in_three_dimensions()
        padded = np.pad(values, 1)
        if not padded.min() < share <= padded.max():
            return np.zeros((0, 3, 3))
        points, faces, _, _ = marching_cubes(padded, share)
        return np.asarray(((points - 1) @ to_world[:3, :3].T + to_world[:3, 3])[faces])


def band(folder: Path, runs: Any, chunk: int = 64) -> Band | None:
    """The band of the zones that are kept in ``folder``, of these ``runs``; None where none are kept."""
    path = folder / ZONES
    if not path.exists() or len(runs) == 0:
        return None
    array = zarr().open_array(path, mode="r")
    hits = np.zeros(array.shape[1:])
    known = np.zeros(array.shape[1:])
    used = 0
    for start in range(0, len(runs), chunk):
        part = np.asarray(array.oindex[np.asarray(runs[start : start + chunk])])
        used += len(part)
        hits += (part == 1).sum(axis=0)
        known += (part != UNKNOWN).sum(axis=0)
    # where a device lies in some runs the others tell; where it lies in all of them, what is around is asked
    probability = np.divide(hits, known, out=np.full(hits.shape, np.nan), where=known > 0)
    axes = tuple(np.array(axis) for axis in array.attrs["axes_m"])
    return Band(_filled(probability), axes, used)


def _filled(values: Array) -> Array:
    """``values`` with the nearest known one where nothing is known."""
    from scipy.ndimage import distance_transform_edt

    unknown = np.isnan(values)
    if not unknown.any() or unknown.all():
        return np.nan_to_num(values)
    index = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(index)])
