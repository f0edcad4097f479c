"""``rfasim study``: what a study tells, from its table alone: numbers, pictures, a page, files for others."""

from __future__ import annotations

import itertools
import json
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.checkpoint import disk_errors, write_bytes
from rfasim.complaints import near
from rfasim.errors import InputError
from rfasim.sweep.bands import LEVELS, Band, band
from rfasim.sweep.rows import COMPLETE, INPUT
from rfasim.sweep.sensitivity import Sensitivity, sensitivity
from rfasim.sweep.store import Store
from rfasim.sweep.study import CrossTable, Study
from rfasim.tables import strict_json

Array = NDArray[np.float64]
FOLDER = "answers"
PERCENTILES = (5.0, 50.0, 95.0)
GOOD_FIT = 0.8
"""share of the variance of unseen runs that a polynomial must predict before its indices are worth reading"""


@dataclass(frozen=True)
class Answers:
    """What a study tells so far."""

    study: Study
    table: Any
    outputs: list[str]
    inputs: Array
    """(runs, variables): numbers, and places in their list for words"""
    values: dict[str, Array]
    """output -> (runs,) with NaN where there is none"""
    sensitivities: dict[str, Sensitivity]
    band: Band | None

    @property
    def statuses(self) -> dict[str, int]:
        """How many runs have each status."""
        return dict(Counter(self.table["status"].to_pylist()))

    def as_data(self) -> dict[str, Any]:
        """As plain data: the content of ``answers.json``."""
        found = {
            "study": self.study.name, "runs": self.study.n_runs, "done": self.table.num_rows,
            "statuses": self.statuses,
            "outputs": {
                name: _spread(values) | {"sensitivity": s.as_data() if (s := self.sensitivities.get(name)) else None}
                for name, values in self.values.items()
            },
            "tables": [cross_table(self, table) for table in self.study.tables],
            "band": None if self.band is None else {"runs": self.band.runs, **self.band.volumes()},
        }  # fmt: skip
        return dict(strict_json(found))


def _spread(values: Array) -> dict[str, Any]:
    """How the numbers of an output are distributed."""
    there = values[np.isfinite(values)]
    if len(there) == 0:
        return {"runs": 0}
    low, middle, high = np.percentile(there, PERCENTILES)
    return {
        "runs": len(there), "mean": there.mean(), "sd": there.std(ddof=1) if len(there) > 1 else None,
        "smallest": there.min(), "percentile_5": low, "median": middle, "percentile_95": high, "largest": there.max(),
    }  # fmt: skip


def answers_of(store: Store, outputs: Sequence[str] = ()) -> Answers:
    """All that the runs finished so far tell about ``outputs`` (those of the study). Raises InputError."""
    study, table = store.study(), store.read()
    wanted = list(outputs or study.outputs)
    numbers = [name for name in table.column_names if str(table[name].type) == "double" and not name.startswith(INPUT)]
    for name in wanted:
        if name not in numbers:
            raise InputError("--output", f"'{name}' is no number of these runs{near(name, numbers)}")
    runs = table["run"].to_numpy()
    values = {}
    for name in wanted:
        values[name] = _spaced(study.n_runs, runs, table[name].to_numpy(zero_copy_only=False).astype(np.float64))
    inputs = np.full((study.n_runs, len(study.names)), np.nan)
    for k, name in enumerate(study.names):
        if INPUT + name in table.column_names:
            inputs[runs, k] = as_numbers(study, name, table[INPUT + name].to_pylist())
    found = {name: s for name in wanted if (s := sensitivity(study, name, inputs, values[name])) is not None}
    complete = runs[np.array(table["status"].to_pylist()) == COMPLETE]
    return Answers(study, table, wanted, inputs, values, found, band(store.folder, complete))


