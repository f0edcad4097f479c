"""The validation dossier: totals by hand, failures first, bands draw by draw, whole files or none, exit codes."""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_validate import a_study, related, written

from rfasim import cli, validate, verify
from rfasim.errors import InputError, RunError
from rfasim.validation import dossier as dossiers
from rfasim.validation import markup, page
from rfasim.validation.credibility import FACTORS, LEVELS
from rfasim.validation.dossier import Dossier, Made, Studied, Verified
from rfasim.validation.experiments import EXPERIMENTS
from rfasim.validation.scores import Score, compare, failed
from rfasim.validation.spread import Band, band_of, changes_of, draws, varied
from rfasim.validation.study import STUDIES, Study, find_studies, read_study
from rfasim.validation.tally import Row, judged, missed, rows_of, tallies, tally
from rfasim.verification.claims import Claim
from rfasim.yaml_io import dump_yaml

MADE = Made("2030-01-01 00:00 UTC", "0", "abc", "0", "3", "2", "1", "0", "here")
GOOD = Claim("A group", "a claim", 1.0, 1.0, 0.0, 0.1, "K")
BAD = Claim("A group", "another claim", 1.0, 2.0, 1.0, 0.1, "K")


def row(measured: float, sd: float | None, predicted: float | None, *, unit: str = "mm", tolerance: float | None = None,
        band: Band | None = None, kind: str = "cell") -> Row:  # fmt: skip
    return Row("s", kind, "c", "q", "width", unit, measured, sd, predicted, tolerance, band, "because")


# ------------------------------------------------------------------------------------------------------- totals


def test_a_tally_of_four_rows_by_hand():
    # errors +1, -3, +0.5 and none; in SD +1, -1.5, unknown and none
    near, away = Band(9, 10, 12, 8, 0), Band(16, 17, 17.5, 8, 0)
    rows = [row(10, 1, 11, band=near), row(20, 2, 17, band=away), row(5, None, 5.5), row(8, 1, None)]
    found = tally("all", rows)
    assert (found.count, found.missing, found.with_sd) == (4, 1, 3)
    assert (found.within_1_sd, found.within_2_sd) == (1, 2)
    assert (found.mean_error, found.bias) == (pytest.approx(1.5), pytest.approx(-0.5))
    assert (found.with_band, found.overlapping) == (2, 1)


def test_units_are_never_added_up():
    found = tally("all", [row(10, 1, 11), row(10, 1, 12, unit="ml")])
    assert (found.unit, found.mean_error, found.bias) == (None, None, None)
    assert (found.within_1_sd, found.within_2_sd) == (1, 2)
    assert [one.mean_error for one in tallies([row(10, 1, 11), row(10, 1, 12, unit="ml")], lambda r: r.unit)] == [1, 2]


@pytest.mark.parametrize(
    ("one", "far"),
    [(row(10, 1, 13), 1.5), (row(10, 1, 13, tolerance=6), 1.5), (row(10, 1, 13, tolerance=1), 3),
     (row(10, None, 13, tolerance=6), 0.5), (row(10, None, 13), 0), (row(10, None, None), math.inf),
     (row(2, None, 1, tolerance=0), math.inf), (row(2, None, 2, tolerance=0), 0)],
)  # fmt: skip
def test_how_far_is_the_error_over_what_is_allowed_by_aim_or_two_deviations(one, far):
    assert one.far == pytest.approx(far)
    assert one.missed == (far > 1)


def test_what_is_exactly_at_its_aim_or_two_deviations_is_not_missed():
    assert not row(0.3, 0.1, 0.5).missed
    assert not row(0.3, None, 0.6, tolerance=0.3).missed


def test_a_row_that_nothing_judges_is_told_apart_from_one_that_is_within():
    assert not row(10, None, 13).judged
    assert row(10, None, None).judged
    assert row(10, 1, 10).judged


def test_missed_rows_come_farthest_first_and_none_is_left_out():
    rows = [row(10, 1, 13), row(10, 1, 11), row(10, 1, None), row(10, 1, 20)]
    assert [one.predicted for one in missed(rows)] == [None, 20, 13]


@pytest.mark.parametrize(("low", "high", "meets"), [(12, 14, False), (11, 14, True), (2, 9, True), (2, 8.9, False)])
def test_a_band_meets_a_mean_with_its_deviation(low, high, meets):
    assert Band(low, low, high, 8, 0).overlaps(10, 1) == meets
    assert Band(low, low, high, 8, 0).overlaps(10, None) == (low <= 10 <= high)


