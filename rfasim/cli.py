"""The command ``rfasim``: verbs, messages, exit codes (0 done, 1 failed run, 2 bad input, 130 interrupted).

Nothing heavy is imported before a verb needs it, so that ``rfasim --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rfasim.errors import InputError, RunError

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.frame import Frame

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """argparse with one sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}; '{self.prog} --help' shows what it takes\n")


def _assignment(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise argparse.ArgumentTypeError(
            f"'{text}' is no assignment; write for example generator.power=\"20 W\""
        )
    return path.strip(), value.strip()


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of threads; give 1 or more")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from rfasim import __version__

    shared = _Parser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an unexpected error")
    parser = _Parser(prog="rfasim", description="Radiofrequency ablation of liver tumours, simulated.")
    parser.add_argument("--version", action="version", version=f"rfasim {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, act: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help, description=help, parents=[shared])
        added.set_defaults(act=act)
        return added

    run = verb("run", run_case, "simulate a case file and write a result folder")
    run.add_argument("case", metavar="CASE", type=Path, help="case file (.yaml)")
    run.add_argument(
        "--out", metavar="DIR", type=Path, help="result folder (default: runs/<name of the case>)"
    )
    run.add_argument(
        "--set", metavar='PATH="VALUE"', type=_assignment, action="append", default=[], dest="overrides",
        help="change a field of the case, such as --set generator.power=\"20 W\"; may be repeated",
    )  # fmt: skip
    run.add_argument(
        "--dry-run", action="store_true", help="only show the resolved case and what it will cost"
    )
    run.add_argument("--json", action="store_true", help="print the summary as JSON")
    kept = run.add_mutually_exclusive_group()
    kept.add_argument("--resume", action="store_true", help="go on with the interrupted run in DIR")
    kept.add_argument("--overwrite", action="store_true", help="replace the result in DIR")
    run.add_argument("--quiet", action="store_true", help="no progress")
    run.add_argument("--no-pictures", action="store_true", help="leave the pictures to 'rfasim show'")
    run.add_argument("--threads", metavar="N", type=_threads, help="threads (default: as in the case, 1)")

    show = verb("show", show_result, "draw the pictures of a result folder and print its numbers")
    show.add_argument("folder", metavar="DIR", type=Path)
    show.add_argument("--json", action="store_true", help="print the summary as JSON")

    verify = verb("verify", verify_physics, "compare with exact solutions; exit 1 when a gate is missed")
    verify.add_argument("--quick", action="store_true", help="a selection that takes seconds")
    verify.add_argument("--json", action="store_true", help="print the table as JSON")

    validate = verb("validate", validate_physics, "compare with published experiments, in standard deviations")
    validate.add_argument(
        "studies", metavar="STUDY", nargs="*",
        help="name of a shipped study or path of a study file (default: all shipped ones)",
    )  # fmt: skip
    validate.add_argument("--quick", action="store_true", help="a few cells of each study")
    validate.add_argument("--json", action="store_true", help="print everything as JSON")
    validate.add_argument(
        "--out", metavar="DIR", type=Path, help="also write each study as page, JSON and plot into DIR"
    )

    verb("schema", print_schema, "print the JSON Schema of case files, for editors")
    doctor = verb("doctor", check_system, "check libraries, caches, threads, memory and disk")
    doctor.add_argument("--json", action="store_true", help="print what was found as JSON")
    tissues = verb("tissues", list_tissues, "list the named tissues with their values and sources")
    tissues.add_argument("--frequency", default="480 kHz", help="for the conductivity (default: 480 kHz)")
    tissues.add_argument("--json", action="store_true", help="print all properties as JSON")
    devices = verb("devices", list_devices, "list the devices, or print the data sheet of one and draw it")
    devices.add_argument("name", metavar="NAME", nargs="?", help="a family or a model, such as celon_t30")
    devices.add_argument("--out", metavar="FILE", type=Path, help="the drawing (default: NAME.png)")
    devices.add_argument("--json", action="store_true", help="print the data as JSON; draws with --out only")
    protocols = verb("protocols", list_protocols, "list the generators' protocols and presets, or print one's values")
    protocols.add_argument("name", metavar="NAME", nargs="?", help="a protocol or a preset, such as cooltip_pulsed")
    protocols.add_argument("--json", action="store_true", help="print the data as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. No traceback gets through, unless with ``--debug``."""
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as exit_:  # argparse has said why
        return int(exit_.code or 0)
    try:
        code: int = options.act(options)
        sys.stdout.flush()
        return code
    except InputError as error:
        _say(str(error))
        return BAD_INPUT
    except RunError as error:
        _say(str(error))
        return FAILED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has seen enough ("rfasim schema | head"); keep Python from complaining on the way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if options.debug:
            raise
        _say(f"unexpected {type(error).__name__}: {error} (this is a mistake in rfasim; --debug shows where)")
        return FAILED


def _say(message: str) -> None:
    first, *rest = message.splitlines() or [""]
    if rest:  # several problems, a line each
        print(f"rfasim: {len(rest) + 1} problems", first, *rest, sep="\n  ", file=sys.stderr)
    else:
        print(f"rfasim: {first}", file=sys.stderr)


# -------------------------------------------------------------------------------------------------------- run


def run_case(options: argparse.Namespace) -> int:
    """Simulate a case file into a result folder."""
    from rfasim.case import load_case

    threads = [] if options.threads is None else [("solver.threads", str(options.threads))]
    case = load_case(options.case, [*options.overrides, *threads])
    base = options.case.resolve().parent
    if options.dry_run:
        return _dry_run(case, base, as_json=options.json)
    out: Path = options.out or Path("runs") / folder_name(case.name)
    checkpoint = _prepare_folder(out, case, resume=options.resume, overwrite=options.overwrite)
    changes = [word for path, value in options.overrides for word in ("--set", f"{path}={value}")]
    again = shlex.join(["rfasim", "run", str(options.case), *changes, "--out", str(out), "--resume"])
    try:
        summary, interrupted = _simulate(case, base, out, checkpoint, quiet=options.quiet)
    except KeyboardInterrupt:
        _say(f"interrupted at once; if {out} holds a checkpoint, this goes on from it: {again}")
        return INTERRUPTED
    pictures = [] if options.no_pictures else _draw(out, quiet=options.quiet)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        from rfasim.terminal import print_rows, summary_rows

        print_rows(summary_rows(summary), case.name)
        print(f"Files: {out}")
        for picture in pictures:
            print(f"Picture: {picture}")
    if interrupted:
        _say(f"interrupted; what was done by then is in {out}, and this goes on from there: {again}")
        return INTERRUPTED
    return DONE


def folder_name(name: str) -> str:
    """The name of a case as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "case"


def _prepare_folder(out: Path, case: Case, *, resume: bool, overwrite: bool) -> Any:
    """See that ``out`` can take the result; the checkpoint to go on from, or None."""
    from rfasim.case import case_from_dict
    from rfasim.result import load_checkpoint
    from rfasim.yaml_io import parse_yaml

    if out.exists() and not out.is_dir():
        raise InputError("--out", f"{out} is a file; give a folder")
    filled = out.is_dir() and any(out.iterdir())
    if not resume:
        if filled and not overwrite:
            ways = (
                "another folder, --overwrite to replace the result in it, or --resume to go on with its run"
            )
            raise InputError("--out", f"{out} is not empty; give {ways}")
        return None
    checkpoint = load_checkpoint(out) if filled else None
    if checkpoint is None:
        raise InputError("--resume", f"{out} holds no run that could go on; leave --resume out to start one")
    started = case_from_dict(parse_yaml(checkpoint.case_yaml, f"{out}: checkpoint"), from_file=True)
    old, new = (_comparable(c) for c in (started, case))
    if old != new:
        raise InputError(
            "--resume", f"the case is not the one of the run in {out}: {_first_difference(old, new)}"
        )
    return checkpoint


def _comparable(case: Case) -> dict[str, Any]:
    """What makes two runs the same; the number of threads and the folder of a named file do not count."""
    data = case.model_dump(mode="json")
    del data["solver"]["threads"]
    if data["mesh"]["file"] is not None:
        data["mesh"]["file"] = Path(data["mesh"]["file"]).name
    for image in (data["anatomy"] or {"labels": []})["labels"]:
        image["file"] = Path(image["file"]).name
    return data


def _first_difference(old: Any, new: Any, path: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    return f"{path} was {old} and is {new}"


def _simulate(
    case: Case, base: Path, out: Path, checkpoint: Any, *, quiet: bool
) -> tuple[dict[str, Any], bool]:
    """Run the case and write the result; the summary, and whether the user interrupted it."""
    from rfasim.case import case_yaml, rebased
    from rfasim.domain import build_domain
    from rfasim.progress import Progress
    from rfasim.result import ResultWriter
    from rfasim.simulation import Simulation, summary_of

    started = time.perf_counter()
    if not quiet:
        _say("building the mesh (the very first run also compiles the kernels, which takes a minute or two)")
    domain = build_domain(case, base)
    mesh_seconds = time.perf_counter() - started
    simulation = Simulation(case, base, domain)
    if checkpoint is not None:
        simulation.load_state(checkpoint.state)
        if not quiet:
            _say(f"going on from {checkpoint.time:.1f} s")
    meta = {
        "title": case.name,
        "criterion": case.zone.criterion,
        "tissues": list(domain.tissue_names),
        "electrodes": [
            {"name": device.device, "tip": device.tip_point.tolist(), "direction": device.axis.tolist()}
            for device in case.electrodes
        ],
    }
    resolved = case_yaml(rebased(case, base, out))
    cell_data = {"tissue": domain.cell_tissue}
    last: Frame | None = None
    status, saved = "complete", time.monotonic()
    begin = 0.0 if checkpoint is None else checkpoint.time
    shown = None if quiet else Progress(case.generator.duration, start=begin)
    with (
        ResultWriter(out, resolved, domain.mesh, meta, resume=checkpoint, cell_data=cell_data) as writer,
        shown or contextlib.nullcontext(),
        _stop_requests() as stop,
    ):

        def summarise(at: Frame) -> dict[str, Any]:
            seconds = time.perf_counter() - started
            return summary_of(simulation, writer.history, at, mesh_seconds=mesh_seconds, wall_seconds=seconds)

        try:
            for frame in simulation.frames():
                last = frame
                writer.add(frame)
                if shown:
                    shown.update(frame)
                if stop or time.monotonic() - saved >= case.output.checkpoint_every:
                    writer.checkpoint(simulation.save_state())
                    saved = time.monotonic()
                if stop:
                    status = "partial"
                    break
        except RunError:
            if last is not None:
                writer.finish(summarise(last), "failed")
            raise
        if last is None:  # the checkpoint was taken at the very end
            last = simulation.present_frame()
        summary = summarise(last)
        writer.finish(summary, status)
    return summary, status == "partial"


@contextlib.contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Signals that ask the run to stop: it does so between two steps, where its state is whole.

    A second Ctrl-C stops at once.
    """
    asked: list[int] = []

    def ask(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _draw(out: Path, *, quiet: bool) -> list[Path]:
    from rfasim.plot import make_pictures
    from rfasim.result import Result

    return make_pictures(Result.read(out), (lambda sentence: None) if quiet else _say)


def _dry_run(case: Case, base: Path, *, as_json: bool) -> int:
    """Print the resolved case and what it will cost."""
    from rfasim.case import case_yaml
    from rfasim.domain import estimate

    cost = estimate(case, base)
    if as_json:
        data = {"case": case.model_dump(mode="json"), "case_sha256": case.sha256, "estimate": vars(cost)}
        print(json.dumps(data, indent=2))
        return DONE
    print(case_yaml(case), end="")
    print("\n# The tissues that the case names, as they are used:")
    for line in _tissues_in_use(case):
        print(f"#   {line}")
    size = f"{cost.cells:,.0f} cells and {cost.nodes:,.0f} nodes".replace(",", " ")
    print(f"# Expect about {size}, {cost.memory_mb:.0f} MB of memory and {cost.seconds:.0f} s on one core.")
    return DONE


def _tissues_in_use(case: Case) -> list[str]:
    from rfasim.tissues import resolve_tissues

    known = resolve_tissues(case.tissues)
    names = [case.background, *(vessel.tissue for vessel in case.vessels)]
    if case.tumour is not None:
        names.append(case.tumour.tissue)
    if case.anatomy is not None:
        names += [name for image in case.anatomy.labels for name in image.mapping.values()]
        names.append(case.anatomy.outside)
    lines = []
    for name in dict.fromkeys(names):
        values = known[name].model_dump(mode="json", exclude={"source"}, exclude_none=True)
        lines.append(f"{name}: {json.dumps(values, ensure_ascii=False)}")
    return lines


# ------------------------------------------------------------------------------------------------ other verbs


def show_result(options: argparse.Namespace) -> int:
    """Draw the pictures of a result folder and print its numbers."""
    from rfasim.plot import make_pictures
    from rfasim.result import Result
    from rfasim.terminal import print_rows, summary_rows

    result = Result.read(options.folder)
    pictures = make_pictures(result, _say)
    if options.json:
        print(json.dumps(result.summary, indent=2))
        return DONE
    partial = "" if result.summary.get("status") == "complete" else f" ({result.summary.get('status')})"
    print_rows(summary_rows(result.summary), f"{result.summary['case']}{partial}")
    for picture in pictures:
        print(f"Picture: {picture}")
    return DONE


def verify_physics(options: argparse.Namespace) -> int:
    """Compare with exact solutions."""
    from rfasim.verify import main as verify

    return verify(quick=options.quick, as_json=options.json)


def validate_physics(options: argparse.Namespace) -> int:
    """Compare with published experiments."""
    from rfasim.validate import main as validate

    return validate(options.studies, quick=options.quick, as_json=options.json, out=options.out)


def check_system(options: argparse.Namespace) -> int:
    """Check what the computer offers."""
    from rfasim.doctor import diagnose, report

    if not options.json:
        return report()
    findings = diagnose()
    print(json.dumps([vars(finding) for finding in findings], indent=2))
    return FAILED if any(finding.verdict == "fault" for finding in findings) else DONE


def print_schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of case files."""
    from rfasim.case import case_schema

    print(json.dumps(case_schema(), indent=2))
    return DONE


def list_tissues(options: argparse.Namespace) -> int:
    """List the named tissues."""
    from rfasim.quantities import parse
    from rfasim.terminal import print_columns
    from rfasim.tissues import LIBRARY

    try:
        frequency = parse(options.frequency, "Hz")
    except ValueError as error:
        raise InputError("--frequency", str(error)) from None
    if frequency <= 0:
        raise InputError("--frequency", f"got {options.frequency}; it must be more than 0 Hz")
    if options.json:
        data = {name: tissue.model_dump(mode="json") for name, tissue in LIBRARY.items()}
        print(json.dumps(data, indent=2, ensure_ascii=False))
        return DONE
    header = ("tissue", "S/m", "B/G", "W/(m K)", "kg/m^3", "J/(kg K)", "perfusion 1/s", "source")
    rows: list[tuple[str, ...]] = []
    for name, tissue in LIBRARY.items():
        y = tissue.admittivity(frequency)
        rows.append(
            (
                name,
                f"{y.real:.4f}",
                f"{y.imag / y.real:.2f}",
                f"{tissue.thermal_conductivity:g}",
                f"{tissue.density:g}",
                f"{tissue.heat_capacity:g}",
                f"{tissue.perfusion:g}",
                tissue.source,
            )
        )
    print_columns(header, rows)
    print(f"S/m: conductivity at {options.frequency} and 37 degC; B/G: displacement over conduction current.")
    return DONE


def list_devices(options: argparse.Namespace) -> int:
    """List the electrode families and their models, or show one of them."""
    from rfasim import datasheet
    from rfasim.electrodes import ALL_DEVICES
    from rfasim.terminal import print_columns

    if options.name is not None:
        sheet = datasheet.make_sheet(options.name)
        if options.json:
            print(json.dumps(datasheet.as_data(sheet), indent=2, ensure_ascii=False))
        else:
            print(*datasheet.title_lines(sheet), sep="\n")
            for heading, rows in datasheet.tables(sheet):
                print_columns(heading, rows)
            print(*datasheet.closing_lines(sheet), sep="\n")
        picture = options.out or (None if options.json or sheet.device is None else Path(f"{sheet.name}.png"))
        if picture is not None:
            datasheet.write_drawing(sheet, picture)
            print(f"Picture: {picture}", file=sys.stderr if options.json else sys.stdout)
        return DONE
    if options.out is not None:
        raise InputError("--out", "is for the drawing of one device; name it, such as 'rfasim devices needle'")
    found = datasheet.families()
    if options.json:
        data = {
            word: {"about": about, "models": list(models), "schema": kind.model_json_schema()}
            for (word, about, models), kind in zip(found, ALL_DEVICES, strict=True)
        }
        print(json.dumps(data, indent=2))
        return DONE
    for word, about, models in found:
        print(f"{word}: {about}")
        if models:
            print(f"    models: {', '.join(models)}")
    print("'rfasim devices NAME' prints the data sheet of a family or a model and draws it.")
    return DONE


def list_protocols(options: argparse.Namespace) -> int:
    """List the protocols and the catalogue's presets, or show the values and sources of one of them."""
    from rfasim import protocol_sheet
    from rfasim.terminal import print_columns

    if options.name is not None:
        sheet = protocol_sheet.make_sheet(options.name)
        if options.json:
            print(json.dumps(protocol_sheet.as_data(sheet), indent=2, ensure_ascii=False))
            return DONE
        print(f"{sheet.name}: {sheet.title}")
        key = "preset" if sheet.preset else "protocol"
        print(f"generator: {{{key}: {sheet.name}}}" + (f" runs protocol {sheet.protocol}" if sheet.preset else ""))
        if sheet.preset:
            print_columns(
                ("field", "value", "source", "what it is"),
                [(row.name, row.value, row.source, row.meaning) for row in sheet.rows],
            )
        else:
            print_columns(
                ("field", "default", "what it is"), [(row.name, row.value, row.meaning) for row in sheet.rows]
            )
        if sheet.notes:
            print(f"notes: {sheet.notes}")
        return DONE
    words, presets = protocol_sheet.words(), protocol_sheet.catalogue()
    if options.json:
        rows = {name: {"protocol": protocol, "title": title} for name, protocol, title in presets}
        print(json.dumps({"protocols": dict(words), "presets": rows}, indent=2, ensure_ascii=False))
        return DONE
    print_columns(("protocol", "what it does"), words)
    print_columns(("preset", "protocol", "what it is"), presets)
    print("'rfasim protocols NAME' prints the fields of a protocol or a preset, with sources.")
    return DONE
