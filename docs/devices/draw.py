"""Draws the devices of docs/devices to scale, from the records that describe them.

python docs/devices/draw.py
"""

# ruff: noqa: E501  (the lines are elements of a drawing)

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rfasim.electrodes import AnyDevice
from rfasim.electrodes.needle import Needle
from rfasim.yaml_io import parse_yaml

FOLDER = Path(__file__).parent
SCALE = 16.0  # px per mm
METAL, SHAFT, INK, TISSUE = "#c3c9ce", "#00a08a", "#22303c", "#f6e7e2"


def mm(metres: float) -> str:
    """A length in metres as people say it."""
    return f"{round(1e3 * metres, 3):g} mm"


def svg(width: float, height: float, body: list[str], title: str) -> str:
    """A drawing with its frame."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="sans-serif" font-size="13" fill="{INK}">'
    )
    background = f'<rect width="{width:g}" height="{height:g}" fill="{TISSUE}"/>'
    return "\n".join([head, f"<title>{title}</title>", background, *body, "</svg>"]) + "\n"


def line(x0: float, y0: float, x1: float, y1: float, dash: str = "") -> str:
    """A thin line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" stroke="{INK}" stroke-width="1"{dashed}/>'


def words(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """A label."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


def measure(x0: float, x1: float, y: float, text: str) -> list[str]:
    """A dimension line from x0 to x1 with its label above."""
    ends = [line(x, y - 5, x, y + 5) for x in (x0, x1)]
    return [line(x0, y, x1, y), *ends, words((x0 + x1) / 2, y - 8, text)]


def needle() -> str:
    """The needle with its lengths, all measured from the tip, and the shapes its tip may have."""
    device = Needle.model_validate({"device": "needle", "tip": (0.0, 0.0, 0.0)})
    active, width = 1e3 * device.active_length, 1e3 * device.diameter
    tip, y, r = 760.0, 95.0, SCALE * width / 2
    rim = tip - SCALE * active
    left = 60.0
    body = [
        f'<path d="M{left:g},{y - r:g} H{rim:g} V{y + r:g} H{left:g} Z" fill="{SHAFT}" stroke="{INK}"/>',
        f'<path d="M{rim:g},{y - r:g} H{tip - r:g} A{r:g},{r:g} 0 0 1 {tip - r:g},{y + r:g} H{rim:g} Z" '
        f'fill="{METAL}" stroke="{INK}"/>',
        line(left - 12, y - r - 6, left + 4, y + r + 6, "3 3"),
        words(left - 20, y + 5, "hub", "end"),
        *measure(rim, tip, 55, f"active_length {mm(device.active_length)}: the contact"),
        *measure(left, tip, 172, f"shaft_length {mm(device.shaft_length)} (drawn shortened)"),
        words((left + rim) / 2, y - r - 14, "insulation"),
        line(tip + 14, y - r, tip + 14, y + r),
        words(tip + 22, y + 5, f"diameter {mm(device.diameter)}", "start"),
        line(rim, y + r, rim, y + r + 14, "3 3"),
        words(rim, y + r + 27, "rim: the contact ends"),
        words(tip - 4, y + r + 27, "tip", "end"),
    ]
    large, base = 2.2 * r, 235.0
    for k, shape in enumerate(("round", "flat", "conical")):
        x = 200.0 + 260.0 * k
        front = {
            "round": f"H{x:g} A{large:g},{large:g} 0 0 1 {x:g},{base + large:g}",
            "flat": f"H{x + large:g} V{base + large:g}",
            "conical": f"H{x - 3 * large:g} L{x + large:g},{base:g} L{x - 3 * large:g},{base + large:g}",
        }[shape]
        body += [
            f'<path d="M{x - 130:g},{base - large:g} {front} H{x - 130:g} Z" fill="{METAL}" stroke="{INK}"/>',
            words(x - 50, base + large + 22, f"tip_shape: {shape}"),
        ]
    return svg(920, 310, body, "The needle, to scale: lengths are measured from the tip")


def reference_bodies() -> str:
    """Ball, spheroid and rod with their measures."""
    y = 110.0
    body = [
        f'<circle cx="120" cy="{y:g}" r="40" fill="{METAL}" stroke="{INK}"/>',
        line(120, y, 160, y),
        words(140, y - 6, "radius"),
        words(120, 200, "ball"),
        f'<ellipse cx="390" cy="{y:g}" rx="130" ry="30" fill="{METAL}" stroke="{INK}"/>',
        line(390, y, 520, y),
        words(455, y - 6, "semi_axes[0]"),
        line(390, y, 390, y - 30),
        words(384, y - 10, "semi_axes[1]", "end"),
        words(390, 200, "spheroid"),
        f'<rect x="600" y="30" width="280" height="{2 * (y - 30):g}" fill="none" stroke="{INK}" stroke-dasharray="5 4"/>',
        f'<rect x="575" y="{y - 14:g}" width="330" height="28" fill="{METAL}" stroke="{INK}"/>',
        line(740, y - 14, 740, y + 14),
        words(748, y + 5, "diameter", "start"),
        words(740, 48, "the domain"),
        words(740, 215, "rod, through the whole domain"),
    ]
    return svg(930, 235, body, "Bodies with exact solutions: all of their surface conducts")


COOLANT, FLUID = "#2b6cb0", "#08519c"


def made(word: str, **fields: Any) -> Any:
    """A device with its tip in the origin."""
    return TypeAdapter(AnyDevice).validate_python({"device": word, "tip": (0.0, 0.0, 0.0), **fields})


def shaft(needle: Any, tip: float, y: float, left: float, scale: float) -> list[str]:
    """A needle with a round tip at x = tip that leaves the drawing at x = left: contacts light, insulation dark."""
    r = 0.5e3 * scale * needle.diameter
    outline = f"M{left:g},{y - r:g} H{tip - r:g} A{r:g},{r:g} 0 0 1 {tip - r:g},{y + r:g} H{left:g} Z"
    if hasattr(needle, "sections"):
        distal, begin, end = (tip - 1e3 * scale * z for z in needle.sections)
        covered = [(left, end), (begin, distal)]
    else:
        covered = [(left, tip - 1e3 * scale * needle.active_length)]
    return [
        f'<path d="{outline}" fill="{METAL}" stroke="{INK}"/>',
        *(
            f'<rect x="{x0:g}" y="{y - r:g}" width="{x1 - x0:g}" height="{2 * r:g}" fill="{SHAFT}" stroke="{INK}"/>'
            for x0, x1 in covered
        ),
    ]


def front(device: Any, x: float, y: float, scale: float) -> list[str]:
    """The needles of a set from the tip, the first one to the right."""
    n, r, reach = device.needles, 0.5e3 * scale * device.diameter, 1e3 * scale * device.reach
    middles = [(x + reach * math.cos(2 * math.pi * k / n), y - reach * math.sin(2 * math.pi * k / n)) for k in range(n)]
    (x0, y0), (x1, y1) = middles[:2]
    return [
        f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" stroke="{INK}" stroke-dasharray="4 3"/>',
        *(
            f'<circle cx="{u:g}" cy="{v:g}" r="{r:g}" fill="{METAL}" stroke="{INK}"/>'
            + words(u + r + 6, v + 4, str(k + 1), "start")
            for k, (u, v) in enumerate(middles)
        ),
        words((x0 + x1) / 2 + 8, (y0 + y1) / 2 - 8, f"spacing {mm(device.spacing)}", "start"),
    ]


def cooled() -> str:
    """The cooled needle: coolant goes forwards in the middle and comes back around."""
    device = made("cooled_needle")
    tip, y, left, scale = 760.0, 95.0, 60.0, SCALE
    rim = tip - 1e3 * scale * device.active_length
    body = [
        *shaft(device, tip, y, left, scale),
        *measure(rim, tip, 55, f"active_length {mm(device.active_length)}: the contact, cooled"),
        *measure(left, tip, 150, f"shaft_length {mm(device.shaft_length)} (drawn shortened)"),
        f'<path d="M{left + 20:g},{y:g} H{tip - 14:g}" stroke="{COOLANT}" stroke-width="3" fill="none"/>',
        f'<path d="M{tip - 14:g},{y - 7:g} L{tip - 4:g},{y:g} L{tip - 14:g},{y + 7:g} Z" fill="{COOLANT}"/>',
        words((left + rim) / 2, y - 22, "insulation, not cooled"),
        words(tip + 14, y + 5, f"diameter {mm(device.diameter)}", "start"),
        words(left, 190, f"thermal: coolant at {device.thermal.temperature:g} degC, h {device.thermal.h:g} W/(m^2 K)", "start"),
    ]
    return svg(920, 210, body, "The cooled needle, to scale: coolant flows inside")


def cluster() -> str:
    """The cluster from the side (two of three needles) and from the tip."""
    device = made("cooled_cluster")
    scale, tip, left, y = 14.0, 470.0, 40.0, 110.0
    half = 0.5e3 * scale * device.spacing
    rim = tip - 1e3 * scale * device.active_length
    body = [
        *shaft(device, tip, y - half, left, scale),
        *shaft(device, tip, y + half, left, scale),
        *measure(rim, tip, 40, f"active_length {mm(device.active_length)}"),
        line(tip + 16, y - half, tip + 16, y + half),
        words(tip + 24, y + 5, f"spacing {mm(device.spacing)}", "start"),
        words((left + tip) / 2, 200, "from the side: two of the three needles"),
        *front(device, 760, y, 1.6 * scale),
        words(760, 225, "from the tip, enlarged; turn_degrees 0"),
    ]
    return svg(920, 245, body, "The cluster of three cooled needles, to scale")


def bipolar() -> str:
    """The bipolar needle with its three lengths."""
    device = made("bipolar_needle")
    tip, y, left, scale = 740.0, 95.0, 60.0, SCALE
    distal, begin, end = (tip - 1e3 * scale * z for z in device.sections)
    body = [
        *shaft(device, tip, y, left, scale),
        *measure(distal, tip, 55, f"distal_length {mm(device.distal_length)}"),
        *measure(end, begin, 55, f"proximal_length {mm(device.proximal_length)}"),
        *measure(begin, distal, 148, f"insulator_length {mm(device.insulator_length)}"),
        words((distal + tip) / 2, y + 5, "distal"),
        words((end + begin) / 2, y + 5, "proximal (the return)"),
        words((left + end) / 2, y + 5, "insulation"),
        words(tip + 14, y + 5, f"diameter {mm(device.diameter)}", "start"),
    ]
    return svg(920, 175, body, "The bipolar needle, to scale: lengths follow each other from the tip")


def bipolar_set() -> str:
    """Sets of two to six needles from the tip."""
    body: list[str] = []
    for k, n in enumerate((2, 3, 4, 5, 6)):
        x = 90.0 + 190.0 * k
        device = made("bipolar_set", needles=n, spacing=0.02)
        body += front(device, x, 95, 3.2)
        body.append(words(x, 195, f"needles: {n}"))
    return svg(1010, 215, body, "Sets of bipolar needles from the tip: neighbours are the spacing apart")


def wet() -> str:
    """The perfused needle and the cooled one with outlets beside it."""
    left, tip, scale = 60.0, 720.0, SCALE
    body: list[str] = []
    for word, y, fields in (("wet_needle", 70.0, {}), ("cooled_wet_needle", 200.0, {"outlet_distance": 0.002})):
        device = made(word, **fields)
        body += shaft(device, tip, y, left, scale)
        for name, point in device.outlets:
            if point[1] <= 1e-9:  # those that face the reader
                x, up = tip - 1e3 * scale * float(point[2]), y - 1e3 * scale * float(point[0])
                body.append(f'<circle cx="{x:g}" cy="{up:g}" r="4" fill="white" stroke="{FLUID}" stroke-width="2"><title>{name}</title></circle>')
        body.append(words(left, y + 58, f"{word}: {device.outlet_rows} rows of {device.outlets_per_row} outlets, outlet_distance {mm(device.outlet_distance)}", "start"))
    return svg(800, 280, body, "Perfused needles: where the fluid leaves")


def custom() -> str:
    """The ready case of a device of one's own: its parts from the side, what conducts in the colour of metal."""
    case = parse_yaml((FOLDER.parents[1] / "cases/devices/custom.yaml").read_text(encoding="utf-8"), "custom.yaml")
    device = TypeAdapter(AnyDevice).validate_python(case["electrodes"][0], context={"from_file": True})
    scale, tip, y = SCALE, 680.0, 235.0

    def at(point: Any) -> tuple[float, float]:
        return tip - 1e3 * scale * point[2], y - 1e3 * scale * point[0]

    def tube(points: list[Any], width: float, colour: str) -> str:
        path = " ".join(f"{x:g},{v:g}" for x, v in (at(point) for point in points))
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{1e3 * scale * width:g}" stroke-linejoin="round" stroke-linecap="round"/>'

    body: list[str] = []
    for part in device.parts:
        points = [(x, 0.0, min(z, 0.038)) for x, _, z in part.points]
        body.append(tube(points, part.diameter, SHAFT))
        for stretch in (one for one in device.conducting if one.part == part.name):
            body.append(tube(between(points, stretch.start, stretch.end), part.diameter, METAL))
    for sensor in device.sensors:
        x, v = at(sensor.at)
        body.append(f'<circle cx="{x:g}" cy="{v:g}" r="4" fill="white" stroke="{FLUID}" stroke-width="2"/>')
        body.append(words(x + 10, v - 8, f"sensor {sensor.name}", "start"))
    body += [
        words(tip + 24, y + 5, "tip, the origin; the device points this way", "start"),
        words(at((0, 0, 0.034))[0], y - 24, "part shaft, insulated"),
        words(at((0.008, 0, 0.03))[0], at((0.009, 0, 0))[1], "parts hook a, hook b"),
        words(60, 440, "light: conducting stretches (tip, a, b); dark: insulation; x upwards, z to the left", "start"),
    ]
    return svg(1000, 460, body, "A device of one's own, to scale: a shaft with two hooks")


def between(points: list[Any], start: float, end: float | None) -> list[Any]:
    """The part of a polyline between two lengths along it [m]."""
    out, way = [], 0.0
    for a, b in pairwise(points):
        length = math.dist(a, b)
        low, high = max(start - way, 0.0), min(length, math.inf if end is None else end - way)
        if low < high:
            ends = [tuple(p + (q - p) * part / length for p, q in zip(a, b, strict=True)) for part in (low, high)]
            out += ends if not out else ends[1:]
        way += length
    return out


DRAWINGS = {
    "needle.svg": needle,
    "cooled.svg": cooled,
    "cluster.svg": cluster,
    "bipolar.svg": bipolar,
    "bipolar_set.svg": bipolar_set,
    "wet.svg": wet,
    "custom.svg": custom,
    "reference_bodies.svg": reference_bodies,
}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
