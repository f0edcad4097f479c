"""What varies in a study: ranges, distributions, lists and named choices, each a function of a number from 0 to 1."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtr, ndtri

from rfasim.quantities import Problems, Record

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])\s*(.*?)\s*", re.ASCII)
Changes = list[tuple[str, Any]]
Shown = float | str
# quantiles that stand for the ends of a distribution without ends
FAR = 1e-6


@dataclass(frozen=True)
class Setting:
    """A value of a variable: as a number in its unit or a word, and what it sets in the case."""

    shown: Shown
    changes: Changes


def number_of(value: Any) -> tuple[float, str] | None:
    """A number with its unit as (number, unit): ``"15 W"`` is (15.0, "W"); None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value), "") if math.isfinite(value) else None
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return (float(found[1]), found[2]) if found else None


def written(number: float, unit: str) -> str | float:
    """The number as a case takes it; ten digits."""
    rounded = f"{number:.10g}"
    return f"{rounded} {unit}" if unit else float(rounded)


class Variable(Record):
    """One thing that varies: a range, a distribution, a list of values, or named choices.

    Give `low` and `high`, or `mean` and `sd`, or `values`, or `choices`; in a list or table design nothing of these.
    """

    path: str | None = None
    """the field of the case; without it the variable acts through `set` alone, by its name in braces"""
    low: str | float | None = None
    """lower end, with its unit"""
    high: str | float | None = None
    """upper end, in the same unit"""
    mean: str | float | None = None
    """mean of a normal or log_normal distribution, or the top of a triangular one"""
    sd: str | float | None = None
    """its standard deviation; `low` and `high` then cut it off"""
    distribution: Literal["uniform", "log_uniform", "normal", "log_normal", "triangular"] | None = None
    """uniform between `low` and `high`, normal with `mean` and `sd`, unless stated"""
    values: tuple[Any, ...] = ()
    """these values, each as likely"""
    choices: dict[str, dict[str, Any]] = Field(default={})
    """names, each with the fields that it sets: what belongs together changes together"""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [bool(self.values), bool(self.choices), self._numbers_given]
        if sum(ways) > 1:
            raise Problems([("", "has several of: a range or distribution, values, choices; give one of them")])
        if self.choices and self.path is not None:
            raise Problems([("path", "is not needed beside choices, which name the fields that they set")])
        if self._numbers_given:
            self._check_numbers()
        elif self.distribution is not None:
            raise Problems([("distribution", "needs low and high, or mean and sd")])
        return self

    @property
    def _numbers_given(self) -> bool:
        return any(value is not None for value in (self.low, self.high, self.mean, self.sd))

    def _check_numbers(self) -> None:
        units = {}
        for name in ("low", "high", "mean", "sd"):
            value = getattr(self, name)
            if value is not None:
                found = number_of(value)
                if found is None:
                    raise Problems([(name, f"got {value!r}; expected a number with its unit, such as 15 W")])
                units[name] = found[1]
        if len(set(units.values())) > 1:
            raise Problems([("", "gives " + ", ".join(f"{k} in {u or '1'}" for k, u in units.items()) + "; give all "
                             "in one unit")])  # fmt: skip
        low, high, mean, sd = (self._number(name) for name in ("low", "high", "mean", "sd"))
        kind = self.kind
        if kind in ("normal", "log_normal"):
            if mean is None or sd is None:
                raise Problems([("", f"a {kind} distribution takes mean and sd, and low and high if it is cut off")])
            if sd <= 0 or (kind == "log_normal" and mean <= 0):
                raise Problems([("sd" if sd <= 0 else "mean", "must be more than 0")])
        elif low is None or high is None:
            raise Problems([("low" if low is None else "high", f"is missing; a {kind} range has both ends")])
        elif kind == "triangular" and (mean is None or not low <= mean <= high):
            raise Problems([("mean", "is the top of the triangle and must lie between low and high")])
        elif kind != "triangular" and mean is not None:
            raise Problems([("mean", f"means nothing in a {kind} range")])
        if low is not None and high is not None and low >= high:
            raise Problems([("high", f"must be more than low, {self.low}")])
        if kind in ("log_uniform", "log_normal") and low is not None and low <= 0:
            raise Problems([("low", "must be more than 0 on a logarithmic scale")])

    def _number(self, name: str) -> float | None:
        value = getattr(self, name)
        found = None if value is None else number_of(value)
        return None if found is None else found[0]

    @property
    def kind(self) -> str:
        """The distribution, said or not; choices, values, or given (by the design)."""
        if self._numbers_given:
            return self.distribution or ("uniform" if self.mean is None else "normal")
        return "choices" if self.choices else "values" if self.values else "given"

    @property
    def unit(self) -> str:
        """Unit of its numbers; empty for words and plain numbers."""
        given = [self.low, self.high, self.mean, *self.values]
        found = [number_of(value) for value in given if value is not None]
        return found[0][1] if found and found[0] is not None else ""

    @property
    def n_levels(self) -> int | None:
        """How many values there are; None for a range."""
        return len(self.values) or len(self.choices) or None

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers in one unit."""
        if self.values:
            found = [number_of(value) for value in self.values]
            return all(f is not None and f[1] == self.unit for f in found)
        return self._numbers_given

    def quantile(self, u: float) -> float:
        """The number below which the share ``u`` of the distribution lies."""
        low, high, mean, sd = (self._number(name) for name in ("low", "high", "mean", "sd"))
        kind = self.kind
        if kind in ("normal", "log_normal"):
            assert mean is not None
            assert sd is not None
            scale: Any = float
            if kind == "log_normal":  # mean and sd are those of the quantity itself
                spread = math.sqrt(math.log1p((sd / mean) ** 2))
                mean, sd, scale = math.log(mean) - spread**2 / 2, spread, math.exp
                low, high = (None if end is None else math.log(end) for end in (low, high))
            first = 0.0 if low is None else float(ndtr((low - mean) / sd))
            last = 1.0 if high is None else float(ndtr((high - mean) / sd))
            share = min(max(first + u * (last - first), FAR), 1 - FAR)
            return float(scale(mean + sd * float(ndtri(share))))
        assert low is not None
        assert high is not None
        if kind == "log_uniform":
            return float(low * (high / low) ** u)
        if kind == "triangular":
            assert mean is not None
            top = (mean - low) / (high - low)
            if u < top:
                return low + math.sqrt(u * (high - low) * (mean - low))
            return high - math.sqrt((1 - u) * (high - low) * (high - mean))
        return low + u * (high - low)

    def at(self, u: float) -> Setting:
        """The setting at ``u`` from 0 to 1."""
        if self.values:
            return self.given(self.values[min(int(u * len(self.values)), len(self.values) - 1)])
        if self.choices:
            names = list(self.choices)
            return self.given(names[min(int(u * len(names)), len(names) - 1)])
        return self.given(written(self.quantile(u), self.unit))

    def given(self, value: Any) -> Setting:
        """The setting with a value as written; of choices by their name. Raises ValueError for an unknown name."""
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"'{value}' is no choice; there are: {', '.join(self.choices)}")
            return Setting(str(value), list(self.choices[value].items()))
        found = number_of(value)
        word = str(value).lower() if isinstance(value, bool) else str(value)
        shown: Shown = word if found is None or found[1] != (self.unit or found[1]) else found[0]
        return Setting(shown, [] if self.path is None else [(self.path, value)])


class Correlation(Record):
    """Two variables that go together, by a Gaussian copula."""

    of: tuple[str, str]
    """their names"""
    r: float = Field(gt=-1.0, lt=1.0)
    """correlation of the normal scores"""


def correlated(points: np.ndarray, names: list[str], correlations: tuple[Correlation, ...]) -> np.ndarray:
    """Points (n, d) of the unit cube with the correlations put in; raises ValueError where they contradict another."""
    if not correlations:
        return points
    matrix = np.eye(len(names))
    for entry in correlations:
        i, j = (names.index(name) for name in entry.of)
        matrix[i, j] = matrix[j, i] = entry.r
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError("contradict one another: they are no correlation matrix (not positive definite)") from None
    scores = ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    return np.asarray(ndtr(scores @ factor.T))
