"""Which runs a study makes: points of the unit cube, one column a variable, or rows of stated values."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from rfasim.errors import InputError
from rfasim.quantities import Problems, Record
from rfasim.sweep.variables import Variable

Points = NDArray[np.float64]
MOST_RUNS = 10_000_000


class Grid(Record):
    """Every combination: all values of a list, and so many from end to end of a range."""

    kind: Literal["grid"] = "grid"
    levels: int | dict[str, int] = 5
    """values of each range; or a number for each name"""

    def _of(self, name: str, variable: Variable) -> int:
        if variable.n_levels is not None:
            return variable.n_levels
        return self.levels if isinstance(self.levels, int) else self.levels.get(name, 5)

    def runs(self, variables: dict[str, Variable]) -> int:
        """How many runs."""
        return math.prod(self._of(name, variable) for name, variable in variables.items())

    def points(self, variables: dict[str, Variable], seed: int) -> Points:
        """One row a run; the last variable changes fastest."""
        axes = []
        for name, variable in variables.items():
            n = self._of(name, variable)
            middles = (np.arange(n) + 0.5) / n
            has_ends = variable.n_levels is None and variable.low is not None and variable.high is not None
            axes.append(np.linspace(0.0, 1.0, n) if has_ends and n > 1 else middles)
        return np.array(list(itertools.product(*axes))).reshape(-1, len(variables))


class LatinHypercube(Record):
    """Each variable's range cut into as many equal parts as there are runs, one run in each."""

    kind: Literal["latin_hypercube"]
    number: int = Field(alias="runs", ge=2, le=MOST_RUNS)
    """how many runs"""

    def runs(self, variables: dict[str, Variable]) -> int:
        """How many runs."""
        return self.number

    def points(self, variables: dict[str, Variable], seed: int) -> Points:
        """One row a run (scipy.stats.qmc)."""
        from scipy.stats import qmc

        return np.asarray(qmc.LatinHypercube(len(variables), rng=seed).random(self.number))


def _is_power_of_two(n: int) -> bool:
    return n & (n - 1) == 0


class Sobol(Record):
    """A scrambled Sobol sequence: fills the space more evenly than chance."""

    kind: Literal["sobol"]
    number: int = Field(alias="runs", ge=2, le=MOST_RUNS)
    """how many runs, a power of two"""

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        if not _is_power_of_two(self.number):
            near = 2 ** round(math.log2(self.number))
            raise Problems([("runs", f"got {self.number}; a Sobol sequence takes a power of two, such as {near}")])
        return self

    def runs(self, variables: dict[str, Variable]) -> int:
        """How many runs."""
        return self.number

    def points(self, variables: dict[str, Variable], seed: int) -> Points:
        """One row a run (scipy.stats.qmc)."""
        from scipy.stats import qmc

        return np.asarray(qmc.Sobol(len(variables), scramble=True, rng=seed).random(self.number))


class Saltelli(Record):
    """Saltelli's design for Sobol indices: base * (d + 2) runs, base * (2 d + 2) with second order."""

    kind: Literal["saltelli"]
    base: int = Field(ge=4, le=MOST_RUNS)
    """rows of the two matrices that are crossed, a power of two"""
    second_order: bool = False
    """indices of pairs too"""

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        if not _is_power_of_two(self.base):
            near = 2 ** round(math.log2(self.base))
            raise Problems([("base", f"got {self.base}; Saltelli's design takes a power of two, such as {near}")])
        return self

    def runs(self, variables: dict[str, Variable]) -> int:
        """How many runs."""
        return self.base * ((2 if self.second_order else 1) * len(variables) + 2)

    def points(self, variables: dict[str, Variable], seed: int) -> Points:
        """One row a run, in SALib's order."""
        sobol = salib("sample.sobol")
        return np.asarray(sobol.sample(problem(variables), self.base, calc_second_order=self.second_order, seed=seed))


class Morris(Record):
    """Morris' elementary effects: trajectories * (d + 1) runs, one variable changed at a time."""

    kind: Literal["morris"]
    trajectories: int = Field(default=20, ge=2, le=MOST_RUNS)
    levels: int = Field(default=4, ge=2, le=100, multiple_of=2)
    """steps of each range, an even number"""

    def runs(self, variables: dict[str, Variable]) -> int:
        """How many runs."""
        return self.trajectories * (len(variables) + 1)

    def points(self, variables: dict[str, Variable], seed: int) -> Points:
        """One row a run, in SALib's order."""
        morris = salib("sample.morris")
        return np.asarray(morris.sample(problem(variables), self.trajectories, num_levels=self.levels, seed=seed))


class Listed(Record):
    """Runs that are written down one by one."""

    kind: Literal["list"]
    rows: tuple[dict[str, Any], ...] = Field(min_length=1)
    """for each run the value of each variable, or of a field of the case by its path"""


class Table(Record):
    """Runs from a file, a row each: a column is a variable or a field of the case, `name` or `name [unit]`."""

    kind: Literal["table"]
    file: str
    """CSV or Parquet, from the study file's folder"""

    def rows(self, base: Path) -> tuple[dict[str, Any], ...]:
        """The rows as values with units; raises InputError."""
        import pyarrow as pa
        from pyarrow import csv, parquet

        path = base / self.file
        try:
            is_parquet = path.suffix.lower() in (".parquet", ".pq")
            table = parquet.read_table(path) if is_parquet else csv.read_csv(path)
        except OSError as error:
            raise InputError("design.file", f"{path} cannot be read: {error.strerror or error}") from None
        except pa.ArrowInvalid as error:
            raise InputError("design.file", f"{path} is no table that can be read: {error}") from None
        if table.num_rows == 0:
            raise InputError("design.file", f"{path} has no rows")
        columns = {}
        for head in table.column_names:
            name, _, unit = head.partition("[")
            unit = unit.rstrip("] ")
            values = table[head].to_pylist()
            columns[name.strip()] = [f"{v} {unit}" if unit and v is not None else v for v in values]
        return tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


Drawn = Grid | LatinHypercube | Sobol | Saltelli | Morris
Design = Annotated[Drawn | Listed | Table, Field(discriminator="kind")]


def problem(variables: dict[str, Variable]) -> dict[str, Any]:
    """The variables as SALib knows them, on the unit cube."""
    return {"num_vars": len(variables), "names": list(variables), "bounds": [[0.0, 1.0]] * len(variables)}


def salib(module: str) -> Any:
    """A module of SALib; raises InputError when it is not installed."""
    import importlib

    try:
        return importlib.import_module(f"SALib.{module}")
    except ImportError:
        raise InputError("design.kind", "needs SALib; install it with: pip install 'rfasim[sweep]'") from None
