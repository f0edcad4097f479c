"""Shapes from coarse labels against the balls, ellipsoids and tubes that they are of; a tumour from a label image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim.anatomy import LabelImage, LabelShape
from rfasim.anatomy.writing import write_nifti, write_seg_nrrd
from rfasim.case import case_from_dict
from rfasim.domain import build_domain
from rfasim.errors import InputError
from rfasim.margin import tumour_measures
from rfasim.simulation import Simulation
from rfasim.summary import summary_of

Array = np.ndarray[Any, Any]
MM = 1e-3
SPACINGS = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (3.0, 3.0, 3.0), (5.0, 5.0, 5.0), (0.9, 0.9, 3.0), (0.9, 0.9, 5.0)]


def rasterised(inside: Callable[[Array], Array], spacing: Array, half: float, seed: int) -> LabelImage:
    """Voxels whose middle is inside a body around the origin, on a lattice that is turned and shifted."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    n = np.ceil(2 * half / spacing).astype(int) + 4
    to_world = np.eye(4)
    to_world[:3, :3] = q * np.sign(np.linalg.det(q)) * spacing
    to_world[:3, 3] = -(to_world[:3, :3] @ ((n - 1) / 2)) + to_world[:3, :3] @ rng.uniform(-0.5, 0.5, 3)
    numbers = np.stack(np.meshgrid(*map(np.arange, n), indexing="ij"), axis=-1).reshape(-1, 3)
    points = numbers @ to_world[:3, :3].T + to_world[:3, 3]
    return LabelImage(inside(points).reshape(n).astype(np.uint8), to_world)


def volume(shape: LabelShape, half: float, n: int = 80) -> float:
    """By cubes, each counted by how far its middle lies within."""
    x = (np.arange(n) + 0.5) / n * 2 * half - half
    points = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3)
    edge = 2 * half / n
    return float(np.clip(0.5 - shape.distance(points) / edge, 0.0, 1.0).sum()) * edge**3


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axes", [(8.0, 8.0, 8.0), (15.0, 15.0, 15.0), (8.0, 12.0, 15.0)])
def test_the_surface_is_that_of_the_body_to_a_share_of_a_voxel(spacing: Any, axes: Any) -> None:
    edge, half_axes = np.array(spacing) * MM, np.array(axes) * MM
    ways = np.random.default_rng(0).normal(size=(2000, 3))
    ways /= np.linalg.norm(ways, axis=1)[:, None]
    off = []
    for seed in range(3):
        image = rasterised(lambda p: np.linalg.norm(p / half_axes, axis=1) < 1, edge, half_axes.max(), seed)
        shape = LabelShape(image, [1])
        off.append(shape.distance(ways * half_axes))
        voxels = image.data.sum() * edge.prod()
        assert volume(shape, half_axes.max() + 4 * MM) == pytest.approx(voxels, rel=0.06)
    found = np.concatenate(off) / edge.max()
    assert np.abs(found).max() < 0.6
    assert np.sqrt((found**2).mean()) < 0.18
    assert abs(found.mean()) < 0.05


def test_a_tube_keeps_its_width_and_far_away_the_distance_grows() -> None:
    edge = np.array([0.9, 0.9, 3.0]) * MM
    image = rasterised(lambda p: (np.hypot(p[:, 0], p[:, 1]) < 5 * MM) & (np.abs(p[:, 2]) < 25 * MM), edge, 30 * MM, 3)
    shape = LabelShape(image, [1])
    angle, z = np.random.default_rng(1).uniform([0, -15 * MM], [2 * np.pi, 15 * MM], (500, 2)).T
    for radius in (4.0, 5.0, 6.0):
        found = shape.distance(np.stack([radius * MM * np.cos(angle), radius * MM * np.sin(angle), z], axis=1))
        assert found.mean() == pytest.approx((radius - 5.0) * MM, abs=0.3 * MM)
    (far,) = shape.distance(np.array([[0.0, 0.1, 0.0]]))
    assert far == pytest.approx(0.095, abs=0.003)
    assert shape.centre == pytest.approx(np.zeros(3), abs=1e-3)


