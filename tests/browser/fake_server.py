"""A stand-in for the preview's server: speaks its protocol with a made-up liver and a made-up zone.

The page is tested against it without a solver. To look at it: `python tests/browser/fake_server.py --port 8765`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import copy
import json
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

STATIC = Path(__file__).parents[2] / "rfasim" / "preview" / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
MARGIN_COLOURS = ((178, 24, 43), (244, 165, 130), (146, 197, 222), (33, 102, 172))  # rfasim.views.MARGIN_COLOURS


Case = dict[str, Any]


def mm(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


CENTRE = mm(-62, -8, 31)  # of the liver, mm LPS
TUMOUR, TUMOUR_RADIUS = CENTRE + mm(-6.0, 5.0, -3.0), 11.0
LABELS = [
    {"number": 1, "name": "liver", "rgb": [150, 90, 78]},
    {"number": 2, "name": "tumour", "rgb": [0, 181, 216]},
    {"number": 3, "name": "hepatic veins", "rgb": [86, 140, 220]},
    {"number": 4, "name": "portal veins", "rgb": [166, 134, 226]},
]
ZONE_MODELS = [
    {"id": "arrhenius", "title": "Arrhenius, 63 % dead"},
    {"id": "cem43", "title": "CEM43, 240 min"},
    {"id": "t60", "title": "60 °C reached"},
]
DEVICES = [
    {
        "device": "cooled_needle",
        "title": "Cooled needle",
        "drawing": "/api/drawing/cooled_needle.svg",
        "models": [{"model": "cooltip_3", "title": "30 mm tip"}, {"model": "cooltip_2", "title": "20 mm tip"}],
    },
    {
        "device": "umbrella",
        "title": "Umbrella",
        "drawing": "/api/drawing/umbrella.svg",
        "models": [{"model": "leveen_3.5", "title": "35 mm array"}],
    },
    {
        "device": "bipolar_needle",
        "title": "Bipolar needle",
        "drawing": "/api/drawing/bipolar_needle.svg",
        "models": [{"model": "celon_t40", "title": "40 mm tip"}],
    },
]
PROTOCOLS = [
    {"id": "constant_power", "title": "Constant power", "needs_power": True},
    {"id": "cooltip_pulsed", "title": "Impedance-controlled pulses", "needs_power": False},
]


@dataclass
class Options:
    """What a test can ask of the stand-in."""

    seconds: dict[str, float] = field(default_factory=lambda: {"coarse": 0.6, "fine": 0.6})  # how long a run takes
    background: str = "ct"  # or "labels"
    spacing: float = 1.0  # mm of the background's voxels
    name: str = "Phantom, segment VII"
    square_margin: bool = False  # margins on a flat square with bands cut at 0, 5 and 10 mm, and no vessels before it
    electrodes: int = 1
    fail: str = ""  # message of a solver that fails


def mz3(points: np.ndarray, triangles: np.ndarray, colours: np.ndarray | None = None) -> bytes:
    """Return a surface in MZ3, the points given in mm LPS and written RAS."""
    points = (points * [-1, -1, 1]).astype("<f4")
    head = struct.pack("<HHIII", 23117, 3 if colours is None else 7, len(triangles), len(points), 0)
    parts = [head, triangles.astype("<i4").tobytes(), points.tobytes()]
    return b"".join(parts if colours is None else [*parts, colours.astype(np.uint8).tobytes()])


def ellipsoid(centre: np.ndarray, axes: np.ndarray, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Return points and triangles of an ellipsoid; `axes` holds the three half axes as rows."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, size), np.linspace(0, 2 * np.pi, 2 * size), indexing="ij")
    unit = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1).reshape(-1, 3)
    corner = np.arange(size * 2 * size).reshape(size, 2 * size)
    a, b, c, d = (x.ravel() for x in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    return centre + unit @ axes, triangles[:, ::-1] if np.linalg.det(axes) < 0 else triangles


def tube(start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    axis = (end - start) / 2
    frame = across(axis)
    return ellipsoid(start + axis, np.stack([radius * frame[0], radius * frame[1], axis * 1.02]), 20)


def across(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two unit vectors across an axis."""
    first = np.cross(axis, [1.0, 0.2, 0.1])
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    return first, second / np.linalg.norm(second)


