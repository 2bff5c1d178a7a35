"""The rules and the score of a front sheet, judged by their own examples.

Every example is a delivered sheet that goes through the whole intake, so that what is tested is what a
hospital gets to see.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from example_sheet import findings, taken_in
from predicate_parts import without_each_part

from expectations.rules import (
    Rule,
    RuleError,
    code_lists,
    load_rules,
    load_score,
    render_score,
)

RULES = load_rules("front_sheet")
SCORE = load_score()
BROKEN = [(rule, example) for rule in RULES.rules for example in rule.example_broken]
KEPT = [(rule, example) for rule in RULES.rules for example in rule.example_ok]
# A sheet with nothing but its keys is asked only what every sheet must have.
ASKED_OF_ALL = {"L05": False, "L18": True, "L43": True, "L50": False, "L53": False}
EMPTY = {
    **dict.fromkeys(RULES.base["wt41"]),
    "admission_ordinal": "1",
    "discharge_date": "20190308",
    "not_asked": [rule.id for rule in RULES.rules if rule.id not in ASKED_OF_ALL],
}
SHEETS = [*(example for _, example in [*BROKEN, *KEPT]), EMPTY]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The examples of all rules, taken in at once: the batch and the row of every example."""
    with taken_in(SHEETS, tmp_path_factory.mktemp("examples")) as (batch, rows):
        yield batch, rows, findings(batch)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The worked examples of the score: the batch and the row of every example."""
    with taken_in([item["sheet"] for item in SCORE.examples], tmp_path_factory.mktemp("scored")) as found:
        yield found


def label(pair: tuple[Rule, dict]) -> str:
    return f"{pair[0].id}-{pair[0].example_broken.index(pair[1]) if pair in BROKEN else 'kept'}"


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=[label(pair) for pair in BROKEN])
def test_a_breaking_example_breaks_its_rule_alone(examples, number):
    _, rows, found = examples
    rule, example = BROKEN[number]
    broken = {rule_id for rule_id, _ in found.get(rows[number], {})}
    assert broken == {rule.reported_as, *example.get("also_breaks", [])}


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_a_rule_has_an_example_that_breaks_it_alone(rule):
    rules = [other for other in RULES.rules if other.reported_as == rule.reported_as]
    assert any("also_breaks" not in example for other in rules for example in other.example_broken)


@pytest.mark.parametrize("number", range(len(KEPT)), ids=[label(pair) for pair in KEPT])
def test_a_keeping_example_breaks_nothing(examples, number):
    _, rows, found = examples
    assert found.get(rows[len(BROKEN) + number], {}) == {}


def test_no_check_can_be_removed(examples):
    """Every check of every rule finds something in the breaking examples of its rule."""
    batch, rows, _ = examples
    for index, (rule, field) in enumerate(RULES.checks):
        own = [row for row, (other, _) in zip(rows, BROKEN, strict=False) if other.id == rule.id]
        query = f"select count(*) from rule_result where check_{index} and row_no in {(*own, -1)}"
        assert batch.connection.sql(query).fetchall()[0][0] > 0, (rule.id, field)


def verdict(rule: Rule, applies: str, predicate: str) -> str:
    """The verdict of a check on the row of a sheet; what cannot be evaluated counts as broken."""
    condition = " and ".join(part for part in (rule.in_force, applies) if part) or "true"
    return f"bool_or(case when {condition} then coalesce(try(coalesce({predicate}, false)), true) end)"


@pytest.mark.parametrize("grain", RULES.columns)
def test_no_part_of_a_predicate_can_be_removed(examples, grain):
    """Without any operand of any `and` or `or`, or without all of `applies`, an example is judged otherwise.

    Judged otherwise means: another finding on any example, or a rule that asks an example of which it has nothing
    to ask.
    """
    batch, rows, _ = examples
    quiet = {rule.id: [-1] for rule in RULES.rules}
    for row, example in zip(rows, SHEETS, strict=True):
        for rule_id in example.get("not_asked", ()):
            quiet[rule_id].append(row)
    names, columns, differences = [], [], []
    for rule in RULES.rules:
        for _, applies, predicate in rule.checks if rule.grain == grain else ():
            mutants = [(part, applies, rest) for part, rest in without_each_part(predicate)]
            if applies:
                mutants += [(part, rest, predicate) for part, rest in without_each_part(applies)]
                mutants.append((applies, "", predicate))
            for part, *mutant in mutants:
                names.append((rule.id, part))
                whole, other = verdict(rule, applies, predicate), verdict(rule, *mutant)
                columns.append(f"{whole} as whole_{len(names)}, {other} as other_{len(names)}")
                differences.append(f"""
                    bool_or(coalesce(whole_{len(names)}, false) <> coalesce(other_{len(names)}, false)
                        or (row_no in {(*quiet[rule.id],)} and other_{len(names)} is not null))
                """)
    [is_noticed] = batch.connection.sql(f"""
        select {", ".join(differences)}
        from (select row_no, {", ".join(columns)} from rule_{grain} group by row_no)
    """).fetchall()
    unnoticed = [name for name, noticed in zip(names, is_noticed, strict=True) if not noticed]
    assert not unnoticed, unnoticed


def test_an_example_is_not_asked_what_it_says(examples):
    batch, rows, _ = examples
    for row, example in zip(rows, SHEETS, strict=True):
        for rule_id in example.get("not_asked", ()):
            checks = [f"check_{index}" for index, (rule, _) in enumerate(RULES.checks) if rule.id == rule_id]
            query = f"select coalesce({', '.join([*checks, 'null'])}) from rule_result where row_no = {row}"
            assert checks and batch.connection.sql(query).fetchall() == [(None,)], (rule_id, example)


def test_a_rule_is_asked_only_where_it_applies(examples):
    batch, rows, _ = examples
    verdicts = batch.connection.sql(f"select * from rule_verdict where row_no = {rows[-1]}")
    [row] = verdicts.fetchall()
    asked = {
        name: value
        for name, value in zip(verdicts.columns, row, strict=True)
        if name in RULES.rule_ids and value is not None
    }
    assert asked == ASKED_OF_ALL


def test_the_list_is_complete():
    """L01 to L53; L51 looks at several deliveries and is declared with the cross-sheet rules."""
    assert {*RULES.rule_ids, "L51"} == {f"L{number:02d}" for number in range(1, 54)}
    for rule in RULES.rules:
        assert rule.group and rule.clause and rule.source and rule.hint, rule.id
        assert rule.confidence in ("verified", "knowledge")
        assert rule.valid_from is not None


def test_a_rule_holds_from_its_date_on():
    [rule] = [rule for rule in RULES.rules if rule.id == "L33"]
    assert str(rule.valid_from) == "2020-01-01"
    assert "discharge_date >= date '2020-01-01'" in rule.in_force


def test_code_lists_are_ranges_of_equal_length():
    for name, ranges in code_lists().items():
        for start, end in ranges:
            assert len(start) == len(end) and start <= end, (name, start, end)
    assert not set(code_lists()["female_diagnosis"]) & set(code_lists()["male_diagnosis"])


# --- The score ----------------------------------------------------------------------------------------


def scores(batch) -> dict[int, Decimal]:
    query = f"select row_no, {render_score(SCORE)} from score_line"
    return dict(batch.connection.sql(query).fetchall())


def deductions(batch) -> dict[int, dict[str, float]]:
    columns = ", ".join(f"lost_{item.id}::double" for item in SCORE.items)
    query = f"select row_no, {columns} from score_line"
    return {
        row[0]: {item.id: lost for item, lost in zip(SCORE.items, row[1:], strict=True) if lost}
        for row in batch.connection.sql(query).fetchall()
    }


def test_there_are_at_least_thirty_worked_sheets():
    assert len(SCORE.examples) >= 30


@pytest.mark.parametrize(
    "number", range(len(SCORE.examples)), ids=[example["title"] for example in SCORE.examples]
)
def test_worked_score(scored, number):
    batch, rows = scored
    example = SCORE.examples[number]
    assert deductions(batch)[rows[number]] == example["lost"]
    assert scores(batch)[rows[number]] == Decimal(str(example["expected"]))
    assert Decimal(str(example["expected"])) == 100 - Decimal(str(sum(example["lost"].values())))


def test_no_line_of_the_score_can_be_removed():
    lost = {item for example in SCORE.examples for item in example["lost"]}
    assert lost == {item.id for item in SCORE.items}


def test_every_verdict_of_the_score_takes_points(examples, scored):
    """Each rule that the score names costs points on some example of the rules or of the score."""
    seen = {
        name
        for batch in (examples[0], scored[0])
        for (name,) in batch.connection.sql("select verdict from point_lost where points > 0").fetchall()
    }
    assert seen == set(SCORE.verdicts)


def test_points_lost_by_findings(examples, scored):
    """The points of a line are shared by its defects; a finding outside the score costs nothing."""
    _, rows, found = examples
    first = {rule.id: found[row] for row, (rule, _) in reversed([*zip(rows, BROKEN, strict=False)])}
    assert first["L07"] == {("L07", "age_years"): 1}
    assert first["L02"] == {("L02", "admission_date"): 4}, "admission and discharge time, 2 each"
    assert first["L38"] == {("L38", "anaesthetist_id"): Decimal("0.5")}
    assert first["L41"]["L41", "self_paid_yuan"] == 0
    both = {key: value for key, value in first["L52-procedure"].items() if key[1] != "anaesthesia_code"}
    assert both == {("L52", "incision_class_code"): 1, ("L52", "healing_class_code"): 1}, (
        "2 points, two defects"
    )


def test_points_lost_never_exceed_what_the_score_lacks(examples, scored):
    for batch in (examples[0], scored[0]):
        total = scores(batch)
        for row, lost in findings(batch).items():
            assert sum(lost.values()) <= 100 - total[row] + Decimal("0.05")


def test_the_score_has_its_four_sections():
    points: dict[str, float] = {}
    classes: dict[tuple[str, str], float] = {}
    for item in SCORE.items:
        points[item.section] = points.get(item.section, 0) + item.points
        key = (item.section, item.item_class)
        classes[key] = classes.get(key, 0) + item.points
    assert points == {"患者基本信息": 18, "住院过程信息": 26, "诊疗信息": 50, "费用信息": 6}
    assert classes["诊疗信息", "A"] == 24 and classes["诊疗信息", "D"] == 7
    assert classes["住院过程信息", "D"] == 9 and classes["患者基本信息", "D"] == 4


@pytest.mark.parametrize(
    "score, code", [(100, "A"), (90, "A"), (89.5, "B"), (75, "B"), (74.5, "C"), (0, "C")]
)
def test_grades(score, code):
    assert SCORE.grade(score).code == code


def test_a_slip_in_the_score_is_an_error(tmp_path, monkeypatch):
    import expectations.rules as module

    head = "source: s\ntotal: 1\nexcellent: 1\ngrades: []\nexamples: []\nitems:\n"
    item = "- {{id: x, section: s, class: A, points: 1, confidence: verified, item: i, {rest}}}\n"
    monkeypatch.setattr(module, "RULES_DIR", tmp_path)
    for rest, message in (
        ("defects: left(a, 2) is null", "unknown keys 2"),
        ("broken: [L99]", "unknown verdicts L99"),
        ("broken: [L52]", "unknown verdicts L52"),
        ("blank_fields: [a]", "no column blank_x"),
    ):
        (tmp_path / "front_sheet_score.yml").write_text(head + item.format(rest=rest), encoding="utf-8")
        with pytest.raises(RuleError, match=message):
            load_score.__wrapped__()
