"""Drawings of the devices for the list, made once a device."""

from __future__ import annotations

import functools

from rfasim.datasheet import draw_device, find, make_sheet
from rfasim.errors import InputError


@functools.lru_cache(maxsize=64)
def drawing(name: str, model: str | None) -> bytes:
    """A device family, or one of its models, as SVG. Raises InputError for one that is not known."""
    find(name)
    sheet = make_sheet(model or name)
    if sheet.device is None:
        raise InputError(name, "has no drawing, for what it looks like depends on what the case says")
    return draw_device(sheet.device, sheet.title, ".svg")
