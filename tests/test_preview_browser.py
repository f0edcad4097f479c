"""The preview's page in a real browser, against a stand-in for the server (`browser/fake_server.py`)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from browser.fake_server import MARGIN_COLOURS, TUMOUR, FakeServer, mm
from browser.pages import CHROMIUM, PreviewPage, chromium

from rfasim.views import MARGIN_COLOURS as PALETTE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture(scope="module")
def kept(browser: Any, server: FakeServer) -> Iterator[PreviewPage]:
    """The page that most tests share."""
    opened = PreviewPage(browser, server.url).ready()
    yield opened
    opened.close()


@pytest.fixture
def page(kept: PreviewPage, server: FakeServer) -> Iterator[PreviewPage]:
    """The shared page with a fresh session of the server behind it."""
    server.reset()
    server.hang_up()
    kept.wait("!rfasim.state().connected")
    kept.wait("rfasim.state().connected && !document.querySelector('#device').matches(':disabled')")
    kept.tidy()
    kept.errors.clear()
    yield kept
    assert kept.errors == []
    assert foreign(kept, server) == []


def foreign(page: PreviewPage, server: FakeServer) -> list[str]:
    return [url for url in page.requests if not url.startswith((server.url, "data:", "blob:"))]


def test_opening_asks_nobody_else(browser: Any, server: FakeServer) -> None:
    """From the first request on nothing leaves the machine; the policy lets everything work."""
    server.reset()
    start = time.monotonic()
    page = PreviewPage(browser, server.url).ready()
    print(f"opened in {time.monotonic() - start:.1f} s")
    assert page.errors == []
    assert len(page.requests) > 20
    assert foreign(page, server) == []
    assert page.page.locator("#states").inner_text() == "No run yet. Move the needle, or press Run."
    page.close()


def test_opens_with_everything_in_sight(page: PreviewPage) -> None:
    """At 1366 x 768 nothing scrolls but panels, and the warning and all controls are in sight."""
    size = page.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [1366, 768]
    assert page.page.get_by_text("Research use, not for clinical decisions").is_visible()
    for name in (
        "run",
        "cancel",
        "time",
        "power",
        "minutes",
        "target-2",
        "device",
        "uncertainty",
        "compare",
        "zone-model",
    ):
        box = page.page.locator(f"#{name}").bounding_box()
        assert box is not None, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 1366, name
        assert box["y"] + box["height"] <= 768, name
    overflowing = page.page.evaluate("""
        [...document.querySelectorAll('.panel, .toolbar, header, .timeline')]
          .filter(node => node.scrollWidth > node.clientWidth + 1).map(node => node.id || node.className)""")
    assert overflowing == []


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_a_dragged_target_is_sent_once_and_right(page: PreviewPage, view: str) -> None:
    """Letting go sends one `set` with the millimetres under the pointer; components through the slice stay."""
    before = np.array(page.electrode()["target"])
    move = {"axial": [9.0, -6.0, 0], "coronal": [9.0, 0, 7.0], "sagittal": [0, -8.0, 6.0]}[view]
    start, end = page.point(before, view), page.point(before + move, view)
    page.drag(start, end, release=False)
    assert page.sets() == []
    handle = page.handle("target", view).bounding_box()
    assert abs(handle["x"] + handle["width"] / 2 - end[0]) < 2  # the drawing follows at once
    page.page.mouse.up()
    page.wait_done("coarse")
    assert len(page.sets()) == 1
    message = page.sets()[0]
    assert message["run"] is True
    assert message["set"]["electrode"] == 0
    assert "entry" not in message["set"]
    assert np.abs(np.array(message["set"]["target"]) - (before + move)).max() < page.pixel_mm(view)


def test_the_slices_are_seen_as_radiologists_see_them(page: PreviewPage) -> None:
    """The patient's right is on the left, front and head are up; in the sagittal slice the front is on the left."""
    middle = np.array(page.state()["crosshair"])
    left, back, head = np.eye(3) * 10
    for view, across, up in (("axial", left, -back), ("coronal", left, head), ("sagittal", back, head)):
        centre = page.point(middle, view)
        assert page.point(middle + across, view)[0] > centre[0] + 5, view
        assert page.point(middle + up, view)[1] < centre[1] - 5, view
        letters = page.page.locator(f".tile:nth-of-type({3 + ['axial', 'coronal', 'sagittal'].index(view)}) .letter")
        expected = {"axial": ["R", "L", "A", "P"], "coronal": ["R", "L", "S", "I"], "sagittal": ["A", "P", "S", "I"]}
        assert letters.all_text_contents()[:4] == expected[view]


