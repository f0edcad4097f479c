"""Data sheets of devices: what a family or a named model is, where each number is from, and how it looks.

The drawing is made from the device's own geometry: rays from the viewer, marched to the surface by its signed
distance, so that any device that can be simulated can be drawn.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from pydantic import ValidationError

from rfasim.complaints import complaints, near
from rfasim.electrodes import ALL_DEVICES, Device
from rfasim.electrodes.device import Array, Model, unit
from rfasim.errors import InputError
from rfasim.quantities import Quantity, text
from rfasim.sheet import Row, about, word_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

POSE = ("tip", "direction", "entry", "target", "beyond_target", "turn_degrees", "centre")
ASSUMED, UNKNOWN = "assumed", "(to be given)"
INK, INSULATION = "#22303c", (0.78, 0.80, 0.82)
CONTACT_COLOURS = ("#e08214", "#5e9ed6", "#7b5aa6", "#4daf7c", "#d1495b", "#8c6d31")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlelocation": "left", "svg.hashsalt": "rfasim", "savefig.facecolor": "white",
}  # fmt: skip
SUFFIXES = (".png", ".svg", ".pdf")
MARGIN, SHAFT_SHOWN = 0.003, 0.012  # m: around the contacts, and of the shaft behind them
SLANT = 0.2  # rad: from the side, needles or tines in a row must not hide each other
FAR = 0.12  # m from the middle of the contacts: what is further is not measured or drawn


@dataclass(frozen=True)
class ContactRow:
    """One contact: its terminal, the deployment stage it conducts from, its extent along the device's axis [m]."""

    name: str
    terminal: str
    stage: int
    length: float


@dataclass(frozen=True)
class Sheet:
    """Everything that is known of a family or of one of its models.

    ``device`` is one of it, tip in the origin and shaft upwards; None where a parameter has no default.
    """

    name: str
    family: str
    title: str
    about: str
    rows: tuple[Row, ...]
    models: tuple[str, ...]
    protocol: str
    notes: str
    device: Device | None
    contacts: tuple[ContactRow, ...]


def families() -> list[tuple[str, str, tuple[str, ...]]]:
    """(word, one line, names of the models) of each family."""
    return [(word_of(kind), about(kind), tuple(kind.MODELS)) for kind in ALL_DEVICES]


def find(name: str) -> tuple[type[Device], str | None]:
    """The family, and the model if ``name`` is one's; raises InputError with the nearest names."""
    for kind in ALL_DEVICES:
        if name == word_of(kind):
            return kind, None
        if name in kind.MODELS:
            return kind, name
    known = [known for kind in ALL_DEVICES for known in (word_of(kind), *kind.MODELS)]
    raise InputError("NAME", f"'{name}' is no known device or model; {near(name, known)}")


def make_sheet(name: str) -> Sheet:
    """The data sheet of a family (``bipolar_needle``) or of a model (``celon_t30``); raises InputError."""
    kind, model_name = find(name)
    model = Model(title="", data={}) if model_name is None else kind.MODELS[model_name]
    device = _one(kind, model_name)
    return Sheet(
        name=name,
        family=word_of(kind),
        title=model.title or about(kind),
        about=about(kind),
        rows=tuple(_rows(kind, model, device)),
        models=tuple(kind.MODELS) if model_name is None else (),
        protocol=model.protocol,
        notes=model.notes,
        device=device,
        contacts=() if device is None else tuple(_contact_rows(device)),
    )


def _one(kind: type[Device], model: str | None) -> Device | None:
    """A device with its tip in the origin; None when it has parameters without a default."""
    given: dict[str, Any] = {"device": word_of(kind)}
    if "tip" in kind.model_fields:
        given["tip"] = (0.0, 0.0, 0.0)
    if model is not None:
        given["model"] = model
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        if model is None:
            return None
        path, sentence = complaints(error, kind)[0]  # a model that contradicts itself is our mistake
        raise AssertionError(f"model {model}: {path}: {sentence}") from error


def _rows(kind: type[Device], model: Model, device: Device | None) -> list[Row]:
    rows = []
    for name, field in kind.model_fields.items():
        if name in ("device", "model", *POSE):
            continue
        value = field.default if device is None else getattr(device, name)
        missing = device is None and field.is_required()
        written = UNKNOWN if missing else _written(field, value)
        if name in model.data:
            source = model.data[name].source
        elif missing or written == "-":
            source = ""
        else:
            source = kind.SOURCES.get(name, ASSUMED)
        meaning = " ".join((field.description or "").split())
        rows.append(Row(name, written, source, meaning))
    return rows


