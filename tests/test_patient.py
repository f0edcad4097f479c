"""From label images to margins and back into the viewer: a small patient of known shapes, run once."""

from __future__ import annotations

import html.parser
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from patients import CAPSULE, GALLBLADDER, MM, NAMES, SECOND, TUMOUR, ball, labels, write_case

from rfasim import cli
from rfasim.anatomy import LabelImage, read_grid, read_labels, read_scan
from rfasim.anatomy.writing import scan_slices, write_dicom_scan, write_nifti
from rfasim.case import load_case
from rfasim.domain import all_vessels, build_domain
from rfasim.exports import export, margin_classes, zone_triangles
from rfasim.report import direction, make_report, write_report
from rfasim.scene import Scene, read_scene
from rfasim.views import PIXELS, PLANES, grid_of, view_of

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The run of the small patient."""
    folder = tmp_path_factory.mktemp("patient")
    image = labels((1.5, 1.5, 3.0))
    write_nifti(folder / "labels.nii.gz", image.data, image.to_world, image.names)
    path = write_case(folder, "labels.nii.gz")
    assert cli.main(["run", str(path), "--out", str(folder / "run"), "--quiet", "--no-pictures"]) == 0
    return read_scene(folder / "run")


# ---------------------------------------------------------------------------------------------------- the numbers


def test_names_in_a_header_extension_are_those_of_the_labels(patient: Scene) -> None:
    found = read_labels(patient.result.folder.parent / "labels.nii.gz")
    assert found.names == {k: v for k, v in NAMES.items() if k < 5}


def test_both_tumours_and_the_structures_get_their_rows(patient: Scene) -> None:
    s = patient.result.summary
    assert [row["name"] for row in s["tumours"]] == ["one", "two"]
    assert s["tumour"] == s["tumours"][0]
    # that of the voxels (a ball of 6 mm in slices of 3 mm has 9 % too few), less the needle's channel: to 6 % by the
    # smooth surface through such coarse voxels, and 1 % by its straight pieces in cells
    image = labels((1.5, 1.5, 3.0))
    for row, number, channel in zip(s["tumours"], (3, 4), (0.2 * TUMOUR[1] * np.pi * 0.08**2, 0.0), strict=True):
        voxels = 1e6 * image.voxel_volume * int((image.data == number).sum())
        assert row["volume_ml"] == pytest.approx(voxels - channel, rel=0.07)
    assert [row["name"] for row in s["structures"]] == ["liver capsule", "gallbladder"]


def test_margins_are_those_of_the_balls_to_the_zone(patient: Scene) -> None:
    """The margin of a ball is measured again from the zone's own triangles, which know no label image."""
    corners = zone_triangles(patient)
    points = 1e3 * corners.reshape(-1, 3)
    for row, (centre, radius) in zip(patient.result.summary["tumours"], (TUMOUR, SECOND), strict=True):
        if row["minimal_margin_mm"] > 0:
            # the ball lies in the zone: the nearest point of the boundary decides
            expected = np.linalg.norm(points - np.array(centre), axis=1).min() - radius
            assert row["minimal_margin_mm"] == pytest.approx(expected, abs=0.6)
    capsule = patient.result.summary["structures"][0]
    assert capsule["zone_distance_mm"] == pytest.approx(CAPSULE - points[:, 0].max(), abs=0.8)
    gallbladder = patient.result.summary["structures"][1]
    away = np.linalg.norm(points - np.array(GALLBLADDER[0]), axis=1).min() - GALLBLADDER[1]
    assert gallbladder["zone_distance_mm"] == pytest.approx(away, abs=0.8)
    assert gallbladder["dead_ml"] == 0.0
    assert 37.0 < gallbladder["max_temperature_c"] < 54.0  # no nearer than the zone's border
    assert 0 < gallbladder["max_cem43_min"] < 240


