"""Signed distances: exact where they claim to be, safe everywhere, and refused when they cannot be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rfasim.errors import InputError
from rfasim.geometry import (
    Ball,
    Box,
    Capsule,
    Cylinder,
    Difference,
    Ellipsoid,
    HalfSpace,
    Intersection,
    Needle,
    Placed,
    Shape,
    Tube,
    Union,
)

TURN = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
ARC = np.array([[np.cos(t), np.sin(t), 0.3 * t] for t in np.linspace(0, 2, 12)])
EXACT: dict[str, Shape] = {
    "ball": Ball((0.1, -0.2, 0.3), 0.7),
    "ellipsoid": Ellipsoid((0.1, 0.0, -0.1), (0.9, 0.4, 0.6), TURN),
    "flat ellipsoid": Ellipsoid((0.0, 0.0, 0.0), (1.0, 1.0, 0.1)),
    "capsule": Capsule((-0.4, 0.0, 0.2), (0.6, 0.5, 0.0), 0.3),
    "cylinder": Cylinder((-0.4, 0.1, 0.2), (0.6, 0.5, 0.0), 0.3),
    "needle": Needle((0.0, 0.1, -0.8), (0.2, 0.1, 1.0), 0.2, 1.5, 0.5),
    "box": Box((-0.5, -0.3, -0.2), (0.4, 0.6, 0.9)),
    "half space": HalfSpace((0.1, 0.2, 0.0), (1.0, 2.0, -1.0)),
    "placed": Placed(Box((-0.5, -0.3, -0.2), (0.4, 0.6, 0.9)), TURN, (0.1, 0.2, -0.3)),
}
BOUNDS: dict[str, Shape] = {
    "tube": Tube(ARC, 0.2),
    "union": Union(
        [Tube(ARC, 0.2), Capsule((0, 0, 0), (1, 1, 0), 0.1), Ball((0, 0, 1), 0.3), Union([Tube(-ARC, 0.1)])]
    ),
    "intersection": Intersection([Ball((0, 0, 0), 0.8), HalfSpace((0, 0, 0.1), (0, 1, 1))]),
    "difference": Difference(Ball((0, 0, 0), 0.8), Cylinder((0, 0, -1), (0, 0, 1), 0.3)),
}
ALL = EXACT | BOUNDS


def drawn(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.6, 1.6, (n, 3))


@pytest.mark.parametrize("shape", ALL.values(), ids=ALL.keys())
def test_no_distance_changes_faster_than_the_way_between_two_points(shape: Shape) -> None:
    a = drawn(4000)
    b = a + np.random.default_rng(1).normal(size=a.shape) * np.random.default_rng(2).choice(
        [1e-3, 0.1, 1.0], (4000, 1)
    )
    way = np.sqrt(((a - b) ** 2).sum(axis=1))
    assert (np.abs(shape.distance(a) - shape.distance(b)) <= way * (1 + 1e-9) + 1e-13).all()


@pytest.mark.parametrize("shape", EXACT.values(), ids=EXACT.keys())
def test_one_step_of_the_distance_along_its_gradient_ends_on_the_surface(shape: Shape) -> None:
    """True of exact distances off the medial axis, and of no mere bound."""
    points = drawn(600, seed=3)
    distance = shape.distance(points)
    step = 1e-6
    gradient = np.stack(
        [
            (shape.distance(points + step * e) - shape.distance(points - step * e)) / (2 * step)
            for e in np.eye(3)
        ],
        axis=1,
    )
    smooth = np.abs(np.sqrt((gradient**2).sum(axis=1)) - 1) < 1e-6
    assert smooth.mean() > 0.95
    landed = points[smooth] - distance[smooth, None] * gradient[smooth]
    assert np.abs(shape.distance(landed)).max() < 2e-5


@pytest.mark.parametrize("shape", ALL.values(), ids=ALL.keys())
def test_what_is_inside_is_within_the_bounds(shape: Shape) -> None:
    points = drawn(5000, seed=4)
    lower, upper = shape.bounds()
    inside = points[shape.distance(points) <= 0]
    assert len(inside) > 20
    assert ((inside >= lower - 1e-12) & (inside <= upper + 1e-12)).all()


def test_distances_at_points_one_can_work_out_by_hand() -> None:
    at = np.array([[0.0, 0.0, 3.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert Ball((0, 0, 0), 1.0).distance(at) == pytest.approx([2.0, 1.0, -1.0])
    assert Capsule((0, 0, -1), (0, 0, 1), 0.5).distance(at) == pytest.approx([1.5, 1.5, -0.5])
    assert Cylinder((0, 0, -1), (0, 0, 1), 0.5).distance(at) == pytest.approx([2.0, 1.5, -0.5])
    assert Ellipsoid((0, 0, 0), (0.5, 1.0, 2.0)).distance(at) == pytest.approx([1.0, 1.5, -0.5])
    assert Box((-1, -1, -1), (1, 1, 2)).distance(at) == pytest.approx([1.0, 1.0, -1.0])
    assert HalfSpace((0, 0, 1), (0, 0, 2)).distance(at) == pytest.approx([2.0, -1.0, -1.0])
    # a cone of half angle 45 degrees: the point on its axis at depth 1 is 1/sqrt(2) from its flank
    needle = Needle((0, 0, 0), (0, 0, 1), 2.0, 10.0, 2.0)
    assert needle.distance(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])) == pytest.approx([-(0.5**0.5), 1.0])
    corner = Box((0, 0, 0), (1, 1, 1)).distance(np.array([[2.0, 2.0, 2.0]]))
    assert corner == pytest.approx([3**0.5])


def test_a_union_of_tubes_is_the_smallest_of_their_distances() -> None:
    points = drawn(3000, seed=6)
    tubes = [Tube(ARC @ np.linalg.qr(np.random.default_rng(k).normal(size=(3, 3)))[0], 0.1) for k in range(6)]
    expected = np.min([tube.distance(points) for tube in tubes], axis=0)
    assert np.array_equal(Union(tubes).distance(points), expected)
    dense = np.concatenate([np.linspace(a, b, 400) for a, b in itertools.pairwise(ARC)])
    near = np.sqrt(((points[:200, None] - dense[None]) ** 2).sum(axis=2)).min(axis=1) - 0.1
    assert Tube(ARC, 0.1).distance(points[:200]) == pytest.approx(near, abs=2e-5)


def test_placing_commutes_with_rotation() -> None:
    shift = np.array([0.3, -0.2, 0.5])
    needle = Needle((0.1, 0.0, 0.0), (0.0, 0.6, 0.8), 0.2, 1.5, 0.5)
    moved = Needle(TURN @ np.array(needle.tip) + shift, TURN @ np.array(needle.axis), 0.2, 1.5, 0.5)
    points = drawn(500, seed=7)
    assert Placed(needle, TURN, shift).distance(points) == pytest.approx(moved.distance(points), abs=1e-12)


def test_a_tube_of_one_point_is_a_ball() -> None:
    points = drawn(200, seed=8)
    expected = Ball((0.1, 0.2, 0.3), 0.4).distance(points)
    assert Tube([(0.1, 0.2, 0.3)], 0.4).distance(points) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Ball((0, 0, 0), -1.0), "Ball.radius: got -1.0"),
        (lambda: Ball((0, 0, float("nan")), 1.0), "finite"),
        (lambda: Ball((0, 0), 1.0), "three coordinates"),
        (lambda: Box((0, 0, 0), (1, 0, 1)), "above lower"),
        (lambda: HalfSpace((0, 0, 0), (0, 0, 0)), "zero vector"),
        (lambda: Needle((0, 0, 0), (0, 0, 1), 0.1, 0.2, 0.3), "leaves no shaft"),
        (lambda: Cylinder((0, 0, 1), (0, 0, 1), 0.1), "same point"),
        (lambda: Tube([], 0.1), "Tube.points"),
        (lambda: Union([]), "at least one shape"),
        (lambda: Placed(Ball((0, 0, 0), 1.0), 2 * np.eye(3), (0, 0, 0)), "not a rotation"),
        (lambda: Ellipsoid((0, 0, 0), (1.0, 0.0, 1.0)), "above 0"),
    ],
)
def test_impossible_shapes_are_refused_with_a_reason(make: object, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        make()  # type: ignore[operator]
    assert words in str(refusal.value)
