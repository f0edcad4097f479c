"""Volumes and surfaces of level sets: exact for linear fields, second order for balls, watertight."""

from __future__ import annotations

import numpy as np
import pytest
from lattices import cube, half_plane

from rfasim.solver.level_set import (
    clip_simplices,
    distance_to_surface,
    level_points,
    level_surface,
    volume_above,
)


def triangle_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    return 0.5 * np.cross(b - a, c - a)


@pytest.mark.parametrize("direction", [(1, 0, 0), (0.3, -0.5, 0.81), (-1, 1, 0)])
def test_half_spaces_of_a_cube_are_exact(direction: tuple[float, ...]) -> None:
    points, cells = cube(4, seed=1)
    field = points @ np.array(direction)
    whole = 8.0
    for level in (-0.4, 0.0, 0.13, 0.7):
        above = volume_above(points, cells, field, level)
        below = volume_above(points, cells, -field, -level)
        # the point symmetry of the cube gives an answer without a formula
        assert above + below == pytest.approx(whole, rel=1e-13)
        assert volume_above(points, cells, -field, level) == pytest.approx(above, rel=1e-12)
    if direction == (1, 0, 0):
        assert volume_above(points, cells, field, 0.13) == pytest.approx(4 * 0.87, rel=1e-13)
    assert volume_above(points, cells, field, -10.0) == pytest.approx(whole, rel=1e-13)
    assert volume_above(points, cells, field, 10.0) == 0.0


def test_corner_cut_off_a_cube_is_exact() -> None:
    points, cells = cube(3, seed=2)
    assert volume_above(points, cells, points.sum(axis=1), 2.0) == pytest.approx(1 / 6, rel=1e-12)
    assert volume_above(points, cells, -points.sum(axis=1), -2.0) == pytest.approx(8 - 1 / 6, rel=1e-12)


@pytest.mark.parametrize("code", range(1, 15))
def test_every_way_to_cut_one_tetrahedron_adds_up(code: int) -> None:
    rng = np.random.default_rng(code)
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    cells = np.array([[0, 1, 2, 3]], dtype=np.uint32)
    values = np.array([1.0 if code >> i & 1 else -1.0 for i in range(4)]) * rng.uniform(0.1, 2, 4)
    inside = volume_above(points, cells, values, 0.0)
    outside = volume_above(points, cells, -values, 0.0)
    assert inside + outside == pytest.approx(1 / 6, rel=1e-14)
    sample = rng.dirichlet(np.ones(4), 200_000)
    assert inside * 6 == pytest.approx(np.mean(sample @ values >= 0), abs=4e-3)
    # the surface points down the gradient of the field, and closes the part above (divergence theorem)
    gradient = values[1:] - values[0]
    vertices, triangles, owner = level_surface(points, cells, values, 0.0)
    normals = triangle_normals(vertices, triangles)
    assert np.all(normals @ gradient < 0)
    assert np.all(owner == 0)
    assert np.allclose(vertices @ gradient + values[0], 0, atol=1e-13)


def test_balls_converge_with_second_order_in_volume_and_area() -> None:
    radius, errors, area_errors = 0.7, [], []
    for n in (8, 16, 32):
        points, cells = cube(n, seed=n)
        field = radius - np.linalg.norm(points - [0.03, -0.02, 0.05], axis=1)
        errors.append(abs(volume_above(points, cells, field, 0.0) / (4 / 3 * np.pi * radius**3) - 1))
        vertices, triangles, _ = level_surface(points, cells, field, 0.0)
        area = np.linalg.norm(triangle_normals(vertices, triangles), axis=1).sum()
        area_errors.append(abs(area / (4 * np.pi * radius**2) - 1))
    for series in (errors, area_errors):
        orders = np.log2(np.array(series[:-1]) / series[1:])
        assert np.all(orders > 1.8), (series, orders)
    assert errors[-1] < 5e-3


