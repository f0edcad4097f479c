"""The liver around a tumour, whose surface is the capsule, and the organs that must not be burnt, as smooth shapes."""

from __future__ import annotations

import functools
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.images import images_of
from rfasim.anatomy.labels import LabelImage, marked
from rfasim.anatomy.smooth import LabelShape, label_shape
from rfasim.anatomy.voxel_kernels import within
from rfasim.errors import InputError

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.geometry import Shape

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
Box = tuple[Array, Array]
Marked = tuple[LabelImage, frozenset[int]]
REACH = 0.03  # m beyond the domain: what is farther away is not shown
# A liver in more voxels than that is looked at around the domain only.
MOST_VOXELS = 30_000_000
# m: vessels and ducts that labels cut out of the liver count as liver where they are no wider than twice this
VESSEL = 0.008


@dataclass(frozen=True, eq=False)
class Surroundings:
    """``organ``: the liver with its tumours and vessels; ``structures`` by name, None for one farther than
    :data:`REACH` from the domain."""

    organ: LabelShape | None
    structures: Mapping[str, LabelShape | None]


def read_surroundings(case: Case, base: Path | None, tumours: Mapping[str, Shape]) -> Surroundings:
    """What the label images of ``case`` show around its domain. Raises InputError for a liver that is elsewhere.

    The shapes are those of whole labels, whatever the domain, and kept with the images: they are made once for all
    needles of a patient.
    """
    assert case.anatomy is not None
    lower, upper = (np.asarray(end) for end in case.domain.geometry(case.domain_centre).bounds())
    box = lower - REACH, upper + REACH
    images = dict(images_of(case.anatomy, base))
    return Surroundings(_organ(case, images, tumours, box), _structures(case, images, box))


def _structures(case: Case, images: Mapping[int, LabelImage], box: Box) -> dict[str, LabelShape | None]:
    assert case.anatomy is not None
    out: dict[str, LabelShape | None] = {}
    for number, image in images.items():
        entry = case.anatomy.labels[number]
        named: dict[str, set[int]] = {}
        held = {label: f"vessel {label}" for label in entry.hold if label not in entry.structures}
        for label, name in {**entry.structures, **held}.items():
            named.setdefault(name, set()).update(image.numbers(label))
        for name, numbers in named.items():
            place = f"anatomy.labels[{number}].structures"
            if name in out:
                raise InputError(place, f"'{name}' is the name of a structure of another image; give another name")
            try:
                shape = label_shape(image, numbers) if numbers and _occurs(image, numbers, box) else None
            except InputError as error:
                raise InputError(f"{place}.{name}", error.message) from None
            out[name] = shape
    return out


def _occurs(image: LabelImage, numbers: Collection[int], box: Box) -> bool:
    """Whether one of ``numbers`` touches the ``box``."""
    there = image.kept(("only", frozenset(numbers)), lambda: image.only(numbers))
    return there is not None and bool(there.crop(*box).data.any())


def _organ(case: Case, images: Mapping[int, LabelImage], tumours: Mapping[str, Shape], box: Box) -> LabelShape | None:
    assert case.anatomy is not None
    wanted: dict[int, frozenset[int]] = {}
    known = False
    for number, image in images.items():
        entry = case.anatomy.labels[number]
        labels = entry.organ or tuple(label for label, tissue in entry.mapping.items() if tissue == case.background)
        known |= len(labels) > 0
        numbers = frozenset(n for label in labels for n in image.numbers(label))
        if numbers and _occurs(image, numbers, box):
            wanted[number] = numbers
    if not known:
        return None
    if not wanted:
        middle = ", ".join(f"{1e3 * x:.0f}" for x in case.domain_centre)
        raise InputError(
            "anatomy.labels",
            f"the liver of these images lies elsewhere than the domain, whose middle is ({middle}) mm; "
            "give coordinates in the patient's frame (LPS)",
        )
    first = next(iter(wanted))
    parts = tuple((images[number], numbers) for number, numbers in wanted.items())
    holes = tuple((images[number], numbers) for number, numbers in _cut_out(case, images).items())
    # a shape from labels is the same object as long as its file is the same; others say what they are
    own = tuple((case.every_tumour[path], shape if isinstance(shape, LabelShape) else None)
                for path, shape in tumours.items())  # fmt: skip
    grid, start, stop = _around(parts, tumours)
    key: tuple[Hashable, ...] = ("organ", parts, holes, own)
    if np.prod(stop - start) > MOST_VOXELS:
        near = grid.crop(*box)
        corner = np.rint(grid.voxels(near.to_world[None, :3, 3]))[0].astype(np.int64)
        start, stop = np.maximum(start, corner), np.minimum(stop, corner + near.data.shape)
        key = (*key, *start.tolist(), *stop.tolist())
    try:
        return grid.kept(key, lambda: _filled(grid.part(start, stop), start, parts, holes, tumours))
    except InputError as error:
        raise InputError(f"anatomy.labels[{first}].file", error.message) from None


