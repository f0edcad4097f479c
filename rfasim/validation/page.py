"""The dossier as one HTML page without any other file: failures first, then totals, then the chapters of V&V 40."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rfasim.report import STYLE, WARNING
from rfasim.validation import credibility
from rfasim.validation.dossier import Dossier
from rfasim.validation.markup import MORE_STYLE, Marked, claims_table, e, link, listed, share, table
from rfasim.validation.page_numbers import missed_chapter, totals_chapter
from rfasim.validation.page_studies import reach_of, validation_chapter
from rfasim.validation.study import FIXED
from rfasim.validation.tally import FAR

CHAPTERS = (
    ("missed", "What is missed"), ("totals", "Totals"), ("question", "Question of interest"),
    ("context", "Context of use"), ("risk", "Model risk"), ("factors", "Credibility factors"),
    ("verification", "Verification"), ("validation", "Validation"), ("applicability", "Applicability"),
    ("tuning", "Nothing tuned per case"), ("reading", "How to read this"), ("made", "How it was made"),
)  # fmt: skip


def _question(dossier: Dossier) -> Iterator[str]:
    yield from (f"<p>{e(line)}</p>" for line in credibility.QUESTION)


def _context(dossier: Dossier) -> Iterator[str]:
    yield f'<p class="warning">{e(credibility.NO_PATIENTS)}</p>'
    yield table(
        ("context of use", "decision that it informs", "what the model has to do well"),
        [[e(c.use), e(c.decision), e(c.asks)] for c in credibility.CONTEXTS],
    )


def _risk(dossier: Dossier) -> Iterator[str]:
    yield (
        "<p>Model risk is the influence of the model on a decision, and the consequence of a wrong decision, taken "
        f"together ({e(credibility.STANDARD)}).</p>"
    )
    yield table(
        ("context of use", "influence of the model", "consequence of a wrong decision", "risk"),
        [[e(c.use), e(c.influence), e(c.consequence), e(c.risk)] for c in credibility.CONTEXTS],
    )


def _factors(dossier: Dossier) -> Iterator[str]:
    scale = "; ".join(f"{k}: {words}" for k, words in enumerate(credibility.LEVELS))
    yield (
        "<p>The standard names the factors and leaves the gradations to its user. The levels here are this program's "
        f"own judgement of itself. {e(scale)}. Goal for the low risk of the contexts above: level 2 in every factor. "
        f"Below it: {e(', '.join(f.name for f in credibility.FACTORS if f.level < credibility.GOAL))}.</p>"
    )
    yield table(
        ("activity", "factor", "level>", "evidence", "why not more"),
        [
            [e(f.activity), e(f.name), Marked(f"{f.level} of {len(credibility.LEVELS) - 1}",
             "ok" if f.level >= credibility.GOAL else "miss"), e(f.evidence), e(f.gap)]
            for f in credibility.FACTORS
        ],
    )  # fmt: skip


def _verification(dossier: Dossier) -> Iterator[str]:
    verified = dossier.verified
    yield (
        f"<p>{share(len(verified.claims) - len(verified.missed), len(verified.claims))} claims against exact "
        f"solutions meet their gates ({e(verified.origin)}). An error is relative to the exact value unless the note "
        "says otherwise; an observed order counts as what it falls short by. The exact numbers come from "
        "rfasim/verification/exact.py, which shares no code with the solver. How far meshes and steps are from "
        "converged in the studies' own cells stands in docs/validation.md.</p>"
    )
    yield claims_table(verified.claims)


def _applicability(dossier: Dossier) -> Iterator[str]:
    yield "<p>Where the validation lies. Powers and times are those of the simulated runs of this dossier.</p>"
    yield table(
        ("study", "tissue", "perfusion>", "device", "vessels", "saline", "mean power>", "highest power>", "time>"),
        map(reach_of, dossier.studied),
    )
    yield "<p>What lies outside, so that nothing in this dossier speaks for it:</p>" + listed(credibility.OUTSIDE)
    yield (
        "<p>For device research the studies cover the devices' classes and the range of powers, in excised liver: it "
        "is orders and directions between settings that they support, in the quantities whose aims are met, and "
        "sizes within the errors of the totals. For planning they show how far from measured zones a prediction can "
        "be; they do not support a prediction in a patient.</p>"
    )


def _tuning(dossier: Dossier) -> Iterator[str]:
    yield listed(credibility.NOTHING_TUNED)
    yield (
        "<p>Counted for this dossier, over the resolved cases of all cells: how many different sets of tissue, "
        f"background and {e(', '.join(name.replace('_', ' ') for name in FIXED if name != 'tissues'))} a study has.</p>"
    )
    yield table(
        ("study", "cells>", "sets>", "tissue"),
        [
            [link(study.name), str(len(study.cells)),
             Marked(str(each.property_sets), "ok" if each.property_sets == 1 else "miss"),
             e(study.case_of(study.cells[0]).background)]
            for each in dossier.studied for study in (each.score.study,)
        ],
    )  # fmt: skip


def _reading(dossier: Dossier) -> Iterator[str]:
    yield listed(
        (
            "Measured: mean and standard deviation of the published ablations (the deviation of single ablations, "
            "not of the mean), from the source at the head of each study's section. Predicted: one run.",
            "Difference: predicted minus measured. In SD: that over the measured standard deviation; a dash where "
            "none is published. Repeated ablations in like tissue can scatter very little (0.3 mm): 3 mm are then 10 "
            "SD.",
            f"Off by, and allowed: the difference over what is allowed, by the study's aim or by {FAR:g} SD, "
            "whichever it exceeds more. A wrong order, or a number that is missing, has no such factor and comes "
            "first.",
            "Meets: whether measured mean ± SD (the mean alone where no deviation is published) and the band of the "
            "prediction have a point in common. It says how much of a difference the literature's spread of tissue "
            "data could explain, not that the prediction is right.",
            "The studies' own tissue is no mean of the ranges (its 0.35 S/m lie near the upper end), so that a "
            "prediction may lie at an end of its band, or just outside.",
            "An order counts its steps that go the measured way; a share says how much of an effect is there (1: all).",
        )
    )


def _made(dossier: Dossier) -> Iterator[str]:
    made = dossier.made
    rows = [
        ("date", made.date), ("rfasim", made.rfasim), ("commit", made.commit or "not a checkout"),
        ("sources and libraries that runs are made by", f"SHA-256 {made.program_sha256}"),
        ("Python, numpy, scipy, numba", f"{made.python}, {made.numpy}, {made.scipy}, {made.numba}"),
        ("machine", made.machine),
        ("runs", f"{sum(len(each.score.outcomes) for each in dossier.studied)} of cells, "
                 f"{sum(len(s.outcomes) for each in dossier.studied for s in each.drawn)} with drawn tissue data"),
        ("the same numbers for machines", "dossier.json; each study as page, JSON and plot beside it"),
    ]  # fmt: skip
    yield table(("what", ""), [[e(name), e(value)] for name, value in rows])


def as_html(dossier: Dossier, pictures: Mapping[str, bytes], overview: bytes | None) -> str:
    """The page; ``pictures``: a PNG for each study."""
    parts = {
        "missed": missed_chapter(dossier), "totals": totals_chapter(dossier, overview), "question": _question(dossier),
        "context": _context(dossier), "risk": _risk(dossier), "factors": _factors(dossier),
        "verification": _verification(dossier), "validation": validation_chapter(dossier, pictures),
        "applicability": _applicability(dossier), "tuning": _tuning(dossier), "reading": _reading(dossier),
        "made": _made(dossier),
    }  # fmt: skip
    contents = "".join(f'<a href="#{key}">{k}. {title}</a> ' for k, (key, title) in enumerate(CHAPTERS, start=1))
    body = "".join(
        f'<h2 id="{key}">{k}. {title}</h2>{"".join(parts[key])}' for k, (key, title) in enumerate(CHAPTERS, start=1)
    )
    made = dossier.made
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>rfasim: validation dossier</title>'
        f"<style>{STYLE}{MORE_STYLE}</style></head><body><h1>rfasim: validation dossier</h1><p>Predictions of "
        f"radiofrequency ablation against published experiments, ordered after {e(credibility.STANDARD)}. rfasim "
        f"{e(made.rfasim)}, commit {e(made.commit or 'unknown')}, {e(made.date)}.</p>"
        f'<p class="warning">{WARNING}</p><nav>{contents}</nav>{body}<p class="small">{WARNING}</p></body></html>\n'
    )
