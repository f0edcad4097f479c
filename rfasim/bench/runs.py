"""Whole runs: mesh and twelve minutes, what they cost and what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rfasim import simulation
from rfasim.case import Case
from rfasim.solver.level_set import volume_above


def run_case(case: Case, ready: Callable[[simulation.Simulation], object] = lambda run: None) -> dict[str, Any]:
    """Mesh and run one case; seconds of CPU where not said otherwise. ``ready`` is called between the two."""
    t0, c0 = time.perf_counter(), time.process_time()
    run = simulation.Simulation(case)
    t1, c1 = time.perf_counter(), time.process_time()
    ready(run)
    curve, hottest = [], case.body_temperature
    for frame in run.frames():
        curve.append((round(frame.time, 3), round(abs(frame.impedance), 4)))
        hottest = max(hottest, frame.max_temperature)
    t2, c2 = time.perf_counter(), time.process_time()
    state, space, mesh, spent = run.state, run.space, c1 - c0, c2 - c1
    volume = {
        level: 1e6 * volume_above(space.points, space.cells, state.temperature, level, space.axisymmetric, None)
        for level in (50.0, 60.0)
    }
    skew = run.stepper.skew
    return {
        "nodes": space.n_nodes, "cells": space.n_cells, "mesh_s": mesh, "run_s": spent,
        "clock_s": t2 - t0, "total_s": mesh + spent, "mesh_clock_s": t1 - t0,
        "times_real": state.time / (mesh + spent), "steps": state.steps, "rejected": state.rejected,
        "newton": state.newton, "cg_potential": run.potential.system.iterations,
        "cg_heat": run.heat_system.iterations + (0 if skew is None else skew.iterations),
        "us_per_node_step": 1e6 * spent / (space.n_nodes * state.steps),
        "ns_per_cell_step": 1e9 * spent / (space.n_cells * state.steps),
        "impedance": abs(frame.impedance), "rise": hottest - case.body_temperature, "volume_50": volume[50.0],
        "volume_60": volume[60.0], "zone_ml": 1e6 * frame.zone_volume, "roll_off": state.memory.roll_off_time,
        "end": state.time, "imbalance": run.imbalance() / max(state.energy["electrical"], 1e-30), "curve": curve,
    }  # fmt: skip
