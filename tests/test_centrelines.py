"""Centre lines: lengths, radii and branchings of tubes and trees that are known, at several voxel sizes; a real liver.

The vessels are drawn by the middles of voxels, at places that no lattice prefers. Where slices are 5 mm thick, vessels
that cross them are at least 6 mm wide: what is thinner than a voxel may be in none.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rfasim import geometry
from rfasim.anatomy import (
    CentreLine,
    LabelImage,
    centre_lines,
    centrelines,
    describe,
    read_labels,
    write_centre_lines,
)
from rfasim.errors import InputError

skimage = pytest.importorskip("skimage.morphology")
MM = 1e-3
ALL = (-np.ones(3), np.ones(3))
CUBES, THICK, THICKER = (1.0, 1.0, 1.0), (0.9, 0.9, 3.0), (0.9, 0.9, 5.0)
Tube = tuple[np.ndarray, float]  # points (n, 3) [mm], radius [mm]


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.linalg.det(q)))


def drawn(tubes: list[Tube], spacing: tuple[float, ...], turn: np.ndarray | None = None) -> LabelImage:
    """An image in which the voxels inside of ``tubes`` are 1; tubes are flat where they end alone."""
    axes = np.eye(3) if turn is None else turn
    edges, places = np.array(spacing), np.vstack([points for points, _ in tubes]) @ axes
    room = 3 + max(radius for _, radius in tubes)
    first = places.min(axis=0) - room - np.array([0.13, 0.27, 0.41]) * edges
    shape = np.ceil((places.max(axis=0) + room - first) / edges).astype(int) + 1
    x = (np.stack(np.indices(shape), -1).reshape(-1, 3) * edges + first) @ axes.T
    ends = Counter(tuple(np.round(points[k], 6)) for points, _ in tubes for k in (0, -1))
    inside = np.zeros(len(x), dtype=bool)
    for points, radius in tubes:
        own = geometry.Tube(points, radius).distance(x) < 0
        for end, before in ((points[0], points[1]), (points[-1], points[-2])):
            if ends[tuple(np.round(end, 6))] == 1:
                own &= ~(((x - end) @ (end - before) > 0) & (np.linalg.norm(x - end, axis=1) < 1.2 * radius))
        inside |= own
    to_world = np.eye(4)
    to_world[:3, :3], to_world[:3, 3] = axes * edges * MM, axes @ first * MM
    return LabelImage(inside.reshape(shape).astype(np.uint8), to_world)


def straight(diameter: float, angle: float, length: float = 50.0) -> Tube:
    """A tube at ``angle`` [degrees] to the slices' normal, along no axis within them."""
    a = np.radians(angle)
    way = np.array([0.9 * np.sin(a), np.sqrt(0.19) * np.sin(a), np.cos(a)])
    return np.array([-way, way]) * length / 2, diameter / 2


def bifurcations(seed: int | None, radius: float = 5.0, length: float = 40.0, levels: int = 3) -> list[Tube]:
    """A tree that forks twice, each time by 38 degrees to either side in a new plane, after Murray's law."""
    frame = np.eye(3)[:, [2, 0, 1]] if seed is None else rotation(seed)
    out: list[Tube] = []

    def grow(start: np.ndarray, way: np.ndarray, across: np.ndarray, radius: float, length: float, left: int) -> None:
        out.append((np.array([start, start + length * way]), radius))
        if left > 1:
            for side in (-1, 1):
                a = side * np.radians(38)
                child = np.cos(a) * way + np.sin(a) * across
                grow(start + length * way, child, np.cross(way, across), radius / 2 ** (1 / 3), 0.8 * length, left - 1)

    grow(np.zeros(3), frame[:, 0], frame[:, 1], radius, length, levels)
    return out


