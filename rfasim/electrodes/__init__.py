"""Electrode families: one file a family. To add one, write its class and name it in ``AnyDevice``."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from rfasim.electrodes.device import Contact, Device, check_electrode
from rfasim.electrodes.needle import Needle
from rfasim.electrodes.reference_bodies import Ball, Rod, Spheroid

AnyDevice = Annotated[Needle | Ball | Spheroid | Rod, Field(discriminator="device")]
ALL_DEVICES: tuple[type[Device], ...] = get_args(get_args(AnyDevice)[0])

__all__ = ["ALL_DEVICES", "AnyDevice", "Contact", "Device", "check_electrode"]
