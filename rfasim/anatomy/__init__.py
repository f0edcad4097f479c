"""From label images to the tissue at each point, and to the vessels in them: distance, and centre lines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rfasim.anatomy.centrelines import CentreLine, centre_lines, describe, write_centre_lines
from rfasim.anatomy.images import images_of, named_in_case
from rfasim.anatomy.labels import LabelDistance, LabelImage
from rfasim.anatomy.reading import read_labels
from rfasim.anatomy.scans import Scan, read_grid, read_scan
from rfasim.anatomy.smooth import LabelShape, label_shape
from rfasim.anatomy.surroundings import Surroundings, read_surroundings
from rfasim.errors import InputError

if TYPE_CHECKING:
    from rfasim.case import Anatomy, Case, LabelTumour, Tumour, Vessel

Array = NDArray[np.float64]
ELSEWHERE = 0.3
"""an image that is so far [m] from a domain has another frame, or is of another patient"""

__all__ = [
    "CentreLine",
    "LabelDistance",
    "LabelImage",
    "LabelShape",
    "Scan",
    "Surroundings",
    "centre_lines",
    "describe",
    "images_of",
    "read_grid",
    "read_labels",
    "read_scan",
    "read_surroundings",
    "tissue_of_points",
    "tumour_shape",
    "vessel_distance",
    "vessels_of",
    "write_centre_lines",
]


def tissue_of_points(
    anatomy: Anatomy, points: Array, base: Path | None = None, *, background: str | None = None,
    tumours: Collection[Tumour] = (),
) -> tuple[list[str], NDArray[np.uint32], NDArray[np.bool_]]:  # fmt: skip
    """The tissue at ``points`` (n, 3; LPS metres): names, index into them (n,), and where it is held (n,).

    Images are laid over one another in their order: a later one wins wherever its label has a tissue.
    Labels without a tissue say nothing, and where no image says anything the tissue is ``anatomy.outside``. Labels of
    vessels, and those that one of the ``tumours`` is made of, cut holes into the liver of the same image: where they
    have no tissue of their own it is ``background`` (nothing, when that is None).
    Held are the points whose winning label is in that image's ``hold``. File names are looked for from
    ``base``.

    Raises InputError for images that cannot be read, an image with none of its labels, and when all points
    lie outside of all labels: a sign of coordinates in another frame.
    """
    names: list[str] = [anatomy.outside]
    index = np.zeros(len(points), dtype=np.uint32)
    held = np.zeros(len(points), dtype=np.bool_)
    found = np.zeros(len(points), dtype=np.bool_)
    for number, image in images_of(anatomy, base):
        away = 0.0 if len(points) == 0 else image.distance_to_box(points.mean(axis=0))
        if away > ELSEWHERE:
            middle = ", ".join(f"{1e3 * x:.0f}" for x in points.mean(axis=0))
            raise InputError(
                f"anatomy.labels[{number}].file",
                f"lies {1e3 * away:.0f} mm away from the domain, whose middle is ({middle}) mm; is it of this patient, "
                "and are coordinates given in the patient's frame (LPS)?",
            )
        labels = image.sample(points)
        entry = anatomy.labels[number]
        held_labels = {n for label in entry.hold for n in image.numbers(label)}
        cut_out = [*entry.vessels, *(t.label for t in tumours if t.shape == "labels" and t.file == entry.file)]
        if background is not None and cut_out:
            here = np.isin(labels, [n for label in cut_out for n in image.numbers(label)])
            if background not in names:
                names.append(background)
            index[here], held[here] = names.index(background), False
            found |= here
        for label, tissue in ((n, tissue) for key, tissue in entry.mapping.items() for n in image.numbers(key)):
            here = labels == label
            if tissue not in names:
                names.append(tissue)
            index[here] = names.index(tissue)
            held[here] = label in held_labels
            found |= here
    if len(points) and not found.any():
        middle = ", ".join(f"{1e3 * x:.0f}" for x in points.mean(axis=0))
        raise InputError(
            "anatomy.labels",
            f"say nothing about the domain, whose middle is ({middle}) mm; "
            "give coordinates in the patient's frame (LPS)",
        )
    used = np.unique(index)
    return [names[k] for k in used], np.searchsorted(used, index).astype(np.uint32), held


def tumour_shape(tumour: LabelTumour, place: str, base: Path | None) -> LabelShape:
    """The tumour that a label image holds; raises InputError with its ``place`` in the case."""
    path, image = named_in_case(f"{place}.file", tumour.file, base)
    numbers = image.numbers(tumour.label)
    if not numbers:
        raise InputError(f"{place}.label", f"'{tumour.label}' is no label of {path}; there are: {image.describe()}")
    try:
        return label_shape(image, numbers)
    except InputError as error:
        raise InputError(f"{place}.file", f"{path}: {error.message}") from None


def vessel_distance(anatomy: Anatomy, base: Path | None, case: Case) -> Callable[[Array], Array]:
    """Signed distance (m, negative inside) to all held labels as a function of points (n, 3) in LPS metres.

    The images are looked at within ``anatomy.crop`` of the middle of the domain; infinite when nothing
    there is held.
    """
    centre = np.array(case.domain_centre)
    fields = []
    for number, image in images_of(anatomy, base):
        hold = [n for label in anatomy.labels[number].hold for n in image.numbers(label)]
        if hold:
            try:
                fields.append(LabelDistance(image, hold, centre - anatomy.crop, centre + anatomy.crop))
            except InputError as error:
                raise InputError(f"anatomy.labels[{number}].file", error.message) from None

    def distance(points: Array) -> Array:
        nearest = np.full(len(points), np.inf)
        for field in fields:
            nearest = np.minimum(nearest, field(points))
        return nearest

    return distance


def vessels_of(anatomy: Anatomy, base: Path | None, case: Case) -> tuple[Vessel, ...]:
    """The vessels that the label images hold within ``anatomy.crop`` of the middle of the domain.

    Each piece of centre line is a vessel as wide as it is in the mean. In portal and arterial trees blood flows away
    from where the tree is widest, in hepatic veins and the cava towards there; that vessel's velocity is stated.
    """
    from rfasim.case import Vessel

    centre = np.array(case.domain_centre)
    out: list[Vessel] = []
    for number, image in images_of(anatomy, base):
        for label, entry in anatomy.labels[number].vessels.items():
            try:
                lines = centre_lines(
                    image, image.numbers(label), centre - anatomy.crop, centre + anatomy.crop,
                    min_length=entry.min_length, min_diameter=entry.min_diameter,
                )  # fmt: skip
            except InputError as error:
                raise InputError(f"anatomy.labels[{number}].vessels.{label}", error.message) from None
            collects = entry.kind in ("hepatic", "cava")
            for k, line in enumerate(lines):
                points = line.points[::-1] if collects else line.points
                out.append(
                    Vessel.model_construct(  # all is known to be right
                        name=f"{entry.kind} {label}.{line.tree}.{k}", kind=entry.kind, diameter=line.diameter,
                        points=tuple((x, y, z) for x, y, z in points.tolist()),
                        velocity=entry.usual_velocity if line.parent < 0 else None,
                    )
                )  # fmt: skip
    return _with_free_ends(out)


def _with_free_ends(vessels: list[Vessel]) -> tuple[Vessel, ...]:
    """The vessels, trunks that the box cuts just where another tree joins made longer by their width.

    A trunk whose flow is stated (the cava, for one) would have no other end there for what it carries beside the blood
    of that tree (the hepatic veins).
    """
    ends = np.array([[vessel.points[0], vessel.points[-1]] for vessel in vessels]).reshape(-1, 2, 3)
    width = np.array([vessel.diameter for vessel in vessels])
    trees = np.array([vessel.name.rsplit(".", 1)[0] for vessel in vessels])
    out = []
    for k, vessel in enumerate(vessels):
        points = [np.array(point) for point in vessel.points]
        for end, inner in ((0, 1), (-1, -2)):
            near = np.linalg.norm(ends - points[end], axis=2).min(axis=1) <= 0.5 * np.maximum(width, width[k])
            joins = near & (width <= width[k]) & (trees != trees[k])
            if vessel.velocity is not None and joins.any():
                way = points[end] - points[inner]
                longer = points[end] + 1.5 * vessel.diameter * way / np.linalg.norm(way)
                points.insert(0, longer) if end == 0 else points.append(longer)
        if len(points) > len(vessel.points):
            vessel = vessel.model_copy(update={"points": tuple((x, y, z) for x, y, z in np.array(points).tolist())})
        out.append(vessel)
    return tuple(out)
