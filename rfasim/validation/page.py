"""The dossier as one HTML page without any other file: failures first, then totals, then the chapters of V&V 40."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rfasim.report import STYLE, WARNING
from rfasim.sweep.uncertainty import Range
from rfasim.tissues import resolve_tissues
from rfasim.validation import credibility
from rfasim.validation.dossier import Dossier, Studied
from rfasim.validation.experiments import EXPERIMENTS
from rfasim.validation.report import aim_lines, digits_of
from rfasim.validation.scores import lookup
from rfasim.validation.spread import ENDS
from rfasim.validation.study import FIXED
from rfasim.validation.tally import FAR, Judged, Row, Tally

MORE_STYLE = """
body { max-width: 1200px; } h1 { margin-bottom: 6px; }
h2 { font-size: 18px; margin: 28px 0 6px; border-bottom: 2px solid #14202b; padding-bottom: 2px; }
h3 { font-size: 14px; margin: 20px 0 4px; } h4 { font-size: 13px; margin: 12px 0 2px; }
td:nth-child(-n+3) { white-space: normal; } td.n, th.n { text-align: right; } td.n, td.w { white-space: nowrap; }
td.n.long { white-space: normal; min-width: 11ch; } td.why { min-width: 30ch; } td.what { min-width: 20ch; }
td.miss { color: #a3210f; font-weight: 600; white-space: nowrap; } td.ok { color: #1d6b35; white-space: nowrap; }
p, li { max-width: 110ch; } nav { margin: 8px 0; } nav a { margin-right: 14px; white-space: nowrap; }
a { color: #0b5394; } ul { margin: 4px 0; padding-left: 20px; }
.big { display: flex; flex-wrap: wrap; gap: 10px; margin: 10px 0; }
.big div { border: 1px solid #d9dee3; border-radius: 4px; padding: 6px 12px; min-width: 150px; max-width: 250px; }
.big b { display: block; font-size: 20px; } .big .bad b { color: #a3210f; }
figure { margin: 8px 0; } figure img { max-width: 100%; display: block; }
figcaption { font-size: 11px; color: #44525e; max-width: 110ch; }
code { font-size: 12px; overflow-wrap: break-word; }
@media print { h2, h3, h4 { break-after: avoid; } tr, figure { break-inside: avoid; } nav { display: none; }
  thead { display: table-header-group; } a { color: inherit; text-decoration: none; } .scroll { overflow: visible; }
  .big b { font-size: 13px; } h2 { font-size: 13px; } h3 { font-size: 11px; } h4 { font-size: 10px; }
  code { font-size: 8px; } th, td { padding-right: 5px; } }
"""
LONG = 5  # characters of a unit from which numbers may be broken into lines
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
CHAPTERS = (
    ("missed", "What is missed"), ("totals", "Totals"), ("question", "Question of interest"),
    ("context", "Context of use"), ("risk", "Model risk"), ("factors", "Credibility factors"),
    ("verification", "Verification"), ("validation", "Validation"), ("applicability", "Applicability"),
    ("tuning", "Nothing tuned per case"), ("reading", "How to read this"), ("made", "How it was made"),
)  # fmt: skip
e = html.escape


class Marked(NamedTuple):
    """The markup of a table's cell, and its class."""

    text: str
    kind: str


Line = Sequence[str | Marked]


# ------------------------------------------------------------------------------------------------------- pieces


def number(value: float | None, unit: str = "", digits: int | None = None, *, signed: bool = False) -> str:
    """A number with its unit; a dash where there is none."""
    if value is None:
        return DASH
    places = digits_of([value]) if digits is None else digits
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    return e(f"{text.replace('-', MINUS)} {unit}".rstrip())


def share(part: int, whole: int) -> str:
    """``3 of 4 (75 %)``."""
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else DASH


def table(header: Sequence[str], rows: Iterable[Line]) -> str:
    """A table; a heading that ends in ``>`` has its column's numbers at the right."""
    right = [name.endswith(">") for name in header]
    head = "".join(
        f'<th class="n">{e(name[:-1])}</th>' if name.endswith(">") else f"<th>{e(name)}</th>" for name in header
    )
    body = "".join(f"<tr>{''.join(map(_cell, row, right))}</tr>" for row in rows)
    if not body:
        return '<p class="small">None.</p>'
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: str | Marked, is_right: bool) -> str:
    text, kind = (cell.text, cell.kind) if isinstance(cell, Marked) else (cell, "")
    kinds = " ".join(word for word in (kind, "n" if is_right else "") if word)
    return f'<td class="{kinds}">{text}</td>' if kinds else f"<td>{text}</td>"


def listed(lines: Iterable[str]) -> str:
    """Sentences as a list."""
    items = "".join(f"<li>{e(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def link(study: str) -> str:
    """A link to a study's section, where its source stands."""
    return f'<a href="#{e(study)}">{e(study)}</a>'


def picture(data: bytes, alt: str, caption: str) -> str:
    """A PNG inside the page."""
    source = base64.b64encode(data).decode()
    return (
        f'<figure><img alt="{e(alt)}" src="data:image/png;base64,{source}"><figcaption>{e(caption)}</figcaption>'
        "</figure>"
    )


def numbers_of(rows: Sequence[Row], before: Callable[[Row], Line], after: Callable[[Row], Line] | None = None, *,
               heads: tuple[Sequence[str], Sequence[str]]) -> str:  # fmt: skip
    """A table of rows: what stands before their numbers, the numbers, what stands after; heads of these columns.

    Bands have columns where any row has a band.
    """
    banded = any(row.band is not None for row in rows)
    header = (*heads[0], *_NUMBERS, *(_BANDS if banded else ()), *heads[1])
    lines = [
        [*before(row), *_numbers(row), *(_band(row) if banded else ()), *(after(row) if after is not None else ())]
        for row in rows
    ]
    return table(header, lines)


def _band(row: Row) -> list[str | Marked]:
    """The band, and whether what was measured meets it."""
    if row.band is None:
        return [DASH, DASH]
    digits = _digits(row)
    drawn = row.band.missing + row.band.count
    lost = f", {row.band.missing} of {drawn} draws gave none" if row.band.missing else ""
    ends = f"{number(row.band.low, '', digits)} to {number(row.band.high, row.unit, digits)}{lost}"
    return [
        Marked(ends, "long") if lost or len(row.unit) > LONG else ends,
        Marked("yes", "ok") if row.overlaps else Marked("no", "miss"),
    ]


def _digits(row: Row) -> int:
    return 0 if row.kind == "orders" else digits_of([row.measured, row.predicted])


def _numbers(row: Row) -> list[str | Marked]:
    """Measured, predicted, difference in its unit and in SD."""
    digits = _digits(row)
    spread = "" if row.sd is None else f" ± {number(row.sd, '', digits)}"
    unit = f" {e(row.unit)}" if row.unit else ""
    found: list[str | Marked] = [
        f"{number(row.measured, '', digits)}{spread}{unit}",
        Marked("MISSING", "miss") if row.predicted is None else number(row.predicted, row.unit, digits),
        number(row.error, row.unit, digits, signed=True),
        number(row.in_sd, "", 1, signed=True),
    ]
    if len(row.unit) > LONG:
        return [Marked(cell, "long") if isinstance(cell, str) else cell for cell in found]
    return found


_NUMBERS = ("measured ± SD>", "predicted>", "difference>", "in SD>")
_BANDS = ("band of the prediction>", "meets")


def _allowed(row: Row) -> str:
    """How many times what is allowed a row is off, and what is allowed."""
    words = []
    if row.tolerance is not None:
        words.append(f"aim {row.tolerance:.3g} {e(row.unit)}".rstrip())
    if row.sd is not None:
        words.append(f"{FAR:g} SD {FAR * row.sd:.3g} {e(row.unit)}".rstrip())
    times = "" if row.error is None or row.tolerance == 0 else f"{row.far:.1f} times: "
    return f"{times}{', '.join(words)}" if words else DASH


# ----------------------------------------------------------------------------------------------------- failures


def _missed(dossier: Dossier) -> Iterator[str]:
    aims, cells, several = dossier.missed_aims, dossier.missed_cells, dossier.missed_several
    boxes = [
        (share(len(aims), len(dossier.aims)), "aims missed"),
        (share(len(cells), len(dossier.cells)), "numbers of cells missed"),
        (share(len(several), len(dossier.several)), "statements about several cells missed"),
        (str(len(dossier.failures)), "runs of cells failed"),
        (share(len(dossier.verified.missed), len(dossier.verified.claims)), "gates of the verification missed"),
    ]
    yield '<div class="big">'
    for value, what in boxes:
        yield f'<div class="{"ok" if value.startswith(("0", DASH)) else "bad"}"><b>{value}</b>{what}</div>'
    yield "</div>"
    yield (
        f"<p>A number is missed when its difference exceeds what the study's aim allows, or {FAR:g} standard "
        "deviations of the measurement, or when the run gave none. Each list is complete and begins with what is "
        "farthest off. The likely reason is what the study's author put down after seeing the result; nothing was "
        "changed for it.</p>"
    )
    if dossier.quick:
        yield (
            '<p class="warning">Quick selection: a few cells of each study. Aims, and statements about several cells, '
            "are not judged.</p>"
        )
    if names := [each.score.study.name for each in dossier.studied if each.score.shortened]:
        yield (
            f'<p class="warning">Shortened runs, whose numbers are no predictions and are in no list and no total: '
            f"{e(', '.join(names))}.</p>"
        )
    yield "<h3>Aims that are missed</h3>"
    yield table(("study", "aim", "reached>", "wanted>", "likely reason"), map(_aim_line, aims))
    yield "<h3>Statements about several cells that are missed</h3>"
    after = "off by, and allowed", "likely reason"
    yield numbers_of(
        several, lambda row: [link(row.study), Marked(e(_worded(row)), "what"), e(_kind(row))], _why,
        heads=(("study", "statement", "kind"), after),
    )  # fmt: skip
    yield "<h3>Numbers of cells that are missed</h3>"
    yield numbers_of(
        cells, lambda row: [link(row.study), e(row.where), e(row.label)], _why,
        heads=(("study", "cell", "quantity"), after),
    )  # fmt: skip
    yield "<h3>Runs that failed</h3>"
    yield table(
        ("study", "cell", "reason"), [[link(study), e(cell), e(reason)] for study, cell, reason in dossier.failures]
    )
    lost = [(each.score.study.name, line) for each in dossier.studied for line in each.lost]
    if lost:
        yield "<h3>Runs with other tissue data that failed</h3>"
        yield table(("study", "run"), [[link(study), e(line)] for study, line in lost])
    yield "<h3>Gates of the verification that are missed</h3>"
    yield _claims(dossier.verified.missed)
    if rest := dossier.not_judged:
        yield "<h3>Numbers that nothing judges</h3>"
        yield "<p>No deviation was published for them and no aim is about them; they are in the totals.</p>"
        yield numbers_of(
            rest, lambda row: [link(row.study), e(row.where), e(row.label)],
            heads=(("study", "cell or statement", "quantity"), ()),
        )  # fmt: skip
    yield "<h3>Aims that are met</h3>"
    yield table(
        ("study", "aim", "reached>", "wanted>"),
        [_aim_line(each)[:4] for each in dossier.aims if each.verdict.met],
    )


def _why(row: Row) -> Line:
    return [Marked(_allowed(row), "what"), Marked(e(row.reason), "why")]


def _aim_line(each: Judged) -> list[str | Marked]:
    verdict = each.verdict
    wanted = f"{100 * verdict.aim.share:.0f} %"
    return [link(each.study), e(verdict.aim.text), share(verdict.near, verdict.count), wanted, e(each.reason)]


def _kind(row: Row) -> str:
    return f"optimum {row.label}" if row.kind == "optimum" else row.label


def _worded(row: Row) -> str:
    return f"{row.where} ({row.detail})" if row.detail else row.where


# ------------------------------------------------------------------------------------------------------- totals

_TALLY = ("numbers>", "missing>", "with SD>", "within 1 SD>", "within 2 SD>", "mean error>", "bias>", "with a band>",
          "meet their band>")  # fmt: skip


def _tally(each: Tally) -> list[str | Marked]:
    unit = each.unit or ""
    digits = digits_of([each.mean_error])
    return [
        str(each.count), str(each.missing), str(each.with_sd), share(each.within_1_sd, each.with_sd),
        share(each.within_2_sd, each.with_sd), number(each.mean_error, unit, digits),
        number(each.bias, unit, digits, signed=True), str(each.with_band),
        share(each.overlapping, each.with_band),
    ]  # fmt: skip


def _totals(dossier: Dossier, overview: bytes | None) -> Iterator[str]:
    yield (
        "<p>Every number of every cell counts once, missing ones as outside. Mean error: mean of the differences "
        "without their sign; bias: with it, predicted minus measured. Numbers of different units are never added up. "
        "A bias over all lengths can be small because biases of opposite sign cancel: the quantities stand below. A "
        "study with many cells weighs more: the totals of each study stand below.</p>"
    )
    yield "<h3>Over all</h3>"
    yield table(("", *_TALLY), [[e(each.name), *_tally(each)] for each in dossier.overall])
    yield "<h3>By quantity</h3>"
    yield table(
        ("quantity", *_TALLY, "mean relative error>"),
        [
            [e(each.name), *_tally(each),
             DASH if each.mean_relative_error is None else f"{100 * each.mean_relative_error:.0f} %"]
            for each in dossier.by_quantity
        ],
    )  # fmt: skip
    yield "<h3>By study</h3>"
    rows: list[Line] = []
    for whole, lengths in dossier.by_study:
        rows.append([link(whole.name), "all numbers", *_tally(whole)])
        if lengths is not None and lengths.count < whole.count:
            rows.append(["", "lengths", *_tally(lengths)])
    yield table(("study", "", *_TALLY), rows)
    yield "<h3>Statements about several cells</h3>"
    groups: dict[str, list[Row]] = {}
    for row in dossier.several:
        groups.setdefault(_kind(row), []).append(row)
    yield table(
        ("kind", "statements>", "missed>", "missing>", "with a band>", "meet their band>"),
        [
            [e(kind), str(len(own)), str(sum(row.missed for row in own)),
             str(sum(row.predicted is None for row in own)), str(sum(row.band is not None for row in own)),
             share(sum(row.overlaps is True for row in own), sum(row.band is not None for row in own))]
            for kind, own in groups.items()
        ],
    )  # fmt: skip
    if overview is not None:
        yield picture(
            overview, "Predicted against measured in all studies",
            "All lengths and volumes of all cells: predicted against measured. Horizontal bars: the measured standard "
            "deviation. Vertical bars: the band that the literature's tissue data put on the prediction. On the line, "
            "prediction and measurement are equal.",
        )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- V&V 40


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


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    def text(value: float | None, form: str) -> str:
        return "not a number" if value is None or value != value else f"{value:{form}}".replace("-", MINUS)

    return table(
        ("", "claim", "exact>", "computed>", "error>", "gate>", "met", "note"),
        [
            [e(claim["group"]), e(claim["name"]), f"{text(claim['exact'], '.6g')} {e(claim['unit'])}",
             f"{text(claim['computed'], '.6g')} {e(claim['unit'])}",
             text(None if claim["error"] is None else max(claim["error"], 0.0), ".1e"), text(claim["gate"], ".0e"),
             Marked("yes", "ok") if claim["met"] else Marked("MISSED", "miss"), e(claim["note"])]
            for claim in claims
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
    yield _claims(verified.claims)


# --------------------------------------------------------------------------------------------------- validation


def _validation(dossier: Dossier, pictures: Mapping[str, bytes]) -> Iterator[str]:
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
        each.rows, lambda row: [Marked(e(_worded(row)), "what"), e(_kind(row))],
        lambda row: [Marked(_allowed(row), "what"), _judgement(row)],
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


# ------------------------------------------------------------------------------------------------ applicability


def _applicability(dossier: Dossier) -> Iterator[str]:
    yield "<p>Where the validation lies. Powers and times are those of the simulated runs of this dossier.</p>"
    yield table(
        ("study", "tissue", "perfusion>", "device", "vessels", "saline", "mean power>", "highest power>", "time>"),
        map(_reach, dossier.studied),
    )
    yield "<p>What lies outside, so that nothing in this dossier speaks for it:</p>" + listed(credibility.OUTSIDE)
    yield (
        "<p>For device research the studies cover the devices' classes and the range of powers, in excised liver: it "
        "is orders and directions between settings that they support, in the quantities whose aims are met, and "
        "sizes within the errors of the totals. For planning they show how far from measured zones a prediction can "
        "be; they do not support a prediction in a patient.</p>"
    )


def _reach(each: Studied) -> Line:
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


# ----------------------------------------------------------------------------------------------------- the page


def as_html(dossier: Dossier, pictures: Mapping[str, bytes], overview: bytes | None) -> str:
    """The page; ``pictures``: a PNG for each study."""
    parts = {
        "missed": _missed(dossier), "totals": _totals(dossier, overview), "question": _question(dossier),
        "context": _context(dossier), "risk": _risk(dossier), "factors": _factors(dossier),
        "verification": _verification(dossier), "validation": _validation(dossier, pictures),
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
