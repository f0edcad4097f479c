"""Margins all over a tumour, what is left of it, and the part under the capsule, against analytic balls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lattices import MM, ball_ml, box, section

from rfasim.case import case_from_dict
from rfasim.domain import build_domain
from rfasim.margin import common, margin_map, tumour_measures
from rfasim.outcome import tissue_cells
from rfasim.solver.level_set import encloses

KEYS = [
    "volume_ml", "ablated_fraction", "residual_ml", "residual_at_mm", "minimal_margin_mm", "minimal_margin_at_mm",
    "margin_class", "surface", "subcapsular", "response",
]  # fmt: skip


def test_the_agreed_keys() -> None:
    mesh = box(14)
    distance = np.linalg.norm(mesh.points, axis=1)
    assert list(tumour_measures(mesh, 9 * MM - distance, distance - 6 * MM)) == KEYS


def test_the_margin_varies_over_a_tumour_as_that_of_two_balls() -> None:
    tumour, zone, shift = 6 * MM, 11 * MM, np.array([0.0, 0.0, 2 * MM])
    mesh = box(32)
    f = zone - np.linalg.norm(mesh.points - shift, axis=1)
    found = margin_map(mesh, f, np.linalg.norm(mesh.points, axis=1) - tumour)
    assert found is not None
    exact = zone - np.linalg.norm(found.points - shift, axis=1)
    assert np.abs(found.margin - exact).max() < 0.12 * MM
    row = tumour_measures(mesh, f, np.linalg.norm(mesh.points, axis=1) - tumour)
    assert row["minimal_margin_mm"] == pytest.approx(3.0, abs=0.12)
    # the pole away from the zone's middle; the place is flat, the value is not
    assert np.allclose(row["minimal_margin_at_mm"], [0, 0, -6], atol=1.0)
    # the margin is at least 5 mm where |x - shift| <= 6 mm: on the cap z > 1 mm, 5/12 of the sphere
    assert row["surface"]["over_5mm_fraction"] == pytest.approx(5 / 12, abs=0.02)
    assert row["surface"]["covered_fraction"] == 1.0
    assert row["surface"]["over_10mm_fraction"] == 0.0


def test_what_is_left_lies_where_the_zone_does_not_reach() -> None:
    # half a ball is dead: the middle of the other half is 3/8 of the radius away from the plane
    mesh = box(28)
    tumour = 8 * MM
    row = tumour_measures(mesh, mesh.points[:, 2], np.linalg.norm(mesh.points, axis=1) - tumour)
    assert row["ablated_fraction"] == pytest.approx(0.5, abs=0.005)
    assert np.allclose(row["residual_at_mm"], [0, 0, -3 / 8 * 8], atol=0.1)
    assert row["surface"]["covered_fraction"] == pytest.approx(0.5, abs=0.02)


def test_both_dimensions_agree_about_what_is_left() -> None:
    residuals = []
    for mesh in (box(24), section(60)):
        z = mesh.points[:, -1]
        row = tumour_measures(mesh, z + 2 * MM, np.linalg.norm(mesh.points, axis=1) - 8 * MM)
        residuals.append((row["residual_ml"], row["residual_at_mm"][2]))
    h = 6 * MM  # the cap below z = -2 mm
    cap, middle = math.pi * h**2 * (3 * 8 * MM - h) / 3, -0.75 * (2 * 8 * MM - h) ** 2 / (3 * 8 * MM - h)
    for volume, at in residuals:
        assert volume == pytest.approx(1e6 * cap, rel=0.04)
        assert at == pytest.approx(1e3 * middle, abs=0.15)


def test_the_part_under_the_capsule_is_told_apart() -> None:
    # a tumour of 6 mm radius with its top 1 mm under the capsule (z = 7 mm); the zone, a ball of 10 mm, ends 3 mm
    # beyond the capsule: 4 mm of margin all round, of which the capsule's side asks none
    mesh = box(32)
    tumour, zone, capsule = 6 * MM, 10 * MM, 7 * MM
    distance = np.linalg.norm(mesh.points, axis=1)

    def organ(points: np.ndarray) -> np.ndarray:
        return np.asarray(points[:, 2] - capsule)

    row = tumour_measures(mesh, zone - distance, distance - tumour, organ)
    under = row["subcapsular"]
    # less than 5 mm under the capsule is z > 2 mm: a third of the sphere
    assert under["fraction"] == pytest.approx(1 / 3, abs=0.02)
    assert under["minimal_margin_mm"] == pytest.approx(4.0, abs=0.12)
    assert under["elsewhere_minimal_margin_mm"] == pytest.approx(4.0, abs=0.12)
    assert under["living_liver_margin_mm"] == pytest.approx(4.0, abs=0.12)
    assert (row["margin_class"], under["margin_class"]) == ("A1", "A1")
    # moved down by 3 mm: 1 mm of margin at the top, 7 mm at the bottom; living liver is at least as far as the
    # border circle of zone and capsule
    low = np.linalg.norm(mesh.points - np.array([0, 0, -3 * MM]), axis=1)
    row = tumour_measures(mesh, zone - low, distance - tumour, organ)
    under = row["subcapsular"]
    assert row["minimal_margin_mm"] == pytest.approx(1.0, abs=0.12)
    assert under["minimal_margin_mm"] == pytest.approx(1.0, abs=0.12)
    # z = 2 mm on the tumour: its distance to the zone's middle is the root of 6^2 - 2^2 + 5^2
    assert under["elsewhere_minimal_margin_mm"] == pytest.approx(10 - math.sqrt(32 + 25), abs=0.2)


def test_what_dies_beyond_the_capsule_asks_for_no_margin() -> None:
    # the zone is open towards the capsule: nothing of the liver lives above the tumour
    mesh = box(32)
    distance = np.linalg.norm(mesh.points, axis=1)
    f = np.minimum(7 * MM - mesh.points[:, 2], mesh.points[:, 2] + 11.5 * MM)  # a slab, which ends at the capsule

    def organ(points: np.ndarray) -> np.ndarray:
        return np.asarray(points[:, 2] - 6.5 * MM)

    row = tumour_measures(mesh, f, distance - 6 * MM, organ)
    assert row["minimal_margin_mm"] == pytest.approx(1.0, abs=0.1)
    assert row["margin_class"] == "A1"
    assert row["subcapsular"]["living_liver_margin_mm"] == pytest.approx(5.5, abs=0.1)
    assert row["subcapsular"]["margin_class"] == "A0"


def test_without_a_liver_nothing_is_said_of_its_capsule() -> None:
    mesh = box(14)
    distance = np.linalg.norm(mesh.points, axis=1)
    assert tumour_measures(mesh, 9 * MM - distance, distance - 6 * MM)["subcapsular"] is None


def test_a_common_part_has_the_volume_of_a_lens() -> None:
    mesh = box(28)
    r, d = 9 * MM, 8 * MM
    a, b = (r - np.linalg.norm(mesh.points - [0, 0, z], axis=1) for z in (-d / 2, d / 2))
    volume, middle = common(mesh, a, b, tissue_cells(mesh))
    assert volume == pytest.approx(math.pi * (4 * r + d) * (2 * r - d) ** 2 / 12, rel=0.02)
    assert middle is not None
    assert np.abs(middle).max() < 0.05 * MM
    assert common(mesh, a, b - 1.0, tissue_cells(mesh)) == (0.0, None)


def test_a_point_is_enclosed_by_what_goes_round_it() -> None:
    u = np.linspace(0, np.pi, 30)
    ring = np.stack([np.sin(u), np.cos(u)], axis=1)
    half = np.stack([ring[:-1], ring[1:]], axis=1)  # a half circle from the axis to the axis
    inside = np.array([[0.0, 0.0], [0.5, 0.5], [0.9, 0.3]])
    outside = np.array([[0.8, 0.8], [2.0, 0.0], [0.0, 1.1]])
    assert encloses(half, inside, True).all()
    assert not encloses(half, outside, True).any()


def test_the_ball_of_the_grid_is_the_ball_of_the_tests() -> None:
    mesh = box(24)
    row = tumour_measures(mesh, np.ones(mesh.n_nodes), np.linalg.norm(mesh.points, axis=1) - 7 * MM)
    assert row["volume_ml"] == pytest.approx(ball_ml(7 * MM), rel=0.03)


def test_a_sleeve_at_the_needle_does_not_spoil_a_complete_response_but_a_core_does() -> None:
    """A tumour of 10 mm radius around a needle in a zone of 12 mm, alive within so much of the needle's surface."""
    case = case_from_dict(
        {
            "name": "sleeve",
            "electrodes": [{"device": "needle", "tip": (0, 0, -0.03), "active_length": 0.06}],
            "generator": {"protocol": "constant_voltage", "voltage": 1.0, "duration": 1.0},
            "domain": {"axisymmetric": True},
            "mesh": {"size": 0.3e-3, "rim_size": 0.3e-3},
        }
    )
    mesh = build_domain(case).mesh
    r, away = np.hypot(*mesh.points.T), mesh.points[:, 0] - 0.75e-3
    for alive, response in ((0.9e-3, "complete"), (3e-3, "partial")):
        beside = np.maximum(away - alive, np.abs(mesh.points[:, 1]) - 9e-3)
        level = 1e3 * np.minimum(12e-3 - r, beside)  # dead within 12 mm, alive next to the middle of the needle
        found = tumour_measures(mesh, level, r - 10e-3)
        assert found["ablated_fraction"] < 0.99
        assert found["minimal_margin_mm"] == pytest.approx(2.0, abs=0.2)
        assert found["response"] == response
