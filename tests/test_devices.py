"""Clinical devices: sound geometry at drawn poses, contacts where the parameters say, sources for every number."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rfasim.complaints import complaints
from rfasim.electrodes import ALL_DEVICES, AnyDevice, Device, check_electrode
from rfasim.electrodes.device import Array
from rfasim.quantities import Record
from rfasim.sheet import word_of


class Holder(Record):
    """As much of a case as holds devices."""

    electrodes: tuple[AnyDevice, ...]


def device(*, from_file: bool = False, **fields: Any) -> Any:
    return TypeAdapter(AnyDevice).validate_python(fields, context={"from_file": from_file})


def refused(**fields: Any) -> str:
    """What a user reads when these fields are one electrode of a case."""
    with pytest.raises(ValidationError) as error:
        Holder.model_validate({"electrodes": [fields]})
    return "\n".join(f"{path}: {sentence}" for path, sentence in complaints(error.value, Holder))


BY_WORD = {word_of(kind): kind for kind in ALL_DEVICES}
NEEDLES = [
    "cooled_needle", "cooled_cluster", "bipolar_needle", "bipolar_set", "wet_needle", "cooled_wet_needle",
    "bipolar_wet_needle",
]  # fmt: skip
MODELS = [(word, model) for word, kind in BY_WORD.items() for model in kind.MODELS]
EVERY: list[dict[str, Any]] = [{"device": word} for word in NEEDLES]
EVERY += [{"device": word, "model": model} for word, model in MODELS]
VARIANTS: list[dict[str, Any]] = [
    {"device": "cooled_needle", "tip_shape": "conical", "active_length": 0.01},
    {"device": "cooled_cluster", "needles": 2, "separable": True},
    {"device": "cooled_cluster", "needles": 6, "separable": True, "spacing": 0.0016, "tip_shape": "conical"},
    {"device": "cooled_cluster", "separable": True, "active_length": 0.15},
    {"device": "bipolar_needle", "insulator_length": 0.0005, "tip_shape": "flat"},
    {"device": "bipolar_needle", "tip_shape": "conical", "tip_length": 0.004, "distal_length": 0.0041},
    {"device": "bipolar_set", "needles": 2, "spacing": 0.05},
    {"device": "bipolar_set", "needles": 5, "tip_shape": "conical"},
    {"device": "wet_needle", "tip_shape": "conical", "outlet_rows": 5, "outlets_per_row": 3},
    {"device": "cooled_wet_needle", "outlet_distance": 0.004},
]


def drawn_pose(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    tip, way = random.uniform(-0.03, 0.03, 3), random.normal(size=3)
    return {"tip": tuple(tip), "direction": tuple(way)}


def drawn_motion(seed: int) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    rotation, upper = np.linalg.qr(random.normal(size=(3, 3)))
    rotation *= np.sign(np.diag(upper))
    rotation[:, 0] *= np.linalg.det(rotation)
    return rotation, random.uniform(-0.05, 0.05, 3)


def named(fields: dict[str, Any]) -> str:
    return "-".join(str(value) for value in fields.values())


# ------------------------------------------------------------------------------------------------ every device


@pytest.mark.parametrize("fields", [*EVERY, *VARIANTS], ids=named)
def test_geometry_is_sound_at_drawn_poses(fields: dict[str, Any]) -> None:
    for seed in (1, 2):
        turned = {"turn_degrees": 77.0 * seed} if "turn_degrees" in BY_WORD[fields["device"]].model_fields else {}
        assert check_electrode(device(**fields, **drawn_pose(seed), **turned), seed=seed) == []


@pytest.mark.parametrize("way", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (1e-9, 0, 1)], ids=str)
@pytest.mark.parametrize("word", ["cooled_cluster", "bipolar_set", "cooled_wet_needle"])
def test_moving_takes_needles_thermocouples_and_outlets_along(word: str, way: tuple[float, float, float]) -> None:
    here = device(device=word, tip=(0.01, 0.0, 0.02), direction=way, turn_degrees=40.0)
    rotation, shift = drawn_motion(5)
    there = here.moved(rotation, shift)
    for name in ("thermocouples", "outlets"):
        for (old, point), (new, moved) in zip(getattr(here, name), getattr(there, name), strict=True):
            assert old == new
            assert np.allclose(moved, rotation @ point + shift, atol=1e-12)
    assert 0 <= there.turn_degrees <= 360
    again = there.moved(rotation.T, -rotation.T @ shift)
    turn = math.radians(again.turn_degrees - here.turn_degrees)
    assert (math.cos(turn), math.sin(turn)) == pytest.approx((1, 0), abs=1e-6)


@pytest.mark.parametrize("fields", EVERY, ids=named)
def test_a_device_survives_being_written_and_read(fields: dict[str, Any]) -> None:
    made = device(**fields, **drawn_pose(7))
    assert device(from_file=True, **made.model_dump(mode="json")) == made


def test_entry_and_target_place_the_middle_of_a_set() -> None:
    placed = {"entry": (0.0, 0.04, 0.06), "target": (0.0, 0.0, 0.0), "beyond_target": 0.005}
    cluster = device(device="cooled_cluster", **placed)
    tips = np.array([point for _, point in cluster.thermocouples])
    assert np.allclose(tips.mean(axis=0), device(device="needle", **placed).tip_point, atol=1e-15)
    assert np.allclose((tips - tips.mean(axis=0)) @ cluster.axis, 0, atol=1e-15)


# ------------------------------------------------------------------------------------------------ named models


@pytest.mark.parametrize(("word", "model"), MODELS)
def test_a_model_gives_its_data_and_what_the_case_states_wins(word: str, model: str) -> None:
    data = {name: datum.value for name, datum in BY_WORD[word].MODELS[model].data.items()}
    by_name = device(device=word, model=model, tip=(0, 0, 0), from_file=False)
    spelled_out = device(device=word, tip=(0, 0, 0), **data)
    assert by_name.model_copy(update={"model": None}) == spelled_out
    assert device(device=word, model=model, tip=(0, 0, 0), rated_power="7 W").rated_power == 7.0


@pytest.mark.parametrize("kind", ALL_DEVICES, ids=word_of)
def test_models_and_sources_name_parameters_that_exist_and_every_number_has_a_source(kind: type[Device]) -> None:
    assert kind.SOURCES.keys() <= kind.model_fields.keys()
    chosen = [
        word
        for option in get_args(kind.model_fields["model"].annotation if kind.MODELS else None)
        for word in get_args(option)
    ]
    assert chosen == list(kind.MODELS)
    for model in kind.MODELS.values():
        assert model.title
        assert model.data.keys() <= kind.model_fields.keys() - {"device", "model"}
        assert all(len(datum.source) >= len("assumed") for datum in model.data.values())


def test_no_two_devices_or_models_share_a_name() -> None:
    names = [*BY_WORD, *(model for _, model in MODELS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("word", ["cooled_needle", "cooled_cluster", "cooled_wet_needle"])
def test_cooled_devices_have_a_coolant_unless_the_case_says_otherwise(word: str) -> None:
    coolant = device(device=word, tip=(0, 0, 0)).thermal
    assert (coolant.kind, coolant.temperature, coolant.h) == ("coolant", 10.0, 3127.0)
    assert device(device=word, tip=(0, 0, 0), thermal={"kind": "adiabatic"}).thermal.kind == "adiabatic"


# ------------------------------------------------------------------------------------------------ contacts


def along_shaft(shaft: Any, n: int = 3001) -> tuple[Array, Array]:
    """Distances from the tip to just before the shaft's end [m], and surface points of the shaft there."""
    t = np.linspace(0.001, 0.1, n)
    side = np.cross(shaft.axis, np.eye(3)[np.argmin(np.abs(shaft.axis))])
    radius = shaft.diameter / 2
    return t, shaft.tip_point - t[:, None] * shaft.axis + radius * side / np.linalg.norm(side)


