"""One case with one field changed, side by side: ``rfasim run CASE --compare PATH=VALUE1,VALUE2``.

A variant is the case with one of the values; each gets an ordinary result folder. ``comparison.json`` holds the numbers
that are compared, ``comparison.png`` the sections; the table is made from ``comparison.json`` alone.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfasim.checkpoint import allowed_name
from rfasim.errors import InputError

if TYPE_CHECKING:
    from rfasim.case import Case

NUMBERS, PICTURE = "comparison.json", "comparison.png"
LONGEST_FOLDER = 40
EXAMPLE = 'generator.power="20 W","30 W"'
_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Comparison:
    """What ``--compare`` says: the field, and its values as written (YAML each)."""

    path: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """The case with one of the values; ``value`` is how it is shown, ``folder`` the name of its result folder."""

    value: str
    folder: str
    case: Case


@dataclass(frozen=True)
class Done:
    """What became of a variant: its ``summary.json``, or why its run failed."""

    variant: Variant
    summary: Mapping[str, Any] | None
    reason: str = ""


# ------------------------------------------------------------------------------------------------- the option


def parse_comparison(text: str) -> Comparison:
    """``PATH=VALUE1,VALUE2[,...]``, cut at the commas outside brackets, braces and quotes; raises InputError.

    >>> parse_comparison("probes[0].at=[0 mm, 0 mm, 5 mm],[0 mm, 0 mm, 9 mm]").values
    ('[0 mm, 0 mm, 5 mm]', '[0 mm, 0 mm, 9 mm]')
    """
    path, equals, rest = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise InputError("--compare", f"'{text}' names no field with its values; write for example {EXAMPLE}")
    values = tuple(_split(rest, text))
    if not all(values):
        raise InputError("--compare", f"'{text}' has an empty value; write null for nothing, and \"\" for no text")
    if len(values) < 2:
        raise InputError(
            "--compare", f"'{text}' gives one value of {path}; give two or more with commas between, such as {EXAMPLE}"
        )
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise InputError("--compare", f"'{text}' gives {twice[0]} twice; give values that differ")
    return Comparison(path, values)


def _split(text: str, whole: str) -> list[str]:
    """The pieces between commas; a quote counts where YAML would let it begin a text."""
    pieces, start = [], 0
    expected: list[str] = []  # closing brackets
    quote, skip, before = "", False, ","
    for index, character in enumerate(text):
        if skip:
            skip = False
        elif quote:
            if quote == '"' and character == "\\":
                skip = True
            elif character == quote:
                skip = quote == "'" and text[index + 1 : index + 2] == "'"  # '' is an apostrophe
                quote = quote if skip else ""
        elif character in "'\"" and before in ",[{:":
            quote = character
        elif character in _CLOSING:
            expected.append(_CLOSING[character])
        elif character in "]}":
            if not expected or expected.pop() != character:
                raise InputError("--compare", f"'{whole}' has a {character} that closes nothing; quote text with it")
        elif character == "," and not expected:
            pieces.append(text[start:index].strip())
            start = index + 1
        before = before if character.isspace() else character
    missing = quote or "".join(expected)
    if missing:
        raise InputError("--compare", f"'{whole}' ends before a closing {missing[-1]}; close it, or quote text with it")
    return [*pieces, text[start:].strip()]


def folders_of(values: Sequence[str]) -> list[str]:
    """A folder's name for each value: readable, safe in a shell, and no two the same on any disk."""
    taken = {NUMBERS, PICTURE}
    names = []
    for value in values:
        text = re.sub(r"[^\w.-]+", "_", re.sub(r"^-(?=[\d.])", "minus_", value))
        stem = allowed_name(text.strip("._-")[:LONGEST_FOLDER].rstrip("._-") or "value")
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def load_variants(file: str | Path, comparison: Comparison, overrides: Iterable[tuple[str, str]] = ()) -> list[Variant]:
    """Read and check the case of every variant; raises one InputError for all that is wrong, naming the value.

    ``overrides`` hold for all variants: those below the compared field are made after it, all others before.
    """
    from rfasim.case import load_case
    from rfasim.yaml_io import parse_yaml

    path, field = comparison.path, _canonical(comparison.path)
    before: list[tuple[str, str]] = []
    after: list[tuple[str, str]] = []
    for place, value in overrides:
        if _canonical(place) == field:
            raise InputError("--set", f"{place} is the field that --compare changes; leave --set {place} out")
        below = _canonical(place).startswith((f"{field}.", f"{field}["))
        (after if below else before).append((place, value))
    cases: list[Case] = []
    problems: dict[str, list[str]] = {}  # sentence -> values it is about
    for value in comparison.values:
        try:
            cases.append(load_case(file, [*before, (path, value), *after]))
        except InputError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, []).append(value)
    if problems:
        lines = []
        for line, about in problems.items():
            if len(about) == len(comparison.values):  # the values have nothing to do with it
                lines.append(line)
            else:
                sentence = re.sub(rf"^(?:{re.escape(path)}|{re.escape(field)}): ", "", line)
                lines += [f"{path}={value}: {sentence}" for value in about]
        raise InputError("", "\n".join(lines))
    for index, case in enumerate(cases):
        if case in cases[:index]:
            one, other = comparison.values[cases.index(case)], comparison.values[index]
            raise InputError("--compare", f"{one} and {other} make the same case of {path}; give values that differ")
    read = [parse_yaml(value, path) for value in comparison.values]
    shown = [plain if isinstance(plain, str) and plain else v for plain, v in zip(read, comparison.values, strict=True)]
    return [Variant(*parts) for parts in zip(shown, folders_of(shown), cases, strict=True)]


