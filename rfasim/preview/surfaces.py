"""Triangles as MZ3, the small mesh format of the viewer: right-anterior-superior millimetres, a colour a corner."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rfasim.frames import from_lps

Array = NDArray[np.float64]
Rgba = tuple[int, int, int, int]
_MAGIC = 0x5A4D
_FACES, _CORNERS, _COLOURS = 1, 2, 4


def mz3(points: Array, triangles: NDArray[np.integer], colours: NDArray[np.uint8] | None = None) -> bytes:
    """Triangles (m, 3) between ``points`` (n, 3; LPS metres), with ``colours`` (n, 4) where given.

    Layout (little endian): magic, attributes (uint16 each), number of triangles, of corners, of bytes to skip (uint32
    each); corners' numbers (int32), places (float32), colours (uint8).
    """
    attributes = _FACES | _CORNERS | (0 if colours is None else _COLOURS)
    head = struct.pack("<HHIII", _MAGIC, attributes, len(triangles), len(points), 0)
    ras = points @ from_lps(np.eye(4), "RAS")[:3, :3].T  # two signs turn, so what looks out still does
    parts = [head, triangles.astype("<i4").tobytes(), ras.astype("<f4").tobytes()]
    if colours is not None:
        parts.append(np.ascontiguousarray(colours, np.uint8).tobytes())
    return b"".join(parts)


def soup(triangles: Array) -> bytes:
    """Triangles (n, 3, 3) as MZ3, corners in the same place made one."""
    corners, numbers = np.unique(np.round(triangles.reshape(-1, 3), 9), axis=0, return_inverse=True)
    faces = numbers.reshape(-1, 3)
    return mz3(corners, faces[(np.diff(np.sort(faces, axis=1), axis=1) != 0).all(axis=1)])


def patches(parts: Sequence[Array], colours: Sequence[str]) -> bytes:
    """Groups of triangles (n, 3, 3), each in one flat colour (``#rrggbb``); no corner belongs to two colours."""
    points = np.concatenate([part.reshape(-1, 3) for part in parts])
    rgba = np.concatenate(
        [
            np.tile(np.array(rgb(colour), np.uint8), (3 * len(part), 1))
            for part, colour in zip(parts, colours, strict=True)
        ]
    )
    return mz3(points, np.arange(len(points)).reshape(-1, 3), rgba)


def file_name(path: str) -> str:
    """``tumours[0]`` as a file's name."""
    return path.replace("[", "_").replace("]", "")


def rgb(colour: str, opacity: int = 255) -> Rgba:
    """``#rrggbb`` as numbers of 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), opacity