def test_the_picture_lies_where_its_millimetres_say(page: PreviewPage) -> None:
    """The CT's bright tumour contrast is drawn at the tumour: its outline's cyan pixels are its radius away."""
    page.page.locator("#outlines").check()
    image = page.pixels().astype(int)
    cyan = (image[..., 2] - image[..., 0] > 60) & (image[..., 1] - image[..., 0] > 50)
    centre = page.point(TUMOUR, "axial")
    rows, columns = np.nonzero(cyan)
    distance = np.hypot(columns - centre[0], rows - centre[1]) * page.pixel_mm()
    ring = distance[distance < 16]
    assert len(ring) > 80
    assert abs(np.median(ring) - 11) < 1


def test_a_point_in_3d_moves_parallel_to_the_screen(page: PreviewPage) -> None:
    before = np.array(page.electrode()["target"])
    start = page.point(before, "3d")
    page.drag(start, start + mm(25, -15))
    page.wait_done("coarse")
    after = np.array(page.electrode()["target"])
    assert np.abs(page.point(after, "3d") - (start + mm(25, -15))).max() < 1.5
    assert 3 < np.linalg.norm(after - before) < 60


def test_the_needle_itself_moves_both_ends(page: PreviewPage) -> None:
    entry, target = (np.array(page.electrode()[which]) for which in ("entry", "target"))
    start = page.point(0.5 * (entry + target), "coronal")
    page.drag(start, start + mm(0, -20))
    page.wait_done("coarse")
    change = page.sets()[0]["set"]
    up = 20 * page.pixel_mm("coronal")
    assert np.abs(np.array(change["entry"]) - entry - [0, 0, up]).max() < 0.5
    assert np.abs(np.array(change["target"]) - target - [0, 0, up]).max() < 0.5


def test_a_point_that_rests_in_a_drag_is_told_ahead(page: PreviewPage) -> None:
    target = np.array(page.electrode()["target"])
    start = page.point(target, "axial")
    page.drag(start, start + mm(12, 8), release=False)
    end = target + page.pixel_mm() * mm(12, 8, 0)

    def ahead() -> dict[str, Any] | None:  # on a busy machine a drag rests on its way, too
        told = [one["set"] for one in page.sent if one["do"] == "head_start"]
        return told[-1] if told and np.abs(told[-1]["target"] - end).max() < 0.5 else None

    page.until(lambda: ahead() is not None)
    assert page.sets() == []
    page.page.mouse.up()
    page.wait_done("coarse")
    assert [one["set"] for one in page.sets()] == [ahead()]
    page.page.locator("#auto").uncheck()
    page.sent.clear()
    start = page.point(page.electrode()["target"], "axial")
    page.drag(start, start + mm(12, 8), release=False)
    page.page.wait_for_timeout(400)
    page.page.mouse.up()
    page.page.wait_for_timeout(200)
    assert [one["do"] for one in page.sent] == ["set"]


def test_escape_takes_a_drag_back(page: PreviewPage) -> None:
    start = page.point(page.electrode()["target"], "axial")
    page.drag(start, start + mm(30, 20), release=False)
    page.page.keyboard.press("Escape")
    page.page.mouse.up()
    page.page.wait_for_timeout(200)
    assert page.sets() == []
    box = page.handle("target", "axial").bounding_box()
    assert abs(box["x"] + box["width"] / 2 - start[0]) < 2


