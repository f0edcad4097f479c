"""Studies on workers that somebody else starts: a Dask scheduler that runs, and a batch system by dask-jobqueue."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_study import STUDY as SMALL_STUDY

from rfasim import cli
from rfasim.sweep import engine
from rfasim.sweep.store import Store
from rfasim.yaml_io import dump_yaml

pytest.importorskip("distributed")
STUDY = SMALL_STUDY | {"design": {"kind": "grid", "levels": 8}}


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(dump_yaml(STUDY), encoding="utf-8")
    return tmp_path / "study.yaml"


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """dask_jobqueue takes SIGINT for itself when it is imported."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def _address_in(told: Path) -> str | None:
    try:
        return str(json.loads(told.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler with one worker, each a process of its own: address, and the scheduler's process."""
    told = folder / "scheduler.json"
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--no-dashboard", "--scheduler-file", str(told)]  # fmt: skip
    scheduler = subprocess.Popen(dask, **silent)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(told), "--nthreads", "1",
              "--no-dashboard", "--no-nanny", "--preload", "rfasim.sweep.worker", "--local-directory", str(folder),
              "--death-timeout", "60"]  # fmt: skip
    processes = [scheduler, subprocess.Popen(worker, **silent)]
    try:
        until = time.monotonic() + 300
        while (address := _address_in(told)) is None:  # a file that is there may still be empty
            assert time.monotonic() < until
            time.sleep(0.05)
        yield address, scheduler
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_scheduler_that_runs_is_used_by_several_studies_and_its_death_is_told(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", "10s")
    with running(tmp_path) as (address, scheduler):
        out = tmp_path / "out"
        line = ["sweep", str(study_file), "--scheduler", address, "--out"]
        assert cli.main([*line, str(out)]) == 0
        assert sorted(Store(out).finished()) == list(range(8))

        def kill_when_two_are_done(self: engine.Gathering) -> None:  # two more are asked for at a time, of eight
            if self.count.now >= 2:
                scheduler.kill()

        monkeypatch.setattr(engine.Gathering, "when_due", kill_when_two_are_done)
        capsys.readouterr()
        # the same numbers of runs as before, in another folder: no answer of the first study may count for it
        assert cli.main([*line, str(tmp_path / "second")]) == 1
        assert "the scheduler is gone; what is finished is kept, and --resume goes on" in capsys.readouterr().err
    done = set(Store(tmp_path / "second").finished())
    assert 2 <= len(done) < 8
    assert cli.main([*line[:2], "--out", str(tmp_path / "second"), "--resume", "--workers", "1"]) == 0
    assert sorted(Store(tmp_path / "second").finished()) == list(range(8))


def test_nobody_at_the_address(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", "1s")
    line = ["sweep", str(study_file), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert cli.main(line) == 2
    assert "--scheduler: nobody answers at tcp://127.0.0.1:9" in capsys.readouterr().err


def test_jobs_of_dask_jobqueue_do_a_study(study_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    from dask_jobqueue.local import LocalCluster  # its stand-in for a batch system: jobs are processes here

    job = {"cores": 1, "processes": 1, "memory": "1GB", "worker_extra_args": ["--preload", "rfasim.sweep.worker"],
           "local_directory": str(tmp_path), "log_directory": None,
           "scheduler_options": {"dashboard_address": "127.0.0.1:0"}}  # fmt: skip
    with LocalCluster(**job) as cluster:
        cluster.scale(jobs=2)
        line = ["sweep", str(study_file), "--out", str(tmp_path / "out"), "--scheduler", cluster.scheduler_address]
        assert cli.main(line) == 0
    assert sorted(Store(tmp_path / "out").finished()) == list(range(8))


def test_what_is_handed_to_slurm() -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    with jobqueue.SLURMCluster(
        cores=8, processes=8, memory="16GB", walltime="02:00:00", interface=None,
        worker_extra_args=["--preload", "rfasim.sweep.worker"],
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:  # fmt: skip
        script = cluster.job_script()
    assert "#SBATCH --cpus-per-task=8" in script
    assert "--nthreads 1 " in script
    assert "--nworkers 8 " in script
    assert "--preload rfasim.sweep.worker" in script


def test_an_array_job_does_all_runs_once(study_file: Path, tmp_path: Path) -> None:
    """The script of docs/studies.md, its tasks started one after the other as SLURM would, one of them twice."""
    out = tmp_path / "out"
    script = (
        f'"{sys.executable}" -m rfasim sweep "{study_file}" --out "{out}" --workers 1 --quiet '
        "--shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
    )
    for task in (1, 2, 2):
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2"}
        subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True)
    assert sorted(Store(out).finished()) == list(range(8))
