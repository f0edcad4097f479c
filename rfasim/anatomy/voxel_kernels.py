"""Loops over all voxels of an image."""

from __future__ import annotations

from typing import Any

from rfasim.jit import kernel


@kernel
def count_neighbours(cubes: Any, number: Any, counts: Any) -> None:
    """How many others each of the ``cubes`` (n, 3) touches; ``number`` (nx, ny, nz) has their numbers, elsewhere -1."""
    nx, ny, nz = number.shape
    for row in range(len(cubes)):
        i, j, k = cubes[row, 0], cubes[row, 1], cubes[row, 2]
        found = -1
        for x in range(max(i - 1, 0), min(i + 2, nx)):
            for y in range(max(j - 1, 0), min(j + 2, ny)):
                for z in range(max(k - 1, 0), min(k + 2, nz)):
                    found += number[x, y, z] >= 0
        counts[row] = found


@kernel
def list_neighbours(cubes: Any, number: Any, starts: Any, others: Any, moves: Any) -> None:
    """The cubes that each touches, in their order, from ``starts`` on, and in how many of three coordinates they
    differ."""
    nx, ny, nz = number.shape
    for row in range(len(cubes)):
        i, j, k = cubes[row, 0], cubes[row, 1], cubes[row, 2]
        at = starts[row]
        for x in range(max(i - 1, 0), min(i + 2, nx)):
            for y in range(max(j - 1, 0), min(j + 2, ny)):
                for z in range(max(k - 1, 0), min(k + 2, nz)):
                    other = number[x, y, z]
                    if other >= 0 and other != row:
                        others[at] = other
                        moves[at] = (x != i) + (y != j) + (z != k)
                        at += 1


@kernel
def box_distances(is_in: Any, inner: Any, outer: Any, spacing: Any, out: Any) -> None:
    """Signed distance [m] of each voxel's middle to the box of the nearest voxel of the other kind, negative where
    ``is_in`` (nx, ny, nz): that of ``inner`` (3, nx, ny, nz) there, elsewhere of ``outer``."""
    nx, ny, nz = is_in.shape
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                inside = is_in[x, y, z]
                nearest = inner if inside else outer
                a = max(abs(nearest[0, x, y, z] - x) - 0.5, 0.0) * spacing[0]
                b = max(abs(nearest[1, x, y, z] - y) - 0.5, 0.0) * spacing[1]
                c = max(abs(nearest[2, x, y, z] - z) - 0.5, 0.0) * spacing[2]
                distance = (a * a + b * b + c * c) ** 0.5
                out[x, y, z] = -distance if inside else distance


@kernel
def _nearer(values: Any, steps: Any, out: Any) -> None:
    """Along each row of ``values`` (n, m), squared distances, those with a way along the row added: the least of
    ``values[j] + steps[|i - j|]``, as far as ``steps`` go."""
    n, m = values.shape
    for row in range(n):
        for i in range(m):
            best = values[row, i]
            for j in range(max(i - len(steps) + 1, 0), min(i + len(steps), m)):
                best = min(best, values[row, j] + steps[abs(i - j)])
            out[row, i] = best


def within(mask: Any, reach: float, spacing: Any) -> Any:
    """Which voxels lie within ``reach`` [m] of one of ``mask`` (nx, ny, nz), from middle to middle."""
    import numpy as np

    values = np.where(mask, 0.0, np.inf)
    for axis in range(3):
        steps = (np.arange(int(reach / spacing[axis]) + 2) * spacing[axis]) ** 2
        turned = np.ascontiguousarray(np.moveaxis(values, axis, 2))
        rows = turned.reshape(-1, turned.shape[2])
        found = np.empty_like(rows)
        _nearer(rows, steps, found)
        values = np.moveaxis(found.reshape(turned.shape), 2, axis)
    return np.sqrt(values) <= reach
