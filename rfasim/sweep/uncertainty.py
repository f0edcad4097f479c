"""How sure one case is: runs over what the literature gives for its tissues (``rfasim run --uncertainty``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfasim.case import Case, case_yaml
from rfasim.checkpoint import write_bytes
from rfasim.errors import InputError
from rfasim.sweep.answers import Answers, answers_of
from rfasim.sweep.bands import Band, band
from rfasim.sweep.rows import COMPLETE
from rfasim.sweep.store import Store
from rfasim.sweep.study import Study, study_from_dict
from rfasim.tables import strict_json
from rfasim.tissues import resolve_tissues
from rfasim.yaml_io import parse_yaml

if TYPE_CHECKING:
    from rfasim.result import Result

FOLDER, NUMBERS = "uncertainty", "uncertainty.json"
FEWEST, MOST = 8, 100_000
ROOM = 0.03
"""the box of voxels is so much [m] larger than the zone"""
MARGIN = "tumour.minimal_margin_mm"


@dataclass(frozen=True)
class Range:
    """What the literature gives for a tissue's property, and where."""

    tissue: str
    """names that begin so"""
    field: str
    low: str
    high: str
    source: str
    distribution: str = "uniform"


RANGES = (
    Range("liver", "conductivity", "0.12 S/m", "0.37 S/m", "Go-Smart 0.122, Gabriel 1996 0.146 (480 kHz) to Zurbuchen "
          "2016 0.35 (470 kHz, human, resected)"),
    Range("liver", "perfusion", "0.0018 1/s", "0.020 1/s", "10 ml/min/100 g (Huang & Dodd 2012) over 0.0036 "
          "(Go-Smart), 0.0064 (in common use) and 0.015 (IT'IS) to CT perfusion", "log_uniform"),
    Range("liver", "thermal_conductivity", "0.47 W/(m K)", "0.57 W/(m K)", "0.52 (IT'IS, Guntur 2013) +- 10 %: its "
          "change with temperature has either sign (Guntur 2013, Choi 2013)"),
    Range("liver", "heat_capacity", "3411 J/(kg K)", "3750 J/(kg K)", "Haemmerich 2006 to Go-Smart's tumour"),
    Range("tumour", "conductivity", "0.25 S/m", "0.65 S/m", "Sarreshtehdari 2024 0.27 (ex vivo, 3 kHz) to Zurbuchen "
          "2016 0.57 and its spread (470 kHz, colorectal metastasis)"),
    Range("tumour", "perfusion", "0.0018 1/s", "0.011 1/s", "half of Go-Smart's 0.0036 to 61 ml/min/100 g (CT, HCC)",
          "log_uniform"),
)  # fmt: skip


def ranges_of(case: Case) -> Iterator[tuple[str, str, Range]]:
    """What varies in a case: a name, the path of the field, and its range. Tissue without perfusion stays so."""
    library = resolve_tissues(case.tissues)
    names = [case.background, *(tumour.tissue for tumour in case.every_tumour.values())]
    if case.anatomy is not None:
        names += [name for image in case.anatomy.labels for name in image.mapping.values()]
    for name in dict.fromkeys(names):
        for one in RANGES:
            if name.startswith(one.tissue) and not (one.field == "perfusion" and library[name].perfusion == 0):
                yield f"{name}_{one.field}", f"tissues.{name}.{one.field}", one


def uncertainty_study(case: Case, base: Path, runs: int, long_axis_mm: float) -> Study:
    """The study of a case over the ranges of the literature, its zones on voxels of 1 mm. Raises InputError."""
    if not FEWEST <= runs <= MOST:
        raise InputError("--uncertainty", f"got {runs}; give a number of runs from {FEWEST} to {MOST}, such as 64")
    found = list(ranges_of(case))
    if not found:
        raise InputError("--uncertainty", "has ranges for liver and tumour, and this case has neither")
    vary = {
        name: {"path": path, "low": one.low, "high": one.high, "distribution": one.distribution}
        for name, path, one in found
    }
    size = min(1e-3 * long_axis_mm + ROOM, 0.2)
    data = {
        "name": f"uncertainty of {case.name}"[:100], "case": parse_yaml(case_yaml(case), "case"), "vary": vary,
        "design": {"kind": "latin_hypercube", "runs": runs},
        "keep": {"zones": {"spacing": "1 mm", "size": f"{1e3 * size:.0f} mm"}},
        "outputs": ["zone.volume_ml", "zone.short_axis_mm", *([MARGIN] if case.every_tumour else [])],
    }  # fmt: skip
    return study_from_dict(data, base)


