"""What the time loop hands out after each accepted step: fields, readings, ledger; SI units, degC."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """The state at the end of one accepted time step; arrays are nodal, shape ``(n_nodes,)``.

    ``damage`` holds each damage model's own quantity by the model's name: Arrhenius integral (1), CEM43
    (min), dead fraction (1) or highest temperature so far (degC). ``energy`` is the ledger since the start:
    electrical, stored, latent, perfusion, vessels, coolant, boundary, saline, metabolic, imbalance.
    """

    time: float  # s, end of the step
    step: float  # s
    temperature: Array  # degC
    potential: NDArray[Any]  # V RMS, real or complex
    water_lost: Array  # fraction of the tissue water that is steam, 0..1
    damage: dict[str, Array]
    power: float  # W
    voltage: float  # V RMS
    current: float  # A RMS
    impedance: complex  # ohm
    max_temperature: float  # degC, hottest tissue
    zone_volume: float  # m^3, by the case's criterion
    energy: dict[str, float]  # J
    probes: dict[str, float]  # degC; the devices' own sensors too, as electrodes[0].<name>
    output: bool  # an output time: the fields are to be kept
    rolled_off: bool
    limited_by: str  # "" | "power" | "voltage" | "current"
    phase: str = ""  # of the generator's protocol
    concentration: Array | None = None  # g/l NaCl in the pores, where there is saline
    pore_pressure: Array | None = None  # Pa
    injected: float = 0.0  # m^3 of saline so far

    def readings(self) -> dict[str, Any]:
        """The row of ``history.parquet``; the devices' own sensors are readings as the impedance is."""
        return {
            "time_s": self.time, "step_s": self.step, "power_w": self.power, "voltage_v": self.voltage,
            "current_a": self.current, "impedance_ohm": abs(self.impedance),
            "phase_deg": math.degrees(math.atan2(self.impedance.imag, self.impedance.real)),
            "max_temperature_c": self.max_temperature, "zone_volume_ml": self.zone_volume * 1e6,
            "rolled_off": self.rolled_off, "limited_by": self.limited_by, "generator_phase": self.phase,
            **{f"{name}_j": joules for name, joules in self.energy.items()},
            **{f"{name}_c": value for name, value in self.probes.items() if name.startswith("electrodes[")},
        }  # fmt: skip

    def temperatures(self) -> dict[str, float]:
        """The row of ``probes.parquet``."""
        return {"time_s": self.time, **{f"{name}_c": value for name, value in self.probes.items()}}
