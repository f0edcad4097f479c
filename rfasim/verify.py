"""``rfasim verify``: the program against exact solutions, one row a claim; exit code 1 when a gate is missed.

Each check drives the public path (case -> domain -> simulation -> frames) wherever the claim is about it; the exact
numbers come from :mod:`rfasim.verification.exact`, which shares no code with it.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

from rfasim.errors import InputError, RunError
from rfasim.verification import bodies, books, columns, devices, manufactured, saline, vessels
from rfasim.verification.claims import Check, Claim

CHECKS: tuple[Check, ...] = (
    bodies.kohlrausch,
    bodies.sphere,
    bodies.spheroid,
    bodies.annulus,
    bodies.two_spheres,
    devices.kohlrausch,
    columns.stefan,
    vessels.tube,
    vessels.line,
    vessels.networks,
    vessels.border,
    vessels.at_rest,
    saline.darcy,
    saline.front,
    saline.carried,
    saline.warmed,
    saline.books,
    books.doses,
    manufactured.in_space,
    manufactured.in_time,
    books.admittance,
    books.ledger,
    books.dimensions,
)
"""All checks, in the order of the table."""


def claims(quick: bool = False) -> Iterator[Claim]:
    """Every claim, as soon as it is computed; a check that breaks down is a claim that is not met."""
    for check in CHECKS:
        try:
            yield from check(quick)
        except (InputError, RunError, ArithmeticError) as error:
            name = f"{check.__module__.rsplit('.', 1)[-1]}.{check.__name__}"
            yield Claim("Broken check", name, math.nan, math.nan, math.nan, 0.0, "", str(error))


def main(quick: bool = False, as_json: bool = False) -> int:
    """Print the table; 0 when every gate is met, else 1."""
    started = time.perf_counter()
    found: list[Claim] = []
    show = not as_json and sys.stderr.isatty()
    for claim in claims(quick):
        found.append(claim)
        if show:
            print(f"\r\x1b[K{len(found)} claims, last: {claim.group}", end="", file=sys.stderr, flush=True)
    if show:
        print("\r\x1b[K", end="", file=sys.stderr)
    missed = [claim for claim in found if not claim.met]
    seconds = time.perf_counter() - started
    if as_json:
        table = {"claims": [_plain(claim) for claim in found], "missed": len(missed), "seconds": seconds}
        print(json.dumps(table, indent=2))
    else:
        _print_table(found)
        verdict = "all gates met" if not missed else f"{len(missed)} gates MISSED"
        print(f"{len(found)} claims, {verdict}, {seconds:.0f} s")
        if not books.CASES.is_dir():
            print("The shipped cases are not here (they come with the source), so their ledgers were not checked.")
    return 1 if missed else 0


def _print_table(found: list[Claim]) -> None:
    from rfasim.terminal import print_columns

    rows = []
    group = ""
    for claim in found:
        rows.append(
            (
                claim.group if claim.group != group else "",
                claim.name,
                f"{claim.exact:.6g}",
                f"{claim.computed:.6g} {claim.unit}".rstrip(),
                f"{max(claim.error, 0.0):.1e}",
                f"{claim.gate:.0e}",
                "" if claim.met else "MISSED",
                claim.note,
            )
        )
        group = claim.group
    print_columns(("", "claim", "exact", "computed", "error", "gate", "", "note"), rows)


def _plain(claim: Claim) -> dict[str, Any]:
    """For JSON, which knows no NaN."""
    values = vars(claim) | {"met": claim.met}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
