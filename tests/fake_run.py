"""Meshes and frames made by hand, so that results and pictures are tested without a solver."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from rfasim.frame import Frame
from rfasim.mesh import Mesh

CASE = "name: fake\nduration: 60 s\n"
CRITERION = "arrhenius_coagulation"
META = {
    "criterion": CRITERION,
    "title": "Needle, 30 W",
    "electrodes": [{"name": "needle", "tip": [0.0, 0.0, -0.015], "direction": [0.0, 0.0, -1.0]}],
}
NEEDLE_RADIUS, TIP, CONTACT_TOP = 0.75e-3, -0.015, 0.015


def _boundary(cells: np.ndarray) -> np.ndarray:
    """Facets that belong to one cell only."""
    corners = cells.shape[1]
    facets = np.concatenate([np.delete(cells, k, axis=1) for k in range(corners)])
    _, first, count = np.unique(np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True)
    return facets[first[count == 1]].astype(np.uint32)


def _name_facets(
    points: np.ndarray, cells: np.ndarray, near: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    facets = _boundary(cells)
    centre = points[facets].mean(axis=1)
    on_device, low = near(centre), centre[:, -1] <= CONTACT_TOP
    return {
        "electrodes[0].contact": facets[on_device & low],
        "electrodes[0].insulation": facets[on_device & ~low],
        "outer": facets[~on_device],
    }


def _graded(radius: float, n: int, half: float) -> np.ndarray:
    """Coordinates from 0 to ``half``: one step of ``radius``, then growing ones."""
    return np.concatenate([[0.0], radius + (half - radius) * np.linspace(0, 1, n) ** 2])


def _compact(points: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    used, new = np.unique(cells, return_inverse=True)
    return points[used], new.reshape(cells.shape).astype(np.uint32)


def needle_mesh_3d(n: int = 9, half: float = 0.04) -> Mesh:
    """A box of tetrahedra (each brick cut into six) with a round needle from the top cut out."""
    side = _graded(NEEDLE_RADIUS, n, half)
    x = np.concatenate([-side[:0:-1], side])
    z = np.sort(np.concatenate([TIP + np.concatenate([-side[:0:-1], side]), [CONTACT_TOP]]))
    z = z[z <= half]
    grid = np.stack(np.meshgrid(x, x, z, indexing="ij"), axis=-1).reshape(-1, 3)
    # squares around the axis become circles near the needle
    square, round_ = np.abs(grid[:, :2]).max(axis=1), np.hypot(grid[:, 0], grid[:, 1])
    pull = np.exp(-((square / (0.25 * half)) ** 2))[:, None]
    grid[:, :2] *= 1 + pull * ((square / np.where(round_ > 0, round_, 1))[:, None] - 1)
    index = np.arange(len(grid)).reshape(len(x), len(x), len(z))
    corner = {
        offset: index[tuple(slice(o, o + s - 1) for o, s in zip(offset, index.shape, strict=True))].ravel()
        for offset in itertools.product((0, 1), repeat=3)
    }
    cells = []
    for order in itertools.permutations(range(3)):
        path, offset = [corner[0, 0, 0]], [0, 0, 0]
        for axis in order:
            offset[axis] = 1
            path.append(corner[tuple(offset)])
        cells.append(np.stack(path, axis=1))
    cells = np.concatenate(cells)
    centre = grid[cells].mean(axis=1)
    inside = (np.hypot(centre[:, 0], centre[:, 1]) < 0.95 * NEEDLE_RADIUS) & (centre[:, 2] > TIP)
    cells = cells[~inside]
    edges = grid[cells[:, 1:]] - grid[cells[:, :1]]
    flip = np.linalg.det(edges) < 0
    cells[flip] = cells[flip][:, [0, 2, 1, 3]]
    points, cells = _compact(grid, cells)

    def near(p: np.ndarray) -> np.ndarray:
        return (
            (np.hypot(p[:, 0], p[:, 1]) < 1.1 * NEEDLE_RADIUS)
            & (p[:, 2] > TIP - 1e-3)
            & (p[:, 2] < half - 1e-9)
        )

    return Mesh(
        points, cells, np.zeros(len(cells), np.int32), ("tissue",), _name_facets(points, cells, near), False
    )


def needle_mesh_axisymmetric(n: int = 40, half: float = 0.04) -> Mesh:
    """The same in the (r, z) half plane."""
    r = _graded(NEEDLE_RADIUS, n, half)
    z = np.unique(np.concatenate([np.linspace(-half, half, 4 * n + 1), [TIP, CONTACT_TOP]]))
    grid = np.stack(np.meshgrid(r, z, indexing="ij"), axis=-1).reshape(-1, 2)
    index = np.arange(len(grid)).reshape(len(r), len(z))
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[1:, :-1].ravel(),
        index[1:, 1:].ravel(),
        index[:-1, 1:].ravel(),
    )
    cells = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    centre = grid[cells].mean(axis=1)
    cells = cells[~((centre[:, 0] < NEEDLE_RADIUS) & (centre[:, 1] > TIP))]
    points, cells = _compact(grid, cells)
    facets = _name_facets(
        points,
        cells,
        lambda p: (p[:, 0] < 1.01 * NEEDLE_RADIUS) & (p[:, 1] >= TIP - 1e-9) & (p[:, 1] < half - 1e-9),
    )
    facets["outer"] = facets["outer"][points[facets["outer"]].max(axis=(1, 2)) > 0.9 * half]
    return Mesh(points, cells, np.zeros(len(cells), np.int32), ("tissue",), facets, True)


def temperature_at(points: np.ndarray, time: float, end: float = 60.0) -> np.ndarray:
    """A warm sausage around the contact: 37 degC + a Gaussian of the distance to the contact's segment."""
    r = np.linalg.norm(points[:, :-1], axis=1)
    beyond = np.maximum(np.abs(points[:, -1]) - 0.012, 0.0)
    width = 0.012 * np.sqrt(0.05 + time / end)
    return 37.0 + 75.0 * (time / end) ** 0.3 * np.exp(-(r**2 + beyond**2) / width**2)


