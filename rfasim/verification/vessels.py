"""Blood in vessels against exact solutions: Graetz' tube, a line in a perfused cylinder, networks, and the books.

The tube and the line go through the public path (case -> domain -> blood); their exact numbers share no code with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from rfasim.case import Case, case_from_dict
from rfasim.circulation import Inflow
from rfasim.domain import build_domain
from rfasim.network import Tube, build_network
from rfasim.simulation import Simulation
from rfasim.verification import graetz
from rfasim.verification.bodies import FOREVER, last_frame
from rfasim.verification.claims import Claim, relative
from rfasim.vessels import Bloodstream

# Nearly no device: a ball at the side of a cylinder that is about the vessel on its axis.
BYSTANDER = {"device": "ball", "radius": 5e-4, "centre": (0.016, 0.0, 0.0)}
RADIUS, HEIGHT = 0.02, 0.02  # m, of that cylinder
QUIET = {"protocol": "constant_voltage", "voltage": 1e-6}


def vessel_case(name: str, vessel: dict[str, Any], **more: Any) -> Case:
    """A case with one vessel along the axis of a cylinder with insulated ends."""
    half = HEIGHT / 2
    return case_from_dict(
        {
            "name": name, "electrodes": [BYSTANDER], "generator": QUIET,
            "domain": {
                "shape": "cylinder", "radius": RADIUS, "height": HEIGHT, "centre": (0.0, 0.0, 0.0),
                "thermal_boundary": {"kind": "fixed", "ends": "insulated"},
            },
            "vessels": [{"points": [(0.0, 0.0, -half), (0.0, 0.0, half)], **vessel}],
            **more,
        }
    )  # fmt: skip


def tube(quick: bool) -> Iterator[Claim]:
    """Outlet temperature of a tube whose wall has one temperature, against Graetz' series."""
    diameter = 3.4e-3
    for flow in (5e-8,) if quick else (1e-8, 5e-8, 5e-7, 5e-6):
        # tissue that conducts so well that it has one temperature
        case = vessel_case(
            "tube", {"diameter": diameter, "flow": flow}, tissues={"liver": {"thermal_conductivity": 9e3}},
            mesh={"size": 5e-4, "rim_size": 5e-4, "vessel_size": 7e-4},
        )  # fmt: skip
        stream = Bloodstream(case, build_domain(case))
        regime = stream.regime(Inflow())
        T = np.full(stream.n_nodes, 60.0)
        theta = stream.inlet.copy()
        for _ in range(3):  # the boundary layer is traced from the blood's own temperature
            theta = regime.streams.follow(stream.exchange(regime, stream.nusselt_at(regime, T, theta)), T, theta)
        length = HEIGHT / diameter
        peclet = 4 * flow / (np.pi * diameter * stream.diffusivity)
        wanted = float(graetz.bulk_temperature(length / peclet))
        found = float((60.0 - theta[stream.count[0] - 1]) / (60.0 - 37.0))
        yield relative(
            "Graetz tube", f"outlet temperature, {6e7 * flow:.2g} ml/min", wanted, found, 0.01, "", of=1.0,
            note=f"Graetz number {peclet / length:.3g}; in parts of wall less inlet",
        )  # fmt: skip
        area = float(stream.measure.sum())
        wanted = np.pi * diameter * HEIGHT
        yield relative("Graetz tube", f"wall area, {6e7 * flow:.2g} ml/min", wanted, area, 0.005, "m^2")


def perfused_line(radius: float, film: float, warm: float, m: float, k: float, r: np.ndarray[Any, Any]
                  ) -> tuple[Any, float]:  # fmt: skip
    """Rise above blood of evenly heated, perfused tissue around a vessel, in a cylinder at blood temperature.

    ``u = warm + A I0(m r) + B K0(m r)``, 0 at the outside, and ``2 pi R k u'(R) = film u(R)`` at the vessel's wall; and
    the heat that the vessel takes, per length [W/m]. ``warm`` = heat / (w rho c) [K], ``film`` = pi Nu k_blood
    [W/(m K)].
    """
    I0, K0, I1, K1 = special.i0, special.k0, special.i1, special.k1
    around = 2 * np.pi * radius * k * m / film
    x = m * radius
    a, b = np.linalg.solve(
        [[I0(x) - around * I1(x), K0(x) + around * K1(x)], [I0(m * RADIUS), K0(m * RADIUS)]], [-warm, -warm]
    )  # fmt: skip
    slope = m * (a * I1(x) - b * K1(x))
    return warm + a * I0(m * r) + b * K0(m * r), float(2 * np.pi * radius * k * slope)


