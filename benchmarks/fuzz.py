"""Damaged files against the readers: each input is read within limits of time and memory, or refused with a sentence.

    python benchmarks/fuzz.py                          # a minute for each kind of file
    python benchmarks/fuzz.py nifti dicom --seconds 600
    python benchmarks/fuzz.py nrrd --replay fuzz-findings/nrrd-1234
    python benchmarks/fuzz.py yaml --atheris -max_total_time=600     # guided by coverage: pip install 'rfasim[fuzz]'

The seeds are what the program's own writers write; inputs are seeds with bytes, words or parts changed. A finding is
any exception that is no InputError or RunError, more than 5 s for an input, more than 1 GiB beyond what a process had
before, or a process that dies. Findings are kept as files in ``fuzz-findings``. The exit code is 1 when there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rfasim
from rfasim.errors import InputError, RunError

SECONDS = 5.0
"""for one input"""
MEMORY = 2**30
"""bytes beyond what the process holds when it begins"""
HUNG = 4 * SECONDS
"""after so long without an answer the process is ended: it hangs where no signal reaches it"""
Edit = Callable[[bytes, random.Random], bytes]


# ----------------------------------------------------------------------------------------------------------- edits

_NUMBERS = (0, 1, -1, 127, 128, 255, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -(2**31))
_WORDS = (
    "nan", "inf", "-inf", "0", "-1", "1e999", "1e-999", "9" * 400, "null", "true", "[]", "{}", "[[[[[[", "]]]]", "~",
    "''", "é😀", "\x00", "\ud7ff", "2147483647", "9223372036854775808", "1e9", "../../x", "/dev/zero", "&a [*a]",
    "!!python/x", "30 W", "-5 mm", "1e308 m", "9**9**9 m", ".inf", "0x7fffffff", "1 2 3 4", "((1,0,0)", "raw", "gzip",
    "bzip2", "ascii", "line skip: 2147483647\n", "data file: x\n",
    "double", "uint64", "block", "<", ">", '"', "<!DOCTYPE x [<!ENTITY a 'b'>]>",
)  # fmt: skip


def _bytes(data: bytes, rng: random.Random) -> bytes:
    """One to a few bytes, numbers or stretches changed."""
    out = bytearray(data)
    for _ in range(1 + int(rng.expovariate(0.5))):
        n = len(out)
        at = rng.randrange(n + 1) if rng.random() < 0.5 else min(int(rng.expovariate(1 / 300)), n)
        what = rng.randrange(7)
        if what == 0 and at < n:
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < n:
            out[at] = rng.randrange(256)
        elif what == 2:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(_NUMBERS) % 256**width
            out[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
        elif what == 3:
            del out[at : at + rng.choice((1, 2, 4, 16, 400, n))]
        elif what == 4:
            start = rng.randrange(n + 1)
            out[at:at] = out[start : start + rng.choice((1, 8, 64, 1000))]
        elif what == 5:
            start, length = rng.randrange(n + 1), rng.choice((1, 4, 16, 100))
            out[at : at + length] = out[start : start + length]
        else:
            out[at:at] = rng.randbytes(rng.choice((1, 4, 30)))
    return bytes(out)


def _words(data: bytes, rng: random.Random) -> bytes:
    """Words, numbers and lines of a text changed; what follows a text (the voxels of an image) is left alone."""
    end = data.find(b"\n\n") if data.startswith(b"NRRD") else -1
    text, rest = (data, b"") if end < 0 else (data[:end], data[end:])
    for _ in range(1 + int(rng.expovariate(0.7))):
        what = rng.randrange(4)
        if what == 0:
            lines = text.split(b"\n")
            k = rng.randrange(len(lines))
            lines[k:k] = [rng.choice(lines)] * rng.choice((1, 1, 2, 50))
            text = b"\n".join(lines)
        elif what == 1:
            lines = text.split(b"\n")
            del lines[rng.randrange(len(lines))]
            text = b"\n".join(lines)
        elif found := list(re.finditer(rb"[\w.+-]+|[^\w\s]+", text)):
            spot = rng.choice(found)
            word = rng.choice(found)[0] if what == 2 else rng.choice(_WORDS).encode("utf-8", "replace")
            text = text[: spot.start()] + word * rng.choice((1, 1, 1, 1, 300)) + text[spot.end() :]
    return text + rest


def _places(data: Any) -> list[tuple[Any, Any]]:
    pairs: list[Any] = list(data.items()) if isinstance(data, dict) else list(enumerate(data))
    found = [(data, key) for key, _ in pairs]
    for _, value in pairs:
        if isinstance(value, (dict, list)):
            found += _places(value)
    return found


_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 10**400, "", "x" * 5000, "nan", [], {}, [1], {"a": 1}, [[]], "30 W", "-1 mm",
    "é\U0001f600", float("nan"), float("inf"), "electrodes[0].contact", "12 min",
)  # fmt: skip


def _tree(data: Any, rng: random.Random) -> Any:
    """Parts of plain data (changed in place) taken away, swapped or replaced by what does not belong there."""
    for _ in range(1 + int(rng.expovariate(0.7))):
        places = _places(data)
        if not places:
            break
        group, key = rng.choice(places)
        what = rng.randrange(4)
        if what == 0:
            del group[key]
        elif what == 1:
            other, name = rng.choice(places)
            group[key] = json.loads(json.dumps(other[name]))
        elif what == 2 and isinstance(group, dict):
            group[str(rng.choice(_VALUES))[:40]] = group.pop(key)
        else:
            group[key] = rng.choice(_VALUES)
    return data


def _json(data: bytes, rng: random.Random) -> bytes:
    try:
        return json.dumps(_tree(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):
        return _bytes(data, rng)


def _yaml(data: bytes, rng: random.Random) -> bytes:
    from rfasim.yaml_io import dump_yaml, parse_yaml

    return dump_yaml(_tree(parse_yaml(data.decode(), "seed"), rng)).encode("utf-8", "replace")


def _unpacked(data: bytes, rng: random.Random) -> bytes:
    """What is inside a gzip changed, and packed again."""
    try:
        return gzip.compress(_bytes(gzip.decompress(data), rng), 1)
    except (OSError, EOFError, zlib.error):
        return _bytes(data, rng)


def _hdf5(data: bytes, rng: random.Random) -> bytes:
    """Parts of an HDF5 file taken away, or replaced by arrays of another kind and shape."""
    import h5py
    import numpy as np

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for _ in range(1 + int(rng.expovariate(0.7))):
            names: list[str] = []
            file.visit(names.append)
            if not names:
                break
            name = rng.choice(names)
            shape = tuple(rng.choice((0, 1, 3, 7)) for _ in range(rng.randrange(3)))
            new: Any = rng.choice((
                np.full(shape, rng.choice((0, -1, 2**31 - 1))), np.full(shape, np.nan), b"x", "[1]", "{}", "null",
                np.zeros(shape, "S4"), np.zeros(shape, [("a", "f8"), ("b", "i4")]),
            ))  # fmt: skip
            old = file[name]
            if rng.random() < 0.4 and isinstance(old, h5py.Dataset) and old.dtype.kind in "iuf" and old.size:
                new = old[()] if old.ndim == 0 else old[:]
                flat = np.atleast_1d(new).reshape(-1)
                flat[rng.randrange(flat.size)] = rng.choice((0, 1, 7, 100))
                new = flat.reshape(np.shape(new))
            attributes = dict(old.attrs)
            del file[name]
            if rng.random() < 0.8:
                file[name] = new
                for key, value in attributes.items():
                    if rng.random() < 0.7:
                        file[name].attrs[key] = value
    return buffer.getvalue()


def _parquet(data: bytes, rng: random.Random) -> bytes:
    """Columns of a table taken away, renamed, or of another kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    columns = {name: table[name].to_pylist() for name in table.column_names}
    for _ in range(1 + int(rng.expovariate(0.7))):
        if not columns:
            break
        name = rng.choice(list(columns))
        length = len(columns[name])
        what = rng.randrange(4)
        if what == 0:
            del columns[name]
        elif what == 1:
            columns[rng.choice(("x", "", "time_s", "é"))] = columns.pop(name)
        else:
            columns[name] = [rng.choice((None, float("nan"), -1.0, 1e308))] * length if what == 2 else ["x"] * length
    rows = min(map(len, columns.values()), default=0) * rng.choice((0, 1, 1))
    metadata = rng.choice((table.schema.metadata, {b"units": b"[1"}, {b"units": b"3"}, {}))
    new = pa.table({name: values[:rows] for name, values in columns.items()}).replace_schema_metadata(metadata)
    buffer = io.BytesIO()
    pq.write_table(new, buffer)
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------- targets


