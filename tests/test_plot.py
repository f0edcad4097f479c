"""Cuts through the mesh are exact, and the pictures are drawn from them, with or without VTK."""

from __future__ import annotations

import dataclasses
import io
import itertools
import signal
import stat
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from fake_run import (
    CASE,
    CONTACT_TOP,
    META,
    NEEDLE_RADIUS,
    SUMMARY,
    TIP,
    frames,
    needle_mesh_3d,
    needle_mesh_axisymmetric,
)
from scipy.spatial import ConvexHull, Delaunay

from rfasim import plot, zone3d
from rfasim.mesh import Mesh
from rfasim.result import Result, ResultWriter
from rfasim.section import (
    across_direction,
    best_plane,
    electrode_axis,
    inside_field,
    parts_of_cells,
    section_of,
)
from rfasim.slicing import chains, connected, cut, facing_out, off_the_device, revolve, without_slivers


def write(folder: Path, mesh: Mesh, scale: float = 1.0, meta: dict = META, end: float = 720.0) -> Result:
    with ResultWriter(folder, CASE, mesh, meta) as writer:
        for frame in frames(mesh, n_steps=6, end=end):
            damage = {name: scale * values for name, values in frame.damage.items()}
            writer.add(dataclasses.replace(frame, damage=damage))
        writer.finish(SUMMARY)
    return Result.read(folder)


@pytest.fixture(scope="module")
def box() -> Mesh:
    return needle_mesh_3d(n=9)


@pytest.fixture(scope="module")
def run_3d(tmp_path_factory, box) -> Result:
    return write(tmp_path_factory.mktemp("run3d"), box)


@pytest.fixture(scope="module")
def run_axisymmetric(tmp_path_factory) -> Result:
    return write(tmp_path_factory.mktemp("run2d"), needle_mesh_axisymmetric(n=20))


def areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = points[triangles]
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2


# ------------------------------------------------------------------------------------------------- cuts


def random_cube(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """The unit cube in drawn tetrahedra."""
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    points = np.concatenate([corners, np.random.default_rng(seed).uniform(size=(n, 3))])
    cells = Delaunay(points).simplices
    volumes = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]])
    return points, cells[np.abs(volumes) > 1e-12]


@pytest.mark.parametrize("seed", range(4))
def test_a_plane_cut_of_a_cube_has_the_exact_area_and_linear_fields(seed):
    points, cells = random_cube(seed)
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(3)
    height = normal @ rng.uniform(0.3, 0.7, 3)
    surface = cut(cells, points @ normal - height)
    where = surface.values(points)
    slope = rng.standard_normal(3)
    np.testing.assert_allclose(where @ normal, height, atol=1e-12)
    np.testing.assert_allclose(surface.values(points @ slope), where @ slope, atol=1e-12)
    # the exact polygon: where the cube's twelve edges meet the plane, seen along its normal
    axes = np.linalg.svd(normal[None])[2][1:]
    ends = np.array([(a, b) for a, b in itertools.combinations(points[:8], 2) if np.abs(a - b).sum() == 1])
    below, above = ends[:, 0] @ normal - height, ends[:, 1] @ normal - height
    crossed = below * above < 0
    share = (below / (below - above))[crossed, None]
    corners = ends[crossed, 0] + share * (ends[crossed, 1] - ends[crossed, 0])
    exact = ConvexHull(corners @ axes.T).volume
    assert areas(where, surface.pieces).sum() == pytest.approx(exact, rel=1e-10)


def lattice_cells(n: int) -> np.ndarray:
    """Six tetrahedra in each of n^3 cubes."""
    index = np.arange((n + 1) ** 3).reshape([n + 1] * 3)
    steps = [index[1, 0, 0], index[0, 1, 0], index[0, 0, 1]]
    start = index[:-1, :-1, :-1].ravel()
    return np.concatenate(
        [
            np.stack([start, start + a, start + a + b, start + a + b + c], axis=1)
            for a, b, c in itertools.permutations(steps)
        ]
    )


