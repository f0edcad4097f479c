"""All comparisons of all studies as rows: which are missed and by how far, and what they come to together.

Nothing is left out: a row that is missing counts as missed, and numbers of different units are never added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rfasim.validation.names import label_of, unit_of
from rfasim.validation.relations import KINDS
from rfasim.validation.scores import Comparison, Score, Verdict, total
from rfasim.validation.spread import Band, band_of
from rfasim.validation.study import Study

FAR = 2.0
"""standard deviations from which a number counts as missed, whatever its aim allows"""
CELL, OPTIMUM = "cell", "optimum"
NO_REASON = "none known"


@dataclass(frozen=True)
class Row:
    """One number, measured and predicted: of a cell, or of what is said about several cells."""

    study: str
    kind: str
    """cell, optimum, trends, ratios, orders or shares"""
    where: str
    """the cell, or the name of what is said"""
    quantity: str
    """place in summary.json; of several cells what the reason is filed under"""
    label: str
    unit: str
    measured: float
    sd: float | None
    predicted: float | None
    tolerance: float | None
    """what the strictest aim about it allows, in its unit; None: no aim is about it"""
    band: Band | None
    reason: str
    detail: str = ""

    @property
    def comparison(self) -> Comparison:
        """The numbers alone."""
        return Comparison(self.quantity, self.measured, self.sd, self.predicted)

    @property
    def error(self) -> float | None:
        return self.comparison.error

    @property
    def in_sd(self) -> float | None:
        return self.comparison.in_sd

    @property
    def far(self) -> float:
        """Error over what is allowed: by the aim, or two standard deviations, whichever it exceeds more.

        Infinite where nothing was predicted or an order is wrong, 0 where nothing says what is allowed.
        """
        if self.error is None:
            return math.inf
        found = [0.0]
        if self.tolerance is not None:
            slack = 1e-9 * max(abs(self.measured), 1.0)
            found.append(
                abs(self.error) / self.tolerance if self.tolerance > 0
                else math.inf if abs(self.error) > slack else 0.0
            )  # fmt: skip
        if self.in_sd is not None:
            found.append(abs(self.in_sd) / FAR)
        return max(found)

    @property
    def missed(self) -> bool:
        """Whether it is off by more than is allowed, or missing."""
        return self.far > 1 + 1e-9

    @property
    def judged(self) -> bool:
        """Whether anything says how far off it may be."""
        return self.error is None or self.tolerance is not None or self.sd is not None

    @property
    def overlaps(self) -> bool | None:
        """Whether measured mean +- SD meets the band of the prediction; None without a band."""
        return None if self.band is None else self.band.overlaps(self.measured, self.sd)

    def plain(self) -> dict[str, Any]:
        """All of it as plain data for JSON."""
        return asdict(self) | {
            "error": self.error, "error_in_sd": self.in_sd, "missed": self.missed, "judged": self.judged,
            "times_allowed": self.far if math.isfinite(self.far) else None, "band_overlaps": self.overlaps,
        }  # fmt: skip


def rows_of(score: Score, drawn: Sequence[Score] = ()) -> list[Row]:
    """All numbers of a study; ``drawn``: the same study with other tissue data, for the bands."""
    return [*_cell_rows(score, drawn), *_optimum_rows(score, drawn), *_relation_rows(score, drawn)]


def _cell_rows(score: Score, drawn: Sequence[Score]) -> list[Row]:
    study, found = score.study, []
    for k, outcome in enumerate(score.outcomes):
        for n, row in enumerate(outcome.comparisons):
            band = band_of([one.outcomes[k].comparisons[n].predicted for one in drawn])
            found.append(
                Row(study.name, CELL, outcome.cell.name, row.quantity, label_of(row.quantity), unit_of(row.quantity),
                    row.measured, row.sd, row.predicted, _tolerance(study, "quantity", row.quantity, row.measured),
                    band, study.reasons.get(row.quantity, NO_REASON), outcome.failure)
            )  # fmt: skip
    return found


def _optimum_rows(score: Score, drawn: Sequence[Score]) -> list[Row]:
    study, others = score.study, [one.peaks for one in drawn]
    return [
        Row(study.name, OPTIMUM, peak.name, peak.over, label_of(peak.over), unit_of(peak.over), peak.measured, None,
            peak.predicted, _tolerance(study, "optimum", peak.over, peak.measured),
            band_of([peaks[k].predicted for peaks in others]), study.reasons.get(peak.over, NO_REASON))
        for k, peak in enumerate(score.peaks)
    ]  # fmt: skip


def _relation_rows(score: Score, drawn: Sequence[Score]) -> list[Row]:
    study, others = score.study, [one.related for one in drawn]
    return [
        Row(study.name, each.kind, each.row.quantity, each.kind, KINDS[each.kind], each.unit, each.row.measured,
            each.row.sd, each.row.predicted, _tolerance(study, "relations", each.kind, each.row.measured),
            band_of([related[k].row.predicted for related in others]), study.reasons.get(each.kind, NO_REASON),
            each.detail)
        for k, each in enumerate(score.related)
    ]  # fmt: skip


def _tolerance(study: Study, about: str, name: str, measured: float) -> float | None:
    """What the strictest of the study's aims about ``name`` allows, in the unit of ``measured``."""
    found = [aim.tolerance(measured) for aim in study.aims if getattr(aim, about) == name]
    return min(found, default=None)


