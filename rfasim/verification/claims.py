"""What a claim is: a number that has an exact value, how far off it came out, and how far off it may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One row of the table. ``error`` is what ``gate`` is held against: relative unless ``note`` says how it counts.

    Observed orders count as the shortfall: the gate 0.1 on the order 2 asks for 1.9.
    """

    group: str
    name: str
    exact: float
    computed: float
    error: float
    gate: float
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool:
        """Not a number is not met."""
        return bool(math.isfinite(self.error) and self.error <= self.gate)


Check = Callable[[bool], Iterable[Claim]]
"""Yields its claims one by one; True asks for the quick selection."""


def relative(group: str, name: str, exact: float, computed: float, gate: float, unit: str = "", *,
             of: float | None = None, note: str = "") -> Claim:  # fmt: skip
    """A claim whose error is relative to the exact value, or to ``of`` where that is the fair measure."""
    scale = abs(exact if of is None else of)
    return Claim(group, name, exact, computed, abs(computed - exact) / scale, gate, unit, note)


def order(group: str, name: str, wanted: float, errors: list[float], gate: float = 0.1, ratio: float = 2.0) -> Claim:
    """The observed order between the last two of ``errors``, each on a mesh or step ``ratio`` finer than the last."""
    observed = math.log(errors[-2] / errors[-1]) / math.log(ratio)
    shown = " ".join(f"{e:.2g}" for e in errors)
    return Claim(group, name, wanted, observed, wanted - observed, gate, "order", f"errors {shown}")
