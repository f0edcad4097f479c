"""The made-up patient: trees that obey their laws, images of every kind that agree, cases in the layouts of others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rfasim import cli
from rfasim.anatomy import LabelImage, centre_lines, read_labels, read_scan
from rfasim.anatomy.phantom import Phantom, lines_of, make_phantom, write_phantom
from rfasim.anatomy.trees import GAP, MURRAY, WALL, Tree, grow, stem
from rfasim.anatomy.writing import write_nifti
from rfasim.case import load_case
from rfasim.domain import all_vessels, build_domain, tumour_shapes
from rfasim.errors import RunError
from rfasim.geometry import Ball

ROOT = Path(__file__).parent.parent
MM = 1e-3
Array = NDArray[np.float64]
ORGAN = Ball([0.0, 0.0, 0.0], 50 * MM)
ROOTS = {"root": np.array([0.0, 0.0, -58 * MM]), "tip": np.array([0.0, 0.0, -25 * MM])}


def tree(seed: int, ends: int = 24, avoid: tuple[Tree, ...] = ()) -> Tree:
    random = np.random.default_rng(seed)
    return grow(ORGAN.distance, ORGAN.bounds(), ROOTS["root"], ROOTS["tip"], 2.5 * MM, ends, random, avoid)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(1)


def between(one: Tree, other: Tree) -> Array:
    """Gap [m] between the walls of all pairs of vessels, to a hundredth of a millimetre."""
    share = np.linspace(0.0, 1.0, 41)[:, None]
    out = np.empty((len(one.radii), len(other.radii)))
    for k in range(len(one.radii)):
        points = one.starts[k] + share * (one.ends[k] - one.starts[k])
        way = other.ends - other.starts
        offset = points[:, None] - other.starts
        along = np.clip(np.einsum("sij,ij->si", offset, way) / np.einsum("ij,ij->i", way, way), 0, 1)
        away = np.linalg.norm(offset - along[..., None] * way, axis=2).min(axis=0)
        out[k] = away - one.radii[k] - other.radii
    return out


def relation(one: Tree) -> NDArray[np.int64]:
    """How many steps along the tree each vessel is from each other one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import shortest_path

    child = np.flatnonzero(one.parents >= 0)
    graph = coo_array((np.ones(len(child)), (child, one.parents[child])), shape=(len(one.radii),) * 2)
    return np.rint(shortest_path(graph.tocsr(), directed=False)).astype(np.int64)


# ---------------------------------------------------------------------------------------------------------- trees


@pytest.mark.parametrize("seed", [1, 2])
def test_a_grown_tree_obeys_murray_and_poiseuille(seed: int) -> None:
    grown = tree(seed)
    resistance = grown.resistances()
    assert grown.radii[0] == 2.5 * MM
    forks = 0
    for k in range(len(grown.radii)):
        children = np.flatnonzero(grown.parents == k)
        if len(children) == 0:
            assert grown.ends_below[k] == 1
            continue
        forks += 1
        assert len(children) == 2
        assert np.allclose(grown.starts[children], grown.ends[k])
        assert grown.ends_below[children].sum() == grown.ends_below[k]
        assert (grown.radii[children] ** MURRAY).sum() == pytest.approx(grown.radii[k] ** MURRAY, rel=1e-9)
        # every end gets the same flow at the same pressure: both ways down take the same drop
        drops = grown.ends_below[children] * resistance[children]
        assert drops[0] == pytest.approx(drops[1], rel=1e-9)
    assert forks == 23
    assert grown.ends_below[0] == 24


def test_vessels_stay_inside_and_apart() -> None:
    one = tree(1)
    other = grow(ORGAN.distance, ORGAN.bounds(), np.array([0, 0, 58 * MM]), np.array([0, 0, 30 * MM]), 2 * MM, 16,
                 np.random.default_rng(5), [one])  # fmt: skip
    share = np.linspace(0.0, 1.0, 9)[:, None, None]
    for grown in (one, other):
        points = (grown.starts + share * (grown.ends - grown.starts))[:, 1:]  # the stem comes from outside
        assert ORGAN.distance(points.reshape(-1, 3)).max() < -0.99 * WALL
    assert between(one, other).min() > 0.9 * GAP
    apart = between(one, one)
    steps = relation(one)
    assert apart[steps >= 3].min() > 0  # nearer relations share a branching or one beside it