class Target:
    """A kind of file: seeds (name, content), how they are changed, and who reads the file that results."""

    def __init__(self, seeds: Callable[[Path], list[tuple[str, bytes]]], read: Callable[[Path], object], *edits: Edit):
        self.seeds, self.read, self.edits = seeds, read, edits

    def start(self, folder: Path) -> None:
        """Make the seeds; what is imported and compiled on the way does not count as an input's time and memory."""
        self.folder = folder
        (folder / "seeds").mkdir(exist_ok=True)
        self.made = self.seeds(folder / "seeds")
        (folder / "in").mkdir(exist_ok=True)
        for name, data in self.made:
            self.one(name, data)

    def draw(self, rng: random.Random) -> tuple[str, bytes]:
        name, data = rng.choice(self.made)
        edit = rng.choice(self.edits)
        try:
            return name, edit(data, rng)[: 2**20]
        except Exception:  # the edit led to something that cannot be written: any other one will do
            return name, _bytes(data, rng)

    def one(self, name: str, data: bytes) -> str:
        """Read an input: 'read' or 'refused'; whatever else is raised is a finding."""
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            self.read(path)
            return "read"
        except (InputError, RunError) as error:
            if not str(error).strip():
                raise AssertionError("a refusal without a sentence") from error
            return "refused"