def _around(parts: Sequence[Marked], tumours: Mapping[str, Shape]) -> tuple[LabelImage, Index, Index]:
    """The image that gives the grid, and the first and last but one of its voxels around all that is liver."""
    grid = parts[0][0]
    ends = []
    for image, numbers in parts:
        there = image.kept(("only", numbers), functools.partial(image.only, numbers))
        assert there is not None
        ends.append(there.places(_corners(np.full(3, -0.5), np.array(there.data.shape) - 0.5)))
    ends += [_corners(*(np.asarray(end) for end in shape.bounds())) for shape in tumours.values()]
    voxels = grid.voxels(np.concatenate(ends))
    first = np.floor(voxels.min(axis=0) + 0.5 - 1e-6).astype(np.int64)
    stop = np.ceil(voxels.max(axis=0) + 0.5 + 1e-6).astype(np.int64)
    return grid, np.clip(first, 0, grid.data.shape), np.clip(stop, 0, grid.data.shape)


def _corners(lower: Array, upper: Array) -> Array:
    return np.stack(np.meshgrid(*np.array([lower, upper]).T, indexing="ij"), axis=-1).reshape(-1, 3)


def _filled(
    grid: LabelImage, start: Index, parts: Sequence[Marked], holes: Sequence[Marked], tumours: Mapping[str, Shape]
) -> LabelShape:
    """The liver with its tumours, and with the holes that vessels and ducts are in it; ``grid`` begins at ``start``
    of the first image."""
    whole = parts[0][0]
    middles: list[Array] = []

    def places() -> Array:
        if not middles:
            middles.append(grid.places(np.indices(grid.data.shape).reshape(3, -1).T.astype(np.float64)))
        return middles[0]

    def those(image: LabelImage, numbers: Collection[int]) -> Mask:
        if image is whole:
            return marked(grid.data, numbers)
        if image.lies_like(whole):
            return marked(image.part(start, start + grid.data.shape).data, numbers)
        return marked(image.sample(places()), numbers).reshape(grid.data.shape)

    mask = np.zeros(grid.data.shape, np.bool_)
    for image, numbers in parts:
        mask |= those(image, numbers)
    for shape in tumours.values():
        low, high = (np.asarray(end) for end in shape.bounds())
        near = grid.voxels(_corners(low, high))
        first = np.clip(np.floor(near.min(axis=0)).astype(np.int64), 0, mask.shape)
        box = tuple(map(slice, first, np.clip(np.ceil(near.max(axis=0)).astype(np.int64) + 1, 0, mask.shape)))
        inner = mask[box]
        if inner.size:
            at = np.indices(inner.shape).reshape(3, -1).T + first
            middle = grid.places(at.astype(np.float64))
            within = ((middle >= low) & (middle <= high)).all(axis=1)
            found = np.zeros(len(middle), np.bool_)
            found[within] = shape.distance(middle[within]) < 0
            inner |= found.reshape(inner.shape)
    cut = np.zeros(mask.shape, np.bool_)
    for image, numbers in holes:
        cut |= those(image, numbers)
    if (cut & ~mask).any():
        mask |= cut & _closed(mask, grid.spacing)
    return LabelShape(LabelImage(mask.view(np.uint8), grid.to_world), [1])


def _cut_out(case: Case, images: Mapping[int, LabelImage]) -> dict[int, frozenset[int]]:
    """The numbers in each image of labels that cut holes into the liver: blood, bile ducts."""
    assert case.anatomy is not None
    out = {}
    for number, image in images.items():
        entry = case.anatomy.labels[number]
        blood = [label for label, tissue in entry.mapping.items() if tissue == "blood"]
        cut_out = (*entry.vessels, *entry.hold, *blood, *entry.structures)
        if numbers := frozenset(n for label in cut_out for n in image.numbers(label)):
            out[number] = numbers
    return out


def _closed(mask: Mask, spacing: Array) -> Mask:
    """``mask`` with its gaps closed that are not wider than twice :data:`VESSEL`."""
    wide = np.pad(mask, [(int(np.ceil(VESSEL / edge)) + 1,) * 2 for edge in spacing])
    closed = ~within(~within(wide, VESSEL, spacing), VESSEL, spacing)
    inner = tuple(slice(int(np.ceil(VESSEL / edge)) + 1, -int(np.ceil(VESSEL / edge)) - 1) for edge in spacing)
    return np.asarray(closed[inner])
