"""All that changes during a run, and what drives the tissue at one moment; both as arrays for a checkpoint, and
back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rfasim.damage import Damage
from rfasim.generator import Memory, Reading
from rfasim.saline import Pores
from rfasim.solver.space import Array
from rfasim.solver.stepping import Flow

ACCOUNTS = ("electrical", "metabolic", "stored", "latent", "perfusion", "vessels", "coolant", "boundary", "saline")
"""of the ledger; what comes in first"""

Saved = dict[str, Any]
"""arrays, numbers and texts by name"""


@dataclass
class Moment:
    """Everything that drives the tissue at one moment: the reading and each term's reaction and source."""

    reading: Reading
    potential: Array
    beyond: float  # W dissipated beyond the domain
    in_lines: float  # W set free in blood of vessels that are lines, more than in tissue
    reactions: list[Array | None]
    sources: list[Array]
    flow: Flow

    def save(self, *, with_conductance: bool) -> Saved:
        """As arrays; conductances that never change need not be among them."""
        r, flow = self.reading, self.flow
        out: Saved = {
            "read_temperatures": np.array(r.temperatures),
            "reading": np.array([r.time, r.voltage, r.current, r.power, r.impedance.real, r.impedance.imag]),
            "limited_by": r.limited_by, "beyond": self.beyond, "in_lines": self.in_lines,
            "shown_potential": self.potential,
            "flow_reaction": flow.reaction, "flow_source": flow.source, "flow_exchange": flow.exchange,
            "flow_station_source": flow.station_source,
        }  # fmt: skip
        if with_conductance:
            out["flow_conductance"] = flow.conductance
        for k, (reaction, source) in enumerate(zip(self.reactions, self.sources, strict=True)):
            out[f"source_{k}"] = source
            if reaction is not None:
                out[f"reaction_{k}"] = reaction
        return out

    @classmethod
    def load(cls, saved: Saved, n_terms: int, conductance: Array | None) -> Moment:
        """From what :meth:`save` gave; ``conductance`` where that never changes."""
        time, voltage, current, power, real, imaginary = (float(x) for x in saved["reading"])
        temperatures = tuple(float(T) for T in np.atleast_1d(saved["read_temperatures"]))
        limited_by = str(saved["limited_by"])
        reading = Reading(time, voltage, current, power, complex(real, imaginary), limited_by, temperatures)
        return cls(
            reading, np.array(saved["shown_potential"]), float(saved["beyond"]), float(saved["in_lines"]),
            [np.array(saved[f"reaction_{k}"]) if f"reaction_{k}" in saved else None for k in range(n_terms)],
            [np.array(saved[f"source_{k}"]) for k in range(n_terms)],
            Flow(
                np.array(saved["flow_conductance"]) if conductance is None else conductance,
                *(np.array(saved[f"flow_{name}"]) for name in ("reaction", "source", "exchange", "station_source")),
            ),
        )  # fmt: skip


@dataclass
class State:
    """All that changes during a run."""

    time: float
    temperature: Array
    enthalpy: Array
    gone: Array  # share of the water that has left for good
    most_lost: Array  # largest share that was steam at one time
    damage: Damage
    step: float  # size to try next
    memory: Memory  # the generator's
    past: list[tuple[float, Array, Array]] = field(default_factory=list)  # (time, temperature, enthalpy)
    energy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0.0))
    steps: int = 0
    rejected: int = 0
    newton: int = 0
    vessel_heat: list[float] = field(default_factory=list)  # J carried away by each vessel of the case
    pores: Pores | None = None  # saline in the tissue
    boiled_off: float = 0.0  # J that saline took as it boiled off where the tissue's own water had gone

    def save(self) -> Saved:
        """As arrays."""
        out: Saved = {
            "time": self.time, "temperature": self.temperature, "enthalpy": self.enthalpy, "gone": self.gone,
            "most_lost": self.most_lost, "step": self.step, "generator": self.memory.to_json(),
            "counts": np.array([self.steps, self.rejected, self.newton]),
            "energy": np.array([self.energy[account] for account in ACCOUNTS]),
            "vessel_heat": np.array(self.vessel_heat), "boiled_off": self.boiled_off,
        }  # fmt: skip
        if self.pores is not None:
            out |= {f"pores_{name}": value for name, value in vars(self.pores).items()}
        out |= {f"damage_{name}": values for name, values in self.damage.state().items()}
        for k, (time, T, H) in enumerate(self.past):
            out |= {f"past_{k}_time": time, f"past_{k}_temperature": T, f"past_{k}_enthalpy": H}
        return out

    @classmethod
    def load(cls, saved: Saved) -> State:
        """From what :meth:`save` gave."""

        def part(prefix: str) -> Saved:
            return {k.removeprefix(prefix): value for k, value in saved.items() if k.startswith(prefix)}

        steps, rejected, newton = (int(n) for n in saved["counts"])
        past = [
            (float(saved[f"past_{k}_time"]), np.array(saved[f"past_{k}_temperature"]),
             np.array(saved[f"past_{k}_enthalpy"]))
            for k in range(2) if f"past_{k}_time" in saved
        ]  # fmt: skip
        return cls(
            time=float(saved["time"]), temperature=np.array(saved["temperature"]),
            enthalpy=np.array(saved["enthalpy"]), gone=np.array(saved["gone"]),
            most_lost=np.array(saved["most_lost"]), damage=Damage.from_state(part("damage_")),
            step=float(saved["step"]), memory=Memory.from_json(str(saved["generator"])), past=past,
            energy=dict(zip(ACCOUNTS, (float(e) for e in saved["energy"]), strict=True)),
            steps=steps, rejected=rejected, newton=newton,
            vessel_heat=[float(e) for e in np.atleast_1d(saved["vessel_heat"])],
            boiled_off=float(saved["boiled_off"]), pores=Pores.from_state(part("pores_")),
        )  # fmt: skip
