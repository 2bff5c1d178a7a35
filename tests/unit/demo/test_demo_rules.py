"""The rules on the generated city: every injected fault is found, and a clean city has no error."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from expectations.rules import load_rules
from pipelines.intake.run import intake

SEVERITY = {rule.reported_as: rule.severity for rule in load_rules("front_sheet").rules}


@dataclass(frozen=True)
class Home:
    """The settings that intake asks for."""

    home: Path
    deliveries: Path
    pseudonym_key: bytes = b"a key for tests, long enough"
    workers: int = 1

    @property
    def lake(self):
        return self.home / "lake"

    @property
    def register(self):
        return self.home / "register"


def findings(city, home: Path) -> set[tuple[str, str, int, str]]:
    """(institution, month, source row, rule) of every finding on a front sheet."""
    settings = Home(home, city.deliveries)
    intake(settings)
    with duckdb.connect() as connection:
        return set(
            connection.execute(
                "select institution_code, month, source_row, rule_id from read_parquet(?, hive_partitioning = false)"
                " where dataset = 'front_sheet'",
                [str(settings.lake / "finding" / "**" / "*.parquet")],
            ).fetchall()
        )


def test_a_clean_city_has_no_error(clean_city, tmp_path):
    found = findings(clean_city, tmp_path)
    assert {rule for *_, rule in found if SEVERITY[rule] == "error"} == set()


def test_every_injected_fault_is_found(faulty_city, tmp_path):
    found = findings(faulty_city, tmp_path)
    with (faulty_city.answer_key / "faults.csv").open(encoding="utf-8", newline="") as file:
        key = [
            row
            for row in csv.DictReader(file)
            if row["dataset"] == "front_sheet"
            and row["expected"] in ("finding", "gate")
            and row["source_row"]
        ]
    assert len({row["rule_id"] for row in key}) > 30
    overlooked = [
        row
        for row in key
        if (row["institution_code"], row["month"], int(row["source_row"]), row["rule_id"]) not in found
    ]
    assert overlooked == [], "recall is 1.0, for warnings as for errors"


@pytest.mark.parametrize("rule", ["L14", "L40", "L52"])
def test_the_city_injects_faults_of_severity_error(faulty_city, rule):
    with (faulty_city.answer_key / "faults.csv").open(encoding="utf-8", newline="") as file:
        assert rule in {row["rule_id"] for row in csv.DictReader(file)}
    assert SEVERITY[rule] == "error"
