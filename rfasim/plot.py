"""The pictures of a run: section through the needle, zone in space, readings over time.

Temperature colours are perceptually uniform and readable with every kind of colour vision; lines differ in
lightness and style as well as in hue.
"""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rfasim.checkpoint import write_bytes
from rfasim.progress import clock
from rfasim.section import Section, beside, inside_tubes, parts_of_cells, section_of, vessel_tubes
from rfasim.slicing import Floats, off_the_device

if TYPE_CHECKING:
    from rfasim.result import Result

INK, GRID = "#22303c", "#d9dee3"
ZONE, TUMOUR, VESSEL, METAL, INSULATION = "#4cc3ff", "#7be495", "#ff8fa3", "#c3c9ce", "#00a08a"
CONTACTS = ("#2f5bff", "#c2188f", "#ffffff", "#7a4a1e", "#7fd000", "#000000")  # apart from each other and from heat
PHASES = ("#2a6f97", "#e9c46a", "#9b5de5", "#8ab17d", "#e76f51", "#8d99ae", "#264653", "#d4a5a5")
MOST_COLUMNS = 4  # panels side by side
PIXELS = 400  # across a picture, for outlines of vessels
FEW = 3  # roll-offs that are marked by lines through all readings; more are marked at the top
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 11, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.linewidth": 0.8, "lines.linewidth": 1.8, "savefig.facecolor": "white",
}  # fmt: skip
ISOTHERMS: dict[float, Any] = {50.0: (0, (1.2, 1.2)), 60.0: (0, (5, 1.5)), 100.0: "solid"}
Box = tuple[float, float, float, float]  # left, right, bottom, top in mm
CRITERION_TEXT = {
    "arrhenius_coagulation": "coagulated (Arrhenius, Ω ≥ 1)",
    "arrhenius_cell_death": "dead cells (Arrhenius, Ω ≥ 1)",
    "vascular_stasis": "vascular stasis (Arrhenius, Ω ≥ 1)",
    "cem43": "CEM43 ≥ 240 min",
    "three_state": "dead cells (three-state, ≥ 80 %)",
}


