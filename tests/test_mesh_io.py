"""Meshes made elsewhere: what comes in is what the file says, broken files are refused with the reason."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lattices import cube, half_plane

from rfasim.errors import InputError
from rfasim.mesh import Mesh
from rfasim.mesh_io import read_mesh, write_mesh

meshio = pytest.importorskip("meshio")
meshio_gmsh = pytest.importorskip("meshio.gmsh")
MM = 1e-3

# an axisymmetric section as gmsh 4.11 writes it (ASCII 4.1), in mm: four triangles around (1, 1), contact
# at z = 0
GMSH_41 = """$MeshFormat
4.1 0 8
$EndMeshFormat
$PhysicalNames
3
1 1 "electrodes[0].contact"
1 2 "outer"
2 3 "liver"
$EndPhysicalNames
$Entities
0 2 1 0
1 0 0 0 2 0 0 1 1 0
2 0 0 0 2 2 0 1 2 0
1 0 0 0 2 2 0 1 3 2 1 2
$EndEntities
$Nodes
1 5 1 5
2 1 0 5
1
2
3
4
5
0 0 0
2 0 0
2 2 0
0 2 0
1 1 0
$EndNodes
$Elements
3 7 1 7
1 1 1 1
1 1 2
1 2 1 2
2 2 3
3 3 4
2 1 2 4
4 1 2 5
5 2 3 5
6 3 4 5
7 4 1 5
$EndElements
"""

GMSH_22 = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
3
1 1 "electrodes[0].contact"
1 2 "outer"
2 3 "liver"
$EndPhysicalNames
$Nodes
6
1 0 0 0
2 2 0 0
3 2 2 0
4 0 2 0
5 1 1 0
6 9 9 0
$EndNodes
$Elements
7
1 1 2 1 1 1 2
2 1 2 2 2 2 3
3 1 2 2 2 3 4
4 2 2 3 1 1 2 5
5 2 2 3 1 2 3 5
6 2 2 3 1 3 4 5
7 2 2 3 1 4 1 5
$EndElements
"""


def needle_mesh(n: int = 6) -> Mesh:
    """A cube with a square rod of metal, its upper half as contact."""
    points, cells = cube(n)
    centre = points[cells].mean(axis=1)
    rod = (np.abs(centre[:, :2]).max(axis=1) < 0.34) & (centre[:, 2] > -0.34)
    whole = Mesh(points, cells, rod.astype(np.int32), ("tissue", "electrodes[0].metal"))
    faces = Mesh(points, cells[rod], np.zeros(rod.sum(), np.int32), ("metal",)).boundary_facets()
    top = points[faces][:, :, 2].min(axis=1) > 1 - 1e-9
    low = points[faces][:, :, 2].max(axis=1) < 0.5
    outer = whole.boundary_facets()
    facets = {
        "electrodes[0].contact": faces[low & ~top],
        "electrodes[0].insulation": faces[~low & ~top],
        "outer": outer,
    }
    return Mesh(points, cells, whole.regions, whole.region_names, facets).ordered()


def same_body(a: Mesh, b: Mesh) -> bool:
    """Equal up to the numbers of nodes, cells and regions."""

    def facets(mesh: Mesh) -> dict[str, list[float]]:
        return {name: np.sort(mesh.facet_areas(name)).round(12).tolist() for name in sorted(mesh.facets)}

    def regions(mesh: Mesh) -> dict[str, float]:
        return {
            name: round(float(mesh.volumes()[mesh.regions == k].sum()), 12)
            for k, name in enumerate(mesh.region_names)
        }  # fmt: skip

    points = [np.sort(mesh.points.view(np.void(mesh.points[0].tobytes()).dtype).ravel()) for mesh in (a, b)]
    return (
        facets(a) == facets(b)
        and dict(sorted(regions(a).items())) == dict(sorted(regions(b).items()))
        and bool(np.array_equal(points[0], points[1]))
        and a.axisymmetric == b.axisymmetric
    )


