"""Label images: which organ each voxel of a patient's scan belongs to, in patient coordinates.

Points are in metres in the LPS frame of DICOM (x to the patient's left, y to the back, z to the head).
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfasim.errors import InputError

Array = NDArray[np.float64]
Labels = NDArray[np.integer]
T = TypeVar("T")
# So many things made of an image are kept with it.
KEPT = 48
_NOTHING: Any = object()


@dataclass(frozen=True, eq=False)
class LabelImage:
    """Integer labels on a lattice of voxels; 0, and everything outside the image, is "nothing".

    ``data`` (nx, ny, nz); ``to_world`` (4, 4) takes a voxel's number (i, j, k), whole at its middle, to LPS
    metres; ``names`` says what labels are called, where the file does.
    """

    data: Labels
    to_world: Array
    names: Mapping[int, str] = field(default_factory=dict)
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returns: made once, and kept with the image, when its voxels cannot change.

        That is so of an image read from a file; one from a file that has changed is another image. What is kept is
        shared, so ``key`` must say all that it hangs on beside the image, and nobody may change it.
        """
        if self.data.flags.writeable:
            return make()
        found: T = self._kept.pop(key, _NOTHING)
        self._kept[key] = found = make() if found is _NOTHING else found  # the last one asked for comes last
        while len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        return found

    def lies_like(self, other: LabelImage) -> bool:
        """Whether both have the same voxels."""
        return self.data.shape == other.data.shape and np.array_equal(self.to_world, other.to_world)

    @property
    def spacing(self) -> Array:
        """Edge lengths of a voxel (3,) in metres."""
        lengths: Array = np.linalg.norm(self.to_world[:3, :3], axis=0)
        return lengths

    def need_right_angles(self) -> None:
        """Raise InputError where the voxels are sheared."""
        axes = self.to_world[:3, :3] / self.spacing
        if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
            raise InputError(
                "", "its voxels are sheared, so it has no simple distances; resample it to right angles"
            )

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel [m^3]."""
        return abs(float(np.linalg.det(self.to_world[:3, :3])))

    @functools.cached_property
    def present(self) -> frozenset[int]:
        """The labels that occur, without 0."""
        if self.data.size and self.data.min() >= 0 and self.data.max() < 2**16:
            counts = sum(np.bincount(plane.ravel(), minlength=2**16) for plane in self.data)
            return frozenset(np.flatnonzero(counts).tolist()) - {0}
        return frozenset(np.unique(self.data).tolist()) - {0}

    def numbers(self, label: int | str) -> list[int]:
        """The numbers that ``label`` means: itself, or those with that name (``Tumor_*``: that begin so; upper and
        lower case are alike); empty where there is none."""
        if not isinstance(label, str):
            return [label] if label in self.present else []
        wanted = label.casefold()
        return [
            number
            for number, name in self.names.items()
            if fnmatch.fnmatchcase(name.casefold(), wanted) and number in self.present
        ]

    def describe(self) -> str:
        """The labels that occur, for a message."""
        found = [f"{n} ({self.names[n]})" if n in self.names else str(n) for n in sorted(self.present)[:20]]
        return ", ".join(found) or "none"

    def voxels(self, points: ArrayLike) -> Array:
        """Voxel numbers (n, 3), not rounded, of ``points`` (n, 3) in LPS metres."""
        inverse = np.asarray(np.linalg.inv(self.to_world), dtype=np.float64)
        return _moved(np.asarray(points, dtype=np.float64), inverse)

    def places(self, numbers: Array) -> Array:
        """Where voxels ``numbers`` (n, 3), not necessarily whole, are: (n, 3) in LPS metres."""
        return _moved(numbers, self.to_world)

    def distance_to_box(self, point: ArrayLike) -> float:
        """How far [m] a point (3,) in LPS metres is from the image's voxels; 0 inside."""
        own = self.voxels(np.atleast_2d(np.asarray(point, dtype=np.float64)))
        nearest = np.clip(own, -0.5, np.array(self.data.shape) - 0.5)
        return float(np.linalg.norm((self.to_world[:3, :3] @ (own - nearest).T), axis=0)[0])

    def sample(self, points: ArrayLike) -> Labels:
        """The label (n,) of the voxel around each of ``points`` (n, 3; LPS metres), 0 outside the image."""
        nearest = np.rint(self.voxels(points))
        inside = ((nearest >= 0) & (nearest < self.data.shape)).all(axis=1)
        found = np.zeros(len(nearest), dtype=self.data.dtype)
        i, j, k = nearest[inside].astype(np.int64).T
        found[inside] = self.data[i, j, k]
        return found

    def crop(self, lower: ArrayLike, upper: ArrayLike) -> LabelImage:
        """The voxels that touch the box from ``lower`` to ``upper`` (3,) in LPS metres; may be empty."""
        first, last = _voxel_box(self, lower, upper)
        return self.part(first, last + 1)

    def part(self, first: ArrayLike, stop: ArrayLike) -> LabelImage:
        """The voxels from ``first`` to before ``stop`` (3,), as far as there are any."""
        first, stop = (np.clip(np.asarray(end, np.int64), 0, self.data.shape) for end in (first, stop))
        to_world = self.to_world.copy()
        to_world[:3, 3] += to_world[:3, :3] @ first
        return LabelImage(self.data[tuple(map(slice, first, np.maximum(first, stop)))], to_world, self.names)

    def only(self, numbers: Collection[int], around: int = 0) -> LabelImage | None:
        """1 where one of ``numbers`` is, in the box of these voxels and ``around`` more on each side; None when there
        are none. 0 is no label."""
        is_in = marked(self.data, set(numbers) - {0})
        ends = []
        for axis in range(3):
            there = np.flatnonzero(is_in.any(axis=tuple({0, 1, 2} - {axis})))
            if len(there) == 0:
                return None
            ends.append((there[0], there[-1] + 1))
        first, stop = np.array(ends).T
        to_world = self.to_world.copy()
        to_world[:3, 3] += to_world[:3, :3] @ (first - around)
        box = np.ascontiguousarray(is_in[tuple(map(slice, first, stop))])
        return LabelImage(np.pad(box, around).view(np.uint8), to_world)

    def distance(self, labels: Collection[int], points: ArrayLike, reach: float = 0.03) -> Array:
        """Signed distance (n,) in metres from ``points`` to the voxels of ``labels``, negative inside.

        Only voxels within ``reach`` of the box around the points are looked at: distances are right up to
        ``reach`` and cut off there (also where no such voxel is near).
        """
        points = np.asarray(points, dtype=np.float64)
        if len(points) == 0:
            return np.zeros(0)
        field = LabelDistance(self, labels, points.min(axis=0) - reach, points.max(axis=0) + reach)
        return np.clip(field(points), -reach, reach)


