"""The loops along vessels against the same in numpy, segment by segment."""

from __future__ import annotations

import numpy as np

from rfasim.vessel_kernels import entry_lengths, fill_gaps

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
