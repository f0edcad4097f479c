"""Cell-death models: exact times at constant temperature, exact doses of ramps, criteria, checkpoints."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from rfasim import damage as models
from rfasim.damage import CRITERIA, DEFAULT_CRITERION, MODELS, Arrhenius, Damage, arrhenius_rate

# seconds to Omega = 1 (three-state: to D = 0.8) at 43, 45, 50, 55, 60, 70 degC, from the formulas, three
# digits
TIMES = {
    "arrhenius_coagulation": (1.02e4, 5.25e3, 1040, 216, 47.1, 2.56),
    "arrhenius_cell_death": (510, 276, 61.1, 14.2, 3.43, 0.23),
    "three_state": (2351, 2062, 1546, 1203, 960, 642),
}
TEMPERATURES = (43.0, 45.0, 50.0, 55.0, 60.0, 70.0)


def hold(temperature: float, seconds: float, steps: int = 1) -> Damage:
    damage = Damage.start(1)
    for _ in range(steps):
        damage.advance([temperature], [temperature], seconds / steps)
    return damage


@pytest.mark.parametrize("name", TIMES)
def test_time_to_death_at_constant_temperature_is_the_published_one(name: str) -> None:
    for temperature, seconds in zip(TEMPERATURES, TIMES[name], strict=True):
        rounding = 0.02 if seconds < 1 else 0.006
        assert hold(temperature, seconds * (1 + rounding), 20).measure(name)[0] > 0, temperature
        assert hold(temperature, seconds * (1 - rounding), 20).measure(name)[0] < 0, temperature


def test_cem43_at_constant_temperature_is_exact() -> None:
    for temperature, minutes in (
        (43.0, 240.0),
        (45.0, 60.0),
        (50.0, 240 / 2**7),
        (42.0, 960.0),
        (41.0, 3840.0),
    ):
        damage = hold(temperature, 60 * minutes)
        assert damage.cem43[0] == pytest.approx(240.0, rel=1e-12)
        assert damage.measure("cem43")[0] == pytest.approx(0.0, abs=1e-12)


def test_isothermal_arrhenius_does_not_depend_on_the_steps() -> None:
    for name in ("arrhenius_coagulation", "arrhenius_cell_death"):
        one, many = hold(57.0, 60.0), hold(57.0, 60.0, 97)
        exact = 60.0 * arrhenius_rate(57.0, name)
        assert one.values()[name][0] == pytest.approx(exact, rel=1e-13)
        assert many.values()[name][0] == pytest.approx(exact, rel=1e-12)


def test_the_two_liver_sets_differ_as_stated() -> None:
    ratio = arrhenius_rate([45.0, 60.0], "arrhenius_cell_death") / arrhenius_rate([45.0, 60.0])
    assert np.all((ratio > 13) & (ratio < 20))
    # body temperature: one set kills untouched tissue within the hour, the default leaves it alone for 20
    # hours
    assert hold(37.0, 3600.0).measure("arrhenius_cell_death")[0] > 0
    assert hold(37.0, 20 * 3600.0).measure(DEFAULT_CRITERION)[0] < 0


def test_the_default_set_is_close_to_the_retrieved_entropy_form() -> None:
    boltzmann, planck, gas = 1.380649e-23, 6.62607015e-34, 8.314462618
    kelvin = np.linspace(43.0, 70.0, 28) + 273.15
    jacques = boltzmann * kelvin / planck * np.exp(553.5 / gas - 2.768e5 / (gas * kelvin))
    assert np.abs(arrhenius_rate(kelvin - 273.15) / jacques - 1).max() < 0.10


@pytest.mark.parametrize(("start", "end"), [(37.0, 97.0), (90.0, 40.0), (50.0, 50.001), (30.0, 43.0)])
def test_a_step_with_changing_temperature_adds_the_logarithmic_mean_rate(start: float, end: float) -> None:
    damage = Damage.start(1)
    damage.advance([start], [end], 3.0)
    for name in ("arrhenius_coagulation", "arrhenius_cell_death"):
        model = MODELS[name]
        assert isinstance(model, Arrhenius)
        log_rates = np.log(model.rate([start, end]))
        exact, _ = quad(lambda s, r=log_rates: np.exp(r[0] + s * (r[1] - r[0])), 0.0, 1.0, epsrel=1e-13)
        assert damage.values()[name][0] == pytest.approx(3.0 * exact, rel=1e-11)


@pytest.mark.parametrize(
    ("start", "end"), [(37.0, 60.0), (46.0, 40.0), (43.0, 50.0), (39.0, 43.0), (42.9999, 43.0001)]
)
def test_cem43_of_a_linear_ramp_is_exact_across_the_bend_at_43_degrees(start: float, end: float) -> None:
    def rate(s: float) -> float:
        temperature = start + s * (end - start)
        return float((0.25 if temperature < 43 else 0.5) ** (43 - temperature))

    bend = (43 - start) / (end - start)
    pieces = sorted({0.0, min(max(bend, 0.0), 1.0), 1.0})
    exact = sum(quad(rate, a, b, epsrel=1e-13)[0] for a, b in pairwise(pieces))
    damage = Damage.start(1)
    damage.advance([start], [end], 60.0)
    assert damage.cem43[0] == pytest.approx(exact, rel=1e-10)


def test_a_heating_ramp_converges_with_second_order() -> None:
    exact, _ = quad(lambda t: float(arrhenius_rate(37.0 + t)), 0.0, 30.0, epsrel=1e-12)
    errors = []
    for steps in (10, 20, 40):
        damage, dt = Damage.start(1), 30.0 / steps
        for i in range(steps):
            damage.advance([37.0 + i * dt], [37.0 + (i + 1) * dt], dt)
        errors.append(abs(damage.arrhenius_coagulation[0] / exact - 1))
    assert errors[0] < 2e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.05)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("path", [(37.0, 95.0), (95.0, 45.0), (37.0, 200.0), (70.0, 70.0)])
def test_three_state_follows_the_differential_equation_and_stays_within_bounds(
    path: tuple[float, float],
) -> None:
    def right_hand_side(t: float, y: np.ndarray) -> list[float]:
        temperature = path[0] + (path[1] - path[0]) * t / 120.0
        kf = 3.33e-3 * np.exp(temperature / 40.5) * (1 - y[0])
        vulnerable = 1 - y[0] - y[1]
        return [-kf * y[0] + 7.77e-3 * vulnerable, kf * vulnerable]

    reference = solve_ivp(right_hand_side, (0.0, 120.0), [0.99, 0.0], rtol=1e-10, atol=1e-13).y[:, -1]
    damage = Damage.start(1)
    before = 0.0
    for i in range(12):
        edges = [path[0] + (path[1] - path[0]) * j / 12 for j in (i, i + 1)]
        damage.advance(edges[:1], edges[1:], 10.0)
        assert 0.0 <= damage.alive[0] <= 1.0
        assert before <= damage.dead[0] <= 1.0
        before = damage.dead[0]
    assert damage.alive[0] == pytest.approx(reference[0], abs=2e-6)
    assert damage.dead[0] == pytest.approx(reference[1], abs=2e-6)


def test_isotherms_remember_the_highest_temperature() -> None:
    damage = Damage.start(3)
    damage.advance([37, 37, 37], [49.9, 50.0, 61.0], 1.0)
    damage.advance([49.9, 50.0, 61.0], [40.0, 40.0, 40.0], 1.0)
    assert (damage.measure("isotherm_50") >= 0).tolist() == [False, True, True]
    assert (damage.measure("isotherm_54") >= 0).tolist() == [False, False, True]
    assert (damage.measure("isotherm_60") >= 0).tolist() == [False, False, True]
    assert damage.max_temperature.tolist() == [49.9, 50.0, 61.0]


def test_untouched_tissue_is_alive_by_every_criterion_and_every_field_is_finite() -> None:
    damage = Damage.start(4)
    for name in CRITERIA:
        field = damage.measure(name)
        assert field.shape == (4,)
        assert np.isfinite(field).all()
        assert (field < 0).all()


def test_log_dose_is_nearly_linear_in_temperature_so_that_interpolation_finds_the_threshold() -> None:
    # a cell that spans 10 K, its middle exactly at the threshold: the edge is found within 1 % of the cell
    damage = Damage.start(3)
    temperatures = np.array([60.0, 55.0, 50.0])
    damage.advance(temperatures, temperatures, 1 / arrhenius_rate(55.0))
    f = damage.measure(DEFAULT_CRITERION)
    crossing = f[0] / (f[0] - f[2])
    assert crossing == pytest.approx(0.5, abs=0.01)


def test_predicting_omega_is_what_advance_does_and_changes_nothing() -> None:
    damage = hold(50.0, 30.0)
    before = {name: array.copy() for name, array in damage.state().items()}
    for name in ("arrhenius_coagulation", "arrhenius_cell_death"):
        predicted = damage.predict_omega(name, [50.0], [58.0], 4.0)
        after = damage.copy()
        after.advance([50.0], [58.0], 4.0)
        assert predicted[0] == pytest.approx(after.values()[name][0], rel=1e-14)
    assert all(np.array_equal(before[name], array) for name, array in damage.state().items())


def test_a_checkpoint_continues_to_the_same_bits() -> None:
    rng = np.random.default_rng(3)
    temperatures = 37 + 60 * rng.random((4, 130))
    damage = Damage.start(130)
    damage.advance(temperatures[0], temperatures[1], 5.0)
    restored = Damage.from_state({name: array.copy() for name, array in damage.state().items()})
    for run in (damage, restored):
        run.advance(temperatures[1], temperatures[2], 7.0)
        run.advance(temperatures[2], temperatures[3], 1.0)
    for name, array in damage.state().items():
        assert np.array_equal(array, restored.state()[name]), name


def test_nodes_do_not_influence_one_another_beyond_the_substep_of_their_block() -> None:
    cool = Damage.start(100)
    mixed = Damage.start(100)
    temperatures = np.full(100, 45.0)
    cool.advance(temperatures, temperatures, 20.0)
    hot = temperatures.copy()
    hot[7] = 180.0
    mixed.advance(hot, hot, 20.0)
    others = np.arange(100) != 7
    assert np.array_equal(cool.cem43[others], mixed.cem43[others])
    assert np.allclose(cool.dead[others], mixed.dead[others], rtol=1e-6, atol=0)
    assert mixed.dead[7] > 0.3


def test_a_broken_temperature_stays_visible() -> None:
    damage = Damage.start(2)
    damage.advance([37.0, 37.0], [37.0, np.nan], 1.0)
    for name in CRITERIA:
        field = damage.measure(name)
        assert np.isfinite(field[0]), name
        assert np.isnan(field[1]), name


def test_wrong_use_is_refused_with_the_reason() -> None:
    damage = Damage.start(2)
    with pytest.raises(ValueError, match="one temperature for each of the 2 nodes"):
        damage.advance([37.0], [37.0], 1.0)
    with pytest.raises(ValueError, match="zero seconds or more"):
        damage.advance([37.0, 37.0], [37.0, 37.0], -1.0)
    with pytest.raises(ValueError, match=r"isotherm_50.*isotherm_60"):
        damage.measure("isotherm_55")
    with pytest.raises(ValueError, match="no Arrhenius set"):
        damage.predict_omega("cem43", [37.0, 37.0], [37.0, 37.0], 1.0)
    state = damage.state()
    with pytest.raises(ValueError, match="lacks cem43"):
        Damage.from_state({name: array for name, array in state.items() if name != "cem43"})
    with pytest.raises(ValueError, match="different lengths"):
        Damage.from_state({**state, "cem43": np.zeros(3)})


def test_every_model_states_its_source_and_the_default_is_one_of_them() -> None:
    assert DEFAULT_CRITERION in CRITERIA
    assert all(len(model.source) > 20 for model in MODELS.values())
    assert models.__doc__
