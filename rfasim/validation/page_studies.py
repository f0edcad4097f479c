"""The dossier's chapter on validation: tissue data, published experiments, a section a study, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rfasim.sweep.uncertainty import Range
from rfasim.tissues import resolve_tissues
from rfasim.validation.dossier import Dossier, Studied
from rfasim.validation.experiments import EXPERIMENTS
from rfasim.validation.markup import (
    DASH,
    Line,
    Marked,
    allowed,
    e,
    kind_of,
    link,
    listed,
    numbers_of,
    picture,
    table,
    worded,
)
from rfasim.validation.report import aim_lines, digits_of
from rfasim.validation.scores import lookup
from rfasim.validation.spread import ENDS
from rfasim.validation.tally import Row


def validation_chapter(dossier: Dossier, pictures: Mapping[str, bytes]) -> Iterator[str]:
    """Tissue data, experiments, and a section a study; ``pictures``: a PNG for each."""
    yield "<h3>Tissue data and how sure they are</h3>"
    yield (
        "<p>Each study is run once with its own tissue, and again with tissue drawn from the ranges below: a Latin "
        "hypercube, the same draws in all studies, so that slopes, ratios and orders are known draw by draw. They "
        f"are the ranges of <code>rfasim run --uncertainty</code>. A band runs from the {ENDS[0]:g}th to the "
        f"{ENDS[1]:g}th percentile of the draws; with few draws its ends are rough. Everything else stays as it is: "
        "devices, assumed lengths, pores, water content and damage criterion are not in the bands.</p>"
    )
    yield table(
        ("property", "range", "drawn", "source", "studies"),
        [
            [e(f"{one.tissue}: {one.field.replace('_', ' ')}"), Marked(e(f"{one.low} to {one.high}"), "w"),
             e(one.distribution.replace("_", " ")), e(one.source), ", ".join(map(link, names))]
            for one, names in _ranges(dossier)
        ],
    )  # fmt: skip
    yield "<h4>Draws of each study</h4>"
    yield table(
        ("study", "draws>", "held, because the experiment set it"),
        [
            [link(each.score.study.name), str(len(each.drawn)) if each.drawn else "none",
             e("; ".join(f"{k}: {v}" for k, v in each.score.study.controlled.items()) or DASH)]
            for each in dossier.studied
        ],
    )  # fmt: skip
    yield "<h3>Published experiments</h3>"
    here = {each.score.study.name for each in dossier.studied}
    yield (
        "<p>All that were found, those without a study among them. What was not read is not invented: an experiment "
        "becomes a study when device, power and time, or what stands for them, are known.</p>"
    )
    yield table(
        ("experiment", "what was done", "study, or why there is none"),
        [
            [e(one.source), e(one.what),
             (link(one.study) if one.study in here else f"{e(one.study)} (not in this dossier)") if one.study
             else f"not simulated: {e(one.why_not)}"]
            for one in EXPERIMENTS
        ],
    )  # fmt: skip
    for each in dossier.studied:
        yield from _study(each, pictures.get(each.score.study.name))


def _ranges(dossier: Dossier) -> list[tuple[Range, list[str]]]:
    """What varies anywhere, and in which studies."""
    found: dict[Range, list[str]] = {}
    for each in dossier.studied:
        for _, one in each.varied:
            found.setdefault(one, []).append(each.score.study.name)
    return list(found.items())


def _study(each: Studied, drawing: bytes | None) -> Iterator[str]:
    score, study = each.score, each.score.study
    yield f'<h3 id="{e(study.name)}">{e(study.title)}</h3>'
    yield f"<p><b>Source:</b> {e(study.source)}.</p><p><b>Measured:</b> {e(study.measures)}</p>"
    yield "<h4>Aims</h4>" + listed(aim_lines(score))
    if score.shortened:
        yield '<p class="warning">Shortened runs: the numbers below are no predictions.</p>'
    yield "<h4>Measured and predicted</h4>"
    yield numbers_of(
        each.rows, lambda row: [Marked(e(worded(row)), "what"), e(kind_of(row))],
        lambda row: [Marked(allowed(row), "what"), _judgement(row)],
        heads=(("cell or statement", "quantity"), ("off by, and allowed", "")),
    )  # fmt: skip
    if drawing is not None:
        yield picture(
            drawing, f"{study.title}: predicted and measured",
            "Filled marks: predicted. Hollow marks, or the horizontal axis: measured, with standard deviations. Broad "
            "pale bars: the band that the literature's tissue data put on the prediction.",
        )  # fmt: skip
    yield "<h4>Where it disagrees, and the likely reason (written after seeing the results)</h4>"
    yield listed(study.remarks)
    yield "<h4>Assumed (written before the runs, unless it says otherwise)</h4>" + listed(study.assumed)
    yield "<h4>Parameters, for all cells</h4>"
    yield "<p class=\"small\">As in cases/validation/; every other field has its default (docs/case.md).</p>"
    yield table(("parameter", "value", "where it comes from"), _parameters(each))
    yield "<h4>What each cell changes</h4>"
    yield table(
        ("cell", "group", "changes"),
        [
            [e(o.cell.name), e(o.cell.group or DASH),
             "<br>".join(f"<code>{e(place)}: {e(_written(value))}</code>" for place, value in
                         {**study.groups.get(o.cell.group or "", {}), **o.cell.set}.items()) or "nothing"]
            for o in score.outcomes
        ],
    )  # fmt: skip


def _judgement(row: Row) -> str | Marked:
    if row.missed:
        return Marked("missed", "miss")
    return Marked("within", "ok") if row.judged else "not judged"


def _parameters(each: Studied) -> Iterator[Line]:
    """The study's case, a line a value; the properties of its tissue after it."""
    study = each.score.study
    for place, value in _leaves(study.case):
        yield [Marked(f"<code>{e(place)}</code>", "w"), e(_written(value)), e(_origin(place, value))]
    case = study.case_of(study.cells[0])
    tissue = resolve_tissues(case.tissues)[case.background]
    conductivity = tissue.admittivity(case.frequency).real
    ranges = {path: one for path, one in each.varied}
    for name, value, unit in (
        ("conductivity", conductivity, f"S/m at 37 degC and {case.frequency / 1e3:.0f} kHz"),
        ("thermal_conductivity", tissue.thermal_conductivity, "W/(m K) at 37 degC"),
        ("heat_capacity", tissue.heat_capacity, "J/(kg K) at 37 degC"),
        ("density", tissue.density, "kg/m^3"),
        ("water_fraction", 100 * tissue.water_fraction, "% of mass"),
        ("perfusion", tissue.perfusion, "1/s"),
    ):
        one = ranges.get(f"tissues.{case.background}.{name}")
        varies = "" if one is None else f"; for the bands drawn from {one.low} to {one.high}: {one.source}"
        held = f"; {study.controlled[name]}" if name in study.controlled else ""
        words = f"{case.background}: {name.replace('_', ' ')}"
        yield [Marked(e(words), "w"), e(f"{value:.4g} {unit}"), e(f"its tissue (below){held}{varies}")]
    yield [Marked(e(case.background), "w"), "", e(tissue.source)]


