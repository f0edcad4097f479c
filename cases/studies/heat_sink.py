"""What one vessel takes from an ablation, by diameter and distance: runs the study, writes the table and the page.

    python cases/studies/heat_sink.py --out runs/heat_sink            # seven diameters at four distances
    python cases/studies/heat_sink.py --out runs/heat_sink --page docs/physics/heat_sink.md
    python cases/studies/heat_sink.py --quick --out runs/heat_sink_quick

Each run is a row of ``heat_sink.json``, written as soon as it is there: started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from rfasim.case import case_from_dict
from rfasim.quantities import parse, text
from rfasim.simulation import Simulation
from rfasim.summary import summary_of
from rfasim.tables import add_row
from rfasim.yaml_io import parse_yaml, read_text

STUDY = Path(__file__).with_suffix(".yaml")
NEEDLE_RADIUS = 0.75e-3  # m, of the study's needle
REACH = 0.055  # m, half the vessel's length: from side to side of the domain
QUICK = {"distances": ["3 mm"], "vessels": {"2 mm": "5 cm/s", "4 mm": "8 cm/s"}}
Row = dict[str, Any]


def run(base: dict[str, Any], distance: str | None, diameter: str = "", velocity: str = "") -> Row:
    """One run (without a distance: without a vessel) as a row of the table."""
    data = {**base}
    if distance is not None:
        x = text(NEEDLE_RADIUS + parse(distance, "m") + parse(diameter, "m") / 2, "m")
        line = [[x, f"{1e3 * y:g} mm", "0 mm"] for y in (-REACH, REACH)]
        data["vessels"] = [{"name": "vessel", "points": line, "diameter": diameter, "velocity": velocity}]
    simulation = Simulation(case_from_dict(data, from_file=True))
    history: dict[str, list[Any]] = {}
    for frame in simulation.frames():
        add_row(history, frame.readings())
    summary = summary_of(simulation, history, {}, frame, mesh_seconds=0.0, wall_seconds=0.0)
    out: Row = {"distance": distance, "diameter": diameter, "velocity": velocity}
    out |= {key: summary["zone"][key] for key in ("volume_ml", "short_axis_mm")}
    out["delivered_j"] = summary["electrical"]["delivered_energy_j"]
    out["imbalance"] = summary["energy"]["imbalance_fraction"]
    if simulation.blood is not None:
        (vessel,) = summary["vessels"]
        keys = ("heat_removed_j", "wall_max_temperature_c", "zone_distance_mm", "wall_injured_mm", "state", "treatment")
        out |= {key: vessel[key] for key in keys}
        stream, theta = simulation.blood.stream, simulation.blood.temperature
        wall = stream.wall_temperature(frame.temperature, theta)
        warm = stream.has_wall & (wall > theta + 1.0)
        Nu = stream.nusselt(simulation.blood.regime, wall, theta)
        h = Nu * simulation.case.blood.thermal_conductivity / stream.diameter
        out["h_w_m2k"] = float(h[warm].mean()) if warm.any() else None
        out["outlet_k"] = float(theta[-1] - stream.inlet[-1])
    return out


def table(study: dict[str, Any], out: Path) -> list[Row]:
    """All rows, those in ``out`` as they are; the first is the run without a vessel."""
    path = out / "heat_sink.json"
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    done = {(row["distance"], row["diameter"]) for row in rows}
    grid: list[tuple[str | None, str, str]] = [(None, "", "")]
    grid += [(distance, *pair) for pair, distance in itertools.product(study["vessels"].items(), study["distances"])]
    for number, (distance, diameter, velocity) in enumerate(grid, start=1):
        if (distance, diameter) in done:
            continue
        print(f"{number} of {len(grid)}: {diameter or 'no vessel'} {distance or ''}", flush=True)
        rows.append(run(study["case"], distance, diameter, velocity))
        part = path.with_suffix(".part")
        part.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        os.replace(part, path)
    return rows


def _matrix(rows: list[Row], study: dict[str, Any], title: str, cell: Any) -> list[str]:
    lines = [f"| {title} | " + " | ".join(f"{d} away" for d in study["distances"]) + " |",
             "|---" * (1 + len(study["distances"])) + "|"]  # fmt: skip
    for diameter in study["vessels"]:
        found = {row["distance"]: row for row in rows if row["diameter"] == diameter}
        lines.append(f"| {diameter} | " + " | ".join(cell(found[d]) for d in study["distances"]) + " |")
    return [*lines, ""]


def page(study: dict[str, Any], rows: list[Row], words: str) -> str:
    """The page: three small tables, then all numbers."""
    alone = rows[0]

    def volume(row: Row) -> str:
        return f"{100 * (row['volume_ml'] / alone['volume_ml'] - 1):+.0f} %"

    lines = ["# The heat sink in numbers", "", "<!-- Written by cases/studies/heat_sink.py. -->", "", words, ""]
    lines += _matrix(rows, study, "zone volume, change", volume)
    lines += _matrix(rows, study, "heat removed, of what is delivered",
                     lambda row: f"{100 * row['heat_removed_j'] / row['delivered_j']:.1f} %")  # fmt: skip
    lines += _matrix(rows, study, "wall temperature, highest", lambda row: f"{row['wall_max_temperature_c']:.0f} degC")
    lines += _matrix(rows, study, "heat-transfer coefficient, W/(m^2 K)",
                     lambda row: "" if row["h_w_m2k"] is None else f"{row['h_w_m2k']:.0f}")  # fmt: skip
    lines += ["## All numbers", "",
              "| diameter | velocity | away | treatment | zone, ml | short axis, mm | zone to wall, mm "
              "| heat removed, J | outlet, K | injured wall, mm | state |", "|---" * 11 + "|"]  # fmt: skip
    lines.append(f"| none | | | | {alone['volume_ml']:.2f} | {alone['short_axis_mm']:.1f} | | | | | |")
    for row in rows[1:]:
        cells = [row["diameter"], row["velocity"], row["distance"], row["treatment"], f"{row['volume_ml']:.2f}"]
        cells += [f"{row['short_axis_mm']:.1f}", f"{row['zone_distance_mm']:.1f}", f"{row['heat_removed_j']:.0f}"]
        cells += [f"{row['outlet_k']:.2f}", f"{row['wall_injured_mm']:.0f}", row["state"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def read(quick: bool) -> dict[str, Any]:
    """The study, or its quick form: a short run of two vessels."""
    study: dict[str, Any] = parse_yaml(read_text(STUDY), str(STUDY))
    if quick:
        study |= QUICK
        study["case"] |= {"mesh": {"size": "0.8 mm", "rim_size": "0.5 mm"}}
        study["case"]["generator"] = {"protocol": "constant_power", "power": "30 W", "duration": "60 s"}
    return study


WORDS = """A cooled 30 mm needle at 30 W for 12 min in perfused liver; one vessel crosses its middle at right angles.
Rows: inner diameter; columns: distance from the needle's surface to the vessel's wall."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/heat_sink"))
    parser.add_argument("--page", type=Path, help="also write the table as a page; the words above it are kept")
    parser.add_argument("--quick", action="store_true", help="two vessels, one minute")
    options = parser.parse_args()
    study = read(options.quick)
    rows = table(study, options.out)
    words = WORDS
    if options.page and options.page.exists():
        words = options.page.read_text(encoding="utf-8").split("-->", 1)[-1].split("\n|", 1)[0].strip()
    written = page(study, rows, words)
    if options.page:
        options.page.write_text(written, encoding="utf-8")
    print(written)
    worst = float(np.max([row["imbalance"] for row in rows]))
    print(f"largest imbalance of a ledger: {worst:.1e} of the energy")


if __name__ == "__main__":
    main()
