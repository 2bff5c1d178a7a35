"""Every rule of the built-in scheme holds in cases made for it, and in none that misses a single one of its conditions.

The cases are made from whatever the scheme's tables say (`tests/rule_cases.py`) and grouped in one go; which rules
held is read from what the engine keeps of a run. What the rules should say is no matter here.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pytest

from pipelines.grouper.engine import Grouper
from pipelines.scheme.loader import read_scheme
from pipelines.settings import DBT_PROJECT_DIR
from tests.engine import typed_cases
from tests.naive_grouper import NaiveGrouper, Rule
from tests.rule_cases import RuleCase, RuleCases

SCHEME = DBT_PROJECT_DIR / "schemes" / "builtin_2026"
HELD = {"MDC": "int_grouping__mdc_open", "ADRG": "int_grouping__adrg_match", "DRG": "int_grouping__drg_match"}
# A rule that asks for what its gate asks for anyway cannot be missed by a case that passes the gate.
LARGEST_SHARE_OUT_OF_PLACE = 0.01


@dataclass
class Run:
    """The cases made, by their number, and what the engine and the row-by-row evaluator say of each."""

    naive: NaiveGrouper
    rules: list[Rule]
    made: dict[str, RuleCase]
    held: dict[str, set[str]]
    groups: dict[str, dict[str, str | None]]


@pytest.fixture(scope="module")
def run() -> Run:
    scheme = read_scheme(SCHEME)
    naive = NaiveGrouper(scheme)
    maker = RuleCases(scheme, naive)
    rules = list(maker.rules())
    listed = [made for level, rule in rules for made in maker.cases(level, rule)]
    made = {str(number): rule_case for number, rule_case in enumerate(listed)}
    cases = typed_cases(pd.DataFrame([{"case_id": key, **value.case} for key, value in made.items()]))
    held: dict[str, set[str]] = {case_id: set() for case_id in made}
    with Grouper(scheme) as grouper:
        groups = {row.pop("case_id"): row for row in grouper.group(cases, keep=True).to_pylist()}
        for relation in HELD.values():
            rows = grouper.connection.execute(
                f"select case_id, rule_id from {relation}"
                " join int_grouping__case using (case_number) join int_grouping__rule using (rule_number)"
                " where attempt = 0"
            ).fetchall()
            for case_id, rule_id in rows:
                held[case_id].add(rule_id)
    return Run(naive, [rule for _, rule in rules], made, held, groups)


def rules_that_hold(naive: NaiveGrouper, case: dict) -> set[str]:
    """What the engine should find: gates, ADRG rules in open MDCs, DRG rules in the branches of these."""
    patient = naive.patient(case)
    gates = [rule for rule in naive.mdc_rules if rule.holds(patient)]
    open_mdcs = {rule.target_code for rule in gates}
    adrgs = [rule for rule in naive.adrg_rules if rule.parent_code in open_mdcs and rule.holds(patient)]
    branches = {rule.target_code for rule in adrgs}
    drgs = [rule for branch in branches for rule in naive.drg_rules[branch] if rule.holds(patient)]
    return {rule.rule_id for rule in (*gates, *adrgs, *drgs)}


def test_every_rule_has_a_case_that_satisfies_it_where_it_stands(run):
    satisfied = {made.rule.rule_id for made in run.made.values() if made.missed is None and made.is_in_place}
    rules = {rule.rule_id for rule in run.rules}
    assert len(rules) > 1000
    assert not rules - satisfied, "these rules can never hold: no case passes the gate, the ADRG and the rule"


def test_every_condition_has_a_case_that_misses_nothing_else(run):
    missed = {(made.rule.rule_id, made.missed) for made in run.made.values() if made.missed}
    in_place = {(made.rule.rule_id, made.missed) for made in run.made.values() if made.is_in_place}
    conditions = {(rule.rule_id, name) for rule in run.rules for name, _ in rule.conditions}
    assert not conditions - missed
    out_of_place = sorted(conditions - in_place)
    assert len(out_of_place) <= LARGEST_SHARE_OUT_OF_PLACE * len(conditions), out_of_place


def test_a_rule_holds_in_the_cases_that_satisfy_it(run):
    wrong = [
        (made.rule.rule_id, made.case)
        for case_id, made in run.made.items()
        if made.missed is None and made.rule.rule_id not in run.held[case_id]
    ]
    assert not wrong


def test_a_rule_does_not_hold_in_a_case_that_misses_one_condition(run):
    wrong = [
        (made.rule.rule_id, made.missed, made.case)
        for case_id, made in run.made.items()
        if made.missed is not None and made.rule.rule_id in run.held[case_id]
    ]
    assert not wrong


def test_no_other_rule_holds_than_should_in_any_of_these_cases(run):
    wrong = {}
    for case_id, made in run.made.items():
        expected = rules_that_hold(run.naive, made.case)
        if run.held[case_id] != expected:
            wrong[case_id] = (made.case, sorted(run.held[case_id] ^ expected))
    assert not wrong


def test_all_of_them_are_grouped_as_row_by_row(run):
    wrong = {
        case_id: (made.case, run.groups[case_id])
        for case_id, made in run.made.items()
        if run.groups[case_id] != run.naive.group(made.case)
    }
    assert not wrong
