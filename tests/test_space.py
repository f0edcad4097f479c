"""Assembly against scikit-fem, against a readable loop, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from grids import cube, half_disc, rectangle

from rfasim.solver import space as space_module
from rfasim.solver.space import Space


def slow_stiffness(points: np.ndarray, cells: np.ndarray, coefficient: np.ndarray) -> np.ndarray:
    """The kernels' readable twin: gradients of the barycentric coordinates from the inverse of the vertex matrix."""
    matrix = np.zeros((len(points), len(points)), coefficient.dtype)
    for cell, c in zip(cells, coefficient, strict=True):
        p = points[cell]
        d = p.shape[1]
        gradients = np.linalg.inv(np.column_stack([np.ones(d + 1), p]))[1:]
        size = abs(np.linalg.det(p[1:] - p[0])) / (6 if d == 3 else 2)
        weight = size if d == 3 else size * 2 * np.pi * p[:, 0].mean()
        matrix[np.ix_(cell, cell)] += c * weight * gradients.T @ gradients
    return matrix


@pytest.mark.parametrize("mesh", [cube(3, 0.15), half_disc(1.0, 3.0, 4, 6), rectangle(2.0, 1.0, 4, inner=0.5)])
def test_edge_conductances_are_the_stiffness_matrix(mesh):
    points, cells = mesh
    space = Space(points, cells)
    coefficient = np.random.default_rng(1).uniform(0.5, 2, space.n_cells) * (1 + 0.5j)
    expected = slow_stiffness(points, cells, coefficient)
    computed = space.csr(space.assemble(coefficient)).toarray()
    np.testing.assert_allclose(computed, expected, atol=1e-12 * abs(expected).max())
    u = np.random.default_rng(2).normal(size=space.n_nodes) + 0j
    np.testing.assert_allclose(space.multiply(space.assemble(coefficient), u), expected @ u, atol=1e-11)


def test_same_matrix_as_scikit_fem():
    skfem = pytest.importorskip("skfem")
    points, cells = cube(4, 0.15)
    mesh = skfem.MeshTet(points.T, cells.T.astype(np.int64))
    basis = skfem.Basis(mesh, skfem.ElementTetP1())

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return (1 + w.x[0]) * sum(u.grad[k] * v.grad[k] for k in range(3))

    space = Space(points, cells)
    ours = space.csr(space.assemble(1 + points[cells].mean(axis=1)[:, 0]))
    assert abs(ours - stiffness.assemble(basis)).max() < 1e-12


@pytest.mark.parametrize(("mesh", "volume"), [(cube(4, 0.1), 1.0), (rectangle(2.0, 1.0, 5, 1.0), 3 * np.pi)])
def test_lumped_volumes_add_up_to_the_domain(mesh, volume):
    space = Space(*mesh)
    assert space.volumes.sum() == pytest.approx(volume, rel=1e-12)
    assert space.node_volumes().sum() == pytest.approx(volume, rel=1e-12)


def test_axisymmetric_lumping_integrates_linear_functions_of_r_exactly():
    # int_1^2 int_0^1 r 2 pi r dz dr = 14 pi / 3; the lumped rule gives each vertex int lambda_i 2 pi r
    points, cells = rectangle(2.0, 1.0, 6, 1.0)
    assert Space(points, cells).node_volumes() @ points[:, 0] == pytest.approx(14 * np.pi / 3, rel=1e-12)


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(space_module, "PIECE_CELLS", 300)
    space = Space(*cube(6, 0.15))
    assert space.n_pieces > 3
    assert sum(len(terms.cells) - terms.cuts[-1] for terms in space.terms) > 0
    coefficient = np.random.default_rng(3).uniform(0.1, 1, space.n_cells)
    one, two = space.assemble(coefficient, threads=1), space.assemble(coefficient, threads=2)
    assert np.array_equal(one, two)
    np.testing.assert_allclose(
        space.csr(one).toarray(), slow_stiffness(space.points, space.cells, coefficient), atol=1e-12
    )


def test_heat_of_the_edges_adds_up_to_the_power_and_obeys_kohlrausch_node_by_node():
    space = Space(*cube(5, 0.15))
    g = space.assemble(np.full(space.n_cells, 0.2))
    u = np.random.default_rng(4).normal(size=space.n_nodes)
    heat = space.dissipation(g, u)
    current = space.multiply(g, u)
    assert heat.sum() == pytest.approx(u @ current, rel=1e-12)
    np.testing.assert_allclose(heat, u * current - space.multiply(g, u**2 / 2), atol=1e-12)
    z = u + 1j * np.random.default_rng(5).normal(size=space.n_nodes)
    y = g * (1 + 0.5j)
    assert space.dissipation(y, z).sum() == pytest.approx((z.conj() @ space.multiply(y, z)).real, rel=1e-12)


def test_right_angles_weigh_nothing_and_cells_that_have_them_keep_their_matrix():
    # a Kuhn cube has three right dihedral angles in each cell, a shaken one has none
    plain, shaken = Space(*cube(3)), Space(*cube(3, 0.15))
    assert [len(terms.cells) for terms in plain.terms] == [plain.n_cells, 0]
    assert len(shaken.terms[1].cells) > 0
    coefficient = np.random.default_rng(6).uniform(0.5, 2, plain.n_cells)
    expected = slow_stiffness(plain.points, plain.cells, coefficient)
    np.testing.assert_allclose(plain.csr(plain.assemble(coefficient)).toarray(), expected, atol=1e-14)


def test_compressed_rows_are_sorted_and_hold_each_entry_once():
    space = Space(*cube(4, 0.15))
    matrix = space.csr(space.assemble(np.ones(space.n_cells)))
    assert matrix.has_canonical_format
    assert matrix.nnz == 2 * space.n_edges + space.n_nodes
    assert abs(matrix - matrix.T).max() == 0
