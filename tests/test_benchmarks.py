"""The benchmarks' claims at tiny size: answers agree with the peers', errors and clocks are what they say."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import accuracy  # noqa: E402
import assembly  # noqa: E402

from rfasim.bench.clock import bandwidth  # noqa: E402
from rfasim.bench.micro import bytes_moved  # noqa: E402
from rfasim.bench.tables import markdown  # noqa: E402
from rfasim.solver.space import Space  # noqa: E402


@pytest.fixture(scope="module")
def small_mesh():
    return assembly.uniform_mesh(8e-3)


def test_scikit_fem_assembles_the_same_matrix_as_the_benchmark(small_mesh):
    pytest.importorskip("skfem")
    rows = assembly.bench("small", small_mesh, {"scikit-fem": sys.executable}, 2)
    ours, theirs = rows
    assert ours["threads_agree"]
    assert theirs["error"] < 1e-12
    assert theirs["times_ours"] == pytest.approx(theirs["full_ms"] / ours["full_ms"])


def test_a_peer_that_fails_is_a_row_that_says_so(small_mesh):
    rows = assembly.bench("small", small_mesh, {"nobody": sys.executable}, 1)
    assert rows[1]["failed"] == "ModuleNotFoundError: No module named 'nobody'"
    assert "full_ms" not in rows[1]


def test_counted_bytes_of_a_lattice_mesh_leave_out_weights_that_are_zero(small_mesh):
    space = Space(small_mesh.points, small_mesh.cells)
    matrix, _, _ = space.csr_pattern()
    moved = bytes_moved(space, matrix.nnz)
    # four terms a cell (12 B each) with cell number and coefficient, then conductances and rows
    assert all(t.weights.shape == (space.n_cells, 4) for t in space.terms if len(t.cells))
    per_edge = (3 * 8 * space.n_edges) / space.n_cells
    assert moved["edges"] == pytest.approx(4 * 12 + 12 + per_edge)
    assert moved["full_csr"] > moved["edges"]


def test_extrapolation_finds_the_limit_of_a_second_order_sequence():
    limit, spread = accuracy.extrapolate(*(5 + 3 * h**2 for h in (0.4, 0.2, 0.1)))
    assert limit == pytest.approx(5, abs=1e-12)
    assert spread < 1e-12
    assert accuracy.extrapolate(*(5 + 3 * h for h in (0.4, 0.2, 0.1)))[1] > 0.09


def test_extrapolation_does_not_trust_a_sequence_that_turns_back():
    assert accuracy.extrapolate(3.0, 2.0, 2.25) == (2.25, 0.25)


def test_clocks_give_each_part_its_own_time_and_no_more():
    class Work:
        def outer(self) -> None:
            burn(0.03)
            self.inner()

        def inner(self) -> None:
            burn(0.06)

    def burn(seconds: float) -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    clocks = accuracy.Clocks()
    clocks.wrap(Work, "outer", "outer")
    clocks.wrap(Work, "inner", lambda work: type(work).__name__)
    Work().outer()
    assert clocks.seconds["outer"] == pytest.approx(0.03, abs=0.01)
    assert clocks.seconds["Work"] == pytest.approx(0.06, abs=0.01)


def test_errors_are_relative_to_the_reference_in_per_cent():
    known = {"a": {key: {"value": 2.0} for key in ("impedance", "rise", "volume_50")}}
    row = {"impedance": 2.02, "rise": 1.98, "volume_50": 2.0}
    row = accuracy.with_errors("a2", row, known)
    assert row["error_impedance_%"] == pytest.approx(1)
    assert row["worst_%"] == pytest.approx(1)


def test_problem_a_axisymmetric_is_within_one_per_cent_of_the_converged_solution():
    reference = json.loads(accuracy.REFERENCE.read_text())
    overrides = dict(accuracy.ROWS["a2"])[accuracy.BEST_AXISYMMETRIC]
    row = accuracy.run_once(accuracy.CASES / accuracy.CASE_OF["a2"], overrides)
    assert accuracy.with_errors("a2", row, reference)["worst_%"] <= 1.0
    assert abs(row["imbalance"]) < 1e-6


def test_reference_is_far_more_exact_than_what_it_judges():
    reference = json.loads(accuracy.REFERENCE.read_text())["a"]
    for key in accuracy.wanted("a"):
        assert reference[key]["uncertainty"] < 1e-3 * reference[key]["value"]


def test_bandwidth_is_positive_and_a_table_shows_gaps_as_empty():
    assert bandwidth(24, 1) > 0
    assert markdown([{"a": 1.234}, {}], {"a": ".1f"}).splitlines()[2:] == ["| 1.2 |", "|  |"]
