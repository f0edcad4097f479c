"""A predicted zone in the patient's images, and its agreement with an ablation: against balls that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim import cli
from rfasim.agreement import compare, read_registration
from rfasim.anatomy import LabelImage, read_labels
from rfasim.anatomy.rasters import raster
from rfasim.anatomy.writing import write_nifti
from rfasim.errors import InputError
from rfasim.outcome import volume_ml
from rfasim.result import Result
from tests.test_smooth import MM, rasterised

Array = np.ndarray[Any, Any]


def ball(radius: float, x: float, spacing: Any, seed: int) -> LabelImage:
    middle = np.array([x, 0.0, 0.0])
    return rasterised(lambda p: np.linalg.norm(p - middle, axis=1) < radius, np.array(spacing) * MM, 0.024, seed)


def lens(a: float, b: float, d: float) -> float:
    """Volume that two balls have in common."""
    return float(np.pi * (a + b - d) ** 2 * (d * d + 2 * d * (a + b) - 3 * (a - b) ** 2) / (12 * d))


def mean_distance(a: float, b: float, d: float) -> float:
    """Mean distance of the points of a ball's surface of radius ``a`` to that of ``b``, ``d`` away."""
    u = (np.arange(20000) + 0.5) / 10000 - 1  # cosine: even on a sphere
    return float(np.abs(np.sqrt(a * a + d * d - 2 * a * d * u) - b).mean())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (0.9, 0.9, 3.0)])
def test_two_balls_agree_as_geometry_says(spacing: Any) -> None:
    a, b, d = 15 * MM, 13 * MM, 4 * MM
    # on grids of their own, turned against one another
    found = compare(ball(a, 0.0, spacing, 1), ball(b, d, spacing, 2))
    volumes = [4 / 3 * np.pi * r**3 for r in (a, b)]
    assert found["dice"] == pytest.approx(2 * lens(a, b, d) / sum(volumes), abs=0.012)
    edge = max(spacing)
    exact = 0.5e3 * (mean_distance(a, b, d) + mean_distance(b, a, d))
    assert found["mean_surface_distance_mm"] == pytest.approx(exact, abs=0.06 * edge)
    assert found["hausdorff_distance_mm"] == pytest.approx(6.0, abs=0.6 * edge)
    assert found["centre_distance_mm"] == pytest.approx(4.0, abs=0.2 * edge)
    assert found["predicted_volume_ml"] == pytest.approx(1e6 * volumes[0], rel=0.03)
    same = compare(ball(a, 0.0, spacing, 3), ball(a, 0.0, spacing, 3))
    assert same["dice"] == pytest.approx(1.0, abs=1e-6)
    assert same["hausdorff_distance_mm"] < 0.02 * edge


def test_a_registration_moves_the_prediction(tmp_path: Path) -> None:
    one, other = ball(12 * MM, 0.0, (1.0, 1.0, 1.0), 1), ball(12 * MM, 6 * MM, (1.0, 1.0, 1.0), 1)
    assert compare(one, other)["dice"] < 0.7
    (tmp_path / "move.txt").write_text("0 -1 0 6\n1 0 0 0\n0 0 1 0\n0 0 0 1\n")
    moved = compare(one, other, registration=read_registration(tmp_path / "move.txt"))
    assert moved["dice"] > 0.97
    assert moved["registration"]
    (tmp_path / "bad.txt").write_text("2 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    for name in ("bad.txt", "gone.txt"):
        with pytest.raises(InputError, match=r"no rigid motion|cannot be read"):
            read_registration(tmp_path / name)


def test_a_linear_field_is_linear_on_the_voxels() -> None:
    from scipy.spatial import Delaunay

    rng = np.random.default_rng(0)
    points = np.concatenate([np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T, rng.uniform(size=(60, 3))])
    cells = Delaunay(points).simplices
    to_world = np.diag([0.09, -0.11, 0.13, 1.0])
    to_world[:3, 3] = (-0.2, 1.1, -0.1)
    found = raster(points, cells, points @ [1.0, 2.0, -3.0], (16, 14, 12), to_world, np.nan)
    numbers = np.stack(np.meshgrid(*map(np.arange, found.shape), indexing="ij"), axis=-1)
    where = numbers @ to_world[:3, :3].T + to_world[:3, 3]
    inside = ((where > 1e-6) & (where < 1 - 1e-6)).all(axis=-1)
    outside = ((where < -1e-6) | (where > 1 + 1e-6)).any(axis=-1)
    assert found[inside] == pytest.approx((where @ [1.0, 2.0, -3.0])[inside], abs=1e-9)
    assert np.isnan(found[outside]).all()


CASE = """
name: zone
electrodes: [{device: needle, tip: [-10 mm, 20 mm, 30 mm], active_length: 20 mm}]
generator: {protocol: constant_power, power: 30 W, duration: 25 s}
zone: {criterion: isotherm_50}
domain: {radius: 25 mm, height: 60 mm}
mesh: {size: 0.7 mm, rim_size: 0.5 mm, zone_size: 2 mm}
"""


def test_a_zone_goes_into_the_patients_images_and_is_compared_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("case.yaml").write_text(CASE, encoding="utf-8")
    assert cli.main(["run", "case.yaml", "--out", "out", "--quiet", "--no-pictures"]) == 0
    grid = np.diag([-0.6, -0.7, 1.0, 1000.0]) * MM
    grid[:3, 3] = np.array([15.0, 45.0, 10.0]) * MM
    write_nifti(Path("scan.nii.gz"), np.ones((80, 70, 60), np.uint8), grid)
    for name in ("zone.nii.gz", "zone.seg.nrrd"):
        assert cli.main(["export", "out", "--like", "scan.nii.gz", "--out", name]) == 0
        image = read_labels(name)
        assert image.to_world == pytest.approx(grid, abs=1e-9)
        result = Result.read("out")
        ml = volume_ml(result.mesh, result.field("zone_level").astype(float))
        needle = np.pi * 0.075**2 * 2.0  # what the image counts as zone
        assert 1e6 * image.voxel_volume * image.data.sum() == pytest.approx(ml + needle, rel=0.08)
    capsys.readouterr()
    assert cli.main(["compare", "out", "zone.nii.gz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dice"] > 0.999
    assert cli.main(["compare", "zone.seg.nrrd", "zone.nii.gz", "--predicted-label", "zone"]) == 0
    assert "Dice coefficient" in capsys.readouterr().out
    for words, reason in {
        ("export", "out", "--like", "scan.nii.gz", "--out", "zone.png"): "is of no known kind",
        ("export", "gone", "--like", "scan.nii.gz"): "does not exist",
        ("compare", "out", "zone.nii.gz", "--label", "7"): "has no label '7'; there are: 1",
        ("compare", "out", "gone.nii"): "No such file",
    }.items():
        assert cli.main(list(words)) == 2
        assert reason in capsys.readouterr().err
