"""``rfasim doctor``: what this machine has, what is missing for a run or for pictures, and how to get it."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rfasim.threads import THREAD_VARIABLES

Verdict = Literal["ok", "advice", "fault"]

MODULES = {
    "ruamel-yaml": "ruamel.yaml",
    "pynrrd": "nrrd",
    "scikit-image": "skimage",
}  # distribution (with '-') -> module, where they differ by more than that
EXTRAS = {
    "viz": "3-D pictures by VTK (else simpler ones)",
    "images": "label maps from NIfTI files",
    "meshio": "meshes made by other programs",
}
GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the table: ``advice`` says what to install or do when the verdict is not ok."""

    name: str
    found: str
    verdict: Verdict = "ok"
    advice: str = ""


def diagnose(folder: Path | None = None) -> list[Finding]:
    """All findings on this machine; ``folder`` is where results would go (the current folder)."""
    folder = Path.cwd() if folder is None else folder
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python, _libraries, _compiler, _threads, _memory, lambda: _disk(folder), _pictures, _extras,
    ]  # fmt: skip
    return [finding for check in checks for finding in check()]


def report(console: Any = None, folder: Path | None = None) -> int:
    """Print the table and what to do; the exit code: 0 when runs are possible here, 1 when not."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console() if console is None else console
    findings = diagnose(folder)
    marks = {"ok": "[green]ok[/]", "advice": "[yellow]could be better[/]", "fault": "[red]missing[/]"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "found", ""):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(finding.name, escape(finding.found), marks[finding.verdict])
    console.print(table, highlight=False)
    for finding in findings:
        if finding.verdict != "ok":
            console.print(
                f"\n[bold]{finding.name}[/]: {escape(finding.advice)}", highlight=False, soft_wrap=True
            )
    faults = [finding.name for finding in findings if finding.verdict == "fault"]
    if faults:
        console.print(f"\nRuns are not possible yet: {', '.join(faults)}.", highlight=False)
        return 1
    console.print("\nRuns are possible on this machine.", highlight=False)
    return 0


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    yield Finding("Python", found)


def requirements() -> list[tuple[str, str, str]]:
    """What the installed rfasim asks for: (name, requirement such as ``numpy>=1.26``, extra or '')."""
    found = []
    try:
        stated = importlib.metadata.requires("rfasim") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    for line in stated:
        requirement, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        if name:
            found.append((name[0], requirement.strip(), extra[1] if extra else ""))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def library(name: str, requirement: str) -> Finding:
    """Whether the distribution ``name`` is there, new enough for ``requirement``, and can be imported."""
    install = f'{Path(sys.executable)} -m pip install "{requirement}"'
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", "fault", install)
    least = re.search(r">=\s*([0-9.]+)", requirement)
    if least and _numbers(version) < _numbers(least[1]):
        return Finding(name, f"{version}, needs {least[1]}", "fault", install)
    try:
        plain = name.lower().replace(".", "-").replace("_", "-")
        importlib.import_module(MODULES.get(plain, plain.replace("-", "_")))
    except Exception as error:  # whatever a broken installation raises
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return Finding(
            name, f"{version}, cannot be imported: {reason}", "fault", f"{install} --force-reinstall"
        )
    return Finding(name, version)


def _libraries() -> Iterator[Finding]:
    needed = [(name, requirement) for name, requirement, extra in requirements() if not extra]
    if not needed:
        advice = f"{sys.executable} -m pip install -e . (in the folder of rfasim's source)"
        yield Finding("rfasim", "used without being installed", "advice", advice)
        return
    yield Finding("rfasim", importlib.metadata.version("rfasim"))
    for name, requirement in needed:
        yield library(name, requirement)


def _compiler() -> Iterator[Finding]:
    """numba compiles, and keeps what it compiled."""
    try:
        from rfasim import jit

        numba = importlib.import_module("numba")
        if numba.njit(lambda x: x + 1)(1) != 2:
            raise RuntimeError("a compiled function gave a wrong number")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        yield Finding("compiler", f"does not work: {reason}", "fault", f"{sys.executable} -m pip install "
                      "--force-reinstall numba llvmlite")  # fmt: skip
        return
    yield cache_finding(jit.CACHE_FOLDER)


def cache_finding(folder: Path) -> Finding:
    """Where compiled kernels are kept, how much is there, and whether it lasts."""
    import platformdirs

    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e6
    found = f"{folder}, {size:.0f} MB in {len(files)} files"
    lasting = Path(platformdirs.user_cache_dir("rfasim")) / "numba"
    advice = "set the environment variable NUMBA_CACHE_DIR to a folder that you can write to and that stays"
    if not os.access(folder, os.W_OK):
        found = f"{folder} cannot be written to"
        return Finding("kernel cache", found, "advice", f"{advice}: until then each start compiles anew.")
    if folder != lasting and folder.is_relative_to(tempfile.gettempdir()):
        reason = f"{lasting} cannot be written to, so kernels are kept in a temporary folder"
        return Finding("kernel cache", found, "advice", f"{reason}; {advice}.")
    return Finding("kernel cache", found)


def usable_cores() -> float:
    """Cores that this process may use: the affinity mask, and the container's quota if there is one."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()[:2]
        if quota != "max":
            cores = min(cores, int(quota) / int(period))
    except (OSError, ValueError):
        pass
    return cores


