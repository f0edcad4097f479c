"""Stiffness assembly by other finite-element libraries, each in its own Python.

    python benchmarks/peers.py {scikit-fem,sfepy,dolfinx} MESH.npz OUT.npz REPEATS

``MESH.npz`` holds ``points``, ``cells``, ``coefficient`` (one number a cell) and ``x`` (one a node); ``OUT.npz`` gets
the seconds of each repeat (clock and CPU), the version and the product ``A x``, in the mesh's own numbering. What is
timed is a reassembly: pattern, basis and compiled forms exist, the coefficient is new. Imports nothing of rfasim.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402 (one thread: set before any library starts its own)

Array = np.ndarray[Any, Any]
# reassemble() and product(x)
Peer = tuple[str, Callable[[], object], Callable[[Array], Array]]


def scikit_fem(points: Array, cells: Array, coefficient: Array) -> Peer:
    import skfem

    mesh = skfem.MeshTet(points.T, cells.T.astype(np.int64), sort_t=False)
    basis = skfem.Basis(mesh, skfem.ElementTetP1(), intorder=0)
    per_cell = np.broadcast_to(coefficient[:, None], (len(coefficient), basis.X.shape[-1]))

    @skfem.BilinearForm
    def stiffness(u: Any, v: Any, w: Any) -> Any:
        g, h = u.grad, v.grad
        return w.coefficient * (g[0] * h[0] + g[1] * h[1] + g[2] * h[2])

    matrix: dict[str, Any] = {}

    def reassemble() -> None:
        matrix["A"] = stiffness.assemble(basis, coefficient=per_cell)

    return skfem.__version__, reassemble, lambda x: np.asarray(matrix["A"] @ x)


def sfepy(points: Array, cells: Array, coefficient: Array) -> Peer:
    import sfepy
    from sfepy.base.base import output
    from sfepy.discrete import Equation, Equations, FieldVariable, Integral, Material
    from sfepy.discrete.fem import FEDomain, Field, Mesh
    from sfepy.terms import Term

    output.set_output(quiet=True)
    groups = np.zeros(len(points), np.int32)
    mesh = Mesh.from_data("mesh", points, groups, [cells.astype(np.int32)], [np.zeros(len(cells), np.int32)], ["3_4"])
    omega = FEDomain("domain", mesh).create_region("Omega", "all")
    field = Field.from_args("temperature", np.float64, "scalar", omega, approx_order=1)
    u, v = FieldVariable("u", "unknown", field), FieldVariable("v", "test", field, primary_var_name="u")
    material = Material("m", function=lambda ts, coors, mode=None, **_: (
        {"val": np.repeat(coefficient, len(coors) // len(coefficient))[:, None, None]} if mode == "qp" else None
    ))  # fmt: skip
    term = Term.new("dw_laplace(m.val, v, u)", Integral("i", order=0), omega, m=material, v=v, u=u)
    equations = Equations([Equation("balance", term)])
    equations.time_update(None)
    equations.time_update_materials(None)
    equations.init_state()
    matrix = equations.create_matrix_graph()

    def reassemble() -> None:
        matrix.data[:] = 0.0
        equations.time_update_materials(None)
        equations.evaluate(mode="weak", dw_mode="matrix", asm_obj=matrix)

    return sfepy.__version__, reassemble, lambda x: np.asarray(matrix @ x)


def dolfinx(points: Array, cells: Array, coefficient: Array) -> Peer:
    import dolfinx
    import ufl
    from dolfinx.fem.petsc import assemble_matrix, create_matrix
    from mpi4py import MPI

    element = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.tetrahedron, 1))
    mesh = dolfinx.mesh.create_mesh(MPI.COMM_SELF, cells.astype(np.int64), points, element)
    space = dolfinx.fem.FunctionSpace(mesh, ("Lagrange", 1))
    k = dolfinx.fem.Function(dolfinx.fem.FunctionSpace(mesh, ("DG", 0)))
    u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    form = dolfinx.fem.form(k * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)
    matrix = create_matrix(form)
    # its numbering of cells and nodes against the mesh's own
    cell_of = np.asarray(mesh.topology.original_cell_index)
    dofs = np.empty(len(points), np.int64)
    geometry = mesh.geometry.dofmap.array.reshape(-1, 4)
    nodal = space.dofmap.list.array.reshape(-1, 4)
    dofs[np.asarray(mesh.geometry.input_global_indices)[geometry.ravel()]] = nodal.ravel()

    def reassemble() -> None:
        k.x.array[:] = coefficient[cell_of]
        matrix.zeroEntries()
        assemble_matrix(matrix, form)
        matrix.assemble()

    def product(x: Array) -> Array:
        a, b = matrix.createVecs()
        a.array[dofs] = x
        matrix.mult(a, b)
        return np.asarray(b.array[dofs])

    return dolfinx.__version__, reassemble, product


PEERS: dict[str, Callable[[Array, Array, Array], Peer]] = {
    "scikit-fem": scikit_fem, "sfepy": sfepy, "dolfinx": dolfinx
}  # fmt: skip


def main(name: str, mesh: str, out: str, repeats: int) -> None:
    data = np.load(mesh)
    version, reassemble, product = PEERS[name](data["points"], data["cells"], data["coefficient"])
    reassemble()
    answer = product(data["x"])
    clock, cpu = [], []
    for _ in range(repeats):
        t, c = time.perf_counter(), time.process_time()
        reassemble()
        clock.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    np.savez(out, answer=answer, clock=clock, cpu=cpu, version=str(version))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