def cross_table(found: Answers, asked: CrossTable) -> dict[str, Any]:
    """One cell a class: how many runs, and the mean and spread of a number or the share of each word."""
    if asked.output not in found.table.column_names:
        return {"output": asked.output, "by": list(asked.by), "cells": []}
    runs = found.table["run"].to_numpy()
    values = found.table[asked.output].to_pylist()
    classes = [_classes(found, name, asked.bins.get(name), runs) for name in asked.by]
    names = [list(dict.fromkeys(word for _, word in sorted({one for one in c if one is not None}))) for c in classes]
    cells = []
    for words in itertools.product(*names):
        inside = [value for value, *own in zip(values, *classes, strict=True)
                  if value is not None and [one and one[1] for one in own] == list(words)]  # fmt: skip
        cell: dict[str, Any] = {"of": dict(zip(asked.by, words, strict=True)), "runs": len(inside)}
        if inside and isinstance(inside[0], str):
            cell["shares"] = {word: n / len(inside) for word, n in sorted(Counter(inside).items())}
        elif inside:
            cell |= {"mean": float(np.mean(inside)), "sd": float(np.std(inside, ddof=1)) if len(inside) > 1 else None}
        cells.append(cell)
    return {"output": asked.output, "by": list(asked.by), "beside": asked.beside, "cells": cells}


def _classes(found: Answers, name: str, bins: Sequence[float] | None, runs: Any) -> list[tuple[float, str] | None]:
    """For each finished run the class of a variable, as (place in order, name)."""
    column = INPUT + name
    shown = found.table[column].to_pylist() if column in found.table.column_names else []
    levels, unit = levels_of(found.study, name, shown), found.study.unit(name)
    out: list[tuple[float, str] | None] = []
    for number in found.inputs[runs, found.study.names.index(name)]:
        if not np.isfinite(number):
            out.append(None)
        elif bins:
            k = int(np.searchsorted(bins, number, side="right")) - 1
            k = min(k, len(bins) - 2) if number == bins[-1] else k
            inside = 0 <= k < len(bins) - 1
            out.append((k, f"{bins[k]:g} to {bins[k + 1]:g} {unit}".rstrip()) if inside else None)
        else:
            out.append((number, levels[int(number)] if levels else f"{number:g} {unit}".rstrip()))
    return out


def _spaced(n: int, runs: Any, values: Array) -> Array:
    out = np.full(n, np.nan)
    out[runs] = values
    return out


def levels_of(study: Study, name: str, shown: Sequence[Any]) -> list[str]:
    """The words that a variable takes, in the order of its list; empty for numbers."""
    words = [value for value in shown if isinstance(value, str)]
    if not words:
        return []
    variable = study.vary.get(name)
    order = [] if variable is None else [str(one.shown) for one in _each(variable)]
    return list(dict.fromkeys([*order, *sorted(set(words))]))


def _each(variable: Any) -> list[Any]:
    return [variable.given(value) for value in (variable.values or variable.choices)]


def as_numbers(study: Study, name: str, shown: Sequence[Any]) -> list[float]:
    """The values of a variable as numbers; words as their places in its list."""
    levels = levels_of(study, name, shown)
    if not levels:
        return [np.nan if value is None else float(value) for value in shown]
    return [np.nan if value is None else float(levels.index(str(value))) for value in shown]


# -------------------------------------------------------------------------------------------------- the verb


def show_study(options: Namespace) -> int:
    """Print the answers and write what shows them."""
    store = Store(options.folder)
    found = answers_of(store, options.output or ())
    folder = store.folder / FOLDER
    if options.csv is not None:
        with disk_errors(options.csv):
            write_csv(found.table, options.csv)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
        write_bytes(folder / "answers.json", json.dumps(found.as_data(), indent=2, ensure_ascii=False).encode())
        written = [] if options.no_pictures else write_pictures(found, folder)
    if options.json:
        print(json.dumps(found.as_data(), indent=2, ensure_ascii=False))
    else:
        print_answers(found)
        for path in [*written, *([options.csv] if options.csv else [])]:
            print(f"Written: {path}")
    return 0


def write_csv(table: Any, path: Path) -> None:
    """The table as CSV."""
    import pyarrow as pa
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink)
    write_bytes(path, sink.getvalue().to_pybytes())


