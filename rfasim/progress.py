"""A progress bar fed with frames; plain lines where nobody watches (a file, a CI log)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rfasim.frame import Frame

LINES = 10  # how many lines a run prints where there is no terminal


def clock(seconds: float) -> str:
    """``seconds`` as people say it: 4.2 s, 45 s, 3 min 20 s, 12 min, 5 h 3 min."""
    if seconds < 9.95:
        tenths = f"{seconds:.1f}".removesuffix(".0")
        return f"{tenths} s"
    if seconds >= 7200:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    minutes, rest = divmod(round(seconds), 60)
    return f"{rest} s" if minutes == 0 else f"{minutes} min" if rest == 0 else f"{minutes} min {rest} s"


class Progress:
    """Shows simulated time, power, impedance, hottest tissue, zone volume and the time left.

    >>> with Progress(duration=720.0) as progress:          # doctest: +SKIP
    ...     for frame in frames:
    ...         progress.update(frame)
    """

    def __init__(self, duration: float, console: Any = None, start: float = 0.0) -> None:
        """``duration``: simulated seconds to go to; ``start``: where a resumed run goes on from.

        ``console``: a rich console, standard error by default, so that a pipe carries results only.
        """
        from rich.console import Console

        self.duration, self.start = duration, start
        self.console = Console(stderr=True) if console is None else console
        self.is_live = (
            self.console.is_terminal and not self.console.is_dumb_terminal and not os.environ.get("CI")
        )
        self._began = time.monotonic()
        self._said = int(LINES * start / duration) if start > 0 and duration > 0 else -1
        self._last: Frame | None = None  # not yet printed
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self.is_live:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}"),
                console=self.console,
                refresh_per_second=8,
            )
            self._task = self._bar.add_task("run", total=self.duration, completed=self.start, text="starting")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._last is not None:  # a run that ended early, at a roll-off or by hand
            self._print(self._last)

    def update(self, frame: Frame) -> None:
        """Show ``frame``; costs microseconds between refreshes."""
        if self._bar is not None:
            self._bar.update(self._task, completed=frame.time, text=self.line(frame))
            return
        self._last = frame
        tenths = int(LINES * frame.time / self.duration * (1 + 1e-9)) if self.duration > 0 else LINES
        if tenths > self._said:
            self._said = tenths
            self._print(frame)

    def _print(self, frame: Frame) -> None:
        share = f"{100.0 * frame.time / self.duration:3.0f} %  " if self.duration > 0 else ""
        self.console.print(share + self.line(frame), highlight=False, soft_wrap=True)
        self._last = None

    def line(self, frame: Frame) -> str:
        """``frame`` in one line of plain text."""
        degree = "°C" if "utf" in (self.console.encoding or "").lower() else "degC"
        parts = [
            f"{clock(frame.time)} of {clock(self.duration)}",
            f"{frame.power:.1f} W",
            f"{abs(frame.impedance):.0f} ohm" if abs(frame.impedance) < 1e6 else "open circuit",
            f"{frame.max_temperature:.1f} {degree}",
            f"zone {frame.zone_volume * 1e6:.2f} ml",
        ]
        left = self.time_left(frame.time)
        if left is not None:
            parts.append(f"{clock(left)} left")
        return "  ".join(parts)

    def time_left(self, reached: float) -> float | None:
        """Wall seconds to the end at the pace so far; None at the start (nobody knows) and at the end."""
        spent, done = time.monotonic() - self._began, reached - self.start
        # the first steps of a run are far smaller than the rest
        if spent < 0.5 or done < 0.02 * self.duration or reached >= self.duration:
            return None
        return spent / done * (self.duration - reached)