def length(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def labelled(image: LabelImage) -> float:
    """Volume of the labelled voxels [mm^3]."""
    return float(np.count_nonzero(image.data) * np.prod(image.spacing)) / MM**3


def total(lines: list[CentreLine]) -> float:
    """Length of all lines [mm]."""
    return sum(line.length for line in lines) / MM


def volume(lines: list[CentreLine]) -> float:
    """Volume of all lines' tubes [mm^3]."""
    return sum(np.pi / 4 * line.diameter**2 * line.length for line in lines) / MM**3


def check(lines: list[CentreLine]) -> None:
    """What holds of every list: lines that meet do so exactly, trees are trees, parents come first."""
    places: dict[int, tuple[float, ...]] = {}
    for k, line in enumerate(lines):
        assert len(line.points) == len(line.radii) >= 2
        assert line.radii.min() > 0
        for node, place in zip(line.nodes, (line.points[0], line.points[-1]), strict=True):
            assert places.setdefault(node, tuple(place)) == tuple(place)
        if line.parent >= 0:
            assert line.parent < k
            assert lines[line.parent].nodes[1] == line.nodes[0]
            assert lines[line.parent].tree == line.tree
        steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
        assert steps.max() <= 1.05 * line.radii.mean()
    assert len(set(places.values())) == len(places)
    degree = Counter(node for line in lines for node in line.nodes)
    for line in lines:
        for node, end in zip(line.nodes, line.ends, strict=True):
            assert (end == "branch") == (degree[node] > 1)
    # a forest: as many lines as nodes, less one for each tree
    assert len(lines) == len(degree) - len({line.tree for line in lines})


# ---------------------------------------------------------------------------------------------------- tubes


@pytest.mark.parametrize("diameter", [3.0, 4.0, 6.0, 10.0])
@pytest.mark.parametrize("angle", [0.0, 30.0, 60.0, 90.0])
def test_straight_tubes_have_their_length_and_diameter_in_cubes(diameter: float, angle: float) -> None:
    (line,) = centre_lines(drawn([straight(diameter, angle)], CUBES), [1], *ALL, min_length=3 * MM)
    assert line.ends == ("free", "free")
    assert line.length == pytest.approx(50 * MM, rel=0.05)
    assert line.diameter == pytest.approx(diameter * MM, rel=0.05)


@pytest.mark.parametrize(("spacing", "diameters"), [(THICK, (4.0, 6.0, 10.0)), (THICKER, (6.0, 10.0))])
@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0, 60.0, 75.0, 90.0])
def test_straight_tubes_have_their_length_and_diameter_in_thick_slices(
    spacing: tuple[float, ...], diameters: tuple[float, ...], angle: float
) -> None:
    for diameter in diameters:
        image = drawn([straight(diameter, angle)], spacing)
        lines = centre_lines(image, [1], *ALL, min_length=3 * MM)
        assert len(lines) == 1
        assert total(lines) == pytest.approx(50, rel=0.07)
        # how much of a lying tube is drawn is a matter of luck: of 6 mm in one slice of 5 mm it is 80 %
        assert volume(lines) == pytest.approx(labelled(image), rel=0.03)


@pytest.mark.parametrize("spacing", [CUBES, THICK, THICKER])
@pytest.mark.parametrize("radius", [3.0, 5.0])
def test_a_bent_tube_is_as_long_as_its_axis(spacing: tuple[float, ...], radius: float) -> None:
    turn = np.linspace(0, 0.75 * np.pi, 60)
    axis = np.column_stack([20 * np.cos(turn), 20 * np.sin(turn), 6 * turn])
    (line,) = centre_lines(drawn([(axis, radius)], spacing), [1], *ALL, min_length=3 * MM)
    assert line.length == pytest.approx(length(axis) * MM, rel=0.045)
    assert line.diameter == pytest.approx(2 * radius * MM, rel=0.02)
    gaps = np.linalg.norm(line.points[1:-1, None] / MM - axis, axis=-1).min(axis=1)
    assert gaps.max() < (0.7 if spacing != THICKER else 1.5)


def test_volumes_tell_the_radius_and_the_distance_to_the_wall_does_not() -> None:
    ratios = []
    for spacing, angle in itertools.product((CUBES, THICK, THICKER), (20.0, 45.0, 70.0)):
        image = drawn([straight(8.0, angle)], spacing)
        (line,) = centre_lines(image, [1], *ALL, min_length=3 * MM)
        piece = image.only([1], centrelines.PADDING)
        assert piece is not None
        depth = centrelines._skeleton(piece)[2](line.points[2:-2])
        assert line.radii.mean() == pytest.approx(4 * MM, rel=0.02)
        ratios.append(np.mean(depth) / (4 * MM))
    assert np.mean(ratios) < 0.95
    assert np.ptp(ratios) > 0.1


def test_thinning_loses_nothing_that_is_an_even_number_of_voxels_thick() -> None:
    # scikit-image's skeletonize makes nothing of this bar, see its issue 3757
    bar = np.zeros((60, 12, 12), dtype=np.uint8)
    bar[5:55, 4:8, 4:8] = 1
    image = LabelImage(bar, np.diag([MM, MM, MM, 1.0]))
    assert not skimage.skeletonize(bar > 0).any()
    (line,) = centre_lines(image, [1], *ALL, min_length=3 * MM)
    assert line.length == pytest.approx(50 * MM, rel=0.04)
    assert volume([line]) == pytest.approx(50 * 4 * 4, rel=0.02)
    # and it does not eat up the branch of a round vessel
    x, y, z = np.indices((60, 40, 40))
    bar = ((y - 20) ** 2 + (z - 20) ** 2 < 8**2) & (x > 4) & (x < 56)
    bar[28:32, 20:40, 18:22] = True
    bar = np.pad(bar, ((0, 0), (0, 20), (0, 0)))
    bar[28:32, 40:55, 18:22] = True
    lines = centre_lines(LabelImage(bar.astype(np.uint8), np.diag([MM, MM, MM, 1.0])), [1], *ALL, min_length=3 * MM)
    check(lines)
    assert len(lines) == 3
    assert min(line.points[:, 1].max() for line in lines if line.diameter < 10 * MM) > 53 * MM