def test_a_band_counts_the_draws_that_gave_nothing():
    found = band_of([1.0, None, 2.0, 3.0, math.nan])
    assert found is not None
    assert (found.median, found.count, found.missing) == (2, 3, 2)
    assert band_of([None]) is None


# -------------------------------------------------------------------------------------------------------- draws


def test_draws_are_a_latin_hypercube_and_always_the_same():
    found = draws(8)
    assert found == draws(8)
    assert draws(0) == []
    for name in found[0]:
        assert sorted(int(8 * draw[name]) for draw in found) == list(range(8))


@pytest.mark.parametrize("count", [-1, 1, 7, 1001])
def test_too_few_or_too_many_draws_are_refused(count):
    with pytest.raises(InputError, match="0, or a number of runs from 8 to 1000"):
        draws(count)


def test_all_studies_take_the_same_tissue_and_what_an_experiment_set_is_held():
    cases = {path.stem: (study := read_study(path), study.case_of(study.cells[0])) for path in find_studies()}
    draw = draws(8)[3]
    changes = {name: changes_of(case, study.controlled, draw) for name, (study, case) in cases.items()}
    assert len({tuple(values.items()) for name, values in changes.items() if name != "chinn_2001"}) == 1
    assert all(changes["rempp_2014"][path] == changes["chinn_2001"][path] for path in changes["rempp_2014"])
    perfused = {name for name, values in changes.items() if any("perfusion" in path for path in values)}
    assert perfused == {"chinn_2001"}  # excised liver has none, and Huang set the portal flow
    study, case = cases["huang_2012"]
    assert len(varied(case)) == len(varied(case, study.controlled)) + 1


@pytest.mark.parametrize(
    ("changes", "place", "sentence"),
    [({"reasons": {"zone.short_axis": "x"}}, "reasons.zone.short_axis", "zone.short_axis_mm"),
     ({"controlled": {"perfusoin": "x"}}, "controlled.perfusoin", "perfusion")],
)  # fmt: skip
def test_a_reason_or_a_controlled_property_of_nothing_is_refused(tmp_path, changes, place, sentence):
    with pytest.raises(InputError) as refusal:
        read_study(written(tmp_path, a_study(**changes)))
    assert f"{place}: " in str(refusal.value)
    assert sentence in str(refusal.value)


# ------------------------------------------------------------------------------------------------------ dossier


def scored(data: dict[str, Any], *shorts: float | None) -> Score:
    """A made-up study with these short axes predicted; None: the run failed."""
    study = Study.model_validate(data | {"name": "made_up"})
    outcomes = tuple(
        failed(cell, "it broke") if short is None else compare(cell, {"zone": {"short_axis_mm": short}})
        for cell, short in zip(study.cells, shorts, strict=True)
    )
    return Score(study, outcomes, 1.0)


def a_dossier(*studied: Studied, claims: tuple[Claim, ...] = (GOOD,)) -> Dossier:
    return Dossier(studied, Verified(tuple({**vars(c), "met": c.met} for c in claims), "made up"), MADE)


def chapter(text: str, key: str) -> str:
    """The HTML of one chapter."""
    return text.split(f'<h2 id="{key}">')[1].split("<h2 ")[0]


def test_bands_of_ratios_are_made_draw_by_draw():
    predicted = scored(related(), 2.0, 5.0, 6.0)
    drawn = [scored(related(), *(scale * short for short in (2.0, 5.0, 6.0))) for scale in (0.5, 1.0, 2.0)]
    found = {one.kind: one.band for one in rows_of(predicted, drawn)}
    ratio, slope = found["ratios"], found["trends"]
    assert ratio is not None
    assert slope is not None
    assert (ratio.low, ratio.high) == (pytest.approx(3.0), pytest.approx(3.0))  # all cells scale alike
    assert slope.median == pytest.approx(0.02)
    assert slope.low < slope.median < slope.high


@pytest.mark.parametrize("shorts", [(3.0, 9.0, 4.0), (9.0, 2.0, 1.0), (None, 9.0, 40.0), (None, None, None)])
def test_no_missed_aim_and_no_missed_number_can_be_hidden(shorts):
    score = scored(a_study(reasons={"zone.short_axis_mm": "it is made up"}), *shorts)
    found = a_dossier(Studied(score))
    text = page.as_html(found, {}, None)
    first = chapter(text, "missed").split("Aims that are met")[0]
    data = found.plain()
    for verdict in score.verdicts:
        told = [one for one in data["missed"]["aims"] if one["aim"] == verdict.aim.text]
        assert bool(told) == (not verdict.met)
        assert (markup.e(verdict.aim.text) in first) == (not verdict.met)
    assert first.count("<td>short axis</td>") == sum(one.missed for one in found.cells if one.label == "short axis")
    assert len(data["rows"]) == 3 * 2 + 1  # two quantities of three cells, and an optimum
    assert ("it broke" in first) == (None in shorts)
    assert text.index('<h2 id="missed">') < text.index('<h2 id="totals">') < text.index('<h2 id="question">')


