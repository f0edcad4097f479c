"""How the ports of a tissue hang on a generator: source, return, floating; and whether an admittance matrix can be one.

Small algebra on the admittance matrix ``Y`` [S] of N ports, ``I = Y V`` with V against the ground. Knows no field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.errors import RunError
from rfasim.generator import Connection

Array = NDArray[np.complex128]

# How far a computed matrix may be from symmetric and from passive, as a share of its largest entry: the linear
# solver's tolerance enters currents linearly.
RECIPROCITY_TOLERANCE = 1e-3
PASSIVITY_TOLERANCE = 1e-6


def port_voltages(Y: Array, source: Sequence[int], returns: Sequence[int], *, to_ground: bool, grounded: bool
                  ) -> tuple[Array, complex]:  # fmt: skip
    """Voltage of each port (N,) for 1 V from the source to the return, and the admittance [S] that the source sees.

    Ports of ``source`` are joined, so are those of ``returns``; every other port floats: metal of one potential that
    takes no net current. ``to_ground``: the ground takes part in the return. If it does not, no net current leaves the
    ports (``sum(I) = 0``), which sets how high they lie above the ground; without a ground at all (``grounded`` false)
    that height means nothing and the return is put to 0 V.
    """
    n = len(Y)
    rows: list[list[int]] = [list(source), list(returns)]
    taken = {*source, *returns}
    rows += [[port] for port in range(n) if port not in taken]
    M = np.zeros((n, len(rows)))  # ports <- terminals
    for terminal, ports in enumerate(rows):
        M[ports, terminal] = 1.0
    reduced = M.T @ Y @ M
    equations = reduced.copy()
    known = np.zeros(len(rows), complex)
    equations[0] = 0.0
    equations[0, :2] = 1.0, -1.0
    known[0] = 1.0
    if to_ground or not grounded:
        equations[1] = 0.0
        equations[1, 1] = 1.0
    else:
        equations[1] = reduced[0] + reduced[1]
    scale = np.abs(equations).max(axis=1)
    terminals = np.linalg.solve(equations / scale[:, None], known / scale)
    return np.asarray(M @ terminals), complex(reduced[0] @ terminals)


def check_admittance(Y: Array, currents: Array, time: float) -> None:
    """Refuse a matrix that no tissue can have.

    ``currents`` (N, N): current into port p with port q at 1 V, read off the field at the nodes of p; unlike ``Y``
    itself it is not symmetric by the way it is computed. Reciprocity: ``I_pq = I_qp``; passivity: the eigenvalues of
    ``Re Y`` are not negative. Raises RunError.
    """
    size = float(np.abs(Y).max())
    skew = float(np.abs(currents - currents.T).max())
    if not skew <= RECIPROCITY_TOLERANCE * size:
        raise RunError(
            f"the potential at {time:.2f} s is not reciprocal: the current between two contacts differs by "
            f"{skew / size:.1e} of the largest admittance; lower solver.potential_tolerance"
        )
    lowest = float(np.linalg.eigvalsh(0.5 * (Y.real + Y.real.T)).min())
    if not lowest >= -PASSIVITY_TOLERANCE * size:
        raise RunError(
            f"the potential at {time:.2f} s is not passive: Re Y has the eigenvalue {lowest:.1e} S; "
            "lower solver.potential_tolerance"
        )


def joined_terminals(connections: Sequence[Connection], terminals: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Terminals that play the same part in every connection, and never float, are one port: one solve for all."""
    ports: dict[tuple[Any, ...], list[str]] = {}
    for name in terminals:
        parts = tuple(
            "source" if name in c.source else "return" if name in c.returns else "float" for c in connections
        )
        ports.setdefault((name, *parts) if "float" in parts else parts, []).append(name)
    return tuple(tuple(names) for names in ports.values())
