"""The loops along vessels against the same in numpy, segment by segment."""

from __future__ import annotations

import numpy as np

from rfasim.vessel_kernels import entry_lengths, fill_gaps, settled_walls

FIRST, COUNT = np.array([0, 40, 90]), np.array([40, 50, 45])
LEAST = 0.01


def test_gaps_are_linear_between_known_stations_of_one_segment() -> None:
    random = np.random.default_rng(1)
    known, values = random.random(135) < 0.3, random.normal(size=135)
    known[90:] = False
    expected = values.copy()
    for first, n in zip(FIRST, COUNT, strict=True):
        at = np.flatnonzero(known[first : first + n])
        if len(at):
            gaps = np.arange(at[0], at[-1] + 1)
            expected[first + gaps] = np.interp(gaps, at, values[first + at])
    fill_gaps(FIRST, COUNT, known, values)
    assert np.allclose(values, expected, rtol=0, atol=1e-14)


def test_entry_lengths_are_those_of_leveque_s_solutions_superposed() -> None:
    random = np.random.default_rng(2)
    length = np.repeat([1e-3, 2e-3, 1.5e-3], COUNT)
    flow = np.repeat([1.0, -2.0, 0.0], COUNT)
    wall, theta = 37 + 5 * random.random(135), 37 + random.random(135)
    wall[5:9] = 37.0
    # the first segment begins at an inlet; the second one, against its points, takes from the first and from outside
    starts = np.zeros(136, np.int64)
    starts[1:] = 1
    starts[90:] = 3
    sources, rates, inlet = np.array([-1, 39, -1]), np.array([2.0, 1.0, 3.0]), np.full(135, 37.0)
    mixed = {0: 37.0, 89: (theta[39] + 3 * 37.0) / 4}
    expected = np.full(135, np.inf)
    for first, n, way in ((0, 40, 1), (40, 50, -1)):
        own = np.arange(first, first + n)[::way]
        kernel = 1.5 * length[first] ** (-1 / 3) * np.diff(np.arange(n + 1.0) ** (2 / 3))
        rise = wall[own] - mixed[int(own[0])]
        spread = np.convolve(np.diff(rise, prepend=0.0), kernel)[:n]
        traced = np.abs(rise) > LEAST
        thin = np.where(traced, spread / np.where(traced, rise, 1.0), kernel)
        expected[own] = np.maximum(thin, 1e-3 * kernel[0]) ** -3.0
    out = np.empty(135)
    steps = np.diff(np.arange(51.0) ** (2 / 3))
    entry_lengths(FIRST, COUNT, length, flow, wall, theta, starts, sources, rates, inlet, LEAST, steps, out)
    assert np.allclose(out, expected, rtol=1e-10)


def test_settled_walls_solve_the_layer_s_and_the_tissue_s_balance_together() -> None:
    random = np.random.default_rng(3)
    first, count, n = np.array([0, 30]), np.array([30, 20]), 50
    length = np.repeat([1e-3, 2e-3], count)
    flow = np.repeat([-1.0, 0.0], count)  # against its points; at rest
    wall, theta, inlet = 40 + 3 * random.random(n), 37 + random.random(n), np.full(n, 37.0)
    wall[7], theta[7] = 37.2, 37.6  # blood warms this wall: it stays as it is
    starts, sources, rates = np.zeros(n + 1, np.int64), np.array([-1]), np.array([2.0])
    starts[30:] = 1
    steps = np.diff(np.arange(31.0) ** (2 / 3))
    Nu, found, distance = 5 + random.random(n), 6 + random.random(n), 1e-2 * (1 + random.random(n))

    own = np.arange(30)[::-1]
    kernel = 1.5 * 1e-3 ** (-1 / 3) * steps
    layer = np.array([[kernel[i - j] if j <= i else 0.0 for j in range(30)] for i in range(30)])
    layer = layer @ (np.eye(30) - np.eye(30, k=-1))  # of rises, not of their differences
    over, rise = (wall - theta)[own], (wall - 37.0)[own]
    take = np.diag((found * np.cbrt(distance))[own] * over / rise) @ layer
    A, b = np.diag(Nu[own]) + take, Nu[own] * (rise + over)
    stays = over < 0
    A[stays], b[stays] = np.eye(30)[stays], rise[stays]
    expected = wall.copy()
    expected[own] = 37.0 + np.linalg.solve(A, b)

    out = np.empty(n)
    settled_walls(
        first, count, length, flow, wall, theta, starts, sources, rates, inlet, LEAST, steps, Nu, found, distance, out
    )
    assert stays.any()
    assert np.allclose(out, expected, rtol=1e-12)
