"""The pictures of a run: section through the needle, zone in space, readings over time.

Temperature colours are perceptually uniform and readable with every kind of colour vision; lines differ in
lightness and style as well as in hue.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.checkpoint import write_bytes
from rfasim.section import Section, section_of

if TYPE_CHECKING:
    from rfasim.result import Result

INK, GRID = "#22303c", "#d9dee3"
ZONE, TUMOUR, VESSEL, METAL, INSULATION = "#0072b2", "#006d4e", "#56b4e9", "#b8bfc6", "#3a4148"
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 11, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 12, "axes.titleweight": "bold",
    "axes.linewidth": 0.8, "lines.linewidth": 1.8, "savefig.facecolor": "white",
}  # fmt: skip
ISOTHERMS = ((50.0, (0, (1, 1.2))), (60.0, (0, (5, 1.5))), (100.0, "solid"))
CRITERION_TEXT = {
    "arrhenius_coagulation": "coagulated (Arrhenius, Ω ≥ 1)",
    "arrhenius_cell_death": "dead cells (Arrhenius, Ω ≥ 1)",
    "cem43": "CEM43 ≥ 240 min",
    "three_state": "dead cells (three-state, ≥ 80 %)",
}


def make_pictures(result: Result, say: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Draw ``section.png``, ``zone3d.png`` and ``history.png`` into the result's folder; their paths.

    ``say`` receives plain sentences for the user, such as why the 3-D picture was drawn in a simpler way. Raises
    RunError when a picture cannot be written.
    """
    from rfasim.zone3d import draw_zone3d

    drawn = [result.folder / name for name in ("section.png", "zone3d.png", "history.png")]
    write_bytes(drawn[0], draw_section(result))
    write_bytes(drawn[1], draw_zone3d(result, say))
    write_bytes(drawn[2], draw_history(result))
    return drawn


def clock(seconds: float) -> str:
    """``seconds`` as people say it: 45 s, 12 min, 3 min 20 s."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if seconds < 10 and abs(seconds - whole) > 0.05:
        return f"{seconds:.1f} s"
    return f"{rest} s" if minutes == 0 else f"{minutes} min" if rest == 0 else f"{minutes} min {rest} s"


def criterion_text(criterion: str) -> str:
    """A damage criterion in words."""
    if criterion.startswith("isotherm_"):
        return f"{criterion.removeprefix('isotherm_')} °C reached"
    return CRITERION_TEXT.get(criterion, criterion)


def zone_volume_text(result: Result) -> str:
    """``5.3 ml`` of the run's end, from its history."""
    volume = result.history.get("zone_volume_ml", np.array([]))
    return f"{volume[-1]:.3g} ml" if len(volume) else ""


def time_to_show(result: Result) -> int:
    """The output time whose temperature is drawn: the last one with the generator on."""
    power = result.history.get("power_w", np.array([]))
    if len(power) == 0 or power.max() <= 0:
        return len(result.times) - 1
    at = np.searchsorted(result.history["time_s"], result.times - 1e-9).clip(max=len(power) - 1)
    heated = np.flatnonzero(power[at] > 0.01 * power.max())
    return int(heated[-1]) if len(heated) else len(result.times) - 1


def figure(width: float, height: float) -> Any:
    """An empty matplotlib figure that no window system knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def png(drawing: Any, dpi: int = 160) -> bytes:
    """``drawing`` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def view_box(section: Section, temperature: NDArray[Any], zone: NDArray[Any] | None) -> tuple[float, ...]:
    """What is worth seeing (left, right, bottom, top in mm): zone, contacts and warm tissue, with a margin."""
    tissue = np.unique(section.triangles[~section.metal])
    points, temperature = section.points[tissue], temperature[tissue]
    seen = temperature >= min(50.0, 0.5 * (37.0 + float(temperature.max())))
    if zone is not None:
        seen |= zone[tissue] >= 0.0
    shown = [points[seen]] if seen.any() else []
    bare = [line for line in section.device if not any(line is covered for covered in section.insulation)]
    if not shown:
        shown = bare or [points]
    everything = np.concatenate(shown)
    low, high = everything.min(axis=0), everything.max(axis=0)
    low, high = low - 4.0, high + 4.0
    middle, size = (low + high) / 2, high - low
    size = np.maximum(size, size.max() * 0.8)  # neither a ribbon nor a strip
    left, bottom = np.maximum(middle - size / 2, section.points.min(axis=0))
    right, top = np.minimum(middle + size / 2, section.points.max(axis=0))
    return float(left), float(right), float(bottom), float(top)


