"""What a protocol or a preset of the catalogue says: its fields, their values and where each is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter

from rfasim.complaints import near
from rfasim.errors import InputError
from rfasim.presets import PROTOCOLS
from rfasim.protocols import ALL_PROTOCOLS, Generator, Source
from rfasim.sheet import Row, about, word_of

DEFAULT, TO_GIVE = "default of the protocol", "(to be given)"


@dataclass(frozen=True)
class ProtocolSheet:
    """A protocol word (``preset`` False) or a row of the catalogue."""

    name: str
    preset: bool
    protocol: str
    title: str
    rows: tuple[Row, ...]
    notes: str


def words() -> list[tuple[str, str]]:
    """(word, one line) of each protocol."""
    return [(word_of(kind), about(kind)) for kind in ALL_PROTOCOLS]


def catalogue() -> list[tuple[str, str, str]]:
    """(name, protocol, title) of each preset."""
    return [(name, row.data["protocol"], row.title) for name, row in PROTOCOLS.items()]


def make_sheet(name: str) -> ProtocolSheet:
    """The sheet of a protocol (``pulsed``) or a preset (``cooltip_pulsed``); raises InputError for another name."""
    kinds = {word_of(kind): kind for kind in ALL_PROTOCOLS}
    rows: tuple[Row, ...]
    if name in kinds:
        fields = {
            field: (TO_GIVE if info.is_required() else _plain(kinds[name], field, info.default))
            for field, info in kinds[name].model_fields.items()
        }
        rows = tuple(
            Row(path, _written(value), "", _meaning(kinds[name], path))
            for path, value in _flat(fields)
            if path not in ("protocol", "preset")
        )
        return ProtocolSheet(name, False, name, about(kinds[name]), rows, "")
    if name not in PROTOCOLS:
        raise InputError("NAME", f"'{name}' is no known protocol or preset; {near(name, [*kinds, *PROTOCOLS])}")
    preset = PROTOCOLS[name]
    adapter: TypeAdapter[Source] = TypeAdapter(Generator)
    record = adapter.validate_python({"preset": name}, context={"from_file": True})
    stated = dict(_flat(preset.data))  # written as the catalogue writes it
    rows = tuple(
        Row(
            path,
            _written(stated.get(path, value)),
            "" if value is None else preset.sources.get(path, "") if path in stated else DEFAULT,
            _meaning(type(record), path),
        )
        for path, value in _flat(record.model_dump(mode="json"))
        if path not in ("protocol", "preset")
    )
    return ProtocolSheet(name, True, preset.data["protocol"], preset.title, rows, preset.notes)


def as_data(sheet: ProtocolSheet) -> dict[str, Any]:
    """The sheet as plain data for JSON."""
    fields = {row.name: {"value": row.value, "source": row.source, "meaning": row.meaning} for row in sheet.rows}
    head = {"name": sheet.name, "protocol": sheet.protocol, "preset": sheet.preset, "title": sheet.title}
    return {**head, "fields": fields, "notes": sheet.notes}


def _plain(kind: type[BaseModel], name: str, value: Any) -> Any:
    """A field's default as a case file says it."""
    info = kind.model_fields[name]
    annotation: Any = info.annotation
    for mark in info.metadata:
        annotation = Annotated[annotation, mark]
    return TypeAdapter(annotation).dump_python(value, mode="json")


def _flat(data: Any, before: str = "") -> list[tuple[str, Any]]:
    """Pairs of path and value; lists are values."""
    found: list[tuple[str, Any]] = []
    for key, value in data.items():
        found += _flat(value, f"{before}{key}.") if isinstance(value, dict) else [(before + key, value)]
    return found


def _meaning(kind: type[BaseModel], path: str) -> str:
    """What a field is, in the words of its record; a group's fields are looked up in the group."""
    first, _, rest = path.partition(".")
    info = kind.model_fields[first]
    if rest:
        groups = (info.annotation, *get_args(info.annotation))
        inner = next(group for group in groups if isinstance(group, type) and issubclass(group, BaseModel))
        return _meaning(inner, rest)
    return " ".join((info.description or "").split())


def _written(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_written(item) for item in value)}]"
    if isinstance(value, str) and value.endswith(" W/s"):  # a sixth of a watt a second is nothing to read
        return f"{60 * float(value.removesuffix(' W/s')):g} W/min"
    return str(value)
