"""Intake of one month of front sheets on one core, in both layouts: typing alone, and with rules and score.

Two sizes of one month tell whether memory follows the block or the file. Typing is everything from the delivered bytes to
the Parquet of the lake (hash, decode, type, settle, pseudonymise, write) but rules, score and completeness.
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from tests.bench.process import Measure, elsewhere

MONTH = "2019-06"
# A large institution of the demonstration city for each layout, and the encoding it writes.
INSTITUTIONS = {"wt41": ("HZ003", "gb18030"), "hqms": ("HZ001", "utf-8")}
STEPS = {"typing": "decode, type, write", "all": "with rules and score"}
PROBE_SHEETS = 700_000


def bench_intake(megabytes: int) -> None:
    """Take in a month of so many MB, and of four times as many, and print MB (10^6 bytes) per second and peak memory."""
    table = Table(title="drgq: one month of front sheets, one core, UTF-8 CSV")
    for heading in ("layout", "MB", "step", "wall s", "cpu s", "MB/s", "MB per cpu s", "peak MiB"):
        table.add_column(heading, justify="left" if heading in ("layout", "step") else "right")
    for layout, institution in INSTITUTIONS.items():
        for wanted in (megabytes, 4 * megabytes):
            with tempfile.TemporaryDirectory(prefix="drgq-bench-") as folder:
                size = elsewhere(write_month, Path(folder), *institution, wanted * 1e6) / 1e6
                for step, title in STEPS.items():
                    cost = elsewhere(take_in_month, Path(folder), step)
                    table.add_row(
                        layout, f"{size:.0f}", title, f"{cost.wall_seconds:.1f}", f"{cost.cpu_seconds:.1f}",
                        f"{size / cost.wall_seconds:.0f}", f"{size / cost.cpu_seconds:.0f}", f"{cost.peak_mib:.0f}",
                    )  # fmt: skip
    Console(width=120).print(table)
    print(f"Load of the machine over the last minute: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores.")


def write_month(home: Path, institution_code: str, encoding: str, size: float) -> int:
    """Write a city of one institution's month of about `size` bytes of UTF-8 below `home`; return how many they are.

    `encoding` is what the institution itself writes. How many sheets that takes is found with a smaller month; faults are
    left out.
    """
    from pipelines.demo import generate_city
    from pipelines.demo.city import write_correction

    generate_city(home, front_sheets=384, prescriptions=0, years=(2019,), clean=True)
    for path in sorted((home / "deliveries").glob("HZ*/*/*")):
        path.unlink()
    request = home / "answer_key" / "request.json"
    stored = json.loads(request.read_text())
    sheets, written = PROBE_SHEETS, 0
    for share in (min(1.0, size / 20e6), 1.0):
        sheets = int(sheets * share * size / written) if written else int(PROBE_SHEETS * share)
        request.write_text(json.dumps({**stored, "front_sheets": sheets}))
        folder = write_correction(home, institution_code, MONTH)
        [path] = folder.glob("front_sheet*")
        written = path.write_bytes(path.read_bytes().decode(encoding).encode())
    return written


def take_in_month(home: Path, step: str) -> Measure:
    """Take in what lies below `home` into a lake of its own, on one core; for `typing` rules and score are left out.

    The peak is that of this process: call it in one of its own.
    """
    from pipelines.intake.run import intake
    from pipelines.settings import Settings

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    key = b"only for benchmarks"
    settings = Settings(home / step, home / "deliveries", pseudonym_key=key, workers=1)
    judged = mock.patch("pipelines.intake.front_sheet.judge_sheets", lambda *_: {})
    started, used = time.monotonic(), time.process_time()
    with judged if step == "typing" else nullcontext():
        summary = intake(settings)
    wall, cpu = time.monotonic() - started, time.process_time() - used
    if summary.rejected_count or not summary.accepted_count:
        raise SystemExit(f"{summary.accepted_count} accepted, {summary.rejected_count} rejected")
    return Measure(wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
