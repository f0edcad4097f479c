"""Exact cuts through a mesh of simplices: planes, isosurfaces and outlines for pictures.

A nodal field is linear in a simplex, so its zero set is a polygon there: a segment in a triangle, a
triangle or a quadrilateral in a tetrahedron (marching simplices). Cut points are shared between neighbours,
so the pieces join.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """The zero set of a nodal field: point i lies on mesh edge ``ends[i]``, a share ``weights[i]`` along it.

    ``pieces`` (n, dim) are segments or triangles of these points, ``parents`` (n,) the simplices they lie in.
    """

    ends: Indices
    weights: Floats
    pieces: Indices
    parents: Indices

    def values(self, nodal: NDArray[Any]) -> NDArray[np.float64]:
        """A nodal field, or the nodes' coordinates ``(n_nodes, dim)``, at the cut's points."""
        a, b = nodal[self.ends[:, 0]], nodal[self.ends[:, 1]]
        w = self.weights.reshape(-1, *[1] * (nodal.ndim - 1))
        return np.asarray(a + w * (b - a), dtype=np.float64)


def cut(simplices: NDArray[Any], level: NDArray[Any]) -> Cut:
    """Where the nodal field ``level`` is zero in ``simplices`` (triangles (n, 3) or tetrahedra (n, 4)).

    A simplex with a whole facet at zero contributes that facet once, from its negative side.
    """
    simplices = np.asarray(simplices, dtype=np.int64)
    level = np.asarray(level, dtype=np.float64)
    inside = (level >= 0.0)[simplices]
    n_inside = inside.sum(axis=1)
    found: list[tuple[Indices, Indices]] = []  # (cut edges of each piece (n, dim, 2), parents)
    corners = simplices.shape[1]
    crossed = np.flatnonzero((n_inside > 0) & (n_inside < corners))
    # corners with the inside ones first
    order = np.argsort(~inside[crossed], axis=1, kind="stable")
    nodes, count = np.take_along_axis(simplices[crossed], order, axis=1), n_inside[crossed]
    for k in range(1, corners):
        some = count == k
        corner, parents = nodes[some], crossed[some]
        pairs = [(i, o) for i in range(k) for o in range(k, corners)]
        # a quadrilateral 0-1-3-2 as two triangles
        halves = [[pairs[0], pairs[1], pairs[3]], [pairs[0], pairs[3], pairs[2]]] if len(pairs) == 4 else []
        fans = halves if corners == 4 and k == 2 else [pairs]
        found += [(np.stack([corner[:, pair] for pair in fan], axis=1), parents) for fan in fans]
    edges = np.concatenate([piece for piece, _ in found]).reshape(-1, 2)
    parents = np.concatenate([parent for _, parent in found])
    edges.sort(axis=1)
    a, b = level[edges[:, 0]], level[edges[:, 1]]
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = a / (a - b)
    # a cut exactly at a node is one point, whichever edge it was found on
    edges = np.where(
        (weights == 0.0)[:, None], edges[:, :1], np.where((weights == 1.0)[:, None], edges[:, 1:], edges)
    )
    key = edges[:, 0] * (len(level) + 1) + edges[:, 1]
    _, first, new = np.unique(key, return_index=True, return_inverse=True)
    pieces = new.reshape(-1, corners - 1)
    proper = np.all(np.diff(np.sort(pieces, axis=1), axis=1) > 0, axis=1)
    return Cut(edges[first], np.where(edges[first, 0] == edges[first, 1], 0.0, weights[first]),
               pieces[proper].astype(np.int64), parents[proper])  # fmt: skip


def facing_out(surface: Cut, points: Floats, simplices: NDArray[Any], level: NDArray[Any]) -> Indices:
    """The pieces of a cut, each turned so that its normal points to where ``level`` is negative.

    The normal of a segment is to its right, that of a triangle follows the right-hand rule.
    """
    corners = surface.values(points)[surface.pieces]
    if corners.shape[1] == 2:
        along = corners[:, 1] - corners[:, 0]
        normals = np.column_stack([along[:, 1], -along[:, 0]])
    else:
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    parents = np.asarray(simplices, dtype=np.int64)[surface.parents]
    f = level[parents]
    downhill = np.einsum("ij,ijk->ik", f.mean(axis=1, keepdims=True) - f, points[parents])
    turned = np.einsum("ij,ij->i", normals, downhill) < 0.0
    return np.where(turned[:, None], surface.pieces[:, ::-1], surface.pieces)


def without_slivers(points: Floats, pieces: NDArray[Any], size: float) -> tuple[Floats, Indices]:
    """Merge points in the same cube of edge ``size``; segments and triangles that lose a corner go."""
    _, new = np.unique(np.floor(points / size).astype(np.int64), axis=0, return_inverse=True)
    merged = new.ravel()[pieces]
    merged = merged[np.all(np.diff(np.sort(merged, axis=1), axis=1) > 0, axis=1)]
    _, once = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)
    count = np.bincount(new.ravel())
    sums = [np.bincount(new.ravel(), weights=column) for column in points.T]
    return np.stack(sums, axis=1) / count[:, None], merged[np.sort(once)].astype(np.int64)


def off_the_device(lines: list[Floats], device: Floats, distance: float = 1.0) -> NDArray[np.bool_]:
    """Which ``lines`` (each (n, dim)) are more than the rim of the ``device`` points, within ``distance``.

    A cooled contact has a thin skin of cold tissue, whose border tells nothing. Where all lines hug it
    (early in a run) all count.
    """
    from scipy.spatial import cKDTree

    if len(device) == 0:
        return np.ones(len(lines), dtype=np.bool_)
    tree = cKDTree(device)
    reach = [float(np.max(tree.query(line)[0], initial=0.0)) for line in lines]
    away = np.array(reach, dtype=np.float64) > distance
    return away if away.any() else ~away


def connected(pieces: NDArray[Any], n_points: int) -> Indices:
    """A number for each of ``pieces`` (n, k), equal where they hang together by common points."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = np.repeat(pieces[:, :1], pieces.shape[1] - 1, axis=1).ravel()
    ones = np.ones(len(first), dtype=np.int8)
    graph = coo_array((ones, (first, pieces[:, 1:].ravel())), shape=(n_points, n_points))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(labels[pieces[:, 0]], dtype=np.int64)