def line(quick: bool) -> Iterator[Claim]:
    """Heat taken by a vessel in perfused tissue that is heated evenly, as a line and as a meshed lumen.

    The blood flows so fast that it stays at 37 degC; the Nusselt number is the program's own: all along for the heat,
    about the probes for what they feel. Between the nodes of cells of 1.4 mm a steep profile is 2 % of the rise too
    low, so that beside lumens it is asked for with finer edges than by default; the heat with the default ones.
    """
    k, heat, w = 0.52, 2e5, 0.0064
    exchange = w * 1050.0 * 3617.0
    m = np.sqrt(exchange / k)
    radii = np.array([0.004, 0.008, 0.015])
    for diameter in (2e-3,) if quick else (1e-3, 2e-3, 3e-3, 4e-3):
        lumens = [("resolved", None), ("resolved", diameter / 8)] if diameter >= 3e-3 else []
        for treatment, edges in (("line", None), *lumens):
            case = vessel_case(
                "line", {"diameter": diameter, "velocity": 0.5, "treatment": treatment},
                tissues={"liver": {"perfusion": w, "metabolic_heat": heat, "thermal_conductivity": k}},
                perfusion_stop=None, boiling={"enabled": False},
                generator={**QUIET, "duration": FOREVER}, output={"frames_every": FOREVER},
                time={"max_step": FOREVER, "tolerance": 0.1},
                mesh={"size": 5e-4, "rim_size": 5e-4, "max_size": 2e-3, "vessel_size": edges},
                probes=[{"name": f"{r:g}", "at": (0.0, float(r), 0.0)} for r in radii],
            )  # fmt: skip
            simulation = Simulation(case)
            frame = last_frame(simulation)
            assert simulation.blood is not None
            flowing = simulation.blood.regime.streams
            found = float(flowing.carried(simulation.blood.temperature).sum()) / HEIGHT
            stream, theta = simulation.blood.stream, simulation.blood.temperature
            wall = stream.wall_temperature(frame.temperature, theta)
            numbers = stream.nusselt(simulation.blood.regime, wall, theta)
            Nu, here = float(numbers.mean()), float(numbers[np.abs(stream.middle[:, 2]) < 2e-3].mean())
            film = np.pi * Nu * 0.52
            _, taken = perfused_line(diameter / 2, film, heat / exchange, m, k, radii)
            rise, _ = perfused_line(diameter / 2, np.pi * here * 0.52, heat / exchange, m, k, radii)
            rise = rise + theta.mean() - 37.0
            if treatment == "line":  # the tissue in the vessel's place is heated too
                at_wall, _ = perfused_line(diameter / 2, film, heat / exchange, m, k, np.array([diameter / 2]))
                taken += (heat - exchange * at_wall[0]) * np.pi * diameter**2 / 4
            name = f"{1e3 * diameter:g} mm, {treatment}"
            edge = 1e3 * float(np.cbrt(6 * np.sqrt(2.0) * np.median(simulation.mesh.volumes())))
            if edges is None:
                yield relative("Vessel in perfused tissue", f"heat taken, {name}", taken, found, 0.05, "W/m",
                               note=f"edges about {edge:.1f} mm, Nu {Nu:.1f}")  # fmt: skip
            if edges is not None or treatment == "line":
                worst = max(abs(frame.probes[f"{r:g}"] - 37.0 - u) for r, u in zip(radii, rise, strict=True))
                last, felt = float(rise[-1]), float(frame.probes[f"{radii[-1]:g}"] - 37.0)
                name = f"rise at 4, 8, 15 mm, {name}"
                yield Claim("Vessel in perfused tissue", name, last, felt, worst / last, 0.03, "K")