def test_a_tumour_under_the_capsule_is_told_apart(patient: Scene) -> None:
    one, two = patient.result.summary["tumours"]
    assert one["subcapsular"]["fraction"] == 0.0
    assert one["subcapsular"]["minimal_margin_mm"] is None
    # a cap of height h of a sphere has the share h / 2r of its surface: here what is deeper than CAPSULE - 5 mm
    (x, _, _), radius = SECOND
    height = radius - (CAPSULE - 5 - x)
    assert two["subcapsular"]["fraction"] == pytest.approx(height / (2 * radius), abs=0.08)
    assert two["response"] == "none"
    assert two["minimal_margin_near"]["name"] == "liver capsule"


def test_each_criterion_is_measured_and_the_case_s_own_is_the_same(patient: Scene) -> None:
    for row in patient.result.summary["tumours"]:
        own = row["by_model"]["isotherm_54"]
        assert own == {key: pytest.approx(row[key]) if key != "margin_class" else row[key] for key in own}
        by = row["by_model"]
        order = [by[f"isotherm_{t}"]["minimal_margin_mm"] for t in (50, 54, 60)]
        assert order == sorted(order, reverse=True)
        assert by["isotherm_50"]["ablated_fraction"] >= by["isotherm_60"]["ablated_fraction"]


def test_dead_tissue_that_is_no_tumour_is_the_rest(patient: Scene) -> None:
    s = patient.result.summary
    dead = sum(row["volume_ml"] - row["residual_ml"] for row in s["tumours"])
    assert s["zone"]["healthy_ml"] + dead == pytest.approx(s["zone"]["volume_ml"], rel=1e-6)


def test_the_table_tells_of_both_tumours_and_what_is_near(patient: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    from rfasim.terminal import print_rows, summary_rows

    print_rows(summary_rows(patient.result.summary), "x")
    said = capsys.readouterr().out
    assert re.search(r"^smallest margin +3\.\d mm \(A1\)$", said, re.MULTILINE)
    assert re.search(r"^two +\d+\.\d % ablated, smallest margin -\d\.\d mm \(A2, \d mm from liver capsule\)$", said,
                     re.MULTILINE)  # fmt: skip
    assert re.search(r"^zone to gallbladder +\d\.\d mm, at most 4\d\.\d degC$", said, re.MULTILINE)


# ---------------------------------------------------------------------------------------------------- the files


def turned() -> Array:
    """A turn that is none of the axes'."""
    q, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 0.9, 3.0)])
@pytest.mark.parametrize("oblique", [False, True])
def test_the_zone_on_any_grid_has_the_run_s_volume_and_place(patient: Scene, tmp_path: Path,
                                                             spacing: tuple[float, float, float],
                                                             oblique: bool) -> None:  # fmt: skip
    grid = labels(spacing, turned() if oblique else None)
    out = tmp_path / "zone.nii.gz"
    export(patient, out, "zone", like=grid)
    image = read_labels(out)
    assert image.names == {1: "zone"}
    assert np.allclose(image.to_world, grid.to_world, atol=1e-6)  # m: 1e-3 mm
    volume = 1e6 * image.voxel_volume * int(image.data.sum())
    # of the ruler's zone: the needle's channel counts here, as it does not in tissue
    channel = np.pi * 0.08**2 * patient.result.summary["zone"]["long_axis_mm"] / 10
    assert volume == pytest.approx(patient.result.summary["zone"]["volume_ml"] + channel, rel=0.03)
    middle = image.places(np.argwhere(image.data).astype(float)).mean(axis=0)
    corners = zone_triangles(patient)
    assert np.allclose(middle, 0.5 * (corners.min(axis=(0, 1)) + corners.max(axis=(0, 1))), atol=1.5 * MM)


