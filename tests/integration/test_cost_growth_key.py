"""Anomalies of a generated city against the flags of its run: what its answer key says grew is found and named."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from tests.integration.conftest import built_once, run_drgq

# Two years, for there is one period then; large enough that the units with an anomaly have some hundred cases a
# year.
CITY = [
    "--institutions",
    "8",
    "--front-sheets",
    "16000",
    "--prescriptions",
    "0",
    "--years",
    "2018-2019",
    "--seed",
    "11",
]
COMPONENTS = {
    "drugs": "drug",
    "consumables": "consumable",
    "examinations": "examination",
    "services": "service",
    "total": "total",
}


@pytest.fixture(scope="module")
def answers_and_flags(shared_root: Path) -> tuple[list[dict], list[dict]]:
    """(rows of the answer key, flags red or amber of institution × MDC)."""

    def build(folder: Path) -> None:
        for arguments in (
            ("generate", "--out", str(folder / "city"), *CITY),
            ("run", "--deliveries", str(folder / "city" / "deliveries")),
        ):
            result = run_drgq(*arguments, home=folder / "home")
            assert result.returncode == 0, result.stderr + result.stdout

    folder = built_once(shared_root, "growth_city", build)
    with (folder / "city" / "answer_key" / "anomalies.csv").open(encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    with duckdb.connect() as connection:
        flags = (
            connection.sql(
                f"from read_parquet('{folder / 'home' / 'lake' / 'cost_growth' / 'flag.parquet'}')"
                " where unit_level = 'mdc' and tier in ('red', 'amber')"
            )
            .to_arrow_table()
            .to_pylist()
        )
    return answers, flags


def test_rises_of_cost_are_found_and_named(answers_and_flags):
    answers, flags = answers_and_flags
    named = {
        (flag["institution_code"], flag["mdc_code"]): flag["channel"].removesuffix("_slope") for flag in flags
    }
    rises = [row for row in answers if row["is_anomaly"] == "1" and row["mechanism"] == "cost"]
    assert len(rises) >= 3
    found = [row for row in rises if (row["institution_code"], f"MDC{row['mdc_code']}") in named]
    # Not every rise is found: docs/evaluation.md says how many are.
    assert len(found) >= 2
    for row in found:
        assert named[row["institution_code"], f"MDC{row['mdc_code']}"] == COMPONENTS[row["channel"]]


def test_look_alikes_are_not_flagged(answers_and_flags):
    """Price policy for all, a new ICU, a new campus: at most one flag of the period is of no anomaly."""
    answers, flags = answers_and_flags
    planted = {
        (row["institution_code"], f"MDC{row['mdc_code']}") for row in answers if row["is_anomaly"] == "1"
    }
    others = [flag for flag in flags if (flag["institution_code"], flag["mdc_code"]) not in planted]
    assert len(others) <= 1, others
