"""A validation dossier: all studies' numbers, what is missed first, totals, bands, and what V&V 40 asks about."""

from __future__ import annotations

import functools
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfasim
from rfasim.doctor import commit
from rfasim.errors import InputError
from rfasim.sweep.uncertainty import Range
from rfasim.tables import strict_json
from rfasim.validation import credibility
from rfasim.validation.experiments import EXPERIMENTS
from rfasim.validation.kept import LIBRARIES, program
from rfasim.validation.scores import Score
from rfasim.validation.spread import ENDS, SEED, varied
from rfasim.validation.study import FIXED
from rfasim.validation.tally import CELL, Judged, Row, Tally, judged, missed, rows_of, tallies, tally
from rfasim.yaml_io import read_text

LENGTH = "mm"


@dataclass(frozen=True)
class Made:
    """When and by what a dossier was made."""

    date: str
    """UTC"""
    rfasim: str
    commit: str | None
    program_sha256: str
    """of the sources that runs are made by, and the libraries' versions"""
    python: str
    numpy: str
    scipy: str
    numba: str
    machine: str


def made_now() -> Made:
    """The present moment and program."""
    from importlib.metadata import version

    numpy, scipy, numba = map(version, LIBRARIES)
    return Made(
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), rfasim.__version__, commit(), program(),
        platform.python_version(), numpy, scipy, numba, platform.platform(),
    )  # fmt: skip


@dataclass(frozen=True)
class Verified:
    """The claims of ``rfasim verify`` as plain data, and where they come from."""

    claims: tuple[Mapping[str, Any], ...]
    origin: str

    @property
    def missed(self) -> list[Mapping[str, Any]]:
        return [claim for claim in self.claims if not claim["met"]]


def read_verified(path: Path) -> Verified:
    """The claims in a file that ``rfasim verify --json`` wrote. Raises InputError."""
    wanted = "group", "name", "exact", "computed", "error", "gate", "unit", "note", "met"
    try:
        found = json.loads(read_text(path))["claims"]
        claims = tuple({key: claim[key] for key in wanted} for claim in found)
    except (ValueError, KeyError, TypeError):
        raise InputError("--verified", f"{path} is not what 'rfasim verify --json' prints") from None
    if not claims:
        raise InputError("--verified", f"{path} has no claims")
    return Verified(claims, f"rfasim verify, read from {path.name}")


@dataclass(frozen=True)
class Studied:
    """A study, what came of its cells, and what came of them with other tissue data, draw by draw."""

    score: Score
    drawn: tuple[Score, ...] = ()

    @functools.cached_property
    def rows(self) -> list[Row]:
        """All its numbers; none of a shortened study, whose numbers are no predictions."""
        return [] if self.score.shortened else rows_of(self.score, self.drawn)

    @property
    def varied(self) -> list[tuple[str, Range]]:
        """What the draws change: fields of the case and their ranges."""
        study = self.score.study
        return varied(study.case_of(study.cells[0]), study.controlled)

    @property
    def property_sets(self) -> int:
        """How many different sets of what a cell must not change its cases have, resolved: 1 where nothing is tuned."""
        study = self.score.study
        cases = (study.case_of(cell) for cell in study.cells)
        return len({case.model_dump_json(include={"background", *FIXED}) for case in cases})

    @property
    def lost(self) -> list[str]:
        """Which runs of which draws failed, and why."""
        return [
            f"{outcome.cell.name}, draw {k + 1}: {outcome.failure}"
            for k, score in enumerate(self.drawn) for outcome in score.failures
        ]  # fmt: skip


