"""One field changed, results side by side: what ``--compare`` understands, runs, keeps, prints and draws."""

from __future__ import annotations

import dataclasses
import json
import shlex
import signal
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from fake_run import CASE, META, SUMMARY, TIP, frames, needle_mesh_3d, needle_mesh_axisymmetric

from rfasim import cli, plot, variants, zone3d
from rfasim.errors import InputError, RunError
from rfasim.frame import Frame
from rfasim.progress import Progress
from rfasim.result import PICTURES, Result, ResultWriter
from rfasim.section import Section, beside, inside_tubes, section_of
from rfasim.terminal import aligned
from rfasim.variants import Comparison, folders_of, load_variants, parse_comparison

ROOT = Path(__file__).parent.parent
TWO = ["20 W", "30 W"]
FLAT = """\
name: flat
electrodes: [{device: needle, tip: [0 mm, 0 mm, -10 mm], active_length: 20 mm}]
generator: {protocol: constant_power, power: 25 W, duration: 20 s}
domain: {radius: 40 mm, height: 80 mm, axisymmetric: true}
tumour: {shape: ball, centre: [0 mm, 0 mm, 0 mm], diameter: 8 mm}
mesh: {size: 0.75 mm, rim_size: 0.5 mm, grow: 1, zone_size: 4 mm}
time: {tolerance: 2 K}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a case that is solved in a blink."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat.yaml").write_text(FLAT)
    return tmp_path


def run(*words: str, compare: str = "generator.power=20 W,30 W", out: str = "out", pictures: bool = False) -> int:
    plain = [] if pictures else ["--no-pictures"]
    return cli.main(["run", "flat.yaml", "--compare", compare, "--out", out, *plain, *words])


def numbers(out: str = "out") -> dict[str, Any]:
    return json.loads(Path(out, "comparison.json").read_text())


# ------------------------------------------------------------------------------------------------- the option


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("generator.power=20 W,30 W", "generator.power", TWO),
        ("circulation.pringle = off , on", "circulation.pringle", ["off", "on"]),
        ("a=[0 mm, 1 mm],[0 mm, 2 mm]", "a", ["[0 mm, 1 mm]", "[0 mm, 2 mm]"]),
        ("a=[{x: [1, 2]}, 3],{from: 1, to: 2},off", "a", ["[{x: [1, 2]}, 3]", "{from: 1, to: 2}", "off"]),
        ('a="b, c",d', "a", ['"b, c"', "d"]),
        ("a='b, it''s, c',d", "a", ["'b, it''s, c'", "d"]),
        (r'a="b \", c",d', "a", [r'"b \", c"', "d"]),
        ('a=["]", "x,y"],[]', "a", ['["]", "x,y"]', "[]"]),
        ("a={k: ',}'},null", "a", ["{k: ',}'}", "null"]),
        ("a=5' long,6' long", "a", ["5' long", "6' long"]),  # no quote where YAML sees none
        ("a=b=1,b=2", "a", ["b=1", "b=2"]),
        ('a="",b', "a", ['""', "b"]),
    ],
)
def test_values_are_cut_at_commas_outside_brackets_braces_and_quotes(text: str, path: str, values: list[str]) -> None:
    assert parse_comparison(text) == Comparison(path, tuple(values))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("generator.power", "names no field with its values; write for example generator.power="),
        ("=1,2", "names no field"),
        ("a=", "has an empty value; write null for nothing"),
        ("a=1,,2", "has an empty value"),
        ("a=1,2,", "has an empty value"),
        ("a=1", "gives one value of a; give two or more with commas between"),
        ("a=[1, 2]", "gives one value of a"),
        ("a=1,2,1", "gives 1 twice; give values that differ"),
        ("a=[1,2", "ends before a closing ]"),
        ("a={b: [1,2}", "has a } that closes nothing"),
        ('a="b,c', 'ends before a closing "'),
        ("a=1],2", "has a ] that closes nothing; quote text with it"),
    ],
)
def test_what_is_no_comparison_is_refused_with_what_to_do(text: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_comparison(text)
    assert refusal.value.path == "--compare"
    assert words in refusal.value.message


def test_folders_are_readable_safe_and_no_two_the_same() -> None:
    assert folders_of(["off", "on", "20 W", "[0 mm, 0 mm, -5 mm]"]) == ["off", "on", "20_W", "0_mm_0_mm_-5_mm"]
    assert folders_of(["5 K", "-5 K", "0.5", "../../etc"]) == ["5_K", "minus_5_K", "0.5", "etc"]
    assert folders_of(["a b", "a_b", "A,B", "..", "''"]) == ["a_b", "a_b_2", "A_B_3", "value", "value_2"]
    long = folders_of([f"{'x' * 300}{k}" for k in range(12)])
    assert len(set(long)) == 12
    assert max(map(len, long)) < 50
    assert "comparison.json" not in folders_of(["comparison.json", "Comparison.PNG"])


# --------------------------------------------------------------------------------- all is checked before a run


def refusal(capsys: pytest.CaptureFixture[str], *words: str, **what: Any) -> list[str]:
    assert run(*words, **what) == 2
    return capsys.readouterr().err.splitlines()


def test_all_problems_are_told_at_once_each_with_its_value_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = refusal(capsys, "--set", "frequency=1 W", compare="generator.power=20 W,30 mm,-4 W")
    assert lines[0] == "rfasim: 3 problems"
    assert lines[1].startswith("  frequency: '1 W' is in W")  # once, the values have nothing to do with it
    assert lines[2].startswith("  generator.power=30 mm: '30 mm' is in mm, which is not a power")
    assert lines[3] == "  generator.power=-4 W: got -4 W; it must be at least 0 W"
    assert [path.name for path in here.iterdir()] == ["flat.yaml"]


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        ("generator.powr=1 W,2 W", "rfasim: generator.powr: is no known key; did you mean power?"),
        ("generater.power=1 W,2 W", "rfasim: generater: is no known key; did you mean generator?"),
        ("electrodes.3.tip=[0 m, 0 m, 0 m],[0 m, 0 m, 1 mm]", "electrodes[3]: the list has 1 entries, counted from 0"),
        ("background=liver,livr", "rfasim: background=livr: 'livr' is no known tissue; did you mean liver?"),
        ("electrodes.0.tip=[0 mm, 0 mm, -9 mm],[0 mm, 0 mm]", "rfasim: electrodes.0.tip=[0 mm, 0 mm]: "),
        ("generator.power=20 W,0.02 kW", "--compare: 20 W and 0.02 kW make the same case of generator.power"),
        ("circulation.pringle=off,false", "--compare: off and false make the same case of circulation.pringle"),
    ],
)
def test_a_wrong_field_or_value_is_one_sentence(
    compare: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = refusal(capsys, compare=compare)
    assert words in line


def test_set_holds_for_all_variants_also_below_the_compared_field(here: Path) -> None:
    presets = parse_comparison("generator={preset: celon_power},{protocol: constant_power, power: 9 W}")
    changes = [("generator.duration", "90 s"), ("background", "liver_zurbuchen")]
    for variant in load_variants("flat.yaml", presets, changes):
        assert variant.case.generator.duration == 90.0
        assert variant.case.background == "liver_zurbuchen"
    powers = parse_comparison("generator.power=20 W,30 W")
    generator = ("generator", "{protocol: constant_power, power: 9 W, duration: 33 s}")
    assert [v.case.generator.power for v in load_variants("flat.yaml", powers, [generator])] == [20.0, 30.0]
    with pytest.raises(InputError, match=r"generator\.power is the field that --compare changes"):
        load_variants("flat.yaml", powers, [("generator.power", "9 W")])
    with pytest.raises(InputError, match=r"probes\.0\.at is the field"):
        load_variants("flat.yaml", parse_comparison("probes[0].at=1,2"), [("probes.0.at", "9 W")])


def test_dry_run_tells_what_each_variant_costs_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run", compare="mesh.zone_size=4 mm,1.5 mm") == 0
    printed = capsys.readouterr().out
    rows = {line.split("mm")[0].strip(): line.split()[2:] for line in printed.splitlines() if " mm " in line}
    assert int(rows["4"][0]) < int(rows["1.5"][0])
    assert "on one core for all 2" in printed
    assert run("--dry-run", "--json", compare="mesh.zone_size=4 mm,1.5 mm") == 0
    data = json.loads(capsys.readouterr().out)
    assert [(row["value"], row["estimate"]["cells"]) for row in data["variants"]] == [
        (f"{size} mm", int(rows[size][0])) for size in ("4", "1.5")
    ]
    assert [path.name for path in here.iterdir()] == ["flat.yaml"]
    assert run("--dry-run", compare="mesh.file=none.msh,null") == 2
    assert "mesh.file=none.msh: " in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ what is run


def test_variants_are_the_same_runs_as_the_two_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    printed, said = capsys.readouterr()
    data = numbers()
    assert json.loads(printed) == data
    assert "rfasim: variant 1 of 2: 20 W" in said
    assert "rfasim: variant 2 of 2: 30 W" in said
    assert sorted(path.name for path in Path("out").iterdir()) == ["20_W", "30_W", "comparison.json"]
    for k, (power, folder) in enumerate(zip(TWO, data["folders"], strict=True)):
        alone = ["run", "flat.yaml", "--set", f"generator.power={power}", "--out", folder, "--no-pictures", "--quiet"]
        assert cli.main(alone) == 0
        one, other = Result.read(Path("out", folder)), Result.read(folder)
        for part in ("case_sha256", "zone", "tumour", "electrical", "thermal", "energy", "status"):
            assert one.summary[part] == other.summary[part], part
        for name, values in other.history.items():
            assert np.array_equal(values, one.history[name]), name
        assert np.array_equal(one.field("temperature_c"), other.field("temperature_c"))
        assert data["case_sha256"][k] == other.summary["case_sha256"]
        assert data["numbers"]["zone.volume_ml"][k] == other.summary["zone"]["volume_ml"]
        assert data["numbers"]["tumour.ablated_fraction"][k] == other.summary["tumour"]["ablated_fraction"]
    for key, values in data["numbers"].items():
        if isinstance(values[0], float) and isinstance(values[1], float):
            assert data["differences"][key] == [0.0, values[1] - values[0]]


def test_each_folder_gets_its_pictures_and_the_comparison_its_own(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zone3d, "draw_zone3d", lambda result, say: b"\x89PNG")
    monkeypatch.setattr(plot, "draw_history", lambda result: b"\x89PNG")
    assert run("--quiet", pictures=True) == 0
    printed, said = capsys.readouterr()
    assert said == ""
    assert "Picture: out/comparison.png" in printed
    assert all(Path("out", folder, name).is_file() for folder in ("20_W", "30_W") for name in PICTURES)
    picture = Path("out/comparison.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    Path("out/comparison.png").unlink()
    assert cli.main(["show", "out"]) == 0
    assert Path("out/comparison.png").read_bytes() == picture
    assert capsys.readouterr().out == printed


def test_without_out_the_folder_is_named_after_case_and_field(here: Path) -> None:
    assert cli.main(["run", "flat.yaml", "--compare", "generator.power=20 W,30 W", "--no-pictures", "--quiet"]) == 0
    assert Path("runs/flat_generator.power/comparison.json").is_file()


# -------------------------------------------------------------------------------------------------- going on


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are simulated from now on."""
    ran: list[str] = []
    simulate = cli._simulate

    def record(case: Any, base: Path, out: Path, checkpoint: Any, *, quiet: bool) -> Any:
        ran.append(out.name + (" again" if checkpoint is not None else ""))
        return simulate(case, base, out, checkpoint, quiet=quiet)

    monkeypatch.setattr(cli, "_simulate", record)
    return ran


