"""Other finite-element libraries on the same mesh and problem, in the same run: answers first, then times.

Three tasks: assembly, a linear solve, and the coupled run of twelve minutes. Each library does them in a process of its
own (:mod:`rfasim.bench.peer_process`); a time counts only where the answer agrees with ours.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rfasim.bench.clock import measure
from rfasim.bench.micro import csr_assembly
from rfasim.bench.problems import LOOSE, TINY, finer, problem
from rfasim.bench.runs import run_case
from rfasim.case import Case
from rfasim.complaints import near
from rfasim.domain import Domain, build_domain
from rfasim.errors import InputError
from rfasim.simulation import Simulation
from rfasim.solver.level_set import volume_above
from rfasim.solver.linear import System
from rfasim.solver.space import Space
from rfasim.threads import ONE_THREAD

SCRIPT = Path(__file__).with_name("peer_process.py")
TASKS = ("assembly", "solve", "run")
MODULES = {"scikit-fem": "skfem", "sfepy": "sfepy", "ngsolve": "ngsolve", "dolfinx": "dolfinx"}
TASKS_OF = {"dolfinx": ("assembly",)}
HOW = {"dolfinx": "conda install -c conda-forge fenics-dolfinx (it is not on PyPI)"}
MORE = {
    "scikit-fem": "weak forms in plain Python for any elements (high order, H(div), H(curl), mixed), any dimension, "
                  "hexahedra, adaptive refinement, mortar methods; no compiled code to install",
    "sfepy": "some 200 ready terms (elasticity, flow, piezoelectricity, hyperelasticity, homogenisation), high order, "
             "isogeometric elements, shells, contact, problem files, PETSc and MPI",
    "ngsolve": "CAD kernel and mesher, curved and high-order elements in every space, symbolic forms with automatic "
               "differentiation, hp-adaptivity, multigrid, BDDC and AMG, MPI, GPU",
    "dolfinx": "any form that UFL can say, compiled, in any element of Basix, PETSc's solvers, MPI to thousands of "
               "cores, complex and single precision",
}  # fmt: skip
"""What each can do that rfasim cannot"""
SOLVED_TO = 1e-8
AGREES = {"assembly": 1e-9, "solve": 1e-6, "run": 0.02}
"""Largest difference with which a time counts: of A x, of the potential, of impedance, rise and 50 degC volume"""
FINENESS = {True: 0.5, False: 0.7}


def setting(quick: bool) -> tuple[Case, Domain, dict[str, Any]]:
    """Problem A in 3-D and what a library is given of it."""
    case = problem("a", {**LOOSE, **finer(FINENESS[quick])})
    domain = build_domain(case)
    mesh = domain.mesh
    random = np.random.default_rng(20)
    facets = {name: mesh.facets[key] for name, key in (
        ("contact", "electrodes[0].contact"), ("insulation", "electrodes[0].insulation"), ("outer", "outer"),
    )}  # fmt: skip
    generator: Any = case.generator
    liver: Any = case.tissues["liver"]
    blood = case.blood.density * case.blood.heat_capacity
    given = {
        "points": mesh.points, "cells": mesh.cells, "x": random.normal(size=mesh.n_nodes),
        "coefficient": random.uniform(0.5, 2.0, mesh.n_cells), "contact": np.unique(facets["contact"]),
        "outer": np.unique(facets["outer"]), **{f"{name}_facets": rows for name, rows in facets.items()},
        "tolerance": SOLVED_TO, "voltage": generator.voltage, "conductivity": liver.conductivity,
        "slope": liver.conductivity_law.slope, "thermal_conductivity": liver.thermal_conductivity,
        "storage": liver.density * liver.heat_capacity, "perfusion": liver.perfusion * blood,
        "potential_tolerance": case.solver.potential_tolerance, "heat_tolerance": case.solver.heat_tolerance,
    }  # fmt: skip
    return case, domain, given


# ------------------------------------------------------------------------------------------------------------ our side


def own_assembly(space: Space, given: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """A coefficient into the rows of a CSR matrix, and its product with ``x``."""
    matrix, assemble = csr_assembly(space, given["coefficient"])
    timing = measure(assemble, repeats)
    return {"answer": np.asarray(matrix @ given["x"]), "cpu_s": timing.cpu, "clock_s": timing.clock}


def own_solve(space: Space, given: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """A unit potential from zero to the residual, factor included; our tolerance is tightened until it is so small."""
    held = np.zeros(space.n_nodes, bool)
    held[given["contact"]] = held[given["outer"]] = True
    start = np.zeros(space.n_nodes)
    start[given["contact"]] = 1.0
    g = space.assemble(given["coefficient"])
    system = System(space, held)
    size = np.linalg.norm(space.multiply(g, start)[~held])
    tolerance, residual, u, iterations = SOLVED_TO, np.inf, start, 0
    while residual > SOLVED_TO:
        system.set_matrix(g)
        u = start.copy()
        iterations = system.solve(None, u, tolerance)
        residual = float(np.linalg.norm(space.multiply(g, u)[~held]) / size)
        if residual > SOLVED_TO:
            tolerance *= 0.5

    def call() -> None:
        system.set_matrix(g)
        system.solve(None, start.copy(), tolerance)

    timing = measure(call, repeats)
    return {"answer": u, "cpu_s": timing.cpu, "clock_s": timing.clock, "iterations": iterations,
            "residual": residual}  # fmt: skip


def own_run(case: Case, domain: Domain) -> dict[str, Any]:
    """The coupled run as rfasim does it, with error control, damage and ledger; after the mesh is there."""
    run_case(problem("a", {**LOOSE, **TINY}))  # loads the kernels
    mesh = domain.mesh
    t, c = time.perf_counter(), time.process_time()
    Space(mesh.points, mesh.cells)  # the domain has brought one along: it counts
    run = Simulation(case, domain=domain)
    steps = []
    for frame in run.frames():
        steps.append(frame.step)
    clock, cpu = time.perf_counter() - t, time.process_time() - c
    return {"answer": run.state.temperature - 37.0, "impedance": abs(frame.impedance), "steps": steps, "cpu_s": cpu,
            "clock_s": clock, "iterations": run.potential.system.iterations}  # fmt: skip


def difference(task: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], space: Space) -> tuple[float, str]:
    """How far an answer is from ours, and in what."""
    if task != "run":
        a, b = ours["answer"], theirs["answer"]
        return float(np.abs(b - a).max() / np.abs(a).max()), ""
    off = {"impedance": float(theirs["impedance"] / ours["impedance"]) - 1}
    off["rise"] = float(theirs["answer"].max() / ours["answer"].max()) - 1
    volume = [
        volume_above(space.points, space.cells, rows["answer"] + 37.0, 50.0, False, None) for rows in (ours, theirs)
    ]
    off["volume"] = volume[1] / volume[0] - 1
    return max(map(abs, off.values())), ", ".join(f"{key} {100 * value:+.2f} %" for key, value in off.items())


# ---------------------------------------------------------------------------------------------------------- their side


def is_there(name: str, python: str) -> bool:
    """Whether a Python can import the library."""
    if python == sys.executable:
        return importlib.util.find_spec(MODULES[name]) is not None
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{MODULES[name]}') is None)"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def parse_pythons(words: Sequence[str]) -> dict[str, str]:
    """``NAME=PYTHON`` of libraries that live in a Python of their own; raises InputError."""
    found = dict.fromkeys(MODULES, sys.executable)
    for word in words:
        name, _, python = word.partition("=")
        if name not in MODULES:
            raise InputError("--peer-python", f"got '{word}'; {near(name, MODULES)}, as in sfepy=/path/to/its/python")
        if not Path(python).is_file():
            raise InputError("--peer-python", f"there is no file '{python}' for {name}")
        found[name] = python
    return found


def peer_task(name: str, python: str, task: str, given: Mapping[str, Any], repeats: int) -> dict[str, Any]:
    """Let a library do a task in its own process; what it wrote, or ``failed``."""
    with tempfile.TemporaryDirectory() as folder:
        inn, out = Path(folder) / "given.npz", Path(folder) / "out.npz"
        np.savez(inn, **given)
        command = [python, str(SCRIPT), name, task, str(inn), str(out), str(repeats)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env={**environment, **ONE_THREAD}
        )
        if done.returncode != 0:
            return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
        found = {key: value if value.ndim else value.item() for key, value in np.load(out).items()}
    return {**found, "cpu_s": float(np.median(found["cpu"])), "clock_s": float(np.median(found["clock"]))}


def compare(quick: bool, pythons: Mapping[str, str], tasks: Sequence[str] = TASKS) -> Iterator[dict[str, Any]]:
    """A row for each library and task, ours first; libraries that are missing are rows that say how to get them."""
    case, domain, given = setting(quick)
    mesh = domain.mesh
    space = Space(mesh.points, mesh.cells)
    missing = {name for name, python in pythons.items() if not is_there(name, python)}
    for name in missing:
        yield {"task": "", "code": name, "missing": HOW.get(name, "pip install 'rfasim[peers]'")}
    for task in tasks:
        repeats = {"assembly": 9, "solve": 5, "run": 1}[task]
        ours = own_run(case, domain) if task == "run" else {"assembly": own_assembly, "solve": own_solve}[task](
            space, given, repeats
        )  # fmt: skip
        given = {**given, "steps": np.array(ours.get("steps", []))}
        size = {"cells": mesh.n_cells, "nodes": mesh.n_nodes}
        yield {"task": task, "code": "rfasim", **size, **_plain(ours)}
        for name, python in pythons.items():
            if name in missing or task not in TASKS_OF.get(name, TASKS):
                continue
            found = peer_task(name, python, task, given, max(3, repeats // 3))
            row = {"task": task, "code": name, **size, **_plain(found)}
            if "failed" not in found:
                row["difference"], row["in"] = difference(task, ours, found, space)
                row["agrees"] = bool(row["difference"] <= AGREES[task])
                if row["agrees"]:
                    row["times_ours"] = found["cpu_s"] / ours["cpu_s"]
            yield row


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without the arrays."""
    return {key: value for key, value in found.items() if not isinstance(value, (np.ndarray, list))}


COLUMNS = {
    "task": "", "code": "", "version": "", "cpu_s": ".4g", "times_ours": ".3g", "iterations": "", "residual": ".1e",
    "difference": ".1e", "note": "",
}  # fmt: skip


def note(row: Mapping[str, Any]) -> str:
    """What a row needs said."""
    if "missing" in row:
        return f"not installed: {row['missing']}"
    if "failed" in row:
        return f"FAILED: {row['failed']}"
    if row.get("agrees") is False:
        return f"answer differs, no time counts: {row['in']}"
    uses = "" if row["task"] == "assembly" else str(row.get("uses", ""))
    return ", ".join(filter(None, (str(row.get("in", "")), uses)))


def main(quick: bool, pythons: Mapping[str, str]) -> None:
    """Print the rows as they come, a line of JSON each."""
    for row in compare(quick, pythons):
        print(json.dumps(row, default=float), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] == "quick", json.loads(sys.argv[2]))
