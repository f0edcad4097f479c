"""What holds for whatever is drawn: case files, meshes, generators, damage.

A few examples of each by default, always the same; ``RFASIM_DEEP=1`` draws others, fifty times as many.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfasim import geometry
from rfasim.case import Case, case_from_dict, case_yaml, read_case
from rfasim.damage import Damage
from rfasim.domain import build_domain
from rfasim.errors import InputError
from rfasim.generator import Memory, operate
from rfasim.quantities import parse, text
from rfasim.yaml_io import dump_yaml, parse_yaml

CASES = Path(__file__).resolve().parents[1] / "cases"
DEEP = bool(os.environ.get("RFASIM_DEEP"))


def drawn(examples: int) -> settings:
    """So many examples; in the deep profile others each time, fifty times as many."""
    return settings(
        max_examples=examples * (50 if DEEP else 1), derandomize=not DEEP, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- case files

SHIPPED = [read_case(path) for path in (*sorted(CASES.glob("*.yaml")), *sorted((CASES / "devices").glob("*.yaml")))]
KEYS = [*Case.model_fields, "device", "tip", "protocol", "power", "shape", "kind", "x", "\u00e4"]
leaves = st.sampled_from(
    ["30 W", "-1 mm", "12 min", "nan", "1e400 m", "", "liver", "electrodes[0].contact", None, True, 0, -3, 1e308]
) | st.text(max_size=8) | st.floats() | st.integers()  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in pairs for place in ((*path, key), *_places(value, (*path, key)))]


def _refusal(data: Any) -> InputError | None:
    """Why plain data is no case; anything but InputError, or more than five seconds, fails the test."""
    started = time.process_time()
    try:
        case = case_from_dict(data, from_file=True)
    except InputError as error:
        return error
    finally:
        assert time.process_time() - started < 5.0
    again = case_from_dict(parse_yaml(case_yaml(case), "written"), from_file=True)
    assert again == case
    assert case_yaml(again) == case_yaml(case)
    return None


@drawn(30)
@given(st.dictionaries(st.sampled_from(KEYS), trees, max_size=6))
def test_any_tree_is_a_case_or_refused(tree: Any) -> None:
    refusal = _refusal(tree)
    assert refusal is None or str(refusal)


@drawn(40)
@given(st.data())
def test_a_shipped_case_with_any_part_replaced_is_a_case_or_refused_with_the_path(data: st.DataObject) -> None:
    case = copy.deepcopy(data.draw(st.sampled_from(SHIPPED)))
    place = data.draw(st.sampled_from(_places(case)))
    group = case
    for key in place[:-1]:
        group = group[key]
    group[place[-1]] = data.draw(trees)
    refusal = _refusal(case)
    if refusal is not None:  # each line begins with a place in the case
        roots = [line.split(":")[0].split(".")[0].split("[")[0] for line in str(refusal).splitlines()]
        assert all(root in (*Case.model_fields, str(place[0])) for root in roots), str(refusal)


@drawn(40)
@given(st.floats(1e-6, 1e3), st.sampled_from([("W", "kW", 1e3), ("m", "mm", 1e-3), ("Hz", "kHz", 1e3)]))
def test_one_quantity_in_two_units_is_one_quantity(value: float, units: tuple[str, str, float]) -> None:
    unit, other, factor = units
    assert parse(f"{value!r} {unit}", unit) == value
    assert parse(f"{value / factor!r} {other}", unit) == pytest.approx(value, rel=1e-15)
    assert parse(text(value, unit), unit) == value


@drawn(10)
@given(st.sampled_from(SHIPPED), st.integers(0, 10**6))
def test_order_of_keys_does_not_matter(case: dict[str, Any], seed: int) -> None:
    keys = list(case)
    np.random.default_rng(seed).shuffle(keys)
    shuffled = {key: case[key] for key in keys}
    written = parse_yaml(dump_yaml(shuffled), "shuffled")
    assert case_from_dict(written, from_file=True) == case_from_dict(case, from_file=True)


# --------------------------------------------------------------------------------------------------------------- meshes


def _mesh_case(data: st.DataObject, axisymmetric: bool) -> Case:
    def mm(low: float, high: float) -> str:
        return f"{data.draw(st.floats(low, high)):.2f} mm"

    x, z = ("0 mm" if axisymmetric else mm(-6, 6)), mm(-5, 8)
    domain: dict[str, Any] = {"axisymmetric": axisymmetric}
    shape = data.draw(st.sampled_from(["cylinder", "ball"] if axisymmetric else ["cylinder", "ball", "box"]))
    domain |= {"box": {"size": [mm(60, 80), mm(60, 80), mm(60, 80)]}, "ball": {"radius": mm(30, 40)},
               "cylinder": {"radius": mm(28, 40), "height": mm(60, 80)}}[shape] | {"shape": shape}  # fmt: skip
    size = data.draw(st.floats(1.0, 1.5))
    return case_from_dict(
        {
            "name": "drawn",
            "electrodes": [{"device": "needle", "tip": ["0 mm", "0 mm", mm(-14, -6)], "active_length": mm(10, 20),
                            "diameter": f"{data.draw(st.floats(1.6, 2.2)):.2f} mm"}],
            "generator": {"protocol": "constant_power", "power": "10 W"}, "domain": domain,
            "tumour": {"shape": "ball", "centre": [x, "0 mm", z], "diameter": mm(8, 20),
                       "sharp": data.draw(st.booleans())},
            "mesh": {"size": f"{size} mm", "rim_size": f"{size / 2} mm", "zone_size": mm(5, 9), "zone_reach": "5 mm",
                     "max_size": mm(9, 15), "grow": data.draw(st.floats(0.5, 0.9))},
        },
        from_file=True,
    )  # fmt: skip


@pytest.mark.parametrize(("axisymmetric", "examples"), [(True, 12), (False, 4)])
def test_a_mesh_is_conforming_whole_and_of_the_right_volume(axisymmetric: bool, examples: int) -> None:
    @drawn(examples)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = _mesh_case(data, axisymmetric)
        mesh = build_domain(case).mesh
        volumes = mesh.volumes()
        assert (volumes > 0).all()
        corners = mesh.cells.shape[1]
        sides = [list(side) for side in itertools.combinations(range(corners), corners - 1)]
        faces = np.sort(np.concatenate([mesh.cells[:, side] for side in sides]))
        _, counts = np.unique(faces, axis=0, return_counts=True)
        assert counts.max() <= 2  # each facet has one cell, at the boundary, or two
        assert (counts == 1).sum() == len(mesh.boundary_facets())
        border = np.sort(mesh.boundary_facets(), axis=1)
        if not axisymmetric:  # the boundary is closed: each of its edges has two triangles
            edges = np.concatenate([border[:, pair] for pair in ([0, 1], [0, 2], [1, 2])])
            assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()
        assert len(mesh.facets["electrodes[0].contact"]) > 0
        assert {"electrodes[0].contact", "outer"} <= mesh.facets.keys()
        lowest, highest = mesh.min_max_dihedral()
        assert lowest > (2.0 if axisymmetric else 1.0)
        assert highest < 179.0
        domain = case.domain
        exact = {"ball": lambda: 4 / 3 * math.pi * domain.radius**3, "box": lambda: math.prod(domain.size),
                 "cylinder": lambda: math.pi * domain.radius**2 * domain.height}[domain.shape]()  # fmt: skip
        assert volumes.sum() == pytest.approx(exact, rel=0.12)  # coarse: chords of curved surfaces, the needle's hole
        assert volumes.sum() < exact * 1.01
        if case.tumour.sharp and "tumour" in mesh.region_names:
            inside = volumes[mesh.regions == mesh.region_names.index("tumour")].sum()
            assert inside <= 1.05 * math.pi / 6 * case.tumour.diameter**3

    check()


@drawn(40)
@given(st.tuples(*[st.tuples(*[st.floats(-0.05, 0.05)] * 3)] * 2), st.floats(1e-3, 0.03), st.integers(0, 999))
def test_signed_distances_change_no_faster_than_the_way(ends: Any, radius: float, seed: int) -> None:
    a, b = (np.array(end) for end in ends)
    shapes: list[Any] = [geometry.Ball(a, radius), geometry.Box(np.minimum(a, b) - radius, np.maximum(a, b) + radius)]
    if np.linalg.norm(a - b) > 1e-4:
        shapes += [geometry.Cylinder(a, b, radius), geometry.Tube(np.array([a, b]), radius)]
    points = np.random.default_rng(seed).uniform(-0.1, 0.1, (50, 3))
    apart = np.linalg.norm(points[1:] - points[:-1], axis=1)
    for shape in shapes:
        assert (np.abs(np.diff(shape.distance(points))) <= apart * (1 + 1e-9) + 1e-12).all()


# ----------------------------------------------------------------------------------------------------------- generators

PROTOCOLS: list[dict[str, Any]] = [
    {"protocol": "constant_power", "power": "30 W", "duration": "60 s"},
    {"protocol": "constant_voltage", "voltage": "40 V", "duration": "60 s"},
    {"protocol": "constant_current", "current": "0.7 A", "duration": "60 s"},
    {"protocol": "power_ramp", "duration": "300 s"}, {"protocol": "pulsed", "power": "80 W", "duration": "200 s"},
    {"preset": "cooltip_pulsed"}, {"preset": "leveen_rf3000"}, {"preset": "celon_power"},
    {"protocol": "table", "duration": "100 s",
     "phases": [{"name": "low", "power": "8 W", "lasts": "20 s"}, {"name": "high", "power": "30 W"}]},
]  # fmt: skip


def _program(generator: dict[str, Any]) -> tuple[Any, Case]:
    needle = {"device": "cooled_needle", "model": "cooltip_30", "tip": ["0 mm", "0 mm", "0 mm"]}
    case = case_from_dict(
        {"name": "drawn", "electrodes": [needle], "generator": generator,
         "domain": {"shape": "cylinder", "radius": "70 mm", "height": "160 mm"}}, from_file=True,
    )  # fmt: skip
    return case.generator.program(case.connection, case.terminals), case


@drawn(60)
@given(
    st.sampled_from(PROTOCOLS),
    st.lists(st.tuples(st.floats(0.05, 12.0), st.floats(15.0, 900.0)), min_size=5, max_size=60),
)
def test_a_generator_keeps_its_limits_its_time_and_its_books(generator: Any, readings: list[Any]) -> None:
    program, case = _program(generator)
    memory, now = program.begin(), 0.0
    impedance = complex(readings[0][1], -5.0)
    for step, size in readings:
        if memory.finished:
            break
        edge = program.edge(memory)
        assert edge > now - 1e-9
        now = min(now + step, edge)
        impedance = complex(size, -0.1 * size)
        quantity, value = program.setpoint(memory, now, abs(impedance), (40.0,))
        assert value >= 0.0
        reading = operate(quantity, value, program.limits, 1 / impedance, now)
        assert reading.power <= program.limits.power * (1 + 1e-9)
        assert reading.voltage <= program.limits.voltage * (1 + 1e-9)
        assert reading.current <= program.limits.current * (1 + 1e-9)
        restored = Memory.from_json(json.loads(json.dumps(memory.to_json())))
        assert restored == memory
        assert program.setpoint(restored, now, abs(impedance), (40.0,)) == (quantity, value)
        after = program.observe(memory, reading)
        assert program.observe(restored, reading) == after  # the same memory and reading give the same
        assert after.energy >= memory.energy
        assert after.time >= memory.time
        assert after.roll_offs >= memory.roll_offs
        assert after.events[: len(memory.events)] == memory.events
        assert all(0.0 <= event[0] <= now + 1e-9 for event in after.events)
        memory = after
    assert memory.time <= case.generator.duration * (1 + 1e-12)


@drawn(20)
@given(st.floats(2.0, 50.0), st.floats(0.3, 7.0))
def test_a_timed_phase_ends_when_it_says(lasts: float, step: float) -> None:
    lasts = round(lasts, 3)
    phases = [{"name": "low", "power": "8 W", "lasts": f"{lasts} s"}, {"name": "high", "power": "30 W"}]
    program, _ = _program({"protocol": "table", "phases": phases, "duration": "100 s"})
    memory, now = program.begin(), 0.0
    while now < 100.0 - 1e-6:
        now = min(now + step, program.edge(memory))
        quantity, value = program.setpoint(memory, now, 80.0, ())
        memory = program.observe(memory, operate(quantity, value, program.limits, 1 / 80.0, now))
        assert (memory.phase == 0) == (now < lasts - 1e-9)
    assert memory.finished == "duration"
    assert memory.events[0][0] == pytest.approx(lasts, abs=1e-9)


# --------------------------------------------------------------------------------------------------------------- damage


@drawn(30)
@given(st.lists(st.tuples(st.floats(20, 110), st.floats(0.01, 60)), min_size=1, max_size=15), st.floats(0, 15))
def test_damage_never_heals_and_more_heat_does_more(steps: list[tuple[float, float]], hotter: float) -> None:
    cool, hot = (Damage.start(1) for _ in range(2))
    before: dict[str, Any] = {name: values.copy() for name, values in cool.values().items()}
    T = 37.0
    for to, seconds in steps:
        for one, extra in ((cool, 0.0), (hot, hotter)):
            one.advance(np.array([T + extra]), np.array([to + extra]), seconds)
        T = to
        for name in before:
            assert np.isfinite(cool.values()[name]).all()
            if name != "three_state":  # in which injured cells may recover
                assert (cool.values()[name] >= before[name]).all()
            assert (cool.values()[name] <= hot.values()[name] * (1 + 1e-9) + 1e-12).all()
        before = {name: values.copy() for name, values in cool.values().items()}
