"""The command ``rfasim``: verbs, messages, exit codes (0 done, 1 failed run, 2 bad input, 130 interrupted).

Nothing heavy is imported before a verb needs it, so that ``rfasim --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rfasim.errors import InputError, RunError

if TYPE_CHECKING:
    from rfasim.case import Case
    from rfasim.frame import Frame
    from rfasim.variants import Comparison, Done, Variant

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


def _comparison(text: str) -> Comparison:
    from rfasim.variants import parse_comparison

    try:
        return parse_comparison(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of threads; give 1 or more")
    return int(text)


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of rounds; give 1 to 100")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number") from None


def _users(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 32:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of users; give 1 to 32")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"'{text}' is no seed; give a whole number from 0")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    from rfasim.sweep.command import parse_shard

    try:
        return parse_shard(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
        "--compare", metavar='PATH="VALUE","VALUE"', type=_comparison, action="append", default=[],
        help="run the case with each of these values of a field, and put the results side by side; DIR then has a "
        "folder for each (default: runs/<name of the case>_<PATH>)",
    )  # fmt: skip
    run.add_argument(
        "--dry-run", action="store_true", help="only show the resolved case and what it will cost"
    )
    run.add_argument(
        "--uncertainty", metavar="N", type=int,
        help="then N runs over the literature's ranges of the tissues' properties: how sure zone and margin are",
    )  # fmt: skip
    run.add_argument("--json", action="store_true", help="print the summary as JSON")
    kept = run.add_mutually_exclusive_group()
    kept.add_argument("--resume", action="store_true", help="go on with the interrupted run in DIR")
    kept.add_argument("--overwrite", action="store_true", help="replace the result in DIR")
    run.add_argument("--quiet", action="store_true", help="no progress")
    run.add_argument("--no-pictures", action="store_true", help="leave the pictures to 'rfasim show'")
    run.add_argument("--threads", metavar="N", type=_threads, help="threads (default: as in the case, 1)")

    preview = verb("preview", preview_case, "a page in the browser: move the needle, and see the zone follow")
    preview.add_argument("case", metavar="CASE", type=Path, nargs="?", help="case file (default: a made-up patient)")
    preview.add_argument("--scan", metavar="SCAN", type=Path, help="CT to show behind the anatomy")
    preview.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine)")
    preview.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    preview.add_argument(
        "--users", metavar="N", type=_users, default=1,
        help="how many addresses to print; each opens a session of its own, once",
    )  # fmt: skip
    preview.add_argument("--no-browser", action="store_true", help="only print the addresses")

    sweep = verb("sweep", sweep_study, "do all runs of a study")
    sweep.add_argument("study", metavar="STUDY", type=Path, help="study file (.yaml)")
    sweep.add_argument("--out", metavar="DIR", type=Path, help="folder for the results")
    sweep.add_argument(
        "--set", metavar="PATH=VALUE", type=_assignment, action="append", default=[], dest="overrides",
        help='change a field of the study, such as design.runs=64 or case.mesh.size="1 mm"; may be repeated',
    )  # fmt: skip
    sweep.add_argument("--workers", metavar="N", type=_threads, help="one-thread workers (default: one a core)")
    sweep.add_argument("--scheduler", metavar="ADDRESS", help="use the Dask scheduler that runs there")
    sweep.add_argument("--shard", metavar="I/N", type=_shard, help="every n-th run only, for array jobs")
    again = sweep.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="do what is missing in DIR")
    again.add_argument("--overwrite", action="store_true", help="begin anew in DIR")
    sweep.add_argument("--dry-run", action="store_true", help="say how many runs, how long, how much disk")
    sweep.add_argument("--quiet", action="store_true", help="no progress")
    sweep.add_argument("--json", action="store_true", help="print what was done as JSON")

    study = verb("study", answer_study, "what a study tells: spread, sensitivities, how sure the zone is")
    study.add_argument("folder", metavar="DIR", type=Path, help="folder of a study; it may still go on")
    study.add_argument(
        "--output", metavar="NAME", action="append",
        help="a number of summary.json; may be repeated (default: the study's)",
    )  # fmt: skip
    study.add_argument("--csv", metavar="FILE", type=Path, help="write the table of all runs as CSV")
    study.add_argument("--json", action="store_true", help="print the answers as JSON")
    study.add_argument("--no-pictures", action="store_true", help="numbers only")

    show = verb("show", show_result, "draw the pictures of a result folder and print its numbers")
    show.add_argument("folder", metavar="DIR", type=Path)
    show.add_argument("--json", action="store_true", help="print the summary as JSON")

    export = verb("export", export_result, "write a result's zone or margins for the hospital's viewer")
    export.add_argument("folder", metavar="DIR", type=Path, help="result folder; for vessels a case file will do")
    export.add_argument(
        "--what", choices=("zone", "margin", "temperature", "dose", "vessels"), default="zone",
        help="the zone (default), the margin on a tumour's surface, the run's highest temperature or dose (CEM43), "
        "or the centre lines of the vessels",
    )  # fmt: skip
    export.add_argument(
        "--like", metavar="IMAGE", type=Path,
        help="image or folder of DICOM slices with the grid to use; not needed for surfaces",
    )  # fmt: skip
    export.add_argument("--tumour", metavar="NAME", help="whose margin (default: the target)")
    export.add_argument("--criterion", metavar="NAME", help="damage criterion of the zone (default: the case's)")
    export.add_argument(
        "--out", metavar="FILE", type=Path,
        help="images: .nii.gz, .nii, .seg.nrrd, .dcm (DICOM SEG); surfaces: .stl, .vtp; "
        "vessels: .mrk.json, .vtp (default: DIR/<what>.nii.gz, vessels.mrk.json)",
    )  # fmt: skip

    report = verb("report", report_result, "write a page about a result: slices through the patient, margins, doses")
    report.add_argument("folder", metavar="DIR", type=Path, help="result folder")
    report.add_argument(
        "--scan", metavar="SCAN", type=Path, help="scan behind the slices: NIfTI, NRRD, or a folder of DICOM slices"
    )
    report.add_argument(
        "--out", metavar="FILE", type=Path, action="append", default=None,
        help="a .html or .pdf file; may be repeated (default: DIR/report.html and DIR/report.pdf)",
    )  # fmt: skip

    compare = verb("compare", compare_zones, "compare a predicted zone with a segmented ablation")
    compare.add_argument("predicted", metavar="PREDICTED", type=Path, help="result folder or label image")
    compare.add_argument("actual", metavar="ACTUAL", type=Path, help="label image of the ablation")
    compare.add_argument("--predicted-label", metavar="LABEL", default="1", help="number or name (default: 1)")
    compare.add_argument("--label", metavar="LABEL", default="1", help="of the ablation: number or name (default: 1)")
    compare.add_argument(
        "--registration", metavar="FILE", type=Path,
        help="rigid motion of PREDICTED: text, 4 lines of 4 numbers, in mm (LPS); none when not given",
    )  # fmt: skip
    compare.add_argument("--json", action="store_true", help="print the numbers as JSON")

    phantom = verb("phantom", write_phantom, "write a made-up patient: labels, scan and vessels grown from a seed")
    phantom.add_argument("--out", metavar="DIR", type=Path, default=Path("phantom"), help="folder (default: phantom)")
    phantom.add_argument("--seed", metavar="N", type=_seed, default=1, help="of the vessels and the noise (default: 1)")
    phantom.add_argument("--spacing", metavar="LENGTH", default="1.5 mm", help="of the voxels (default: 1.5 mm)")
    phantom.add_argument("--slices", metavar="LENGTH", help="from slice to slice (default: as --spacing)")
    phantom.add_argument(
        "--kind", choices=("seg.nrrd", "nii.gz", "dicom"), default="seg.nrrd", help="of the images (default: seg.nrrd)"
    )
    phantom.add_argument("--overwrite", action="store_true", help="replace what is in DIR")

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
    written = validate.add_mutually_exclusive_group()
    written.add_argument(
        "--out", metavar="DIR", type=Path, help="also write each study as page, JSON and plot into DIR"
    )
    written.add_argument(
        "--report", metavar="DIR", type=Path,
        help="write the validation dossier into DIR: dossier.html, dossier.json and each study; takes an hour or more, "
        "and the same command goes on where it was stopped",
    )  # fmt: skip
    validate.add_argument(
        "--uncertainty", metavar="N", type=int,
        help="of the dossier: runs of each axisymmetric cell over the literature's ranges of tissue data (default: 16; "
        "0: no bands)",
    )  # fmt: skip
    validate.add_argument(
        "--uncertainty-3d", metavar="N", type=int, help="the same of studies in three dimensions (default: 0)"
    )
    validate.add_argument(
        "--verified", metavar="FILE", type=Path,
        help="of the dossier: what 'rfasim verify --json' printed (default: verify --quick is run)",
    )  # fmt: skip

    bench = verb("bench", measure_times, "how long things take here; exit 1 when a row is slower than a baseline")
    bench.add_argument("rows", metavar="ROW", nargs="*", help="a row or family, such as micro (default: all)")
    bench.add_argument("--quick", action="store_true", help="fewer and smaller rows: about a minute of one core")
    bench.add_argument("--list", action="store_true", help="only say what the rows are")
    bench.add_argument("--out", metavar="DIR", type=Path, help="also write bench.json, bench.md and plots into DIR")
    bench.add_argument("--against", metavar="FILE", type=Path, help="compare with a bench.json made before")
    bench.add_argument(
        "--max-slowdown", metavar="X", type=_number, help="how many times as slow a row may be (default: 1.3)"
    )
    bench.add_argument(
        "--rounds", metavar="N", type=_rounds, default=1, help="measure all rows N times and keep the medians"
    )
    bench.add_argument(
        "--peers", action="store_true", help="other finite-element libraries on the same mesh and problem instead"
    )
    bench.add_argument(
        "--peer-python", metavar="NAME=PYTHON", action="append", default=[],
        help="where a library lives in a Python of its own, such as sfepy=/opt/sfepy/bin/python; may be repeated",
    )  # fmt: skip
    bench.add_argument("--json", action="store_true", help="print everything as JSON")

    schema = verb("schema", print_schema, "print the JSON Schema of case files, for editors")
    schema.add_argument("--study", action="store_true", help="that of study files")
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
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal has no letters for is no reason to fail
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
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


@dataclass(frozen=True)
class Ran:
    """A run that came to its end or was interrupted: its summary, and whether the user asked to stop."""

    summary: dict[str, Any]
    interrupted: bool
    asked_to_stop: bool


def run_case(options: argparse.Namespace) -> int:
    """Simulate a case file into a result folder."""
    from rfasim.case import load_case

    threads = [] if options.threads is None else [("solver.threads", str(options.threads))]
    changes = [*options.overrides, *threads]
    if options.compare:
        return _run_comparison(options, changes)
    case = load_case(options.case, changes)
    base = options.case.resolve().parent
    if options.dry_run:
        return _dry_run(case, base, as_json=options.json)
    out: Path = options.out or Path("runs") / folder_name(case.name)
    if options.uncertainty is not None:
        from rfasim.sweep.uncertainty import uncertainty_study

        uncertainty_study(case, base, options.uncertainty, 0.0)  # what cannot be done is said before the run
        if options.resume and _is_complete(out, case):
            return _uncertainty(case, base, out, options)
    checkpoint = _prepare_folder(out, case, resume=options.resume, overwrite=options.overwrite)
    again = _command_to_go_on(options, out)
    try:
        ran = _simulate(case, base, out, checkpoint, quiet=options.quiet)
    except KeyboardInterrupt:
        _say(f"interrupted at once; if {out} holds a checkpoint, this goes on from it: {again}")
        return INTERRUPTED
    pictures = [] if options.no_pictures else _draw(out, quiet=options.quiet)
    if options.json:
        print(json.dumps(ran.summary, indent=2))
    else:
        from rfasim.terminal import print_rows, summary_rows

        print_rows(summary_rows(ran.summary), case.name)
        print(f"Files: {out}")
        for picture in pictures:
            print(f"Picture: {picture}")
    if ran.interrupted:
        _say(f"interrupted; what was done by then is in {out}, and this goes on from there: {again}")
        return INTERRUPTED
    return DONE if options.uncertainty is None else _uncertainty(case, base, out, options)


def _is_complete(out: Path, case: Case) -> bool:
    """Whether ``out`` holds the whole result of this case."""
    from rfasim.result import Result

    if not (out / "summary.json").is_file():
        return False
    result = Result.read(out)
    return result.summary["status"] == "complete" and not _difference(result.case_yaml, out, case)


def _uncertainty(case: Case, base: Path, out: Path, options: argparse.Namespace) -> int:
    """Runs over the literature's ranges beside a result, and what they say."""
    from rfasim.result import Result
    from rfasim.sweep import uncertainty
    from rfasim.sweep.command import do_study
    from rfasim.terminal import print_rows

    long_axis = Result.read(out).summary["zone"]["long_axis_mm"] or 30.0
    study = uncertainty.uncertainty_study(case, base, options.uncertainty, long_axis)
    folder = out / uncertainty.FOLDER
    if not options.quiet:
        _say(f"uncertainty: {study.n_runs} runs over {', '.join(study.names)}")
    if not do_study(study, folder, _stop_requests, workers=None, quiet=options.quiet):
        _say(f"interrupted; this goes on from there: {_command_to_go_on(options, out)}")
        return INTERRUPTED
    told = uncertainty.write_numbers(folder)
    if options.json:
        print(json.dumps(told, indent=2))
    else:
        print_rows(uncertainty.rows_of(told), f"{case.name}: how sure, over the literature's ranges of the tissues")
        print(f"Files: {out / uncertainty.NUMBERS}, {folder}; 'rfasim study {folder}' tells more")
    return DONE


