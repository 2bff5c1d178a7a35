"""Every rule of the built-in scheme holds in cases made for it, and in none that misses a single one of its conditions.

The cases are made from whatever the scheme's tables say (`tests/rule_cases.py`); what the rules should say is no matter
here. To see a rule by itself, it is taken into a scheme in which it stands, on its own level, as the only thing that
decides: a mark among the other diagnoses says which rule a case is for. All cases are grouped in one go, once under
that scheme and once under the built-in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from pipelines.scheme.loader import TABLES, Scheme, read_scheme
from pipelines.settings import DBT_PROJECT_DIR
from tests.engine import group_cases
from tests.naive_grouper import NaiveGrouper, Rule
from tests.random_scheme import write_scheme
from tests.rule_cases import RuleCase, RuleCases

SCHEME = DBT_PROJECT_DIR / "schemes" / "builtin_2026"
LEVELS = ("MDC", "ADRG", "DRG")
# A rule that asks for what its gate asks for anyway cannot be missed by a case that passes the gate.
LARGEST_SHARE_OUT_OF_PLACE = 0.01


@dataclass
class Made:
    """The scheme, its rules and the cases made for them, by number."""

    naive: NaiveGrouper
    rules: list[Rule]
    cases: dict[str, RuleCase]


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return read_scheme(SCHEME)


@pytest.fixture(scope="module")
def made(scheme: Scheme) -> Made:
    naive = NaiveGrouper(scheme)
    maker = RuleCases(scheme, naive)
    rules = list(maker.rules())
    listed = [case for level, rule in rules for case in maker.cases(level, rule)]
    return Made(naive, [rule for _, rule in rules], {str(number): case for number, case in enumerate(listed)})


@pytest.fixture(scope="module")
def groups_alone(made: Made, scheme: Scheme, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The DRG of each case where its rule alone decides."""
    folder = write_scheme(tmp_path_factory.mktemp("scheme"), each_rule_alone(scheme))
    cases = [
        {"case_id": number, **case.case, "diagnoses": f"{case.case['diagnoses']}|{mark(case.rule.rule_id)}"}
        for number, case in made.cases.items()
    ]
    return {row["case_id"]: row["drg_code"] for row in group_cases(folder, pd.DataFrame(cases))}


def mark(rule_id: str) -> str:
    """A code that no list of a scheme knows."""
    return f"~{rule_id}"


def each_rule_alone(scheme: Scheme) -> dict[str, list[dict[str, Any]]]:
    """A scheme with an MDC, an ADRG and a DRG for each rule of another, all of that rule's name.

    The rule keeps its level and its conditions. Of the other two levels one asks for the mark, one for nothing.
    """
    tables = {name: table.select(list(TABLES[name])).to_pylist() for name, table in scheme.tables.items()}
    rules = tables["grouping_rule"]
    tables |= {"grouping_rule": [], "mdc": [], "adrg_branch": [], "drg": []}
    tables["scheme"][0]["retry_other_procedures"] = "N"
    for sequence, rule in enumerate(rules, 1):
        name = rule["rule_id"]
        asking = "ADRG" if rule["rule_level"] == "MDC" else "MDC"
        for level, parent_code in zip(LEVELS, (None, name, name), strict=True):
            row = (
                rule
                if level == rule["rule_level"]
                else {"rule_id": f"{level} for {name}", "rule_level": level}
            )
            place = {"rule_sequence": sequence, "parent_code": parent_code, "target_code": name}
            tables["grouping_rule"].append(row | place)
        tables["code_list"].append({"code_list_id": mark(name), "code_type": "DIAGNOSIS", "code": mark(name)})
        tables["rule_code_condition"].append(
            {
                "rule_id": f"{asking} for {name}",
                "condition_number": 1,
                "code_role": "OTHER_DIAGNOSIS",
                "code_list_id": mark(name),
                "is_excluded": 0,
                "minimum_categories": 1,
            }
        )
        tables["mdc"].append({"mdc_code": name, "mdc_sequence": sequence})
        tables["adrg_branch"].append({"adrg_branch": name, "adrg_code": name, "mdc_code": name})
        tables["drg"].append({"drg_code": name, "adrg_code": name, "drg_name": name})
    return tables


def test_every_rule_has_a_case_that_satisfies_it_where_it_stands(made):
    satisfied = {
        case.rule.rule_id for case in made.cases.values() if case.missed is None and case.is_in_place
    }
    rules = {rule.rule_id for rule in made.rules}
    assert len(rules) > 1000
    assert not rules - satisfied, "these rules can never hold: no case passes the gate, the ADRG and the rule"


def test_every_condition_has_a_case_that_misses_nothing_else(made):
    missed = {(case.rule.rule_id, case.missed) for case in made.cases.values()}
    in_place = {(case.rule.rule_id, case.missed) for case in made.cases.values() if case.is_in_place}
    conditions = {(rule.rule_id, name) for rule in made.rules for name, _ in rule.conditions}
    assert not conditions - missed
    out_of_place = sorted(conditions - in_place)
    assert len(out_of_place) <= LARGEST_SHARE_OUT_OF_PLACE * len(conditions), out_of_place


def test_a_rule_holds_in_the_cases_that_satisfy_it(made, groups_alone):
    wrong = [
        (case.rule.rule_id, case.case, groups_alone[number])
        for number, case in made.cases.items()
        if case.missed is None and groups_alone[number] != case.rule.rule_id
    ]
    assert not wrong


def test_a_rule_does_not_hold_in_a_case_that_misses_one_condition(made, scheme, groups_alone):
    ungrouped = scheme.tables["scheme"].column("ungrouped_drg_code")[0].as_py()
    wrong = [
        (case.rule.rule_id, case.missed, case.case, groups_alone[number])
        for number, case in made.cases.items()
        if case.missed is not None and groups_alone[number] != ungrouped
    ]
    assert not wrong


def test_where_the_rules_stand_both_groupers_agree(made):
    cases = pd.DataFrame([{"case_id": number, **case.case} for number, case in made.cases.items()])
    wrong = [
        (made.cases[row["case_id"]].case, row)
        for row in group_cases(SCHEME, cases)
        if row != {"case_id": row["case_id"], **made.naive.group(made.cases[row["case_id"]].case)}
    ]
    assert not wrong
