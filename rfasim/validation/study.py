"""A published experiment as a file: what was measured, and the case that simulates each of its cells.

    >>> study = read_study("cases/validation/luo_2010.yaml")     # doctest: +SKIP
    >>> study.case_of(study.cells[0]).generator                  # doctest: +SKIP

What a study assumes about materials is said once, in its ``case``: a cell cannot change it, so that no cell is fitted.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from rfasim.case import Case, case_from_dict, override
from rfasim.complaints import complaints, input_error, near
from rfasim.errors import InputError
from rfasim.quantities import Fraction, Problems, Record
from rfasim.tissues import Tissue
from rfasim.validation.names import QUANTITIES, is_quantity, label_of, unit_of
from rfasim.validation.relations import Curve, Kind, Order, Ratio, Relation, Share, Trend, Values
from rfasim.yaml_io import parse_yaml, read_text

STUDIES = Path(__file__).resolve().parents[2] / "cases" / "validation"
"""The shipped studies; they come with the source, not with an installed package."""

# what a cell must not change: one set of properties for all cells of a study
_SHARED = ("tissues", "background", "boiling", "blood", "perfusion_stop", "zone", "body_temperature",
           "initial_temperature")  # fmt: skip
# of these, what a group may: an experiment that was done cold and warm
_GROUPED = ("body_temperature", "initial_temperature")
FIXED = tuple(name for name in _SHARED if name not in _GROUPED)
"""what is the same in all cells of a study, whatever their group"""

Changes = dict[str, Any]


class Cell(Record):
    """One setting of an experiment and what was measured there."""

    name: str = Field(min_length=1, max_length=60)
    group: str | None = None
    """the group it belongs to"""
    at: dict[str, float] = Field(default={})
    """numbers that place it among the others, unit at the end of the key: ``{current_ma: 500}``"""
    set: Changes = Field(default={})
    """changes to the study's case: path -> value, as for ``rfasim run --set``"""
    measured: dict[str, Values] = Field(default={})
    """place in summary.json -> [mean, standard deviation], or [mean] where no deviation is published; none where only
    something about several cells was"""
    quick: bool = False
    """part of ``rfasim validate --quick``"""

    @model_validator(mode="after")
    def _is_comparable(self) -> Self:
        found = []
        for name, values in self.measured.items():
            found += [(f"measured.{name}", why) for why in _not_compared(name)]
            if len(values) == 2 and values[1] < 0:
                found.append((f"measured.{name}[1]", f"got {values[1]:g}; a standard deviation is 0 or more"))
        if found:
            raise Problems(found)
        return self

    def mean(self, quantity: str) -> float | None:
        """What was measured; None where it was not."""
        return self.measured[quantity][0] if quantity in self.measured else None

    def deviation(self, quantity: str) -> float | None:
        """The standard deviation; None where none (or 0, which no measurement has) is published."""
        values = self.measured.get(quantity, ())
        return values[1] if len(values) == 2 and values[1] > 0 else None


def _not_compared(name: str) -> list[str]:
    return [] if is_quantity(name) else [f"is no quantity to compare; {near(name, QUANTITIES)}"]


class Optimum(Record):
    """The value of ``over`` (from the cells' ``at``) at which ``of`` is largest among the cells of a group."""

    name: str = Field(min_length=1)
    group: str
    of: str
    over: str


_SUBJECTS: dict[Kind, str] = {
    "trends": "slopes", "ratios": "ratios", "orders": "orders", "shares": "shares of the effect",
}  # fmt: skip


class Aim(Record):
    """What the predictions should reach: ``quantity`` within a tolerance in at least ``share`` of its cells.

    With ``optimum`` it is about the study's optima over that number instead, with ``relations`` about what the study
    says of several cells: ``{relations: trends, within_share: 25 %}``. An order has no tolerance.
    """

    quantity: str | None = None
    optimum: str | None = None
    relations: Kind | None = None
    within: float | None = Field(default=None, gt=0)
    """tolerance in the quantity's own unit"""
    within_share: Fraction | None = None
    """tolerance as a share of what was measured"""
    share: Fraction = 1.0

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(part is not None for part in (self.quantity, self.optimum, self.relations)) != 1:
            raise Problems([("", "is about a quantity, an optimum or relations; give one of them")])
        given = (self.within is not None) + (self.within_share is not None)
        if self.relations == "orders" and given:
            raise Problems([("", "an order holds or not; leave within and within_share out")])
        if self.relations != "orders" and given != 1:
            raise Problems([("within", "give either within (a number) or within_share (such as 30 %)")])
        return self

    def meets(self, measured: float, error: float | None) -> bool:
        """Whether a prediction that is off by ``error`` is near enough; one that is missing is not."""
        return error is not None and abs(error) <= self.tolerance(measured) * (1 + 1e-9)

    def tolerance(self, measured: float) -> float:
        """How far off a prediction of ``measured`` may be, in its unit."""
        return self.within if self.within is not None else (self.within_share or 0.0) * abs(measured)

    @property
    def text(self) -> str:
        """The aim in words."""
        if self.relations == "orders":
            return f"orders as measured in at least {100 * self.share:g} % of them"
        unit = unit_of(self.quantity or self.optimum or "")
        tolerance = f"{self.within:g} {unit}".strip() if self.within else f"{100 * (self.within_share or 0):g} %"
        if self.relations is not None:
            return f"{_SUBJECTS[self.relations]} within {tolerance} in at least {100 * self.share:g} % of them"
        subject = label_of(self.quantity) if self.quantity else f"optimum {label_of(self.optimum or '')}"
        return f"{subject} within {tolerance} in at least {100 * self.share:g} % of the cells"


