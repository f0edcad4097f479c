"""The zone's size and shape, the tumour's margin, the summary: against bodies whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lattices import MM, ball_ml, box, section

from rfasim.damage import CRITERIA, Damage
from rfasim.frame import Frame
from rfasim.margin import tumour_measures
from rfasim.mesh import Mesh
from rfasim.outcome import summarise, tissue_cells, volume_ml, zone_measures


def ellipsoid(
    mesh: Mesh, centre: tuple[float, ...], axes: np.ndarray, turn: np.ndarray | None = None
) -> np.ndarray:
    """A smooth field, positive inside the ellipsoid with these half axes."""
    local = (mesh.points - centre) @ (np.eye(mesh.points.shape[1]) if turn is None else turn.T)
    return np.asarray(1.0 - np.linalg.norm(local / axes, axis=1))


UP, DOWN = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)


def test_a_ball_has_its_volume_its_diameter_twice_and_sphericity_one() -> None:
    radius, errors = 11 * MM, []
    for n in (14, 28):
        mesh = box(n)
        zone = zone_measures(mesh, ellipsoid(mesh, (0, 0, 0), np.full(3, radius)), (0, 0, -3 * MM), DOWN)
        exact = (ball_ml(radius), 22.0, 22.0, 1.0, 8.0)
        errors.append([abs(float(v or 0) / e - 1) for v, e in zip(zone.values(), exact, strict=True)])
    assert max(errors[1]) < 0.01
    assert errors[1][0] < errors[0][0] / 3  # second order
    assert errors[1][3] < errors[0][3] / 2


def test_long_and_short_axis_follow_the_needle_not_the_coordinates() -> None:
    mesh = box(28)
    direction = np.array([1.0, 2.0, -2.0]) / 3
    across = np.linalg.svd(direction[None])[2][1:]
    turn = np.vstack([direction, across])
    half = np.array([14.0, 9.0, 7.0]) * MM
    f = ellipsoid(mesh, (0, 0, 0), half, turn)
    zone = zone_measures(mesh, f, 5 * MM * direction, direction)
    assert zone["long_axis_mm"] == pytest.approx(28.0, rel=0.01)
    # not round across the needle: the circle of the same area lies between the two diameters
    assert zone["short_axis_mm"] == pytest.approx(2 * math.sqrt(9 * 7), rel=0.01)
    assert zone["beyond_tip_mm"] == pytest.approx(9.0, rel=0.02)
    # a needle across the same body measures it the other way
    other = zone_measures(mesh, f, (0, 0, 0), turn[2])
    assert other["long_axis_mm"] == pytest.approx(14.0, rel=0.01)
    assert other["short_axis_mm"] == pytest.approx(2 * math.sqrt(14 * 9), rel=0.01)
    assert other["sphericity"] == pytest.approx(zone["sphericity"], rel=1e-9)


@pytest.mark.parametrize("sense", [1.0, -1.0])
def test_axisymmetric_zones_have_the_measures_of_the_body_they_sweep(sense: float) -> None:
    mesh = section(60)
    a, b = 15 * MM, 9 * MM
    f = ellipsoid(mesh, (0, 1 * MM), np.array([b, a]))
    zone = zone_measures(mesh, f, (0, 0, sense * 10 * MM), (0, 0, sense))
    assert zone["volume_ml"] == pytest.approx(ball_ml(1.0) * a * b * b, rel=2e-3)
    assert zone["long_axis_mm"] == pytest.approx(30.0, rel=2e-3)
    assert zone["short_axis_mm"] == pytest.approx(18.0, rel=2e-3)
    assert zone["beyond_tip_mm"] == pytest.approx(6.0 if sense > 0 else 4.0, rel=0.01)
    e = math.sqrt(1 - (b / a) ** 2)
    surface = 2 * math.pi * b * b * (1 + a / (b * e) * math.asin(e))
    volume = 4 / 3 * math.pi * a * b * b
    assert zone["sphericity"] == pytest.approx(
        math.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface, rel=2e-3
    )


@pytest.mark.parametrize("metal", [None, "electrodes[0].metal"])
def test_the_needle_belongs_to_the_shape_but_not_to_the_tissue_volume(metal: str | None) -> None:
    radius, rod = 12 * MM, 2 * MM
    mesh = box(20, shaft=rod, inside=metal)
    f = ellipsoid(mesh, (0, 0, 0), np.full(3, radius))
    if metal:  # what a damage model makes of metal must not count
        in_rod = np.unique(mesh.cells[mesh.regions == 1])
        only = np.setdiff1d(in_rod, np.unique(mesh.cells[mesh.regions == 0]))
        f[only] = 5.0
    zone = zone_measures(mesh, f, (0, 0, 0), DOWN)
    whole = box(20, seed=None)
    plain = zone_measures(whole, ellipsoid(whole, (0, 0, 0), np.full(3, radius)), (0, 0, 0), DOWN)
    rod_ml = 1e6 * (2 * rod) ** 2 * radius
    assert zone["volume_ml"] == pytest.approx(float(plain["volume_ml"] or 0) - rod_ml, rel=4e-3)
    assert zone["long_axis_mm"] == pytest.approx(plain["long_axis_mm"], rel=0.02)
    assert zone["short_axis_mm"] == pytest.approx(plain["short_axis_mm"], rel=2e-3)
    # closed over the 4 mm shaft: only the rod's cross-section is missing from 1810 mm^2 of surface
    assert zone["sphericity"] == pytest.approx(plain["sphericity"], rel=0.015)
    flat = section(40, shaft=2 * MM)
    axisymmetric = zone_measures(flat, ellipsoid(flat, (0, 0), np.full(2, radius)), (0, 0, 0), DOWN)
    assert axisymmetric["short_axis_mm"] == pytest.approx(24.0, rel=5e-3)
    assert axisymmetric["sphericity"] == pytest.approx(1.0, rel=0.01)
    assert axisymmetric["volume_ml"] == pytest.approx(
        ball_ml(radius) - 1e6 * math.pi * rod**2 * radius, rel=5e-3
    )


def test_tissue_kept_alive_around_a_cooled_needle_is_no_hole_in_the_shape() -> None:
    mesh = box(28)
    distance = np.linalg.norm(mesh.points, axis=1)
    shell = np.minimum(12 * MM - distance, distance - 5 * MM) / MM
    zone = zone_measures(mesh, shell, (0, 0, 0), DOWN)
    assert zone["volume_ml"] == pytest.approx(ball_ml(12 * MM) - ball_ml(5 * MM), rel=0.015)
    assert zone["short_axis_mm"] == pytest.approx(24.0, rel=0.01)
    assert zone["sphericity"] == pytest.approx(1.0, abs=0.01)


def test_a_burn_elsewhere_counts_in_the_volume_and_not_in_the_axes() -> None:
    mesh = box(28, shaft=1.5 * MM)
    needle = ellipsoid(mesh, (0, 0, 2 * MM), np.full(3, 6 * MM))
    burn = ellipsoid(mesh, (12 * MM, 12 * MM, -12 * MM), np.full(3, 7 * MM))
    alone = zone_measures(mesh, needle, (0, 0, 0), DOWN)
    both = zone_measures(mesh, np.maximum(needle, burn), (0, 0, 0), DOWN)
    assert both["volume_ml"] == pytest.approx(
        float(alone["volume_ml"] or 0) + volume_ml(mesh, burn), rel=1e-9
    )
    for name in ("long_axis_mm", "short_axis_mm", "sphericity", "beyond_tip_mm"):
        assert both[name] == pytest.approx(alone[name], rel=1e-9), name
    # where nothing dead touches a device the largest part is the zone
    remote = np.maximum(ellipsoid(mesh, (-12 * MM, -12 * MM, -12 * MM), np.full(3, 4 * MM)), burn)
    assert zone_measures(mesh, remote, (0, 0, 0), DOWN)["long_axis_mm"] == pytest.approx(14.0, rel=0.02)


def test_a_zone_cut_by_the_end_of_the_tissue_is_closed_there() -> None:
    mesh = box(24)
    f = ellipsoid(mesh, (0, 0, 20 * MM), np.full(3, 10 * MM))
    zone = zone_measures(mesh, f, (0, 0, 0), UP)
    assert zone["volume_ml"] == pytest.approx(ball_ml(10 * MM) / 2, rel=0.02)
    half_ball = math.pi ** (1 / 3) * (6 * 2 / 3 * math.pi) ** (2 / 3) / (3 * math.pi)
    assert zone["sphericity"] == pytest.approx(half_ball, rel=0.01)
    assert zone["beyond_tip_mm"] == pytest.approx(20.0, rel=1e-9)
    assert zone["long_axis_mm"] == pytest.approx(10.0, rel=0.01)


def test_metal_and_lumen_are_no_tissue() -> None:
    mesh = box(6)
    names = ("tissue", "electrodes[0].metal", "vessels[0].lumen", "tumour")
    regions = np.arange(mesh.n_cells, dtype=np.int32) % 4
    parts = Mesh(mesh.points, mesh.cells, regions, names)
    assert tissue_cells(parts).tolist() == [k % 4 in (0, 3) for k in range(mesh.n_cells)]
    expected = 1e6 * mesh.volumes()[np.isin(regions, (0, 3))].sum()
    assert volume_ml(parts, np.ones(mesh.n_nodes)) == pytest.approx(expected, rel=1e-12)


def test_no_dead_tissue_gives_zeros_and_none() -> None:
    for mesh in (box(6), section(8)):
        zone = zone_measures(mesh, np.full(mesh.n_nodes, -1.0), (0, 0, 0), DOWN)
        assert list(zone.values()) == [0.0, 0.0, 0.0, None, None]
    # a single node exactly at the level has no extent
    f = np.full(box(6).n_nodes, -1.0)
    f[171] = 0.0
    assert zone_measures(box(6), f, (0, 0, 0), DOWN)["volume_ml"] == 0.0


def test_an_axis_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="point and a direction in 3-D"):
        zone_measures(box(4), np.ones(125), (0, 0, 0), (0, 0, 0))


@pytest.mark.parametrize(
    ("tumour", "zone", "margin", "grade", "response"),
    [
        (6.0, 12.0, 6.0, "A0", "complete"),
        (8.0, 11.0, 3.0, "A1", "complete"),
        (10.0, 9.0, -1.0, "A2", "partial"),
        (10.0, 6.8, -3.2, "A2", "none"),  # what lives is a shell of 69 %: a ball of it is 12 % less wide
    ],
)
def test_concentric_balls_have_the_difference_of_their_radii_as_margin(
    tumour: float, zone: float, margin: float, grade: str, response: str
) -> None:
    for mesh in (box(28), section(40)):
        distance = np.linalg.norm(mesh.points, axis=1)
        found = tumour_measures(mesh, zone * MM - distance, distance - tumour * MM)
        assert found["minimal_margin_mm"] == pytest.approx(margin, abs=0.12)
        assert (found["margin_class"], found["response"]) == (grade, response)
        assert found["volume_ml"] == pytest.approx(ball_ml(tumour * MM), rel=0.035)
        dead = min(1.0, (zone / tumour) ** 3)
        assert found["ablated_fraction"] == pytest.approx(dead, abs=0.01)
        assert found["residual_ml"] == pytest.approx((1 - dead) * ball_ml(tumour * MM), abs=0.05)


def test_an_off_centre_zone_leaves_the_crescent_that_geometry_says() -> None:
    r, d = 9 * MM, 5 * MM  # two equal balls, centres 5 mm apart
    lens = math.pi * (4 * r + d) * (2 * r - d) ** 2 / 12
    exact = 1 - lens / (4 / 3 * math.pi * r**3)
    errors = []
    for n in (14, 28):
        mesh = box(n)
        distance = np.linalg.norm(mesh.points - [0, 0, -d / 2], axis=1) - r
        f = 3000 * (r - np.linalg.norm(mesh.points - [0, 0, d / 2], axis=1))
        found = tumour_measures(mesh, f, distance)
        errors.append(abs(1 - float(found["ablated_fraction"] or 0) - exact))
        assert found["margin_class"] == "A2"
        assert found["response"] == "none"  # 59 % dead: what lives, as a ball, is 26 % less wide than the tumour
        # the far pole of the tumour is the worst place, 5 mm outside
        assert found["minimal_margin_mm"] == pytest.approx(-5.0, abs=0.3 if n == 14 else 0.1)
    assert errors[1] < 2e-3
    assert errors[1] < errors[0] / 2.5


def test_no_zone_no_margin() -> None:
    mesh = box(14)
    distance = np.linalg.norm(mesh.points, axis=1) - 8 * MM
    found = tumour_measures(mesh, np.full(mesh.n_nodes, -3.0), distance)
    assert found["minimal_margin_mm"] is None
    assert (found["margin_class"], found["response"]) == ("A2", "none")
    assert found["ablated_fraction"] == pytest.approx(0.0, abs=1e-12)
    assert found["residual_ml"] == pytest.approx(found["volume_ml"], rel=1e-9)
    with pytest.raises(ValueError, match="lies in no tissue"):
        tumour_measures(mesh, distance, np.ones(mesh.n_nodes))


def test_the_zone_ends_at_a_vessel_wall() -> None:
    # a slab of lumen at x > 10 mm: tumour surface 3 mm away from it, the zone everywhere else far larger
    mesh = box(20, seed=None)
    lumen = mesh.points[mesh.cells].mean(axis=1)[:, 0] > 10 * MM
    parts = Mesh(mesh.points, mesh.cells, lumen.astype(np.int32), ("tissue", "vessels[0].lumen"))
    distance = np.linalg.norm(mesh.points, axis=1) - 7 * MM
    found = tumour_measures(parts, np.ones(mesh.n_nodes), distance)
    assert found["minimal_margin_mm"] == pytest.approx(3.0, abs=0.1)
    assert found["margin_class"] == "A1"


def frame(mesh: Mesh, damage: Damage, temperature: np.ndarray, seconds: float) -> Frame:
    energy = dict.fromkeys(
        ("stored", "latent", "perfusion", "vessels", "coolant", "boundary", "metabolic"), 0.0
    )
    energy |= {"electrical": 3000.0, "stored": 2990.0, "saline": 0.0, "imbalance": -6.0e-3}
    return Frame(
        time=seconds, step=1.0, temperature=temperature, potential=np.zeros(mesh.n_nodes),
        water_lost=np.zeros(mesh.n_nodes), damage=damage.values(), power=30.0, voltage=50.0, current=0.6,
        impedance=complex(80, -20), max_temperature=float(temperature.max()), zone_volume=0.0, energy=energy,
        probes={}, output=True, rolled_off=True, limited_by="",
    )  # fmt: skip


def test_the_summary_has_the_agreed_keys_and_numbers() -> None:
    mesh = box(20)
    distance = np.linalg.norm(mesh.points, axis=1)
    temperature = 37 + 70 * np.exp(-((distance / (8 * MM)) ** 2))
    damage = Damage.start(mesh.n_nodes)
    damage.advance(temperature, temperature, 100.0)
    history = {
        "time_s": [40.0, 80.0, 100.0], "power_w": [20.0, 45.0, 30.0], "impedance_ohm": [70.0, 60.0, 95.0],
        "phase_deg": [-20.0, -20.0, -21.0], "max_temperature_c": [80.0, 109.0, 107.0],
        "rolled_off": [False, False, True], "current_a": [0.5, 0.7, 0.1],
    }  # fmt: skip
    probes = {"time_s": [40.0, 80.0, 100.0], "10 mm_c": [45.0, 53.0, 57.0], "20 mm_c": [51.0, 50.0, 49.0]}
    summary = summarise(
        case_name="needle", case_sha256="ab", version="0.1.0", criterion="arrhenius_coagulation", mesh=mesh,
        mesh_seconds=1.5, history=history, last=frame(mesh, damage, temperature, 100.0),
        run={"wall_s": 2.0, "threads": 1, "peak_memory_mb": 300.0}, tip=(0, 0, 0), direction=DOWN,
        vaporised_water=2e-3, tumours=[{"name": "tumour"}, {"name": "other"}],
        vessels=[{"name": "v", "heat_removed_j": 1.0}], probes=probes, initial_impedance=complex(60, -60),
    )  # fmt: skip
    assert " ".join(summary) == (
        "case rfasim_version case_sha256 mesh run electrical thermal zone tumour tumours structures vessels probes "
        "energy"
    )
    assert list(summary["mesh"]) == ["nodes", "cells", "min_dihedral_deg", "max_dihedral_deg", "seconds"]
    assert summary["run"] == {
        "simulated_s": 100.0, "steps": 3, "wall_s": 2.0, "threads": 1, "peak_memory_mb": 300.0
    }  # fmt: skip
    assert summary["electrical"] == {
        "initial_impedance_ohm": pytest.approx(60 * math.sqrt(2)), "final_impedance_ohm": 95.0,
        "initial_impedance_phase_deg": pytest.approx(-45.0), "roll_off_time_s": 100.0, "roll_offs": 1,
        "delivered_energy_j": 3000.0, "peak_power_w": 45.0, "mean_power_w": 30.0,
        "mean_current_a": pytest.approx((40 * 0.6 + 20 * 0.4) / 60), "lowest_impedance_ohm": 60.0,
        "highest_impedance_ohm": 95.0,
    }  # fmt: skip
    thermal = summary["thermal"]
    assert " ".join(thermal) == (
        "max_temperature_c volume_over_50c_ml volume_over_60c_ml volume_over_100c_ml vaporised_water_g"
    )
    assert thermal["max_temperature_c"] == 109.0
    assert thermal["vaporised_water_g"] == pytest.approx(2.0)
    for degrees in (50, 60, 100):
        radius = 8 * MM * math.sqrt(math.log(70 / (degrees - 37)))
        assert thermal[f"volume_over_{degrees}c_ml"] == pytest.approx(ball_ml(radius), rel=0.03, abs=0.04)
    zone = summary["zone"]
    assert list(zone) == [
        "criterion", "volume_ml", "long_axis_mm", "short_axis_mm", "sphericity", "beyond_tip_mm", "by_model"
    ]  # fmt: skip
    assert list(zone["by_model"]) == list(CRITERIA)
    assert zone["by_model"]["isotherm_50"]["volume_ml"] == pytest.approx(
        thermal["volume_over_50c_ml"], rel=1e-9
    )
    assert zone["by_model"]["arrhenius_coagulation"]["volume_ml"] == pytest.approx(
        zone["volume_ml"], rel=1e-12
    )
    assert summary["tumour"] == {"name": "tumour"}
    assert [one["name"] for one in summary["tumours"]] == ["tumour", "other"]
    assert summary["vessels"] == [{"name": "v", "heat_removed_j": 1.0}]
    assert summary["probes"] == [
        {
            "name": "10 mm", "max_temperature_c": 57.0, "final_temperature_c": 57.0,
            "time_to_50c_s": pytest.approx(65.0), "time_to_54c_s": pytest.approx(85.0), "time_to_60c_s": None,
        },
        {
            "name": "20 mm", "max_temperature_c": 51.0, "final_temperature_c": 49.0, "time_to_50c_s": 40.0,
            "time_to_54c_s": None, "time_to_60c_s": None,
        },
    ]  # fmt: skip
    assert summary["energy"]["imbalance_fraction"] == pytest.approx(2e-6)
    assert summary["energy"]["stored_j"] == 2990.0
    accounts = "electrical stored latent perfusion vessels coolant boundary saline metabolic"
    assert list(summary["energy"]) == [*(f"{name}_j" for name in accounts.split()), "imbalance_fraction"]


def test_no_roll_off_is_null_and_repeated_ones_are_counted() -> None:
    from rfasim.outcome import electrical_measures

    history = {name: [1.0] * 5 for name in ("impedance_ohm", "phase_deg", "power_w", "current_a")}
    history["time_s"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    quiet = electrical_measures({**history, "rolled_off": [False] * 5}, 5.0, 5.0)
    assert (quiet["roll_off_time_s"], quiet["roll_offs"]) == (None, 0)
    twice = electrical_measures({**history, "rolled_off": [False, True, True, False, True]}, 5.0, 5.0)
    assert (twice["roll_off_time_s"], twice["roll_offs"]) == (2.0, 2)


def test_tissue_that_a_cooled_shaft_keeps_alive_inside_the_zone_sets_no_margin() -> None:
    mesh = section(40, shaft=2 * MM)
    r, z = mesh.points.T
    zone = 16 * MM - np.hypot(r, z)
    # a sleeve around the shaft that ends within the zone
    sleeve = np.where((z > 1 * MM) & (z < 9 * MM), r - 4 * MM, 1.0)
    tumour = np.hypot(r, z - 6 * MM) - 4 * MM
    plain = tumour_measures(mesh, zone, tumour)["minimal_margin_mm"]
    assert tumour_measures(mesh, np.minimum(zone, sleeve), tumour)["minimal_margin_mm"] == pytest.approx(plain, abs=0.1)
    assert plain == pytest.approx(6.0, abs=0.5)
