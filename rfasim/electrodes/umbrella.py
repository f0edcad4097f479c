"""The umbrella (LeVeen class): tines that leave the cannula forwards, open, and curve back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from rfasim.electrodes.device import Contact, Datum, Degrees, Model
from rfasim.electrodes.tined import Tined
from rfasim.geometry import Cylinder, Difference, HalfSpace
from rfasim.quantities import Fraction, Length

_COUNT = "Go-Smart project's device data, Boston Scientific needles: array diameter and number of tines"
_CANNULA = "assumed: 15 gauge (1.83 mm)"
_SLIM = "a 3 cm LeVeen of 17 gauge in World J Gastroenterol 2007;13:2841; 17 gauge is 0.058 in = 1.47 mm"
_POWER = "its generator, RF 3000, gives up to 200 W; first source not read (unverified)"


def _leveen(title: str, diameter: str, tines: int, cannula: Datum, protocol: str = "leveen_rf3000") -> Model:
    data = {
        "array_diameter": Datum(diameter, _COUNT),
        "tines": Datum(tines, _COUNT),
        "cannula_diameter": cannula,
        "rated_power": Datum("200 W", _POWER),
    }
    return Model(title, data, protocol)


class Umbrella(Tined):
    """Tines that leave the cannula's tip forwards, open like an umbrella and curve back; only they conduct.

    Each tine is an arc of a circle that turns by ``bend_degrees`` when fully deployed; a partly deployed tine is the
    first part of the same arc. The conducting part starts half a tine's diameter ahead of the cannula.
    """

    MODELS: ClassVar[Mapping[str, Model]] = {
        "leveen_2.0": _leveen("LeVeen Super Slim 2.0 cm", "2 cm", 8, Datum("1.47 mm", _SLIM), "leveen_super_slim_2cm"),
        "leveen_3.0_super_slim": _leveen("LeVeen Super Slim 3.0 cm", "3 cm", 10, Datum("1.47 mm", _SLIM)),
        "leveen_3.0": _leveen("LeVeen 3.0 cm", "3 cm", 10, Datum("1.83 mm", _CANNULA)),
        "leveen_3.5": _leveen("LeVeen 3.5 cm", "3.5 cm", 10, Datum("1.83 mm", _CANNULA)),
        "leveen_4.0": _leveen("LeVeen 4.0 cm", "4 cm", 12, Datum("1.83 mm", _CANNULA)),
        "leveen_5.0": _leveen("LeVeen 5.0 cm", "5 cm", 14, Datum("1.83 mm", _CANNULA)),
    }
    SOURCES: ClassVar[Mapping[str, str]] = {
        "array_diameter": _COUNT,
        "tines": _COUNT,
        "cannula_diameter": _CANNULA,
        "tine_diameter": "assumed: the 14 tines of the largest model just fit into the cannula",
        "bend_degrees": "assumed: half a turn, so that the tines' ends point back",
    }

    device: Literal["umbrella"]
    model: (
        Literal["leveen_2.0", "leveen_3.0_super_slim", "leveen_3.0", "leveen_3.5", "leveen_4.0", "leveen_5.0"] | None
    ) = None
    """a device as it is sold; what the case states beside it replaces the model's value"""
    array_diameter: Length = 0.035
    """width of the fully deployed array, over the tines"""
    tines: int = Field(default=10, ge=2, le=30)
    """number of tines, evenly spread around the axis"""
    tine_diameter: Length = 0.0003
    """diameter of a tine"""
    cannula_diameter: Length = 0.00183
    """outer diameter of the cannula"""
    bend_degrees: Degrees = Field(default=180.0)
    """how far a fully deployed tine turns: at 90 its end points sideways, at 180 back along the cannula"""
    deployed: Fraction = 1.0
    """share of the tines' length that is out of the cannula"""

    def _misfits(self) -> list[tuple[str, str]]:
        if not 30.0 <= self.bend_degrees <= 240.0:
            return [("bend_degrees", f"got {self.bend_degrees:g}; it must be from 30 to 240 degrees")]
        if self.deployed == 0:
            return [("deployed", "got 0, which leaves no tine outside; give the share that is out, up to 1")]
        if self.array_diameter <= 2 * self.cannula_diameter:
            return [
                (
                    "array_diameter",
                    f"{1e3 * self.array_diameter:g} mm is not even twice the cannula's diameter, "
                    f"{1e3 * self.cannula_diameter:g} mm; make it wider or the cannula thinner",
                )
            ]
        return super()._misfits()

    @property
    def bend(self) -> float:
        widest = min(math.radians(self.bend_degrees), math.pi)
        return (0.5 * (self.array_diameter - self.tine_diameter) - self._ring) / (1.0 - math.cos(widest))

    @property
    def tine_length(self) -> float:
        return self.deployed * self.bend * math.radians(self.bend_degrees) + 0.5 * self.tine_diameter

    def contacts(self) -> tuple[Contact, ...]:
        tip, back = self.tip_point, -self.axis
        margin = 0.5 * self.tine_diameter
        sleeve = Cylinder(
            tip - margin * back, tip + (self.shaft_length + margin) * back, 0.5 * self.cannula_diameter + margin
        )
        # the second half space is there for the mesh, which may then grow coarser along the cannula
        lowest = tip + (max(0.0, -self._reach(self._angle)[1]) + self.tine_diameter) * back
        return (Contact("contact", Difference(HalfSpace(lowest, back), sleeve)),)
