"""A small made-up patient of known shapes, and a run in it: what tests of images, margins and reports share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy import LabelImage

MM = 1e-3
NAMES = {1: "liver", 2: "gallbladder", 3: "tumour one", 4: "tumour two", 5: "liver_vessels"}
# mm: the liver ends at CAPSULE; centres and radii of balls
CAPSULE = 22.0
TUMOUR, SECOND, GALLBLADDER = ((2.0, 0.0, 0.0), 6.0), ((15.0, 0.0, 3.0), 5.0), ((0.0, -21.0, 0.0), 7.0)

CASE = """
name: small patient
electrodes:
  - {device: needle, entry: [-60 mm, 0 mm, 0 mm], target: [0 mm, 0 mm, 0 mm], beyond_target: 8 mm, diameter: 1.6 mm,
     active_length: 16 mm}
generator: {protocol: constant_power, power: 18 W, duration: 90 s}
anatomy:
  labels:
    - file: FILE
      mapping: {liver: liver, gallbladder: bile}
      structures: {gallbladder: gallbladder}
  outside: muscle
tumour: {shape: labels, file: FILE, label: tumour one, name: one}
tumours:
  - {shape: labels, file: FILE, label: tumour two, name: two}
zone: {criterion: isotherm_54}
boiling: {enabled: false}
domain: {shape: ball, radius: 35 mm}
mesh: {size: 0.5 mm, zone_size: 1.6 mm, grow: 0.5}
"""


def ball(points: NDArray[Any], shape: tuple[tuple[float, float, float], float]) -> NDArray[np.bool_]:
    """Which points (mm) are in a ball."""
    return np.asarray(np.linalg.norm(points - np.array(shape[0]), axis=-1) < shape[1])


def labels(spacing: tuple[float, float, float] = (1.5, 1.5, 1.5), turn: NDArray[Any] | None = None) -> LabelImage:
    """The patient on voxels of the given edges [mm], whose axes ``turn`` (3, 3) turns."""
    step, turn = np.array(spacing), np.eye(3) if turn is None else turn
    shape = np.ceil(104.0 / step).astype(int)
    to_world = np.eye(4)
    to_world[:3, :3] = turn * step * MM
    to_world[:3, 3] = -to_world[:3, :3] @ ((shape - 1) / 2)
    numbers = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = (numbers @ to_world[:3, :3].T + to_world[:3, 3]) / MM
    data = np.zeros(shape, np.uint8)
    data[points[..., 0] < CAPSULE] = 1
    for number, shape_ in ((2, GALLBLADDER), (3, TUMOUR), (4, SECOND)):
        data[ball(points, shape_)] = number
    return LabelImage(data, to_world, {k: v for k, v in NAMES.items() if k < 5})


def write_case(folder: Path, file: str, **changes: str) -> Path:
    """The case, with ``file`` as its image and words of its text changed."""
    text = CASE.replace("FILE", file)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "case.yaml"
    path.write_text(text, encoding="utf-8")
    return path
