"""The set-based grouper and the row-by-row one agree, whatever the scheme and whatever the case.

Schemes and cases are random but small (`tests/random_scheme.py`). Two evaluators can agree on nothing happening, so
what did happen is counted: every status, every reason, and every kind of condition both as one that held and as the
only one that did not. With DRGQ_TEST_EXAMPLES=2000 the search is longer, and another one each time.
"""

from __future__ import annotations

import csv
import gzip
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.grouper.engine import Grouper
from pipelines.scheme.loader import BOUNDS, read_scheme
from pipelines.settings import PROJECT_ROOT
from tests.engine import group_cases, typed_cases
from tests.naive_grouper import NaiveGrouper, Patient
from tests.random_scheme import (
    BOUND_VALUES,
    CHOICE_VALUES,
    CODE_ROLES,
    CODES,
    EMPTY_LIST,
    FOREIGN,
    UNKNOWN,
    Tables,
    random_cases,
    random_tables,
    write_scheme,
)

REFERENCE = Path(os.environ.get("DRGQ_REFERENCE_DIR") or PROJECT_ROOT.parent / "shared")
LONG_SEARCH = os.environ.get("DRGQ_TEST_EXAMPLES")
SCHEME_COUNT, FIXED_COUNT = int(LONG_SEARCH or 30), 60
CASES_PER_SCHEME = 150
LEAST_CASES = 5

CONDITIONS = (
    "sex",
    *(f"{name}_{end}" for name in BOUND_VALUES for end in ("from", "below")),
    *CHOICE_VALUES,
    *(f"complication_level {level}" for level in ("MCC", "CC", "MCC_OR_CC")),
    *(f"{role} {kind}" for role in CODE_ROLES for kind in ("listed", "excluded")),
    *(f"{role} two categories" for role in CODE_ROLES if not role.startswith("PRINCIPAL")),
)
FEATURES = (
    *(f"status {status}" for status in ("grouped", "ambiguous", "ungrouped", "invalid")),
    *(
        f"reason {reason}"
        for reason in (
            "sex_missing", "age_missing", "age_days_missing", "birth_weight_missing", "operation_outside_mdc",
            "diagnosis_missing", "no_mdc", "no_group_in_mdc",
        )
    ),
    *(f"{level} held with {condition}" for level in ("MDC", "ADRG", "DRG") for condition in ("sex", "department")),
    *(f"held with {condition}" for condition in CONDITIONS),
    *(f"only missed {condition}" for condition in CONDITIONS),
    *(f"on the edge of {name}_{end}" for name in BOUNDS for end in ("from", "below")),
    *(f"missing {name}" for name in (*BOUNDS[1:], *CHOICE_VALUES)),  # without an age a case is invalid
    *(f"one of several of {name}" for name in CHOICE_VALUES),
    *(f"{level} without conditions" for level in ("MDC", "ADRG", "DRG")),
    *(f"{level} by an alternative" for level in ("MDC", "ADRG", "DRG")),
    "held with nothing of an empty list", "only missed something of an empty list",
    "listed by its beginning", "exact entry is no beginning", "as long as codes become",
    "translated", "translated once", "known and not translated",
    "a complication by two exclusion lists", "all complications excluded", "MCC excluded but not CC",
    "duplicate code", "unknown code", "blank between codes", "blank first code", "no procedure",
    "several MDCs open", "next ADRG of the MDC", "next MDC", "second branch", "ADRG rule further down",
    "first retry", "later retry", "retry in vain",
)  # fmt: skip


