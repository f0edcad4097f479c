"""The result folder: what goes in comes out, VTK reads it, and no kill or full disk leaves a broken file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_run import CASE, CRITERION, META, SUMMARY, frames, needle_mesh_3d, needle_mesh_axisymmetric

from rfasim.checkpoint import _MAGIC
from rfasim.errors import InputError, RunError
from rfasim.frame import Frame
from rfasim.mesh import Mesh
from rfasim.result import PARTIAL, Result, ResultWriter, load_checkpoint, zone_level


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return needle_mesh_axisymmetric(n=8)


def write(folder: Path, mesh: Mesh, run: list[Frame], status: str = "complete") -> Result:
    with ResultWriter(folder, CASE, mesh, META) as writer:
        for frame in run:
            writer.add(frame)
        writer.finish(SUMMARY, status)
    return Result.read(folder)


@pytest.mark.parametrize("make", [needle_mesh_3d, needle_mesh_axisymmetric])
def test_what_is_written_is_what_is_read(tmp_path, make):
    mesh = make(n=5)
    run = list(frames(mesh, complex_potential=True))
    result = write(tmp_path / "out", mesh, run)
    kept = [frame for frame in run if frame.output]
    assert result.times.tolist() == [frame.time for frame in kept]
    for i, frame in enumerate(kept):
        np.testing.assert_array_equal(result.field("temperature_c", i), frame.temperature.astype(np.float32))
        np.testing.assert_array_equal(
            result.field("potential_imaginary_v", i), frame.potential.imag.astype("f4")
        )
        np.testing.assert_array_equal(
            result.field("damage_cem43", i), frame.damage["cem43"].astype(np.float32)
        )
        np.testing.assert_array_equal(result.field("zone", i), frame.damage[CRITERION] >= 1.0)
    for name in ("points", "cells", "regions"):
        np.testing.assert_array_equal(getattr(result.mesh, name), getattr(mesh, name))
    assert list(result.mesh.facets) == list(mesh.facets)
    for name, facets in mesh.facets.items():
        np.testing.assert_array_equal(result.mesh.facets[name], facets)
    assert result.mesh.axisymmetric == mesh.axisymmetric
    assert list(result.mesh.region_names) == list(mesh.region_names)
    assert result.case_yaml == CASE
    assert result.meta == META


def test_values_of_cells_come_back_and_open_in_vtk(tmp_path, mesh):
    pyvista = pytest.importorskip("pyvista")
    tissue = np.arange(mesh.n_cells) % 3
    with ResultWriter(tmp_path, CASE, mesh, META, cell_data={"tissue": tissue}) as writer:
        for frame in frames(mesh):
            writer.add(frame)
        writer.finish(SUMMARY)
    np.testing.assert_array_equal(Result.read(tmp_path).cell_data["tissue"], tissue)
    reader = pyvista.get_reader(str(tmp_path / "fields.vtkhdf"))
    for step in (2, 0):
        reader.reader.SetStep(step)
        np.testing.assert_array_equal(reader.read().cell_data["tissue"], tissue)


def test_history_has_a_row_a_step_in_stated_units(tmp_path, mesh):
    run = list(frames(mesh))
    result = write(tmp_path, mesh, run)
    history = result.history
    assert history["time_s"].tolist() == [frame.time for frame in run]
    np.testing.assert_allclose(history["impedance_ohm"], [abs(frame.impedance) for frame in run], rtol=1e-15)
    assert history["phase_deg"][0] == pytest.approx(np.degrees(np.angle(run[0].impedance)))
    assert history["zone_volume_ml"][-1] == pytest.approx(5.0)
    assert history["electrical_j"][-1] == run[-1].energy["electrical"]
    assert history["limited_by"].tolist() == [frame.limited_by for frame in run]
    assert history["electrodes[0].tip_c"].tolist() == result.probes["electrodes[0].tip_c"].tolist()
    assert result.probes["5 mm_c"].tolist() == [frame.probes["5 mm"] for frame in run]
    units = {
        "power_w": "W",
        "impedance_ohm": "ohm",
        "zone_volume_ml": "ml",
        "latent_j": "J",
        "electrodes[0].tip_c": "degC",
    }
    assert {name: result.units[name] for name in units} == units


def test_summary_is_strict_json_with_null_for_what_is_not_a_number(tmp_path, mesh):
    write(tmp_path, mesh, list(frames(mesh)))
    text = (tmp_path / "summary.json").read_text()
    summary = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert summary["electrical"]["final_impedance_ohm"] is None
    assert summary["zone"]["volume_ml"] == 5.0
    assert summary["status"] == "complete"
    assert not (tmp_path / PARTIAL).exists()


def test_zone_level_is_the_measure_of_the_damage_module():
    from rfasim.damage import CRITERIA, Damage

    damage = Damage.start(6)
    damage.advance(np.linspace(37, 80, 6), np.linspace(37, 95, 6), 30.0)
    for criterion in CRITERIA:
        np.testing.assert_array_equal(zone_level(criterion, damage.values()), damage.measure(criterion))


@pytest.mark.parametrize("make", [needle_mesh_3d, needle_mesh_axisymmetric])
def test_vtk_reads_the_fields_with_their_time_steps(tmp_path, make):
    pyvista = pytest.importorskip("pyvista")
    mesh = make(n=5)
    run = list(frames(mesh))
    result = write(tmp_path, mesh, run)
    reader = pyvista.get_reader(str(tmp_path / "fields.vtkhdf"))
    pipeline = reader.reader
    pipeline.UpdateInformation()
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

    known = pipeline.GetOutputInformation(0).Get(vtkStreamingDemandDrivenPipeline.TIME_STEPS())
    np.testing.assert_array_equal(known, result.times)  # what ParaView's time slider shows
    for i in (1, 0, len(result.times) - 1):  # also backwards, as a user drags that slider
        pipeline.UpdateTimeStep(result.times[i])
        grid = pyvista.wrap(pipeline.GetOutput())
        np.testing.assert_array_equal(grid.point_data["temperature_c"], result.field("temperature_c", i))
    reader = pyvista.get_reader(str(tmp_path / "fields.vtkhdf"))
    for i in (1, 0, len(result.times) - 1):
        reader.reader.SetStep(i)
        grid = reader.read()
        np.testing.assert_array_equal(grid.point_data["temperature_c"], result.field("temperature_c", i))
        np.testing.assert_array_equal(grid.point_data["zone"], result.field("zone", i))
        np.testing.assert_array_equal(grid.cell_data["region"], mesh.regions)
    dim = mesh.points.shape[1]
    assert set(grid.celltypes) == {5 if dim == 2 else 10}
    np.testing.assert_array_equal(grid.cells.reshape(-1, dim + 2)[:, 1:], mesh.cells)
    expected = mesh.points if dim == 3 else np.insert(mesh.points, 1, 0.0, axis=1)
    np.testing.assert_array_equal(grid.points, expected)
    if dim == 3:
        sizes = grid.compute_cell_sizes(length=False, area=False)["Volume"]
        edges = mesh.points[mesh.cells[:, 1:]] - mesh.points[mesh.cells[:, :1]]
        np.testing.assert_allclose(sizes, np.linalg.det(edges) / 6, rtol=1e-9, atol=1e-18)


def test_the_last_state_is_kept_even_when_it_is_no_output_time(tmp_path, mesh):
    run = list(frames(mesh))[:5]
    result = write(tmp_path, mesh, run, "partial")
    assert result.times.tolist() == [run[2].time, run[4].time]
    assert result.summary["status"] == "partial"
    np.testing.assert_array_equal(result.field("temperature_c"), run[4].temperature.astype(np.float32))


def test_a_checkpoint_returns_the_same_bits(tmp_path, mesh):
    rng = np.random.default_rng(1)
    state = {
        "temperature": rng.standard_normal(100), "potential": rng.standard_normal(5) + 1j,
        "cells": np.arange(4, dtype="u4"),
        "time": 0.1 + 0.2, "tiny": 5e-324, "infinite": float("inf"), "phase": "heating", "count": 3,
        "none": None,
        "memory": {"power": 0.1, "stops": [1.5, 2.5]}, "scalar": np.float64(0.3),
    }  # fmt: skip
    run = list(frames(mesh))
    with ResultWriter(tmp_path, CASE, mesh, META) as writer:
        for frame in run[:7]:
            writer.add(frame)
        writer.checkpoint(state)
        writer.add(run[7])
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.state.keys() == state.keys()
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            assert found.state[key].dtype == value.dtype
            assert found.state[key].tobytes() == value.tobytes()
        else:
            assert found.state[key] == value
    assert found.time == run[6].time
    assert found.case_yaml == CASE


def test_a_resumed_run_writes_what_an_uninterrupted_one_writes(tmp_path, mesh):
    run = list(frames(mesh))
    whole = write(tmp_path / "whole", mesh, run)
    with ResultWriter(tmp_path / "cut", CASE, mesh, META) as writer:
        for frame in run[:5]:
            writer.add(frame)
        writer.checkpoint({"step": 5})
        for frame in run[5:10]:  # lost: two of these frames were already spooled
            writer.add(frame)
    with pytest.raises(InputError, match="was cut off"):
        Result.read(tmp_path / "cut")
    checkpoint = load_checkpoint(tmp_path / "cut")
    assert checkpoint is not None
    with ResultWriter(tmp_path / "cut", CASE, mesh, META, resume=checkpoint) as writer:
        for frame in run[checkpoint.state["step"] :]:
            writer.add(frame)
        writer.finish(SUMMARY)
    for name in ("summary.json", "history.parquet", "probes.parquet", "case.yaml"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    cut = Result.read(tmp_path / "cut")
    assert cut.times.tolist() == whole.times.tolist()
    for name in whole.field_names:
        for i in range(len(whole.times)):
            np.testing.assert_array_equal(cut.field(name, i), whole.field(name, i))


def test_a_partial_result_can_still_go_on(tmp_path, mesh):
    run = list(frames(mesh))
    with ResultWriter(tmp_path, CASE, mesh, META) as writer:
        for frame in run[:5]:
            writer.add(frame)
        writer.checkpoint({"step": 5})
        writer.finish(SUMMARY, "partial")
    assert Result.read(tmp_path).summary["status"] == "partial"
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    with ResultWriter(tmp_path, CASE, mesh, META, resume=checkpoint) as writer:
        assert Result.read(tmp_path).summary["status"] == "partial"  # readable until the new one is there
        for frame in run[5:]:
            writer.add(frame)
        writer.finish(SUMMARY)
    result = Result.read(tmp_path)
    assert result.summary["status"] == "complete"
    assert result.history["time_s"].tolist() == [frame.time for frame in run]


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(tmp_path, mesh):
    run = list(frames(mesh))
    with ResultWriter(tmp_path, CASE, mesh, META) as writer:
        for number, frame in enumerate(run[:3]):
            writer.add(frame)
            writer.checkpoint({"number": number, "x": np.arange(1000.0)})
    newest, before = (tmp_path / PARTIAL / f"checkpoint.{slot}" for slot in (1, 0))  # numbers 3 and 2
    assert load_checkpoint(tmp_path).state["number"] == 2
    data = newest.read_bytes()
    newest.write_bytes(data[: len(data) // 2])  # half written
    assert load_checkpoint(tmp_path).state["number"] == 1
    newest.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])  # one bit
    assert load_checkpoint(tmp_path).state["number"] == 1
    payload = b"\x60" + bytes(7) + 96 * b"\x93"
    sum_of_it = hashlib.sha256(payload).hexdigest().encode()
    newest.write_bytes(_MAGIC + sum_of_it + b"\n" + payload)  # a right sum, and nothing behind it
    assert load_checkpoint(tmp_path).state["number"] == 1
    before.write_bytes(b"")
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path / "nothing here") is None


def test_a_checkpoint_of_another_mesh_is_refused(tmp_path, mesh):
    with ResultWriter(tmp_path, CASE, mesh, META) as writer:
        writer.add(next(frames(mesh)))
        writer.checkpoint({})
    with pytest.raises(RunError, match="mesh"):
        ResultWriter(tmp_path, CASE, needle_mesh_axisymmetric(n=9), META, resume=load_checkpoint(tmp_path))


def test_an_earlier_result_stays_whole_until_the_new_one_is_ready(tmp_path, mesh):
    run = list(frames(mesh))
    write(tmp_path, mesh, run)
    (tmp_path / "section.png").write_bytes(b"a picture of the earlier run")
    (tmp_path / "notes.txt").write_text("the user's own")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with ResultWriter(tmp_path, "name: other\n", mesh, META) as writer:
        writer.add(run[0])
        writer.checkpoint({})
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
        writer.finish(SUMMARY)
    assert Result.read(tmp_path).case_yaml == "name: other\n"
    assert not (tmp_path / "section.png").exists()
    assert (tmp_path / "notes.txt").exists()


def test_two_runs_cannot_write_into_one_folder(tmp_path, mesh):
    pytest.importorskip("fcntl")
    with ResultWriter(tmp_path, CASE, mesh, META), pytest.raises(RunError, match="another run is writing"):
        ResultWriter(tmp_path, CASE, mesh, META)
    ResultWriter(tmp_path, CASE, mesh, META).close()


CHILD = """
import sys; sys.path.insert(0, {tests!r})
from fake_run import *
from rfasim.result import ResultWriter, load_checkpoint
mesh = needle_mesh_axisymmetric(n=8)
run = list(frames(mesh, n_steps=600))
with ResultWriter({folder!r}, CASE, mesh, META) as writer:
    for number, frame in enumerate(run):
        writer.add(frame)
        writer.checkpoint({{"number": number, "temperature": frame.temperature}})
        print(number, flush=True)
    sys.stdin.read()  # never finishes, however late the kill
    writer.finish(SUMMARY)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("seed", range(3))
