"""The folder of a study: what was asked, one row a finished run, and what else is kept.

    study.yaml            the study with every default, its case in it
    plan.npy, plan.json   what is drawn, or the rows of a list or table
    rows/                 a file a run that has just finished, until it is in the table
    table/*.parquet       the table, readable by pandas, polars and duckdb at any time

A worker writes its row as one file before it answers. Whoever conducts the study gathers these files into the table: a
part is written whole under another name, renamed, and only then its rows are deleted. So after a kill at any moment
each finished run is in the table or in ``rows``; where it is in both, the table counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rfasim import __version__
from rfasim.checkpoint import disk_errors, locked, write_atomically, write_bytes
from rfasim.errors import InputError, RunError
from rfasim.sweep.rows import INPUT, Row
from rfasim.sweep.study import Study, study_from_dict, study_yaml
from rfasim.tables import strict_json
from rfasim.yaml_io import parse_yaml

STUDY, ABOUT, PLAN, ROWS, TABLE, ATTEMPTS = "study.yaml", "study.json", "plan.npy", "rows", "table", "attempts"
PART_ROWS = 2000
TEXTS = ("status", "error", "rfasim_version", "case_sha256")


class Store:
    """The folder of one study. ``who`` names the part of the table that this process writes (a shard's own)."""

    def __init__(self, folder: Path, who: str = "") -> None:
        self.folder, self.who = folder, who
        self._part: tuple[Path, list[Row]] | None = None  # the part that still grows
        self._types: dict[str, Any] = {}
        self._inside: bytearray | None = None  # runs that are in the table, as far as this process knows

    @property
    def rows(self) -> Path:
        """Where rows lie that are not in the table yet."""
        return self.folder / ROWS

    @property
    def table(self) -> Path:
        """The folder of the table."""
        return self.folder / TABLE

    # ------------------------------------------------------------------------------------------------- the study

    def create(self, study: Study) -> None:
        """Write the study into the empty folder; ``study.json`` last, so that where it is all is there."""
        with disk_errors(self.folder):
            for name in (ROWS, TABLE, ATTEMPTS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            if study.rows is None:
                write_atomically(self.folder / PLAN, lambda temporary: _save_array(temporary, study.points))
            write_bytes(self.folder / STUDY, study_yaml(study).encode())
            about = {
                "study_sha256": study.sha256, "n_runs": study.n_runs, "rfasim_version": __version__, "format": 1,
            }  # fmt: skip
            write_bytes(self.folder / ABOUT, json.dumps(about, indent=2).encode())

    @property
    def exists(self) -> bool:
        """Whether a study is in the folder."""
        return (self.folder / ABOUT).is_file()

    def about(self) -> dict[str, Any]:
        """Hash and size of the study; raises InputError for a folder without one."""
        try:
            return dict(json.loads((self.folder / ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise InputError(str(self.folder), "holds no study; give a folder that 'rfasim sweep' wrote") from None

    def study_data(self) -> dict[str, Any]:
        """The study as plain data."""
        return dict(parse_yaml((self.folder / STUDY).read_text(encoding="utf-8"), STUDY))

    def study(self) -> Study:
        """The study, its points read from the disk as they are needed."""
        self.about()
        study = study_from_dict(self.study_data(), self.folder, check=False)
        if study.rows is None:
            study.__dict__["points"] = np.load(self.folder / PLAN, mmap_mode="r")
        return study

    # ------------------------------------------------------------------------------------------------- the rows

    def row_file(self, run: int) -> Path:
        """The file of a run's row."""
        return self.rows / f"{run}.json"

    def write_row(self, row: Row) -> None:
        """Write a row, whole or not at all."""
        data = json.dumps(strict_json(row), ensure_ascii=False).encode()
        write_bytes(self.row_file(row["run"]), data, durable=False)

    def finished(self) -> Iterator[int]:
        """The runs that have a row, in the table or beside it."""
        yield from self._in_table()
        yield from self._loose()

    def _in_table(self) -> Iterator[int]:
        import pyarrow.parquet as pq

        for part in self.parts():
            yield from pq.read_table(part, columns=["run"])["run"].to_pylist()

    def statuses(self) -> Iterator[tuple[int, str]]:
        """Each finished run with its status."""
        table = self.read(["run", "status"])
        yield from zip(table["run"].to_pylist(), table["status"].to_pylist(), strict=True)

    def errors(self, mine: Sequence[int] | range, most: int) -> list[tuple[int, str]]:
        """The first runs of ``mine`` without result, and why."""
        table = self.read(["run", "error"])
        pairs = zip(table["run"].to_pylist(), table["error"].to_pylist(), strict=True)
        return [(run, error) for run, error in pairs if error and run in mine][:most]

    def parts(self) -> list[Path]:
        """The files of the table."""
        return sorted(self.table.glob("*.parquet"))

    def _loose(self) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(name[:-5]) for name in os.listdir(self.rows) if re.fullmatch(r"\d+\.json", name))
        return []

    def gather(self, mine: Sequence[int] | range | None = None) -> int:
        """Put loose rows (those of ``mine``) into the table; how many. Raises RunError on a full disk."""
        loose = [run for run in self._loose() if mine is None or run in mine]
        done = 0
        for start in range(0, len(loose), PART_ROWS):  # what is in memory at a time must not grow with the study
            new: list[Row] = []
            for run in loose[start : start + PART_ROWS]:
                if self._known_runs()[run]:  # done again, by a worker that did not know
                    self.row_file(run).unlink(missing_ok=True)
                    continue
                with contextlib.suppress(OSError, ValueError):
                    new.append(json.loads(self.row_file(run).read_bytes()))
            if new:
                with self._alone():
                    self._append(new)
            done += len(new)
        return done

    def _known_runs(self) -> bytearray:
        """1 for each run in the table, as far as this process knows; looked up there once."""
        if self._inside is None:
            self._inside = bytearray(int(self.about()["n_runs"]))
            for run in self._in_table():
                self._inside[run] = 1
        return self._inside

    def _append(self, new: list[Row]) -> None:
        """Add rows to the table; a row counts as inside, and loses its file, once its part is on the disk."""
        schema = self._known_types()
        fresh = {key: _type(key, value) for row in new for key, value in row.items()
                 if key not in schema and (value is not None or key in TEXTS)}  # fmt: skip
        clash = {key: "string" for row in new for key, value in row.items()
                 if schema.get(key) == "number" and isinstance(value, str)}  # fmt: skip
        if self._part is None:
            self._part = self._open_part()
        path, rows = self._part
        if fresh or clash:
            schema = schema | fresh | clash
            for part in self.parts():
                if part != path:
                    _write_part(part, _read_part(part), schema)
        while new:
            room = PART_ROWS - len(rows)
            if room <= 0:
                (path, rows), room = (self._next_part(), []), PART_ROWS
            added, new = new[:room], new[room:]
            rows = rows + added
            _write_part(path, rows, schema)
            self._part, self._types = (path, rows), schema
            for row in added:
                self._known_runs()[row["run"]] = 1
                self.row_file(row["run"]).unlink(missing_ok=True)

    def _known_types(self) -> dict[str, str]:
        """Column -> number or string: of all parts, those of other shards too."""
        import pyarrow.parquet as pq

        found = dict(self._types)
        if self.who or not found:
            for part in self.parts():
                for field in pq.read_schema(part):
                    found.setdefault(field.name, "string" if str(field.type) == "string" else "number")
        self._types = found
        return found

    def _own_parts(self) -> list[Path]:
        return sorted(self.table.glob(f"part{self.who}-*.parquet"))

    def _next_part(self) -> Path:
        own = self._own_parts()
        number = int(own[-1].stem.rsplit("-", 1)[1]) + 1 if own else 0
        return self.table / f"part{self.who}-{number:06d}.parquet"

    def _open_part(self) -> tuple[Path, list[Row]]:
        own = self._own_parts()
        if own:
            rows = _read_part(own[-1])
            if len(rows) < PART_ROWS:
                return own[-1], rows
        return self._next_part(), []

    def drop_doubles(self, mine: Sequence[int] | range | None = None) -> None:
        """After a kill: delete loose rows that are in the table, and what was half written."""
        import pyarrow.parquet as pq

        loose = set(self._loose())
        for part in self.parts():
            for run in loose.intersection(pq.read_table(part, columns=["run"])["run"].to_pylist()):
                if mine is None or run in mine:
                    self.row_file(run).unlink(missing_ok=True)
        if mine is None:
            for left in (*self.table.glob("*.tmp"), *self.rows.glob("*.tmp"), *(self.folder / ATTEMPTS).glob("*")):
                left.unlink(missing_ok=True)

    def read(self, columns: list[str] | None = None) -> Any:
        """All finished runs as a pyarrow table in the order of their numbers, loose rows included.

        ``columns``: these, and ``run``. Raises InputError when there is none.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if columns is not None:
            columns = list(dict.fromkeys(["run", *columns]))

        tables = [pq.read_table(part, columns=columns) for part in self.parts()]
        inside = {run for table in tables for run in table["run"].to_pylist()}
        loose = []
        for run in self._loose():
            if run not in inside:
                with contextlib.suppress(OSError, ValueError):
                    loose.append(json.loads(self.row_file(run).read_bytes()))
        if loose:
            types = self._known_types() | {k: _type(k, v) for row in loose for k, v in row.items() if v is not None}
            wanted = types if columns is None else {name: types[name] for name in columns}
            tables.append(_arrow(loose, wanted))
        if not tables:
            raise InputError(str(self.folder), "has no finished run yet")
        return pa.concat_tables(tables, promote_options="permissive").sort_by("run")

    # ---------------------------------------------------------------------------------------------------- locks

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep others from conducting the same study: shards exclude the whole, and each shard itself.

        Raises RunError when somebody does it already. Where a file system has no locks, nothing is kept.
        """
        with contextlib.ExitStack() as held:
            whole = held.enter_context(locked(self.folder / ".lock", shared=bool(self.who)))
            own = held.enter_context(locked(self.folder / f".lock{self.who}", shared=False)) if self.who else True
            if not (whole and own):
                raise RunError(f"{self.folder} is being written by another 'rfasim sweep'; wait for it, or stop it")
            yield

    @contextlib.contextmanager
    def creating(self) -> Iterator[None]:
        """While the folder is made, nobody else makes it."""
        with locked(self.folder / ".lock.create", shared=False, wait=True):
            yield

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self.folder / ".lock.table", shared=False, wait=True):
            yield


# ------------------------------------------------------------------------------------------------------- parquet


def _type(key: str, value: Any) -> str:
    return "string" if key in TEXTS or isinstance(value, str) else "number"


def _arrow(rows: Sequence[Row], types: dict[str, str]) -> Any:
    import pyarrow as pa

    fields, columns = [], []
    for key, kind in types.items():
        values = [row.get(key) for row in rows]
        if key == "run":
            arrow = pa.int64()
        elif kind == "number":
            arrow, values = pa.float64(), [None if v is None else float(v) for v in values]
        else:
            arrow, values = pa.string(), [None if v is None else _word(v) for v in values]
        fields.append(pa.field(key, arrow))
        columns.append(pa.array(values, arrow))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_part(path: Path, rows: Sequence[Row], types: dict[str, str]) -> None:
    import pyarrow.parquet as pq

    table = _arrow(rows, types)
    write_atomically(path, lambda temporary: pq.write_table(table, temporary))


def _read_part(path: Path) -> list[Row]:
    import pyarrow.parquet as pq

    return list(pq.read_table(path).to_pylist())


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def inputs_of(columns: Iterable[str]) -> list[str]:
    """The columns that hold what varied."""
    return [name for name in columns if name.startswith(INPUT)]
