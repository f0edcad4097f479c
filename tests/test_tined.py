"""Tined and user-made devices: tines where the parameters say, sound contacts, clear refusals, meshes that hold."""

from __future__ import annotations

import math
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rfasim.complaints import complaints
from rfasim.domain import Domain, _broken_parts, build_domain
from rfasim.electric import Potential
from rfasim.electrodes.christmas_tree import ChristmasTree
from rfasim.electrodes.custom import Custom
from rfasim.electrodes.device import Array, Device, check_electrode
from rfasim.electrodes.needle import Needle
from rfasim.electrodes.tined import Tined
from rfasim.electrodes.umbrella import Umbrella
from rfasim.geometry import ConeSpace, Nearer, Shape, Tines, Tube, Union

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import placements

TILTED: dict[str, Any] = {"tip": (0.01, -0.02, 0.005), "direction": (1.0, 2.0, -2.0), "turn_degrees": 77.0}
SMALL: dict[str, Any] = {"tines": 3, "tine_diameter": 0.0006}  # few thick tines: small meshes
HOOKED: dict[str, Any] = {
    "parts": [
        {"name": "shaft", "points": [(0, 0, 0), (0, 0, 0.1)], "diameter": 0.002},
        {"name": "hook", "points": [(0, 0, 0.01), (0.01, 0, 0.004), (0.016, 0, 0.01)], "diameter": 0.0008},
    ],
    "conducting": [
        {"name": "tip", "part": "shaft", "end": 0.005},
        {"name": "ring", "part": "shaft", "start": 0.015, "end": 0.025},
        {"name": "hook", "part": "hook", "start": 0.003, "terminal": "arm"},
    ],
}


def umbrella(**fields: Any) -> Umbrella:
    return Umbrella(**{"device": "umbrella", **TILTED, **fields})


def tree(**fields: Any) -> ChristmasTree:
    return ChristmasTree(**{"device": "christmas_tree", **TILTED, **fields})


def custom(**fields: Any) -> Custom:
    return Custom(**{"device": "custom", **TILTED, **HOOKED, **fields})


MODELS: list[Device] = [
    *(umbrella(model=model) for model in Umbrella.MODELS),
    *(tree(model=model) for model in ChristmasTree.MODELS),
    umbrella(deployed=0.3),
    umbrella(bend_degrees=240.0, tines=4),
    umbrella(bend_degrees=90.0),
    custom(),
]


@pytest.mark.parametrize("device", MODELS, ids=lambda d: getattr(d, "model", None) or d.device)
def test_geometry_is_sound(device: Device) -> None:
    assert check_electrode(device, seed=2) == []


# ---------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(("n", "angle"), [(2, 0.7), (5, 2.0), (9, math.pi), (14, 4.0)])
def test_distance_to_a_crown_of_tines_is_that_to_its_arcs(n: int, angle: float) -> None:
    random = np.random.default_rng(n)
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    turn[:, 0] *= np.linalg.det(turn)
    origin, ring, bend, radius = random.uniform(-0.01, 0.01, 3), 0.7e-3, 9e-3, 0.15e-3
    steps = np.linspace(0.0, angle, 2000)
    lines = []
    for phase in 2 * np.pi * np.arange(n) / n:
        wide = ring + bend * (1 - np.cos(steps))
        own = np.stack([wide * np.cos(phase), wide * np.sin(phase), -bend * np.sin(steps)], axis=1)
        lines.append(Tube(origin + own @ turn.T, radius))
    points = origin + random.uniform(-0.03, 0.03, (500, 3))
    crown = Tines(origin, turn, n, ring, bend, angle, radius)
    assert np.allclose(crown.distance(points), Union(lines).distance(points), rtol=0, atol=1e-8)
    lower, upper = crown.bounds()
    ends = np.concatenate([np.asarray(line.points) for line in lines])
    assert (ends - radius >= lower - 1e-12).all()
    assert (ends + radius <= upper + 1e-12).all()


@pytest.mark.parametrize(
    "shape",
    [
        ConeSpace((0, 0, 0.01), (0, 1, 1), (0.01, 0.02), (1.0, -2.0)),
        Nearer(Tube([(0, 0, 0), (0, 0, 0.1)], 0.002), Tube([(0, 0, 0), (0.1, 0, 0)], 0.001)),
        Tines((0, 0, 0), np.eye(3), 6, 1e-3, 8e-3, 3.0, 2e-4),
    ],
    ids=lambda shape: type(shape).__name__,
)
def test_distances_never_change_by_more_than_the_way_walked(shape: Shape) -> None:
    random = np.random.default_rng(3)
    points = random.uniform(-0.03, 0.03, (5000, 3))
    steps = random.normal(size=points.shape) * 10 ** random.uniform(-6, -2, (5000, 1))
    change = np.abs(shape.distance(points + steps) - shape.distance(points))
    assert (change <= np.linalg.norm(steps, axis=1) + 1e-12).all()


