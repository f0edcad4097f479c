"""Vessels from label images, wherever the needle is: trunks cut at a junction, and vessels in the needle's way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rfasim.anatomy import _with_free_ends
from rfasim.case import Vessel, load_case
from rfasim.checks import crossings, misplaced_vessels
from rfasim.domain import all_vessels
from rfasim.network import flowing_network

CASES = Path(__file__).parents[1] / "cases"
MM = 1e-3


def vessel(name: str, kind: str, points: list[list[float]], diameter: float, velocity: float | None = None) -> Vessel:
    return Vessel.model_validate(
        {"name": name, "kind": kind, "points": (MM * np.array(points)).tolist(), "diameter": MM * diameter,
         "velocity": velocity}
    )  # fmt: skip


def test_a_trunk_that_is_cut_at_a_junction_keeps_a_free_end() -> None:
    cava = vessel("cava C.0.0", "cava", [[0, 0, 0], [0, 0, 40]], 20, 0.12)
    vein = vessel("hepatic H.0.0", "hepatic", [[-50, 0, -10], [-2, 0, 0]], 8, 0.1)
    longer, same = _with_free_ends([cava, vein])
    assert same == vein
    assert longer.points[1:] == cava.points
    assert longer.points[0] == pytest.approx((0, 0, -30 * MM))
    network, flowing = flowing_network((longer, same))
    assert network is not None
    flows = network.flows([(longer, same)[k].stated_flow for k in flowing], 3.5e-3)
    assert flows.max() == pytest.approx(0.12 * np.pi * (10 * MM) ** 2, rel=0.2)


def test_branches_of_the_same_tree_leave_their_trunk_as_it_is() -> None:
    trunk = vessel("portal P.0.0", "portal", [[0, 0, 0], [40, 0, 0]], 10, 0.15)
    branch = vessel("portal P.0.1", "portal", [[40, 0, 0], [60, 20, 0]], 6)
    assert _with_free_ends([trunk, branch]) == (trunk, branch)


def test_where_the_cava_is_cut_at_the_hepatic_veins_the_phantom_can_be_run() -> None:
    case = load_case(CASES / "phantom.yaml", [("electrodes.0.target", "[-72 mm, 1 mm, 24 mm]"), ("tumours", "[]")])
    assert any(one.kind == "cava" for one in all_vessels(case, CASES))


def test_a_thin_vessel_gives_way_to_the_needle_and_a_thick_one_does_not() -> None:
    case = load_case(CASES / "needle.yaml")
    middle = case.electrodes[0].active_centre / MM

    def through(start: list[float], end: list[float], size: float) -> Vessel:
        return vessel("hepatic H.0.0", "hepatic", [list(middle + np.array(at)) for at in (start, end)], size, 0.06)

    thin, thick = (through([-30, 0, 0], [30, 0, 0], size) for size in (2, 4))
    assert list(crossings(case, (thin,))) == [(0, 0)]
    assert list(misplaced_vessels(case, (thin,))) == []
    ((path, sentence),) = misplaced_vessels(case, (thick,))
    assert path == "vessels[0]"
    assert "runs through electrodes[0]" in sentence
    assert list(crossings(case, (through([5, -30, 0], [5, 30, 0], 2),))) == []