def test_the_zone_grows_while_a_run_streams(page: PreviewPage, server: FakeServer) -> None:
    server.options.seconds = {"coarse": 2.0, "fine": 0.3}
    # looked at by the page itself: a busy machine asks too seldom from here to see each zone
    page.page.evaluate("""() => {
        window.seen = []
        window.watch = setInterval(() => {
            const run = rfasim.lastRun()
            if (run?.growing) window.seen.push([rfasim.zoneVoxels(), document.querySelector('#time').disabled])
        }, 40)
    }""")
    page.page.click("#run")
    page.wait_done("coarse")  # of this run: the page is kept between tests, and so is its last one
    seen = page.page.evaluate("() => { clearInterval(window.watch); return window.seen }")
    assert all(is_off for _, is_off in seen)
    grown = [count for count, _ in seen if count]
    assert len(set(grown)) >= 4
    assert grown == sorted(grown)
    page.wait("rfasim.surfaces().includes('zone')")
    page.wait_done()
    text = page.page.locator("#states").inner_text()
    assert "Refined" in text
    assert "0.4 mm on average, 1.6 mm at most, −2.1 % volume" in text
    assert "97 %" in page.page.locator("#answers").inner_text()
    page.wait("rfasim.surfaces().includes('margin tumour')")


def test_slider_and_damage_model_need_no_server(page: PreviewPage) -> None:
    """The zone follows the time and the model at once; only the choice of the model is told to the server."""
    page.page.click("#run")
    page.wait_done()
    page.wait("['t60', 'cem43'].every(model => rfasim.zoneVoxels('a', model) > 0)")
    page.page.wait_for_timeout(300)
    sent = len(page.sent)
    counts = []
    for seconds in (0, 100, 300, 720):
        page.set_time(seconds)
        counts.append(page.zone())
    assert counts[0] == 0
    assert counts == sorted(set(counts))
    assert len(page.sent) == sent
    expected = 4 / 3 * np.pi * 14 * 14 * 20
    assert abs(counts[-1] - expected) < 0.03 * expected  # voxels of 1 mm³
    page.page.select_option("#zone-model", "cem43")
    page.wait("rfasim.state().case.zone_model === 'cem43'")
    assert page.zone() > 1.2 * counts[-1]
    note = 'are for "Arrhenius, 63 % dead". Run again to have them for this zone.'
    assert note in page.page.locator("#states").inner_text()
    assert page.sets()[-1] == {"do": "set", "set": {"zone_model": "cem43"}}
    page.page.locator("#time").focus()
    page.page.keyboard.press("Space")
    page.wait("rfasim.state().time < 700")
    page.page.keyboard.press("Space")
    halted = page.state()["time"]
    page.page.wait_for_timeout(300)
    assert page.state()["time"] == halted


def test_cancel(page: PreviewPage, server: FakeServer) -> None:
    server.options.seconds = {"coarse": 20.0, "fine": 20.0}
    page.page.click("#run")
    page.wait("rfasim.lastRun().growing && rfasim.zoneVoxels() > 0")
    page.page.keyboard.press("Escape")
    page.wait("!rfasim.lastRun().running")
    assert page.sent[-1] == {"do": "cancel"}
    assert "Cancelled" in page.page.locator("#states").inner_text()
    assert page.page.locator("#cancel").is_disabled()


def test_a_new_move_replaces_the_run(page: PreviewPage, server: FakeServer) -> None:
    server.options.seconds = {"coarse": 20.0, "fine": 20.0}
    page.page.click("#run")
    page.wait("rfasim.lastRun().running && rfasim.zoneVoxels() > 0")
    first = page.run()["number"]
    start = page.point(page.electrode()["target"], "axial")
    page.drag(start, start + mm(12, 0))
    page.wait(f"rfasim.lastRun().number > {first}")
    server.options.seconds = {"coarse": 0.3, "fine": 0.3}  # not before: it is asked for at each step of a run
    page.wait_done()
    assert page.run()["number"] == first + 1


