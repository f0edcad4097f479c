"""Build sdist and wheel, look into them, install each into an empty environment, and let it verify itself there.

    python tools/check_package.py                      # both, ten minutes with the first compilation of the kernels
    python tools/check_package.py --only wheel
    python tools/check_package.py --dist dist          # keep the two files there

Needs pip and the network (or a folder of wheels that pip knows). The environments lie in a temporary folder outside the
checkout, below a folder whose name has spaces and an umlaut. Exit code 1 and one sentence where something is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
NEEDED = (
    "rfasim/py.typed", "rfasim/cli.py", "rfasim/preview/static/index.html", "rfasim/preview/static/app.js",
    "rfasim/preview/static/vendor/LICENSE-niivue.txt",
)  # fmt: skip
"""what must be in both, besides every other file below ``rfasim`` that git knows"""
ALSO_IN_SDIST = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "cases/needle.yaml", "tests/conftest.py")
NEVER = ("__pycache__", ".pyc", ".hypothesis", ".venv", ".git/", ".nbi", ".nbc", "runs/", ".DS_Store")
CASE = """\
name: packaged
electrodes:
  - {device: cooled_needle, model: cooltip_30, tip: [0 mm, 0 mm, -15 mm]}
generator: {protocol: constant_power, power: 30 W, duration: 60 s}
domain: {shape: cylinder, radius: 50 mm, height: 100 mm, axisymmetric: true}
mesh: {size: 0.5 mm, rim_size: 0.25 mm}
"""


def tracked() -> set[str]:
    """The files of the package that git knows; what lies there where this is no checkout."""
    asked = subprocess.run(["git", "ls-files", "rfasim"], cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode == 0 and asked.stdout:
        return set(asked.stdout.split("\n")) - {""}
    files = (path.relative_to(ROOT).as_posix() for path in (ROOT / "rfasim").rglob("*") if path.is_file())
    return {name for name in files if not any(part in name for part in NEVER)}


def call(*words: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a command prints; ends with its last lines where it fails."""
    print("+", *words, flush=True)
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True,
                          encoding="utf-8", check=False)  # fmt: skip
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise SystemExit(f"{tail}\n{words[0]} ended with {done.returncode}")
    return done.stdout


def environment_in(folder: Path) -> Path:
    """The Python of a new, empty environment."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def contents(file: Path) -> list[str]:
    """The names of the files in a wheel or an sdist, without the sdist's top folder."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            return wheel.namelist()
    with tarfile.open(file) as archive:
        names = (PurePosixPath(one.name) for one in archive.getmembers() if one.isfile())
        return [PurePosixPath(*name.parts[1:]).as_posix() for name in names]


def look_into(file: Path) -> None:
    """Whether all is there that is needed, and nothing that is not."""
    names = contents(file)
    is_wheel = file.suffix == ".whl"
    wanted = tracked() | set(NEEDED) | (set() if is_wheel else set(ALSO_IN_SDIST))
    missing = sorted(wanted - set(names))
    junk = [name for name in names if any(word in name for word in NEVER)]
    if is_wheel:
        junk += [name for name in names if not name.startswith("rfasim/") and ".dist-info/" not in name]
        if not any(name.endswith("licenses/LICENSE") for name in names):
            missing.append("LICENSE")
    complain(file, "lacks", missing)
    complain(file, "should not hold", junk)
    print(f"{file.name}: {len(names)} files, {file.stat().st_size / 1e6:.2f} MB")


def complain(file: Path, what: str, names: Iterable[str]) -> None:
    if names := list(names):
        raise SystemExit(f"{file.name} {what} {len(names)} files: {', '.join(names[:8])}")


def try_out(file: Path, folder: Path) -> None:
    """Install a file into an empty environment and use it, far from the checkout."""
    folder.mkdir(parents=True)
    python = environment_in(folder / "environment")
    call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", file)
    here = folder / "work with spaces, \u00e4\u00f6"
    here.mkdir()
    (here / "c\u00e4se.yaml").write_text(CASE, encoding="utf-8")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DISPLAY", "VIRTUAL_ENV")}
    clean |= {"PYTHONUTF8": "1", "NUMBA_CACHE_DIR": str(folder / "cache")}
    where = call(python, "-c", "import rfasim; print(rfasim.__file__)", cwd=here, environment=clean).strip()
    if not Path(where).is_relative_to(folder):
        raise SystemExit(f"{where} was imported instead of what has been installed")
    command = (python, "-m", "rfasim")
    print(call(*command, "--version", cwd=here, environment=clean).strip())
    call(*command, "doctor", cwd=here, environment=clean)
    print(call(*command, "verify", "--quick", cwd=here, environment=clean).strip().splitlines()[-1])
    call(*command, "run", "c\u00e4se.yaml", "--out", "r\u00fcn 1", "--quiet", cwd=here, environment=clean)
    told = call(*command, "show", "r\u00fcn 1", cwd=here, environment=clean)
    for name in ("summary.json", "section.png", "history.png", "fields.vtkhdf"):
        if not (here / "r\u00fcn 1" / name).is_file():
            raise SystemExit(f"the run left no {name}")
    print("\n".join(line for line in told.splitlines() if "zone volume" in line or "unaccounted" in line))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("wheel", "sdist"), help="install one of the two")
    parser.add_argument("--dist", type=Path, help="folder for the two files (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rfasim package \u00e4 ") as temporary:
        folder = Path(temporary)
        dist = (options.dist or folder / "dist").absolute()
        python = environment_in(folder / "builder")
        call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "build")
        call(python, "-m", "build", "--outdir", dist, ROOT)  # the wheel is made from the sdist
        files = {"wheel": max(dist.glob("*.whl")), "sdist": max(dist.glob("*.tar.gz"))}
        for file in files.values():
            look_into(file)
        for kind, file in files.items():
            if options.only in (None, kind):
                try_out(file, folder / kind)
    print("sdist and wheel are whole" + (f"; installed: {options.only}" if options.only else ", install and verify"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
