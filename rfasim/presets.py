"""The catalogue: what the generators of real devices run, each number with its source.

To add a device's settings, add a row to ``PROTOCOLS``; ``generator: {preset: NAME}`` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """What a real generator runs: the fields of a protocol as one writes them, and where each number is from.

    A source that begins with ``assumed`` says that none gives the value.
    """

    title: str
    data: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""


_JI = "Ji, Acad Radiol 2011;18(9): 200 W until +20 ohm, then 10 W, on again after 15 s"
_SLIM = "Go-Smart algorithm for the LeVeen Super Slim 2 cm"
_NUMA = "Go-Smart schedule for the StarBurst (NUMA)"
_RISE = "assumed; the roll-off threshold of the device was not found"
_STEADY = {
    "power": f"{_NUMA}: at most 150 W", "target": f"{_NUMA}: 378 K",
    "stages": f"{_NUMA}; extensions 2.0, 2.5, 3.0, 3.5 cm",
    "gain": "assumed; it damps the integral part",
    "integral_gain": f"{_NUMA}: 0.025 W/K a step; read as a gain per second (assumed)",
    "max_power": "1500X generator, 250 W (Go-Smart)", "duration": "assumed; the stages end it",
}  # fmt: skip


def _starburst(size: str, *holds: str) -> Preset:
    data = {
        "protocol": "temperature", "target": "105 degC", "power": "150 W", "max_power": "250 W", "duration": "40 min",
        "gain": "3 W/K", "integral_gain": "0.025 W/(K s)",
        "stages": [{"stage": stage, "hold": hold} for stage, hold in enumerate(holds)],
    }  # fmt: skip
    notes = "A stage's time begins when the average of the thermocouples reaches the target."
    return Preset(f"AngioDynamics RITA StarBurst, {size} zone", data, _STEADY, notes)


PROTOCOLS: dict[str, Preset] = {
    "cooltip_pulsed": Preset(
        "Medtronic Cool-tip: impedance-controlled pulses",
        {
            "protocol": "pulsed", "power": "200 W", "roll_off": {"rise": "20 ohm"}, "rest": "15 s",
            "rest_power": "0 W", "blanking": "2 s", "duration": "12 min", "max_power": "200 W", "max_current": "2 A",
        },
        {
            "power": _JI, "roll_off.rise": _JI, "rest": _JI,
            "rest_power": "off between pulses, or 10 W (Ji 2011), which keeps a dried ring dry in the model",
            "blanking": "assumed",
            "duration": "Ji, Acad Radiol 2011: 12 min", "max_power": "Ji 2011; Korean J Radiol 2004 (PMC2698170)",
            "max_current": "Lobo 2004: 2000 mA",
        },
        "Others name +10 to +20 ohm, or +30 ohm.",
    ),
    "leveen_rf3000": Preset(
        "Boston Scientific LeVeen with RF 3000: ramp to roll-off, twice",
        {
            "protocol": "power_ramp", "start": "30 W", "rate": "10 W/min", "every": "1 min",
            "roll_off": {"rise": None, "ratio": 2.0}, "pause": "30 s", "fraction": 0.7, "roll_offs": 2,
            "duration": "15 min", "max_power": "200 W",
        },
        {
            "start": "World J Gastroenterol 2007;13:2841", "rate": "World J Gastroenterol 2007;13:2841",
            "every": "assumed; somebody turns the knob once a minute", "roll_off.ratio": _RISE,
            "pause": "in common use; first source not read (unverified)",
            "fraction": "50 to 70 % in common use; first source not read (unverified)",
            "roll_offs": "in common use; first source not read (unverified)", "duration": "assumed",
            "max_power": "200 W generator; first source not read (unverified)",
        },
    ),
    "leveen_super_slim_2cm": Preset(
        "Boston Scientific LeVeen Super Slim 2 cm, as Go-Smart's algorithm",
        {
            "protocol": "power_ramp", "start": "0 W", "rate": "10 W/min", "maximum": "60 W",
            "roll_off": {"rise": None, "ratio": 2.0}, "pause": "30 s", "fraction": 0.5, "restart": "300 s",
            "restart_until": "300 s", "roll_offs": 2, "duration": "20 min", "max_power": "200 W",
        },
        {
            "start": _SLIM, "rate": "assumed; a parameter of the algorithm without a value",
            "maximum": "assumed; a parameter of the algorithm without a value", "roll_off.ratio": _RISE,
            "pause": _SLIM, "fraction": _SLIM, "restart": f"{_SLIM}: half power from 30 to 330 s after the roll-off",
            "restart_until": _SLIM, "roll_offs": _SLIM, "duration": "assumed",
            "max_power": "200 W generator; first source not read (unverified)",
        },
        "Published as pseudo-code, which does not say what a first roll-off between 300 s and 900 s does; here it is "
        "final.",
    ),
    "starburst_2cm": _starburst("2 cm", "300 s"),
    "starburst_3cm": _starburst("3 cm", "30 s", "600 s"),
    "starburst_4cm": _starburst("4 cm", "30 s", "30 s", "420 s"),
    "starburst_5cm": _starburst("5 cm", "30 s", "30 s", "420 s", "420 s"),
    "uniblate": Preset(
        "AngioDynamics RITA UniBlate: temperature control of one needle",
        {
            "protocol": "temperature", "target": "103 degC", "power": "30 W", "max_power": "250 W",
            "stages": [{"stage": 0, "hold": "15 min"}], "duration": "25 min",
            "gain": "1 W/K", "integral_gain": "0.025 W/(K s)",
        },
        {
            "target": "Luo, Acad Radiol 2010;17(8): 83 to 113 degC", "power": "Luo 2010: 20, 30 and 40 W",
            "stages": "Luo 2010: 5 to 20 min; that the time begins at the target is assumed",
            "max_power": "1500X generator, 250 W (Go-Smart)", "duration": "assumed; the stage ends it",
            "gain": "assumed", "integral_gain": "assumed; as for the StarBurst",
        },
    ),
    "celon_power": Preset(
        "Olympus CelonPower with one bipolar applicator",
        {
            "protocol": "resistance_controlled", "power": "30 W", "energy": "15 kJ", "duration": "30 min",
            "reduction": {"begin": 1.2, "end": 2.0, "least": "2 W"}, "max_power": "250 W",
        },
        {
            "power": "Lehmann, J Hepatobiliary Pancreat Sci 2016;23:508: 30 W", "energy": "Lehmann 2016: 15 kJ",
            "reduction.begin": "assumed", "reduction.end": "assumed", "reduction.least": "assumed",
            "duration": "assumed; the energy ends it", "max_power": "assumed",
        },
        "That the power follows the resistance is published, the law is not.",
    ),
    "celon_multipolar": Preset(
        "Olympus CelonPower, multipolar with up to three bipolar applicators",
        {
            "protocol": "switching", "pairs": "all", "power": "75 W", "dwell": "1 s", "averaged": True,
            "reduction": {"begin": 1.2, "end": 2.0, "least": "2 W"}, "duration": "20 min", "max_power": "250 W",
        },
        {
            "pairs": "Clasen, Radiology 2006;238:881: multipolar; that all pairs take turns is assumed",
            "power": "Clasen 2006: 75 to 225 W", "dwell": "assumed",
            "averaged": "assumed; switching is much faster than heat spreads", "reduction.begin": "assumed",
            "reduction.end": "assumed", "reduction.least": "assumed", "duration": "assumed", "max_power": "assumed",
        },
    ),
    "octopus_switching": Preset(
        "STARmed Octopus: switching monopolar between separable cooled needles",
        {
            "protocol": "switching_monopolar", "power": "200 W", "roll_off": {"rise": "30 ohm"}, "longest": "30 s",
            "blanking": "2 s", "duration": "12 min", "max_power": "200 W",
        },
        {
            "power": "180 to 200 W; Korean J Radiol 2013;14:194 and 14:403",
            "roll_off.rise": "assumed; the device switches \"according to the impedance changes\" (14:403)",
            "longest": "assumed", "blanking": "assumed", "duration": "Korean J Radiol 2013;14:403: 12 min",
            "max_power": "Korean J Radiol 2013;14:194 and 14:403",
        },
    ),
    "altrogge_2007": Preset(
        "A real source: 200 W behind 80 ohm",
        {
            "protocol": "real_source", "power": "200 W", "inner_resistance": "80 ohm", "max_power": "200 W",
            "roll_off": {"rise": "30 ohm", "stop": False}, "duration": "12 min",
        },
        {
            "power": "Altrogge, Acad Radiol 2007;14(11)", "inner_resistance": "Altrogge 2007",
            "max_power": "no more than the set power can be taken", "roll_off.rise": "assumed; it does not end the run",
            "roll_off.stop": "assumed; the model has no roll-off", "duration": "assumed",
        },
    ),
}  # fmt: skip