# ---------------------------------------------------------------------------------------------------- trees


@pytest.mark.parametrize("spacing", [CUBES, THICK, THICKER])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_tree_has_its_branchings_lengths_and_diameters(spacing: tuple[float, ...], seed: int | None) -> None:
    tubes = bifurcations(seed)
    lines = centre_lines(drawn(tubes, spacing), [1], *ALL, min_length=5 * MM)
    check(lines)
    assert len(lines) == 7
    assert Counter(end for line in lines for end in line.ends) == {"branch": 9, "free": 5}
    assert [line.parent for line in lines] == [-1, 0, 0, 1, 1, 2, 2]
    assert total(lines) == pytest.approx(sum(length(points) for points, _ in tubes), rel=0.015)
    assert volume(lines) == pytest.approx(sum(np.pi * r**2 * length(points) for points, r in tubes), rel=0.03)
    for points, radius in tubes:
        middle = points.mean(axis=0)
        own = min(lines, key=lambda line: np.linalg.norm(line.points / MM - middle, axis=1).min())
        assert own.length == pytest.approx(length(points) * MM, abs=1.5 * MM if spacing == CUBES else 4.2 * MM)
        assert own.diameter == pytest.approx(2 * radius * MM, rel=0.03 if spacing == CUBES else 0.05)


def test_the_same_labels_give_the_same_lines_whatever_else_is_in_the_image() -> None:
    image = drawn(bifurcations(2, radius=3.0, length=25.0), CUBES)
    lines = centre_lines(image, [1], *ALL, min_length=4 * MM)
    again = centre_lines(image, [1], *ALL, min_length=4 * MM)
    renamed = image.data.astype(np.int16) * 7
    renamed[0, :, :] = 3
    other = centre_lines(LabelImage(renamed, image.to_world), [7, 9], *ALL, min_length=4 * MM)
    for found in (again, other):
        assert len(found) == len(lines)
        for one, two in zip(lines, found, strict=True):
            assert np.array_equal(one.points, two.points)
            assert np.array_equal(one.radii, two.radii)
            assert (one.nodes, one.ends, one.parent, one.tree) == (two.nodes, two.ends, two.parent, two.tree)


def test_turned_images_are_measured_in_patient_coordinates() -> None:
    tubes = bifurcations(3, radius=4.0, length=30.0)
    turned = np.diag([-1.0, -1.0, 1.0]) @ rotation(5)
    lines = centre_lines(drawn(tubes, THICK, turned), [1], *ALL, min_length=5 * MM)
    check(lines)
    assert len(lines) == 7
    assert total(lines) == pytest.approx(sum(length(points) for points, _ in tubes), rel=0.02)
    for points, _ in tubes:
        assert min(np.linalg.norm(line.points / MM - points.mean(axis=0), axis=1).min() for line in lines) < 2.5


# ---------------------------------------------------------------------------------------------------- rules


def trunk_and_branch(reach: float, radius: float = 1.5) -> list[Tube]:
    """A trunk of 8 mm along z, and a branch that leaves it and reaches ``reach`` [mm] out of it."""
    slope = np.array([0.8, 0.36, 0.48])
    trunk = (np.array([[0.0, 0, -25], [0, 0, 25]]), 4.0)
    return [trunk, (np.array([np.zeros(3), slope * (reach + 4 / np.hypot(0.8, 0.36))]), radius)]


def test_branches_count_from_where_they_leave_their_vessel() -> None:
    for reach, n in ((3.0, 1), (9.0, 3)):
        lines = centre_lines(drawn(trunk_and_branch(reach), CUBES), [1], *ALL, min_length=6 * MM)
        check(lines)
        assert len(lines) == n