def test_the_surface_of_a_ball_is_closed_oriented_and_encloses_its_volume() -> None:
    points, cells = cube(12, seed=5)
    field = 0.6 - np.linalg.norm(points, axis=1)
    vertices, triangles, _ = level_surface(points, cells, field, 0.0)
    # every edge is run through once in each direction: watertight and consistently oriented
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(
        np.int64
    )
    forward = directed[:, 0] * len(vertices) + directed[:, 1]
    backward = directed[:, 1] * len(vertices) + directed[:, 0]
    assert len(np.unique(forward)) == len(forward)
    assert np.array_equal(np.sort(forward), np.sort(backward))
    # Euler: a sphere, with no loose vertex
    assert len(vertices) - len(forward) // 2 + len(triangles) == 2
    normals = triangle_normals(vertices, triangles)
    centres = vertices[triangles].mean(axis=1)
    assert np.all(np.einsum("ij,ij->i", normals, centres) > 0)
    enclosed = np.einsum("ij,ij->", normals, centres) / 3
    assert enclosed == pytest.approx(volume_above(points, cells, field, 0.0), rel=1e-12)
    assert np.array_equal(level_points(points, cells, field, 0.0), vertices)


def test_a_field_exactly_at_the_level_on_nodes_gives_the_exact_volume() -> None:
    points, cells = cube(4)
    assert volume_above(points, cells, points[:, 0], 0.5) == pytest.approx(2.0, rel=1e-14)
    assert volume_above(points, cells, np.zeros(len(points)), 0.0) == pytest.approx(8.0, rel=1e-14)
    vertices, _, _ = level_surface(points, cells, points[:, 0], 0.5)
    assert np.allclose(vertices[:, 0], 0.5)


def test_axisymmetric_cylinders_and_cones_are_exact() -> None:
    points, cells = half_plane(5, seed=3)
    cylinder = volume_above(points, cells, -points[:, 0], -0.37, axisymmetric=True)
    assert cylinder == pytest.approx(np.pi * 0.37**2 * 2, rel=1e-12)
    slab = volume_above(points, cells, points[:, 1], 0.21, axisymmetric=True)
    assert slab == pytest.approx(np.pi * 0.79, rel=1e-12)
    # the cone r <= z of height 1
    cone = volume_above(points, cells, points[:, 1] - points[:, 0], 0.0, axisymmetric=True)
    assert cone == pytest.approx(np.pi / 3, rel=1e-12)
    tube = volume_above(points, cells, points[:, 0], 0.37, axisymmetric=True)
    assert tube + cylinder == pytest.approx(2 * np.pi, rel=1e-13)


def test_axisymmetric_balls_converge_with_second_order() -> None:
    errors = []
    for n in (8, 16, 32, 64):
        points, cells = half_plane(n, seed=n)
        field = 0.7 - np.hypot(points[:, 0], points[:, 1] - 0.03)
        errors.append(
            abs(volume_above(points, cells, field, 0.0, axisymmetric=True) / (4 / 3 * np.pi * 0.343) - 1)
        )
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.8), (errors, orders)


def test_segments_have_what_is_above_to_their_left_and_enclose_its_volume() -> None:
    points, cells = half_plane(12, seed=8)
    field = 0.6 - np.hypot(points[:, 0], points[:, 1])
    vertices, segments, _ = level_surface(points, cells, field, 0.0)
    a, b = vertices[segments[:, 0]], vertices[segments[:, 1]]
    left = np.stack([-(b - a)[:, 1], (b - a)[:, 0]], axis=1)
    assert np.all(np.einsum("ij,ij->i", left, (a + b) / 2) < 0)
    # pi r^2 dz along the curve, exact for straight segments
    discs = np.pi * (b - a)[:, 1] * (a[:, 0] ** 2 + a[:, 0] * b[:, 0] + b[:, 0] ** 2) / 3
    assert discs.sum() == pytest.approx(volume_above(points, cells, field, 0.0, axisymmetric=True), rel=1e-12)


def test_a_cell_mask_keeps_only_its_cells() -> None:
    points, cells = cube(4)
    left = points[cells].mean(axis=1)[:, 0] < 0
    assert volume_above(points, cells, points[:, 2], 0.25, cell_mask=left) == pytest.approx(
        4 * 0.75 / 2, rel=1e-13
    )
    vertices, _, owner = level_surface(points, cells, points[:, 2], 0.25, cell_mask=left)
    assert vertices[:, 0].max() <= 0
    assert left[owner].all()


