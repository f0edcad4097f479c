"""The mesher against the clock, and against drawn poses of devices and vessels.

    python benchmarks/mesher.py                 # needle at several sizes: cells, seconds, angles, error of
the surface python benchmarks/mesher.py --poses 300     # drawn devices next to and through vessels: worst
angles, failures

Times are warm, on one core; the first call in a process also loads the compiled kernels and is shown apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.geometry import Ball, Box, Capsule, Cylinder, Ellipsoid, HalfSpace, Needle, Shape, Tube, Union
from rfasim.mesh import Mesh
from rfasim.meshing import Patch, Surface, build_mesh

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """What ``build_mesh`` is given for one drawn seed."""

    kind: str
    domain: Box | Cylinder | Ball
    surfaces: tuple[Surface, ...]

    def build(self) -> Mesh:
        return build_mesh(self.domain, self.surfaces)


def _frame(random: np.random.Generator) -> Array:
    """A rotation, uniformly drawn; half of the time a turn about z by a multiple of 90 degrees and a tilt."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] *= -1
    if random.random() < 0.3:  # aligned with the lattice: the degenerate case
        return np.eye(3)[random.permutation(3)]
    return np.asarray(q)


def _needle(random: np.random.Generator, name: str, tip: Array, axis: Array, length: float) -> Surface:
    radius = random.uniform(0.5e-3, 1.25e-3)
    contact = random.uniform(10e-3, 40e-3)
    shape: Shape
    if random.random() < 0.7:
        shape = Capsule(tip + radius * axis, tip + length * axis, radius)
    else:
        shape = Needle(tip, axis, radius, length, random.uniform(2.0, 5.0) * radius)
    size = random.uniform(0.25, 0.5) * radius
    rim = random.uniform(0.2, 0.6) * size if random.random() < 0.7 else None
    rest = radius if random.random() < 0.6 else None
    patch = Patch("contact", HalfSpace(tip + contact * axis, axis), rim)
    return Surface(name, shape, size, patches=(patch,), rest_size=rest)


def _umbrella(random: np.random.Generator, name: str, tip: Array, turn: Array, length: float) -> Surface:
    """A shaft of 2 mm with curved tines of 0.5 mm that leave its end and bend outwards and back."""
    n_tines = int(random.integers(4, 11))
    bend = random.uniform(6e-3, 12e-3)
    sweep = random.uniform(0.6, 1.3) * np.pi
    angles = np.linspace(0.0, sweep, 18)
    shapes: list[Shape] = [Capsule(tip, tip + length * turn[:, 2], 1e-3)]
    for k in range(n_tines):
        phase = 2 * np.pi * k / n_tines + 0.1
        out = np.cos(phase) * turn[:, 0] + np.sin(phase) * turn[:, 1]
        start = tip + 0.4e-3 * out + 1e-3 * turn[:, 2]
        line = start + bend * ((1 - np.cos(angles))[:, None] * out - np.sin(angles)[:, None] * turn[:, 2])
        shapes.append(Tube(line, 0.25e-3))
    size = random.uniform(0.15e-3, 0.25e-3)
    patch = Patch("contact", HalfSpace(tip + random.uniform(-3e-3, 1e-3) * turn[:, 2], turn[:, 2]))
    return Surface(name, Union(shapes), size, patches=(patch,), rest_size=0.5e-3)


def _vessel(random: np.random.Generator, name: str, through: Array) -> Surface:
    """A straight or bent vessel of 3 to 10 mm that passes ``through`` a point and leaves the domain on both
    sides."""
    radius = random.uniform(1.5e-3, 5e-3)
    direction = _frame(random)[:, 0]
    s = np.linspace(-0.12, 0.12, 41)
    line = through + s[:, None] * direction
    if random.random() < 0.5:
        line = (
            line
            + (np.cos(s / random.uniform(5e-3, 15e-3)) * random.uniform(1e-3, 4e-3))[:, None]
            * _frame(random)[:, 1]
        )
    return Surface(
        name, Tube(line, radius), random.uniform(0.25, 0.6) * radius, inside=f"{name}.lumen", rest="wall"
    )


