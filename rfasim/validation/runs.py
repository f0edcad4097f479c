"""From a case to the numbers of ``summary.json`` without a folder."""

from __future__ import annotations

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
    from rfasim.simulation import Simulation
    from rfasim.summary import summary_of
    from rfasim.tables import add_row

    started = time.perf_counter()
    domain = build_domain(case, base)
    mesh_seconds = time.perf_counter() - started
    simulation = Simulation(case, base, domain)
    history: dict[str, list[Any]] = {}
    probes: dict[str, list[Any]] = {}
    last: Frame | None = None
    for frame in simulation.frames():
        add_row(history, frame.readings())
        add_row(probes, frame.temperatures())
        last = frame
        watch(frame)
    if last is None:
        last = simulation.present_frame()
    seconds = time.perf_counter() - started
    return summary_of(simulation, history, probes, last, mesh_seconds=mesh_seconds, wall_seconds=seconds)
