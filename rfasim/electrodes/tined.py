"""What devices with curved tines share: a straight cannula from whose end equal arcs bend outwards."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from rfasim.electrodes.device import Array, Turned, line_filling
from rfasim.geometry import Cylinder, Shape, Tines, Union
from rfasim.quantities import Length, Problems, text

RESOLVED = 0.5  # of a tine's diameter: the coarsest edge length with which no part of it is lost


class Tined(Turned):
    """A cannula with a flat end, and tines that leave it side by side, first forwards, then outwards.

    The tip is the end of the cannula, not the foremost point of the tines. Each tine is an arc of a circle in a
    plane through the axis; the first lies towards the device's first side (see ``turn_degrees``).
    """

    tines: int = Field(default=9, ge=2, le=30)
    """number of tines, evenly spread around the axis"""
    tine_diameter: Length = 0.0004
    """diameter of a tine"""
    cannula_diameter: Length = 0.0021
    """outer diameter of the cannula"""
    shaft_length: Length = 0.15
    """length of the cannula"""

    @property
    def bend(self) -> float:
        """Radius of the tines' arc [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say how its tines bend")

    @property
    def tine_length(self) -> float:
        """Length of a tine from the cannula's end to its own round end [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say how long its tines are")

    @model_validator(mode="after")
    def _tines_are_apart(self) -> Self:
        if problems := self._misfits():
            raise Problems(problems)
        return self

    def _misfits(self) -> list[tuple[str, str]]:
        """What does not fit together, as (field, sentence)."""
        tine, cannula = text(self.tine_diameter, "m"), text(self.cannula_diameter, "m")
        ring = self._ring
        if ring <= 0 or 2 * ring * math.sin(math.pi / self.tines) < self.tine_diameter:
            return [
                (
                    "tines",
                    f"{self.tines} tines of {tine} do not fit side by side into a cannula of {cannula}, they would "
                    "cross; take fewer or thinner ones, or a wider cannula",
                )
            ]
        problems = []
        if self.bend <= self.tine_diameter:
            problems.append(
                (
                    "tine_diameter",
                    f"{tine} is too thick for tines that bend with a radius of {_mm(self.bend)}; they would "
                    "cross themselves; make them thinner or bend them less",
                )
            )
        elif self.tine_length <= 2 * self.tine_diameter:
            problems.append(
                (
                    "tine_diameter",
                    f"{tine} leaves tines of {_mm(self.tine_length)} no length; make them thinner or longer",
                )
            )
        elif self._angle > math.pi / 2 and self._reach(self._angle)[0] < (
            0.5 * self.cannula_diameter + self.tine_diameter
        ):
            problems.append(
                ("cannula_diameter", f"{cannula} is so wide that the tines bend back into the cannula; make it thinner")
            )
        if self.shaft_length <= self.cannula_diameter:
            problems.append(
                ("shaft_length", f"{text(self.shaft_length, 'm')} is not longer than the cannula is wide, {cannula}")
            )
        return problems

    @property
    def _ring(self) -> float:
        """Distance from the axis at which tines leave the cannula [m]: a quarter of their width inside its edge."""
        return 0.5 * self.cannula_diameter - 0.75 * self.tine_diameter

    @property
    def _angle(self) -> float:
        """Angle of the arc of a tine's middle line [rad]; the round end reaches half a diameter beyond."""
        return (self.tine_length - 0.5 * self.tine_diameter) / self.bend

    def _reach(self, angle: float) -> tuple[float, float]:
        """Distance from the axis, and that ahead of the cannula's end, of a tine's middle line [m]."""
        return self._ring + self.bend * (1.0 - math.cos(angle)), self.bend * math.sin(angle)

    def along_tines(self, length: float) -> Array:
        """Where the tines' middle lines are, ``length`` [m] from the cannula's end: points (tines, 3) [m]."""
        wide, ahead = self._reach(length / self.bend)
        return self.tip_point + wide * self._ways() + ahead * self.axis

    def _ways(self) -> Array:
        """Unit vectors (tines, 3) from the axis to each tine."""
        # the second tine is a right-handed turn about the shaft's direction away from the first
        return self.sideways(-2 * math.pi * np.arange(self.tines) / self.tines)

    def shape(self) -> Shape:
        tip, back = self.tip_point, -self.axis
        own_axes = np.stack([self.sideways(), np.cross(back, self.sideways()), back], axis=1)
        tines = Tines(tip, own_axes, self.tines, self._ring, self.bend, self._angle, 0.5 * self.tine_diameter)
        return Union((tines, Cylinder(tip, tip + self.shaft_length * back, 0.5 * self.cannula_diameter)))

    @property
    def active_centre(self) -> Array:
        """Middle of the crown of tines, on the axis [m]."""
        ahead = [self._reach(angle)[1] for angle in (0.0, min(self._angle, 0.5 * math.pi), self._angle)]
        return self.tip_point + 0.5 * (min(ahead) + max(ahead)) * self.axis

    @property
    def array_diameter_reached(self) -> float:
        """Width of the crown where it is widest [m]."""
        return 2 * self._reach(min(self._angle, math.pi))[0] + self.tine_diameter

    @property
    def smallest_feature(self) -> float:
        return self.tine_diameter

    @property
    def mesh_size(self) -> float:
        """Half a tine's diameter, which gives the resistance to 1 % (see docs/devices/umbrella.md)."""
        return RESOLVED * self.tine_diameter

    @property
    def insulated_width(self) -> float:
        """Width of what is insulated, the cannula [m]."""
        return self.cannula_diameter

    def filling(self) -> tuple[Array, Array]:
        tip, back = self.tip_point, -self.axis
        radius, half = 0.5 * self.tine_diameter, 0.5 * self.cannula_diameter
        centres, radii = line_filling(tip + half * back, tip + (self.shaft_length - half) * back, half)
        n = 2 + int(self.bend * self._angle / (0.5 * radius))
        tines = np.concatenate([self.along_tines(self.bend * angle) for angle in np.linspace(0.0, self._angle, n)])
        return np.concatenate([centres, tines]), np.append(radii, np.full(len(tines), radius))


def _mm(length: float) -> str:
    """A computed length as a person says it."""
    return f"{round(1e3 * length, 2):g} mm"
