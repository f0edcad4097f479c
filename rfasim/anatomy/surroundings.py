"""The liver around a tumour, whose surface is the capsule, and the organs that must not be burnt, as smooth shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.images import images_of
from rfasim.anatomy.labels import LabelImage
from rfasim.anatomy.smooth import LabelShape
from rfasim.errors import InputError

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.geometry import Shape

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
REACH = 0.03  # m beyond the domain: what is farther away is not looked at
# m: vessels and ducts that labels cut out of the liver count as liver where they are no wider than twice this
VESSEL = 0.008


@dataclass(frozen=True, eq=False)
class Surroundings:
    """``organ``: the liver with its tumours and vessels; ``structures`` by name, None for one farther than
    :data:`REACH` from the domain."""

    organ: LabelShape | None
    structures: Mapping[str, LabelShape | None]


def read_surroundings(case: Case, base: Path | None, tumours: Mapping[str, Shape]) -> Surroundings:
    """What the label images of ``case`` show around its domain. Raises InputError for a liver that is elsewhere."""
    assert case.anatomy is not None
    lower, upper = (np.asarray(end) for end in case.domain.geometry(case.domain_centre).bounds())
    box = lower - REACH, upper + REACH
    images = {number: image.crop(*box) for number, image in images_of(case.anatomy, base)}
    return Surroundings(_organ(case, images, tumours), _structures(case, images))


def _structures(case: Case, images: Mapping[int, LabelImage]) -> dict[str, LabelShape | None]:
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
                out[name] = LabelShape(image, numbers) if numbers else None
            except InputError as error:
                raise InputError(f"{place}.{name}", error.message) from None
    return out


def _organ(case: Case, images: Mapping[int, LabelImage], tumours: Mapping[str, Shape]) -> LabelShape | None:
    assert case.anatomy is not None
    wanted: dict[int, set[int]] = {}
    known = False
    for number, image in images.items():
        entry = case.anatomy.labels[number]
        labels = entry.organ or tuple(label for label, tissue in entry.mapping.items() if tissue == case.background)
        known |= len(labels) > 0
        numbers = {n for label in labels for n in image.numbers(label)}
        if numbers:
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
    grid = images[first]
    mask = np.isin(grid.data, list(wanted[first]))
    middles = grid.places(np.argwhere(np.ones_like(mask)).astype(np.float64))

    def add(inside: NDArray[Any]) -> None:
        mask.ravel()[inside] = True

    for number, numbers in wanted.items():
        if number != first:
            add(np.isin(images[number].sample(middles), list(numbers)))
    for shape in tumours.values():
        low, high = (np.asarray(end) for end in shape.bounds())
        near = np.flatnonzero(((middles >= low) & (middles <= high)).all(axis=1))
        add(near[shape.distance(middles[near]) < 0])
    add(_cut_out(case, images, middles) & _closed(mask, grid.spacing).ravel())
    try:
        return LabelShape(LabelImage(mask.astype(np.uint8), grid.to_world), [1])
    except InputError as error:
        raise InputError(f"anatomy.labels[{first}].file", error.message) from None


def _cut_out(case: Case, images: Mapping[int, LabelImage], middles: Array) -> Mask:
    """Which of the ``middles`` (n, 3) a label is at that cuts holes into the liver: blood, bile ducts."""
    assert case.anatomy is not None
    found = np.zeros(len(middles), np.bool_)
    for number, image in images.items():
        entry = case.anatomy.labels[number]
        blood = [label for label, tissue in entry.mapping.items() if tissue == "blood"]
        cut_out = (*entry.vessels, *entry.hold, *blood, *entry.structures)
        numbers = {n for label in cut_out for n in image.numbers(label)}
        if numbers:
            found |= np.isin(image.sample(middles), list(numbers))
    return found


def _closed(mask: Mask, spacing: Array) -> Mask:
    """``mask`` with its gaps closed that are not wider than twice :data:`VESSEL`."""
    from scipy.ndimage import distance_transform_edt

    find: Any = distance_transform_edt
    wide = np.pad(mask, [(int(np.ceil(VESSEL / edge)) + 1,) * 2 for edge in spacing])
    grown = find(~wide, sampling=spacing) <= VESSEL
    closed = find(grown, sampling=spacing) > VESSEL
    inner = tuple(slice(int(np.ceil(VESSEL / edge)) + 1, -int(np.ceil(VESSEL / edge)) - 1) for edge in spacing)
    return np.asarray(closed[inner])