def interrupt_in(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Ctrl-C some seconds into the variant of this power."""
    update = Progress.update

    def interrupt(self: Progress, frame: Frame) -> None:
        update(self, frame)
        if frame.time > 5 and frame.power == pytest.approx(float(value.split()[0]), rel=1e-3):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "update", interrupt)


def test_an_interrupted_comparison_goes_on_to_the_same_bits_with_the_command_that_it_names(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, simulated: list[str]
) -> None:
    compare = "generator.power=20 W,30 W,40 W"
    assert run("--quiet", compare=compare, out="whole") == 0
    simulated.clear()
    with monkeypatch.context() as patched:
        interrupt_in(patched, "30 W")
        assert run(compare=compare) == 130
    printed, said = capsys.readouterr()
    assert "by generator.power" not in printed.split("Files: whole")[1]  # no table of half a comparison
    assert "interrupted in variant 2 of 3 (30 W); what was done by then is in out" in said
    assert not Path("out/comparison.json").exists()
    assert Result.read("out/30_W").summary["status"] == "partial"
    again = shlex.split(said.splitlines()[-1].partition("from there: ")[2])
    assert again[-1] == "--resume"
    assert cli.main([*again[1:], "--no-pictures"]) == 0
    assert simulated == ["20_W", "30_W", "30_W again", "40_W"]
    assert "variant 1 of 3: 20 W (complete already)" in capsys.readouterr().err
    assert numbers() == numbers("whole")
    for folder in ("20_W", "30_W", "40_W"):
        one, other = Result.read(Path("out", folder)), Result.read(Path("whole", folder))
        assert np.array_equal(one.field("temperature_c"), other.field("temperature_c"))


def test_ctrl_c_between_two_variants_leaves_the_complete_one(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, simulated: list[str]
) -> None:
    with monkeypatch.context() as patched:
        finish = ResultWriter.finish

        def interrupt(self: ResultWriter, summary: Any, status: str = "complete") -> None:
            signal.raise_signal(signal.SIGINT)  # too late to stop this run
            finish(self, summary, status)

        patched.setattr(ResultWriter, "finish", interrupt)
        assert run("--quiet") == 130
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits SIG_IGN
    try:
        with monkeypatch.context() as patched:
            patched.setattr(cli, "_simulate", lambda *_, **__: signal.raise_signal(signal.SIGINT))
            assert run("--quiet", "--resume") == 130  # at once, in the mesh
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted at once; this goes on with what out holds: rfasim run" in capsys.readouterr().err
    assert run("--quiet", "--resume") == 0
    assert simulated == ["20_W", "30_W"]


def test_a_resumed_comparison_takes_a_further_value(here: Path, simulated: list[str]) -> None:
    assert run("--quiet") == 0
    assert run("--quiet", "--resume", compare="generator.power=30 W,35 W") == 0
    assert simulated == ["20_W", "30_W", "35_W"]
    assert numbers()["values"] == ["30 W", "35 W"]


def test_only_the_same_case_may_go_on_and_a_filled_folder_is_not_touched(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--quiet") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    (line,) = refusal(capsys, "--resume", "--set", "generator.duration=9 s")
    assert line == (
        "rfasim: --resume: the case is not the one of the run in out/20_W: generator.duration was 20 s and is 9 s"
    )
    (line,) = refusal(capsys)
    assert "--out: out is not empty; give another folder, --overwrite to replace the comparison" in line
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before


def test_an_overwritten_comparison_can_be_interrupted_and_resumed(
    here: Path, monkeypatch: pytest.MonkeyPatch, simulated: list[str]
) -> None:
    assert run("--quiet") == 0
    change = ("--set", "generator.duration=10 s")
    with monkeypatch.context() as patched:
        interrupt_in(patched, "20 W")
        assert run("--overwrite", *change) == 130
    assert not Path("out/comparison.json").exists()  # half of it would be of another case
    assert run("--quiet", "--resume", *change) == 0
    assert simulated == ["20_W", "30_W", "20_W", "20_W again", "30_W"]
    assert {Result.read(Path("out", folder)).summary["run"]["simulated_s"] for folder in ("20_W", "30_W")} == {10.0}


def test_a_failed_variant_does_not_stop_the_others(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = cli._simulate

    def fail(case: Any, *rest: Any, **named: Any) -> Any:
        if case.generator.power == 20.0:
            raise RunError("the time step fell to 1e-9 s")
        return simulate(case, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(cli, "_simulate", fail)
        assert run("--quiet") == 1
    printed, said = capsys.readouterr()
    assert said == "rfasim: variant 1 of 2 (20 W) failed: the time step fell to 1e-9 s\n"
    assert "failed: the time step fell" in printed
    data = numbers()
    assert data["status"] == ["failed", "complete"]
    assert data["reasons"] == ["the time step fell to 1e-9 s", None]
    assert data["numbers"]["zone.volume_ml"][0] is None
    assert data["numbers"]["zone.volume_ml"][1] > 0
    assert data["ranking"] == ["30 W"]
    assert run("--quiet", "--resume") == 0  # it is tried again
    assert numbers()["status"] == ["complete", "complete"]


# -------------------------------------------------------------------------------------------------- the table


def summary(zone: float, margin: float | None, veins: list[dict[str, Any]], roll_off: float | None = None) -> Any:
    return {
        "zone": {"volume_ml": zone, "long_axis_mm": 40.0, "short_axis_mm": None, "sphericity": 0.9},
        "tumour": {"ablated_fraction": 0.5, "residual_ml": 0.25, "minimal_margin_mm": margin, "margin_class": "A2",
                   "response": "partial"},
        "electrical": {"roll_off_time_s": roll_off, "delivered_energy_j": 6050.0, "mean_power_w": 50.4,
                       "initial_impedance_ohm": 99.4, "final_impedance_ohm": float("inf")},
        "thermal": {"max_temperature_c": 99.0},
        "energy": {"perfusion_j": 1500.0, "vessels_j": 800.0},
        "vessels": veins,
    }  # fmt: skip


def data_of(*summaries: Any, values: list[str] | None = None) -> dict[str, Any]:
    found = load_variants(
        ROOT / "cases/needle_axisymmetric.yaml",
        parse_comparison(f"generator.power={','.join(f'{k + 1} W' for k in range(len(summaries)))}"),
    )
    named = [dataclasses.replace(v, value=value) for v, value in zip(found, values or "abcdef", strict=False)]
    return variants.comparison_data("p", [variants.Done(v, s) for v, s in zip(named, summaries, strict=True)])


def cells(table: variants.Table) -> dict[str, list[str]]:
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in table[1]}


def test_table_has_a_column_for_each_variant_and_of_two_the_difference() -> None:
    portal, vein = {"name": "portal", "heat_removed_j": 300.0}, {"name": "vein", "heat_removed_j": 500.0, "new": 1}
    data = data_of(summary(5.0, -1.0, [portal, vein]), summary(7.5, 2.0, [vein, {"name": "odd"}], roll_off=31.25))
    (table,) = variants.tables(data, 200)
    assert [cell.strip() for cell in table[0]] == ["", "", "a", "b", "difference"]
    rows = cells(table)
    assert rows["zone volume"] == ["ml", "5.00", "7.50", "+2.50"]
    assert rows["zone, long axis"] == ["mm", "40.0", "40.0", "0.0"]
    assert rows["zone, short axis"] == ["mm", "-", "-", ""]
    assert rows["tumour ablated"] == ["%", "50.0", "50.0", "0.0"]
    assert rows["smallest margin"] == ["mm", "-1.0", "2.0", "+3.0"]
    assert rows["margin class"] == ["", "A2", "A2", "same"]
    assert rows["roll-off"] == ["s", "none", "31.2", ""]
    assert rows["energy delivered"] == ["kJ", "6.05", "6.05", "0.00"]
    assert rows["impedance, end"] == ["ohm", "-", "-", ""]  # an open circuit is no number
    assert rows["heat taken by perfusion"] == ["kJ", "1.50", "1.50", "0.00"]
    # vessels by name, whatever their order, and whatever keys a row has
    assert rows["by portal"] == ["kJ", "0.30", "-", ""]
    assert rows["by vein"] == ["kJ", "0.50", "0.50", "0.00"]
    assert rows["by odd"] == ["kJ", "-", "-", ""]
    assert "run" not in rows  # nothing failed
    (three,) = variants.tables(data_of(*[summary(5.0, 1.0, [])] * 3), 200)
    assert [cell.strip() for cell in three[0]] == ["", "", "a", "b", "c"]


def test_rows_of_what_no_variant_has_are_left_out() -> None:
    alone = summary(5.0, None, []) | {"tumour": None, "energy": {"perfusion_j": 1.0, "vessels_j": 0.0}}
    (table,) = variants.tables(data_of(alone, alone), 200)
    assert not any(word in what for what in cells(table) for word in ("tumour", "margin", "vessels"))
    assert variants.ranking_line(data_of(alone, alone)) is None


def test_vessels_of_the_same_name_are_kept_apart() -> None:
    twins = [{"name": "vein", "heat_removed_j": 1.0}, {"name": "vein", "heat_removed_j": 2.0}]
    found = variants.numbers_of(summary(1.0, 1.0, twins))
    assert found[variants.vessel_key("vein")] == 1.0
    assert found[variants.vessel_key("vein (2)")] == 2.0


def test_variants_are_ranked_by_their_smallest_margin_the_best_first() -> None:
    data = data_of(summary(1.0, -3.0, []), summary(1.0, None, []), summary(1.0, 1.26, []), values=["off", "cold", "on"])
    assert data["ranking"] == ["on", "off", "cold"]
    assert variants.ranking_line(data) == "By smallest margin, best first: on (1.3 mm), off (-3.0 mm), cold (no zone)"


def test_decimal_points_of_a_column_lie_below_each_other() -> None:
    column = aligned("20 W", ["7.31", "-12.5", "+100.0", "none", "A1", "-", "3"])
    assert len({len(cell) for cell in column}) == 1
    points = {cell.index(".") for cell in column if "." in cell}
    assert len(points) == 1
    assert column[-1].rstrip().endswith("3")
    assert len(column[-1].rstrip()) == points.pop()
    assert aligned("a\nlong heading", ["1"]) == ["           a\nlong heading", "           1"]


@pytest.mark.parametrize("room", [60, 80, 120, 200])
def test_table_is_never_wider_than_the_terminal_and_loses_no_variant(room: int) -> None:
    values = [f"{{preset: generator_{k}, power: 120 W, duration: 12 min}}" for k in range(5)]
    parts = variants.tables(data_of(*[summary(5.0 + k, 1.0, []) for k in range(5)], values=values), room)
    assert all(variants.width_of(part) <= room for part in parts)
    shown = [cell for part in parts for cell in cells(part)["zone volume"][1:]]
    assert shown == [f"{5 + k}.00" for k in range(5)]


def test_damaged_numbers_are_refused_with_what_to_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/comparison.json").write_text('{"values": [1]}')
    assert cli.main(["show", "out"]) == 2
    assert "comparison.json: cannot be read (KeyError: 'numbers'); run the command again" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ the picture


def write(folder: Path, mesh: Any, meta: dict[str, Any] = META, tumour: Any = None) -> Result:
    with ResultWriter(folder, CASE, mesh, meta) as writer:
        for frame in frames(mesh, n_steps=6, end=720.0):
            writer.add(frame)
        writer.finish({**SUMMARY, "tumour": tumour})
    return Result.read(folder)


def moved(meta: dict[str, Any], by: tuple[float, float, float]) -> dict[str, Any]:
    (electrode,) = meta["electrodes"]
    return meta | {"electrodes": [electrode | {"tip": [a + b for a, b in zip(electrode["tip"], by, strict=True)]}]}


def test_picture_has_one_panel_a_variant_with_one_window_and_one_scale(tmp_path: Path) -> None:
    mesh = needle_mesh_axisymmetric(n=12)
    one = write(tmp_path / "1", mesh, tumour={"minimal_margin_mm": 1.25})
    late = dataclasses.replace(one, times=one.times + 30.0, summary={**one.summary, "tumour": None})
    for n in (1, 2, 5):
        panels = [(f"{10 * k} W", one if k % 2 == 0 else late) for k in range(n)]
        with matplotlib.rc_context(plot.STYLE):
            drawing = plot.comparison_figure(panels, "generator.power")
        axes = drawing.axes[:n]
        assert [panel.get_title("left") for panel in axes] == [f"{10 * k} W" for k in range(n)]
        assert len(drawing.axes) == n + 1  # and the colours
        assert len({(panel.get_xlim(), panel.get_ylim()) for panel in axes}) == 1
        assert len({panel.collections[0].get_clim() for panel in axes}) == 1
        beneath = [text.get_text() for panel in axes for text in panel.texts if "zone" in text.get_text()]
        same_time = n == 1
        assert beneath[0] == "zone 5.00 ml, smallest margin 1.2 mm" + ("" if same_time else "\nafter 12 min")
        assert all(words == "zone 5.00 ml\nafter 12 min 30 s" for words in beneath[1::2])
    assert plot.draw_comparison(panels).startswith(b"\x89PNG")


@pytest.mark.parametrize("mesh", [needle_mesh_axisymmetric(n=12), needle_mesh_3d(n=7)], ids=["half plane", "3-D"])
def test_a_place_in_tissue_is_at_the_same_point_of_both_panels(tmp_path: Path, mesh: Any) -> None:
    here = write(tmp_path / "here", mesh)
    there = write(tmp_path / "there", mesh, moved(META, (0.0, 0.0, -0.004)))
    first = section_of(here)
    second = section_of(there, first.placement)
    for section in (first, beside(second, first)):
        height = section.sample(mesh.points[:, -1])
        np.testing.assert_allclose(section.points[:, 1], 1e3 * (height - TIP), atol=1e-9)
    alone = second.sample(mesh.points[:, -1])
    np.testing.assert_allclose(second.points[:, 1], 1e3 * (alone - TIP + 0.004), atol=1e-9)
    assert beside(first, first) is first
    upwards = META | {"electrodes": [META["electrodes"][0] | {"direction": [0.0, 0.0, 1.0]}]}
    turned = section_of(write(tmp_path / "upwards", mesh, upwards), first.placement)
    assert beside(turned, first) is turned  # each from its own tip


def test_all_panels_show_the_plane_of_the_variant_that_has_a_vessel(tmp_path: Path) -> None:
    mesh = needle_mesh_3d(n=7)
    vein = {"name": "vein", "diameter": 0.003, "points": [[0.0, 0.012, -0.04], [0.0, 0.012, 0.04]]}
    without, with_vein = write(tmp_path / "0", mesh), write(tmp_path / "1", mesh, META | {"vessels": [vein]})
    assert np.allclose(section_of(without).placement.across, [1, 0, 0])
    views, elsewhere = plot._views_alike([without, with_vein])
    assert not elsewhere
    for view in views:
        assert np.allclose(view.section.placement.across, [0, 1, 0])
    assert [len(view.section.tubes) for view in views] == [0, 1]
    labels = [text.get_text() for text in plot.comparison_figure([("a", without), ("b", with_vein)]).legends[0].texts]
    assert labels.count("vessels") == 1


def test_a_vessel_of_the_case_is_drawn_round_whether_the_mesh_resolves_it_or_not(tmp_path: Path) -> None:
    bare = section_of(write(tmp_path, needle_mesh_3d(n=7)))

    def section(line: list[list[float]], radius: float = 2.0) -> Section:
        return dataclasses.replace(bare, tubes=[(np.array(line), radius)])

    x, y = np.meshgrid(np.linspace(-20, 20, 801), np.linspace(-20, 20, 801))

    def area(shown: Section) -> float:
        depth = inside_tubes(shown, x, y)
        return 0.0 if depth is None else float((depth >= 0).mean() * 40.05**2)

    through = section([[5.0, 5.0, -30.0], [5.0, 5.0, 30.0]])
    assert area(through) == pytest.approx(np.pi * 2.0**2, rel=0.01)
    oblique = section([[5.0, -25.0, -30.0], [5.0, 35.0, 30.0]])  # 45 degrees: an ellipse
    assert area(oblique) == pytest.approx(np.pi * 2.0**2 * np.sqrt(2), rel=0.01)
    along = section([[5.0, -30.0, 1.0], [5.0, 30.0, 1.0]])  # 1 mm above the plane: a strip
    assert area(along) == pytest.approx(40.05 * 2 * np.sqrt(3), rel=0.01)
    assert area(section([[5.0, -30.0, 2.5], [5.0, 30.0, 2.5]])) == 0.0
