"""Predictions against measurements: differences in units and in standard deviations, totals, optima, slopes, aims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rfasim.validation.names import unit_of
from rfasim.validation.relations import Kind, Order, Ratio, Relation, Trend
from rfasim.validation.study import Aim, Cell, Study


@dataclass(frozen=True)
class Comparison:
    """One number of one cell: measured mean and standard deviation, and what was predicted (None: nothing)."""

    quantity: str
    measured: float
    sd: float | None
    predicted: float | None

    @property
    def error(self) -> float | None:
        """Predicted minus measured, in the quantity's unit."""
        return None if self.predicted is None else self.predicted - self.measured

    @property
    def in_sd(self) -> float | None:
        """The error in standard deviations; None where none is published."""
        return None if self.error is None or self.sd is None else self.error / self.sd


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: its comparisons, the whole summary, or why the run failed."""

    cell: Cell
    comparisons: tuple[Comparison, ...]
    summary: Mapping[str, Any] | None = None
    failure: str = ""


@dataclass(frozen=True)
class Total:
    """All cells' errors in one quantity; shares count those with a published standard deviation."""

    quantity: str
    count: int
    missing: int
    within_1_sd: float | None
    within_2_sd: float | None
    mean_error: float | None
    bias: float | None
    mean_relative_error: float | None


@dataclass(frozen=True)
class Peak:
    """Where a quantity is largest, measured and predicted (None: not to be told)."""

    name: str
    over: str
    measured: float
    predicted: float | None

    @property
    def error(self) -> float | None:
        return None if self.predicted is None else self.predicted - self.measured


@dataclass(frozen=True)
class Related:
    """A relation of several cells: its number as a comparison, in ``unit``, and the predicted values it is made of."""

    kind: Kind
    unit: str
    row: Comparison
    detail: str


@dataclass(frozen=True)
class Verdict:
    """An aim, how many of the numbers it is about are near enough, and whether that meets it."""

    aim: Aim
    near: int
    count: int

    @property
    def met(self) -> bool:
        return self.count > 0 and self.near >= self.aim.share * self.count - 1e-9


def lookup(summary: Mapping[str, Any], place: str) -> float | None:
    """The number at ``place`` ("zone.volume_ml", "vessels.0.heat_removed_j") of a summary; None where there is none.

    What is not finite is no number.
    """
    value: Any = summary
    for key in place.split("."):
        if isinstance(value, Sequence) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def compare(cell: Cell, summary: Mapping[str, Any]) -> Outcome:
    """A cell's measurements beside the numbers of its run."""
    rows = tuple(
        Comparison(name, values[0], cell.deviation(name), lookup(summary, name))
        for name, values in cell.measured.items()
    )
    return Outcome(cell, rows, summary)


def failed(cell: Cell, reason: str) -> Outcome:
    """A cell whose run failed."""
    rows = tuple(Comparison(name, values[0], cell.deviation(name), None) for name, values in cell.measured.items())
    return Outcome(cell, rows, None, reason)


def total(quantity: str, rows: Sequence[Comparison]) -> Total:
    """``mean |e|``, ``mean e``, ``mean |e| / |measured|`` and the shares with ``|e| <= 1 SD`` and ``<= 2 SD``.

    A prediction that is missing lies within no standard deviation, and has no error.
    """
    errors = [(row.error, row.measured) for row in rows if row.error is not None]
    with_sd = [row for row in rows if row.sd is not None]

    def share(most: float) -> float | None:
        near = sum(row.in_sd is not None and abs(row.in_sd) <= most * (1 + 1e-9) for row in with_sd)
        return near / len(with_sd) if with_sd else None

    def mean(values: list[float]) -> float | None:
        return math.fsum(values) / len(values) if values else None

    return Total(
        quantity=quantity,
        count=len(rows),
        missing=len(rows) - len(errors),
        within_1_sd=share(1.0),
        within_2_sd=share(2.0),
        mean_error=mean([abs(error) for error, _ in errors]),
        bias=mean([error for error, _ in errors]),
        mean_relative_error=mean([abs(error / measured) for error, measured in errors if measured != 0]),
    )


def by_quantity(outcomes: Sequence[Outcome]) -> dict[str, list[Comparison]]:
    """The comparisons of all cells, quantities in the order of their first appearance."""
    found: dict[str, list[Comparison]] = {}
    for outcome in outcomes:
        for row in outcome.comparisons:
            found.setdefault(row.quantity, []).append(row)
    return found


def peaks(study: Study, outcomes: Sequence[Outcome]) -> list[Peak]:
    """The study's optima; the measured and the predicted one are sought among the same cells."""
    summaries = {outcome.cell.name: outcome.summary for outcome in outcomes}
    found = []
    for optimum in study.optima:
        cells = study.cells_of(optimum)
        measured = max(cells, key=lambda cell: cell.measured[optimum.of][0]).at[optimum.over]
        values = [lookup(summaries.get(cell.name) or {}, optimum.of) for cell in cells]
        predicted = None
        if all(value is not None for value in values):
            largest = max(zip(values, cells, strict=True), key=lambda pair: pair[0] or 0.0)
            predicted = largest[1].at[optimum.over]
        found.append(Peak(optimum.name, optimum.over, measured, predicted))
    return found


