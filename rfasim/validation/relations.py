"""What an experiment says about several cells together: slopes, ratios, orders, and how much of an effect is there.

Each is one number, measured and predicted, so that one table and one kind of aim serve all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rfasim.quantities import Fraction, Number, Record

if TYPE_CHECKING:
    from rfasim.validation.study import Cell

Values = Annotated[tuple[Number, ...], Field(min_length=1, max_length=2)]
"""[mean, standard deviation], or [mean] where no deviation is published"""
Kind = Literal["trends", "ratios", "orders", "shares"]
KINDS: dict[Kind, str] = {"trends": "slope", "ratios": "ratio", "orders": "order", "shares": "share of an effect"}
"""what one of each kind is called"""


class Relation(Record):
    """A statement about the quantity ``of`` in several cells."""

    KIND: ClassVar[Kind]

    name: str = Field(min_length=1)
    of: str

    @property
    def names(self) -> tuple[str, ...]:
        """The cells it names."""
        raise NotImplementedError(f"{type(self).__name__} has to say which cells it is about")

    def members(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells it is about, in its own order; fewer than it names where some do not exist."""
        known = {cell.name: cell for cell in cells}
        return [known[name] for name in self.names if name in known]

    @property
    def published(self) -> tuple[float, ...]:
        """What was measured: a number, and its standard deviation where that is known."""
        raise NotImplementedError(f"{type(self).__name__} has to say what was measured")

    def predict(self, cells: Sequence[Cell], values: Sequence[float]) -> float | None:
        """The same number from what was predicted for its cells; None where it cannot be told."""
        raise NotImplementedError(f"{type(self).__name__} has to say what follows from its cells")


class Trend(Relation):
    """The slope of a straight line (least squares) through the cells' ``of`` over a number of their ``at``."""

    KIND = "trends"

    over: str
    group: str | None = None
    """its cells; all cells that have that number when not stated"""
    measured: Values

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def members(self, cells: Iterable[Cell]) -> list[Cell]:
        return [cell for cell in cells if self.group in (None, cell.group) and self.over in cell.at]

    @property
    def published(self) -> tuple[float, ...]:
        return self.measured

    def predict(self, cells: Sequence[Cell], values: Sequence[float]) -> float | None:
        x = [cell.at[self.over] for cell in cells]
        mean_x, mean_y = sum(x) / len(x), sum(values) / len(values)
        spread = sum((a - mean_x) ** 2 for a in x)
        together = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, values, strict=True))
        return together / spread if spread > 0 else None


class Ratio(Relation):
    """The value of ``of`` in one cell over that in another."""

    KIND = "ratios"

    cells: tuple[str, str]
    measured: Values

    @property
    def names(self) -> tuple[str, ...]:
        return self.cells

    @property
    def published(self) -> tuple[float, ...]:
        return self.measured

    def predict(self, cells: Sequence[Cell], values: Sequence[float]) -> float | None:
        return values[0] / values[1] if values[1] != 0 else None


class Order(Relation):
    """Cells in the measured order of ``of``, largest first; the number is how many of its steps go down."""

    KIND = "orders"

    cells: tuple[str, ...] = Field(min_length=2)
    by: Fraction = 0.0
    """how much larger each has to be than the next, as a share of that"""

    @property
    def names(self) -> tuple[str, ...]:
        return self.cells

    @property
    def published(self) -> tuple[float, ...]:
        return (float(len(self.cells) - 1),)

    def predict(self, cells: Sequence[Cell], values: Sequence[float]) -> float | None:
        pairs = itertools.pairwise(values)
        return float(sum(larger > smaller + self.by * abs(smaller) for larger, smaller in pairs))


class Share(Relation):
    """How much of an effect is there ``at`` a cell: 0 is the value ``without`` it, 1 that of the ``full`` effect."""

    KIND = "shares"

    at: str
    without: str
    full: str
    measured: Values

    @property
    def names(self) -> tuple[str, ...]:
        return self.at, self.without, self.full

    @property
    def published(self) -> tuple[float, ...]:
        return self.measured

    def predict(self, cells: Sequence[Cell], values: Sequence[float]) -> float | None:
        here, without, full = values
        return (here - without) / (full - without) if full != without else None


class Curve(Record):
    """What a table and a panel of the picture show: ``of`` over a number of the cells' ``at``, measured or not."""

    of: str
    over: str
    scale: Literal["linear", "log"] = "linear"
    """log begins with a linear piece from 0 to 1, because a flow may be 0"""