def test_a_bipolar_needle_has_its_contacts_and_insulator_where_the_lengths_say() -> None:
    needle = device(
        device="bipolar_needle", distal_length=0.012, insulator_length=0.004, proximal_length=0.02, **drawn_pose(3)
    )
    t, surface = along_shaft(needle)
    assert np.abs(needle.shape().distance(surface)).max() < 1e-12
    distal, proximal = (contact.extent.distance(surface) < 0 for contact in needle.contacts())
    assert (distal == (t < 0.012)).all()
    assert (proximal == ((t > 0.016) & (t < 0.036))).all()
    assert [contact.rim for contact in needle.contacts()] == [True, True]
    assert needle.terminals == ("distal", "proximal")
    assert needle.returns == ("proximal",)


@pytest.mark.parametrize(("model", "length"), [("celon_t20", 0.02), ("celon_t30", 0.03), ("celon_t40", 0.04)])
def test_the_active_length_of_a_celon_model_is_its_number(model: str, length: float) -> None:
    needle = device(device="bipolar_needle", model=model, tip=(0, 0, 0))
    assert needle.sections[-1] == pytest.approx(length, abs=1e-15)
    assert needle.active_centre == pytest.approx([0, 0, length / 2], abs=1e-15)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_neighbours_of_a_set_are_the_spacing_apart_and_no_two_closer(n: int) -> None:
    group = device(device="bipolar_set", needles=n, spacing=0.023, turn_degrees=200.0, **drawn_pose(n))
    tips = np.array([needle.tip_point for needle in group.each()])
    apart = np.linalg.norm(tips[:, None] - tips, axis=2)
    neighbours = [apart[k, (k + 1) % n] for k in range(n)]
    assert neighbours == pytest.approx([0.023] * n)
    assert apart[~np.eye(n, dtype=bool)].min() > 0.023 - 1e-12
    assert np.allclose(tips.mean(axis=0), group.tip_point, atol=1e-15)


