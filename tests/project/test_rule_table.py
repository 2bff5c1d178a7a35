"""The page of the front-sheet rules is what the rule files say, and names every one of them."""

from __future__ import annotations

import yaml

from expectations.rules import load_rules, load_score
from pipelines.rule_table import render_markdown, rule_rows, rule_titles
from pipelines.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings

PAGE = PROJECT_ROOT / "docs" / "front-sheet-rules.md"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == render_markdown(), (
        "write it anew: drgq rules --markdown > docs/front-sheet-rules.md"
    )


def test_every_rule_and_every_line_of_the_score_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for number in range(1, 54):
        assert f"| L{number:02d} |" in text
    for item in load_score().items:
        assert item.item in text
    assert (
        {row.rule_id for row in rule_rows()} == set(rule_titles()) >= set(load_rules("front_sheet").rule_ids)
    )


def test_the_cut_off_is_one_number():
    assert Settings(home=PAGE, deliveries=PAGE).excellent_score == load_score().excellent
    macro = (DBT_PROJECT_DIR / "macros" / "front_sheet.sql").read_text(encoding="utf-8")
    assert f"env_var('DRGQ_EXCELLENT_SCORE', '{load_score().excellent}')" in macro


def test_the_grades_of_the_warehouse_are_those_of_the_score():
    grades = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"][
        "front_sheet_grades"
    ]
    assert grades == [{"code": grade.code, "least": grade.least} for grade in load_score().grades]
