"""The preview's server and sessions: who gets in, what a run says, what broken files and crashes do."""

from __future__ import annotations

import gzip
import json
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")
from small_patient import SMALL
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from rfasim.anatomy.writing import nifti_bytes
from rfasim.domain import all_vessels
from rfasim.errors import InputError
from rfasim.preview import server, session, uploads
from rfasim.preview.draft import Draft, families
from rfasim.preview.levels import at_level, pierced_as_lines
from rfasim.preview.server import Preview, hosts_of
from rfasim.sheet import word_of
from rfasim.yaml_io import dump_yaml

HOST = "127.0.0.1:8000"


@pytest.fixture
def case_file(tmp_path: Path) -> Path:
    (tmp_path / "case").mkdir()
    path = tmp_path / "case" / "case.yaml"
    path.write_text(dump_yaml(SMALL), encoding="utf-8")
    return path


@pytest.fixture
def preview(case_file: Path) -> Preview:
    made = Preview(case_file)
    made.hosts |= hosts_of("127.0.0.1", 8000)
    return made


@pytest.fixture
def browser(preview: Preview) -> Iterator[TestClient]:
    with TestClient(preview.app(), base_url=f"http://{HOST}") as client:
        assert client.get(f"/?token={preview.token()}").status_code == 200
        yield client


def post(client: TestClient, path: str, **more: Any) -> Any:
    return client.post(path, headers={"X-Rfasim": "1", "Origin": f"http://{HOST}"}, **more)