def networks(quick: bool) -> Iterator[Claim]:
    """Blood in = blood out at every junction of drawn trees, whatever their diameters."""
    random = np.random.default_rng(4)
    worst = 0.0
    for _ in range(3 if quick else 30):
        tubes = [Tube("0", np.array([[0.0, 0.0, 0.0], [0.02, 0.0, 0.0]]), 0.01)]
        for number in range(1, 40):
            parent = tubes[int(random.integers(number))]
            way = random.normal(size=3)
            end = parent.points[-1] + 0.01 * way / np.linalg.norm(way)
            narrower = parent.diameter * random.uniform(0.5, 0.95)
            tubes.append(Tube(str(number), np.stack([parent.points[-1], end]), narrower))
        try:
            network = build_network(tubes)
            flows = network.flows([1e-5, *[None] * 39], 3.5e-3)
        except ValueError:  # two branches of a drawn tree happened to touch
            continue
        start = np.array([segment.start for segment in network.segments])
        end = np.array([segment.end for segment in network.segments])
        n = len(network.nodes)
        excess = np.bincount(end, flows, n) - np.bincount(start, flows, n)
        worst = max(worst, float(np.abs(excess[~network.free]).max()) / 1e-5)
    yield Claim("Vessel network", "blood that a junction loses", 0.0, worst, worst, 1e-12, "",
                "in parts of the inflow, drawn trees of 40 vessels")  # fmt: skip


CROSSING: dict[str, Any] = {
    "electrodes": [
        {"device": "needle", "tip": (0, 0, -0.015), "thermal": {"kind": "coolant", "temperature": 10.0, "h": 3127.0}}
    ],
    "generator": {"protocol": "constant_power", "power": 30.0, "duration": 720.0},
    "mesh": {"size": 5e-4, "rim_size": 2.5e-4}, "domain": {"radius": 0.05, "height": 0.1},
}  # fmt: skip


def _beside(diameter: float, gap: float, **vessel: Any) -> dict[str, Any]:
    """A vessel across the needle's middle, its wall ``gap`` [m] from the needle's."""
    x = 7.5e-4 + gap + diameter / 2
    return {"points": [(x, -0.06, 0.0), (x, 0.06, 0.0)], "diameter": diameter, **vessel}


def border(quick: bool) -> Iterator[Claim]:
    """The same vessel as a line and as a meshed lumen, where a case goes over from one to the other."""
    group = "Line against lumen"
    for gap in () if quick else (0.005, 0.01):
        taken = {}
        for treatment in ("resolved", "line"):
            vessel = _beside(3e-3, gap, velocity=0.08, treatment=treatment)
            simulation = Simulation(case_from_dict({"name": treatment, **CROSSING, "vessels": [vessel]}))
            frame = last_frame(simulation)
            taken[treatment] = frame.energy["vessels"]
            part = abs(frame.energy["imbalance"]) / frame.energy["electrical"]
            name = f"ledger, {treatment}, {1e3 * gap:g} mm away"
            yield Claim(group, name, 0.0, frame.energy["imbalance"], part, 1e-6, "J")
        yield relative(
            group, f"heat removed, 3 mm vessel {1e3 * gap:g} mm away", taken["resolved"], taken["line"], 0.1, "J"
        )


def at_rest(quick: bool) -> Iterator[Claim]:
    """Blood that stands still is tissue: with the tissue's properties it changes nothing; clamping loses no heat."""
    if quick:
        return
    group = "Blood at rest"
    short = {**CROSSING, "generator": {**CROSSING["generator"], "duration": 240.0}, "electric": {"admittivity": "real"}}
    same = {"base": "liver", "perfusion": 0.0}
    plain = {"liver": {"perfusion": 0.0}, "stood": same}
    vessel = _beside(4e-3, 0.004, flow=0.0, tissue="stood")
    still = Simulation(case_from_dict({"name": "still", **short, "tissues": plain, "vessels": [vessel]}))
    resting = last_frame(still)
    none = last_frame(Simulation(case_from_dict({"name": "none", **short, "tissues": plain, "mesh": CROSSING["mesh"]})))
    yield relative(group, "hottest rise beside standing blood that is like tissue", none.max_temperature - 37,
                   resting.max_temperature - 37, 0.02, "K")  # fmt: skip
    yield relative(group, "zone volume beside it", 1e6 * none.zone_volume, 1e6 * resting.zone_volume, 0.02, "ml")
    clamp = {"pringle": [{"from": 60.0, "to": 120.0}, {"from": 180.0, "to": 200.0}]}
    vessel = _beside(4e-3, 0.004, velocity=0.1, kind="portal")
    case = case_from_dict({"name": "clamped", **short, "vessels": [vessel], "circulation": clamp})
    frame = last_frame(Simulation(case))
    part = abs(frame.energy["imbalance"]) / frame.energy["electrical"]
    yield Claim(group, "ledger, flow stopped and let go twice", 0.0, frame.energy["imbalance"], part, 1e-6, "J")