def test_compare_shows_both_sides(page: PreviewPage) -> None:
    page.page.check("#compare")
    page.wait_done("fine", "b")
    page.wait("rfasim.canvasPointOf(rfasim.state().crosshair, 'axial', 'b')")
    page.wait("rfasim.surfaces('b').includes('margin tumour')")
    assert page.zone("b") > 1.5 * page.zone("a") > 0
    assert page.page.locator(".side-title").all_inner_texts() == ["A: without Pringle", "B: with Pringle"]
    assert page.page.locator("#answers .numbers thead th").all_inner_texts() == ["A", "B"]
    here = page.point(TUMOUR, "axial")
    page.drag(here + mm(40, 30), here + mm(41, 30))  # the crosshair: both sides follow
    other = page.point(page.state()["crosshair"], "axial", "b")
    assert abs(other[1] - page.point(page.state()["crosshair"], "axial")[1]) < 1
    page.page.uncheck("#compare")
    assert page.page.locator(".side-title").first.is_hidden()


def test_uncertainty(page: PreviewPage) -> None:
    page.page.click("#run")
    page.wait_done()
    before = page.still()
    page.page.fill("#runs", "8")
    page.page.click("#uncertainty")
    page.wait("rfasim.state().estimate?.volumes")
    assert page.sent[-1] == {"do": "uncertainty", "runs": 8}
    text = page.page.locator("#chance").inner_text()
    assert "11.9 mL" in text
    rows = re.findall(r"(\d+) % (?:of the runs )?or more\s+([\d.]+) mL", text)
    assert [share for share, _ in rows] == ["95", "50", "5"]  # what more of the runs kill is less
    assert [float(volume) for _, volume in rows] == sorted(float(volume) for _, volume in rows)
    assert "at least 91 %" in text
    left, top = page.point(TUMOUR, "axial").astype(int) - 80

    def changed(now: np.ndarray) -> float:
        window = slice(top, top + 160), slice(left, left + 160)
        return float(np.any(before[window] != now[window], axis=-1).mean())

    page.until(lambda: changed(page.pixels()) > 0.1)
    yellow = np.abs(page.still().astype(int) - [240, 228, 66]).max(-1) < 30
    assert yellow[top : top + 160, left : left + 160].sum() > 60
    page.page.uncheck("#chance-shown")
    page.until(lambda: changed(page.pixels()) < 0.01)


def test_millimetres_typed(page: PreviewPage) -> None:
    page.page.fill("#target-2", "33.5")
    page.page.press("#target-2", "Enter")
    page.wait_done("coarse")
    assert page.sets() == [{"do": "set", "set": {"target": [-68, -3, 33.5], "electrode": 0}, "run": True}]
    page.page.fill("#entry-0", "-90")
    page.page.locator("#power").focus()
    page.wait("rfasim.state().case.electrodes[0].entry[0] === -90")
    page.page.fill("#minutes", "")
    page.page.locator("#power").focus()
    assert page.page.input_value("#minutes") == "12"
    assert len(page.sets()) == 2


def test_keys_move_a_point(page: PreviewPage) -> None:
    """Arrows move 1 mm as seen, Shift 5 mm, Page up along the third axis; one `set` after a pause."""
    page.handle("target", "axial").focus()
    for key in ("ArrowRight", "ArrowUp", "ArrowUp", "PageUp", "Shift+ArrowLeft"):
        page.page.keyboard.press(key)
    assert page.sets() == []
    page.wait_done("coarse")
    assert len(page.sets()) == 1
    assert page.sets()[0]["set"]["target"] == [-68 + 1 - 5, -3 - 2, 28 + 1]
    assert page.page.evaluate("document.activeElement.dataset.handle") == "0-target"
    assert "R 72.0  A 5.0  S 29.0 mm" in page.handle("target", "axial").get_attribute("aria-label")


def test_keys_move_a_point_in_3d(page: PreviewPage) -> None:
    """Page up comes towards the viewer, who opens the page in front of the patient."""
    page.handle("target", "3d").click()
    page.page.keyboard.press("Shift+PageUp")
    page.wait_done("coarse")
    moved = np.array(page.sets()[-1]["set"]["target"]) - mm(-68, -3, 28)
    assert abs(np.linalg.norm(moved) - 5) < 0.05
    assert moved[1] < -3


