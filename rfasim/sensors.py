"""Temperatures at points: the probes of a case, and the devices' own thermocouples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rfasim.errors import InputError
from rfasim.solver import surface
from rfasim.solver.space import Array

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.domain import Domain


class Probes:
    """Temperatures at stated points, by linear interpolation in the cell that holds each."""

    def __init__(self, case: Case, domain: Domain) -> None:
        self.names = [probe.name for probe in case.probes]
        self.nodes = np.zeros((len(self.names), domain.mesh.dim + 1), np.int64)
        self.weights = np.zeros(self.nodes.shape)
        for k, probe in enumerate(case.probes):
            x = np.array(probe.at, dtype=float)
            if domain.mesh.axisymmetric:
                x = np.array([np.hypot(x[0], x[1]), x[2]])
            self.nodes[k], self.weights[k] = _locate(domain, x, f"probes[{k}].at")

    def __call__(self, T: Array) -> dict[str, float]:
        values = (self.weights * T[self.nodes]).sum(axis=1)
        return {name: float(value) for name, value in zip(self.names, values, strict=True)}


def _locate(domain: Domain, x: Array, path: str) -> tuple[Array, Array]:
    """Vertices and barycentric weights of the cell that holds ``x``."""
    points, cells = domain.space.points, domain.space.cells
    corners = points[cells]
    near = np.flatnonzero(np.all((corners.min(axis=1) <= x + 1e-9) & (corners.max(axis=1) >= x - 1e-9), axis=1))
    if len(near):
        p = corners[near]
        rest = np.linalg.solve(np.swapaxes(p[:, 1:] - p[:, :1], 1, 2), (x - p[:, 0])[..., None])[..., 0]
        weights = np.concatenate([1 - rest.sum(axis=1, keepdims=True), rest], axis=1)
        best = int(np.argmax(weights.min(axis=1)))
        # a point on the polygonal skin of a device may lie outside all cells by a sliver
        if weights[best].min() > -0.2:
            clipped = np.maximum(weights[best], 0.0)
            return cells[near[best]].astype(np.int64), clipped / clipped.sum()
    where = ", ".join(f"{1e3 * value:g}" for value in x)
    raise InputError(path, f"({where}) mm lies in no cell of the mesh; move it into the tissue of the domain")


class Thermocouples:
    """The sensors on the devices at a deployment stage, as ``electrodes[0].<name>``.

    A sensor in a device feels its metal: the mean over the device's surface within one width of it. One that is not in
    a device feels the nearest node of ``tissue`` (node numbers).
    """

    def __init__(self, case: Case, domain: Domain, tissue: Array, stage: int) -> None:
        self.names: list[str] = []
        self.places: list[tuple[Array, Array]] = []  # nodes and weights
        mesh = domain.mesh
        for index, device in enumerate(case.electrodes):
            prefix = f"electrodes[{index}]."
            facets = [mesh.facets[name] for name in mesh.facets if name.startswith(prefix)]
            area = surface.nodal_area(mesh.points, np.concatenate([np.zeros((0, mesh.dim), np.uint32), *facets]))
            on_surface = np.flatnonzero(area > 0)
            width = device.smallest_feature
            for name, point in device.thermocouples_at(stage):
                x = np.array([np.hypot(point[0], point[1]), point[2]]) if mesh.axisymmetric else np.asarray(point)
                near = on_surface[np.linalg.norm(mesh.points[on_surface] - x, axis=1) <= width]
                if device.shape().distance(np.atleast_2d(point))[0] > 0.1 * width or len(near) == 0:
                    nearest = np.argmin(((mesh.points[tissue] - x) ** 2).sum(axis=1))
                    place = tissue[[nearest]], np.ones(1)
                else:
                    place = near, area[near] / area[near].sum()
                self.names.append(prefix + name)
                self.places.append(place)

    def read(self, T: Array) -> tuple[float, ...]:
        """What they show [degC] where the nodes have the temperatures ``T``."""
        return tuple(float((weights * T[nodes]).sum()) for nodes, weights in self.places)