def test_missed_aims_come_by_how_much_of_them_is_lacking():
    low, lower = scored(a_study(), 3.0, 2.0, 4.0), scored(related(), 9.0, 5.0, 6.0)
    order = [(one.verdict.met, round(one.shortfall, 2)) for one in judged([low, lower])]
    assert order == sorted(order, key=lambda pair: (pair[0], -pair[1]))
    assert not order[0][0]


def test_each_number_of_a_missed_row_has_its_unit_and_its_source():
    score = scored(a_study(), 3.0, 2.0, 4.0)
    text = page.as_html(a_dossier(Studied(score)), {}, None)
    rows = re.findall(r"<tr>(?:(?!</tr>).)*</tr>", chapter(text, "missed"))
    (line,) = [one for one in rows if "<td>400 mA</td><td>short axis</td>" in one]
    assert "9.00 ± 1.00 mm" in line
    assert "2.00 mm" in line
    assert f"{markup.MINUS}7.00 mm" in line
    assert "3.5 times: aim 3 mm, 2 SD 2 mm" in line
    assert '<a href="#made_up">' in line
    assert '<h3 id="made_up">' in text
    assert "<b>Source:</b> nowhere." in text


def test_the_page_needs_no_other_file_and_says_what_a_reviewer_asks():
    text = page.as_html(a_dossier(Studied(scored(a_study(), 3.0, 2.0, 4.0))), {"made_up": b"\x89PNG"}, b"\x89PNG")
    assert not re.findall(r"https?://|<script|<link|@import|url\(", text)
    assert re.findall(r'src="(?!data:image/png;base64,)', text) == []
    for _, title in page.CHAPTERS:
        assert title in text
    for factor in FACTORS:
        assert markup.e(factor.name) in text
        assert 0 <= factor.level < len(LEVELS)
    assert len(FACTORS) == 13
    assert text.count("Research simulation. Not for clinical decisions.") == 2


def test_a_missed_gate_stands_with_what_is_missed():
    found = a_dossier(Studied(scored(a_study(), 3.0, 9.0, 4.0)), claims=(GOOD, BAD))
    assert "another claim" in chapter(page.as_html(found, {}, None), "missed")
    assert [claim["name"] for claim in found.plain()["missed"]["gates"]] == ["another claim"]


def test_shortened_studies_are_in_no_total_and_say_so():
    study = Study.model_validate(a_study(shortened={"generator.duration": "1 s"}) | {"name": "made_up"})
    score = Score(study, (compare(study.cells[0], {"zone": {"short_axis_mm": 99.0}}),), 1.0, shortened=True)
    found = a_dossier(Studied(score))
    assert found.rows == []
    assert "no predictions and are in no list and no total: made_up" in chapter(page.as_html(found, {}, None), "missed")


def test_shipped_studies_give_a_reason_for_whatever_is_missed_and_every_study_is_listed():
    for path in find_studies():
        study = read_study(path)
        lacking = set(study.quantities) - set(study.reasons)
        assert lacking <= {"electrical.roll_offs"}, f"{study.name} has no word on {lacking}"
    listed = {one.study for one in EXPERIMENTS if one.study}
    assert listed == {path.stem for path in STUDIES.glob("*.yaml")}
    assert all(bool(one.study) != bool(one.why_not) for one in EXPERIMENTS)


def test_the_page_counts_the_sets_of_properties_that_cells_use():
    tuned = Study.model_validate(a_study() | {"name": "tuned"})
    cell = tuned.cells[0].model_copy(update={"set": {"tissues.liver.conductivity": "0.2 S/m"}})
    tuned = tuned.model_copy(update={"cells": (cell, *tuned.cells[1:])})  # as no reader would let it pass
    score = scored(a_study(), 3.0, 2.0, 4.0)
    found = [Studied(Score(study, score.outcomes, 1.0)) for study in (tuned, score.study)]
    assert [one.property_sets for one in found] == [2, 1]
    assert '<td class="miss n">2</td>' in chapter(page.as_html(a_dossier(found[0]), {}, None), "tuning")