def _command_to_go_on(options: argparse.Namespace, out: Path) -> str:
    changes = [word for path, value in options.overrides for word in ("--set", f"{path}={value}")]
    compared = [word for c in options.compare for word in ("--compare", f"{c.path}={','.join(c.values)}")]
    unsure = [] if options.uncertainty is None else ["--uncertainty", str(options.uncertainty)]
    return shlex.join(["rfasim", "run", str(options.case), *changes, *compared, *unsure, "--out", str(out), "--resume"])


def _run_comparison(options: argparse.Namespace, changes: list[tuple[str, str]]) -> int:
    """Simulate the case with each value of the compared field, and put the results side by side."""
    from rfasim import variants

    if len(options.compare) > 1:
        raise InputError("--compare", "is given more than once; give it once, with two or more values of one field")
    (comparison,) = options.compare
    found = variants.load_variants(options.case, comparison, changes)
    base = options.case.resolve().parent
    if options.dry_run:
        return _dry_comparison(comparison.path, found, base, as_json=options.json)
    out: Path = options.out or Path("runs") / folder_name(f"{found[0].case.name}_{comparison.path}")
    starts = _prepare_comparison(out, found, resume=options.resume, overwrite=options.overwrite)
    again = _command_to_go_on(options, out)
    done: list[variants.Done] = []
    try:
        for number, (variant, start) in enumerate(zip(found, starts, strict=True), start=1):
            which = f"variant {number} of {len(found)}"
            if not options.quiet:
                _say(f"{which}: {variant.value}{' (complete already)' if isinstance(start, dict) else ''}")
            try:
                stop = _run_variant(variant, start, base, out / variant.folder, options, done)
            except (RunError, InputError) as error:
                reason = " ".join(str(error).split())
                _say(f"{which} ({variant.value}) failed: {reason}")
                done.append(variants.Done(variant, None, reason))
                stop = False
            if stop and len(done) < len(found):
                done_by_then = f"interrupted in {which} ({variant.value}); what was done by then is in {out}"
                _say(f"{done_by_then}, and this goes on from there: {again}")
                return INTERRUPTED
        data = variants.comparison_data(comparison.path, done)
        picture = None if options.no_pictures else variants.draw(out, data)
        variants.write_numbers(out, data)
    except KeyboardInterrupt:
        _say(f"interrupted at once; this goes on with what {out} holds: {again}")
        return INTERRUPTED
    if options.json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        _print_comparison(out, data, picture)
    return FAILED if "failed" in data["status"] else DONE