# ---------------------------------------------------------------------------------------------- umbrella


def own_axes(device: Tined, points: Array) -> tuple[Array, Array]:
    """Distance from the axis and ahead of the cannula's end of points (n, 3)."""
    offset = points - device.tip_point
    ahead = offset @ device.axis
    return np.linalg.norm(offset - ahead[:, None] * device.axis, axis=1), ahead


@pytest.mark.parametrize("model", Umbrella.MODELS)
def test_an_umbrella_is_as_wide_and_has_as_many_tines_as_its_model_says(model: str) -> None:
    device = umbrella(model=model)
    _, width, *_ = model.split("_")
    wide, _ = own_axes(device, device.filling()[0])
    assert 2 * wide.max() + device.tine_diameter == pytest.approx(0.01 * float(width), rel=1e-3)
    ends = device.along_tines(device.bend * math.pi / 2)
    gaps = np.linalg.norm(ends[:, None] - ends[None], axis=2) + np.eye(len(ends))
    assert len(ends) == Umbrella.MODELS[model].data["tines"].value
    assert gaps.min() > 10 * device.tine_diameter
    assert np.abs(device.shape().distance(ends) + device.tine_diameter / 2).max() < 1e-12


def test_a_partly_deployed_tine_lies_on_the_whole_one() -> None:
    whole, part = umbrella(), umbrella(deployed=0.4)
    centres, radii = part.filling()
    assert (whole.shape().distance(centres) <= -radii + 1e-9).all()
    assert part.tine_length - part.tine_diameter / 2 == pytest.approx(
        0.4 * (whole.tine_length - whole.tine_diameter / 2)
    )


@pytest.mark.parametrize("bend_degrees", [60.0, 180.0, 240.0])
def test_all_tines_of_an_umbrella_conduct_and_its_cannula_does_not(bend_degrees: float) -> None:
    device = umbrella(bend_degrees=bend_degrees)
    (contact,) = device.contacts()
    assert contact.extent is not None
    lengths = np.linspace(2 * device.tine_diameter, device.tine_length - device.tine_diameter / 2, 50)
    assert (contact.extent.distance(np.concatenate([device.along_tines(s) for s in lengths])) < 0).all()
    back = np.linspace(0.0, device.shaft_length, 50)[:, None] * -device.axis
    side = 0.5 * device.cannula_diameter * device.sideways(np.linspace(0, 6, 50))
    assert (contact.extent.distance(device.tip_point + back + side) > 0).all()


def test_moving_turns_the_tines_with_the_device() -> None:
    device = umbrella()
    turn, upper = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    turn *= np.sign(np.diag(upper))
    turn[:, 0] *= np.linalg.det(turn)
    moved = device.moved(turn, np.array([0.01, 0.0, -0.02]))
    assert np.allclose(moved.along_tines(0.01), device.along_tines(0.01) @ turn.T + [0.01, 0.0, -0.02], atol=1e-12)


# ---------------------------------------------------------------------------------------------- christmas tree


def test_one_curvature_gives_all_four_sizes_of_the_schedules() -> None:
    for model, extension, width in zip(
        ("starburst_xl_2cm", "starburst_xl_3cm", "starburst_xl_4cm", "starburst_xl_5cm"),
        (0.020, 0.025, 0.030, 0.035), (0.02, 0.03, 0.04, 0.05), strict=True,
    ):  # fmt: skip
        device = tree(model=model)
        assert device.extensions[-1] == extension
        assert device.stages == len(device.extensions)
        assert device.array_diameter_reached == pytest.approx(width, abs=1e-3)


def test_each_piece_of_a_tine_conducts_from_its_own_stage_on() -> None:
    device = tree(extensions=(0.01, 0.02, 0.035))
    assert [(c.name, c.stage, c.terminal) for c in device.contacts()] == [
        ("contact", 0, "contact"), ("stage_1", 1, "contact"), ("stage_2", 2, "contact"),
    ]  # fmt: skip
    assert device.terminals == ("contact",)
    for length, stage in ((0.001, 0), (0.0099, 0), (0.0101, 1), (0.0199, 1), (0.0201, 2), (0.0345, 2)):
        points = device.along_tines(length)
        inside = [(c.extent is not None) and bool((c.extent.distance(points) < 0).all()) for c in device.contacts()]
        assert inside == [k == stage for k in range(3)]