CASES = Path(__file__).parents[1] / "cases"
STUDY = """\
name: two
case: {case}
vary:
  power: {{path: generator.power, low: 5 W, high: 30 W}}
  flow: {{path: tissues.liver.perfusion, mean: 0.01 1/s, sd: 0.002 1/s, low: 0.001 1/s}}
  size: {{path: electrodes[0].active_length, values: [20 mm, 30 mm]}}
correlations: [{{of: [power, flow], value: 0.3}}]
set: {{name: "run {{power}}"}}
design: {{kind: latin_hypercube, runs: 4}}
tables: [{{output: zone.volume_ml, by: [size]}}]
"""


def _case_seeds(_: Path) -> list[tuple[str, bytes]]:
    files = [*sorted(CASES.glob("*.yaml")), *sorted((CASES / "devices").glob("*.yaml"))]
    return [("case.yaml", file.read_bytes()) for file in files if b"anatomy" not in file.read_bytes()]


def _read_case(path: Path) -> None:
    from rfasim.case import case_from_dict, case_yaml, load_case
    from rfasim.yaml_io import parse_yaml

    case = load_case(path)
    again = case_from_dict(parse_yaml(case_yaml(case), "again"), from_file=True)
    assert again == case, "a case is another one when it is written and read again"


def _study_seeds(_: Path) -> list[tuple[str, bytes]]:
    shipped = [CASES / "studies" / name for name in ("cohort.yaml", "morris.yaml", "pringle.yaml")]
    texts = [file.read_text(encoding="utf-8") for file in shipped]
    texts.append(STUDY.format(case="needle_axisymmetric.yaml"))
    there = re.compile(r"^case: .*?([\w.]+\.yaml)$", re.MULTILINE)
    return [("study.yaml", there.sub(lambda m: f"case: {CASES / m[1]}", text).encode()) for text in texts]


def _read_study(path: Path) -> None:
    from rfasim.sweep import load_study

    load_study(path)


def _labels() -> Any:
    import numpy as np

    from rfasim.anatomy import LabelImage

    data = np.zeros((9, 8, 7), np.uint8)
    data[1:8, 1:7, 1:6], data[4:6, 3:5, 2:4] = 1, 2
    to_world = np.diag([0.9e-3, 0.7e-3, 5e-3, 1.0])
    to_world[:3, 3] = 0.01, -0.04, 0.08
    return LabelImage(data, to_world, {1: "Liver", 2: "Tumor_1"})