def drawn_pose(seed: int, *, coarser: float = 1.0) -> Pose:
    """The pose with this number: one or two needles or an umbrella, with up to two vessels and a tumour.

    ``coarser`` multiplies all sizes: the same geometry with fewer cells.
    """
    random = np.random.default_rng([2024, seed])
    turn = _frame(random)
    tip = random.uniform(-10e-3, 10e-3, 3)
    kind = ["needle", "umbrella", "pair"][seed % 3]
    length = random.uniform(45e-3, 60e-3) if random.random() < 0.3 else 0.3  # inside the domain, or out of it
    surfaces: list[Surface] = []
    n_vessels = int(random.integers(0, 3))
    for v in range(n_vessels):
        # some miss the device by any distance, some touch, some are pierced
        point = tip + random.uniform(-5e-3, 30e-3) * turn[:, 2] + random.uniform(-8e-3, 8e-3) * turn[:, 0]
        surfaces.append(_vessel(random, f"vessels[{v}]", point))
    if random.random() < 0.3:
        rotation = _frame(random)
        tumour = Ellipsoid(
            tip + 10e-3 * turn[:, 2], random.uniform(6e-3, 14e-3, 3), rotation * np.linalg.det(rotation)
        )
        surfaces.append(Surface("tumour", tumour, 1.5e-3, inside="tumour", rest="rim"))
    if kind == "needle":
        surfaces.append(_needle(random, "electrodes[0]", tip, turn[:, 2], length))
    elif kind == "pair":
        gap = random.uniform(2e-3, 20e-3)
        surfaces.append(_needle(random, "electrodes[0]", tip, turn[:, 2], length))
        tilt = turn[:, 2] + random.uniform(-0.1, 0.1) * turn[:, 1]
        surfaces.append(
            _needle(random, "electrodes[1]", tip + gap * turn[:, 0], tilt / np.linalg.norm(tilt), length)
        )
    else:
        surfaces.append(_umbrella(random, "electrodes[0]", tip, turn, length))
    domain: Box | Cylinder | Ball = [
        Cylinder((0, 0, -0.06), (0, 0, 0.06), 0.06),
        Box((-0.06, -0.06, -0.06), (0.06, 0.06, 0.06)),
        Ball((0, 0, 0), 0.065),
    ][int(random.integers(0, 3))]  # type: ignore[assignment]
    scaled = tuple(
        dataclasses.replace(
            surface,
            size=surface.size * coarser,
            patches=tuple(
                dataclasses.replace(p, rim_size=None if p.rim_size is None else p.rim_size * coarser)
                for p in surface.patches
            ),
        )
        for surface in surfaces
    )
    return Pose(kind, domain, scaled)


def straight_needle(size: float, rim: float, *, axisymmetric: bool = False) -> Mesh:
    """A needle of 1.5 mm with a round tip and a contact of 30 mm in a cylinder of 60 mm radius."""
    radius = 0.75e-3
    needle = Surface(
        "electrodes[0]",
        Capsule((0, 0, radius), (0, 0, 0.2), radius),
        size,
        patches=(Patch("contact", HalfSpace((0, 0, 0.03), (0, 0, 1)), rim),),
        rest_size=max(size, 0.7e-3),
    )
    domain = Cylinder((0, 0, -0.045), (0, 0, 0.075), 0.06)
    return build_mesh(domain, [needle], axisymmetric=axisymmetric)


def radius_deficit(mesh: Mesh, radius: float = 0.75e-3) -> float:
    """Mean of (radius - distance from the axis) / radius over the straight part of the contact, weighted by
    area.

    For axisymmetric meshes this is zero; in 3-D the facets are chords and the polygon is too thin.
    """
    name = "electrodes[0].contact"
    corners = mesh.points[mesh.facets[name]]
    area = mesh.facet_areas(name)
    straight = (corners[:, :, -1] > 2 * radius).all(axis=1)
    if mesh.dim == 2:
        r = corners[:, :, 0].mean(axis=1)
    else:  # Gauss points of each triangle
        weights = np.array([[2 / 3, 1 / 6, 1 / 6], [1 / 6, 2 / 3, 1 / 6], [1 / 6, 1 / 6, 2 / 3]])
        at = np.einsum("qk,nkd->nqd", weights, corners)
        r = np.hypot(at[:, :, 0], at[:, :, 1]).mean(axis=1)
    return float(1.0 - np.average(r[straight], weights=area[straight]) / radius)