class Observer:
    """Tells which features of the format matter to a case of a scheme, by the names of FEATURES."""

    def __init__(self, naive: NaiveGrouper, tables: Tables) -> None:
        self.naive = naive
        self.sources = {(row["code_type"], row["source_code"]) for row in tables["code_map"]}
        rules = [*naive.mdc_rules, *naive.adrg_rules]
        self.rules = rules + [rule for in_branch in naive.drg_rules.values() for rule in in_branch]
        self.rows = {row["rule_id"]: row for row in tables["grouping_rule"]}
        self.kinds: dict[tuple[str, str], str] = {
            (row["rule_id"], f"condition_{row['condition_number']}"): kind_of(row)
            for row in tables["rule_code_condition"]
        }
        for rule_id, row in self.rows.items():
            self.kinds[rule_id, "complication_level"] = f"complication_level {row.get('complication_level')}"
        same = ("rule_level", "rule_sequence", "parent_code", "target_code")
        self.alternatives: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        for rule_id, row in self.rows.items():
            self.alternatives[tuple(row[name] for name in same)].add(rule_id)

    def features(self, case: dict[str, str], result: dict[str, str | None]) -> Iterator[str]:
        """All features that matter to a case with this result."""
        yield f"status {result['status']}"
        if result["reason"]:
            yield f"reason {result['reason']}"
        if result["status"] != "invalid":
            patient = self.naive.patient(case)
            yield from self.of_case_codes(case)
            yield from self.of_lists(patient)
            yield from self.of_complications(patient)
            yield from self.of_conditions(patient)
            yield from self.of_order(patient)

    def of_case_codes(self, case: dict[str, str]) -> Iterator[str]:
        """What is special about the codes as they come, and which are translated."""
        if not case["procedures"]:
            yield "no procedure"
        for column, code_type in (("diagnoses", "DIAGNOSIS"), ("procedures", "PROCEDURE")):
            first, *others = case[column].split("|")
            if len({first, *others}) < 1 + len(others):
                yield "duplicate code"
            if UNKNOWN in (first, *others):
                yield "unknown code"
            if "" in others:
                yield "blank between codes"
            if first == "" and others:
                yield "blank first code"
            for code in (first, *others):
                target = self.naive.translation.get((code_type, code))
                if target is not None:
                    again = (code_type, target) in self.naive.translation
                    yield "translated once" if again else "translated"
                elif (code_type, code) in self.sources:
                    yield "known and not translated"

    def of_lists(self, patient: Patient) -> Iterator[str]:
        """Where the beginning of a code is what counts, or just not."""
        for (_, code_type), listed in self.naive.lists.items():
            for code in patient.codes(f"ANY_{code_type}"):
                if code in listed and code not in listed.exact:
                    yield "listed by its beginning"
                    if any(len(prefix) > 15 for prefix in listed.prefix if code.startswith(prefix)):
                        yield "as long as codes become"
                if code not in listed and any(map(code.startswith, listed.exact)):
                    yield "exact entry is no beginning"

    def of_complications(self, patient: Patient) -> Iterator[str]:
        """How exclusions decided what is left of the complications."""
        labels = [self.naive.complications.labels(code) for code in patient.diagnoses[1:]]
        levels = {level for found in labels for level, _ in found}
        if levels and patient.complication_level is None:
            yield "all complications excluded"
        if "MCC" in levels and patient.complication_level == "CC":
            yield "MCC excluded but not CC"
        if any(len({exclusion_list_id for _, exclusion_list_id in found}) > 1 for found in labels):
            yield "a complication by two exclusion lists"

    def of_conditions(self, patient: Patient) -> Iterator[str]:
        """Which conditions held or were the only ones missed, and whether a value was on the edge."""
        all_missed = {rule.rule_id: rule.missed(patient) for rule in self.rules}
        for rule in self.rules:
            row, missed = self.rows[rule.rule_id], all_missed[rule.rule_id]
            names = [self.kinds.get((rule.rule_id, name), name) for name, _ in rule.conditions]
            if not missed:
                yield from (f"held with {name}" for name in names)
                yield from (f"{row['rule_level']} held with {name}" for name in names)
                if not names:
                    yield f"{row['rule_level']} without conditions"
            if len(missed) == 1:
                yield f"only missed {self.kinds.get((rule.rule_id, missed[0]), missed[0])}"
            yield from self.of_bounds(row, missed, patient)
        for (level, *_), rule_ids in self.alternatives.items():
            if len({bool(all_missed[rule_id]) for rule_id in rule_ids}) > 1:
                yield f"{level} by an alternative"

    def of_bounds(self, row: dict[str, Any], missed: list[str], patient: Patient) -> Iterator[str]:
        """Where a value is missing, on the edge, or one of several."""
        for name in BOUNDS:
            for end in (f"{name}_from", f"{name}_below"):
                if end in missed and patient.numbers[name] is None:
                    yield f"missing {name}"
                if row.get(end) is not None and patient.numbers[name] == row[end]:
                    yield f"on the edge of {end}"
        for name in CHOICE_VALUES:
            if name in missed and patient.choices[name] is None:
                yield f"missing {name}"
            if name not in missed and "|" in row.get(name, ""):
                yield f"one of several of {name}"

    def of_order(self, patient: Patient) -> Iterator[str]:
        """How the search for a group went on where it did not end at once."""
        naive = self.naive
        open_mdcs = naive.open_mdcs(patient)
        if len(open_mdcs) > 1:
            yield "several MDCs open"
        found = naive.first_group(patient)
        if found is None:
            yield from self.of_retry(patient)
            return
        entered = [rule for rule in naive.adrg_rules if rule.parent_code in open_mdcs and rule.holds(patient)]
        place = next(n for n, rule in enumerate(entered) if rule.target_code == found.parent_code)
        if place > 0:
            same_mdc = entered[place].parent_code == entered[place - 1].parent_code
            yield "next ADRG of the MDC" if same_mdc else "next MDC"
        if naive.branches[found.parent_code]["adrg_code"] not in ("QY", found.parent_code):
            yield "second branch"
        of_branch = [rule for rule in naive.adrg_rules if rule.target_code == found.parent_code]
        if (
            self.rows[entered[place].rule_id]["rule_sequence"]
            > self.rows[of_branch[0].rule_id]["rule_sequence"]
        ):
            yield "ADRG rule further down"

    def of_retry(self, patient: Patient) -> Iterator[str]:
        """Which other procedure helped."""
        others = patient.procedures[1:]
        if self.naive.scheme["retry_other_procedures"] != "Y" or not others:
            return
        for attempt, procedure in enumerate(others, 1):
            if self.naive.first_group(replace(patient, procedures=[procedure])) is not None:
                yield "first retry" if attempt == 1 else "later retry"
                return
        yield "retry in vain"


