"""`make bench`: seconds and peak memory of generation and of a whole run, at two sizes, as whole processes.

Each command runs once on fresh data in a temporary home; growth is the ratio of the second size to the first.
`python -m pipelines.bench gate` measures one month of a very large city (200,000 front sheets) at the gate instead.
Nothing here is a test: machines differ, so figures are printed and never compared with a limit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
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
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("run", "gate"), default="run")
    parser.add_argument(
        "--front-sheets", type=int, help="of the first size, or of the month (100,000; 200,000)"
    )
    given = parser.parse_args()
    if given.what == "gate":
        bench_gate(given.front_sheets or 200_000)
    else:
        bench_run(given.front_sheets or 100_000)


def bench_gate(size: int) -> None:
    """Take in one month of about `size` front sheets and judge it; print the seconds of each part.

    The month is cut out of a year of twelve such months, with the faults of a demonstration city left out.
    """
    # Not needed by the other measurement, which only starts processes.
    from pipelines.checks.gate import build_gate_checks  # noqa: PLC0415
    from pipelines.demo import generate_city  # noqa: PLC0415
    from pipelines.demo.city import write_correction  # noqa: PLC0415
    from pipelines.intake.gate import evaluate_gate  # noqa: PLC0415
    from pipelines.settings import Settings  # noqa: PLC0415

    month = "2019-06"
    with tempfile.TemporaryDirectory(prefix="drgq-bench-") as folder:
        home = Path(folder)
        generate_city(home, front_sheets=384, prescriptions=0, years=(2019,), clean=True)
        request = home / "answer_key" / "request.json"
        request.write_text(json.dumps({**json.loads(request.read_text()), "front_sheets": size * 12}))
        for institution in sorted(home.glob("deliveries/HZ*")):
            shutil.rmtree(institution)
            write_correction(home, institution.name, month)
        delivered = sum(path.stat().st_size for path in home.glob("deliveries/HZ*/*/front_sheet*"))
        cost = measure(["intake", "--deliveries", f"{folder}/deliveries"], home)
        settings = Settings.from_environment(home=home)
        seconds = {}
        for step, work in (
            ("gate (all rules, Great Expectations)", lambda: evaluate_gate(settings)),
            (
                "asset checks with their cases",
                lambda: [list(check()) for check in build_gate_checks(settings)],
            ),
        ):
            started = time.monotonic()
            work()
            seconds[step] = time.monotonic() - started
        with duckdb.connect() as connection:
            (sheets,) = connection.execute(
                "select sum(accepted_count) from read_parquet(?, hive_partitioning = false)",
                [f"{folder}/lake/file_count/**/*.parquet"],
            ).fetchall()[0]
    table = Table(title=f"drgq: one month of {sheets:,} front sheets, {delivered / 1e6:,.0f} MB")
    for heading in ("step", "seconds"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    table.add_row("intake with rules, score and gate (process, wall)", f"{cost.wall_seconds:.1f}")
    table.add_row("the same, processor seconds", f"{cost.cpu_seconds:.1f}")
    for step, value in seconds.items():
        table.add_row(step, f"{value:.1f}")
    Console(width=120).print(table)


def bench_run(size: int) -> None:
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


if __name__ == "__main__":
    main()
