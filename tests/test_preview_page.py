"""The page with its own server and solver, in a real browser: a needle is moved, and the zone follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")
from browser.pages import CHROMIUM, PreviewPage, chromium, served
from small_patient import SMALL

from rfasim.yaml_io import dump_yaml

if CHROMIUM is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

# placed by two points, which are what is dragged
CASE = SMALL | {
    "name": "small",
    "electrodes": [
        {"device": "needle", "entry": ["0 mm", "0 mm", "90 mm"], "target": ["0 mm", "0 mm", "0 mm"],
         "beyond_target": "10 mm", "active_length": "20 mm"}
    ],
    "generator": SMALL["generator"] | {"duration": "90 s"},
}  # fmt: skip


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What ``rfasim preview`` prints for a small case, an address for each test."""
    case = tmp_path_factory.mktemp("preview") / "case.yaml"
    case.write_text(dump_yaml(CASE), encoding="utf-8")
    with served(case, users=2) as found:
        assert len(found) == 2
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def address(addresses: list[str]) -> str:
    return addresses.pop()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[PreviewPage]:
    page = PreviewPage(browser, address).ready()  # with cookies of its own
    yield page
    page.close()


def test_a_needle_is_dragged_and_the_zone_follows(page: PreviewPage, address: str, tmp_path: Path) -> None:
    here = urlsplit(address).netloc
    page.drag(page.point([0, 0, 0], "coronal"), page.point([4, 0, 0], "coronal"))
    page.wait_done("coarse", seconds=300)
    page.wait_done("fine", seconds=300)
    assert page.electrode()["target"] == pytest.approx([4, 0, 0], abs=1.0)
    assert len(page.sets()) == 1
    assert page.zone() > 500  # voxels of 1 mm3
    text = page.page.inner_text("body")
    assert "Research use, not for clinical decisions" in text
    assert "The tumour" in text
    assert "mL" in text
    # back in time on the page alone
    whole = page.zone()
    page.set_time(45)
    assert 0 < page.zone() < whole
    page.set_time(90)
    # the report of this run, the case, and once more after the page was loaded again
    report = page.page.request.get(f"http://{here}/api/report.html")
    until = time.monotonic() + 300
    while report.status == 409 and time.monotonic() < until:  # it is written after the numbers are told
        time.sleep(0.5)
        report = page.page.request.get(f"http://{here}/api/report.html")
    assert report.status == 200
    assert "tumour" in report.text()
    assert "15 W" in page.page.request.get(f"http://{here}/api/case.yaml").text()
    page.page.reload()
    page.ready()
    page.wait("rfasim.lastRun().sides.a?.fine?.status === 'done' && rfasim.zoneVoxels() > 0", 300)
    assert page.zone() == whole
    assert page.errors == []
    assert {urlsplit(url).netloc for url in page.requests if url.startswith("http")} == {here}
    page.shot(tmp_path, "finished")


def test_a_run_is_cancelled_and_another_one_compared(page: PreviewPage) -> None:
    page.page.keyboard.press("r")
    page.wait("rfasim.lastRun().running", 300)
    page.page.keyboard.press("Escape")
    page.wait("!rfasim.lastRun().running", 300)
    page.page.locator("#compare").check()
    page.wait_done("coarse", side="a", seconds=300)
    page.wait_done("coarse", side="b", seconds=300)
    assert page.zone("b") > page.zone("a") > 0  # clamped, the vein cools no more
    assert page.errors == []
