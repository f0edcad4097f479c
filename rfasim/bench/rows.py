"""What can be measured: each row's name, what it is, and how it is prepared."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfasim.bench import micro
from rfasim.bench.clock import seconds_of
from rfasim.bench.problems import (
    AXISYMMETRIC,
    LOOSE,
    PROBLEMS,
    TINY,
    VESSELS,
    devices,
    errors,
    finer,
    problem,
    reference,
    sizes,
)  # fmt: skip
from rfasim.bench.runs import run_case
from rfasim.bench.work import Facts, Work, seconds_of_processes, start_python
from rfasim.case import Case, case_from_dict
from rfasim.complaints import near
from rfasim.errors import InputError

BYTES_PER_CELL = 500.0
"""Upper estimate of what a run needs, its mesher included; measured 300 to 350"""
BODIES = ("ball", "spheroid", "rod")  # reference bodies, no devices


@dataclass(frozen=True)
class Row:
    """Something that is measured. ``cells``: about how many, where that decides whether the memory is enough."""

    name: str
    what: str
    prepare: Callable[[bool], Work]
    quick: bool = False
    gated: bool = True
    cells: float = 0.0
    alone: bool = True
    """in a process of its own, so that its peak memory is its own"""


def _run(name: str, overrides: dict[str, str]) -> Callable[[bool], Work]:
    """A problem's run, with its errors where its answer is known."""

    def prepare(quick: bool) -> Work:
        _, load = seconds_of(lambda: run_case(problem(name, {**overrides, **TINY})))
        known = reference()

        def call() -> Facts:
            found = run_case(problem(name, overrides))
            off = errors(name, found, known)
            worst = max(map(abs, off.values()), default=None)
            return {**found, **{f"error_{key}_%": value for key, value in off.items()}, "error_%": worst}

        return Work(call, load_s=load)

    return prepare


def _device(electrode: dict[str, Any]) -> Callable[[bool], Work]:
    """Ten seconds at 10 W in a ball of liver, on a coarse mesh."""
    pose = {"tip": (0.0, 0.0, -0.01)}
    generator = {"protocol": "constant_power", "power": 10.0, "duration": 10.0}
    domain = {"shape": "ball", "radius": 0.065}
    data: dict[str, Any] = {"name": "device", "electrodes": [{**electrode, **pose}], "generator": generator,
                            "domain": domain}  # fmt: skip
    if "wet" in electrode["device"]:
        data["saline"] = {"infusions": [{"rate": 1e-6 / 60, "concentration": 9.0}]}

    def case(size: float, duration: float) -> Case:
        held = {**data, "generator": {**generator, "duration": duration}}
        hint = case_from_dict(held).electrodes[0].mesh_size  # thin parts would be lost in coarser meshes
        edge = size if hint is None else min(size, hint)
        mesh = {"grow": 0.6, "max_size": 8e-3, "zone_size": 8e-3, "size": edge, "rim_size": edge / 2}
        return case_from_dict({**held, "mesh": mesh})

    def prepare(quick: bool) -> Work:
        _, load = seconds_of(lambda: run_case(case(1e-3, 1.0)))
        return Work(lambda: run_case(case(5e-4, 10.0)), load_s=load)

    return prepare


def _import(quick: bool) -> Work:
    def call() -> None:
        start_python(["-c", "import rfasim.simulation"])

    return Work(call, timer=seconds_of_processes)


def _tiny_run(compile_all: bool) -> Callable[[bool], Work]:
    def prepare(quick: bool) -> Work:
        case = json.dumps({**PROBLEMS["a"], "domain": {**PROBLEMS["a"]["domain"], "axisymmetric": True}})

        def call() -> None:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "case.yaml").write_text(case, encoding="utf-8")
                options = ["--quiet", "--no-pictures", "--out", str(folder / "result")]
                changes = [word for item in TINY.items() for word in ("--set", "=".join(item))]
                empty = {"NUMBA_CACHE_DIR": str(folder / "kernels")} if compile_all else {}
                start_python(["-m", "rfasim", "run", str(folder / "case.yaml"), *options, *changes], **empty)

        return Work(call, timer=seconds_of_processes, once=compile_all)

    return prepare