def gmsh_file(path: Path, mesh: Mesh, version: str, binary: bool, scale: float = 1.0) -> Path:
    """``mesh`` as gmsh saves it: each region a volume, each set of facets a surface, with physical names."""
    facets = [(2, 2, name, f) for name, f in mesh.facets.items()]
    regions = [(3, 4, name, mesh.cells[mesh.regions == k]) for k, name in enumerate(mesh.region_names)]
    groups = facets + regions
    if version == "2.2":
        blocks = [({2: "triangle", 4: "tetra"}[kind], f.astype(np.int64)) for _, kind, _, f in groups]
        tags = [np.full(len(f), k + 1) for k, (_, _, _, f) in enumerate(groups)]
        raw = meshio.Mesh(
            mesh.points * scale,
            blocks,
            cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
            field_data={name: np.array([k + 1, dim]) for k, (dim, _, name, _) in enumerate(groups)},
        )
        meshio_gmsh.write(path, raw, fmt_version=version, binary=binary)
        return path
    out = bytearray()

    def put(kind: str, *values: float) -> None:
        """Numbers of a kind (i: 4-byte, q: 8-byte integers, d: doubles) as this file wants them."""
        if binary:
            out.extend(struct.pack(f"<{len(values)}{kind}", *values))
        else:
            out.extend((" ".join(f"{v!r}" for v in values) + "\n").encode())

    def section(name: str, end: bool = True) -> None:
        out.extend(b"\n" * (binary and end) + f"${'End' * end}{name}\n".encode())

    out.extend(f"$MeshFormat\n4.1 {int(binary)} 8\n".encode())
    if binary:
        put("i", 1)
        out.extend(b"\n")
    out.extend(f"$EndMeshFormat\n$PhysicalNames\n{len(groups)}\n".encode())
    out.extend("".join(f'{dim} {k + 1} "{name}"\n' for k, (dim, _, name, _) in enumerate(groups)).encode())
    out.extend(b"$EndPhysicalNames\n")
    section("Entities", end=False)
    put("q", 0, 0, len(facets), len(regions))
    for k in range(len(groups)):
        if binary:
            put("i", k + 1)
            put("d", *[-1.0] * 3, *[1.0] * 3)
            put("q", 1)
            put("i", k + 1)
            put("q", 0)
        else:
            out.extend(f"{k + 1} -1 -1 -1 1 1 1 1 {k + 1} 0\n".encode())
    section("Entities")
    section("Nodes", end=False)
    put("q", 1, mesh.n_nodes, 1, mesh.n_nodes)
    put("i", 3, len(groups), 0) if binary else out.extend(f"3 {len(groups)} 0 ".encode())
    put("q", mesh.n_nodes)
    for tag in range(mesh.n_nodes):
        put("q", tag + 1)
    for point in mesh.points * scale:
        put("d", *point.tolist())
    section("Nodes")
    section("Elements", end=False)
    total = sum(len(f) for _, _, _, f in groups)
    put("q", len(groups), total, 1, total)
    number = 0
    for k, (dim, kind, _, members) in enumerate(groups):
        put("i", dim, k + 1, kind) if binary else out.extend(f"{dim} {k + 1} {kind} ".encode())
        put("q", len(members))
        for nodes in members.tolist():
            number += 1
            put("q", number, *(node + 1 for node in nodes))
    section("Elements")
    path.write_bytes(out)
    return path


@pytest.mark.parametrize(
    ("version", "binary"), [("2.2", False), ("2.2", True), ("4.1", False), ("4.1", True)]
)
def test_solid_meshes_come_in_from_every_gmsh_format(tmp_path: Path, version: str, binary: bool) -> None:
    mesh = needle_mesh()
    path = gmsh_file(tmp_path / "needle.msh", mesh, version, binary, scale=2.0)
    assert same_body(read_mesh(path, unit=0.5), mesh)


def test_vtu_goes_out_and_comes_back_the_same(tmp_path: Path) -> None:
    mesh = needle_mesh()
    write_mesh(mesh, tmp_path / "needle.vtu")
    back = read_mesh(tmp_path / "needle.vtu")
    assert same_body(back, mesh)
    assert np.array_equal(back.points, mesh.points)
    assert np.array_equal(back.cells, mesh.cells)
    assert np.array_equal(back.regions, mesh.regions)
    assert back.region_names == mesh.region_names
    for name, facets in mesh.facets.items():
        assert set(map(frozenset, facets.tolist())) == set(map(frozenset, back.facets[name].tolist()))
    points, cells = half_plane(4)
    flat = Mesh(points, cells, np.zeros(len(cells), np.int32), ("tissue",), {}, axisymmetric=True)
    edges = flat.boundary_facets()
    contact = points[edges][:, :, 1].max(axis=1) < -1 + 1e-9
    flat = Mesh(
        points,
        cells,
        flat.regions,
        ("tissue",),
        {"electrodes[0].contact": edges[contact], "outer": edges},
        True,
    )
    write_mesh(flat, tmp_path / "flat.vtu")
    assert same_body(read_mesh(tmp_path / "flat.vtu"), flat)