def missed(rows: Iterable[Row]) -> list[Row]:
    """All rows that are missed, farthest first; of those as far, in the order they come in."""
    return sorted((row for row in rows if row.missed), key=lambda row: -row.far)


@dataclass(frozen=True)
class Judged:
    """An aim of a study and what became of it."""

    study: str
    verdict: Verdict
    reason: str

    @property
    def shortfall(self) -> float:
        """The share that is wanted less the share that is reached; negative where more is reached."""
        return self.verdict.aim.share - (self.verdict.near / self.verdict.count if self.verdict.count else 0.0)


def judged(scores: Iterable[Score]) -> list[Judged]:
    """All aims of complete scores: those that are missed first, by how far."""
    found = []
    for score in scores:
        for verdict in score.verdicts:
            aim = verdict.aim
            about = aim.quantity or aim.optimum or aim.relations or ""
            found.append(Judged(score.study.name, verdict, score.study.reasons.get(about, NO_REASON)))
    return sorted(found, key=lambda each: (each.verdict.met, -each.shortfall))


@dataclass(frozen=True)
class Tally:
    """What rows come to together: counts over all rows, errors as means over those of one unit that are not missing."""

    name: str
    unit: str | None
    """None: the rows have several units, so that errors have no mean"""
    count: int
    missing: int
    with_sd: int
    within_1_sd: int
    within_2_sd: int
    mean_error: float | None
    """mean of the differences' absolute values"""
    bias: float | None
    """mean of the differences, predicted minus measured"""
    mean_relative_error: float | None
    with_band: int
    overlapping: int
    """rows whose measured mean +- SD meets the band that the literature's tissue data put on the prediction"""


def tally(name: str, rows: Sequence[Row]) -> Tally:
    """Add rows up; errors have means only where all rows are in one unit."""
    units = {row.unit for row in rows}
    sums = total(name, [row.comparison for row in rows])
    with_sd = sum(row.sd is not None for row in rows)
    one_unit = len(units) == 1
    return Tally(
        name, units.pop() if one_unit else None, sums.count, sums.missing, with_sd,
        round((sums.within_1_sd or 0.0) * with_sd), round((sums.within_2_sd or 0.0) * with_sd),
        sums.mean_error if one_unit else None, sums.bias if one_unit else None, sums.mean_relative_error,
        sum(row.band is not None for row in rows), sum(row.overlaps is True for row in rows),
    )  # fmt: skip


def tallies(rows: Sequence[Row], by: Callable[[Row], str]) -> list[Tally]:
    """The rows in groups, in the order of their first appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(by(row), []).append(row)
    return [tally(name, group) for name, group in groups.items()]
