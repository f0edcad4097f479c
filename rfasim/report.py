"""One page about an ablation: slices through the target, margins, what structures get, and what was assumed.

The same content as HTML, self-contained, and as PDF (A4).
"""

from __future__ import annotations

import base64
import functools
import html
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfasim.checkpoint import write_bytes
from rfasim.errors import InputError
from rfasim.plot import criterion_text, figure
from rfasim.progress import clock
from rfasim.sweep.uncertainty import of_result, rows_of
from rfasim.terminal import STOPPED
from rfasim.tissues import resolve_tissues
from rfasim.views import (
    MARGIN_COLOURS,
    MARGIN_NAMES,
    PLANES,
    STRUCTURE,
    TUMOUR,
    VESSELS,
    ZONE,
    View,
    draw_margins,
    draw_slice,
    view_of,
)

if TYPE_CHECKING:
    from rfasim.anatomy import Scan
    from rfasim.circulation import Circulation
    from rfasim.margin import MarginMap
    from rfasim.scene import Scene

WARNING = "Research simulation. Not for clinical decisions."
NEAR_VESSEL = 10.0  # mm from the zone: vessels that a report names
MOST_VESSELS = 4
NEAR_STRUCTURE = 30.0  # mm from the zone: structures farther away are told in one line
NEAR_TUMOUR = 20.0  # mm from the zone: of tumours farther away criteria are not told one by one
DEFINITIONS = (
    "Margin: signed distance from the tumour's surface to the zone's boundary; negative where tumour sticks out. A0: "
    "at least 5 mm all round; A1: 0 to 5 mm; A2: below 0. Subcapsular: less than 5 mm under the capsule; the margin to "
    "living liver leaves out what lies beyond the capsule. Response, as mRECIST would class the necrosis (Lencioni & "
    "Llovet 2010): complete (margin at least 0, at most 1 % of the volume alive farther than 1 mm from the device), "
    "partial (30 % less diameter of what lives), none. CEM43: equivalent minutes at 43 \N{DEGREE SIGN}C."
)
MISSING = (
    "The simulation knows nothing of breathing, needle deviation, registration error, shrinkage of tissue, or of heat "
    "after the simulated time. Conductivity of liver differs twofold between sources and perfusion tenfold; each moves "
    "the margin by millimetres."
)


@dataclass(frozen=True)
class Table:
    """Rows of words under a heading each."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Report:
    """What the page says; pictures are drawn from ``scene``."""

    scene: Scene
    scan: Scan | None
    verdict: tuple[str, ...]
    facts: str
    tables: tuple[Table, ...]
    assumptions: tuple[str, ...]

    @property
    def title(self) -> str:
        """The case's name."""
        return self.scene.case.name

    @functools.cached_property
    def view(self) -> View:
        """What its slices show."""
        found = of_result(self.scene.result)
        return view_of(self.scene, self.scan, None if found is None else found[1])

    @functools.cached_property
    def margins(self) -> MarginMap | None:
        """The target's; None without a tumour or a zone."""
        rows = self.scene.result.summary["tumours"]
        if not rows or rows[0]["minimal_margin_mm"] is None:
            return None
        return self.scene.margins(next(iter(self.scene.tumours)))


def write_report(report: Report, out: Path) -> None:
    """Write the report as ``.html`` or ``.pdf``. Raises InputError for another ending, RunError on a disk error."""
    ending = out.suffix.lower()
    if ending not in (".html", ".pdf"):
        raise InputError("--out", f"'{out.name}' is of no known kind; end it in .html or .pdf")
    write_bytes(out, as_html(report).encode() if ending == ".html" else as_pdf(report))


# ----------------------------------------------------------------------------------------------------- the content


def make_report(scene: Scene, scan: Scan | None = None) -> Report:
    """What the report says about a run."""
    summary = scene.result.summary
    tables = [
        _tumour_table(scene, summary["tumours"]), _criteria_table(summary), _structure_table(summary),
        _vessel_table(summary), _uncertainty_table(scene),
    ]  # fmt: skip
    shown = tuple(table for table in tables if table.rows)
    return Report(scene, scan, _verdict(summary), _facts(summary), shown, _assumptions(scene))


