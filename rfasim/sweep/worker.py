"""What a worker process does before its first run; loaded by Dask (``--preload rfasim.sweep.worker``)."""

from __future__ import annotations

import os
import signal
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # Dask sees to BLAS and OpenMP, not to this one

import rfasim.simulation  # noqa: F401  now, and not inside the first run


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the process that conducts the study."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