def test_sigkill_at_a_drawn_moment_leaves_a_usable_checkpoint(tmp_path, mesh, seed):
    script = CHILD.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    rng = np.random.default_rng(seed)
    said = [int(child.stdout.readline()) for _ in range(rng.integers(2, 30))]
    time.sleep(rng.uniform(0, 0.02))
    child.kill()
    said += [int(line) for line in child.stdout]
    child.wait()
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    number = checkpoint.state["number"]
    assert number >= said[-1]  # nothing that was reported as saved is lost
    run = list(frames(mesh, n_steps=600))
    assert checkpoint.state["temperature"].tobytes() == run[number].temperature.tobytes()
    assert checkpoint.history["time_s"] == [frame.time for frame in run[: number + 1]]
    with ResultWriter(tmp_path, CASE, mesh, META, resume=checkpoint) as writer:
        writer.finish(SUMMARY, "partial")
    assert Result.read(tmp_path).times.tolist() == [frame.time for frame in run[: number + 1] if frame.output]


FULL_DISK = """
import resource, sys; sys.path.insert(0, {tests!r})
from fake_run import *
from rfasim.errors import RunError
from rfasim.result import ResultWriter
mesh = needle_mesh_axisymmetric(n=8)
writer = ResultWriter({folder!r}, CASE, mesh, META)
for frame in frames(mesh):
    writer.add(frame)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    {action}
except RunError as error:
    print(error)
else:
    print("no error")
"""


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
@pytest.mark.parametrize(
    ("limit", "action", "file"),
    [
        (2_000, "writer.add(frame)", "frame_000004.npy"),
        (9_000, 'writer.checkpoint({"x": np.zeros(10_000)})', "checkpoint.1"),
        (10, "writer.finish(SUMMARY)", "case.yaml"),
        (2_000, "writer.finish(SUMMARY)", "history.parquet"),
        (50_000, "writer.finish(SUMMARY)", "fields.vtkhdf"),
    ],
)
def test_a_full_disk_is_one_sentence_and_earlier_files_stay(tmp_path, mesh, limit, action, file):
    write(tmp_path, mesh, list(frames(mesh)))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    script = FULL_DISK.format(
        tests=str(Path(__file__).parent), folder=str(tmp_path), limit=limit, action=action
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("\n") == 1
    assert "the disk is full; free some space" in child.stdout
    assert file in child.stdout
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert not (tmp_path / PARTIAL / file).exists()
    assert Result.read(tmp_path).summary["status"] == "complete"


def test_reading_what_is_no_result_says_so(tmp_path, mesh):
    with pytest.raises(InputError, match="does not exist"):
        Result.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"there is no summary\.json"):
        Result.read(tmp_path)
    result = write(tmp_path, mesh, list(frames(mesh)))
    with pytest.raises(InputError, match=r"there is no field 'pressure'; there are .*temperature_c"):
        result.field("pressure")
    for name in ("fields.vtkhdf", "history.parquet", "summary.json"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match=f"{name}.*damaged"):
            Result.read(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=r"missing|no summary"):
            Result.read(tmp_path)
        (tmp_path / name).write_bytes(data)
    Result.read(tmp_path)
