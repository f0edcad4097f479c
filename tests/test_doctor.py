"""The doctor names what is missing and how to get it; progress reads well with and without a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from fake_run import frames, needle_mesh_axisymmetric
from rich.console import Console

from rfasim import doctor, zone3d
from rfasim.doctor import Finding
from rfasim.progress import Progress, clock


def printed(monkeypatch: pytest.MonkeyPatch, findings: list[Finding]) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "diagnose", lambda folder=None: findings)
    console = Console(file=io.StringIO(), width=100)
    code = doctor.report(console)
    return code, console.file.getvalue()


def test_this_machine_can_run_and_every_required_library_is_listed(monkeypatch):
    monkeypatch.setattr(zone3d, "trial", lambda: "")  # drawn for real in test_plot
    findings = {finding.name: finding for finding in doctor.diagnose()}
    faults = [finding for finding in findings.values() if finding.verdict == "fault"]
    assert faults == []
    needed = {name for name, _, extra in doctor.requirements() if not extra}
    assert {"numpy", "scipy", "numba", "h5py", "pyarrow"} <= needed <= findings.keys()
    assert {"Python", "kernel cache", "cores", "memory", "disk", "3-D pictures"} <= findings.keys()


@pytest.mark.parametrize("name", ["pynrrd", "scikit-image", "ruamel-yaml"])
def test_a_library_whose_module_has_another_name_is_found(name):
    found = doctor.library(name, f"{name}>=0.1")
    assert (found.verdict, found.advice) == ("ok", "") or found.found == "not installed"


def test_a_missing_library_stops_and_names_the_line_to_type(monkeypatch):
    finding = doctor.library("no-such-library", "no-such-library>=1.2")
    assert finding.verdict == "fault"
    assert finding.advice.endswith('-m pip install "no-such-library>=1.2"')
    code, text = printed(monkeypatch, [Finding("Python", "3.12"), finding])
    assert code == 1
    assert 'pip install "no-such-library>=1.2"' in text
    assert "Runs are not possible yet: no-such-library." in text


def test_an_old_or_broken_library_is_a_fault(monkeypatch):
    old = doctor.library("numpy", "numpy>=999.0")
    assert old.verdict == "fault"
    assert "needs 999.0" in old.found
    assert doctor.library("numpy", "numpy>=1.26").verdict == "ok"

    def broken(name: str) -> None:
        raise ImportError("libfoo.so: undefined symbol\nand more")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    found = doctor.library("numpy", "numpy>=1.26")
    assert found.verdict == "fault"
    assert found.found.endswith("cannot be imported: libfoo.so: undefined symbol")
    assert "--force-reinstall" in found.advice


def test_what_could_be_better_does_not_stop_a_run(monkeypatch):
    code, text = printed(monkeypatch, [Finding("3-D pictures", "simple ones", "advice", zone3d.INSTALL_GL)])
    assert code == 0
    assert "apt-get install libegl1 libgl1-mesa-dri" in text
    assert "Runs are possible on this machine." in text


def test_missing_gl_names_the_packages(monkeypatch):
    pytest.importorskip("pyvista")
    monkeypatch.setattr(zone3d, "render_window", lambda: None)
    (finding,) = doctor._pictures()
    assert finding.verdict == "advice"
    assert "neither libEGL nor libOSMesa" in finding.found
    assert finding.advice == "apt-get install libegl1 libgl1-mesa-dri"


def test_the_kernel_cache_is_measured_and_must_last(tmp_path, monkeypatch):
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "home"))
    lasting = tmp_path / "home" / "numba"
    lasting.mkdir(parents=True)
    (lasting / "kernel.nbc").write_bytes(bytes(3_000_000))
    found = doctor.cache_finding(lasting)
    assert found.verdict == "ok"
    assert "3 MB in 1 files" in found.found
    gone = doctor.cache_finding(tmp_path / "nowhere")
    assert gone.verdict == "advice"
    assert "NUMBA_CACHE_DIR" in gone.advice
    monkeypatch.setattr(doctor.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "tmp" / "rfasim-numba-1").mkdir(parents=True)
    fallen_back = doctor.cache_finding(tmp_path / "tmp" / "rfasim-numba-1")
    assert fallen_back.verdict == "advice"
    assert "temporary folder" in fallen_back.advice


@pytest.mark.parametrize(("free", "verdict"), [(5e9, "ok"), (1e9, "advice"), (2e8, "fault")])
def test_little_memory_is_noticed(monkeypatch, free, verdict):
    monkeypatch.setattr(doctor, "memory", lambda: (16e9, free))
    (finding,) = doctor._memory()
    assert finding.verdict == verdict


def test_memory_is_read_with_and_without_proc():
    total, available = doctor.memory()
    assert 1e8 < available <= total < 1e14
    elsewhere, _ = doctor._memory_elsewhere()
    assert elsewhere >= total * 0.99  # a container may allow less than the machine has


@pytest.mark.parametrize(("free", "verdict"), [(5e10, "ok"), (1e9, "advice"), (1e7, "fault")])
def test_a_full_disk_is_noticed(tmp_path, monkeypatch, free, verdict):
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    (finding,) = doctor._disk(tmp_path)
    assert finding.verdict == verdict
    assert str(tmp_path) in finding.found


def test_more_threads_than_cores_is_noticed(monkeypatch):
    for name in doctor.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert [finding.verdict for finding in doctor._threads()] == ["ok"] * len(list(doctor._threads()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    finding = next(finding for finding in doctor._threads() if finding.name == "thread variables")
    assert finding.verdict == "advice"
    assert "OMP_NUM_THREADS" in finding.advice


# ---------------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (4.25, "4.2 s"),
        (9.97, "10 s"),
        (45.0, "45 s"),
        (59.7, "1 min"),
        (720.0, "12 min"),
        (200.2, "3 min 20 s"),
        (18170.0, "5 h 3 min"),
    ],
)
def test_times_read_as_people_say_them(seconds, text):
    assert clock(seconds) == text


def run_progress(console: Console, n_steps: int = 100) -> str:
    mesh = needle_mesh_axisymmetric(n=4)
    with Progress(duration=720.0, console=console) as progress:
        for frame in frames(mesh, n_steps=n_steps, end=720.0):
            progress.update(frame)
    return console.file.getvalue()


def test_without_a_terminal_a_line_is_printed_every_tenth():
    text = run_progress(Console(file=io.StringIO(), force_terminal=False, width=80))
    lines = text.splitlines()
    assert [int(line.split("%")[0]) for line in lines] == [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert lines[5].split("  ")[-5:] == [
        " 6 min of 12 min".strip(),
        "30.0 W",
        "79 ohm",
        lines[5].split("  ")[-2],
        "zone 2.50 ml",
    ]
    assert len(run_progress(Console(file=io.StringIO(), width=80), n_steps=3).splitlines()) == 3


def test_a_run_that_ends_early_says_where():
    console = Console(file=io.StringIO(), width=80)
    run = list(frames(needle_mesh_axisymmetric(n=4), n_steps=100, end=720.0))
    with Progress(duration=720.0, console=console) as progress:
        for frame in run[:37]:
            progress.update(frame)
    assert [int(line.split("%")[0]) for line in console.file.getvalue().splitlines()] == [1, 10, 20, 30, 37]


def test_in_ci_no_control_characters_are_printed(monkeypatch):
    monkeypatch.setenv("CI", "true")
    text = run_progress(Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 11


def test_on_a_terminal_one_line_shows_all_readings(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = run_progress(Console(file=io.StringIO(), force_terminal=True, width=120))
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").strip().splitlines()[-1]
    for reading in ("12 min of 12 min", "3.0 W", "261 ohm", "°C", "zone 5.00 ml"):
        assert reading in last


def test_a_resumed_run_goes_on_from_its_share(monkeypatch):
    console = Console(file=io.StringIO(), width=80)
    mesh = needle_mesh_axisymmetric(n=4)
    with Progress(duration=720.0, console=console, start=360.0) as progress:
        for frame in frames(mesh, n_steps=100, end=720.0, start=50):
            progress.update(frame)
        monkeypatch.setattr("rfasim.progress.time.monotonic", lambda: progress._began + 10.0)
        # 10 s for the 180 s since the resume: 180 s more take another 10 s
        assert progress.time_left(540.0) == pytest.approx(10.0)
        assert progress.time_left(720.0) is None
    shares = [int(line.split("%")[0]) for line in console.file.getvalue().splitlines()]
    assert shares == [60, 70, 80, 90, 100]


def test_doctor_report_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(zone3d, "trial", lambda: "")
    doctor.report(Console(file=io.StringIO()), folder=tmp_path)
    assert list(Path(tmp_path).iterdir()) == []
