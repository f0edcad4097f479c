"""The shipped studies run, go on where they were, and write their page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_heat_sink_study_goes_on_where_it_was_and_writes_its_page(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "cases/studies/heat_sink.py"), "--quick", "--out", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 of 3: 4 mm 3 mm" in first.stdout
    rows = json.loads((tmp_path / "heat_sink.json").read_text(encoding="utf-8"))
    assert [row.get("treatment") for row in rows] == [None, "line", "resolved"]
    assert rows[1]["heat_removed_j"] > 0
    assert all(row["imbalance"] < 1e-6 for row in rows)
    (tmp_path / "heat_sink.json").write_text(json.dumps(rows[:2]), encoding="utf-8")
    again = subprocess.run([*command, "--page", str(tmp_path / "page.md")], capture_output=True, text=True, check=True)
    assert "2 of 3" not in again.stdout
    assert json.loads((tmp_path / "heat_sink.json").read_text(encoding="utf-8")) == rows
    assert "| 4 mm | 8 cm/s | 3 mm | resolved |" in (tmp_path / "page.md").read_text(encoding="utf-8")
