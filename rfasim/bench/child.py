"""A process that measures rows and prints each as a line of JSON: ``python -m rfasim.bench.child quick ROW...``."""

from __future__ import annotations

import json
import sys

from rfasim.bench.clock import Reference, bandwidth
from rfasim.bench.rows import rows
from rfasim.bench.work import carry_out


def main(quick: bool, names: list[str]) -> None:
    """Measure the rows one after the other; one that breaks down says so and the next begins."""
    known = {row.name: row for row in rows()}
    reference = Reference()
    reference()
    moved = bandwidth(240, 5) if any(name.startswith("micro.") for name in names) else None
    for name in names:
        try:
            row = carry_out(known[name].prepare, quick, reference)
        except Exception as error:  # whatever it was: it belongs into the row
            row = {"failed": f"{type(error).__name__}: {error}"}
        if moved is not None and "gb_per_s" in row:
            row |= {"bandwidth_gb_per_s": moved, "share_of_bandwidth": row["gb_per_s"] / moved}
        print(json.dumps({"row": name, "threads": 1, **row}, default=float), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] == "quick", sys.argv[2:])