def _nifti_seeds(folder: Path) -> list[tuple[str, bytes]]:
    import numpy as np

    from rfasim.anatomy.writing import write_nifti

    image = _labels()
    out = []
    for name in ("labels.nii", "labels.nii.gz"):
        write_nifti(folder / name, image.data, image.to_world, image.names)
        out.append((name, (folder / name).read_bytes()))
    scan = np.random.default_rng(1).normal(50, 20, image.data.shape).astype(np.float32)
    write_nifti(folder / "scan.nii", scan, image.to_world)
    return [*out, ("scan.nii", (folder / "scan.nii").read_bytes())]


def _nrrd_seeds(folder: Path) -> list[tuple[str, bytes]]:
    import nrrd
    import numpy as np

    from rfasim.anatomy.writing import write_seg_nrrd

    image = _labels()
    write_seg_nrrd(folder / "labels.seg.nrrd", image)
    out = [("labels.seg.nrrd", (folder / "labels.seg.nrrd").read_bytes())]
    header: dict[str, Any] = {"space": "left-posterior-superior", "encoding": "raw"}
    header |= {"space directions": np.eye(3), "space origin": np.zeros(3)}
    for encoding in ("raw", "ascii", "bzip2"):
        nrrd.write(str(folder / "plain.nrrd"), image.data, header | {"encoding": encoding})
        out.append(("plain.nrrd", (folder / "plain.nrrd").read_bytes()))
    nrrd.write(str(folder / "apart.nhdr"), image.data, header, detached_header=True)
    (folder.parent / "in").mkdir(exist_ok=True)
    (folder.parent / "in/apart.raw").write_bytes((folder / "apart.raw").read_bytes())
    return [*out, ("apart.nhdr", (folder / "apart.nhdr").read_bytes())]


def _read_image(path: Path) -> None:
    from rfasim.anatomy import read_labels, read_scan

    refusal: Exception | None = None
    for read in (read_labels, read_scan):
        try:
            read(path)
        except InputError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def _series(folder: Path) -> list[Any]:
    import numpy as np

    from rfasim.anatomy.writing import scan_slices, write_dicom_scan

    image = _labels()
    values = np.random.default_rng(1).normal(50, 20, image.data.shape).astype(np.int16)
    series = scan_slices(values, image.to_world)
    write_dicom_scan(folder, series)
    return series


def _dicom_seeds(folder: Path) -> list[tuple[str, bytes]]:
    from rfasim.anatomy.writing import write_dicom_seg

    write_dicom_seg(folder / "seg.dcm", _labels(), _series(folder / "scan"))
    return [("seg.dcm", (folder / "seg.dcm").read_bytes())]


def _slice_seeds(folder: Path) -> list[tuple[str, bytes]]:
    _series(folder.parent / "in/scan")
    files = sorted((folder.parent / "in/scan").glob("*.dcm"))
    return [(f"scan/{file.name}", file.read_bytes()) for file in files[:3]]


def _read_slices(path: Path) -> None:
    from rfasim.anatomy import read_scan

    try:
        read_scan(path.parent)
    finally:  # only one slice at a time is damaged
        for name, data in TARGETS["slices"].made:
            if path.name in name:
                path.write_bytes(data)