class Study(Record):
    """A published experiment: cells with what was measured, and the case they are variants of."""

    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """where it was published"""
    measures: str = Field(min_length=1)
    """what was done and measured, in a sentence or two"""
    assumed: tuple[str, ...] = ()
    """every assumption once, with its reason"""
    remarks: tuple[str, ...] = ()
    """a sentence for each disagreement on its likely reason, written after seeing the results"""
    reasons: dict[str, str] = Field(default={})
    """the same in short, by what is off: a quantity, the ``over`` of an optimum, or a kind of relation"""
    controlled: dict[str, str] = Field(default={})
    """properties of tissue that the experiment itself set, such as a perfusion, and how: they are known there, so the
    literature's range does not apply"""
    case: dict[str, Any]
    """the case that all cells are variants of, as in a case file, without a name"""
    groups: dict[str, Changes] = Field(default={})
    """changes that several cells share, by the group's name"""
    shortened: Changes = Field(default={})
    """changes to the case for ``--quick``, where a cell takes long; its numbers are then no predictions"""
    cells: tuple[Cell, ...] = Field(min_length=1)
    optima: tuple[Optimum, ...] = ()
    trends: tuple[Trend, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    orders: tuple[Order, ...] = ()
    shares: tuple[Share, ...] = ()
    curves: tuple[Curve, ...] = ()
    """what to show over a number of the cells' ``at``, whether it was measured or not"""
    aims: tuple[Aim, ...] = ()
    name: str = ""
    """set by the reader: the file's name"""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        found: list[tuple[str, str]] = []
        names = [cell.name for cell in self.cells]
        for index, cell in enumerate(self.cells):
            place = f"cells[{index}]"
            if cell.name in names[:index]:
                found.append((f"{place}.name", f"'{cell.name}' is given twice; each cell needs its own"))
            if cell.group is not None and cell.group not in self.groups:
                hint = near(cell.group, self.groups) if self.groups else "the study has no groups"
                found.append((f"{place}.group", f"got '{cell.group}'; {hint}"))
            found += [(f"{place}.set", complaint) for complaint in _unshared(cell.set, _SHARED)]
        for name, changes in self.groups.items():
            found += [(f"groups.{name}", complaint) for complaint in _unshared(changes, FIXED)]
        if "name" in self.case:
            found.append(("case.name", "is made from the study's and the cell's name; leave it out"))
        for index, optimum in enumerate(self.optima):
            found += [(f"optima[{index}].{field}", why) for field, why in self._misfits(optimum)]
        found += self._relations_misfit()
        found += self._words_misfit()
        measured = self.quantities
        overs = {optimum.over for optimum in self.optima}
        for index, aim in enumerate(self.aims):
            if aim.quantity is not None and aim.quantity not in measured:
                found.append((f"aims[{index}].quantity", f"'{aim.quantity}' is measured in no cell"))
            if aim.optimum is not None and aim.optimum not in overs:
                found.append((f"aims[{index}].optimum", f"no optimum is sought over '{aim.optimum}'"))
            if aim.relations is not None and not getattr(self, aim.relations):
                found.append((f"aims[{index}].relations", f"the study has no {aim.relations}"))
        if found:
            raise Problems(found)
        return self

    def _misfits(self, optimum: Optimum) -> list[tuple[str, str]]:
        if optimum.group not in self.groups:
            hint = near(optimum.group, self.groups) if self.groups else "the study has no groups"
            return [("group", f"got '{optimum.group}'; {hint}")]
        cells = self.cells_of(optimum)
        if len(cells) < 2:
            found = f"{len(cells)} cells of '{optimum.group}' measure '{optimum.of}' at a '{optimum.over}'"
            return [("of", f"{found}; an optimum needs two or more")]
        return []

    def _words_misfit(self) -> list[tuple[str, str]]:
        """What the reasons and the controlled properties are about has to be there."""
        about = [*self.quantities, *(o.over for o in self.optima), *(relation.KIND for relation in self.relations)]
        found = [
            (f"reasons.{name}", f"is nothing that the study compares; {near(name, about)}")
            for name in self.reasons if name not in about
        ]  # fmt: skip
        known = list(Tissue.model_fields)
        found += [
            (f"controlled.{name}", f"is no property of a tissue; {near(name, known)}")
            for name in self.controlled if name not in known
        ]  # fmt: skip
        return found

    def _relations_misfit(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        names = [cell.name for cell in self.cells]
        used: set[str] = set()
        for relation in self.relations:
            place = f"{relation.KIND}[{getattr(self, relation.KIND).index(relation)}]"
            found += [(f"{place}.of", why) for why in _not_compared(relation.of)]
            for name in relation.names:
                if name not in names:
                    found.append((place, f"names the cell '{name}'; {near(name, names)}"))
            members = relation.members(self.cells)
            if isinstance(relation, Trend) and len({cell.at[relation.over] for cell in members}) < 2:
                found.append((f"{place}.over", "a slope needs cells with two or more values of it in their 'at'"))
            used |= {cell.name for cell in members}
        for index, curve in enumerate(self.curves):
            found += [(f"curves[{index}].of", why) for why in _not_compared(curve.of)]
            if not any(curve.over in cell.at for cell in self.cells):
                found.append((f"curves[{index}].over", f"no cell has '{curve.over}' in its 'at'"))
            used |= {cell.name for cell in self.cells if curve.over in cell.at}
        for index, cell in enumerate(self.cells):
            if not cell.measured and cell.name not in used:
                found.append(
                    (f"cells[{index}].measured", "is empty; give at least one quantity with [mean, standard deviation]")
                )
        return found

    @property
    def quantities(self) -> list[str]:
        """What is measured in its cells, in the order of their first appearance."""
        return list(dict.fromkeys(quantity for cell in self.cells for quantity in cell.measured))

    @property
    def relations(self) -> tuple[Relation, ...]:
        """All that is said of several cells."""
        return (*self.trends, *self.ratios, *self.orders, *self.shares)

    def cells_of(self, optimum: Optimum) -> list[Cell]:
        """The cells among which an optimum is sought."""
        return [
            cell
            for cell in self.cells
            if cell.group == optimum.group and optimum.over in cell.at and optimum.of in cell.measured
        ]

    def selection(self, quick: bool) -> tuple[Cell, ...]:
        """All cells, or those that are marked ``quick`` (the first one where none is)."""
        if not quick:
            return self.cells
        return tuple(cell for cell in self.cells if cell.quick) or self.cells[:1]

    def case_of(self, cell: Cell, quick: bool = False, changes: Mapping[str, Any] = MappingProxyType({})) -> Case:
        """The case of one cell, ``shortened`` when ``quick``, ``changes`` last; raises InputError with its name."""
        data = copy.deepcopy(self.case)
        last = self.shortened if quick else {}
        try:
            for place, value in {**self.groups.get(cell.group or "", {}), **cell.set, **last, **changes}.items():
                override(data, place, copy.deepcopy(value))
            return case_from_dict({"name": f"{self.name} {cell.name}".strip(), **data}, from_file=True)
        except InputError as error:
            raise InputError(f"{self.name}, cell '{cell.name}'", str(error)) from None


def _unshared(changes: Changes, shared: Sequence[str]) -> list[str]:
    heads = {path: path.replace("[", ".").split(".")[0] for path in changes}
    return [
        f"changes {path}; what holds for all cells of a study belongs into its case"
        for path, head in heads.items()
        if head in shared
    ]


def read_study(path: str | Path) -> Study:
    """Read a study file and try out the case of each cell; raises InputError with a line for every problem."""
    path = Path(path)
    data = parse_yaml(read_text(path), str(path))
    if not isinstance(data, dict):
        raise InputError(str(path), "is no study: it has to hold lines such as 'title: ...' and 'cells:'")
    if "name" in data:
        raise InputError(f"{path}: name", "is the file's name; leave it out")
    try:
        study = Study.model_validate({**data, "name": path.stem}, context={"from_file": True})
    except ValidationError as error:
        found = complaints(error, Study)
        raise input_error([(f"{path}: {place}", sentence) for place, sentence in found]) from None
    for cell in study.cells:
        study.case_of(cell)
    for cell in study.selection(quick=True):
        study.case_of(cell, quick=True)
    return study


def find_studies(words: Sequence[str] = ()) -> list[Path]:
    """The files of studies given by name (of a shipped one) or path; all shipped ones for none. Raises InputError."""
    shipped = {path.stem: path for path in sorted(STUDIES.glob("*.yaml"))}
    if not words and not shipped:
        raise InputError("STUDY", "the shipped studies come with the source and are not here; give the path of one")
    found = []
    for word in words or shipped:
        path = Path(word)
        if word in shipped:
            path = shipped[word]
        elif path.suffix not in (".yaml", ".yml") and not path.is_file():
            hint = near(word, shipped) if shipped else "there are no shipped studies here"
            raise InputError("STUDY", f"there is no study '{word}'; {hint}")
        found.append(path)
    return found