def _timed(build: Any, repeats: int) -> tuple[Mesh, float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        mesh = build()
        times.append(time.perf_counter() - start)
    return mesh, min(times)


def run_sizes() -> list[dict[str, Any]]:
    start = time.perf_counter()
    straight_needle(1e-3, 0.5e-3)
    straight_needle(1e-3, 0.5e-3, axisymmetric=True)
    print(f"first call (kernels loaded or compiled): {time.perf_counter() - start:.2f} s")
    print("        size    rim    nodes      cells  seconds  us/cell  min deg  max deg  radius deficit")
    rows = []
    for axisymmetric, size, rim in [
        (True, 0.3e-3, 0.06e-3), (True, 0.15e-3, 0.03e-3), (True, 0.05e-3, 0.01e-3),
        (False, 0.5e-3, 0.1e-3), (False, 0.3e-3, 0.06e-3), (False, 0.2e-3, 0.04e-3),
        (False, 0.13e-3, 0.04e-3),
        (False, 0.08e-3, 0.03e-3), (False, 0.055e-3, 0.03e-3),
    ]:  # fmt: skip
        mesh, seconds = _timed(lambda: straight_needle(size, rim, axisymmetric=axisymmetric), 3)  # noqa: B023
        low, high = mesh.min_max_dihedral()
        row = {
            "kind": "axisymmetric" if axisymmetric else "3-D", "size_mm": 1e3 * size, "rim_mm": 1e3 * rim,
            "nodes": mesh.n_nodes, "cells": mesh.n_cells, "seconds": round(seconds, 4),
            "min_dihedral_deg": round(low, 2), "max_dihedral_deg": round(high, 2),
            "radius_deficit": radius_deficit(mesh),
        }  # fmt: skip
        rows.append(row)
        print(
            f"{row['kind'][:4]:>4} {1e3 * size:7.2f} {1e3 * rim:6.2f} {mesh.n_nodes:8d} {mesh.n_cells:10d}"
            f" {seconds:8.3f}"
            f" {1e6 * seconds / mesh.n_cells:8.2f} {low:8.1f} {high:8.1f} {row['radius_deficit']:+15.4%}",
            flush=True,
        )
    return rows


def run_poses(seeds: Sequence[int]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        pose = drawn_pose(seed)
        start = time.perf_counter()
        failure = ""
        try:
            mesh = pose.build()
            seconds = time.perf_counter() - start
            mesh.check(all_named=True)
            smallest, largest = mesh.angles()
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        row: dict[str, Any] = {
            "seed": seed,
            "kind": pose.kind,
            "surfaces": len(pose.surfaces),
            "failure": failure,
        }
        if not failure:
            row |= {
                "nodes": mesh.n_nodes, "cells": mesh.n_cells, "seconds": round(seconds, 3),
                "min_dihedral_deg": round(float(smallest.min()), 2),
                "max_dihedral_deg": round(float(largest.max()), 2),
                "below_10_deg": int((smallest < 10).sum()), "above_165_deg": int((largest > 165).sum()),
            }  # fmt: skip
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--poses", type=int, default=0, help="mesh this many drawn poses instead of the sizes"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first pose")
    parser.add_argument("--out", help="write the rows to this JSON file")
    options = parser.parse_args()
    if options.poses:
        rows = run_poses(range(options.first, options.first + options.poses))
        good = [row for row in rows if not row["failure"]]
        failures = [row for row in rows if row["failure"]]
        for label, chosen in (
            ("one surface", [r for r in good if r["surfaces"] == 1]),
            ("several", [r for r in good if r["surfaces"] > 1]),
        ):
            if chosen:
                low = min(r["min_dihedral_deg"] for r in chosen)
                high = max(r["max_dihedral_deg"] for r in chosen)
                print(f"{label}: {len(chosen)} poses, angles {low:.1f} to {high:.1f} degrees")
        cells = sum(r["cells"] for r in good)
        seconds = sum(r["seconds"] for r in good)
        print(
            f"{len(failures)} failures; {cells} cells in {seconds:.1f} s, "
            f"{1e6 * seconds / max(cells, 1):.2f} us a cell"
        )
    else:
        rows = run_sizes()
    if options.out:
        machine = {
            "python": sys.version.split()[0], "numpy": np.__version__, "cpu": platform.processor(),
            "cores": os.cpu_count(), "threads": 1,
        }  # fmt: skip
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
