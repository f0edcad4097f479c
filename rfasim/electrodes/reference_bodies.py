"""Bodies with exact solutions: ball, spheroid, rod through the whole domain. All their surface conducts."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from rfasim.electrodes.device import Array, Device, line_filling, triple, unit
from rfasim.geometry import Ball as BallShape
from rfasim.geometry import Cylinder, Ellipsoid, Shape
from rfasim.quantities import Length, Point, Problems, Vector


class ReferenceBody(Device):
    """A body given by its centre."""

    centre: Point = (0.0, 0.0, 0.0)

    @property
    def active_centre(self) -> Array:
        return np.array(self.centre, float)

    def moved(self, rotation: Array, shift: Array) -> Self:
        return self.model_copy(update={"centre": triple(rotation @ np.array(self.centre) + shift)})


class Ball(ReferenceBody):
    """A ball: in unbounded tissue its resistance is ``1 / (4 pi sigma radius)``."""

    device: Literal["ball"]
    radius: Length

    def shape(self) -> Shape:
        return BallShape(self.active_centre, self.radius)

    @property
    def axis(self) -> Array:
        """A ball points nowhere; -z stands for it."""
        return np.array([0.0, 0.0, -1.0])

    @property
    def tip_point(self) -> Array:
        """The centre, since a ball has no foremost point."""
        return self.active_centre

    @property
    def smallest_feature(self) -> float:
        return 2 * self.radius

    def filling(self) -> tuple[Array, Array]:
        return self.active_centre[None, :], np.array([self.radius])


class LongBody(ReferenceBody):
    """A reference body with an axis."""

    direction: Vector = (0.0, 0.0, -1.0)
    """the way the axis points, of any length"""

    @model_validator(mode="after")
    def _points_somewhere(self) -> Self:
        if not any(self.direction):
            raise Problems(
                [("direction", "got [0, 0, 0], which points nowhere; give for example [0, 0, -1]")]
            )
        return self

    @property
    def axis(self) -> Array:
        return unit(np.array(self.direction, float))

    def moved(self, rotation: Array, shift: Array) -> Self:
        direction = triple(rotation @ np.array(self.direction))
        return super().moved(rotation, shift).model_copy(update={"direction": direction})


class Spheroid(LongBody):
    """An ellipsoid of revolution, the needle with an exact field.

    With semi-axes L along and b across, ``f = sqrt(L^2 - b^2)``: in unbounded tissue its resistance is
    ``arccoth(L / f) / (4 pi sigma f)``.
    """

    device: Literal["spheroid"]
    semi_axes: tuple[Length, Length]
    """half the length along the axis, half the width across it"""

    def shape(self) -> Shape:
        along, across = self.semi_axes
        return Ellipsoid(self.active_centre, np.array([across, across, along]), self.rotation)

    @property
    def tip_point(self) -> Array:
        return self.active_centre + self.semi_axes[0] * self.axis

    @property
    def smallest_feature(self) -> float:
        """The radius of curvature at the tip, or the width where that is smaller."""
        along, across = self.semi_axes
        return min(across**2 / along, 2 * along, 2 * across)

    def filling(self) -> tuple[Array, Array]:
        along, across = self.semi_axes
        if along <= across:
            return self.active_centre[None, :], np.array([along])
        # the largest ball inside that is centred at z on the axis has r^2 = b^2 - b^2 z^2 / (L^2 - b^2)
        focus = np.sqrt(along**2 - across**2)
        z = np.linspace(-1.0, 1.0, 101) * focus**2 / along
        radii = across * np.sqrt(1.0 - (z / focus) ** 2)
        return self.active_centre + z[:, None] * self.axis, radii


class Rod(LongBody):
    """A round rod along its axis through the whole domain: half of an annulus."""

    through: ClassVar[bool] = True

    device: Literal["rod"]
    diameter: Length

    def shape(self) -> Shape:
        start, end = self._ends(20.0)  # m; no domain is longer than 10 m
        return Cylinder(start, end, self.diameter / 2)

    @property
    def tip_point(self) -> Array:
        """The centre, since a rod has no end."""
        return self.active_centre

    @property
    def smallest_feature(self) -> float:
        return self.diameter

    def filling(self) -> tuple[Array, Array]:
        """Balls along the metre around the centre."""
        return line_filling(*self._ends(0.5), self.diameter / 2)

    def _ends(self, half_length: float) -> tuple[Array, Array]:
        way = half_length * self.axis
        return self.active_centre - way, self.active_centre + way
