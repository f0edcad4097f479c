"""What a fuzzer (benchmarks/fuzz.py) found, cut down to what mattered: each file is refused with a sentence."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rfasim import cli
from rfasim.anatomy import packed, read_labels, read_scan
from rfasim.errors import InputError
from rfasim.markups import read_line
from rfasim.preview import uploads

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import fuzz

PLACED = "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"


# --------------------------------------------------------------------------------------------------------- markups


@pytest.mark.parametrize(
    "points",
    ["3", '"ab"', '{"a": 1}', "[1, 2]", '[{"position": [1' + "0" * 400 + ', 2, 3]}, {"position": [1, 2, 3]}]'],
)
def test_a_line_whose_points_are_none_is_refused(tmp_path: Path, points: str) -> None:
    path = tmp_path / "line.mrk.json"
    path.write_text(f'{{"markups": [{{"type": "Line", "controlPoints": {points}}}]}}', encoding="utf-8")
    with pytest.raises(InputError, match="it takes two that are placed"):
        read_line(path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b" " * 10_000_001], ids=["deep", "bytes", "long"])
def test_a_file_that_is_no_markups_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "line.mrk.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"no JSON|holds 0 lines"):
        read_line(path)


# ------------------------------------------------------------------------------------------------------------ NRRD


def _nrrd(path: Path, *lines: str, data: bytes = bytes(8), origin: str = "(0,0,0)") -> Path:
    fields = {"type": "uint8", "dimension": "3", "sizes": "2 2 2", "encoding": "raw"}
    fields |= dict(line.split(": ", 1) for line in lines if ":=" not in line)
    header = "".join(f"{key}: {value}\n" for key, value in fields.items())
    more = "".join(f"{line}\n" for line in lines if ":=" in line)
    path.write_bytes(f"NRRD0004\n{header}{PLACED}space origin: {origin}\n{more}\n".encode() + data)
    return path


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["Segment0_LabelValue:=null"], "label and layer of its segment 0 are no numbers"),
        (["Segment0_LabelValue:=1", "Segment0_Layer:=x"], "label and layer of its segment 0 are no numbers"),
        (["line skip: 2147483647"], "skips more lines than there are"),
        (["data file: /dev/zero"], "voxels in /dev/zero, which is no file"),
        (["data file: gone.raw"], "voxels in gone.raw, which is no file"),
        (["sizes: 100000 100000 100000"], "100000 x 100000 x 100000 voxels"),
    ],
)
def test_an_nrrd_header_that_leads_nowhere_is_refused(tmp_path: Path, lines: list[str], reason: str) -> None:
    pytest.importorskip("nrrd")
    with pytest.raises(InputError, match=reason):
        read_labels(_nrrd(tmp_path / "labels.seg.nrrd", *lines))


def test_an_nrrd_with_an_origin_in_the_plane_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("nrrd")
    with pytest.raises(InputError, match="one volume with three dimensions"):
        read_labels(_nrrd(tmp_path / "labels.nrrd", origin="(0,0)"))


def test_the_page_takes_no_image_whose_voxels_are_in_another_file(tmp_path: Path) -> None:
    pytest.importorskip("nrrd")
    (tmp_path / "secret").write_bytes(bytes(8))
    with pytest.raises(InputError, match="voxels in another file"):
        uploads.inspect(_nrrd(tmp_path / "labels.nrrd", f"data file: {tmp_path / 'secret'}"))


# ----------------------------------------------------------------------------------------------------------- bombs


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "deflate"])
def test_what_unpacks_to_more_is_noticed_without_unpacking_it_all(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import bz2

    monkeypatch.setattr(packed, "ALWAYS", 1000)
    for size in (0, 999, 3_000_000):
        content = bytes(size)
        deflated = zlib.compress(content, 9)[2:-4]
        data = {"gzip": gzip.compress(content), "bzip2": bz2.compress(content), "deflate": deflated}[kind]
        file = io.BytesIO(b"skipped" + data)
        file.seek(7)
        assert packed.unpacks_to_more(file, kind, 2_999_999) == (size == 3_000_000)
        file.seek(7)
        assert not packed.unpacks_to_more(file, kind, 3_000_000)
    assert not packed.unpacks_to_more(io.BytesIO(b"no " + kind.encode()), kind, 0)


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_a_bomb_in_an_nrrd_is_refused(tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import bz2

    pytest.importorskip("nrrd")
    monkeypatch.setattr(packed, "ALWAYS", 1000)
    data = (gzip.compress if encoding == "gzip" else bz2.compress)(bytes(100_000))
    with pytest.raises(InputError, match="far more than the voxels it announces"):
        read_labels(_nrrd(tmp_path / "labels.nrrd", f"encoding: {encoding}", data=data))


def _deflated(path: Path, content: bytes) -> Path:
    """The head of a deflated DICOM file and ``content``, packed."""
    pydicom = pytest.importorskip("pydicom")
    uid = pydicom.uid.DeflatedExplicitVRLittleEndian.encode()
    element = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(element)) + element
    path.write_bytes(head + zlib.compress(content, 9)[2:-4])
    return path


def test_a_bomb_in_a_deflated_dicom_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highdicom")
    _deflated(tmp_path / "small.dcm", bytes(10_000))
    with pytest.raises(InputError, match=r"no DICOM that can be read|no segmentation"):
        read_labels(tmp_path / "small.dcm")
    monkeypatch.setattr(packed, "ALWAYS", 1000)
    for read in (read_labels, read_scan):
        with pytest.raises(InputError, match="store it without deflate"):
            read(tmp_path)


def test_a_slice_whose_kind_cannot_be_read_is_no_slice(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    uid = pydicom.uid.ExplicitVRLittleEndian.encode() + b"\0"
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta
    (tmp_path / "0001.dcm").write_bytes(head + struct.pack("<HH2sH", 8, 0x16, b"WI", 4) + b"1.2\0")
    with pytest.raises(InputError, match="holds no slices of a DICOM scan"):
        read_scan(tmp_path)
    with pytest.raises(InputError, match="holds no DICOM that can be read"):
        read_labels(tmp_path)


# --------------------------------------------------------------------------------------------------------- results


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return dict(fuzz.TARGETS["result"].seeds(tmp_path_factory.mktemp("result")))


def _changed(data: bytes, path: str, value: Any) -> bytes:
    summary = json.loads(data)
    group, _, name = path.rpartition(".")
    (summary[group] if group else summary)[name] = value
    return json.dumps(summary).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run", None), ("run", {}), ("zone", []), ("case", 3), ("thermal.max_temperature_c", "hot"),
        ("run.simulated_s", "x"), ("electrical.mean_power_w", {}), ("tumour", 1.5),
        ("electrical.events", [{"reason": "roll_off"}]),
        ("zone.volume_ml", "1"), ("structures", 1.0), ("electrical.roll_offs", None),
    ],
)  # fmt: skip
def test_a_summary_that_is_none_is_refused(
    tmp_path: Path, files: dict[str, bytes], path: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    data = _changed(files["summary.json"], path, value)
    if path == "electrical.roll_offs":
        data = _changed(data, "electrical.roll_off_time_s", 3.0)
    (tmp_path / "summary.json").write_bytes(data)
    assert cli.main(["show", str(tmp_path), "--json"]) == 2
    assert "summary.json" in capsys.readouterr().err


def _edited(name: str, edit: Any, files: dict[str, bytes], folder: Path) -> str:
    """What is said of a folder in which the file has been edited; h5py's file, or the columns of a table."""
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq

    from rfasim.result import Result

    for other, data in files.items():
        (folder / other).write_bytes(data)
    if name == "fields.vtkhdf":
        with h5py.File(folder / name, "r+") as file:
            edit(file)
    else:
        columns = pq.read_table(io.BytesIO(files[name])).to_pydict()
        edit(columns)
        pq.write_table(pa.table(columns), folder / name)
    with pytest.raises(InputError) as caught:
        Result.read(folder)
    return str(caught.value)


