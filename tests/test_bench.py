"""``rfasim bench``: what counts as slower, what rows hold, what a user is told; that a slow kernel is caught."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim import cli
from rfasim.bench import command, gate, micro, peers, problems, tables, work
from rfasim.bench.clock import Reference
from rfasim.bench.rows import choose, rows
from rfasim.case import load_case
from rfasim.solver.space import Space
from rfasim.yaml_io import parse_yaml

ROOT = Path(__file__).parent.parent
CASES = ROOT / "cases"
COARSE = {**problems.sizes(1.0, 0.5, 0.8, 12.0), "mesh.zone_size": "8 mm", "generator.duration": "2 min"}


def row(ratio: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A measured row."""
    counts = {"cells": 1000, "nodes": 200, "steps": 26, "cg_heat": 500}
    return {"ratio": ratio, "counts": counts, "error_%": 1.0, "gated": True, **changes}


def verdict(now: dict[str, Any] | None, then: dict[str, Any] | None, most: float = 1.3) -> gate.Verdict:
    """What the gate says about one row."""
    [found] = gate.judge({} if now is None else {"r": now}, {} if then is None else {"r": then}, most)
    return found


# ----------------------------------------------------------------------------------------------------- what is slower


def test_a_row_is_held_against_its_own_ratio():
    assert verdict(row(2.5), row(2.0)).missed == ()
    slow = verdict(row(2.7), row(2.0))
    assert slow.slow
    assert slow.missed == ("1.35 times as slow as the baseline, 1.3 allowed",)
    assert verdict(row(2.7), row(2.0), most=1.4).missed == ()


def test_an_ungated_row_is_told_and_never_missed():
    found = verdict(row(9.0, gated=False), row(2.0))
    assert (found.change, found.missed) == (4.5, ())


@pytest.mark.parametrize(
    ("key", "after", "missed"),
    [
        ("steps", 27, False), ("steps", 28, True), ("steps", 20, False),  # one more may be rounding; fewer are fine
        ("cg_heat", 514, False), ("cg_heat", 516, True), ("cg_heat", 300, False),
        ("cells", 1004, False), ("cells", 1006, True), ("cells", 990, True),  # another mesh is another problem
    ],
)  # fmt: skip
def test_counts_are_compared_as_they_are(key, after, missed):
    counts = {**row()["counts"], key: after}
    found = verdict(row(counts=counts), row())
    told = found.missed if missed else found.notes
    assert told == (f"{key} {row()['counts'][key]} -> {after}",)
    assert bool(found.missed) is missed


def test_an_error_that_grows_is_missed():
    assert verdict(row(**{"error_%": 1.04}), row()).missed == ()
    assert verdict(row(**{"error_%": 1.06}), row()).missed == ("error 1.00 % -> 1.06 %",)
    assert verdict(row(**{"error_%": 0.5}), row()).missed == ()


def test_rows_that_break_down_or_are_gone_are_missed_and_new_ones_are_not():
    assert verdict({"failed": "ValueError: no"}, row()).missed == ("failed: ValueError: no",)
    assert verdict(None, row()).missed == ("it is in the baseline and was not measured",)
    assert verdict(row(), None).missed == ()
    assert gate.judge({"r": row()}, {"r": row(), "other": row()}, 1.3, wanted=["r"])[0].row == "r"
    assert verdict({"skipped": "too large"}, row()).notes == ("too large",)


# ----------------------------------------------------------------------------------------- a slow kernel, for real


def tiny_row(reference: Reference) -> dict[str, Any]:
    """The matrix product on a coarse mesh, measured in this process."""
    mesh = micro.graded_mesh(1e-3)
    space = Space(mesh.points, mesh.cells)
    g, u, out = np.ones(space.n_edges), np.ones(space.n_nodes), np.empty(space.n_nodes)

    def prepare(quick: bool) -> work.Work:
        return work.Work(lambda: micro.kernels.multiply(g, space.indptr, space.upper, u, out), 10, micro.size_of(space))

    return work.carry_out(prepare, True, reference)


@pytest.fixture(scope="module")
def reference():
    small = Reference(triads=1, sweeps=20, steps=100_000)
    small()
    return small


