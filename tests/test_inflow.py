"""What blood comes in: words for the clamp, shares by kind, the buffer response, perfusion laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rfasim.case import case_from_dict, case_yaml, load_case
from rfasim.circulation import Circulation
from rfasim.errors import InputError
from rfasim.tissues import ALL_PERFUSION_LAWS, LIBRARY, LangMuscle1999, LangTumour1999, Stasis
from rfasim.yaml_io import parse_yaml

NEEDLE = Path(__file__).parents[1] / "cases" / "needle.yaml"


@pytest.mark.parametrize(
    ("word", "spans"),
    [
        ("off", ()), ("false", ()), ("on", ((0.0, None),)), ("true", ((0.0, None),)),
        ("{from: 1 min, to: 12 min}", ((60.0, 720.0),)), ("{to: 3 min}", ((0.0, 180.0),)),
        ("[{from: 0 min, to: 5 min}, {from: 6 min}]", ((0.0, 300.0), (360.0, None))),
    ],
)  # fmt: skip
def test_a_clamp_is_said_in_several_ways_and_read_back(word: str, spans: Any) -> None:
    case = load_case(NEEDLE, [("circulation.pringle", word)])
    assert case.circulation.spans == spans
    again = case_from_dict(parse_yaml(case_yaml(case), "again"), from_file=True)
    assert again == case
    assert again.sha256 == case.sha256


@pytest.mark.parametrize(
    ("word", "path", "says"),
    [
        ("maybe", "circulation.pringle", "write off, on, an interval"),
        ("{from: 5 min, to: 5 min}", "circulation.pringle.to", "is not after from"),
        ("[{from: 0 min, to: 5 min}, {from: 4 min}]", "circulation.pringle[1].from", "in order"),
        ("[{from: 0 min}, {from: 4 min}]", "circulation.pringle[1].from", "in order"),
        ("{form: 0 min}", "circulation.pringle", "form"),
    ],
)
def test_a_clamp_that_makes_no_sense_is_refused_with_its_path(word: str, path: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_case(NEEDLE, [("circulation.pringle", word)])
    assert path in str(caught.value)
    assert says in str(caught.value)


def test_the_clamp_closes_what_it_is_put_on() -> None:
    both = Circulation(pringle="on", portal_residual=0.1).inflow_at(0.0)
    assert (both.portal, both.arterial) == pytest.approx((0.1, 0.0))
    assert both.of("portal") == 0.1
    assert both.of("cava") == both.of("user") == 1.0
    arterial = Circulation(pringle="on", inflow="arterial").inflow_at(0.0)
    assert (arterial.portal, arterial.arterial, arterial.hepatic) == pytest.approx((1.0, 0.0, 0.75))


def test_the_artery_makes_up_for_a_part_of_the_portal_flow() -> None:
    # of the 75 % that are lost 44 % would be 33 % of all flow, more than the artery's own 25 %: it doubles
    assert Circulation(pringle="on", inflow="portal").inflow_at(0.0).arterial == pytest.approx(2.0)
    half = Circulation(portal=0.8).inflow_at(0.0)
    assert half.arterial == pytest.approx(1.0 + 0.44 * 0.75 * 0.2 / 0.25)
    assert Circulation(pringle="on", inflow="portal", buffer_response=0.0).inflow_at(0.0).arterial == 1.0


def test_hepatic_veins_carry_what_comes_in_but_no_less_than_swings_back() -> None:
    assert Circulation(pringle="on").inflow_at(0.0).hepatic == 0.0
    assert Circulation(pringle="on", hepatic_backflow=0.2).inflow_at(0.0).hepatic == 0.2


def test_the_inflow_changes_at_the_ends_of_the_intervals() -> None:
    c = Circulation(pringle=[{"from": 10.0, "to": 20.0}, {"from": 30.0}])
    assert c.switches == (10.0, 20.0, 30.0)
    assert [c.inflow_at(t).portal for t in (0.0, 10.0, 19.9, 20.0, 30.0, 99.0)] == [1, 0, 0, 1, 0, 0]
    assert [c.next_switch(t) for t in (0.0, 10.0, 29.0)] == [10.0, 20.0, 30.0]
    assert c.next_switch(30.0) == np.inf


def test_tissues_lose_the_part_of_their_perfusion_that_is_closed() -> None:
    liver, tumour = LIBRARY["liver"], LIBRARY["tumour"]
    assert liver.perfusion_with(1.0, 1.0) == liver.perfusion
    assert liver.perfusion_with(0.0, 1.0) == pytest.approx(0.25 * liver.perfusion)
    assert tumour.perfusion_with(0.0, 1.0) == pytest.approx(0.9 * tumour.perfusion)


def test_perfusion_laws_are_1_in_untouched_tissue_and_as_published() -> None:
    for law in ALL_PERFUSION_LAWS:
        untouched = np.array([0.0]) if isinstance(law, Stasis) else np.array([37.0])
        assert law.factor(untouched)[0] == pytest.approx(1.0)
    muscle = LangMuscle1999(kind="lang_1999_muscle").factor(np.array([45.0, 60.0]))
    assert muscle == pytest.approx(4.0 / (0.45 + 3.55 * np.exp(-64 / 12)) * np.ones(2))
    assert LangTumour1999(kind="lang_1999_tumour").factor(np.array([42.0, 70.0])) == pytest.approx([0.5, 0.5], abs=1e-3)
    stasis = Stasis(kind="he_2004_stasis").factor(np.array([0.01, 0.02, 0.05, 0.5, 1.0]))
    assert stasis == pytest.approx([1.3, 1.6, 1.21, 0.489, 0.0], abs=1e-3)


def test_shares_have_bounds() -> None:
    with pytest.raises(ValidationError):
        Circulation(portal_residual=1.5)
