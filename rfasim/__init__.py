"""Finite-element simulation of radiofrequency ablation of liver tumours.

>>> import rfasim
>>> case = rfasim.load_case("cases/needle.yaml")           # doctest: +SKIP
>>> for frame in rfasim.Simulation(case).frames():          # doctest: +SKIP
...     print(frame.time, frame.impedance, frame.max_temperature)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfasim.case import Case, case_from_dict, load_case, write_case
    from rfasim.errors import InputError, RunError
    from rfasim.result import Result
    from rfasim.simulation import Simulation

__version__ = "0.1.0"

# Where each public name lives: importing rfasim costs nothing until one of them is used.
_HOME = {
    "Case": "case",
    "InputError": "errors",
    "Result": "result",
    "RunError": "errors",
    "Simulation": "simulation",
    "case_from_dict": "case",
    "load_case": "case",
    "write_case": "case",
}
__all__ = [
    "Case",
    "InputError",
    "Result",
    "RunError",
    "Simulation",
    "__version__",
    "case_from_dict",
    "load_case",
    "write_case",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"rfasim.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rfasim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
