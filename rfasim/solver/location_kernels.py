"""The loop of :class:`rfasim.solver.location.Locator`: points, and the cells around nodes near them."""

from __future__ import annotations

from rfasim.jit import kernel
from rfasim.solver.space import Array


@kernel
def locate(x: Array, near: Array, starts: Array, around: Array, points: Array, cells: Array, sliver: float,
           found: Array, weights: Array) -> None:  # fmt: skip
    """For each point ``x`` (n, d) the cell of the lowest number that holds it, of those around the nodes ``near``
    (n, count) (as ``starts`` and ``around`` list them), into ``found`` (-1: none) and its ``weights`` (n, d + 1)."""
    d = x.shape[1]
    for row in range(len(x)):
        best = -1
        w1 = w2 = w3 = 0.0
        for k in range(near.shape[1]):
            node = near[row, k]
            for place in range(starts[node], starts[node + 1]):
                cell = around[place]
                if best >= 0 and cell >= best:
                    continue
                o, a, b = cells[cell, 0], cells[cell, 1], cells[cell, 2]
                px, py = x[row, 0] - points[o, 0], x[row, 1] - points[o, 1]
                ax, ay = points[a, 0] - points[o, 0], points[a, 1] - points[o, 1]
                bx, by = points[b, 0] - points[o, 0], points[b, 1] - points[o, 1]
                if d == 2:
                    det = ax * by - ay * bx
                    u, v, w = (px * by - py * bx) / det, (ax * py - ay * px) / det, 0.0
                else:
                    c = cells[cell, 3]
                    pz, az, bz = x[row, 2] - points[o, 2], points[a, 2] - points[o, 2], points[b, 2] - points[o, 2]
                    cx, cy, cz = points[c, 0] - points[o, 0], points[c, 1] - points[o, 1], points[c, 2] - points[o, 2]
                    nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
                    det = ax * nx + ay * ny + az * nz
                    u = (px * nx + py * ny + pz * nz) / det
                    if u < -sliver:
                        continue
                    qx, qy, qz = py * az - pz * ay, pz * ax - px * az, px * ay - py * ax
                    v = -(qx * cx + qy * cy + qz * cz) / det
                    w = (qx * bx + qy * by + qz * bz) / det
                if min(u, v, w, 1.0 - u - v - w) >= -sliver:
                    best, w1, w2, w3 = cell, u, v, w
        found[row] = best
        if best >= 0:
            w0, w1, w2, w3 = max(1.0 - w1 - w2 - w3, 0.0), max(w1, 0.0), max(w2, 0.0), max(w3, 0.0)
            total = w0 + w1 + w2 + w3
            weights[row, 0], weights[row, 1], weights[row, 2] = w0 / total, w1 / total, w2 / total
            if d == 3:
                weights[row, 3] = w3 / total