def test_every_control_is_reached_by_tab(page: PreviewPage) -> None:
    wanted = {
        "undo",
        "open-case",
        "save-case",
        "add-images",
        "device",
        "entry-0",
        "target-2",
        "protocol",
        "power",
        "pringle",
        "run",
        "compare",
        "uncertainty",
        "layout",
        "preset",
        "zone-model",
        "margin",
        "0-entry",
        "0-target",
    }
    page.page.fill("#power", "61")
    page.page.press("#power", "Enter")
    page.wait_done()
    reached, focus_seen = set(), []
    page.page.evaluate("document.activeElement.blur()")
    for _ in range(80):
        page.page.keyboard.press("Tab")
        name, seen = page.page.evaluate("""(() => { const node = document.activeElement;
            const style = getComputedStyle(node.querySelector?.('.reach') ?? node);
            return [node.dataset.handle ?? node.id, style.outlineStyle !== 'none' || style.stroke !== 'none']; })()""")
        reached.add(name)
        focus_seen.append((name, seen))
    assert wanted - reached == set()
    assert [name for name, seen in focus_seen if name and not seen] == []


def test_a_refused_change_goes_back(page: PreviewPage) -> None:
    page.page.fill("#power", "500")
    page.page.press("#power", "Enter")
    page.page.get_by_role("alert").filter(has_text="allowed are 1 to 200 W").wait_for()
    assert page.page.input_value("#power") == "60"
    start = page.point(page.electrode()["target"], "coronal")
    page.drag(start, start + mm(0, -200))
    page.page.get_by_role("alert").filter(has_text="outside the imaged region").wait_for()
    box = page.handle("target", "coronal").bounding_box()
    assert abs(box["y"] + box["height"] / 2 - start[1]) < 2
    assert not page.run()["running"]


def test_undo_and_redo(page: PreviewPage) -> None:
    assert page.page.locator("#undo").is_disabled()
    page.page.select_option("#model", "cooltip_2")
    page.wait("rfasim.state().case.electrodes[0].model === 'cooltip_2'")
    page.page.locator("#run").focus()
    page.page.keyboard.press("Control+z")
    page.wait("rfasim.state().case.electrodes[0].model === 'cooltip_3'")
    page.page.keyboard.press("Control+Shift+z")
    page.wait("rfasim.state().case.electrodes[0].model === 'cooltip_2'")
    page.page.click("#undo")
    page.wait("rfasim.state().case.electrodes[0].model === 'cooltip_3'")


def test_a_result_of_an_earlier_plan_is_told(page: PreviewPage) -> None:
    page.page.click("#run")
    page.wait_done()
    page.page.uncheck("#auto")
    page.page.check("#pringle")
    page.wait("rfasim.state().stale")
    assert page.sets()[-1] == {"do": "set", "set": {"pringle": True}}
    assert "The plan has changed since this run." in page.page.locator("#states").inner_text()
    page.page.locator("#run").focus()
    page.page.keyboard.press("r")
    page.wait("!rfasim.state().stale")


def test_a_device_is_chosen_from_its_drawing(page: PreviewPage) -> None:
    page.page.click("#device")
    cards = page.page.locator("#devices .card")
    assert cards.count() == 3
    assert page.page.evaluate("[...document.querySelectorAll('#devices img')].every(image => image.naturalWidth > 0)")
    cards.filter(has_text="Umbrella").click()
    page.wait("rfasim.state().case.electrodes[0].device === 'umbrella'")
    assert page.sets()[0]["set"] == {"device": "umbrella", "model": "leveen_3.5", "electrode": 0}
    page.page.select_option("#protocol", "cooltip_pulsed")
    page.wait("!rfasim.state().case.power_applies")
    assert page.page.locator("#power").is_disabled()


def test_hostile_names_are_text(browser: Any, server: FakeServer) -> None:
    name = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
    server.reset(name=name, fail=name)
    page = PreviewPage(browser, server.url).ready()
    assert page.page.locator("#case-name").inner_text() == name
    page.page.click("#run")
    page.wait("rfasim.lastRun().sides.a?.coarse?.status === 'failed'")
    assert name in page.page.locator("#problem").inner_text()
    assert page.page.evaluate("window.hit") is None
    assert page.errors == []
    page.close()


