"""Devices at drawn poses, through mesh and potential: does any placement fail?

    python -m benchmarks.placements --device umbrella --n 200 --seed 0      # a family, or a model such as leveen_3.5
    python -m benchmarks.placements --n 20                                  # every family and model

Two poses of three lie in the middle of a ball of tissue, in any direction, some along the axes of the mesh's lattice:
there the resistances must agree. The third lies with its contacts 0.5 to 3 mm inside the wall, which is ground: there
the resistance must be less. Meshes are coarse: what holds on them holds on finer ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common
import numpy as np

from rfasim.bench.problems import devices
from rfasim.case import Case, case_from_dict
from rfasim.complaints import near
from rfasim.domain import Domain, build_domain
from rfasim.electric import Potential
from rfasim.electrodes import ALL_DEVICES
from rfasim.electrodes.device import Placed, Turned
from rfasim.errors import InputError

Array = common.Array
RADIUS = 0.065  # m, of the ball of tissue
ADMITTIVITY = 0.2 + 0.1j  # S/m, about that of liver at 480 kHz
COARSE = 5e-4  # m, edges at contacts
MESH = {"grow": 0.6, "max_size": 8e-3, "zone_size": 8e-3}
SMALLEST, LARGEST = 8.0, 170.0  # degrees: dihedral angles beyond these are failures
SPREAD = 0.05  # of the resistance, over poses in the middle
ASYMMETRY = 1e-3  # of the admittance matrix, read off as currents


def drawn_direction(random: np.random.Generator) -> Array:
    """Any direction; one of five lies along an axis of the lattice."""
    if random.random() < 0.2:
        return np.asarray(random.choice([-1.0, 1.0]) * np.eye(3)[random.integers(3)])
    way = random.normal(size=3)
    return np.asarray(way / np.linalg.norm(way))


def posed(electrode: dict[str, Any], tip: Array, way: Array, turn: float, centre: Array | None) -> Case:
    """A case with the device at a pose; the domain is a ball around ``centre``, or around the device."""
    kind = next(k for k in ALL_DEVICES if electrode["device"] in get_args(k.model_fields["device"].annotation))
    pose: dict[str, Any] = {"tip": tuple(tip), "direction": tuple(way)}
    if not issubclass(kind, Placed):
        pose = {"centre": tuple(tip)} | ({"direction": tuple(way)} if "direction" in kind.model_fields else {})
    elif issubclass(kind, Turned):
        pose["turn_degrees"] = turn
    domain: dict[str, Any] = {"shape": "ball", "radius": RADIUS}
    if centre is not None:
        domain["centre"] = tuple(centre)
    data = {
        "name": "placement",
        "electrodes": [{**electrode, **pose}],
        "generator": {"protocol": "constant_power", "power": 1.0, "duration": 1.0},
        "domain": domain,
        "mesh": MESH,
    }
    hint = case_from_dict(data).electrodes[0].mesh_size  # thin parts would be lost in coarser meshes
    size = COARSE if hint is None else min(COARSE, hint)
    return case_from_dict({**data, "mesh": {**MESH, "size": size, "rim_size": size / 2}})


def near_the_wall(case: Case, random: np.random.Generator) -> Array:
    """A centre of the ball of tissue that puts the case's contacts 0.5 to 3 mm inside its wall."""
    device = case.electrodes[0]
    centres, radii = device.filling()
    held = np.zeros(len(centres), bool)
    for contact in device.contacts():
        held |= True if contact.extent is None else contact.extent.distance(centres) < 0
    centres, radii, wanted = centres[held], radii[held], random.uniform(5e-4, 3e-3)
    way = drawn_direction(random)
    low, high = 0.0, 2 * RADIUS
    for _ in range(40):  # the depth falls as the device moves towards the wall
        step = 0.5 * (low + high)
        depth = RADIUS - np.linalg.norm(centres + step * way - device.active_centre, axis=1) - radii
        low, high = (step, high) if depth.min() > wanted else (low, step)
    return np.asarray(device.active_centre - low * way)


def admittance(domain: Domain) -> tuple[list[str], Potential]:
    """The terminals, and the unit potentials of each over tissue of one admittivity."""
    names = list(dict.fromkeys(domain.contact_terminals))
    contacts = list(zip(domain.contacts, domain.contact_terminals, strict=True))
    ports = [np.unique(np.concatenate([nodes for nodes, terminal in contacts if terminal == name])) for name in names]
    idle = np.setdiff1d(np.arange(domain.mesh.n_nodes), np.unique(domain.mesh.cells))
    potential = Potential(domain.space, ports, domain.ground, idle, None, is_complex=True, tolerance=1e-7)
    potential.solve(np.full(domain.mesh.n_cells, ADMITTIVITY))
    return names, potential


