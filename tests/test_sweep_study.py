"""Study files: what varies, how runs are drawn, what is refused; sensitivities of functions whose indices are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from rfasim.errors import InputError
from rfasim.mesh_cache import cached_mesh, mesh_key
from rfasim.sweep import bands, load_study, sensitivity
from rfasim.sweep.designs import Morris, Saltelli, Sobol
from rfasim.sweep.expressions import evaluate, filled, names_in
from rfasim.sweep.study import Study, study_from_dict, study_yaml
from rfasim.sweep.variables import Variable
from rfasim.yaml_io import parse_yaml

ROOT = Path(__file__).parents[1]
CASES = ROOT / "cases"
Array = NDArray[np.float64]
POWER = {"path": "generator.power", "low": "20 W", "high": "40 W"}


def study(**parts: Any) -> Study:
    data: dict[str, Any] = {"name": "x", "case": "needle_axisymmetric.yaml", "vary": {"power": POWER}}
    return study_from_dict(data | parts, CASES)


# ---------------------------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * a - 3 / 4", 1 + 2 * 2.5 - 0.75),
        ("-a ** 2", -6.25),
        ("min(a, 2) + max(1, a) + abs(-1) + sqrt(4)", 2 + 2.5 + 1 + 2),
        ("1 if a < 2 else 10", 10.0),
        ("'x' if word == 'big' and a > 1 else 'y'", "x"),
        ("word", "big"),
    ],
)
def test_expressions_are_arithmetic(expression: str, value: float | str) -> None:
    assert evaluate(expression, {"a": 2.5, "word": "big"}) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("b + 1", "'b' is nothing that varies; there are: a, word"),
        ("1 +", "cannot be read as arithmetic"),
        ("a / 0", "cannot be computed"),
        ("10 ** 400", "cannot be computed"),
        ("word + 1", "'word' is a word"),
        ("__import__('os')", "is not allowed"),
        ("a.real", "is not allowed"),
        ("[a][0]", "is not allowed"),
        ("(" * 300 + "1" + ")" * 300, "longer than"),
        ("9 ** 9 ** 9", "cannot be computed"),
        ("sqrt(-1)", "math domain|nonnegative|cannot be computed"),
    ],
)
def test_expressions_are_nothing_but_arithmetic(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        evaluate(expression, {"a": 2.5, "word": "big"})


def test_braces_are_filled_in_nested_data() -> None:
    data = {"p": [["{a / 2 + 1} mm", "0 mm"], 3], "q": "no braces"}
    assert names_in(data) == {"a"}
    assert filled(data, {"a": 3.0}) == {"p": [["2.5 mm", "0 mm"], 3], "q": "no braces"}


# ------------------------------------------------------------------------------------------------- variables


@pytest.mark.parametrize(
    ("given", "law"),
    [
        ({"low": "2 W", "high": "6 W"}, scipy.stats.uniform(2, 4)),
        ({"low": "2 W", "high": "6 W", "distribution": "log_uniform"}, scipy.stats.loguniform(2, 6)),
        ({"mean": "5 W", "sd": "2 W"}, scipy.stats.norm(5, 2)),
        ({"mean": "5 W", "sd": "2 W", "low": "2 W", "high": "6 W"}, scipy.stats.truncnorm(-1.5, 0.5, 5, 2)),
        ({"mean": "5 W", "low": "2 W", "high": "6 W", "distribution": "triangular"}, scipy.stats.triang(0.75, 2, 4)),
    ],
)
def test_quantiles_are_those_of_the_law(given: dict[str, Any], law: Any) -> None:
    variable = Variable(path="generator.power", **given)
    for u in (0.01, 0.2, 0.5, 0.77, 0.99):
        assert variable.quantile(u) == pytest.approx(law.ppf(u), rel=1e-12)


def test_mean_and_sd_of_a_log_normal_are_those_of_the_quantity() -> None:
    variable = Variable(mean=5.0, sd=2.0, distribution="log_normal")
    drawn = [variable.quantile(u) for u in (np.arange(20000) + 0.5) / 20000]
    assert np.mean(drawn) == pytest.approx(5.0, rel=1e-3)
    assert np.std(drawn) == pytest.approx(2.0, rel=5e-3)


def test_lists_and_choices_are_each_as_likely_and_set_what_they_say() -> None:
    words = Variable(path="background", values=("liver", "muscle"))
    assert [words.at(u).changes for u in (0.0, 0.49, 0.5, 1.0)] == [
        [("background", word)] for word in ("liver", "liver", "muscle", "muscle")
    ]
    both = Variable(choices={"a": {"generator.power": "20 W", "background": "liver"}, "b": {"background": "fat"}})
    assert both.at(0.1).shown == "a"
    assert both.at(0.1).changes == [("generator.power", "20 W"), ("background", "liver")]


# --------------------------------------------------------------------------------------------------- designs


def test_a_grid_has_every_combination_with_both_ends() -> None:
    s = study(
        vary={"power": POWER, "clamp": {"path": "circulation.pringle", "values": ["off", "on"]}},
        design={"kind": "grid", "levels": 3},
    )
    shown = [tuple(one.shown for one in s.settings(run).values()) for run in range(s.n_runs)]
    assert shown == [(p, c) for p in (20.0, 30.0, 40.0) for c in ("off", "on")]
    assert s.run_case(5)[1].circulation.pringle


def test_a_latin_hypercube_has_one_run_in_each_slice_and_a_seed_repeats_it() -> None:
    two = {"power": POWER, "time": {"path": "generator.duration", "low": "1 min", "high": "9 min"}}
    one, again, other = (
        study(vary=two, design={"kind": "latin_hypercube", "runs": 20}, seed=seed) for seed in (1, 1, 2)
    )
    assert (np.sort((one.points * 20).astype(int), axis=0) == np.arange(20)[:, None]).all()
    assert (one.points == again.points).all()
    assert (one.points != other.points).any()


def test_correlated_variables_have_the_rank_correlation_of_the_copula() -> None:
    two = {"power": POWER, "time": {"path": "generator.duration", "low": "1 min", "high": "9 min"}}
    s = study(vary=two, design={"kind": "sobol", "runs": 1024}, correlations=[{"of": ["power", "time"], "r": 0.7}])
    found = scipy.stats.spearmanr(s.points).statistic
    assert found == pytest.approx(6 / np.pi * np.arcsin(0.35), abs=0.01)
    for column in s.points.T:  # each is still uniform
        assert scipy.stats.kstest(column, "uniform").statistic < 0.01


def test_a_table_gives_runs_with_units_from_its_heads(tmp_path: Path) -> None:
    (tmp_path / "plan.csv").write_text("power [W],background\n20,liver\n30.5,muscle\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        f"name: t\ncase: {CASES / 'needle_axisymmetric.yaml'}\nvary: {{power: {{path: generator.power}}}}\n"
        "design: {kind: table, file: plan.csv}\n",
        encoding="utf-8",
    )
    s = load_study(tmp_path / "study.yaml")
    assert s.n_runs == 2
    shown, case = s.run_case(1)
    assert shown == {"power": 30.5, "background": "muscle"}
    assert case.generator.power == 30.5
    assert case.background == "muscle"
    assert s.unit("power") == "W"


def test_a_study_reads_back_from_its_own_yaml() -> None:
    for path in sorted((CASES / "studies").glob("*.yaml")):
        if "design" not in path.read_text(encoding="utf-8"):
            continue
        one = load_study(path)
        again = study_from_dict(parse_yaml(study_yaml(one), "study"), Path())
        assert again == one
        assert again.sha256 == one.sha256


def test_positions_are_computed_from_what_varies() -> None:
    s = load_study(CASES / "studies/pringle.yaml")
    for run in (0, s.n_runs - 1):
        shown, case = s.run_case(run)
        wall = case.vessels[0].points[0][0] - case.vessels[0].diameter / 2
        needle = case.electrodes[0].diameter / 2  # type: ignore[union-attr]
        assert 1e3 * (wall - needle) == pytest.approx(shown["distance"])


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"vary": {}}, "vary: names nothing that varies"),
        ({"vary": {"power": {"path": "generator.power"}}}, r"vary\.power: has no range"),
        ({"vary": {"power": POWER | {"high": "10 W"}}}, r"vary\.power\.high: must be more than low, 20 W"),
        ({"vary": {"power": POWER | {"high": "40 V"}}}, r"vary\.power.*give all in one unit"),
        ({"vary": {"power": POWER | {"path": "generator.pouer"}}}, r"vary\.power: generator\.pouer: is no known key"),
        ({"vary": {"power": POWER | {"low": "-5 W"}}}, r"vary\.power: at -5.0 W: generator.*power"),
        ({"vary": {"p": POWER | {"values": ["3 W"]}}}, r"vary\.p: has several of"),
        ({"vary": {"my power": POWER}}, r"vary\.my power: is no name"),
        ({"design": {"kind": "sobol", "runs": 100}}, r"design.*power of two, such as 128"),
        ({"design": {"kind": "sobel", "runs": 100}}, r"design"),
        ({"set": {"probes": "{pover} mm"}}, r"set\.probes: 'pover' is nothing that varies.*power"),
        ({"correlations": [{"of": ["power", "x"], "r": 0.5}]}, r"correlations: cannot be put into a grid"),
        ({"case": "nowhere.yaml"}, r"nowhere\.yaml"),
        ({"design": {"kind": "table", "file": "nowhere.csv"}}, r"design\.file: .*nowhere\.csv cannot be read"),
    ],
)  # fmt: skip
def test_mistakes_in_a_study_get_a_sentence_with_their_path(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        study(**parts).n_runs  # noqa: B018


# ------------------------------------------------------------------------------------------------ mesh cache


def test_what_does_not_change_the_geometry_shares_a_mesh(tmp_path: Path) -> None:
    s = study(set={"mesh.size": "1 mm", "mesh.rim_size": "0.5 mm", "mesh.grow": 1})
    one, other = (s.case_of(s.settings_at([u])) for u in (0.0, 1.0))
    assert one.sha256 != other.sha256
    assert mesh_key(one, s.base) == mesh_key(other, s.base)
    longer = study(vary={"tip": {"path": "electrodes[0].active_length", "low": "20 mm", "high": "30 mm"}})
    assert len({mesh_key(longer.case_of(longer.settings_at([u])), s.base) for u in (0.0, 1.0)}) == 2
    made = cached_mesh(one, s.base, tmp_path)
    from rfasim import mesh_cache

    mesh_cache._memory.clear()
    read = cached_mesh(other, s.base, tmp_path)
    assert (read.points == made.points).all()
    assert (read.cells == made.cells).all()
    assert read.region_names == made.region_names
    assert {name: f.tolist() for name, f in read.facets.items()} == {n: f.tolist() for n, f in made.facets.items()}
    mesh_cache._memory.clear()
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:1000])  # half a file is made again
    assert (cached_mesh(one, s.base, tmp_path).points == made.points).all()


# --------------------------------------------------------------------------------------------- sensitivities


class Box:
    """A study of three numbers without a case."""

    def __init__(self, design: Any) -> None:
        self.design, self.seed, self.correlations = design, 1, ()
        self.vary = {name: Variable(low=0.0, high=1.0) for name in "abc"}
        self.names = list(self.vary)
        self.points = design.points(self.vary, 1)


def ishigami(u: Array) -> Array:
    """Ishigami & Homma 1990 with a = 7 and b = 0.1, on the unit cube."""
    x = (2 * u - 1) * np.pi
    return np.asarray(np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0]))


# exact (Saltelli et al. 2008): variance a^2/8 + b pi^4/5 + b^2 pi^8/18 + 1/2
VARIANCE = 49 / 8 + 0.1 * np.pi**4 / 5 + 0.01 * np.pi**8 / 18 + 0.5
FIRST = np.array([0.5 * (1 + 0.1 * np.pi**4 / 5) ** 2, 49 / 8, 0.0]) / VARIANCE
JOINT = 8 * 0.01 * np.pi**8 / 225 / VARIANCE  # of a with c
TOTAL = FIRST + np.array([JOINT, 0.0, JOINT])


@pytest.mark.parametrize("design", [Saltelli(kind="saltelli", base=1024), Sobol(kind="sobol", runs=128)],
                         ids=["saltelli", "chaos"])  # fmt: skip
def test_sobol_indices_of_a_known_function_lie_in_their_intervals(design: Any) -> None:
    box: Any = Box(design)
    found = sensitivity.sensitivity(box, "y", box.points, ishigami(box.points))
    assert found is not None
    total, first = found.estimates
    assert np.abs(total.values - TOTAL).max() < 0.05
    assert np.abs(first.values - FIRST).max() < 0.05
    assert (np.abs(total.values - TOTAL) < 1.5 * total.half_widths + 0.01).all()
    errors = [np.abs(values - TOTAL).max() for values in found.convergence.values()]
    assert errors[-1] < errors[0]
    if found.fit is not None:
        assert found.fit > 0.95


def test_runs_without_a_number_take_their_block_with_them() -> None:
    box: Any = Box(Saltelli(kind="saltelli", base=256, second_order=True))
    values = ishigami(box.points)
    values[[3, 100, 101]] = np.nan
    found = sensitivity.sensitivity(box, "y", box.points, values)
    assert found is not None
    blocks = len({3 // 8, 100 // 8, 101 // 8})
    assert found.used == (256 - blocks) * 8
    value, width = found.pairs["a", "c"]
    assert value == pytest.approx(JOINT, abs=width)


def test_elementary_effects_of_a_plane_are_its_slopes() -> None:
    box: Any = Box(Morris(kind="morris", trajectories=10))
    found = sensitivity.sensitivity(box, "y", box.points, box.points @ np.array([3.0, -2.0, 0.0]))
    assert found is not None
    assert found.estimates[0].values == pytest.approx([3.0, 2.0, 0.0], abs=1e-12)
    assert found.estimates[1].values == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert found.ranking() == ["a", "b", "c"]


def test_rank_correlation_is_that_of_scipy() -> None:
    generator = np.random.default_rng(3)
    x = generator.random((200, 3))
    y = np.exp(3 * x[:, 0]) - x[:, 1] + 0.3 * generator.random(200)
    expected = [scipy.stats.spearmanr(column, y).statistic for column in x.T]
    assert sensitivity._spearman(x, y) == pytest.approx(expected)


# -------------------------------------------------------------------------------------------------- the band


@pytest.mark.parametrize("axisymmetric", [True, False])
def test_the_band_of_balls_of_many_sizes_has_their_volumes(tmp_path: Path, axisymmetric: bool) -> None:
    """Balls with radii spread evenly from 8 to 16 mm: those in 95, 50 and 5 % of them have 8.4, 12 and 15.6 mm."""
    zarr = pytest.importorskip("zarr")
    radii = 8 + 8 * (np.arange(40) + 0.5) / 40
    steps = np.arange(40) - 19.5
    axes = (np.arange(20) + 0.5, steps) if axisymmetric else (steps, steps, steps)
    distance = np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))
    array = zarr.create_array(tmp_path / "zones.zarr", shape=(41, *distance.shape), chunks=(1, *distance.shape),
                              dtype="uint8", fill_value=255)  # fmt: skip
    for run, radius in enumerate(radii):
        array[run] = (distance < radius).astype(np.uint8)
    array.attrs["axes_m"] = [(1e-3 * axis).tolist() for axis in axes]
    found = bands.band(tmp_path, np.arange(40))
    assert found is not None
    for share, radius in zip(bands.LEVELS, (8.4, 12.0, 15.6), strict=True):
        assert 1e9 * found.volume(share) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)
        surface = 1e3 * found.surface(share).reshape(-1, 3)
        assert np.abs(np.linalg.norm(surface, axis=1) - radius).max() < 1.0
    values, to_world = found.in_three_dimensions()
    assert to_world[:3, 3] == pytest.approx([-0.0195] * 3)
    assert values.sum() * 1e-9 == pytest.approx(4 / 3 * np.pi * np.mean(radii**3) * 1e-9, rel=0.03)
