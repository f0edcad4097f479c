"""What is made of label images is made once for all needles of a patient, and is what would be made anew."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from rfasim import domain, network
from rfasim.anatomy import LabelImage, LabelShape, centre_lines, read_labels, reading, surroundings
from rfasim.anatomy.labels import KEPT
from rfasim.anatomy.voxel_kernels import count_neighbours, list_neighbours, within
from rfasim.case import Case, load_case
from rfasim.domain import all_vessels, surroundings_of, tumour_shapes

pytest.importorskip("nrrd")
CASES = Path(__file__).parent.parent / "cases"
MM = 1e-3


def forget() -> None:
    reading._read.cache_clear()
    domain._KNOWN.clear()
    network._KNOWN.clear()


def moved(case: Case, shift: tuple[float, float, float]) -> Case:
    """The case with its needle moved by ``shift`` [m]."""
    needle = case.electrodes[0]
    places = {name: tuple(np.array(getattr(needle, name)) + shift) for name in ("entry", "target")}
    return case.model_copy(update={"electrodes": (needle.model_copy(update=places),)})


@pytest.fixture(scope="module")
def image() -> LabelImage:
    return read_labels(CASES / "phantom/labels.seg.nrrd")


def unkept(image: LabelImage) -> LabelImage:
    """The same image as one whose voxels may change."""
    return LabelImage(image.data.copy(), image.to_world, image.names)


def test_only_what_cannot_change_is_kept(image: LabelImage) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [image.kept("number", make), image.kept("number", make)] == [1, 1]
    for k in range(KEPT - 1):
        image.kept(k, lambda: None)
    assert image.kept("number", make) == 1
    image.kept("one more", lambda: None)
    image.kept("another", lambda: None)
    assert image.kept("number", make) == 1  # what was asked for long ago has gone
    assert image.kept(0, make) == 2
    made.clear()
    other = unkept(image)
    assert [other.kept("number", make), other.kept("number", make)] == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        image.data[0, 0, 0] = 1


def test_kept_centre_lines_are_those_made_anew(image: LabelImage) -> None:
    numbers = image.numbers("Portal")
    middle = np.array([-77, -5, 22]) * MM
    for shift in (0.0, 4 * MM, 0.0):
        box = middle + shift - 40 * MM, middle + shift + 40 * MM
        kept = centre_lines(image, numbers, *box, min_length=5 * MM, min_diameter=MM)
        new = centre_lines(unkept(image), numbers, *box, min_length=5 * MM, min_diameter=MM)
        assert len(kept) == len(new) > 5
        for one, other in zip(kept, new, strict=True):
            assert np.array_equal(one.points, other.points)
            assert np.array_equal(one.radii, other.radii)
            assert (one.nodes, one.ends, one.parent, one.tree) == (other.nodes, other.ends, other.parent, other.tree)


def test_lines_do_not_hang_on_the_box_but_at_its_faces(image: LabelImage) -> None:
    middle, numbers = np.array([-77, -5, 22]) * MM, image.numbers("Portal")
    found = []
    for shift in (0.0, 3.3 * MM):
        low, high = middle + shift - 40 * MM, middle + shift + 40 * MM
        lines = centre_lines(image, numbers, low, high, min_length=5 * MM)
        inner = [line.points for line in lines if (np.abs(line.points - middle) < 30 * MM).all()]
        found.append({points.tobytes() if points[0, 0] < points[-1, 0] else points[::-1].tobytes() for points in inner})
    # two that met a stub at a face are one without it
    assert len(found[0] & found[1]) >= len(found[0]) - 2 > 5


def test_labels_that_fill_too_much_are_looked_at_in_the_box(image: LabelImage, monkeypatch: pytest.MonkeyPatch) -> None:
    middle, numbers = np.array([-77, -5, 22]) * MM, image.numbers("Portal")
    box = middle - 40 * MM, middle + 40 * MM
    whole = centre_lines(unkept(image), numbers, *box, min_length=5 * MM)
    monkeypatch.setattr("rfasim.anatomy.centrelines.WHOLE_CUBES", 1000)
    part = centre_lines(unkept(image), numbers, *box, min_length=5 * MM)
    assert sum(line.length for line in part) == pytest.approx(sum(line.length for line in whole), rel=0.03)
    assert len(part) == pytest.approx(len(whole), abs=2)


def test_another_needle_gets_the_vessels_that_it_would_get_alone() -> None:
    case = load_case(CASES / "phantom.yaml")
    all_vessels(case, CASES)
    other = moved(case, (0.0, 0.0, 3 * MM))
    kept, around = all_vessels(other, CASES), surroundings_of(other, CASES, tumour_shapes(other, CASES))
    assert all_vessels(other, CASES) is kept
    forget()
    assert all_vessels(other, CASES) == kept
    new = surroundings_of(other, CASES, tumour_shapes(other, CASES))
    assert around is not None
    assert new is not None
    assert around.organ is not None
    assert new.organ is not None
    points = np.random.default_rng(1).uniform(-60 * MM, 60 * MM, (1000, 3)) + other.domain_centre
    assert np.array_equal(around.organ.distance(points), new.organ.distance(points))
    assert around.structures.keys() == new.structures.keys()


def test_a_file_that_changes_is_another_image(tmp_path: Path) -> None:
    shutil.copytree(CASES / "phantom", tmp_path / "phantom")
    case = load_case(shutil.copy(CASES / "phantom.yaml", tmp_path))
    file = tmp_path / "phantom/labels.seg.nrrd"
    before = all_vessels(case, tmp_path)
    assert all_vessels(case, tmp_path) is before
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    again = all_vessels(case, tmp_path)
    assert again is not before
    assert again == before


def test_the_liver_in_the_domain_is_that_of_the_images_around_it() -> None:
    """Made of the whole images once, or of what lies around the domain: where its surface is within 14 mm, it is so."""
    case = load_case(CASES / "phantom.yaml")
    tumours = tumour_shapes(case, CASES)
    around = surroundings_of(case, CASES, tumours)
    assert around is not None
    assert around.organ is not None
    image = read_labels(CASES / "phantom/labels.seg.nrrd")
    centre = np.array(case.domain_centre)
    near = image.crop(centre - 90 * MM, centre + 90 * MM)
    mask = np.isin(near.data, image.numbers("Liver"))
    middles = near.places(np.argwhere(np.ones_like(mask)).astype(float))
    for shape in tumours.values():
        mask |= (shape.distance(middles) < 0).reshape(mask.shape)
    grown = distance_transform_edt(~np.pad(mask, 8), sampling=near.spacing) <= surroundings.VESSEL
    closed = (distance_transform_edt(grown, sampling=near.spacing) > surroundings.VESSEL)[8:-8, 8:-8, 8:-8]
    vessels = ("Hepatic", "Portal", "Cava", "Gallbladder", "Bile_Duct", "Diaphragm", "Stomach", "Bowel")
    cut = np.isin(near.data, [n for name in vessels for n in image.numbers(name)])
    twin = LabelShape(LabelImage((mask | (cut & closed)).astype(np.uint8), near.to_world), [1])
    points = np.random.default_rng(2).uniform(-60 * MM, 60 * MM, (20_000, 3)) + centre
    expected = twin.distance(points)
    known = np.abs(expected) < 14 * MM
    assert known.sum() > 2000
    assert np.abs(around.organ.distance(points) - expected)[known].max() < 1e-12


def test_two_images_with_voxels_of_their_own_make_one_liver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liver of two labels is the same shape from one image, from two with the same voxels and from shifted ones."""
    x, y, z = np.indices((24, 22, 20))
    ball = (x - 12) ** 2 + (y - 11) ** 2 + (z - 10) ** 2 < 64
    world = np.diag([2 * MM, 2 * MM, 2 * MM, 1.0])
    both = LabelImage(np.where(ball, 1, 0).astype(np.uint8), world)
    left, right = (LabelImage((ball & side).astype(np.uint8), world) for side in (x < 12, x >= 12))
    shifted = np.pad(right.data, ((3, 0), (0, 0), (0, 0)))
    away = world.copy()
    away[0, 3] = -6 * MM
    points = np.random.default_rng(3).uniform(0, 40 * MM, (500, 3))

    def liver(*images: LabelImage) -> np.ndarray:
        parts = [(image, frozenset([1])) for image in images]
        grid, start, stop = surroundings._around(parts, {})
        return surroundings._filled(grid.part(start, stop), start, parts, [], {}).distance(points)

    one = liver(both)
    assert np.array_equal(liver(left, right), one)
    assert np.allclose(liver(left, LabelImage(shifted, away)), one, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 1.1, 3.0)])
def test_what_lies_within_reach_is_what_the_distance_transform_says(spacing: tuple[float, ...]) -> None:
    mask = np.random.default_rng(4).random((30, 28, 26)) < 3e-4
    expected = distance_transform_edt(~mask, sampling=spacing) <= 5.5
    assert mask.any()
    assert np.array_equal(within(mask, 5.5, spacing), expected)
    assert not within(np.zeros_like(mask), 5.5, spacing).any()


def test_cubes_know_the_cubes_that_they_touch() -> None:
    inside = np.random.default_rng(5).random((9, 8, 7)) < 0.3
    cubes = np.argwhere(inside)
    number = np.full(inside.shape, -1, np.int32)
    number[inside] = np.arange(len(cubes))
    counts = np.empty(len(cubes), np.int64)
    count_neighbours(cubes, number, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    others, moves = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int8)
    list_neighbours(cubes, number, starts, others, moves)
    apart = np.abs(cubes[:, None] - cubes)
    for row, (first, stop) in enumerate(itertools.pairwise(starts)):
        assert others[first:stop].tolist() == np.flatnonzero(apart[row].max(axis=1) == 1).tolist()
        assert moves[first:stop].tolist() == apart[row][others[first:stop]].sum(axis=1).tolist()
