"""Tables on stdout: the few numbers that matter of a run, and lists."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rfasim.progress import clock

NEAR = 20.0
"""mm from the zone: of structures farther away the short table says nothing"""
STOPPED = {
    "duration": "its time was over",
    "roll_off": "roll-off",
    "energy": "its target energy was delivered",
    "temperature": "its target temperature was reached",
    "impedance": "the impedance that ends it was reached",
    "time": "its last phase was over",
}


def _number(value: float | None, unit: str, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()


def _margin(tumour: Mapping[str, Any]) -> str:
    """The smallest margin, its class, and what is beside it."""
    if tumour["minimal_margin_mm"] is None:
        return "-"
    near = tumour.get("minimal_margin_near")
    beside = f", {near['distance_mm']:.0f} mm from {near['name']}" if near else ""
    return f"{tumour['minimal_margin_mm']:.1f} mm ({tumour['margin_class']}{beside})"


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The short table: pairs of what and how much, from the numbers of ``summary.json``."""
    run, electrical, thermal = summary["run"], summary["electrical"], summary["thermal"]
    zone, tumour = summary["zone"], summary.get("tumour")
    rolled_off, roll_offs = electrical["roll_off_time_s"], electrical.get("roll_offs", 1)
    rolling = "none" if rolled_off is None else f"at {clock(rolled_off)}"
    if rolled_off is not None and roll_offs > 1:
        rolling = f"{roll_offs}, the first {rolling}"
    stopped, phase = electrical.get("stopped_by"), electrical.get("initial_impedance_phase_deg")
    impedance = [_number(electrical[f"{when}_impedance_ohm"], "") for when in ("initial", "final")]
    axes = [_number(zone[f"{which}_axis_mm"], "") for which in ("long", "short")]
    rows = [
        ("simulated time", clock(run["simulated_s"])),
        *([("generator stopped because", STOPPED.get(stopped, stopped))] if stopped else []),
        ("roll-off", rolling),
        ("impedance, start and end", f"{impedance[0]} and {impedance[1]} ohm"),
        *([("phase at the start", f"{phase:.1f} degrees")] if phase is not None else []),
        ("power, mean and peak", f"{electrical['mean_power_w']:.1f} and {electrical['peak_power_w']:.1f} W"),
        ("energy delivered", _number(electrical["delivered_energy_j"] / 1e3, "kJ", 2)),
        ("hottest tissue", _number(thermal["max_temperature_c"], "degC")),
        ("zone volume", f"{zone['volume_ml']:.2f} ml ({zone['criterion']})"),
        ("zone, long and short axis", f"{axes[0]} x {axes[1]} mm"),
        ("zone beyond the tip", _number(zone["beyond_tip_mm"], "mm")),
    ]
    if tumour is not None:
        rows.append(("tumour ablated", f"{100 * tumour['ablated_fraction']:.1f} %"))
        rows.append(("smallest margin", _margin(tumour)))
        under = tumour.get("subcapsular")
        if under is not None and under["fraction"] > 0:
            rows.append(("margin to living liver", f"{_number(under['living_liver_margin_mm'], 'mm')} "
                         f"({under['margin_class']}; part of it is under the capsule)"))  # fmt: skip
    for other in (summary.get("tumours") or ())[1:]:
        margin = f"smallest margin {_margin(other)}"
        rows.append((other["name"], f"{100 * other['ablated_fraction']:.1f} % ablated, {margin}"))
    for structure in summary.get("structures") or ():
        away, hottest = structure["zone_distance_mm"], structure["max_temperature_c"]
        if hottest is not None and (away is None or away <= NEAR):
            burnt = f", {structure['dead_ml']:.2f} ml burnt" if structure["dead_ml"] >= 0.005 else ""
            rows.append((f"zone to {structure['name']}", f"{_number(away, 'mm')}, at most {hottest:.1f} degC{burnt}"))
    if saline := summary.get("saline"):
        amount = f"{saline['injected_ml']:.2f} ml, {saline['injected_salt_g']:.3g} g of NaCl"
        rows.append(("saline let in", f"{amount}; {saline['salt_taken_up_g']:.3g} g taken up by blood"))
        rows.append(("pressure of it, highest", f"{saline['highest_pressure_kpa']:.0f} kPa"))
    rows += [
        ("energy unaccounted for", f"{summary['energy']['imbalance_fraction']:.1e} of that delivered"),
        ("cost", f"{run['steps']} steps, {summary['mesh']['cells']} cells, {run['wall_s']:.1f} s"),
    ]
    return rows


def print_rows(rows: Sequence[tuple[str, str]], title: str) -> None:
    """A two-column table on stdout."""
    width = max(len(what) for what, _ in rows)
    print(f"\n{title}\n{'-' * len(title)}")
    for what, value in rows:
        print(f"{what:<{width}}  {value}")
    print()


def aligned(header: str, cells: Sequence[str]) -> list[str]:
    """A column, its heading first: numbers with their decimal points below each other, all to the right.

    >>> aligned("20 W", ["7.31", "-12.5", "none"])
    ['   20 W', '  7.31', '-12.5 ', '  none']
    """
    number = re.compile(r"[+-]?\d+(\.\d+)?")
    digits = [len(cell.partition(".")[2]) for cell in cells if number.fullmatch(cell)]
    most = max(digits, default=0)
    texts = [
        cell + " " * (most - len(point + after) + 1 if most else 0) if number.fullmatch(cell) else cell
        for cell in cells
        for _, point, after in [cell.partition(".")]
    ]
    lines = header.splitlines() or [""]
    width = max(map(len, [*lines, *texts]))
    return ["\n".join(line.rjust(width) for line in lines), *(text.rjust(width) for text in texts)]


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, with a heading for each column."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=box.SIMPLE_HEAD, padding=(0, 1))
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 200
    console = Console(highlight=False, markup=False, width=width)
    with console.capture() as printed:
        console.print(table)
    print("\n".join(line.rstrip() for line in printed.get().splitlines()))