def _canonical(path: str) -> str:
    return re.sub(r"\.(\d+)(?=$|[.\[])", r"[\1]", path.strip())


# ------------------------------------------------------------------------------------------------ the numbers


@dataclass(frozen=True)
class Row:
    """A row of the table: a number of ``summary.json`` by its path there, what it is, and how it is written."""

    key: str
    what: str
    unit: str = ""
    digits: int = 1
    scale: float = 1.0
    nothing: str = "-"

    def write(self, value: Any, *, signed: bool = False) -> str:
        """``value`` as the table shows it."""
        if value is None:
            return self.nothing
        if isinstance(value, str):
            return value
        number = f"{self.scale * value:{'+' if signed else ''}.{self.digits}f}"
        return number.replace("+", "").replace("-", "") if float(number) == 0.0 else number


ZONE = (
    Row("zone.volume_ml", "zone volume", "ml", 2),
    Row("zone.long_axis_mm", "zone, long axis", "mm"),
    Row("zone.short_axis_mm", "zone, short axis", "mm"),
    Row("zone.sphericity", "zone, sphericity", "", 2),
)
TUMOUR = (
    Row("tumour.ablated_fraction", "tumour ablated", "%", 1, 100.0),
    Row("tumour.residual_ml", "tumour left", "ml", 2),
    Row("tumour.minimal_margin_mm", "smallest margin", "mm"),
    Row("tumour.margin_class", "margin class"),
    Row("tumour.response", "response"),
)
RUN = (
    Row("electrical.roll_off_time_s", "roll-off", "s", nothing="none"),
    Row("electrical.delivered_energy_j", "energy delivered", "kJ", 2, 1e-3),
    Row("electrical.mean_power_w", "power, mean", "W"),
    Row("electrical.initial_impedance_ohm", "impedance, start", "ohm"),
    Row("electrical.final_impedance_ohm", "impedance, end", "ohm"),
    Row("thermal.max_temperature_c", "hottest tissue", "degC"),
    Row("energy.perfusion_j", "heat taken by perfusion", "kJ", 2, 1e-3),
)
MARGIN = "tumour.minimal_margin_mm"
VESSELS = "energy.vessels_j"
MOST_VESSELS = 8  # vessels in the table: those that took most heat; comparison.json has all
HEADINGS = (28, 20, 12)  # characters of a value in a line of a heading, the first that fits


def vessel_key(name: str) -> str:
    """Where the numbers of a comparison have the heat that a vessel took."""
    return f"vessels.{name}.heat_removed_j"


