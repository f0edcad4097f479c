"""The verb: choose rows, measure them in processes of their own, show, write, compare."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rfasim.bench import gate
from rfasim.bench.clock import machine
from rfasim.bench.rows import BYTES_PER_CELL, Row, choose
from rfasim.bench.tables import COLUMNS, exponent, ladders, lines_of, page, seconds, sentences
from rfasim.checkpoint import disk_errors, write_bytes
from rfasim.errors import InputError
from rfasim.threads import ONE_THREAD

AGAIN = 2
"""how often a row that was too slow is measured again: what is slow by chance is not slow three times"""


def main(words: Sequence[str] = (), *, quick: bool = False, list_only: bool = False, out: Path | None = None,
         against: Path | None = None, max_slowdown: float | None = None, as_json: bool = False, rounds: int = 1,
         peers: bool = False, pythons: Sequence[str] = ()) -> int:  # fmt: skip
    """Measure and show; 0 when all rows came out (and hold against the baseline), else 1. Raises InputError."""
    if peers:
        return _peers(quick, words, against, out, pythons, as_json)
    if pythons:
        raise InputError("--peer-python", "needs --peers")
    chosen = choose(words, quick)
    if list_only:
        return _list(chosen, as_json)
    most = gate.MAX_SLOWDOWN if max_slowdown is None else max_slowdown
    if not most > 1.0:
        raise InputError("--max-slowdown", f"is {most:g}; give a factor above 1, such as {gate.MAX_SLOWDOWN}")
    if max_slowdown is not None and against is None:
        raise InputError("--max-slowdown", "needs --against and the file to compare with")
    baseline = None if against is None else gate.read_baseline(against, quick)
    if out is not None:
        _prepare(out)
    facts = machine()
    if baseline is not None and (other := gate.differences(facts, baseline["machine"])):
        _say(f"warning: {against} is of another machine or other versions ({'; '.join(other)}); ratios may shift")
    rows: list[dict[str, Any]] = []
    for same in zip(*(measured(chosen, quick) for _ in range(rounds)), strict=True):
        rows.append(_median(same))
        if out is not None:  # what was measured stays when the rest is interrupted
            write(_file(rows, quick, facts), out, pictures=False)
    verdicts: list[gate.Verdict] = []
    if baseline is not None:
        before = {row["row"]: row for row in baseline["rows"]}
        wanted = None if not words else [row.name for row in chosen]
        for attempt in range(AGAIN + 1):
            verdicts = gate.judge({row["row"]: row for row in rows}, before, most, wanted)
            slow = {verdict.row for verdict in verdicts if verdict.slow}
            if not slow or attempt == AGAIN:
                break
            _say(f"too slow, measured again: {', '.join(sorted(slow))}")
            again = {row["row"]: row for row in measured([row for row in chosen if row.name in slow], quick)}
            rows = [_better(row, again.get(row["row"])) for row in rows]
    data = _file(rows, quick, facts)
    if verdicts:
        data["against"] = {"file": str(against), "max_slowdown": most, "rows": [vars(verdict) for verdict in verdicts]}
    if out is not None:
        write(data, out)
    if as_json:
        print(json.dumps(data, indent=2))
    else:
        _show(data, verdicts, most)
    broken = any("failed" in row for row in rows)
    return 1 if broken or any(verdict.missed for verdict in verdicts) else 0


def _file(rows: Sequence[dict[str, Any]], quick: bool, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What ``bench.json`` holds."""
    slopes = {label: exponent(ladder) for label, ladder in ladders(rows).items()}
    return {
        "format": gate.FORMAT, "quick": quick, "date": datetime.date.today().isoformat(), "machine": facts,
        "exponents": {label: slope for label, slope in slopes.items() if slope is not None}, "rows": list(rows),
    }  # fmt: skip


def _median(same: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of several measurements of a row the one in the middle."""
    came_out = sorted((row for row in same if "ratio" in row), key=lambda row: float(row["ratio"]))
    return came_out[(len(came_out) - 1) // 2] if came_out else same[0]


def _better(row: dict[str, Any], again: dict[str, Any] | None) -> dict[str, Any]:
    """The quicker of two measurements."""
    return again if again is not None and again.get("ratio", float("inf")) < row.get("ratio", float("inf")) else row


def measured(chosen: Sequence[Row], quick: bool) -> Iterator[dict[str, Any]]:
    """The rows' numbers, as they come. Rows that need no process of their own share one."""
    shared: dict[str, list[Row]] = {}
    for row in chosen:
        shared.setdefault(row.name if row.alone else row.name.split(".")[0], []).append(row)
    for group in shared.values():
        if reason := _too_large(group[0]):
            yield _said({"row": group[0].name, "skipped": reason}, group[0])
            continue
        found = _in_a_process([row.name for row in group], quick)
        for row in group:
            yield _said(found[row.name], row)


def _said(found: dict[str, Any], row: Row) -> dict[str, Any]:
    """The row with what it is, told to whoever watches."""
    whole = {"row": row.name, "what": row.what, "gated": row.gated, "alone": row.alone, **found}
    took = found.get("failed") or found.get("skipped") or seconds(found.get("warm_s") or found.get("cold_s"))
    _say(f"{row.name}: {took}")
    return whole


def _too_large(row: Row) -> str:
    """Why a row cannot be done in the memory that is free; nothing when it can."""
    from rfasim.doctor import GB, memory

    known, need = memory(), row.cells * BYTES_PER_CELL
    if known is None or need < known[1]:
        return ""
    return f"{row.cells:g} cells need about {need / GB:.1f} GB, {known[1] / GB:.1f} GB are free"


def _in_a_process(names: Sequence[str], quick: bool) -> dict[str, dict[str, Any]]:
    """Measure rows in a fresh process with one thread."""
    command = [sys.executable, "-m", "rfasim.bench.child", "quick" if quick else "full", *names]
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, encoding="utf-8", check=False
    )
    found = {row["row"]: row for row in map(json.loads, filter(None, done.stdout.splitlines()))}
    lines = done.stderr.strip().splitlines()
    reason = lines[-1] if lines else f"its process ended with {done.returncode}"
    return {name: found.get(name, {"row": name, "failed": reason}) for name in names}


