"""The cluster of internally cooled needles, fixed in one handle or separable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from rfasim.electrodes.cooled import COOLED, COOLED_17, COOLED_SOURCE, GENERATOR_200_W
from rfasim.electrodes.device import Contact, Datum, Model, Thermal
from rfasim.electrodes.needle import GAUGE_17, ActiveTip, Shaft
from rfasim.electrodes.sets import ParallelNeedles
from rfasim.quantities import Length

_OCTOPUS = "three 17 gauge cooled electrodes 5 or 10 mm apart, 180 to 200 W (Korean J Radiol 2013;14:194)"


class CooledCluster(ParallelNeedles, ActiveTip):
    """Parallel internally cooled needles with one generator: joined (one terminal) or separable (one each).

    Joined needles are the terminal ``contact``; separable ones are ``needle_1``, ``needle_2``... The needles stand
    at the corners of a regular polygon; the pose's tip is the middle of their tips.
    """

    NEEDLE: ClassVar[type[Shaft]] = ActiveTip
    SOURCES: ClassVar[Mapping[str, str]] = {
        "needles": "Cool-tip cluster: three needles (Mertyna et al., Acad Radiol 2009;16:1539)",
        "active_length": "Cool-tip cluster: 2.5 cm (Mertyna et al., Acad Radiol 2009;16:1539)",
        "spacing": "Cool-tip cluster: 5 mm; unverified",
        "diameter": COOLED_17,
        "thermal": COOLED_SOURCE,
    }
    MODELS: ClassVar[Mapping[str, Model]] = {
        "cooltip_cluster": Model(
            title="Cool-tip class cluster of three cooled needles",
            data={
                "needles": Datum(3, SOURCES["needles"]),
                "active_length": Datum("25 mm", SOURCES["active_length"]),
                "spacing": Datum("5 mm", SOURCES["spacing"]),
                "diameter": Datum("1.5 mm", COOLED_17),
                "separable": Datum(False, "one handle, one cable; unverified"),
                "rated_power": Datum("200 W", GENERATOR_200_W),
            },
            protocol="cooltip_pulsed",
        ),
        "octopus": Model(
            title="Octopus class separable cluster of three cooled needles",
            data={
                "needles": Datum(3, _OCTOPUS),
                "active_length": Datum("25 mm", "assumed; tips of 20 to 30 mm are in use"),
                "spacing": Datum("10 mm", _OCTOPUS),
                "diameter": Datum("1.5 mm", f"{GAUGE_17}; {_OCTOPUS}"),
                "separable": Datum(True, _OCTOPUS),
                "rated_power": Datum("200 W", _OCTOPUS),
            },
            protocol="octopus_switching",
            notes="The needles may be placed 5, 10 or 20 mm apart by hand: change spacing.",
        ),
    }

    device: Literal["cooled_cluster"]
    model: Literal["cooltip_cluster", "octopus"] | None = None
    """a named device; it gives what the case does not state"""
    needles: int = Field(default=3, ge=2, le=6)
    """number of needles, 2 to 6"""
    spacing: Length = 0.005
    """distance of neighbouring needles, centre to centre"""
    active_length: Length = 0.025
    """length of the conducting and cooled part of each needle, from its tip"""
    separable: bool = False
    """each needle is a terminal of its own (needle_1, needle_2...) instead of all being joined (contact)"""
    thermal: Thermal = COOLED
    """how the device exchanges heat with the tissue"""

    def contacts(self) -> tuple[Contact, ...]:
        if not self.separable:
            return ActiveTip.contacts(self)  # one plane across the axis bounds the contacts of all needles
        return tuple(
            replace(contact, name=f"needle_{number}", terminal=f"needle_{number}")
            for number, contact in enumerate(super().contacts(), start=1)
        )
