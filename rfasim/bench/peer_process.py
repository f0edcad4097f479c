"""The same problems by other finite-element libraries, each in a process of its own and with one thread.

    python rfasim/bench/peer_process.py NAME TASK GIVEN.npz OUT.npz REPEATS

``TASK``: ``assembly`` (a coefficient a cell into a matrix whose pattern exists), ``solve`` (a unit potential to a given
relative residual) or ``run`` (potential and heat, coupled, at given time steps). ``GIVEN.npz`` holds mesh and numbers
(see :mod:`rfasim.bench.peers`); ``OUT.npz`` gets seconds, version, answers in the mesh's own numbering.
Imports nothing of rfasim, so that it runs in any Python that has the library.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NGS_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402 (one thread: set before any library starts its own)

Array = np.ndarray[Any, Any]
Given = Mapping[str, Any]
GAMMA = 2.0 - np.sqrt(2.0)
WEIGHT = np.sqrt(2.0) / 4.0
TIGHTEN = 0.5


class Library(Protocol):
    """What a library has to offer: matrices stay what it likes best; arrays are by the mesh's nodes or cells."""

    version: str
    uses: str

    def __init__(self, given: Given) -> None: ...

    def stiffness(self, coefficient: Array) -> Any:
        """``k grad u . grad v`` for a number a cell; its pattern is used again."""

    def times(self, matrix: Any, x: Array) -> Array:
        """A matrix times nodal values."""


class Coupled(Library, Protocol):
    """What it has to offer beyond, for potential and heat."""

    def potential(self, matrix: Any, u: Array, tolerance: float) -> int:
        """Solve on the free nodes, ``u`` with the held values is the first guess and gets the solution; iterations."""

    def conductivity(self, rise: Array, slope: float) -> Any:
        """What :meth:`stiffness` takes for ``1 + slope rise``, from nodal values."""

    def mass(self, factor: float) -> Any:
        """``factor u v``."""

    def joule(self, coefficient: Any, u: Array) -> Array:
        """``coefficient |grad u|^2`` against each node's function."""

    def combined(self, mass: Any, stiffness: Any, factor: float) -> Any:
        """``mass + factor stiffness``, ready to be solved with on the nodes that heat is free on."""

    def correction(self, matrix: Any, residual: Array, tolerance: float) -> Array:
        """The solution for a residual, zero on the outer wall."""


# ---------------------------------------------------------------------------------- libraries that make scipy matrices


class Reduced:
    """The free part of a CSR matrix whose pattern stays: its entries are picked, not searched for."""

    def __init__(self, matrix: Any, held: Array) -> None:
        import scipy.sparse

        free = ~held
        self.nnz = matrix.nnz
        self.free, self.n = np.flatnonzero(free), int(free.sum())
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        inner = free[rows] & free[matrix.indices]
        rim = free[rows] & held[matrix.indices]
        number = np.cumsum(free) - 1
        self.picked, self.rim = np.flatnonzero(inner), np.flatnonzero(rim)
        self.rim_row, self.rim_column = number[rows[rim]], matrix.indices[rim]
        starts = np.concatenate([[0], np.cumsum(np.bincount(number[rows[inner]], minlength=self.n))])
        self.matrix = scipy.sparse.csr_matrix(
            (np.zeros(len(self.picked)), number[matrix.indices[inner]].astype(np.int32), starts.astype(np.int32)),
            shape=(self.n, self.n),
        )

    def take(self, matrix: Any) -> Any:
        self.matrix.data[:] = matrix.data[self.picked]
        self.rim_data = matrix.data[self.rim]
        return self.matrix

    def inflow(self, u: Array) -> Array:
        return -np.bincount(self.rim_row, self.rim_data * u[self.rim_column], self.n)