def file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def test_files(page: PreviewPage, server: FakeServer) -> None:
    """A case, a CT, labels with the table of roles, and a file that the server refuses."""
    files = page.page.locator("#image-files")
    files.set_input_files(file("ct <i>.nii.gz", b"1234"))
    page.wait("document.querySelector('#status').textContent === 'ct <i>.nii.gz read.'")
    files.set_input_files(file("labels.nii.gz", b"1234"))
    page.page.locator("#roles-dialog").wait_for()
    assert page.page.locator("#roles tr").nth(1).locator("td").all_inner_texts()[:2] == ["7", "<b>lesion</b>"]
    page.page.locator("#roles select").nth(1).select_option("ignore")
    page.page.click("#roles-use")
    page.wait("!document.querySelector('#roles-dialog').open")
    assert server.anatomy_posted == {"file": "labels.nii.gz", "roles": {"1": "liver", "7": "ignore"}}
    files.set_input_files(file("big.nii.gz", b"bomb"))
    page.page.get_by_role("alert").filter(has_text="more than the 300000000 allowed").wait_for()
    page.page.locator("#case-file").set_input_files(file("a.yaml", b"name: other"))
    page.wait("rfasim.state().case.name === 'other'")
    page.page.locator("#case-file").set_input_files(file("b.yaml", b"nothing"))
    page.page.get_by_role("alert").filter(has_text="name: missing").wait_for()
    with page.page.expect_download() as download:
        page.page.click("#save-case")
    assert download.value.suggested_filename == "case.yaml"
    page.errors = [line for line in page.errors if "400" not in line and "413" not in line]  # the browser logs refusals


def test_files_dropped_on_the_page(page: PreviewPage) -> None:
    page.page.evaluate("""() => {
        const data = new DataTransfer();
        data.items.add(new File(['name: dropped'], 'dropped.yaml'));
        for (const type of ['dragenter', 'drop'])
          document.querySelector('canvas').dispatchEvent(
            new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
    }""")
    page.wait("rfasim.state().case.name === 'dropped'")
    assert page.page.locator("#drop").is_hidden()


def test_a_lost_connection_comes_back(page: PreviewPage, server: FakeServer) -> None:
    server.hang_up()
    page.wait("!rfasim.state().connected")
    assert "Connection to the server lost" in page.page.locator("#banner").inner_text()
    page.wait("rfasim.state().connected")
    assert page.page.locator("#banner").is_hidden()
    page.page.click("#run")
    page.wait_done()


def test_a_page_loaded_again_shows_the_result(browser: Any, server: FakeServer) -> None:
    server.reset()
    page = PreviewPage(browser, server.url).ready()
    page.page.click("#run")
    page.wait_done()
    voxels = page.zone()
    page.page.reload()
    page.ready()
    page.wait_done()
    page.wait(f"rfasim.zoneVoxels() === {voxels}")
    assert "Refined" in page.page.locator("#states").inner_text()
    page.close()


def test_margin_colours_break_where_they_should(browser: Any, server: FakeServer) -> None:
    """A flat square cut at 0, 5 and 10 mm: on the screen the colours are the palette's, and change at those heights."""
    assert [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in MARGIN_COLOURS] == list(PALETTE)
    server.reset(square_margin=True)
    page = PreviewPage(browser, server.url).ready()
    page.page.click("#run")
    page.wait_done()
    page.wait("rfasim.surfaces().includes('margin tumour')")
    page.page.select_option("#layout", "3d")
    place = TUMOUR + mm(0, 13.0, -5.0)  # beside needle, vessels and handles; the square's z is the margin minus 5 mm
    heights = np.arange(-13, 23, 0.05)
    image = page.still()
    ends = np.array([page.point(place + mm(0, 0, margin), "3d") for margin in heights[[0, -1]]])
    along = ends[0] + (heights[:, None] - heights[0]) / (heights[-1] - heights[0]) * (ends[1] - ends[0])
    colours = image[np.floor(along[:, 1]).astype(int), np.floor(along[:, 0]).astype(int)]
    number = np.array([next((i for i, c in enumerate(MARGIN_COLOURS) if tuple(colour) == c), -1) for colour in colours])
    pixel = 36 / np.linalg.norm(ends[1] - ends[0])  # mm
    for margin, below, above in ((0, 0, 1), (5, 1, 2), (10, 2, 3)):
        assert set(number[(heights > margin - 4) & (heights < margin - 1.5 * pixel)]) == {below}, margin
        assert set(number[(heights > margin + 1.5 * pixel) & (heights < margin + 4)]) == {above}, margin
    assert pixel < 0.5
    page.close()