def test_facets_are_turned_out_of_the_mesh_or_out_of_the_metal(tmp_path: Path) -> None:
    mesh = needle_mesh()
    rng = np.random.default_rng(2)
    facets = {}
    for name, given in mesh.facets.items():  # a file may hold them either way round
        turned = given.copy()
        some = rng.random(len(given)) < 0.5
        turned[some] = turned[some][:, [1, 0, 2]]
        facets[name] = turned
    shuffled = Mesh(mesh.points, mesh.cells, mesh.regions, mesh.region_names, facets)
    write_mesh(shuffled, tmp_path / "a.vtu")
    back = read_mesh(tmp_path / "a.vtu")

    def normals(name: str) -> tuple[np.ndarray, np.ndarray]:
        a, b, c = (back.points[back.facets[name][:, i]] for i in range(3))
        return np.cross(b - a, c - a), (a + b + c) / 3

    normal, centre = normals("outer")
    assert np.all(np.einsum("ij,ij->i", normal, centre) > 0)
    for name in ("electrodes[0].contact", "electrodes[0].insulation"):
        normal, centre = normals(name)
        assert np.all(np.einsum("ij,ij->i", normal, centre - [0, 0, 0.5]) > 0)


def test_numbered_regions_and_foreign_names_are_translated(tmp_path: Path) -> None:
    mesh = needle_mesh(4)
    blocks = [("tetra", mesh.cells.astype(np.int64))]
    tags = [np.where(mesh.regions == 0, 7, 8).astype(np.int32)]
    for k, name in enumerate(mesh.facets):
        blocks.append(("triangle", mesh.facets[name].astype(np.int64)))
        tags.append(np.full(len(mesh.facets[name]), 20 + k, dtype=np.int32))
    meshio.vtu.write(tmp_path / "n.vtu", meshio.Mesh(mesh.points, blocks, cell_data={"region": tags}))
    names = {
        "7": "tissue",
        "8": "electrodes[0].metal",
        "20": "electrodes[0].contact",
        "21": "electrodes[0].insulation",
        "22": "outer",
    }
    assert same_body(read_mesh(tmp_path / "n.vtu", groups=names), mesh)
    with pytest.raises(InputError, match=r"has no group '9'; there are: .*'7', '8'"):
        read_mesh(tmp_path / "n.vtu", groups={"9": "tumour"})
    with pytest.raises(InputError, match=r"names no electrode.*'20', '21', '22'"):
        read_mesh(tmp_path / "n.vtu")


def inverted(mesh: Mesh) -> Mesh:
    cells = mesh.cells.copy()
    cells[3] = cells[3][[1, 0, 2, 3]]
    return Mesh(mesh.points, cells, mesh.regions, mesh.region_names, mesh.facets)


def duplicated(mesh: Mesh) -> Mesh:
    cells = mesh.cells.copy()
    cells[5, 2] = mesh.n_nodes
    points = np.concatenate([mesh.points, mesh.points[mesh.cells[5, 2]][None]])
    return Mesh(points, cells, mesh.regions, mesh.region_names, mesh.facets)


def not_a_number(mesh: Mesh) -> Mesh:
    points = mesh.points.copy()
    points[4, 1] = np.nan
    return Mesh(points, mesh.cells, mesh.regions, mesh.region_names, mesh.facets)


def unnamed_electrode(mesh: Mesh) -> Mesh:
    return Mesh(mesh.points, mesh.cells, mesh.regions, mesh.region_names, {"outer": mesh.facets["outer"]})


def unnamed_outside(mesh: Mesh) -> Mesh:
    facets = {name: f for name, f in mesh.facets.items() if name != "outer"}
    return Mesh(mesh.points, mesh.cells, mesh.regions, mesh.region_names, facets)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (inverted, "inverted"),
        (duplicated, "merge duplicates"),
        (not_a_number, "not a finite number"),
        (unnamed_electrode, r"names no electrode: it needs a surface group 'electrodes\[0\].contact'"),
        (unnamed_outside, "boundary facets carry no name"),
    ],
)
def test_broken_meshes_are_refused_with_the_reason(
    tmp_path: Path, broken: Callable[[Mesh], Mesh], reason: str
) -> None:
    write_mesh(broken(needle_mesh(4)), tmp_path / "broken.vtu")
    with pytest.raises(InputError, match=reason) as refusal:
        read_mesh(tmp_path / "broken.vtu")
    assert refusal.value.path.endswith("broken.vtu")


def write_raw(
    path: Path, blocks: list[tuple[str, np.ndarray]], tags: list[np.ndarray], points: np.ndarray
) -> Path:
    meshio.vtu.write(path, meshio.Mesh(points, blocks, cell_data={"region": tags} if tags else None))
    return path


