"""Stations, what they exchange with the mesh, and the heat that streams carry: exact sums and plain matrices."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from rfasim.case import Case, case_from_dict
from rfasim.circulation import Inflow
from rfasim.domain import build_domain
from rfasim.errors import InputError
from rfasim.mesh import Mesh
from rfasim.simulation import Simulation
from rfasim.solver.location import Locator
from rfasim.solver.streams import Streams
from rfasim.verification import vessels as verified
from rfasim.verification.bodies import FOREVER
from rfasim.vessels import Bloodstream

TRUNK = {"name": "trunk", "kind": "portal", "points": [(-0.05, 0.01, 0.0), (0.0, 0.01, 0.0)], "diameter": 6e-3,
         "velocity": 0.1}  # fmt: skip
LEFT = {"name": "left", "kind": "portal", "points": [(0.0, 0.01, 0.0), (0.02, 0.03, 0.0), (0.03, 0.05, 0.0)],
        "diameter": 4e-3}  # fmt: skip
THIN = {"name": "thin", "kind": "portal", "points": [(0.0, 0.01, 0.0), (0.03, 0.012, 0.05)], "diameter": 2e-3}


def _case(*vessels: dict[str, Any], **changes: Any) -> Case:
    return case_from_dict(
        {
            "name": "test", "electrodes": [{"device": "needle", "tip": (0, 0, -0.01), "active_length": 0.02}],
            "generator": {"protocol": "constant_power", "power": 15.0},
            "domain": {"radius": 0.04, "height": 0.08}, "mesh": {"size": 8e-4, "rim_size": 5e-4},
            "vessels": list(vessels), **changes,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def tree() -> Bloodstream:
    case = _case(TRUNK, LEFT, THIN)
    return Bloodstream(case, build_domain(case))


def _inside(mesh: Mesh, points: Any) -> float:
    """Length of a polyline inside the domain [m]."""
    fine = np.concatenate([np.linspace(a, b, 2000) for a, b in itertools.pairwise(points)])
    middle = 0.5 * (fine[1:] + fine[:-1])
    inside = (np.hypot(middle[:, 0], middle[:, 1]) < 0.04) & (np.abs(middle[:, 2]) < 0.04)
    return float(np.linalg.norm(np.diff(fine, axis=0), axis=1)[inside].sum())


def test_meshed_vessels_have_a_lumen_and_a_wall_and_thin_ones_leave_the_mesh_alone(tree: Bloodstream) -> None:
    mesh = tree.domain.mesh
    assert {"vessels[0].lumen", "vessels[1].lumen"} < set(mesh.region_names)
    assert "vessels[2].lumen" not in mesh.region_names
    assert {"vessels[0].wall", "vessels[1].wall"} < set(mesh.facets)


def test_no_wall_runs_through_the_place_where_two_lumens_meet(tree: Bloodstream) -> None:
    mesh, domain = tree.domain.mesh, tree.domain
    for k in (0, 1):
        middles = mesh.points[mesh.facets[f"vessels[{k}].wall"]].mean(axis=1)
        both = np.minimum(*(domain.vessels[j].geometry().distance(middles) for j in (0, 1)))
        assert both.min() > -1.2e-3  # a facet of the wall may be flat, but none lies deep in either lumen


def test_walls_and_lines_are_as_large_as_their_tubes(tree: Bloodstream) -> None:
    measure = np.bincount(tree.vessel[tree.stations], tree.measure)
    for k, vessel in enumerate((TRUNK, LEFT, THIN)):
        length = _inside(tree.domain.mesh, np.array(vessel["points"]))
        # the line begins in the trunk's lumen, where there is no tissue
        wanted = length - 0.003 if k == 2 else np.pi * vessel["diameter"] * length
        # at the branching the tubes run into each other for about a radius
        assert measure[k] == pytest.approx(wanted, rel=0.02 if k == 2 else 0.12)
    volume = np.bincount(tree.vessel, tree.volume)
    assert volume[0] == pytest.approx(np.pi * 9e-6 * _inside(tree.domain.mesh, np.array(TRUNK["points"])), rel=0.1)


def test_blood_is_shared_out_and_warms_only_where_the_wall_is_warm(tree: Bloodstream) -> None:
    regime = tree.regime(Inflow())
    flows = [tree.flow_of_vessel(regime, k) for k in range(3)]
    assert flows[0] == pytest.approx(flows[1] + flows[2], rel=1e-12)
    x = tree.domain.mesh.points
    T = np.where(np.hypot(x[:, 0] - 0.02, x[:, 1] - 0.03) < 0.012, 60.0, 37.0)
    theta = regime.streams.follow(tree.exchange(regime, tree.nusselt_at(regime, T, tree.inlet)), T, tree.inlet)
    assert theta[tree.vessel == 0] == pytest.approx(37.0, abs=1e-9)
    left = theta[tree.vessel == 1]
    assert left[0] == pytest.approx(37.0, abs=1e-6)
    assert 37.01 < left[-1] < 60.0
    assert np.all(np.diff(left) > -0.05)  # what has been warmed cools again only at the wall beyond
    gained = regime.streams.gained(tree.exchange(regime, tree.nusselt_at(regime, T, theta)), T, theta)
    assert gained == pytest.approx(regime.streams.carried(theta), abs=2e-3)


def test_the_nusselt_number_falls_along_an_evenly_hot_wall_and_begins_anew_behind_a_junction(tree: Bloodstream) -> None:
    regime = tree.regime(Inflow())
    wall = np.full(tree.n, 60.0)
    Nu = tree.nusselt(regime, wall, tree.inlet)
    for first, n in zip(tree.first, tree.count, strict=True):
        assert np.all(np.diff(Nu[first : first + n]) < 0)
        assert Nu[first + n - 1] > 3.65
    late = np.where(np.arange(tree.n) < tree.count[0] // 2, 37.0, 60.0)
    assert tree.nusselt(regime, late, tree.inlet)[tree.count[0] // 2] == pytest.approx(Nu[0], rel=1e-6)


def test_blood_that_stands_still_exchanges_nothing_as_a_line_and_rests_as_a_lumen(tree: Bloodstream) -> None:
    regime = tree.regime(Inflow(portal=0.0))
    assert regime.still == {0, 1}
    assert len(regime.pairs) == 0
    assert not regime.moves.any()


def test_a_vessel_drawn_the_other_way_round_takes_the_same_heat() -> None:
    taken = []
    for points in (TRUNK["points"], TRUNK["points"][::-1]):
        case = _case({**TRUNK, "points": points})
        stream = Bloodstream(case, build_domain(case))
        regime = stream.regime(Inflow())
        T = np.full(stream.n_nodes, 50.0)
        theta = stream.inlet
        for _ in range(3):
            theta = regime.streams.follow(stream.exchange(regime, stream.nusselt_at(regime, T, theta)), T, theta)
        taken.append(regime.streams.carried(theta).sum())
    # the free end of the one lies in the tissue, that of the other outside
    assert taken[1] == pytest.approx(taken[0], rel=0.1)


def test_stations_follow_from_a_plain_matrix_and_lose_no_heat() -> None:
    random = np.random.default_rng(1)
    n, n_nodes = 7, 5
    # 0 -> 1 -> 2 and 3 -> 2 (mixing), 2 -> 4 and 2 -> 5 (division), 6 alone
    feeds = np.array([[0, -1, 4.0], [1, 0, 4.0], [3, -1, 2.0], [2, 1, 4.0], [2, 3, 2.0], [4, 2, 5.0], [5, 2, 1.0]])
    nodes, stations = random.integers(n_nodes, size=20), np.concatenate([np.arange(n), random.integers(n, size=13)])
    g, T = random.uniform(0.1, 2.0, 20), random.uniform(40.0, 90.0, n_nodes)
    capacity, inlet = random.uniform(0.5, 2.0, n), np.full(n, 37.0)
    order = np.array([0, 1, 3, 2, 4, 5, 6])
    streams = Streams(capacity, nodes, stations, feeds, inlet, order, np.zeros(n, bool), n_nodes)
    theta, dh = np.full(n, 37.0), 0.7
    found = streams.follow(g, T, theta, capacity * theta, dh)
    matrix, right = np.diag(capacity), capacity * theta
    for s, up, rate in feeds:
        matrix[int(s), int(s)] += dh * rate
        if up < 0:
            right[int(s)] += dh * rate * 37.0
        else:
            matrix[int(s), int(up)] -= dh * rate
    for k in range(20):
        matrix[stations[k], stations[k]] += dh * g[k]
        right[stations[k]] += dh * g[k] * T[nodes[k]]
    assert found == pytest.approx(np.linalg.solve(matrix, right), rel=1e-13)
    assert found.min() >= 37.0
    assert found.max() <= T.max()
    stored = capacity @ (found - theta)
    left = dh * (5.0 * found[4] + 1.0 * found[5] - 6.0 * 37.0)
    assert dh * streams.gained(g, T, found).sum() == pytest.approx(stored + left, rel=1e-12)
    assert streams.carried(found).sum() == pytest.approx(left / dh, rel=1e-12)
    out = np.zeros(n_nodes)
    streams.add(g, T, found, out)
    assert out.sum() == pytest.approx(-streams.gained(g, T, found).sum(), rel=1e-12)


def test_a_pooled_station_feels_the_mean_and_gives_by_shares() -> None:
    g, T = np.array([1.0, 3.0]), np.array([40.0, 60.0])
    streams = Streams(np.zeros(1), np.array([0, 1]), np.zeros(2), np.array([[0, -1, 5.0]]), np.array([37.0]),
                      np.array([0]), np.array([True]), 2)  # fmt: skip
    out = np.zeros(2)
    streams.add(g, T, np.array([37.0]), out)
    assert out == pytest.approx([1.0 * (37 - 55), 3.0 * (37 - 55)])


def test_points_are_found_in_the_cell_that_holds_them(tree: Bloodstream) -> None:
    space = tree.domain.space
    locate = Locator(space.points, space.cells, np.ones(space.n_cells, bool))
    random = np.random.default_rng(2)
    cells = random.integers(space.n_cells, size=200)
    weights = random.dirichlet(np.ones(4), size=200)
    x = np.einsum("nv,nvd->nd", weights, space.points[space.cells[cells]])
    found, back = locate(x)
    assert (found >= 0).all()
    assert np.einsum("nv,nvd->nd", back, space.points[space.cells[found]]) == pytest.approx(x, abs=1e-9)
    assert locate(np.array([[1.0, 0.0, 0.0]]))[0] == [-1]


@pytest.mark.parametrize(
    ("vessels", "path", "says"),
    [
        ([{**TRUNK, "points": [(-0.05, 0, 0), (0.05, 0, 0)]}], "vessels[0]", "'trunk' runs through electrodes[0]"),
        ([TRUNK, {**THIN, "points": [(0, -0.02, 0), (0.03, -0.02, 0)]}], "vessels[1]", "'thin' is joined to no vessel"),
        ([{**TRUNK, "diameter": 0.0}], "vessels[0].diameter", "more than 0 mm"),
        ([TRUNK, {**LEFT, "flow": 1e-6}], "vessels[0]", "'trunk' brings"),
        ([{**TRUNK, "flow": 1e-6}], "vessels[0].velocity", "say the same thing"),
        ([{**TRUNK, "treatment": "held"}], "vessels[0].treatment", "leave flow and velocity out"),
        ([{**TRUNK, "kind": "portl"}], "vessels[0].kind", "portal"),
        ([TRUNK, {**LEFT, "name": "trunk"}], "vessels[1].name", "is taken by vessels[0]"),
    ],
)
def test_vessels_that_cannot_be_are_refused_by_name(vessels: Any, path: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        _case(*vessels)
    assert path in str(caught.value)
    assert says in str(caught.value)


def test_held_labels_and_a_clamp_contradict_each_other() -> None:
    anatomy = {"labels": [{"file": "v.nii.gz", "mapping": {1: "blood"}, "hold": [1]}]}
    with pytest.raises(InputError, match="give those labels in vessels instead"):
        _case(anatomy=anatomy, circulation={"pringle": "on"})


@pytest.mark.parametrize("treatment", ["line", "resolved"])
def test_a_long_vessel_in_steadily_heated_tissue_comes_to_rest(
    treatment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Walls and Nusselt numbers hang on each other; taken over at once they swing from station to station for ever, and
    the more so, the longer the vessel is."""
    monkeypatch.setattr(verified, "HEIGHT", 0.06)
    case = verified.vessel_case(
        "steady", {"diameter": 3e-3, "velocity": 0.5, "treatment": treatment},
        tissues={"liver": {"perfusion": 0.0064, "metabolic_heat": 2e5}}, perfusion_stop=None,
        boiling={"enabled": False}, generator={**verified.QUIET, "duration": FOREVER}, output={"frames_every": FOREVER},
        time={"max_step": FOREVER, "tolerance": 0.1}, mesh={"size": 5e-4, "rim_size": 5e-4, "max_size": 4e-3},
    )  # fmt: skip
    simulation = Simulation(case)
    blood = simulation.blood
    assert blood is not None
    taken: list[float] = []
    walls: list[np.ndarray] = []
    for frame in simulation.frames():
        taken.append(blood.regime.streams.carried(blood.temperature).sum())
        walls.append(blood.stream.wall_temperature(frame.temperature, blood.temperature))
    assert len(taken) < 40  # steps grow as long as they may
    assert taken[-4:] == pytest.approx(np.full(4, taken[-1]), rel=1e-4)
    assert np.abs(walls[-1] - walls[-2]).max() < 1e-3
    own = blood.stream.nusselt(blood.regime, walls[-1], blood.temperature)
    assert own == pytest.approx(blood.nusselt, rel=5e-3)  # what the wall asks for, not something between
    if treatment == "resolved":  # evenly heated, the layer grows, but for what the mesh makes of the wall
        steps = np.diff(np.log(own))
        assert np.abs(steps).sum() < 1.5 * -steps.sum()
