"""The cases that are measured, as plain data: they need no file, so they are there wherever rfasim is installed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from rfasim.case import Case, case_with
from rfasim.electrodes import ALL_DEVICES
from rfasim.yaml_io import parse_yaml

Data = dict[str, Any]
REFERENCE = Path(__file__).with_name("reference.json")
"""The converged solutions, how they were made and how far they can be trusted (``benchmarks/accuracy.py reference``)"""

_NEEDLE = {
    "device": "needle", "tip": ["0 mm", "0 mm", "-15 mm"], "tip_shape": "round", "diameter": "1.5 mm",
    "active_length": "30 mm",
}  # fmt: skip
_CYLINDER = {"shape": "cylinder", "radius": "60 mm", "height": "120 mm"}
_EDGE = {
    "electric_boundary": {"kind": "ground"}, "thermal_boundary": {"kind": "fixed", "temperature": "37 degC"}
}  # fmt: skip
_TISSUE = {
    "conductivity": "0.2 S/m", "thermal_conductivity": "0.52 W/(m K)", "density": "1060 kg/m^3",
    "heat_capacity": "3600 J/(kg K)", "perfusion": "0.0064 1/s",
}  # fmt: skip

PROBLEMS: dict[str, Data] = {
    # constant voltage, a conduction law that is a straight line all the way, no boiling (cases/problem_a.yaml)
    "a": {
        "name": "problem_a",
        "description": "12 min at constant 15 V, conductivity +2 %/K, perfused, no boiling",
        "frequency": "480 kHz",
        "electrodes": [_NEEDLE],
        "generator": {
            "protocol": "constant_voltage", "voltage": "15 V", "duration": "12 min", "roll_off": {"stop": False}
        },
        "electric": {"admittivity": "real"},
        "boiling": {"enabled": False},
        "perfusion_stop": None,
        "tissues": {"liver": {
            "source": "benchmark problem A", **_TISSUE,
            "conductivity_law": {"kind": "linear", "slope": "2 %/K", "high": "200 degC"},
        }},
        "domain": {**_CYLINDER, **_EDGE},
    },
    # constant power until the tissue at the needle has dried (cases/problem_b.yaml)
    "b": {
        "name": "problem_b",
        "description": "12 min at 30 W with boiling, to roll-off",
        "frequency": "480 kHz",
        "electrodes": [_NEEDLE],
        "generator": {"protocol": "constant_power", "power": "30 W", "duration": "12 min"},
        "electric": {"admittivity": "real"},
        "tissues": {"liver": {
            "source": "benchmark problem B", **_TISSUE, "conductivity_law": {"kind": "linear", "slope": "2 %/K"}
        }},
        "domain": {**_CYLINDER, **_EDGE},
    },
    "cooled": {
        "name": "cooled",
        "description": "12 min at 30 W with a cooled straight 30 mm needle in perfused liver",
        "electrodes": [{
            "device": "needle", "tip": ["0 mm", "0 mm", "-15 mm"], "diameter": "1.5 mm", "active_length": "30 mm",
            "thermal": {"kind": "coolant", "temperature": "10 degC", "h": "3127 W/(m^2 K)"},
        }],
        "generator": {"protocol": "constant_power", "power": "30 W", "duration": "12 min"},
        "domain": _CYLINDER,
    },
    "saline": {
        "name": "saline",
        "electrodes": [{"device": "cooled_wet_needle", "model": "perfused_cooled", "tip": ["0 mm", "0 mm", "-15 mm"]}],
        "generator": {"protocol": "constant_power", "power": "30 W", "duration": "12 min"},
        "saline": {"infusions": [{"rate": "1 ml/min", "concentration": "5 %", "before": "1 min"}]},
    },
}  # fmt: skip
AXISYMMETRIC = {"domain.axisymmetric": "true"}
# A run of problem A is steady for most of its time, and nothing but the end is asked for.
FEW_STEPS = {"time.max_step": "60 s", "output.frames_every": "12 min"}
# Enough for the one per cent that is asked for; see benchmarks/README.md.
LOOSE = {**FEW_STEPS, "solver.heat_tolerance": "1e-3"}
# the same kind of run on a mesh of no size: it loads the kernels
TINY = {
    "mesh.size": "1.5 mm", "mesh.rim_size": "0.75 mm", "mesh.grow": "1", "mesh.max_size": "10 mm",
    "generator.duration": "2 s", "time.max_step": "1 s", "output.frames_every": "2 s",
}  # fmt: skip

VESSELS = """[
  {name: portal, kind: portal, points: [[-40 mm, -60 mm, 20 mm], [-20 mm, 0 mm, 10 mm]], diameter: 8 mm, velocity: 13 cm/s},
  {name: portal a, kind: portal, diameter: 5 mm, points: [[-20 mm, 0 mm, 10 mm], [-14 mm, 20 mm, 4 mm], [-10 mm, 60 mm, 0 mm]]},
  {name: portal b, kind: portal, diameter: 4 mm, points: [[-20 mm, 0 mm, 10 mm], [0 mm, 14 mm, 20 mm], [30 mm, 30 mm, 50 mm]]},
  {name: portal a1, kind: portal, diameter: 2 mm,
   points: [[-14 mm, 20 mm, 4 mm], [-4 mm, 14 mm, -10 mm], [20 mm, 12 mm, -30 mm]]},
  {name: portal b1, kind: portal, diameter: 2.5 mm, points: [[0 mm, 14 mm, 20 mm], [14 mm, 8 mm, 10 mm], [50 mm, 10 mm, 0 mm]]},
  {name: hepatic, kind: hepatic, diameter: 6 mm, velocity: 6 cm/s,
   points: [[20 mm, -10 mm, -50 mm], [16 mm, -8 mm, 0 mm], [10 mm, -30 mm, 55 mm]]},
  {name: hepatic 1, kind: hepatic, diameter: 2.5 mm, points: [[50 mm, 0 mm, 5 mm], [30 mm, -4 mm, 2 mm], [16 mm, -8 mm, 0 mm]]},
  {name: hepatic 2, kind: hepatic, diameter: 2 mm,
   points: [[-10 mm, -10 mm, -30 mm], [4 mm, -14 mm, -10 mm], [16 mm, -8 mm, 0 mm]]},
  {name: artery, kind: artery, diameter: 1.5 mm, velocity: 20 cm/s,
   points: [[-36 mm, -60 mm, 26 mm], [-16 mm, 2 mm, 16 mm], [-6 mm, 12 mm, 10 mm]]},
  {name: artery 1, kind: artery, diameter: 1 mm, points: [[-6 mm, 12 mm, 10 mm], [4 mm, 8 mm, -4 mm]]},
]"""  # noqa: E501  (a vessel a line)
"""Ten vessels around the needle's zone: a portal tree, hepatic veins and an artery."""