def test_mixtures_and_kinds_that_cannot_be_solved_on_are_refused(tmp_path: Path) -> None:
    mesh = needle_mesh(4)
    cells = mesh.cells.astype(np.int64)
    contact = mesh.facets["electrodes[0].contact"].astype(np.int64)
    names = {"1": "tissue", "2": "electrodes[0].contact"}
    ones, twos = np.ones(len(cells), np.int32), np.full(len(contact), 2, np.int32)
    # a triangle that hangs in the air
    stray = np.concatenate([contact, [[0, 1, len(mesh.points)]]])
    points = np.concatenate([mesh.points, [[5.0, 5, 5]]])
    path = write_raw(
        tmp_path / "a.vtu",
        [("tetra", cells), ("triangle", stray)],
        [ones, np.append(twos, 2).astype(np.int32)],
        points,
    )
    with pytest.raises(InputError, match="mixed up"):
        read_mesh(path, groups=names)
    # a triangle between nodes of the mesh that is no face
    far = np.argsort(mesh.points @ [1.0, 2, 4])[[0, len(mesh.points) // 2, -1]]
    stray = np.concatenate([contact, far[None]])
    path = write_raw(
        tmp_path / "b.vtu",
        [("tetra", cells), ("triangle", stray)],
        [ones, np.append(twos, 2).astype(np.int32)],
        mesh.points,
    )
    with pytest.raises(InputError, match=r"1 of .* facets are no face of any cell"):
        read_mesh(path, groups=names)
    # bricks, second-order cells, a surface in space, nothing at all
    brick = np.array([[0, 1, 2, 3, 4, 5, 6, 7]])
    path = write_raw(tmp_path / "c.vtu", [("hexahedron", brick)], [], mesh.points)
    with pytest.raises(InputError, match="cells of kind hexahedron"):
        read_mesh(path)
    path = write_raw(tmp_path / "d.vtu", [("tetra10", np.arange(10)[None])], [], mesh.points)
    with pytest.raises(InputError, match="cells of kind tetra10"):
        read_mesh(path)
    path = write_raw(tmp_path / "e.vtu", [("triangle", contact)], [], mesh.points)
    with pytest.raises(InputError, match="do not lie in the plane"):
        read_mesh(path)
    path = write_raw(tmp_path / "f.vtu", [("line", np.array([[0, 1]]))], [], mesh.points)
    with pytest.raises(InputError, match="neither tetrahedra nor triangles"):
        read_mesh(path)


def test_cells_without_a_group_or_in_two_are_refused(tmp_path: Path) -> None:
    mesh = needle_mesh(4)
    raw_blocks = [
        ("tetra", mesh.cells.astype(np.int64)),
        ("triangle", mesh.facets["electrodes[0].contact"].astype(np.int64)),
    ]
    n, m = len(raw_blocks[0][1]), len(raw_blocks[1][1])
    contact = [np.zeros(n, np.int8), np.ones(m, np.int8)]
    for some, reason in ((np.arange(n) < n // 2, "are in no group"), (np.ones(n, bool), "in two groups")):
        second = np.arange(n) < 5
        data = {
            "group:electrodes[0].contact": contact,
            "group:liver": [some.astype(np.int8), np.zeros(m, np.int8)],
            "group:tumour": [second.astype(np.int8), np.zeros(m, np.int8)],
        }
        meshio.vtu.write(tmp_path / "g.vtu", meshio.Mesh(mesh.points, raw_blocks, cell_data=data))
        with pytest.raises(InputError, match=reason):
            read_mesh(tmp_path / "g.vtu")


@pytest.mark.parametrize("ending", [".vtu", ".msh"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.98])
def test_truncated_files_are_refused_in_one_sentence(
    tmp_path: Path, ending: str, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    mesh, path = needle_mesh(4), tmp_path / f"cut{ending}"
    if ending == ".vtu":
        write_mesh(mesh, path)
    else:
        gmsh_file(path, mesh, "4.1", True)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError) as refusal:
        read_mesh(path)
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""


def test_files_that_are_no_mesh_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_mesh(tmp_path / "none.msh")
    with pytest.raises(InputError, match="is not a file"):
        read_mesh(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match=r"ending '.txt' cannot be read; use .msh or .vtu"):
        read_mesh(tmp_path / "a.txt")
    (tmp_path / "a.msh").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match=r"cannot be read as a .msh mesh"):
        read_mesh(tmp_path / "a.msh")
    with pytest.raises(InputError, match="length of one unit in metres"):
        read_mesh(tmp_path / "a.msh", unit=0.0)
    with pytest.raises(InputError, match=r"use .vtu"):
        write_mesh(needle_mesh(4), tmp_path / "a.stl")
    with pytest.raises(InputError, match="cannot be written"):
        write_mesh(needle_mesh(4), tmp_path / "nowhere" / "a.vtu")
