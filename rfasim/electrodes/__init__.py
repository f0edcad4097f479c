"""Electrode families: one file a family. To add one, write its class and name it in ``AnyDevice``."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from rfasim.electrodes.bipolar import BipolarNeedle
from rfasim.electrodes.christmas_tree import ChristmasTree
from rfasim.electrodes.cluster import CooledCluster
from rfasim.electrodes.cooled import CooledNeedle
from rfasim.electrodes.custom import Custom
from rfasim.electrodes.device import Contact, Device, check_electrode
from rfasim.electrodes.needle import Needle
from rfasim.electrodes.reference_bodies import Ball, Rod, Spheroid
from rfasim.electrodes.sets import BipolarSet
from rfasim.electrodes.umbrella import Umbrella
from rfasim.electrodes.wet import BipolarWetNeedle, CooledWetNeedle, WetNeedle

AnyDevice = Annotated[
    Needle
    | CooledNeedle
    | CooledCluster
    | Umbrella
    | ChristmasTree
    | BipolarNeedle
    | BipolarSet
    | WetNeedle
    | CooledWetNeedle
    | BipolarWetNeedle
    | Custom
    | Ball
    | Spheroid
    | Rod,
    Field(discriminator="device"),
]
ALL_DEVICES: tuple[type[Device], ...] = get_args(get_args(AnyDevice)[0])

__all__ = ["ALL_DEVICES", "AnyDevice", "Contact", "Device", "check_electrode"]