def _replace(name: str, value: Any) -> Any:
    def edit(file: Any) -> None:
        del file[name]
        file[name] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_replace("VTKHDF/Points", 3.0), "damaged"),
        (_replace("VTKHDF/Connectivity", np.full(30, 2**31)), "points to nodes outside"),
        (_replace("VTKHDF/CellData/region", np.zeros(3, np.int32)), "damaged"),
        (_replace("VTKHDF/Steps/Values", b"x"), "damaged"),
        (_replace("VTKHDF/PointData/temperature_c", np.zeros(5, np.float32)), "a value for each node and time"),
        (_replace("rfasim/meta", "[1]"), "what the run was of"),
        (_replace("rfasim/meta", '{"electrodes": [null]}'), "damaged"),
        (_replace("rfasim/meta", '{"electrodes": [{"tip": [0, 0, 0], "direction": [0, 0, 0]}]}'), "point nowhere"),
        (_replace("rfasim/meta", '{"vessels": [{"points": [1, 2], "diameter": 1}]}'), "vessels are nowhere"),
        (_replace("rfasim/meta", '{"tissues": [3]}'), "tissues have no names"),
        (_replace("rfasim/region_names", "[]"), "names only 0 regions"),
    ],
)
def test_fields_that_fit_nothing_are_refused(
    tmp_path: Path, files: dict[str, bytes], edit: Any, reason: str
) -> None:
    assert reason in _edited("fields.vtkhdf", edit, files, tmp_path)


def test_an_array_that_announces_more_than_the_file_holds_is_not_made_room_for(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    def announce(file: Any) -> None:
        del file["VTKHDF/Points"]
        file["VTKHDF"].create_dataset("Points", shape=(10**11, 3), dtype="f8", chunks=(1000, 3), compression="gzip")

    assert "announces more than the file holds" in _edited("fields.vtkhdf", announce, files, tmp_path)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda columns: columns.update(power_w=["x"] * len(columns["time_s"])), "'power_w' holds no numbers"),
        (lambda columns: columns.pop("time_s"), "do not go on"),
        (lambda columns: columns["time_s"].reverse(), "do not go on"),
    ],
)
def test_readings_that_are_none_are_refused(tmp_path: Path, files: dict[str, bytes], edit: Any, reason: str) -> None:
    assert reason in _edited("history.parquet", edit, files, tmp_path)


# --------------------------------------------------------------------------------------------------------- fuzzing


@pytest.mark.parametrize("kind", ["yaml", "nrrd", "nifti", "markups", "checkpoint", "registration"])
def test_a_few_drawn_inputs_of_each_kind_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    import random

    pytest.importorskip("nibabel")
    pytest.importorskip("nrrd")
    target = fuzz.TARGETS[kind]
    target.start(tmp_path)
    told = {target.one(*target.draw(random.Random(number))) for number in range(40)}
    assert told == {"read", "refused"} or kind == "checkpoint"
