"""Systems whose matrix is not symmetric, on a part of the nodes: what a flow carries along the edges of the mesh.

Of an edge from ``i`` to ``j`` (``i < j``) row ``i`` holds ``-down`` in column ``j`` and row ``j`` holds ``-up`` in
column ``i``. The preconditioner is the diagonal-based incomplete factor of :mod:`rfasim.solver.linear`, with a factor
for either triangle; the iteration is BiCGStab (van der Vorst, SIAM J. Sci. Stat. Comput. 13, 1992), in
Eisenstat's variables, so that an application of matrix and preconditioner together costs the two triangular sweeps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rfasim.jit import kernel
from rfasim.solver.linear import NotConverged, gather, sweep
from rfasim.solver.space import Array, Space


@kernel
def factor(down: Any, up: Any, lower: Any, upper: Any, diagonal: Any, scale: Any, middle: Any) -> None:
    """Scale ``down`` and ``up`` in place to the unit incomplete factor; ``scale = D^-1/2``, ``middle = diag(A)/D - 2``.
    """
    n = np.uint64(diagonal.shape[0])
    pivot = diagonal.copy()
    for k in range(np.uint64(down.shape[0])):
        i = lower[k]
        if pivot[i] < 0.05 * diagonal[i]:
            pivot[i] = diagonal[i]
        pivot[upper[k]] -= down[k] * up[k] / pivot[i]
    for i in range(n):
        if pivot[i] < 0.05 * diagonal[i]:
            pivot[i] = diagonal[i]
        scale[i] = 1.0 / np.sqrt(pivot[i])
        middle[i] = diagonal[i] / pivot[i] - 2.0
    for k in range(np.uint64(down.shape[0])):
        s = scale[lower[k]] * scale[upper[k]]
        down[k] *= s
        up[k] *= s


@kernel
def apply(p: Any, down_back: Any, lower_back: Any, upper_back: Any, up: Any, lower: Any, upper: Any, middle: Any,
          t: Any, out: Any) -> None:  # fmt: skip
    """``out = (I + L)^-1 A (I + U)^-1 p`` of the unit-factored matrix; ``t`` gets ``(I + U)^-1 p``."""
    n = np.uint64(p.shape[0])
    for i in range(n):
        t[i] = p[i]
    sweep(down_back, upper_back, lower_back, t)
    for i in range(n):
        out[i] = p[i] + middle[i] * t[i]
    sweep(up, lower, upper, out)
    for i in range(n):
        out[i] += t[i]


@kernel
def bicgstab(down: Any, up: Any, lower: Any, upper: Any, down_back: Any, lower_back: Any, upper_back: Any, scale: Any,
             middle: Any, b: Any, x: Any, tolerance: float, max_iterations: int
             ) -> tuple[int, float, float]:  # fmt: skip
    """Solve in the variables of the unit factor; ``x`` holds the first guess and gets the solution.

    Stops when the preconditioned residual's norm is below ``tolerance`` times that of ``b``. Returns iterations,
    residual and that norm of ``b``.
    """
    n = np.uint64(b.shape[0])
    r = np.empty_like(b)
    t = np.empty_like(b)
    reference = 0.0
    for i in range(n):
        t[i] = scale[i] * b[i]
    sweep(up, lower, upper, t)
    for i in range(n):
        reference += t[i] * t[i]
    # r = (I + L)^-1 (S b - S A x), S A x = (I + L) t + (I + U) t + middle t with t = S^-1 x
    for i in range(n):
        t[i] = x[i] / scale[i]
        r[i] = scale[i] * b[i] - t[i] - middle[i] * t[i]
    for k in range(np.uint64(down.shape[0])):
        r[lower[k]] += down[k] * t[upper[k]]
    sweep(up, lower, upper, r)
    size = 0.0
    for i in range(n):
        r[i] -= t[i]
        size += r[i] * r[i]
    goal = tolerance * tolerance * reference
    shadow, p, v = r.copy(), np.zeros_like(b), np.zeros_like(b)
    tp, ts, w = np.empty_like(b), np.empty_like(b), np.empty_like(b)
    rho, alpha, omega = 1.0, 1.0, 1.0
    iterations = 0
    while size > goal and iterations < max_iterations:
        iterations += 1
        before = rho
        rho = 0.0
        for i in range(n):
            rho += shadow[i] * r[i]
        if abs(rho) < 1e-30 * size or omega == 0.0:
            # the shadow has become useless: start again from here
            rho = size
            before, alpha, omega = 1.0, 1.0, 1.0
            for i in range(n):
                shadow[i] = r[i]
                p[i] = 0.0
                v[i] = 0.0
        beta = rho / before * alpha / omega
        for i in range(n):
            p[i] = r[i] + beta * (p[i] - omega * v[i])
        apply(p, down_back, lower_back, upper_back, up, lower, upper, middle, tp, v)
        along = 0.0
        for i in range(n):
            along += shadow[i] * v[i]
        alpha = rho / along
        size = 0.0
        for i in range(n):
            r[i] -= alpha * v[i]
            size += r[i] * r[i]
        if size <= goal:
            for i in range(n):
                x[i] += scale[i] * (alpha * tp[i])
            break
        apply(r, down_back, lower_back, upper_back, up, lower, upper, middle, ts, w)
        ww, wr = 0.0, 0.0
        for i in range(n):
            ww += w[i] * w[i]
            wr += w[i] * r[i]
        omega = wr / ww if ww > 0.0 else 0.0
        size = 0.0
        for i in range(n):
            x[i] += scale[i] * (alpha * tp[i] + omega * ts[i])
            r[i] -= omega * w[i]
            size += r[i] * r[i]
    return iterations, np.sqrt(size), np.sqrt(reference)


class AsymmetricSystem:
    """The part of such a matrix on the free nodes of a space; ``held`` (n_nodes,) marks the others."""

    def __init__(self, space: Space, held: Array) -> None:
        self.space = space
        self.free = np.flatnonzero(~held)
        self.n = len(self.free)
        number = np.full(space.n_nodes, -1, np.int64)
        number[self.free] = np.arange(self.n)
        inner = ~held[space.lower] & ~held[space.upper]
        self.inner = np.flatnonzero(inner).astype(np.uint32)
        self.lower = number[space.lower[inner]].astype(np.uint32)
        self.upper = number[space.upper[inner]].astype(np.uint32)
        # the same edges for the sweep back: from the last node to the first, by the higher end
        self.back = np.lexsort((self.lower, self.upper))[::-1].astype(np.uint32)
        self.lower_back, self.upper_back = self.lower[self.back], self.upper[self.back]
        self.iterations = 0

    def set_matrix(self, down: Array, up: Array, diagonal: Array) -> None:
        """Take the couplings ``down``, ``up`` (edges) and the ``diagonal`` (n_nodes,), and factor them.

        Couplings to held nodes are left out: what is solved for is a change, which they do not have.
        """
        a, b = np.empty(len(self.inner)), np.empty(len(self.inner))
        gather(down, self.inner, a)
        gather(up, self.inner, b)
        self.diagonal = np.ascontiguousarray(diagonal[self.free])
        self.scale, self.middle = np.empty(self.n), np.empty(self.n)
        factor(a, b, self.lower, self.upper, self.diagonal, self.scale, self.middle)
        self.down, self.up = a, b
        self.down_back = np.empty_like(a)
        gather(a, self.back, self.down_back)

    def solve(self, source: Array, u: Array, tolerance: float, *, max_iterations: int = 500) -> int:
        """Solve ``A u = source`` on the free nodes; ``u`` (n_nodes,) holds the first guess and gets the solution.
        Returns the iterations; raises NotConverged."""
        x = np.ascontiguousarray(u[self.free])
        iterations, residual, reference = bicgstab(
            self.down, self.up, self.lower, self.upper, self.down_back, self.lower_back, self.upper_back, self.scale,
            self.middle, np.ascontiguousarray(source[self.free]), x, tolerance, max_iterations,
        )  # fmt: skip
        self.iterations += iterations
        if not np.isfinite(residual) or (iterations == max_iterations and residual > 10 * tolerance * reference):
            raise NotConverged(f"BiCGStab: residual {residual:.2g} after {iterations} iterations")
        u[self.free] = x
        return int(iterations)
