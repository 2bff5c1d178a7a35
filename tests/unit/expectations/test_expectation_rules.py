"""The rule files: wording, rendering, and the examples of the prescription rules.

The examples of the front-sheet rules are whole sheets and stand in `test_front_sheet_rules`.
"""

from dataclasses import replace

import duckdb
import pytest

from expectations.rules import (
    DATASETS,
    RuleError,
    code_domains,
    load_rules,
    render_evaluation,
    rule_expression,
)

CASES = [
    pytest.param(dataset, rule, id=f"{dataset}-{rule.id}")
    for dataset in DATASETS
    for rule in load_rules(dataset).rules
]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as con:
        yield con


def verdict(connection, dataset, rule, example):
    """Evaluate one rule alone on one row in which everything that the example does not give is null."""
    whole = load_rules(dataset)
    checks = tuple((owner, name) for owner, name in whole.checks if owner.id == rule.id)
    rules = replace(whole, rules=(rule,), checks=checks)
    relations = {}
    for grain in {whole.grain, rule.grain}:
        columns = whole.grain_columns(grain)
        selected = ", ".join(
            f"cast(${name} as {kind}) as {name}" if name in example else f"cast(null as {kind}) as {name}"
            for name, kind in columns.items()
        )
        given = {name: value for name, value in example.items() if name in columns}
        connection.execute(
            f"create or replace temp table {grain}_row as select 1 as row_no, {selected}", given
        )
        relations[grain] = f"{grain}_row"
    query = f"select {rule_expression(rules, rule.reported_as)} from ({render_evaluation(rules, relations)})"
    return connection.execute(query).fetchone()[0]


def test_all_rules_render_to_one_statement(connection):
    for dataset in DATASETS:
        rules = load_rules(dataset)
        relations = {}
        for grain in rules.columns:
            columns = ", ".join(
                f"cast(null as {kind}) as {name}" for name, kind in rules.grain_columns(grain).items()
            )
            relations[grain] = f"(select 1 as row_no, {columns})"
        relation = connection.sql(render_evaluation(rules, relations))
        assert relation.columns == ["row_no", *(f"check_{n}" for n in range(len(rules.checks)))]
        assert len(relation.fetchall()) == 1


@pytest.mark.parametrize("rule", load_rules("prescription").rules, ids=lambda rule: rule.id)
def test_examples(connection, rule):
    known = load_rules("prescription").grain_columns(rule.grain)
    for example in (*rule.example_broken, *rule.example_ok):
        assert set(example) <= set(known)
    for example in rule.example_broken:
        assert verdict(connection, "prescription", rule, example) is True
    for example in rule.example_ok:
        assert verdict(connection, "prescription", rule, example) is not True


@pytest.mark.parametrize("dataset, rule", CASES)
def test_wording(dataset, rule):
    assert any("\u4e00" <= char <= "\u9fff" for char in rule.title), "the title is for people of hospitals"
    assert rule.source


def test_unknown_code_list_is_an_error(tmp_path, monkeypatch):
    import expectations.rules as module

    (tmp_path / "front_sheet.yml").write_text(
        "columns: {sheet: {sex_code: varchar}}\n"
        "rules: [{id: X, title: x, field: sex_code, severity: error, source: s,"
        " predicate: 'sex_code in ({RC999})', example_broken: {}, example_ok: {}}]\n"
    )
    code_domains()
    monkeypatch.setattr(module, "RULES_DIR", tmp_path)
    with pytest.raises(RuleError, match="RC999"):
        load_rules.__wrapped__("front_sheet")