def _threads() -> Iterator[Finding]:
    cores = usable_cores()
    yield Finding("cores", f"{cores:g} usable of {os.cpu_count() or '?'}")
    given = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    text = ", ".join(f"{name}={value}" for name, value in given.items()) or "nothing set"
    too_many = [name for name, value in given.items() if value.isdigit() and int(value) > cores]
    if too_many:
        advice = f"{' and '.join(too_many)} ask for more threads than there are cores; unset them."
        yield Finding("thread variables", text, "advice", advice)
    else:
        yield Finding("thread variables", text)
    if sys.platform.startswith("linux"):
        present = _has_library("libgomp.so.1")
        yield Finding("libgomp", "present" if present else "absent; rfasim's own kernels do without it")


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def memory() -> tuple[float, float] | None:
    """Total and available memory (bytes) for this process; None where the system does not tell."""
    total = available = None
    try:
        fields = dict(
            line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines() if ":" in line
        )
        total = 1024.0 * int(fields["MemTotal"].split()[0])
        available = 1024.0 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        total, available = _memory_elsewhere()
    if total is None or available is None:
        return None
    try:  # a container's limit
        limit = float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = float(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        total, available = min(total, limit), min(available, max(limit - used, 0.0))
    except (OSError, ValueError):  # no limit is the word "max"
        pass
    return total, available


def _memory_elsewhere() -> tuple[float | None, float | None]:
    """macOS and other Unix by sysconf, Windows by its kernel."""
    if os.name == "nt":
        status = (ctypes.c_ulonglong * 8)()
        ctypes.c_ulong.from_buffer(status).value = ctypes.sizeof(status)
        kernel: Any = vars(ctypes)["windll"].kernel32  # there on Windows only
        if kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
            return float(status[1]), float(status[2])
        return None, None
    try:
        page = float(os.sysconf("SC_PAGE_SIZE"))
        total = page * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None, None
    try:
        return total, page * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):  # macOS does not tell: what is used is not known
        return total, total


def _memory() -> Iterator[Finding]:
    known = memory()
    if known is None:
        yield Finding("memory", "not known")
        return
    total, available = known
    found = f"{available / GB:.1f} GB free of {total / GB:.1f} GB"
    need = "a needle in 3-D takes about 0.5 GB, a run of a million cells about 2 GB"
    if available < 0.4 * GB:
        yield Finding("memory", found, "fault", f"Close other programs: {need}.")
    elif available < 2.0 * GB:
        yield Finding("memory", found, "advice", f"Close other programs before large runs: {need}.")
    else:
        yield Finding("memory", found)


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    found = f"{free / GB:.1f} GB free in {folder}"
    if not os.access(folder, os.W_OK):
        advice = "You may not write here: give another folder, such as 'rfasim run CASE --out ~/results'."
        yield Finding("disk", f"{folder} cannot be written to", "advice", advice)
    elif free < 0.1 * GB:
        yield Finding("disk", found, "fault", "Free some space: a run writes 10 to 500 MB.")
    elif free < 2.0 * GB:
        yield Finding(
            "disk", found, "advice", "Free some space before large runs: they write up to 500 MB each."
        )
    else:
        yield Finding("disk", found)


def _pictures() -> Iterator[Finding]:
    """A real trial: one small 3-D picture, drawn in a child process as runs do it."""
    from rfasim.zone3d import INSTALL_GL, render_window, trial

    if find_spec("pyvista") is None:
        yield Finding("3-D pictures", "simple ones, by matplotlib")
        return
    window = render_window()
    if window is None:
        yield Finding(
            "3-D pictures", "simple ones: neither libEGL nor libOSMesa is installed", "advice", INSTALL_GL
        )
        return
    reason = trial()
    how = {"vtkEGLRenderWindow": " (EGL)", "vtkOSOpenGLRenderWindow": " (OSMesa)"}.get(window, "")
    if reason:
        yield Finding("3-D pictures", f"simple ones: {reason}", "advice", INSTALL_GL)
    else:
        yield Finding("3-D pictures", f"VTK works{how}")


def _extras() -> Iterator[Finding]:
    stated = requirements()
    for extra, purpose in EXTRAS.items():
        for name, requirement, of in stated:
            if of == extra:
                finding = library(name, requirement)
                missing = finding.verdict != "ok"
                yield Finding(
                    name,
                    f"{finding.found}: {purpose}",
                    "advice" if missing else "ok",
                    finding.advice if missing else "",
                )


def commit() -> str | None:
    """What git calls the checkout that rfasim is imported from; None where it is no checkout, or without git."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
