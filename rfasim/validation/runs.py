"""From a case to the numbers of ``summary.json`` without a folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.frame import Frame


def simulate_summary(
    case: Case, base: Path | None = None, watch: Callable[[Frame], None] = lambda _: None
) -> dict[str, Any]:
    """Run ``case`` and return what ``summary.json`` would hold; ``watch`` sees each frame.

    ``base``: folder that file names in the case are relative to. Raises InputError and RunError as a run does.
    """
    from rfasim.domain import build_domain
    from rfasim.simulation import Simulation, summary_of

    started = time.perf_counter()
    domain = build_domain(case, base)
    mesh_seconds = time.perf_counter() - started
    simulation = Simulation(case, base, domain)
    history: dict[str, list[Any]] = {}
    last: Frame | None = None
    for frame in simulation.frames():
        phase = math.degrees(math.atan2(frame.impedance.imag, frame.impedance.real))
        row = {
            "time_s": frame.time, "step_s": frame.step, "power_w": frame.power,
            "impedance_ohm": abs(frame.impedance), "phase_deg": phase,
            "max_temperature_c": frame.max_temperature, "rolled_off": frame.rolled_off,
        }  # fmt: skip
        for name, value in row.items():
            history.setdefault(name, []).append(value)
        last = frame
        watch(frame)
    if last is None:
        last = simulation.present_frame()
    seconds = time.perf_counter() - started
    return summary_of(simulation, history, last, mesh_seconds=mesh_seconds, wall_seconds=seconds)