def _leaves(data: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a case with their paths; short lists stay whole."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _leaves(value, f"{place}.{key}" if place else str(key))
    elif isinstance(data, list) and any(isinstance(item, (dict, list)) for item in data):
        for k, item in enumerate(data):
            yield from _leaves(item, f"{place}[{k}]")
    else:
        yield place, data


def _written(value: Any) -> str:
    """A value of a case in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value)


def _origin(place: str, value: Any) -> str:
    """Where a parameter's value comes from."""
    if place.endswith(".model"):
        return f"catalogue of devices, each length with its source: rfasim devices {value}"
    if place.endswith(".preset"):
        return f"catalogue of generators, each value with its source: rfasim protocols {value}"
    if place == "background":
        return "library of tissues: rfasim tissues"
    if place.split(".")[0] in ("mesh", "output", "time", "solver"):
        return "numerical: docs/validation.md says what it costs"
    return "the source, or assumed (see above)"


def reach_of(each: Studied) -> Line:
    """Where a study lies: tissue, device, vessels, saline, powers and times, as a row."""
    study, outcomes = each.score.study, each.score.outcomes
    cases = [study.case_of(outcome.cell) for outcome in outcomes]
    summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]

    def span(place: str, unit: str, factor: float = 1.0) -> str:
        found = [factor * value for summary in summaries if (value := lookup(summary, place)) is not None]
        if not found:
            return DASH
        low, high = min(found), max(found)
        digits = digits_of([high])
        ends = [f"{value:.{digits}f}" for value in (low, high)]
        return f"{ends[0]} {unit}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} {unit}"

    case = cases[0]
    flow = resolve_tissues(case.tissues)[case.background].perfusion
    devices = dict.fromkeys(device.device.replace("_", " ") for one in cases for device in one.electrodes)
    wet = any(one.saline is not None and (one.saline.boluses or one.saline.infusions) for one in cases)
    count = max(len(one.vessels) for one in cases)
    return [
        link(study.name), e(case.background.replace("_", " ")), f"{flow:g} 1/s" if flow else "none",
        e(", ".join(devices)), str(count) if count else "none", "yes" if wet else "no",
        span("electrical.mean_power_w", "W"), span("electrical.peak_power_w", "W"),
        span("run.simulated_s", "min", 1 / 60),
    ]  # fmt: skip