def test_margins_in_voxels_are_those_of_the_surface(patient: Scene, tmp_path: Path) -> None:
    grid = labels((1.0, 1.0, 1.0))
    told = export(patient, tmp_path / "m.nii", "margin", like=grid)
    assert "NaN elsewhere" in told
    scan = read_scan(tmp_path / "m.nii")
    known = np.isfinite(scan.values)
    row = patient.result.summary["tumour"]
    assert np.nanmin(scan.values) == pytest.approx(row["minimal_margin_mm"], abs=0.5)
    points = LabelImage(known, scan.to_world).places(np.argwhere(known).astype(float)) / MM
    away = np.linalg.norm(points - np.array(TUMOUR[0]), axis=1)
    assert (away < TUMOUR[1] + 1).all()  # a shell just inside of the surface
    assert (away > TUMOUR[1] - 2.7).all()
    image = margin_classes(scan.values.astype(float), scan.to_world)
    for number, low, high in ((1, -np.inf, 0), (2, 0, 5), (3, 5, 10), (4, 10, np.inf)):
        inside = scan.values[image.data == number]
        assert ((inside >= low) & (inside < high)).all()
    assert (image.data > 0).sum() == known.sum()
    export(patient, tmp_path / "m.seg.nrrd", "margin", like=grid, tumour="two")
    found = read_labels(tmp_path / "m.seg.nrrd")
    assert found.numbers("margin below 0 mm")


def test_dicom_goes_back_into_the_scan_s_own_frame(patient: Scene, tmp_path: Path) -> None:
    pydicom, highdicom = pytest.importorskip("pydicom"), pytest.importorskip("highdicom")
    grid = labels((2.0, 2.0, 5.0))
    slices = scan_slices(np.zeros(grid.data.shape, np.int16), grid.to_world)
    write_dicom_scan(tmp_path / "ct", slices)
    scan = read_scan(tmp_path / "ct")
    for what in ("zone", "margin"):
        out = tmp_path / f"{what}.dcm"
        export(patient, out, what, like=scan)  # type: ignore[arg-type]
        seg = highdicom.seg.segread(out)
        data = pydicom.dcmread(out)
        assert data.Modality == "SEG"
        assert data.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
        assert data.StudyInstanceUID == slices[0].StudyInstanceUID
        referred = {str(one.ReferencedSOPInstanceUID) for series in data.ReferencedSeriesSequence
                    for one in series.ReferencedInstanceSequence}  # fmt: skip
        assert referred <= {str(one.SOPInstanceUID) for one in slices}
        assert seg.number_of_segments >= 1
    export(patient, tmp_path / "zone.nii", "zone", like=scan)
    one, other = read_labels(tmp_path / "zone.dcm"), read_labels(tmp_path / "zone.nii")
    places = [np.sort(image.places(np.argwhere(image.data).astype(float)), axis=0) for image in (one, other)]
    assert np.allclose(*places, atol=1e-6)  # m: 1e-3 mm


def test_temperature_and_dose_are_the_run_s(patient: Scene, tmp_path: Path) -> None:
    grid = labels((1.0, 1.0, 1.0))
    export(patient, tmp_path / "t.nii.gz", "temperature", like=grid)
    export(patient, tmp_path / "d.nii.gz", "dose", like=grid)
    hottest = read_scan(tmp_path / "t.nii.gz")
    assert 40 < np.nanmax(hottest.values) <= patient.result.summary["thermal"]["max_temperature_c"] + 1e-3
    assert np.isnan(hottest.values[0, 0, 0])  # outside of the domain
    there = np.isfinite(hottest.values)
    volume = 1e-3 * float((hottest.values[there] >= 54.0).sum())  # voxels of 1 mm^3; the zone's criterion is 54 degC
    assert volume == pytest.approx(patient.result.summary["zone"]["volume_ml"], rel=0.03)
    dose = read_scan(tmp_path / "d.nii.gz").values
    assert (dose[hottest.values > 50.0] > 10).all()


