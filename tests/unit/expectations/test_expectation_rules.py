"""Every rule of the rule files: its two examples, its wording and its rendering."""

from dataclasses import replace

import duckdb
import pytest

from expectations.rules import (
    DATASETS,
    RuleError,
    code_domains,
    load_rules,
    load_score,
    render_evaluation,
    render_score,
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


@pytest.mark.parametrize("dataset, rule", CASES)
def test_examples(connection, dataset, rule):
    known = load_rules(dataset).grain_columns(rule.grain)
    assert set(rule.example_broken) <= set(known) and set(rule.example_ok) <= set(known)
    assert verdict(connection, dataset, rule, rule.example_broken) is True
    assert verdict(connection, dataset, rule, rule.example_ok) is not True


@pytest.mark.parametrize("example", load_score().examples, ids=lambda example: example["title"])
def test_score_examples(connection, example):
    rules = load_rules("front_sheet")
    for grain in rules.columns:
        columns = rules.grain_columns(grain)
        given = {
            name: value
            for name, value in example["sheet"].items()
            if name in columns and grain == rules.grain
        }
        selected = ", ".join(
            f"cast(${name} as {kind}) as {name}" if name in given else f"cast(null as {kind}) as {name}"
            for name, kind in columns.items()
        )
        connection.execute(
            f"create or replace temp table {grain}_row as select 1 as row_no, {selected}", given
        )
    relations = {grain: f"{grain}_row" for grain in rules.columns}
    verdicts = ", ".join(f'{rule_expression(rules, rule_id)} as "{rule_id}"' for rule_id in rules.rule_ids)
    score = connection.execute(
        f"select {render_score(load_score())} from {rules.grain}_row "
        f"join (select row_no, {verdicts} from ({render_evaluation(rules, relations)})) using (row_no)"
    ).fetchone()[0]
    assert score == example["expected"]


def test_the_score_has_its_four_sections():
    points = {}
    for item in load_score().items:
        points[item.section] = points.get(item.section, 0) + item.points
    assert points == {"患者基本信息": 18, "住院过程信息": 26, "诊疗信息": 50, "费用信息": 6}


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
