"""What a run says, in a clinician's words: numbers with units, sentences, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rfasim.report import direction
from rfasim.summary import CAPSULE

COMPLETE_MARGIN_MM = 5.0
"""margin all round that a complete ablation is asked to have"""
NEAR_MM = 10.0


def numbers_of(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The numbers that are read first."""
    zone = summary["zone"]
    rows = [("Zone", _ml(zone["volume_ml"]))]
    if zone["long_axis_mm"]:
        rows.append(("Zone, long and short axis", f"{zone['long_axis_mm']:.0f} x {zone['short_axis_mm']:.0f} mm"))
    for tumour in _tumours(summary):
        name = _capital(tumour["name"])
        rows.append((f"{name} covered", f"{100 * tumour['ablated_fraction']:.0f} %"))
        rows.append((f"{name}, smallest margin", _mm(tumour["minimal_margin_mm"])))
        rows.append((f"{name}, left alive", _ml(tumour["residual_ml"])))
    electrical = summary.get("electrical")
    if electrical is not None:
        rows.append(("Energy delivered", f"{1e-3 * electrical['delivered_energy_j']:.1f} kJ"))
        if electrical["roll_off_time_s"] is not None:
            rows.append(("First roll-off", f"{electrical['roll_off_time_s'] / 60:.1f} min"))
    return [{"name": name, "value": value} for name, value in rows]


def sentences_of(summary: Mapping[str, Any], middles: Mapping[str, Any], left_out: Sequence[str] = (),
                 pierced: Sequence[tuple[str, float]] = ()) -> list[str]:  # fmt: skip
    """Sentences on tumours, vessels and organs. ``middles``: of the tumours, by name (LPS metres); ``pierced``: names
    and diameters [m] of vessels that the needle passes through."""
    out = [f"The needle passes through {name} ({1e3 * diameter:.1f} mm)." for name, diameter in pierced]
    for tumour in _tumours(summary):
        name = _capital(tumour["name"])
        if tumour["minimal_margin_mm"] is None:
            out.append(f"{name}: no tissue is ablated.")
            continue
        covered = 100 * tumour["ablated_fraction"]
        where = _where(tumour, middles.get(tumour["name"]))
        margin = tumour["minimal_margin_mm"]
        if tumour["response"] == "complete" and margin >= COMPLETE_MARGIN_MM:
            out.append(f"{name} is covered with a margin of {margin:.1f} mm or more all round.")
        elif tumour["response"] == "complete":
            out.append(f"{name} is covered; the smallest margin is {margin:.1f} mm{where}.")
            if tumour["residual_ml"] >= 0.005:
                cool = _ml(tumour["residual_ml"])
                out.append(f"Beside the needle {cool} of it is kept cool; that dies only when the needle is drawn out.")
        else:
            left = _ml(tumour["residual_ml"])
            out.append(
                f"{name} is covered to {covered:.0f} %: {left} stays alive; it sticks out by {-margin:.1f} mm{where}."
            )
    vessels = [row for row in summary.get("vessels") or () if (row.get("heat_removed_j") or 0.0) > 0.0]
    delivered = (summary.get("electrical") or {}).get("delivered_energy_j")
    if vessels and delivered:
        most = max(vessels, key=lambda row: row["heat_removed_j"])
        share = 100 * most["heat_removed_j"] / delivered
        if share >= 0.5:
            out.append(
                f"The vessel that cools most is {most['name']} ({most['diameter_mm']:.0f} mm): "
                f"it carries {share:.0f} % of the energy away."
            )
    for row in vessels:
        if row.get("state") not in (None, "patent"):
            out.append(f"Vessel {row['name']} may close: its wall coagulates all round.")
    for row in summary.get("structures") or ():
        if row["name"] == CAPSULE:
            continue
        if row["dead_ml"] >= 0.05:
            out.append(f"The zone reaches into the {row['name']}: {_ml(row['dead_ml'])} of it is ablated.")
        elif row["zone_distance_mm"] is not None and 0 <= row["zone_distance_mm"] < 5:
            out.append(f"The zone ends {row['zone_distance_mm']:.0f} mm from the {row['name']}.")
    if left_out:
        out.append(f"Too far from the needle to be computed: {', '.join(left_out)}.")
    return out


def verdict_of(summary: Mapping[str, Any]) -> str | None:
    """Whether the tumour is destroyed; None without one."""
    tumours = summary["tumours"]
    if not tumours:
        return None
    return "complete" if tumours[0]["response"] == "complete" else "incomplete"


def _tumours(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The target, and of the others those that the zone touches."""
    rows = summary["tumours"]
    return [row for k, row in enumerate(rows) if k == 0 or row["ablated_fraction"] >= 0.005]


def _where(tumour: Mapping[str, Any], middle: Any) -> str:
    """Where the smallest margin is, and what is near."""
    parts = []
    at = tumour["minimal_margin_at_mm"]
    if at is not None and middle is not None:
        parts.append(f"{direction((np.asarray(at) - 1e3 * np.asarray(middle)).tolist())} of its middle")
    near = tumour["minimal_margin_near"]
    if near is not None and near["distance_mm"] <= NEAR_MM:
        parts.append(f"{near['distance_mm']:.0f} mm from {near['name']}")
    return f" ({', '.join(parts)})" if parts else ""


def _mm(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} mm".replace("-0.0", "0.0")


def _ml(value: float) -> str:
    return f"{value:.1f} mL" if value >= 0.95 else f"{value:.2f} mL"


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
