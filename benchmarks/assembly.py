"""Stiffness assembly against the clock, the memory bandwidth and other libraries, on one thread.

    python benchmarks/assembly.py                                    # graded and uniform mesh, about 1.2 M cells
    python benchmarks/assembly.py --peer sfepy=/path/to/its/python   # and peers, each in its own Python

Each peer assembles the same matrix, and its product with a random vector is compared before its time is shown. CPU
time is what counts on a machine that others use too; compiling and the first call are left out everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import common
import numpy as np

from rfasim.bench.clock import bandwidth, machine, measure
from rfasim.bench.micro import bytes_moved, csr_assembly, graded_mesh
from rfasim.bench.peers import peer_task
from rfasim.bench.tables import markdown
from rfasim.geometry import Box
from rfasim.mesh import Mesh
from rfasim.meshing import build_mesh
from rfasim.solver.space import Array, Space

GOAL_MS, GOAL_SHARE = 10.0, 0.55
GOAL_FASTER = {"sfepy": 15.0, "dolfinx": 25.0}


def uniform_mesh(edge: float = 1.3e-3) -> Mesh:
    """A box; with the default about 1.3 M cells of one size."""
    return build_mesh(Box((0.0, 0.0, 0.0), (0.06, 0.06, 0.06)), [], max_size=edge)


def own_row(name: str, mesh: Mesh, coefficient: Array, x: Array, repeats: int, gb_per_s: float
            ) -> tuple[dict[str, Any], Array]:  # fmt: skip
    """Our figures and the product that peers are compared with."""
    space = Space(mesh.points, mesh.cells)
    matrix, full = csr_assembly(space, coefficient)
    g = np.empty(space.n_edges)
    edges = measure(lambda: space.assemble(coefficient, out=g), repeats)
    whole = measure(full, repeats)
    one, two = space.assemble(coefficient, threads=1), space.assemble(coefficient, threads=2)
    million = space.n_cells / 1e6
    moved = bytes_moved(space, matrix.nnz)
    row = {
        "mesh": name, "code": "rfasim", "nodes": space.n_nodes, "cells": space.n_cells,
        "edges_ms": 1e3 * edges.cpu / million, "full_ms": 1e3 * whole.cpu / million,
        "full_clock_ms": 1e3 * whole.clock / million, "bytes_per_cell": moved["full_csr"],
        "bandwidth_gb_s": gb_per_s, "limit_ms": moved["full_csr"] / gb_per_s,
        "share_of_bandwidth": moved["full_csr"] * 1e-9 * space.n_cells / whole.cpu / gb_per_s,
        "edges_share": moved["edges"] * 1e-9 * space.n_cells / edges.cpu / gb_per_s,
        "threads_agree": bool(np.array_equal(one, two)),
        "goals_met": bool(1e3 * whole.cpu / million <= GOAL_MS and
                          moved["full_csr"] * 1e-9 * space.n_cells / whole.cpu >= GOAL_SHARE * gb_per_s),
    }  # fmt: skip
    return row, np.asarray(matrix @ x)


def peer_row(peer: str, python: str, mesh: Mesh, coefficient: Array, x: Array, repeats: int, ours: Array
             ) -> dict[str, Any]:  # fmt: skip
    """A peer's figures on the same mesh; ``error`` is its largest deviation from our product."""
    facets = dict.fromkeys(("contact_facets", "insulation_facets"), np.zeros((0, 3), int))
    given = {
        "points": mesh.points, "cells": mesh.cells, "coefficient": coefficient, "x": x, **facets,
        "outer_facets": mesh.facets["outer"], "contact": np.zeros(0, int), "outer": np.unique(mesh.facets["outer"]),
    }  # fmt: skip
    found = peer_task(peer, python, "assembly", given, repeats)
    if "failed" in found:
        return {"code": peer, **found}
    million = mesh.n_cells / 1e6
    return {
        "code": f"{peer} {found['version']}", "full_ms": 1e3 * found["cpu_s"] / million,
        "full_clock_ms": 1e3 * found["clock_s"] / million,
        "error": float(np.abs(found["answer"] - ours).max() / np.abs(ours).max()),
    }  # fmt: skip


def bench(name: str, mesh: Mesh, peers: dict[str, str], repeats: int, out: Path | None = None) -> list[dict[str, Any]]:
    """All rows of one mesh, written as they come."""
    random = np.random.default_rng(20)
    coefficient = random.uniform(0.5, 2.0, mesh.n_cells)
    x = random.normal(size=mesh.n_nodes)
    row, ours = own_row(name, mesh, coefficient, x, repeats, bandwidth())
    common.emit(row, out)
    rows = [row]
    for peer, python in peers.items():
        theirs = {"mesh": name, **peer_row(peer, python, mesh, coefficient, x, max(3, repeats // 3), ours)}
        if "full_ms" in theirs:
            theirs["times_ours"] = theirs["full_ms"] / row["full_ms"]
            if theirs["error"] > 1e-9:
                theirs["failed"] = "the product differs; no time counts"
            elif peer in GOAL_FASTER:
                theirs["goals_met"] = theirs["times_ours"] >= GOAL_FASTER[peer]
        common.emit(theirs, out)
        rows.append(theirs)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="scikit-fem, sfepy, ngsolve, dolfinx"
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, help="append the rows to this file")
    options = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in options.peer)
    common.emit({"benchmark": "assembly", **machine()}, options.out)
    rows = bench("graded", graded_mesh(), peers, options.repeats, options.out)
    rows += bench("uniform", uniform_mesh(), peers, options.repeats, options.out)
    print(markdown(rows, {
        "mesh": "", "code": "", "edges_ms": ".1f", "full_ms": ".1f", "limit_ms": ".1f", "share_of_bandwidth": ".0%",
        "times_ours": ".0f", "error": ".1e", "threads_agree": "", "goals_met": "", "failed": "",
    }))  # fmt: skip


if __name__ == "__main__":
    main()