def _written(field: FieldInfo, value: Any) -> str:
    """A parameter's value as a case file says it."""
    if value is None:
        return "-"
    if hasattr(value, "kind"):
        parts = [
            f"{name} {_written(part, getattr(value, name))}"
            for name, part in type(value).model_fields.items()
            if name != "kind"
        ]
        return ", ".join([value.kind, *parts])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_written(field, item) for item in value)}]"
    unit = _unit(field)
    return str(value) if unit is None or not isinstance(value, float) else str(text(value, unit))


def _unit(field: FieldInfo) -> str | None:
    """The unit of a quantity, also of an optional one or of a list of them."""
    left: list[Any] = [*field.metadata, field.annotation]
    while left:
        part = left.pop()
        if isinstance(part, Quantity):
            return part.unit
        left += [*getattr(part, "__metadata__", ()), *get_args(part)]
    return None


# -------------------------------------------------------------------------------------------------------- measured


def surface_points(device: Device, n: int = 20_000) -> Array:
    """Points (m, 3) [m] of the surface near the contacts, about ``n``: where rays from the filling balls leave."""
    random = np.random.default_rng(0)
    shape = device.shape()
    centres, radii = device.filling()
    solid = radii > 0
    close = np.linalg.norm(centres - device.active_centre, axis=1) <= FAR
    chosen = random.choice(np.flatnonzero(solid & close), n)
    way = random.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1)[:, None]
    points = centres[chosen] + radii[chosen, None] * way
    for _ in range(60):
        points += way * np.maximum(-shape.distance(points), 0.0)[:, None]
    points = np.vstack([points, centres[~solid], device.tip_point])
    return np.asarray(points[np.abs(shape.distance(points)) < 1e-9])


def _contact_rows(device: Device) -> list[ContactRow]:
    points = surface_points(device)
    along = points @ device.axis
    rows = []
    for contact in device.contacts():
        span = along[contact.holds(points)]
        length = float(span.max() - span.min()) if len(span) else 0.0
        rows.append(ContactRow(contact.name, contact.terminal, contact.stage, round(length, 4)))
    return rows


# -------------------------------------------------------------------------------------------------------- printed


def as_data(sheet: Sheet) -> dict[str, Any]:
    """The sheet as plain data for JSON; lengths and points in mm."""
    device = sheet.device

    def points(named: tuple[tuple[str, Array], ...]) -> dict[str, list[float]]:
        return {name: [round(1e3 * float(x), 4) for x in point] for name, point in named}

    data: dict[str, Any] = {
        "name": sheet.name,
        "family": sheet.family,
        "title": sheet.title,
        "about": sheet.about,
        "models": list(sheet.models),
        "parameters": {
            row.name: {"value": row.value, "source": row.source, "meaning": row.meaning} for row in sheet.rows
        },
        "protocol": sheet.protocol,
        "notes": sheet.notes,
    }
    if device is not None:
        data |= {
            "contacts": {
                row.name: {"terminal": row.terminal, "stage": row.stage, "length_mm": round(1e3 * row.length, 1)}
                for row in sheet.contacts
            },
            "terminals": list(device.terminals),
            "returns": list(device.returns),
            "stages": device.stages,
            "thermocouples_mm": points(device.thermocouples),
            "outlets_mm": points(device.outlets),
            "rated_power_w": device.rated_power,
        }
    return data


Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def tables(sheet: Sheet) -> list[Table]:
    """The parameters and the contacts as (heading, rows)."""
    parameters = [(row.name, row.value, row.source, row.meaning) for row in sheet.rows]
    found: list[Table] = [(("parameter", "value", "source", "what it is"), list(parameters))]
    if sheet.device is not None:
        staged = sheet.device.stages > 1
        heading = ("contact", "terminal", *(("from stage",) if staged else ()), "along the axis")
        contacts = [
            (row.name, row.terminal, *((str(row.stage),) if staged else ()), f"{1e3 * row.length:.1f} mm")
            for row in sheet.contacts
        ]
        found.append((heading, list(contacts)))
    return found


def title_lines(sheet: Sheet) -> list[str]:
    """What stands above the tables."""
    lines = [f"{sheet.name}: {sheet.title}"]
    if sheet.title != sheet.about:
        lines.append(f"device: {sheet.family} ({sheet.about})")
    if sheet.models:
        lines.append(f"models: {', '.join(sheet.models)}")
    return lines


