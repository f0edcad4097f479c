"""Label images in every kind of file: what is written is read back where it was, whatever the orientation."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim.anatomy import LabelImage, read_labels, tissue_of_points
from rfasim.anatomy.writing import write_dicom_seg, write_nifti, write_seg_nrrd
from rfasim.case import Anatomy
from rfasim.errors import InputError
from rfasim.frames import from_lps, to_lps

pytest.importorskip("nibabel")
nrrd = pytest.importorskip("nrrd")
MM = 1e-3
SPACING = np.array([0.9, 0.7, 5.0]) * MM
NAMES = {1: "Liver", 2: "Portal", 3: "Tumor_1", 4: "Tumor_2"}
ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def _labels(to_world: np.ndarray) -> LabelImage:
    """Blocks that no turn or flip maps onto themselves."""
    data = np.zeros((9, 8, 7), np.uint8)
    data[1:8, 1:7, 1:6] = 1
    data[2, 2:6, 3] = 2
    data[4:6, 3:5, 2:4] = 3
    data[6, 5, 4] = 4
    return LabelImage(data, to_world, NAMES)


def _turned(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[list(order)] * np.array(signs) * SPACING
    matrix[:3, 3] = np.array([12.3, -45.6, 78.9]) * MM
    return matrix


def _oblique(seed: int = 4) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = q * np.sign(np.linalg.det(q)) * SPACING
    matrix[:3, 3] = (0.1, -0.2, 0.3)
    return matrix


def _series(to_world: np.ndarray, shape: tuple[int, ...]) -> list[Any]:
    """A scan: slices along the last axis, rows along the second, columns along the first."""
    pydicom = pytest.importorskip("pydicom")
    uid = pydicom.uid.generate_uid
    affine = from_lps(to_world, "LPS")
    study, series, frame = uid(), uid(), uid()
    out = []
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    for k in range(shape[2]):
        slice_ = pydicom.Dataset()
        slice_.file_meta = pydicom.dataset.FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        slice_.SOPClassUID, slice_.SOPInstanceUID = pydicom.uid.CTImageStorage, uid()
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = study, series, frame
        slice_.PatientID, slice_.PatientName, slice_.PatientBirthDate, slice_.PatientSex = "1", "A^B", "", ""
        slice_.StudyID, slice_.StudyDate, slice_.StudyTime, slice_.AccessionNumber = "1", "", "", ""
        slice_.ReferringPhysicianName, slice_.Modality, slice_.Manufacturer = "", "CT", "nobody"
        slice_.Rows, slice_.Columns, slice_.InstanceNumber = shape[1], shape[0], k + 1
        slice_.PixelSpacing = [float(lengths[1]), float(lengths[0])]
        slice_.SliceThickness = float(lengths[2])
        slice_.ImageOrientationPatient = [float(x) for x in (*affine[:3, 0] / lengths[0], *affine[:3, 1] / lengths[1])]
        slice_.ImagePositionPatient = [float(x) for x in affine[:3, 3] + k * affine[:3, 2]]
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        out.append(slice_)
    return out


def _same_place(found: LabelImage, image: LabelImage, names: bool) -> None:
    """Each labelled voxel's middle holds the same label, the extents agree to 1e-3 mm, and so do the names."""
    for number in image.present:
        where = np.argwhere(image.data == number) @ image.to_world[:3, :3].T + image.to_world[:3, 3]
        told = {found.names.get(int(n), "") if names else int(n) for n in np.unique(found.sample(where))}
        assert told == {NAMES[number] if names else number}
        same = found.numbers(NAMES[number]) if names else [number]
        there = np.argwhere(np.isin(found.data, same)) @ found.to_world[:3, :3].T + found.to_world[:3, 3]
        assert len(there) == len(where)
        assert np.sort(there, axis=0) == pytest.approx(np.sort(where, axis=0), abs=1e-6)  # m: 1e-3 mm


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_keeps_every_voxel_where_it_is(tmp_path: Path, ending: str) -> None:
    for k, (order, signs) in enumerate(ORIENTATIONS):
        image = _labels(_turned(order, signs))
        write_nifti(tmp_path / f"{k}{ending}", image.data, image.to_world)
        _same_place(read_labels(tmp_path / f"{k}{ending}"), image, names=False)
    image = _labels(_oblique())
    write_nifti(tmp_path / f"oblique{ending}", image.data, image.to_world)
    _same_place(read_labels(tmp_path / f"oblique{ending}"), image, names=False)


def test_a_slicer_segmentation_keeps_places_and_names(tmp_path: Path) -> None:
    for k, matrix in enumerate([*(_turned(*way) for way in ORIENTATIONS), _oblique()]):
        image = _labels(matrix)
        write_seg_nrrd(tmp_path / f"{k}.seg.nrrd", image)
        _same_place(read_labels(tmp_path / f"{k}.seg.nrrd"), image, names=True)


