"""Perfused ("wet") needles: a fluid leaves through holes in the active part. They know where the holes are; what leaves
through them is said in a case's ``saline``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from rfasim.electrodes.bipolar import BIPOLAR_SOURCES, WATER_COOLED, BipolarShaft
from rfasim.electrodes.cooled import COOLED, COOLED_17, COOLED_SOURCE, GENERATOR_200_W
from rfasim.electrodes.device import Array, Datum, Model, Thermal, Turned
from rfasim.electrodes.needle import GAUGE_17, ActiveTip, Shaft
from rfasim.quantities import Distance, text

_HOLES = "assumed; no source gives the number and place of the holes"
_BURDIO = "Burdio et al., BioMed Eng OnLine 2007;6:30"
_LUO = "Luo et al., Acad Radiol 2010;17(8)"


class Perforated(Turned, Shaft):
    """A shaft with rows of outlets, evenly spread along the straight part of each contact."""

    outlet_rows: int = Field(default=2, ge=1, le=50)
    """number of rows of outlets along each contact"""
    outlets_per_row: int = Field(default=4, ge=1, le=24)
    """number of outlets of a row, evenly spread around the shaft"""
    outlet_distance: Distance = 0.0
    """shortest distance of the outlets from the surface; 0 for holes in it"""

    def _perforated(self) -> tuple[tuple[float, float], ...]:
        """Where the contacts with outlets begin and end, from the tip [m]."""
        raise NotImplementedError(f"{type(self).__name__} has to say where its outlets are")

    @property
    def outlets(self) -> tuple[tuple[str, Array], ...]:
        middles = (np.arange(self.outlet_rows) + 0.5) / self.outlet_rows
        angles = 2 * np.pi * np.arange(self.outlets_per_row) / self.outlets_per_row
        sideways = (self.diameter / 2 + self.outlet_distance) * self.sideways(angles)
        points = [
            self.tip_point - (begin + middle * (end - begin)) * self.axis + way
            for begin, end in self._perforated()
            for middle in middles
            for way in sideways
        ]
        return tuple((f"outlet_{number}", point) for number, point in enumerate(points, start=1))


class PerforatedTip(Perforated, ActiveTip):
    """A monopolar needle with outlets."""

    def _misfits(self) -> list[tuple[str, str]]:
        problems = super()._misfits()
        if self.active_length <= self.tip_part:
            problems.append(
                (
                    "active_length",
                    f"{text(self.active_length, 'm')} ends within the {self.tip_shape} tip and leaves no place for "
                    f"outlets; give more than {text(self.tip_part, 'm')}",
                )
            )
        return problems

    def _perforated(self) -> tuple[tuple[float, float], ...]:
        return ((self.tip_part, self.active_length),)


class WetNeedle(PerforatedTip):
    """A perfused needle without cooling: a fluid leaves through outlets on the conducting part.

    What leaves through them is said in the case's ``saline.infusions``.
    """

    SOURCES: ClassVar[Mapping[str, str]] = {"diameter": GAUGE_17, "outlet_rows": _HOLES, "outlets_per_row": _HOLES}
    MODELS: ClassVar[Mapping[str, Model]] = {
        "uniblate": Model(
            title="UniBlate class perfused needle with adjustable tip",
            data={
                "active_length": Datum("25 mm", f"assumed; adjustable from 10 to 30 mm (unverified), used in {_LUO}"),
                "diameter": Datum("1.5 mm", f"{GAUGE_17}; 17 gauge unverified"),
                "outlet_rows": Datum(2, _HOLES),
                "outlets_per_row": Datum(4, _HOLES),
                "rated_power": Datum("250 W", "the 1500X RF generator, as in the Go-Smart project's device data"),
            },
            protocol="uniblate",
            notes=f"Thermocouple at the tip. {_LUO} held 83 to 113 degC with 20 to 40 W at most.",
        ),
        "berchtold_16g": Model(
            title="HiTT class open-perfused needle, 16 gauge",
            data={
                "active_length": Datum("15 mm", "assumed"),
                "diameter": Datum("1.65 mm", "16 gauge is 0.065 in = 1.65 mm (Birmingham wire gauge); 16 gauge: "
                                             "open-perfused electrodes of the Korean J Radiol studies, unverified"),
                "outlet_rows": Datum(2, _HOLES),
                "outlets_per_row": Datum(4, _HOLES),
                "rated_power": Datum("60 W", "Elektrotom HiTT 106 generator; unverified"),
            },
            protocol="constant_power",
            notes="375 kHz (unverified); perfused with isotonic saline.",
        ),
    }  # fmt: skip

    device: Literal["wet_needle"]
    model: Literal["uniblate", "berchtold_16g"] | None = None
    """a named device; it gives what the case does not state"""


class CooledWetNeedle(PerforatedTip):
    """An internally cooled needle that also lets a fluid out, through its surface or ``outlet_distance`` from it."""

    SOURCES: ClassVar[Mapping[str, str]] = {
        "diameter": COOLED_17,
        "thermal": COOLED_SOURCE,
        "outlet_distance": f"0, 2 and 4 mm were compared; 2 mm gave the largest zones ({_BURDIO})",
    }
    MODELS: ClassVar[Mapping[str, Model]] = {
        "burdio_hybrid": Model(
            title="Hybrid applicator: cooled needle with infusion 2 mm beside it",
            data={
                "active_length": Datum("30 mm", "assumed"),
                "diameter": Datum("1.5 mm", f"assumed; {GAUGE_17}"),
                "outlet_rows": Datum(1, "assumed: one lance with its opening at half the active length"),
                "outlets_per_row": Datum(1, "assumed: one lance"),
                "outlet_distance": Datum("2 mm", f"the best of 0, 2 and 4 mm ({_BURDIO})"),
                "rated_power": Datum("200 W", f"assumed: {GENERATOR_200_W}"),
            },
            protocol="cooltip_pulsed",
            notes="The infusion lance itself is not part of the model.",
        ),
        "perfused_cooled": Model(
            title="Perfused-cooled needle with holes in its tip",
            data={
                "active_length": Datum("30 mm", "assumed"),
                "diameter": Datum("1.65 mm", "assumed: 16 gauge is 0.065 in = 1.65 mm (Birmingham wire gauge)"),
                "outlet_rows": Datum(2, _HOLES),
                "outlets_per_row": Datum(4, _HOLES),
                "rated_power": Datum("200 W", "Korean J Radiol 2004, PMC2698170"),
            },
            protocol="constant_power",
            notes="Used with 0.5 to 1 ml/min of 5 to 36 % saline (Korean J Radiol 2004, PMC2698170).",
        ),
    }

    device: Literal["cooled_wet_needle"]
    model: Literal["burdio_hybrid", "perfused_cooled"] | None = None
    """a named device; it gives what the case does not state"""
    thermal: Thermal = COOLED
    """how the device exchanges heat with the tissue"""


class BipolarWetNeedle(Perforated, BipolarShaft):
    """A bipolar needle with outlets on both contacts; the current returns through ``proximal``."""

    SOURCES: ClassVar[Mapping[str, str]] = BIPOLAR_SOURCES

    device: Literal["bipolar_wet_needle"]
    thermal: Thermal = WATER_COOLED
    """how the device exchanges heat with the tissue"""

    def _perforated(self) -> tuple[tuple[float, float], ...]:
        distal_end, begin, end = self.sections
        return (self.tip_part, distal_end), (begin, end)