def closing_lines(sheet: Sheet) -> list[str]:
    """What stands below the tables: terminals and points of the device."""
    device = sheet.device
    if device is None:
        return ["No drawing: a parameter has no default, and what the device looks like depends on it."]
    lines = [
        ("terminals", ", ".join(device.terminals)),
        ("return", ", ".join(device.returns) or "none of its own (a pad on the skin)"),
        ("thermocouples", ", ".join(_place(*item) for item in device.thermocouples) or "none"),
        ("outlets", ", ".join(_place(*item) for item in device.outlets) or "none"),
        ("rated power", "not stated" if device.rated_power is None else str(text(device.rated_power, "W"))),
        ("protocol", sheet.protocol or "any"),
        *((("notes", sheet.notes),) if sheet.notes else ()),
        ("points", "x, y, z in mm, the tip in the origin, for a device that points along -z"),
    ]
    return [f"{what + ':':<15}{value}" for what, value in lines]


def _place(name: str, point: Array) -> str:
    return f"{name} ({', '.join(f'{round(1e3 * float(x), 2) + 0.0:g}' for x in point)})"


# ---------------------------------------------------------------------------------------------------------- drawn


@dataclass(frozen=True)
class _View:
    """A parallel projection: unit vectors to the right, up and towards the eye, and the window in them [m]."""

    right: Array
    up: Array
    low: Array
    high: Array

    @property
    def eye(self) -> Array:
        return np.cross(self.right, self.up)

    def flat(self, points: Array) -> Array:
        """``points`` (n, 3) as (n, 2) in the window."""
        return np.stack([points @ self.right, points @ self.up], axis=1)