def chains(segments: NDArray[Any]) -> list[Indices]:
    """``segments`` (n, 2) joined into lines of point indices; a closed line ends where it starts."""
    neighbours: dict[int, list[int]] = {}
    for a, b in segments.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    lines = []
    ends = [point for point, others in neighbours.items() if len(others) % 2]
    for start in [*ends, *neighbours]:
        while neighbours[start]:
            line = [start]
            while neighbours[line[-1]]:
                here = line[-1]
                there = neighbours[here].pop()
                neighbours[there].remove(here)
                line.append(there)
                if there == start:
                    break
            lines.append(np.array(line, dtype=np.int64))
    return lines


def revolve(profile: Floats, segments: NDArray[Any], n: int = 96) -> tuple[Floats, Indices]:
    """Points and triangles that ``segments`` (k, 2) of ``profile`` (r, z) sweep around the z axis."""
    angle = 2.0 * np.pi * np.arange(n) / n
    r, z = profile[:, 0, None], profile[:, 1, None]
    points = np.stack([r * np.cos(angle), r * np.sin(angle), np.broadcast_to(z, (len(profile), n))], axis=-1)
    i, j = np.arange(n), (np.arange(n) + 1) % n
    a, b = segments[:, 0, None] * n, segments[:, 1, None] * n
    quads = np.stack([a + i, a + j, b + j, b + i], axis=-1).reshape(-1, 4)
    return points.reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int64)
