"""A study of short runs: an axisymmetric needle on a coarse mesh, its power varied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[1] / "cases"
COARSE = {"mesh.size": "1 mm", "mesh.rim_size": "0.5 mm", "mesh.grow": 1, "time.tolerance": "2 K"}
STUDY: dict[str, Any] = {
    "name": "small", "case": str(CASES / "needle_axisymmetric.yaml"),
    "vary": {"power": {"path": "generator.power", "low": "20 W", "high": "35 W"}},
    "set": {**COARSE, "generator.duration": "20 s"}, "design": {"kind": "grid", "levels": 6},
}  # fmt: skip
