"""The pictures of ``docs/preview.md``: the page of the phantom in a browser, its own server and solver behind it.

    python docs/draw_preview.py               # every state, into docs/preview/
    python docs/draw_preview.py --case CASE --out DIR

Every state is reached as a user reaches it, by clicking; a state that does not come ends the script. It needs Chromium,
and what the tests need.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser.pages import PreviewPage, chromium, served  # noqa: E402  (lies in tests, on the path since the line above)

PATIENT = ROOT / "cases" / "phantom.yaml"
LONG = 600


def shot(page: PreviewPage, out: Path, name: str) -> None:
    """A picture of the page, in 256 colours, which is a third of its size."""
    from PIL import Image

    page.shot(out, name)
    path = out / f"{name}.png"
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def walk(page: PreviewPage, out: Path) -> None:
    """Through the states of one patient's page."""
    browser = page.page
    shot(page, out, "opened")
    target = page.point(page.electrode()["target"], "coronal")
    page.drag(target, target + np.array([14.0, -10.0]), release=False)
    shot(page, out, "dragging")
    browser.mouse.up()
    page.wait_done("coarse", seconds=LONG)
    shot(page, out, "quick_look")
    page.wait_done("fine", seconds=LONG)
    shot(page, out, "refined")
    end = page.run()["sides"]["a"]["fine"].get("end_s") or 720
    page.set_time(0.35 * float(end))
    shot(page, out, "earlier")
    page.set_time(float(end))
    browser.select_option("#layout", "3d")
    shot(page, out, "margin")
    browser.select_option("#layout", "all")
    browser.locator("#compare").check()
    page.wait("rfasim.lastRun().sides.b?.coarse?.status === 'done'", LONG)
    page.wait("rfasim.lastRun().sides.b?.fine?.status === 'done'", LONG)
    shot(page, out, "compared")
    browser.locator("#compare").uncheck()
    browser.fill("#runs", "8")
    browser.click("#uncertainty")
    page.wait("rfasim.state().estimate?.volumes", LONG)
    browser.locator("#chance").scroll_into_view_if_needed()
    shot(page, out, "how_sure")
    browser.locator("#image-files").set_input_files(
        {"name": "broken.nii.gz", "mimeType": "application/gzip", "buffer": b"this is no image"}
    )
    page.wait("!document.querySelector('#problem').hidden", LONG)
    shot(page, out, "refused")
    browser.click("#dismiss")
    browser.click("#help")
    shot(page, out, "keys")
    browser.keyboard.press("Escape")


def patient_of_files(page: PreviewPage, folder: Path, out: Path) -> None:
    """A scan and labels, given by hand on the page."""
    browser = page.page
    browser.locator("#image-files").set_input_files([str(folder / "ct.nii.gz"), str(folder / "labels.nii.gz")])
    page.wait("document.querySelector('#roles-dialog').open", LONG)
    shot(page, out, "roles")
    browser.click("#roles-use")
    page.wait("!document.querySelector('#roles-dialog').open", LONG)
    page.ready()
    page.wait("rfasim.state().window", LONG)
    browser.keyboard.press("r")
    page.wait_done("coarse", seconds=LONG)
    shot(page, out, "scan")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", type=Path, default=PATIENT)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "preview")
    parser.add_argument("--only", choices=["walk", "files"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(options.case) as (address,), chromium() as browser:
        page = PreviewPage(browser, address).ready()
        if options.only != "files":
            walk(page, options.out)
        if options.only != "walk":
            made = Path(folder) / "phantom"
            phantom = [sys.executable, "-m", "rfasim", "phantom", "--out", str(made), "--kind", "nii.gz"]
            subprocess.run(phantom, check=True, stdout=subprocess.DEVNULL)
            patient_of_files(page, made, options.out)
        complaints = [line for line in page.errors if "400" not in line]
        assert complaints == [], complaints


if __name__ == "__main__":
    main()