class Page:
    """What a page does with its socket."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self.zones: list[tuple[dict[str, Any], np.ndarray]] = []

    def ask(self, **message: Any) -> None:
        self.socket.send_text(json.dumps(message))

    def until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 300.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.socket.receive()
            if message.get("text") is not None:
                event = json.loads(message["text"])
            else:
                data = message["bytes"]
                (n,) = struct.unpack_from("<I", data)
                event = json.loads(data[4 : 4 + n])
                kind = np.uint16 if event["event"] == "zone" else np.uint8
                self.zones.append((event, np.frombuffer(data[4 + n :], kind)))
            self.heard.append(event)
            if wanted(event):
                return event
        raise AssertionError(f"nothing of the kind came; heard {[one['event'] for one in self.heard][-20:]}")

    def event(self, name: str, **parts: Any) -> dict[str, Any]:
        return self.until(lambda e: e["event"] == name and all(e.get(key) == value for key, value in parts.items()))


@pytest.fixture
def page(browser: TestClient) -> Iterator[Page]:
    with browser.websocket_connect(f"ws://{HOST}/ws", headers={"Origin": f"http://{HOST}"}) as socket:
        yield Page(socket)


# ------------------------------------------------------------------------------------------------------ who gets in


def test_an_address_opens_one_session_once(preview: Preview) -> None:
    with TestClient(preview.app(), base_url=f"http://{HOST}") as client:
        assert client.get("/").status_code == 403
        assert client.get("/api/case.yaml").status_code == 403
        token = preview.token()
        answer = client.get(f"/?token={token}", follow_redirects=False)
        assert answer.status_code == 303
        assert "token" not in answer.headers["location"]
        assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
        assert client.get("/").status_code == 200
        client.cookies.clear()
        assert client.get(f"/?token={token}").status_code == 403
        assert client.get("/?token=guessed").status_code == 403
        assert len(preview.sessions) == 1


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example:8000"}, {"Host": "127.0.0.1:9"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
)
def test_foreign_hosts_and_origins_are_refused(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.get("/", headers=headers).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        browser.websocket_connect(f"ws://{HOST}/ws", headers={"Origin": f"http://{HOST}"} | headers),
    ):
        pass


def test_a_post_that_is_not_from_the_page_is_refused(browser: TestClient) -> None:
    assert browser.post("/api/case", content=b"name: x").status_code == 403


def test_answers_carry_a_policy_that_lets_nothing_foreign_in(browser: TestClient) -> None:
    policy = browser.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assert browser.get("/").headers["x-content-type-options"] == "nosniff"


def test_two_users_do_not_see_each_other(preview: Preview) -> None:
    app = preview.app()
    with TestClient(app, base_url=f"http://{HOST}") as one:
        two = TestClient(app, base_url=f"http://{HOST}")
        one.get(f"/?token={preview.token()}")
        two.get(f"/?token={preview.token()}")
        first, second = preview.sessions.values()
        assert first.folder != second.folder
        assert first.draft is not None
        first.draft.change({"power_w": 22.0})
        assert "22 W" in one.get("/api/case.yaml").text
        assert "22 W" not in two.get("/api/case.yaml").text


def test_a_page_that_is_closed_frees_everything(preview: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "AWAY", 0.0)
    with TestClient(preview.app(), base_url=f"http://{HOST}") as client:
        client.get(f"/?token={preview.token()}")
        (made,) = preview.sessions.values()
        with client.websocket_connect(f"ws://{HOST}/ws", headers={"Origin": f"http://{HOST}"}) as socket:
            Page(socket).event("scene")
            process = made.solvers["fine"]._process
            assert process.is_alive()
        until = time.monotonic() + 120  # a session is off the list before it has been freed
        while (preview.sessions or made.folder.exists()) and time.monotonic() < until:
            time.sleep(0.05)
        assert preview.sessions == {}
        assert not made.folder.exists()
        process.join(5)
        assert not process.is_alive()


# ------------------------------------------------------------------------------------------------------ what it does


def test_a_needle_that_is_moved_gives_a_quick_zone_and_then_a_fine_one(page: Page, browser: TestClient) -> None:
    scene = page.event("scene")
    assert {one["id"] for one in scene["surfaces"]} == {"tumour", "vessels_hepatic"}
    for one in scene["surfaces"]:
        data = browser.get(one["url"]).content
        assert struct.unpack_from("<HH", data) == (0x5A4D, 3)
    assert browser.get(scene["background"]["url"]).content[344:347] == b"n+1"
    page.ask(do="set", set={"target": [1.0, 0.0, -10.0], "entry": [1.0, 0.0, 90.0]}, run=True)
    case = page.event("case")["case"]
    assert case["electrodes"][0]["target"] == [1.0, 0.0, -10.0]
    coarse = page.event("done", level="coarse")
    assert coarse["difference"] is None
    fine = page.event("done", level="fine")
    assert fine["numbers"][0]["name"] == "Zone"
    assert fine["difference"]["mean_mm"] < 1.0
    assert abs(fine["difference"]["volume_percent"]) < 15.0
    assert fine["words"]
    # the zone grew, and its voxels are its volume
    maps = [(e, v) for e, v in page.zones if e["level"] == "fine" and e["model"] == case["zone_model"]]
    counts = [int((voxels <= 60).sum()) for _, voxels in maps]
    assert counts == sorted(counts)
    assert 1e-3 * counts[-1] == pytest.approx(fine["history"]["zone_volume_ml"][-1], rel=0.06)
    header, voxels = maps[-1]
    places = np.stack(np.unravel_index(np.flatnonzero(voxels <= 60), header["dim"], order="F"), axis=1)
    affine = np.reshape(header["affine"], (4, 4))
    middle = places.mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]
    assert middle * [-1, -1, 1] == pytest.approx([1.0, 0.0, 0.0], abs=1.5)  # RAS to LPS; the contact's middle
    # earlier, the zone is smaller, also as a surface
    early = browser.get(f"/api/zone/a/{case['zone_model']}.mz3?t=30").content
    late = browser.get(f"/api/zone/a/{case['zone_model']}.mz3?t=60").content
    assert (extent(early) < extent(late)).all()
    # every damage model comes, and the report is of this run
    seen = {e["model"] for e, _ in page.zones if e["level"] == "fine"}
    while seen != set(server_models(page)):
        page.event("zone", level="fine")
        seen = {e["model"] for e, _ in page.zones if e["level"] == "fine"}
    answer = browser.get("/api/report.html")
    assert answer.status_code == 200
    assert "small &lt;b&gt;case&lt;/b&gt;" in answer.text
    margin = browser.get(fine["tumours"][0]["url"]).content
    assert struct.unpack_from("<HH", margin) == (0x5A4D, 7)


def extent(surface: bytes) -> np.ndarray:
    """Size [mm] of what an MZ3 file holds."""
    faces, corners = struct.unpack_from("<II", surface, 4)
    places = np.frombuffer(surface, "<f4", 3 * corners, 16 + 12 * faces).reshape(-1, 3)
    return np.ptp(places, axis=0)


def server_models(page: Page) -> list[str]:
    (case,) = [one for one in page.heard if one["event"] == "case"][-1:]
    return [one["id"] for one in case["choices"]["zone_models"]]


def test_a_new_move_drops_the_old_run(page: Page) -> None:
    page.event("scene")
    page.ask(do="run")
    first = page.event("started")["run"]
    page.event("frame", run=first)
    page.ask(do="set", set={"power_w": 12.0}, run=True)
    second = page.event("started")["run"]
    page.event("done", level="coarse")
    after = page.heard[next(k for k, e in enumerate(page.heard) if e.get("run") == second) :]
    assert all(event.get("run", second) == second for event in after)
    page.ask(do="cancel")
    page.event("cancelled")


def test_a_needle_held_still_gets_a_head_start(page: Page, preview: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    page.event("scene")
    (session,) = preview.sessions.values()
    sent: list[Any] = []
    send = session.solvers["coarse"].send
    monkeypatch.setattr(session.solvers["coarse"], "send", lambda job: (sent.append(job), send(job)))
    place = {"target": [1.0, 0.0, -10.0]}
    page.ask(do="head_start", set={"target": [9e9, 0.0, 0.0]})  # nothing is said of what cannot be
    page.ask(do="head_start", set=place)
    page.ask(do="head_start", set=place)
    page.ask(do="undo")  # nothing to take back: the case is as it was
    assert not page.event("case")["can_undo"]
    until = time.monotonic() + 300
    while not any(event["event"] == "done" for event, _ in session._ahead.events) and time.monotonic() < until:
        time.sleep(0.05)
    assert "started" not in {event["event"] for event in page.heard}
    page.ask(do="set", set=place, run=True)
    started = page.event("started", level="coarse")
    assert page.event("done", level="coarse")["run"] == started["run"]
    assert page.event("done", level="fine")["difference"]["mean_mm"] < 1.0
    assert [job.run for job in sent] == [started["run"]]
    # let go elsewhere, it is another run
    page.ask(do="head_start", set={"target": [3.0, 0.0, -10.0]})
    page.ask(do="set", set={"target": [4.0, 0.0, -10.0]}, run=True)
    page.event("case")
    other = page.event("started", level="coarse")["run"]
    assert other == sent[-1].run == sent[-2].run + 1
    page.event("done", level="coarse", run=other)
    page.ask(do="cancel")


def test_with_and_without_the_clamp(page: Page) -> None:
    page.event("scene")
    page.ask(do="compare", on=True)
    done = {side: page.event("done", side=side, level="coarse") for side in ("a", "b")}
    volume = {side: one["history"]["zone_volume_ml"][-1] for side, one in done.items()}
    assert volume["b"] > volume["a"]  # nothing carries the heat away
    page.ask(do="cancel")


def test_how_sure_the_zone_is(page: Page) -> None:
    page.event("scene")
    page.ask(do="uncertainty", runs=8)
    end = page.event("uncertainty", done=8)
    assert end["volumes"]["in_95"] <= end["volumes"]["in_50"] <= end["volumes"]["in_5"]
    header, per_cent = page.zones[-1]
    assert header["event"] == "probability"
    assert set(np.unique(per_cent)) <= {round(100 * k / 8) for k in range(9)}
    assert 1e-3 * (per_cent >= 50).sum() == pytest.approx(end["volumes"]["in_50"], abs=0.01)


def test_what_is_not_allowed_is_refused_and_changes_nothing(page: Page) -> None:
    page.event("scene")
    for change, word in (
        ({"power_w": -3}, "power_w"), ({"power_w": "<script>"}, "power_w"), ({"target": [1, 2]}, "target"),
        ({"target": [float("1e9"), 0, 0]}, "target"), ({"electrode": 7, "entry": [0, 0, 1]}, "electrode"),
        ({"device": "custom"}, "device"), ({"protocol": "no_such"}, "protocol"), ({"anything": 1}, "anything"),
        ({"zone_model": "no_such"}, "zone.criterion"), ({"target": [0, 0, 90], "entry": [0, 0, 90]}, "target"),
        ({"target": [300, 0, 0], "entry": [300, 0, 100]}, "tumour"),
    ):  # fmt: skip
        page.ask(do="set", set=change)
        assert word in page.event("refused")["message"]
    page.ask(do="no_such")
    page.event("refused")
    page.socket.send_text("[not json")
    page.event("refused")
    page.ask(do="undo")
    case = page.event("case")
    assert not case["can_undo"]
    assert case["case"]["power_w"] == 15.0


def test_a_solver_that_dies_is_told_and_replaced(page: Page, preview: Preview) -> None:
    page.event("scene")
    (made,) = preview.sessions.values()
    page.ask(do="run")
    page.event("frame")
    os.kill(made.solvers["coarse"]._process.pid, signal.SIGKILL)
    assert "signal 9" in page.event("failed")["message"]
    page.ask(do="run")
    page.event("done", level="coarse")
    page.ask(do="cancel")


def test_a_page_that_is_loaded_again_sees_the_last_zone(page: Page, browser: TestClient) -> None:
    page.event("scene")
    page.ask(do="run")
    page.event("done", level="fine")
    with browser.websocket_connect(f"ws://{HOST}/ws", headers={"Origin": f"http://{HOST}"}) as socket:
        again = Page(socket)
        assert again.event("done", level="fine")["numbers"]
        assert any(event["event"] == "zone" for event in again.heard)


# ------------------------------------------------------------------------------------------------------ files


def test_a_case_is_saved_and_opened_again(page: Page, browser: TestClient) -> None:
    page.event("scene")
    page.ask(do="set", set={"power_w": 18.0, "pringle": True, "minutes": 2.5})
    page.event("case")
    text = browser.get("/api/case.yaml").text
    assert Draft.of_text(text, Path()).as_data()["power_w"] == 18.0
    page.ask(do="undo")
    page.event("case")
    assert post(browser, "/api/case", content=text.encode()).status_code == 200
    case = page.event("case")["case"]
    assert (case["power_w"], case["pringle"], case["minutes"]) == (18.0, True, 2.5)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[1, 2", "case"), ("just words", "no case file"), ("name: x", "electrodes"), ("\x00", "case"),
        ("a: &a [*a]", "a"), ("name: " + "x" * 5000, "name"),
    ],
)  # fmt: skip
def test_a_broken_case_gets_a_message(page: Page, browser: TestClient, text: str, word: str) -> None:
    page.event("scene")
    answer = post(browser, "/api/case", content=text.encode())
    assert answer.status_code == 400
    assert word in answer.json()["message"]
    assert "15 W" in browser.get("/api/case.yaml").text


def test_a_case_reads_no_file_that_was_not_given(page: Page, browser: TestClient, tmp_path: Path) -> None:
    page.event("scene")
    secret = tmp_path / "secret.nii"
    secret.write_bytes(nifti_bytes(np.ones((4, 4, 4), np.uint8), np.diag([1e-3, 1e-3, 1e-3, 1.0])))
    for name in (str(secret), "../secret.nii", "/etc/passwd"):
        tumour = {"shape": "labels", "file": name, "label": 1}
        answer = post(browser, "/api/case", content=dump_yaml(SMALL | {"tumour": tumour}).encode())
        assert answer.status_code == 400
        assert "outside the case's folder" in answer.json()["message"]
    (tmp_path / "case" / "link.nii").symlink_to(secret)
    tumour = {"shape": "labels", "file": "link.nii", "label": 1}
    assert post(browser, "/api/case", content=dump_yaml(SMALL | {"tumour": tumour}).encode()).status_code == 400


def patient(shape: tuple[int, int, int] = (60, 60, 60), edge: float = 2e-3) -> bytes:
    """A liver of a block with a tumour of a ball, as NIfTI."""
    to_world = np.diag([edge, edge, edge, 1.0])
    to_world[:3, 3] = -0.5 * edge * np.array(shape)
    x = np.stack(np.meshgrid(*(np.arange(n) - n / 2 for n in shape), indexing="ij"), axis=-1)
    data = np.where(np.abs(x).max(axis=-1) < 27, 1, 0)
    data[np.linalg.norm(x, axis=-1) < 6] = 2
    return nifti_bytes(data.astype(np.uint8), to_world)


def with_vein_beside(place: float, folder: Path) -> Draft:
    """That liver with a vein of 6 mm from feet to head at x = ``place`` mm, as the case of an upload."""
    data = np.array(np.frombuffer(patient()[352:], np.uint8).reshape(60, 60, 60, order="F"))
    x, y = np.indices((60, 60))
    column = np.hypot(2.0 * (x - 30) - place, 2.0 * (y - 30)) <= 3.0  # NIfTI: x to the right is negative
    data[column, 3:57] = 3
    to_world = np.diag([2e-3, 2e-3, 2e-3, 1.0])
    to_world[:3, 3] = -0.06
    path = folder / "labels.nii"
    path.write_bytes(nifti_bytes(data, to_world))
    return Draft(uploads.case_of(path, {"1": "liver", "2": "tumour", "3": "portal veins"}), folder)


def test_a_needle_is_first_put_where_less_is_in_the_way(tmp_path: Path) -> None:
    free = with_vein_beside(-26.0, tmp_path).case
    at, towards = (np.array(free.electrodes[0].model_dump()[name]) for name in ("target", "entry"))
    way = (towards - at) / np.linalg.norm(towards - at)
    assert way[0] < -0.4  # from the right all the same
    middle = np.array([-0.026, 0.0, 0.0])
    flat = np.array([*way[:2], 0.0]) / np.linalg.norm(way[:2])
    assert abs(np.cross(middle - at, flat)[2]) > 3e-3
    all_vessels(free, tmp_path)


def test_a_needle_may_pierce_a_vessel_that_is_not_wide(tmp_path: Path) -> None:
    draft = with_vein_beside(-26.0, tmp_path)
    target = 1e3 * np.array(draft.case.electrodes[0].model_dump()["target"])
    draft.change({"entry": (target - [90.0, 0.0, 0.0]).tolist()})
    case = at_level(draft.case, "fine")
    with pytest.raises(InputError, match="runs through"):
        all_vessels(case, tmp_path)
    eased = pierced_as_lines(case, tmp_path)
    (vessel,) = all_vessels(eased, tmp_path)
    assert 5e-3 < vessel.diameter < eased.circulation.resolve_from < 8e-3
    # where nothing is pierced nothing changes
    draft.change({"entry": (target - [0.0, 90.0, 0.0]).tolist()})
    case = at_level(draft.case, "fine")
    assert pierced_as_lines(case, tmp_path) is case


def test_labels_that_are_dropped_become_the_patient(page: Page, browser: TestClient) -> None:
    page.event("scene")
    found = post(browser, "/api/upload?name=my%20patient.nii.gz", content=gzip.compress(patient())).json()
    assert found["what"] == "labels"
    assert [(row["number"], row["role"]) for row in found["labels"]] == [(1, "liver"), (2, "tumour")]
    roles = {"1": "liver", "2": "tumour"}
    answer = post(browser, "/api/anatomy", json={"file": found["file"], "roles": roles})
    assert answer.status_code == 200, answer.text
    case = page.event("case")["case"]
    assert case["electrodes"][0]["target"] == pytest.approx([-1.0, -1.0, -1.0], abs=1.1)
    scene = page.event("scene")
    assert {"liver", "tumour"} <= {one["id"] for one in scene["surfaces"]}
    bad = post(browser, "/api/anatomy", json={"file": found["file"], "roles": {"2": "tumour"}})
    assert bad.status_code == 400
    assert "no label is the liver" in bad.json()["message"]
    scan = np.random.default_rng(0).normal(40, 10, (60, 60, 60)).astype(np.int16)
    to_world = np.diag([2e-3, 2e-3, 2e-3, 1.0])
    to_world[:3, 3] = -0.06
    assert post(browser, "/api/upload?name=ct.nii", content=nifti_bytes(scan, to_world)).json()["what"] == "ct"
    assert page.event("scene")["background"]["kind"] == "ct"


def huge_header() -> bytes:
    """A NIfTI header of 10^9 voxels, and nothing behind it."""
    head = bytearray(patient((4, 4, 4))[:352])
    struct.pack_into("<8h", head, 40, 3, 1000, 1000, 1000, 1, 1, 1, 1)
    return bytes(head)


# made when they are asked for: a compressed file has the time in it, and names of tests must not change with that
BROKEN: dict[str, Callable[[], bytes]] = {
    "a.nii": huge_header,
    "bomb.nii.gz": lambda: gzip.compress(huge_header() + bytes(200_000_000)),
    "cut.nii": lambda: patient()[:5000],
    "wrong.nii": lambda: b"GIF89a" + bytes(400),
    "plain.nii.gz": lambda: b"this is no gzip file",
    "empty.nii": lambda: b"",
    "nothing.nii": lambda: nifti_bytes(np.zeros((8, 8, 8), np.uint8), np.diag([1e-3, 1e-3, 1e-3, 1.0])),
    "odd.nrrd": lambda: b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 100000 100000 100000\nencoding: raw\n\n",
    "fake.dcm": lambda: bytes(128) + b"DICM" + bytes(100),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_or_hostile_image_gets_a_message(page: Page, browser: TestClient, name: str) -> None:
    data = BROKEN[name]()
    page.event("scene")
    answer = post(browser, f"/api/upload?name={name}", content=data)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]
    assert "Traceback" not in answer.text
    assert "rfasim-preview-" not in answer.text
    page.ask(do="run")  # and the page goes on
    page.event("started")
    page.ask(do="cancel")
    page.event("cancelled")


@pytest.mark.parametrize("name", ["a.nii", "b.nii.gz", "c.nrrd"])
def test_an_image_that_announces_too_many_voxels_is_refused_before_any_is_read(tmp_path: Path, name: str) -> None:
    nrrd = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1000 1000 1000\nencoding: raw\n\n"
    data = {"a.nii": huge_header(), "b.nii.gz": gzip.compress(huge_header()), "c.nrrd": nrrd}[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="1000 x 1000 x 1000 voxels; from 1 to 3e8 can be read"):
        uploads.inspect(tmp_path / name)


def test_uploads_are_limited_and_have_plain_names(
    page: Page, browser: TestClient, preview: Preview, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.event("scene")
    (made,) = preview.sessions.values()
    monkeypatch.setattr(server, "MOST_UPLOAD", 1000)
    assert post(browser, "/api/upload?name=big.nii", content=bytes(5000)).status_code == 413
    assert list(made.files.iterdir()) == []
    for name in ("evil.exe", "../../x", "", "a.nii/..", "zip.zip"):
        assert post(browser, f"/api/upload?name={name}", content=b"x").status_code == 400
    assert not any(made.folder.parent.glob("x"))


# ------------------------------------------------------------------------------------------------------ the draft


def test_every_device_that_is_offered_can_be_chosen(case_file: Path) -> None:
    draft = Draft(SMALL | {"vessels": []}, case_file.parent)
    for kind in families():
        for model in list(kind.MODELS) or [None]:
            draft.change({"device": word_of(kind), "model": model})
            one = draft.as_data()["electrodes"][0]
            assert (one["device"], one["model"]) == (word_of(kind), model)
            middle = draft.case.electrodes[0].active_centre
            assert np.linalg.norm(middle - draft.case.electrodes[0].tip_point) < 0.05


def test_changes_are_taken_back_one_by_one(case_file: Path) -> None:
    draft = Draft.read(case_file)
    first = draft.yaml()
    draft.change({"power_w": 20.0})
    draft.change({"power_w": 20.0})  # nothing
    draft.change({"entry": [5.0, 0.0, 80.0], "target": [0.0, 0.0, -5.0]})
    draft.undo()
    assert draft.as_data()["electrodes"][0]["tip"] == [0.0, 0.0, -10.0]
    draft.undo()
    assert draft.yaml() == first
    assert not draft.can_undo
    draft.redo()
    assert draft.as_data()["power_w"] == 20.0


def test_vessels_and_clamp_come_back_as_the_case_had_them(tmp_path: Path) -> None:
    clamp = {"from": "10 s", "to": "40 s"}
    draft = Draft(SMALL | {"circulation": {"pringle": clamp}}, tmp_path)
    draft.change({"pringle": False, "vessels": False})
    assert draft.case.circulation.pringle == ()
    assert draft.case.vessels == ()
    draft.change({"pringle": True, "vessels": True})
    assert draft.case.circulation.spans == ((10.0, 40.0),)
    assert [vessel.name for vessel in draft.case.vessels] == ["vein"]


def test_the_built_in_patient_is_the_shipped_case(tmp_path: Path) -> None:
    from rfasim.case import read_case
    from rfasim.preview.uploads import phantom

    shipped = read_case(Path(__file__).parents[1] / "cases/phantom.yaml")
    own = phantom(tmp_path)
    assert json.loads(json.dumps(shipped).replace("phantom/labels", "labels")) == own


def test_axisymmetric_cases_have_no_place_in_a_patient() -> None:
    with pytest.raises(InputError, match="axisymmetric"):
        Draft.read(Path(__file__).parents[1] / "cases/needle_axisymmetric.yaml")


def test_a_binary_message_holds_its_header_and_data() -> None:
    message = session.packed({"event": "zone", "dim": [1, 2, 3]}, b"abc")
    (n,) = struct.unpack_from("<I", message)
    assert json.loads(message[4 : 4 + n]) == {"event": "zone", "dim": [1, 2, 3]}
    assert message[4 + n :] == b"abc"
