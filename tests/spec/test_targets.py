"""The registry of targets: complete, word for word as in the source documents, in the unit of the value."""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from pipelines.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from tests.spec.rendering import indicators, render_model

REFERENCE = Path(os.environ.get("DRGQ_REFERENCE_DIR") or PROJECT_ROOT.parent / "shared")
# How many clauses each document gives.
CLAUSES = {
    "hz_plan_2018_2020": 162,
    "hz_one_visit_2018": 68,
    "national_plan_2018_2020": 18,
    "xiacheng_2018": 13,
    "news_2018": 1,
}
# The documents by the number that their files begin with.
DOCUMENTS = {
    "000": "hz_one_visit_2018",
    "001": "news_2018",
    "002": "hz_plan_2018_2020",
    "003": "xiacheng_2018",
    "004": "national_plan_2018_2020",
}
# Column of the reference -> column of the seed, where the names differ.
RENAMED = {
    "id": "target_id",
    "source_document": "document_id",
    "indicator_zh": "target_name",
    "indicator_en": "target_name_en",
    "year_or_deadline": "deadline",
}


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def targets() -> pd.DataFrame:
    return read(DBT_PROJECT_DIR / "seeds" / "target.csv")


def test_every_clause_of_the_five_documents_is_there_once(targets):
    assert len(targets) == 262
    assert targets["target_id"].is_unique
    assert dict(Counter(targets["document_id"])) == CLAUSES
    documents = read(DBT_PROJECT_DIR / "seeds" / "source_document.csv")
    assert set(documents["document_id"]) == set(CLAUSES)


def test_the_seed_is_the_reference_row_by_row(targets):
    path = REFERENCE / "reference" / "targets.csv"
    if not path.is_file():
        pytest.skip("reference/targets.csv is not here: set DRGQ_REFERENCE_DIR to the folder that holds it")
    reference = read(path).rename(columns=RENAMED)
    reference["document_id"] = reference["document_id"].str[:3].map(DOCUMENTS)
    assert set(reference.columns) == set(targets.columns)
    merged = targets.merge(
        reference, on="target_id", how="outer", suffixes=("", "_reference"), indicator=True
    )
    assert (merged["_merge"] == "both").all()
    different = [
        f"{row['target_id']}.{column}: {row[column]!r}, reference {row[column + '_reference']!r}"
        for column in targets.columns
        if column != "target_id"
        for _, row in merged[merged[column] != merged[f"{column}_reference"]].iterrows()
    ]
    assert not different


def test_every_row_of_annex_2_has_a_target_for_each_of_the_three_years(targets):
    annex = targets[targets["section_row"].str.startswith("Annex2/")]
    rows = annex["section_row"].str.removeprefix("Annex2/row").astype(int)
    assert set(rows) == set(range(1, 31))
    found = {
        (row, year)
        for row, first, last in zip(rows, annex["period_from"], annex["period_to"], strict=True)
        for year in range(int(first[:4]), int(last[:4]) + 1)
    }
    assert {(row, year) for row in range(1, 31) for year in (2018, 2019, 2020)} - found == set()
    assert (annex["document_id"] == "hz_plan_2018_2020").all()


def test_comparators_and_thresholds_fit_together(targets):
    numeric = targets[(targets["kind"] != "note") & targets["comparator"].isin([">=", ">", "<=", "="])]
    assert (numeric["threshold"] != "").all()
    # Row 6 points to a table of limits by type of hospital; nothing else that is to be achieved has a number.
    achieved = targets[targets["comparator"] == "achieved"]
    assert set(achieved["threshold"]) <= {"", "see antimicrobial_thresholds.csv"}
    assert (targets["period_from"] <= targets["period_to"]).all()
    assert set(targets["kind"]) == {"numeric", "milestone", "note"}


def test_a_computed_clause_can_be_computed(targets):
    """A clause on a declared indicator asks only for what the assessment knows how to judge."""
    computed = targets[targets["indicator_code"].isin({block["id"] for block in indicators()})]
    assert not computed.empty
    assert set(computed["org_level"]) == {"institution"}
    assert set(computed["aggregation"]) <= {"each", "share_having"}
    assert set(computed["cohort"]) <= {"", "eligible", "day-surgery pilots", "not day-surgery pilots"}
    assert set(computed["comparator"]) <= {">=", ">", "<=", "=", "improve", "maintain", "achieved"}
    # The scope of these columns is not looked at yet, so no computed clause may depend on it.
    for column in ("owner_level", "institution_type", "district_code"):
        assert set(computed[column]) == {""}


def test_percentages_become_fractions_and_nothing_else_changes(targets):
    with duckdb.connect() as connection:
        for name in ("target", "source_document"):
            path = DBT_PROJECT_DIR / "seeds" / f"{name}.csv"
            connection.execute(
                f"create table {name} as from read_csv('{path}', header = true, all_varchar = true)"
            )
        rows = connection.execute(
            f"select target_id, threshold_as_written, threshold, unit from ({render_model('dim_target')})"
        ).fetchall()
    assert len(rows) == len(targets)
    in_words = set()
    for target_id, written, threshold, unit in rows:
        if written is None:
            assert threshold is None, target_id
            continue
        try:
            number = Decimal(written)
        except InvalidOperation:
            in_words.add(target_id)
            assert threshold is None, target_id
            continue
        is_percentage = (unit or "").startswith("%")
        assert threshold == (number / 100 if is_percentage else number), target_id
        assert not is_percentage or 0 <= threshold <= 1, target_id
    assert in_words == {"HZ3Y-06a-2018", "HZ3Y-06a-2019", "HZ3Y-06a-2020", "HZ3Y-16b-2020"}