def relate(study: Study, outcomes: Sequence[Outcome]) -> list[Related]:
    """The study's slopes, ratios, orders and shares; each predicted from the runs of the cells it is about."""
    summaries = {outcome.cell.name: outcome.summary for outcome in outcomes}
    found = []
    for relation in study.relations:
        cells = relation.members(study.cells)
        values = [lookup(summaries.get(cell.name) or {}, relation.of) for cell in cells]
        known = [value for value in values if value is not None]
        predicted = relation.predict(cells, known) if len(known) == len(cells) else None
        mean, *deviation = relation.published
        sd = deviation[0] if deviation and deviation[0] > 0 else None
        row = Comparison(relation.name, mean, sd, predicted)
        found.append(Related(relation.KIND, _unit(relation), row, _detail(relation, values)))
    return found


def _unit(relation: Relation) -> str:
    """The unit of a relation's number."""
    if isinstance(relation, Trend):
        return f"{unit_of(relation.of)} per {unit_of(relation.over) or relation.over}"
    return "steps" if isinstance(relation, Order) else ""


def _detail(relation: Relation, values: Sequence[float | None]) -> str:
    """The predicted values that a ratio or an order is made of."""
    if not isinstance(relation, (Ratio, Order)):
        return ""
    words = ["none" if value is None else f"{value:.3g}" for value in values]
    return f"{(' > ' if isinstance(relation, Order) else ' / ').join(words)} {unit_of(relation.of)}".rstrip()


def judge(
    aim: Aim, outcomes: Sequence[Outcome], found: Sequence[Peak], related: Sequence[Related] = ()
) -> Verdict:
    """How many of the numbers that an aim is about are near enough."""
    if aim.quantity is not None:
        pairs = [(row.measured, row.error) for row in by_quantity(outcomes).get(aim.quantity, [])]
    elif aim.optimum is not None:
        pairs = [(peak.measured, peak.error) for peak in found if peak.over == aim.optimum]
    else:
        pairs = [(each.row.measured, each.row.error) for each in related if each.kind == aim.relations]
    return Verdict(aim, sum(aim.meets(measured, error) for measured, error in pairs), len(pairs))


@dataclass(frozen=True)
class Score:
    """A study and what came of it; aims are not judged on a quick selection."""

    study: Study
    outcomes: tuple[Outcome, ...]
    seconds: float
    shortened: bool = False
    """whether the runs were the study's shortened ones, whose numbers are no predictions"""

    @property
    def is_complete(self) -> bool:
        """Whether all cells were run, not a quick selection."""
        return len(self.outcomes) == len(self.study.cells) and not self.shortened

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.failure]

    @property
    def totals(self) -> list[Total]:
        return [total(quantity, rows) for quantity, rows in by_quantity(self.outcomes).items()]

    @property
    def peaks(self) -> list[Peak]:
        return peaks(self.study, self.outcomes) if self.is_complete else []

    @property
    def related(self) -> list[Related]:
        return relate(self.study, self.outcomes) if self.is_complete else []

    @property
    def verdicts(self) -> list[Verdict]:
        if not self.is_complete:
            return []
        found, related = self.peaks, self.related
        return [judge(aim, self.outcomes, found, related) for aim in self.study.aims]

    def plain(self) -> dict[str, Any]:
        """All of it as plain data for JSON."""
        study = self.study
        return {
            "name": study.name,
            "title": study.title,
            "source": study.source,
            "complete": self.is_complete,
            "shortened": self.shortened,
            "seconds": self.seconds,
            "assumed": list(study.assumed),
            "remarks": list(study.remarks),
            "cells": [
                {
                    "name": outcome.cell.name,
                    "group": outcome.cell.group,
                    "at": outcome.cell.at,
                    "failure": outcome.failure or None,
                    "compared": [
                        {**vars(row), "unit": unit_of(row.quantity), "error": row.error, "error_in_sd": row.in_sd}
                        for row in outcome.comparisons
                    ],
                    "summary": outcome.summary,
                }
                for outcome in self.outcomes
            ],
            "totals": [{**vars(row), "unit": unit_of(row.quantity)} for row in self.totals],
            "optima": [{**vars(peak), "unit": unit_of(peak.over), "error": peak.error} for peak in self.peaks],
            "relations": [
                {"kind": each.kind, "name": each.row.quantity, "unit": each.unit, "measured": each.row.measured,
                 "sd": each.row.sd, "predicted": each.row.predicted, "error": each.row.error,
                 "error_in_sd": each.row.in_sd}
                for each in self.related
            ],
            "aims": [
                {"aim": v.aim.text, "near": v.near, "count": v.count, "met": v.met} for v in self.verdicts
            ],
        }


