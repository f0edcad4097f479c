"""The command line towards the user: messages, exit codes, and nothing written when the input is bad."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

import rfasim
from rfasim import cli
from rfasim.case import Case, case_from_dict, case_yaml, load_case
from rfasim.electrodes import ALL_DEVICES
from rfasim.errors import InputError, RunError
from rfasim.frame import Frame
from rfasim.generator import Clock, Condition, Delivered, Elapsed, Exit, Impedance, Warm
from rfasim.presets import PROTOCOLS
from rfasim.progress import Progress
from rfasim.protocols import ALL_PROTOCOLS, Generator
from rfasim.result import Result
from rfasim.terminal import STOPPED, summary_rows
from rfasim.tissues import LIBRARY
from rfasim.yaml_io import parse_yaml

ROOT = Path(__file__).parent.parent
NEEDLE = str(ROOT / "cases" / "needle.yaml")
FLAT = str(ROOT / "cases" / "needle_axisymmetric.yaml")  # meshed in a blink


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the user reads on stderr after a command that exits with 2."""
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "none.yaml"], "none.yaml: there is no such file"),
        (
            ["run", NEEDLE, "--set", "generator.power=30 mm"],
            "generator.power: '30 mm' is in mm, which is not a power",
        ),
        (["run", NEEDLE, "--set", "generator.power"], "is no assignment; write for example generator.power="),
        (
            ["run", NEEDLE, "--set", "generator.powr=30 W"],
            "generator.powr: is no known key; did you mean power?",
        ),
        (["run", NEEDLE, "--threads", "none"], "'none' is no number of threads"),
        (["run", NEEDLE, "--compare", "generator.power=20 W"], "gives one value of generator.power; give two or more"),
        (
            ["run", NEEDLE, "--compare", "generator.powr=20 W,30 W"],
            "generator.powr: is no known key; did you mean power?",
        ),
        (
            ["run", NEEDLE, "--compare", "generator.power=20 W,30 mm"],
            "generator.power=30 mm: '30 mm' is in mm, which is not a power",
        ),
        (["run", NEEDLE, "--compare", "a=1,2", "--compare", "b=1,2"], "--compare: is given more than once"),
        (["run", NEEDLE, "--compare", "generator.power=20 W,30 W", "--resume"], "holds none of 20_W, 30_W"),
        (["run", NEEDLE, "--resume", "--overwrite"], "not allowed with"),
        (["run", NEEDLE, "--resume"], "--resume: runs/needle holds no run that could go on"),
        (["run"], "required: CASE"),
        (["walk"], "invalid choice: 'walk'"),
        ([], "required: VERB"),
        (["show", "none"], "none: does not exist"),
        (["tissues", "--frequency", "480"], "--frequency: '480' has no unit"),
        (["tissues", "--frequency", "0 Hz"], "must be more than 0 Hz"),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_bad_input_gets_one_message_and_exit_2_and_leaves_nothing_behind(
    arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, *arguments)
    assert words in message
    assert len(message.splitlines()) == 1
    assert list(here.iterdir()) == []


def test_several_problems_get_a_line_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "run", NEEDLE, "--set", "generator.power=3 m", "--set", "frequency=1 W")
    lines = message.splitlines()
    assert lines[0] == "rfasim: 2 problems"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["frequency", "generator.power"]


