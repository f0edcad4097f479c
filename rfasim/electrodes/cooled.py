"""The internally cooled needle: a straight needle with a coolant that circulates inside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from rfasim.electrodes.device import Coolant, Datum, Model, Thermal
from rfasim.electrodes.needle import GAUGE_17, ActiveTip
from rfasim.quantities import Length

# Heat-transfer coefficient and coolant temperature of the models of cooled 17 gauge needles made in Valencia, such as
# Trujillo et al., Int J Hyperthermia 2016;32:931; derived there for a 30 mm tip. In common use; not read at the source.
COOLED = Coolant(kind="coolant", temperature=10.0, h=3127.0)
COOLED_SOURCE = (
    "10 degC and 3127 W/(m^2 K) as in the Valencia models of a 30 mm tip (Trujillo 2016), unverified; the same for "
    "other lengths is assumed"
)
GENERATOR_200_W = "the 200 W generator these electrodes are driven by (Korean J Radiol 2004, PMC2698170)"
COOLED_17 = f"{GAUGE_17}; 17 gauge: Song et al., Br J Radiol 2015;88:20140497"


def _cool_tip(length: int, source: str) -> Model:
    return Model(
        title=f"Cool-tip class internally cooled needle, {length} mm tip",
        data={
            "active_length": Datum(f"{length} mm", source),
            "diameter": Datum("1.5 mm", COOLED_17),
            "thermal": Datum(COOLED.model_dump(mode="json"), COOLED_SOURCE),
            "rated_power": Datum("200 W", GENERATOR_200_W),
        },
        protocol="cooltip_pulsed",
        notes="480 kHz; power until the impedance has risen by 20 ohm, then 15 s at low power (Ji et al., "
        "Acad Radiol 2011;18(9)).",
    )


class CooledNeedle(ActiveTip):
    """An internally cooled needle: the last ``active_length`` before the tip conducts and is cooled from inside.

    The coolant takes ``h (T - temperature)`` W/m^2 from the contact's surface. The insulated shaft is not cooled.
    """

    SOURCES: ClassVar[Mapping[str, str]] = {"diameter": COOLED_17, "thermal": COOLED_SOURCE}
    MODELS: ClassVar[Mapping[str, Model]] = {
        "cooltip_10": _cool_tip(10, "tips of 1, 2, 3 and 4 cm are sold; unverified"),
        "cooltip_20": _cool_tip(20, "tips of 1, 2, 3 and 4 cm are sold; unverified"),
        "cooltip_30": _cool_tip(30, "3.0 cm tip: Huang and Dodd, Acad Radiol 2012;19(8)"),
        "cooltip_40": _cool_tip(40, "tips of 1, 2, 3 and 4 cm are sold; unverified"),
    }

    device: Literal["cooled_needle"]
    model: Literal["cooltip_10", "cooltip_20", "cooltip_30", "cooltip_40"] | None = None
    """a named device; it gives what the case does not state"""
    active_length: Length = 0.03
    """length of the conducting and cooled part, from the tip"""
    thermal: Thermal = COOLED
    """how the device exchanges heat with the tissue"""
