"""One month of a very large city at the gate: intake, gate and asset checks."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from pipelines.checks.gate import build_gate_checks
from pipelines.demo import generate_city
from pipelines.demo.city import write_correction
from pipelines.intake.gate import evaluate_gate
from pipelines.settings import Settings
from tests.bench.process import measure


def bench_gate(size: int) -> None:
    """Take in one month of about `size` front sheets and judge it; print the seconds of each part.

    The month is cut out of a year of twelve such months, with the faults of a demonstration city left out.
    """
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
