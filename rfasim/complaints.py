"""What pydantic found wrong with a record, as pairs of (path in the case, sentence for its author)."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rfasim.errors import InputError
from rfasim.quantities import Problems, Quantity

_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "string": "text",
    "path": "a file name",
    "model": "a group of 'key: value' lines",
    "dict": "a group of 'key: value' lines",
    "tuple": "a list",
    "list": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def input_error(found: Iterable[tuple[str, str]]) -> InputError:
    """One InputError for all that was found: a line each."""
    found = list(found)
    if len(found) == 1:
        return InputError(*found[0])
    return InputError("", "\n".join(f"{path}: {sentence}" if path else sentence for path, sentence in found))


def complaints(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """All problems of ``error``, raised by ``model``, in the order of the record's fields."""
    found: list[tuple[str, str]] = []
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    for detail in details:
        # pydantic counts a list's sound entries only: "too few" is no news beside what is wrong with an entry
        depth = len(detail["loc"])
        if detail["type"] == "too_short" and any(
            p[:depth] == detail["loc"] and len(p) > depth for p in places
        ):
            continue
        place = _Place(model)
        last = len(detail["loc"]) - 1
        for index, step in enumerate(detail["loc"]):
            place.enter(step, is_key=index == last and detail["type"] in ("extra_forbidden", "missing"))
        found += _sentences(detail, place)
    return found


class _Place:
    """Where a pydantic location leads: the case path, and what is expected there.

    Pydantic's locations also name the member of a union that was tried; a case path does not.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self.path = ""
        self.parents: list[type[BaseModel]] = []
        self.expected: list[Any] = [model]

    def enter(self, step: int | str, *, is_key: bool) -> None:
        records = [kind for kind in self.expected if isinstance(kind, type) and issubclass(kind, BaseModel)]
        fields = [record.model_fields[step] for record in records if step in record.model_fields]
        if isinstance(step, int):
            self.path += f"[{step}]"
            self.expected = [kind for item in self.expected for kind in _items(item)]
        elif fields or is_key or any(get_origin(kind) is dict for kind in self.expected):
            if step == "[key]":
                return
            mapped = [kind for item in self.expected for kind in _items(item)]
            self.parents = records
            self.path = f"{self.path}.{step}" if self.path else step
            self.expected = [kind for field in fields for kind in _flat(field.annotation)] or mapped
            self.expected += [
                kind for field in fields for kind in field.metadata if isinstance(kind, Quantity)
            ]
        else:
            self.expected = [kind for kind in records if step in _tags(kind)] or self.expected

    def below(self, path: str) -> str:
        """The path of something below this place."""
        return f"{self.path}.{path}" if self.path and path and path[0] != "[" else self.path + path

    def keys(self, records: Iterable[Any]) -> list[str]:
        return sorted({key for kind in records if hasattr(kind, "model_fields") for key in kind.model_fields})


def _flat(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, with the marks of ``Annotated`` beside them."""
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        return _flat(kind) + [mark for mark in marks if isinstance(mark, Quantity)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _flat(part)]
    return [annotation]


def _items(kind: Any) -> list[Any]:
    if get_origin(kind) in (tuple, list):
        return [part for arg in get_args(kind) if arg is not Ellipsis for part in _flat(arg)]
    if get_origin(kind) is dict:
        return _flat(get_args(kind)[1])
    return []


def _tags(record: type[BaseModel]) -> set[str]:
    """The words that tell this record from others: the values of its one-word literals."""
    return {
        get_args(field.annotation)[0]
        for field in record.model_fields.values()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    }


def shown(value: Any) -> str:
    """A value as a message shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a group of keys"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    written = f"'{value}'" if isinstance(value, str) else repr(value)
    return written if len(written) <= 60 else written[:57] + "..."


def near(word: str, known: Iterable[str]) -> str:
    """ "did you mean ...?", or all that is known."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"choose one of {', '.join(known)}"


def _sentences(detail: Any, place: _Place) -> list[tuple[str, str]]:
    kind, given, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "value_error":
        return _raised(context["error"], place)
    if kind == "extra_forbidden":
        key = str(detail["loc"][-1])
        known = place.keys(place.parents)
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        names = f"known here: {', '.join(known)}" if len(known) < 15 else "'rfasim schema' shows all keys"
        hint = f"did you mean {close[0]}?" if close else names
        return [(place.path, f"is no known key; {hint}")]
    if kind == "missing":
        quantity = next((kind for kind in place.expected if isinstance(kind, Quantity)), None)
        return [(place.path, f"is missing; give {quantity.meaning}" if quantity else "is missing")]
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        path = place.below(context["discriminator"].strip("'"))
        known = [
            str(tag) for record in place.expected if hasattr(record, "model_fields") for tag in _tags(record)
        ]
        if kind == "union_tag_not_found" or context["tag"] in ("", "None"):
            return [(path, f"is missing; choose one of {', '.join(known)}")]
        return [(path, f"got {shown(context['tag'])}; {near(context['tag'], known)}")]
    if kind == "literal_error":
        known = [
            str(word) for part in place.expected if get_origin(part) is Literal for word in get_args(part)
        ]
        return [(place.path, f"got {shown(given)}; {near(str(given), known)}")]
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return [(place.path, f"got {shown(given)}; it must be {words} {context[name]:g}")]
    if kind == "too_short":
        return [
            (
                place.path,
                f"holds {context['actual_length']} entries; it needs at least {context['min_length']}",
            )
        ]
    if kind == "too_long":
        return [
            (
                place.path,
                f"holds {context['actual_length']} entries; it takes at most {context['max_length']}",
            )
        ]
    if kind == "string_too_short":
        return [(place.path, "is empty; give it a word")]
    expected = _EXPECTED.get(kind) or _EXPECTED.get(kind.split("_")[0])
    if expected:
        return [(place.path, f"got {shown(given)}; expected {expected}")]
    return [(place.path, f"got {shown(given)}: {detail['msg'][:1].lower()}{detail['msg'][1:]}")]


def _raised(error: Exception, place: _Place) -> list[tuple[str, str]]:
    """A ValueError of our own; "field: sentence" belongs to that field."""
    if isinstance(error, Problems):
        return [(place.below(path), sentence) for path, sentence in error.found]
    field, colon, sentence = str(error).partition(": ")
    if colon and field in place.keys(place.expected):
        return [(place.below(field), sentence)]
    return [(place.path, str(error))]
