"""The rules that look at two sheets: each by its own examples, through the SQL of the project."""

from __future__ import annotations

import duckdb
import pytest

from tests.spec.rendering import create_typed_table, project_vars, render_model

RULES = project_vars()["cross_sheet_rules"]
SHEET = {
    "case_id": "varchar", "patient_id": "varchar", "record_id": "varchar", "institution_code": "varchar",
    "admission_ordinal": "integer", "admission_date": "date", "admission_hour": "integer",
    "discharge_date": "date", "discharge_status_code": "varchar",
}  # fmt: skip
KEYS = {
    "id", "title", "group", "field", "severity", "predicate", "source", "clause", "confidence", "valid_from",
    "hint", "example_broken", "example_ok",
}  # fmt: skip


def broken(example: dict) -> set[tuple[str, str]]:
    """The (case, rule) pairs that are found on the two stays of an example."""
    first = RULES[0]["example_broken"]["earlier"]
    stays = []
    for name in ("earlier", "later"):
        stay = {**first, **example["earlier"], **example[name], "case_id": name}
        # A record number means something only inside its institution.
        stays.append({"patient_id": "p", "record_id": f"r-{stay['institution_code']}", **stay})
    with duckdb.connect() as connection:
        create_typed_table(connection, "int_front_sheet__sheet_in_force", SHEET, stays)
        for model in ("int_front_sheet__stay_pair", "int_front_sheet__cross_finding"):
            connection.execute(f"create table {model} as {render_model(model)}")
        return set(connection.sql("select case_id, rule_id from int_front_sheet__cross_finding").fetchall())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["id"])
def test_the_breaking_example_breaks_its_rule_alone_on_both_sheets(rule):
    assert broken(rule["example_broken"]) == {("earlier", rule["id"]), ("later", rule["id"])}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["id"])
def test_the_keeping_example_breaks_nothing(rule):
    assert broken(rule["example_ok"]) == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["id"])
def test_a_rule_is_complete(rule):
    assert set(rule) == KEYS
    assert rule["severity"] in ("error", "warn", "info")
    assert any("\u4e00" <= character <= "\u9fff" for character in rule["title"] + rule["hint"])


def test_ids_are_unique_and_none_of_intake():
    from expectations.rules import load_rules

    ids = [rule["id"] for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(load_rules("front_sheet").rule_ids)
