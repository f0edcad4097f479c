"""``rfasim validate``: what its reader refuses, its statistics on made-up numbers, one study end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rfasim import cli, validate
from rfasim.errors import InputError, RunError
from rfasim.validation import report
from rfasim.validation.names import QUANTITIES, is_quantity, label_of, unit_of
from rfasim.validation.runs import simulate_summary
from rfasim.validation.scores import Comparison, Score, compare, failed, judge, lookup, total
from rfasim.validation.study import STUDIES, Aim, Study, find_studies, read_study
from rfasim.yaml_io import dump_yaml

COARSE = {"size": "1 mm", "rim_size": "0.6 mm", "grow": 1, "zone_size": "5 mm"}


def a_study(**changes: Any) -> dict[str, Any]:
    """A study of three currents whose runs take a tenth of a second each."""
    cells = [
        {
            "name": f"{current} mA",
            "group": "dry",
            "at": {"current_ma": current},
            "set": {"generator.current": f"{current} mA"},
            "measured": {"zone.short_axis_mm": [short, 1.0], "run.simulated_s": [5.0]},
        }
        for current, short in ((300, 3.0), (400, 9.0), (500, 4.0))
    ]
    return {
        "title": "Made up",
        "source": "nowhere",
        "measures": "nothing",
        "assumed": ["all of it"],
        "remarks": ["it is made up"],
        "case": {
            "electrodes": [{"device": "needle", "tip": ["0 mm", "0 mm", "-10 mm"], "active_length": "20 mm"}],
            "generator": {"protocol": "constant_current", "current": "300 mA", "duration": "5 s"},
            "domain": {"axisymmetric": True},
            "mesh": COARSE,
            "time": {"tolerance": "2 K"},
        },
        "groups": {"dry": {}},
        "cells": cells,
        "optima": [{"name": "best", "group": "dry", "of": "zone.short_axis_mm", "over": "current_ma"}],
        "aims": [
            {"quantity": "zone.short_axis_mm", "within": 3, "share": "80 %"},
            {"optimum": "current_ma", "within": 50},
        ],
    } | changes  # fmt: skip


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "made_up.yaml"
    path.write_text(dump_yaml(data), encoding="utf-8")
    return path


def with_cell(**changes: Any) -> dict[str, Any]:
    """The made-up study with its first cell changed."""
    study = a_study()
    study["cells"][0] = study["cells"][0] | changes
    return study


def related(**changes: Any) -> dict[str, Any]:
    """The made-up study with one relation of each kind; its cells measure only what these say."""
    study = a_study(optima=[], aims=[])
    for cell in study["cells"]:
        del cell["measured"]
    return study | {
        "trends": [{"name": "slope", "of": "zone.short_axis_mm", "over": "current_ma", "measured": [0.02, 0.01]}],
        "ratios": [{"name": "ratio", "of": "zone.short_axis_mm", "cells": ["500 mA", "300 mA"], "measured": [2]}],
        "orders": [{"name": "order", "of": "zone.short_axis_mm", "cells": ["500 mA", "400 mA", "300 mA"]}],
        "shares": [{"name": "share", "of": "zone.short_axis_mm", "at": "400 mA", "without": "300 mA",
                    "full": "500 mA", "measured": [1]}],
        "curves": [{"of": "run.simulated_s", "over": "current_ma", "scale": "log"}],
        "aims": [{"relations": "trends", "within_share": "25 %"}, {"relations": "ratios", "within": 0.5},
                 {"relations": "orders"}, {"relations": "shares", "within": 0.1}],
    } | changes  # fmt: skip


# ----------------------------------------------------------------------------------------------------- reader


@pytest.mark.parametrize(
    ("data", "place", "sentence"),
    [
        (a_study(titel="x"), "titel", "did you mean title?"),
        (a_study(cells=[]), "cells", "at least 1"),
        (with_cell(measured={}), "cells[0].measured", "at least one quantity"),
        (with_cell(measured={"zone.short_axis": [3, 1]}), "cells[0].measured.zone.short_axis", "zone.short_axis_mm"),
        (with_cell(measured={"zone.volume_ml": [3, -1]}), "cells[0].measured.zone.volume_ml[1]", "0 or more"),
        (with_cell(measured={"zone.volume_ml": [3, 1, 2]}), "cells[0].measured.zone.volume_ml", "at most 2"),
        (with_cell(name="400 mA"), "cells[1].name", "given twice"),
        (with_cell(group="drY"), "cells[0].group", "did you mean dry?"),
        (with_cell(set={"tissues.liver.conductivity": "1 S/m"}), "cells[0].set", "belongs into its case"),
        (with_cell(set={"boiling": {"enabled": False}}), "cells[0].set", "belongs into its case"),
        (a_study(groups={"dry": {"zone.criterion": "isotherm_50"}}), "groups.dry", "belongs into its case"),
        (a_study(case=a_study()["case"] | {"name": "x"}), "case.name", "leave it out"),
        (a_study(aims=[{"quantity": "zone.volume_ml", "within": 1}]), "aims[0].quantity", "measured in no cell"),
        (a_study(aims=[{"quantity": "zone.short_axis_mm"}]), "aims[0].within", "within_share"),
        (a_study(aims=[{"within": 3}]), "aims[0]", "give one of them"),
        (a_study(aims=[{"optimum": "power_w", "within": 3}]), "aims[0].optimum", "no optimum"),
        (
            a_study(optima=[{"name": "b", "group": "dry", "of": "zone.volume_ml", "over": "current_ma"}]),
            "optima[0].of",
            "needs two or more",
        ),
        (with_cell(set={"body_temperature": "20 degC"}), "cells[0].set", "belongs into its case"),
        (a_study(groups={"dry": {"blood.temperature": "20 degC"}}), "groups.dry", "belongs into its case"),
        (with_cell(measured={"vessels.0.flow": [3, 1]}), "cells[0].measured.vessels.0.flow", "is no quantity"),
        (a_study(aims=[{"relations": "ratios", "within": 3}]), "aims[0].relations", "has no ratios"),
        (related(aims=[{"relations": "orders", "within": 3}]), "aims[0]", "holds or not"),
        (
            related(ratios=[{"name": "r", "of": "zone.volume_ml", "cells": ["50 mA", "300 mA"], "measured": [2]}]),
            "ratios[0]",
            "500 mA",
        ),
        (
            related(trends=[{"name": "t", "of": "zone.volume_ml", "over": "power_w", "measured": [2]}]),
            "trends[0].over",
            "two or more",
        ),
        (
            related(orders=[{"name": "o", "of": "zone.volume", "cells": ["500 mA", "300 mA"]}]),
            "orders[0].of",
            "zone.volume_ml",
        ),
        (related(curves=[{"of": "zone.volume_ml", "over": "power_w"}]), "curves[0].over", "no cell has 'power_w'"),
    ],
)
def test_reader_says_where_a_study_is_wrong_and_what_to_do(tmp_path, data, place, sentence):
    with pytest.raises(InputError) as refusal:
        read_study(written(tmp_path, data))
    assert f"{place}: " in str(refusal.value)
    assert sentence in str(refusal.value)


def test_a_cell_that_makes_no_case_is_refused_by_its_name(tmp_path):
    with pytest.raises(InputError, match=r"cell '300 mA': generator.current: '9 pints'"):
        read_study(written(tmp_path, with_cell(set={"generator.current": "9 pints"})))


def test_a_cell_changes_its_own_case_only(tmp_path):
    study = read_study(written(tmp_path, with_cell(set={"electrodes[0].active_length": "15 mm"})))
    lengths = [study.case_of(cell).electrodes[0].active_length for cell in study.cells]
    assert lengths == pytest.approx([0.015, 0.02, 0.02])


def test_a_group_may_be_warm_and_a_quick_selection_short(tmp_path):
    warm = a_study(groups={"dry": {"body_temperature": "20 degC"}}, shortened={"generator.duration": "1 s"})
    study = read_study(written(tmp_path, warm))
    assert study.case_of(study.cells[0]).body_temperature == pytest.approx(20)
    durations = [study.case_of(study.cells[0], quick).generator.duration for quick in (False, True)]
    assert durations == pytest.approx([5, 1])


def test_an_unknown_study_is_bad_input_with_the_nearest_name(capsys):
    assert cli.main(["validate", "rempp_2041"]) == cli.BAD_INPUT
    assert "rempp_2014" in capsys.readouterr().err


@pytest.mark.parametrize("path", find_studies(), ids=lambda path: path.stem)
def test_shipped_studies_use_one_set_of_properties_and_say_what_they_assume(path):
    study = read_study(path)
    cases = [study.case_of(cell) for cell in study.cells]
    assert len({case.background for case in cases}) == 1
    assert all(case.tissues == cases[0].tissues and case.boiling == cases[0].boiling for case in cases)
    assert study.assumed
    assert study.remarks
    assert study.aims
    # only what is not round takes the minutes of three dimensions
    assert all(case.domain.axisymmetric or case.vessels or hasattr(case.electrodes[0], "tines") for case in cases)


def test_all_shipped_studies_are_found():
    assert {path.stem for path in find_studies()} == {path.stem for path in STUDIES.glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "label", "unit"),
    [("zone.volume_ml", "volume", "ml"), ("current_ma", "current", "mA"), ("run.simulated_s", "duration", "s"),
     ("roll_offs", "roll offs", ""), ("vessels.1.heat_removed_j", "vessel 1: heat carried away", "J"),
     ("portal_flow_ml_min_100g", "portal flow", "mL/min/100 g"), ("flow_ml_min", "flow", "mL/min")],
)  # fmt: skip
def test_names_give_label_and_unit(name, label, unit):
    assert (label_of(name), unit_of(name)) == (label, unit)


@pytest.mark.parametrize("name", ["vessels.heat_removed_j", "vessels.x.heat_removed_j", "vessels.0", "zone", ""])
def test_what_names_no_vessel_is_no_quantity(name):
    assert not is_quantity(name)


def test_a_number_of_a_vessel_is_looked_up_by_its_position():
    summary = {"vessels": [{"heat_removed_j": 1.0}, {"heat_removed_j": 2.0}]}
    assert lookup(summary, "vessels.1.heat_removed_j") == 2.0
    assert lookup(summary, "vessels.2.heat_removed_j") is None
    assert lookup({"vessels": None}, "vessels.0.heat_removed_j") is None


# -------------------------------------------------------------------------------------------------- statistics


def rows(*triples: tuple[float, float | None, float | None]) -> list[Comparison]:
    return [Comparison("zone.volume_ml", measured, sd, predicted) for measured, sd, predicted in triples]


def test_totals_of_four_cells_by_hand():
    # errors +1, -3, +0.5 and none; in SD +1, -1.5, unknown and none
    found = total("zone.volume_ml", rows((10, 1, 11), (20, 2, 17), (5, None, 5.5), (8, 1, None)))
    assert (found.count, found.missing) == (4, 1)
    assert found.within_1_sd == pytest.approx(1 / 3)
    assert found.within_2_sd == pytest.approx(2 / 3)
    assert found.mean_error == pytest.approx(1.5)
    assert found.bias == pytest.approx(-0.5)
    assert found.mean_relative_error == pytest.approx((0.1 + 0.15 + 0.1) / 3)


def test_totals_of_nothing_are_none_and_not_zero():
    found = total("zone.volume_ml", rows((8, None, None)))
    assert found.within_1_sd is found.mean_error is found.bias is found.mean_relative_error is None


@pytest.mark.parametrize(
    ("aim", "near"),
    [(Aim(quantity="zone.volume_ml", within=3), 3), (Aim(quantity="zone.volume_ml", within=1), 2),
     (Aim(quantity="zone.volume_ml", within_share=0.1), 2)],
)  # fmt: skip
def test_an_aim_counts_what_is_near_and_a_missing_prediction_is_not(aim, near):
    study = Study.model_validate(a_study())
    outcomes = [
        compare(cell.model_copy(update={"measured": {"zone.volume_ml": (measured, 1.0)}}), summary)
        for cell, measured, summary in zip(
            [*study.cells, study.cells[0]],
            (10.0, 20.0, 5.0, 8.0),
            ({"zone": {"volume_ml": 11.0}}, {"zone": {"volume_ml": 17.0}}, {"zone": {"volume_ml": 5.5}}, {}),
            strict=True,
        )
    ]
    verdict = judge(aim, outcomes, [])
    assert (verdict.near, verdict.count) == (near, 4)
    assert not verdict.met


def test_an_aim_is_met_at_exactly_its_share():
    study = Study.model_validate(a_study())
    summaries = [{"zone": {"short_axis_mm": value}} for value in (3.0, 30.0, 30.0)]
    outcomes = [compare(cell, summary) for cell, summary in zip(study.cells, summaries, strict=True)]
    assert judge(Aim(quantity="zone.short_axis_mm", within=3, share=1 / 3), outcomes, []).met
    assert not judge(Aim(quantity="zone.short_axis_mm", within=3, share=0.34), outcomes, []).met


def score_of(*shorts: float | None) -> Score:
    """The made-up study with these short axes predicted; None: the run failed."""
    study = Study.model_validate(a_study() | {"name": "made_up"})
    outcomes = tuple(
        failed(cell, "it broke") if short is None else compare(cell, {"zone": {"short_axis_mm": short}})
        for cell, short in zip(study.cells, shorts, strict=False)
    )
    return Score(study, outcomes, 1.0)


def test_optimum_is_the_current_of_the_largest_zone():
    (peak,) = score_of(5.0, 8.0, 8.5).peaks
    assert (peak.measured, peak.predicted, peak.error) == (400, 500, 100)


def test_optimum_cannot_be_told_when_a_cell_of_it_failed():
    (peak,) = score_of(5.0, None, 8.5).peaks
    assert peak.predicted is None


def test_a_quick_selection_judges_no_aim():
    score = score_of(5.0)
    assert (score.verdicts, score.peaks) == ([], [])
    assert "quick" in next(report.aim_lines(score))


def relations_of(*shorts: float | None) -> Score:
    """The made-up study of relations with these short axes predicted."""
    study = Study.model_validate(related(name="made_up"))
    outcomes = tuple(
        failed(cell, "it broke") if short is None else compare(cell, {"zone": {"short_axis_mm": short}})
        for cell, short in zip(study.cells, shorts, strict=False)
    )
    return Score(study, outcomes, 1.0)


def test_slope_ratio_order_and_share_by_hand():
    score = relations_of(2.0, 5.0, 6.0)  # at 300, 400 and 500 mA
    found = {each.kind: each.row.predicted for each in score.related}
    assert found == pytest.approx({"trends": 0.02, "ratios": 3.0, "orders": 2.0, "shares": 0.75})
    assert [verdict.met for verdict in score.verdicts] == [True, False, True, False]
    assert [each.unit for each in score.related] == ["mm per mA", "", "steps", ""]
    assert score.related[1].detail == "6 / 2 mm"


def test_an_order_counts_the_steps_that_go_down_and_its_margin():
    assert relations_of(2.0, 7.0, 6.0).related[2].row.predicted == 1
    assert relations_of(2.0, 2.0, 6.0).related[2].row.predicted == 1  # equal is not down
    study = related(orders=[{"name": "o", "of": "zone.volume_ml", "by": "50 %", "cells": ["500 mA", "300 mA"]}])
    (order,) = Study.model_validate(study).orders
    assert [order.predict([], values) for values in ((2.9, 2.0), (3.1, 2.0))] == [0, 1]


def test_relations_cannot_be_told_without_an_effect_or_with_a_cell_missing():
    assert [each.row.predicted for each in relations_of(0.0, 5.0, 0.0).related] == [0.0, None, 1.0, None]
    score = relations_of(2.0, None, 6.0)
    assert [each.row.predicted for each in score.related] == [None, 3.0, None, None]
    assert not score.verdicts[2].met


@pytest.mark.parametrize("broken", [None, "none", True, float("nan"), float("inf"), {}])
def test_what_is_no_number_in_a_summary_is_nothing(broken):
    assert lookup({"zone": {"volume_ml": broken}}, "zone.volume_ml") is None


# -------------------------------------------------------------------------------------------------- end to end


def test_quantities_are_all_in_a_summary(tmp_path):
    study = read_study(written(tmp_path, a_study()))
    summary = simulate_summary(study.case_of(study.cells[0]))
    missing = [name for name in QUANTITIES if lookup(summary, name) is None]
    assert missing == ["electrical.roll_off_time_s"]  # no roll-off in 5 s
    assert lookup(summary, "run.simulated_s") == pytest.approx(5.0)


def test_simulate_summary_is_what_a_result_folder_holds(tmp_path):
    study = read_study(written(tmp_path, a_study()))
    case = study.case_of(study.cells[2])
    (tmp_path / "case.yaml").write_text(dump_yaml({**a_study()["case"], "name": case.name}), encoding="utf-8")
    change = ["--set", "generator.current=500 mA"]
    folder = tmp_path / "out"
    code = cli.main(["run", str(tmp_path / "case.yaml"), *change, "--out", str(folder), "--quiet", "--no-pictures"])
    assert code == cli.DONE
    stored = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found = simulate_summary(case)
    assert {key: found[key] for key in ("electrical", "zone", "energy")} == {
        key: stored[key] for key in ("electrical", "zone", "energy")
    }
    assert found["thermal"] == stored["thermal"]


def test_command_prints_and_writes_all_cells(tmp_path, capsys):
    path = written(tmp_path, a_study())
    assert cli.main(["validate", str(path), "--out", str(tmp_path / "pages")]) == cli.DONE
    printed = capsys.readouterr()
    assert "MISSED: optimum current within 50 mA" in printed.out
    assert "made_up: cell 3 of 3, 500 mA" in printed.err
    stored = json.loads((tmp_path / "pages/made_up.json").read_text(encoding="utf-8"))
    shorts = [cell["compared"][0]["predicted"] for cell in stored["cells"]]
    assert shorts == sorted(shorts)  # more current in the same time, no roll-off: a wider zone
    assert stored["optima"][0]["predicted"] == 500
    page = (tmp_path / "pages/made_up.md").read_text(encoding="utf-8")
    assert page.index("it is made up") < page.index("## Cells")  # what is missed comes first
    assert (tmp_path / "pages/made_up.png").read_bytes().startswith(b"\x89PNG")


def test_relations_and_curves_are_printed_and_drawn(tmp_path, capsys):
    path = written(tmp_path, related())
    assert cli.main(["validate", str(path), "--out", str(tmp_path / "pages")]) == cli.DONE
    printed = capsys.readouterr().out
    assert "met: orders as measured in at least 100 % of them; it is in 1 of 1" in printed
    stored = json.loads((tmp_path / "pages/made_up.json").read_text(encoding="utf-8"))
    assert [each["kind"] for each in stored["relations"]] == ["trends", "ratios", "orders", "shares"]
    page = (tmp_path / "pages/made_up.md").read_text(encoding="utf-8")
    assert "| slope | 0.02 ± 0.01 mm per mA |" in page
    assert "| 400 mA | 5.00 |" in page
    assert "## Totals" not in page  # nothing is measured cell by cell
    assert (tmp_path / "pages/made_up.png").read_bytes().startswith(b"\x89PNG")


def test_shortened_runs_say_so_and_judge_nothing(tmp_path, capsys):
    path = written(tmp_path, a_study(shortened={"generator.duration": "1 s"}))
    assert cli.main(["validate", str(path), "--quick"]) == cli.DONE
    printed = capsys.readouterr().out
    assert "these numbers are no predictions: generator.duration = 1 s" in printed
    assert "far" not in printed


def test_two_processes_give_the_numbers_of_one(tmp_path):
    study = read_study(written(tmp_path, a_study()))
    seen: list[str] = []
    alone = validate.run_study(study)
    shared = validate.run_study(study, processes=2, watch=lambda number, count, cell: seen.append(cell.name))
    assert seen == ["300 mA", "400 mA", "500 mA"]
    for one, two in zip(alone.outcomes, shared.outcomes, strict=True):
        assert one.comparisons == two.comparisons
        assert one.summary is not None
        assert two.summary is not None
        assert all(one.summary[key] == two.summary[key] for key in ("electrical", "zone", "energy", "thermal"))


def test_a_refusal_passes_between_processes(tmp_path):
    study = read_study(written(tmp_path, with_cell(set={"mesh": {"file": "absent.msh"}})))
    with pytest.raises(InputError, match=r"cell '300 mA': .*absent\.msh"):
        validate.run_study(study, processes=2)


@pytest.mark.parametrize(("count", "cores", "processes"), [(3, 16.0, 1), (9, 2.0, 2), (9, 0.5, 1), (20, 64.0, 8)])
def test_few_cells_start_no_process_and_many_use_the_cores_there_are(monkeypatch, count, cores, processes):
    monkeypatch.setattr("rfasim.doctor.usable_cores", lambda: cores)
    assert validate.processes_for(count) == processes


def test_the_study_in_the_documents_runs(tmp_path, capsys):
    page = (Path(__file__).parent.parent / "docs/validation.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    path = tmp_path / "my_study.yaml"
    path.write_text(block, encoding="utf-8")
    assert len(read_study(path).cells) == 2
    assert cli.main(["validate", str(path), "--quick"]) == cli.DONE
    assert "1 cell in" in capsys.readouterr().out


def test_json_holds_errors_in_units_and_in_deviations(tmp_path, capsys):
    assert cli.main(["validate", str(written(tmp_path, a_study())), "--quick", "--json"]) == cli.DONE
    (study,) = json.loads(capsys.readouterr().out)["studies"]
    row, duration = study["cells"][0]["compared"]
    assert row["error"] == pytest.approx(row["predicted"] - 3.0)
    assert row["error_in_sd"] == pytest.approx(row["error"])
    assert (duration["error_in_sd"], duration["unit"]) == (None, "s")
    assert study["complete"] is False


def test_a_run_that_fails_is_shown_and_exit_is_1(tmp_path, capsys, monkeypatch):
    def breaks(case: Any, base: Any) -> dict[str, Any]:
        if "400" in case.name:
            raise RunError("the time step fell")
        return {"zone": {"short_axis_mm": 3.0}}

    monkeypatch.setattr(validate, "simulate_summary", breaks)
    assert cli.main(["validate", str(written(tmp_path, a_study()))]) == cli.FAILED
    printed = capsys.readouterr().out
    assert "Failed: 400 mA: the time step fell" in printed
    assert "MISSING" in printed
