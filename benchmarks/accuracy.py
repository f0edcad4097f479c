"""Time to a stated accuracy: problems A and B at several resolutions, error beside time.

    python benchmarks/accuracy.py a                 # problem A in 3-D; also: a2 (axisymmetric), b, b2
    python benchmarks/accuracy.py scale             # problem A at about 250 000 and 1 000 000 cells
    python benchmarks/accuracy.py a --set mesh.grow=0.3 --set mesh.size="0.4 mm"     # one row of one's own
    python benchmarks/accuracy.py reference a       # the converged solution, into reference.json

Each row is a process of its own: kernels are loaded (``load_s``, kept apart) and warmed on a tiny mesh, then mesh and
run are timed, the median of several repeats. What a row costs is CPU time; clock time stands beside it. Errors are
against ``reference.json``, which says how it was made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import common
import numpy as np

from rfasim.bench.clock import machine
from rfasim.bench.problems import AXISYMMETRIC, FEW_STEPS, LOOSE, REFERENCE, TINY, errors, sizes, wanted
from rfasim.bench.runs import run_case
from rfasim.bench.tables import markdown
from rfasim.case import load_case
from rfasim.simulation import Simulation

CASES = common.HERE.parent / "cases"
CASE_OF = {
    "a": "problem_a.yaml", "a2": "problem_a_axisymmetric.yaml", "b": "problem_b.yaml", "b2": "problem_b.yaml",
}  # fmt: skip
TIGHT = {"time.tolerance": "0.03 K", "solver.potential_tolerance": "1e-8", "solver.heat_tolerance": "1e-7"}
ROWS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "a": [
        ("as shipped", {}),
        ("as shipped, few steps", LOOSE),
        ("0.4 mm, grow 0.3", {**LOOSE, **sizes(0.4, 0.1, 0.3)}),
        ("0.3 mm, grow 0.25", {**LOOSE, **sizes(0.3, 0.1, 0.25)}),
        ("0.3 mm, grow 0.2", {**LOOSE, **sizes(0.3, 0.1, 0.2)}),
        ("0.2 mm, grow 0.2", {**LOOSE, **sizes(0.2, 0.05, 0.2)}),
    ],
    "a2": [
        ("as shipped", {}),
        ("as shipped, few steps", LOOSE),
        ("0.4 mm, grow 0.4", {**LOOSE, **sizes(0.4, 0.1, 0.4)}),
        ("0.3 mm, grow 0.3", {**LOOSE, **sizes(0.3, 0.1, 0.3)}),
        ("0.3 mm, grow 0.2", {**LOOSE, **sizes(0.3, 0.1, 0.2)}),
        ("0.15 mm, grow 0.15", {**LOOSE, **sizes(0.15, 0.03, 0.15)}),
        ("0.075 mm, grow 0.075", {**LOOSE, **sizes(0.075, 0.01, 0.075)}),
    ],
    "scale": [
        ("250 000 cells", {**FEW_STEPS, **sizes(0.3, 0.1, 0.4)}),
        ("1 000 000 cells", {**FEW_STEPS, **sizes(0.15, 0.1, 0.2)}),
    ],
    "b": [("as shipped", {}), ("0.3 mm, grow 0.4", sizes(0.3, 0.1, 0.4))],
    "b2": [
        ("as shipped", AXISYMMETRIC),
        ("0.3 mm, grow 0.3", {**AXISYMMETRIC, **sizes(0.3, 0.1, 0.3)}),
        ("0.15 mm, grow 0.15", {**AXISYMMETRIC, **sizes(0.15, 0.03, 0.15)}),
    ],
}  # fmt: skip
CASE_OF["scale"] = CASE_OF["a"]
# the cheapest row of each that is within 1 %
BEST_AXISYMMETRIC = "0.15 mm, grow 0.15"


# ------------------------------------------------------------------------------------------------ one run


@dataclass
class Clocks:
    """CPU seconds of each part of the work, without those of the parts it calls."""

    seconds: dict[str, float] = field(default_factory=dict)
    stack: list[float] = field(default_factory=list)

    def wrap(self, owner: Any, name: str, part: str | Callable[[Any], str]) -> None:
        """Replace ``owner.name`` by itself with a clock around it; ``part`` may depend on the first argument."""
        function = getattr(owner, name)

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.stack.append(0.0)
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                own = spent - self.stack.pop()
                label = part if isinstance(part, str) else part(args[0])
                self.seconds[label] = self.seconds.get(label, 0.0) + own
                if self.stack:
                    self.stack[-1] += spent

        setattr(owner, name, timed)


def instrument() -> tuple[Clocks, dict[int, str]]:
    """Clocks around the parts of a run; the dictionary names a linear system (by ``id``) once the run has made it."""
    from rfasim import simulation
    from rfasim.damage import Damage
    from rfasim.heat import Storage
    from rfasim.solver.linear import System
    from rfasim.solver.space import Space

    clocks, names = Clocks(), dict[int, str]()
    clocks.wrap(simulation, "build_domain", "mesh")
    clocks.wrap(Space, "__init__", "edges and weights")
    clocks.wrap(Space, "assemble", "assembly")
    clocks.wrap(Space, "multiply", "products")
    clocks.wrap(Space, "dissipation", "products")
    clocks.wrap(System, "solve", lambda system: f"CG {names.get(id(system), 'other')}")
    clocks.wrap(System, "set_matrix", lambda system: f"factor {names.get(id(system), 'other')}")
    for name in ("advance", "predict_omega", "measure"):
        clocks.wrap(Damage, name, "damage")
    clocks.wrap(simulation, "volume_above", "level set")
    clocks.wrap(simulation.Simulation, "admittivity", "laws")
    clocks.wrap(Storage, "enthalpy", "laws")
    clocks.wrap(simulation.Simulation, "_book", "ledger")
    return clocks, names


def run_once(path: Path, overrides: dict[str, str], *, profile: bool = False) -> dict[str, Any]:
    """Mesh and run one case; what it cost and what came out."""
    clocks, names = instrument() if profile else (None, {})

    def ready(run: Simulation) -> None:
        names.update({id(run.potential.system): "potential", id(run.heat_system): "heat"})

    row = run_case(load_case(path, overrides.items()), ready)
    if clocks is not None:
        accounted = sum(clocks.seconds.values())
        parts = {**clocks.seconds, "rest": row["total_s"] - accounted}
        row["profile"] = dict(sorted(parts.items(), key=lambda part: -part[1]))
    return row


MEDIANS = (
    "mesh_s", "run_s", "clock_s", "total_s", "mesh_clock_s", "times_real", "us_per_node_step", "ns_per_cell_step"
)  # fmt: skip


def child(job: dict[str, Any]) -> dict[str, Any]:
    """One row, in a process of its own: warm up, repeat, take medians, profile apart."""
    from rfasim.summary import peak_memory_mb

    path, overrides = Path(job["case"]), job["overrides"]
    start = time.process_time()
    run_once(path, {**overrides, **TINY})
    load, base = time.process_time() - start, peak_memory_mb() or 0.0
    runs = [run_once(path, overrides) for _ in range(job["repeats"])]
    row = dict(runs[0])
    for key in MEDIANS:
        row[key] = float(np.median([run[key] for run in runs]))
    row["load_s"] = load
    row["kb_per_cell"] = ((peak_memory_mb() or 0.0) - base) * 1024 / row["cells"]
    row["profile"] = run_once(path, overrides, profile=True)["profile"] if job["profile"] else {}
    return row


def run_row(case: str, overrides: dict[str, str], repeats: int, *, profile: bool = True) -> dict[str, Any]:
    """Start a child for one row and read its answer."""
    job = {"case": str(CASES / case), "overrides": overrides, "repeats": repeats, "profile": profile}
    run = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(job)], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        return {"failed": (run.stderr.strip().splitlines() or ["no message"])[-1]}
    return dict(json.loads(run.stdout.strip().splitlines()[-1]))


# ----------------------------------------------------------------------------------- converged reference, rows


def kind(problem: str) -> str:
    """The problem that a set of rows is about: ``a`` or ``b``."""
    return "a" if problem == "scale" else problem[0]


def extrapolate(coarse: float, middle: float, fine: float) -> tuple[float, float]:
    """Limit of a second-order sequence of halved cells, and how far the two extrapolations differ.

    A sequence that turns back is not second order: then the finest value, and its distance from the middle one.
    """
    if (fine - middle) * (middle - coarse) <= 0:
        return fine, abs(fine - middle)
    limit = fine + (fine - middle) / 3
    return limit, abs(limit - (middle + (middle - coarse) / 3))


def make_reference(problem: str, halvings: tuple[int, ...] = (2, 4, 8)) -> dict[str, Any]:
    """The converged solution: axisymmetric, all mesh sizes divided by 2, 4, 8 (the rim's by their squares)."""
    tight = {"b": {**TIGHT, "time.tolerance": "0.1 K"}, "a": {**TIGHT, **FEW_STEPS, "time.max_step": "20 s"}}[problem]
    rows = []
    for k in halvings:
        overrides = {
            **tight, **AXISYMMETRIC, **sizes(0.4 / k, 0.1 / k**2, 0.6 / k), "mesh.max_size": f"{8 / k:g} mm"
        }  # fmt: skip
        row = run_row(CASE_OF[problem], overrides, 1, profile=False)
        common.say(json.dumps({key: value for key, value in row.items() if key != "curve"}))
        rows.append(row)
    out: dict[str, Any] = {
        "made": "axisymmetric, cells halved twice, Richardson extrapolation of second order; uncertainty: "
                "difference between the extrapolations from the first and the second pair; where the sequence turns "
                "back, the finest value and its distance from the middle one",
        "settings": tight, "cells": [row.get("cells") for row in rows], **machine(),
    }  # fmt: skip
    for key in wanted(kind(problem)):
        values = [row[key] for row in rows]
        limit, spread = extrapolate(*values)
        out[key] = {"value": limit, "uncertainty": spread, "sequence": values}
    out["curve"] = rows[-1]["curve"]
    return out


def with_errors(problem: str, row: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """The row with its errors [%] against the reference; the impedance curve's for problem B."""
    known = reference.get(kind(problem))
    if known is None or "failed" in row:
        return row
    row |= {f"error_{key}_%": value for key, value in errors(kind(problem), row, reference).items()}
    if problem[0] == "b":
        t, z = np.array(row["curve"]).T
        tr, zr = np.array(known["curve"]).T
        # up to 80 % of the time to roll-off; the climb itself is judged by its time
        times = np.linspace(1.0, 0.8 * min(t[-1], tr[-1]), 200)
        ratio = np.interp(times, t, z) / np.interp(times, tr, zr) - 1
        row["error_curve_%"] = 100 * float(np.sqrt(np.mean(ratio**2)))
    worst = max((abs(value) for key, value in row.items() if key.startswith("error_")), default=None)
    row["worst_%"] = worst
    return row


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(json.loads(sys.argv[2])), default=float))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=[*ROWS, "reference"])
    parser.add_argument("which", nargs="?", choices=["a", "b"], help="which reference to make")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="one row with these options")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="append the rows to this file")
    options = parser.parse_args()
    reference = json.loads(REFERENCE.read_text(encoding="utf-8")) if REFERENCE.exists() else {}
    if options.problem == "reference":
        if options.which is None:
            parser.error("say which reference to make: a or b")
        reference[options.which] = make_reference(options.which)
        REFERENCE.write_text(json.dumps(reference, indent=1, default=float) + "\n", encoding="utf-8")
        return
    problem = options.problem
    rows = ROWS[problem]
    if options.set:
        base = AXISYMMETRIC if problem == "b2" else {}
        rows = [(" ".join(options.set), {**base, **dict(item.split("=", 1) for item in options.set)})]
    common.emit({"benchmark": f"accuracy {problem}", **machine()}, options.out)
    done = []
    for name, overrides in rows:
        row = {"row": name, **with_errors(problem, run_row(CASE_OF[problem], overrides, options.repeats), reference)}
        shown = {key: value for key, value in row.items() if key != "curve"}
        common.emit(shown | {"overrides": overrides}, options.out)
        done.append(row)
    off = {f"error_{key}_%": "+.2f" for key in wanted(kind(problem))}
    if problem[0] == "b":
        off |= {"error_curve_%": ".2f", "roll_off": ".2f"}
    print(markdown(done, {
        "row": "", "nodes": "", "cells": "", "mesh_s": ".2f", "run_s": ".2f", "total_s": ".2f", "clock_s": ".2f",
        "times_real": ".0f", "steps": "", "cg_potential": "", "cg_heat": "", **off, "ns_per_cell_step": ".0f",
        "kb_per_cell": ".2f", "failed": "",
    }))  # fmt: skip
    for row in done:
        if row.get("profile"):
            total = sum(row["profile"].values())
            parts = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in row["profile"].items())
            print(f"\n{row['row']}: {parts}")


if __name__ == "__main__":
    main()