@pytest.mark.parametrize("level", [0.5, 0.25])
def test_a_plane_through_the_nodes_of_a_lattice_is_found_once_and_without_slivers(level):
    n = 4
    lattice = np.stack(np.meshgrid(*[np.linspace(0, 1, n + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = lattice_cells(n)
    surface = cut(cells, lattice[:, 2] - level)
    where = surface.values(lattice)
    assert areas(where, surface.pieces).sum() == pytest.approx(1.0, rel=1e-14)
    assert len(where) == (n + 1) ** 2
    assert areas(where, surface.pieces).min() == pytest.approx(0.5 / n**2)


def test_the_surface_of_a_ball_is_round_closed_and_faces_out():
    points, cells = random_cube(5, n=6000)
    level = 0.35 - np.linalg.norm(points - 0.5, axis=1)
    surface = cut(cells, level)
    where, triangles = surface.values(points), facing_out(surface, points, cells, level)
    assert areas(where, triangles).sum() == pytest.approx(4 * np.pi * 0.35**2, rel=0.02)
    corners = where[triangles] - 0.5
    volume = np.linalg.det(corners).sum() / 6  # positive: every normal points out
    assert volume == pytest.approx(4 / 3 * np.pi * 0.35**3, rel=0.02)
    edges = np.sort(np.concatenate([triangles[:, [i, j]] for i, j in ((0, 1), (1, 2), (2, 0))]), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}
    merged, fewer = without_slivers(where, triangles, 0.04)
    assert len(fewer) < 0.5 * len(triangles)
    assert np.linalg.det(merged[fewer] - 0.5).sum() / 6 == pytest.approx(volume, rel=0.02)


def test_a_line_along_the_device_is_left_out_unless_there_is_no_other():
    device = np.column_stack([np.zeros(50), np.linspace(0.0, 30.0, 50)])
    skin, zone = device + np.array([0.3, 0.0]), device + np.array([9.0, 0.0])
    assert off_the_device([skin, zone], device).tolist() == [False, True]
    assert off_the_device([skin], device).tolist() == [True]
    assert off_the_device([skin, zone], np.zeros((0, 2))).tolist() == [True, True]


def test_bodies_are_told_apart():
    triangles = np.array([[0, 1, 2], [5, 6, 7], [2, 3, 4]])
    first, second, third = connected(triangles, 8)
    assert first == third != second


def test_segments_are_chained_into_open_and_closed_lines():
    shuffled = np.array([[3, 1], [7, 8], [1, 2], [5, 3], [9, 7], [8, 9]])
    lines = [line.tolist() for line in chains(shuffled)]
    assert sorted(map(len, lines)) == [4, 4]
    open_line = next(line for line in lines if line[0] != line[-1])
    assert open_line in ([5, 3, 1, 2], [2, 1, 3, 5])
    loop = next(line for line in lines if line[0] == line[-1])
    assert set(loop) == {7, 8, 9}


def test_a_revolved_profile_has_the_area_of_its_cone():
    profile = np.array([[0.0, 0.0], [3.0, 4.0]])
    points, triangles = revolve(profile, np.array([[0, 1]]), n=720)
    assert areas(points, triangles).sum() == pytest.approx(np.pi * 3.0 * 5.0, rel=1e-4)


# --------------------------------------------------------------------------------------------- sections


def test_both_sections_of_a_needle_show_the_same_temperatures_and_device(run_3d, run_axisymmetric):
    for result in (run_3d, run_axisymmetric):
        section = section_of(result)
        height = section.sample(result.mesh.points[:, -1])
        np.testing.assert_allclose(
            section.points[:, 1], 1e3 * (height - TIP), atol=1e-9
        )  # tip at 0, handle up
        distance = section.sample(np.linalg.norm(result.mesh.points[:, :-1], axis=1))
        np.testing.assert_allclose(np.abs(section.points[:, 0]), 1e3 * distance, atol=0.3)
        assert section.points[:, 0].min() == pytest.approx(-section.points[:, 0].max())
        device = np.concatenate(section.device)
        assert np.ptp(device[:, 0]) == pytest.approx(2e3 * NEEDLE_RADIUS, rel=0.02)
        assert device[:, 1].min() == pytest.approx(0.0, abs=1e-9)
        assert np.concatenate(section.insulation)[:, 1].min() == pytest.approx(
            1e3 * (CONTACT_TOP - TIP), abs=1e-9
        )
        hole = ~(areas(np.insert(section.points, 2, 0.0, axis=1), section.triangles) == 0)
        domain = np.prod(np.ptp(section.points, axis=0))
        tissue = areas(np.insert(section.points, 2, 0.0, axis=1), section.triangles)[hole].sum()
        assert domain - tissue == pytest.approx(np.ptp(device[:, 0]) * np.ptp(device[:, 1]), rel=1e-6)


def test_the_needle_axis_of_a_mesh_from_elsewhere_is_found_from_its_contact(run_3d):
    unknown = dataclasses.replace(run_3d, meta={"criterion": META["criterion"]})
    tip, direction = electrode_axis(unknown)
    np.testing.assert_allclose(tip, [0, 0, TIP], atol=1e-5)
    np.testing.assert_allclose(direction, [0, 0, -1], atol=1e-6)


def test_tumour_and_vessels_are_found_by_region_and_by_tissue(run_3d):
    mesh = run_3d.mesh
    centre = mesh.points[mesh.cells].mean(axis=1)
    tumour, vein = np.linalg.norm(centre - [0.01, 0, 0], axis=1) < 0.008, centre[:, 1] > 0.02
    by_region = dataclasses.replace(
        run_3d,
        mesh=Mesh(
            mesh.points, mesh.cells, tumour + 2 * vein, ("tissue", "tumour", "vessels[0].lumen"), mesh.facets
        ),
    )
    by_tissue = dataclasses.replace(
        run_3d,
        cell_data={**run_3d.cell_data, "tissue": tumour + 2 * vein},
        meta={**run_3d.meta, "tissues": ["liver", "tumour", "hepatic veins"]},
    )
    for result in (by_region, by_tissue):
        parts = parts_of_cells(result)
        assert parts.keys() == {"tumour", "vessels"}
        np.testing.assert_array_equal(parts["tumour"], tumour)
        np.testing.assert_array_equal(parts["vessels"], vein)
        assert section_of(result).parts.keys() == parts.keys()
        assert {"tumour", "vessels"} <= zone3d.surfaces_of(result).keys()
    inside = inside_field(mesh, tumour)
    surface = cut(mesh.cells, inside)
    enclosed = (
        np.linalg.det(surface.values(mesh.points)[facing_out(surface, mesh.points, mesh.cells, inside)]).sum()
        / 6
    )
    assert enclosed == pytest.approx(mesh.volumes()[tumour].sum(), rel=0.15)


# --------------------------------------------------------------------------------------------- pictures


def has_colour(picture: np.ndarray, colour: str, tolerance: float = 0.04) -> bool:
    from matplotlib.colors import to_rgb

    return bool((np.abs(picture[..., :3] - to_rgb(colour)).max(axis=-1) < tolerance).any())


def read_png(data: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(data))


def test_the_section_shows_zone_and_device_and_no_zone_where_none_is(tmp_path, run_3d, box):
    picture = read_png(plot.draw_section(run_3d))
    assert min(picture.shape[:2]) > 700
    assert has_colour(picture, plot.ZONE)
    assert has_colour(picture, plot.METAL)
    assert has_colour(picture, plot.INSULATION)
    cold = write(tmp_path, box, scale=1e-20)
    assert not has_colour(read_png(plot.draw_section(cold)), plot.ZONE)


def test_the_temperature_shown_is_the_last_one_with_the_generator_on(run_3d):
    history = dict(run_3d.history)
    assert plot.time_to_show(run_3d) == len(run_3d.times) - 1
    history["power_w"] = np.where(history["time_s"] > run_3d.times[0], 0.0, 30.0)
    assert plot.time_to_show(dataclasses.replace(run_3d, history=history)) == 0
    assert plot.time_to_show(dataclasses.replace(run_3d, history={})) == len(run_3d.times) - 1


def test_the_view_box_holds_the_zone_with_a_margin(run_3d):
    section = section_of(run_3d)
    zone = section.sample(run_3d.field("zone_level"))
    left, right, bottom, top = plot.view_box(section, section.sample(run_3d.field("temperature_c")), zone)
    low, high = section.points[zone >= 0].min(axis=0), section.points[zone >= 0].max(axis=0)
    assert left <= low[0] - 3.9
    assert right >= high[0] + 3.9
    assert bottom <= low[1] - 3.9
    assert right - left < np.ptp(section.points[:, 0])
    assert top <= section.points[:, 1].max()


def test_history_is_drawn_also_with_gaps_a_single_step_and_no_step(run_3d):
    history = {name: values.copy() for name, values in run_3d.history.items()}
    history["impedance_ohm"][2] = np.inf
    history["impedance_ohm"][3] = np.nan
    one = {name: values[:1] for name, values in history.items()}
    for readings in (history, one, {}):
        data = plot.draw_history(dataclasses.replace(run_3d, history=readings))
        assert data.startswith(b"\x89PNG")


def protocol_history(run: Result, phases: list[str]) -> Result:
    """``run`` with a row of history a phase, 10 s apart, 100 W in those that begin with p, and two thermocouples."""
    n = len(phases)
    readings = {name: np.resize(values, n) for name, values in run.history.items()}
    on = [phases[max(k - 1, 0)].startswith("p") for k in range(n)]  # a row's power is that of the step it ends
    readings |= {"time_s": 10.0 * np.arange(n), "power_w": np.where(on, 100.0, 0.0),
                 "generator_phase": np.array(phases, dtype=object)}  # fmt: skip
    readings |= {f"electrodes[0].tip_{k}_c": np.full(n, 50.0 + k) for k in (1, 2)}
    return dataclasses.replace(run, history=readings)


def test_power_jumps_where_the_phase_changes_and_is_a_line_elsewhere():
    time, power = np.arange(5.0), np.array([10.0, 20.0, 0.0, 0.0, 30.0])
    phases = np.array(["ramp", "off", "off", "ramp", "ramp"], dtype=object)  # over to off at 1 s, to ramp at 3 s
    at, drawn = plot.switched(time, power, phases)
    assert at.tolist() == [0.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0]
    assert drawn.tolist() == [10.0, 20.0, 0.0, 0.0, 0.0, 30.0, 30.0]
    assert plot.switched(time[:1], power[:1], phases[:1])[0].tolist() == [0.0]


def test_roll_offs_are_those_that_the_generator_noticed_else_the_first(run_3d):
    events = [{"time_s": t, "from": "pulse", "to": "rest", "reason": why} for t, why in
              ((6.0, "roll_off"), (21.0, "time"), (25.0, "roll_off"))]  # fmt: skip
    pulsed = dataclasses.replace(run_3d, summary={"electrical": {"events": events}})
    assert plot.roll_off_times(pulsed).tolist() == [6.0, 25.0]
    history = run_3d.history
    (first,) = plot.roll_off_times(run_3d)
    assert first == history["time_s"][history["rolled_off"].astype(bool)][0]
    assert len(plot.roll_off_times(dataclasses.replace(run_3d, history={}))) == 0


@pytest.mark.parametrize("phases", [["p", "rest"] * 4, ["p"] * 8, [f"p{k}" for k in range(30)]])
def test_history_has_a_band_of_phases_where_they_are_few(monkeypatch, run_3d, phases):
    drawn: list[int] = []
    monkeypatch.setattr(plot, "_draw_phases", lambda axes, time, names: drawn.append(len(set(names.tolist()))))
    assert plot.draw_history(protocol_history(run_3d, phases)).startswith(b"\x89PNG")
    assert drawn == ([2] if "rest" in phases else [])


def test_band_of_phases_has_each_from_its_beginning_to_its_end():
    axes = plot.figure(4, 1).add_subplot()
    plot._draw_phases(axes, np.arange(5.0), np.array(["p", "rest", "rest", "p", "p"], dtype=object))
    spans = sorted(
        (float(path.vertices[:, 0].min()), float(path.vertices[:, 0].max()))
        for bars in axes.collections for path in bars.get_paths()
    )  # fmt: skip
    assert spans == [(0.0, 1.0), (1.0, 3.0), (3.0, 4.0)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["p", "rest"]


def test_thermocouples_are_named_shortly_unless_there_are_two_devices(run_3d):
    (name,) = plot.thermocouples(run_3d)
    assert name == "tip"
    two = {"electrodes[0].tip_c": np.zeros(1), "electrodes[1].tip_1_c": np.zeros(1)}
    named = plot.thermocouples(dataclasses.replace(run_3d, history=two))
    assert [*named] == ["electrodes[0].tip", "electrodes[1].tip 1"]


# ------------------------------------------------------------------------------- devices of several parts


def side_by_side(n: int, apart: float) -> tuple[Mesh, list[np.ndarray]]:
    """A block of tetrahedra whose upper half has ``n`` square holes at the corners of a regular polygon."""
    x = np.arange(-0.030, 0.0301, 0.002)
    z = np.arange(-0.020, 0.0201, 0.004)
    grid = np.stack(np.meshgrid(x, x, z, indexing="ij"), axis=-1)
    points = grid.reshape(-1, 3)
    index = np.arange(len(points)).reshape(grid.shape[:3])
    corner = {o: index[tuple(slice(k, k + s - 1) for k, s in zip(o, index.shape, strict=True))].ravel()
              for o in itertools.product((0, 1), repeat=3)}  # fmt: skip
    cells = []
    for order in itertools.permutations(range(3)):
        path, at = [corner[0, 0, 0]], [0, 0, 0]
        for axis in order:
            at[axis] = 1
            path.append(corner[tuple(at)])
        cells.append(np.stack(path, axis=1))
    cells = np.concatenate(cells)
    turn = 2 * np.pi * np.arange(n) / n + 0.6
    radius = apart / (2 * np.sin(np.pi / n))
    middles = [np.array([radius * np.cos(a), radius * np.sin(a)]) for a in turn]
    centre = points[cells].mean(axis=1)
    inside = [(np.abs(centre[:, :2] - m).max(axis=1) < 0.002) & (centre[:, 2] > -0.012) for m in middles]
    cells = cells[~np.any(inside, axis=0)]
    flip = np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]]) < 0
    cells[flip] = cells[flip][:, [0, 2, 1, 3]]
    facets = np.concatenate([np.delete(cells, k, axis=1) for k in range(4)])
    _, first, count = np.unique(np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True)
    border = facets[first[count == 1]]
    where = points[border].mean(axis=1)
    inner = np.abs(where[:, :2]).max(axis=1) < 0.029
    inner &= (where[:, 2] > -0.0199) & (where[:, 2] < 0.0199)
    nearest = np.argmin([np.linalg.norm(where[:, :2] - m, axis=1) for m in middles], axis=0)
    named = {f"electrodes[0].needle_{k + 1}": border[inner & (nearest == k)] for k in range(n)}
    return Mesh(points, cells, np.zeros(len(cells), np.int32), ("tissue",), named, False), middles


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_section_of_needles_side_by_side_lies_through_two_of_them(tmp_path, n):
    mesh, middles = side_by_side(n, apart=0.020)
    meta = META | {"electrodes": [{"name": "set", "tip": [0.0, 0.0, -0.012], "direction": [0.0, 0.0, -1.0]}]}
    run = write(tmp_path, mesh, meta=meta)
    origin, axis = electrode_axis(run)
    point, across = best_plane(run, origin, axis)
    distances = [abs((np.append(m, 0.0) - point) @ np.cross(across, axis)) for m in middles]
    assert sum(distance < 0.002 for distance in distances) == 2
    section = section_of(run)
    assert len(section.contacts) == 2
    assert all(name.startswith("electrodes[0].needle_") for name in section.contacts)
    picture = read_png(plot.draw_section(run))
    assert has_colour(picture, plot.CONTACTS[0])
    assert has_colour(picture, plot.CONTACTS[1])


def test_the_section_of_a_straight_needle_lies_in_its_axis(run_3d):
    origin, axis = electrode_axis(run_3d)
    point, across = best_plane(run_3d, origin, axis)
    assert np.array_equal(point, origin)
    assert np.array_equal(across, across_direction(run_3d, origin, axis))


def test_without_gl_the_picture_is_drawn_all_the_same_and_one_sentence_says_why(monkeypatch, run_3d):
    monkeypatch.setattr(zone3d, "render_window", lambda: None)
    said: list[str] = []
    picture = read_png(zone3d.draw_zone3d(run_3d, said.append))
    assert said == [
        "zone3d.png is drawn in a simpler way, because this machine has no library for 3-D pictures "
        "(to get one: apt-get install libegl1 libgl1-mesa-dri)."
    ]
    assert min(picture.shape[:2]) > 700
    blue = (picture[..., 2] - picture[..., 0] > 0.1).mean()
    assert blue > 0.1  # the zone fills a good part of the picture


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are POSIX")
def test_a_crash_of_vtk_stays_in_its_own_process(monkeypatch, tmp_path, run_3d):
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(crash.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(zone3d.sys, "executable", str(crash))
    monkeypatch.setattr(zone3d, "render_window", lambda: "")
    pytest.importorskip("pyvista")
    said: list[str] = []
    assert zone3d.draw_zone3d(run_3d, said.append).startswith(b"\x89PNG")
    assert "was ended by signal 11" in said[0]


def test_vtk_and_matplotlib_draw_the_same_shape(run_axisymmetric):
    pytest.importorskip("pyvista")
    if zone3d.render_window() is None:
        pytest.skip("no EGL or OSMesa on this machine")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    surfaces = zone3d.surfaces_of(run_axisymmetric)
    camera = zone3d.Camera.looking_at(surfaces)
    by_vtk, reason = zone3d.render_by_vtk(surfaces, camera, (400, 400))
    assert by_vtk is not None, reason
    drawing = Figure(figsize=(4, 4), dpi=100)
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-camera.half, camera.half), ylim=(-camera.half, camera.half))
    zone3d.paint(axes, surfaces, camera)
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    by_matplotlib = np.asarray(canvas.buffer_rgba())[..., :3] / 255.0
    one, other = (by_vtk < 0.98).any(axis=-1), (by_matplotlib < 0.98).any(axis=-1)
    assert one.mean() > 0.2
    assert (one ^ other).sum() < 0.03 * one.sum()


def test_all_pictures_lie_in_the_result_folder(monkeypatch, run_axisymmetric):
    monkeypatch.setattr(zone3d, "render_window", lambda: None)
    made = plot.make_pictures(run_axisymmetric)
    assert [path.name for path in made] == ["section.png", "zone3d.png", "history.png"]
    assert all(
        path.parent == run_axisymmetric.folder and path.read_bytes().startswith(b"\x89PNG") for path in made
    )
