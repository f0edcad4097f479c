"""Facets and the cells behind them, points and the cells around them: against the obvious way to find them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial import Delaunay

from rfasim.solver.location import SLIVER, Locator
from rfasim.solver.surface import facet_cells


def simplices(d: int, seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(seed).uniform(size=(n, d))
    return points, Delaunay(points).simplices.astype(np.uint32)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("prefer", [False, True])
def test_behind_a_facet_is_the_first_cell_or_the_first_preferred_one(d: int, prefer: bool) -> None:
    _, cells = simplices(d, 1)
    random = np.random.default_rng(2)
    preferred = random.random(len(cells)) < 0.4
    sharing: dict[frozenset[int], list[int]] = {}
    for number, cell in enumerate(cells.tolist()):
        for face in itertools.combinations(cell, d):
            sharing.setdefault(frozenset(face), []).append(number)
    faces = [random.permutation(list(face)) for face in sharing]
    facets = np.array(faces, np.uint32)[random.permutation(len(faces))[:50]]
    found = facet_cells(cells, facets, preferred if prefer else None)
    for facet, cell in zip(facets.tolist(), found.tolist(), strict=True):
        both = sharing[frozenset(facet)]
        assert cell in both
        if prefer and preferred[both].any():
            assert preferred[cell]


def test_a_facet_of_no_cell_is_an_error_and_no_facets_have_no_cells() -> None:
    _, cells = simplices(3, 3)
    assert len(facet_cells(cells, np.zeros((0, 3), np.uint32))) == 0
    with pytest.raises(KeyError):
        facet_cells(cells[:1], cells[-1:, :3])


@pytest.mark.parametrize("d", [2, 3])
def test_points_are_found_in_the_first_of_the_cells_that_hold_them(d: int) -> None:
    points, cells = simplices(d, 4)
    chosen = np.random.default_rng(5).random(len(cells)) < 0.8
    x = np.concatenate([np.random.default_rng(6).uniform(-0.1, 1.1, (300, d)), points[:20]])
    found, weights = Locator(points, cells, chosen)(x)
    corners = points[cells]
    for place, cell, weight in zip(x, found.tolist(), weights, strict=True):
        rest = np.linalg.solve(np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2), (place - corners[:, 0])[..., None])
        every = np.column_stack([1 - rest[..., 0].sum(axis=1), rest[..., 0]])
        holds = np.flatnonzero((every.min(axis=1) >= -SLIVER) & chosen)
        if cell < 0:  # looked for around near nodes only, which here is nearly always enough
            assert len(holds) == 0 or d == 3
            continue
        assert cell in holds
        assert weight @ points[cells[cell]] == pytest.approx(place, abs=1e-5)
        assert weight.sum() == pytest.approx(1.0)
    inside = np.all((x > 0.2) & (x < 0.8), axis=1)
    assert (found[inside] >= 0).mean() > 0.7