def _uncertainty_table(scene: Scene) -> Table:
    """What runs over the literature's ranges say, where they were made."""
    found = of_result(scene.result)
    rows = () if found is None else tuple(rows_of(found[0]))
    return Table("How sure: runs over the literature's ranges of the tissues' properties", ("what", "range"), rows)


def _mm(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} mm".replace("-0.0 mm", "0.0 mm")


def _verdict(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """The smallest margin of each tumour, in a line each; without a tumour the zone's size."""
    zone, lines = summary["zone"], []
    for row in summary["tumours"]:
        if row["minimal_margin_mm"] is None:
            lines.append(f"{row['name']}: no zone")
            continue
        near = row["minimal_margin_near"]
        beside = f", {near['distance_mm']:.0f} mm from {near['name']}" if near else ""
        lines.append(f"{row['name']}: smallest margin {_mm(row['minimal_margin_mm'])} ({row['margin_class']}){beside}")
    size = f"{zone['volume_ml']:.1f} ml, {_mm(zone['long_axis_mm'])} x {_mm(zone['short_axis_mm'])}"
    return tuple(lines) or (f"Zone {size}; no tumour stated",)


def direction(shift: Sequence[float]) -> str:
    """A shift in LPS mm in a patient's words: ``8 mm left, 3 mm front, 12 mm head``.

    >>> direction([-4.2, 0.1, 12.0])
    '4 mm right, 12 mm head'
    """
    words = (("left", "right"), ("back", "front"), ("head", "foot"))
    parts = [f"{abs(x):.0f} mm {pair[x < 0]}" for x, pair in zip(shift, words, strict=True) if abs(x) >= 0.5]
    return ", ".join(parts) or "its middle"


def _tumour_table(scene: Scene, rows: Sequence[Mapping[str, Any]]) -> Table:
    out = []
    for path, row in zip(scene.tumours, rows, strict=True):
        lower, upper = (1e3 * np.asarray(end) for end in scene.tumours[path].bounds())
        middle = 0.5 * (lower + upper)

        def seen(at: Sequence[float] | None, middle: Any = middle) -> str:
            return "-" if at is None else direction((np.asarray(at) - middle).tolist())

        under, surface = row["subcapsular"], row["surface"]
        capsule = "-"
        if under is not None and under["fraction"] > 0:
            capsule = (
                f"{100 * under['fraction']:.0f} %: {_mm(under['minimal_margin_mm'])}, elsewhere "
                f"{_mm(under['elsewhere_minimal_margin_mm'])}; to living liver {_mm(under['living_liver_margin_mm'])} "
                f"({under['margin_class']})"
            )
        left = f"{row['residual_ml']:.2f} ml"
        if row["residual_ml"] > 0.005:
            left += f" ({seen(row['residual_at_mm'])})"
        shares = [f"{100 * surface[f'{name}_fraction']:.0f}" for name in ("covered", "over_5mm", "over_10mm")]
        out.append(
            (
                row["name"], f"{row['volume_ml']:.1f} ml", f"{100 * row['ablated_fraction']:.1f} %", left,
                f"{_mm(row['minimal_margin_mm'])}, {row['margin_class']} ({seen(row['minimal_margin_at_mm'])})",
                f"{' / '.join(shares)} %", capsule, row["response"],
            )
        )  # fmt: skip
    header = ("tumour", "volume", "dead", "alive (where, from its middle)", "smallest margin (where)",
              "surface with 0 / 5 / 10 mm or more", "under the capsule", "response")  # fmt: skip
    return Table("Tumours", header, tuple(out))


def _criteria_table(summary: Mapping[str, Any]) -> Table:
    tumours = [
        row for number, row in enumerate(summary["tumours"])
        if number == 0 or any(
            by["minimal_margin_mm"] is not None and by["minimal_margin_mm"] > -NEAR_TUMOUR
            for by in row["by_model"].values()
        )
    ]  # fmt: skip
    rows = []
    for name, zone in summary["zone"]["by_model"].items():
        own = " (this report)" if name == summary["zone"]["criterion"] else ""
        cells = [f"{criterion_text(name)}{own}", f"{zone['volume_ml']:.1f} ml"]
        for tumour in tumours:
            by = tumour["by_model"][name]
            cells.append(f"{100 * by['ablated_fraction']:.0f} %, {_mm(by['minimal_margin_mm'])} ({by['margin_class']})")
        rows.append(tuple(cells))
    header = ("criterion", "zone", *(f"{tumour['name']}: dead, smallest margin" for tumour in tumours))
    return Table("By each damage criterion", header, tuple(rows))


def _structure_table(summary: Mapping[str, Any]) -> Table:
    rows, far = [], []
    for row in summary["structures"]:
        distance, hottest = row["zone_distance_mm"], row["max_temperature_c"]
        if hottest is None or (distance is not None and distance > NEAR_STRUCTURE):
            far.append(row["name"])
            continue
        dose = row["max_cem43_min"]
        rows.append((row["name"], _mm(distance), f"{row['dead_ml']:.2f} ml", f"{hottest:.1f} \N{DEGREE SIGN}C",
                     f"{dose:.3g} min" if dose < 1e4 else f"{dose:.0e} min"))  # fmt: skip
    if far:
        rows.append((", ".join(far), "far away", "", "", ""))
    header = ("structure", "from the zone", "dead in it", "highest temperature", "highest dose (CEM43)")
    return Table("Structures", header, tuple(rows))


def _vessel_table(summary: Mapping[str, Any]) -> Table:
    near = [v for v in summary["vessels"] if v["zone_distance_mm"] is not None and v["zone_distance_mm"] <= NEAR_VESSEL]
    rows = []
    for row in sorted(near, key=lambda v: v["zone_distance_mm"])[:MOST_VESSELS]:
        hottest = row["wall_max_temperature_c"]
        rows.append((row["name"], f"{row['diameter_mm']:.1f} mm", _mm(row["zone_distance_mm"]),
                     "-" if hottest is None else f"{hottest:.1f} \N{DEGREE SIGN}C", f"{row['heat_removed_j']:.0f} J",
                     row["state"]))  # fmt: skip
    if len(near) > MOST_VESSELS:
        rows.append((f"{len(near) - MOST_VESSELS} more within {NEAR_VESSEL:.0f} mm", "", "", "", "", ""))
    header = ("vessel near the zone", "diameter", "from the zone", "hottest wall", "heat carried away", "state")
    return Table("Vessels", header, tuple(rows))


def _facts(summary: Mapping[str, Any]) -> str:
    """Zone and generator in a few sentences."""
    zone, electrical, run = summary["zone"], summary["electrical"], summary["run"]
    roll_off, stopped = electrical["roll_off_time_s"], electrical["stopped_by"]
    healthy = "" if zone.get("healthy_ml") is None else f" ({zone['healthy_ml']:.1f} ml of it no tumour)"
    return (
        f"Zone {zone['volume_ml']:.1f} ml{healthy}, {_mm(zone['long_axis_mm'])} along the device and "
        f"{_mm(zone['short_axis_mm'])} across, after {clock(run['simulated_s'])} with "
        f"{electrical['mean_power_w']:.1f} W in the mean, {electrical['delivered_energy_j'] / 1e3:.2f} kJ; the "
        f"generator {'stopped because ' + STOPPED.get(stopped, stopped) if stopped else 'had not stopped'}. Impedance "
        f"{electrical['initial_impedance_ohm']:.0f} ohm at the start, {electrical['final_impedance_ohm']:.0f} ohm at "
        f"the end; roll-off {'none' if roll_off is None else 'at ' + clock(roll_off)}. Hottest tissue "
        f"{summary['thermal']['max_temperature_c']:.0f} \N{DEGREE SIGN}C."
    )


def _assumptions(scene: Scene) -> tuple[str, ...]:
    """What the run took for granted, in sentences."""
    case = scene.case
    known = resolve_tissues(case.tissues)
    used = [name for name in scene.result.meta.get("tissues", ()) if name in known]
    tissues = []
    for name in used:
        tissue = known[name]
        sigma = tissue.admittivity(case.frequency).real
        tissues.append(f"{name} {sigma:.3g} S/m, perfusion {tissue.perfusion:g} 1/s")
    devices = ", ".join(device.device for device in case.electrodes)
    boiling = "with boiling" if case.boiling.enabled else "without boiling"
    return (
        f"Device: {devices}; {case.generator.protocol}, {1e-3 * case.frequency:.0f} kHz; {boiling}; "
        f"{_inflow(case.circulation)}.",
        f"Zone: {criterion_text(case.zone.criterion)}.",
        f"Tissues: {'; '.join(tissues)}.",
        MISSING,
    )


def _inflow(circulation: Circulation) -> str:
    """What blood comes in, in words."""
    clamped = [
        f"{clock(start)} to {'the end' if end is None else clock(end)}" for start, end in circulation.spans
    ]  # fmt: skip
    words = []
    if clamped:
        which = {"both": "inflow", "portal": "portal vein", "arterial": "hepatic artery"}[circulation.inflow]
        words.append(f"{which} clamped from {', '.join(clamped)}")
    words += [
        f"{name} flow {share:.2g} of the usual"
        for name, share in (("portal", circulation.portal), ("arterial", circulation.arterial)) if share != 1.0
    ]  # fmt: skip
    return ", ".join(words) or "usual blood flow, no clamp"


# ---------------------------------------------------------------------------------------------------- the pictures


def _draw(report: Report, panels: Sequence[Any], surface: Any) -> None:
    """Slices on three axes, and the target's surface on 3-D axes (None: no tumour)."""
    for axes, plane in zip(panels, PLANES, strict=True):
        draw_slice(axes, report.view, plane)
    if report.margins is None or surface is None:
        return
    draw_margins(surface, report.margins)
    surface.set_title("margin of the target, seen from its thinnest", fontsize=9, loc="left", pad=3)


def _legend(report: Report) -> list[tuple[str, str]]:
    """Colours and what they stand for."""
    kinds = {vessel.kind for vessel in report.scene.vessels}
    around = report.scene.surroundings
    named = [*around.structures] if around is not None else []
    sure = "" if report.view.band is None else "; dashed 95 %, dotted 5 % of runs"
    out = [(ZONE, f"zone{sure}"), (TUMOUR, "tumour; dotted: 5 mm around it")]
    out += [(VESSELS[kind], f"{kind} vessels") for kind in ("portal", "hepatic", "artery") if kind in kinds]
    return out + ([(STRUCTURE, ", ".join(named))] if named else [])


def _readings(axes: Any, report: Report) -> None:
    """Power and impedance over time on one small panel."""
    history = report.scene.result.history
    minutes = history["time_s"] / 60.0
    other = axes.twinx()
    axes.plot(minutes, history["power_w"], color="#d55e00", linewidth=1.1)
    other.plot(minutes, history["impedance_ohm"], color="#0072b2", linewidth=1.1)
    axes.set_ylabel("power, W", color="#d55e00", fontsize=7)
    other.set_ylabel("impedance, ohm", color="#0072b2", fontsize=7)
    axes.set_ylim(0, 1.1 * max(float(np.nanmax(history["power_w"])), 1.0))
    other.set_ylim(0, 1.1 * max(float(np.nanmax(history["impedance_ohm"])), 1.0))
    axes.set_xlabel("time, min", fontsize=7)
    for each in (axes, other):
        each.tick_params(labelsize=7, length=2)
        each.spines["top"].set_visible(False)


# ------------------------------------------------------------------------------------------------------------ HTML

STYLE = """
:root { color-scheme: light; } * { box-sizing: border-box; }
body { font: 13px/1.4 system-ui, "Segoe UI", Arial, sans-serif; color: #14202b; background: #fff; max-width: 1080px;
  margin: 0 auto; padding: 16px; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 14px; margin: 12px 0 4px; }
.warning { background: #fff3cd; border: 1px solid #d9a400; padding: 4px 8px; font-weight: 600; margin: 8px 0; }
.verdict { font-size: 16px; font-weight: 600; margin: 2px 0; }
.pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px; align-items: start; }
.pictures figure { margin: 0; } .pictures img { width: 100%; display: block; }
@media (max-width: 640px) { .pictures { grid-template-columns: 1fr; } }
.legend i { display: inline-block; width: 14px; height: 4px;
  vertical-align: middle; margin-right: 5px; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top;
  padding: 2px 8px 2px 0;
  border-bottom: 1px solid #d9dee3; font-variant-numeric: tabular-nums; } th { font-weight: 600; }
td:nth-child(-n+3) { white-space: nowrap; } .legend span { display: block; line-height: 1.7; }
p.small { font-size: 11px; margin: 4px 0; } .scroll { overflow-x: auto; }
@media print { body { font-size: 9px; padding: 0; } .verdict { font-size: 12px; } @page { size: A4; margin: 8mm; } }
"""


def as_html(report: Report) -> str:
    """The report as one HTML document without any other file."""
    e = html.escape
    pictures = "".join(
        f'<figure><img alt="{e(alt)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        "</figure>"
        for alt, data in _pictures(report)
    )
    legend = "".join(f'<span><i style="background:{colour}"></i>{e(text)}</span>' for colour, text in _legend(report))
    if report.margins is not None:
        legend += "".join(
            f'<span><i style="background:{colour}"></i>margin {e(name)}</span>'
            for colour, name in zip(MARGIN_COLOURS, MARGIN_NAMES, strict=True)
        )
    tables = "".join(_html_table(table) for table in report.tables)
    summary = report.scene.result.summary
    verdict = "".join(f'<p class="verdict">{e(line)}</p>' for line in report.verdict)
    assumptions = "".join(f'<p class="small">{e(line)}</p>' for line in report.assumptions)
    about = report.scene.case.description or ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{e(report.title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{e(report.title)}</h1><p>{e(about)}</p>"
        f'<p class="warning">{WARNING}</p>{verdict}{_not_complete(report)}'
        f"<p>{e(report.facts)}</p>"
        f'<div class="pictures">{pictures}<p class="legend small">{legend}</p></div>{tables}'
        f'<h2>Assumptions</h2>{assumptions}<h2>Definitions</h2><p class="small">{e(DEFINITIONS)}</p>'
        f'<p class="small">rfasim {e(summary["rfasim_version"])}, case {e(summary["case_sha256"][:12])}. {WARNING}</p>'
        "</body></html>\n"
    )


def _not_complete(report: Report) -> str:
    status = report.scene.result.summary.get("status")
    return "" if status == "complete" else f'<p class="warning">This run is {html.escape(str(status))}.</p>'


def _html_table(table: Table) -> str:
    e = html.escape
    head = "".join(f"<th>{e(cell)}</th>" for cell in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{e(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    title = f"<h2>{e(table.title)}</h2>"
    return f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _pictures(report: Report) -> list[tuple[str, bytes]]:
    """The pictures of the page as PNG, each with a text that stands for it."""
    drawings = [figure(4.4, 4.6) for _ in PLANES]
    panels = [drawing.add_subplot() for drawing in drawings]
    surface = None
    if report.margins is not None:
        drawings.append(figure(4.4, 4.6))
        surface = drawings[-1].add_subplot(projection="3d")
    _draw(report, panels, surface)
    texts = [f"{plane.name} slice with zone, tumour and vessels" for plane in PLANES]
    texts.append("margin on the target's surface")
    drawings.append(figure(4.4, 2.2))
    _readings(drawings[-1].add_subplot(), report)
    names = [*texts[: len(drawings) - 1], "power and impedance over time"]
    out = []
    for name, drawing in zip(names, drawings, strict=True):
        buffer = io.BytesIO()
        drawing.savefig(buffer, format="png", dpi=130)
        out.append((name, buffer.getvalue()))
    return out


# ------------------------------------------------------------------------------------------------------------- PDF


CHARACTERS = 165  # of a table's row across the page


def as_pdf(report: Report) -> bytes:
    """The report as a PDF of one A4 page."""
    import matplotlib

    summary = report.scene.result.summary
    with matplotlib.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        page = figure(8.27, 11.69)
        page.set_layout_engine("none")
        text = page.text
        text(0.05, 0.975, textwrap.shorten(report.title, 60), fontsize=14, fontweight="bold", va="top")
        text(0.95, 0.975, WARNING, fontsize=8, fontweight="bold", color="#8a5a00", ha="right", va="top")
        y = 0.953
        status = summary.get("status")
        lines = [*report.verdict, *([] if status == "complete" else [f"This run is {status}."])]
        for line in lines[:4]:
            text(0.05, y, line, fontsize=9, fontweight="bold", va="top")
            y -= 0.014
        facts = textwrap.wrap(report.facts, 150)
        text(0.05, y - 0.002, "\n".join(facts), fontsize=6.5, va="top", linespacing=1.25)
        y -= 0.0105 * len(facts)
        width = 0.295
        height = width * 8.27 / 11.69
        top = y - 0.022
        panels = [page.add_axes((0.05 + k * 0.305, top - height, width, height)) for k in range(3)]
        row = top - height - 0.022
        surface = page.add_axes((0.05, row - 0.15, 0.26, 0.15), projection="3d") if report.margins is not None else None
        _draw(report, panels, surface)
        _readings(page.add_axes((0.39, row - 0.125, 0.23, 0.11)), report)
        legend = _legend(report)
        if surface is not None:
            legend += [(colour, f"margin {name}") for colour, name in zip(MARGIN_COLOURS, MARGIN_NAMES, strict=True)]
        for k, (colour, name) in enumerate(legend):
            at = row - 0.008 - 0.0155 * k
            page.add_artist(matplotlib.lines.Line2D([0.70, 0.725], [at, at], color=colour, linewidth=3))
            text(0.735, at, textwrap.shorten(name, 46), fontsize=6.5, va="center")
        y = row - 0.165
        words = [textwrap.wrap(paragraph, 168) for paragraph in (*report.assumptions, DEFINITIONS)]
        room = 0.03 + sum(0.0088 * len(lines) + 0.003 for lines in words)
        left_out = []
        for table in report.tables:
            height = _pdf_height(table)
            if y - height < room:
                left_out.append(table.title.lower())
                continue
            y = _pdf_table(page, table, y)
        y -= 0.004
        if left_out:
            words.insert(0, [f"No room here for: {', '.join(left_out)}; the HTML page has them."])
        for wrapped in words:
            text(0.05, y, "\n".join(wrapped), fontsize=5.6, va="top", linespacing=1.25)
            y -= 0.0088 * len(wrapped) + 0.003
        made_by = f"rfasim {summary['rfasim_version']}, case {summary['case_sha256'][:12]}"
        text(0.05, 0.012, f"{made_by}. {WARNING}", fontsize=6)
        buffer = io.BytesIO()
        page.savefig(buffer, format="pdf", metadata={"Title": f"{report.title}: ablation", "Creator": "rfasim"})
    return buffer.getvalue()


def _pdf_cells(table: Table) -> tuple[Any, list[list[list[str]]]]:
    """Where columns start (shares of the width), and the lines of each cell of each row, the heading's first."""
    widths = [max(len(row[k]) for row in (table.header, *table.rows)) + 2 for k in range(len(table.header))]
    while sum(widths) > CHARACTERS:
        widths[widths.index(max(widths))] -= 1
    starts = np.cumsum([0, *widths[:-1]]) / CHARACTERS
    rows = [
        [textwrap.wrap(cell, width - 2) or [""] for cell, width in zip(row, widths, strict=True)]
        for row in (table.header, *table.rows)
    ]
    return starts, rows


def _pdf_height(table: Table) -> float:
    """Height of a table as a share of the page's."""
    _, rows = _pdf_cells(table)
    return 0.0165 + sum(0.0086 * max(len(lines) for lines in row) + 0.0012 for row in rows)


def _pdf_table(page: Any, table: Table, y: float) -> float:
    """Draw a table from ``y`` downwards; where the next thing may start."""
    starts, rows = _pdf_cells(table)
    page.text(0.05, y, table.title, fontsize=7.5, fontweight="bold", va="top")
    y -= 0.0125
    for number, row in enumerate(rows):
        for start, lines in zip(starts, row, strict=True):
            page.text(0.05 + 0.9 * start, y, "\n".join(lines), fontsize=5.8, va="top", linespacing=1.15,
                      color="#5a6772" if number == 0 else "#14202b")  # fmt: skip
        y -= 0.0086 * max(len(lines) for lines in row) + 0.0012
    return y - 0.004
