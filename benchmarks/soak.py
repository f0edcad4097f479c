"""Many short runs of varied cases in one process: none fails, books close, nothing grows.

    python benchmarks/soak.py                  # 200 cases drawn from seed 1
    python benchmarks/soak.py 20 --seed 7
    python benchmarks/soak.py --only 137       # this one alone, with its case

Each case is a shipped one (every device and protocol) with its tissues, tumours, vessels, damage models, saline,
clamp and generator drawn anew, coarse and some seconds long; it is run as ``rfasim run`` does. Asked of each run:
it ends; energy is accounted for; all numbers are finite; impedance is positive; the zone does not shrink; every tenth
goes on from a checkpoint to the same numbers. Asked of all: memory, open files and temporary folders do not grow.
Prints a JSON line a run, then a summary; the exit code is 1 when something failed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import ctypes.util
import gc
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rfasim import cli
from rfasim.case import case_from_dict, load_case, read_case, write_case
from rfasim.damage import CRITERIA
from rfasim.errors import InputError, RunError
from rfasim.frame import Frame
from rfasim.result import Result
from rfasim.simulation import Simulation

CASES = Path(__file__).resolve().parents[1] / "cases"
LEDGER = 1e-6
"""of the energy turned over, as in ``rfasim verify``"""
GROWTH = 0.1
"""MB a run that the memory in use may grow by, over the second half of the runs"""
TEMPLATES = ("needle.yaml", "needle_axisymmetric.yaml", "problem_a.yaml", "problem_a_axisymmetric.yaml",
             "problem_b.yaml", "pringle.yaml", "saline.yaml", "phantom.yaml")  # fmt: skip
STAGES = [{"name": "low", "power": "8 W", "lasts": "5 s"}, {"name": "high", "power": "30 W"}]
FINE = ("umbrella", "christmas_tree", "custom")
"""tines and wires take the mesh that they need"""
MONOPOLAR: tuple[dict[str, Any], ...] = (
    {"protocol": "constant_power", "power": "25 W"}, {"protocol": "constant_voltage", "voltage": "25 V"},
    {"protocol": "constant_current", "current": "0.6 A"}, {"preset": "cooltip_pulsed", "power": "40 W"},
    {"protocol": "power_ramp"}, {"protocol": "pulsed", "power": "35 W"}, {"preset": "celon_power"},
    {"protocol": "table", "phases": STAGES},
)  # fmt: skip


def templates() -> list[Path]:
    """The cases that others are made of."""
    return [*(CASES / name for name in TEMPLATES), *sorted((CASES / "devices").glob("*.yaml"))]


def draw(number: int, seed: int, images: Path) -> tuple[Path, dict[str, Any]]:
    """Plain data of a case and the folder of its files; it may contradict itself."""
    rng = random.Random(f"{seed} {number}")
    files = templates()
    file = files[number % len(files)]
    data = read_case(file)
    size = rng.choice((1.2, 1.4, 1.6))
    data["name"] = f"soak {number}: {file.stem}"
    data["mesh"] = {"zone_size": "8 mm", "zone_reach": "5 mm", "max_size": "15 mm", "grow": 0.8}
    if file.stem not in FINE:
        data["mesh"] |= {"size": f"{size} mm", "rim_size": f"{size / 2} mm"}
    data["output"] = {"frames_every": f"{rng.choice((3, 7.5, 20))} s"}
    data["solver"] = {"threads": rng.choice((1, 1, 2))}
    own = data["generator"]
    one_needle = len(data["electrodes"]) == 1 and "returns" not in str(data.get("electric", ""))
    if one_needle and file.parent == CASES and rng.random() < 0.6:
        own = dict(rng.choice(MONOPOLAR))
    data["generator"] = own | {"duration": f"{rng.choice((3, 5, 8, 12, 20))} s"}
    data["frequency"] = f"{rng.choice((350, 460, 480))} kHz"
    if rng.random() < 0.3:
        data["background"] = rng.choice(("liver", "muscle", "fat", "kidney", "lung"))
    if rng.random() < 0.4:
        data["tissues"] = {
            data.get("background", "liver"): {
                "perfusion": f"{rng.uniform(0.001, 0.02):.4f} 1/s", "conductivity": f"{rng.uniform(0.1, 0.5):.3f} S/m"
            }
        }  # fmt: skip
    data["zone"] = {"criterion": rng.choice(list(CRITERIA))}
    data["perfusion_stop"] = rng.choice((None, "arrhenius_coagulation", rng.choice(list(CRITERIA))))
    data["boiling"] = rng.choice(({}, {"enabled": False}, {"returning_fraction": 0.5}))
    data["electric"] = (data.get("electric") or {}) | {"admittivity": rng.choice(("complex", "real"))}
    axisymmetric = bool((data.get("domain") or {}).get("axisymmetric"))
    if "anatomy" not in data:
        if rng.random() < 0.5:
            data["tumour"] = _tumour(rng, axisymmetric)
        if not axisymmetric and rng.random() < 0.4:
            data["vessels"] = [_vessel(rng, k) for k in range(rng.choice((1, 2)))]
    else:
        for image in data["anatomy"]["labels"]:
            image["file"] = str(images)
        for tumour in (data["tumour"], *data["tumours"]):
            tumour["file"] = str(images)
    twice = [{"from": "1 s", "to": "3 s"}, {"from": "6 s", "to": "9 s"}]
    clamp = rng.choice(("off", "on", {"from": "2 s", "to": "8 s"}, twice))
    data["circulation"] = {"pringle": clamp, "thrombosis": rng.choice(("report", "occlude"))}
    if data.get("saline") and rng.random() < 0.5:
        data["saline"] = {"infusions": [{"rate": f"{rng.choice((0, 0.5, 2))} ml/min", "concentration": "5 %"}]}
    elif data.get("background", "liver") == "liver" and rng.random() < 0.2:
        data["saline"] = {"boluses": [{"at": ["3 mm", "0 mm", "0 mm"], "volume": "1 ml", "concentration": "0.9 %"}]}
    if data.get("saline") and data.get("background", "liver") != "liver":  # lung has no pores by itself
        data.setdefault("tissues", {}).setdefault(data["background"], {})["porosity"] = 0.1
    return file.parent, data


def _tumour(rng: random.Random, axisymmetric: bool) -> dict[str, Any]:
    x, y = (0, 0) if axisymmetric else (rng.uniform(-8, 8), rng.uniform(-8, 8))
    sharp = rng.random() < 0.3
    if axisymmetric or rng.random() < 0.6:
        diameter = f"{rng.uniform(8, 30):.1f} mm"
        return {"shape": "ball", "centre": [f"{x:.2f} mm", f"{y:.2f} mm", "1 mm"], "diameter": diameter, "sharp": sharp}
    axes = [f"{rng.uniform(5, 14):.1f} mm" for _ in range(3)]
    return {"shape": "ellipsoid", "centre": [f"{x:.2f} mm", f"{y:.2f} mm", "0 mm"], "semi_axes": axes, "sharp": sharp}


def _vessel(rng: random.Random, number: int) -> dict[str, Any]:
    side = (-1) ** number
    x = side * rng.uniform(7, 20)
    treatment = rng.choice(("auto", "line", "resolved", "held"))
    vessel: dict[str, Any] = {
        "name": f"vessel {number}", "kind": rng.choice(("portal", "hepatic", "artery", "user")),
        "points": [[f"{x:.1f} mm", "-30 mm", "0 mm"], [f"{x + side:.1f} mm", "30 mm", f"{rng.uniform(-9, 9):.1f} mm"]],
        "diameter": f"{rng.uniform(1.5, 8):.1f} mm", "treatment": treatment,
    }  # fmt: skip
    if treatment != "held" and rng.random() < 0.7:
        vessel["velocity"] = f"{rng.uniform(1, 20):.1f} cm/s"
    return vessel


def sound_case(number: int, seed: int, images: Path, folder: Path) -> tuple[Path, int]:
    """The first case drawn for this number that fits together, as a file; and how many were refused before it."""
    for attempt in range(40):
        base, data = draw(number + 100_000 * attempt * len(templates()), seed, images)
        try:
            case = case_from_dict(data, from_file=True)
        except InputError:
            continue
        write_case(case, folder / "case.yaml", base)
        return folder / "case.yaml", attempt
    raise AssertionError(f"nothing that fits together was drawn for {number}")


def judge(number: int, folder: Path, run: Path, *, again: bool) -> list[str]:
    """What is wrong with a finished run."""
    result = Result.read(run)
    history, summary, wrong = result.history, result.summary, []
    if summary["status"] != "complete":
        wrong.append(f"ended {summary['status']}")
    part = unaccounted(history)
    if part > LEDGER:
        wrong.append(f"{part:.1e} of the energy is not accounted for")
    for name, values in history.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            wrong.append(f"{name} is not finite")
    if not (history["impedance_ohm"] > 0).all():
        wrong.append("an impedance is not positive")
    if (np.diff(history["zone_volume_ml"]) < -1e-9 * max(history["zone_volume_ml"].max(), 1e-9)).any():
        wrong.append("the zone shrinks")
    for name in result.field_names:
        if not np.isfinite(result.field(name)).all():
            wrong.append(f"the field {name} is not finite")
    if again and len(history["time_s"]) > 3:
        wrong += _resumed(folder, history)
    return wrong


def unaccounted(history: dict[str, Any]) -> float:
    """The share of the energy turned over that the books cannot account for."""
    turned = max(float(history["electrical_j"][-1]), *(abs(float(history[f"{name}_j"][-1])) for name in
                 ("stored", "perfusion", "boundary", "coolant", "vessels", "saline")))  # fmt: skip
    return abs(float(history["imbalance_j"][-1])) / turned if turned > 1.0 else 0.0


def _resumed(folder: Path, history: dict[str, Any]) -> list[str]:
    """Go on from half way, and compare with the run that was not interrupted."""
    case = load_case(folder / "case.yaml")
    first = Simulation(case, folder)
    saved: dict[str, Any] = {}
    for count, _ in enumerate(first.frames(), start=1):
        if count == len(history["time_s"]) // 2:
            saved = first.save_state()
            break
    second = Simulation(case, folder)
    second.load_state(saved)
    rest: list[Frame] = list(second.frames())
    if not rest:
        return ["nothing was left to do after half of the steps"]
    last = rest[-1]
    ours = [float(history[name][-1]) for name in ("time_s", "zone_volume_ml", "max_temperature_c", "electrical_j")]
    theirs = [last.time, 1e6 * last.zone_volume, last.max_temperature, last.energy["electrical"]]
    return [] if ours == theirs else [f"resumed it ends with {theirs}, not {ours}"]


def _give_back() -> None:
    """What has been freed, to the system: glibc keeps it in pieces, which differ from case to case and add up."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)