PLAIN: dict[str, Data] = {
    "ball": {"radius": 0.0015},
    "spheroid": {"semi_axes": (0.01, 0.001)},
    "rod": {"diameter": 0.0015},
    "custom": {
        "parts": [
            {"name": "shaft", "points": [(0, 0, 0), (0, 0, 0.1)], "diameter": 0.0018},
            {"name": "left", "points": [(0, 0, 0.004), (0.008, 0, -0.004), (0.016, 0, 0)], "diameter": 0.0008},
            {"name": "right", "points": [(0, 0, 0.004), (-0.008, 0, -0.004), (-0.016, 0, 0)], "diameter": 0.0008},
        ],
        "conducting": [
            {"name": "ring", "part": "shaft", "start": 0.015, "end": 0.025},
            {"name": "left", "part": "left", "start": 0.003, "terminal": "arms"},
            {"name": "right", "part": "right", "start": 0.003, "terminal": "arms"},
        ],
    },
}
"""What a family that has no models needs beside its pose [m]."""


def sizes(size: float, rim: float, grow: float, most: float | None = None) -> dict[str, str]:
    """Mesh options; sizes in mm."""
    options = {"mesh.size": f"{size:g} mm", "mesh.rim_size": f"{rim:g} mm", "mesh.grow": f"{grow:g}"}
    return options if most is None else {**options, "mesh.max_size": f"{most:g} mm"}


def finer(k: float) -> dict[str, str]:
    """All lengths of a mesh for problem A in 3-D divided by ``k``; about 290 000 cells at 0.7, 1 000 000 at 1.5."""
    return sizes(0.3 / k, 0.1 / k, 0.4 / k, 8.0 / k)


def problem(name: str, overrides: Mapping[str, str] = {}) -> Case:
    """A problem with fields of its case changed, written as in a case file."""
    changes = ((place, parse_yaml(value, place)) for place, value in overrides.items())
    return case_with(copy.deepcopy(PROBLEMS[name]), changes, Path())


def devices() -> dict[str, Data]:
    """Each device family, and each of its models: name -> what the electrode is in a case [SI], but for its pose."""
    found: dict[str, Data] = {}
    for kind in ALL_DEVICES:
        if kind.through:
            continue
        family = str(get_args(kind.model_fields["device"].annotation)[0])
        found[family] = {"device": family, **PLAIN.get(family, {})}
        found |= {model: {"device": family, "model": model} for model in kind.MODELS}
    return found


def reference() -> dict[str, Any]:
    """The converged solutions of problems A and B."""
    return dict(json.loads(REFERENCE.read_text(encoding="utf-8")))


def wanted(name: str) -> tuple[str, ...]:
    """The quantities a problem is judged by."""
    return {"a": ("impedance", "rise", "volume_50"), "b": ("roll_off", "volume_60")}.get(name, ())


def errors(name: str, row: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, float]:
    """What a run of a problem is off by [%], each quantity that it is judged by that came out."""
    return {
        key: 100 * (row[key] / known[name][key]["value"] - 1) for key in wanted(name) if row.get(key) is not None
    }  # fmt: skip
