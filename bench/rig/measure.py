"""How a benchmark measures and what it prints: each figure beside a limit that was measured in the same run.

Method, the same for all: warm up once, repeat, take the best of the repeats for limit and for us alike (the machine may
have other load; the best is what disturbs least), garbage collection off inside the timed part. Ratios are what is
compared from one machine to another; rates are not. docs/performance.md keeps the table.
"""

import gc
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPEATS: Final = 5


@dataclass(frozen=True)
class Figure:
    """One line of the table. Rates in `unit` a second.

    `aim` is the least ratio, or the least rate where absolute; None where no aim is set and the figure is for the eye.
    """

    what: str
    limit: float
    ours: float
    unit: str
    aim: float | None = None
    absolute: bool = False

    @property
    def ratio(self) -> float:
        """Ours over the limit."""
        return self.ours / self.limit

    @property
    def verdict(self) -> str:
        """Whether the aim is reached, in words; nothing where there is none."""
        if self.aim is None:
            return ""
        return "reached" if (self.ours if self.absolute else self.ratio) >= self.aim else "not reached"

    @property
    def cells(self) -> list[str]:
        """The line of the table."""
        aim = "" if self.aim is None else f"{self.aim:,.0f} {self.unit}/s" if self.absolute else f"{self.aim:.2f}"
        rates = [f"{rate:,.0f} {self.unit}/s" for rate in (self.limit, self.ours)]
        return [self.what, *rates, f"{self.ratio:.2f}", aim, self.verdict]


def resident(what: str, pid: int | str = "self") -> float:
    """Read a process's megabytes from the kernel's own account: VmRSS is now, VmHWM the most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def best_rate(count: int, run: Callable[[], object], *, repeats: int = REPEATS, cpu: bool = False) -> float:
    """Return the best rate of `count` things done by one `run`, a second of wall time (or of this process's CPU)."""
    clock = time.process_time if cpu else time.perf_counter
    run()
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        gc.disable()
        try:
            began = clock()
            run()
            best = min(best, clock() - began)
        finally:
            gc.enable()
    return count / best


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values did not exceed; the greatest for a share of 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(title: str, figures: Sequence[Figure], notes: Sequence[str] = ()) -> None:
    """Print the machine and the table: what, limit, ours, ratio, aim."""
    table(title, ["what", "limit", "ours", "ratio", "aim", ""], [figure.cells for figure in figures], notes)


def table(title: str, head: Sequence[str], lines: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print the machine and any table, with notes below it."""
    print(f"\n{title}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}")
    rows = [head, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for note in notes:
        print(f"  {note}")
