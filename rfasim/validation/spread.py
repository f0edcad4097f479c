"""How far a prediction moves over what the literature gives for tissues: the ranges of ``rfasim run --uncertainty``.

Every cell of every study takes the same draws, so that what is said of several cells is also known draw by draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rfasim.case import Case
from rfasim.errors import InputError
from rfasim.sweep.designs import LatinHypercube
from rfasim.sweep.uncertainty import FEWEST, RANGES, Range, ranges_of
from rfasim.sweep.variables import Variable, written
from rfasim.validation.study import Changes

SEED = 0
MOST = 1000
ENDS = (5.0, 95.0)
"""percentiles that a band runs between"""

Draw = dict[str, float]
"""for each range, by :func:`name_of`, where in it a run lies: 0 to 1"""


def name_of(one: Range) -> str:
    """A range's name: ``liver_conductivity``."""
    return f"{one.tissue}_{one.field}"


def draws(count: int, option: str = "--uncertainty") -> list[Draw]:
    """``count`` points of a Latin hypercube over all ranges, always the same. Raises InputError, about ``option``."""
    if count == 0:
        return []
    if not FEWEST <= count <= MOST:
        raise InputError(option, f"got {count}; give 0, or a number of runs from {FEWEST} to {MOST}")
    variables = {name_of(one): _variable(one) for one in RANGES}
    design = LatinHypercube.model_validate({"kind": "latin_hypercube", "runs": count})
    return [dict(zip(variables, map(float, point), strict=True)) for point in design.points(variables, SEED)]


def _variable(one: Range) -> Variable:
    return Variable.model_validate({"low": one.low, "high": one.high, "distribution": one.distribution})


def varied(case: Case, controlled: Mapping[str, str] = MappingProxyType({})) -> list[tuple[str, Range]]:
    """What varies in a case, path and range; without what the experiment itself set (``controlled``)."""
    return [(path, one) for _, path, one in ranges_of(case) if one.field not in controlled]


def changes_of(case: Case, controlled: Mapping[str, str], draw: Draw) -> Changes:
    """The values of one draw as changes to a case."""
    found = {path: (_variable(one), draw[name_of(one)]) for path, one in varied(case, controlled)}
    return {path: written(variable.quantile(share), variable.unit) for path, (variable, share) in found.items()}


@dataclass(frozen=True)
class Band:
    """What the draws make of one number: percentiles, of how many runs, and how many of these gave none."""

    low: float
    median: float
    high: float
    count: int
    missing: int

    def overlaps(self, measured: float, sd: float | None) -> bool:
        """Whether mean +- SD (the mean alone where no deviation is published) meets the band."""
        reach = sd or 0.0
        slack = 1e-9 * max(abs(measured), abs(self.low), abs(self.high))
        return measured - reach <= self.high + slack and measured + reach >= self.low - slack


def band_of(values: Sequence[float | None]) -> Band | None:
    """The band of what the draws gave; None without a number."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    low, median, high = np.percentile(known, (ENDS[0], 50.0, ENDS[1])).tolist()
    return Band(low, median, high, len(known), len(values) - len(known))
