"""Kohlrausch's identity on every device: exact whatever the shape, so that it checks each contact and its wiring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rfasim.electrodes import ALL_DEVICES, Device
from rfasim.sheet import word_of
from rfasim.simulation import Simulation
from rfasim.verification import exact
from rfasim.verification.bodies import ADIABATIC, BODY, COOLED, SIGMA, VOLTAGE, K, body_case, last_frame
from rfasim.verification.claims import Claim, relative

COARSE = {"zone_size": 0.004, "max_size": 0.01}
COARSE_NEEDLE = {**COARSE, "size": 6e-4, "rim_size": 3e-4}
EXTRA: dict[str, dict[str, Any]] = {
    # a device of the user's own: a straight part and a bent one, both conducting
    "custom": {
        "parts": [
            {"name": "shaft", "points": [(0, 0, 0), (0, 0, 0.1)], "diameter": 0.002},
            {"name": "hook", "points": [(0, 0, 0.02), (0.008, 0, 0.015), (0.012, 0, 0.005)], "diameter": 0.001},
        ],
        "conducting": [
            {"name": "tip", "part": "shaft", "end": 0.012},
            {"name": "hook", "part": "hook", "start": 0.004},
        ],
    },
}
REFERENCE_BODIES = ("ball", "spheroid", "rod")  # have exact fields of their own
QUICK = ("umbrella", "bipolar_needle", "bipolar_set", "custom")  # one contact of many parts, two, several, and any


def devices(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and electrode of each device: all models, or the first of some families."""
    for family in ALL_DEVICES:
        word = word_of(family)
        if word in REFERENCE_BODIES or (quick and word not in QUICK):
            continue
        models: list[str | None] = [*family.MODELS] or [None]
        for model in models[:1] if quick else models:
            electrode = {"device": word, "tip": (0.0, 0.0, -0.015), **EXTRA.get(word, {})}
            yield (model or word), electrode if model is None else {**electrode, "model": model}


def _device(electrode: dict[str, Any]) -> Device:
    return body_case("device", electrode, {}, voltage=VOLTAGE).electrodes[0]


def kohlrausch(quick: bool) -> Iterator[Claim]:
    """Highest temperature with an adiabatic contact (monopolar), and between two cooled ones (bipolar)."""
    for name, electrode in devices(quick):
        domain: dict[str, Any] = {"shape": "ball", "radius": 0.08, "centre": (0.0, 0.0, 0.0)}
        wanted, label = exact.kohlrausch_adiabatic(SIGMA, K, VOLTAGE, 0.0), "adiabatic"
        thermal: dict[str, Any] = dict(ADIABATIC)
        device = _device(electrode)
        if device.returns:
            # the identity asks for a boundary that neither current nor heat passes; all heat leaves by the contacts, so
            # that a larger ball of tissue would not be steady after the time that is simulated
            closed = {"kind": "insulated"}
            domain |= {"radius": 0.05, "electric_boundary": closed, "thermal_boundary": closed}
            wanted, thermal, label = exact.kohlrausch_cooled(SIGMA, K, VOLTAGE), COOLED, "bipolar, cooled"
        case = body_case(name, {**electrode, "thermal": thermal}, domain, voltage=VOLTAGE,
                         mesh=COARSE_NEEDLE if device.mesh_size is None else COARSE)  # fmt: skip
        simulation = Simulation(case)
        rise = last_frame(simulation).max_temperature - BODY
        note = f"{simulation.mesh.n_nodes} nodes"
        yield relative("Kohlrausch, devices", f"{name}, {label}", wanted, rise, 0.005, "K", note=note)