def _throughput(quick: bool) -> Work:
    from rfasim.bench.throughput import measure

    return Work(lambda: measure(60, None), once=True)


def rows() -> tuple[Row, ...]:
    """All rows, in the order in which they are measured."""
    kernel = [
        Row(f"micro.{name}", f"{(prepare.__doc__ or '').split(';')[0].rstrip('.')}", prepare, quick=True, alone=False)
        for name, prepare in (
            ("assembly", micro.assembly), ("spmv", micro.product), ("preconditioner", micro.preconditioner),
            ("cg", micro.conjugate_gradients), ("mesher", micro.mesher), ("locate", micro.locate),
            ("damage", micro.damage),
        )
    ]  # fmt: skip
    what = "problem A, 12 min, "
    flat = [
        Row(f"run.axisymmetric.{label}", f"{what}axisymmetric, {size} mm at the needle",
            _run("a", {**AXISYMMETRIC, **LOOSE, **sizes(size, rim, grow)}), quick=quick)
        for label, size, rim, grow, quick in (
            ("5k", 0.3, 0.1, 0.3, True), ("13k", 0.15, 0.03, 0.15, True), ("46k", 0.075, 0.01, 0.075, False),
        )
    ]  # fmt: skip
    solid = [
        Row(f"run.{label}", f"{what}3-D, about {cells:g} cells", _run("a", {**LOOSE, **finer(k)}), quick, cells=cells)
        for label, k, cells, quick in (
            ("100k", 0.5, 1.35e5, True), ("300k", 0.7, 2.9e5, False), ("1m", 1.5, 1e6, False), ("10m", 3.5, 1e7, False)
        )
    ]  # fmt: skip
    brief = {"generator.duration": "30 s", **sizes(0.8, 0.4, 0.6)}
    coupled = [
        Row("run.boiling", "problem B, axisymmetric, to roll-off", _run("b", {**AXISYMMETRIC, **sizes(0.3, 0.1, 0.3)})),
        Row("run.no_vessels", "a cooled needle at 30 W, 30 s, 3-D on a coarse mesh", _run("cooled", brief)),
        Row("run.vessels", "the same among ten vessels, four of them meshed",
            _run("cooled", {**brief, "vessels": VESSELS}), quick=True),
        Row("run.saline", "12 min at 30 W while 1 ml/min of 5 % NaCl seeps, axisymmetric", _run("saline", AXISYMMETRIC),
            quick=True),
    ]  # fmt: skip
    families = {name: data for name, data in devices().items() if name == data["device"] and name not in BODIES}
    models = {name: next((m for m in devices().values() if m["device"] == name and "model" in m), data)
              for name, data in families.items()}  # fmt: skip
    every = [
        Row(f"device.{name}", f"{data.get('model', name)}, 10 s at 10 W on a coarse mesh", _device(data))
        for name, data in models.items()
    ]  # fmt: skip
    whole = [
        Row("sweep.throughput", "60 axisymmetric runs of 12 min, a worker a core", _throughput, gated=False),
        Row("start.import", "a process that imports the simulation", _import, quick=True, alone=False),
        Row("start.run", "'rfasim run' of next to nothing, kernels from the cache", _tiny_run(False), quick=True,
            alone=False),
        Row("start.compile", "the same with an empty cache: all kernels of the run compiled", _tiny_run(True),
            gated=False, alone=False),
    ]  # fmt: skip
    return (*kernel, *flat, *solid, *coupled, *every, *whole)


def choose(words: Iterable[str], quick: bool) -> list[Row]:
    """The rows of the given names or families (``micro``, ``run.axisymmetric``), all (quick ones) for none.

    Raises InputError.
    """
    every, words = rows(), list(words)
    if not words:
        return [row for row in every if row.quick or not quick]
    names = {row.name for row in every}
    families = {name[:k] for name in names for k, letter in enumerate(name) if letter == "."}
    for word in words:
        if word not in names | families:
            raise InputError("ROW", f"there is no row '{word}'; {near(word, sorted(names | families))}")
    return [row for row in every if any(row.name == word or row.name.startswith(f"{word}.") for word in words)]