def test_turning_a_set_moves_its_first_needle_by_that_angle_about_the_axis() -> None:
    for degrees in (0.0, 30.0, 250.0):
        group = device(device="cooled_cluster", tip=(0, 0, 0), spacing=0.01, turn_degrees=degrees)
        first = group.each()[0].tip_point
        # the axis is -z: seen from above, the turn is clockwise
        angle = math.radians(degrees)
        assert np.allclose(first, group.reach * np.array([math.cos(angle), -math.sin(angle), 0]), atol=1e-15)


def test_the_shape_of_a_set_is_that_of_its_needles() -> None:
    group = device(device="bipolar_set", needles=4, **drawn_pose(2))
    points = group.active_centre + np.random.default_rng(0).uniform(-0.05, 0.05, (2000, 3))
    nearest = np.min([needle.shape().distance(points) for needle in group.each()], axis=0)
    assert np.allclose(group.shape().distance(points), nearest, atol=1e-14)


def test_a_joined_cluster_is_one_terminal_and_a_separable_one_is_one_each() -> None:
    joined = device(device="cooled_cluster", tip=(0, 0, 0))
    separable = device(device="cooled_cluster", tip=(0, 0, 0), needles=4, separable=True)
    assert joined.terminals == ("contact",)
    assert separable.terminals == ("needle_1", "needle_2", "needle_3", "needle_4")
    assert joined.returns == separable.returns == ()
    # the same surface conducts in both
    (all_of_it,) = joined.contacts()
    parts = device(device="cooled_cluster", tip=(0, 0, 0), separable=True).contacts()
    for number, needle in enumerate(joined.each()):
        t, surface = along_shaft(needle)
        assert ((all_of_it.extent.distance(surface) < 0) == (t < 0.025)).all()
        for other, contact in enumerate(parts):
            assert contact.extent is not None
            held = contact.extent.distance(surface) < 0
            assert (held == ((t < 0.025) & (number == other))).all()


