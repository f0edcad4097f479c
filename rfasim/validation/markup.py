"""Pieces of the dossier's page: numbers with units, tables, links, pictures, the table of measured and predicted."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rfasim.validation.report import digits_of
from rfasim.validation.tally import FAR, Row

MORE_STYLE = """
body { max-width: 1400px; } h1 { margin-bottom: 6px; }
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
e = html.escape


class Marked(NamedTuple):
    """The markup of a table's cell, and its class."""

    text: str
    kind: str


Line = Sequence[str | Marked]


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


def allowed(row: Row) -> str:
    """How many times what is allowed a row is off, and what is allowed."""
    words = []
    if row.tolerance is not None:
        words.append(f"aim {row.tolerance:.3g} {e(row.unit)}".rstrip())
    if row.sd is not None:
        words.append(f"{FAR:g} SD {FAR * row.sd:.3g} {e(row.unit)}".rstrip())
    times = "" if row.error is None or row.tolerance == 0 else f"{row.far:.1f} times: "
    return f"{times}{', '.join(words)}" if words else DASH


def kind_of(row: Row) -> str:
    """What a row is about, in words."""
    return f"optimum {row.label}" if row.kind == "optimum" else row.label


def worded(row: Row) -> str:
    """A row's cell or statement, with the numbers that it is made of."""
    return f"{row.where} ({row.detail})" if row.detail else row.where


def claims_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Claims of the verification: exact, computed, error and gate."""
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
