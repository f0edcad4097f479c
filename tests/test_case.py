"""Case files: what is written is read, resolved, read again; what cannot be is refused with a reason."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import rfasim
from rfasim.case import Case, case_from_dict, case_schema, case_yaml, load_case, rebased, write_case
from rfasim.errors import InputError
from rfasim.quantities import text
from rfasim.yaml_io import dump_yaml, parse_yaml

CASES = Path(__file__).parent.parent / "cases"
NEEDLE = CASES / "needle.yaml"
SHIPPED = sorted(CASES.glob("*.yaml"))
SCHEMA = jsonschema.Draft202012Validator(case_schema())


def needle(**changes: Any) -> dict[str, Any]:
    """The smallest case, as a file has it; ``changes`` replace whole top-level fields."""
    data: dict[str, Any] = {
        "name": "test",
        "electrodes": [{"device": "needle", "tip": ["0 mm", "0 mm", "-15 mm"]}],
        "generator": {"protocol": "constant_power", "power": "30 W"},
    }
    return data | changes


def read_again(case: Case) -> Case:
    return case_from_dict(parse_yaml(case_yaml(case), "resolved"), from_file=True)


# ----------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_resolved_case_reads_back_to_the_same_case_and_hash(path: Path) -> None:
    case = load_case(path)
    again = read_again(case)
    assert again == case
    assert again.sha256 == case.sha256
    assert case_yaml(again) == case_yaml(case)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_and_resolved_cases_satisfy_the_json_schema(path: Path) -> None:
    SCHEMA.validate(parse_yaml(path.read_text(encoding="utf-8"), str(path)))
    SCHEMA.validate(parse_yaml(case_yaml(load_case(path)), "resolved"))


def test_every_default_is_visible_in_the_resolved_case() -> None:
    data = parse_yaml(case_yaml(load_case(NEEDLE)), "resolved")
    assert set(data) == set(Case.model_fields)
    assert data["mesh"]["zone_size"] == "2.5 mm"
    assert data["mesh"]["size"] is None  # what the device asks for, once that is known
    assert data["blood"] == {
        "density": "1050 kg/m^3",
        "heat_capacity": "3617 J/(kg K)",
        "temperature": "37 degC",
        "thermal_conductivity": "0.52 W/(m K)",
        "viscosity": "0.0035 Pa s",
    }
    assert data["electrodes"][0]["direction"] == [0, 0, -1]


def test_units_arrive_as_si_floats() -> None:
    case = load_case(NEEDLE)
    assert (case.frequency, case.generator.duration, case.generator.power) == (480e3, 720.0, 30.0)
    assert case.electrodes[0].diameter == 0.0015
    assert case.body_temperature == 37.0


def test_problem_a_says_what_the_benchmark_says() -> None:
    for name in ("problem_a", "problem_a_axisymmetric"):
        case = load_case(CASES / f"{name}.yaml")
        assert (case.generator.protocol, case.generator.voltage, case.generator.duration) == (
            "constant_voltage",
            15,
            720,
        )
        law = case.tissues["liver"].conductivity_law
        assert (law.kind, law.slope) == ("linear", 0.02)
        assert (case.domain.radius, case.domain.height) == (0.06, 0.12)
        assert (case.electric.admittivity, case.boiling.enabled, case.perfusion_stop) == ("real", False, None)
    assert case.domain.axisymmetric


def test_domain_is_centred_on_the_conducting_part_unless_stated() -> None:
    case = load_case(NEEDLE, [("electrodes[0].tip", "[10 mm, 0 mm, 40 mm]")])
    assert case.domain_centre == pytest.approx((0.01, 0.0, 0.055))
    case = load_case(NEEDLE, [("domain.centre", "[0 mm, 0 mm, 5 mm]")])
    assert case.domain_centre == (0.0, 0.0, 0.005)


def test_python_makes_the_same_case_with_si_numbers() -> None:
    from_file = case_from_dict(needle(frequency="460 kHz"), from_file=True)
    from_python = case_from_dict(
        {
            "name": "test",
            "frequency": 460e3,
            "electrodes": [{"device": "needle", "tip": (0.0, 0.0, -0.015)}],
            "generator": {"protocol": "constant_power", "power": 30},
        }
    )
    assert from_python == from_file
    assert rfasim.Case is Case


def test_cases_are_frozen() -> None:
    case = load_case(NEEDLE)
    with pytest.raises(ValidationError):
        case.frequency = 400e3  # type: ignore[misc]


lengths = st.floats(0.001, 0.02).map(lambda value: text(value, "m"))
points = st.lists(st.floats(-0.02, 0.02).map(lambda value: text(value, "m")), min_size=3, max_size=3)


@pytest.mark.parametrize(
    "written",
    [
        "\x85",
        "a\nb\n",
        "  two\u2028lines ",
        "null",
        "1e3",
        "0x1F",
        "a: b # c",
        "'\"",
        "\t",
        "\x00",
        "ü€😀",
        "!x",
        "---",
    ],
)
def test_any_text_survives_writing(written: str) -> None:
    assert parse_yaml(dump_yaml({"name": written, "list": [written]}), "written") == {
        "name": written,
        "list": [written],
    }


plain = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e300, 1e300) | st.text(max_size=20)
)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@settings(max_examples=200, deadline=None)
@given(nested)
@example(["?0"])  # begins a key where a list stands on one line
def test_any_plain_data_survives_writing(data: Any) -> None:
    assert parse_yaml(dump_yaml({"data": data}), "written") == {"data": data}


@settings(max_examples=50, deadline=None)
@given(
    tip=points,
    tumour=st.none()
    | st.fixed_dictionaries({"shape": st.just("ball"), "centre": points, "diameter": lengths}),
    power=st.floats(0, 200),
    thermal=st.sampled_from(
        [
            {"kind": "adiabatic"},
            {"kind": "wall", "temperature": "10 degC"},
            {"kind": "coolant", "temperature": "283.15 K", "h": "3127 W/(m^2 K)"},
            {"kind": "metal", "material": "nitinol"},
        ]
    ),
    name=st.text(min_size=1, max_size=20),
    threads=st.integers(1, 8),
)
def test_any_case_reads_back_bit_for_bit(
    tip: list[str], tumour: Any, power: float, thermal: Any, name: str, threads: int
) -> None:
    case = case_from_dict(
        needle(
            name=name,
            electrodes=[{"device": "needle", "tip": tip, "thermal": thermal}],
            generator={"protocol": "constant_power", "power": text(power, "W")},
            tumour=tumour,
            domain={"shape": "ball", "radius": "200 mm", "centre": ["0 mm", "0 mm", "0 mm"]},
            solver={"threads": threads},
            tissues={"mine": {"base": "liver", "perfusion": "0.001 1/s"}},
            background="mine",
        ),
        from_file=True,
    )
    again = read_again(case)
    assert again == case
    assert again.sha256 == case.sha256


def test_hash_tells_cases_apart_and_not_folders(tmp_path: Path) -> None:
    a, b = load_case(NEEDLE), load_case(NEEDLE, [("generator.power", "30.000000001 W")])
    assert a.sha256 != b.sha256
    case = case_from_dict(needle(mesh={"file": "meshes/needle.msh"}), from_file=True)
    moved = rebased(case, tmp_path / "cases", tmp_path / "results/run")
    assert moved.mesh.file == "../../cases/meshes/needle.msh"
    assert moved.sha256 == case.sha256


def test_written_case_names_its_files_from_its_own_folder(tmp_path: Path) -> None:
    anatomy = {"labels": [{"file": "liver.nii.gz", "mapping": {1: "liver", 7: "blood"}, "hold": [7]}]}
    case = case_from_dict(needle(anatomy=anatomy), from_file=True)
    write_case(case, tmp_path / "out" / "case.yaml", base=tmp_path)
    written = load_case(tmp_path / "out" / "case.yaml")
    assert written.anatomy is not None
    assert written.anatomy.labels[0].file == "../liver.nii.gz"
    assert written.anatomy.labels[0].mapping == {1: "liver", 7: "blood"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "case.yaml"
    ]  # no half-written file beside it


# -------------------------------------------------------------------------------------------------- overrides


def test_overrides_reach_any_field() -> None:
    case = load_case(
        NEEDLE,
        [
            ("generator.power", "20 W"),
            ("electrodes[0].tip[2]", "-10 mm"),
            ("boiling.enabled", "false"),
            ("tissues.liver.conductivity", "0.3 S/m"),
            ("probes", "[{name: near, at: [5 mm, 0 mm, 0 mm]}]"),
            ("perfusion_stop", "null"),
        ],
    )
    assert case.generator.power == 20.0
    assert case.electrodes[0].tip == (0.0, 0.0, -0.01)
    assert not case.boiling.enabled
    assert case.tissues["liver"].conductivity == 0.3
    assert case.probes[0].at == (0.005, 0.0, 0.0)
    assert case.perfusion_stop is None


def test_overrides_reach_numbered_labels(tmp_path: Path) -> None:
    case = case_from_dict(
        needle(anatomy={"labels": [{"file": "a.nii", "mapping": {1: "liver"}}]}), from_file=True
    )
    write_case(case, tmp_path / "case.yaml")
    changed = load_case(tmp_path / "case.yaml", [("anatomy.labels[0].mapping.1", "tumour")])
    assert changed.anatomy is not None
    assert changed.anatomy.labels[0].mapping == {1: "tumour"}


# ------------------------------------------------------------------------------------------- what is refused

REFUSED = [
    # (overrides of needle.yaml, path, words of the message)
    (
        {"generator.power": "30 mm"},
        "generator.power",
        "'30 mm' is in mm, which is not a power; expected a power such",
    ),
    ({"generator.power": "30"}, "generator.power", "30 has no unit; expected a power such as '30 W'"),
    ({"generator.power": ".nan"}, "generator.power", "nan has no unit"),
    ({"generator.power": "nan W"}, "generator.power", "not a finite number"),
    ({"generator.power": "-3 W"}, "generator.power", "got -3 W; it must be at least 0 W"),
    ({"generator.power": "null"}, "generator.power", "got nothing; expected a power"),
    ({"generator.max_power": "20 W"}, "generator.power", "30 W is more than max_power 20 W"),
    ({"generator.protocol": "constant_pwer"}, "generator.protocol", "did you mean constant_power"),
    ({"generator.protocol": "null"}, "generator.protocol", "is missing; choose one of constant_power"),
    ({"generator": "null"}, "generator", "got nothing"),
    (
        {"electrodes[0].shaft_length": "20 mm"},
        "electrodes[0].active_length",
        "30 mm is longer than the 20 mm shaft",
    ),
    (
        {"electrodes[0].active_lenght": "4 mm"},
        "electrodes[0].active_lenght",
        "no known key; did you mean active_length?",
    ),
    ({"electrodes[0].device": "neddle"}, "electrodes[0].device", "got 'neddle'; did you mean needle or wet_needle?"),
    (
        {"electrodes[0].tip": "[0 mm, 0 mm]"},
        "electrodes[0].tip[2]",
        "is missing; give a length such as '15 mm'",
    ),
    ({"electrodes[0].tip": "[0, 0 mm, 0 mm]"}, "electrodes[0].tip[0]", "0 has no unit"),
    ({"electrodes[0].tip": "null"}, "electrodes[0]", "has no place; give its tip"),
    ({"electrodes[0].thermal": "{kind: wal}"}, "electrodes[0].thermal.kind", "did you mean wall?"),
    (
        {"electrodes[0].thermal": "{kind: wall}"},
        "electrodes[0].thermal.temperature",
        "is missing; give a temperature",
    ),
    ({"electrodes": "[]"}, "electrodes", "holds 0 entries; it needs at least 1"),
    ({"electrodes": "needle"}, "electrodes", "got 'needle'; expected a list"),
    ({"electrodes[0].diameter": "-1 mm"}, "electrodes[0].diameter", "got -1 mm; it must be more than 0 mm"),
    (
        {"electrodes": "[{device: needle, tip: [0 m, 0 m, 0 m]}, {device: needle, tip: [1 mm, 0 m, 0 m]}]"},
        "electrodes[1]",
        "overlaps electrodes[0] by 0.5 mm",
    ),
    (
        {"domain.centre": "[0 mm, 0 mm, 50 mm]"},
        "electrodes[0]",
        "its contact reaches 5 mm outside the domain, a cyl",
    ),
    ({"domain.radius": "0.5 mm"}, "electrodes[0]", "outside the domain, a cylinder of radius 0.5 mm"),
    ({"domain.shape": "sphere"}, "domain.shape", "choose one of cylinder, box, ball"),
    ({"domain": "{shape: box}"}, "domain.size", "is missing"),
    (
        {"domain": "{shape: ball, electric_boundary: {ends: insulated}}"},
        "domain.electric_boundary.ends",
        "is for a cylinder",
    ),
    ({"domain.axisymmetric": "maybe"}, "domain.axisymmetric", "got 'maybe'; expected true or false"),
    (
        {"domain.axisymmetric": "true", "electrodes[0].tip[0]": "3 mm"},
        "electrodes[0]",
        "on the z axis (it is 3 mm away)",
    ),
    (
        {"domain.axisymmetric": "true", "electrodes[0].direction": "[1, 0, 0]"},
        "electrodes[0]",
        "does not point along the z axis",
    ),
    (
        {"domain": "{shape: box, size: [9 cm, 9 cm, 9 cm], axisymmetric: true}"},
        "domain.shape",
        "use a cylinder or a ball",
    ),
    (
        {
            "domain.axisymmetric": "true",
            "vessels": "[{points: [[9 mm,0 mm,0 mm],[9 mm,9 mm,0 mm]], diameter: 3 mm, flow: 0 mL/min}]",
        },
        "vessels",
        "not round about the z axis",
    ),
    (
        {
            "domain.axisymmetric": "true",
            "tumour": "{shape: ball, centre: [9 mm, 0 mm, 0 mm], diameter: 9 mm}",
        },
        "tumour.centre",
        "(9, 0, 0) mm is not on the z axis",
    ),
    ({"frequency": "500 kHz"}, "frequency", "500 kHz is outside 350 to 480 kHz"),
    ({"background": "livr"}, "background", "'livr' is no known tissue; did you mean liver?"),
    ({"tissues.lever.density": "-3 kg/m^3"}, "tissues.lever.density", "must be more than 0 kg/m^3"),
    ({"tissues.mine.base": "livver"}, "tissues.mine.base", "'livver' is not a known tissue"),
    ({"tissues.liver.water_fraction": "1.0"}, "tissues.liver.water_fraction", "leaves no heat capacity"),
    (
        {"tissues.liver.conductivity_law": "{kind: linear, slope: 9 %/K}"},
        "tissues.liver.conductivity_law",
        "makes the property negative",
    ),
    (
        {"tissues.liver.relative_permittivity": ".nan"},
        "tissues.liver.relative_permittivity",
        "must be at least 0",
    ),
    (
        {"tumour": "{shape: ball, centre: [50 mm, 0 mm, 0 mm], diameter: 30 mm}"},
        "tumour",
        "reaches 5 mm outside the domain",
    ),
    ({"vessels": "[{points: [[9 mm, 0 mm, 0 mm]], diameter: 3 mm}]"}, "vessels[0].points", "holds 1 entries"),
    (
        {"vessels": "[{points: [[9 mm, 0 mm, 0 mm], [9 mm, 0 mm, 0 mm]], diameter: 3 mm}]"},
        "vessels[0].points[1]",
        "the same as the point before",
    ),
    (
        {"vessels": "[{points: [[90 mm, 0 mm, 0 mm], [90 mm, 9 mm, 0 mm]], diameter: 3 mm, flow: 9 ml/min}]"},
        "vessels[0]",
        "outside the domain",
    ),
    ({"probes": "[{name: a, at: [0 mm, 0 mm, 0 mm]}]"}, "probes[0].at", "0.75 mm inside electrodes[0]"),
    ({"probes": "[{name: a, at: [90 mm, 0 mm, 0 mm]}]"}, "probes[0].at", "is 30 mm outside the domain"),
    (
        {"probes": "[{name: a, at: [9 mm, 0 mm, 0 mm]}, {name: a, at: [8 mm, 0 mm, 0 mm]}]"},
        "probes[1].name",
        "'a' is taken by probes[0]",
    ),
    (
        {"anatomy": "{labels: [{file: x.nii, mapping: {1: livr}}]}"},
        "anatomy.labels[0].mapping.1",
        "did you mean liver?",
    ),
    (
        {"anatomy": "{labels: [{file: x.nii, mapping: {1: liver}, hold: [2]}]}"},
        "anatomy.labels[0].hold",
        "label 2 has no",
    ),
    ({"zone.criterion": "arrhenius"}, "zone.criterion", "got 'arrhenius'"),
    ({"boiling.start": "101 degC"}, "boiling.end", "100 degC is not above start, 101 degC"),
    ({"boiling": "3"}, "boiling", "expected a group of 'key: value' lines"),
    ({"time.first_step": "2 h"}, "time.first_step", "7200 s is not between"),
    ({"mesh.size": "2 mm"}, "mesh.size", "2 mm is wider than electrodes[0], 1.5 mm"),
    ({"mesh.rim_size": "1 mm"}, "mesh.rim_size", "1 mm is more than size, 0.2 mm"),
    ({"solver.threads": "0"}, "solver.threads", "got 0; it must be at least 1"),
    ({"solver.threads": "1.5"}, "solver.threads", "got 1.5; expected a whole number"),
    ({"name": "12"}, "name", "got 12; expected text"),
    ({"name": "''"}, "name", "is empty"),
    ({"nothing": "3"}, "nothing", "is no known key"),
    # the override itself
    ({"electrodes[3].tip": "5 mm"}, "electrodes[3]", "the list has 1 entries"),
    ({"name.first": "a"}, "name", "holds no keys"),
    ({"generator[0]": "a"}, "generator", "is no list"),
    ({"a b": "1"}, "a b", "is no path to a value"),
    (
        {"electrodes[0].tip": "!!python/object/apply:os.system ['true']"},
        "electrodes[0].tip",
        "builds an object",
    ),
    ({"electrodes[0].tip": "[1"}, "electrodes[0].tip", "cannot be read as YAML"),
]


@pytest.mark.parametrize(
    ("overrides", "path", "words"), REFUSED, ids=[f"{n}-{row[1]}" for n, row in enumerate(REFUSED)]
)
def test_bad_input_is_refused_with_path_and_reason(overrides: dict[str, str], path: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        load_case(NEEDLE, list(overrides.items()))
    message = str(refused.value)
    (line,) = message.splitlines()  # one problem, one line
    assert line.startswith(f"{path}: ")
    assert words in line
    for jargon in ("pydantic", "http", "Value error", "Input should", "validation error", "Traceback"):
        assert jargon not in line


def test_every_problem_is_listed() -> None:
    overrides = [
        ("generator.power", "30 mm"),
        ("generator.duration", "12"),
        ("electrodes[0].diameter", "-1 mm"),
        ("electrodes[0].tip", "[0 mm, 0 mm]"),
        ("mesh.sise", "1 mm"),
        ("frequency", "1 parsec"),
    ]
    with pytest.raises(InputError) as refused:
        load_case(NEEDLE, overrides)
    paths = [line.split(": ")[0] for line in str(refused.value).splitlines()]
    assert sorted(paths) == [
        "electrodes[0].diameter", "electrodes[0].tip[2]", "frequency", "generator.duration",
        "generator.power", "mesh.sise",
    ]  # fmt: skip


def test_a_frequency_outside_the_band_is_allowed_when_it_is_meant() -> None:
    assert load_case(NEEDLE, [("frequency", "500 kHz"), ("outside_band", "true")]).frequency == 500e3


def test_a_rod_may_leave_the_domain_and_a_needle_may_not() -> None:
    rod = needle(electrodes=[{"device": "rod", "diameter": "1.5 mm"}])
    assert case_from_dict(rod, from_file=True).electrodes[0].through
    beside = needle(
        electrodes=[{"device": "rod", "diameter": "1.5 mm", "centre": ["70 mm", "0 mm", "0 mm"]}],
        domain={"centre": ["0 mm", "0 mm", "0 mm"]},
    )
    with pytest.raises(InputError, match=r"reaches 10\.75 mm outside the domain"):
        case_from_dict(beside, from_file=True)


def test_a_probe_inside_metal_is_allowed() -> None:
    probe = [{"name": "inside", "at": ["0 mm", "0 mm", "0 mm"]}]
    metal = [{"device": "needle", "tip": ["0 mm", "0 mm", "-15 mm"], "thermal": {"kind": "metal"}}]
    assert case_from_dict(needle(probes=probe, electrodes=metal), from_file=True).probes[0].name == "inside"


# each list repeats the one before ten times
LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join(10 * [f'*{before}'])}]\n" for before, name in itertools.pairwise("abcdefgh")
)
FILES = [
    (b"", "is empty"),
    (b"# nothing but a remark\n", "is empty"),
    (b"- a\n- b\n", "is no case file"),
    (b"hello", "is no case file"),
    (b"\xff\xfe\x00a", "is no UTF-8 text"),
    (b"PK\x03\x04", "holds characters that YAML does not allow"),
    (b"name: a\nname: b\n", "line 2, column 1: the key 'name' is given twice"),
    (b"name: !!python/object/apply:os.system ['true']", "builds an object"),
    (b"name: !mine a", "the tag !mine builds an object"),
    (b"name: !!binary aGk=", "which no case uses"),
    (b"name: 2026-01-01", "which no case uses"),
    (b"name: 'unclosed", "cannot be read as YAML"),
    (b"name: a: b", "line 1, column 8: cannot be read as YAML"),
    (b"\tname: a", "cannot be read as YAML"),
    (b"? [1]\n: 2", "keys are words"),
    (b"name: " + b"9" * 5000, "holds a value that cannot be read"),
    (b"a: &a [*a]", "nested more than 40 levels"),
    (b'name: "\\ud800"', "name: holds half a character"),
    (b"[" * 5000, "nested more than 40 levels"),
    (b"- " * 5000, "nested more than 40 levels"),
    (LAUGHS.encode(), "holds more than 100000 values"),
    (b"x" * 1_100_000, "is larger than 1000 kB"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "words"), FILES, ids=[str(words)[:40] for _, words in FILES])
def test_files_that_are_no_case_are_refused_at_once(raw: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_bytes(raw)
    with pytest.raises(InputError) as refused:
        load_case(path)
    assert words in str(refused.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(InputError):
            load_case(path)


def test_a_case_cut_off_anywhere_is_refused_or_still_a_case(tmp_path: Path) -> None:
    whole = (CASES / "problem_a.yaml").read_text(encoding="utf-8")
    path = tmp_path / "cut.yaml"
    refused = 0
    for end in range(0, len(whole), 17):
        path.write_text(whole[:end], encoding="utf-8")
        try:
            load_case(path)
        except InputError:
            refused += 1
    assert refused > 0.5 * len(whole) / 17


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_case_is_refused_with_a_sentence_or_read(data: st.DataObject) -> None:
    lines = NEEDLE.read_text(encoding="utf-8").splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        word = data.draw(
            st.sampled_from(["", "null", "[]", "{}", "-1 mm", "nan", "1e9 W", "x: y", "- 1", "true", "0"])
        )
        lines[at] = data.draw(st.sampled_from([word, f"{lines[at].split(':')[0]}: {word}", f"  {lines[at]}"]))
    try:
        case_from_dict(parse_yaml("\n".join(lines), "damaged"), from_file=True)
    except InputError as error:
        assert str(error)  # noqa: PT017


def test_json_schema_refuses_what_the_editor_should_mark() -> None:
    good = parse_yaml(case_yaml(load_case(NEEDLE)), "resolved")
    assert SCHEMA.is_valid(good)
    for place, value in (
        (("generator", "power"), 30),
        (("generator", "power"), "30"),
        (("generator", "power"), "3e1"),
        (("generator", "powr"), "30 W"),
        (("mesh", "grow"), "fast"),
        (("zone", "criterion"), "none"),
        (("domain", "shape"), "pyramid"),
    ):
        wrong = json.loads(json.dumps(good))
        wrong[place[0]][place[1]] = value
        assert not SCHEMA.is_valid(wrong), place


def test_a_list_entry_is_reached_with_brackets_or_with_a_dot() -> None:
    for place in ("electrodes[0].active_length", "electrodes.0.active_length"):
        assert load_case(NEEDLE, [(place, "20 mm")]).electrodes[0].active_length == 0.02  # type: ignore[union-attr]
