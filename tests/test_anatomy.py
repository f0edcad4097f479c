"""Label images: patient coordinates, merging, distances, refusals; and a real liver where there is one."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from rfasim.anatomy import LabelDistance, LabelImage, read_labels, tissue_of_points, vessel_distance
from rfasim.case import Anatomy, case_from_dict, load_case
from rfasim.errors import InputError

nibabel = pytest.importorskip("nibabel")
MM = 1e-3
SPACING = np.array([0.9, 1.1, 3.0])  # mm


def nifti(path: Path, data: np.ndarray, affine: np.ndarray | None = None, **header: object) -> Path:
    """A NIfTI file; the default affine has the spacing above and its origin at RAS (-10, -20, 30) mm."""
    if affine is None:
        affine = np.diag([*SPACING, 1.0])
        affine[:3, 3] = (-10, -20, 30)
    code = int(header.get("code", 1))  # type: ignore[call-overload]
    image = nibabel.Nifti1Image(data, None, dtype=data.dtype)
    image.header.set_xyzt_units(str(header.get("units", "mm")))
    image.header.set_sform(affine, code=code)
    nibabel.save(image, path)
    return path


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.linalg.det(q)))


def blocks() -> np.ndarray:
    data = np.zeros((20, 18, 12), dtype=np.uint8)
    data[4:12, 5:10, 3:8] = 1
    data[8:10, 8:16, 5] = 2
    return data


def test_voxel_middles_land_in_patient_coordinates_and_back(tmp_path: Path) -> None:
    image = read_labels(nifti(tmp_path / "a.nii.gz", blocks()))
    # the voxel (4, 5, 3) is at RAS (-6.4, -14.5, 39) mm, so at LPS (6.4, 14.5, 39) mm
    assert image.to_world[:3] @ [4, 5, 3, 1] == pytest.approx([6.4 * MM, 14.5 * MM, 39 * MM])
    assert image.spacing == pytest.approx(SPACING * MM)
    assert image.sample([[6.4 * MM, 14.5 * MM, 39 * MM], [7.3 * MM, 14.5 * MM, 39 * MM]]).tolist() == [1, 0]
    assert image.present == {1, 2}


@pytest.mark.parametrize(
    ("units", "factor"), [("mm", 1e-3), ("meter", 1.0), ("micron", 1e-6), ("unknown", 1e-3)]
)
def test_every_voxel_is_found_again_whatever_the_orientation_and_unit(
    tmp_path: Path, units: str, factor: float
) -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 9, (7, 6, 5)).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = rotation(3) * SPACING / factor * MM
    affine[:3, 3] = np.array([5.0, -7.0, 11.0]) / factor * MM
    image = read_labels(nifti(tmp_path / "a.nii", data, affine, units=units))
    voxels = np.argwhere(data >= 0)
    shaken = voxels + rng.uniform(-0.49, 0.49, voxels.shape)
    ras = shaken @ affine[:3, :3].T + affine[:3, 3]
    lps = ras * [-1, -1, 1] * factor
    assert np.array_equal(image.sample(lps), data[tuple(voxels.T)])
    assert image.voxels(lps) == pytest.approx(shaken, abs=1e-4)
    assert not image.sample(lps + 1.0).any()


def test_whole_numbers_saved_as_floats_are_labels(tmp_path: Path) -> None:
    for kind in (np.float32, np.float64, np.int64, np.uint16, np.int8):
        image = read_labels(nifti(tmp_path / f"{np.dtype(kind)}.nii", blocks().astype(kind)))
        assert image.data.dtype.kind in "iu"
        assert np.array_equal(image.data, blocks())
    assert np.array_equal(read_labels(nifti(tmp_path / "b.nii", blocks()[..., None])).data, blocks())


def test_cropping_keeps_voxels_where_they_are(tmp_path: Path) -> None:
    image = read_labels(nifti(tmp_path / "a.nii", blocks()))
    rng = np.random.default_rng(0)
    middle = image.to_world[:3, :3] @ [9, 9, 5] + image.to_world[:3, 3]
    lower, upper = middle - 5 * MM, middle + np.array([3, 5, 4]) * MM
    small = image.crop(lower, upper)
    assert small.data.size < image.data.size / 4
    points = rng.uniform(lower, upper, (500, 3))
    assert np.array_equal(small.sample(points), image.sample(points))
    assert np.array_equal(image.crop(lower - 1, upper + 1).data, image.data)
    assert image.crop(upper + 1, upper + 1.01).data.size == 0


def signed_distance_to_voxels(image: LabelImage, label: int, points: np.ndarray) -> np.ndarray:
    """By brute force over all voxel boxes, the lattice widened so that everything around it is outside."""
    wide = np.pad(image.data == label, 2)
    scaled = image.voxels(points) * image.spacing
    centres = (np.argwhere(wide) - 2) * image.spacing
    others = (np.argwhere(~wide) - 2) * image.spacing

    def nearest(boxes: np.ndarray) -> np.ndarray:
        gap = np.abs(scaled[:, None] - boxes) - image.spacing / 2
        return np.linalg.norm(np.maximum(gap, 0), axis=2).min(axis=1)

    return nearest(centres) - nearest(others)


@pytest.mark.parametrize("seed", [None, 7])
def test_distances_are_those_to_the_voxel_boxes(seed: int | None) -> None:
    to_world = np.eye(4)
    to_world[:3, :3] = (np.eye(3) if seed is None else rotation(seed)) * SPACING * MM
    image = LabelImage(blocks(), to_world)
    rng = np.random.default_rng(5)
    points = (rng.uniform(-3, 22, (800, 3)) * [1, 0.9, 0.6]) @ to_world[:3, :3].T
    exact = signed_distance_to_voxels(image, 1, points)
    found = image.distance([1], points)
    assert np.array_equal(found < 0, image.sample(points) == 1)
    # the nearest of the boxes that seven voxels found is nearly always the nearest of all
    error = found - exact
    assert error.min() > -1e-9
    assert error.max() < 0.5 * SPACING.min() * MM + 1e-9
    assert np.mean(error < 1e-9) > 0.9


def test_a_plane_between_voxels_is_at_distance_zero_and_balls_at_their_radius() -> None:
    to_world = np.diag([*SPACING * MM, 1.0])
    half = np.zeros((30, 20, 10), dtype=np.uint8)
    half[:15] = 1
    x = np.linspace(9, 24, 77)  # nearer to the plane than to the image's ends
    points = np.stack([x, np.full(77, 9.3), np.full(77, 5.4)], 1) @ to_world[:3, :3].T
    assert LabelImage(half, to_world).distance([1], points) == pytest.approx(
        (x - 14.5) * SPACING[0] * MM, abs=1e-12
    )
    fine = np.diag([0.5 * MM, 0.5 * MM, 0.5 * MM, 1.0])
    i = np.stack(np.indices((61, 61, 61)), -1) - 30
    ball = (np.linalg.norm(i * 0.5, axis=-1) < 10).astype(np.uint8)
    points = np.random.default_rng(0).uniform(-14, 14, (400, 3)) * MM + 15 * MM
    exact = np.linalg.norm(points - 15 * MM, axis=1) - 10 * MM
    assert np.abs(LabelImage(ball, fine).distance([1], points) - exact).max() < 0.5 * MM


def test_distances_are_cut_off_at_their_reach_and_where_nothing_is() -> None:
    image = LabelImage(blocks(), np.diag([*SPACING * MM, 1.0]))
    far = np.array([[0.5, 0.5, 0.5]])
    assert image.distance([1], far).tolist() == [0.03]
    assert image.distance([9], np.zeros((3, 3)), reach=0.01).tolist() == [0.01] * 3
    assert image.distance([1], np.zeros((0, 3))).shape == (0,)
    everything = LabelImage(np.ones((6, 6, 6), np.uint8), np.diag([MM, MM, MM, 1.0]))
    # outside of the image nothing is labelled
    assert everything.distance([1], [[2.5 * MM, 2.5 * MM, 2.5 * MM]]) == pytest.approx([-3 * MM])


def test_outside_its_box_a_distance_grows_with_the_way_there() -> None:
    image = LabelImage(blocks(), np.diag([*SPACING * MM, 1.0]))
    field = LabelDistance(image, [1], np.zeros(3), np.array([15, 15, 30]) * MM)
    inside = field([[2.0 * MM, 8 * MM, 15 * MM]])
    assert field([[-50 * MM, 8 * MM, 15 * MM]])[0] == pytest.approx(inside[0] + 52 * MM, rel=0.02)
    assert np.isinf(LabelDistance(image, [7], np.zeros(3), np.ones(3) * MM)(np.zeros((2, 3)))).all()


def anatomy(tmp_path: Path, **second: object) -> Anatomy:
    liver, vessels = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), np.uint8)
    liver[4:16, 4:16, 4:16] = 1
    vessels[9:11, 9:11, :] = 1  # runs through the liver and out of it
    vessels[2, 2, 2] = 5
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS x = i, y = j, z = k in mm
    nifti(tmp_path / "liver.nii.gz", liver, affine)
    nifti(tmp_path / "vessels.nii.gz", vessels, affine)
    entry = {"file": "vessels.nii.gz", "mapping": {1: "blood"}, "hold": [1], **second}
    return Anatomy.model_validate(
        {
            "labels": [{"file": "liver.nii.gz", "mapping": {1: "liver"}}, entry],
            "outside": "muscle",
            "crop": 0.02,
        }
    )


def test_later_images_win_where_they_say_something(tmp_path: Path) -> None:
    points = np.array([[7, 7, 7], [9.4, 9.6, 7], [9.4, 9.6, 1], [1, 1, 1], [2, 2, 2], [-50, 0, 0]]) * MM
    names, index, held = tissue_of_points(anatomy(tmp_path), points, tmp_path)
    assert [names[k] for k in index] == ["liver", "blood", "blood", "muscle", "muscle", "muscle"]
    assert held.tolist() == [False, True, True, False, False, False]
    assert index.dtype == np.uint32
    # a label without a tissue says nothing; one with a tissue and no hold is not held
    names, index, held = tissue_of_points(
        anatomy(tmp_path, mapping={1: "liver", 5: "tumour"}, hold=[]), points, tmp_path
    )
    assert [names[k] for k in index] == ["liver", "liver", "liver", "muscle", "tumour", "muscle"]
    assert not held.any()


def test_a_later_image_without_hold_takes_the_hold_away(tmp_path: Path) -> None:
    record = anatomy(tmp_path)
    turned = record.model_copy(update={"labels": record.labels[::-1]})
    names, index, held = tissue_of_points(turned, np.array([[9.4, 9.6, 7], [9.4, 9.6, 1]]) * MM, tmp_path)
    assert [names[k] for k in index] == ["liver", "blood"]
    assert held.tolist() == [False, True]


def test_the_distance_to_held_vessels_is_a_function_of_points(tmp_path: Path) -> None:
    case = case_from_dict(
        {
            "name": "a", "electrodes": [{"device": "needle", "tip": [0.01, 0.01, -0.005]}],
            "generator": {"protocol": "constant_power", "power": 30.0},
        }
    )  # fmt: skip
    distance = vessel_distance(anatomy(tmp_path), tmp_path, case)
    points = np.array([[5, 9.5, 10], [9.5, 9.5, 10], [9.5, 20.5, 3]]) * MM
    assert distance(points) == pytest.approx(np.array([3.5, -1.0, 10.0]) * MM, abs=1e-9)
    nothing = vessel_distance(anatomy(tmp_path, hold=[]), tmp_path, case)
    assert np.isinf(nothing(points)).all()


def test_mistakes_in_an_anatomy_are_refused_with_their_path(tmp_path: Path) -> None:
    points = np.full((4, 3), 7 * MM)
    with pytest.raises(
        InputError, match=r"labels\[1\].mapping: none of its labels \(3, 4\).*there are: 1, 5"
    ):
        tissue_of_points(anatomy(tmp_path, mapping={3: "liver", 4: "blood"}, hold=[]), points, tmp_path)
    with pytest.raises(InputError, match=r"labels\[1\].file: .*gone.nii.gz: cannot be read"):
        tissue_of_points(anatomy(tmp_path, file="gone.nii.gz"), points, tmp_path)
    with pytest.raises(
        InputError, match=r"say nothing about the domain, whose middle is \(-107, -107, -107\) mm"
    ):
        tissue_of_points(anatomy(tmp_path), -points - 0.1, tmp_path)


def test_files_that_are_no_label_image_are_refused(tmp_path: Path) -> None:
    def refuse(path: Path, reason: str) -> None:
        with pytest.raises(InputError, match=reason) as refusal:
            read_labels(path)
        assert refusal.value.path == str(path)
        assert "\n" not in refusal.value.message

    refuse(tmp_path / "none.nii", "No such file")
    refuse(tmp_path, "holds no DICOM")
    (tmp_path / "text.nii").write_text("hello")
    refuse(tmp_path / "text.nii", "is no NIfTI image")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    refuse(tmp_path / "empty.nii.gz", "is no NIfTI image")
    refuse(nifti(tmp_path / "4d.nii", np.zeros((4, 4, 4, 3), np.uint8)), "shape 4 x 4 x 4 x 3")
    refuse(nifti(tmp_path / "flat.nii", np.zeros((4, 4), np.uint8)), "shape 4 x 4;")
    refuse(nifti(tmp_path / "ct.nii", np.full((4, 4, 4), 0.5, np.float32)), "no whole numbers, such as 0.5")
    broken = np.zeros((4, 4, 4), np.float32)
    broken[1, 2, 3] = np.nan
    refuse(nifti(tmp_path / "nan.nii", broken), "no whole numbers, such as nan")
    refuse(nifti(tmp_path / "c.nii", np.zeros((4, 4, 4), np.complex64)), "labels are whole numbers")
    refuse(nifti(tmp_path / "nowhere.nii", blocks(), code=0), "does not say where it lies in the patient")
    refuse(nifti(tmp_path / "thin.nii", blocks(), np.diag([1.0, 1.0, 0.0, 1.0])), "voxels without volume")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_cut_off_images_are_refused(tmp_path: Path, ending: str, share: float) -> None:
    rng = np.random.default_rng(0)
    path = nifti(tmp_path / f"a{ending}", rng.integers(0, 200, (30, 30, 30)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"cut off or damaged|no NIfTI image"):
        read_labels(path)


def test_a_header_that_asks_for_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", blocks())
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([2000, 2000, 2000], dtype="<i2").tobytes()
    path.write_bytes(raw)
    with pytest.raises(InputError, match="2000 x 2000 x 2000 voxels; from 1 to 2e9"):
        read_labels(path)
    with gzip.open(tmp_path / "b.nii.gz", "wb") as file:
        file.write(raw)
    with pytest.raises(InputError, match="from 1 to 2e9"):
        read_labels(tmp_path / "b.nii.gz")


def test_sheared_voxels_have_no_distance() -> None:
    to_world = np.eye(4) * MM
    to_world[0, 1] = 0.5 * MM
    image = LabelImage(blocks(), to_world)
    assert image.sample([to_world[:3, :3] @ [5, 6, 4]]).tolist() == [1]
    with pytest.raises(InputError, match="sheared"):
        image.distance([1], [[0.0, 0, 0]])


# ---------------------------------------------------------------------------------------------------- a
# real liver

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RFASIM_DATA") or ROOT.parent / "shared" / "data") / "liver_case002"
real = pytest.mark.skipif(
    not DATA.is_dir(),
    reason=f"the real liver is not at {DATA}; set RFASIM_DATA to the folder that holds liver_case002",
)


def real_anatomy() -> Anatomy:
    record = load_case(ROOT / "cases" / "liver_case002.yaml").anatomy
    assert record is not None
    here = tuple(entry.model_copy(update={"file": Path(entry.file).name}) for entry in record.labels)
    return record.model_copy(update={"labels": here})


@real
def test_the_place_described_with_the_real_liver_is_where_the_case_puts_its_tumour() -> None:
    liver = read_labels(DATA / "hepaticvessel_002_liver.nii.gz")
    vessels = read_labels(DATA / "hepaticvessel_002_vsnet.nii.gz")
    assert liver.data.shape == (512, 512, 66)
    assert (liver.present, vessels.present) == ({1}, {1, 2})
    assert liver.spacing == pytest.approx(np.array([0.95117, 0.95117, 3.75]) * MM, rel=1e-5)
    case = load_case(ROOT / "cases" / "liver_case002.yaml")
    assert case.tumour is not None
    target = np.array(case.tumour.centre)[None]
    assert liver.voxels(target)[0] == pytest.approx([400, 313, 32], abs=0.01)
    assert case.electrodes[0].active_centre == pytest.approx(target[0], abs=1e-5)
    # as its note says: about 10 mm to a hepatic vein, 14 mm to a portal branch, 30 mm to the capsule
    assert vessels.distance([1], target)[0] == pytest.approx(10 * MM, abs=2.5 * MM)
    assert vessels.distance([2], target)[0] == pytest.approx(14 * MM, abs=1.5 * MM)
    assert liver.distance([1], target, reach=0.05)[0] == pytest.approx(-30 * MM, abs=3 * MM)


@real
def test_the_real_needle_runs_through_liver_and_misses_the_vessels() -> None:
    case = load_case(ROOT / "cases" / "liver_case002.yaml")
    needle = case.electrodes[0]
    way = needle.tip_point - needle.axis * np.linspace(0, 0.09, 181)[:, None]
    names, index, held = tissue_of_points(real_anatomy(), way, DATA)
    tissue = np.array(names)[index]
    in_liver = int(np.argmax(tissue == "muscle"))
    assert not held.any()
    assert set(tissue[:in_liver]) == {"liver"}
    assert in_liver * 0.5 == pytest.approx(15 + 36, abs=1.5)
    distance = vessel_distance(real_anatomy(), DATA, case)(way[:in_liver])
    assert distance.min() > 5 * MM


@real
def test_real_tissue_has_the_volumes_of_its_voxels() -> None:
    case = load_case(ROOT / "cases" / "liver_case002.yaml")
    rng = np.random.default_rng(0)
    points = np.array(case.domain_centre) + rng.uniform(-0.05, 0.05, (40_000, 3))
    names, index, held = tissue_of_points(real_anatomy(), points, DATA)
    assert set(names) == {"liver", "blood", "muscle"}
    share = {name: float(np.mean(index == k)) for k, name in enumerate(names)}
    assert np.array_equal(held, index == names.index("blood"))
    # against the voxels themselves in the same box
    vessels = read_labels(DATA / "hepaticvessel_002_vsnet.nii.gz")
    box = vessels.crop(np.array(case.domain_centre) - 0.05, np.array(case.domain_centre) + 0.05)
    assert share["blood"] == pytest.approx(float(np.mean(box.data > 0)), rel=0.08)
    distance = vessel_distance(real_anatomy(), DATA, case)(points)
    assert np.array_equal(distance < 0, held)