# ------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that take no time, in this process, one gate that is met, and a date that stands still; the cases run."""
    done: list[str] = []

    def summary(case: Any, base: Any) -> dict[str, Any]:
        done.append(case.name)
        sigma = case.tissues["liver"].conductivity if "liver" in case.tissues else 0.2
        current = float(case.generator.current)
        return {"zone": {"short_axis_mm": 40.0 * current * sigma}, "run": {"simulated_s": 5.0, "wall_s": 1.0}}

    monkeypatch.setattr(validate, "simulate_summary", summary)
    monkeypatch.setattr("rfasim.doctor.usable_cores", lambda: 1.0)
    monkeypatch.setattr(verify, "claims", lambda quick: iter([GOOD]))
    monkeypatch.setattr(dossiers, "made_now", lambda: MADE)
    return done


def command(tmp_path: Path, *more: str, **changes: Any) -> list[str]:
    path = written(tmp_path, a_study(**changes))
    return ["validate", str(path), "--report", str(tmp_path / "out"), "--uncertainty", "8", *more]


def stored(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out/dossier.json").read_text(encoding="utf-8"))
    return found


def test_command_writes_page_numbers_and_each_study(tmp_path, quickly, capsys):
    assert cli.main(command(tmp_path)) == cli.DONE
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "dossier.html", "dossier.json", "made_up.md", "made_up.json", "made_up.png", "runs"
    }  # fmt: skip
    assert len(quickly) == 3 * (1 + 8)
    data = stored(tmp_path)
    assert list(data)[:2] == ["missed", "totals"]
    assert data["uncertainty"]["draws"] == {"made_up": 8}
    bands = [one["band"] for one in data["rows"] if one["quantity"] == "zone.short_axis_mm"]
    # conductivity from 0.12 to 0.37 S/m, eight draws: 5 and 95 % lie inside, near the ends
    assert all(0.12 * 12 <= bands[0][end] <= 0.37 * 12 for end in ("low", "high"))
    assert bands[0]["high"] > 2 * bands[0]["low"]
    assert bands[2]["low"] / bands[0]["low"] == pytest.approx(5 / 3)  # the same draws in all cells
    assert "MISSED: made_up" in capsys.readouterr().out


def test_what_is_kept_is_not_run_again_and_the_page_is_the_same_to_the_byte(tmp_path, quickly):
    assert cli.main(command(tmp_path)) == cli.DONE
    first = (tmp_path / "out/dossier.html").read_bytes()
    quickly.clear()
    assert cli.main(command(tmp_path)) == cli.DONE
    assert quickly == []
    assert (tmp_path / "out/dossier.html").read_bytes() == first
    changed = a_study()["case"] | {"frequency": "460 kHz"}
    assert cli.main(command(tmp_path, case=changed)) == cli.DONE
    assert len(quickly) == 27  # another case


def test_a_kept_run_that_cannot_be_read_is_done_again(tmp_path, quickly):
    assert cli.main(command(tmp_path)) == cli.DONE
    quickly.clear()
    next((tmp_path / "out/runs").iterdir()).write_text("{", encoding="utf-8")
    assert cli.main(command(tmp_path)) == cli.DONE
    assert len(quickly) == 1


def test_a_stop_leaves_the_old_dossier_and_keeps_the_runs(tmp_path, quickly, monkeypatch, capsys):
    assert cli.main(command(tmp_path)) == cli.DONE
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")}
    usual = validate.simulate_summary

    def stopped(case: Any, base: Any) -> dict[str, Any]:
        if "500" in case.name:
            raise KeyboardInterrupt
        return usual(case, base)

    monkeypatch.setattr(validate, "simulate_summary", stopped)
    changed = a_study()["case"] | {"frequency": "460 kHz"}
    quickly.clear()
    assert cli.main(command(tmp_path, case=changed)) == cli.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")} == before
    monkeypatch.setattr(validate, "simulate_summary", usual)
    assert cli.main(command(tmp_path, case=changed)) == cli.DONE
    assert len(quickly) == 27  # those of before the stop were kept