def kind_of(condition: dict[str, Any]) -> str:
    """A code condition by what it asks for."""
    if condition["code_list_id"] == EMPTY_LIST:
        return f"{'nothing' if condition['is_excluded'] else 'something'} of an empty list"
    if condition["is_excluded"]:
        return f"{condition['code_role']} excluded"
    kind = "two categories" if condition["minimum_categories"] == 2 else "listed"
    return f"{condition['code_role']} {kind}"


def test_both_groupers_agree():
    seen: Counter[str] = Counter()

    @settings(
        max_examples=SCHEME_COUNT,
        derandomize=LONG_SEARCH is None,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(random=st.randoms(use_true_random=False), seed=st.integers(0, 2**32))
    def agree(random: Random, seed: int) -> None:
        tables = random_tables(random)
        cases = random_cases(Random(seed), CASES_PER_SCHEME)
        with tempfile.TemporaryDirectory() as folder:
            write_scheme(Path(folder), tables)
            scheme = read_scheme(Path(folder))
        naive = NaiveGrouper(scheme)
        # In two chunks, so that the second one meets codes that are known and codes that are not.
        listed, first = typed_cases(pd.DataFrame(cases)), seed % CASES_PER_SCHEME
        with Grouper(scheme) as grouper:
            chunks = [
                grouper.group(chunk).to_pylist() for chunk in (listed.slice(0, first), listed.slice(first))
            ]
        rows = {row.pop("case_id"): row for chunk in chunks for row in chunk}
        observer = Observer(naive, tables)
        assert len(rows) == len(cases)
        for case in cases:
            result = naive.group(case)
            assert rows[case["case_id"]] == result, case
            seen.update(set(observer.features(case, result)))

    agree()
    # What Hypothesis draws depends on the modules that are loaded; these are the same in every run.
    for number in range(FIXED_COUNT):
        agree.hypothesis.inner_test(Random(number), number)
    rare = {feature: seen[feature] for feature in FEATURES if seen[feature] < LEAST_CASES}
    assert not rare, "the random schemes and cases no longer reach these"


def test_codes_are_as_the_features_say():
    """A code is shorter than another that begins with it, one is a diagnosis and a procedure, one is very long."""
    diagnoses, procedures = set(CODES["DIAGNOSIS"]), set(CODES["PROCEDURE"])
    assert diagnoses & procedures
    assert all(
        any(b.startswith(a) and b != a for a in codes for b in codes) for codes in (diagnoses, procedures)
    )
    assert max(map(len, diagnoses)) > 15
    assert not (diagnoses | procedures) & {*FOREIGN, UNKNOWN}


@pytest.mark.parametrize("scheme", ("chs_drg_11", "zhejiang_2022"))
def test_both_groupers_agree_with_the_reference(scheme):
    """The row-by-row evaluator on the cases of the reference, and the set-based one on the reasons as well."""
    path = REFERENCE / "conformance" / scheme / "cases.csv.gz"
    folder = REFERENCE / "schemes" / scheme
    if not path.is_file() or not folder.is_dir():
        pytest.skip(f"no conformance cases of {scheme} below DRGQ_REFERENCE_DIR ({REFERENCE})")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        cases = list(csv.DictReader(file))
    with gzip.open(path.with_name("expected.csv.gz"), "rt", encoding="utf-8") as file:
        expected = {row["case_id"]: row for row in csv.DictReader(file)}
    naive = NaiveGrouper(read_scheme(folder))
    rows = [{"case_id": case["case_id"], **naive.group(case)} for case in cases]
    differing = [row for row in rows if not expected[row["case_id"]].items() <= row.items()]
    assert not differing
    assert rows == group_cases(folder, path)
