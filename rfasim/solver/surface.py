"""Surface integrals on named facets: areas, far-field factors, lumped to nodes."""

from __future__ import annotations

import numpy as np

from rfasim.solver.space import Array


def facet_measures(points: Array, facets: Array) -> tuple[Array, Array]:
    """Lumped area of each vertex of each facet [m^2] and unit normals (n, d) (their sign is not defined).

    In the (r, z) plane a facet is a segment and its vertex i owns ``2 pi L (2 r_i + r_j)/6`` of the ring.
    """
    p = points[facets]
    if points.shape[1] == 3:
        cross = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
        double = np.linalg.norm(cross, axis=1)
        return np.repeat((double / 6.0)[:, None], 3, axis=1), cross / np.maximum(double, 1e-300)[:, None]
    along = p[:, 1] - p[:, 0]
    length = np.linalg.norm(along, axis=1)
    r = p[:, :, 0]
    shares = 2 * np.pi * length[:, None] * (r + r.sum(axis=1, keepdims=True)) / 6.0
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.maximum(length, 1e-300)[:, None]
    return shares, normals


def nodal_area(points: Array, facets: Array) -> Array:
    """Lumped area of each node of the mesh on ``facets`` [m^2]."""
    shares, _ = facet_measures(points, facets)
    return np.bincount(facets.ravel(), weights=shares.ravel(), minlength=len(points))


def far_field_factor(points: Array, facets: Array, centre: Array) -> Array:
    """Vertex integrals of ``n . (x - s) / |x - s|^2`` [m]: a field that decays like 1/|x - s| has

    ``du/dn = -factor u``, the asymptotic condition for a compact source at ``centre`` in unbounded tissue
    (Altrogge et al., Acad. Radiol. 2007). (r, z) centres lie on the axis.
    """
    shares, normals = facet_measures(points, facets)
    middle = points[facets].mean(axis=1) - centre
    outward = np.abs(np.einsum("ij,ij->i", normals, middle))
    factor = outward / np.einsum("ij,ij->i", middle, middle)
    return np.asarray(shares * factor[:, None])


def sheet_edges(points: Array, facets: Array) -> tuple[Array, Array, Array]:
    """Edges (i, j) of the ``facets`` and what a film of unit conductance on them conducts along each: in 3-D half the
    cotangent of the opposite angle, in the (r, z) plane ``2 pi r / length``."""
    if points.shape[1] == 2:
        p = points[facets]
        length = np.linalg.norm(p[:, 1] - p[:, 0], axis=1)
        return facets[:, 0], facets[:, 1], np.pi * p[:, :, 0].sum(axis=1) / length
    first, second, weights = [], [], []
    for k in range(3):
        a, b, c = facets[:, k], facets[:, (k + 1) % 3], facets[:, (k + 2) % 3]
        u, v = points[a] - points[c], points[b] - points[c]
        double = np.linalg.norm(np.cross(u, v), axis=1)
        first.append(a)
        second.append(b)
        weights.append(0.5 * np.einsum("ij,ij->i", u, v) / np.maximum(double, 1e-300))
    return np.concatenate(first), np.concatenate(second), np.concatenate(weights)


def nodes_of(facets: Array) -> Array:
    """The nodes of ``facets``, sorted."""
    return np.unique(facets)


def facet_cells(cells: Array, facets: Array, preferred: Array | None = None) -> Array:
    """A cell behind each facet; where two share it, the one marked in ``preferred`` (n_cells,) bool."""
    n, d = int(cells.max()) + 1, cells.shape[1] - 1
    if len(facets) == 0:
        return np.zeros(0, np.int64)
    corners = np.unique(facets)
    number = np.full(max(n, int(corners[-1]) + 1), -1, np.int64)
    number[corners] = np.arange(len(corners))
    wanted = _face_keys(number[facets], len(corners))
    near = np.flatnonzero((number[cells] >= 0).sum(axis=1) >= d)
    if preferred is not None:
        near = near[np.argsort(~preferred[near], kind="stable")]
    own = number[cells[near]]
    keys, owners = [], []
    for drop in range(d + 1):
        faces = np.delete(own, drop, axis=1)
        whole = (faces >= 0).all(axis=1)
        keys.append(_face_keys(faces[whole], len(corners)))
        owners.append(near[whole])
    key, owner = np.concatenate(keys), np.concatenate(owners)
    if preferred is not None:
        order = np.argsort(~preferred[owner], kind="stable")
        key, owner = key[order], owner[order]
    known, place = np.unique(wanted, return_inverse=True)
    at = np.minimum(np.searchsorted(known, key), len(known) - 1)
    fits = known[at] == key
    found = np.full(len(known), -1, np.int64)
    found[at[fits][::-1]] = owner[fits][::-1]  # of several the first
    if (found < 0).any():
        raise KeyError("a facet belongs to no cell")
    return np.asarray(found[place.reshape(-1)])


def _face_keys(faces: Array, n: int) -> Array:
    """One number for each set of corners; ``n`` corners there are, so that the numbers of 3 fit up to two million."""
    ordered = np.sort(faces, axis=1)
    key = ordered[:, 0]
    for column in ordered.T[1:]:
        key = key * n + column
    return np.asarray(key)