def judged(monkeypatch, reference, slow: bool) -> gate.Verdict:
    """The same tiny row before and after the kernel of the product is made to do its work twice."""
    monkeypatch.setitem(work.BUDGET, True, 0.4)
    then = tiny_row(reference)
    if slow:
        multiply = micro.kernels.multiply

        def twice(*arguments: Any) -> None:
            multiply(*arguments)
            multiply(*arguments)

        monkeypatch.setattr(micro.kernels, "multiply", twice)
    best = min((tiny_row(reference) for _ in range(3)), key=lambda found: found["ratio"])
    return verdict(best, then)


def test_doubled_work_in_a_kernel_is_caught(monkeypatch, reference):
    found = judged(monkeypatch, reference, slow=True)
    assert found.slow
    assert found.change == pytest.approx(2.0, rel=0.35)


def test_the_same_kernel_holds(monkeypatch, reference):
    assert judged(monkeypatch, reference, slow=False).missed == ()


def test_the_reference_is_used_in_turn_and_the_first_call_is_kept_apart(reference):
    calls = []

    def prepare(quick: bool) -> work.Work:
        def call() -> dict[str, int]:
            calls.append(time.process_time())
            end = time.process_time() + (0.1 if len(calls) == 1 else 0.02)
            while time.process_time() < end:
                pass
            return {"steps": 7}

        return work.Work(call)

    found = work.carry_out(prepare, True, reference)
    assert found["cold_s"] == pytest.approx(0.1, rel=0.3)
    assert found["best_s"] == pytest.approx(0.02, rel=0.3)
    assert found["ratio"] == pytest.approx(found["best_s"] / found["reference_s"])
    assert found["counts"] == {"steps": 7}
    assert found["repeats"] >= 3


# -------------------------------------------------------------------------------------------------------- the command


def run(*words: str) -> int:
    return cli.main(["bench", *words])


def test_two_rows_are_measured_written_drawn_and_held_against_another_machine(tmp_path, monkeypatch, capsys):
    names = ["run.axisymmetric.5k", "run.axisymmetric.13k"]
    assert run(*names, "--quick", "--out", str(tmp_path / "one")) == 0
    assert "run.axisymmetric.13k" in capsys.readouterr().out
    data = json.loads((tmp_path / "one/bench.json").read_text())
    assert data["format"] == gate.FORMAT
    assert {"cpu", "commit", "numpy", "numba", "python", "rfasim"} <= data["machine"].keys()
    flat, finer = data["rows"]
    for found in (flat, finer):
        assert {"row", "what", "cold_s", "warm_s", "clock_s", "ratio", "threads", "counts"} <= found.keys()
        assert 0 < found["best_s"] <= found["warm_s"] * 1.001
        assert found["threads"] == 1
    assert 0.2 < flat["error_%"] < 2.0  # the shipped mesh's error, against the converged solution
    assert finer["error_%"] < flat["error_%"]
    assert flat["cells"] == flat["counts"]["cells"] < finer["cells"]
    assert flat["peak_mb"] > 50
    assert data["exponents"].keys() == {"axisymmetric"}
    for name in ("bench.md", "time_against_cells.png", "error_against_time.png"):
        assert (tmp_path / "one" / name).stat().st_size > 300
    before = {**data, "machine": {**data["machine"], "cpu": "another"}}
    before["rows"] = [{**flat, "counts": {"nodes": 1}}]
    (tmp_path / "before.json").write_text(json.dumps(before))
    monkeypatch.setattr(command, "measured", lambda chosen, quick: iter([flat]))
    assert run("run.axisymmetric.5k", "--quick", "--against", str(tmp_path / "before.json")) == 1
    told = capsys.readouterr()
    assert "another machine or other versions (cpu another ->" in told.err
    assert "1 of 1 rows MISSED: run.axisymmetric.5k" in told.out
    assert f"nodes 1 -> {flat['nodes']}" in told.out


def test_slow_rows_are_measured_again_and_named(tmp_path, monkeypatch, capsys):
    measured = []

    def pretend(chosen, quick):
        measured.append([row.name for row in chosen])
        for one in chosen:
            ratio = 1.6 if one.name == "micro.cg" else 1.0
            yield {"row": one.name, "what": one.what, "gated": True, "warm_s": 1.0, "ratio": ratio, "counts": {}}

    names = [one.name for one in choose(["micro"], True)]
    then = {"format": 1, "quick": True, "machine": {}, "rows": [{"row": n, "ratio": 1.0, "counts": {}} for n in names]}
    (tmp_path / "b.json").write_text(json.dumps(then))
    monkeypatch.setattr(command, "measured", pretend)
    assert run("micro", "--quick", "--against", str(tmp_path / "b.json")) == 1
    assert measured == [names, ["micro.cg"], ["micro.cg"]]
    assert f"1 of {len(names)} rows MISSED: micro.cg" in capsys.readouterr().out
    assert run("micro", "--quick", "--against", str(tmp_path / "b.json"), "--max-slowdown", "1.7") == 0