def test_thin_branches_are_dropped_and_the_trunk_is_whole_again() -> None:
    image = drawn(trunk_and_branch(20.0), CUBES)
    lines = centre_lines(image, [1], *ALL, min_length=4 * MM, min_diameter=2 * MM)
    assert len(lines) == 3
    assert lines[-1].diameter == pytest.approx(3 * MM, rel=0.05)
    (line,) = centre_lines(image, [1], *ALL, min_length=4 * MM, min_diameter=4 * MM)
    assert line.length == pytest.approx(50 * MM, rel=0.05)
    assert line.diameter == pytest.approx(8 * MM, rel=0.03)
    # a thin piece in the middle stays, or what is behind it would be cut off
    waist = [(np.array([[0.0, 0, -30], [0, 0, -10]]), 4.0), (np.array([[0.0, 0, -10], [0, 0, 10]]), 1.5),
             (np.array([[0.0, 0, 10], [0, 0, 30]]), 4.0)]  # fmt: skip
    (line,) = centre_lines(drawn(waist, CUBES), [1], *ALL, min_length=4 * MM, min_diameter=4 * MM)
    assert line.length == pytest.approx(60 * MM, rel=0.05)
    assert line.radii.min() < 2.2 * MM < 3.8 * MM < line.radii.max()


def test_lines_end_on_the_faces_of_the_box() -> None:
    image = drawn(bifurcations(None, radius=4.0, length=30.0), CUBES)
    whole = centre_lines(image, [1], *ALL, min_length=5 * MM)
    low, high = np.array([-0.5, -0.5, 10 * MM]), np.array([0.5, 0.5, 55 * MM])
    lines = centre_lines(image, [1], low, high, min_length=5 * MM)
    check(lines)
    faces = [
        place[2] for line in lines for end, place in zip(line.ends, line.points[[0, -1]], strict=True) if end == "box"
    ]
    assert sorted(faces) == [10 * MM, *[55 * MM] * 4]
    dropped = total(whole) - total(lines)
    assert dropped == pytest.approx(10 + 4 * (whole[-1].points[-1, 2] / MM - 55) / np.cos(np.radians(38)) ** 2, rel=0.1)
    # a box that ends just behind the first fork has short stubs there, which are dropped: one line remains
    (line,) = centre_lines(image, [1], low, np.array([0.5, 0.5, 33 * MM]), min_length=6 * MM)
    assert line.ends[0] == "box"
    assert centre_lines(image, [1], low + 0.2, high + 0.2, min_length=5 * MM) == []


def test_a_line_that_grazes_a_face_stays_one_line() -> None:
    along = np.linspace(-50.0, 50.0, 41)
    bulge = np.column_stack([2.0 * np.cos(along / 20), np.zeros(41), along])  # out of x = 1 by 1 mm in its middle
    image = drawn([(bulge, 4.0)], CUBES)
    low, high = np.array([-0.5, -0.5, -40 * MM]), np.array([1 * MM, 0.5, 40 * MM])
    (line,) = centre_lines(image, [1], low, high, min_length=5 * MM)
    assert line.ends == ("box", "box")
    assert line.points[:, 2].min() == pytest.approx(-40 * MM)
    assert line.points[:, 0].max() > 1.3 * MM
    # one that leaves by more than its radius is cut
    image = drawn([(bulge * [4, 1, 1], 4.0)], CUBES)
    assert len(centre_lines(image, [1], low, high, min_length=5 * MM)) == 2


def test_loops_are_opened_where_they_are_thinnest() -> None:
    turn = np.linspace(0.0, np.pi, 30)
    arch = np.column_stack([20 * np.cos(turn), 20 * np.sin(turn), np.zeros(30)])
    ring = [(arch, 3.0), (arch[:12] * [1, -1, 1], 3.0), (arch[11:19] * [1, -1, 1], 1.7), (arch[18:] * [1, -1, 1], 3.0),
            (np.array([[0.0, 20, 0], [0, 50, 0]]), 3.5)]  # fmt: skip
    lines = centre_lines(drawn(ring, CUBES), [1], *ALL, min_length=4 * MM)
    check(lines)
    opened = [
        place / MM
        for line in lines
        for end, place in zip(line.ends, line.points[[0, -1]], strict=True)
        if end == "loop"
    ]
    assert len(opened) == 2
    for place in opened:
        assert place[1] < -15  # in the thin part, which is opposite of where the trunk joins
    assert np.linalg.norm(opened[0] - opened[1]) > 2 * 1.7  # so far apart that no network joins them again


def test_a_missing_slice_is_bridged_and_a_wider_gap_is_not() -> None:
    image = drawn([straight(6.0, 30.0, 90.0)], THICK)
    middle = image.data.shape[2] // 2
    for missing, n in ((1, 1), (3, 2)):
        data = image.data.copy()
        data[:, :, middle : middle + missing] = 0
        lines = centre_lines(LabelImage(data, image.to_world), [1], *ALL, min_length=4 * MM)
        check(lines)
        assert len(lines) == n
        assert total(lines) == pytest.approx(90 - (n - 1) * 9 / np.cos(np.radians(30)), rel=0.06)