def _run_variant(
    variant: Variant, start: Any, base: Path, out: Path, options: argparse.Namespace, done: list[Done]
) -> bool:
    """Run one variant unless ``start`` is its summary, and add it to ``done`` when complete; whether to stop."""
    from rfasim.result import PICTURES
    from rfasim.variants import Done

    ran = Ran(start, False, False)
    if not isinstance(start, dict):
        out.mkdir(parents=True, exist_ok=True)
        ran = _simulate(variant.case, base, out, start, quiet=options.quiet)
    if ran.interrupted:
        return True
    if not options.no_pictures and not all((out / name).is_file() for name in PICTURES):
        _draw(out, quiet=options.quiet)
    done.append(Done(variant, ran.summary))
    return ran.asked_to_stop


def _print_comparison(out: Path, data: dict[str, Any], picture: Path | None) -> None:
    from rfasim.terminal import print_columns
    from rfasim.variants import ranking_line, tables

    title = f"{data['case']}, by {data['path']}"
    print(f"\n{title}\n{'-' * len(title)}")
    for part in tables(data, shutil.get_terminal_size().columns if sys.stdout.isatty() else 200):
        print_columns(*part)
    if ranked := ranking_line(data):
        print(f"{ranked}\n")
    print(f"Files: {out} (a folder each: {', '.join(data['folders'])})")
    if picture is not None:
        print(f"Picture: {picture}")