def _held() -> dict[str, float]:
    """Memory in MB, open files, and temporary folders of ours."""
    gc.collect()
    _give_back()
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        files = len(list(Path("/proc/self/fd").iterdir()))
        folders = sum(1 for _ in Path(tempfile.gettempdir()).glob("rfasim-*"))
        return {"memory_mb": round(resident, 1), "open_files": files, "temporary": folders}
    return {}


def soak(count: int, seed: int, only: int | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of what was done, and what is wrong."""
    rows, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="rfasim-soak-") as temporary, _temporary_files_in(Path(temporary)):
        images = Path(temporary) / "phantom"
        with contextlib.redirect_stdout(io.StringIO()):
            assert cli.main(["phantom", "--out", str(images), "--spacing", "4 mm"]) == 0
        for number in range(count) if only is None else [only]:
            folder = Path(temporary) / "one"
            folder.mkdir()
            row: dict[str, Any] = {"number": number}
            started = time.perf_counter()
            try:
                file, row["refused"] = sound_case(number, seed, images / "labels.seg.nrrd", folder)
                if only is not None:
                    print(file.read_text(encoding="utf-8"), file=sys.stderr)
                row["case"] = load_case(file).name
                told, said = io.StringIO(), io.StringIO()
                words = ["run", str(file), "--out", str(folder / "run"), "--quiet", "--no-pictures", "--json"]
                words.append("--debug")
                with contextlib.redirect_stdout(told), contextlib.redirect_stderr(said):
                    code = cli.main(words)
                row["wrong"] = [f"exit code {code}: {said.getvalue().strip()}"] if code else judge(
                    number, folder, folder / "run", again=number % 10 == 3)  # fmt: skip
                if not code:
                    summary = json.loads(told.getvalue())
                    row |= {"steps": summary["run"]["steps"], "cells": summary["mesh"]["cells"]}
                    row["unaccounted"] = unaccounted(Result.read(folder / "run").history)
            except (Exception, RunError) as error:
                row["wrong"] = [f"{type(error).__name__}: {error}; {traceback.format_exc().splitlines()[-3].strip()}"]
            row |= {"seconds": round(time.perf_counter() - started, 2), **_held()}
            rows.append(row)
            wrong += [f"run {number} ({row.get('case', '?')}): {sentence}" for sentence in row["wrong"]]
            print(json.dumps(row, ensure_ascii=False), flush=True)
            shutil.rmtree(folder)
    return rows, wrong + _grown(rows)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Temporary folders are made there, so that only our own are counted."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def slope_of(rows: list[dict[str, Any]]) -> float:
    """MB that the memory grows by from run to run, over the second half of the runs."""
    held = [row["memory_mb"] for row in rows[len(rows) // 2 :] if "memory_mb" in row]
    return float(np.polyfit(np.arange(len(held)), held, 1)[0]) if len(held) > 1 else 0.0


def _grown(rows: list[dict[str, Any]]) -> list[str]:
    """What grows from run to run, once every kind of case has been there."""
    late = rows[max(len(rows) // 2, len(templates())) :]
    if len(late) < 20 or "memory_mb" not in late[0]:
        return []
    slope = slope_of(rows)
    wrong = [f"memory grows by {slope:.2f} MB a run"] if slope > GROWTH else []
    for name in ("open_files", "temporary"):
        if late[-1][name] > late[0][name]:
            wrong.append(f"{name} grow from {late[0][name]} to {late[-1][name]}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    rows, wrong = soak(options.count, options.seed, options.only)
    first, last = rows[0], rows[-1]
    print(f"{len(rows)} runs in {sum(row['seconds'] for row in rows):.0f} s, {len(wrong)} complaints; "
          f"memory {first.get('memory_mb')} to {last.get('memory_mb')} MB, {slope_of(rows):+.2f} a run in the second "
          f"half; open files {first.get('open_files')} to {last.get('open_files')}")  # fmt: skip
    for sentence in wrong:
        print(f"WRONG {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