def test_the_trocars_end_conducts_and_the_rest_of_it_does_not() -> None:
    device = tree(trocar_contact=0.012)
    side = 0.5 * device.cannula_diameter * device.sideways(0.3)
    for back, held in ((0.001, True), (0.0119, True), (0.0121, False), (0.1, False)):
        point = (device.tip_point - back * device.axis + side)[None, :]
        inside = [c.extent is not None and bool(c.extent.distance(point)[0] < 0) for c in device.contacts()]
        assert inside == [held, False, False, False]


def test_thermocouples_are_on_the_surface_where_the_stages_tines_end() -> None:
    device = tree(model="starburst_xl_4cm")
    assert [name for name, _ in device.thermocouples] == ["tine 1", "tine 2", "tine 4", "tine 6", "tine 8"]
    for stage in range(3):
        points = np.array([point for _, point in device.thermocouples_at(stage)])
        assert np.abs(device.shape().distance(points)).max() < 1e-8
        ends = np.array([device.along_tines(device.extensions[stage])[k] for k in (0, 1, 3, 5, 7)])
        assert np.linalg.norm(points - ends, axis=1).max() <= device.tine_diameter / 2 + 1e-12
        extent = device.contacts()[stage].extent
        assert extent is not None
        if stage < 2:  # where a stage's contact ends
            assert np.abs(extent.distance(points)).max() < 1e-9
        else:
            assert (extent.distance(points) < 0).all()


# ---------------------------------------------------------------------------------------------- custom


def test_a_needle_described_by_hand_is_the_needle() -> None:
    radius, length = 0.00075, 0.1
    needle = Needle(
        device="needle", tip=TILTED["tip"], direction=TILTED["direction"], shaft_length=length, active_length=0.02
    )
    by_hand = custom(
        parts=[{"name": "rod", "points": [(0, 0, radius), (0, 0, length - radius)], "diameter": 2 * radius}],
        conducting=[{"name": "contact", "part": "rod", "end": 0.02 - radius}],
    )
    points = needle.active_centre + np.random.default_rng(0).uniform(-0.03, 0.03, (2000, 3))
    assert np.allclose(by_hand.shape().distance(points), needle.shape().distance(points), atol=1e-12)
    surface = points - needle.shape().distance(points)[:, None] * _gradient(needle.shape(), points)
    ours, theirs = by_hand.contacts()[0].extent, needle.contacts()[0].extent
    assert ours is not None
    assert theirs is not None
    assert np.array_equal(ours.distance(surface) < 0, theirs.distance(surface) < 0)
    assert 100 < (ours.distance(surface) < 0).sum() < 1900


def _gradient(shape: Shape, points: Array) -> Array:
    step = 1e-7
    columns = [(shape.distance(points + step * e) - shape.distance(points - step * e)) / (2 * step) for e in np.eye(3)]
    return np.stack(columns, axis=1)


def test_where_parts_meet_each_contact_keeps_to_its_own_part() -> None:
    device = custom(conducting=[{"name": "all", "part": "shaft"}, {"name": "hook", "part": "hook"}])
    extents = [contact.extent for contact in device.contacts()]
    shaft, hook = (device._tube(part) for part in device.parts)
    random = np.random.default_rng(1)
    joint = device._world(np.array([(0.0, 0.0, 0.01)]))
    points = joint + random.uniform(-0.002, 0.002, (20000, 3))
    for _ in range(3):  # onto the surface
        points -= device.shape().distance(points)[:, None] * _gradient(device.shape(), points)
    points = points[np.abs(device.shape().distance(points)) < 1e-8]
    assert len(points) > 1000
    for extent, part, other in zip(extents, (shaft, hook), (hook, shaft), strict=True):
        assert extent is not None
        mine = part.distance(points) < other.distance(points) - 1e-7
        assert (extent.distance(points[mine]) < 0).all()
        assert (extent.distance(points[part.distance(points) > other.distance(points) + 1e-7]) > 0).all()


