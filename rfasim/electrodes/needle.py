"""The straight needle: a round shaft, insulated except for its foremost part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from rfasim.electrodes.device import Array, Contact, Placed, line_filling
from rfasim.geometry import Capsule, Cylinder, HalfSpace, Shape
from rfasim.geometry import Needle as PointedRod
from rfasim.quantities import Length, Problems, text

GAUGE_17 = "17 gauge is 0.058 in = 1.47 mm (Birmingham wire gauge), rounded"


class Shaft(Placed):
    """A straight round shaft with a tip; lengths are measured along its axis from the foremost point."""

    diameter: Length = 0.0015
    """diameter of the shaft"""
    shaft_length: Length = 0.15
    """length of the whole needle, from the tip"""
    tip_shape: Literal["round", "flat", "conical"] = "round"
    """round is half a ball"""
    tip_length: Length | None = None
    """length of a conical tip; twice the diameter when not stated"""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.tip_shape == "conical" and self.tip_length is None:
            object.__setattr__(self, "tip_length", 2 * self.diameter)
        if problems := self._misfits():
            raise Problems(problems)
        return self

    def _misfits(self) -> list[tuple[str, str]]:
        """What does not fit together, as (field, sentence)."""
        problems = []
        if self.tip_shape != "conical" and self.tip_length is not None:
            problems.append(
                ("tip_length", f"is for a conical tip, but tip_shape is {self.tip_shape}; leave it out")
            )
        shaft = text(self.shaft_length, "m")
        if self.tip_length is not None and self.tip_length >= self.shaft_length:
            problems.append(
                ("tip_length", f"{text(self.tip_length, 'm')} leaves nothing of the {shaft} shaft")
            )
        if self.shaft_length <= self.diameter:
            problems.append(
                ("shaft_length", f"{shaft} is not longer than the diameter, {text(self.diameter, 'm')}")
            )
        return problems

    @property
    def tip_part(self) -> float:
        """Length of the part that is thinner than the shaft [m]."""
        return {"round": self.diameter / 2, "flat": 0.0, "conical": self.tip_length or 0.0}[self.tip_shape]

    def shape(self) -> Shape:
        tip, back, radius = self.tip_point, -self.axis, self.diameter / 2
        end = tip + back * self.shaft_length
        if self.tip_shape == "round":
            return Capsule(tip + back * radius, end - back * radius, radius)
        if self.tip_shape == "flat":
            return Cylinder(tip, end, radius)
        assert self.tip_length is not None
        return PointedRod(tip, back, radius, self.shaft_length, self.tip_length)

    @property
    def smallest_feature(self) -> float:
        return self.diameter

    @property
    def thermocouples(self) -> tuple[tuple[str, Array], ...]:
        return (("tip", self.tip_point),)

    def filling(self) -> tuple[Array, Array]:
        radius, back = self.diameter / 2, -self.axis
        cone = self.tip_length or 0.0
        front = math.hypot(cone, radius)  # a ball touches the cone from inside
        if self.shaft_length < front + radius:  # nearly all cone: the ball between its side and the far end
            slope = radius / math.hypot(cone, radius)
            radius = min(radius, self.shaft_length * slope / (1 + slope))
            front = self.shaft_length - radius
        start, end = self.tip_point + back * front, self.tip_point + back * (self.shaft_length - radius)
        centres, radii = line_filling(start, end, radius)
        return np.vstack([self.tip_point, centres]), np.append(0.0, radii)


class ActiveTip(Shaft):
    """A shaft of which the foremost part conducts."""

    active_length: Length = 0.03
    """length of the conducting part, from the tip"""

    def _misfits(self) -> list[tuple[str, str]]:
        problems = super()._misfits()
        if self.active_length > self.shaft_length:
            problems.append(
                (
                    "active_length",
                    f"{text(self.active_length, 'm')} is longer than the {text(self.shaft_length, 'm')} shaft; "
                    "shorten it or lengthen shaft_length",
                )
            )
        return problems

    def contacts(self) -> tuple[Contact, ...]:
        if self.active_length == self.shaft_length:
            return (Contact("contact"),)
        back = -self.axis
        return (Contact("contact", HalfSpace(self.tip_point + back * self.active_length, back), rim=True),)

    @property
    def active_centre(self) -> Array:
        return self.tip_point - 0.5 * self.active_length * self.axis

    @property
    def smallest_feature(self) -> float:
        return min(self.diameter, self.active_length)


class Needle(ActiveTip):
    """A straight needle: the last ``active_length`` before the tip conducts, the rest of the shaft does not.

    Lengths are measured along the axis from the foremost point. The defaults are those of a 17 gauge needle
    (1.47 mm wide, here 1.5 mm) with a 30 mm tip.
    """

    SOURCES: ClassVar[Mapping[str, str]] = {"diameter": GAUGE_17}

    device: Literal["needle"]
