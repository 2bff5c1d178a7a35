"""How often the built-in scheme puts a case where another rendering of the public standard puts it.

The built-in scheme was corrected by the differences in the cases of even number; the figure stated in docs/schemes.md
is that of the cases of odd number, which were not looked at. The cases are random, a diagnosis with any operation, and
harder than those of a hospital. They are not part of the repository: they are looked for below `DRGQ_REFERENCE_DIR`
(default `../shared`).
"""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest

from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR, PROJECT_ROOT
from tests.engine import group_cases

REFERENCE = Path(os.environ.get("DRGQ_REFERENCE_DIR") or PROJECT_ROOT.parent / "shared")
CASES = REFERENCE / "conformance" / "chs_drg_11" / "cases.csv.gz"
HALVES = {"consulted": 0, "held-out": 1}
# What is reached, rounded down: it may only become better.
LEAST_AGREEMENT = {"mdc_code": 0.94, "adrg_code": 0.79, "drg_code": 0.74}


@pytest.fixture(scope="module")
def agreement() -> dict[str, float]:
    """By level: the share of held-out cases with the same code, invalid and ungrouped ones included."""
    if not CASES.is_file():
        pytest.skip(f"no conformance cases of chs_drg_11 below DRGQ_REFERENCE_DIR ({REFERENCE})")
    with gzip.open(CASES.with_name("expected.csv.gz"), "rt", encoding="utf-8") as file:
        expected = {row["case_id"]: row for row in csv.DictReader(file)}
    rows = group_cases(DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME, CASES)
    halves = {name: [row for row in rows if int(row["case_id"]) % 2 == odd] for name, odd in HALVES.items()}
    assert all(len(half) == len(expected) // 2 for half in halves.values())
    shares = {
        name: {
            level: sum(row[level] == expected[row["case_id"]][level] for row in half) / len(half)
            for level in LEAST_AGREEMENT
        }
        for name, half in halves.items()
    }
    for name, half in halves.items():
        print(f"agreement on {len(half)} {name} cases: {shares[name]}")
    return shares["held-out"]


@pytest.mark.parametrize("level", LEAST_AGREEMENT)
def test_held_out_cases_agree(agreement, level):
    assert agreement[level] >= LEAST_AGREEMENT[level], agreement