def test_the_same_seed_gives_the_same_tree_and_another_one_another() -> None:
    assert np.array_equal(tree(3).ends, tree(3).ends)
    assert not np.array_equal(tree(3).ends, tree(4).ends)


def test_joining_costs_less_volume_than_where_ends_are_joined_at_the_root() -> None:
    """Constructive optimisation has a point: the same ends, each with a vessel of its own from the stem, need more."""
    grown = tree(1)
    volume = float((grown.radii**2 * grown.lengths).sum())
    ends = grown.ends[[k for k in range(len(grown.radii)) if not (grown.parents == k).any()]]
    # a star with the same resistance at each end as the tree's least one
    resistance = grown.resistances()[0] * 24  # of each way, times its flow
    lengths = np.linalg.norm(ends - grown.starts[0], axis=1)
    star = float((np.sqrt(lengths / resistance) * lengths).sum())
    assert volume < 0.8 * star


def test_a_tree_without_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rfasim.anatomy.trees.STARTS", 2)
    blocked = stem(ROOTS["root"], np.array([0.0, 0.0, 50 * MM]), 45 * MM)
    with pytest.raises(RunError, match="no place was found for more than 1 of 24 ends"):
        tree(1, avoid=(blocked,))


def test_centre_lines_of_a_grown_tree_are_as_long_and_wide_as_it_is(phantom: Phantom) -> None:
    """In voxels of 1 mm: length of all vessels, from 2.3 mm on, and radius of the wide ones to 5 %."""
    grown = phantom.trees["Portal"]
    lower, upper = np.array([-0.14, -0.07, -0.08]), np.array([0.08, 0.07, 0.08])
    shape = np.ceil((upper - lower) / MM).astype(int)
    to_world = np.diag([MM, MM, MM, 1.0])
    to_world[:3, 3] = lower
    numbers = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    data = np.zeros(shape, np.uint8)
    points = numbers * MM + lower
    for block in np.array_split(np.arange(len(points)), 40):
        data[tuple(numbers[block].T)] = grown.shape().distance(points[block]) < 0
    lines = centre_lines(LabelImage(data, to_world), [1], lower, upper, min_length=5 * MM, min_diameter=0.0)
    assert len({line.tree for line in lines}) == 1
    wide = grown.radii >= 2 * MM
    assert sum(line.length for line in lines) == pytest.approx(float(grown.lengths.sum()), rel=0.02)
    # the radius of each vessel that is well apart from its branchings, by the nearest line
    middles, own = 0.5 * (grown.starts + grown.ends)[wide], grown.radii[wide]
    lengths, ratios = grown.lengths[wide], []
    for middle, radius, long in zip(middles, own, lengths, strict=True):
        if long > 12 * MM:
            at = [(float(np.linalg.norm(line.points - middle, axis=1).min()), line) for line in lines]
            _, line = min(at, key=lambda pair: pair[0])
            nearest = int(np.linalg.norm(line.points - middle, axis=1).argmin())
            ratios.append(line.radii[nearest] / radius)
    assert len(ratios) > 10
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.02)
    assert np.abs(np.array(ratios) - 1.0).max() < 0.05


# -------------------------------------------------------------------------------------------------------- phantom


def test_the_shipped_labels_are_those_of_the_first_seed(phantom: Phantom) -> None:
    shipped, made = read_labels(ROOT / "cases/phantom/labels.seg.nrrd"), phantom.labels()
    assert shipped.names == made.names
    assert np.allclose(shipped.to_world, made.to_world)
    # other processors round otherwise where a voxel's middle is on a surface
    assert (shipped.data != made.data).mean() < 1e-5