def _line_seeds(_: Path) -> list[tuple[str, bytes]]:
    points = [{"position": [-168.0, 0.0, -10.0], "positionStatus": "defined"}, {"position": [-77, -5, 22]}]
    line = {"type": "Line", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
    return [("line.mrk.json", json.dumps({"@schema": "x", "markups": [line]}).encode())]


def _read_markups(path: Path) -> None:
    from rfasim.markups import read_line

    read_line(path)


def _mesh_seeds(folder: Path) -> list[tuple[str, bytes]]:
    import meshio
    import numpy as np

    from rfasim.domain import build_domain
    from rfasim.mesh_io import write_mesh

    write_mesh(build_domain(_small_case()).mesh, folder / "mesh.vtu")
    points = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    cells = [("tetra", [[0, 1, 2, 3]]), ("triangle", [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])]
    tags = [np.array([1]), np.array([2, 3, 3, 3])]
    names = {"tissue": [1, 3], "electrodes[0].contact": [2, 2], "outer": [3, 2]}
    one = meshio.Mesh(
        points, cells, cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data={name: np.array(pair) for name, pair in names.items()},
    )  # fmt: skip
    out = [("mesh.vtu", (folder / "mesh.vtu").read_bytes()), ("mesh.msh", GMSH41.encode())]
    for binary in (False, True):
        meshio.write(folder / "mesh.msh", one, file_format="gmsh22", binary=binary)
        out.append(("mesh.msh", (folder / "mesh.msh").read_bytes()))
    groups = {"tissue": ([1], [0] * 4), "electrodes[0].contact": ([0], [1, 0, 0, 0]), "outer": ([0], [0, 1, 1, 1])}
    data = {"region": [np.array([0]), np.full(4, -1)]}
    data |= {f"group:{name}": [np.array(part) for part in parts] for name, parts in groups.items()}
    meshio.vtu.write(folder / "text.vtu", meshio.Mesh(points, cells, cell_data=data), binary=False)
    return [*out, ("text.vtu", (folder / "text.vtu").read_bytes())]


GMSH41 = """\
$MeshFormat
4.1 0 8
$EndMeshFormat
$PhysicalNames
3
1 1 "electrodes[0].contact"
1 2 "outer"
2 3 "tissue"
$EndPhysicalNames
$Entities
0 2 1 0
1 0 0 0 1 0 0 1 1 0
2 0 0 0 1 1 0 1 2 0
1 0 0 0 1 1 0 1 3 2 1 2
$EndEntities
$Nodes
1 4 1 4
2 1 0 4
1
2
3
4
1 0 0
2 0 0
2 1 0
1 1 0
$EndNodes
$Elements
3 6 1 6
1 1 1 1
1 1 2
1 2 1 3
2 2 3
3 3 4
4 4 1
2 1 2 2
5 1 2 3
6 1 3 4
$EndElements
"""


def _read_mesh(path: Path) -> None:
    from rfasim.mesh_io import read_mesh

    read_mesh(path)


def _small_case() -> Any:
    from rfasim.case import load_case

    changes = {"mesh.size": "1.5 mm", "mesh.zone_size": "5 mm", "generator.duration": "20 s"}
    return load_case(CASES / "needle_axisymmetric.yaml", [*changes.items(), ("output.frames_every", "10 s")])


def _result_seeds(folder: Path) -> list[tuple[str, bytes]]:
    from rfasim import cli
    from rfasim.case import case_yaml

    (folder / "case.yaml").write_text(case_yaml(_small_case()), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main(["run", str(folder / "case.yaml"), "--out", str(folder / "run"), "--no-pictures", "--quiet"])
        assert code == 0
    files = [(name, (folder / "run" / name).read_bytes()) for name in
             ("summary.json", "history.parquet", "probes.parquet", "fields.vtkhdf", "case.yaml")]  # fmt: skip
    (folder.parent / "in").mkdir(exist_ok=True)
    for name, data in files:
        (folder.parent / "in" / name).write_bytes(data)
    return files


def _result_edit(data: bytes, rng: random.Random) -> bytes:
    edits: tuple[Edit, ...] = (_bytes,)
    if data.startswith(b"{"):
        edits = (_json, _json, _words)
    elif data.startswith(b"PAR1"):
        edits = (_parquet, _bytes)
    elif data.startswith(b"\x89HDF"):
        edits = (_hdf5, _hdf5, _bytes)
    return rng.choice(edits)(data, rng)


def _read_result(path: Path) -> None:
    """What ``rfasim show`` and ``rfasim export`` do with a folder in which one file is damaged."""
    from rfasim.plot import draw_history, draw_section
    from rfasim.result import Result, damaged
    from rfasim.scene import read_scene
    from rfasim.terminal import summary_rows

    try:
        result = Result.read(path.parent)
        with damaged(path):
            summary_rows(result.summary)
        draw_section(result)
        draw_history(result)
        read_scene(path.parent)
    finally:
        for name, data in TARGETS["result"].made:
            if name == path.name:
                path.write_bytes(data)


def _checkpoint_seeds(folder: Path) -> list[tuple[str, bytes]]:
    import numpy as np

    from rfasim.checkpoint import write_checkpoint

    write_checkpoint(folder, 2, {"temperature": np.arange(9.0), "rfasim": {"history": []}, "number": 3, "name": "x"})
    return [("checkpoint.0", (folder / "checkpoint.0").read_bytes())]


def _read_checkpoint(path: Path) -> None:
    from rfasim.checkpoint import read_checkpoint

    read_checkpoint(path.parent)


def _upload_seeds(folder: Path) -> list[tuple[str, bytes]]:
    return [*_nifti_seeds(folder), *_nrrd_seeds(folder)[:-1], *_dicom_seeds(folder)]


def _read_upload(path: Path) -> None:
    from rfasim.preview.uploads import case_of, inspect, safe_name

    safe_name(path.name)
    found = inspect(path)
    if found["what"] == "labels":
        case_of(path, {str(row["number"]): row["role"] for row in found["labels"]})


def _registration_seeds(_: Path) -> list[tuple[str, bytes]]:
    return [("motion.txt", b"1 0 0 5\n0 1 0 -2\n0 0 1 0.5\n0 0 0 1\n")]


def _read_registration(path: Path) -> None:
    from rfasim.agreement import read_registration

    read_registration(path)


TARGETS: dict[str, Target] = {
    "yaml": Target(_case_seeds, _read_case, _words, _words, _yaml, _bytes),
    "study": Target(_study_seeds, _read_study, _words, _yaml, _yaml, _bytes),
    "nifti": Target(_nifti_seeds, _read_image, _bytes, _unpacked),
    "nrrd": Target(_nrrd_seeds, _read_image, _words, _words, _bytes),
    "dicom": Target(_dicom_seeds, _read_image, _bytes),
    "slices": Target(_slice_seeds, _read_slices, _bytes),
    "markups": Target(_line_seeds, _read_markups, _json, _words, _bytes),
    "mesh": Target(_mesh_seeds, _read_mesh, _words, _words, _bytes),
    "result": Target(_result_seeds, _read_result, _result_edit),
    "checkpoint": Target(_checkpoint_seeds, _read_checkpoint, _bytes),
    "upload": Target(_upload_seeds, _read_upload, _bytes, _words, _unpacked),
    "registration": Target(_registration_seeds, _read_registration, _words, _bytes),
}


# ---------------------------------------------------------------------------------------------------------- limits


class TooSlow(BaseException):
    """An input took longer than it may; no reader may catch this by catching all exceptions."""


def _pages(field: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[field]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _work(kind: str, folder: Path, seed: int, seconds: float, say: Any) -> None:
    """Draw and read inputs until the time is over; a line of JSON for every finding, and one at the end."""
    import resource

    target = TARGETS[kind]
    target.start(folder)
    gc.collect()
    limit = _pages(0) + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    base = _pages(1)
    end = time.monotonic() + seconds
    counts = {"read": 0, "refused": 0, "finding": 0}
    number = seed
    while time.monotonic() < end:
        number += 1
        name, data = target.draw(random.Random(number))
        (folder / "now").write_bytes(data)
        say({"at": number, "name": name})
        what = reason = ""
        try:
            with _in_time():
                what = target.one(name, data)
        except TooSlow:
            reason = f"more than {SECONDS:g} s"
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f for f in frames if "/rfasim/" in f.filename] or list(frames)
            at = ", ".join(f"{Path(f.filename).name}:{f.lineno}" for f in (ours[-1], frames[-1]))
            reason = f"{type(error).__name__} at {at}: {str(error)[:150]}"
        if not reason and number % 20 == 0 and _pages(1) - base > MEMORY // 2:
            gc.collect()
            if _pages(1) - base > MEMORY // 2:
                reason, base = f"memory grows: {(_pages(1) - base) >> 20} MiB more than at the start", _pages(1)
        counts["finding" if reason else what] += 1
        if reason:
            say({"finding": reason, "name": name})
    say({"done": counts, "last": number})


def fuzz(kind: str, seconds: float, seed: int, keep: Path) -> tuple[int, dict[str, int]]:
    """Inputs of one kind for so many seconds: how many were read, and the findings by their reason."""
    total, found = 0, dict[str, int]()
    end, number = time.monotonic() + seconds, seed
    while (left := end - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory(prefix="rfasim-fuzz-") as temporary:
            folder = Path(temporary)
            command = [sys.executable, __file__, kind, "--child", temporary]
            command += ["--seed", str(number), "--seconds", str(left)]
            log = folder / "log"  # libraries warn a lot, and a pipe that nobody empties would stop them
            with log.open("wb") as noise:
                process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noise, text=True, bufsize=1)
            last = {"at": number, "name": "in"}
            done = False
            assert process.stdout is not None
            watch = _Watch(process)
            for line in process.stdout:
                watch.heard = time.monotonic()
                message = json.loads(line)
                if "at" in message:
                    last, total = message, total + 1
                    watch.begun = True
                elif "finding" in message:
                    _keep(keep, kind, last["at"], message["name"], folder, message["finding"], found)
                else:
                    done = True
            watch.over = True
            code = process.wait()
            errors = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
            if done:
                break
            if not watch.begun:
                raise RuntimeError(f"{kind} did not start: {' '.join(errors)}")
            died = f"the process died ({code}): {' '.join(errors)[-200:]}"
            why = f"no answer for {HUNG:g} s" if watch.ended else died
            _keep(keep, kind, last["at"], last["name"], folder, why, found)
            number = int(last["at"])
    return total, found


class _Watch:
    """Ends a process that says nothing for too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        import threading

        self.process, self.heard, self.over, self.ended, self.begun = process, time.monotonic(), False, False, False
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.over:
            time.sleep(0.5)
            if self.begun and time.monotonic() - self.heard > HUNG and not self.over:
                self.ended = True
                self.process.kill()
                return


def _keep(keep: Path, kind: str, number: int, name: str, folder: Path, reason: str, found: dict[str, int]) -> None:
    place = reason.split(": ")[0]
    found[place] = found.get(place, 0) + 1
    if found[place] > 3:
        return
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{kind}-{number}-{Path(name).name}"
    path.write_bytes((folder / "now").read_bytes())
    print(f"{kind}: {reason}\n    {path}", flush=True)


def _compiled() -> list[str]:
    """Modules with kernels: their bytecode is numba's, which cannot compile what counts its own lines."""
    package = Path(rfasim.__file__).parent
    return [
        ".".join(file.relative_to(package.parent).with_suffix("").parts)
        for file in package.rglob("*.py")
        if "from rfasim.jit import" in file.read_text(encoding="utf-8")
    ]


def _guided(kind: str, arguments: list[str]) -> None:
    """Inputs that atheris makes, guided by which lines of Python they reach; it stops at the first finding."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    target = TARGETS[kind]
    folder = Path(tempfile.mkdtemp(prefix="rfasim-fuzz-"))
    readers = ["rfasim", "nrrd", "nibabel", "pydicom", "highdicom", "meshio", "ruamel"]
    with atheris.instrument_imports(include=readers, exclude=_compiled()):
        target.start(folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, (_, data) in enumerate(target.made):
        (corpus / str(number)).write_bytes(data)
    name = target.made[0][0]

    def one(data: bytes) -> None:
        target.one(name, data)

    atheris.Setup([sys.argv[0], f"-timeout={SECONDS:g}", "-rss_limit_mb=4096", *arguments, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each kind")
    parser.add_argument("--seed", type=int, default=0, help="other seeds draw other inputs")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs that are findings")
    parser.add_argument("--replay", type=Path, help="read this one file and show what happens")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage; further words go to libFuzzer")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options, further = parser.parse_known_args()
    if unknown := [kind for kind in options.kinds if kind not in TARGETS]:
        parser.error(f"{unknown[0]} is no kind; there are {', '.join(TARGETS)}")
    if further and not options.atheris:
        parser.error(f"unknown: {' '.join(further)}")
    if options.child is not None:
        out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        os.dup2(2, 1)  # what libraries print is no message
        _work(options.kinds[0], options.child, options.seed, options.seconds, lambda m: out.write(json.dumps(m) + "\n"))
        return 0
    if options.atheris:
        _guided(options.kinds[0], further)
        return 0
    if options.replay is not None:
        with tempfile.TemporaryDirectory() as temporary:
            target = TARGETS[options.kinds[0]]
            target.start(Path(temporary))
            fitting = (n for n, _ in target.made if options.replay.name.endswith(Path(n).name))
            name = next(fitting, target.made[0][0])  # atheris gives names of its own
            print(target.one(name, options.replay.read_bytes()))
        return 0
    findings = 0
    for kind in options.kinds or TARGETS:
        total, found = fuzz(kind, options.seconds, options.seed, options.keep)
        findings += sum(found.values())
        print(f"{kind}: {total} inputs in {options.seconds:g} s, {sum(found.values())} findings of {len(found)} kinds",
              flush=True)  # fmt: skip
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
