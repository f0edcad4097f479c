"""Saline: what a case may say of it, and what it does to a run: books, current, roll-off, uptake, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim.case import Case, case_from_dict
from rfasim.checkpoint import read_checkpoint, write_checkpoint
from rfasim.domain import build_domain
from rfasim.errors import InputError
from rfasim.frame import Frame
from rfasim.saline import SalineModel
from rfasim.simulation import Simulation
from rfasim.solver.space import Array

ML = 1e-6
WET = {"device": "wet_needle", "active_length": 0.02, "diameter": 1.5e-3, "tip": (0, 0, -0.01)}
INFUSION = {"rate": ML / 60, "concentration": 50.0, "before": 30.0}
BOLUS = {"at": (0.0, 0.0, 0.0), "volume": 2 * ML, "concentration": 100.0, "before": 40.0, "duration": 20.0}


def _case(saline: dict[str, Any] | None = None, *, power: float = 20.0, duration: float = 40.0, **changes: Any) -> Case:
    """A coarse run of a wet needle in the half plane."""
    return case_from_dict(
        {
            "name": "test", "electrodes": [WET], "saline": saline or {},
            "generator": {"protocol": "constant_power", "power": power, "duration": duration},
            "domain": {"radius": 0.04, "height": 0.08, "axisymmetric": True},
            "mesh": {"size": 4e-4, "grow": 0.4, "zone_size": 2e-3}, "output": {"frames_every": 20.0}, **changes,
        }
    )  # fmt: skip


def _last(case: Case) -> tuple[Simulation, Frame]:
    simulation = Simulation(case)
    *_, frame = simulation.frames()
    return simulation, frame


def _rows(simulation: Simulation) -> dict[str, Any]:
    assert simulation.wetting is not None
    assert simulation.state.pores is not None
    return simulation.wetting.model.rows(simulation.state.pores)


# --------------------------------------------------------------------------------------------------------- cases


@pytest.mark.parametrize(
    ("saline", "path", "words"),
    [
        ({"infusions": [{"rate": "1 ml", "concentration": "5 %"}]}, "infusions[0].rate", "ml/min"),
        ({"infusions": [{"rate": "1 ml/min", "concentration": "5 mol"}]}, "infusions[0].concentration", "%"),
        ({"infusions": [{"rate": "1 ml/min", "concentration": "140 %"}]}, "infusions[0].concentration", "at most"),
        ({"infusions": [{"rate": "1 ml/min", "electrode": 3}]}, "infusions[0].electrode", "no electrodes[3]"),
        ({"infusions": [{"rate": "1 ml/min", "outlets": ["outlet_99"]}]}, "infusions[0].outlets", "outlet_8"),
        ({"infusions": [{"rate": "1 ml/min", "before": "1 min", "start": "1 s"}]}, "infusions[0].before", "start"),
        ({"infusions": [{"rate": "1 ml/min", "start": "9 s", "stop": "4 s"}]}, "infusions[0].stop", "not after"),
        ({"boluses": [{"at": ["0 mm", "0 mm", "70 mm"], "volume": "5 ml"}]}, "boluses[0].at", "outside the domain"),
        ({"boluses": [{"at": ["5 mm", "0 mm", "0 mm"], "volume": "5 ml"}]}, "boluses[0].at", "axisymmetric: false"),
        ({"boluses": [{"at": ["0 mm", "0 mm", "0 mm"], "volume": "5 ml", "before": "9 s"}]},
         "boluses[0].duration", "longer than before"),
        ({"bolus": []}, "bolus", "boluses"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path(saline: dict[str, Any], path: str, words: str) -> None:
    data = {
        "name": "test", "electrodes": [{"device": "wet_needle", "tip": ["0 mm", "0 mm", "-12 mm"]}],
        "generator": {"protocol": "constant_power", "power": "20 W"}, "domain": {"axisymmetric": True},
        "saline": saline,
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        case_from_dict(data, from_file=True)
    assert f"saline.{path}: " in str(caught.value)
    assert words in str(caught.value)


def test_a_needle_without_outlets_infuses_nothing() -> None:
    with pytest.raises(InputError, match=r"saline\.infusions\[0\]\.electrode.*has no outlets"):
        _case({"infusions": [INFUSION]}, electrodes=[{"device": "needle", "tip": (0, 0, -0.01)}])


def test_tissue_without_pores_takes_no_fluid() -> None:
    case = _case({"infusions": [INFUSION]}, tissues={"liver": {"porosity": 0.0}})
    with pytest.raises(InputError, match="no tissue of this case has pores"):
        SalineModel(case, build_domain(case))


def test_a_bolus_far_from_any_pores_is_refused() -> None:
    tissues = {"rim": {"base": "liver", "porosity": 0.0}}
    tumour = {"shape": "ball", "centre": (0, 0, 0), "diameter": 0.03, "tissue": "rim"}
    case = _case({"boluses": [BOLUS]}, tissues=tissues, tumour=tumour)
    with pytest.raises(InputError, match=r"saline\.boluses\[0\]\.at.*mm from the nearest tissue with pores"):
        SalineModel(case, build_domain(case))


def test_units_and_per_cent_are_those_of_the_bottle() -> None:
    infusions = [{"rate": "60 ml/h", "concentration": "0.9 %", "temperature": "4 degC"}]
    data = {
        "name": "test", "electrodes": [{"device": "wet_needle", "tip": ["0 mm", "0 mm", "-12 mm"]}],
        "generator": {"protocol": "constant_power", "power": "20 W"}, "saline": {"infusions": infusions},
    }  # fmt: skip
    (infusion,) = case_from_dict(data, from_file=True).saline.infusions
    assert infusion.rate == pytest.approx(ML / 60)
    assert (infusion.concentration, infusion.temperature) == (pytest.approx(9.0), 4.0)


# ---------------------------------------------------------------------------------------------------------- runs


def test_salt_and_energy_are_accounted_for_and_the_current_finds_its_way() -> None:
    dry, before = _last(_case())
    wet, after = _last(_case({"infusions": [INFUSION], "boluses": [BOLUS]}))
    rows = _rows(wet)
    assert rows["injected_ml"] == pytest.approx(2 + 70 / 60, rel=1e-12)
    assert rows["injected_salt_g"] == pytest.approx(0.2 + 70 / 60 * 0.05, rel=1e-12)
    where = rows["salt_in_tissue_g"] + rows["salt_taken_up_g"] + rows["salt_left_g"]
    assert where == pytest.approx(rows["injected_salt_g"], rel=1e-9)
    assert abs(rows["salt_imbalance_fraction"]) < 1e-9
    assert rows["salt_taken_up_g"] > 0
    assert abs(after.energy["imbalance"]) <= 1e-6 * after.energy["electrical"]
    assert after.energy["saline"] > 0  # cold fluid takes heat
    assert abs(after.impedance) < 0.7 * abs(before.impedance)
    assert dry.wetting is None
    # nowhere stronger than what was injected, nowhere weaker than tissue
    assert after.concentration is not None
    assert after.concentration.min() >= 9.0 * (1 - 1e-9)
    assert after.concentration.max() <= 100.0 * (1 + 1e-9)


def test_roll_off_is_delayed_by_saline() -> None:
    def roll_off(saline: dict[str, Any] | None) -> float:
        simulation, frame = _last(_case(saline, power=40.0, duration=60.0))
        return frame.time if simulation.state.memory.roll_offs else np.inf

    dry, wet = roll_off(None), roll_off({"infusions": [{**INFUSION, "rate": 2 * ML / 60}]})
    assert dry < 20.0
    assert wet > 2 * dry


def test_nothing_infused_is_a_dry_run_to_the_last_bit() -> None:
    _, dry = _last(_case(duration=10.0))
    _, none = _last(_case({"infusions": [{**INFUSION, "rate": 0.0}]}, duration=10.0))
    assert np.array_equal(dry.temperature, none.temperature)


def test_distilled_water_makes_the_tissue_resist() -> None:
    dry = Simulation(_case())
    water = Simulation(_case({"boluses": [{**BOLUS, "concentration": 0.0}]}))
    isotonic = Simulation(_case({"boluses": [{**BOLUS, "concentration": 9.0}]}))
    ohm = [abs(next(simulation.frames()).impedance) for simulation in (water, dry, isotonic)]
    assert ohm[0] > ohm[2]
    assert ohm[1] > ohm[2]  # wider pores
    assert np.all(np.isfinite(ohm))


def test_steps_land_on_the_pump_and_a_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    infusions = [{"rate": ML / 60, "concentration": 50.0, "start": 7.0, "stop": 19.0, "temperature": 4.0}]
    case = _case({"infusions": infusions, "backflow_gap": 1e-4}, power=30.0, duration=30.0)
    whole = Simulation(case)
    times, saved = [], None
    for frame in whole.frames():
        times.append(frame.time)
        if saved is None and frame.time > 10.0:
            write_checkpoint(tmp_path, 1, whole.save_state())
            saved = frame.time
    assert {7.0, 19.0} <= set(times)
    assert _rows(whole)["injected_ml"] == pytest.approx(0.2, rel=1e-12)
    again = Simulation(case)
    found = read_checkpoint(tmp_path)
    assert found is not None
    again.load_state(found[1])
    *_, end = again.frames()
    assert np.array_equal(end.temperature, frame.temperature)
    assert end.energy == frame.energy
    assert _rows(again) == _rows(whole)
    assert end.concentration is not None
    assert frame.concentration is not None
    assert np.array_equal(end.concentration, frame.concentration)


def test_a_clamped_liver_takes_up_no_salt() -> None:
    open_, _ = _last(_case({"infusions": [INFUSION]}, duration=20.0))
    shut, _ = _last(_case({"infusions": [INFUSION]}, duration=20.0, circulation={"pringle": "on"}))
    assert _rows(open_)["salt_taken_up_g"] > 1e-3
    # of what the vessels drain, none; the fluid itself they do
    assert _rows(shut)["salt_taken_up_g"] < 0.2 * _rows(open_)["salt_taken_up_g"]


def _pores(saline: dict[str, Any], **changes: Any) -> tuple[SalineModel, Any]:
    case = _case(saline, **changes)
    model = SalineModel(case, build_domain(case))
    nothing = np.zeros(model.space.n_nodes)
    return model, model.start(nothing, nothing)


def test_a_painted_ball_fills_the_pores_of_a_ball_and_no_more() -> None:
    model, pores = _pores({"boluses": [{**BOLUS, "at": (0.0, 0.0, -0.02), "spread": "ball"}]})
    c = model.concentration(pores)
    radius = (2 * ML / 0.16 / (4 / 3 * np.pi)) ** (1 / 3)
    distance = np.linalg.norm(model.space.points - [0.0, -0.02], axis=1)
    assert c[distance < 0.8 * radius].min() > 80.0
    assert c[distance > 1.3 * radius].max() == pytest.approx(9.0, abs=0.01)
    assert pores.pressure.max() == 0.0
    rows = model.rows(pores)
    # the fluid that was there has left
    assert rows["salt_in_tissue_g"] == pytest.approx(2 * 0.091, rel=1e-6)
    assert abs(rows["salt_imbalance_fraction"]) < 1e-12
    with pytest.raises(InputError, match="more than the domain's pores hold"):
        _pores({"boluses": [{**BOLUS, "volume": 400 * ML, "spread": "ball"}]})


def _along_shaft(model: SalineModel, pores: Any) -> float:
    """Injected salt [g] beside the insulated shaft, more than 5 mm above what conducts."""
    z = model.space.points[:, 1]
    gained: Array = pores.salt - model.pores * 9.0
    return 1e3 * float(gained[z > 0.015].sum())


def test_fluid_runs_back_along_the_shaft_where_there_is_a_gap() -> None:
    saline = {"infusions": [{**INFUSION, "rate": 2 * ML / 60, "before": 60.0}]}
    sealed, gap = (_pores({**saline, "backflow_gap": width}) for width in (0.0, 2e-4))
    assert _along_shaft(*gap) > 1.5 * _along_shaft(*sealed)
    assert gap[1].highest < sealed[1].highest


def test_coarse_edges_at_an_outlet_suck_no_node_empty() -> None:
    """Obtuse angles make the pressure beside an outlet fall below that of the tissue."""
    sparse = {"muscle": {"porosity": 0.05}}
    mesh = {"size": 1.4e-3, "rim_size": 7e-4, "zone_size": 8e-3, "max_size": 1.5e-2, "grow": 0.8}
    shape = {"electrodes": [{**WET, "outlets_per_row": 4}], "domain": {"radius": 0.04, "height": 0.08}, "mesh": mesh}
    saline = {"infusions": [{**INFUSION, "rate": ML / 30, "before": 20.0}]}
    case = _case(saline, background="muscle", tissues=sparse, **shape)
    model = SalineModel(case, build_domain(case))
    nothing = np.zeros(model.space.n_nodes)
    pores = model.start(nothing, nothing)
    assert (model.pores + pores.swelling)[model.wet].min() > 0.0
    assert abs(model.imbalance(pores)) < 1e-9


def test_a_sealed_domain_keeps_all_salt() -> None:
    saline = {"infusions": [{**INFUSION, "rate": 4 * ML / 60, "before": 120.0}]}
    tight = {
        "domain": {"radius": 0.012, "height": 0.03, "axisymmetric": True},
        "electrodes": [{**WET, "active_length": 0.015}],
    }
    open_, sealed = (_pores({**saline, "boundary": kind}, **tight)[1] for kind in ("open", "sealed"))
    assert open_.left > 0
    assert sealed.left == 0.0


@pytest.mark.parametrize(
    "device",
    [
        WET,
        {"device": "cooled_wet_needle", "active_length": 0.02, "tip": (0, 0, -0.01), "outlet_distance": 2e-3,
         "outlet_rows": 1, "outlets_per_row": 1},
        {"device": "bipolar_wet_needle", "tip": (0, 0, -0.015)},
    ],
    ids=["wet", "beside", "bipolar"],
)  # fmt: skip
def test_perfused_devices_work_in_three_dimensions(device: dict[str, Any]) -> None:
    shape = {"electrodes": [device], "domain": {"radius": 0.03, "height": 0.07},
             "mesh": {"size": 7e-4, "rim_size": 5e-4, "zone_size": 4e-3}}  # fmt: skip
    wet, frame = _last(_case({"infusions": [INFUSION]}, power=10.0, duration=3.0, **shape))
    dry = Simulation(_case(power=10.0, **shape), domain=wet.domain)
    assert abs(frame.impedance) < 0.9 * abs(next(dry.frames()).impedance)
    assert abs(_rows(wet)["salt_imbalance_fraction"]) < 1e-6
    assert abs(frame.energy["imbalance"]) <= 1e-6 * frame.energy["electrical"]


def test_books_are_closed_at_every_step_while_saline_wets_what_has_dried() -> None:
    late = {"rate": 2 * ML / 60, "concentration": 50.0, "start": 4.0}
    simulation = Simulation(
        _case({"infusions": [late]}, power=35.0, duration=20.0, boiling={"returning_fraction": 0.5})
    )
    open_, wetted, gone = 0.0, 0.0, np.zeros(1)
    for frame in simulation.frames():
        open_ = max(open_, abs(frame.energy["imbalance"]))
        wetted, gone = max(wetted, float((gone - simulation.state.gone).max())), simulation.state.gone
    assert wetted > 0.05  # of the water that had left
    assert open_ < 5e-8 * simulation.state.energy["electrical"]


def test_a_run_with_saline_keeps_where_the_salt_is_and_draws_it(tmp_path: Path) -> None:
    from rfasim import cli, plot
    from rfasim.result import Result

    text = """
name: wet
electrodes: [{device: wet_needle, tip: [0 mm, 0 mm, -12 mm]}]
generator: {protocol: constant_power, power: 20 W, duration: 2 s}
saline: {infusions: [{rate: 1 ml/min, concentration: 5 %, before: 20 s}]}
domain: {axisymmetric: true}
mesh: {size: 0.5 mm, zone_size: 3 mm}
"""
    (tmp_path / "case.yaml").write_text(text, encoding="utf-8")
    words = ["run", str(tmp_path / "case.yaml"), "--out", str(tmp_path / "out"), "--quiet", "--no-pictures"]
    assert cli.main(words) == 0
    result = Result.read(tmp_path / "out")
    highest = result.summary["saline"]["highest_pressure_kpa"]
    assert {"concentration_g_l", "pore_pressure_kpa"} <= set(result.field_names)
    assert result.field("concentration_g_l").max() == pytest.approx(50.0, rel=0.02)
    assert result.field("pore_pressure_kpa").max() == pytest.approx(highest, rel=0.01)
    picture = plot.draw_saline(result)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