def test_organs_have_the_size_of_a_person_s(phantom: Phantom) -> None:
    image = phantom.labels((3 * MM, 3 * MM, 3 * MM))
    millilitres = {name: 1e6 * image.voxel_volume * int((image.data == n).sum()) for n, name in image.names.items()}
    assert 1200 < millilitres["Liver"] < 1800
    assert 15 < millilitres["Gallbladder"] < 50
    assert 2 < millilitres["Tumor_3"] < millilitres["Tumor_2"] < millilitres["Tumor_1"] < 10
    around = {"Bile_Duct", "Lung", "Fat", "Muscle", "Diaphragm", "Stomach", "Bowel", "Right_Kidney"}
    assert {"Hepatic", "Portal", "Cava"} | around <= set(millilitres)
    apart = between(phantom.trees["Hepatic"], phantom.trees["Portal"])
    assert apart.min() > 0  # blood of one system does not run into the other


@pytest.fixture(scope="module")
def files(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom in coarse, thick voxels, in each kind of file."""
    pytest.importorskip("highdicom")
    folder = tmp_path_factory.mktemp("phantom")
    for kind in ("seg.nrrd", "nii.gz", "dicom"):
        write_phantom(phantom, folder / kind, kind, (2 * MM, 2 * MM, 5 * MM), 1)
    return folder


def test_all_kinds_of_files_hold_the_same_patient(files: Path) -> None:
    one = read_labels(files / "seg.nrrd/labels.seg.nrrd")
    for other in (read_labels(files / "nii.gz/labels.nii.gz"), read_labels(files / "dicom/labels.dcm")):
        assert other.names == one.names
        for name in one.names.values():
            places = [image.places(np.argwhere(np.isin(image.data, image.numbers(name))).astype(float))
                      for image in (one, other)]  # fmt: skip
            assert np.allclose(*(np.sort(each, axis=0) for each in places), atol=1e-6), name  # m: 1e-3 mm
    scans = [read_scan(files / "nii.gz/ct.nii.gz"), read_scan(files / "dicom/ct")]
    inside = one.places(np.argwhere(one.data == one.numbers("Liver")[0])[::500].astype(float))
    values = [scan.sample(inside) for scan in scans]
    assert np.allclose(*values, atol=0.51)
    assert np.median(values[0]) == pytest.approx(105, abs=3)
    lines = json.loads((files / "seg.nrrd/portal.mrk.json").read_text(encoding="utf-8"))["markups"]
    assert len(lines) == 99
    assert lines[0]["coordinateSystem"] == "LPS"


def test_centre_lines_of_a_tree_join_as_it_does(phantom: Phantom) -> None:
    grown = phantom.trees["Hepatic"]
    lines = lines_of(grown)
    assert [line.parent for line in lines] == grown.parents.tolist()
    assert sum(line.ends[1] == "free" for line in lines) == grown.ends_below[0]
    for line in lines[1:]:
        assert line.nodes[0] == lines[line.parent].nodes[1]


# ------------------------------------------------------------------------------------------ layouts of other people

LAYOUT = """
name: layout
electrodes:
  - {device: needle, entry: [-168 mm, 0 mm, -10 mm], target: [-77 mm, -5 mm, 22 mm], beyond_target: 15 mm,
     diameter: 1.5 mm, active_length: 30 mm}
generator: {protocol: constant_power, power: 30 W, duration: 10 s}
"""
TCIA = """
anatomy:
  labels:
    - file: labels.dcm
      mapping: {Liver: liver}
      vessels: {Hepatic: {kind: hepatic}, Portal: {kind: portal}}
  outside: muscle
tumour: {shape: labels, file: labels.dcm, label: Tumor_1}
tumours:
  - {shape: labels, file: labels.dcm, label: Tumor_2}
  - {shape: labels, file: labels.dcm, label: Tumor_3}
domain: {shape: cylinder, radius: 60 mm, height: 120 mm}
mesh: {size: 1 mm, zone_size: 4 mm, grow: 0.6}
"""
TOTAL = """
anatomy:
  labels:
    - file: total.nii.gz
      mapping: {liver: liver, lung_*: lung, gallbladder: bile, stomach: stomach}
      structures: {gallbladder: gallbladder, stomach: stomach}
    - file: vessels.nii.gz
      vessels: {liver_vessels: {kind: portal}}
  outside: muscle
tumour: {shape: labels, file: vessels.nii.gz, label: liver_tumor}
domain: {shape: cylinder, radius: 40 mm, height: 80 mm}
mesh: {size: 1 mm, zone_size: 4 mm, grow: 0.6}
"""


def test_a_case_in_the_layout_of_the_tcia_collection(files: Path) -> None:
    """Liver, Hepatic, Portal and Tumor_n in one DICOM SEG."""
    path = files / "dicom/tcia.yaml"
    path.write_text(LAYOUT + TCIA, encoding="utf-8")
    case = load_case(path)
    shapes = tumour_shapes(case, path.parent)
    image = read_labels(files / "dicom/labels.dcm")
    for shape, name in zip(shapes.values(), ("Tumor_1", "Tumor_2", "Tumor_3"), strict=True):
        middle = image.places(np.argwhere(image.data == image.numbers(name)[0]).astype(float)).mean(axis=0)
        assert shape.distance(middle[None])[0] < -3 * MM
    vessels = all_vessels(case, path.parent)
    kinds = {vessel.kind for vessel in vessels}
    assert kinds == {"hepatic", "portal"}
    assert len(vessels) > 10
    assert max(vessel.diameter for vessel in vessels) == pytest.approx(11 * MM, abs=2 * MM)
    domain = build_domain(case.model_copy(update={"anatomy": without_vessels(case.anatomy)}), path.parent)
    volume = domain.mesh.volumes()
    tumour = float(volume[domain.cell_tissue == domain.tissue_names.index("tumour")].sum())
    assert 1e6 * tumour == pytest.approx(7.3 + 3.4 + 2.4, rel=0.1)
    assert domain.surroundings is not None
    assert domain.surroundings.organ is not None


def without_vessels(anatomy: Any) -> Any:
    """The same images; vessels are tissue, which is quicker to mesh."""
    entry = anatomy.labels[0]
    return anatomy.model_copy(update={"labels": (entry.model_copy(update={"vessels": {}, "mapping": {
        **entry.mapping, "Hepatic": "blood", "Portal": "blood"}}),)})  # fmt: skip


def test_a_case_in_the_layout_of_totalsegmentator(files: Path) -> None:
    """Organs in one NIfTI with names in its header, vessels and tumour in a second one."""
    made = read_labels(files / "seg.nrrd/labels.seg.nrrd")

    def image(names: dict[str, str]) -> tuple[NDArray[np.uint8], dict[int, str]]:
        data, called = np.zeros(made.data.shape, np.uint8), dict(enumerate(dict.fromkeys(names.values()), start=1))
        for own, name in names.items():
            number = next(n for n, other in called.items() if other == name)
            data[made.data == made.numbers(own)[0]] = number
        return data, called

    organs, named = image({"Liver": "liver", "Hepatic": "liver", "Portal": "liver", "Tumor_1": "liver",
                           "Tumor_2": "liver", "Tumor_3": "liver", "Lung": "lung_lower_lobe_right",
                           "Gallbladder": "gallbladder", "Stomach": "stomach"})  # fmt: skip
    write_nifti(files / "total.nii.gz", organs, made.to_world, named)
    parts, called = image({"Hepatic": "liver_vessels", "Portal": "liver_vessels", "Tumor_1": "liver_tumor"})
    write_nifti(files / "vessels.nii.gz", parts, made.to_world, called)
    path = files / "total.yaml"
    path.write_text(LAYOUT + TOTAL, encoding="utf-8")
    case = load_case(path)
    assert len(all_vessels(case, files)) > 5
    domain = build_domain(case, files)
    assert {"liver", "tumour", "blood"} <= set(domain.tissue_names)
    assert domain.surroundings is not None
    assert set(domain.surroundings.structures) == {"gallbladder", "stomach"}


# ---------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--spacing", "20 mm"], r"--spacing: got 20 mm; from 0\.4 to 10 mm"),
        (["--slices", "5"], r"--slices: 5 has no unit|--slices: .*5"),
        (["--seed", "x"], r"'x' is no seed; give a whole number"),
        (["--out", "full"], r"--out: full is not empty; give another folder, or --overwrite"),
        (["--kind", "jpg"], r"invalid choice: 'jpg'"),
    ],
)
def test_bad_wishes_for_a_phantom_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str], arguments: list[str],
                                                 reason: str) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("", encoding="utf-8")
    assert cli.main(["phantom", *arguments]) == 2
    assert re.search(reason, capsys.readouterr().err)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["full"]