def write(data: Mapping[str, Any], folder: Path, pictures: bool = True) -> None:
    """``bench.json``, ``bench.md`` and the pictures."""
    write_bytes(folder / "bench.json", (json.dumps(data, indent=1) + "\n").encode(), durable=False)
    write_bytes(folder / "bench.md", page(data).encode(), durable=False)
    if pictures:
        from rfasim.bench.pictures import draw

        with disk_errors(folder):
            draw(data["rows"], folder)


def _peers(quick: bool, words: Sequence[str], against: Path | None, out: Path | None, pythons: Sequence[str],
           as_json: bool) -> int:  # fmt: skip
    """The comparison with other libraries: table, ``peers.json`` and ``peers.md``; 1 when a library broke down or gave
    another answer."""
    from rfasim.bench import peers
    from rfasim.bench.tables import markdown
    from rfasim.terminal import print_columns

    if words or against is not None:
        raise InputError("--peers", "is a comparison of its own; leave out rows and --against")
    known, facts = peers.parse_pythons(pythons), machine()
    if out is not None:
        _prepare(out)
    command = [sys.executable, "-m", "rfasim.bench.peers", "quick" if quick else "full", json.dumps(known)]
    data: dict[str, Any] = {"format": gate.FORMAT, "quick": quick, "date": datetime.date.today().isoformat(),
                            "machine": facts, "rows": []}  # fmt: skip
    rows = data["rows"]
    with subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            row = json.loads(line)
            rows.append({**row, "note": peers.note(row)})
            said = ", ".join(filter(None, (seconds(row.get("cpu_s")), rows[-1]["note"])))
            _say(f"{row['task']} {row['code']}: {said}".lstrip())
            if out is not None:  # what was measured stays when the rest is interrupted
                write_bytes(out / "peers.json", (json.dumps(data, indent=1) + "\n").encode(), durable=False)
    if out is not None:
        more = [{"library": name, "what it does more": text} for name, text in peers.MORE.items()]
        said = f"{data['date']}, {facts['cpu']}, one thread each; CPU seconds."
        text = "\n\n".join(["# rfasim bench --peers", said, markdown(rows, peers.COLUMNS),
                            markdown(more, {"library": "", "what it does more": ""})])  # fmt: skip
        write_bytes(out / "peers.md", f"{text}\n".encode(), durable=False)
    if as_json:
        print(json.dumps(data, indent=2))
    else:
        cells = [["" if row.get(key) is None else format(row[key], spec) for key, spec in peers.COLUMNS.items()]
                 for row in rows]  # fmt: skip
        print_columns(tuple(peers.COLUMNS), cells)
        print("What each does more than rfasim:")
        print_columns(("library", "what it does more"), list(peers.MORE.items()))
    wrong = process.returncode != 0 or any("failed" in row or row.get("agrees") is False for row in rows)
    return 1 if wrong else 0


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--out", f"{folder} cannot be made: {error.strerror}") from None


def _list(chosen: Sequence[Row], as_json: bool) -> int:
    from rfasim.terminal import print_columns

    if as_json:
        print(json.dumps({row.name: {"what": row.what, "quick": row.quick} for row in chosen}, indent=2))
        return 0
    print_columns(("row", "--quick", "what is measured"), [(r.name, "yes" if r.quick else "", r.what) for r in chosen])
    return 0


def _show(data: Mapping[str, Any], verdicts: Sequence[gate.Verdict], most: float) -> None:
    from rfasim.terminal import print_columns

    print_columns(tuple(COLUMNS), lines_of(data["rows"]))
    for sentence in sentences(data):
        print(sentence)
    if not verdicts:
        return
    print(f"\nagainst {data['against']['file']}, at most {most:g} times as slow:")
    lines = []
    for verdict in verdicts:
        change = "" if verdict.change is None else f"{verdict.change:.2f}"
        said = "; ".join([*verdict.missed, *verdict.notes])
        lines.append((verdict.row, change, "MISSED" if verdict.missed else "ok", said))
    print_columns(("row", "times baseline", "", "why"), lines)
    missed = [verdict.row for verdict in verdicts if verdict.missed]
    print(f"{len(missed)} of {len(verdicts)} rows MISSED: {', '.join(missed)}" if missed else "all rows hold")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
