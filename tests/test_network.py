"""A network of vessels: where they join, how the blood is shared out, in which order it comes, what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rfasim.errors import InputError
from rfasim.network import Network, Tube, build_network

Array = NDArray[np.float64]

ML = 1e-6 / 60  # m^3/s in a mL/min
MU = 3.5e-3  # Pa s


def tube(name: str, points: Sequence[Sequence[float]], diameter: float, collects: bool = False) -> Tube:
    """In millimetres."""
    return Tube(name, 1e-3 * np.array(points, dtype=float), 1e-3 * diameter, collects)


def line(name: str, start: Sequence[float], end: Sequence[float], diameter: float, collects: bool = False) -> Tube:
    return tube(name, [start, end], diameter, collects)


def shared(vessels: Sequence[Tube], stated: Sequence[float | None]) -> tuple[Network, list[float]]:
    """The network, and the flows of its segments; all in mL/min."""
    network = build_network(vessels)
    flows = network.flows([None if flow is None else flow * ML for flow in stated], MU)
    return network, (flows / ML).tolist()


def imbalance(network: Network, flows: Array) -> float:
    """Largest of what is left over at an inner node, over the largest flow."""
    start, end = np.array([(s.start, s.end) for s in network.segments]).T
    n = len(network.nodes)
    left = np.bincount(end, flows, n) - np.bincount(start, flows, n)
    return float(np.abs(left[~network.free]).max(initial=0.0) / np.abs(flows).max())


def assert_in_order(network: Network, flows: Array) -> None:
    order = network.order(flows)
    assert sorted(order) == list(range(len(network.segments)))
    fed = [(s.end if q > 0 else s.start) for s, q in zip(network.segments, flows, strict=True)]
    needs = [(s.start if q > 0 else s.end) for s, q in zip(network.segments, flows, strict=True)]
    place = {int(segment): k for k, segment in enumerate(order)}
    moving = np.flatnonzero(flows)
    for one, two in itertools.permutations(moving, 2):
        if fed[one] == needs[two]:
            assert place[int(one)] < place[int(two)]
    assert {int(s) for s in order[: len(moving)]} == set(moving.tolist())


TRUNK = line("trunk", (0, 0, 0), (0, 0, 20), 6)


# --------------------------------------------------------------------------------------------------- sharing


def test_equal_branches_get_half_each() -> None:
    left, right = line("left", (0, 0, 20), (20, 0, 40), 4), line("right", (0, 0, 20), (-20, 0, 40), 4)
    network, flows = shared([TRUNK, left, right], [500, None, None])
    assert flows == pytest.approx([500, 250, 250], rel=1e-14)
    assert network.free.sum() == 3


def test_unequal_branches_share_by_the_fourth_power_of_the_diameter_over_the_length() -> None:
    left, right = line("left", (0, 0, 20), (30, 0, 60), 5), line("right", (0, 0, 20), (-8, 0, 35), 2)
    _, flows = shared([TRUNK, left, right], [500, None, None])
    a, b = 5**4 / 50, 2**4 / 17
    assert flows == pytest.approx([500, 500 * a / (a + b), 500 * b / (a + b)], rel=1e-13)


def test_branches_of_branches_are_resistances_in_series_and_in_parallel() -> None:
    left, right = line("left", (0, 0, 20), (10, 0, 20), 4), line("right", (0, 0, 20), (-20, 0, 20), 3)
    up, down = line("up", (10, 0, 20), (10, 0, 50), 2), line("down", (10, 0, 20), (10, 0, 0), 3)
    _, flows = shared([TRUNK, left, right, up, down], [600, None, None, None, None])
    resistance = 10 / 4**4 + 1 / (2**4 / 30 + 3**4 / 20)
    into_left = 600 / (1 + resistance * 3**4 / 20)
    into_up = into_left * (2**4 / 30) / (2**4 / 30 + 3**4 / 20)
    assert flows == pytest.approx([600, into_left, 600 - into_left, into_up, into_left - into_up], rel=1e-13)


def test_two_parallel_vessels_share_like_branches() -> None:
    short = line("short", (0, 0, 20), (0, 0, 50), 3)
    bow = tube("bow", [(0, 0, 20), (20, 0, 35), (0, 0, 50)], 4)
    out = line("out", (0, 0, 50), (0, 0, 70), 5)
    network, flows = shared([TRUNK, short, bow, out], [500, None, None, None])
    a, b = 3**4 / 30, 4**4 / 50
    assert flows == pytest.approx([500, 500 * a / (a + b), 500 * b / (a + b), 500], rel=1e-13)
    assert_in_order(network, np.array(flows))


def test_balanced_bridge_carries_nothing() -> None:
    corner = [(0, 0, 20), (15, 0, 40), (-15, 0, 40), (0, 0, 60)]
    sides = [line(f"side {a}{b}", corner[a], corner[b], 3) for a, b in [(0, 1), (0, 2), (1, 3), (2, 3)]]
    bridge, out = line("bridge", corner[1], corner[2], 2), line("out", corner[3], (0, 0, 90), 5)
    network, flows = shared([TRUNK, *sides, bridge, out], [100, *[None] * 6])
    assert flows == pytest.approx([100, 50, 50, 50, 50, 0, 100], rel=1e-13, abs=1e-11)
    assert network.order(np.array(flows))[-1] == 5


def test_viscosity_does_not_change_the_shares() -> None:
    vessels = [TRUNK, line("left", (0, 0, 20), (30, 0, 60), 5), line("right", (0, 0, 20), (-8, 0, 35), 2)]
    network = build_network(vessels)
    thin, thick = (network.flows([1e-5, None, None], mu) for mu in (1e-3, 1e-1))
    np.testing.assert_allclose(thin, thick, rtol=1e-14)


def test_flow_against_the_points_is_negative() -> None:
    backwards = line("trunk", (0, 0, 20), (0, 0, 0), 6)
    left, right = line("left", (0, 0, 20), (20, 0, 40), 4), line("right", (-20, 0, 40), (0, 0, 20), 4)
    network, flows = shared([backwards, left, right], [-500, None, None])
    assert flows == pytest.approx([-500, 250, -250], rel=1e-14)
    assert network.order(np.array(flows))[0] == 0


def test_stated_branch_takes_its_own_and_the_other_the_rest() -> None:
    left, right = line("left", (0, 0, 20), (20, 0, 40), 4), line("right", (0, 0, 20), (-20, 0, 40), 4)
    assert shared([TRUNK, left, right], [500, 120, None])[1] == pytest.approx([500, 120, 380], rel=1e-14)
    assert shared([TRUNK, left, right], [500, 120, 380])[1] == pytest.approx([500, 120, 380], rel=1e-14)
    assert shared([TRUNK, left, right], [None, 120, 380])[1] == pytest.approx([500, 120, 380], rel=1e-14)


@pytest.mark.parametrize("stated", [[0, None, None], [0, 0, 0], [None, 0, None]])
def test_all_stands_still_when_every_stated_flow_is_zero(stated: list[float | None]) -> None:
    left, right = line("left", (0, 0, 20), (20, 0, 40), 4), line("right", (0, 0, 20), (-20, 0, 40), 4)
    network, flows = shared([TRUNK, left, right], stated)
    assert flows == [0, 0, 0]
    assert network.order(np.array(flows)).tolist() == [0, 1, 2]


def test_one_vessel_alone_carries_what_is_stated() -> None:
    network, flows = shared([TRUNK], [300])
    assert flows == pytest.approx([300], rel=1e-15)
    assert network.free.tolist() == [True, True]


# ------------------------------------------------------------------------------------------ collecting trees


def test_collecting_tree_is_a_branching_one_run_backwards() -> None:
    left, right = line("left", (20, 0, 40), (0, 0, 20), 5, True), line("right", (-8, 0, 35), (0, 0, 20), 2, True)
    vein = line("vein", (0, 0, 20), (0, 0, 0), 6, True)
    network, flows = shared([left, right, vein], [None, None, 500])
    a, b = 5**4 / 28.284271247, 2**4 / 17
    assert flows == pytest.approx([500 * a / (a + b), 500 * b / (a + b), 500], rel=1e-9)
    assert network.order(np.array(flows))[-1] == 2
    assert shared([left, right, vein], [200, 300, None])[1] == pytest.approx([200, 300, 500], rel=1e-14)


def test_flow_of_a_collecting_vessel_is_that_at_its_end_of_another_that_at_its_beginning() -> None:
    cava = tube("cava", [(0, 0, 0), (0, 0, 40), (0, 0, 90)], 20, True)
    hepatic = line("hepatic", (60, 0, 40), (0, 0, 40), 8, True)
    assert shared([cava, hepatic], [1000, 300])[1] == pytest.approx([700, 1000, 300], rel=1e-14)
    artery = tube("artery", [(0, 0, 0), (0, 0, 40), (0, 0, 90)], 20)
    branch = line("branch", (0, 0, 40), (60, 0, 40), 8)
    assert shared([artery, branch], [1000, 300])[1] == pytest.approx([1000, 700, 300], rel=1e-14)


# ---------------------------------------------------------------------------------------------------- joints


def test_vessel_is_cut_where_others_join_at_inner_vertices() -> None:
    trunk = tube("trunk", [(0, 0, 0), (0, 0, 20), (0, 0, 45), (0, 0, 60), (0, 0, 100)], 6)
    one, two = line("one", (0, 0, 20), (30, 0, 20), 3), line("two", (-30, 0, 60), (0, 0, 60), 3)
    network, flows = shared([trunk, one, two], [500, 80, -90])
    assert flows == pytest.approx([500, 420, 330, 80, -90], rel=1e-14)
    assert [s.length for s in network.segments] == pytest.approx([0.02, 0.04, 0.04, 0.03, 0.03])
    assert [len(s.points) for s in network.segments] == [2, 3, 2, 2, 2]
    assert [s.vessel for s in network.segments] == [0, 0, 0, 1, 2]


def test_end_on_the_centre_line_between_vertices_joins_there() -> None:
    trunk, branch = line("trunk", (0, 0, 0), (0, 0, 100), 6), line("branch", (2, 0, 30), (40, 0, 30), 3)
    network, flows = shared([trunk, branch], [500, 100])
    assert flows == pytest.approx([500, 400, 100])
    assert network.segments[0].points[-1] == pytest.approx([0, 0, 0.03])
    assert network.nodes[network.segments[0].end] == pytest.approx([1e-3, 0, 0.03])


def test_branches_that_leave_from_one_point_of_the_centre_line_make_one_node() -> None:
    trunk = line("trunk", (0, 0, 0), (0, 0, 100), 6)
    branches = [line(f"branch {k}", (0, 0, 30), (40, 10 * k, 30), 3) for k in range(3)]
    network, flows = shared([trunk, *branches], [500, 100, 50, 20])
    assert flows == pytest.approx([500, 330, 100, 50, 20])
    assert len(network.nodes) == 6


@pytest.mark.parametrize(("gap", "joined"), [(0.0, True), (2.9, True), (3.1, False)])
def test_ends_join_within_the_radius_of_the_wider_vessel(gap: float, joined: bool) -> None:
    network = build_network([TRUNK, line("branch", (0, 0, 20 + gap), (0, 0, 50), 2)])
    assert len(network.nodes) == (3 if joined else 4)


def test_end_inside_the_end_of_a_wide_vessel_joins_at_that_end() -> None:
    # a cut 2 mm before the trunk's end would leave a stump that drains everything
    trunk = tube("trunk", [(0, 0, 0), (0, 0, 18), (0, 0, 20)], 6)
    network, flows = shared([trunk, line("branch", (0.1, 0, 18.1), (0, 0, 50), 2)], [500, None])
    assert flows == pytest.approx([500, 500])
    assert len(network.segments) == 2


def test_branchings_inside_a_wide_trunk_are_no_second_mouth() -> None:
    cava = line("cava", (0, 0, 0), (0, 0, 100), 20, True)
    hepatic = tube("hepatic", [(60, 0, 50), (8, 0, 50), (0, 0, 50)], 8, True)
    small = line("small", (8, 40, 50), (8, 0, 50), 3, True)
    tiny = line("tiny", (40, 0, 80), (10, 0, 53), 1, True)  # ends 3.6 mm beside hepatic's branching
    network, flows = shared([cava, hepatic, small, tiny], [1000, 200, 30, 10])
    assert flows == pytest.approx([800, 1000, 160, 200, 30, 10], rel=1e-12)
    assert [s.vessel for s in network.segments] == [0, 0, 1, 1, 2, 3]


def test_chain_of_vessels_shorter_than_the_trunk_is_wide_stays_a_chain() -> None:
    trunk = line("trunk", (0, 0, -50), (0, 0, 0), 20)
    chain = [line(f"piece {k}", (3 * k, 0, 0), (3 * k + 3, 0, 0), 2) for k in range(8)]
    network, flows = shared([trunk, *chain], [100, *[None] * 8])
    assert flows == pytest.approx([100] * 9, rel=1e-13)
    assert len(network.nodes) == 10


def test_loop_closes_also_when_its_ends_are_a_little_apart() -> None:
    short, bow = line("short", (0, 0, 20), (0, 0, 50), 3), tube("bow", [(1, 0, 20), (20, 0, 35), (1, 0, 50)], 3)
    network, _ = shared([TRUNK, short, bow, line("out", (0, 0, 50), (0, 0, 70), 5)], [500, None, None, None])
    assert network.free.sum() == 2


def test_no_vessels_make_an_empty_network() -> None:
    network = build_network([])
    assert len(network.flows([], MU)) == len(network.order(np.zeros(0))) == 0


# ------------------------------------------------------------------------------------------------ drawn trees

SEEDS = [3, 4, 5, 6, 9, 11, 14, 15]  # those below 16 whose branches happen to touch nowhere else


def drawn_tree(seed: int, n: int = 60, collects: bool = False) -> list[Tube]:
    """Tubes of widely different size; each leaves from an end or an inner vertex of one drawn before."""
    random = np.random.default_rng(seed)
    tubes = [tube("v0", [(0, 0, 0), (0, 0, 40), (0, 0, 80)], 20)]
    while len(tubes) < n:
        mother = tubes[random.integers(len(tubes))]
        begin = mother.points[random.integers(1, len(mother.points))]
        steps = random.normal(scale=0.1, size=(random.integers(2, 4), 3))
        points = begin + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
        tubes.append(Tube(f"v{len(tubes)}", points, float(np.exp(random.uniform(np.log(2e-3), np.log(2e-2))))))
    if collects:
        return [Tube(t.name, t.points[::-1], t.diameter, True) for t in tubes]
    return tubes


@pytest.mark.parametrize("collects", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_trees_balance_and_are_in_order(seed: int, collects: bool) -> None:
    network = build_network(drawn_tree(seed, collects=collects))
    assert len(network.segments) == len(network.nodes) - 1 >= 60
    flows = network.flows([1e-5, *[None] * 59], MU)
    assert imbalance(network, flows) < 1e-12
    assert_in_order(network, flows)
    outside = flows[np.array([network.free[s.end] or network.free[s.start] for s in network.segments])]
    assert np.abs(outside).sum() == pytest.approx(2e-5, rel=1e-12)  # once in, once out


@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_flows_follow_poiseuille_from_every_end_to_every_other(seed: int) -> None:
    """The pressures along the tree, summed from the free ends, agree wherever two ways meet."""
    network = build_network(drawn_tree(seed))
    flows = network.flows([1e-5, *[None] * 59], MU)
    drop = {(s.start, s.end): q * s.length / s.diameter**4 for s, q in zip(network.segments, flows, strict=True)}
    pressure = {int(n): 0.0 for n in np.flatnonzero(network.free) if n != network.segments[0].start}
    known = -1
    while known != len(pressure):
        known = len(pressure)
        for (start, end), p in drop.items():
            if end in pressure and start not in pressure:
                pressure[start] = pressure[end] + p
            elif start in pressure and end not in pressure:
                pressure[end] = pressure[start] - p
    scale = max(pressure.values())
    assert len(pressure) == len(network.nodes)
    for (start, end), p in drop.items():
        assert pressure[start] - pressure[end] == pytest.approx(p, abs=1e-10 * scale)


# -------------------------------------------------------------------------------------------------- refusals


def refusal(vessels: Sequence[Tube], stated: Sequence[float | None]) -> InputError:
    with pytest.raises(InputError) as caught:
        shared(vessels, stated)
    return caught.value


def test_vessel_that_no_flow_reaches_is_refused_with_its_nearest_neighbour() -> None:
    far = line("V3", (0, 0, 23.2), (40, 0, 60), 4)
    error = refusal([TRUNK, line("V2", (0, 0, 20), (0, 40, 0), 4), far], [500, None, None])
    assert error.path == "vessels[2]"
    assert error.message == (
        "'V3' is joined to no vessel with a flow; state its flow (0 mL/min for blood that stands still), or let one "
        "of its ends meet another vessel (the nearest, 'trunk', is 3.2 mm away)"
    )


def test_network_without_any_flow_is_refused_without_a_neighbour() -> None:
    error = refusal([TRUNK, line("branch", (0, 0, 20), (0, 40, 40), 4)], [None, None])
    assert error.path == "vessels[0]"
    assert "'trunk' is joined to no vessel with a flow; state its flow" in error.message
    assert "nearest" not in error.message


def test_flows_that_do_not_balance_are_refused_with_names_and_numbers() -> None:
    left, right = line("left", (0, 0, 20), (20, 0, 40), 4), line("right", (0, 0, 20), (-20, 0, 40), 4)
    error = refusal([TRUNK, left, right], [500, 300, 100])
    assert error.path == "vessels[0]"
    assert error.message == (
        "the flows that meet at (0, 0, 20) mm do not balance: 'trunk' brings 500 mL/min, 'left' takes 300 mL/min, "
        "'right' takes 100 mL/min, 100 mL/min too much; correct one, or leave one out so that it follows from the "
        "others"
    )
    error = refusal([TRUNK, left, right], [-500, -100, 100])
    assert "'trunk' takes 500 mL/min, 'left' brings 100 mL/min, 'right' takes 100 mL/min, 500 mL/min too little" in (
        error.message
    )


def test_flow_into_a_part_without_a_free_end_is_refused() -> None:
    short, bow = line("short", (0, 0, 20), (0, 0, 50), 3), tube("bow", [(0, 0, 20), (20, 0, 35), (0, 0, 50)], 4)
    error = refusal([TRUNK, short, bow], [500, None, None])
    assert error.path == "vessels[0]"
    assert error.message == (
        "'trunk' brings 500 mL/min, and no end of 'short' or 'bow' is free: flow with no outlet, 500 mL/min too much; "
        "state flows that balance, or leave an end free"
    )
    assert "flow with no inlet, 500 mL/min too little" in refusal([TRUNK, short, bow], [-500, None, None]).message


def test_closed_part_between_equal_stated_flows_is_solved() -> None:
    short, bow = line("short", (0, 0, 20), (0, 0, 50), 3), tube("bow", [(0, 0, 20), (20, 0, 35), (0, 0, 50)], 3)
    out = line("out", (0, 0, 50), (0, 0, 70), 5)
    _, flows = shared([TRUNK, short, bow, out], [500, None, None, 500])
    assert flows == pytest.approx([500, 500 * 50 / 80, 500 * 30 / 80, 500], rel=1e-13)
    assert "'out' takes 499 mL/min" in refusal([TRUNK, short, bow, out], [500, None, None, 499]).message


def test_blood_that_is_stated_to_go_in_a_circle_is_refused_with_names() -> None:
    corner = [(0, 0, 20), (20, 0, 40), (-20, 0, 40)]
    ring = [line(name, corner[a], corner[b], 4) for name, a, b in [("r1", 0, 1), ("r2", 1, 2), ("r3", 2, 0)]]
    out = line("out", corner[1], (60, 0, 40), 4)
    network, flows = shared([TRUNK, *ring, out], [100, 150, 50, 50, 100])
    with pytest.raises(InputError, match="goes round in a circle through 'r1', 'r2', 'r3'; state flows") as caught:
        network.order(np.array(flows))
    assert caught.value.path == "vessels[1]"