def write_numbers(folder: Path) -> dict[str, Any]:
    """Measure the study in ``folder`` and write its numbers beside it; what was written."""
    found = answers_of(Store(folder))
    told = numbers_of(found)
    write_bytes(folder.parent / NUMBERS, json.dumps(told, indent=2).encode())
    return told


def numbers_of(found: Answers) -> dict[str, Any]:
    """What the runs say of zone and margin: percentiles, shares of the runs, and the volumes of the band."""
    study = found.study
    told: dict[str, Any] = {
        "runs": study.n_runs, "complete": found.statuses.get(COMPLETE, 0),
        "varied": [
            {"path": str(v.path), "low": v.low, "high": v.high, "distribution": v.kind} for v in study.vary.values()
        ],
        "percentiles": {}, "band": None if found.band is None else found.band.volumes(),
    }  # fmt: skip
    for name, values in found.values.items():
        there = values[np.isfinite(values)]
        if len(there):
            ends = np.percentile(there, (5, 50, 95)).tolist()
            told["percentiles"][name] = dict(zip(("5", "50", "95"), ends, strict=True))
    if MARGIN in found.values:
        complete = found.table["status"].to_numpy(zero_copy_only=False) == COMPLETE
        margins = np.nan_to_num(found.values[MARGIN][found.table["run"].to_numpy()[complete]], nan=-np.inf)
        if len(margins):
            told["margin_shares"] = {
                "at_least_0_mm": float((margins >= 0).mean()), "at_least_5_mm": float((margins >= 5).mean()),
            }  # fmt: skip
    told["first_causes"] = {name: one.ranking()[:3] for name, one in found.sensitivities.items()}
    return dict(strict_json(told))


def rows_of(told: dict[str, Any]) -> list[tuple[str, str]]:
    """The numbers as rows of a table."""
    words = {"zone.volume_ml": ("zone volume", "ml"), "zone.short_axis_mm": ("zone, short axis", "mm"),
             MARGIN: ("smallest margin", "mm")}  # fmt: skip
    rows = [("runs", f"{told['complete']} of {told['runs']}")]
    for name, p in told["percentiles"].items():
        what, unit = words[name]
        rows.append((what, f"{p['5']:.1f} to {p['95']:.1f} {unit} in 90 % of the runs, median {p['50']:.1f} {unit}"))
    if shares := told.get("margin_shares"):
        covered, wide = (100 * shares[name] for name in ("at_least_0_mm", "at_least_5_mm"))
        rows.append(("tumour covered", f"in {covered:.0f} % of the runs, with a margin of 5 mm in {wide:.0f} %"))
    if volumes := told["band"]:
        sure, half, hardly = volumes.values()
        rows.append(("zone in 95 / 50 / 5 % of the runs", f"{sure:.1f} / {half:.1f} / {hardly:.1f} ml"))
    for name, names in told["first_causes"].items():
        rows.append((f"{words[name][0]} hangs on", ", ".join(word.replace("_", " ") for word in names)))
    return rows


def of_result(result: Result) -> tuple[dict[str, Any], Band | None] | None:
    """The numbers and the band that belong to a result; None where none were made."""
    path, folder = result.folder / NUMBERS, result.folder / FOLDER
    if not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    store = Store(folder)
    if not store.exists:
        return told, None
    table = store.read(["status"])
    complete = table["run"].to_numpy()[table["status"].to_numpy(zero_copy_only=False) == COMPLETE]
    return told, band(folder, complete)
