"""Runs the ready case of every device and writes what came of it: the pictures and the table of docs/devices.

python docs/devices/run_cases.py                  # all of them, some minutes
python docs/devices/run_cases.py umbrella needle  # these; the table keeps the rows of the others

Each case is run with two threads as ``rfasim run`` runs it, pictures included. The numbers lie in pictures/numbers.json,
from which README.md is made.
"""

from __future__ import annotations

import argparse
import io
import json
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

One page a device, and one case ready to run for each in `cases/devices/`. What those cases give, with the properties of
liver that rfasim takes when a case says nothing, and how long they take: mesh, run and pictures, warm, two threads on
{cpu} with two cores. The table and the pictures are made by `python docs/devices/run_cases.py`.

| case | page | simulated | nodes | steps | run | impedance, start and end | power, mean and peak | hottest | zone | long x short axis | ended by |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""
FOOT = """
The zone is where `zone.criterion` says that tissue is dead, cavities and the sleeve that a cooled shaft keeps alive left
out. The long axis is the zone's extent along the device, the short one the diameter of a circle of the area of its largest
cross-section.
"""


def run(name: str, out: Path) -> dict[str, Any]:
    """Run a case into ``out``; the numbers of its row."""
    command = [sys.executable, "-m", "rfasim", "run", f"cases/devices/{name}.yaml", "--out", str(out)]
    start = time.perf_counter()
    subprocess.run([*command, "--overwrite", "--quiet", "--threads", "2"], cwd=ROOT, check=True, stdout=sys.stderr)
    seconds = time.perf_counter() - start
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    electrical, zone = summary["electrical"], summary["zone"]
    return {
        "seconds": round(seconds, 1), "loop_seconds": round(summary["run"]["wall_s"], 1),
        "simulated_s": round(summary["run"]["simulated_s"], 1), "nodes": summary["mesh"]["nodes"],
        "steps": summary["run"]["steps"], "initial_ohm": round(electrical["initial_impedance_ohm"], 1),
        "final_ohm": round(electrical["final_impedance_ohm"], 1), "mean_w": round(electrical["mean_power_w"], 1),
        "peak_w": round(electrical["peak_power_w"], 1), "roll_offs": electrical["roll_offs"],
        "roll_off_s": electrical["roll_off_time_s"], "stopped_by": electrical["stopped_by"],
        "hottest_c": round(summary["thermal"]["max_temperature_c"], 1), "zone_ml": round(zone["volume_ml"], 2),
        "long_mm": round(zone["long_axis_mm"], 1), "short_mm": round(zone["short_axis_mm"], 1),
        "imbalance": summary["energy"]["imbalance_fraction"],
    }  # fmt: skip


def composite(out: Path) -> bytes:
    """Section and history side by side, small enough for a repository."""
    from PIL import Image

    parts = [Image.open(out / name).convert("RGB") for name in ("section.png", "history.png")]
    height = max(part.height for part in parts)
    parts = [part.resize((round(part.width * height / part.height), height), Image.Resampling.LANCZOS) for part in parts]
    whole = Image.new("RGB", (sum(part.width for part in parts), height), "white")
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width
    for width, colours in ((WIDTH, 128), (WIDTH, 64), (800, 64), (800, 32)):
        small = whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.quantize(colours, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
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
            f"{row['steps']} | {row['seconds']:.0f} s | {row['initial_ohm']:.0f}, {row['final_ohm']:.0f} ohm | "
            f"{row['mean_w']:.0f}, {row['peak_w']:.0f} W | {row['hottest_c']:.0f} degC | {row['zone_ml']:.1f} ml | "
            f"{row['long_mm']:.0f} x {row['short_mm']:.0f} mm | {ended(row)} |"
        )
    return "\n".join(lines) + "\n"


def ended(row: dict[str, Any]) -> str:
    """How a run came to its end, in words."""
    offs = "" if not row["roll_offs"] else f", {row['roll_offs']} roll-off{'s' if row['roll_offs'] > 1 else ''}"
    return f"{row['stopped_by']}{offs}"


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
    options = parser.parse_args()
    known = sorted(path.stem for path in CASES.glob("*.yaml"))
    for name in options.names:
        if name not in known:
            parser.error(f"got '{name}'; choose among {', '.join(known)}")
    PICTURES.mkdir(exist_ok=True)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    for name in options.names or known:
        numbers[name] = run(name, options.out / name)
        print(name, numbers[name], flush=True)
        (PICTURES / f"{name}.png").write_bytes(composite(options.out / name))
        numbers = {key: numbers[key] for key in known if key in numbers}
        NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        text = HEAD.format(cpu=processor()) + table(numbers) + FOOT
        (FOLDER / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