class WithScipy:
    """CSR matrices, scipy's conjugate gradients with the diagonal: on these meshes it beats pyamg's smoothed
    aggregation (a quarter of its iterations, five times their cost, and a setup) and scipy's incomplete factor."""

    uses = "scipy CG, Jacobi"

    def __init__(self, given: Given) -> None:
        self.points, self.cells = given["points"], given["cells"].astype(np.int64)
        self.contact, self.outer = given["contact"], given["outer"]
        self.parts: dict[str, Reduced] = {}

    def times(self, matrix: Any, x: Array) -> Array:
        return np.asarray(matrix @ x)

    def _part(self, key: str, matrix: Any, *held: Array) -> Reduced:
        """The free part of a matrix, whose places are looked for again only when its pattern has changed (scikit-fem
        drops entries that cancel)."""
        if key not in self.parts or self.parts[key].nnz != matrix.nnz:
            mask = np.zeros(len(self.points), bool)
            for nodes in held:
                mask[nodes] = True
            self.parts[key] = Reduced(matrix, mask)
        return self.parts[key]

    def potential(self, matrix: Any, u: Array, tolerance: float) -> int:
        part = self._part("potential", matrix, self.contact, self.outer)
        A = part.take(matrix)
        u[part.free], iterations = _cg(A, part.inflow(u), tolerance, u[part.free])
        return iterations

    def conductivity(self, rise: Array, slope: float) -> Array:
        return np.asarray(1.0 + slope * rise[self.cells].mean(axis=1))

    def combined(self, mass: Any, stiffness: Any, factor: float) -> Any:
        whole = mass + factor * stiffness
        part = self._part("heat", whole, self.outer)
        part.take(whole)
        return part

    def correction(self, matrix: Any, residual: Array, tolerance: float) -> Array:
        out = np.zeros_like(residual)
        out[matrix.free], _ = _cg(matrix.matrix, residual[matrix.free], tolerance)
        return out


def _cg(A: Any, b: Array, tolerance: float, guess: Array | None = None) -> tuple[Array, int]:
    """scipy's conjugate gradients with the diagonal, to a residual relative to ``b``; the iterations too."""
    from scipy.sparse.linalg import LinearOperator, cg

    inverse, count = 1.0 / A.diagonal(), [0]

    def step(_: Array) -> None:
        count[0] += 1

    jacobi = LinearOperator(A.shape, lambda r: inverse * r)
    x, info = cg(A, b, x0=guess, rtol=tolerance, atol=0.0, M=jacobi, callback=step)
    if info:
        raise ArithmeticError(f"cg ended with {info}")
    return np.asarray(x), count[0]