def test_vessels_side_by_side_are_not_bridged_and_crumbs_are_dropped() -> None:
    along, side = np.array([[0.0, 0, -20], [0, 0, 20]]), np.array([6.5, 0, 12.0])
    tubes = [(along, 2.5), (along + side, 2.5), (np.array([[-15.0, 0, 0], [-15, 0, 7]]), 2.0)]
    lines = centre_lines(drawn(tubes, CUBES), [1], *ALL, min_length=4 * MM)
    check(lines)
    assert [line.tree for line in lines] == [0, 1]
    lines = centre_lines(drawn(tubes, CUBES), [1], *ALL, min_length=2 * MM)
    assert len(lines) == 2  # 7 mm are less than two diameters


def test_nothing_gives_no_lines_and_mistakes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = drawn([straight(4.0, 20.0)], CUBES)
    assert centre_lines(image, [2], *ALL, min_length=MM) == []
    assert centre_lines(image, [0], *ALL, min_length=MM) == []
    dot = np.zeros((5, 5, 5), np.uint8)
    dot[2, 2, 2] = 1
    assert centre_lines(LabelImage(dot, np.diag([MM, MM, MM, 1.0])), [1], *ALL, min_length=MM) == []
    sheared = image.to_world.copy()
    sheared[0, 1] = 0.5 * MM
    with pytest.raises(InputError, match="sheared"):
        centre_lines(LabelImage(image.data, sheared), [1], *ALL, min_length=MM)
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(InputError, match=r"scikit-image; install it with: pip install 'rfasim\[images\]'"):
        centre_lines(image, [1], *ALL, min_length=MM)


def test_lines_are_described_and_written_for_slicer(tmp_path: Path) -> None:
    lines = centre_lines(drawn(trunk_and_branch(20.0), CUBES), [1], *ALL, min_length=4 * MM)
    rows = describe(lines)
    assert [row[0] for row in rows] == ["lines[0]", "lines[1]", "lines[2]"]
    assert [row[3] for row in rows] == ["free to branch, tree 0", *["lines[0] to free, tree 0"] * 2]
    assert rows[2][1:3] == pytest.approx((24.6, 3.0), rel=0.05)
    write_centre_lines(lines, tmp_path / "lines.mrk.json")
    written = json.loads((tmp_path / "lines.mrk.json").read_text(encoding="utf-8"))
    assert "markups-schema" in written["@schema"]
    for curve, line in zip(written["markups"], lines, strict=True):
        assert (curve["type"], curve["coordinateSystem"], curve["coordinateUnits"]) == ("Curve", "LPS", "mm")
        points = np.array([point["position"] for point in curve["controlPoints"]])
        assert points == pytest.approx(line.points / MM, abs=1e-3)
    assert written["markups"][2]["controlPoints"][-1]["description"].startswith("radius 1.")


# ---------------------------------------------------------------------------------------------------- a real liver

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RFASIM_DATA") or ROOT.parent / "shared" / "data") / "liver_case002"
real = pytest.mark.skipif(
    not DATA.is_dir(),
    reason=f"the real liver is not at {DATA}; set RFASIM_DATA to the folder that holds liver_case002",
)


@real
@pytest.mark.parametrize(("label", "trunk", "n"), [(1, (11.0, 16.0), 15), (2, (11.0, 15.0), 11)])
def test_the_real_vessels_are_trees_with_plausible_diameters(label: int, trunk: tuple[float, float], n: int) -> None:
    image = read_labels(DATA / "hepaticvessel_002_vsnet.nii.gz")
    tumour = np.array([105.58, 188.33, 120.0]) * MM
    lines = centre_lines(image, [label], tumour - 60 * MM, tumour + 60 * MM, min_length=5 * MM)
    check(lines)
    assert abs(len(lines) - n) <= 3
    diameters = np.array([line.diameter for line in lines]) / MM
    assert trunk[0] < diameters.max() < trunk[1]
    assert diameters.min() > 3
    assert "loop" not in {end for line in lines for end in line.ends}
    points = np.concatenate([line.points for line in lines])
    assert image.distance([label], points).max() < 1.5 * MM
    # what the lines hold is what is labelled
    box = image.crop(tumour - 60 * MM, tumour + 60 * MM)
    labelled = np.count_nonzero(box.data == label) * float(np.prod(image.spacing)) / MM**3
    assert volume(lines) == pytest.approx(labelled, rel=0.1)
