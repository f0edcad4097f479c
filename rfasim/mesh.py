"""The mesh: simplices with regions and named facets, their measures, and the refusal of broken ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rfasim import mesh_kernels as kernels
from rfasim.errors import InputError

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Positively oriented simplices: tetrahedra, or triangles in the (r, z) half plane when ``axisymmetric``.

    - ``points``: (n_nodes, dim) float64 [m]; axisymmetric: (r, z) with r >= 0.
    - ``cells``: (n_cells, dim + 1) uint32.
    - ``regions``: (n_cells,) int32, index into ``region_names``.
    - ``region_names``: one name a region.
    - ``facets``: named sets of facets, (n, dim) uint32; the normal of a boundary facet leaves the mesh, that of an
      interface leaves the region inside (in 2-D the normal is to the right of the edge).
    - ``axisymmetric``: volumes and areas then carry the weight 2 pi r.

    Raises InputError when the arrays do not fit together; :meth:`check` looks at the geometry.
    """

    points: Array
    cells: Indices
    regions: NDArray[np.int32]
    region_names: tuple[str, ...]
    facets: dict[str, Indices] = field(default_factory=dict)
    axisymmetric: bool = False

    def __post_init__(self) -> None:
        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        store("points", np.ascontiguousarray(self.points, dtype=np.float64))
        dim = self.points.shape[1] if self.points.ndim == 2 else 0
        if dim not in (2, 3):
            raise InputError("mesh.points", f"has shape {self.points.shape}; expected (n, 2) or (n, 3)")
        if self.axisymmetric and dim != 2:
            raise InputError("mesh.points", f"has {dim} columns; an axisymmetric mesh has two, (r, z)")
        store("cells", self._indices("mesh.cells", self.cells, dim + 1))
        store(
            "facets", {name: self._indices(f"mesh.facets[{name}]", f, dim) for name, f in self.facets.items()}
        )
        store("regions", np.ascontiguousarray(self.regions, dtype=np.int32))
        store("region_names", tuple(self.region_names))
        if self.regions.shape != (len(self.cells),):
            raise InputError(
                "mesh.regions",
                f"has shape {self.regions.shape}; expected one number for each of {len(self.cells)} cells",
            )
        if len(self.regions) and not (
            self.regions.min() >= 0 and self.regions.max() < len(self.region_names)
        ):
            raise InputError(
                "mesh.regions", f"names only {len(self.region_names)} regions, but numbers exceed them"
            )

    def _indices(self, path: str, value: NDArray[np.integer], width: int) -> Indices:
        array = np.asarray(value)
        if array.ndim != 2 or array.shape[1] != width:
            raise InputError(path, f"has shape {array.shape}; expected (n, {width})")
        if array.size and (int(array.min()) < 0 or int(array.max()) >= len(self.points)):
            raise InputError(path, f"points to nodes outside 0..{len(self.points) - 1}")
        return np.ascontiguousarray(array, dtype=np.uint32)

    @property
    def dim(self) -> int:
        """Number of coordinates: 3, or 2 for a section."""
        return int(self.points.shape[1])

    @property
    def n_nodes(self) -> int:
        return len(self.points)

    @property
    def n_cells(self) -> int:
        return len(self.cells)

    def volumes(self) -> Array:
        """Volume of each cell [m^3]; axisymmetric 2 pi r_mean area, which is the exact integral of 2 pi r."""
        out = np.empty(self.n_cells)
        kernels.signed_volumes(self.points, self.cells, out)
        if self.axisymmetric:
            out *= 2.0 * np.pi * self.points[:, 0][self.cells].mean(axis=1)
        return out

    def facet_areas(self, name: str) -> Array:
        """Area of each facet of a named set [m^2] (axisymmetric: of the surface it sweeps); KeyError if
        unknown."""
        if name not in self.facets:
            raise KeyError(f"no facets named '{name}'; there are {', '.join(sorted(self.facets)) or 'none'}")
        corners = self.points[self.facets[name]]
        if self.dim == 3:
            normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            return 0.5 * np.sqrt((normal**2).sum(axis=1))  # type: ignore[no-any-return]
        length = np.sqrt(((corners[:, 1] - corners[:, 0]) ** 2).sum(axis=1))
        weight = 2.0 * np.pi * corners[:, :, 0].mean(axis=1) if self.axisymmetric else 1.0
        return length * weight  # type: ignore[no-any-return]

    def angles(self) -> tuple[Array, Array]:
        """Smallest and largest dihedral angle of each cell in degrees (angle of the triangle in 2-D)."""
        smallest, largest = np.empty(self.n_cells), np.empty(self.n_cells)
        kernels.extreme_cosines(self.points, self.cells, smallest, largest)
        return np.degrees(np.arccos(smallest.clip(-1, 1))), np.degrees(np.arccos(largest.clip(-1, 1)))

    def min_max_dihedral(self) -> tuple[float, float]:
        """Smallest and largest dihedral angle of the mesh in degrees; 0 and 180 when a cell is inverted."""
        smallest, largest = self.angles()
        return float(smallest.min()), float(largest.max())

    def boundary_facets(self) -> Indices:
        """All facets (n, dim) that belong to one cell only, their normals leaving the mesh."""
        owner, local, neighbour, _ = kernels.match_faces(self.cells, np.ones(self.n_nodes, dtype=np.bool_))
        alone = neighbour < 0
        return kernels.face_vertices(self.cells, owner[alone], local[alone])  # type: ignore[no-any-return]

    def check(self, *, all_named: bool = False) -> None:
        """Refuse a mesh that a solver must not see.

        Raises InputError, saying where, for: coordinates that are not finite or r < 0, inverted or degenerate
        cells, duplicate or unused nodes, faces of more than two cells, named facets that are no face of any
        cell, and with ``all_named`` boundary facets (off the axis) that carry no name.
        """
        if self.n_cells == 0:
            raise InputError("mesh.cells", "is empty; a mesh needs at least one cell")
        if not np.isfinite(self.points).all():
            node = int(np.flatnonzero(~np.isfinite(self.points).all(axis=1))[0])
            raise InputError("mesh.points", f"node {node} has a coordinate that is not a finite number")
        if self.axisymmetric and self.points[:, 0].min() < 0:
            node = int(self.points[:, 0].argmin())
            raise InputError(
                "mesh.points", f"node {node} has r = {self.points[node, 0]:g} m; r must not be negative"
            )
        self._check_cells()
        self._check_nodes()
        self._check_faces(all_named)

    def _check_cells(self) -> None:
        volume = np.empty(self.n_cells)
        kernels.signed_volumes(self.points, self.cells, volume)
        corners = self.points[self.cells[:, : self.dim]]
        reach = np.sqrt(((corners[:, 1:] - corners[:, :1]) ** 2).sum(axis=2)).max(axis=1)
        bad = np.flatnonzero(~(volume > 1e-9 * reach**self.dim))
        if len(bad):
            first = int(bad[0])
            where = ", ".join(f"{1e3 * x:.4g}" for x in self.points[self.cells[first]].mean(axis=0))
            kind = "inverted" if volume[first] < 0 else "degenerate (without volume)"
            raise InputError(
                "mesh.cells",
                f"{len(bad)} of {self.n_cells} cells are inverted or degenerate; the first, cell {first} at "
                f"({where}) mm,"
                f" is {kind}; order the nodes of each cell positively and remove flat cells",
            )

    def _check_nodes(self) -> None:
        used = np.zeros(self.n_nodes, dtype=np.bool_)
        used[self.cells.ravel()] = True
        if not used.all():
            unused = np.flatnonzero(~used)
            raise InputError(
                "mesh.points",
                f"{len(unused)} nodes belong to no cell (the first is node {unused[0]}); remove them",
            )
        extent = float((self.points.max(axis=0) - self.points.min(axis=0)).max())
        rounded = np.round(self.points / (1e-10 * extent)).astype(np.int64)
        order = np.lexsort(rounded.T)
        same = np.flatnonzero((np.diff(rounded[order], axis=0) == 0).all(axis=1))
        if len(same):
            a, b = sorted((int(order[same[0]]), int(order[same[0] + 1])))
            raise InputError(
                "mesh.points",
                f"{len(same)} nodes lie on another node (the first pair is {a}, {b}); merge duplicates",
            )

    def _check_faces(self, all_named: bool) -> None:
        everywhere = np.ones(self.n_nodes, dtype=np.bool_)
        owner, local, neighbour, extra = kernels.match_faces(self.cells, everywhere)
        if extra:
            raise InputError(
                "mesh.cells", f"{extra} faces are shared by more than two cells; the mesh overlaps itself"
            )
        faces = kernels.face_vertices(self.cells, owner, local)
        alone = faces[neighbour < 0]
        if self.axisymmetric:  # the axis is no boundary
            alone = alone[(self.points[alone.astype(np.int64), 0] > 0).any(axis=1)]
        asked = [*self.facets.values(), alone[: len(alone) if all_named else 0]]
        near = np.zeros(self.n_nodes, dtype=np.bool_)
        near[np.concatenate([facets.ravel() for facets in asked])] = True
        known = _face_codes(faces[near[faces].all(axis=1)])
        for name, facets in self.facets.items():
            stray = int(np.count_nonzero(~np.isin(_face_codes(facets), known)))
            if stray:
                raise InputError(
                    f"mesh.facets[{name}]", f"{stray} of {len(facets)} facets are no face of any cell"
                )
        if all_named:
            named = np.concatenate([np.empty((0, self.dim), dtype=np.uint32), *self.facets.values()])
            bare = int(np.count_nonzero(~np.isin(_face_codes(alone), _face_codes(named))))
            if bare:
                raise InputError("mesh.facets", f"{bare} boundary facets carry no name")

    def sha256(self) -> str:
        """A fingerprint of everything in the mesh: equal for equal bits."""
        digest = hashlib.sha256(repr((self.region_names, self.axisymmetric)).encode())
        for array in (self.points, self.cells, self.regions):
            digest.update(repr(array.shape).encode() + array.tobytes())
        for name in sorted(self.facets):
            digest.update(
                name.encode() + repr(self.facets[name].shape).encode() + self.facets[name].tobytes()
            )
        return digest.hexdigest()

    def ordered(self) -> Mesh:
        """The same mesh with nodes, and cells by their centroids, in the order of :func:`sweep_keys`."""
        new_to_old = np.argsort(sweep_keys(self.points), kind="stable")
        old_to_new = np.empty(self.n_nodes, dtype=np.uint32)
        old_to_new[new_to_old] = np.arange(self.n_nodes, dtype=np.uint32)
        centroids = self.points[self.cells[:, 0]]
        for k in range(1, self.dim + 1):
            centroids += self.points[self.cells[:, k]]
        cell_order = np.argsort(sweep_keys(centroids / (self.dim + 1)), kind="stable")
        facets = {}
        for name, given in self.facets.items():
            renumbered = old_to_new[given]
            facets[name] = (
                renumbered[np.argsort(renumbered.min(axis=1), kind="stable")] if len(given) else renumbered
            )
        return Mesh(
            self.points[new_to_old],
            old_to_new[self.cells[cell_order]],
            self.regions[cell_order],
            self.region_names,
            facets,
            self.axisymmetric,
        )

    def __repr__(self) -> str:
        kind = "axisymmetric mesh" if self.axisymmetric else f"{self.dim}-D mesh"
        return (
            f"<{kind}: {self.n_nodes} nodes, {self.n_cells} cells, regions {', '.join(self.region_names)}; "
            f"facets {', '.join(f'{name} ({len(f)})' for name, f in self.facets.items())}>"
        )


def _face_codes(faces: Indices) -> NDArray[np.void]:
    """One comparable value a face, the same for every order of its vertices."""
    ordered = np.ascontiguousarray(np.sort(faces, axis=1).astype(">u4"))
    return ordered.view(np.dtype((np.void, ordered.dtype.itemsize * ordered.shape[1]))).ravel()


def sweep_keys(points: Array) -> Array:
    """How far each point (n, 2 or 3) lies along a direction oblique to every axis: the order that the solver sweeps in.

    A modified incomplete factor takes half as many iterations when its nodes come one front after another than along a
    curve that fills space. The shares of the axes have no common measure: no two nodes of a lattice are at one place.
    """
    shares = np.sqrt([1.0, 2.0, 5.0])[: points.shape[1]]
    # no matrix product: a BLAS may give other bits elsewhere
    return np.asarray(sum(share * points[:, axis] for axis, share in enumerate(shares)))
