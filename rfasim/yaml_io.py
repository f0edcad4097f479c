"""YAML 1.2 in and out, for files from anybody: plain data, bounded in size, one sentence when it is bad."""

from __future__ import annotations

import io
import itertools
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from rfasim.errors import InputError

LARGEST_FILE = 1_000_000  # bytes; a case of a few pages has 5000
LARGEST_COUNT = 100_000  # values, aliases counted as often as they are used
DEEPEST = 40


def read_text(path: Path) -> str:
    """The text of a file; raises InputError when it is missing, unreadable, too large or no UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise InputError(str(path), "there is no such file; give the path of a case file (.yaml)") from None
    except IsADirectoryError:
        raise InputError(str(path), "is a folder; give the path of a case file (.yaml)") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(str(path), f"cannot be read: {reason}") from None
    if len(raw) > LARGEST_FILE:
        raise InputError(
            str(path),
            f"is larger than {LARGEST_FILE // 1000} kB, far more than a case needs; is it the right file?",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is no UTF-8 text (byte {error.start}); is it the right file?") from None


def parse_yaml(text: str, source: str) -> Any:
    """The plain data in ``text``: dict, list, str, int, float, bool, None; messages name the ``source``."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    depth = itertools.accumulate((character in "[{") - (character in "]}") for character in text)
    if max(depth, default=0) > 10 * DEEPEST:  # ruamel would take seconds to find out
        raise InputError(source, f"is nested more than {DEEPEST} levels deep; a case needs five")
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        raise InputError(source, _where(error) + _problem(error)) from None
    except RecursionError:
        raise InputError(source, f"is nested more than {DEEPEST} levels deep; a case needs five") from None
    except YAMLError:
        raise InputError(source, "holds characters that YAML does not allow; is it the right file?") from None
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        # a number of 5000 digits, a list as a key, an impossible date: ruamel lets Python's errors through
        raise InputError(
            source, f"holds a value that cannot be read ({str(error).splitlines()[0][:80]})"
        ) from None
    _Plain(source).check(data, "", 0)
    return data


def _where(error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""


def _problem(error: Any) -> str:
    problem = str(error.problem or error.context or "cannot be read as YAML").strip().splitlines()[0]
    if "constructor for the tag" in problem:
        tag = problem.split("'")[1].replace("tag:yaml.org,2002:", "!!") if "'" in problem else "!"
        return (
            f"the tag {tag} builds an object; a case file holds only text, numbers, lists and groups of keys"
        )
    if "duplicate key" in problem:
        key = problem.split('"')[1] if '"' in problem else "?"
        return f"the key '{key}' is given twice; keep one of the two"
    return f"cannot be read as YAML: {problem} (is the file complete, and is the indentation right?)"


class _Plain:
    """Refuses what is not plain data, and aliases that blow up or loop."""

    def __init__(self, source: str) -> None:
        self.source, self.count = source, 0

    def check(self, data: Any, path: str, depth: int) -> None:
        self.count += 1
        if self.count > LARGEST_COUNT:
            raise InputError(
                self.source,
                f"holds more than {LARGEST_COUNT} values (do its aliases repeat each other?); shorten it",
            )
        if depth > DEEPEST:
            raise InputError(self.source, f"is nested more than {DEEPEST} levels deep; a case needs five")
        if isinstance(data, dict):
            for key, value in data.items():
                if not isinstance(key, (str, int)) or isinstance(key, bool):
                    raise InputError(f"{path or self.source}", f"has the key {key!r}; keys are words")
                self.check(value, f"{path}.{key}" if path else str(key), depth + 1)
        elif isinstance(data, list):
            for index, value in enumerate(data):
                self.check(value, f"{path}[{index}]", depth + 1)
        elif isinstance(data, str) and any("\ud800" <= character <= "\udfff" for character in data):
            raise InputError(path or self.source, "holds half a character (a lone surrogate); write it out")
        elif data is not None and not isinstance(data, (str, int, float, bool)):
            kind = type(data).__name__.lower()
            raise InputError(
                path or self.source,
                f"is a {kind} in YAML, which no case uses; put quotes around it if it is text",
            )


def dump_yaml(data: Any) -> str:
    """Plain data as YAML, keys in their own order, lists of plain values on one line."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    def word(key: Any) -> Any:
        plain = not isinstance(key, str) or re.fullmatch(r"\w[\w .-]*", key)
        return key if plain else DoubleQuotedScalarString(key)

    def styled(value: Any) -> Any:
        if isinstance(value, dict):
            return {word(key): styled(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = CommentedSeq([styled(item) for item in value])
            if not any(isinstance(item, dict) for item in value):
                items.fa.set_flow_style()
            return items
        if isinstance(value, str) and (not value.isprintable() or value.startswith("?")):
            # escapes what YAML would fold or refuse, and what would begin a key in a list on one line
            return DoubleQuotedScalarString(value)
        return value

    yaml = YAML(typ="rt", pure=True)
    yaml.width, yaml.allow_unicode = 1_000_000, True  # folding would lose spaces beside escapes
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.indent(mapping=2, sequence=4, offset=2)
    buffer = io.StringIO()
    yaml.dump(styled(data), buffer)
    return buffer.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all; raises InputError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from None