def draw_device(device: Device, title: str, suffix: str = ".png") -> bytes:
    """Side and front view of ``device`` as a file's bytes: terminals in colours, insulation grey, scale in mm.

    ``suffix`` is one of ``SUFFIXES``. Thermocouples are crosses, outlets rings; the views have one scale.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    views = _views(device)
    spans = [view.high - view.low for view in views]
    scale = min(10.0 / sum(span[0] for span in spans), 5.5 / max(span[1] for span in spans))  # inch per metre
    width, height = scale * sum(span[0] for span in spans), scale * max(span[1] for span in spans)
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(width + 2.0, height + 1.9), layout="constrained")
        FigureCanvasAgg(drawing)  # no window system
        parts = drawing.subplots(1, 2, width_ratios=[span[0] for span in spans], squeeze=True)
        names = ("side", "front, seen from the tip")
        for axes, view, name in zip(parts, views, names, strict=True):
            _draw_view(axes, device, view, max(math.ceil(160 * scale * max(view.high - view.low)), 200))
            axes.set_title(name, fontsize=11)
            axes.set_xlabel("mm")
        drawing.suptitle(title, x=0.02, ha="left", fontweight="bold", fontsize=12)
        _legend(drawing, device)
        buffer = io.BytesIO()
        drawing.savefig(buffer, format=suffix[1:], dpi=130, bbox_inches="tight", pad_inches=0.15)
    return buffer.getvalue()


def _views(device: Device) -> tuple[_View, _View]:
    """From the side with the tip to the right, and from the tip."""
    points = surface_points(device, 5000)
    active = np.any([contact.holds(points) for contact in device.contacts()], axis=0)
    marks = [point for _, point in (*device.thermocouples, *device.outlets)]
    shown = np.vstack([points[active], *marks]) - device.tip_point
    shown = shown[np.linalg.norm(shown - (device.active_centre - device.tip_point), axis=1) <= FAR]
    across = device.rotation[:, 0]
    away = np.cross(device.axis, across)
    aslant = math.cos(SLANT) * across + math.sin(SLANT) * away
    views = []
    for right, up, behind in ((device.axis, aslant, SHAFT_SHOWN), (across, away, 0.0)):
        flat = np.stack([shown @ right, shown @ up], axis=1)
        margin = max(MARGIN, 0.15 * float(np.ptp(flat[:, 1])))
        low, high = flat.min(axis=0) - margin, flat.max(axis=0) + margin
        low[0] -= behind
        views.append(_View(right, up, low, high))
    return views[0], views[1]


def _draw_view(axes: Any, device: Device, view: _View, pixels: int) -> None:
    import matplotlib.patheffects as effects

    box = 1e3 * np.array([view.low[0], view.high[0], view.low[1], view.high[1]])
    axes.imshow(render(device, view.right, view.up, view.low, view.high, pixels), extent=box, origin="lower")
    light = [effects.withStroke(linewidth=3, foreground="white")]
    for named, style in ((device.thermocouples, {"marker": "x", "color": INK, "s": 42, "linewidths": 1.8}),
                         (device.outlets, {"marker": "o", "edgecolors": "#08519c", "facecolors": "none", "s": 30,
                                           "linewidths": 1.6})):  # fmt: skip
        if named:
            at = 1e3 * view.flat(np.array([point for _, point in named]) - device.tip_point)
            axes.scatter(at[:, 0], at[:, 1], zorder=3, path_effects=light, **style)
    axes.set_aspect("equal")


def _legend(drawing: Any, device: Device) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=CONTACT_COLOURS[k % len(CONTACT_COLOURS)], label=name) for k, name in enumerate(device.terminals)
    ]
    if any(contact.extent is not None for contact in device.contacts()):
        handles.append(Patch(color=INSULATION, label="insulation"))
    if device.thermocouples:
        handles.append(Line2D([], [], ls="", marker="x", mew=1.8, color=INK, label="thermocouple"))
    if device.outlets:
        handles.append(Line2D([], [], ls="", marker="o", mew=1.6, mfc="none", color="#08519c", label="outlet"))
    drawing.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False, fontsize=10)


def render(device: Device, right: Array, up: Array, low: Array, high: Array, pixels: int) -> Array:
    """Picture (rows, columns, 3) of ``device`` in 0 to 1, the longer side ``pixels`` wide; white where nothing is.

    The window from ``low`` to ``high`` (2,) [m] counts from the tip along ``right`` and ``up``. Rays are marched by
    the signed distance, which never oversteps (J. C. Hart, Sphere tracing, The Visual Computer 1996;12:527).
    """
    shape, eye = device.shape(), np.cross(right, up)
    step = float(np.max(high - low)) / pixels
    columns, rows = (max(1, round(float(side) / step)) for side in high - low)
    u, v = np.meshgrid(low[0] + (np.arange(columns) + 0.5) * step, low[1] + (np.arange(rows) + 0.5) * step)
    start = device.tip_point + u.reshape(-1, 1) * right + v.reshape(-1, 1) * up + FAR * eye
    picture = np.ones((len(start), 3))
    depth, walking, hits = np.zeros(len(start)), np.arange(len(start)), [np.zeros(0, np.int64)]
    for _ in range(200):
        distance = shape.distance(start[walking] - depth[walking, None] * eye)
        arrived = distance < 0.1 * step
        hits.append(walking[arrived])
        depth[walking] += distance
        walking = walking[~arrived & (depth[walking] < 2 * FAR)]
        if len(walking) == 0:
            break
    hit = np.concatenate(hits)
    points = start[hit] - depth[hit, None] * eye
    normal = np.stack(
        [shape.distance(points + way) - shape.distance(points - way) for way in 0.5 * step * np.eye(3)], axis=1
    )
    normal /= np.maximum(np.linalg.norm(normal, axis=1), 1e-30)[:, None]
    light = unit(eye + 0.5 * up - 0.3 * right)
    colour = np.tile(np.array(INSULATION), (len(hit), 1))
    terminals = device.terminals
    for contact in device.contacts():
        shade = _rgb(CONTACT_COLOURS[terminals.index(contact.terminal) % len(CONTACT_COLOURS)])
        colour[contact.holds(points)] = shade
    picture[hit] = colour * (0.45 + 0.55 * np.clip(normal @ light, 0.0, 1.0))[:, None]
    return picture.reshape(rows, columns, 3)


def _rgb(colour: str) -> Array:
    return np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def write_drawing(sheet: Sheet, path: Path) -> None:
    """Draw the sheet's device into the file ``path``; raises InputError where that cannot be."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError("--out", f"got {path}; give a file name that ends in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise InputError("--out", f"{path} is a folder; give a file name such as {path / sheet.name}.png")
    if not path.parent.is_dir():
        raise InputError("--out", f"the folder {path.parent} does not exist; make it, or give another file")
    if sheet.device is None:
        missing = ", ".join(row.name for row in sheet.rows if row.value == UNKNOWN)
        raise InputError("NAME", f"{sheet.name} has no drawing, for it has no default for {missing}")
    title = sheet.name if sheet.name == sheet.family else f"{sheet.name}: {sheet.title}"
    drawn = draw_device(sheet.device, title, path.suffix.lower())
    try:
        path.write_bytes(drawn)
    except OSError as error:
        raise InputError("--out", f"{path} cannot be written: {error.strerror}; give another file") from None
