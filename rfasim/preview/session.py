"""One user: the case, two solver processes, what came out; nothing of it is seen by another session."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rfasim.case import Case
from rfasim.damage import CRITERIA
from rfasim.errors import InputError
from rfasim.preview import uploads
from rfasim.preview.draft import Draft
from rfasim.preview.work import RESULT, Band, Inspect, Job, Look, serve, surface_at
from rfasim.tables import strict_json
from rfasim.threads import ONE_THREAD

Message = str | bytes
Worker = Literal["coarse", "fine"]
FEWEST, MOST = 8, 256
"""runs of an uncertainty band"""
KEPT = 2
"""runs whose files are kept, beside the newest"""
MOST_UPLOADS = 2 * 2**30
"""bytes of all files that one session holds"""


def packed(header: dict[str, Any], data: bytes) -> bytes:
    """A binary message: the length of the header, the header as JSON, the data."""
    head = json.dumps(strict_json(header)).encode()
    return struct.pack("<I", len(head)) + head + data


class Solver:
    """A solver process that is started when it is first needed, and again after it has died."""

    def __init__(self, name: str, receive: Callable[[dict[str, Any], bytes | None], None]) -> None:
        self.name, self._receive = name, receive
        self._process: Any = None
        self._pipe: Any = None
        self._lock = threading.Lock()

    def send(self, job: Any) -> None:
        """Hand over a job; what was being done ends at its next step. None only ends it."""
        with self._lock:
            if self._process is None or not self._process.is_alive():
                if job is None:
                    return
                self._start()
            try:
                self._pipe.send(job)
            except (BrokenPipeError, OSError):
                self._start()
                self._pipe.send(job)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        for name, number in ONE_THREAD.items():  # two solvers share the machine; they take over what is set here
            os.environ.setdefault(name, number)
        process = context.Process(target=serve, args=(theirs,), daemon=True, name=f"rfasim {self.name}")
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        threading.Thread(target=self._listen, args=(process, ours), daemon=True).start()

    def _listen(self, process: Any, pipe: Any) -> None:
        while True:
            try:
                event, data = pipe.recv()
            except (EOFError, OSError):
                break
            self._receive(event, data)
        process.join(timeout=5)
        if self._pipe is pipe:  # it was not us who closed it
            code = process.exitcode
            how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
            told = f"the solver process ended {how}; the next run starts a new one. Was there enough memory?"
            self._receive({"event": "died", "level": self.name, "message": told}, None)

    def close(self) -> None:
        """End the process; when this returns it writes nothing any more."""
        with self._lock:
            pipe, process, self._pipe, self._process = self._pipe, self._process, None, None
            if pipe is not None:
                pipe.close()
            if process is not None:
                process.terminate()
                process.join(timeout=2.0)
                if process.is_alive():
                    process.kill()
                    process.join(timeout=2.0)


class Session:
    """What one browser works with. ``emit`` takes its messages, in the event loop's thread."""

    def __init__(self, draft: Draft | None, loop: asyncio.AbstractEventLoop, scan: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rfasim-preview-"))
        self.files = self.folder / "files"
        self.files.mkdir()
        self.draft, self.scan, self._loop = draft, scan, loop
        self.emit: Callable[[Message], None] | None = None
        self.scene: dict[str, Any] | None = None
        self.key = 0
        self._numbers = itertools.count(1)
        self._run = 0
        self._sides: dict[str, Case] = {}
        self._folders: dict[tuple[str, str], Path] = {}
        self._report: Path | None = None
        self._latest: dict[str, Message] = {}
        self._inspecting: asyncio.Future[dict[str, Any]] | None = None
        self._band: _Band | None = None
        self._queue: list[tuple[str, Worker]] = []
        self._comparing = False
        self._looking = False  # whether the coarse solver works for the newest run
        self._ahead: _Ahead | None = None
        self._closed = False
        self.solvers: dict[Worker, Solver] = {
            name: Solver(name, functools.partial(self._from_solver, name)) for name in ("coarse", "fine")
        }

    # ------------------------------------------------------------------------------------------------ lifecycle

    def start(self) -> None:
        """Prepare the scene, and the solver for its first run."""
        if self.draft is None:
            self.draft = Draft(uploads.phantom(self.files), self.files)
        self._look()

    def close(self) -> None:
        """End the solvers and forget the files."""
        self._closed = True
        for solver in self.solvers.values():
            solver.close()
        if self._inspecting is not None:
            self._inspecting.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _look(self) -> None:
        assert self.draft is not None
        self.key += 1
        self.scene = None
        folder = self.folder / f"scene-{self.key}"
        scan = None if self.scan is None else str(self.scan)
        self._say({"event": "busy", "message": "reading the anatomy"})
        case = self.draft.case.model_dump(mode="json")
        self.solvers["fine"].send(Look(case, str(self.draft.base), str(folder), scan))

    def greet(self) -> None:
        """Tell a page that has just connected everything there is."""
        if self.draft is None:
            return
        self._say(self._case_event())
        if self.scene is not None:
            self._say(self.scene)
        else:
            self._say({"event": "busy", "message": "reading the anatomy"})
        for message in self._latest.values():
            self._put(message)

    # --------------------------------------------------------------------------------------------- what is asked

    def ask(self, message: dict[str, Any]) -> None:
        """Do what the page asks; raises InputError for what is not allowed."""
        what = message.get("do")
        if self.draft is None:
            raise InputError("do", "nothing is open yet")
        if what == "set":
            changes = message.get("set")
            if not isinstance(changes, dict):
                raise InputError("set", "is a group of changes")
            self.draft.change(changes)
            self._changed(run=bool(message.get("run")), of=changes)
        elif what in ("undo", "redo"):
            getattr(self.draft, what)()
            self._changed(run=False, of={})
        elif what == "run":
            self.run()
        elif what == "cancel":
            self.cancel()
        elif what == "compare":
            self._comparing = bool(message.get("on"))
            if self._comparing:
                self.run()
        elif what == "head_start":
            changes = message.get("set")
            if isinstance(changes, dict):
                with contextlib.suppress(InputError):  # it is said when the needle is let go there
                    self._start_ahead(self.draft.changed(changes)[1])
        elif what == "uncertainty":
            runs = message.get("runs")
            if not isinstance(runs, int) or not FEWEST <= runs <= MOST:
                raise InputError("runs", f"got {runs!r}; give a number from {FEWEST} to {MOST}")
            self._start_band(runs)
        else:
            raise InputError("do", f"got {what!r}")

    def refuse(self, message: str, *lines: str) -> None:
        """Tell the page that something is not allowed."""
        self._say({"event": "refused", "message": message, "lines": list(lines)})

    def _changed(self, *, run: bool, of: dict[str, Any]) -> None:
        self._say(self._case_event())
        if "vessels" in of:
            self._look()
        if run:
            self.run()

    def run(self) -> None:
        """Run the case as it is: coarse at once, then fine; what was running is dropped."""
        assert self.draft is not None
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.case != self.draft.case:
            ahead = None
        self._band = None
        self._looking = False
        self._run = next(self._numbers) if ahead is None else ahead.run
        self._latest.clear()
        self._sides = {"a": self.draft.case}
        if self._comparing:
            self._sides["b"] = self.draft.with_pringle_switched()
        self._forget_old_runs()
        self.solvers["fine"].send(None)
        levels: tuple[Worker, ...] = ("coarse", "fine")
        self._queue = [(side, level) for level in levels for side in self._sides]
        if ahead is None:
            self._next("coarse")
            return
        self._queue.remove(("a", "coarse"))
        self._started("a", "coarse")
        for event, data in ahead.events:
            self._take("coarse", event, data)

    def _start_ahead(self, case: Case) -> None:
        """Begin with the quick look at what the case may be next: the needle is held still there, and not let go yet.

        Nobody is told before that becomes the case and is to be run. What the page is waiting for is not disturbed.
        """
        if self._looking or self._band is not None or (self._ahead is not None and self._ahead.case == case):
            return
        self._ahead = _Ahead(next(self._numbers), case)
        self.solvers["coarse"].send(self._job(self._ahead.run, "a", "coarse", case))

    def _next(self, level: Worker) -> None:
        """Start the next job of a level, or the first of the fine ones."""
        waiting = [one for one in self._queue if one[1] == level]
        if not waiting:
            if level == "coarse":
                self._next("fine")
            return
        side = waiting[0][0]
        self._queue.remove(waiting[0])
        self._started(side, level)
        against = self._folders.get((side, "coarse")) if level == "fine" else None
        self.solvers[level].send(self._job(self._run, side, level, self._sides[side], against))

    def _started(self, side: str, level: Worker) -> None:
        self._folders[side, level] = self._folder_of(self._run, side, level)
        self._looking = self._looking or level == "coarse"
        started = {"event": "started", "run": self._run, "side": side, "level": level}
        self._keep(started, json.dumps(started | {"minutes": self._sides[side].generator.duration / 60}))

    def _folder_of(self, run: int, side: str, level: Worker) -> Path:
        return self.folder / f"run-{run}" / f"{side}-{level}"

    def _job(self, run: int, side: str, level: Worker, case: Case, against: Path | None = None) -> Job:
        assert self.draft is not None
        models = (case.zone.criterion, *(name for name in CRITERIA if name != case.zone.criterion))
        data, folder = case.model_dump(mode="json"), self._folder_of(run, side, level)
        compared = None if against is None else str(against)
        return Job(run, side, level, data, str(self.draft.base), str(folder), models, compared)

    def cancel(self) -> None:
        """End what is running."""
        self._queue = []
        self._looking, self._ahead = False, None
        band, self._band = self._band, None
        for solver in self.solvers.values():
            solver.send(None)
        run, self._run = self._run, next(self._numbers)
        self._say({"event": "cancelled", "run": run if band is None else band.run})

    def _forget_old_runs(self) -> None:
        self._folders.clear()
        old = sorted(self.folder.glob("run-*"), key=lambda path: int(path.name[4:]))
        for path in old[: max(len(old) - KEPT, 0)]:
            if self._report is None or path not in self._report.parents:
                shutil.rmtree(path, ignore_errors=True)

    # ---------------------------------------------------------------------------------------------- uncertainty

    def _start_band(self, runs: int) -> None:
        assert self.draft is not None
        self._queue = []
        self._looking, self._ahead = False, None
        self._run = next(self._numbers)
        self._band = _Band(self._run, runs)
        case, base = self.draft.case.model_dump(mode="json"), str(self.draft.base)
        for k, name in enumerate(self.solvers):
            self.solvers[name].send(Band(self._run, case, base, tuple(range(k, runs, len(self.solvers))), runs))
        self._say({"event": "uncertainty", "done": 0, "of": runs})

    # ------------------------------------------------------------------------------------------- what comes back

    def _from_solver(self, name: Worker, event: dict[str, Any], data: bytes | None) -> None:
        """Called in a listening thread: what follows is the event loop's."""
        if not self._closed:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._take, name, event, data)

    def _take(self, name: Worker, event: dict[str, Any], data: bytes | None) -> None:
        what = event["event"]
        if what == "scene":
            self._take_scene(event)
        elif what == "inspected" or event.get("job") == "Inspect":
            self._answer(event)
        elif what == "died":
            self._answer(event)
            self._queue = []
            self._looking, self._ahead = False, None
            self._say({"run": self._run, "side": "a"} | event | {"event": "failed"})
        elif event.get("job") == "Look":
            self._say({"event": "refused", "message": event["message"], "lines": []})
        elif self._ahead is not None and event.get("run") == self._ahead.run:
            self._ahead.events.append((event, data))
        elif event.get("run") != self._run:
            pass  # of a run that nobody waits for any more
        elif what == "band_run":
            assert data is not None
            self._take_band_run(event, data)
        elif what == "zone":
            assert data is not None
            self._keep(event, packed(event, data))
        elif what == "done":
            place = f"{event['side']}/{event['level']}"
            event["tumours"] = [
                {"id": one["id"], "url": f"/api/margin/{place}/{one['id']}.mz3?run={self._run}"}
                for one in event["tumours"]
            ]
            if event["level"] == "fine" and event["side"] == "a":
                self._report = self._folders["a", "fine"] / RESULT
            self._keep(event, json.dumps(event))
            self._looking = self._looking and any(level == "coarse" for _, level in self._queue)
            self._next(name)
        elif what == "failed":
            self._keep(event, json.dumps(event))
            self._queue = []
            self._looking = False
        else:
            self._say(event)

    def _keep(self, event: dict[str, Any], message: Message) -> None:
        """Send, and keep for a page that is loaded again."""
        key = f"{event['event']} {event.get('side')} {event.get('level')} {event.get('model')}"
        self._latest[key] = message
        self._put(message)

    def _take_scene(self, event: dict[str, Any]) -> None:
        background = event["background"] | {"url": f"/api/volume/background.nii?key={self.key}"}
        surfaces = [one | {"url": f"/api/surface/{one['id']}.mz3?key={self.key}"} for one in event["surfaces"]]
        labels = f"/api/volume/labels.nii?key={self.key}" if background["kind"] == "ct" else None
        self.scene = event | {"key": self.key, "background": background, "surfaces": surfaces, "labels_url": labels}
        self._say(self.scene)
        self._say({"event": "note", "message": "ready"})

    def _take_band_run(self, event: dict[str, Any], data: bytes) -> None:
        band = self._band
        if band is None:
            return
        band.add(event, data)
        told = {"event": "uncertainty", "done": band.done, "of": band.of}
        if band.done == band.of:
            told |= band.told()
        header = {"event": "probability", "done": band.done, "of": band.of} | {k: event[k] for k in ("dim", "affine")}
        self._put(packed(header, band.per_cent()))
        self._say(told)

    def _answer(self, event: dict[str, Any]) -> None:
        """Hand what an uploaded file is to whoever waits for it."""
        waiting, self._inspecting = self._inspecting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(event)

    def _case_event(self) -> dict[str, Any]:
        assert self.draft is not None
        case = self.draft.as_data()
        for index, electrode in enumerate(case["electrodes"]):
            electrode["url"] = f"/api/device/{index}.mz3?pose={self.draft.version}"
        return {"event": "case", "case": case, "can_undo": self.draft.can_undo, "can_redo": self.draft.can_redo,
                "choices": self.draft.choices()}  # fmt: skip

    def _say(self, event: dict[str, Any]) -> None:
        self._put(json.dumps(strict_json(event)))

    def _put(self, message: Message) -> None:
        if self.emit is not None:
            self.emit(message)

    # ------------------------------------------------------------------------------------------------- for HTTP

    def open_text(self, text: str) -> None:
        """Open a case that was given as text; its files are those of the session. Raises InputError."""
        self._open(Draft.of_text(text, self._base))

    @property
    def _base(self) -> Path:
        """Where the files of a case lie: beside the case that was opened at the start, or what was dropped."""
        return self.files if self.draft is None else self.draft.base

    def _open(self, draft: Draft) -> None:
        self.cancel()
        self.draft = draft
        self._latest.clear()
        self._report = None
        self._say(self._case_event())
        self._look()

    async def inspect(self, path: Path) -> dict[str, Any]:
        """What an uploaded file is; raises InputError."""
        waiting: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._inspecting = waiting
        self.solvers["fine"].send(Inspect(str(path)))
        found = await asyncio.wait_for(waiting, timeout=120)
        if found["event"] != "inspected":
            told = str(found["message"]).removeprefix(f"{path}: ")
            raise InputError(path.name, told.replace(f"{path.parent}/", ""))  # where the server keeps it says nothing
        return found

    def use_scan(self, path: Path) -> None:
        """Show a scan behind the anatomy."""
        self.scan = path
        self._look()

    async def use_labels(self, name: str, roles: dict[str, str]) -> None:
        """A patient from the labels of an uploaded file. Raises InputError."""
        path = self.files / uploads.safe_name(name)
        if not path.is_file():
            raise InputError(name[:100], "was not given; drop it on the page first")
        data = await asyncio.to_thread(uploads.case_of, path, roles)
        self._open(Draft(data, self.files))

    def zone_surface(self, side: str, model: str, at: float) -> Any:
        """Triangles of the newest zone of a side at a time [s]; None where there is none yet."""
        if model not in CRITERIA:
            raise InputError("model", f"'{model[:50]}' is not known; there are: {', '.join(CRITERIA)}")
        for level in ("fine", "coarse"):
            folder = self._folders.get((side, level))
            if folder is not None and f"done {side} {level} None" in self._latest:
                return surface_at(folder, model, at)
        for level in ("fine", "coarse"):
            folder = self._folders.get((side, level))
            if folder is not None and (folder / "levels" / "times.npy").is_file():
                return surface_at(folder, model, at)
        return None

    def margin_file(self, side: str, level: str, tumour: str) -> Path | None:
        """The coloured surface of a tumour."""
        folder = self._folders.get((side, level))
        path = None if folder is None else folder / f"margin_{tumour}.mz3"
        return path if path is not None and path.is_file() else None

    def report(self) -> bytes:
        """The report of the newest refined run; raises InputError when there is none."""
        from rfasim.report import as_html, make_report
        from rfasim.scene import read_scene

        if self._report is None or not (self._report / "summary.json").is_file():
            raise InputError("report", "there is no refined run yet; let one come to its end")
        scan = None
        if self.scan is not None:
            from rfasim.anatomy import read_scan

            scan = read_scan(self.scan)
        return as_html(make_report(read_scene(self._report), scan)).encode()