def test_a_filled_folder_is_not_touched(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out" / "thesis.txt").write_text("years of work")
    message = refused(capsys, "run", NEEDLE, "--out", "out")
    assert "out is not empty; give another folder, --overwrite" in message
    assert [path.name for path in (here / "out").iterdir()] == ["thesis.txt"]
    (here / "file").write_text("")
    assert "file is a file; give a folder" in refused(capsys, "run", NEEDLE, "--out", "file")


def test_result_folder_has_the_name_of_the_case_without_its_traps() -> None:
    assert cli.folder_name("needle 30 W, liver") == "needle_30_W_liver"
    assert cli.folder_name("../../etc/passwd") == "etc_passwd"
    assert cli.folder_name("...") == "case"
    assert cli.folder_name("Nädel") == "Nädel"


def test_only_the_same_case_may_go_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    case = load_case(NEEDLE)
    monkeypatch.setattr(
        "rfasim.result.load_checkpoint", lambda folder: SimpleNamespace(case_yaml=case_yaml(case), time=1.0)
    )
    (here / "out").mkdir()
    (here / "out" / "x").write_text("")

    def prepare(other: Case) -> Any:
        return cli._prepare_folder(here / "out", other, resume=True, overwrite=False)

    assert prepare(case).time == 1.0
    assert prepare(load_case(NEEDLE, [("solver.threads", "2")])).time == 1.0  # same bits for any threads
    with pytest.raises(InputError, match=r"generator\.power was 30 W and is 20 W"):
        prepare(load_case(NEEDLE, [("generator.power", "20 W")]))


def test_dry_run_prints_a_case_file_that_is_the_same_case(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", FLAT, "--set", "generator.power=20 W", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    again = case_from_dict(parse_yaml(printed, "printed"), from_file=True)
    assert again == load_case(FLAT, [("generator.power", "20 W")])
    assert "# Expect about" in printed
    assert "#   liver: {" in printed
    assert list(here.iterdir()) == []


def test_dry_run_as_json_carries_case_and_estimate(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", FLAT, "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert case_from_dict(data["case"], from_file=True).sha256 == data["case_sha256"]
    assert data["estimate"]["cells"] > data["estimate"]["nodes"] > 1000


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("mesh.file", "is broken"), 2, "rfasim: mesh.file: is broken"),
        (RunError("the time step fell to 1e-9 s"), 1, "rfasim: the time step fell to 1e-9 s"),
        (KeyboardInterrupt(), 130, "rfasim: interrupted"),
        (ZeroDivisionError("float division"), 1, "rfasim: unexpected ZeroDivisionError: float division"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_way_to_fail_has_its_exit_code_and_no_traceback(
    error: BaseException,
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("rfasim.case.case_schema", fail)
    assert cli.main(["schema"]) == code
    err = capsys.readouterr().err
    assert err.startswith(words)
    assert len(err.splitlines()) == 1


def test_debug_shows_where_an_unexpected_error_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rfasim.case.case_schema", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["schema", "--debug"])


def test_the_first_ctrl_c_asks_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with cli._stop_requests() as asked:
        assert asked == []
        signal.raise_signal(signal.SIGINT)
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_request_to_terminate_is_a_request_to_stop() -> None:
    with cli._stop_requests() as asked:
        signal.raise_signal(signal.SIGTERM)
        assert asked == [signal.SIGTERM]


SHORT = [
    str(ROOT / "cases" / "problem_a_axisymmetric.yaml"), "--set", "generator.duration=60 s", "--set",
    "mesh={size: 0.5 mm, rim_size: 0.3 mm}", "--no-pictures",
]  # fmt: skip


def test_an_interrupted_run_is_kept_as_partial_and_goes_on_to_the_same_bits(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["run", *SHORT, "--out", "whole", "--quiet"]) == 0
    assert "Files: whole" in capsys.readouterr().out
    with monkeypatch.context() as patched:
        update = Progress.update

        def interrupt(self: Progress, frame: Frame) -> None:
            update(self, frame)
            if 10 < frame.time < 20:
                signal.raise_signal(signal.SIGINT)

        patched.setattr(Progress, "update", interrupt)
        assert cli.main(["run", *SHORT, "--out", "cut"]) == 130
    words = shlex.split(capsys.readouterr().err.splitlines()[-1].partition("from there: ")[2])
    partial = Result.read("cut")
    assert partial.summary["status"] == "partial"
    assert 10 < partial.summary["run"]["simulated_s"] < 25
    # the message says how to go on
    assert words[-1] == "--resume"
    assert cli.main([*words[1:], "--no-pictures", "--quiet"]) == 0
    whole, resumed = Result.read("whole"), Result.read("cut")
    assert resumed.summary["status"] == "complete"
    for name, values in whole.history.items():
        assert np.array_equal(values, resumed.history[name]), name
    assert np.array_equal(whole.field("temperature_c"), resumed.field("temperature_c"))
    assert cli.main(["run", *SHORT, "--out", "whole", "--quiet"]) == 2  # not replaced unasked
    assert cli.main(["run", *SHORT, "--out", "whole", "--quiet", "--overwrite"]) == 0


def test_the_case_in_the_result_folder_is_the_case_that_ran(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", *SHORT, "--out", "deep/down", "--quiet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["case_sha256"] == load_case("deep/down/case.yaml").sha256


def test_schema_is_the_schema_of_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["properties"]) == set(Case.model_fields)


def test_every_tissue_and_every_device_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tissues"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()} >= set(LIBRARY)
    assert cli.main(["tissues", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(LIBRARY)
    assert cli.main(["devices"]) == 0
    printed = capsys.readouterr().out
    assert cli.main(["devices", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) == len(ALL_DEVICES)
    assert all(f"{word}: " in printed for word in listed)
    assert all(model in printed for data in listed.values() for model in data["models"])


def test_a_named_device_is_shown_with_its_parameters_and_its_drawing_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["devices", "needle"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"active_length +30 mm", printed)
    assert "Picture: needle.png" in printed
    assert (here / "needle.png").stat().st_size > 5000


# --------------------------------------------------------------------------------------------------- protocols


def test_every_protocol_and_every_preset_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["protocols"]) == 0
    first = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    words = {get_args(kind.model_fields["protocol"].annotation)[0] for kind in ALL_PROTOCOLS}
    assert first >= words | set(PROTOCOLS)
    assert cli.main(["protocols", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (set(listed["protocols"]), set(listed["presets"])) == (words, set(PROTOCOLS))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_shown_of_a_preset_is_the_generator_that_runs_and_each_value_has_a_source(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["protocols", name, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    written: dict[str, Any] = {"protocol": shown["protocol"]}
    for path, row in shown["fields"].items():
        assert row["source"] or row["value"] == "-", f"{path} has a value and no source"
        *groups, last = path.split(".")
        group = written
        for key in groups:
            group = group.setdefault(key, {})
        group[last] = None if row["value"] == "-" else parse_yaml(row["value"], path)
    read: Any = TypeAdapter(Generator).validate_python
    from_preset = read({"preset": name}, context={"from_file": True})
    assert read(written, context={"from_file": True}) == from_preset.model_copy(update={"preset": None})


@pytest.mark.parametrize(
    ("protocol", "path", "written"),
    [
        ("power_ramp", "rate", "10 W/min"),
        ("power_ramp", "roll_off.rise", "30 ohm"),
        ("constant_power", "power", "(to be given)"),
        ("switching", "pairs", "all"),
    ],
)
def test_a_protocol_is_shown_with_its_defaults(
    protocol: str, path: str, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["protocols", protocol]) == 0
    assert re.search(rf"{re.escape(path)} +{re.escape(written)} ", capsys.readouterr().out)


def test_an_unknown_protocol_is_refused_with_the_nearest_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["protocols", "leveen_rf300"]) == 2
    assert "'leveen_rf300' is no known protocol or preset; did you mean leveen_rf3000?" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    probe = (
        "import sys, rfasim, rfasim.cli; rfasim.cli.build_parser().format_help();"
        "print([m for m in ('numpy', 'numba', 'pydantic', 'rich', 'pint', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_records_are_imported_without_pictures_pint_or_images() -> None:
    heavy = ("matplotlib", "pyvista", "pint", "h5py", "pyarrow", "nibabel", "meshio", "rich")
    probe = f"import sys, rfasim.case; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(os.name != "posix", reason="pipes that close early are a matter of POSIX shells")
def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "rfasim", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rfasim {rfasim.__version__}\n"
    assert f'\nversion = "{rfasim.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


# --------------------------------------------------------------------------------------- the table after a run


def _finished(**electrical: Any) -> dict[str, Any]:
    """The table of a run with these electrical numbers."""
    summary = {
        "run": {"simulated_s": 120.0, "steps": 171, "wall_s": 3.0},
        "mesh": {"cells": 4192},
        "electrical": {
            "initial_impedance_ohm": 99.4, "final_impedance_ohm": 91.0, "initial_impedance_phase_deg": -24.3,
            "roll_off_time_s": None, "roll_offs": 0, "stopped_by": None, "delivered_energy_j": 6050.0,
            "peak_power_w": 200.0, "mean_power_w": 50.4,
        } | electrical,
        "thermal": {"max_temperature_c": 99.0},
        "zone": {"criterion": "cem43", "volume_ml": 7.4, "long_axis_mm": 38.9, "short_axis_mm": None,
                 "beyond_tip_mm": 4.7},
        "energy": {"imbalance_fraction": 1e-9},
    }  # fmt: skip
    return summary


def after(**electrical: Any) -> dict[str, str]:
    return dict(summary_rows(_finished(**electrical)))


def test_the_table_says_how_often_it_rolled_off_and_why_the_generator_stopped() -> None:
    pulsed = after(roll_off_time_s=6.3, roll_offs=7, stopped_by="duration")
    assert pulsed["roll-off"] == "7, the first at 6.3 s"
    assert pulsed["generator stopped because"] == "its time was over"
    assert pulsed["phase at the start"] == "-24.3 degrees"
    once = after(roll_off_time_s=6.3, roll_offs=1, stopped_by="roll_off")
    assert once["roll-off"] == "at 6.3 s"
    assert after()["roll-off"] == "none"
    assert "generator stopped because" not in after()  # a run that was interrupted did not stop by itself


def test_the_table_has_words_for_each_reason_that_ends_a_protocol() -> None:
    conditions = (Elapsed(1.0), Clock(1.0), Impedance(above=1.0), Warm(90.0), Delivered(1.0))
    assert {type(c) for c in conditions} == set(get_args(Condition))
    assert {Exit(c, "stop").reason for c in conditions} | {"duration", "roll_off"} == set(STOPPED)


def test_the_table_tells_what_became_of_the_saline() -> None:
    summary = _finished()
    summary["saline"] = {
        "injected_ml": 13.0, "injected_salt_g": 0.65, "salt_taken_up_g": 0.2345, "highest_pressure_kpa": 41.2
    }  # fmt: skip
    rows = dict(summary_rows(summary))
    assert rows["saline let in"] == "13.00 ml, 0.65 g of NaCl; 0.234 g taken up by blood"
    assert rows["pressure of it, highest"] == "41 kPa"
