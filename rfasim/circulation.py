"""How much blood comes in, and when: the Pringle manoeuvre and other occlusions, for perfusion and vessels alike.

    >>> clamped = Circulation(pringle="on")
    >>> clamped.inflow_at(0.0).portal
    0.0

Shares are of the normal flow. One place says them; perfusion and the vessels' flows both ask it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, create_model, model_validator

from rfasim.quantities import Fraction, Length, Problems, Quantity, Record, Time, text

MOST_BUFFERED = 2.0  # times its normal flow: the most that the hepatic artery carries
VesselKind = Literal["portal", "hepatic", "artery", "cava", "user"]
Share = Annotated[float, Quantity("", 0.0, 10.0)]

# "from" is a word of Python's own, so that the record cannot be written as a class
Clamp: Any = create_model(
    "Clamp",
    __base__=Record,
    __doc__="One interval of a Pringle manoeuvre, in simulated time.",
    **{  # type: ignore[call-overload]
        "from": (Time, Field(0.0, description="when the clamp closes")),
        "to": (Time | None, Field(None, description="when it opens; at the end of the run when not stated")),
    },
)


class _InWords:
    """Tells the JSON Schema that one interval, or a word, may stand for the list."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        listed = handler(schema)
        return {"anyOf": [{"enum": ["off", "on", True, False]}, listed["items"], listed]}


def _intervals(value: Any) -> Any:
    if value in (False, "off", None):
        return []
    if value in (True, "on"):
        return [{"from": "0 s"}]
    if isinstance(value, str):
        raise ValueError(
            f"got '{value}'; write off, on, an interval such as {{from: 0 min, to: 12 min}}, or a list of them"
        )
    return value if isinstance(value, list | tuple) else [value]


Intervals = Annotated[tuple[Clamp, ...], BeforeValidator(_intervals), _InWords()]


@dataclass(frozen=True)
class Inflow:
    """Shares of the normal flow that come in by the portal vein and the hepatic artery, and leave by hepatic veins."""

    portal: float = 1.0
    arterial: float = 1.0
    hepatic: float = 1.0

    def of(self, kind: str) -> float:
        """The share of its normal flow that a vessel of ``kind`` carries; the vena cava and a user's do not change."""
        return {"portal": self.portal, "artery": self.arterial, "hepatic": self.hepatic}.get(kind, 1.0)


class Circulation(Record):
    """Blood supply of the liver: what comes in, when it is clamped, and how vessels are treated."""

    pringle: Intervals = ()
    """the clamp on the liver's inflow: off, on, an interval {from: 0 min, to: 12 min} or a list of them"""
    inflow: Literal["both", "portal", "arterial"] = "both"
    """what the clamp closes"""
    portal_residual: Fraction = 0.0
    """share of the portal flow that a closed clamp lets through"""
    arterial_residual: Fraction = 0.0
    """share of the arterial flow that a closed clamp lets through (an accessory artery outside it, for instance)"""
    hepatic_backflow: Fraction = 0.0
    """least share of the hepatic veins' normal flow: what swings back from the vena cava when the inflow is closed. No
    measured value was found; that it matters shows in pigs, whose zones grew by half when the hepatic veins were
    occluded as well (Chang 2002)"""
    buffer_response: Fraction = 0.44
    """share of a loss of portal flow that the hepatic artery makes up for while it is open, up to twice its own flow
    (44 +- 4 %, Lautt; less in cirrhosis)"""
    portal: Share = 1.0
    """portal flow outside clamps, as a share of the normal one"""
    arterial: Share = 1.0
    """arterial flow outside clamps, as a share of the normal one"""
    portal_share: Fraction = 0.75
    """share of the liver's blood that comes by the portal vein; the rest of what leaves by hepatic veins is arterial"""
    resolve_from: Length = 3e-3
    """vessels of at least this diameter are meshed, thinner ones are lines that exchange heat with the tissue"""
    thrombosis: Literal["report", "occlude"] = "report"
    """whether a vessel whose wall has coagulated all round only is reported, or is closed from then on"""

    @model_validator(mode="after")
    def _intervals_fit(self) -> Self:
        found = []
        end, unending = -1.0, False
        for index, (start, stop) in enumerate(self.spans):
            place = f"pringle[{index}]" if len(self.pringle) > 1 else "pringle"
            if stop is not None and stop <= start:
                found.append((f"{place}.to", f"{text(stop, 's')} is not after from, {text(start, 's')}"))
            if unending or start < end:
                found.append((f"{place}.from", "lies before the interval before it ends; give them in order, apart"))
            end, unending = (end, True) if stop is None else (stop, unending)
        if found:
            raise Problems(found)
        return self

    @property
    def spans(self) -> tuple[tuple[float, float | None], ...]:
        """(from, to) of each interval [s]; ``to`` is None until the end."""
        return tuple((getattr(clamp, "from"), clamp.to) for clamp in self.pringle)

    def inflow_at(self, time: float) -> Inflow:
        """What flows just after ``time`` [s]."""
        portal, arterial = self.portal, self.arterial
        if any(start <= time and (stop is None or time < stop) for start, stop in self.spans):
            if self.inflow in ("both", "portal"):
                portal *= self.portal_residual
            if self.inflow in ("both", "arterial"):
                arterial *= self.arterial_residual
        lost = self.portal_share * max(1.0 - portal, 0.0)
        if arterial > 0 and lost > 0 and self.portal_share < 1:
            # what is made up is a flow, and the artery's own is the smaller part of all
            more = self.buffer_response * lost / (1.0 - self.portal_share)
            arterial *= min(1.0 + more, MOST_BUFFERED)
        leaving = self.portal_share * portal + (1.0 - self.portal_share) * arterial
        return Inflow(portal, arterial, max(leaving, self.hepatic_backflow))

    @property
    def switches(self) -> tuple[float, ...]:
        """Times [s] at which the inflow changes, in their order."""
        return tuple(moment for span in self.spans for moment in span if moment is not None and moment > 0)

    def next_switch(self, time: float) -> float:
        """The next of them after ``time`` [s]; infinite when there is none."""
        return min((moment for moment in self.switches if moment > time), default=float("inf"))