def frames(
    mesh: Mesh, n_steps: int = 12, end: float = 60.0, start: int = 0, complex_potential: bool = False
) -> Iterator[Frame]:
    """Frames ``start`` to ``n_steps`` of a run with analytic fields; every third is an output time."""
    step = end / n_steps
    for i in range(start, n_steps):
        time = (i + 1) * step
        temperature = temperature_at(mesh.points, time, end)
        potential = (temperature - 37.0) / 3.0
        rolled_off = i >= 0.75 * n_steps
        yield Frame(
            time=time, step=step, temperature=temperature,
            potential=potential * (1 - 0.2j) if complex_potential else potential,
            water_lost=np.clip((temperature - 99.0) / 20.0, 0.0, 1.0),
            damage={
                CRITERION: np.exp((temperature - 55.0) / 2.0) * time / end,
                "arrhenius_cell_death": np.exp((temperature - 48.0) / 2.0) * time / end,
                "vascular_stasis": np.exp((temperature - 51.0) / 2.0) * time / end,
                "cem43": 2.0 ** (temperature - 43.0) * time / 60.0,
                "three_state": np.clip((temperature - 45.0) / 20.0, 0.0, 1.0),
                "max_temperature": temperature,
            },
            power=30.0 * (0.1 if rolled_off else 1.0), voltage=55.0, current=0.55,
            impedance=complex(90.0 - 30.0 * time / end + (200.0 if rolled_off else 0.0), -25.0),
            max_temperature=float(temperature.max()), zone_volume=5e-6 * time / end,
            energy={
                "electrical": 30.0 * time, "stored": 20.0 * time, "latent": time, "perfusion": 5.0 * time,
                "vessels": 0.0, "coolant": 0.0, "boundary": 4.0 * time, "metabolic": 0.0, "imbalance": 1e-9,
            },
            probes={"5 mm": 40.0 + time / 10.0, "electrodes[0].tip": 60.0 + time / 10.0},
            output=(i + 1) % 3 == 0, rolled_off=rolled_off, limited_by="" if not rolled_off else "voltage",
        )  # fmt: skip


SUMMARY = {
    "case": "fake", "zone": {"criterion": CRITERION, "volume_ml": np.float64(5.0)},
    "electrical": {"roll_off_time_s": None, "final_impedance_ohm": float("inf")},
}  # fmt: skip
