"""Cubic voxels along the patient's axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.frames import from_lps

Array = NDArray[np.float64]
SPACING = 1e-3
REACH = 0.03
"""how far [m] from the conducting parts the zone is looked at"""


@dataclass(frozen=True)
class Grid:
    """Numbers of voxels along each axis, and ``to_world`` (4, 4), which takes voxel numbers to LPS metres."""

    shape: tuple[int, int, int]
    to_world: Array

    @classmethod
    def _from(cls, first: Array, edge: float, counts: Array) -> Grid:
        """Voxels of ``edge`` [m], the middle of the first at ``first``."""
        to_world = np.diag([edge, edge, edge, 1.0])
        to_world[:3, 3] = first
        nx, ny, nz = (max(int(n), 1) for n in counts)
        return cls((nx, ny, nz), to_world)

    @classmethod
    def around(cls, points: Array) -> Grid:
        """Voxels as far as ``REACH`` around points (n, 3), on whole millimetres, so that poses share their lattice."""
        low = np.floor((points.min(axis=0) - REACH) / SPACING)
        high = np.ceil((points.max(axis=0) + REACH) / SPACING)
        return cls._from(low * SPACING, SPACING, high - low + 1)

    @classmethod
    def over(cls, low: Array, high: Array, *, finest: float, most: int) -> Grid:
        """Voxels over a box, as fine as ``finest`` [m] and ``most`` of them allow."""
        edge = max(finest, float(np.cbrt((high - low).prod() / most)))
        return cls._from(low + 0.5 * edge, edge, np.ceil((high - low) / edge))

    @property
    def edge(self) -> float:
        """Length of a voxel's edge [m]."""
        return float(self.to_world[0, 0])

    def axes(self) -> list[Array]:
        """The voxels' middles along each axis [m]."""
        return [self.to_world[k, 3] + self.edge * np.arange(self.shape[k]) for k in range(3)]

    def points(self) -> Array:
        """The voxels' middles (n, 3) [m]."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1).reshape(-1, 3)

    def told(self) -> dict[str, Any]:
        """As the page takes it: affine to RAS millimetres, row by row."""
        return {"dim": list(self.shape), "affine": from_lps(self.to_world, "RAS").ravel().round(6).tolist()}
