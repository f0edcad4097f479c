"""The soak in short: drawn cases in one process, run as a user runs them, books asked for; and what it would say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import soak


def test_a_few_drawn_cases_run_to_their_end_with_closed_books(capsys: pytest.CaptureFixture[str]) -> None:
    rows, wrong = soak.soak(3, seed=5)
    assert wrong == []
    assert len({row["case"] for row in rows}) == 3
    assert all(row["steps"] > 3 and row["unaccounted"] <= soak.LEDGER for row in rows)
    assert capsys.readouterr().out.count("\n") == 3


def test_what_the_books_miss_is_a_share_of_what_was_turned_over() -> None:
    names = ("electrical", "stored", "perfusion", "boundary", "coolant", "vessels", "saline")
    history = {f"{name}_j": [0.0, 0.0] for name in names} | {"electrical_j": [0.0, 200.0], "imbalance_j": [0.0, -1.0]}
    assert soak.unaccounted(history) == pytest.approx(0.005)
    history["coolant_j"] = [0.0, -400.0]
    assert soak.unaccounted(history) == pytest.approx(0.0025)


def test_memory_that_grows_is_a_complaint() -> None:
    rows = [{"memory_mb": 300.0 + 2.0 * n, "open_files": 9, "temporary": 0} for n in range(80)]
    assert soak.slope_of(rows) == pytest.approx(2.0)
    assert soak._grown(rows) == ["memory grows by 2.00 MB a run"]
    assert soak._grown([row | {"memory_mb": 300.0} for row in rows]) == []
