"""Meshes made elsewhere: gmsh ``.msh`` (2 and 4.1) and ``.vtu`` with named groups, through meshio.

Nothing is repaired: a mesh that the solver could misread is refused with the reason. Only nodes that no
cell uses (the construction points of a CAD model) are left out, and nodes and cells are renumbered.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim import mesh_kernels
from rfasim.errors import InputError
from rfasim.mesh import Mesh

Groups = dict[str, dict[str, NDArray[np.bool_]]]  # name -> kind of cell -> which of them

_kernels: Any = mesh_kernels

_SIMPLICES = {"line": 1, "triangle": 2, "tetra": 3}
_PREFIX = "group:"  # our .vtu files hold one array of zeros and ones for each named group


def read_mesh(path: str | Path, groups: Mapping[str, str] | None = None, unit: float = 1.0) -> Mesh:
    """The mesh in ``path``: tetrahedra, or triangles in the plane (r, z) = (x, y), which are axisymmetric.

    ``groups`` translates names in the file into names here: ``{"tip": "electrodes[0].contact", "3":
    "tissue"}``; names that it does not list stay as they are. Groups are physical names (gmsh), cell sets,
    or the values of an integer array ``region`` (or gmsh's physical tags) on the cells, by their decimal
    number. Groups of cells are regions, groups of their faces are named facets. A file whose cells are in
    no group at all has one region, ``tissue``. ``unit`` is the file's unit of length in metres (0.001 for
    mm).

    Raises InputError for a file that is missing, unreadable or of another kind; for second-order or other
    cells; groups that are not there; cells in no group or in two; boundary facets without a name; no
    electrode contact; and for all that :meth:`Mesh.check` refuses (inverted cells, duplicate nodes,
    coordinates that are no numbers).
    """
    path = Path(path)
    where = str(path)
    if not (np.isfinite(unit) and unit > 0.0):
        raise InputError(
            where, f"got {unit!r} as its unit; give the length of one unit in metres, such as 0.001"
        )
    raw = _read(path)
    blocks = _blocks(where, raw)
    dim = 3 if len(blocks["tetra"]) else 2
    cell_kind, facet_kind = ("tetra", "triangle") if dim == 3 else ("triangle", "line")
    if len(blocks[cell_kind]) == 0:
        raise InputError(where, "holds neither tetrahedra nor triangles")
    points = _points(where, np.asarray(raw.points, dtype=np.float64) * unit, dim)
    found = _renamed(where, _groups(raw), dict(groups or {}))
    names, regions = _regions(where, found, cell_kind, len(blocks[cell_kind]))
    facets = {
        name: blocks[facet_kind][members[facet_kind]]
        for name, members in found.items()
        if facet_kind in members and members[facet_kind].any()
    }
    _require_contact(where, facets, found, facet_kind)
    cells = blocks[cell_kind]
    used, renumbered = np.unique(cells, return_inverse=True)
    known = np.zeros(len(points), dtype=np.bool_)
    known[used] = True
    numbered: dict[str, NDArray[np.uint32]] = {}
    for name, members in facets.items():
        if not known[members].all():
            raise InputError(
                where, f"facets '{name}' have nodes that no cell has; mesh dimensions are mixed up"
            )
        numbered[name] = np.searchsorted(used, members).astype(np.uint32)
    corners: NDArray[np.uint32] = renumbered.reshape(cells.shape).astype(np.uint32)
    try:
        mesh = Mesh(points[used], corners, regions, names, numbered, axisymmetric=dim == 2)
        mesh.check(all_named=True)
    except InputError as error:
        raise InputError(where, f"{error.path} {error.message}") from None
    return _with_turned_facets(mesh).ordered()


def write_mesh(mesh: Mesh, path: str | Path) -> None:
    """Write ``mesh`` as ``.vtu`` (in m): :func:`read_mesh` gives the same cells, regions and facets back.

    Regions and facets become cell arrays ``group:NAME`` of zeros and ones, which ParaView can threshold.
    Raises InputError for another file ending or where nothing can be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".vtu":
        raise InputError(str(path), f"the ending '{path.suffix}' cannot be written; use .vtu")
    meshio = _meshio()
    cell_kind, facet_kind = ("tetra", "triangle") if mesh.dim == 3 else ("triangle", "line")
    facets = np.concatenate([np.zeros((0, mesh.dim), np.uint32), *mesh.facets.values()])
    counts = [len(f) for f in mesh.facets.values()]
    number = np.repeat(np.arange(len(counts)), counts)
    blocks = [(cell_kind, mesh.cells.astype(np.int64)), (facet_kind, facets.astype(np.int64))]
    data = {"region": [mesh.regions, np.full(len(facets), -1, dtype=np.int32)]}
    for index, name in enumerate(mesh.region_names):
        data[_PREFIX + name] = [(mesh.regions == index).astype(np.int8), np.zeros(len(facets), np.int8)]
    for index, name in enumerate(mesh.facets):
        data[_PREFIX + name] = [np.zeros(mesh.n_cells, np.int8), (number == index).astype(np.int8)]
    if not len(facets):
        blocks, data = blocks[:1], {name: values[:1] for name, values in data.items()}
    points = np.zeros((mesh.n_nodes, 3))
    points[:, : mesh.dim] = mesh.points
    try:
        meshio.vtu.write(path, meshio.Mesh(points, blocks, cell_data=data), binary=True)
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from None