def test_margins_of_rasterised_tumours_are_those_of_the_bodies() -> None:
    # a tumour of 9 mm radius, 4 mm beside the middle of a zone of 18 mm: 5 mm at its nearest
    case = _case("a.nii.gz", radius=0.035)
    domain = build_domain(case.model_copy(update={"tumour": None}))
    points = domain.mesh.points
    zone = 18 * MM - np.linalg.norm(points, axis=1)
    for spacing in SPACINGS:
        edge = np.array(spacing) * MM
        image = rasterised(lambda p: np.linalg.norm(p - [4 * MM, 0, 0], axis=1) < 9 * MM, edge, 14 * MM, 5)
        found = tumour_measures(domain.mesh, zone, LabelShape(image, [1]).distance(points))
        margin = found["minimal_margin_mm"]
        assert isinstance(margin, float)
        assert margin == pytest.approx(5.0, abs=0.3 + 0.6 * max(spacing))
        assert found["response"] == "complete"


def _case(file: str, radius: float = 0.03, label: Any = 1) -> Any:
    return case_from_dict(
        {
            "name": "t", "electrodes": [{"device": "needle", "tip": (0, 0, -0.01), "active_length": 0.02}],
            "generator": {"protocol": "constant_power", "power": 20.0, "duration": 3.0},
            "tumour": {"shape": "labels", "file": file, "label": label},
            "domain": {"radius": radius, "height": 2 * radius},
            "mesh": {"size": 7e-4, "rim_size": 5e-4, "zone_size": 2.5e-3},
        }
    )  # fmt: skip


def test_a_tumour_comes_from_a_label_image(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    edge = np.array([0.9, 0.9, 3.0]) * MM
    image = rasterised(lambda p: np.linalg.norm(p - [3 * MM, 0, 0], axis=1) < 8 * MM, edge, 12 * MM, 2)
    write_nifti(tmp_path / "a.nii.gz", image.data, image.to_world)
    simulation = Simulation(_case("a.nii.gz"), tmp_path)
    history: dict[str, list[Any]] = {}
    for frame in simulation.frames():
        for name, value in frame.readings().items():
            history.setdefault(name, []).append(value)
    tumour = summary_of(simulation, history, {}, frame, mesh_seconds=0.0, wall_seconds=0.0)["tumour"]
    needle = np.pi * 0.75**2 * 18 * 1e-3  # ml of it in the tumour, about
    assert tumour["volume_ml"] == pytest.approx(4 / 3 * np.pi * 0.8**3 - needle, rel=0.06)
    cells = simulation.domain.cell_tissue == simulation.domain.tissue_names.index("tumour")
    middles = simulation.mesh.points[simulation.mesh.cells[cells]].mean(axis=1)
    assert np.linalg.norm(middles - [3 * MM, 0, 0], axis=1).max() < 10 * MM


def test_a_tumour_that_cannot_be_found_is_told(tmp_path: Path) -> None:
    pytest.importorskip("nrrd")
    image = rasterised(lambda p: np.linalg.norm(p, axis=1) < 8 * MM, np.full(3, MM), 10 * MM, 1)
    named = LabelImage(image.data, image.to_world, {1: "Tumor_1"})
    write_seg_nrrd(tmp_path / "a.seg.nrrd", named)
    assert build_domain(_case("a.seg.nrrd", label="tumor_1"), tmp_path).tumours.keys() == {"tumour"}
    with pytest.raises(InputError, match=r"tumour\.label: 'Tumor_2' is no label of .*there are: 1 \(Tumor_1\)"):
        build_domain(_case("a.seg.nrrd", label="Tumor_2"), tmp_path)
    with pytest.raises(InputError, match=r"tumour\.file: .*No such file"):
        build_domain(_case("b.nii"), tmp_path)
    moved = image.to_world.copy()
    moved[:3, 3] += 0.05
    write_seg_nrrd(tmp_path / "far.seg.nrrd", LabelImage(image.data, moved, {1: "Tumor_1"}))
    with pytest.raises(InputError, match=r"its middle is \(50\.\d, .* mm outside the domain"):
        build_domain(_case("far.seg.nrrd", label=1), tmp_path)
    with pytest.raises(InputError, match="no voxel has the label"):
        LabelShape(image, [7])
