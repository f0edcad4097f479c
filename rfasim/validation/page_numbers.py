"""The dossier's first two chapters: what is missed, by how far and why, and what all numbers come to together."""

from __future__ import annotations

from collections.abc import Iterator

from rfasim.validation.dossier import Dossier
from rfasim.validation.markup import (
    DASH,
    Line,
    Marked,
    allowed,
    claims_table,
    e,
    kind_of,
    link,
    number,
    numbers_of,
    picture,
    share,
    table,
    worded,
)
from rfasim.validation.report import digits_of
from rfasim.validation.tally import FAR, Judged, Row, Tally


def missed_chapter(dossier: Dossier) -> Iterator[str]:
    """What is missed, each list complete and farthest first."""
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
        several, lambda row: [link(row.study), Marked(e(worded(row)), "what"), e(kind_of(row))], _why,
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
    yield claims_table(dossier.verified.missed)
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
    return [Marked(allowed(row), "what"), Marked(e(row.reason), "why")]


def _aim_line(each: Judged) -> list[str | Marked]:
    verdict = each.verdict
    wanted = f"{100 * verdict.aim.share:.0f} %"
    return [link(each.study), e(verdict.aim.text), share(verdict.near, verdict.count), wanted, e(each.reason)]


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


def totals_chapter(dossier: Dossier, overview: bytes | None) -> Iterator[str]:
    """Totals over all, by quantity and by study; ``overview``: a PNG of all lengths and volumes."""
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
        groups.setdefault(kind_of(row), []).append(row)
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