def print_answers(found: Answers) -> None:
    """Spread, sensitivities with their convergence, and the band of the zone, as tables."""
    from rfasim.terminal import print_columns

    study = found.study
    statuses = ", ".join(f"{n} {status}" for status, n in found.statuses.items())
    print(f"\n{study.name}: {found.table.num_rows} of {study.n_runs} runs ({statuses})\n")
    rows = []
    for name, values in found.values.items():
        spread = _spread(values)
        keys = ("mean", "sd", "percentile_5", "median", "percentile_95")
        rows.append([name, str(spread["runs"]), *(_short(spread.get(key)) for key in keys)])
    print_columns(["output", "runs", "mean", "sd", "5 %", "median", "95 %"], rows)
    for name, one in found.sensitivities.items():
        fit = "" if one.fit is None else f"; it predicts {100 * max(one.fit, 0):.1f} % of the variance of unseen runs"
        print(f"\n{name}: {one.method}, {one.used} runs{fit}")
        if one.fit is not None and one.fit < GOOD_FIT:
            print("  The fit is poor, so these indices are rough: do more runs, or a Saltelli design.")
        heads = [e.what.replace("_", " ") for e in one.estimates]
        sizes = [n for n in one.convergence if n != one.used]
        rows = []
        for variable in one.ranking():
            k = one.names.index(variable)
            cells = [f"{_short(e.values[k])} +- {_short(e.half_widths[k])}" if np.isfinite(e.half_widths[k])
                     else _short(e.values[k]) for e in one.estimates]  # fmt: skip
            rows.append([variable, *cells, *(_short(one.convergence[n][k]) for n in sizes)])
        print_columns(["variable", *heads, *(f"with {n} runs" for n in sizes)], rows)
        for (a, b), (value, width) in sorted(one.pairs.items(), key=lambda pair: -abs(pair[1][0]))[:5]:
            print(f"  {a} with {b}: {value:.3f} +- {width:.3f}")
    for table in study.tables:
        print_table(cross_table(found, table))
    if found.band is not None:
        print(f"\nzone, from {found.band.runs} runs: ablated in at least")
        for share in LEVELS:
            print(f"  {100 * share:3.0f} % of them: {1e6 * found.band.volume(share):.2f} ml")


def print_table(table: dict[str, Any]) -> None:
    """A table by classes; the second variable's go across."""
    from rfasim.terminal import print_columns

    cells, by = table["cells"], table["by"]
    beside = f"; beside: {table['beside']}" if table.get("beside") else ""
    print(f"\n{table['output']} by {' and '.join(by)}{beside}")
    words = list(dict.fromkeys(word for cell in cells for word in cell.get("shares", {})))
    if words or len(by) == 1:
        heads = [*words] if words else ["mean", "sd"]
        rows = [
            [*cell["of"].values(), str(cell["runs"]),
             *(_percent(cell.get("shares", {}).get(word, 0.0 if cell["runs"] else None)) for word in words),
             *([] if words else [_short(cell.get("mean")), _short(cell.get("sd"))])]
            for cell in cells
        ]  # fmt: skip
        print_columns([*by, "runs", *heads], rows)
        return
    across = list(dict.fromkeys(cell["of"][by[1]] for cell in cells))
    down = list(dict.fromkeys(cell["of"][by[0]] for cell in cells))
    means = {tuple(cell["of"].values()): cell for cell in cells}
    rows = [[one, *(f"{_short(means[one, other].get('mean'))} ({means[one, other]['runs']})" for other in across)]
            for one in down]  # fmt: skip
    print_columns([by[0], *(f"{by[1]} {word}: mean (runs)" for word in across)], rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _short(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def write_pictures(found: Answers, folder: Path) -> list[Path]:
    """Response curves, sensitivities, the page of parallel coordinates, and the band as pictures and files."""
    from rfasim.anatomy.writing import write_nifti
    from rfasim.exports import stl
    from rfasim.sweep import drawings, parallel

    written = []

    def add(name: str, data: bytes) -> None:
        write_bytes(folder / name, data)
        written.append(folder / name)

    add("responses.png", drawings.responses(found))
    if found.sensitivities:
        add("sensitivity.png", drawings.sensitivities(list(found.sensitivities.values())))
    add("parallel.html", parallel.page(found).encode())
    if found.band is not None:
        add("band.png", drawings.band(found.band, found.study.name))
        values, to_world = found.band.in_three_dimensions()
        try:
            write_nifti(folder / "probability.nii.gz", values.astype(np.float32), to_world)
            written.append(folder / "probability.nii.gz")
            for share in LEVELS:
                triangles = found.band.surface(share)
                if len(triangles):
                    add(f"zone_{100 * share:.0f}.stl", stl(1e3 * triangles))
        except (ImportError, InputError) as error:
            print(f"without probability map and surfaces: {error}; pip install 'rfasim[images]' brings them")
    return written