@dataclass(frozen=True)
class Dossier:
    """What the pages say, in one place."""

    studied: tuple[Studied, ...]
    verified: Verified
    made: Made
    quick: bool = False

    @functools.cached_property
    def rows(self) -> list[Row]:
        return [row for each in self.studied for row in each.rows]

    @property
    def cells(self) -> list[Row]:
        """What was measured in a cell."""
        return [row for row in self.rows if row.kind == CELL]

    @property
    def several(self) -> list[Row]:
        """What is said about several cells."""
        return [row for row in self.rows if row.kind != CELL]

    @functools.cached_property
    def aims(self) -> list[Judged]:
        """All aims, the missed ones first."""
        return judged(each.score for each in self.studied)

    @property
    def missed_aims(self) -> list[Judged]:
        return [each for each in self.aims if not each.verdict.met]

    @property
    def missed_cells(self) -> list[Row]:
        return missed(self.cells)

    @property
    def missed_several(self) -> list[Row]:
        return missed(self.several)

    @property
    def not_judged(self) -> list[Row]:
        """Numbers about which nothing says how far off they may be."""
        return [row for row in self.rows if not row.judged]

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        """Study, cell and reason of the runs that failed."""
        return [
            (each.score.study.name, outcome.cell.name, outcome.failure)
            for each in self.studied for outcome in each.score.failures
        ]  # fmt: skip

    @property
    def overall(self) -> list[Tally]:
        """All numbers of cells together, and all lengths."""
        lengths = [row for row in self.cells if row.unit == LENGTH]
        return [tally("all numbers of cells", self.cells), *([tally("all lengths", lengths)] if lengths else [])]

    @property
    def by_quantity(self) -> list[Tally]:
        return sorted(tallies(self.cells, lambda row: f"{row.label} ({row.unit})".removesuffix(" ()")),
                      key=lambda each: each.unit != LENGTH)  # fmt: skip

    @property
    def by_study(self) -> list[tuple[Tally, Tally | None]]:
        """For each study all its numbers of cells, and its lengths."""
        found = []
        for each in self.studied:
            own = [row for row in each.rows if row.kind == CELL]
            lengths = [row for row in own if row.unit == LENGTH]
            if own:
                name = each.score.study.name
                found.append((tally(name, own), tally(name, lengths) if lengths else None))
        return found

    @property
    def n_draws(self) -> int:
        return max((len(each.drawn) for each in self.studied), default=0)

    def plain(self) -> dict[str, Any]:
        """All of it as plain data for JSON; what is missed comes first."""
        data = {
            "missed": {
                "aims": [_plain_aim(each) for each in self.missed_aims],
                "several_cells": [row.plain() for row in self.missed_several],
                "cells": [row.plain() for row in self.missed_cells],
                "failed_runs": [dict(zip(("study", "cell", "reason"), one, strict=True)) for one in self.failures],
                "failed_runs_of_draws": {each.score.study.name: each.lost for each in self.studied if each.lost},
                "gates": [dict(claim) for claim in self.verified.missed],
            },
            "totals": {
                "overall": [asdict(each) for each in self.overall],
                "by_quantity": [asdict(each) for each in self.by_quantity],
                "by_study": [asdict(whole) for whole, _ in self.by_study],
                "lengths_by_study": [asdict(lengths) for _, lengths in self.by_study if lengths],
                "several_cells": [asdict(each) for each in tallies(self.several, lambda row: row.kind)],
                "aims_met": len(self.aims) - len(self.missed_aims), "aims": len(self.aims),
            },
            "made": asdict(self.made), "quick": self.quick,
            "uncertainty": {
                "percentiles": list(ENDS), "seed": SEED, "design": "latin_hypercube",
                "draws": {each.score.study.name: len(each.drawn) for each in self.studied},
                "varied": {each.score.study.name: [{"path": path, **asdict(one)} for path, one in each.varied]
                           for each in self.studied},
                "controlled": {each.score.study.name: each.score.study.controlled for each in self.studied},
            },
            "aims": [_plain_aim(each) for each in self.aims],
            "rows": [row.plain() for row in self.rows],
            "not_judged": [[row.study, row.where, row.quantity] for row in self.not_judged],
            "shortened": [each.score.study.name for each in self.studied if each.score.shortened],
            "studies": [_plain_study(each) for each in self.studied],
            "experiments": [asdict(each) for each in EXPERIMENTS],
            "verification": {"origin": self.verified.origin, "claims": [dict(c) for c in self.verified.claims]},
            "credibility": {
                "standard": credibility.STANDARD, "question": list(credibility.QUESTION),
                "contexts": [asdict(each) for each in credibility.CONTEXTS], "levels": list(credibility.LEVELS),
                "factors": [asdict(each) for each in credibility.FACTORS], "outside": list(credibility.OUTSIDE),
            },
        }  # fmt: skip
        return dict(strict_json(data))


def _plain_aim(each: Judged) -> dict[str, Any]:
    verdict = each.verdict
    return {
        "study": each.study, "aim": verdict.aim.text, "met": verdict.met, "near": verdict.near, "count": verdict.count,
        "reached": verdict.near / verdict.count if verdict.count else math.nan, "wanted": verdict.aim.share,
        "reason": each.reason,
    }  # fmt: skip


def _plain_study(each: Studied) -> dict[str, Any]:
    study = each.score.study
    return {
        "name": study.name, "title": study.title, "source": study.source, "measures": study.measures,
        "assumed": list(study.assumed), "remarks": list(study.remarks), "case": study.case, "groups": study.groups,
        "cells": [{"name": cell.name, "group": cell.group, "set": cell.set} for cell in study.cells],
        "cells_run": len(each.score.outcomes), "complete": each.score.is_complete,
        "property_sets": each.property_sets,
    }  # fmt: skip
