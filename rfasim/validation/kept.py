"""Runs of a dossier, kept in its folder: what was done is not done again by the same program on the same case."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rfasim.case import Case, file_groups
from rfasim.checkpoint import disk_errors, write_bytes

FOLDER = "runs"
LIBRARIES = ("numpy", "scipy", "numba")
# what only shows or compares: a change there leaves the runs as they are
_ASIDE = {"validation", "validate.py", "preview", "report.py", "verify.py", "verification", "cli.py", "plot.py"}


@functools.cache
def program() -> str:
    """SHA-256 over the sources that runs are made by, and the versions of the libraries they stand on."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.parts[0] not in _ASIDE:
            digest.update(place.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class Kept:
    """The summaries in ``folder``, by case."""

    folder: Path

    def path(self, case: Case) -> Path | None:
        """Where a case's summary is kept; None for a case that names other files, whose content is not asked."""
        if file_groups(case.model_dump(mode="json")):
            return None
        return self.folder / f"{hashlib.sha256((program() + case.sha256).encode()).hexdigest()[:32]}.json"

    def find(self, case: Case) -> dict[str, Any] | None:
        """The summary; None where there is none, or none that can be read."""
        path = self.path(case)
        if path is None or not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep(self, case: Case, summary: dict[str, Any]) -> None:
        """Write a summary. Raises RunError when the disk does not take it."""
        path = self.path(case)
        if path is None:
            return
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(summary).encode(), durable=False)