VEINS = {
    3: [
        (CENTRE + mm(-40, 10, 30), CENTRE + mm(12, 22, -4), 4.0),
        (CENTRE + mm(12, 22, -4), CENTRE + mm(20, 0, 40), 3.0),
    ],
    4: [
        (CENTRE + mm(45, -5, -25), CENTRE + mm(-12, -8, -12), 4.5),
        (CENTRE + mm(-12, -8, -12), CENTRE + mm(-45, -10, 8), 3.0),
    ],
}


class Anatomy:
    """Labels, a CT made from them, and surfaces."""

    def __init__(self, spacing: float):
        self.low, self.high = CENTRE - mm(75, 65, 60), CENTRE + mm(75, 65, 60)
        count = np.round((self.high - self.low) / spacing).astype(int)
        x, y, z = (self.low[i] + spacing * (np.arange(count[i]) + 0.5) for i in range(3))
        grid = np.meshgrid(x, y, z, indexing="ij", sparse=True)
        self.axes = np.diag([62.0, 48.0, 50.0]) @ np.array([[0.96, 0.2, 0], [-0.2, 0.96, 0.1], [0, -0.1, 1.0]])
        labels = np.zeros(count, np.uint8)
        inverse = np.linalg.inv(self.axes)
        r = sum(
            (sum((g - c) * inverse[j, i] for j, (g, c) in enumerate(zip(grid, CENTRE, strict=True)))) ** 2
            for i in range(3)
        )
        labels[r < 1] = 1
        for number, branches in VEINS.items():
            for start, end, radius in branches:
                axis = end - start
                along = sum((g - s) * a for g, s, a in zip(grid, start, axis, strict=True)) / (axis @ axis)
                along = np.clip(along, 0, 1)
                distance = sum((g - s - along * a) ** 2 for g, s, a in zip(grid, start, axis, strict=True))
                labels[(distance < radius**2) & (labels > 0)] = number
        labels[sum((g - c) ** 2 for g, c in zip(grid, TUMOUR, strict=True)) < TUMOUR_RADIUS**2] = 2
        noise = np.random.default_rng(3).normal(0, 9, count).astype(np.float32)
        houndsfield = np.array([-60, 62, 38, 150, 165], np.float32)[labels] + noise
        # arrays run to the left and the back here, NIfTI's to the right-anterior-superior: affine with negative steps
        affine = np.diag([-spacing, -spacing, spacing, 1.0])
        affine[:3, 3] = np.array([-x[0], -y[0], z[0]])
        self.files = {
            "labels": nibabel.Nifti1Image(labels, affine).to_bytes(),
            "ct": nibabel.Nifti1Image(houndsfield.astype(np.int16), affine).to_bytes(),
        }

    def surface(self, name: str) -> bytes:
        if name == "liver":
            return mz3(*ellipsoid(CENTRE, self.axes))
        if name == "tumour":
            return mz3(*ellipsoid(TUMOUR, np.eye(3) * TUMOUR_RADIUS))
        if name == "square":
            return mz3(*margin_square())
        if name == "margin":
            return mz3(*margin_sphere())
        branches = [tube(*branch) for branch in VEINS[3 if name == "hepatic" else 4]]
        shift = np.cumsum([0, *(len(points) for points, _ in branches)])
        return mz3(
            np.concatenate([p for p, _ in branches]),
            np.concatenate([t + s for (_, t), s in zip(branches, shift, strict=False)]),
        )


def margin_square() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a square of 40 mm facing left and right, cut in height at margins of 0, 5 and 10 mm (z = margin - 5)."""
    points, triangles, colours = [], [], []
    for low, high, colour in zip((-15, 0, 5, 10), (0, 5, 10, 25), MARGIN_COLOURS, strict=True):
        first = len(points)
        for y, z in ((-20, low), (20, low), (20, high), (-20, high)):
            points.append(TUMOUR + mm(0, y, z - 5.0))
            colours.append((*colour, 255))
        triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
        triangles += [(first, first + 2, first + 1), (first, first + 3, first + 2)]
    return np.array(points), np.array(triangles), np.array(colours)


def margin_sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tumour's surface, one colour a triangle, by a made-up margin that grows from one side."""
    points, triangles = ellipsoid(TUMOUR, np.eye(3) * TUMOUR_RADIUS, 60)
    corners = points[triangles]
    margin = 5.5 + 0.7 * (corners.mean(1) - TUMOUR) @ np.array([0.6, -0.6, 0.5])
    number = np.digitize(margin, [0, 5, 10])
    colours = np.repeat(np.c_[np.array(MARGIN_COLOURS)[number], np.full(len(number), 255)], 3, axis=0)
    return corners.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), colours