def _moved(points: NDArray[Any], matrix: Array) -> Array:
    """``points`` (n, 3) taken through ``matrix`` (4, 4); a matrix product of three columns is several times slower."""
    out = np.empty((len(points), 3))
    for axis, row in enumerate(matrix[:3]):
        np.multiply(points[:, 0], row[0], out=out[:, axis])
        for k in (1, 2):
            if row[k] != 0:
                out[:, axis] += points[:, k] * row[k]
        out[:, axis] += row[3]
    return out


def marked(data: Labels, numbers: Collection[int]) -> NDArray[np.bool_]:
    """Where one of ``numbers`` is."""
    wanted = [number for number in numbers if np.iinfo(data.dtype).min <= number <= np.iinfo(data.dtype).max]
    if data.dtype == np.uint8:
        table = np.zeros(256, np.bool_)
        table[wanted] = True
        return np.asarray(table[data])
    return np.isin(data, wanted)


def _voxel_box(
    image: LabelImage, lower: ArrayLike, upper: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last voxel of the lattice box around a world box; they may lie outside the image."""
    ends = np.array([lower, upper], dtype=np.float64)
    corners = image.voxels(np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3))
    reasonable = np.array(image.data.shape) + 10
    first = np.clip(np.rint(corners.min(axis=0)), -10, reasonable).astype(np.int64)
    last = np.clip(np.rint(corners.max(axis=0)), -10, reasonable).astype(np.int64)
    return first, last


class LabelDistance:
    """Signed distance (m) to the voxels of some labels, prepared for a box: a callable on points (n, 3).

    Euclidean distance transforms (scipy) with the voxels' true spacing find the nearest voxel of the other
    kind from the middle of each voxel; a point then takes the nearest of the boxes that its own voxel and
    the six around it found. So the surface is the voxels' surface, and the result at most about half the
    smallest voxel edge too large. Outside the prepared box the distance to the box is added. Infinite when
    the box holds none of the labels. Raises InputError when the voxels are sheared.
    """

    def __init__(
        self, image: LabelImage, labels: Collection[int], lower: ArrayLike, upper: ArrayLike
    ) -> None:
        from scipy.ndimage import distance_transform_edt

        image.need_right_angles()
        self.image, self.spacing = image, image.spacing
        first, last = _voxel_box(image, lower, upper)
        inner_first, inner_last = np.clip(first, 0, image.data.shape), np.clip(last + 1, 0, image.data.shape)
        self.first = first
        is_in = np.zeros(last - first + 1, dtype=np.bool_)
        there = tuple(map(slice, inner_first - first, np.maximum(inner_first, inner_last) - first))
        data = image.data[tuple(map(slice, inner_first, np.maximum(inner_first, inner_last)))]
        is_in[there] = marked(data, labels)
        self.is_in, self.empty = is_in, not is_in.any()
        if self.empty:
            return
        nearest = np.array(np.indices(is_in.shape), dtype=np.int32)
        for kind in (True, False):
            if not (is_in == kind).all():
                found = distance_transform_edt(
                    is_in != kind, sampling=self.spacing, return_distances=False, return_indices=True
                )
                nearest[:, is_in != kind] = found[:, is_in != kind]
        self.nearest = nearest

    def __call__(self, points: ArrayLike) -> Array:
        position = self.image.voxels(points) - self.first
        if self.empty:
            return np.full(len(position), np.inf)
        top = np.array(self.is_in.shape) - 1
        clamped = np.clip(position, -0.5, top + 0.5)
        beyond = np.linalg.norm((position - clamped) * self.spacing, axis=1)
        own = np.clip(np.rint(clamped), 0, top).astype(np.int64)
        inside = self.is_in[tuple(own.T)]
        best = np.full(len(own), np.inf)
        for step in np.vstack(
            [np.zeros((1, 3), np.int64), np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)]
        ):
            voxel = np.clip(own + step, 0, top)
            other = self.is_in[tuple(voxel.T)] != inside
            target = np.where(other[:, None], voxel, self.nearest[:, voxel[:, 0], voxel[:, 1], voxel[:, 2]].T)
            gap = np.maximum(np.abs(clamped - target) - 0.5, 0.0) * self.spacing
            best = np.minimum(best, np.linalg.norm(gap, axis=1))
        signed: Array = np.where(inside, -best, best) + beyond
        return signed
