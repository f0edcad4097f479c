"""What data sheets of devices and of protocols have in common: the word a case says, one line about it, a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel

KEYS = ("device", "protocol", "shape", "kind")
"""the keys by which a case says which record a group is"""


@dataclass(frozen=True)
class Row:
    """One parameter or field: its name, its value as one writes it, where that is from, and what it means."""

    name: str
    value: str
    source: str
    meaning: str


def word_of(kind: type[BaseModel]) -> str:
    """The word that says in a case file which record a group is: "needle" of ``device: needle``; "" where none does."""
    for key in KEYS:
        if key in kind.model_fields:
            return str(get_args(kind.model_fields[key].annotation)[0])
    return ""


def about(kind: type[BaseModel]) -> str:
    """A record in one line: the first paragraph of its docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "")
