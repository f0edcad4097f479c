"""The mesh measures exactly what it holds, and refuses what no solver should see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rfasim.errors import InputError
from rfasim.geometry import Ball, Box
from rfasim.mesh import Mesh
from rfasim.meshing import Surface, build_mesh

CORNER = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])


def two_tetrahedra(**changes: object) -> Mesh:
    """The corner tetrahedron and the one on its slanted face."""
    fields: dict[str, object] = {
        "points": CORNER,
        "cells": np.array([[0, 1, 2, 3], [1, 2, 3, 4]]),
        "regions": np.array([0, 1]),
        "region_names": ("a", "b"),
        "facets": {"between": np.array([[1, 2, 3]]), "floor": np.array([[0, 2, 1]])},
    }
    return Mesh(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ball() -> Mesh:
    surfaces = [Surface("ball", Ball((0, 0, 0), 0.5), 0.1, inside="core")]
    return build_mesh(Box((-1, -1, -1), (1, 1, 1)), surfaces, max_size=0.3)


def test_volumes_and_areas_are_those_of_the_simplices() -> None:
    mesh = two_tetrahedra()
    mesh.check()
    assert mesh.volumes() == pytest.approx([1 / 6, 1 / 3])
    assert mesh.facet_areas("between") == pytest.approx([3**0.5 / 2])
    assert mesh.facet_areas("floor") == pytest.approx([0.5])
    assert (mesh.n_nodes, mesh.n_cells, mesh.dim) == (5, 2, 3)


def test_axisymmetric_measures_are_those_of_the_body_of_revolution() -> None:
    """A triangle with a side on the axis sweeps a double cone: volume pi r^2 h / 3, area pi r (s1 + s2)."""
    mesh = Mesh(
        np.array([[0.0, 0.0], [2.0, 1.0], [0.0, 3.0]]), np.array([[0, 1, 2]]), np.array([0]), ("t",),
        {"cone": np.array([[0, 1], [1, 2]])}, axisymmetric=True,
    )  # fmt: skip
    mesh.check(all_named=True)
    assert mesh.volumes().sum() == pytest.approx(np.pi * 4 * 3 / 3)
    assert mesh.facet_areas("cone") == pytest.approx([np.pi * 2 * 5**0.5, np.pi * 2 * 8**0.5])


def test_dihedral_angles_of_shapes_one_knows() -> None:
    regular = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    mesh = Mesh(regular, np.array([[0, 1, 2, 3]]), np.array([0]), ("t",))
    mesh = mesh if mesh.volumes()[0] > 0 else dataclasses.replace(mesh, cells=mesh.cells[:, [1, 0, 2, 3]])
    assert mesh.min_max_dihedral() == pytest.approx([np.degrees(np.arccos(1 / 3))] * 2)
    low, high = two_tetrahedra().angles()
    assert (low[0], high[0]) == pytest.approx((np.degrees(np.arccos(3**-0.5)), 90.0))
    triangle = Mesh(np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[0, 1, 2]]), np.array([0]), ("t",))
    assert triangle.min_max_dihedral() == pytest.approx((45.0, 90.0))


def test_the_normals_of_the_boundary_leave_the_mesh(ball: Mesh) -> None:
    """The divergence theorem with them gives the volume, in 3-D and in the plane."""
    corners = ball.points[ball.boundary_facets()]
    normal = 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (corners.mean(axis=1) * normal).sum() / 3 == pytest.approx(8.0)
    assert ball.volumes().sum() == pytest.approx(8.0)
    flat = build_mesh(Box((0, -1, -1), (1, 1, 1)), max_size=0.3, axisymmetric=True)
    a, b = flat.points[flat.boundary_facets()].transpose(1, 0, 2)
    right = np.stack([b[:, 1] - a[:, 1], a[:, 0] - b[:, 0]], axis=1)
    assert (0.5 * (a + b) * right).sum() / 2 == pytest.approx(2.0)


def test_ordering_changes_the_numbers_and_nothing_else(ball: Mesh) -> None:
    random = np.random.default_rng(0)
    nodes, cells = random.permutation(ball.n_nodes), random.permutation(ball.n_cells)
    number = np.argsort(nodes)
    shuffled = Mesh(
        ball.points[nodes], number[ball.cells[cells]], ball.regions[cells], ball.region_names,
        {name: number[f] for name, f in ball.facets.items()}, ball.axisymmetric,
    )  # fmt: skip
    again = shuffled.ordered()
    again.check(all_named=True)
    assert np.array_equal(again.points, ball.points)
    assert np.array_equal(np.sort(again.volumes()), np.sort(ball.volumes()))
    for region in range(2):
        assert again.volumes()[again.regions == region].sum() == pytest.approx(
            ball.volumes()[ball.regions == region].sum()
        )
    for name in ball.facets:
        assert again.facet_areas(name).sum() == pytest.approx(ball.facet_areas(name).sum())

    def spread(mesh: Mesh) -> float:
        return float(np.abs(np.diff(mesh.cells.astype(np.int64), axis=1)).mean())

    assert spread(again) < 0.2 * spread(shuffled)


def test_the_fingerprint_sees_every_change() -> None:
    mesh = two_tetrahedra()
    changed = [
        two_tetrahedra(points=CORNER * (1 + 1e-15)),
        two_tetrahedra(regions=np.array([1, 0])),
        two_tetrahedra(region_names=("a", "c")),
        two_tetrahedra(facets={}),
        two_tetrahedra(cells=np.array([[1, 2, 0, 3], [1, 2, 3, 4]])),
    ]
    assert two_tetrahedra().sha256() == mesh.sha256()
    assert len({mesh.sha256(), *(other.sha256() for other in changed)}) == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": np.array([[0, 1, 3, 2], [1, 2, 3, 4]])}, "inverted"),
        ({"points": CORNER * [1, 1, 0]}, "degenerate"),
        ({"points": np.vstack([CORNER, [[2, 2, 2]]])}, "belong to no cell"),
        ({"points": CORNER * [1, 1, np.nan]}, "not a finite number"),
        ({"facets": {"x": np.array([[0, 1, 4]])}}, "no face of any cell"),
        (
            {
                "points": np.vstack([CORNER[:4], CORNER[1:]]),
                "cells": np.array([[0, 1, 2, 3], [4, 5, 6, 7]]),
                "facets": {},
            },
            "lie on another node",
        ),
        (
            {
                "points": np.vstack([CORNER, [[0.9, 0.9, 0.8]]]),
                "cells": np.array([[0, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 5]]),
                "regions": np.zeros(3),
            },
            "more than two cells",
        ),
    ],
)
def test_broken_meshes_are_refused_with_a_reason(changes: dict[str, object], words: str) -> None:
    mesh = two_tetrahedra(**changes)
    with pytest.raises(InputError, match=words):
        mesh.check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": np.array([[0, 1, 2, 9], [1, 2, 3, 4]])}, "outside 0..4"),
        ({"cells": np.array([[0, 1, 2], [1, 2, 3]])}, r"expected \(n, 4\)"),
        ({"regions": np.array([0])}, "one number for each of 2 cells"),
        ({"regions": np.array([0, 7])}, "only 2 regions"),
        ({"axisymmetric": True}, "axisymmetric mesh has two"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        two_tetrahedra(**changes)


def test_a_boundary_without_a_name_is_refused_when_asked() -> None:
    mesh = two_tetrahedra()
    mesh.check()
    with pytest.raises(InputError, match="5 boundary facets carry no name"):
        mesh.check(all_named=True)


def test_negative_radii_are_refused() -> None:
    mesh = Mesh(
        np.array([[-0.1, 0.0], [1, 0], [0, 1]]),
        np.array([[0, 1, 2]]),
        np.array([0]),
        ("t",),
        axisymmetric=True,
    )
    with pytest.raises(InputError, match="r must not be negative"):
        mesh.check()