def test_slices_scroll_smoothly(page: PreviewPage, record_property: Any) -> None:
    """Each turn of the wheel is drawn, with the zone shown; frames a second are told, for a machine may be busy."""
    page.page.click("#run")
    page.wait_done()
    page.page.wait_for_timeout(500)
    seconds, drawn = page.page.evaluate("""async () => {
        const canvas = document.querySelector('.slices canvas'), box = canvas.getBoundingClientRect();
        const frame = () => new Promise(requestAnimationFrame);
        const first = rfasim.framesDrawn(), start = performance.now();
        for (let i = 0; i < 60; i++) {
          canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: i < 30 ? 100 : -100, cancelable: true,
            clientX: box.left + box.width / 4, clientY: box.top + box.height / 4}));
          await frame();
        }
        await frame();
        return [(performance.now() - start) / 1000, rfasim.framesDrawn() - first];
    }""")
    record_property("frames_per_second", drawn / seconds)
    print(f"{drawn / seconds:.0f} frames a second")
    assert drawn >= 50


def test_window_and_level(page: PreviewPage) -> None:
    page.page.select_option("#preset", "liver")
    assert page.state()["window"] == [30, 150]
    start = page.point(TUMOUR + mm(30, 0, 0), "axial")
    page.page.mouse.move(*map(float, start))
    page.page.mouse.down(button="right")
    page.page.mouse.move(float(start[0]) + 20, float(start[1]) - 10)
    page.page.mouse.up(button="right")
    centre, width = page.state()["window"]
    assert (centre, width) == (40, 190)
    page.until(lambda: page.page.locator("#width-value").inner_text() == "190 HU")


def test_zoom_keeps_the_point_under_the_pointer(page: PreviewPage) -> None:
    at = TUMOUR + mm(15.0, -10, 0)
    start = page.point(at, "axial")
    page.page.mouse.move(*map(float, start))
    page.page.keyboard.down("Control")
    page.page.mouse.wheel(0, -300)
    page.page.keyboard.up("Control")
    page.until(lambda: page.pixel_mm() < 0.3)
    assert np.abs(page.point(at, "axial") - start).max() < 1.5
    page.drag(start, start)
    assert np.abs(np.array(page.state()["crosshair"]) - at).max() < 0.5


def test_labels_without_a_ct(browser: Any, server: FakeServer) -> None:
    server.reset(background="labels")
    page = PreviewPage(browser, server.url).ready()
    image = page.still()
    x, y = page.point(TUMOUR, "axial") + mm(18, 14)
    liver = page.point(TUMOUR + mm(22.0, -18, 0), "axial")
    assert np.abs(image[int(y), int(x)].astype(int) - [0, 181, 216]).max() < 4
    assert np.abs(image[int(liver[1]), int(liver[0])].astype(int) - [150, 90, 78]).max() < 4
    assert page.page.locator("#preset").is_hidden()
    assert page.page.locator("#position").inner_text().endswith("tumour")
    page.close()


def test_several_electrodes(browser: Any, server: FakeServer) -> None:
    server.reset(electrodes=3)
    page = PreviewPage(browser, server.url).ready()
    target = np.array(page.electrode(2)["target"])
    start = page.point(target, "axial")
    page.drag(start, start + mm(10, 10))
    page.wait_done("coarse")
    assert page.sets()[0]["set"]["electrode"] == 2
    assert page.page.input_value("#electrode") == "2"
    assert float(page.page.input_value("#target-0")) == round(page.electrode(2)["target"][0], 1)
    page.close()
