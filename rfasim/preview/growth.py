"""When the tissue in each voxel died, while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.rasters import raster
from rfasim.mesh import Mesh
from rfasim.outcome import tissue_cells
from rfasim.preview.grid import Grid

Array = NDArray[np.float64]
NEVER = 65535


@dataclass
class Growth:
    """The second at which each voxel's tissue died, from the zone's level at one time after another."""

    mesh: Mesh
    grid: Grid
    died: NDArray[np.uint16] = field(init=False)
    """rounded up, at least 1; NEVER where it lives"""

    def __post_init__(self) -> None:
        self.died = np.full(self.grid.shape, NEVER, np.uint16)
        self._tissue = tissue_cells(self.mesh)
        self._before: tuple[float, Array] | None = None

    def add(self, time: float, level: Array) -> bool:
        """The nodal ``level`` (positive where dead) at ``time`` [s]; whether more has died.

        Between two times the level at a voxel is taken to change in a straight line.
        """
        cells = self.mesh.cells[self._tissue & (level[self.mesh.cells] >= 0.0).any(axis=1)]
        before, self._before = self._before, (time, level.copy())
        if len(cells) == 0:
            return False
        now = raster(self.mesh.points, cells, level, self.grid.shape, self.grid.to_world, -np.inf)
        new = (now >= 0.0) & (self.died == NEVER)
        if not new.any():
            return False
        when = np.full(int(new.sum()), time)
        if before is not None:
            start, old = before
            then = raster(self.mesh.points, cells, np.maximum(old, -1e3), self.grid.shape, self.grid.to_world, 0.0)[new]
            rise = now[new] - then
            share = np.clip(np.divide(-then, rise, out=np.ones_like(rise), where=rise > 0.0), 0.0, 1.0)
            when = start + (time - start) * share
        self.died[new] = np.clip(np.ceil(when), 1, NEVER - 1).astype(np.uint16)
        return True

    def bytes(self) -> bytes:
        """The voxels, x fastest."""
        return np.asarray(self.died, "<u2").tobytes(order="F")
