"""Every electrode family: sound geometry wherever it is placed, and exact distances where they are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from rfasim.electrodes import ALL_DEVICES, AnyDevice, Device, check_electrode
from rfasim.electrodes.device import METALS, Array, Contact, rotation_between
from rfasim.electrodes.reference_bodies import Ball
from rfasim.geometry import Ball as BallShape
from rfasim.geometry import HalfSpace, Shape


def device(**fields: Any) -> Any:
    return TypeAdapter(AnyDevice).validate_python(fields)


SAMPLES: list[Device] = [
    device(device="needle", tip=(0, 0, 0)),
    device(
        device="needle", tip=(0.01, -0.02, 0.03), direction=(1, 2, 3), diameter=0.0005, active_length=0.002
    ),
    device(
        device="needle", entry=(0.1, 0.02, 0.1), target=(0, 0.01, 0), beyond_target=0.005, tip_shape="flat"
    ),
    device(device="needle", tip=(0, 0, 0), direction=(0, 0, 1e-9), tip_shape="conical"),
    device(
        device="needle",
        tip=(0, 0, 0),
        tip_shape="conical",
        tip_length=0.004,
        shaft_length=0.005,
        active_length=0.004,
    ),
    device(device="needle", tip=(0, 0, 0), active_length=0.15),
    device(device="ball", radius=0.0015, centre=(0.01, 0.02, 0.03)),
    device(device="spheroid", semi_axes=(0.015, 0.00075), direction=(1, 1, 0), centre=(0, 0, 0.01)),
    device(device="spheroid", semi_axes=(0.002, 0.005)),
    device(device="rod", diameter=0.0015),
    device(device="rod", diameter=0.004, direction=(1, 0, 1), centre=(0.01, 0, 0)),
    *(
        device(device=word, tip=(0.01, 0, -0.02), direction=(1, -2, 3))  # their variants: test_devices.py
        for word in (
            "cooled_needle", "cooled_cluster", "umbrella", "christmas_tree", "bipolar_needle", "bipolar_set",
            "wet_needle", "cooled_wet_needle", "bipolar_wet_needle",
        )
    ),
    device(
        device="custom",
        tip=(0, 0, 0),
        parts=[{"name": "shaft", "points": [(0, 0, 0), (0, 0, 0.1)], "diameter": 0.002}],
        conducting=[{"name": "contact", "part": "shaft", "end": 0.02}],
    ),
]  # fmt: skip


def test_every_family_has_a_sample() -> None:
    assert {type(sample) for sample in SAMPLES} == set(ALL_DEVICES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda d: d.device)
def test_geometry_is_sound_wherever_the_device_is(sample: Device) -> None:
    assert check_electrode(sample, seed=1) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda d: d.device)
def test_rotation_is_a_rotation_that_takes_down_to_the_axis(sample: Device) -> None:
    R = sample.rotation
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) == pytest.approx(1.0)
    assert np.allclose(R @ [0, 0, -1], sample.axis, atol=1e-14)


def test_half_a_turn_and_nearly_half_a_turn_are_rotations_too() -> None:
    down = np.array([0.0, 0.0, -1.0])
    for tilt in (0.0, 1e-9, 1e-7, 1e-5):
        up = np.array([math.sin(tilt), 0.0, math.cos(tilt)])
        R = rotation_between(down, up)
        assert np.allclose(R @ R.T, np.eye(3), atol=1e-8)
        assert np.allclose(R @ down, up, atol=1e-8)


class _Unsound(Ball):
    """A ball whose geometry is wrong in a way that a test chooses."""

    fault: str = ""

    def shape(self) -> Shape:
        ball, fault = BallShape(self.active_centre, self.radius), self.fault

        class Wrong:
            def distance(self, points: Array) -> Array:
                stretch = 1.5 if fault == "stretched" else 1.0
                return stretch * ball.distance(points)

            def bounds(self) -> tuple[Array, Array]:
                return ball.bounds()

        return Wrong()

    def contacts(self) -> tuple[Contact, ...]:
        beside = self.active_centre + np.array([0.0, 0.0, 2 * self.radius])
        return {
            "off the surface": (Contact("contact", HalfSpace(beside, np.array([0.0, 0.0, -1.0]))),),
            "overlapping": (Contact("one"), Contact("two")),
            "rim": (Contact("contact", HalfSpace(beside, np.array([0.0, 0.0, 1.0])), rim=True),),
        }.get(self.fault, (Contact("contact"),))

    def filling(self) -> tuple[Array, Array]:
        centres, radii = super().filling()
        return centres, radii * (1.2 if self.fault == "overfull" else 1.0)

    def moved(self, rotation: Array, shift: Array) -> Any:
        return self if self.fault == "stuck" else super().moved(rotation, shift)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("stretched", "not 1-Lipschitz"),
        ("off the surface", "contact does not lie on the surface"),
        ("overlapping", "contacts overlap"),
        ("rim", "has a rim but covers the whole surface"),
        ("overfull", "the filling is not inside the shape"),
        ("stuck", "moving the device does not move its distance with it"),
    ],
)
def test_the_check_finds_what_is_wrong(fault: str, complaint: str) -> None:
    wrong = _Unsound(device="ball", radius=0.01, fault=fault)
    assert any(complaint in sentence for sentence in check_electrode(wrong))
    assert check_electrode(_Unsound(device="ball", radius=0.01)) == []


def distance(sample: Device, *points: tuple[float, float, float]) -> list[float]:
    return [float(d) for d in sample.shape().distance(np.array(points, float))]


def test_a_needle_by_its_tip_points_down_and_its_shaft_leaves_upwards() -> None:
    needle = device(
        device="needle", tip=(0, 0, -0.015), diameter=0.0015, active_length=0.03, shaft_length=0.15
    )
    # beyond the tip, at the tip, on the axis, beside the shaft, at its far end
    points = [(0, 0, -0.02), (0, 0, -0.015), (0, 0, 0.0), (0.003, 0, 0.05), (0, 0, 0.135), (0, 0, 0.140)]
    assert distance(needle, *points) == pytest.approx([0.005, 0, -0.00075, 0.00225, 0, 0.005], abs=1e-15)
    assert needle.active_centre == pytest.approx([0, 0, 0], abs=1e-15)


@pytest.mark.parametrize("tip_shape", ["round", "flat", "conical"])
def test_the_contact_ends_at_the_active_length_whatever_the_tip(tip_shape: str) -> None:
    needle = device(device="needle", tip=(0, 0, 0), tip_shape=tip_shape, active_length=0.02)
    (contact,) = needle.contacts()
    assert contact.rim
    assert contact.extent.distance(np.array([[0, 0, 0.0], [0.00075, 0, 0.02], [0, 0, 0.1]])) == pytest.approx(
        [-0.02, 0.0, 0.08]
    )
    assert distance(needle, (0, 0, 0), (0.00075, 0, 0.02)) == pytest.approx([0, 0], abs=1e-15)


def test_a_needle_that_conducts_all_over_has_no_rim() -> None:
    (contact,) = device(device="needle", tip=(0, 0, 0), active_length=0.15).contacts()
    assert contact == Contact("contact")


def test_conical_tip_is_a_cone_of_the_stated_length() -> None:
    needle = device(device="needle", tip=(0, 0, 0), tip_shape="conical", tip_length=0.004, diameter=0.002)
    # on the cone the radius grows by 1/4; the shoulder is at z = 4 mm
    points = [(0.00025, 0, 0.001), (0.0005, 0, 0.002), (0.001, 0, 0.004), (0.001, 0, 0.05)]
    assert distance(needle, *points) == pytest.approx([0, 0, 0, 0], abs=1e-15)
    assert device(device="needle", tip=(0, 0, 0), tip_shape="conical").tip_length == 0.003


def test_entry_and_target_put_the_tip_at_the_target_and_the_shaft_through_the_entry() -> None:
    entry, target = np.array([0.05, 0.02, 0.08]), np.array([0.01, 0.0, -0.01])
    needle = device(device="needle", entry=tuple(entry), target=tuple(target), beyond_target=0.004)
    way = (target - entry) / np.linalg.norm(target - entry)
    assert np.allclose(needle.axis, way)
    assert np.allclose(needle.tip_point, target + 0.004 * way)
    assert distance(needle, tuple(entry), tuple(target)) == pytest.approx([-0.00075, -0.00075])
    assert needle.thermocouples[0][0] == "tip"
    assert np.allclose(needle.thermocouples[0][1], needle.tip_point)


def test_the_same_needle_placed_in_both_ways_is_the_same_shape() -> None:
    by_target = device(device="needle", entry=(0.03, 0.0, 0.04), target=(0, 0, 0))
    by_tip = device(device="needle", tip=(0, 0, 0), direction=(-3, 0, -4))
    points = np.random.default_rng(3).uniform(-0.05, 0.05, (500, 3))
    assert np.allclose(by_target.shape().distance(points), by_tip.shape().distance(points), atol=1e-12)


def test_reference_bodies_have_their_exact_distances() -> None:
    ball = device(device="ball", radius=0.002, centre=(0.01, 0, 0))
    assert distance(ball, (0.01, 0, 0), (0.01, 0, 0.005)) == pytest.approx([-0.002, 0.003])
    spheroid = device(device="spheroid", semi_axes=(0.015, 0.001), direction=(1, 0, 0))
    assert distance(spheroid, (0.015, 0, 0), (0, 0.001, 0), (0, 0, 0.004), (-0.02, 0, 0)) == pytest.approx(
        [0, 0, 0.003, 0.005], abs=1e-12
    )
    rod = device(device="rod", diameter=0.002)
    assert distance(rod, (0.005, 0, -3.0), (0, 0, 9.0)) == pytest.approx([0.004, -0.001])
    for body in (ball, spheroid, rod):
        assert body.contacts() == (Contact("contact"),)  # all of the surface


def test_the_filling_reaches_every_part_of_a_needle() -> None:
    needle = device(device="needle", tip=(0, 0, 0), shaft_length=0.05)
    centres, radii = needle.filling()
    points = np.random.default_rng(4).uniform([-0.001, -0.001, 0], [0.001, 0.001, 0.05], (2000, 3))
    inside = points[needle.shape().distance(points) < -0.0001]
    to_filling = np.linalg.norm(inside[:, None] - centres, axis=2) - radii
    assert to_filling.min(axis=1).max() < 0


@pytest.mark.parametrize("material", sorted(METALS))
def test_a_named_metal_gives_the_properties_that_are_not_stated(material: str) -> None:
    needle = device(
        device="needle", tip=(0, 0, 0), thermal={"kind": "metal", "material": material, "density": 5000.0}
    )
    _, heat_capacity, conductivity = METALS[material]
    metal = needle.thermal
    assert (metal.density, metal.heat_capacity, metal.thermal_conductivity) == (
        5000.0,
        heat_capacity,
        conductivity,
    )


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        (
            {"tip": (0, 0, 0), "active_length": 0.04, "shaft_length": 0.03},
            "active_length",
            "longer than the 30 mm shaft",
        ),
        (
            {"tip": (0, 0, 0), "shaft_length": 0.001, "active_length": 0.001},
            "shaft_length",
            "not longer than the diameter",
        ),
        ({"tip": (0, 0, 0), "tip_length": 0.004}, "tip_length", "is for a conical tip"),
        (
            {"tip": (0, 0, 0), "tip_shape": "conical", "tip_length": 0.2},
            "tip_length",
            "leaves nothing of the 150 mm",
        ),
        ({}, "", "has no place"),
        ({"tip": (0, 0, 0), "target": (0, 0, 0)}, "", "placed in two ways"),
        ({"target": (0, 0, 0)}, "entry", "is missing"),
        ({"direction": (0, 0, 1)}, "tip", "is missing"),
        ({"tip": (0, 0, 0), "direction": (0, 0, 0)}, "direction", "points nowhere"),
        ({"entry": (0, 0, 0), "target": (0, 0, 0)}, "target", "the same point as entry"),
        ({"tip": (0, 0, 0), "beyond_target": 0.01}, "beyond_target", "belongs to entry and target"),
    ],
)
def test_impossible_needles_are_refused_with_the_field(
    fields: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        device(device="needle", **fields)
    found = refused.value.errors()[0]["ctx"]["error"].found
    assert any(where == path and reason in sentence for where, sentence in found)


@pytest.mark.parametrize(
    "fields", [{"device": "spheroid", "semi_axes": (0.01, 0.001)}, {"device": "rod", "diameter": 1e-3}]
)
def test_a_reference_body_must_point_somewhere(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="points nowhere"):
        device(**fields, direction=(0, 0, 0))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda d: d.device)
def test_smallest_feature_is_no_wider_than_the_device(sample: Device) -> None:
    _, radii = sample.filling()
    assert 0 < sample.smallest_feature <= 2 * radii.max() * (1 + 1e-12)