def test_of_several_rounds_the_middle_one_is_kept():
    same = [{"row": "r", "ratio": ratio} for ratio in (3.0, 1.0, 2.0)]
    assert command._median(same)["ratio"] == 2.0
    assert "failed" in command._median([{"row": "r", "failed": "no"}])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["micro.asembly"], "ROW: there is no row 'micro.asembly'; did you mean micro.assembly"),
        (["--against", "nowhere.json"], "there is no such file"),
        (["--max-slowdown", "1.5"], "needs --against"),
        (["--max-slowdown", "fast"], "'fast' is no number"),
        (["--max-slowdown", "0.9", "--against", "x"], "give a factor above 1"),
        (["--max-slowdown", "nan", "--against", "x"], "give a factor above 1"),
        (["--rounds", "0"], "'0' is no number of rounds"),
        (["--peer-python", "sfepy=/x"], "needs --peers"),
        (["--peers", "--peer-python", "sfpy=/x"], "did you mean sfepy"),
        (["--peers", "--peer-python", "sfepy=/no/python"], "there is no file '/no/python' for sfepy"),
        (["--peers", "micro"], "is a comparison of its own"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(words, told, capsys):
    assert run(*words) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no", "cannot be read as JSON"), ("[]", "is no file of 'rfasim bench'"),
        ('{"format": 99, "rows": []}', "has format 99"),
        ('{"format": 1, "rows": [], "quick": true}', "was made with --quick, whose rows are smaller; add --quick"),
    ],
)  # fmt: skip
def test_a_foreign_baseline_is_refused(text, told, tmp_path, capsys):
    (tmp_path / "b.json").write_text(text)
    assert run("--against", str(tmp_path / "b.json")) == 2
    assert told in capsys.readouterr().err


def test_the_list_names_every_row_and_the_quick_ones(capsys):
    assert run("--list", "--json") == 0
    every = json.loads(capsys.readouterr().out)
    assert {"micro.assembly", "run.axisymmetric.5k", "run.10m", "device.umbrella", "start.compile"} <= every.keys()
    assert [name for name, found in every.items() if found["quick"]] == [one.name for one in choose([], True)]


def test_a_run_that_does_not_fit_the_memory_is_a_row_that_says_so(monkeypatch):
    from rfasim import doctor

    monkeypatch.setattr(doctor, "memory", lambda: (8e9, 2e9))
    [found] = command.measured(choose(["run.10m"], False), False)
    assert found["skipped"] == "1e+07 cells need about 5.0 GB, 2.0 GB are free"


# ------------------------------------------------------------------------------------------- what is measured, and said


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_problems_are_the_shipped_cases(name):
    assert problems.problem(name) == load_case(CASES / f"problem_{name}.yaml")


def test_every_device_class_has_a_row():
    named = {one.name.removeprefix("device.") for one in rows() if one.name.startswith("device.")}
    shipped = {load_case(path).electrodes[0].device for path in (CASES / "devices").glob("*.yaml")}
    assert shipped <= named


def test_exponent_is_that_of_a_power_law_and_ladders_are_runs_of_one_problem():
    def at(name: str, cells: float) -> dict[str, Any]:
        return {"row": name, "cells": cells, "best_s": 1e-6 * cells**1.2, "error_%": 1.0}

    sizes = {"run.100k": 1e5, "run.1m": 1e6, "run.axisymmetric.5k": 5e3, "run.saline": 5e3}
    found = tables.ladders([at(name, cells) for name, cells in sizes.items()])
    assert {label: len(ladder) for label, ladder in found.items()} == {"3-D": 2, "axisymmetric": 1}
    assert tables.exponent(found["3-D"]) == pytest.approx(1.2)
    assert tables.exponent(found["axisymmetric"]) is None


def test_the_committed_baseline_has_the_quick_rows():
    data = gate.read_baseline(ROOT / "benchmarks/baseline.json", quick=True)
    assert [found["row"] for found in data["rows"]] == [one.name for one in choose([], True)]
    assert all(math.isfinite(found["ratio"]) for found in data["rows"])


