"""Several equal needles side by side, and the set of bipolar needles that are switched pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from rfasim.electrodes.bipolar import BIPOLAR_SOURCES, CELON_SIZES, WATER_COOLED, BipolarShaft, celon_data
from rfasim.electrodes.device import Array, Contact, Datum, Model, Thermal, Turned, triple
from rfasim.electrodes.needle import Shaft
from rfasim.geometry import Cylinder, Intersection, Shape, Union
from rfasim.quantities import Length, text


class ParallelNeedles(Turned, Shaft):
    """Equal parallel needles at the corners of a regular polygon; two lie opposite each other.

    With n needles and neighbours ``spacing`` apart, centre to centre, each is ``spacing / (2 sin(pi / n))`` from
    the axis. The tip of the pose is the middle of the needles' tips.
    """

    NEEDLE: ClassVar[type[Shaft]] = Shaft
    """what a single needle is; its fields are fields of the set"""

    needles: int = Field(default=3, ge=2, le=6)
    """number of needles, 2 to 6"""
    spacing: Length = 0.02
    """distance of neighbouring needles, centre to centre"""

    def _misfits(self) -> list[tuple[str, str]]:
        problems = super()._misfits()
        if self.spacing <= self.diameter:
            width = text(self.diameter, "m")
            problems.append(
                (
                    "spacing",
                    f"{text(self.spacing, 'm')} lets needles of {width} diameter touch or overlap; "
                    f"give more than {width}",
                )
            )
        return problems

    @property
    def reach(self) -> float:
        """Distance of each needle from the axis of the set [m]."""
        return float(self.spacing / (2 * np.sin(np.pi / self.needles)))

    def each(self) -> tuple[Shaft, ...]:
        """The single needles, in order of their angle about the axis."""
        same = {name: getattr(self, name) for name in self.NEEDLE.model_fields}
        nowhere = {"entry": None, "target": None, "beyond_target": 0.0}
        angles = 2 * np.pi * np.arange(self.needles) / self.needles
        tips = self.tip_point + self.reach * self.sideways(angles)
        pose = {"direction": triple(self.axis)}
        return tuple(self.NEEDLE.model_construct(**same | nowhere | pose | {"tip": triple(tip)}) for tip in tips)

    def shape(self) -> Shape:
        return Union([needle.shape() for needle in self.each()])

    def contacts(self) -> tuple[Contact, ...]:
        """The contacts of every needle, numbered from 1: ``distal_1``, ``proximal_1``, ``distal_2``..."""
        found = []
        for number, needle in enumerate(self.each(), start=1):
            along = 1.0 * needle.axis  # m, further than any device reaches
            # what is closer to this needle than to any other, and more: neighbouring columns only touch
            column = Cylinder(needle.tip_point - along, needle.tip_point + along, self.spacing / 2)
            for contact in needle.contacts():
                extent = column if contact.extent is None else Intersection([contact.extent, column])
                name = f"{contact.name}_{number}"
                found.append(replace(contact, name=name, terminal=name, extent=extent))
        return tuple(found)

    @property
    def smallest_feature(self) -> float:
        """The needle's, or the gap between two of them."""
        return min(self.each()[0].smallest_feature, self.spacing - self.diameter)

    @property
    def insulated_width(self) -> float:
        return min(self.each()[0].insulated_width, self.spacing - self.diameter)

    @property
    def thermocouples(self) -> tuple[tuple[str, Array], ...]:
        return tuple(
            (f"{name}_{number}", point)
            for number, needle in enumerate(self.each(), start=1)
            for name, point in needle.thermocouples
        )

    def filling(self) -> tuple[Array, Array]:
        parts = [needle.filling() for needle in self.each()]
        return np.vstack([centres for centres, _ in parts]), np.concatenate([radii for _, radii in parts])


CLASEN = "three applicators in a triangle of 2 to 5 cm, 75 to 225 W in all (Clasen 2006)"
CELON_SETS = {
    f"celon_multi_{name}_{count}": (name, count) for name in CELON_SIZES for count in (2, 3)
}  # the sizes of the single applicator, two and three of them


def _celon_set(name: str, count: int) -> Model:
    length, _ = CELON_SIZES[name]
    return Model(
        title=f"Celon class multipolar set: {count} bipolar needles of {length} mm",
        data={
            **celon_data(name),
            "needles": Datum(count, CLASEN if count == 3 else "assumed: two of the same applicators"),
            "spacing": Datum("30 mm", f"assumed; {CLASEN}"),
            "rated_power": Datum("225 W" if count == 3 else "150 W", f"assumed: 75 W a needle, the most of {CLASEN}"),
        },
        protocol="celon_multipolar",
        notes="All pairs of contacts are switched through.",
    )


class BipolarSet(ParallelNeedles, BipolarShaft):
    """Two to six parallel bipolar needles, switched as pairs of contacts: ``distal_1``, ``proximal_1``, ``distal_2``...

    Two lie on a line, more at the corners of a regular polygon. Unless the case says otherwise the proximal contacts
    are the return.
    """

    NEEDLE: ClassVar[type[Shaft]] = BipolarShaft
    SOURCES: ClassVar[Mapping[str, str]] = BIPOLAR_SOURCES
    MODELS: ClassVar[Mapping[str, Model]] = {
        key: _celon_set(name, count) for key, (name, count) in CELON_SETS.items()
    }

    device: Literal["bipolar_set"]
    model: (
        Literal[
            "celon_multi_t20_2", "celon_multi_t20_3", "celon_multi_t30_2",
            "celon_multi_t30_3", "celon_multi_t40_2", "celon_multi_t40_3",
        ]
        | None
    ) = None  # fmt: skip
    """a named device; it gives what the case does not state"""
    spacing: Length = 0.03
    """distance of neighbouring needles, centre to centre; 20 to 50 mm in use"""
    thermal: Thermal = WATER_COOLED
    """how the device exchanges heat with the tissue"""

    @property
    def returns(self) -> tuple[str, ...]:
        return tuple(f"proximal_{number}" for number in range(1, self.needles + 1))