SCALES = {"arrhenius": 1.0, "cem43": 1.08, "t60": 0.93}


def zone_axes(case: Case, model: str, level: str, pringle: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and half axes (mm, rows) of the made-up zone at its end."""
    electrode = case["electrodes"][0]
    target, entry = np.array(electrode["target"]), np.array(electrode["entry"])
    axis = (entry - target) / max(np.linalg.norm(entry - target), 1e-6)
    scale = SCALES[model] * (case["power_w"] / 60) ** (1 / 3)
    scale *= (1.22 if pringle else 1) * (1.02 if level == "coarse" else 1)
    first, second = across(axis)
    return target + 8 * axis, scale * np.stack([14 * first, 14 * second, 20 * axis])


def death_times(case: Case, model: str, level: str, pringle: bool, now: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds at which voxels die (x fastest) and the RAS affine of their grid."""
    centre, axes = zone_axes(case, model, level, pringle)
    spacing = 1.6 if level == "coarse" else 1.0
    half = int(np.ceil(34 / spacing))
    step = spacing * np.arange(-half, half + 1)
    middle = np.array(case["electrodes"][0]["target"])
    offset = np.stack(np.meshgrid(*(middle[i] + step for i in range(3)), indexing="ij"), -1) - centre
    r = np.linalg.norm(offset @ np.linalg.inv(axes), axis=-1)
    end = 60.0 * case["minutes"]
    seconds = np.ceil(10 + (end - 10) * r**3)
    values = np.where((r <= 1) & (seconds <= now), np.clip(seconds, 1, 65534), 65535).astype("<u2")
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[:3, 3] = [-middle[0] - step[0], -middle[1] - step[0], middle[2] + step[0]]
    return np.transpose(values, (2, 1, 0)), affine


def packed(head: dict[str, Any], values: np.ndarray) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + values.tobytes()


class Session:
    """One connected page."""

    def __init__(self, options: Options, anatomy: Anatomy):
        self.options, self.anatomy = options, anatomy
        electrodes = [
            {
                "device": "cooled_needle",
                "model": "cooltip_3",
                "title": "Cooled needle, 30 mm tip",
                "entry": (TUMOUR + mm(-38 + 4 * i, -42 + 6 * i, 22)).tolist(),
                "target": (TUMOUR + mm(8.0 * i, 0, 0)).tolist(),
            }
            for i in range(options.electrodes)
        ]
        self.case: Case = {
            "name": options.name,
            "electrodes": electrodes,
            "protocol": "constant_power",
            "power_w": 60.0,
            "minutes": 12.0,
            "power_applies": True,
            "pringle": False,
            "pringle_possible": True,
            "vessels": True,
            "vessels_possible": True,
            "zone_model": "arrhenius",
        }
        self.past: list[Case] = []
        self.future: list[Case] = []
        self.run, self.compare = 0, False
        self.results: dict[str, dict[str, Any] | bytes] = {}
        self.uploaded: dict[str, str] = {}
        self.task: asyncio.Task[None] | None = None
        self.socket: WebSocket | None = None

    async def say_again(self) -> None:
        """Tell a page that was loaded again the newest results."""
        for message in list(self.results.values()):
            await (self.say(**message) if isinstance(message, dict) else self.say_bytes(message))

    async def say(self, **event: Any) -> None:
        if event["event"] == "done":
            self.results[f"done {event['side']} {event['level']}"] = event
        if self.socket is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.send_text(json.dumps(event))

    async def say_bytes(self, data: bytes) -> None:
        if self.socket is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.send_bytes(data)

    async def tell_scene(self) -> None:
        kind = self.options.background
        surfaces = [
            ("liver", "organ", [201, 142, 122, 255]),
            ("hepatic", "vessels", [86, 140, 220, 255]),
            ("portal", "vessels", [166, 134, 226, 255]),
            ("tumour", "tumour", [0, 181, 216, 255]),
        ]
        await self.say(
            event="scene",
            key="k1",
            labels=LABELS,
            centre=TUMOUR.tolist(),
            background={
                "kind": kind,
                "url": "/api/volume/background.nii?key=k1",
                "window": [60, 350] if kind == "ct" else None,
            },
            labels_url="/api/volume/labels.nii?key=k1" if kind == "ct" else None,
            box=[self.anatomy.low.tolist(), self.anatomy.high.tolist()],
            surfaces=[
                {"id": n, "name": n, "kind": k, "url": f"/api/surface/{n}.mz3?key=k1", "rgba": c}
                for n, k, c in surfaces
                if k != "vessels" or not self.options.square_margin
            ],
        )

    async def tell_case(self) -> None:
        case = copy.deepcopy(self.case)
        for number, electrode in enumerate(case["electrodes"]):
            electrode["tip"] = electrode["target"]
            electrode["shaft"] = [electrode["entry"], electrode["target"]]
            electrode["url"] = f"/api/device/{number}.mz3?pose={hash(str(electrode['entry'] + electrode['target']))}"
        choices = {"devices": DEVICES, "protocols": PROTOCOLS, "zone_models": ZONE_MODELS}
        await self.say(event="case", case=case, choices=choices, can_undo=bool(self.past), can_redo=bool(self.future))

    async def answer(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "set":
                refusal = self.change(message["set"])
                if refusal:
                    await self.say(event="refused", message=refusal, lines=["electrodes.0.target"])
                    return
                await self.tell_case()
                if message.get("run"):
                    self.start(self.run_case())
            case "run":
                self.start(self.run_case())
            case "cancel":
                if self.task is not None and not self.task.done():
                    self.task.cancel()
                    await self.say(event="cancelled", run=self.run)
            case "undo" | "redo":
                source, sink = (self.past, self.future) if message["do"] == "undo" else (self.future, self.past)
                if source:
                    sink.append(self.case)
                    self.case = source.pop()
                await self.tell_case()
            case "compare":
                self.compare = message["on"]
                if self.compare:
                    self.start(self.run_case())
            case "uncertainty":
                self.start(self.estimate(message["runs"]))

    def change(self, changes: dict[str, Any]) -> str | None:
        case = copy.deepcopy(self.case)
        changes = dict(changes)
        electrode = case["electrodes"][changes.pop("electrode", 0)]
        for name, value in changes.items():
            (electrode if name in ("entry", "target", "device", "model") else case)[name] = value
        if "device" in changes and "model" not in changes:
            electrode["model"] = next(d for d in DEVICES if d["device"] == changes["device"])["models"][0]["model"]
        for e in case["electrodes"]:
            if not np.all((np.array(e["target"]) > self.anatomy.low) & (np.array(e["target"]) < self.anatomy.high)):
                return "The target lies outside the imaged region."
        if not 0 < case["power_w"] <= 200:
            return f"power: {case['power_w']} W is not possible; allowed are 1 to 200 W."
        case["power_applies"] = next(p for p in PROTOCOLS if p["id"] == case["protocol"])["needs_power"]
        self.past.append(self.case)
        self.future.clear()
        self.case = case
        return None

    def start(self, work: Any) -> None:
        if self.task is not None:
            self.task.cancel()
        self.task = asyncio.create_task(work)

    async def run_case(self) -> None:
        self.run += 1
        self.results.clear()
        run, case = self.run, copy.deepcopy(self.case)
        sides = ["a", "b"] if self.compare else ["a"]
        for level in ("coarse", "fine"):
            for side in sides:
                await self.run_side(run, case, side, level)

    async def run_side(self, run: int, case: Case, side: str, level: str) -> None:
        pringle, end, steps = case["pringle"] != (side == "b"), 60 * case["minutes"], 12
        await self.say(event="started", run=run, side=side, level=level, minutes=case["minutes"])
        if self.options.fail:
            await asyncio.sleep(0.1)
            await self.say(event="failed", run=run, side=side, level=level, message=self.options.fail)
            return
        _, axes = zone_axes(case, case["zone_model"], level, pringle)
        full = 4 / 3 * np.pi * abs(np.linalg.det(axes)) / 1000
        history: dict[str, list[float]] = {}
        for step in range(1, steps + 1):
            await asyncio.sleep(self.options.seconds[level] / steps)
            now = end * step / steps
            row = {
                "time_s": now,
                "power_w": case["power_w"] * (0.4 if step == 8 else 1),
                "impedance_ohm": 92 - 20 * min(1, step / 4) + (60 if step == 8 else 2 * step),
                "max_temperature_c": 37 + 68 * (1 - np.exp(-step / 2)),
                "zone_volume_ml": full * now / end,
            }
            for name, value in row.items():
                history.setdefault(name, []).append(value)
            await self.say(event="frame", run=run, side=side, level=level, share=step / steps, **row)
            await self.send_zone(run, case, side, level, case["zone_model"], now)
        margin = "square" if self.options.square_margin else "margin"
        await self.say(
            event="done",
            run=run,
            side=side,
            level=level,
            seconds=self.options.seconds[level],
            history=history,
            numbers=[
                {"name": "Zone", "value": f"{full:.1f} mL"},
                {"name": "Tumour covered", "value": "97 %"},
                {"name": "Smallest margin", "value": "-1.8 mm"},
                {"name": "Residual tumour", "value": "0.4 mL"},
                {"name": "Delivered energy", "value": "41.2 kJ"},
            ],
            words=[
                "The tumour is covered to 97 %.",
                "The smallest margin is -1.8 mm, on the side of the right hepatic vein.",
            ],
            verdict="complete" if pringle else "incomplete",
            difference=None if level == "coarse" else {"mean_mm": 0.4, "largest_mm": 1.6, "volume_percent": -2.1},
            tumours=[{"id": "tumour", "url": f"/api/surface/{margin}.mz3?run={run}"}],
        )
        for model in ZONE_MODELS:
            await self.send_zone(run, case, side, level, model["id"], end)

    async def send_zone(self, run: int, case: Case, side: str, level: str, model: str, now: float) -> None:
        values, affine = death_times(case, model, level, case["pringle"] != (side == "b"), now)
        head = {
            "event": "zone",
            "run": run,
            "side": side,
            "level": level,
            "model": model,
            "time_s": now,
            "dim": values.shape[::-1],
            "affine": affine.ravel().tolist(),
        }
        self.results[f"zone {side} {level} {model}"] = packed(head, values)
        await self.say_bytes(packed(head, values))

    async def estimate(self, runs: int) -> None:
        values, affine = death_times(self.case, "cem43", "fine", self.case["pringle"], 1e9)
        for done in range(1, runs + 1):
            await asyncio.sleep(self.options.seconds["fine"] / runs)
            chance = np.where(values < 65535, np.clip(135 - 100 * (values / (60 * self.case["minutes"])), 0, 100), 0)
            head = {
                "event": "probability",
                "done": done,
                "of": runs,
                "dim": values.shape[::-1],
                "affine": affine.ravel().tolist(),
            }
            await self.say_bytes(packed(head, chance.astype(np.uint8)))
            await self.say(event="uncertainty", done=done, of=runs)
        await self.say(
            event="uncertainty",
            done=runs,
            of=runs,
            volumes={"in_95": 11.9, "in_50": 16.4, "in_5": 21.7},
            words=["In 19 of 20 runs the tumour is covered to at least 91 %."],
        )


class Headers:
    """Put the strict policy on every answer, as the real server does."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, guarded if scope["type"] == "http" else send)


class FakeServer:
    """The stand-in on a free port, in a thread of its own."""

    def __init__(self, options: Options | None = None, port: int = 0):
        self.options = options or Options()
        self.anatomy = Anatomy(self.options.spacing)
        self.session = Session(self.options, self.anatomy)
        self.sockets: set[WebSocket] = set()
        routes = [
            Route("/", lambda request: FileResponse(STATIC / "index.html")),
            Route("/favicon.ico", lambda request: Response(status_code=404)),
            Route("/api/volume/{name}", self.volume),
            Route("/api/surface/{name}", lambda r: binary(self.anatomy.surface(r.path_params["name"].split(".")[0]))),
            Route("/api/device/{number}", self.device),
            Route("/api/zone/{side}/{model}", self.zone),
            Route("/api/drawing/{name}", self.drawing),
            Route(
                "/api/case.yaml",
                lambda request: Response(
                    "name: made up\n",
                    media_type="application/yaml",
                    headers={"Content-Disposition": 'attachment; filename="case.yaml"'},
                ),
            ),
            Route("/api/report.html", lambda request: Response("<title>Report</title>", media_type="text/html")),
            Route("/api/case", self.open_case, methods=["POST"]),
            Route("/api/upload", self.upload, methods=["POST"]),
            Route("/api/anatomy", self.set_anatomy, methods=["POST"]),
            WebSocketRoute("/ws", self.talk),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        app = Headers(Starlette(routes=routes))
        config = uvicorn.Config(
            app, host="127.0.0.1", port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> FakeServer:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}/"

    def reset(self, **changes: Any) -> None:
        """Start over: a fresh session, with changed options."""
        self.options = Options(**{"spacing": self.options.spacing, **changes})
        self.session = Session(self.options, self.anatomy)

    def hang_up(self) -> None:
        """Drop all connections, as a server that is stopped does."""
        for socket in list(self.sockets):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may be gone already
                asyncio.run_coroutine_threadsafe(socket.close(1012), self.loop).result(5)

    async def volume(self, request: Request) -> Response:
        labels = "labels" in request.path_params["name"] or self.options.background == "labels"
        return binary(self.anatomy.files["labels" if labels else "ct"])

    async def device(self, request: Request) -> Response:
        electrode = self.session.case["electrodes"][int(request.path_params["number"].split(".")[0])]
        return binary(mz3(*tube(np.array(electrode["target"]), np.array(electrode["entry"]), 0.9)))

    async def zone(self, request: Request) -> Response:
        model, share = (
            request.path_params["model"].split(".")[0],
            float(request.query_params["t"]) / (60 * self.session.case["minutes"]),
        )
        if share <= 0.02:
            return Response(status_code=204)
        pringle = self.session.case["pringle"] != (request.path_params["side"] == "b")
        centre, axes = zone_axes(self.session.case, model, "fine", pringle)
        return binary(mz3(*ellipsoid(centre, axes * min(1, share) ** (1 / 3))))

    async def drawing(self, request: Request) -> Response:
        return Response(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 60"><rect width="240" height="60" fill="#fff"/>'
            '<path d="M10 30H150" stroke="#00a08a" stroke-width="5"/>'
            '<path d="M150 30H230" stroke="#9aa3ab" stroke-width="5"/>'
            "</svg>",
            media_type="image/svg+xml",
        )

    async def open_case(self, request: Request) -> Response:
        text = (await request.body()).decode()
        if request.headers.get("x-rfasim") != "1" or "name:" not in text:
            return JSONResponse({"message": "This is not a case.", "lines": ["name: missing"]}, 400)
        self.session.case["name"] = text.split("name:")[1].strip()
        await self.session.tell_case()
        return JSONResponse({})

    async def upload(self, request: Request) -> Response:
        name, body = request.query_params["name"], await request.body()
        if b"bomb" in body:
            return JSONResponse({"message": f"{name}: 1000000000 voxels are more than the 300000000 allowed."}, 413)
        self.session.uploaded[name] = "labels" if "label" in name else "ct"
        return JSONResponse(
            {
                "what": self.session.uploaded[name],
                "roles": ["ignore", "liver", "tumour", "hepatic veins", "portal veins"],
                "labels": [
                    {"number": 1, "name": "liver", "role": "liver"},
                    {"number": 7, "name": "<b>lesion</b>", "role": "tumour"},
                ],
            }
        )

    async def set_anatomy(self, request: Request) -> Response:
        self.anatomy_posted = await request.json()
        await self.session.say(event="note", message="Anatomy read.")
        await self.session.tell_scene()
        return JSONResponse({})

    async def talk(self, socket: WebSocket) -> None:
        self.loop = asyncio.get_running_loop()
        await socket.accept()
        self.sockets.add(socket)
        session = self.session
        session.socket = socket
        await session.tell_scene()
        await session.tell_case()
        await session.say_again()
        try:
            while True:
                await session.answer(json.loads(await socket.receive_text()))
        except (WebSocketDisconnect, RuntimeError):
            self.sockets.discard(socket)
            if session.socket is socket:
                session.socket = None


def binary(data: bytes) -> Response:
    return Response(data, media_type="application/octet-stream")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--background", default="ct")
    parser.add_argument("--spacing", type=float, default=1.0)
    chosen = parser.parse_args()
    with FakeServer(Options(background=chosen.background, spacing=chosen.spacing), chosen.port) as server:
        print(server.url)
        server.thread.join()
