"""Draws the devices of docs/devices to scale, from the records that describe them.

python docs/devices/draw.py
"""

# ruff: noqa: E501  (the lines are elements of a drawing)

from __future__ import annotations

from pathlib import Path

from rfasim.electrodes.needle import Needle

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


DRAWINGS = {"needle.svg": needle, "reference_bodies.svg": reference_bodies}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
