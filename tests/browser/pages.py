"""The preview's page in a real browser, and what tests do with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

CHROMIUM = os.environ.get("RFASIM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# WebGL in software, for machines without a graphics card; the rest of the page without GL, which is cheaper then
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
SIZE = {"width": 1366, "height": 768}


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(case: Path, users: int = 1) -> Iterator[list[str]]:
    """``rfasim preview`` of a case in a process of its own: the addresses that it prints, until it ends by Ctrl-C."""
    line = [sys.executable, "-m", "rfasim", "preview", str(case), "--no-browser", "--users", str(users)]
    server = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        found = [re.search(r"http://\S+", server.stderr.readline()) for _ in range(users)]
        assert None not in found, "no address"
        yield [one[0] for one in found if one]
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0


class PreviewPage:
    """One open page: it notes every request, every message sent, and every error."""

    def __init__(self, browser: Any, url: str):
        self.page = browser.new_page(viewport=SIZE)
        self.requests: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.runs_before = 0
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda s: s.on("framesent", lambda frame: self.sent.append(json.loads(frame))))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.page.goto(url, timeout=90_000)

    def wait(self, expression: str, seconds: float = 30) -> Any:
        """Wait until an expression is true in the page (its policy forbids Playwright's own way, which is eval)."""
        return self.until(lambda: self.page.evaluate(expression), seconds, expression)

    def until(self, what: Callable[[], Any], seconds: float = 30, told: str = "what was waited for") -> Any:
        """Wait until something is true of what the page shows or has sent; return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = what()
            if value:
                return value
            self.page.wait_for_timeout(40)
        raise AssertionError(f"not true after {seconds} s: {told}; {self.state()}; {self.errors}")

    def still(self) -> np.ndarray:
        """Wait until two pictures in a row are the same; return the last."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seen = [self.pixels()]

        def same() -> bool:
            seen[:] = [seen[-1], self.pixels()]
            return np.array_equal(*seen)

        self.until(same)
        return seen[-1]

    def ready(self) -> PreviewPage:
        self.wait("window.rfasim && rfasim.state().loaded && rfasim.state().case", 60)
        self.wait("rfasim.canvasPointOf(rfasim.state().crosshair, 'axial')")
        return self

    def tidy(self) -> None:
        """Bring what the user chose on the page back to how it opens; a page is much faster to keep than to open."""
        self.page.keyboard.press("Escape")
        for name, on in (("compare", False), ("auto", True), ("outlines", True), ("margin", True)):
            self.page.locator(f"#{name}").set_checked(on)
        self.page.select_option("#layout", "all")
        self.page.click("#reset-view")
        if self.page.locator("#preset").is_visible():
            self.page.select_option("#preset", "case")
        if self.page.locator("#dismiss").is_visible():
            self.page.click("#dismiss")
        self.page.evaluate("document.activeElement.blur()")
        self.page.wait_for_timeout(100)
        self.sent.clear()
        self.runs_before = self.run()["count"]

    def state(self) -> dict[str, Any]:
        return self.page.evaluate("window.rfasim && rfasim.state()")

    def electrode(self, number: int = 0) -> dict[str, Any]:
        return self.state()["case"]["electrodes"][number]

    def run(self) -> dict[str, Any]:
        return self.page.evaluate("rfasim.lastRun()")

    def wait_done(self, level: str = "fine", side: str = "a", seconds: float = 60) -> None:
        done = f"rfasim.lastRun().sides.{side}?.{level}?.status === 'done'"
        self.wait(f"rfasim.lastRun().count > {self.runs_before} && {done}", seconds)

    def sets(self) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["do"] == "set"]

    def point(self, mm: list[float], view: str, side: str = "a") -> np.ndarray:
        """Return where a point (mm LPS) lies on the page."""
        at = self.page.evaluate(
            "([mm, view, side]) => rfasim.canvasPointOf(mm, view, side)", [[float(value) for value in mm], view, side]
        )
        return np.array([at["x"], at["y"]])

    def pixel_mm(self, view: str = "axial") -> float:
        """Return the millimetres that a pixel of a slice spans."""
        mm = np.array(self.state()["crosshair"])
        step = np.array([0, 0, 10.0]) if view != "axial" else np.array([10.0, 0, 0])
        return 10 / float(np.linalg.norm(self.point(mm + step, view) - self.point(mm, view)))

    def handle(self, which: str, view: str, number: int = 0, side: str = "a") -> Any:
        return self.page.locator(f'[data-handle="{number}-{which}"][data-view="{view}"][data-side="{side}"]')

    def drag(self, start: np.ndarray, end: np.ndarray, steps: int = 8, release: bool = True) -> None:
        mouse = self.page.mouse
        mouse.move(*map(float, start))
        mouse.down()
        for share in np.linspace(0, 1, steps + 1)[1:]:
            mouse.move(*map(float, start + share * (end - start)))
        if release:
            mouse.up()

    def set_time(self, seconds: float) -> None:
        self.page.locator("#time").evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", seconds
        )

    def zone(self, side: str = "a") -> int:
        return self.page.evaluate("side => rfasim.zoneVoxels(side)", side)

    def pixels(self) -> np.ndarray:
        """Return the page as drawn, as an array of RGB."""
        from io import BytesIO

        from PIL import Image

        return np.array(Image.open(BytesIO(self.page.screenshot())).convert("RGB"))

    def shot(self, folder: Path, name: str) -> None:
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=folder / f"{name}.png")

    def close(self) -> None:
        self.page.close()
