"""The christmas tree (StarBurst class): tines that are pushed out in stages, each sliding along its own arc."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from rfasim.electrodes.device import Array, Contact, Datum, Model
from rfasim.electrodes.tined import Tined
from rfasim.geometry import ConeSpace, HalfSpace, Intersection, Shape, Union
from rfasim.quantities import Length, Problems, text

_SCHEDULE = "Go-Smart project's treatment schedules of the StarBurst needles: extensions of the tines"
_COUNT = "Go-Smart project's device data, RITA needles: number of tines"
_TROCAR = "Tungjitkusolmun et al., IEEE Trans Biomed Eng 2002;49:3: the last 10 mm of the trocar conduct"
_BEND = "from the schedules: with this radius the four extensions give arrays of 2, 3, 4 and 5 cm to within 1 mm"
_POWER = "its generator, 1500X RF, in the Go-Smart project's device data"


def _starburst(centimetres: int, *extensions: str) -> Model:
    data = {
        "tines": Datum(9, _COUNT),
        "extensions": Datum(list(extensions), _SCHEDULE),
        "rated_power": Datum("250 W", _POWER),
    }
    return Model(f"StarBurst XL, {centimetres} cm", data, f"starburst_{centimetres}cm")


class ChristmasTree(Tined):
    """Tines that leave the trocar forwards and bend outwards; they and the trocar's end conduct.

    Tines have one curvature all along, so that a tine that is pushed out slides along its own arc. The mesh holds the
    tines at their last extension; what is not yet out is insulated, and conducts from its stage on.
    """

    MODELS: ClassVar[Mapping[str, Model]] = {
        "starburst_xl_2cm": _starburst(2, "20 mm"),
        "starburst_xl_3cm": _starburst(3, "20 mm", "25 mm"),
        "starburst_xl_4cm": _starburst(4, "20 mm", "25 mm", "30 mm"),
        "starburst_xl_5cm": _starburst(5, "20 mm", "25 mm", "30 mm", "35 mm"),
        "starburst_sde": Model(
            "StarBurst SDE",
            {
                "tines": Datum(3, _COUNT),
                "extensions": Datum(["20 mm"], "assumed: as the StarBurst XL of 2 cm"),
                "thermocouple_tines": Datum(3, "assumed: one in each tine"),
                "rated_power": Datum("250 W", _POWER),
            },
            protocol="starburst_2cm",
            notes="The tines of this device leave the side of its trocar; here they leave its end.",
        ),
        "tungjitkusolmun_2002": Model(
            "four-tine RITA of Tungjitkusolmun 2002",
            {
                "tines": Datum(4, "Tungjitkusolmun et al., IEEE Trans Biomed Eng 2002;49:3"),
                "trocar_contact": Datum("10 mm", _TROCAR),
                "extensions": Datum(["25 mm"], "assumed: an array of 3 cm"),
                "thermocouple_tines": Datum(4, "assumed: one in each tine"),
            },
        ),
    }
    SOURCES: ClassVar[Mapping[str, str]] = {
        "tines": _COUNT,
        "extensions": _SCHEDULE,
        "bend_radius": _BEND,
        "trocar_contact": _TROCAR,
        "tine_diameter": "assumed: nine tines fit side by side into the trocar",
        "cannula_diameter": "assumed: 14 gauge (2.1 mm)",
        "thermocouple_tines": "assumed: thermocouples in five of the nine tines",
    }

    device: Literal["christmas_tree"]
    model: (
        Literal[
            "starburst_xl_2cm",
            "starburst_xl_3cm",
            "starburst_xl_4cm",
            "starburst_xl_5cm",
            "starburst_sde",
            "tungjitkusolmun_2002",
        ]
        | None
    ) = None
    """a device as it is sold; what the case states beside it replaces the model's value"""
    extensions: tuple[Length, ...] = Field(default=(0.02, 0.025, 0.03, 0.035), min_length=1, max_length=12)
    """lengths of the tines outside the trocar, one a deployment stage, growing"""
    bend_radius: Length = 0.0189
    """radius of the tines' arc"""
    trocar_contact: Length = 0.01
    """length of the trocar's conducting end"""
    thermocouple_tines: int = Field(default=5, ge=0, le=30)
    """number of tines with a thermocouple in their tip, spread evenly"""

    def _misfits(self) -> list[tuple[str, str]]:
        problems = []
        for index in range(1, len(self.extensions)):
            longer, shorter = self.extensions[index], self.extensions[index - 1]
            if longer <= shorter + self.tine_diameter:
                problems.append(
                    (
                        f"extensions[{index}]",
                        f"{text(longer, 'm')} is hardly longer than the {text(shorter, 'm')} before; each stage "
                        f"pushes the tines out by more than their diameter, {text(self.tine_diameter, 'm')}",
                    )
                )
        if self.extensions[-1] > math.radians(150) * self.bend_radius:
            problems.append(
                (
                    "bend_radius",
                    f"{text(self.bend_radius, 'm')} turns tines of {text(self.extensions[-1], 'm')} by more than "
                    "150 degrees; make it larger, or take an umbrella",
                )
            )
        if self.trocar_contact >= self.shaft_length:
            problems.append(
                (
                    "trocar_contact",
                    f"{text(self.trocar_contact, 'm')} leaves no insulation on the {text(self.shaft_length, 'm')} "
                    "trocar; shorten it or lengthen shaft_length",
                )
            )
        if self.thermocouple_tines > self.tines:
            problems.append(
                ("thermocouple_tines", f"{self.thermocouple_tines} is more than the {self.tines} tines; lower it")
            )
        return problems or super()._misfits()

    @property
    def bend(self) -> float:
        return self.bend_radius

    @property
    def tine_length(self) -> float:
        return self.extensions[-1]

    def contacts(self) -> tuple[Contact, ...]:
        tip, axis = self.tip_point, self.axis
        trocar = HalfSpace(tip - self.trocar_contact * axis, -axis)
        last = len(self.extensions) - 1
        if last == 0:
            return (Contact("contact", trocar, rim=True),)
        first = Union((HalfSpace(tip, axis), self._cut(self.extensions[0], +1)))
        found = [Contact("contact", Intersection((trocar, first)), rim=True)]
        for stage in range(1, last + 1):
            parts: list[Shape] = [HalfSpace(tip, -axis), self._cut(self.extensions[stage - 1], -1)]
            if stage < last:
                parts.append(self._cut(self.extensions[stage], +1))
            found.append(Contact(f"stage_{stage}", Intersection(parts), terminal="contact", stage=stage))
        return tuple(found)

    def _cut(self, length: float, side: int) -> ConeSpace:
        """What is less (``side`` +1) or more (-1) than ``length`` along a tine: one cone cuts all at right angles."""
        angle = length / self.bend
        return ConeSpace(
            self.tip_point, self.axis, self._reach(angle), (side * math.sin(angle), side * math.cos(angle))
        )

    @property
    def thermocouples(self) -> tuple[tuple[str, Array], ...]:
        return self.thermocouples_at(len(self.extensions) - 1)

    def thermocouples_at(self, stage: int) -> tuple[tuple[str, Array], ...]:
        """Sensors in the tips of the tines as they are at a deployment stage.

        They lie on the surface, at the foremost point of a tine that is fully out, else on its outer side.
        """
        if not 0 <= stage < len(self.extensions):
            raise Problems([("extensions", f"there is no stage {stage}; they are 0 to {len(self.extensions) - 1}")])
        length = self.extensions[stage]
        points = self.along_tines(length)
        if stage < len(self.extensions) - 1:
            angle = length / self.bend
            outer = -math.cos(angle) * self._ways() + math.sin(angle) * self.axis
            points = points + 0.5 * self.tine_diameter * outer
        chosen = [k * self.tines // self.thermocouple_tines for k in range(self.thermocouple_tines)]
        return tuple((f"tine {k + 1}", points[k]) for k in chosen)
