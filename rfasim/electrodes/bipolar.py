"""The bipolar needle: two contacts with an insulator between them on one shaft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from rfasim.electrodes.device import Array, Contact, Coolant, Datum, Model, Thermal
from rfasim.electrodes.needle import Shaft
from rfasim.geometry import HalfSpace, Intersection
from rfasim.quantities import Length, text

WATER_COOLED = Coolant(kind="coolant", temperature=20.0, h=3127.0)
_ROOM_WATER = (
    "internally cooled (Clasen 2006); 20 degC, water at room temperature, and the heat-transfer coefficient of a "
    "cooled 17 gauge needle are assumed"
)
_GAUGE_15 = "15 gauge is 0.072 in = 1.83 mm (Birmingham wire gauge), rounded; 15 gauge: Rempp 2014, 1.8 mm unverified"
BIPOLAR_SOURCES = {"diameter": _GAUGE_15, "thermal": _ROOM_WATER}

# length from the tip to the end of the proximal contact [mm], and the power it is made for [W]
CELON_SIZES: dict[str, tuple[int, int]] = {"t20": (20, 20), "t30": (30, 40), "t40": (40, 60)}
_INSULATOR_MM = 3.0


def celon_data(name: str) -> dict[str, Datum]:
    """The parameters of a Celon class needle ("t20", "t30", "t40")."""
    length, power = CELON_SIZES[name]
    half = 0.5 * (length - _INSULATOR_MM)
    split = f"assumed: {length} mm in all, equal contacts and a {_INSULATOR_MM:g} mm insulator"
    return {
        "diameter": Datum("1.8 mm", _GAUGE_15),
        "distal_length": Datum(f"{half:g} mm", split),
        "insulator_length": Datum(f"{_INSULATOR_MM:g} mm", split),
        "proximal_length": Datum(f"{half:g} mm", split),
        "thermal": Datum(WATER_COOLED.model_dump(mode="json"), _ROOM_WATER),
        "rated_power": Datum(f"{power} W", "assumed by size, within 20 to 60 W of the single applicators"),
    }


def _celon(name: str) -> Model:
    length, _ = CELON_SIZES[name]
    return Model(
        title=f"Celon {name.upper()} class bipolar cooled needle, {length} mm active",
        data=celon_data(name),
        protocol="celon_power",
        notes="470 kHz. The active length counts from the tip to the end of the proximal contact, insulator included "
        "(assumed); sizes of 20, 30 and 40 mm are in common use, unverified.",
    )


class BipolarShaft(Shaft):
    """A shaft with two contacts: ``distal`` with the tip, then an insulator, then ``proximal``."""

    diameter: Length = 0.0018
    """diameter of the shaft"""
    distal_length: Length = 0.0135
    """length of the foremost contact, from the tip"""
    insulator_length: Length = 0.003
    """length of the insulation between the contacts"""
    proximal_length: Length = 0.0135
    """length of the second contact"""

    @property
    def sections(self) -> tuple[float, float, float]:
        """Where the distal contact ends and the proximal one begins and ends, from the tip [m]."""
        gap_end = self.distal_length + self.insulator_length
        return self.distal_length, gap_end, gap_end + self.proximal_length

    def _misfits(self) -> list[tuple[str, str]]:
        problems = super()._misfits()
        *_, end = self.sections
        if end >= self.shaft_length:
            problems.append(
                (
                    "proximal_length",
                    f"contacts and insulator take {text(round(end, 9), 'm')}, which is not less than the "
                    f"{text(self.shaft_length, 'm')} shaft; shorten them or lengthen shaft_length",
                )
            )
        tip = self.tip_part
        if self.distal_length <= tip:
            problems.append(
                (
                    "distal_length",
                    f"{text(self.distal_length, 'm')} ends within the {self.tip_shape} tip, so that the insulation "
                    f"would overlap it; give more than {text(tip, 'm')}",
                )
            )
        return problems

    def contacts(self) -> tuple[Contact, ...]:
        tip, back = self.tip_point, -self.axis
        distal_end, begin, end = self.sections
        slab = Intersection([HalfSpace(tip + back * begin, -back), HalfSpace(tip + back * end, back)])
        return (
            Contact("distal", HalfSpace(tip + back * distal_end, back), rim=True),
            Contact("proximal", slab, rim=True),
        )

    @property
    def active_centre(self) -> Array:
        *_, end = self.sections
        return self.tip_point - 0.5 * end * self.axis

    @property
    def smallest_feature(self) -> float:
        return min(self.diameter, self.distal_length, self.insulator_length, self.proximal_length)

    @property
    def insulated_width(self) -> float:
        """The diameter: the insulator between the contacts lies within the reach of their fine mesh."""
        return self.diameter

    @property
    def returns(self) -> tuple[str, ...]:
        return ("proximal",)

    @property
    def thermocouples(self) -> tuple[tuple[str, Array], ...]:
        """None: such needles are controlled by their resistance."""
        return ()


class BipolarNeedle(BipolarShaft):
    """A bipolar cooled needle: contacts ``distal`` (with the tip) and ``proximal`` on one shaft, no pad on the skin.

    From the tip come ``distal_length``, ``insulator_length``, ``proximal_length``, then the insulated shaft. Unless
    the case says otherwise the current returns through ``proximal``.
    """

    SOURCES: ClassVar[Mapping[str, str]] = BIPOLAR_SOURCES
    MODELS: ClassVar[Mapping[str, Model]] = {f"celon_{name}": _celon(name) for name in CELON_SIZES}

    device: Literal["bipolar_needle"]
    model: Literal["celon_t20", "celon_t30", "celon_t40"] | None = None
    """a named device; it gives what the case does not state"""
    thermal: Thermal = WATER_COOLED
    """how the device exchanges heat with the tissue"""