# ---------------------------------------------------------------------------------------------------------- workflows


def steps() -> list[tuple[str, str]]:
    """Each command that a workflow runs: (file, command)."""
    found = []
    for file in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for job in parse_yaml(file.read_text(encoding="utf-8"), file.name)["jobs"].values():
            found += [(file.name, step["run"]) for step in job["steps"] if "run" in step]
    return found


@pytest.mark.parametrize(("file", "step"), [(f, s) for f, s in steps() if re.search(r"(^|; do )rfasim ", s)])
def test_workflows_call_the_command_as_it_is(file, step):
    for command_ in re.findall(r"(?:^|; do )rfasim ([^|;]+)", step):
        words = shlex.split(command_.replace('"$file"', "cases/needle.yaml"))
        options = cli.build_parser().parse_args(words)
        if options.verb == "bench":
            assert choose(options.rows, options.quick)
            if options.against is not None:
                assert (ROOT / options.against).is_file()
        if options.verb == "run":
            assert (ROOT / options.case).is_file()


def test_workflows_name_files_and_extras_that_exist():
    text = " ".join(step for _, step in steps())
    for name in re.findall(r"(?:tests|cases|benchmarks|docs)/[\w./*-]*\w", text):
        assert name.startswith("docs/_build") or list(ROOT.glob(name)), name
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra in re.findall(r"'\.\[(\w+)\]'", text):
        assert extra in extras or extra == "docs", extra  # the pages' extra comes with their build


# -------------------------------------------------------------------------------------------------------------- peers


def test_a_peer_agrees_in_all_three_tasks(monkeypatch):
    pytest.importorskip("skfem")
    monkeypatch.setattr(peers, "finer", lambda k: COARSE)
    monkeypatch.setitem(peers.AGREES, "run", 0.1)  # heat is spread over nodes in another way, and the mesh is coarse
    ours = list(peers.compare(True, {"scikit-fem": peers.sys.executable}))
    theirs = {found["task"]: found for found in ours if found["code"] == "scikit-fem"}
    assert list(theirs) == ["assembly", "solve", "run"]
    for found in theirs.values():
        assert found["agrees"], found
        assert found["times_ours"] > 0
    assert theirs["solve"]["residual"] <= peers.SOLVED_TO


def test_a_peer_that_is_missing_is_a_row_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(peers.MODULES, "ngsolve", "no_such_module")
    monkeypatch.setattr(peers, "finer", lambda k: COARSE)
    found = list(peers.compare(True, {"ngsolve": peers.sys.executable}, tasks=()))
    assert found == [{"task": "", "code": "ngsolve", "missing": "pip install 'rfasim[peers]'"}]
    assert peers.note(found[0]) == "not installed: pip install 'rfasim[peers]'"


def test_an_answer_that_differs_has_no_time():
    mesh = micro.graded_mesh(1e-3)
    answer = np.ones(4)
    off, _ = peers.difference("solve", {"answer": answer}, {"answer": answer * 1.1}, Space(mesh.points, mesh.cells))
    assert off == pytest.approx(0.1)
    assert "no time counts" in peers.note({"agrees": False, "in": "rise +9 %"})


@pytest.mark.skipif(os.name == "nt", reason="stands in for Python by a shell script")
@pytest.mark.parametrize(("agrees", "code", "told"), [(True, 0, "3.2"), (False, 1, "answer differs, no time counts")])
def test_the_comparison_is_written_and_fails_when_an_answer_differs(agrees, code, told, tmp_path, monkeypatch, capsys):
    ours = {"task": "solve", "code": "rfasim", "cpu_s": 0.1}
    theirs = {"task": "solve", "code": "sfepy", "cpu_s": 0.32, "agrees": agrees, "difference": 0.1, "in": "all"}
    if agrees:
        theirs["times_ours"] = 3.2
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\ncat << END\n{json.dumps(ours)}\n{json.dumps(theirs)}\nEND\n")
    script.chmod(0o755)
    monkeypatch.setattr(command.sys, "executable", str(script))
    assert run("--peers", "--out", str(tmp_path / "out")) == code
    assert told in capsys.readouterr().out
    written = json.loads((tmp_path / "out/peers.json").read_text())
    assert [found["code"] for found in written["rows"]] == ["rfasim", "sfepy"]
    assert "| ngsolve | CAD kernel" in (tmp_path / "out/peers.md").read_text()