class ScikitFem(WithScipy):
    """Forms in numpy, reduced integration of what is constant in a cell."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        import skfem

        self.skfem, self.version = skfem, skfem.__version__
        self.mesh = skfem.MeshTet(self.points.T, self.cells.T, sort_t=False)
        self.basis = skfem.Basis(self.mesh, skfem.ElementTetP1(), intorder=0)

        def laplace(u: Any, v: Any, w: Any) -> Any:
            g, h = u.grad, v.grad
            return w.coefficient * (g[0] * h[0] + g[1] * h[1] + g[2] * h[2])

        def heat(v: Any, w: Any) -> Any:
            g = w.potential.grad
            return w.coefficient * (g[0] * g[0] + g[1] * g[1] + g[2] * g[2]) * v

        self.laplace, self.heat_form = skfem.BilinearForm(laplace), skfem.LinearForm(heat)

    def _per_cell(self, coefficient: Array) -> Array:
        return np.broadcast_to(coefficient[:, None], (len(coefficient), self.basis.X.shape[-1]))

    def stiffness(self, coefficient: Array) -> Any:
        return self.laplace.assemble(self.basis, coefficient=self._per_cell(coefficient))

    def mass(self, factor: float) -> Any:
        skfem = self.skfem
        form = skfem.BilinearForm(lambda u, v, w: factor * u * v)
        return form.assemble(skfem.Basis(self.mesh, skfem.ElementTetP1(), intorder=2))

    def joule(self, coefficient: Array, u: Array) -> Array:
        potential = self.basis.interpolate(u)
        return np.asarray(self.heat_form.assemble(
            self.basis, coefficient=self._per_cell(coefficient), potential=potential
        ))  # fmt: skip


class SfePy(WithScipy):
    """Terms evaluated into a matrix whose graph is made once; a coefficient is a material's quadrature-point value."""

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        import sfepy
        from sfepy.base.base import output
        from sfepy.discrete import FieldVariable, Integral, Material
        from sfepy.discrete.fem import FEDomain, Field, Mesh

        output.set_output(quiet=True)
        self.version = sfepy.__version__
        points, cells = self.points, self.cells
        groups = np.zeros(len(points), np.int32)
        mesh = Mesh.from_data("mesh", points, groups, [cells.astype(np.int32)], [np.zeros(len(cells), np.int32)],
                              ["3_4"])  # fmt: skip
        self.omega = FEDomain("domain", mesh).create_region("Omega", "all")
        self.field = field = Field.from_args("temperature", np.float64, "scalar", self.omega, approx_order=1)
        self.u = FieldVariable("u", "unknown", field)
        self.v = FieldVariable("v", "test", field, primary_var_name="u")
        self.values = np.ones(len(cells))
        self.material = Material("m", function=lambda ts, coors, mode=None, **_: (
            {"val": np.repeat(self.values, len(coors) // len(self.values))[:, None, None]} if mode == "qp" else None
        ))  # fmt: skip
        self.order0, self.order2 = Integral("i", order=0), Integral("j", order=2)
        self.laplace = self._equations("dw_laplace(m.val, v, u)", self.order0)
        self.matrix = self.laplace.create_matrix_graph()
        self.load: Any = None

    def _equations(self, text: str, integral: Any) -> Any:
        from sfepy.discrete import Equation, Equations
        from sfepy.terms import Term

        term = Term.new(text, integral, self.omega, m=self.material, v=self.v, u=self.u)
        equations = Equations([Equation("balance", term)])
        equations.time_update(None)
        equations.time_update_materials(None)
        equations.init_state()
        return equations

    def _matrix(self, equations: Any, coefficient: Array, matrix: Any) -> Any:
        self.values = coefficient
        matrix.data[:] = 0.0
        equations.time_update_materials(None)
        equations.evaluate(mode="weak", dw_mode="matrix", asm_obj=matrix)
        return matrix

    def stiffness(self, coefficient: Array) -> Any:
        return self._matrix(self.laplace, coefficient, self.matrix)

    def mass(self, factor: float) -> Any:
        matrix = self.matrix.copy()
        return self._matrix(
            self._equations("dw_dot(m.val, v, u)", self.order2), np.full(len(self.cells), factor), matrix
        )

    def joule(self, coefficient: Array, u: Array) -> Array:
        from sfepy.discrete import FieldVariable
        from sfepy.terms import Term

        if self.load is None:
            self.given = FieldVariable("p", "parameter", self.field, primary_var_name="(set-to-None)")
            self.gradient = Term.new("ev_grad(p)", self.order0, self.omega, p=self.given)
            self.gradient.setup()
            self.load = self._equations("dw_volume_lvf(m.val, v)", self.order0)
        self.given.set_data(u)
        gradient = self.gradient.evaluate(mode="el_avg")[:, 0, :, 0]
        self.values = coefficient * np.einsum("cd,cd->c", gradient, gradient)
        self.load.time_update_materials(None)
        return np.asarray(self.load.evaluate(mode="weak", dw_mode="vector", asm_obj=np.zeros(len(u))))


# ---------------------------------------------------------------------------------------------------- NGSolve, dolfinx


class NGSolve:
    """Forms with coefficient functions; its own sparse matrices, conjugate gradients and preconditioners."""

    uses = "its CG with its local (Jacobi) preconditioner"

    def __init__(self, given: Given) -> None:
        import netgen.meshing as netgen
        import ngsolve

        ngsolve.SetNumThreads(1)
        self.ng, self.version = ngsolve, ngsolve.__version__
        mesh = netgen.Mesh(dim=3)
        mesh.AddPoints(np.ascontiguousarray(given["points"]))
        for k, name in enumerate(("contact", "insulation", "outer"), 1):
            facets = given[f"{name}_facets"]
            mesh.Add(netgen.FaceDescriptor(surfnr=k, domin=1, domout=0, bc=k))
            mesh.SetBCName(k - 1, name)
            mesh.AddElements(dim=2, index=k, data=np.ascontiguousarray(facets.astype(np.int32)), base=0)
        mesh.AddElements(dim=3, index=1, data=np.ascontiguousarray(given["cells"].astype(np.int32)), base=0)
        self.mesh = ngsolve.Mesh(mesh)
        self.space = ngsolve.H1(self.mesh, order=1, dirichlet="contact|outer")
        self.heat_space = ngsolve.H1(self.mesh, order=1, dirichlet="outer")
        self.k = ngsolve.GridFunction(ngsolve.L2(self.mesh, order=0))
        self.rise = ngsolve.GridFunction(self.space)
        self.phi = ngsolve.GridFunction(self.space)
        self.forms: dict[str, Any] = {}

    def _laplace(self, key: str, coefficient: Any) -> Any:
        """The form, made once; its matrix is filled anew."""
        ng = self.ng
        if key not in self.forms:
            u, v = self.space.TnT()
            form = ng.BilinearForm(self.space)
            form += coefficient * ng.grad(u) * ng.grad(v) * ng.dx
            self.forms[key] = form, ng.Preconditioner(form, "local") if key != "assembly" else None
        form, pre = self.forms[key]
        form.Assemble()
        return form.mat, pre

    def stiffness(self, coefficient: Any) -> Any:
        if isinstance(coefficient, np.ndarray):
            self.k.vec.FV().NumPy()[:] = coefficient
            return self._laplace("cells" if self.solving else "assembly", self.k)
        return self._laplace("law", coefficient)

    solving = False
    """whether matrices are to be solved with: a preconditioner then belongs to them"""

    def times(self, matrix: Any, x: Array) -> Array:
        mat, _ = matrix
        a, b = mat.CreateColVector(), mat.CreateColVector()
        a.FV().NumPy()[:] = x
        b.data = mat * a
        return np.array(b.FV().NumPy())

    def potential(self, matrix: Any, u: Array, tolerance: float) -> int:
        mat, pre = matrix
        vector = self.phi.vec
        # its tolerance is relative to the first residual; ours to that of nothing but the held values
        norms = []
        right, error = vector.CreateVector(), vector.CreateVector()
        for free in (np.where(np.array(self.space.FreeDofs()), 0.0, u), u):
            vector.FV().NumPy()[:] = free
            right.data = -mat * vector
            error.data = pre.mat * right
            norms.append(float(np.sqrt(self.ng.InnerProduct(error, right))))
        tolerance *= norms[0] / norms[1]
        if tolerance >= 1.0:
            return 0
        solver = self.ng.krylovspace.CGSolver(mat=mat, pre=pre.mat, tol=tolerance, maxiter=2000)
        vector.data += solver * right
        u[:] = vector.FV().NumPy()
        return int(solver.iterations)

    def conductivity(self, rise: Array, slope: float) -> Any:
        self.rise.vec.FV().NumPy()[:] = rise
        if "conductivity" not in self.forms:
            self.forms["conductivity"] = 1.0 + slope * self.rise
        return self.forms["conductivity"]

    def mass(self, factor: float) -> Any:
        u, v = self.heat_space.TnT()
        form = self.ng.BilinearForm(self.heat_space)
        form += factor * u * v * self.ng.dx
        form.Assemble()
        self.forms[f"mass {factor}"] = form, None  # its matrix lives no longer than it does
        return form.mat, None

    def joule(self, coefficient: Any, u: Array) -> Array:
        ng = self.ng
        self.phi.vec.FV().NumPy()[:] = u
        if "joule" not in self.forms:
            v = self.space.TestFunction()
            form = ng.LinearForm(self.space)
            form += coefficient * ng.grad(self.phi) * ng.grad(self.phi) * v * ng.dx
            self.forms["joule"] = form
        form = self.forms["joule"]
        form.Assemble()
        return np.array(form.vec.FV().NumPy())

    def combined(self, mass: Any, stiffness: Any, factor: float) -> Any:
        mat = mass[0].CreateMatrix()
        mat.AsVector().data = mass[0].AsVector() + float(factor) * stiffness[0].AsVector()
        return mat, mat.CreateSmoother(self.heat_space.FreeDofs())

    def correction(self, matrix: Any, residual: Array, tolerance: float) -> Array:
        mat, pre = matrix
        right, out = mat.CreateColVector(), mat.CreateColVector()
        right.FV().NumPy()[:] = residual
        solver = self.ng.krylovspace.CGSolver(mat=mat, pre=pre, tol=tolerance, maxiter=2000)
        out.data = solver * right
        return np.array(out.FV().NumPy())


class Dolfinx:
    """Compiled forms, PETSc matrices; assembly only."""

    uses = "compiled forms, PETSc"

    def __init__(self, given: Given) -> None:
        import dolfinx
        import ufl
        from dolfinx.fem.petsc import create_matrix
        from mpi4py import MPI

        self.version = dolfinx.__version__
        element = ufl.Mesh(ufl.VectorElement("Lagrange", ufl.tetrahedron, 1))
        mesh = dolfinx.mesh.create_mesh(MPI.COMM_SELF, given["cells"].astype(np.int64), given["points"], element)
        space = dolfinx.fem.FunctionSpace(mesh, ("Lagrange", 1))
        self.k = dolfinx.fem.Function(dolfinx.fem.FunctionSpace(mesh, ("DG", 0)))
        u, v = ufl.TrialFunction(space), ufl.TestFunction(space)
        self.form = dolfinx.fem.form(self.k * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)
        self.matrix = create_matrix(self.form)
        # its numbering of cells and nodes against the mesh's own
        self.cell_of = np.asarray(mesh.topology.original_cell_index)
        self.dofs = np.empty(len(given["points"]), np.int64)
        geometry = mesh.geometry.dofmap.array.reshape(-1, 4)
        nodal = space.dofmap.list.array.reshape(-1, 4)
        self.dofs[np.asarray(mesh.geometry.input_global_indices)[geometry.ravel()]] = nodal.ravel()

    def stiffness(self, coefficient: Array) -> Any:
        from dolfinx.fem.petsc import assemble_matrix

        self.k.x.array[:] = coefficient[self.cell_of]
        self.matrix.zeroEntries()
        assemble_matrix(self.matrix, self.form)
        self.matrix.assemble()
        return self.matrix

    def times(self, matrix: Any, x: Array) -> Array:
        a, b = matrix.createVecs()
        a.array[self.dofs] = x
        matrix.mult(a, b)
        return np.asarray(b.array[self.dofs])


MODULES = {"scikit-fem": "skfem"}
LIBRARIES: dict[str, Any] = {"scikit-fem": ScikitFem, "sfepy": SfePy, "ngsolve": NGSolve, "dolfinx": Dolfinx}


# ---------------------------------------------------------------------------------------------------------------- tasks


def timed(function: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    """Clock and CPU seconds of each repeat."""
    clock, cpu = [], []
    for _ in range(repeats):
        t, c = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    return clock, cpu


def assembly(library: Any, given: Given, repeats: int) -> dict[str, Any]:
    """A reassembly with a new coefficient, and the product with ``x``."""
    made = [library.stiffness(given["coefficient"])]
    answer = library.times(made[0], given["x"])

    def call() -> None:
        made[0] = library.stiffness(given["coefficient"])

    clock, cpu = timed(call, repeats)
    return {"answer": answer, "clock": clock, "cpu": cpu}


def solve(library: Any, given: Given, repeats: int) -> dict[str, Any]:
    """A unit potential, preconditioner included, from zero to the residual; its own tolerance is tightened until so."""
    library.solving = True
    goal, coefficient = float(given["tolerance"]), given["coefficient"]
    free = np.ones(len(given["points"]), bool)
    free[given["contact"]] = free[given["outer"]] = False
    start = np.zeros(len(free))
    start[given["contact"]] = 1.0
    matrix = library.stiffness(coefficient)
    size = np.linalg.norm(library.times(matrix, start)[free])
    tolerance, residual, u, iterations = goal, np.inf, start, 0
    while residual > goal and tolerance > 1e-15:
        u = start.copy()
        iterations = library.potential(matrix, u, tolerance)
        residual = float(np.linalg.norm(library.times(matrix, u)[free]) / size)
        if residual > goal:
            tolerance *= TIGHTEN

    def call() -> None:
        library.potential(matrix, start.copy(), tolerance)

    clock, cpu = timed(call, repeats)
    if isinstance(library, NGSolve):  # its preconditioner is made with the matrix: what that adds
        _, with_matrix = timed(lambda: library.stiffness(coefficient), repeats)
        library.solving = False
        library.stiffness(coefficient)
        _, without = timed(lambda: library.stiffness(coefficient), repeats)
        cpu = [value + max(np.median(with_matrix) - np.median(without), 0.0) for value in cpu]
    return {"answer": u, "clock": clock, "cpu": cpu, "iterations": iterations, "residual": residual}


def run(library: Any, given: Given, repeats: int) -> dict[str, Any]:
    """Potential and heat at the given steps: TR-BDF2, conductivity at the extrapolated end temperature."""
    library.solving = True
    number = {key: float(given[key]) for key in (
        "voltage", "conductivity", "slope", "thermal_conductivity", "storage", "perfusion", "potential_tolerance",
        "heat_tolerance",
    )}  # fmt: skip
    n, steps = len(given["points"]), given["steps"]
    n_cells = len(given["cells"])
    t, c = time.perf_counter(), time.process_time()
    mass = library.mass(number["storage"])
    reaction = library.mass(number["perfusion"])
    library.solving = False
    conduction = library.stiffness(np.full(n_cells, number["thermal_conductivity"]))
    conduction = conduction.copy() if hasattr(conduction, "copy") else conduction
    library.solving = True
    dissipative = _sum(library, conduction, reaction)
    u = np.zeros(n)
    u[given["contact"]] = 1.0
    free = np.ones(n, bool)
    free[given["outer"]] = False
    T, before, h_before = np.zeros(n), np.zeros(n), 0.0
    scale = number["conductivity"] * number["voltage"] ** 2
    q0 = None
    iterations, admittance, combined = 0, 0.0, None
    for h in steps:
        guess = T + (T - before) * (h / h_before) if h_before else T.copy()
        if q0 is None:
            q0, _, iterations = _heat(library, T, u, number, iterations, scale)
        q1, admittance, iterations = _heat(library, guess, u, number, iterations, scale)
        dh = h * GAMMA / 2.0
        combined = library.combined(mass, dissipative, dh)
        middle = (1 - GAMMA) * q0 + GAMMA * q1
        f0 = q0 - library.times(dissipative, T)
        mT = library.times(mass, T)

        def stage(first: Array, goal: Array, dh: float = dh, combined: Any = combined) -> Array:
            residual = goal - library.times(mass, first) - dh * library.times(dissipative, first)
            residual[~free] = 0.0
            return np.asarray(first + library.correction(combined, residual, number["heat_tolerance"]))

        T1 = stage((1 - GAMMA) * T + GAMMA * guess, mT + dh * (f0 + middle))
        f1 = middle - library.times(dissipative, T1)
        T2 = stage(guess + (T1 - ((1 - GAMMA) * T + GAMMA * guess)) / GAMMA, mT + h * WEIGHT * (f0 + f1) + dh * q1)
        before, T, h_before, q0 = T, T2, h, q1
    return {
        "answer": T, "clock": [time.perf_counter() - t], "cpu": [time.process_time() - c], "iterations": iterations,
        "impedance": 1.0 / (number["conductivity"] * admittance), "potential": u,
    }  # fmt: skip


def _sum(library: Any, a: Any, b: Any) -> Any:
    """Two matrices of one pattern, added."""
    if isinstance(library, NGSolve):
        mat = a[0].CreateMatrix()
        mat.AsVector().data = a[0].AsVector() + b[0].AsVector()
        return mat, None
    return a + b


def _heat(library: Any, T: Array, u: Array, number: dict[str, float], iterations: int, scale: float
          ) -> tuple[Array, float, int]:  # fmt: skip
    """Joule heat at nodal rises ``T``, the admittance over the conductivity, and the iterations so far."""
    law = library.conductivity(T, number["slope"])
    matrix = library.stiffness(law)
    iterations += library.potential(matrix, u, number["potential_tolerance"])
    admittance = float(u @ library.times(matrix, u))
    return scale * library.joule(law, u), admittance, iterations


TASKS: dict[str, Callable[[Any, Given, int], dict[str, Any]]] = {"assembly": assembly, "solve": solve, "run": run}


def main(name: str, task: str, given: str, out: str, repeats: int) -> None:
    """Do a task and write what came out. A run's time begins before the library sees the mesh; importing it does not
    count."""
    data = dict(np.load(given))
    importlib.import_module(MODULES.get(name, name))
    started, spent = time.perf_counter(), time.process_time()
    library = LIBRARIES[name](data)
    clock, cpu = time.perf_counter() - started, time.process_time() - spent
    found = TASKS[task](library, data, repeats)
    if task == "run":
        found |= {"clock": [found["clock"][0] + clock], "cpu": [found["cpu"][0] + cpu]}
    np.savez(out, **{**found, "version": str(library.version), "uses": library.uses})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