def test_a_custom_device_has_the_terminals_sensors_and_openings_that_it_names() -> None:
    device = custom(
        return_terminals=["ring"], sensors=[{"name": "t", "at": (0.016, 0, 0.01)}],
        openings=[{"name": "hole", "at": (0, 0, -0.001)}],
        tip=(0.0, 0.0, 0.0), direction=(0.0, 0.0, -1.0), turn_degrees=0.0,
    )  # fmt: skip
    assert device.terminals == ("tip", "ring", "arm")
    assert device.returns == ("ring",)
    assert [name for name, _ in device.thermocouples] == ["t"]
    assert np.allclose(device.thermocouples[0][1], (0.016, 0, 0.01), atol=1e-15)
    assert np.allclose(device.outlets[0][1], (0, 0, -0.001), atol=1e-15)
    assert device.smallest_feature == 0.0008


def test_drawings_of_tined_devices_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).resolve().parent.parent / "docs/devices"
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    for name, draw in runpy.run_path(str(folder / "draw_tined.py"))["DRAWINGS"].items():
        assert (folder / name).read_text(encoding="utf-8") == draw(), "python docs/devices/draw_tined.py"


# ---------------------------------------------------------------------------------------------- refusals

STRAIGHT = {"name": "shaft", "points": [(0, 0, 0), (0, 0, 0.1)], "diameter": 0.002}
REFUSED: list[tuple[type[Device], dict[str, Any], str, str]] = [
    (Umbrella, {"tines": 20}, "tines", "do not fit side by side"),
    (Umbrella, {"tine_diameter": 0.002}, "tines", "they would cross"),
    (Umbrella, {"deployed": 0}, "deployed", "leaves no tine outside"),
    (Umbrella, {"deployed": 0.01}, "tine_diameter", "no length"),
    (Umbrella, {"bend_degrees": 300}, "bend_degrees", "30 to 240 degrees"),
    (Umbrella, {"array_diameter": 0.003}, "array_diameter", "not even twice"),
    (Umbrella, {"shaft_length": 0.001}, "shaft_length", "not longer than the cannula is wide"),
    (Umbrella, {"model": "leveen_3"}, "model", "did you mean leveen_3.5"),
    (ChristmasTree, {"extensions": (0.02, 0.03, 0.025)}, "extensions[2]", "hardly longer than the 30 mm before"),
    (ChristmasTree, {"extensions": ()}, "extensions", "at least 1"),
    (ChristmasTree, {"bend_radius": 0.01}, "bend_radius", "take an umbrella"),
    (ChristmasTree, {"trocar_contact": 0.2}, "trocar_contact", "leaves no insulation"),
    (ChristmasTree, {"tines": 4}, "thermocouple_tines", "more than the 4 tines"),
    (Custom, {"conducting": [{"name": "a", "part": "shft"}]}, "conducting[0].part", "did you mean shaft?"),
    (Custom, {"conducting": [{"name": "a", "part": "shaft", "end": 0.2}]}, "conducting[0].end", "past the end"),
    (Custom, {"conducting": [{"name": "a", "part": "shaft", "start": 0.02, "end": 0.01}]}, "conducting[0].start",
     "not before the contact's end"),
    (Custom, {"conducting": [{"name": "a", "part": "shaft", "end": 0.02},
                             {"name": "b", "part": "shaft", "start": 0.015, "end": 0.03}]}, "conducting[1]",
     "overlaps conducting[0] on 'shaft': 15 mm to 30 mm and 0 mm to 20 mm"),
    (Custom, {"conducting": [{"name": "a", "part": "shaft", "end": 0.01}, {"name": "a", "part": "hook"}]},
     "conducting[1].name", "named twice"),
    (Custom, {"return_terminals": ["rign"]}, "return_terminals[0]", "did you mean ring?"),
    (Custom, {"parts": [STRAIGHT, {"name": "hook", "points": [(-0.01, 0, 0.03), (0.01, 0.0005, 0.03)],
                                   "diameter": 0.0008}]}, "parts[1]", "crosses 'shaft'"),
    (Custom, {"parts": [STRAIGHT, {"name": "hook", "points": [(0, 0, 0), (0.01, 0, 0), (0.01, 0, 0.01), (0, 0, 0.03),
                                   (-0.01, 0, 0.03)], "diameter": 0.0008},
                        {"name": "free", "points": [(0, 0.01, 0), (0, 0.02, 0)], "diameter": 0.0008}]}, "", ""),
    (Custom, {"parts": [STRAIGHT, {"name": "hook", "points": [(0, 0, 0), (0.01, 0, 0), (0.01, 0, 0.0)],
                                   "diameter": 0.0008}]}, "parts[1].points[2]", "same as the point before"),
    (Custom, {"parts": [STRAIGHT, {"name": "hook", "points": [(0, 0, 0), (0.01, 0, 0), (0, 0, 0.0003)],
                                   "diameter": 0.0008}]}, "parts[1].points", "runs into itself"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "fields", "path", "words"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_does_not_fit_is_refused_with_one_clear_sentence(
    family: type[Device], fields: dict[str, Any], path: str, words: str
) -> None:
    word = family.model_fields["device"].annotation.__args__[0]  # type: ignore[union-attr]
    data = {"device": word, **TILTED, **(HOOKED if family is Custom else {}), **fields}
    if not words:  # joined at two points that lie on both lines: that is allowed
        assert family.model_validate(data).terminals == ("tip", "ring", "arm")
        return
    with pytest.raises(ValidationError) as refused:
        family.model_validate(data)
    ((found, sentence),) = complaints(refused.value, family)
    assert found == path
    assert words in sentence


# ---------------------------------------------------------------------------------------------- meshes


def resistance(domain: Domain, stage: int = 0) -> float:
    """From the contacts that conduct at a deployment stage to the ground [ohm], at 1 S/m."""
    held = [nodes for nodes, first in zip(domain.contacts, domain.contact_stages, strict=True) if first <= stage]
    none = np.zeros(0, np.int64)
    port = np.unique(np.concatenate(held))
    potential = Potential(domain.space, [port], domain.ground, none, None, is_complex=False, tolerance=1e-6)
    return float(1 / potential.solve(np.ones(domain.mesh.n_cells))[0, 0].real)


def domain_of(electrode: dict[str, Any]) -> Domain:
    return build_domain(placements.posed(electrode, np.zeros(3), np.array([0.3, 0.5, -1.0]), 20.0, None))


@pytest.mark.parametrize(
    "electrode",
    [
        {"device": "umbrella", **SMALL, "array_diameter": 0.02},
        {"device": "christmas_tree", **SMALL, "extensions": (0.012, 0.018), "thermocouple_tines": 3},
        placements.devices()["custom"],
    ],
    ids=lambda electrode: electrode["device"],
)
def test_drawn_placements_pass_through_mesh_and_potential(electrode: dict[str, Any]) -> None:
    assert [row["failure"] for row in placements.run("drawn", electrode, 3, seed=7)] == [""] * 3


def test_a_pose_that_fails_is_a_row_that_says_so() -> None:
    rows = list(placements.run("none", {"device": "umbrella", "tines": 40}, 1, seed=0))
    assert "tines" in rows[0]["failure"]


def test_no_part_of_a_tine_is_lost_at_the_mesh_size_the_device_asks_for() -> None:
    from scipy.spatial import cKDTree

    device = umbrella(**SMALL, array_diameter=0.02)
    mesh = domain_of({"device": "umbrella", **SMALL, "array_diameter": 0.02}).mesh
    centres, radii = device.filling()
    thin = radii <= device.tine_diameter / 2
    near = cKDTree(mesh.points[mesh.cells].mean(axis=1)).query(centres[thin])[0]
    assert (near > 0.45 * radii[thin]).mean() > 0.998  # no tissue where the tines' middle lines are
    length = device.tine_length - device.tine_diameter  # the contact starts half a diameter ahead of the cannula
    area = device.tines * math.pi * device.tine_diameter * (length + device.tine_diameter / 2)
    # a round tine is a prism of few sides here, which has more surface for its width
    assert mesh.facet_areas("electrodes[0].contact").sum() == pytest.approx(area, rel=0.1)


def test_parts_that_tissue_runs_through_are_found() -> None:
    case = placements.posed({"device": "umbrella", **SMALL, "array_diameter": 0.02}, np.zeros(3),
                            np.array([0.3, 0.5, -1.0]), 20.0, None)  # fmt: skip
    domain = build_domain(case)
    assert _broken_parts(case, domain.mesh) is None
    bent = case.electrodes[0].model_copy(update={"turn_degrees": 30.0})
    found = _broken_parts(case.model_copy(update={"electrodes": (bent,)}), domain.mesh)
    assert found is not None
    assert found[0] == 0


def test_each_stage_lowers_the_resistance_and_matches_a_device_that_ends_there() -> None:
    fields = {"device": "christmas_tree", **SMALL, "thermocouple_tines": 0}
    staged = domain_of({**fields, "extensions": (0.01, 0.015, 0.02)})
    ohms = [resistance(staged, stage) for stage in range(3)]
    assert ohms[0] > 1.1 * ohms[1] > 1.1 * 1.1 * ohms[2]
    # what is not yet out is a hole in the tissue, as thin as a tine: it hardly matters
    alone = resistance(domain_of({**fields, "extensions": (0.01,)}))
    assert ohms[0] == pytest.approx(alone, rel=0.02)