def numbers_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The compared numbers, from ``summary.json``; further tumours, structures and vessels by name, a name's second
    vessel as "name (2)"."""
    tumour = summary.get("tumour") is not None
    wanted = [row.key for row in (*ZONE, *(TUMOUR if tumour else ()), *RUN)]
    numbers = {key: _at(summary, key) for key in wanted}
    for row in (summary.get("tumours") or ())[1:]:
        numbers[f"tumours.{row['name']}.minimal_margin_mm"] = row["minimal_margin_mm"]
    for row in summary.get("structures") or ():
        for what in ("zone_distance_mm", "max_temperature_c"):
            numbers[f"structures.{row['name']}.{what}"] = row[what]
    numbers[VESSELS] = _at(summary, VESSELS)
    seen: dict[str, int] = {}
    for vessel in summary.get("vessels") or ():
        name = str(vessel.get("name") or "vessel")
        seen[name] = seen.get(name, 0) + 1
        numbered = name if seen[name] == 1 else f"{name} ({seen[name]})"
        numbers[vessel_key(numbered)] = vessel.get("heat_removed_j")
    return numbers


def _at(data: Any, key: str) -> Any:
    for step in key.split("."):
        data = data.get(step) if isinstance(data, Mapping) else None
    return data


def comparison_data(path: str, done: Sequence[Done]) -> dict[str, Any]:
    """The content of ``comparison.json``: each number as a list, one entry a value; differences from the first."""
    from rfasim import __version__
    from rfasim.tables import strict_json

    each = [{} if one.summary is None else strict_json(numbers_of(one.summary)) for one in done]
    keys = list(dict.fromkeys(key for numbers in each for key in numbers))
    numbers = {key: [of.get(key) for of in each] for key in keys}
    values = [one.variant.value for one in done]
    margins = numbers.get(MARGIN)
    data = {
        "case": done[0].variant.case.name,
        "rfasim_version": __version__,
        "path": path,
        "values": values,
        "folders": [one.variant.folder for one in done],
        "case_sha256": [one.variant.case.sha256 for one in done],
        "status": ["failed" if one.summary is None else "complete" for one in done],
        "reasons": [one.reason or None for one in done],
        "numbers": numbers,
        "differences": {key: [_difference(value, row[0]) for value in row] for key, row in numbers.items()},
    }
    if margins is not None:
        # what ran and has no margin at all (no zone) is worst; what failed has no rank
        ran = [k for k, one in enumerate(done) if one.summary is not None]
        ranked = sorted(ran, key=lambda k: float("-inf") if margins[k] is None else margins[k], reverse=True)
        data["ranking"] = [values[k] for k in ranked]
    return data


def _difference(value: Any, first: Any) -> float | None:
    if isinstance(value, str) or isinstance(first, str) or value is None or first is None:
        return None
    return float(value - first)


# -------------------------------------------------------------------------------------------------- the table


Table = tuple[list[str], list[list[str]]]  # heading, rows


def tables(data: Mapping[str, Any], room: int) -> list[Table]:
    """The table at most ``room`` characters wide, from what ``comparison.json`` holds; in parts where it must be."""
    for heading in HEADINGS:
        whole = table(data, range(len(data["values"])), heading)
        if width_of(whole) <= room:
            return [whole]
    parts: list[Table] = []
    begin = 0
    while begin < len(data["values"]):
        part, end = table(data, range(begin, begin + 1), HEADINGS[-1]), begin + 1
        while end < len(data["values"]):
            wider = table(data, range(begin, end + 1), HEADINGS[-1])
            if width_of(wider) > room:
                break
            part, end = wider, end + 1
        parts.append(part)
        begin = end
    return parts


def width_of(of: Table) -> int:
    """How many characters a table takes on the terminal, at most."""
    columns = zip(of[0], *of[1], strict=True)
    return 1 + sum(3 + max(len(line) for cell in column for line in cell.splitlines() or [""]) for column in columns)


def table(data: Mapping[str, Any], chosen: Sequence[int], heading: int) -> Table:
    """A column for each variant ``chosen``, numbers aligned; of two the difference. Headings are cut at ``heading``."""
    from rfasim.terminal import aligned

    values, numbers, reasons = data["values"], data["numbers"], data["reasons"]
    two = len(values) == 2 == len(chosen)
    shown = _rows(numbers)
    columns = []
    for k in chosen:
        cells = [row.write(numbers[row.key][k]) if reasons[k] is None else "-" for row in shown]
        columns.append(aligned("\n".join(textwrap.wrap(values[k], heading)), cells))
    if two:
        cells = [_written_difference(row, numbers[row.key], data["differences"][row.key][1]) for row in shown]
        columns.append(aligned("difference", cells))
    header = ["", "", *(column[0] for column in columns)]
    rows = [[row.what, row.unit, *(column[k + 1] for column in columns)] for k, row in enumerate(shown)]
    if any(reasons):
        said = [f"failed: {reasons[k]}" if reasons[k] else "complete" for k in chosen]
        rows.insert(0, ["run", "", *("\n".join(textwrap.wrap(text, heading)) for text in said), *([""] if two else [])])
    return header, rows


def _rows(numbers: Mapping[str, Sequence[Any]]) -> list[Row]:
    vessels = [key for key in numbers if key.startswith("vessels.")]
    rows = [row for row in (*ZONE, *TUMOUR) if row.key in numbers]
    for key in numbers:
        part, _, name = key.partition(".")
        if part == "tumours":
            rows.append(Row(key, f"  of {name.removesuffix('.minimal_margin_mm')}, smallest margin", "mm"))
        elif part == "structures" and key.endswith("zone_distance_mm"):
            rows.append(Row(key, f"zone to {name.removesuffix('.zone_distance_mm')}", "mm"))
        elif part == "structures":
            rows.append(Row(key, f"  hottest {name.removesuffix('.max_temperature_c')}", "degC"))
    rows += [row for row in RUN if row.key in numbers]
    if vessels or any(numbers.get(VESSELS) or ()):
        rows.append(Row(VESSELS, "heat taken by vessels", "kJ", 2, 1e-3))
    most = {key: max((abs(heat) for heat in numbers[key] if heat is not None), default=0.0) for key in vessels}
    shown = sorted(vessels, key=lambda key: -most[key])[:MOST_VESSELS]
    for key in (key for key in vessels if key in shown):
        name = key.removeprefix("vessels.").removesuffix(".heat_removed_j")
        rows.append(Row(key, f"  by {name}", "kJ", 2, 1e-3))
    return rows


def _written_difference(row: Row, both: Sequence[Any], difference: float | None) -> str:
    if difference is not None:
        return row.write(difference, signed=True)
    return "same" if both[0] == both[1] and isinstance(both[0], str) else ""


def ranking_line(data: Mapping[str, Any]) -> str | None:
    """The values by their smallest margin, in one line; None where there is no tumour."""
    if len(data.get("ranking") or ()) < 2:
        return None
    margins = dict(zip(data["values"], data["numbers"][MARGIN], strict=True))
    said = [f"{value} ({'no zone' if (mm := margins[value]) is None else f'{mm:.1f} mm'})" for value in data["ranking"]]
    return f"By smallest margin, best first: {', '.join(said)}"


# ---------------------------------------------------------------------------------------------- in the folder


def write_numbers(folder: Path, data: Mapping[str, Any]) -> None:
    """Write ``comparison.json``, whole or not at all."""
    from rfasim.checkpoint import write_bytes

    write_bytes(folder / NUMBERS, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read_numbers(folder: Path) -> dict[str, Any] | None:
    """The content of ``comparison.json`` in ``folder``; None where there is none."""
    if not (folder / NUMBERS).is_file():
        return None
    try:
        data = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        tables(data, 80)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            str(folder / NUMBERS),
            f"cannot be read ({type(error).__name__}: {error}); run the command again with --resume",
        ) from None
    return dict(data)


def draw(folder: Path, data: Mapping[str, Any]) -> Path | None:
    """Draw ``comparison.png`` from the result folders of the variants that are complete; None when none is."""
    from rfasim.checkpoint import write_bytes
    from rfasim.plot import draw_comparison
    from rfasim.result import Result

    kept = zip(data["values"], data["folders"], data["status"], strict=True)
    panels = [(value, Result.read(folder / name)) for value, name, status in kept if status == "complete"]
    if not panels:
        return None
    write_bytes(folder / PICTURE, draw_comparison(panels, data["path"]))
    return folder / PICTURE