def test_dicom_seg_keeps_places_and_names(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    ways = [way for way in ORIENTATIONS if np.linalg.det(_turned(*way)[:3, :3]) > 0][::3]
    for k, matrix in enumerate([*(_turned(*way) for way in ways), _oblique()]):
        image = _labels(matrix)
        folder = tmp_path / str(k)
        folder.mkdir()
        write_dicom_seg(folder / "seg.dcm", image, _series(matrix, image.data.shape))
        for path in (folder / "seg.dcm", folder):
            _same_place(read_labels(path), image, names=True)


@pytest.mark.parametrize("space", ["right-anterior-superior", "left-anterior-superior", "LPS"])
def test_nrrd_is_read_in_the_frame_that_it_names(tmp_path: Path, space: str) -> None:
    image = _labels(_oblique())
    frame = {"right-anterior-superior": "RAS", "left-anterior-superior": "LAS", "LPS": "LPS"}[space]
    affine = from_lps(image.to_world, frame)
    header = {"space": space, "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), image.data, header)
    _same_place(read_labels(tmp_path / "a.nrrd"), image, names=False)


def test_segments_that_overlap_lie_over_one_another_in_their_order(tmp_path: Path) -> None:
    stack = np.zeros((2, 5, 5, 5), np.uint8)
    stack[0, 1:4, 1:4, 1:4] = 1
    stack[1, 2, 2, 2] = 1
    header = {
        "space": "left-posterior-superior", "space origin": [0, 0, 0], "kinds": ["list", *["domain"] * 3],
        "space directions": np.array([[np.nan] * 3, [1, 0, 0], [0, 1, 0], [0, 0, 1]], float),
        "Segment0_Name": "Liver", "Segment0_LabelValue": "1", "Segment0_Layer": "0",
        "Segment1_Name": "Tumor_1", "Segment1_LabelValue": "1", "Segment1_Layer": "1",
    }  # fmt: skip
    nrrd.write(str(tmp_path / "a.seg.nrrd"), stack, header)
    image = read_labels(tmp_path / "a.seg.nrrd")
    assert image.names == {1: "Liver", 2: "Tumor_1"}
    assert (image.data == 2).sum() == 1
    assert (image.data == 1).sum() == 26


def test_labels_are_called_by_name(tmp_path: Path) -> None:
    write_seg_nrrd(tmp_path / "a.seg.nrrd", _labels(_turned((0, 1, 2), (1, 1, 1))))
    image = read_labels(tmp_path / "a.seg.nrrd")
    assert (image.numbers("tumor_*"), image.numbers("LIVER"), image.numbers(2), image.numbers(9)) == (
        [3, 4],
        [1],
        [2],
        [],
    )

    def anatomy(**mapping: str) -> Anatomy:
        return Anatomy.model_validate({"labels": [{"file": "a.seg.nrrd", "mapping": mapping}]})

    points = np.array([[4, 3, 2], [6, 5, 4], [1, 1, 1]]) * SPACING + np.array([12.3, -45.6, 78.9]) * MM
    names, index, _ = tissue_of_points(anatomy(**{"Liver": "liver", "Tumor_*": "tumour"}), points, tmp_path)
    assert [names[k] for k in index] == ["tumour", "tumour", "liver"]
    with pytest.raises(InputError, match=r"mapping\.Livr: is no label of .*there are: 1 \(Liver\), 2 \(Portal\)"):
        tissue_of_points(anatomy(Liver="liver", Livr="liver"), points, tmp_path)
    with pytest.raises(InputError, match=r"none of its labels \(Spleen\)"):
        tissue_of_points(anatomy(Spleen="spleen"), points, tmp_path)


def test_files_that_hold_no_labels_say_what_they_hold(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    scan = tmp_path / "scan"
    scan.mkdir()
    for k, slice_ in enumerate(_series(_turned((0, 1, 2), (1, 1, 1)), (4, 4, 3))):
        pydicom.dcmwrite(scan / f"{k}.dcm", slice_, enforce_file_format=True)
    with pytest.raises(InputError, match=r"holds no segmentation \(DICOM SEG\), but 3 CT; segment the scan"):
        read_labels(scan)
    with pytest.raises(InputError, match="holds no segmentation"):
        read_labels(scan / "0.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no DICOM that can be read; give a NIfTI"):
        read_labels(tmp_path / "empty")
    image = _labels(_turned((0, 1, 2), (1, 1, 1)))
    write_dicom_seg(scan / "one.dcm", image, _series(image.to_world, image.data.shape))
    assert read_labels(scan).present == {1, 2, 3, 4}
    write_dicom_seg(scan / "two.dcm", image, _series(image.to_world, image.data.shape))
    with pytest.raises(InputError, match=r"holds 2 DICOM SEG files \(one.dcm, two.dcm\)"):
        read_labels(scan)
    half = (scan / "one.dcm").read_bytes()
    (tmp_path / "half.dcm").write_bytes(half[: len(half) // 2])
    with pytest.raises(InputError, match=r"cut off|no DICOM"):
        read_labels(tmp_path / "half.dcm")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"space": None}, "it names no space"),
        ({"space": "scanner-xyz"}, "its space is 'scanner-xyz'"),
        ({"space directions": np.diag([1.0, 1.0, 0.0])}, "voxels without volume"),
    ],
)
def test_nrrd_without_a_place_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    header = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": np.zeros(3), **changes}
    header = {key: value for key, value in header.items() if value is not None}
    if "space" not in header:
        header = {}
    nrrd.write(str(tmp_path / "a.nrrd"), np.ones((3, 3, 3), np.uint8), header)
    with pytest.raises(InputError, match=reason):
        read_labels(tmp_path / "a.nrrd")
    whole = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "b.nrrd").write_bytes(whole[: len(whole) - 12])
    with pytest.raises(InputError, match=r"no NRRD image that can be read, or cut off|names no space|space is|volume"):
        read_labels(tmp_path / "b.nrrd")


def test_frames_are_turned_in_one_place() -> None:
    assert to_lps("RAS") @ [1000.0, 2000.0, 3000.0, 1.0] == pytest.approx([-1.0, -2.0, 3.0, 1.0])
    assert to_lps("LPS", "m") == pytest.approx(np.eye(4))
    with pytest.raises(KeyError):
        to_lps("RLS")