@pytest.mark.parametrize("when", ["a run", "the page"])
def test_a_full_disk_is_a_sentence_and_leaves_the_old_dossier(tmp_path, quickly, monkeypatch, capsys, when):
    assert cli.main(command(tmp_path)) == cli.DONE
    before = (tmp_path / "out/dossier.html").read_bytes()
    usual: Callable[..., int] = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.suffix == ".tmp" and ("dossier" in path.name if when == "the page" else path.parent.name == "runs"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    changed = a_study()["case"] | {"frequency": "460 kHz"}
    assert cli.main(command(tmp_path, case=changed)) == cli.FAILED
    assert "the disk is full" in capsys.readouterr().err
    assert (tmp_path / "out/dossier.html").read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_run_that_fails_is_shown_first_and_exit_is_1(tmp_path, quickly, monkeypatch):
    usual = validate.simulate_summary

    def breaks(case: Any, base: Any) -> dict[str, Any]:
        if "400" in case.name:
            raise RunError("the time step fell")
        return usual(case, base)

    monkeypatch.setattr(validate, "simulate_summary", breaks)
    assert cli.main(command(tmp_path)) == cli.FAILED
    first = chapter((tmp_path / "out/dossier.html").read_text(encoding="utf-8"), "missed")
    assert "the time step fell" in first
    assert "MISSING" in first
    assert len(stored(tmp_path)["missed"]["failed_runs_of_draws"]["made_up"]) == 8


def test_a_missed_gate_is_exit_1(tmp_path, quickly, monkeypatch):
    monkeypatch.setattr(verify, "claims", lambda quick: iter([GOOD, BAD]))
    assert cli.main(command(tmp_path)) == cli.FAILED
    assert stored(tmp_path)["missed"]["gates"][0]["name"] == "another claim"


def test_claims_can_come_from_a_full_verification(tmp_path, quickly, monkeypatch, capsys):
    assert verify.main(quick=True, as_json=True) == 0
    (tmp_path / "claims.json").write_text(capsys.readouterr().out, encoding="utf-8")
    monkeypatch.setattr(verify, "claims", lambda quick: pytest.fail("they were given"))
    assert cli.main(command(tmp_path, "--verified", str(tmp_path / "claims.json"))) == cli.DONE
    assert stored(tmp_path)["verification"]["claims"][0]["name"] == "a claim"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [(["--out", "pages"], "not allowed with"), (["--uncertainty", "3"], "0, or a number of runs from 8"),
     (["--verified", "{tmp}/made_up.yaml"], "rfasim verify --json"), (["--verified", "{tmp}/absent"], "absent"),
     (["--report", "{tmp}/made_up.yaml"], "is a file")],
)  # fmt: skip
def test_bad_input_is_a_sentence_exit_2_and_nothing_is_run(tmp_path, quickly, capsys, more, sentence):
    arguments = command(tmp_path, *(word.format(tmp=tmp_path) for word in more))
    assert cli.main(arguments) == cli.BAD_INPUT
    assert sentence in capsys.readouterr().err
    assert quickly == []
    assert not (tmp_path / "out/dossier.html").exists()


def test_a_study_that_is_given_twice_is_refused(tmp_path, quickly, capsys):
    verb, study, *rest = command(tmp_path)
    assert cli.main([verb, study, study, *rest]) == cli.BAD_INPUT
    assert "'made_up' is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--uncertainty", "8"], ["--uncertainty-3d", "8"], ["--verified", "x"]])
def test_options_of_the_dossier_need_it(tmp_path, capsys, flag):
    assert cli.main(["validate", str(written(tmp_path, a_study())), *flag]) == cli.BAD_INPUT
    assert f"{flag[0]}: is for the dossier" in capsys.readouterr().err


def test_a_study_in_three_dimensions_has_draws_of_its_own(tmp_path, quickly):
    flat = {key: value for key, value in a_study()["case"].items() if key != "domain"}
    assert cli.main(command(tmp_path, case=flat)) == cli.DONE
    assert stored(tmp_path)["uncertainty"]["draws"] == {"made_up": 0}
    assert cli.main(command(tmp_path, "--uncertainty-3d", "8", case=flat)) == cli.DONE
    assert stored(tmp_path)["uncertainty"]["draws"] == {"made_up": 8}


def test_bands_of_runs_that_are_run(tmp_path, monkeypatch):
    monkeypatch.setattr("rfasim.doctor.usable_cores", lambda: 1.0)
    monkeypatch.setattr(verify, "claims", lambda quick: iter([GOOD]))
    assert cli.main(command(tmp_path, "--quick")) == cli.DONE
    (short, duration) = stored(tmp_path)["rows"]
    assert short["band"]["low"] < short["predicted"] < short["band"]["high"]
    assert (duration["band"]["low"], duration["band"]["high"]) == (pytest.approx(5), pytest.approx(5))
    assert (tmp_path / "out/made_up.png").read_bytes().startswith(b"\x89PNG")


def test_a_study_without_numbers_of_cells_makes_a_dossier_too(tmp_path, quickly):
    path = tmp_path / "made_up_related.yaml"
    path.write_text(dump_yaml(related()), encoding="utf-8")
    assert cli.main(["validate", str(path), "--report", str(tmp_path / "out"), "--uncertainty", "0"]) == cli.DONE
    data = stored(tmp_path)
    assert (data["totals"]["overall"][0]["count"], len(data["rows"])) == (0, 4)
