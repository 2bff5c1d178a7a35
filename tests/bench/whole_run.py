"""Generation and whole runs, each step as a process, at two sizes: growth is the ratio of the second to the first."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.process import Measure, measure


def bench_whole_run(size: int) -> None:
    """Generate and run two cities, the second twice as large, and print a table."""
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
