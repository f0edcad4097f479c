"""Rows held against those of a baseline file: which moved, by how much, and whether that is too much.

Times are compared as ratios to the reference kernel that ran in turn with them; counts (steps, iterations, cells) and
errors do not depend on the machine but for rounding, and are compared as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfasim.errors import InputError

FORMAT = 1
MAX_SLOWDOWN = 1.3
SAME_MESH = 0.005
"""by how much nodes and cells may differ: kinds of rounding"""
SAME_WORK = 0.03
"""by how much steps and iterations may grow; one more of any is always allowed"""
SAME_ERROR = 0.05
"""percentage points that an error may grow"""
Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What became of a row: ``change`` is its ratio over the baseline's (None where there is none to tell)."""

    row: str
    change: float | None
    missed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    slow: bool = False
    """missed for its time, which may be measured again"""


def judge(rows: Rows, baseline: Rows, max_slowdown: float, wanted: Iterable[str] | None = None) -> list[Verdict]:
    """A verdict for each of the baseline's rows (of those ``wanted``) and for each new one."""
    names = [name for name in baseline if wanted is None or name in set(wanted)]
    names += [name for name in rows if name not in baseline]
    return [_judge_row(name, rows.get(name), baseline.get(name), max_slowdown) for name in names]


def _judge_row(name: str, now: Mapping[str, Any] | None, then: Mapping[str, Any] | None, most: float) -> Verdict:
    if then is None:
        return Verdict(name, None, notes=("new: the baseline does not have it",))
    if now is None:
        return Verdict(name, None, missed=("it is in the baseline and was not measured",))
    if "failed" in now:
        return Verdict(name, None, missed=(f"failed: {now['failed']}",))
    if "ratio" not in now or "ratio" not in then:
        return Verdict(name, None, notes=(str(now.get("skipped", "the baseline has no time for it")),))
    missed, notes = _counts(now.get("counts", {}), then.get("counts", {}))
    before, after = then.get("error_%"), now.get("error_%")
    if before is not None and after is not None and after > before + SAME_ERROR:
        missed.append(f"error {before:.2f} % -> {after:.2f} %")
    change = now["ratio"] / then["ratio"]
    slow = bool(now.get("gated", True) and change > most)
    if slow:
        missed.append(f"{change:.2f} times as slow as the baseline, {most:g} allowed")
    return Verdict(name, change, tuple(missed), tuple(notes), slow)


def _counts(now: Mapping[str, int], then: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Counts that changed: what is missed, what is worth a note."""
    missed: list[str] = []
    notes: list[str] = []
    for key in then:
        before, after = then[key], now.get(key)
        if after is None or after == before:
            continue
        text = f"{key} {before} -> {after}"
        if key in ("nodes", "cells", "found"):
            (missed if abs(after - before) > SAME_MESH * before else notes).append(text)
        else:
            (missed if after - before > max(1, SAME_WORK * before) else notes).append(text)
    return missed, notes


def read_baseline(path: Path, quick: bool) -> dict[str, Any]:
    """A file that ``rfasim bench --out`` wrote; raises InputError for what is none, or of the other size."""
    if not path.is_file():
        raise InputError(str(path), "there is no such file; 'rfasim bench --out DIR' writes one, DIR/bench.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(str(path), f"cannot be read as JSON ({error}); give a bench.json of 'rfasim bench'") from None
    if not isinstance(data, dict) or not isinstance(data.get("rows"), list) or "format" not in data:
        raise InputError(str(path), "is no file of 'rfasim bench'; 'rfasim bench --out DIR' writes DIR/bench.json")
    if data["format"] != FORMAT:
        raise InputError(str(path), f"has format {data['format']}, this rfasim reads {FORMAT}; make it anew")
    if bool(data.get("quick")) != quick:
        made, ask = ("with", "add") if data.get("quick") else ("without", "leave out")
        raise InputError(str(path), f"was made {made} --quick, whose rows are smaller; {ask} --quick")
    return data


def differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """What of machine and versions is not that of the baseline, in words."""
    keys = ("cpu", "cores", "python", "numpy", "numba", "scipy", "rfasim")
    return [f"{key} {then.get(key)} -> {now.get(key)}" for key in keys if now.get(key) != then.get(key)]
