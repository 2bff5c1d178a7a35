"""`make bench`: seconds and peak memory of generation and of a whole run, at two sizes, as whole processes.

Each command runs once on fresh data in a temporary home; growth is the ratio of the second size to the first.
Nothing here is a test: machines differ, so figures are printed and never compared with a limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

DRGQ = Path(sys.executable).with_name("drgq")


@dataclass(frozen=True)
class Measure:
    """Wall and processor seconds of a command with its children, and the largest resident set of one process (MiB)."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(arguments: list[str], home: Path) -> Measure:
    """Run `drgq` once and return what it cost. Raises SystemExit with its output where it fails."""
    log = home / "bench.log"
    with log.open("w") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(DRGQ), *arguments],
            env={**os.environ, "DRGQ_HOME": str(home)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"drgq {' '.join(arguments)} failed:\n{log.read_text()[-3000:]}")
    return Measure(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Generate and run two cities, the second twice as large, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--front-sheets", type=int, default=100_000, help="front sheets of the first size")
    size = parser.parse_args().front_sheets
    table = Table(title="drgq: whole-process figures")
    for heading in (
        "front sheets",
        "prescriptions",
        "step",
        "wall s",
        "cpu s",
        "peak MiB (one process)",
        "growth",
    ):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    first: dict[str, Measure] = {}
    for factor in (1, 2):
        sheets, prescriptions = size * factor, size * factor * 3
        with tempfile.TemporaryDirectory(prefix="drgq-bench-") as folder:
            home = Path(folder)
            generate = [
                "generate",
                "--out",
                folder,
                "--front-sheets",
                str(sheets),
                "--prescriptions",
                str(prescriptions),
            ]
            for step, arguments in (
                ("generate", generate),
                ("run, everything new", ["run", "--deliveries", f"{folder}/deliveries"]),
                ("run, nothing new", ["run", "--deliveries", f"{folder}/deliveries"]),
            ):
                cost = measure(arguments, home)
                growth = f"{cost.wall_seconds / first[step].wall_seconds:.2f}x" if step in first else ""
                first.setdefault(step, cost)
                table.add_row(
                    f"{sheets:,}", f"{prescriptions:,}", step, f"{cost.wall_seconds:.1f}", f"{cost.cpu_seconds:.1f}",
                    f"{cost.peak_mib:.0f}", growth,
                )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
