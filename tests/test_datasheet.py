"""Data sheets and drawings say what the devices are: values, sources, lengths, colours where the contacts are."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim import cli, datasheet
from rfasim.datasheet import CONTACT_COLOURS, INSULATION, UNKNOWN, Sheet, as_data, render
from rfasim.electrodes import ALL_DEVICES, Device
from rfasim.errors import InputError
from rfasim.quantities import parse

NAMES = [name for word, _, models in datasheet.families() for name in (word, *models)]
MODELS = [(kind, name) for kind in ALL_DEVICES for name in kind.MODELS]


@functools.cache
def make_sheet(name: str) -> Sheet:
    """Several tests read the same sheets."""
    return datasheet.make_sheet(name)


# ------------------------------------------------------------------------------------------------ what is printed


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_a_sheet_has_a_source_or_is_said_to_be_assumed(name: str) -> None:
    sheet = make_sheet(name)
    assert sheet.rows
    for row in sheet.rows:
        assert (row.source != "") == (row.value not in ("-", UNKNOWN)), row
    assert UNKNOWN not in [row.value for row in sheet.rows] or sheet.device is None
    assert sheet.about.endswith((".", ")", "..."))


@pytest.mark.parametrize(("kind", "name"), MODELS, ids=lambda item: item if isinstance(item, str) else "")
def test_a_sheet_shows_the_model_s_numbers_with_their_sources(kind: type[Device], name: str) -> None:
    model, rows = kind.MODELS[name], {row.name: row for row in make_sheet(name).rows}
    for parameter, datum in model.data.items():
        assert rows[parameter].source == datum.source
        if parameter.endswith(("length", "diameter", "spacing")) and isinstance(datum.value, str):
            assert parse(rows[parameter].value, "m", needs_unit=True) == parse(datum.value, "m", needs_unit=True)
    assert make_sheet(name).title == model.title


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("cooltip_20", {"contact": 0.020}),
        ("cooltip_cluster", {"contact": 0.025}),
        ("octopus", {"needle_1": 0.025, "needle_2": 0.025, "needle_3": 0.025}),
        ("celon_t30", {"distal": 0.0135, "proximal": 0.0135}),
        ("celon_multi_t20_2", {"distal_1": 0.0085, "proximal_1": 0.0085, "distal_2": 0.0085, "proximal_2": 0.0085}),
    ],
)
def test_measured_lengths_of_the_contacts_are_the_parameters(name: str, lengths: dict[str, float]) -> None:
    measured = {row.name: row.length for row in make_sheet(name).contacts}
    assert measured == pytest.approx(lengths, abs=1.001e-4)


def test_a_family_without_defaults_says_what_has_to_be_given() -> None:
    sheet = make_sheet("ball")
    assert sheet.device is None
    assert {row.name: row.value for row in sheet.rows}["radius"] == UNKNOWN
    with pytest.raises(InputError, match="no drawing, for it has no default for radius"):
        datasheet.write_drawing(sheet, Path("ball.png"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("celon_t3", "celon_t30"), ("bipolar", "bipolar_needle"), ("cool_needle", "cooled_needle"), ("xyz", "choose")],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(name: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' is no known device or model; .*{hint}"):
        datasheet.find(name)


def test_data_are_json_and_hold_contacts_outlets_and_returns() -> None:
    data = json.loads(json.dumps(as_data(make_sheet("celon_t40"))))
    assert data["family"] == "bipolar_needle"
    assert data["parameters"]["diameter"]["value"] == "1.8 mm"
    assert data["contacts"]["proximal"] == {"terminal": "proximal", "stage": 0, "length_mm": 18.5}
    assert (data["returns"], data["stages"], data["rated_power_w"]) == (["proximal"], 1, 60.0)
    wet = as_data(make_sheet("uniblate"))
    assert wet["thermocouples_mm"] == {"tip": [0.0, 0.0, 0.0]}
    assert len(wet["outlets_mm"]) == 8
    assert {round(np.hypot(x, y), 3) for x, y, _ in wet["outlets_mm"].values()} == {0.75}


# ------------------------------------------------------------------------------------------------ what is drawn


def colour_names(pixels: Any, device: Device) -> list[str]:
    """The part each pixel (n, 3) shows, told by its hue whatever the light."""
    palette = {"insulation": np.array(INSULATION)}
    for k, name in enumerate(device.terminals):
        palette[name] = np.array([int(CONTACT_COLOURS[k][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    hues = np.array([colour / np.linalg.norm(colour) for colour in palette.values()])
    own = pixels / np.linalg.norm(pixels, axis=1)[:, None]
    names = np.array([*palette])[np.argmax(own @ hues.T, axis=1)]
    names[(pixels == 1).all(axis=1)] = "nothing"
    return [str(name) for name in names]


def bipolar() -> Any:
    sheet = make_sheet("celon_t30")
    assert sheet.device is not None
    return sheet.device


def test_the_picture_shows_each_part_as_long_as_it_is() -> None:
    device = bipolar()
    low, high = np.array([-0.05, -0.005]), np.array([0.01, 0.005])
    picture = render(device, device.axis, device.rotation[:, 0], low, high, 600)  # 0.1 mm a pixel
    assert picture.shape == (100, 600, 3)
    row = colour_names(picture[50], device)
    counts = {name: row.count(name) for name in set(row)}
    # 50 mm of shaft: 13.5 distal, 3 insulator, 13.5 proximal, 20 insulated; 10 mm of nothing ahead of the tip
    assert counts == pytest.approx({"distal": 135, "proximal": 135, "insulation": 230, "nothing": 100}, abs=2)
    assert row[0] == "insulation"
    assert row[490] == "distal"
    column = colour_names(picture[:, 300], device)
    assert 100 - column.count("nothing") == pytest.approx(18, abs=1)  # the diameter


def test_the_front_view_shows_the_needles_where_they_are() -> None:
    device = make_sheet("octopus").device
    assert device is not None
    first = device.rotation[:, 0]
    corner = np.array([0.01, 0.01])
    picture = render(device, first, np.cross(device.axis, first), -corner, corner, 400)  # 0.05 mm a pixel
    for name, tip in zip(device.terminals, [point for _, point in device.thermocouples], strict=True):
        u, v = (tip @ way for way in (first, np.cross(device.axis, first)))
        pixel = picture[int((v + 0.01) / 5e-5), int((u + 0.01) / 5e-5)]
        assert colour_names(pixel[None], device) == [name]
    shown = int((picture < 1).any(axis=2).sum()) * 0.05**2
    assert shown == pytest.approx(3 * np.pi * 0.75**2, rel=0.03)


def test_drawings_are_files_of_their_kind(tmp_path: Path) -> None:
    sheet = make_sheet("cooltip_10")
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        datasheet.write_drawing(sheet, tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("file", "message"),
    [("a.gif", "ends in .png, .svg, .pdf"), ("missing/a.png", "does not exist; make it"), ("f.png", "is a folder")],
)
def test_a_drawing_that_cannot_be_written_is_refused(tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / "f.png").mkdir()
    with pytest.raises(InputError, match=message):
        datasheet.write_drawing(make_sheet("needle"), tmp_path / file)


# ------------------------------------------------------------------------------------------------ the command


def test_the_list_names_every_family_and_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in NAMES if name not in printed] == []
    assert cli.main(["devices", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {word: entry["models"] for word, entry in data.items()} == {
        word: list(models) for word, _, models in datasheet.families()
    }
    assert all("properties" in entry["schema"] for entry in data.values())


def test_a_name_prints_its_sheet_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["devices", "celon_t30"]) == 0
    printed = capsys.readouterr().out
    for words in ("Celon T30 class", "13.5 mm", "assumed", "return:        proximal", "rated power:   40 W"):
        assert words in printed
    assert printed.endswith("Picture: celon_t30.png\n")
    assert [path.name for path in tmp_path.iterdir()] == ["celon_t30.png"]


def test_json_draws_only_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["devices", "octopus", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["terminals"] == ["needle_1", "needle_2", "needle_3"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["devices", "nedle"], "rfasim: NAME: 'nedle' is no known device or model; did you mean needle"),
        (["devices", "--out", "a.png"], "rfasim: --out: is for the drawing of one device; name it"),
    ],
)
def test_bad_requests_end_with_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_sheets_are_made_without_loading_what_draws() -> None:
    probe = (
        "import sys, rfasim.datasheet as d; d.make_sheet('needle');"
        "print([m for m in ('matplotlib', 'pyvista', 'pint', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
