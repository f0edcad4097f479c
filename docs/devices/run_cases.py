"""Runs the ready case of every device and writes what came of it: the pictures and the table of docs/devices.

python docs/devices/run_cases.py                  # all of them, some minutes
python docs/devices/run_cases.py umbrella needle  # these; the table keeps the rows of the others

Each case is run with two threads as ``rfasim run`` runs it, pictures included. The numbers lie in
pictures/numbers.json, from which README.md is made.
"""

# ruff: noqa: E501  (lines of tables)

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
CASES = ROOT / "cases" / "devices"
PICTURES = FOLDER / "pictures"
NUMBERS = PICTURES / "numbers.json"
WIDTH = 1000  # px, of a composite
LARGEST = 120_000  # bytes, of a picture in the repository
PAGES = {
    "needle": "needle", "cooled_needle": "cooled", "cooled_cluster": "cluster", "octopus": "cluster",
    "umbrella": "umbrella", "christmas_tree": "christmas_tree", "bipolar_needle": "bipolar",
    "bipolar_set": "bipolar_set", "wet_needle": "wet", "cooled_wet_needle": "wet", "bipolar_wet_needle": "wet",
    "custom": "custom",
}  # fmt: skip
HEAD = """# Devices

One page a device, with its drawing, its parameters and where each number is from.

| device | drawing |
|---|---|
| [Needle](needle.md): one contact at the tip of a straight shaft | ![The needle](needle.svg) |
| [Cooled needle](cooled.md): the same, with a coolant inside | ![The cooled needle](cooled.svg) |
| [Cooled cluster](cluster.md): two to six cooled needles on one generator | ![The cluster](cluster.svg) |
| [Umbrella](umbrella.md): tines that open and curve back (LeVeen class) | ![The umbrella](umbrella.svg) |
| [Christmas tree](christmas_tree.md): tines pushed out in stages (StarBurst class) | ![The christmas tree](christmas_tree.svg) |
| [Bipolar needle](bipolar.md): two contacts on one shaft | ![The bipolar needle](bipolar.svg) |
| [Set of bipolar needles](bipolar_set.md): current between any two contacts | ![Sets of bipolar needles](bipolar_set.svg) |
| [Perfused needles](wet.md): saline leaves by holes | ![Perfused needles](wet.svg) |
| [A device of one's own](custom.md): round tubes that a case describes | ![A shaft with hooks](custom.svg) |
| [Reference bodies](reference_bodies.md): ball, spheroid and rod, with exact solutions | ![Reference bodies](reference_bodies.svg) |

## The ready cases

One case ready to run for each in `cases/devices/`. What those cases give, with the properties of
liver that rfasim takes when a case says nothing, and how long they take, start-up, mesh and pictures included, warm, with
two threads on {cpu} with two cores that other work shared: CPU time is what counts, clock time stands beside it. The
table and the pictures are made by `python docs/devices/run_cases.py`.

| case | page | simulated | nodes | steps | CPU, clock | impedance, start and end | power, mean and peak | hottest | zone | long x short axis | ended by |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""
FOOT = """
The zone is where `zone.criterion` says that tissue is dead, cavities and the sleeve that a cooled shaft keeps alive left
out. The long axis is the zone's extent along the device, the short one the diameter of a circle of the area of its largest
cross-section.
"""


def run(name: str, out: Path) -> dict[str, float]:
    """Run a case into ``out``; clock and CPU time [s], start-up and pictures included."""
    command = [sys.executable, "-m", "rfasim", "run", f"cases/devices/{name}.yaml", "--out", str(out)]
    start, before = time.perf_counter(), cpu_seconds()
    subprocess.run([*command, "--overwrite", "--quiet", "--threads", "2"], cwd=ROOT, check=True, stdout=sys.stderr)
    return {"seconds": round(time.perf_counter() - start, 1), "cpu_s": round(cpu_seconds() - before, 1)}


def numbers_of(out: Path) -> dict[str, Any]:
    """The numbers of a result that stand in the table."""
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    electrical, zone = summary["electrical"], summary["zone"]
    return {
        "run_s": round(summary["run"]["wall_s"], 1),
        "simulated_s": round(summary["run"]["simulated_s"], 1), "nodes": summary["mesh"]["nodes"],
        "steps": summary["run"]["steps"], "initial_ohm": round(electrical["initial_impedance_ohm"], 1),
        "final_ohm": round(electrical["final_impedance_ohm"], 1), "mean_w": round(electrical["mean_power_w"], 1),
        "peak_w": round(electrical["peak_power_w"], 1), "roll_offs": electrical["roll_offs"],
        "roll_off_s": electrical["roll_off_time_s"], "stopped_by": electrical["stopped_by"],
        "hottest_c": round(summary["thermal"]["max_temperature_c"], 1), "zone_ml": round(zone["volume_ml"], 2),
        "long_mm": round(zone["long_axis_mm"], 1), "short_mm": round(zone["short_axis_mm"], 1),
        "imbalance": summary["energy"]["imbalance_fraction"],
    }  # fmt: skip


def finished(out: Path) -> bool:
    """Whether a complete result lies in ``out``."""
    summary = out / "summary.json"
    return summary.exists() and json.loads(summary.read_text(encoding="utf-8"))["status"] == "complete"


def cpu_seconds() -> float:
    """CPU time [s] of the programs run so far: what a run costs whatever else the machine does."""
    times = os.times()
    return times.children_user + times.children_system


def composite(pictures: list[Path]) -> bytes:
    """Pictures side by side, small enough for a repository: few colours, those of the lines among them."""
    from PIL import Image

    parts = [Image.open(picture).convert("RGB") for picture in pictures]
    height = max(part.height for part in parts)
    parts = [
        part.resize((round(part.width * height / part.height), height), Image.Resampling.LANCZOS) for part in parts
    ]
    whole = Image.new("RGB", (sum(part.width for part in parts), height), "white")
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width
    rare = whole.quantize(48, Image.Quantize.MAXCOVERAGE).getpalette()
    for width in (WIDTH, 800, 600):
        small = whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)
        frequent = small.quantize(200, Image.Quantize.MEDIANCUT).getpalette()
        palette = Image.new("P", (1, 1))
        palette.putpalette([*(frequent or [])[:600], *(rare or [])[:144]])
        buffer = io.BytesIO()
        small.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
        if buffer.tell() <= LARGEST:
            break
    return buffer.getvalue()


def table(numbers: dict[str, dict[str, Any]]) -> str:
    """The rows of README.md."""
    lines = []
    for name, row in numbers.items():
        page, nodes = PAGES[name], f"{row['nodes']:,}".replace(",", " ")
        lines.append(
            f"| `{name}` | [{page.replace('_', ' ')}]({page}.md) | {row['simulated_s']:.0f} s | {nodes} | "
            f"{row['steps']} | {times(row)} | {row['initial_ohm']:.0f}, {row['final_ohm']:.0f} ohm | "
            f"{row['mean_w']:.0f}, {row['peak_w']:.0f} W | {row['hottest_c']:.0f} degC | {row['zone_ml']:.1f} ml | "
            f"{row['long_mm']:.0f} x {row['short_mm']:.0f} mm | {ended(row)} |"
        )
    return "\n".join(lines) + "\n"


def times(row: dict[str, Any]) -> str:
    """CPU and clock time; a run that was not timed as a whole has the clock time of mesh and loop."""
    return f"{row['cpu_s']:.0f}, {row['seconds']:.0f} s" if "cpu_s" in row else f"-, {row['run_s']:.0f} s"


def ended(row: dict[str, Any]) -> str:
    """How a run came to its end, in words."""
    offs = "" if not row["roll_offs"] else f", {row['roll_offs']} roll-off{'s' if row['roll_offs'] > 1 else ''}"
    return f"{row['stopped_by']}{offs}".replace("_", "-")


def write_result(name: str, row: dict[str, Any]) -> None:
    """The result of a case and its picture, in the part of the device's page that is marked for it."""
    page = FOLDER / f"{PAGES[name]}.md"
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- result of {name} -->\n", f"<!-- end of {name} -->\n"
    if begin not in text:
        if "\n## Ready case" not in text:
            text += "\n## Ready case\n"
        text += f"\n{begin}{end}"
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    said = (
        f"`cases/devices/{name}.yaml`, {row['simulated_s']:.0f} s simulated, ended by {ended(row)}: a zone of "
        f"{row['zone_ml']:.1f} ml, {row['long_mm']:.0f} mm along the device and {row['short_mm']:.0f} mm across, at "
        f"{row['mean_w']:.0f} W in the mean; the impedance goes from {row['initial_ohm']:.0f} to {row['final_ohm']:.0f} ohm. "
        f"More numbers: [all ready cases](README.md).\n\n![Section and readings of {name}](pictures/{name}.png)\n"
    )
    page.write_text(before + begin + "\n" + said + "\n" + end + after, encoding="utf-8")


def processor() -> str:
    """The model of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "an unknown processor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="cases; all when not stated")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "devices", help="folder for the results")
    parser.add_argument("--collect", action="store_true", help="run nothing, take the results that are there")
    options = parser.parse_args()
    known = sorted(path.stem for path in CASES.glob("*.yaml"))
    for name in options.names:
        if name not in known:
            parser.error(f"got '{name}'; choose among {', '.join(known)}")
    PICTURES.mkdir(exist_ok=True)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for name in options.names or known:
        out = options.out / name
        if not options.collect:
            numbers[name] = {**numbers.get(name, {}), **run(name, out)}
        elif not finished(out):
            continue
        numbers[name] = {**numbers.get(name, {}), **numbers_of(out)}
        print(name, numbers[name], flush=True)
        (PICTURES / f"{name}.png").write_bytes(composite([out / "section.png", out / "history.png"]))
        write_result(name, numbers[name])
        numbers = {key: numbers[key] for key in known if key in numbers}
        NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        text = HEAD.format(cpu=processor()) + table(numbers) + FOOT
        (FOLDER / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
