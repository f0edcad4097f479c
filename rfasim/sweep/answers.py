"""``rfasim study``: what a study tells, from its table alone: numbers, pictures, a page, files for others."""

from __future__ import annotations

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
from rfasim.sweep.study import Study
from rfasim.tables import strict_json

Array = NDArray[np.float64]
FOLDER = "answers"
PERCENTILES = (5.0, 50.0, 95.0)


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
    if found.band is not None:
        print(f"\nzone, from {found.band.runs} runs: ablated in at least")
        for share in LEVELS:
            print(f"  {100 * share:3.0f} % of them: {1e6 * found.band.volume(share):.2f} ml")


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