def draw_section(result: Result) -> bytes:
    """Temperature on the plane through the needle with its isotherms, the zone and the device; PNG bytes."""
    import matplotlib
    from matplotlib import tri
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Polygon

    section = section_of(result)
    index = time_to_show(result)
    temperature = section.sample(result.field("temperature_c", index))
    zone = section.sample(result.field("zone_level")) if "zone_level" in result.field_names else None
    left, right, bottom, top = view_box(section, temperature, zone)
    near = _near(section, left, right, bottom, top)
    mesh = tri.Triangulation(section.points[:, 0], section.points[:, 1], section.triangles, mask=section.metal | ~near)
    hottest = float(temperature[section.triangles[~section.metal & near]].max())
    with matplotlib.rc_context(STYLE):
        height = 6.4
        drawing = figure(float(np.clip(height * (right - left) / (top - bottom), 4.5, 8.5)) + 1.6, height + 1.0)
        axes = drawing.add_subplot()
        ends = (37.0, max(hottest, 60.0))
        levels = np.linspace(min(37.0, float(temperature.min())), ends[1], 80)
        colours = matplotlib.colormaps["inferno"]
        filled = axes.tricontourf(mesh, temperature, levels=levels, cmap=colours, vmin=ends[0], vmax=ends[1], extend="both")
        handles: list[Any] = []
        for value, dashes in ISOTHERMS:
            if temperature.min() < value < hottest:
                axes.tricontour(mesh, temperature, levels=[value], colors="white", linewidths=1.1, linestyles=[dashes])
                handles.append(Line2D([], [], color="white", lw=1.1, ls=dashes, label=f"{value:.0f} °C"))
        if zone is not None and zone.max() >= 0.0:
            axes.tricontourf(mesh, zone, levels=[0.0, np.inf], colors=["white"], alpha=0.16)
            axes.tricontour(mesh, zone, levels=[0.0], colors="#7fd4ff", linewidths=2.4)
            text = f"zone at the end, {zone_volume_text(result)}: {criterion_text(result.meta['criterion'])}"
            handles.append(Patch(facecolor=(1, 1, 1, 0.3), edgecolor="#7fd4ff", lw=2.2, label=text))
        for name, (outlines, chosen) in section.parts.items():
            colour = {"tumour": "#7fffd4", "vessels": "#9ec9ff"}[name]
            if name == "vessels":
                lumen = tri.Triangulation(mesh.x, mesh.y, section.triangles, mask=~chosen | ~near)
                axes.tripcolor(lumen, np.zeros(len(mesh.x)), cmap=matplotlib.colors.ListedColormap([colour]), alpha=0.55)
            if len(outlines):
                axes.add_collection(LineCollection(list(outlines), colors=colour, linewidths=1.6))
                handles.append(Line2D([], [], color=colour, lw=1.6, label={"tumour": "tumour", "vessels": "vessel"}[name]))
        for line in section.device:
            axes.add_patch(Polygon(line, closed=True, facecolor=METAL, edgecolor="none", zorder=4))
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    return png(drawing)


def _near(section: Section, left: float, right: float, bottom: float, top: float) -> NDArray[np.bool_]:
    """Triangles that can be seen in the view box."""
    corners = section.points[section.triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.asarray(
        (high[:, 0] >= left) & (low[:, 0] <= right) & (high[:, 1] >= bottom) & (low[:, 1] <= top), dtype=np.bool_
    )