def place(electrode: dict[str, Any], random: np.random.Generator, at_wall: bool) -> dict[str, Any]:
    """One drawn pose: what came out, and in ``failure`` what is wrong with it."""
    tip, way, turn = random.uniform(-0.02, 0.02, 3), drawn_direction(random), float(random.uniform(0, 360))
    row: dict[str, Any] = {"at_wall": at_wall, "tip": tip.tolist(), "way": way.tolist(), "turn": turn, "failure": ""}
    start = time.process_time()
    try:
        case = posed(electrode, tip, way, turn, None)
        if at_wall:
            case = posed(electrode, tip, way, turn, near_the_wall(case, random))
        domain = build_domain(case)
        row |= {"nodes": domain.mesh.n_nodes, "mesh_s": round(time.process_time() - start, 2)}
        domain.mesh.check(all_named=True)
        row["low"], row["high"] = (round(angle, 2) for angle in domain.mesh.min_max_dihedral())
        names, potential = admittance(domain)
        y, currents = potential.admittance, potential.currents
        row["ohm"] = [round(float(np.real(1 / y[k, k])), 4) for k in range(len(names))]
        row["asymmetry"] = float(np.abs(currents - currents.T).max() / np.abs(currents).max())
        row["passivity"] = float(np.linalg.eigvalsh(0.5 * (y + y.T).real).min() / np.abs(y).max())
        if row["low"] < SMALLEST or row["high"] > LARGEST:
            row["failure"] = f"dihedral angles {row['low']} to {row['high']} degrees"
        elif row["asymmetry"] > ASYMMETRY:
            row["failure"] = f"admittance not symmetric: {row['asymmetry']:.1e}"
        elif row["passivity"] <= 0:
            row["failure"] = f"admittance not passive: {row['passivity']:.1e}"
    except Exception as error:
        row["failure"] = f"{type(error).__name__}: {error}"
    return row


def run(name: str, electrode: dict[str, Any], n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows for ``n`` drawn poses of a device; those whose resistance stands out fail too."""
    rows = []
    for k in range(n):
        rows.append({"device": name, "pose": k, **place(electrode, np.random.default_rng([seed, k]), k % 3 == 2)})
        yield rows[-1]
    middle = np.array([row["ohm"] for row in rows if "ohm" in row and not row["at_wall"]])
    if len(middle) == 0:
        return
    typical = np.median(middle, axis=0)
    for row in rows:
        if row["failure"] or "ohm" not in row:
            continue
        off = float(np.abs(np.array(row["ohm"]) / typical - 1).max())
        above = float((np.array(row["ohm"]) / typical - 1).max())
        if (off if not row["at_wall"] else above) > SPREAD:
            yield {**row, "failure": f"resistance {row['ohm']} ohm, typical {typical.round(4).tolist()}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", action="append", default=[], help="a family or a model; all when not stated")
    parser.add_argument("--n", type=int, default=200, help="number of drawn poses of each device")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append the rows to this file, a line of JSON each")
    options = parser.parse_args()
    known = devices()
    for name in options.device:
        if name not in known:
            parser.error(str(InputError("--device", f"got '{name}'; {near(name, known)}")))
    failures = 0
    for name in options.device or known:
        rows = list(run(name, known[name], options.n, options.seed))
        bad = [row for row in rows if row["failure"]]
        failures += len(bad)
        for row in rows if options.out else bad:
            common.emit(row, options.out)
        good = [row for row in rows if "ohm" in row]
        if not good:
            common.say(f"{name}: all of {options.n} poses failed: {bad[0]['failure']}")
            continue
        middle = np.array([row["ohm"] for row in good if not row["at_wall"]])
        spread = 100 * float((middle.std(axis=0) / middle.mean(axis=0)).max()) if len(middle) else 0.0
        common.say(
            f"{name}: {options.n} poses, {len(bad)} failures; angles {min(r['low'] for r in good)} to "
            f"{max(r['high'] for r in good)} degrees, {np.mean([r['nodes'] for r in good]):.0f} nodes, "
            f"{np.mean([r['mesh_s'] for r in good]):.2f} s to mesh, resistance varies by {spread:.2f} %"
        )
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