def make_pictures(result: Result, say: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Draw ``section.png``, ``zone3d.png`` and ``history.png`` into the result's folder, and ``saline.png`` where there
    is some; their paths.

    ``say`` receives plain sentences for the user, such as why the 3-D picture was drawn in a simpler way.
    Raises RunError when a picture cannot be written.
    """
    from rfasim.zone3d import draw_zone3d

    drawn = [result.folder / name for name in ("section.png", "zone3d.png", "history.png")]
    write_bytes(drawn[0], draw_section(result))
    write_bytes(drawn[1], draw_zone3d(result, say))
    write_bytes(drawn[2], draw_history(result))
    if "concentration_g_l" in result.field_names:
        drawn.append(result.folder / "saline.png")
        write_bytes(drawn[3], draw_saline(result))
    return drawn


def criterion_text(criterion: str) -> str:
    """A damage criterion in words."""
    if criterion.startswith("isotherm_"):
        return f"{criterion.removeprefix('isotherm_')} °C reached"
    return CRITERION_TEXT.get(criterion, criterion)


def zone_volume_text(result: Result) -> str:
    """``5.3 ml`` of the run's end: the summary's, as in the table, else from the history."""
    history = result.history.get("zone_volume_ml", np.array([]))
    volume = (result.summary.get("zone") or {}).get("volume_ml", history[-1] if len(history) else None)
    if volume is None:
        return ""
    return f"{volume:.1f} ml" if volume >= 10 else f"{volume:.2f} ml"


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
    drawing.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.15)
    return buffer.getvalue()


def view_box(section: Section, temperature: Floats, zone: Floats | None) -> Box:
    """What is worth seeing: zone and warm tissue (else the device's tip), with a margin."""
    tissue = np.unique(section.triangles[~section.metal])
    points, warm = section.points[tissue], temperature[tissue]
    seen = warm >= min(50.0, 0.5 * (37.0 + float(warm.max())))
    if zone is not None:
        seen |= zone[tissue] >= 0.0
    return _box_around(section, points[seen])


def _box_around(section: Section, seen: Floats) -> Box:
    """Points ``seen`` (n, 2), and the device's tip, with a margin."""
    shown = np.concatenate([seen, [[-8.0, -4.0], [8.0, 12.0]]])
    low, high = shown.min(axis=0) - 4.0, shown.max(axis=0) + 4.0
    middle, size = (low + high) / 2, high - low
    size = np.maximum(size, 0.9 * size.max())  # neither a ribbon nor a strip
    low = np.maximum(middle - size / 2, section.points.min(axis=0))
    high = np.minimum(middle + size / 2, section.points.max(axis=0))
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def draw_section(result: Result) -> bytes:
    """Temperature on the plane through the needle with its isotherms, the zone and the device; PNG bytes."""
    import matplotlib

    view = _view(result, section_of(result))
    box = view_box(view.section, view.temperature, view.zone)
    low, high = _span(view, box)
    words = f"{zone_volume_text(result)}: {criterion_text(str(result.meta.get('criterion')))}"
    levels = temperature_levels(low, high)
    with matplotlib.rc_context(STYLE):
        drawing, axes, filled = _section_figure(view, box, levels, f"zone at the end, {words}")
        _add_bar(drawing, filled, axes)
        axes.set_title(f"{_title(result)} \N{EN DASH} temperature after {clock(view.time)}", pad=10)
        return png(drawing)


def _section_figure(view: _View, box: Box, levels: Floats, zone_label: str, strength: Floats | None = None
                    ) -> tuple[Any, Any, Any]:  # fmt: skip
    """A figure of one section with its legend: figure, axes, filled contours."""
    left, right, bottom, top = box
    width = float(np.clip(6.2 * (right - left) / (top - bottom), 4.2, 9.0))
    drawing = figure(width + 1.5, 7.4)
    axes = drawing.add_subplot()
    filled, handles = _draw_view(axes, view, box, levels, zone_label, strength)
    across = "across the device, in the plane along it that cuts most of its contacts (mm)"
    several = len(view.section.device) > 1
    axes.set(xlabel=across if several else "across the needle (mm)", ylabel="along the device, from its tip (mm)")
    drawing.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=10)
    return drawing, axes, filled


def draw_saline(result: Result) -> bytes:
    """NaCl in the fluid of the pores at the run's end on the plane through the needle, the zone and the device; PNG
    bytes."""
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    view = _view(result, section_of(result))
    section = view.section
    strength = section.sample(result.field("concentration_g_l"))
    tissue = np.unique(section.triangles[~section.metal])
    off = np.abs(strength - strength[np.argmax(np.linalg.norm(section.points, axis=1))])[tissue]
    seen = off > 0.1 * max(float(off.max()), 1e-9)
    if view.zone is not None:
        seen |= view.zone[tissue] >= 0.0
    box = _box_around(section, section.points[tissue][seen])
    inside = strength[np.unique(section.triangles[~section.metal & _near(section, box)])]
    levels = np.linspace(float(inside.min()), max(float(inside.max()), float(inside.min()) + 1.0), 100)
    with matplotlib.rc_context(STYLE):
        drawing, axes, filled = _section_figure(view, box, levels, "zone at the end", strength)
        ticks = MaxNLocator(6).tick_values(levels[0], levels[-1])
        _colour_bar(drawing, filled, axes, ticks, "NaCl in the fluid of the pores (g/l)")
        axes.set_title(f"{_title(result)} \N{EN DASH} saline after {clock(float(result.times[-1]))}", pad=10)
        return png(drawing)


def _title(result: Result) -> str:
    return str(result.meta.get("title") or result.summary.get("case") or "Run").replace("_", " ")


def draw_comparison(panels: Sequence[tuple[str, Result]], what: str = "") -> bytes:
    """The sections of some runs side by side, with one window and one scale of colours; PNG bytes.

    ``panels``: a title and a result each; ``what`` is what the titles are values of.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return png(comparison_figure(panels, what))


def comparison_figure(panels: Sequence[tuple[str, Result]], what: str = "") -> Any:
    """The figure of :func:`draw_comparison`, one axes a panel in their order, then the one of the colours."""
    results = [result for _, result in panels]
    views, moved = _views_alike(results)
    boxes = np.array([view_box(view.section, view.temperature, view.zone) for view in views])
    box: Box = (boxes[:, 0].min(), boxes[:, 1].max(), boxes[:, 2].min(), boxes[:, 3].max())
    spans = np.array([_span(view, box) for view in views])
    columns = -(-len(panels) // -(-len(panels) // MOST_COLUMNS))  # rows as even as they can be
    rows = -(-len(panels) // columns)
    left, right, bottom, top = box
    width = float(np.clip(5.0 * (right - left) / (top - bottom), 3.4, 6.5))
    height = width * (top - bottom) / (right - left)
    drawing = figure(columns * (width + 0.2) + 1.7, rows * (height + 1.15) + 0.9)
    drawing.get_layout_engine().set(h_pad=0.1)
    grid = drawing.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    criteria = {str(result.meta.get("criterion")) for result in results}
    zone = "zone at the end" + (f": {criterion_text(criteria.pop())}" if len(criteria) == 1 else "")
    levels = temperature_levels(float(spans[:, 0].min()), float(spans[:, 1].max()))
    one_time = len({clock(view.time) for view in views}) == 1
    legend: dict[str, Any] = {}
    for axes, (title, _), view in zip(grid, panels, views, strict=False):
        filled, handles = _draw_view(axes, view, box, levels, zone)
        legend |= {handle.get_label(): handle for handle in handles if handle.get_label() not in legend}
        axes.set_title("\n".join(textwrap.wrap(title, int(8.5 * width))[:3]), pad=8)
        beneath = [comparison_caption(view.result), *([] if one_time else [f"after {clock(view.time)}"])]
        axes.annotate(
            "\n".join(line for words in beneath for line in textwrap.wrap(words, int(10.5 * width))),
            (0.5, 0.0), (0.0, -40.0), "axes fraction", "offset points", ha="center", va="top", fontweight="bold",
            annotation_clip=False,
        )  # fmt: skip
        axes.set_xlabel("across the device (mm)")
        axes.tick_params(labelbottom=True)
    for axes in grid[len(panels) :]:
        axes.remove()
    _add_bar(drawing, filled, list(grid[: len(panels)]))
    of = f"tip with {_short(panels[0][0])}" if moved else "tip"
    for axes in grid[: len(panels) : columns]:
        axes.set_ylabel(f"along the device, from its {of} (mm)")
    name = _title(results[0])
    after = f" after {clock(views[0].time)}" if one_time else ", the last with the generator on"
    drawing.suptitle(
        f"{name} \N{EN DASH} temperature{after}" + (f", by {what}" if what else ""),
        x=0.01, ha="left", fontsize=13, fontweight="bold",
    )  # fmt: skip
    drawing.legend(handles=[*legend.values()], loc="outside lower left", ncols=3, frameon=False, fontsize=10)
    return drawing


def comparison_caption(result: Result) -> str:
    """What stands beneath a panel: zone volume, and the smallest margin where there is a tumour."""
    tumour = result.summary.get("tumour")
    margin = tumour.get("minimal_margin_mm") if tumour else None
    said = "" if not tumour else ", no margin" if margin is None else f", smallest margin {margin:.1f} mm"
    return f"zone {zone_volume_text(result) or '-'}{said}"


def _short(title: str) -> str:
    return title if len(title) <= 24 else title[:21] + "..."


@dataclass(frozen=True)
class _View:
    """What a panel shows of a run: its section, and there the temperature at ``time`` (s) and the zone at the end."""

    result: Result
    section: Section
    time: float
    temperature: Floats
    zone: Floats | None


def _view(result: Result, section: Section) -> _View:
    index = time_to_show(result)
    zone = section.sample(result.field("zone_level")) if "zone_level" in result.field_names else None
    temperature = section.sample(result.field("temperature_c", index))
    return _View(result, section, float(result.times[index]), temperature, zone)


def _views_alike(results: Sequence[Result]) -> tuple[list[_View], bool]:
    """One plane for all, that of the run with most to see in it (a vessel that another lacks), as far as that goes;
    and whether a device lies elsewhere than the first one's."""
    seen = [len(parts_of_cells(result)) + len(vessel_tubes(result)) for result in results]
    reference = section_of(results[seen.index(max(seen))])
    first = section_of(results[0], reference.placement)
    sections = [first, *(section_of(result, reference.placement) for result in results[1:])]
    placed = [beside(section, first) for section in sections]
    moved = any(one is not other for one, other in zip(placed, sections, strict=True))
    return [_view(result, section) for result, section in zip(results, placed, strict=True)], moved


def temperature_levels(low: float, high: float) -> Floats:
    """The borders of the colours for temperatures from ``low`` to ``high`` (degC)."""
    return np.linspace(min(37.0, low), max(high, 60.0), 120)


def _span(view: _View, box: Box) -> tuple[float, float]:
    """Lowest and highest temperature of the tissue in the view box."""
    section = view.section
    seen = view.temperature[np.unique(section.triangles[~section.metal & _near(section, box)])]
    return float(seen.min()), float(seen.max())


def _add_bar(drawing: Any, filled: Any, axes: Any) -> None:
    """The scale of temperature."""
    _colour_bar(drawing, filled, axes, (37, 50, 60, 70, 80, 90, 100, 110, 120), "temperature (°C)")


def _colour_bar(drawing: Any, filled: Any, axes: Any, ticks: Iterable[float], label: str) -> None:
    """A scale of colours with those of ``ticks`` that are on it."""
    bar = drawing.colorbar(filled, ax=axes, shrink=0.8, pad=0.02, aspect=28)
    bar.set_ticks([t for t in ticks if filled.levels[0] <= t <= filled.levels[-1]])
    bar.set_label(label)
    bar.outline.set_visible(False)


def _draw_view(axes: Any, view: _View, box: Box, levels: Floats, zone_label: str, strength: Floats | None = None
               ) -> tuple[Any, list[Any]]:  # fmt: skip
    """Temperature with its isotherms, or saline's ``strength``, and zone, tumour, vessels, device in ``axes``; the
    filled contours, and the legend."""
    from matplotlib import tri

    section, temperature = view.section, view.temperature
    left, right, bottom, top = box
    near = _near(section, box)
    x, y = section.points.T
    mesh = tri.Triangulation(x, y, section.triangles, mask=section.metal | ~near)
    if strength is None:
        filled = axes.tricontourf(mesh, temperature, levels=levels, cmap="inferno")
    else:
        filled = axes.tricontourf(mesh, strength, levels=levels, cmap="cividis", extend="both")
    device = np.concatenate([*section.device, np.zeros((0, 2))])
    handles = _draw_zone(axes, mesh, view.zone, zone_label, device)
    handles += _draw_parts(axes, mesh, section, near, box)
    if strength is None:
        _draw_isotherms(axes, mesh, temperature, _span(view, box)[1], box, device)
    handles += _draw_device(axes, section)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", facecolor="#e9ecef")
    axes.tick_params(color=GRID)
    return filled, handles


def _draw_level(
    axes: Any, mesh: Any, values: Floats, level: float, device: Floats, style: dict[str, Any]
) -> list[Floats]:
    """Draw where ``values`` are ``level``, but for the rim of a cooled contact; the lines drawn."""
    found = axes.tricontour(mesh, values, levels=[level])
    lines = [np.asarray(line) for line in found.get_paths()[0].to_polygons(closed_only=False)]
    found.remove()
    lines = [line for line, away in zip(lines, off_the_device(lines, device), strict=True) if away]
    for line in lines:
        axes.plot(*line.T, solid_joinstyle="round", **style)
    return lines


def _draw_isotherms(
    axes: Any, mesh: Any, temperature: Floats, hottest: float, box: Box, device: Floats
) -> None:
    """The 50, 60 and 100 °C lines, each named at the right edge with a thin line to it."""
    from matplotlib.patheffects import withStroke

    left, right, bottom, top = box
    targets: dict[float, Floats] = {}
    for value in ISOTHERMS:
        if not float(temperature.min()) < value < hottest:
            continue
        style = {"color": "white", "linewidth": 1.2, "linestyle": ISOTHERMS[value]}
        line = np.concatenate([*_draw_level(axes, mesh, temperature, value, device, style), np.zeros((0, 2))])
        seen = (line[:, 0] > left) & (line[:, 0] < right) & (line[:, 1] > bottom) & (line[:, 1] < top)
        if seen.any():  # a name hangs on the point that looks to the upper right
            targets[value] = line[seen][np.argmax(line[seen] @ (0.8, 0.5))]
    slots = [
        np.array([right - 0.055 * (right - left), bottom + (top - bottom) * (0.94 - 0.06 * k)]) for k in range(3)
    ]
    wide = np.array([0.06 * (right - left), 0.0])

    def clashes(chosen: tuple[Floats, ...]) -> int:
        leaders = list(zip(targets.values(), chosen, strict=True))
        names = [(slot - wide, slot + wide) for slot in chosen]
        over = [(leader, name) for k, leader in enumerate(leaders) for n, name in enumerate(names) if n != k]
        return _crossings(leaders) + sum(_crossings([*pair]) for pair in over)

    best = min(itertools.permutations(slots, len(targets)), key=clashes)
    for (value, target), (_, height) in zip(targets.items(), best, strict=True):
        axes.annotate(
            f"{value:.0f} °C", xy=tuple(target), xytext=(right - 0.02 * (right - left), height),
            color="white",
            ha="right", va="center", fontsize=10.5, zorder=8,
            path_effects=[withStroke(linewidth=2.5, foreground="#00000090")],
            arrowprops={"arrowstyle": "-", "color": "white", "lw": 0.7, "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip


def _crossings(lines: list[tuple[Floats, Floats]]) -> int:
    """How many pairs of these straight lines cross."""

    def side(a: Floats, b: Floats, p: Floats) -> bool:
        return bool((b[0] - a[0]) * (p[1] - a[1]) > (b[1] - a[1]) * (p[0] - a[0]))

    return sum(
        side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b)
        for (a, b), (c, d) in itertools.combinations(lines, 2)
    )


def _draw_zone(axes: Any, mesh: Any, zone: Floats | None, label: str, device: Floats) -> list[Any]:
    from matplotlib.patches import Patch

    if zone is None or not zone.max() >= 0.0:
        return []
    axes.tricontourf(mesh, zone, levels=[0.0, np.inf], colors=["white"], alpha=0.15)
    _draw_level(axes, mesh, zone, 0.0, device, {"color": ZONE, "linewidth": 2.6})
    return [Patch(facecolor="#fbe9e2", edgecolor=ZONE, linewidth=2.2, label=label)]


def _draw_parts(axes: Any, mesh: Any, section: Section, near: NDArray[np.bool_], box: Box) -> list[Any]:
    """Outlines of tumour and vessels; vessels are filled, for blood is not tissue."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for name, inside in section.parts.items():
        if not (inside[np.unique(section.triangles[near])] > 0.0).any():
            continue
        if name == "vessels":
            axes.tricontourf(mesh, inside, levels=[0.0, np.inf], colors=[VESSEL], alpha=0.75)
            axes.tricontour(mesh, inside, levels=[0.0], colors=VESSEL, linewidths=1.5)
            handles.append(Patch(facecolor=VESSEL, label="vessels"))
        else:
            axes.tricontour(mesh, inside, levels=[0.0], colors=TUMOUR, linewidths=2.2)
            handles.append(Line2D([], [], color=TUMOUR, lw=2.5, label=name))
    x, y = np.meshgrid(np.linspace(*box[:2], PIXELS), np.linspace(*box[2:], PIXELS))
    depth = inside_tubes(section, x, y)
    if depth is not None and depth.max() > 0.0:
        axes.contourf(x, y, depth, levels=[0.0, np.inf], colors=[VESSEL], alpha=0.75)
        axes.contour(x, y, depth, levels=[0.0], colors=VESSEL, linewidths=1.5)
        if not any(handle.get_label() == "vessels" for handle in handles):
            handles.append(Patch(facecolor=VESSEL, label="vessels"))
    return handles


def _draw_device(axes: Any, section: Section) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Polygon

    for line in section.device:
        axes.add_patch(Polygon(line, closed=True, facecolor=METAL, edgecolor=INK, linewidth=0.6, zorder=4))
    for line in section.insulation:
        axes.plot(*line.T, color=INSULATION, linewidth=2.6, solid_capstyle="butt", zorder=5)
    handles: list[Any] = [Patch(facecolor=METAL, edgecolor=INK, linewidth=0.6, label="device")]
    if len(section.contacts) > 1:  # which is which matters where there are several
        alone = len({name.split(".")[0] for name in section.contacts}) == 1
        for (name, lines), colour in zip(section.contacts.items(), itertools.cycle(CONTACTS), strict=False):
            for line in lines:
                axes.plot(*line.T, color=colour, linewidth=2.6, solid_capstyle="butt", zorder=5)
            label = (name.split(".", 1)[-1] if alone else name).replace("_", " ")
            handles.append(Line2D([], [], color=colour, lw=2.6, label=label, path_effects=_edge()))
    if section.insulation:
        handles.append(Line2D([], [], color=INSULATION, lw=2.6, label="insulated"))
    return handles if section.device else []


def _edge() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=4.0, foreground=INK)]


def roll_off_times(result: Result) -> Floats:
    """When the impedance rolled off (s), each time that the generator noticed; else the first time."""
    electrical = result.summary.get("electrical") or {}
    events = electrical.get("events") or []
    if times := sorted({event["time_s"] for event in events if event["reason"] == "roll_off"}):
        return np.array(times)
    if "rolled_off" not in result.history:
        return np.zeros(0)
    rolled = result.history["rolled_off"].astype(np.bool_)
    return np.asarray(result.history["time_s"][rolled & ~np.concatenate([[False], rolled[:-1]])], dtype=np.float64)


def thermocouples(result: Result) -> dict[str, Floats]:
    """Readings (degC) of the devices' own sensors, by a short name."""
    columns = {name: values for name, values in result.history.items() if name.startswith("electrodes[")}
    alone = len({name.split(".")[0] for name in columns}) == 1
    return {(name.split(".", 1)[-1] if alone else name).removesuffix("_c").replace("_", " "): values
            for name, values in columns.items()}  # fmt: skip


def switched(time: Floats, values: Floats, phases: NDArray[Any]) -> tuple[Floats, Floats]:
    """A line that jumps where the generator goes over to another phase, as a strip chart does.

    A row is the end of its step and names the phase that goes on from there: the next row's value begins at once.
    """
    change = np.flatnonzero(phases[1:-1] != phases[:-2]) + 1
    return np.insert(time, change + 1, time[change]), np.insert(values, change + 1, values[change + 1])


def draw_history(result: Result) -> bytes:
    """The readings as on a generator's strip chart: phase, power, impedance, temperatures, zone; PNG bytes.

    Roll-offs are marked, all of them at the top where there are many. Thermocouples are drawn with the hottest tissue.
    """
    import matplotlib

    history = result.history
    time = history.get("time_s", np.zeros(0))
    unit_of_time, seconds = ("min", 60.0) if len(time) and time[-1] >= 300.0 else ("s", 1.0)
    time = time / seconds
    phases = history.get("generator_phase", np.full(len(time), "", dtype=object))
    rows = (
        ("power_w", "Power", "W", "#d55e00"),
        ("impedance_ohm", "Impedance", "Ω", "#0072b2"),
        ("max_temperature_c", "Hottest tissue", "°C", "#a0522d"),
        ("zone_volume_ml", "Zone volume", "ml", "#007f5f"),
    )
    strip = 1 < len(set(phases.tolist())) <= len(PHASES)
    with matplotlib.rc_context(STYLE):
        drawing = figure(9.0, 7.4 if strip else 7.0)
        heights = [0.16] * strip + [1.3, 1.3, 1.0, 1.0]
        panels: list[Any] = list(drawing.subplots(len(heights), 1, sharex=True, height_ratios=heights))
        if strip:
            _draw_phases(panels.pop(0), time, phases)
        starts = roll_off_times(result) / seconds
        for axes, (column, name, unit, colour) in zip(panels, rows, strict=True):
            values = history.get(column, np.zeros(0)).astype(np.float64)
            shown = np.isfinite(values)
            x, y = time[shown], values[shown]
            if column == "power_w":
                x, y = switched(x, y, phases[shown])
            axes.plot(x, y, color=colour, linewidth=1.5, solid_joinstyle="round", label=name.lower(), zorder=4)
            axes.set_title(f"{name} ({unit})", fontsize=11, color=colour, pad=5)
            axes.grid(axis="y", color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            axes.tick_params(length=0, axis="y")
            axes.spines["left"].set_visible(False)
            axes.margins(x=0.01)
            axes.locator_params(axis="y", nbins=4)
            if column == "max_temperature_c":
                y = np.concatenate([y, *_draw_thermocouples(axes, time, thermocouples(result))])
            axes.set_ylim(*_limits(y[np.isfinite(y)], from_zero=column in ("power_w", "zone_volume_ml")))
            if len(starts) <= FEW:
                for start in starts:
                    axes.axvline(start, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
            elif column == "power_w":
                high = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 5}
                axes.plot(starts, np.full(len(starts), 1.0), ls="", marker="v", ms=4.5, color=INK, **high)
        if len(starts):
            mark = "\N{BLACK DOWN-POINTING TRIANGLE} " if len(starts) > FEW else ""
            many = f"{len(starts)} roll-offs, the first" if len(starts) > 1 else "roll-off"
            said = f"{mark}{many} at {clock(seconds * starts[0])}"
            panels[0].set_title(said, loc="right", fontsize=10, fontweight="normal", pad=6)
        panels[-1].set_xlabel(f"time ({unit_of_time})")
        return png(drawing)


def _draw_phases(axes: Any, time: Floats, phases: NDArray[Any]) -> None:
    """The generator's phases as a band of colours, with their names beside it."""
    from matplotlib.patches import Patch

    begins = np.concatenate([[0], np.flatnonzero(phases[1:] != phases[:-1]) + 1])
    edges = np.append(time[begins], time[-1])
    names = list(dict.fromkeys(phases.tolist()))
    for name, colour in zip(names, PHASES, strict=False):
        mine = np.flatnonzero(phases[begins] == name)
        axes.broken_barh([(edges[k], edges[k + 1] - edges[k]) for k in mine], (0, 1), color=colour, linewidth=0)
    axes.set(ylim=(0, 1), yticks=[])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title("Generator", fontsize=11, pad=4)
    handles = [Patch(color=colour, label=name) for name, colour in zip(names, PHASES, strict=False)]
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(names), frameon=False, fontsize=9,
        handlelength=0.9, handletextpad=0.4, columnspacing=1.0, borderaxespad=0.1,
    )  # fmt: skip


def _draw_thermocouples(axes: Any, time: Floats, named: dict[str, Floats]) -> list[Floats]:
    """Thin lines for the devices' sensors, with a legend; what was drawn."""
    if not named:
        return []
    greys = np.linspace(0.15, 0.7, len(named))
    styles = itertools.cycle(["solid", (0, (5, 1.5)), (0, (1.2, 1.2))])
    for (name, values), grey, style in zip(named.items(), greys, styles, strict=False):
        label = f"thermocouple {name}" if len(named) <= FEW else name
        axes.plot(time, values, color=str(grey), linewidth=1.0, linestyle=style, label=label)
    handles, labels = axes.get_legend_handles_labels()
    if len(named) > 5:
        handles, labels = handles[:2], [labels[0], f"{len(named)} thermocouples"]
    axes.legend(
        handles, labels, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(labels), frameon=False, fontsize=9,
        handlelength=1.6, columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip
    return [np.asarray(values, dtype=np.float64) for values in named.values()]


def _limits(values: Floats, *, from_zero: bool) -> tuple[float, float]:
    """Axis limits with a little room above and below, also for a line that is flat or empty."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    low = min(low, 0.0) if from_zero else low
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return (low if from_zero else low - room), high + room


def _near(section: Section, box: Box) -> NDArray[np.bool_]:
    """Triangles that can be seen in the view box."""
    left, right, bottom, top = box
    corners = section.points[section.triangles]
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.asarray(
        (high[:, 0] >= left) & (low[:, 0] <= right) & (high[:, 1] >= bottom) & (low[:, 1] <= top),
        dtype=np.bool_,
    )
