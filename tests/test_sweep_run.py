"""Studies that run: nothing finished is lost or done twice, whatever is killed, full, broken or hangs."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import CASES, STUDY

from rfasim import cli
from rfasim.errors import RunError
from rfasim.sweep import engine, kept, work
from rfasim.sweep import store as store_module
from rfasim.sweep.rows import Row, row_of
from rfasim.sweep.store import Store
from rfasim.sweep.study import study_from_dict
from rfasim.yaml_io import dump_yaml

pytest.importorskip("distributed")
SAME = ("run", "status", "case_sha256", "input.power", "zone.volume_ml", "thermal.max_temperature_c", "energy.stored_j")


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(dump_yaml(STUDY), encoding="utf-8")
    return tmp_path / "study.yaml"


def store_of(folder: Path, **parts: Any) -> Store:
    """A new study in ``folder``."""
    store, study = Store(folder), study_from_dict(STUDY | parts, CASES)
    folder.mkdir()
    kept.prepare(study, folder)
    store.create(study)
    return store


def columns(store: Store) -> dict[str, list[Any]]:
    return dict(store.read(list(SAME)).to_pydict())


def started(file: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "rfasim", "sweep", str(file), "--out", str(out), "--workers", "2", *more]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(what: Any, seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def done(store: Store) -> int:
    return len(set(store.finished())) if store.exists else 0


# ------------------------------------------------------------------------------------------------ whole studies


@pytest.mark.slow
def test_a_study_is_the_same_however_often_it_was_killed(study_file: Path, tmp_path: Path) -> None:
    """Killed: a worker, then the whole; then Ctrl-C in the terminal; two resumes at once; against single runs."""
    longer = STUDY | {"design": {"kind": "grid", "levels": 60}, "set": STUDY["set"] | {"generator.duration": "2 min"}}
    study_file.write_text(dump_yaml(longer), encoding="utf-8")
    out, store = tmp_path / "out", Store(tmp_path / "out")
    first = started(study_file, out)
    wait_for(lambda: done(store) >= 2)
    found = subprocess.run(["pgrep", "-g", str(first.pid)], capture_output=True, text=True, check=False).stdout.split()
    workers = [pid for pid in map(int, found) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    before = done(store)
    wait_for(lambda: done(store) >= before + 2)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    wait_for(lambda: not _alive(workers[1]))  # workers do not outlive it
    finished = set(store.finished())
    both = [started(study_file, out, "--resume") for _ in range(2)]
    wait_for(lambda: any(one.poll() is not None for one in both))
    second, third = sorted(both, key=lambda one: one.poll() is not None)
    _, said = third.communicate(timeout=300)
    assert third.returncode == 1
    assert "is being written by another 'rfasim sweep'" in said
    wait_for(lambda: done(store) >= len(finished) + 1)
    os.killpg(second.pid, signal.SIGINT)  # as a terminal does
    printed, said = second.communicate(timeout=300)
    assert second.returncode == 130, said
    assert "Traceback" not in said
    assert "go on with: rfasim sweep" in said
    last = started(study_file, out, "--resume", "--json")
    printed, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    told = json.loads(printed)
    assert told["statuses"] == {"complete": 60}
    assert told["this_time"] < 60 - len(finished)
    table = columns(store)
    assert table["run"] == list(range(60))
    study = store.study()
    for run in (0, 11, 59):  # the same numbers as a run by itself
        shown, case = study.run_case(run)
        _, _, summary = work.simulate(case, study.base, tmp_path / "meshes", 100.0)
        assert table["input.power"][run] == shown["power"]
        assert table["zone.volume_ml"][run] == summary["zone"]["volume_ml"]
        assert table["energy.stored_j"][run] == summary["energy"]["stored_j"]


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def test_shards_do_the_runs_between_them(study_file: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    out = tmp_path / "out"
    both = [started(study_file, out, "--workers", "1", "--shard", f"{i}/2") for i in (1, 2)]
    for one in both:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said
    table = pandas.read_parquet(out / "table")  # as others read it
    assert sorted(table["run"]) == list(range(6))
    assert {path.name for path in (out / "table").iterdir()} == {
        "part-1-of-2-000000.parquet", "part-2-of-2-000000.parquet"}  # fmt: skip


def test_a_changed_study_is_not_gone_on_with(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_of(tmp_path / "out")
    changed = STUDY | {"vary": {"power": {"path": "generator.power", "low": "20 W", "high": "50 W"}}}
    study_file.write_text(dump_yaml(changed), encoding="utf-8")
    for more, reason in (
        (["--resume"], r"the study is not the one in .*out: vary.power.high was 35 W and is 50 W"),
        ([], "holds a study; give another folder, --resume"),
    ):
        assert cli.main(["sweep", str(study_file), "--out", str(tmp_path / "out"), *more]) == 2
        assert re.search(reason, capsys.readouterr().err)
    (tmp_path / "else").mkdir()
    (tmp_path / "else/thesis.txt").write_text("mine", encoding="utf-8")
    for more in ([], ["--overwrite"]):
        assert cli.main(["sweep", str(study_file), "--out", str(tmp_path / "else"), *more]) == 2
        assert "is not empty and holds no study" in capsys.readouterr().err
    assert (tmp_path / "else/thesis.txt").read_text(encoding="utf-8") == "mine"
    assert cli.main(["sweep", str(study_file), "--out", str(tmp_path / "new"), "--resume"]) == 2
    assert "holds no study that could go on" in capsys.readouterr().err


def test_a_dry_run_tells_runs_time_and_disk_and_writes_nothing(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", str(study_file), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "6 runs of about" in said
    assert "power: 20 W to 35 W (uniform)" in said
    assert "of disk" in said
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


# --------------------------------------------------------------------------------------------------- one run


def test_everything_asked_is_kept_and_the_answers_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = {"zones": {"spacing": "2 mm", "size": "40 mm"}, "fields": True, "history": True}
    store = store_of(tmp_path / "out", keep=keep, set=STUDY["set"] | {"zone.criterion": "isotherm_50"})
    for run in range(6):
        assert work.do_run(str(store.folder), run) == (run, "complete")
        assert work.do_run(str(store.folder), run) == (run, "there")
    zarr = pytest.importorskip("zarr")
    zones = zarr.open_array(store.folder / "zones.zarr", mode="r")[:]
    assert zones.shape == (6, 10, 20)
    r = (np.arange(10) + 0.5)[:, None] * 2e-3
    for run, volume in enumerate(store.read(["zone.volume_ml"])["zone.volume_ml"].to_pylist()):
        ml = 1e6 * float(((zones[run] == 1) * 2 * np.pi * r * 4e-6).sum())
        assert ml == pytest.approx(volume, abs=0.45)  # voxels of 2 mm on a zone of 1.5 to 4 ml
    field = zarr.open_group(store.folder / "fields/3.zarr", mode="r")
    assert field["temperature_c"].shape[0] == field["points_m"].shape[0]
    assert (store.folder / "history/5.parquet").is_file()
    assert cli.main(["study", str(store.folder), "--csv", str(tmp_path / "runs.csv")]) == 0
    said = capsys.readouterr().out
    assert "small: 6 of 6 runs (6 complete)" in said
    assert "ablated in at least" in said
    names = {path.name for path in (store.folder / "answers").iterdir()}
    assert {"answers.json", "responses.png", "parallel.html", "band.png", "probability.nii.gz"} <= names
    assert len((tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines()) == 7


def test_a_run_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    rows = [{"power": "25 W"}, {"power": "25 W", "electrodes[0].diameter": "-1 mm"}]
    store = store_of(tmp_path / "out", design={"kind": "list", "rows": rows})
    assert work.do_run(str(store.folder), 0)[1] == "complete"
    assert work.do_run(str(store.folder), 1)[1] == "failed"
    store.gather()
    table = store.read()
    assert table["status"].to_pylist() == ["complete", "failed"]
    assert "electrodes[0].diameter" in table["error"].to_pylist()[1]
    assert table["zone.volume_ml"].to_pylist()[1] is None


def test_a_run_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    store = store_of(tmp_path / "out", limits={"time": "1 ms"})
    assert work.do_run(str(store.folder), 0) == (0, "timeout")
    assert "by the clock" in store.errors(range(6), 3)[0][1]


def test_a_run_that_hangs_ends_its_worker_with_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "out", limits={"time": "1 ms"})
    ended = threading.Event()
    monkeypatch.setattr(work, "GRACE", 0.2)
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(work, "simulate", lambda *_: ended.wait(20.0) and pytest.fail("the worker goes on"))
    with pytest.raises(pytest.fail.Exception):
        work.do_run(str(store.folder), 2)
    (row,) = store.read().to_pylist()
    assert (row["run"], row["status"]) == (2, "timeout")
    assert "hung" in row["error"]


def test_a_run_whose_worker_died_too_often_is_not_tried_again(tmp_path: Path) -> None:
    store = store_of(tmp_path / "out", limits={"attempts": 2})
    (store.folder / "attempts/4").write_bytes(b"..")  # two workers began it, none came back
    assert work.do_run(str(store.folder), 4) == (4, "died")
    assert "its worker died 2 times" in store.errors(range(6), 1)[0][1]
    store.drop_doubles()
    assert not list((store.folder / "attempts").iterdir())


def deadly(folder: str, run: int) -> tuple[int, str]:
    """A run that kills its worker when it is number 3."""
    store, study = Store(Path(folder)), Store(Path(folder)).study()
    if work._attempt(store, run) <= study.limits.attempts and run == 3:
        os._exit(9)
    status = "died" if run == 3 else "complete"
    store.write_row(row_of(run, {"power": 1.0}, status=status, seconds=0.0, version="0"))
    return run, status


@pytest.mark.slow
def test_a_deadly_run_does_not_stop_the_others(tmp_path: Path) -> None:
    store, count = store_of(tmp_path / "out"), engine.Count(6, 0)
    with engine.cluster(2, None) as client:
        engine.conduct(store, client, count, iter(range(6)), show=lambda _: None, stopped=lambda: False,
                       mine=range(6), task=deadly)  # fmt: skip
    assert dict(count.statuses) == {"complete": 5, "died": 1}
    assert store.read(["status"])["status"].to_pylist() == ["complete"] * 3 + ["died"] + ["complete"] * 2


@pytest.mark.slow
def test_a_case_tells_how_sure_it_is_over_the_literature_s_ranges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = {
        "name": "how sure", "generator": {"protocol": "constant_power", "power": "30 W", "duration": "60 s"},
        "electrodes": [{"device": "needle", "tip": ["0 mm", "0 mm", "-10 mm"], "active_length": "20 mm"}],
        "tumour": {"shape": "ball", "centre": ["0 mm"] * 3, "diameter": "12 mm"}, "zone": {"criterion": "isotherm_50"},
        "domain": {"radius": "40 mm", "height": "80 mm"}, "mesh": {"size": "1.5 mm", "rim_size": "1 mm", "grow": 1},
        "time": {"tolerance": "2 K", "admittance_tolerance": 0.05},
    }  # fmt: skip
    (tmp_path / "case.yaml").write_text(dump_yaml(case), encoding="utf-8")
    words = ["run", str(tmp_path / "case.yaml"), "--out", str(tmp_path / "out"), "--quiet", "--no-pictures"]
    assert cli.main([*words, "--uncertainty", "3"]) == 2
    assert "give a number of runs from 8" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(words) == 0
    assert cli.main([*words, "--uncertainty", "8", "--resume"]) == 0  # makes more of a result that is there
    assert "tumour covered" in capsys.readouterr().out
    told = json.loads((tmp_path / "out/uncertainty.json").read_text(encoding="utf-8"))
    assert told["complete"] == told["runs"] == 8
    assert {one["path"] for one in told["varied"]} == {
        "tissues.liver.conductivity", "tissues.liver.perfusion", "tissues.liver.thermal_conductivity",
        "tissues.liver.heat_capacity", "tissues.tumour.conductivity", "tissues.tumour.perfusion",
    }  # fmt: skip
    low, middle, high = (told["percentiles"]["zone.volume_ml"][key] for key in ("5", "50", "95"))
    assert low < middle < high
    band = list(told["band"].values())
    assert band == sorted(band)
    assert band[0] < middle < band[2]
    assert cli.main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "r.html")]) == 0
    assert "in 90 % of the runs" in (tmp_path / "r.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------- the store


def row(run: int, **more: Any) -> dict[str, Any]:
    return row_of(run, {"power": 1.5}, status="complete", seconds=1.0, version="0", summary=more or {"a": 1.0})


def test_new_columns_and_words_go_into_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("rfasim.sweep.store.PART_ROWS", 3)
    store = store_of(tmp_path / "out", design={"kind": "grid", "levels": 9})
    for run in range(4):
        store.write_row(row(run, a=1.0 * run, c=None))
    assert store.gather() == 4
    for run in range(4, 8):
        store.write_row(row(run, a="open" if run == 5 else 1.0 * run, b=2.0))
    assert store.gather() == 4
    assert len(store.parts()) == 3
    table = pandas.read_parquet(store.table).sort_values("run")
    assert table["run"].tolist() == list(range(8))
    assert table["a"].tolist() == ["0", "1", "2", "3", "4", "open", "6", "7"]
    assert table["b"].isna().tolist() == [True] * 4 + [False] * 4
    again = Store(store.folder)  # another process goes on where this one was
    again.write_row(row(8, a=8.0))
    again.gather()
    assert store.read(["run"])["run"].to_pylist() == list(range(9))


def test_a_kill_between_the_table_and_its_rows_leaves_no_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path / "out")
    for run in (2, 0):
        store.write_row(row(run))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.gather()
    store = Store(store.folder)
    assert sorted(set(store.finished())) == [0, 2]
    assert store.read(["run"])["run"].to_pylist() == [0, 2]
    store.write_row(row(2))  # by a worker that did it again
    assert store.gather() == 0
    assert store.read(["run"])["run"].to_pylist() == [0, 2]
    assert not list(store.rows.iterdir())
    (store.rows / "1.json").write_bytes(b'{"run": 1, "sta')  # no row is half written; if one were, it counts as missing
    assert store.read(["run"])["run"].to_pylist() == [0, 2]


def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, room = store_of(tmp_path / "out"), iter([False, False, True])

    def write(self: Path, data: bytes) -> int:
        if self.name.startswith("0.json") and not next(room):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    original = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(work, "RETRY", 0.01)
    assert work.do_run(str(store.folder), 0) == (0, "complete")
    monkeypatch.setattr(Path, "write_bytes", original)
    assert list(store.finished()) == [0]
    monkeypatch.setattr(work, "PATIENCE", 0.05)

    def full() -> None:
        raise RunError("full") from OSError(errno.ENOSPC, "")

    with pytest.raises(RunError):
        work.patiently(full)


def test_a_broken_table_part_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "out")
    store.write_row(row(0))
    store.gather()
    store.write_row(row(1))
    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.write_table", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        gathering = engine.Gathering(store, engine.Count(6, 0), range(6))
        with pytest.raises(RunError, match="the disk is full"):
            gathering.now()
        assert "the disk is full" in gathering.count.note
    assert store.read(["run"])["run"].to_pylist() == [0, 1]
    assert store.gather() == 1  # the same process goes on after the disk was full, and nothing is in twice
    assert list(store.finished()) == [0, 1]


def test_a_disk_that_fills_between_two_parts_puts_no_run_in_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rfasim.sweep.store.PART_ROWS", 2)
    store = store_of(tmp_path / "out")
    for run in range(5):
        store.write_row(row(run))
    written: list[int] = []

    def second_fails(path: Path, rows: list[Row], types: dict[str, str]) -> None:
        written.append(len(rows))
        if len(written) == 2:
            raise RunError("the disk is full")
        write_part(path, rows, types)

    write_part = store_module._write_part
    monkeypatch.setattr(store_module, "_write_part", second_fails)
    with pytest.raises(RunError, match="the disk is full"):
        store.gather()
    assert len(list(store.rows.glob("*.json"))) == 3
    assert store.gather() == 3
    assert sorted(store.finished()) == list(range(5))
    assert written == [2, 2, 2, 1]
    assert len(store.parts()) == 3