def test_a_set_has_every_contact_of_every_needle_as_a_terminal() -> None:
    group = device(device="bipolar_set", needles=3, tip=(0, 0, 0))
    assert group.terminals == tuple(f"{end}_{k}" for k in (1, 2, 3) for end in ("distal", "proximal"))
    assert group.returns == ("proximal_1", "proximal_2", "proximal_3")
    for (number, needle), (k, contact) in itertools.product(enumerate(group.each()), enumerate(group.contacts())):
        t, surface = along_shaft(needle)
        distal, begin, end = needle.sections
        wanted = (t < distal) if k % 2 == 0 else (t > begin) & (t < end)
        assert ((contact.extent.distance(surface) < 0) == (wanted & (number == k // 2))).all()


# ------------------------------------------------------------------------------------------------ outlets


@pytest.mark.parametrize("tip_shape", ["round", "flat", "conical"])
@pytest.mark.parametrize("word", ["wet_needle", "cooled_wet_needle", "bipolar_wet_needle"])
def test_outlets_are_as_far_from_the_contacts_as_stated(word: str, tip_shape: str) -> None:
    for away in (0.0, 0.002):
        wet = device(
            device=word, outlet_rows=3, outlets_per_row=5, outlet_distance=away, tip_shape=tip_shape, **drawn_pose(4)
        )
        points = np.array([point for _, point in wet.outlets])
        assert np.allclose(wet.shape().distance(points), away, atol=1e-12)
        held = np.array([contact.extent.distance(points) < 0 for contact in wet.contacts()])
        assert held.sum(axis=1).tolist() == [15] * len(held)  # three rows of five on each contact
        assert len({name for name, _ in wet.outlets}) == len(wet.outlets) == 15 * len(held)


def test_dry_devices_have_no_outlets() -> None:
    assert all(device(device=word, tip=(0, 0, 0)).outlets == () for word in NEEDLES if "wet" not in word)


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"device": "bipolar_needle", "proximal_length": "140 mm"},
            "proximal_length: contacts and insulator take 156.5 mm, which is not less than the 150 mm shaft; shorten",
        ),
        (
            {"device": "bipolar_needle", "distal_length": "0.5 mm"},
            "electrodes[0].distal_length: 0.5 mm ends within the round tip, so that the insulation would overlap it",
        ),
        ({"device": "bipolar_needle", "insulator_length": "0 mm"}, "insulator_length: got 0 mm; it must be more than"),
        (
            {"device": "cooled_cluster", "spacing": "1 mm"},
            "electrodes[0].spacing: 1 mm lets needles of 1.5 mm diameter touch or overlap; give more than 1.5 mm",
        ),
        ({"device": "cooled_cluster", "spacing": "1.5 mm"}, "touch or overlap"),
        ({"device": "cooled_cluster", "needles": 7}, "electrodes[0].needles: got 7; it must be at most 6"),
        ({"device": "bipolar_set", "needles": 1}, "electrodes[0].needles: got 1; it must be at least 2"),
        ({"device": "cooled_needle", "active_length": "200 mm"}, "200 mm is longer than the 150 mm shaft"),
        ({"device": "cooled_nedle"}, "electrodes[0].device: got 'cooled_nedle'; did you mean cooled_needle"),
        (
            {"device": "cooled_needle", "model": "cooltip_35"},
            "electrodes[0].model: got 'cooltip_35'; did you mean cooltip_30",
        ),
        (
            {"device": "cooled_needle", "model": "celon_t30"},
            "electrodes[0].model: got 'celon_t30'; choose one of cooltip_10, cooltip_20",
        ),
        ({"device": "cooled_needle", "lenght": "3 cm"}, "electrodes[0].lenght: is no known key"),
        ({"device": "wet_needle", "outlet_rows": 0}, "electrodes[0].outlet_rows: got 0; it must be at least 1"),
        ({"device": "wet_needle", "active_length": "0.5 mm"}, "leaves no place for outlets"),
        ({"device": "bipolar_set", "turn_degrees": 400}, "turn_degrees: got 400.0; it must be at most 360"),
        ({"device": "bipolar_set", "entry": (0, 0, 0.1), "target": (0, 0, 0)}, "is placed in two ways"),
    ],
)
def test_impossible_devices_are_refused_with_field_and_way_out(fields: dict[str, Any], message: str) -> None:
    assert message in refused(**fields, tip=(0, 0, 0))


def test_a_device_without_a_place_is_refused() -> None:
    assert "has no place; give its tip" in refused(device="bipolar_set")


def test_everything_that_is_wrong_with_a_needle_is_said_at_once() -> None:
    said = refused(
        device="bipolar_set", tip=(0, 0, 0), spacing="1 mm", distal_length="0.1 mm", shaft_length="1 mm", tip_length=0.5
    )
    for field in ("spacing", "distal_length", "shaft_length", "tip_length", "proximal_length"):
        assert f"electrodes[0].{field}: " in said


def test_a_case_file_needs_units() -> None:
    with pytest.raises(ValidationError, match="unit"):
        device(from_file=True, device="cooled_cluster", tip=("0 mm", "0 mm", "0 mm"), spacing=0.005)