def _prepare_comparison(out: Path, found: list[Variant], *, resume: bool, overwrite: bool) -> list[Any]:
    """See that ``out`` can take the results; for each variant its summary (complete), its checkpoint, or None."""
    from rfasim.checkpoint import disk_errors
    from rfasim.variants import NUMBERS, PICTURE

    if out.exists() and not out.is_dir():
        raise InputError("--out", f"{out} is a file; give a folder")
    if not resume and out.is_dir() and any(out.iterdir()) and not overwrite:
        ways = "another folder, --overwrite to replace the comparison in it, or --resume to go on with it"
        raise InputError("--out", f"{out} is not empty; give {ways}")
    folders = [out / variant.folder for variant in found]
    if resume and not any(folder.is_dir() for folder in folders):
        names = ", ".join(folder.name for folder in folders)
        raise InputError("--resume", f"{out} holds none of {names} that could go on; leave --resume out to start them")
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise InputError("--out", f"{folder} is a file, but the folder of a variant; give another folder")
    pairs = list(zip(folders, found, strict=True))
    starts = [_state_of(folder, variant.case) if resume else None for folder, variant in pairs]
    for folder, variant in pairs if overwrite else ():
        _forget_another_case(folder, variant.case)
    with disk_errors(out):  # their presence means finished
        for name in (NUMBERS, PICTURE):
            (out / name).unlink(missing_ok=True)
    return starts


