"""What keeps the program at home on Windows, macOS and bare machines: read off the source, or tried."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim import cli
from rfasim.case import case_from_dict, load_case, rebased
from rfasim.checkpoint import allowed_name
from rfasim.variants import folders_of

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for folder in ("rfasim", "benchmarks", "tools", "docs", "cases") for path in (ROOT / folder).rglob("*.py")
)
POSIX_MODULES = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}
POSIX_OS = {"uname", "getuid", "geteuid", "getgid", "killpg", "setsid", "fork", "nice", "sched_getaffinity",
            "getloadavg", "statvfs", "chown", "mkfifo", "getpgid", "setpriority"}  # fmt: skip
EVERYWHERE = {"SIGINT", "SIGTERM", "SIGABRT", "SIG_DFL", "SIG_IGN"}
SMALL: dict[str, Any] = {
    "name": "small", "electrodes": [{"device": "needle", "tip": ["0 mm", "0 mm", "-10 mm"], "active_length": "20 mm"}],
    "generator": {"protocol": "constant_power", "power": "10 W", "duration": "3 s"},
    "domain": {"shape": "cylinder", "radius": "30 mm", "height": "60 mm", "axisymmetric": True},
    "mesh": {"size": "1 mm", "rim_size": "0.5 mm"},
}  # fmt: skip


def _nodes(path: Path) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    """Each node of a file with those that hold it, the innermost last."""
    stack: list[tuple[ast.AST, list[ast.AST]]] = [(ast.parse(path.read_text(encoding="utf-8")), [])]
    while stack:
        node, above = stack.pop()
        yield node, above
        stack += [(child, [*above, node]) for child in ast.iter_child_nodes(node)]


def _opens_text_without_encoding(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    others = ("webbrowser.open", "tarfile.open", "Image.open", "os.open")
    if name not in ("open", "fdopen") or f"{owner}.{name}" in others:
        return False
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    words = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return not any("b" in word and set(word) <= set("rwabx+") for word in words)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_has_an_encoding_and_what_some_systems_lack_is_guarded(path: Path) -> None:
    wrong = []
    for node, above in _nodes(path):
        guarded = any(isinstance(one, ast.Try | ast.If | ast.IfExp) for one in above)
        own = path.is_relative_to(ROOT / "rfasim")
        if isinstance(node, ast.Call) and _opens_text_without_encoding(node):
            wrong.append(f"line {node.lineno}: {ast.unparse(node)[:60]} has no encoding")
        if own and not guarded and isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            wrong += [f"line {node.lineno}: {name} is not everywhere" for name in POSIX_MODULES & set(names)]
        if own and not guarded and isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            missing = node.value.id == "os" and node.attr in POSIX_OS
            missing |= node.value.id == "signal" and node.attr.startswith("SIG") and node.attr not in EVERYWHERE
            if missing:
                wrong.append(f"line {node.lineno}: {node.value.id}.{node.attr} is not everywhere")
    assert not wrong


def test_no_two_files_differ_in_case_only() -> None:
    paths = [path for folder in ("rfasim", "cases", "docs") for path in (ROOT / folder).rglob("*")]
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    assert len({name.casefold() for name in names}) == len(names)
    assert [name for name in names if set(name) & set('<>:"|?*\\') or name.endswith((" ", "."))] == []


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("CON", "CON_"), ("nul.yaml", "nul_.yaml"), ("com1", "com1_"), ("console", "console"), ("a:b/c\\d?", "a_b_c_d"),
        ("trailing. ", "trailing"), ("..", "case"), ("Leber \u00e4 1", "Leber_\u00e4_1"), ("", "case"),
    ],
)  # fmt: skip
def test_a_name_becomes_a_folder_that_any_system_takes(name: str, folder: str) -> None:
    assert cli.folder_name(name) == folder


def test_folders_of_variants_are_taken_by_any_system() -> None:
    assert folders_of(["aux", "AUX", "a", "A", "x:y"]) == ["aux_", "AUX__2", "a", "A_2", "x_y"]
    assert allowed_name("lpt9") == "lpt9_"


def test_files_on_another_drive_are_named_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_way(*_: object) -> str:
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    labels = {"labels": [{"file": "a/labels.nii", "mapping": {1: "liver"}}]}
    case = case_from_dict(SMALL | {"domain": {}, "anatomy": labels}, from_file=True)
    monkeypatch.setattr(os.path, "relpath", no_way)
    moved = rebased(case, tmp_path, Path("elsewhere"))
    assert moved.anatomy is not None
    assert moved.anatomy.labels[0].file == (tmp_path / "a/labels.nii").as_posix()


def test_a_name_that_the_terminal_has_no_letters_for_is_printed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rfasim.yaml_io import dump_yaml

    (tmp_path / "case.yaml").write_text(dump_yaml(SMALL | {"name": "30 \u03a9"}), encoding="utf-8")
    bare = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", bare)
    assert cli.main(["run", str(tmp_path / "case.yaml"), "--dry-run"]) == 0
    bare.flush()
    assert b"30 \\u03a9" in bare.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_run_and_its_files_may_lie_below_any_name(tmp_path: Path) -> None:
    from rfasim.result import Result
    from rfasim.yaml_io import dump_yaml

    folder = tmp_path / "Leber \u00e4\u00f6\u00fc \u809d\u81d3 (1)"
    folder.mkdir()
    (folder / "F\u00e4lle.yaml").write_text(dump_yaml(SMALL), encoding="utf-8")
    out = folder / "Lauf 1 \u00df"
    assert cli.main(["run", str(folder / "F\u00e4lle.yaml"), "--out", str(out), "--quiet", "--no-pictures"]) == 0
    result = Result.read(out)
    assert np.isfinite(result.field("temperature_c")).all()
    assert load_case(out / "case.yaml").name == "small"


def test_images_in_every_kind_of_file_may_lie_below_any_name(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    pytest.importorskip("nibabel")
    pytest.importorskip("highdicom")
    from rfasim.anatomy import LabelImage, read_labels, read_scan
    from rfasim.anatomy.writing import scan_slices, write_dicom_scan, write_dicom_seg, write_nifti, write_seg_nrrd

    folder = tmp_path / "Bilder \u00e4 \u809d"
    folder.mkdir()
    data = np.zeros((5, 4, 3), np.uint8)
    data[1:4, 1:3, 1] = 1
    image = LabelImage(data, np.diag([1e-3, 1e-3, 2e-3, 1.0]), {1: "Leber \u00e4"})
    series = scan_slices(np.full(data.shape, 40, np.int16), image.to_world)
    write_dicom_scan(folder / "Scan \u00f6", series)
    write_nifti(folder / "\u00e4 1.nii.gz", data, image.to_world, image.names)
    write_seg_nrrd(folder / "\u00e4 1.seg.nrrd", image)
    write_dicom_seg(folder / "\u00e4 1.dcm", image, series)
    header = {"space": "left-posterior-superior", "space directions": np.diag([1, 1, 2]), "space origin": [0, 0, 0]}
    nrrd.write(str(folder / "scan.nhdr"), data, {**header, "encoding": "raw"}, detached_header=True)
    for name in ("\u00e4 1.nii.gz", "\u00e4 1.seg.nrrd", "\u00e4 1.dcm", "scan.nhdr"):
        read = read_labels(folder / name)
        assert (read.data != 0).sum() == (data != 0).sum(), name
        assert name.endswith("nhdr") or list(read.names.values()) == ["Leber \u00e4"]
    assert sorted(read_scan(folder / "Scan \u00f6").values.shape) == sorted(data.shape)


def test_a_home_that_cannot_be_written_to_is_no_traceback(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "file" / "home")
    (tmp_path / "file").touch()
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "NUMBA_CACHE_DIR")}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "HOME": nowhere, "USERPROFILE": nowhere}
    environment |= {f"XDG_{name}_HOME": nowhere for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    command = [sys.executable, "-c", "from rfasim.jit import CACHE_FOLDER; print(CACHE_FOLDER)"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not say which cores to use")
def test_one_core_and_two_threads_give_the_same_bits(tmp_path: Path) -> None:
    from rfasim.simulation import Simulation

    last = {}
    every = os.sched_getaffinity(0)
    for cores, threads in (({min(every)}, 1), (every, 2)):
        os.sched_setaffinity(0, cores)
        try:
            *_, frame = Simulation(case_from_dict(SMALL | {"solver": {"threads": threads}}, from_file=True)).frames()
        finally:
            os.sched_setaffinity(0, every)
        last[threads] = frame.temperature
    assert np.array_equal(last[1], last[2])
