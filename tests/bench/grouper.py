"""`drgq group` on lists of distinct cases, as a whole process, from its start to the written result; beside it, the
row-by-row evaluator of the tests on the first of the same cases.
"""

from __future__ import annotations

import csv
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.scheme.loader import read_scheme
from pipelines.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from tests.bench.case_list import write_case_list
from tests.bench.process import Measure, elsewhere, measure
from tests.naive_grouper import NaiveGrouper

REFERENCE = Path(os.environ.get("DRGQ_REFERENCE_DIR") or PROJECT_ROOT.parent / "shared")
SCHEMES = (
    DBT_PROJECT_DIR / "schemes" / "builtin_2026",
    REFERENCE / "schemes" / "chs_drg_11",
    REFERENCE / "schemes" / "zhejiang_2022",
)
GROWTH, SEED = 4, 1
AIM = 1_000_000
HEADINGS = (
    "cases", "wall s", "cpu s", "peak MiB", "cases/s", f"of {AIM:,}/s", "growth of wall s", "differing"
)  # fmt: skip


def bench_grouper(case_count: int, sample: int) -> None:
    """Group lists of `case_count` and 4 x as many cases under every scheme that is there; print a table."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    table = Table(title=f"drgq group, whole processes: {cores} cores, load {load:.1f} before")
    table.add_column("scheme")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for scheme in SCHEMES:
        if not scheme.is_dir():
            print(f"not measured, for it is not there (DRGQ_REFERENCE_DIR): {scheme}")
            continue
        first: Measure | None = None
        for count in (case_count, case_count * GROWTH):
            with tempfile.TemporaryDirectory(prefix="drgq-bench-") as folder:
                home = Path(folder)
                cases, out = home / "cases.csv", home / "out.csv"
                elsewhere(write_case_list, scheme, cases, count, SEED)
                cost = measure(["group", str(cases), "--scheme", str(scheme), "--out", str(out)], home)
                growth = f"{cost.wall_seconds / first.wall_seconds:.2f} x" if first else ""
                table.add_row(
                    scheme.name, f"{count:,}", f"{cost.wall_seconds:.1f}", f"{cost.cpu_seconds:.1f}",
                    f"{cost.peak_mib:,.0f}", *speed(count, cost.wall_seconds), growth,
                )  # fmt: skip
                first = first or cost
                if count == case_count:
                    compared, seconds, differing = elsewhere(evaluate_sample, scheme, cases, out, sample)
        table.add_row(
            "  row by row", f"{compared:,}", f"{seconds:.1f}", "", "", *speed(compared, seconds), "", f"{differing:,}"
        )  # fmt: skip
    Console(width=120).print(table)


def speed(case_count: int, seconds: float) -> tuple[str, str]:
    """Cases per second, and their share of the aim."""
    return f"{case_count / seconds:,.0f}", f"{case_count / seconds / AIM:.1%}"


def evaluate_sample(scheme: Path, cases: Path, out: Path, size: int) -> tuple[int, float, int]:
    """Group the first cases row by row. Returns how many, the seconds without reading, and how many results differ."""
    naive = NaiveGrouper(read_scheme(scheme))
    with cases.open(encoding="utf-8", newline="") as file:
        sample = list(islice(csv.DictReader(file), size))
    with out.open(encoding="utf-8", newline="") as file:
        written = list(islice(csv.DictReader(file), size))
    started = time.monotonic()
    evaluated = [naive.group(case) for case in sample]
    seconds = time.monotonic() - started
    expected = [
        {"case_id": case["case_id"], **{name: value or "" for name, value in result.items()}}
        for case, result in zip(sample, evaluated, strict=True)
    ]
    return len(sample), seconds, sum(one != other for one, other in zip(expected, written, strict=True))
