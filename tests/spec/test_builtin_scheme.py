"""Every ADRG and every DRG of the built-in scheme is reached: a case made from its rules lands in it, not before it.

A case that satisfies a rule may still belong to an earlier group; here the group itself must come out. Cases are made
from the scheme's tables (`tests/rule_cases.py`), the row-by-row evaluator picks one per group, the engine has the last
word. What the groups should be is no matter here.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pandas as pd
import pytest

from pipelines.scheme.loader import read_scheme
from pipelines.settings import BUILT_IN_SCHEME, DBT_PROJECT_DIR
from tests import rule_cases
from tests.engine import group_cases
from tests.naive_grouper import NaiveGrouper, Rule, invalid_reason
from tests.rule_cases import RuleCases, as_text

FOLDER = DBT_PROJECT_DIR / "schemes" / BUILT_IN_SCHEME
# Where a few codes of each list do not do, many are tried: what is left over by all other groups is a narrow place.
CODES_TRIED = (8, 400)
CASES_TRIED = 3000
LEAST_ADRGS, LEAST_DRGS = 360, 600


@pytest.fixture(scope="module")
def naive() -> NaiveGrouper:
    return NaiveGrouper(read_scheme(FOLDER))


def landing_case(naive: NaiveGrouper, maker: RuleCases, rule: Rule) -> dict[str, Any] | None:
    """A case whose group is given by this DRG rule, and by no earlier one."""
    for way in maker.ways_to("DRG", rule):
        for given in maker.inside(rule):
            for case in islice(maker.tried(way, rule, None, given), CASES_TRIED):
                patient = naive.patient(case)
                if invalid_reason(patient) is None and naive.first_group(patient) is rule:
                    return case
    return None


def complicated_case(
    naive: NaiveGrouper, maker: RuleCases, rule: Rule, siblings: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """A case of another DRG of the same ADRG with one more diagnosis, which brings it into this one."""
    for case in siblings:
        for row in maker.complications:
            complicated = case | {"diagnoses": f"{case['diagnoses']}|{row['diagnosis_code']}"}
            if naive.first_group(naive.patient(complicated)) is rule:
                return complicated
    return None


@pytest.fixture(scope="module")
def landed(naive) -> dict[str, dict[str, Any] | None]:
    """By DRG: the case that was found for it."""
    maker = RuleCases(read_scheme(FOLDER), naive)
    rules = {rule.target_code: rule for level, rule in maker.rules() if level == "DRG"}
    found: dict[str, dict[str, Any] | None] = dict.fromkeys(rules)
    for codes_tried in CODES_TRIED:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rule_cases, "CODES_TRIED", codes_tried)
            missing = [drg for drg, case in found.items() if case is None]
            found |= {drg: landing_case(naive, maker, rules[drg]) for drg in missing}
    for drg in [drg for drg, case in found.items() if case is None]:
        siblings = [
            case
            for other, case in found.items()
            if case and rules[other].parent_code == rules[drg].parent_code
        ]
        found[drg] = complicated_case(naive, maker, rules[drg], siblings)
    return found


def test_every_drg_has_a_case_that_lands_in_it(landed):
    assert [drg for drg, case in landed.items() if case is None] == []
    assert len(landed) >= LEAST_DRGS


def test_the_engine_puts_each_case_into_its_drg_and_adrg(landed):
    cases = pd.DataFrame([{"case_id": drg, **as_text(case)} for drg, case in landed.items() if case])
    rows = group_cases(FOLDER, cases)
    assert [row for row in rows if row["drg_code"] != row["case_id"]] == []
    reached = {row["adrg_code"] for row in rows}
    known = read_scheme(FOLDER).tables["adrg_branch"].to_pandas()["adrg_code"]
    assert set(known) - reached == set()
    assert len(reached) >= LEAST_ADRGS
