"""Judging the cost growth of a city: from its warehouse to flags, every unit level and channel, in a process of its own.

The cases are only as true as the time needs: fees of every component, 24 MDCs, 700 DRGs, 20 departments.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from pipelines.cost_growth import COST_CASE, MONTH, read_frame
from tests.bench.process import elsewhere

INSTITUTIONS, MDCS, ADRGS_PER_MDC, DEPARTMENTS = 80, 24, 15, 20
JUDGED_YEAR, SEED = 2019, 1
HEADINGS = ("cases", "units", "flags", "read s", "judge s", "together s", "cpu s", "peak MiB")


def bench_growth(case_count: int) -> None:
    """Judge a city of 80 institutions with 2 × `case_count` cases; print a table."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    table = Table(title=f"cost growth, whole process: {cores} cores, load {load:.1f} before")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory(prefix="drgq-bench-") as folder:
        warehouse = Path(folder) / "warehouse.duckdb"
        elsewhere(write_warehouse, warehouse, case_count)
        table.add_row(*elsewhere(judge_warehouse, warehouse))
    Console(width=120).print(table)


def judge_warehouse(warehouse: Path) -> tuple[str, ...]:
    """Read and judge the later year; return the table's row. The peak is that of this process."""
    from models.cost_growth import flag_cost_growth

    started = time.monotonic()
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute("set threads to 2")
        connection.execute("set enable_progress_bar = false")
        connection.execute(COST_CASE.format(month=MONTH), {"last": JUDGED_YEAR * 12 + 11})
        cases = read_frame(connection)
    read = time.monotonic() - started
    result = flag_cost_growth(cases, str(JUDGED_YEAR))
    together = time.monotonic() - started
    units = sum(level["unit_count"] for level in result.summary["unit_level"].values())
    return (
        f"{len(cases):,}", f"{units:,}", f"{len(result.flags):,}", f"{read:.1f}", f"{together - read:.1f}",
        f"{together:.1f}", f"{time.process_time():.1f}", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f}",
    )  # fmt: skip


def write_warehouse(path: Path, case_count: int) -> None:
    """Write the three marts that the judgement reads, with `case_count` cases in each of two years."""
    rng = np.random.default_rng(SEED)
    size = rng.gamma(2.0, 1.0, INSTITUTIONS)
    popularity = rng.gamma(1.0, 1.0, MDCS * ADRGS_PER_MDC)
    with duckdb.connect(str(path)) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.dim_institution as select printf('3301%05d', n) as institution_code,"
            " cast(1 + n % 3 as varchar) as institution_level, date '1900-01-01' as valid_from,"
            f" date '9999-12-31' as valid_to from range({INSTITUTIONS}) as r (n)"
        )
        for year in (JUDGED_YEAR - 1, JUDGED_YEAR):
            institution = rng.choice(INSTITUTIONS, case_count, p=size / size.sum())
            adrg = rng.choice(MDCS * ADRGS_PER_MDC, case_count, p=popularity / popularity.sum())
            severe = rng.choice(3, case_count, p=(0.5, 0.3, 0.2))
            severity = rng.normal(0, 0.3, case_count) + 0.2 * severe
            cases = pd.DataFrame(
                {
                    "institution": institution,
                    "adrg": adrg,
                    "severe": severe,
                    "department": (adrg + rng.integers(0, 3, case_count)) % DEPARTMENTS,
                    "day": rng.integers(0, 365, case_count),
                    "age_years": rng.integers(0, 95, case_count),
                    "diagnosis_count": 1 + rng.poisson(3, case_count),
                    "sex": rng.integers(1, 3, case_count),
                    "route": rng.integers(1, 4, case_count),
                    **{
                        name: np.exp(7 + adrg % 7 / 5 + severity + rng.normal(0, 0.4, case_count))
                        for name in ("drug", "consumable", "examination", "service")
                    },
                }
            )
            connection.register("drawn", cases)
            verb = (
                "create table marts.fct_case as"
                if year < JUDGED_YEAR
                else "insert into marts.fct_case by name"
            )
            connection.execute(
                f"""
                {verb}
                select
                    md5(concat({year}, '-', row_number() over ())) as case_id, 's' as scheme_code,
                    printf('3301%05d', institution) as institution_code,
                    printf('%02d', department) as department_code,
                    chr(cast(65 + adrg // {ADRGS_PER_MDC} as integer)) as mdc_code,
                    printf('%c%02d', 65 + adrg // {ADRGS_PER_MDC}, adrg % {ADRGS_PER_MDC}) as adrg_code,
                    printf('%c%02d%d', 65 + adrg // {ADRGS_PER_MDC}, adrg % {ADRGS_PER_MDC}, least(severe, 1)) as drg_code,
                    case severe when 2 then 'MCC' when 1 then 'CC' else 'none' end as complication_level,
                    cast(0.8 + 0.4 * least(severe, 1) as decimal(9, 4)) as relative_weight,
                    date '{year}-01-01' + cast(day as integer) as discharge_date,
                    age_years, diagnosis_count, cast(sex as varchar) as sex_code,
                    cast(route as varchar) as admission_route_code,
                    cast(drug + consumable + examination + service as decimal(18, 2)) as total_fee_yuan,
                    cast(drug as decimal(18, 2)) as drug_fee_yuan,
                    cast(consumable as decimal(18, 2)) as consumable_fee_yuan,
                    cast(examination as decimal(18, 2)) as examination_fee_yuan,
                    cast(service as decimal(18, 2)) as service_fee_yuan
                from drawn
                """
            )
        connection.execute(
            "create table marts.fct_case_grouping as select case_id, scheme_code, 'grouped' as grouping_status, mdc_code,"
            " adrg_code, drg_code, complication_level, relative_weight from marts.fct_case"
        )
