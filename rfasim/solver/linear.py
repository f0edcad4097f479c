"""Symmetric systems on a part of the nodes, solved by conjugate gradients with an incomplete factor.

The matrix is ``A = diag(extra) + Laplacian(conductance)``; some nodes are held at given values. The preconditioner is
the diagonal-based incomplete factor ``M = (D + L) D^-1 (D + L^T)``: ``L`` is the matrix' own triangle and only ``D`` is
computed, in one sweep. It is modified and relaxed (Gustafsson, BIT 18, 1978; Axelsson and Lindskog, Numer. Math. 48,
1986): a share ``KEPT`` of the entries that it drops is kept on the diagonal, so that ``M`` and ``A`` do nearly the
same to smooth fields. That pays when nodes come one front after another (``Mesh.ordered``).
With Eisenstat's implementation (SIAM J. Sci. Stat. Comput. 2, 1981) an iteration then costs the two triangular sweeps
and no matrix product.

The sweeps run over a flat list of edges, sorted by the node they start from, not over rows: rows of a tetrahedral mesh
have seven edges on average, and the end of so short an inner loop is mispredicted nearly every time. On a needle mesh
with 343 000 edges a flat sweep takes 0.33 ms, one by rows 0.56 to 0.63 ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.jit import kernel
from rfasim.solver.space import Array, Space

KEPT = 0.97
"""share of the dropped entries that the factor keeps, on its diagonal"""


class NotConverged(ArithmeticError):
    """Conjugate gradients stopped short of the tolerance."""


@kernel
def gather(values: Any, index: Any, out: Any) -> None:
    """``out = values[index]``."""
    for k in range(np.uint64(index.shape[0])):
        out[k] = values[index[k]]


@kernel
def diagonal_of(conductance: Any, lower: Any, upper: Any, diagonal: Any) -> None:
    """Add the row sums of the edges to ``diagonal``."""
    for k in range(np.uint64(conductance.shape[0])):
        g = conductance[k]
        diagonal[lower[k]] += g
        diagonal[upper[k]] += g


@kernel
def factor(g: Any, lower: Any, upper: Any, diagonal: Any, scale: Any, middle: Any) -> None:
    """Scale ``g`` in place to the unit incomplete factor; ``scale = D^-1/2``, ``middle = diag(A)/D - 2``."""
    n = np.uint64(diagonal.shape[0])
    pivot = diagonal.copy()
    above = np.zeros_like(diagonal)
    for k in range(np.uint64(g.shape[0])):
        above[lower[k]] += g[k]
    for k in range(np.uint64(g.shape[0])):
        i = lower[k]
        p = pivot[i]
        # obtuse angles make negative conductances; a pivot that they push to zero would make the factor indefinite
        if p.real < 0.05 * diagonal[i].real:
            p = diagonal[i]
            pivot[i] = p
        pivot[upper[k]] -= g[k] * (g[k] + KEPT * (above[i] - g[k])) / p
    for i in range(n):
        if pivot[i].real < 0.05 * diagonal[i].real:
            pivot[i] = diagonal[i]
        scale[i] = 1.0 / np.sqrt(pivot[i])
        middle[i] = diagonal[i] / pivot[i] - 2.0
    for k in range(np.uint64(g.shape[0])):
        g[k] *= scale[lower[k]] * scale[upper[k]]


@kernel
def sweep(g: Any, start: Any, end: Any, y: Any) -> None:
    """``y <- (I + T)^-1 y`` for a strict triangle ``T = -g``: edges sorted so that ``y[start]`` is final when read."""
    for k in range(np.uint64(g.shape[0])):
        y[end[k]] += g[k] * y[start[k]]


@kernel
def conjugate_gradients(g: Any, lower: Any, upper: Any, g_back: Any, lower_back: Any, upper_back: Any, scale: Any,
                        middle: Any, b: Any, x: Any, tolerance: float, absolute: float, max_iterations: int
                        ) -> tuple[int, float, float]:  # fmt: skip
    """Solve in the variables of the unit factor; ``x`` holds the first guess and gets the solution.

    Stops when the preconditioned residual's norm is below ``tolerance`` times that of ``b`` or below ``absolute``.
    Complex systems use the unconjugated products (they are complex symmetric). Returns iterations, residual, start.
    """
    n = np.uint64(b.shape[0])
    r = np.empty_like(b)
    p = np.empty_like(b)
    t = np.empty_like(b)
    y = np.empty_like(b)
    # reference norm: (I + L)^-1 S b
    for i in range(n):
        t[i] = scale[i] * b[i]
    sweep(g, lower, upper, t)
    reference = 0.0
    for i in range(n):
        reference += t[i].real * t[i].real + t[i].imag * t[i].imag
    # r = (I + L)^-1 (S b - S A x) with S A x = (I + L) t + (I + L^T) t + middle t and t = S^-1 x
    for i in range(n):
        t[i] = x[i] / scale[i]
        r[i] = scale[i] * b[i] - t[i] - middle[i] * t[i]
    for k in range(np.uint64(g.shape[0])):
        r[lower[k]] += g[k] * t[upper[k]]
    sweep(g, lower, upper, r)
    rr = 0.0 * b[0]
    size = 0.0
    for i in range(n):
        ri = r[i] - t[i]
        r[i] = ri
        p[i] = ri
        rr += ri * ri
        size += ri.real * ri.real + ri.imag * ri.imag
    goal = max(tolerance * tolerance * reference, absolute * absolute)
    first = size
    iterations = 0
    while size > goal and iterations < max_iterations:
        iterations += 1
        for i in range(n):
            t[i] = p[i]
        sweep(g_back, upper_back, lower_back, t)  # t = (I + L^T)^-1 p
        for i in range(n):
            y[i] = p[i] + middle[i] * t[i]
        sweep(g, lower, upper, y)  # q = t + (I + L)^-1 (p + K t), kept in y
        curvature = 0.0 * b[0]
        for i in range(n):
            y[i] += t[i]
            curvature += p[i] * y[i]
        alpha = rr / curvature
        before = rr
        rr = 0.0 * b[0]
        size = 0.0
        for i in range(n):
            x[i] += alpha * (scale[i] * t[i])
            ri = r[i] - alpha * y[i]
            r[i] = ri
            rr += ri * ri
            size += ri.real * ri.real + ri.imag * ri.imag
        beta = rr / before
        for i in range(n):
            p[i] = r[i] + beta * p[i]
    return iterations, np.sqrt(size), np.sqrt(first)


class System:
    """The part of a matrix on the free nodes of a space.

    ``held`` (n_nodes,) marks nodes with given values, ``idle`` nodes that take no part (inside metal, say); ``carries``
    the edges that can conduct, where cells are not all that does.
    """

    def __init__(self, space: Space, held: Array, idle: Array | None = None, carries: Array | None = None) -> None:
        self.space = space
        self.held = held if idle is None else held | idle
        is_free = ~self.held
        self.free = np.flatnonzero(is_free)
        self.n = len(self.free)
        number = np.full(space.n_nodes, -1, np.int64)
        number[self.free] = np.arange(self.n)
        low_free, high_free = is_free[space.lower], is_free[space.upper]
        inner = low_free & high_free & (space.carries if carries is None else carries)
        self.inner = np.flatnonzero(inner).astype(np.uint32)
        self.lower = number[space.lower[inner]].astype(np.uint32)
        self.upper = number[space.upper[inner]].astype(np.uint32)
        # the same edges for the sweep back: from the last node to the first, by the higher end
        self.back = np.lexsort((self.lower, self.upper))[::-1].astype(np.uint32)
        self.lower_back, self.upper_back = self.lower[self.back], self.upper[self.back]
        # edges from a free to a held node bring the held value to the right-hand side
        a = np.flatnonzero(low_free & held[space.upper])
        b = np.flatnonzero(high_free & held[space.lower])
        self.rim = np.concatenate([a, b])
        self.rim_free = number[np.concatenate([space.lower[a], space.upper[b]])]
        self.rim_held = np.concatenate([space.upper[a], space.lower[b]])
        self.iterations = 0

    def set_matrix(self, conductance: Array, extra: Array | None = None) -> None:
        """Take the matrix of ``conductance`` (edges) plus ``extra`` (n_nodes,) on the diagonal, and factor it."""
        dtype = conductance.dtype
        g = np.empty(len(self.inner), dtype)
        gather(conductance, self.inner, g)
        diagonal: Array = np.zeros(self.n, dtype)
        if extra is not None:
            diagonal += extra[self.free]
        diagonal_of(g, self.lower, self.upper, diagonal)
        self.rim_conductance = conductance[self.rim]
        if len(self.rim):
            if np.iscomplexobj(diagonal):
                diagonal += np.bincount(self.rim_free, self.rim_conductance.real, self.n)
                diagonal += 1j * np.bincount(self.rim_free, self.rim_conductance.imag, self.n)
            else:
                diagonal += np.bincount(self.rim_free, self.rim_conductance, self.n)
        self.scale = np.empty(self.n, dtype)
        self.middle = np.empty(self.n, dtype)
        self.diagonal = diagonal
        factor(g, self.lower, self.upper, diagonal, self.scale, self.middle)
        self.g = g
        self.g_back = np.empty_like(g)
        gather(g, self.back, self.g_back)

    def solve(self, source: Array | None, u: Array, tolerance: float, *, absolute: float = 0.0,
              max_iterations: int = 2000) -> int:
        """Solve ``A u = source`` on the free nodes; ``u`` (n_nodes,) holds the held values and the first guess and
        gets the solution. Returns the iterations; raises NotConverged."""
        b: Array = np.zeros(self.n, self.g.dtype) if source is None else source[self.free].astype(self.g.dtype)
        if len(self.rim):
            inflow = self.rim_conductance * u[self.rim_held]
            b += np.bincount(self.rim_free, inflow.real, self.n)
            if np.iscomplexobj(b):
                b += 1j * np.bincount(self.rim_free, inflow.imag, self.n)
        x = u[self.free].astype(self.g.dtype)
        iterations, residual, start = conjugate_gradients(
            self.g, self.lower, self.upper, self.g_back, self.lower_back, self.upper_back, self.scale, self.middle,
            b, x, tolerance, absolute, max_iterations,
        )  # fmt: skip
        self.iterations += iterations
        if not np.isfinite(residual) or (iterations == max_iterations and residual > tolerance * start):
            raise NotConverged(f"conjugate gradients: residual {residual:.2g} after {iterations} iterations")
        u[self.free] = x
        return int(iterations)