@dataclass
class _Ahead:
    """A quick look that was begun before it was asked for, and what the solver has told of it."""

    run: int
    case: Case
    events: list[tuple[dict[str, Any], bytes | None]] = field(default_factory=list)


class _Band:
    """How often each voxel was ablated."""

    def __init__(self, run: int, of: int) -> None:
        self.run, self.of, self.done = run, of, 0
        self._count: Any = None
        self._volumes: list[float] = []

    def add(self, event: dict[str, Any], data: bytes) -> None:
        """One more zone."""
        zone = np.frombuffer(data, np.uint8).astype(np.uint16)
        self._count = zone if self._count is None else self._count + zone
        self._volumes.append(event["volume_ml"])
        self.done += 1

    def per_cent(self) -> bytes:
        """Of each voxel, in how many of the runs so far."""
        return bytes(np.rint(100.0 * self._count / self.done).astype(np.uint8).tobytes())

    def told(self) -> dict[str, Any]:
        """The volumes that are ablated in at least 95, 50 and 5 % of the runs [ml], and what that means."""
        share = self._count / self.done
        sure, half, ever = (float((share >= level - 1e-9).sum()) * 1e-3 for level in (0.95, 0.5, 0.05))
        low, high = np.percentile(self._volumes, [5, 95])
        return {
            "volumes": {"in_95": round(sure, 2), "in_50": round(half, 2), "in_5": round(ever, 2)},
            "words": [
                f"Over the literature's ranges of tissue data the zone has {low:.1f} to {high:.1f} mL "
                "(90 % of the runs).",
                f"{sure:.1f} mL is ablated in at least 95 % of the runs, {half:.1f} mL in half, {ever:.1f} mL in 5 %.",
            ],
        }