def test_clipped_triangles_and_segments_have_the_exact_size_and_keep_their_turn() -> None:
    rng = np.random.default_rng(11)
    corners = rng.normal(size=(40, 3, 3))
    values = np.einsum("nkd,d->nk", corners, [0.3, -1.0, 0.4])
    for triangle, value in zip(corners, values, strict=True):
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0]) / 2
        kept, rest = (
            clip_simplices(triangle[None], value[None], 0.2),
            clip_simplices(triangle[None], -value[None], -0.2),
        )
        areas = np.cross(kept[:, 1] - kept[:, 0], kept[:, 2] - kept[:, 0]) / 2
        others = np.cross(rest[:, 1] - rest[:, 0], rest[:, 2] - rest[:, 0]) / 2
        assert areas.sum(axis=0) + others.sum(axis=0) == pytest.approx(normal)
        assert np.all(areas @ normal >= 0)
        assert np.all(kept @ [0.3, -1.0, 0.4] >= 0.2 - 1e-12)
    whole, one, none = [[0.0, 0], [0, 2]], [[4.0, 1], [0, 1]], [[9.0, 9], [8, 8]]
    kept = clip_simplices(
        np.array([whole, one, one, none]), np.array([[1.0, 1], [1, -3], [-3, 1], [-1, -1]]), 0.0
    )
    assert kept.tolist() == [whole, [[4, 1], [3, 1]], [[1, 1], [0, 1]]]


def test_clipped_tetrahedra_have_the_exact_volume_and_carry_another_field() -> None:
    points, cells = cube(4, seed=9)
    first, second = points @ [0.3, -1.0, 0.4], points @ [1.0, 0.2, -0.5]
    corners = np.concatenate([points, second[:, None]], axis=1)[cells]
    parts = clip_simplices(corners, first[cells], 0.21)
    soup, nodes = parts.reshape(-1, 4), np.arange(parts.shape[0] * 4).reshape(-1, 4)
    assert np.linalg.det(parts[:, 1:, :3] - parts[:, :1, :3]).min() >= 0
    whole = volume_above(soup[:, :3], nodes, soup[:, 3], -10.0)
    assert whole == pytest.approx(volume_above(points, cells, first, 0.21), rel=1e-12)
    assert soup[:, :3] @ [1.0, 0.2, -0.5] == pytest.approx(soup[:, 3], abs=1e-12)
    # the order in which two levels cut does not matter
    other = np.concatenate([points, first[:, None]], axis=1)[cells]
    turned = clip_simplices(other, second[cells], 0.1).reshape(-1, 4)
    both = volume_above(soup[:, :3], nodes, soup[:, 3], 0.1)
    assert both == pytest.approx(
        volume_above(turned[:, :3], np.arange(len(turned)).reshape(-1, 4), turned[:, 3], 0.21), rel=1e-12
    )
    assert 0.1 < both < whole


def test_distances_to_triangles_are_the_smallest_over_dense_samples_of_them() -> None:
    rng = np.random.default_rng(4)
    corners = rng.normal(size=(6, 3, 3))
    points = 2 * rng.normal(size=(40, 3))
    weights = rng.dirichlet(np.ones(3), 4000)
    weights = np.concatenate([weights, np.eye(3), [[t, 1 - t, 0] for t in np.linspace(0, 1, 300)]])
    weights = np.concatenate([weights, weights[:, [1, 2, 0]], weights[:, [2, 0, 1]]])
    samples = np.einsum("wk,skd->swd", weights, corners).reshape(-1, 3)
    sampled = np.linalg.norm(points[:, None] - samples, axis=2).min(axis=1)
    exact = distance_to_surface(points, corners)
    assert np.all(exact <= sampled + 1e-12)
    assert np.allclose(exact, sampled, atol=0.02)
    # a point straight above the inside of a triangle, beside an edge, beyond a corner
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    assert distance_to_surface(
        np.array([[0.2, 0.3, -0.7], [0.5, -2, 0], [-3, -4, 0]]), flat
    ) == pytest.approx([0.7, 2.0, 5.0])
    assert distance_to_surface(
        np.array([[0.5, 2.0], [3.0, 0.0]]), np.array([[[0.0, 0], [1, 0]]])
    ) == pytest.approx([2, 2])
    assert np.isinf(distance_to_surface(np.zeros((1, 3)), np.zeros((0, 3, 3)))).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    points, cells = cube(2)
    with pytest.raises(ValueError, match="one value for each of the 27 nodes"):
        volume_above(points, cells, np.zeros(5), 0.0)
    with pytest.raises(ValueError, match="no simplices"):
        volume_above(points, cells[:, :3], points[:, 0], 0.0)
    with pytest.raises(ValueError, match="axisymmetric"):
        volume_above(points, cells, points[:, 0], 0.0, axisymmetric=True)
    with pytest.raises(ValueError, match="one flag for each"):
        volume_above(points, cells, points[:, 0], 0.0, cell_mask=np.ones(3, dtype=bool))