def _meshio() -> Any:
    try:
        import meshio
        import meshio.gmsh
        import meshio.vtu
    except ImportError:
        raise InputError("mesh.file", "needs meshio; install it with: pip install 'rfasim[meshio]'") from None
    return meshio


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """meshio prints its warnings; what matters of them is said here in other words."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(str(path), "does not exist" if not path.exists() else "is not a file")
    meshio = _meshio()
    readers = {".msh": meshio.gmsh.read, ".vtu": meshio.vtu.read}
    if path.suffix.lower() not in readers:
        raise InputError(str(path), f"the ending '{path.suffix}' cannot be read; use {' or '.join(readers)}")
    try:
        with _quiet():
            return readers[path.suffix.lower()](path)
    except MemoryError:
        raise InputError(str(path), "asks for more memory than there is; is it damaged?") from None
    # meshio meets broken files with whatever its parsing runs into, SystemExit included
    except (Exception, SystemExit) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            str(path), f"cannot be read as a {path.suffix} mesh, it may be cut off ({reason})"
        ) from None


def _blocks(where: str, raw: Any) -> dict[str, NDArray[np.int64]]:
    """All cells of each kind, (n, k); points of a CAD model are passed over."""
    other = sorted({block.type for block in raw.cells} - set(_SIMPLICES) - {"vertex"})
    if other:
        raise InputError(
            where, f"holds cells of kind {', '.join(other)}; only straight simplices can be used"
        )
    blocks = {}
    for kind, dim in _SIMPLICES.items():
        members = [np.asarray(block.data) for block in raw.cells if block.type == kind]
        blocks[kind] = np.concatenate([np.zeros((0, dim + 1), np.int64), *members]).astype(np.int64)
        if blocks[kind].size and (blocks[kind].min() < 0 or blocks[kind].max() >= len(raw.points)):
            raise InputError(
                where, f"has cells of kind {kind} that point to nodes outside 0..{len(raw.points) - 1}"
            )
    return blocks


def _points(where: str, points: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    if points.ndim != 2 or points.shape[1] not in (2, 3) or points.shape[1] < dim:
        raise InputError(where, f"has points of shape {points.shape}; expected three coordinates")
    if dim == 2 and points.shape[1] == 3:
        off = np.abs(points[:, 2]) > 1e-9 * np.ptp(points[:, :2])
        if off.any():
            raise InputError(
                where,
                "holds triangles but no tetrahedra, and they do not lie in the plane z = 0; give a volume "
                "mesh, or an axisymmetric section with r = x and z = y",
            )
    return np.ascontiguousarray(points[:, :dim])


def _groups(raw: Any) -> Groups:
    """Members of each named or numbered group, over all cells of a kind in the order of :func:`_blocks`."""
    kinds = [block.type for block in raw.cells]
    sizes = [len(block.data) for block in raw.cells]

    def by_kind(members: list[Any]) -> dict[str, NDArray[np.bool_]]:
        return {
            kind: np.concatenate(
                [np.asarray(m, dtype=np.bool_) for m, k in zip(members, kinds, strict=True) if k == kind]
            )
            for kind in set(kinds) & set(_SIMPLICES)
        }

    found: Groups = {}
    for name, values in raw.cell_data.items():
        if name.startswith(_PREFIX):
            found[name.removeprefix(_PREFIX)] = by_kind([np.asarray(v) == 1 for v in values])
    for name, members in raw.cell_sets.items():
        if not name.startswith("gmsh:"):
            flags = [np.zeros(size, dtype=np.bool_) for size in sizes]
            for flag, indices in zip(flags, members, strict=True):
                if indices is not None:
                    flag[np.asarray(indices, dtype=np.int64)] = True
            found[name] = by_kind(flags)
    if found:
        return found
    tags = raw.cell_data.get("gmsh:physical") or raw.cell_data.get("region") or []
    named = {(int(dim), int(tag)): name for name, (tag, dim) in raw.field_data.items()}
    for dim in (1, 2, 3):
        flat = {
            int(t)
            for v, k in zip(tags, kinds, strict=False)
            if _SIMPLICES.get(k) == dim
            for t in np.unique(v)
        }
        for tag in sorted(flat - {0} if raw.field_data else flat):
            same = [
                (np.asarray(v) == tag) & (_SIMPLICES.get(k) == dim) for v, k in zip(tags, kinds, strict=True)
            ]
            name = named.get((dim, tag), str(tag))
            for kind, flag in by_kind(same).items():
                group = found.setdefault(name, {})
                group[kind] = group.get(kind, np.zeros_like(flag)) | flag
    return found


def _renamed(where: str, found: Groups, names: dict[str, str]) -> Groups:
    if missing := [name for name in names if name not in found]:
        there = ", ".join(f"'{name}'" for name in found) or "none"
        raise InputError(where, f"has no group '{missing[0]}'; there are: {there}")
    renamed: Groups = {}
    for name, members in found.items():
        group = renamed.setdefault(names.get(name, name), {})
        for kind, flag in members.items():
            group[kind] = group[kind] | flag if kind in group else flag
    return renamed


def _regions(where: str, found: Groups, kind: str, count: int) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    members = {name: flags[kind] for name, flags in found.items() if kind in flags and flags[kind].any()}
    if not members:
        return ("tissue",), np.zeros(count, dtype=np.int32)
    times = np.sum(list(members.values()), axis=0)
    if (times == 0).any():
        raise InputError(
            where,
            f"{int((times == 0).sum())} of {count} cells are in no group; there are: {', '.join(members)}",
        )
    if (times > 1).any():
        both = [name for name, flags in members.items() if flags[np.argmax(times)]]
        raise InputError(
            where, f"{int((times > 1).sum())} cells are in two groups, such as {' and '.join(both)}"
        )
    return tuple(members), np.argmax(np.stack(list(members.values())), axis=0).astype(np.int32)


def _require_contact(where: str, facets: Mapping[str, Any], found: Groups, kind: str) -> None:
    if any(name.startswith("electrodes[") and name.endswith(".contact") for name in facets):
        return
    faces = "surface" if kind == "triangle" else "edge"
    there = ", ".join(f"'{name}'" for name in facets) or "none"
    raise InputError(
        where,
        f"names no electrode: it needs a {faces} group 'electrodes[0].contact' (its {faces} groups: "
        f"{there}); name it so, or translate its name with groups",
    )


def _with_turned_facets(mesh: Mesh) -> Mesh:
    """The same mesh with the normals of its facets leaving the mesh, or the metal and lumen inside it."""
    everywhere = np.ones(mesh.n_nodes, dtype=np.bool_)
    owner, local, neighbour, _ = _kernels.match_faces(mesh.cells, everywhere)
    inner = np.array([name.endswith((".metal", ".lumen")) for name in mesh.region_names])[mesh.regions]
    outward = _kernels.face_vertices(mesh.cells, owner, local)
    # seen from its owner a face leaves the owner; it is turned where the other side is the inner one
    turn = (neighbour >= 0) & inner[neighbour] & ~inner[owner]
    outward[turn, :2] = outward[turn, 1::-1]
    facets = {}
    for name, given in mesh.facets.items():
        both = np.sort(np.concatenate([outward, given]), axis=1)
        _, number = np.unique(both, axis=0, return_inverse=True)
        number = number.reshape(-1)
        face = np.empty(int(number.max()) + 1, dtype=np.int64)
        face[number[: len(outward)]] = np.arange(len(outward))
        facets[name] = outward[face[number[len(outward) :]]]
    return Mesh(mesh.points, mesh.cells, mesh.regions, mesh.region_names, facets, mesh.axisymmetric)
