"""The label images that a case names: read, and their labels found, with the case's paths in messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rfasim.anatomy.labels import LabelImage
from rfasim.anatomy.reading import read_labels
from rfasim.errors import InputError

if TYPE_CHECKING:
    from rfasim.case import Anatomy


def named_in_case(field: str, file: str, base: Path | None) -> tuple[Path, LabelImage]:
    """The label image that a ``field`` of the case names, and its path; raises InputError with the field."""
    path = Path(file) if base is None else base / file
    try:
        return path, read_labels(path)
    except InputError as error:
        raise InputError(field, f"{error.path}: {error.message}") from None


def images_of(anatomy: Anatomy, base: Path | None) -> Iterator[tuple[int, LabelImage]]:
    """The images in their order, numbered; raises InputError for one that lacks its labels."""
    for number, entry in enumerate(anatomy.labels):
        place = f"anatomy.labels[{number}]"
        path, image = named_in_case(f"{place}.file", entry.file, base)
        parts = {
            "mapping": [*entry.mapping], "vessels": [*entry.vessels], "structures": [*entry.structures],
            "organ": [*entry.organ],
        }  # fmt: skip
        asked = [label for labels in parts.values() for label in labels]
        if not any(image.numbers(label) for label in asked):
            part = next(part for part, labels in parts.items() if labels)
            raise InputError(
                f"{place}.{part}",
                f"none of its labels ({', '.join(map(str, asked))}) is in {path}; there are: {image.describe()}",
            )
        for part, labels in parts.items():
            for label in labels:
                # of numbers only some may occur, as in a patient without one of the organs; names were read off the
                # file, and what must not be burnt has to be there
                if (isinstance(label, str) or part in ("structures", "organ")) and not image.numbers(label):
                    raise InputError(f"{place}.{part}.{label}", f"is no label of {path}; there are: {image.describe()}")
        yield number, image