def _state_of(folder: Path, case: Case) -> Any:
    """How far the run of ``case`` in ``folder`` is: its summary when complete, else its checkpoint or None."""
    from rfasim.result import Result, load_checkpoint

    checkpoint = load_checkpoint(folder)
    if (folder / "summary.json").is_file():
        result = Result.read(folder)
        difference = _difference(result.case_yaml, folder, case)
        if difference and checkpoint is None:
            raise _another_case(folder, difference)
        if not difference and result.summary.get("status") == "complete":
            return result.summary
    if checkpoint is not None and (difference := _difference(checkpoint.case_yaml, folder, case)):
        raise _another_case(folder, difference)
    return checkpoint


def _forget_another_case(folder: Path, case: Case) -> None:
    """Before a comparison replaces results: what is of another case must not be there when the user resumes."""
    from rfasim.checkpoint import disk_errors, lock
    from rfasim.result import PARTIAL

    partial, summary = folder / PARTIAL, folder / "summary.json"
    with disk_errors(folder):
        if partial.is_dir():
            held = lock(partial / "lock")
            for path in partial.glob("checkpoint.*"):
                path.unlink()
            if held is not None:
                held.close()
        if summary.is_file():
            try:
                other = _difference((folder / "case.yaml").read_text(encoding="utf-8"), folder, case)
            except (OSError, ValueError, InputError):  # of another version, or damaged
                other = "everything"
            if other:
                summary.unlink()


def folder_name(name: str) -> str:
    """The name of a case as the name of a folder, on any system."""
    from rfasim.checkpoint import allowed_name

    return allowed_name(re.sub(r"[^\w.-]+", "_", name).strip("._") or "case")


