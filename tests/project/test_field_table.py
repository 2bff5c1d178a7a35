"""The page of the front-sheet fields is what the field table says, and what becomes of each field is true."""

from __future__ import annotations

from pipelines.field_table import BECOMES, CONVERSIONS, LIMITS, render_markdown
from pipelines.intake.layout import front_sheet_fields
from pipelines.intake.schema import DATASETS
from pipelines.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "front-sheet-fields.md"
SHEET_DATASETS = ("front_sheet", "diagnosis", "procedure")


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == render_markdown(), "write it anew: make docs"


def test_what_is_kept_or_hashed_is_in_the_lake_and_what_is_dropped_is_not():
    columns = {name for dataset in SHEET_DATASETS for name in DATASETS[dataset]}
    for item in front_sheet_fields():
        is_there = item.field in columns
        assert is_there == (item.disposition != "drop" and item.field not in BECOMES), item.field


def test_conversions_are_of_fields_that_exist():
    names = {item.field for item in front_sheet_fields()}
    assert set(CONVERSIONS) | set(BECOMES) <= names
    for limit in LIMITS:
        block = limit.fields.split("@")[0]
        assert block in ("*", "diagnosis", "procedure") or set(limit.fields.split("/")) <= names
