"""Writes the parameter tables of docs/devices from the records of the families: default, range and source of each.

python docs/devices/make_tables.py
"""

# ruff: noqa: E501  (lines of tables)

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from rfasim.datasheet import find, make_sheet
from rfasim.quantities import Quantity, text

FOLDER = Path(__file__).parent
PAGES = {
    "needle": ("needle",), "cooled": ("cooled_needle",), "cluster": ("cooled_cluster",), "umbrella": ("umbrella",),
    "christmas_tree": ("christmas_tree",), "bipolar": ("bipolar_needle",), "bipolar_set": ("bipolar_set",),
    "wet": ("wet_needle", "cooled_wet_needle", "bipolar_wet_needle"), "custom": ("custom",),
    "reference_bodies": ("ball", "spheroid", "rod"),
}  # fmt: skip
LEFT_OUT = ("rated_power", "line")  # of every device alike; case.md has them


def parts_of(field: FieldInfo) -> list[Any]:
    """The annotation of a field and all metadata in it."""
    left, found = [field.annotation, *field.metadata], []
    while left:
        part = left.pop(0)
        found.append(part)
        left += [*getattr(part, "__metadata__", ()), *(() if get_origin(part) is Literal else get_args(part))]
    return found


def allowed(field: FieldInfo) -> str:
    """What a field takes: the bounds that are checked where the value is read."""
    low = high = ""
    for part in parts_of(field):
        if get_origin(part) is Literal:
            return ", ".join(f"`{word}`" for word in get_args(part))
        if part is bool:
            return "`true`, `false`"
        if isinstance(part, Quantity):
            low = "" if part.low is None else f"{'over' if part.low_open else 'from'} {number(part.low, part.unit)}"
            high = "" if part.high is None else f"to {number(part.high, part.unit)}"
        for key, word in (("gt", "over"), ("ge", "from")):
            if getattr(part, key, None) is not None:
                low = f"{word} {getattr(part, key):g}"
        for key, word in (("lt", "below"), ("le", "to")):
            if getattr(part, key, None) is not None:
                high = f"{word} {getattr(part, key):g}"
    return f"{low} {high}".strip()


def number(value: float, unit: str) -> str:
    return text(value, unit) if unit else f"{value:g}"


def plain(sentence: str) -> str:
    return sentence.replace("``", "`").replace("|", "\\|")


def table(word: str) -> str:
    """The parameters of one family."""
    kind, _ = find(word)
    rows = [row for row in make_sheet(word).rows if row.name not in LEFT_OUT]
    out = [f"Parameters of `{word}`:", "", "| parameter | default | allowed | meaning | source of the default |", "|---|---|---|---|---|"]
    for row in rows:
        source = "" if row.value in ("-", "(to be given)") else row.source
        out.append(f"| `{row.name}` | {row.value} | {allowed(kind.model_fields[row.name])} | {plain(row.meaning)} | {plain(source)} |")
    return "\n".join(out)


def block(page: str) -> str:
    """The generated part of a page."""
    tables = "\n\n".join(table(word) for word in PAGES[page])
    return f"<!-- parameters -->\n\n{tables}\n\nLengths add up and fit together, or the case is refused with a sentence. `rfasim devices NAME` prints the same of a model.\n\n<!-- end of parameters -->"


def written(page: str) -> str:
    """The page with its tables as they should be."""
    before = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    return re.sub(r"<!-- parameters -->.*?<!-- end of parameters -->", lambda _: block(page), before, flags=re.DOTALL)


if __name__ == "__main__":
    for page in PAGES:
        (FOLDER / f"{page}.md").write_text(written(page), encoding="utf-8")