def _prepare_folder(out: Path, case: Case, *, resume: bool, overwrite: bool) -> Any:
    """See that ``out`` can take the result; the checkpoint to go on from, or None."""
    from rfasim.result import load_checkpoint

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
    if difference := _difference(checkpoint.case_yaml, out, case):
        raise _another_case(out, difference)
    return checkpoint


def _another_case(out: Path, difference: str) -> InputError:
    return InputError("--resume", f"the case is not the one of the run in {out}: {difference}")


def _difference(started: str, out: Path, case: Case) -> str:
    """The first difference of ``case`` from that of the run in ``out`` (``started``, YAML); empty when none."""
    from rfasim.case import case_from_dict
    from rfasim.yaml_io import parse_yaml

    begun = case_from_dict(parse_yaml(started, f"{out}: case"), from_file=True)
    old, new = (_comparable(c) for c in (begun, case))
    return _first_difference(old, new) if old != new else ""


def _comparable(case: Case) -> dict[str, Any]:
    """What makes two runs the same; the number of threads and the folder of a named file do not count."""
    data = case.portable
    del data["solver"]["threads"]
    return data


def _first_difference(old: Any, new: Any, path: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    return f"{path} was {old} and is {new}"


def _simulate(case: Case, base: Path, out: Path, checkpoint: Any, *, quiet: bool) -> Ran:
    """Run the case and write the result."""
    from rfasim.case import case_yaml, rebased
    from rfasim.domain import build_domain
    from rfasim.progress import Progress
    from rfasim.result import ResultWriter
    from rfasim.simulation import Simulation
    from rfasim.summary import result_meta, summary_of

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
    meta = result_meta(case, domain)
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
            return summary_of(
                simulation, writer.history, writer.probes, at, mesh_seconds=mesh_seconds, wall_seconds=seconds
            )

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
    return Ran(summary, interrupted=status == "partial", asked_to_stop=bool(stop))


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


def _dry_comparison(path: str, found: list[Variant], base: Path, *, as_json: bool) -> int:
    """Print what each variant will cost."""
    from rfasim.domain import estimate
    from rfasim.terminal import aligned, print_columns

    costs, problems = [], []
    for variant in found:
        try:
            costs.append(estimate(variant.case, base))
        except InputError as error:
            problems += [f"{path}={variant.value}: {line}" for line in str(error).splitlines()]
    if problems:
        raise InputError("", "\n".join(problems))
    if as_json:
        data = [
            {"value": one.value, "folder": one.folder, "case_sha256": one.case.sha256, "estimate": vars(cost)}
            for one, cost in zip(found, costs, strict=True)
        ]
        print(json.dumps({"path": path, "variants": data}, indent=2, ensure_ascii=False))
        return DONE
    columns = {
        "cells": [f"{cost.cells}" for cost in costs],
        "nodes": [f"{cost.nodes}" for cost in costs],
        "memory, MB": [f"{cost.memory_mb:.0f}" for cost in costs],
        "time on one core, s": [f"{cost.seconds:.0f}" for cost in costs],
    }
    header, *rows = zip(*(aligned(what, cells) for what, cells in columns.items()), strict=True)
    values = [[variant.value, *row] for variant, row in zip(found, rows, strict=True)]
    print_columns([path, *header], values)
    total = sum(cost.seconds for cost in costs)
    print(f"Expect about {total:.0f} s on one core for all {len(found)}; --dry-run without --compare prints the case.")
    return DONE


def _tissues_in_use(case: Case) -> list[str]:
    from rfasim.tissues import resolve_tissues

    known = resolve_tissues(case.tissues)
    names = [case.background, *(vessel.tissue for vessel in case.vessels)]
    names += [tumour.tissue for tumour in case.every_tumour.values()]
    if case.anatomy is not None:
        names += [name for image in case.anatomy.labels for name in image.mapping.values()]
        names.append(case.anatomy.outside)
    lines = []
    for name in dict.fromkeys(names):
        values = known[name].model_dump(mode="json", exclude={"source"}, exclude_none=True)
        lines.append(f"{name}: {json.dumps(values, ensure_ascii=False)}")
    return lines


# ------------------------------------------------------------------------------------------------ other verbs


def preview_case(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    try:
        from rfasim.preview.server import listen
    except ImportError as error:
        raise InputError("preview", f"needs {error.name}; install it with: pip install 'rfasim[preview]'") from None
    if not 0 <= options.port <= 65535:
        raise InputError("--port", f"got {options.port}; a port is a number from 0 (any that is free) to 65535")
    if options.host not in ("127.0.0.1", "localhost", "::1"):
        _say(f"listening at {options.host}: who can reach this machine and has an address can use it, not encrypted")
    with contextlib.suppress(KeyboardInterrupt):
        listen(
            options.case, options.scan, options.host, options.port, _say, links=options.users,
            open_browser=not options.no_browser,
        )  # fmt: skip
    return DONE


def sweep_study(options: argparse.Namespace) -> int:
    """Do all runs of a study."""
    from rfasim.sweep.command import sweep

    return sweep(options, _stop_requests)


def answer_study(options: argparse.Namespace) -> int:
    """What a study tells."""
    from rfasim.sweep.answers import show_study

    return show_study(options)


def show_result(options: argparse.Namespace) -> int:
    """Draw the pictures of a result folder, or of a comparison, and print its numbers."""
    from rfasim.plot import make_pictures
    from rfasim.result import Result, damaged
    from rfasim.terminal import print_rows, summary_rows
    from rfasim.variants import draw, read_numbers

    compared = read_numbers(options.folder)
    if compared is not None:
        picture = draw(options.folder, compared)
        if options.json:
            print(json.dumps(compared, indent=2, ensure_ascii=False))
        else:
            _print_comparison(options.folder, compared, picture)
        return DONE
    result = Result.read(options.folder)
    with damaged(options.folder / "summary.json"):
        rows = summary_rows(result.summary)
    pictures = make_pictures(result, _say)
    if options.json:
        print(json.dumps(result.summary, indent=2))
        return DONE
    partial = "" if result.summary.get("status") == "complete" else f" ({result.summary.get('status')})"
    print_rows(rows, f"{result.summary['case']}{partial}")
    for picture in pictures:
        print(f"Picture: {picture}")
    return DONE


def export_result(options: argparse.Namespace) -> int:
    """Write a result's zone, margins, temperature or dose as an image, the first two also as a surface."""
    from rfasim.anatomy import read_grid, read_scan
    from rfasim.checkpoint import disk_errors
    from rfasim.exports import export
    from rfasim.scene import read_scene

    if options.what == "vessels":
        return _export_vessels(options)
    out = options.folder / f"{options.what}.nii.gz" if options.out is None else options.out
    scene = read_scene(options.folder)
    like = None
    if options.like is not None:
        like = read_scan(options.like) if out.name.lower().endswith(".dcm") else read_grid(options.like)
    with disk_errors(out):
        told = export(scene, out, options.what, like=like, tumour=options.tumour, criterion=options.criterion)
    print(f"Written: {out} ({told})")
    return DONE


def _export_vessels(options: argparse.Namespace) -> int:
    """Write the vessels of a result, or of a case that has not run yet."""
    from rfasim.case import load_case
    from rfasim.checkpoint import disk_errors
    from rfasim.domain import all_vessels
    from rfasim.exports import export_vessels
    from rfasim.scene import read_scene

    given: Path = options.folder
    vessels = all_vessels(load_case(given), given.parent) if given.is_file() else read_scene(given).vessels
    out = (given if given.is_dir() else Path()) / "vessels.mrk.json" if options.out is None else options.out
    with disk_errors(out):
        told = export_vessels(vessels, out)
    print(f"Written: {out} ({told})")
    return DONE


def report_result(options: argparse.Namespace) -> int:
    """Write the report of a result."""
    from rfasim.anatomy import read_scan
    from rfasim.checkpoint import disk_errors
    from rfasim.report import make_report, write_report
    from rfasim.scene import read_scene

    scene = read_scene(options.folder)
    scan = None if options.scan is None else read_scan(options.scan)
    report = make_report(scene, scan)
    for out in options.out or [options.folder / "report.html", options.folder / "report.pdf"]:
        with disk_errors(out):
            write_report(report, out)
        print(f"Written: {out}")
    return DONE


def compare_zones(options: argparse.Namespace) -> int:
    """Compare a predicted zone with a segmented ablation."""
    from rfasim.agreement import compare, labels_of, read_registration
    from rfasim.anatomy import read_labels
    from rfasim.terminal import print_rows

    def label(word: str) -> int | str:
        return int(word) if word.isdecimal() else word

    actual = read_labels(options.actual)
    motion = None if options.registration is None else read_registration(options.registration)
    found = compare(
        labels_of(options.predicted, actual), actual, predicted_label=label(options.predicted_label),
        actual_label=label(options.label), registration=motion,
    )  # fmt: skip
    if options.json:
        print(json.dumps(found, indent=2))
        return DONE
    rows = [
        ("Dice coefficient", f"{found['dice']:.3f}"),
        ("surface distance, mean", f"{found['mean_surface_distance_mm']:.2f} mm"),
        ("surface distance, 95 %", f"{found['surface_distance_95_mm']:.2f} mm"),
        ("surface distance, largest", f"{found['hausdorff_distance_mm']:.2f} mm"),
        ("volume, predicted", f"{found['predicted_volume_ml']:.2f} ml"),
        ("volume, actual", f"{found['actual_volume_ml']:.2f} ml"),
        ("distance of the middles", f"{found['centre_distance_mm']:.2f} mm"),
        ("registration", "as given" if found["registration"] else "none"),
    ]
    print_rows(rows, f"{options.predicted} against {options.actual}")
    return DONE


def write_phantom(options: argparse.Namespace) -> int:
    """Write a made-up patient."""
    from rfasim.anatomy.phantom import make_phantom, write_phantom
    from rfasim.checkpoint import disk_errors
    from rfasim.quantities import parse

    spacing = []
    for flag, text in (("--spacing", options.spacing), ("--slices", options.slices or options.spacing)):
        try:
            spacing.append(parse(text, "m"))
        except ValueError as error:
            raise InputError(flag, str(error)) from None
        if not 0.4e-3 <= spacing[-1] <= 10e-3:
            raise InputError(flag, f"got {text}; from 0.4 to 10 mm can be had")
    out: Path = options.out
    if out.exists() and not out.is_dir():
        raise InputError("--out", f"{out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not options.overwrite:
        raise InputError("--out", f"{out} is not empty; give another folder, or --overwrite to replace what is in it")
    with disk_errors(out):
        for path in write_phantom(make_phantom(options.seed), out, options.kind, [spacing[0], *spacing], options.seed):
            print(f"Written: {path}")
    return DONE


def verify_physics(options: argparse.Namespace) -> int:
    """Compare with exact solutions."""
    from rfasim.verify import main as verify

    return verify(quick=options.quick, as_json=options.json)


def validate_physics(options: argparse.Namespace) -> int:
    """Compare with published experiments."""
    from rfasim import validate

    asked = {"--uncertainty": options.uncertainty, "--uncertainty-3d": options.uncertainty_3d,
             "--verified": options.verified}  # fmt: skip
    if options.report is None:
        for flag, value in asked.items():
            if value is not None:
                raise InputError(flag, "is for the dossier; give --report DIR too")
        return validate.main(options.studies, quick=options.quick, as_json=options.json, out=options.out)
    flat, in_3d = options.uncertainty, options.uncertainty_3d
    return validate.report(
        options.studies, options.report, quick=options.quick, as_json=options.json, verified=options.verified,
        draws_flat=validate.DRAWS if flat is None else flat, draws_3d=in_3d or 0,
    )  # fmt: skip


def measure_times(options: argparse.Namespace) -> int:
    """Measure how long things take."""
    from rfasim.bench.command import main as bench

    return bench(
        options.rows, quick=options.quick, list_only=options.list, out=options.out, against=options.against,
        max_slowdown=options.max_slowdown, as_json=options.json, rounds=options.rounds, peers=options.peers,
        pythons=options.peer_python,
    )  # fmt: skip


def check_system(options: argparse.Namespace) -> int:
    """Check what the computer offers."""
    from rfasim.doctor import diagnose, report

    if not options.json:
        return report()
    findings = diagnose()
    print(json.dumps([vars(finding) for finding in findings], indent=2))
    return FAILED if any(finding.verdict == "fault" for finding in findings) else DONE


def print_schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of case files, or of study files."""
    from rfasim.case import case_schema

    if options.study:
        from rfasim.sweep.study import study_schema

        print(json.dumps(study_schema(), indent=2))
        return DONE
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