def test_surfaces_are_closed_and_hold_the_zone(patient: Scene, tmp_path: Path) -> None:
    export(patient, tmp_path / "zone.stl", "zone")
    data = (tmp_path / "zone.stl").read_bytes()
    (count,) = struct.unpack("<I", data[80:84])
    rows = np.frombuffer(data[84:], [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    assert len(rows) == count
    corners = rows["corners"].astype(float)
    # the divergence theorem; what the needle leaves open is its channel
    volume = 1e-3 * np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx(patient.result.summary["zone"]["volume_ml"], rel=0.05)
    pyvista: Any = pytest.importorskip("pyvista")
    export(patient, tmp_path / "margin.vtp", "margin")
    surface = pyvista.read(tmp_path / "margin.vtp")
    assert surface["margin_mm"].min() == pytest.approx(patient.result.summary["tumour"]["minimal_margin_mm"], abs=0.05)
    assert np.linalg.norm(np.array(surface.center) - np.array(TUMOUR[0])) < 0.5
    assert surface.volume == pytest.approx(1e3 * patient.result.summary["tumour"]["volume_ml"], rel=0.05)


def test_vessels_of_a_case_are_written_for_slicer_and_paraview(tmp_path: Path) -> None:
    """What is written is what is computed: places to 1e-3 mm, in the direction of the blood, with the radius."""
    pyvista = pytest.importorskip("pyvista")
    case = ROOT / "cases/phantom.yaml"
    vessels = all_vessels(load_case(case), case.parent)
    for name in ("v.mrk.json", "v.vtp"):
        assert cli.main(["export", str(case), "--what", "vessels", "--out", str(tmp_path / name)]) == 0
    curves = json.loads((tmp_path / "v.mrk.json").read_text(encoding="utf-8"))["markups"]
    lines = pyvista.read(tmp_path / "v.vtp")
    assert [curve["name"] for curve in curves] == [vessel.name for vessel in vessels]
    assert lines.n_lines == len(vessels)
    for number, (vessel, curve) in enumerate(zip(vessels, curves, strict=True)):
        points = 1e3 * np.array(vessel.points)
        assert [point["position"] for point in curve["controlPoints"]] == pytest.approx(points, abs=1e-3)
        here = lines.point_data["vessel"] == number
        assert lines.points[here] == pytest.approx(points, abs=1e-3)
        assert lines.point_data["radius_mm"][here] == pytest.approx(5e2 * vessel.diameter)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--out", "zone.xyz"], r"--out: 'zone\.xyz' is of no known kind"),
        (["--out", "zone.nii.gz"], r"--like: is needed for \.nii\.gz"),
        (["--out", "zone.dcm", "--like", "LABELS"], r"--like: must be the folder with the DICOM slices"),
        (["--what", "dose", "--out", "dose.stl"], r"--out: \.stl holds a surface, and dose has none"),
        (["--what", "dose", "--like", "LABELS", "--out", "d.seg.nrrd"], r"--out: \.seg\.nrrd holds labels"),
        (["--what", "margin", "--tumour", "three", "--out", "m.stl"], r"'three' is none of this case; .*: one, two"),
        (["--what", "vessels", "--out", "v.mrk.json"], r"--what: there are no vessels in this case"),
        (["--criterion", "heat", "--out", "m.stl"], r"--criterion: 'heat' is not known; there are: arrhenius"),
        (["--like", "nowhere.nii.gz", "--out", "z.nii.gz"], r"nowhere\.nii\.gz: cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_gets_a_sentence(
    patient: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], reason: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    image = patient.result.folder.parent / "labels.nii.gz"
    given = [str(image) if word == "LABELS" else word for word in arguments]
    assert cli.main(["export", str(patient.result.folder), *given]) == 2
    said = capsys.readouterr().err
    assert re.search(reason, said)
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------- the report


class Reader(html.parser.HTMLParser):
    """Text and references of a page; raises when elements do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.references, self.open = "", [], []  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_the_report_holds_the_numbers_and_needs_no_other_file(patient: Scene, tmp_path: Path) -> None:
    scan = LabelImage(labels((2.0, 2.0, 4.0)).data, labels((2.0, 2.0, 4.0)).to_world)
    write_nifti(tmp_path / "scan.nii.gz", (60.0 + 40.0 * (scan.data > 0)).astype(np.float32), scan.to_world)
    outs = [word for name in ("r.html", "r.pdf") for word in ("--out", str(tmp_path / name))]
    scan_file = str(tmp_path / "scan.nii.gz")
    assert cli.main(["report", str(patient.result.folder), "--scan", scan_file, *outs]) == 0
    page = Reader()
    page.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.references) == 5  # three slices, the tumour's surface, the readings
    assert all(str(one).startswith("data:image/png;base64,") for one in page.references)
    s = patient.result.summary
    for row in s["tumours"]:
        assert f"{row['name']}: smallest margin {row['minimal_margin_mm']:.1f} mm ({row['margin_class']})" in page.text
    for words in ("Not for clinical decisions", "gallbladder", "liver capsule", "A0: at least 5 mm", "Lencioni",
                  "CEM43", f"{s['zone']['volume_ml']:.1f} ml", "liver 0.146 S/m", "usual blood flow"):  # fmt: skip
        assert words in page.text, words
    pdf = (tmp_path / "r.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1


def test_slices_show_the_patient_s_right_on_the_viewer_s_left(patient: Scene) -> None:
    view = view_of(patient, None)
    sides = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}
    for plane in PLANES:
        to_world, _ = grid_of(view, plane)
        middle, last = (PIXELS - 1) / 2, PIXELS - 1
        edges = [(0, middle), (last, middle), (middle, last), (middle, 0)]  # left, right, upper, lower
        for letter, (across, up) in zip(plane.letters, edges, strict=True):
            axis, sign = sides[letter]
            place = to_world @ np.array([across, up, 0.0, 1.0])
            shift = place[:3] - view.centre
            assert np.argmax(np.abs(shift)) == axis
            assert np.sign(shift[axis]) == sign
            assert abs(shift[plane.normal]) < 1e-12


def test_places_are_told_in_a_patient_s_words() -> None:
    assert direction([12.2, 0.2, -3.0]) == "12 mm left, 3 mm foot"
    assert direction([-1.0, 2.0, 0.0]) == "1 mm right, 2 mm back"
    assert direction([0.1, -0.2, 0.3]) == "its middle"


def test_another_kind_of_report_is_refused(patient: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(patient.result.folder), "--out", str(tmp_path / "r.doc")]) == 2
    assert "'r.doc' is of no known kind; end it in .html or .pdf" in capsys.readouterr().err
    write_report(make_report(patient), tmp_path / "plain.html")  # without a scan
    assert "data:image/png" in (tmp_path / "plain.html").read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("target: [0 mm, 0 mm, 0 mm]", "target: [30 mm, 0 mm, 0 mm]",
         r"electrodes\[0\]: the middle of its conducting part, \(30\.0, .*\) mm, is \d\.\d mm outside the liver"),
        ("label: tumour two", "label: tumour three", r"tumours\[0\]\.label: 'tumour three' is no label of .*there"),
        ("structures: {gallbladder: gallbladder}", "structures: {bile duct: bile duct}",
         r"anatomy\.labels\[0\]\.structures\.bile duct: is no label of"),
        ("{liver: liver, gallbladder: bile}", "{lever: liver}", r"anatomy\.labels\[0\]\.mapping\.lever: is no label"),
        ("label: tumour two, name: two", "label: tumour two, name: one", r"tumours\[0\]\.name"),
        ("radius: 35 mm", "radius: 15 mm", r"tumours\[0\]: its middle is .* it reaches \d+\.\d mm outside the domain"),
        ("labels:\n    - file: labels.nii.gz", "labels:\n    - file: far.nii.gz",
         r"anatomy\.labels: the liver of these images lies elsewhere than the domain"),
    ],
)  # fmt: skip
def test_a_case_that_does_not_fit_its_images_gets_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                               old: str, new: str, reason: str) -> None:  # fmt: skip
    image = labels((2.0, 2.0, 2.0))
    write_nifti(tmp_path / "labels.nii.gz", image.data, image.to_world, image.names)
    far = image.to_world.copy()
    far[:3, 3] += 0.6
    write_nifti(tmp_path / "far.nii.gz", image.data, far, image.names)
    path = write_case(tmp_path, "labels.nii.gz", **{old: new})
    assert cli.main(["run", str(path), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    said = capsys.readouterr().err.strip()
    assert re.search(reason, said), said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_scans_that_are_none_get_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    from rfasim.errors import InputError

    with pytest.raises(InputError, match="there is no such file or folder"):
        read_scan(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no slices of a DICOM scan"):
        read_scan(tmp_path)
    grid = labels((4.0, 4.0, 8.0))
    for number in (1, 2):
        write_dicom_scan(tmp_path / f"series {number}", scan_slices(grid.data.astype(np.int16), grid.to_world, number))
    with pytest.raises(InputError, match="holds 2 series"):
        read_scan(tmp_path)
    with pytest.raises(InputError, match="is a single DICOM file"):
        read_scan(tmp_path / "series 1" / "0001.dcm")
    (tmp_path / "series 1" / "0003.dcm").unlink()
    with pytest.raises(InputError, match="its slices make no volume"):
        read_scan(tmp_path / "series 1")
    scan = read_scan(tmp_path / "series 2")
    same = grid.places(np.argwhere(grid.data == 3).astype(float))
    assert np.allclose(scan.sample(same), 3.0, atol=1e-3)
    assert np.isnan(scan.sample(np.array([[1.0, 1.0, 1.0]]))).all()
    # the grid of any image, a segmentation too
    write_nifti(tmp_path / "l.nii.gz", grid.data, grid.to_world)
    for path in ("l.nii.gz", "series 2"):
        found = read_grid(tmp_path / path)
        assert sorted(found.data.shape) == sorted(grid.data.shape)
        assert found.voxel_volume == pytest.approx(grid.voxel_volume)


def test_a_tumour_s_voxels_are_tumour_or_liver_and_nothing_else(tmp_path: Path) -> None:
    """Labels of tumours cut no holes into the liver."""
    image = labels((2.0, 2.0, 2.0))
    write_nifti(tmp_path / "labels.nii.gz", image.data, image.to_world, image.names)
    whole = build_domain(load_case(write_case(tmp_path, "labels.nii.gz")), tmp_path)
    volumes = whole.mesh.volumes()
    tissue = {name: float(volumes[whole.cell_tissue == k].sum()) for k, name in enumerate(whole.tissue_names)}
    middles = whole.mesh.points[whole.mesh.cells].mean(axis=1) / MM
    # what the tumours' voxels leave over at their smooth surface is liver, and nothing of it is outside
    liver = whole.tissue_names.index("liver")
    inside = (middles[:, 0] < CAPSULE - 2) & ~ball(middles, (GALLBLADDER[0], GALLBLADDER[1] + 2))
    inside &= ~ball(middles, (TUMOUR[0], TUMOUR[1] + 2)) & ~ball(middles, (SECOND[0], SECOND[1] + 2))
    assert (whole.cell_tissue[inside & whole.conducts] == liver).all()
    near = ball(middles, (TUMOUR[0], TUMOUR[1] + 2)) & whole.conducts
    assert {whole.tissue_names[k] for k in np.unique(whole.cell_tissue[near])} == {"liver", "tumour"}
    voxels = 1e6 * image.voxel_volume * int((image.data >= 3).sum())
    assert 1e6 * tissue["tumour"] == pytest.approx(voxels, rel=0.05)


def test_the_result_knows_its_patient_when_it_is_moved(patient: Scene, tmp_path: Path) -> None:
    """The images are looked for from the result's folder; without them there is a sentence."""
    import shutil

    moved = tmp_path / "elsewhere"
    shutil.copytree(patient.result.folder, moved)
    assert cli.main(["export", str(moved), "--what", "zone", "--out", str(tmp_path / "z.stl")]) == 0
    assert cli.main(["export", str(moved), "--what", "margin", "--out", str(tmp_path / "m.stl")]) == 2
    data = json.loads((moved / "summary.json").read_text(encoding="utf-8"))
    assert data["tumours"][0]["name"] == "one"
