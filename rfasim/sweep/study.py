"""A study file: a case, what varies in it, how the runs are drawn, and what is kept of them."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from rfasim.case import Case, case_with, override, read_case
from rfasim.complaints import complaints, input_error, near
from rfasim.errors import InputError
from rfasim.mesh_cache import mesh_key
from rfasim.quantities import Duration, Length, Problems, Record
from rfasim.sweep.designs import Design, Grid, Listed, Points, Table
from rfasim.sweep.expressions import filled, names_in
from rfasim.sweep.variables import Changes, Correlation, Setting, Shown, Variable
from rfasim.yaml_io import dump_yaml, parse_yaml, read_text


class Zones(Record):
    """Voxels on which the zone of each run is kept, the same for all runs: a box about the middle of the domain."""

    spacing: Length = 1e-3
    """edge of a voxel"""
    size: Length = 0.08
    """edge of the box"""


class Keep(Record):
    """What is kept beside the row of numbers, which always is."""

    zones: Zones | None = None
    """the zone on voxels: for the band of the zone and its probability map"""
    fields: bool = False
    """temperature and zone at the end, at the nodes"""
    history: bool = False
    """the readings, one row a step"""


class Limits(Record):
    """When a run is given up."""

    time: Duration = 3600.0
    """by the clock; its row then has the status `timeout`"""
    attempts: int = Field(default=3, ge=1, le=100)
    """a run under which so many workers have died is not tried again; its row has the status `died`"""


class CrossTable(Record):
    """A table of the answers: an output for each value, or class, of one or two variables."""

    output: str
    """a number of `summary.json` (its mean is told) or a word (the share of each is told)"""
    by: tuple[str, ...] = Field(min_length=1, max_length=2)
    """names of `vary`"""
    bins: dict[str, tuple[float, ...]] = Field(default={})
    """edges of the classes of a variable, in its unit"""
    beside: str = ""
    """what it is to be read beside, such as a published figure"""


class Study(Record):
    """Many runs of one case: what varies, how it is drawn, what is kept."""

    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    case: str | dict[str, Any]
    """a case file, from the study file's folder; or the case itself"""
    folder: str | None = None
    """where files that the case names are looked for; by default the folder of the case file, or of the study file"""
    set: dict[str, Any] = Field(default={})
    """fields that hold for all runs, after those that vary; texts may compute with names of `vary`, in braces:
    `"{distance + 0.75} mm"`"""
    vary: dict[str, Variable] = Field(default={})
    """what varies, by a name of your own"""
    correlations: tuple[Correlation, ...] = ()
    design: Design = Grid()
    seed: int = Field(default=1, ge=0, lt=2**32)
    """of all that is drawn"""
    keep: Keep = Keep()
    limits: Limits = Limits()
    outputs: tuple[str, ...] = ("zone.volume_ml", "zone.short_axis_mm")
    """the numbers of `summary.json` that the answers are about, by their path there"""
    tables: tuple[CrossTable, ...] = ()
    """further tables of the answers"""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        found: list[tuple[str, str]] = []
        listed = isinstance(self.design, Listed | Table)
        for name, variable in self.vary.items():
            if not name.isidentifier():
                found.append((f"vary.{name}", "is no name: letters, digits and underscores, no digit first"))
            if variable.kind == "given" and not listed:
                found.append((f"vary.{name}", "has no range; give low and high, mean and sd, values or choices"))
        if not self.vary and not listed:
            found.append(("vary", "names nothing that varies"))
        if self.correlations and not listed and self.design.kind not in ("latin_hypercube", "sobol"):
            found.append(("correlations", f"cannot be put into a {self.design.kind} design, which varies each variable "
                          "by itself; take latin_hypercube or sobol"))  # fmt: skip
        for index, entry in enumerate(self.correlations):
            for name in entry.of:
                if name not in self.vary or self.vary[name].kind in ("choices", "given"):
                    place = f"correlations[{index}].of"
                    found.append((place, f"'{name}' is no variable with an order{near(name, self.vary)}"))
        for index, table in enumerate(self.tables):
            for name in (*table.by, *table.bins):
                if name not in self.vary and not listed:
                    found.append((f"tables[{index}]", f"'{name}' is nothing that varies{near(name, self.vary)}"))
        for path, value in self.set.items():
            for name in sorted(names_in(value) - self.vary.keys()):
                found.append((f"set.{path}", f"'{name}' is nothing that varies{near(name, self.vary)}"))
        if found:
            raise Problems(found)
        return self

    # --------------------------------------------------------------------------------------------------- runs

    @property
    def base(self) -> Path:
        """The folder that files in the case are looked for from."""
        return Path(self.folder or ".")

    @functools.cached_property
    def case_data(self) -> dict[str, Any]:
        """The case as plain data."""
        assert isinstance(self.case, dict)
        return self.case

    @functools.cached_property
    def rows(self) -> tuple[dict[str, Any], ...] | None:
        """The runs of a list or table as they are written; None for a design that is drawn."""
        if isinstance(self.design, Table):
            return self.design.rows(self.base)
        return self.design.rows if isinstance(self.design, Listed) else None

    @property
    def n_runs(self) -> int:
        """How many runs."""
        rows = self.rows
        if rows is not None:
            return len(rows)
        assert not isinstance(self.design, Listed | Table)
        return self.design.runs(self.vary)

    @functools.cached_property
    def points(self) -> Points:
        """Points (runs, variables) of the unit cube; raises InputError."""
        from rfasim.sweep.variables import correlated

        assert not isinstance(self.design, Listed | Table)
        drawn = self.design.points(self.vary, self.seed)
        try:
            return correlated(drawn, list(self.vary), self.correlations)
        except ValueError as error:
            raise InputError("correlations", str(error)) from None

    def settings(self, run: int) -> dict[str, Setting]:
        """What varies in a run, by name; raises ValueError."""
        if self.rows is None:
            return self.settings_at(self.points[run])
        return {
            name: self.vary[name].given(value) if name in self.vary else Variable(path=name).given(value)
            for name, value in self.rows[run].items()
            if value is not None
        }

    def settings_at(self, point: Any) -> dict[str, Setting]:
        """What a point of the unit cube stands for."""
        return {name: one.at(float(u)) for (name, one), u in zip(self.vary.items(), point, strict=True)}

    def case_of(self, settings: dict[str, Setting]) -> Case:
        """The case with these settings; raises InputError."""
        changes: Changes = [change for one in settings.values() for change in one.changes]
        values: dict[str, Shown] = {name: one.shown for name, one in settings.items()}
        for path, value in self.set.items():
            try:
                changes.append((path, filled(value, values)))
            except ValueError as error:
                raise InputError(f"set.{path}", str(error)) from None
        return case_with(copy.deepcopy(self.case_data), copy.deepcopy(changes), self.base)

    def run_case(self, run: int) -> tuple[dict[str, Shown], Case]:
        """What varies in a run, as shown, and its case; raises InputError."""
        try:
            settings = self.settings(run)
        except ValueError as error:
            raise InputError(f"design.rows[{run}]", str(error)) from None
        return {name: one.shown for name, one in settings.items()}, self.case_of(settings)

    @property
    def middle(self) -> Case:
        """The case in the middle of all that varies, or the first of a list."""
        if self.rows is not None:
            return self.run_case(0)[1]
        return self.case_of(self.settings_at([0.5] * len(self.vary)))

    @property
    def names(self) -> list[str]:
        """The names of what varies."""
        return list(self.vary) if self.rows is None else list(dict.fromkeys(key for row in self.rows for key in row))

    def unit(self, name: str) -> str:
        """The unit of a variable's numbers."""
        if name in self.vary and self.vary[name].unit:
            return self.vary[name].unit
        from rfasim.sweep.variables import number_of

        found = [number_of(row.get(name)) for row in self.rows or ()]
        units = {one[1] for one in found if one is not None}
        return units.pop() if len(units) == 1 else ""

    def edges(self) -> Iterator[tuple[str, Case]]:
        """The case at both ends of each range, and with each value of each list; raises InputError with its name."""
        if self.rows is not None:
            return
        middle = np.full(len(self.vary), 0.5)
        for index, (name, variable) in enumerate(self.vary.items()):
            n = variable.n_levels
            for u in (0.0, 1.0) if n is None else (np.arange(n) + 0.5) / n:
                point = middle.copy()
                point[index] = u
                settings = self.settings_at(point)
                try:
                    yield name, self.case_of(settings)
                except InputError as error:
                    shown = settings[name].shown
                    raise InputError(f"vary.{name}", f"at {shown} {variable.unit}".rstrip() + f": {error}") from None

    # ----------------------------------------------------------------------------------------------- identity

    def as_data(self) -> dict[str, Any]:
        """The study with every default, as plain data that reads back to the same study."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return data

    @property
    def sha256(self) -> str:
        """Hash of all that makes the runs what they are, content of image files included."""
        data = self.as_data()
        for told in ("folder", "description", "outputs", "tables"):  # the runs are the same
            data.pop(told, None)
        text = json.dumps([data, mesh_key(self.middle, self.base), self.rows], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def load_study(path: str | Path, overrides: Iterable[tuple[str, str]] = ()) -> Study:
    """Read a study file; ``overrides`` are pairs such as ``("design.runs", "64")`` or ``("case.mesh.size", "1 mm")``.

    Raises InputError with the path of each mistake.
    """
    path = Path(path)
    data = parse_yaml(read_text(path), str(path))
    if not isinstance(data, dict):
        raise InputError(str(path), "is no study file: it has to hold lines such as 'case: needle.yaml'")
    return study_from_dict(data, path.parent, [(place, parse_yaml(value, place)) for place, value in overrides])


def study_from_dict(data: dict[str, Any], base: Path, changes: Iterable[tuple[str, Any]] = (), *,
                    check: bool = True) -> Study:  # fmt: skip
    """A study of plain data; files are looked for from ``base``. ``check``: try the ends of all ranges.

    Raises InputError.
    """
    data = copy.deepcopy(data)
    case = data.get("case")
    folder = base / data["folder"] if isinstance(data.get("folder"), str) else base
    if isinstance(case, str):
        data["case"] = read_case(folder / case)
        folder = (folder / case).parent
    data["folder"] = str(folder.absolute())
    for place, value in changes:
        override(data, place, value)
    if isinstance(data.get("design"), dict) and data["design"].get("kind") == "table":
        file = data["design"].get("file")
        if isinstance(file, str):  # the table lies with the study, the case's files with the case
            data["design"] = data["design"] | {"file": str((base / file).absolute())}
    try:
        study = Study.model_validate(data, context={"from_file": True})
    except ValidationError as error:
        raise input_error(complaints(error, Study)) from None
    if check:
        try:
            study.middle.sha256  # noqa: B018  raises InputError for a case that cannot be
        except InputError as error:
            raise _named(study, error) from None
        for _ in study.edges():
            pass
    return study


def study_schema() -> dict[str, Any]:
    """JSON Schema of a study file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}


def _named(study: Study, error: InputError) -> InputError:
    """What is wrong with the case, with the place in the study that says so."""
    for name, variable in study.vary.items():
        if variable.path is not None and error.path.startswith(variable.path):
            return InputError(f"vary.{name}", f"{error}")
    return InputError(error.path if error.path.startswith("set.") else f"case.{error.path}".rstrip("."), error.message)


def study_yaml(study: Study) -> str:
    """The study as YAML that reads back to the same study, its case in it."""
    return dump_yaml(study.as_data())
