"""The trace of a chunk and of a case agrees with the result that it explains and with a row-by-row evaluator."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from pipelines.grouper.engine import Grouper
from pipelines.grouper.near_miss import CaseTrace, Failure, KeptCase, trace_case
from pipelines.grouper.trace import TRACE_COLUMNS, trace_columns
from pipelines.scheme.loader import Scheme, read_scheme
from tests.engine import typed_cases
from tests.naive_grouper import NaiveGrouper
from tests.random_scheme import many_in_one, write_scheme

SEEDS = range(30)
CASES_PER_SCHEME = 40
# Every so many cases are looked at one by one.
LOOKED_AT = 30


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scheme, list[dict[str, str]]]:
    """Many random schemes side by side in one, and their cases."""
    tables, cases = many_in_one(SEEDS, CASES_PER_SCHEME)
    return read_scheme(write_scheme(tmp_path_factory.mktemp("scheme"), tables)), cases


@pytest.fixture(scope="module")
def naive(world) -> NaiveGrouper:
    return NaiveGrouper(world[0])


@pytest.fixture(scope="module")
def traced(world) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """(case, its result and trace)."""
    scheme, cases = world
    with Grouper(scheme) as grouper:
        results = {
            row["case_id"]: row
            for row in grouper.group(typed_cases(pd.DataFrame(cases)), keep=True).to_pylist()
        }
        table = trace_columns(grouper.connection)
    assert table.column_names == ["case_id", *TRACE_COLUMNS]
    traces = {row["case_id"]: row for row in table.to_pylist()}
    assert len(traces) == table.num_rows == len(cases)
    return [(case, results[case["case_id"]] | traces[case["case_id"]]) for case in cases]


def rules_of(naive: NaiveGrouper) -> dict[str, Any]:
    """Rule id -> rule of the row-by-row evaluator."""
    of_drgs = [rule for rules in naive.drg_rules.values() for rule in rules]
    return {rule.rule_id: rule for rule in naive.mdc_rules + naive.adrg_rules + of_drgs}


def as_tried(naive: NaiveGrouper, case: dict[str, str], retried: str | None):
    """The case as the rules saw it: with one procedure only where another one was tried."""
    patient = naive.patient(case if retried is None else {**case, "procedures": retried})
    return replace(patient, complication_level=naive.complication_level(patient))


def test_the_rules_that_won_hold_and_lead_to_the_result(naive, traced):
    rules, counted = rules_of(naive), 0
    for case, row in traced:
        has_group = row["status"] in ("grouped", "ambiguous")
        assert has_group == (row["drg_rule_id"] is not None) == (row["mdc_rule_id"] is not None), case
        if not has_group:
            continue
        counted += 1
        patient = as_tried(naive, case, row["retried_procedure_code"])
        mdc, adrg, drg = (rules[row[f"{level}_rule_id"]] for level in ("mdc", "adrg", "drg"))
        assert mdc.holds(patient) and adrg.holds(patient) and drg.holds(patient), case
        assert drg.target_code == row["drg_code"] and adrg.target_code == drg.parent_code
        assert mdc.target_code == adrg.parent_code == row["mdc_code"]
    assert counted > len(traced) / 3


def test_open_gates_are_those_of_the_case_as_it_is(naive, traced):
    several = 0
    for case, row in traced:
        opened = set((row["open_mdc_codes"] or "").split("|")) - {""}
        if row["status"] == "invalid":
            assert not opened
            continue
        assert opened == naive.open_mdcs(naive.patient(case)), case
        several += len(opened) > 1
    assert several


def test_what_matched_stands_in_the_list_and_in_the_role(naive, traced):
    counted = 0
    for case, row in traced:
        patient = as_tried(naive, case, row["retried_procedure_code"])
        for text in filter(None, (row["matched_codes"] or "").split("|")):
            found = re.fullmatch(r"(.*?):([A-Z]+_([A-Z]+)):(.*?)=(.*)", text)
            assert found, text
            rule_id, role, code_type, code_list_id, code = found.groups()
            assert rule_id in (row["mdc_rule_id"], row["adrg_rule_id"], row["drg_rule_id"])
            code = naive.translation.get((code_type, code), code)
            assert code in patient.codes(role) and code in naive.lists[code_list_id, code_type], (case, text)
            counted += 1
    assert counted > 100


def test_complications_are_those_that_count_and_those_that_are_excluded(naive, traced):
    seen = {"counted": 0, "excluded": 0}
    for case, row in traced:
        patient = naive.patient(case)
        counted, excluded = set(), set()
        for code in (case["diagnoses"] or "").split("|")[1:] if row["status"] != "invalid" else []:
            known = naive.translation.get(("DIAGNOSIS", code), code)
            for level, exclusion_list_id in naive.complications.labels(known):
                if patient.diagnoses[0] in naive.exclusions[exclusion_list_id]:
                    excluded.add(f"{code}:{level}:{exclusion_list_id}")
                else:
                    counted.add(f"{code}:{level}")
        assert set(filter(None, (row["complications"] or "").split("|"))) == counted, case
        assert set(filter(None, (row["excluded_complications"] or "").split("|"))) == excluded, case
        seen = {"counted": seen["counted"] + bool(counted), "excluded": seen["excluded"] + bool(excluded)}
    assert min(seen.values()) > 10, seen


@pytest.fixture(scope="module")
def alone(world, traced) -> list[tuple[dict[str, str], dict[str, Any], CaseTrace, dict[str, list[Failure]]]]:
    """Some of the cases, grouped alone: (case, its row of the whole list, its trace, rule id -> failures)."""
    looked_at = []
    with Grouper(world[0]) as grouper:
        for case, row in traced[::LOOKED_AT]:
            grouper.group(typed_cases(pd.DataFrame([case])), keep=True)
            trace = trace_case(grouper.connection)
            failures = {}
            if trace.status != "invalid":
                kept = KeptCase(grouper.connection)
                failures = {rule["rule_id"]: kept.failures(rule) for rule in kept.rules().values()}
            looked_at.append((case, row, trace, failures))
    return looked_at


def test_a_case_alone_is_traced_as_in_the_list(naive, alone):
    for case, row, trace, _ in alone:
        assert (trace.status, trace.drg_code) == (row["status"], row["drg_code"]), case
        won = [rule.rule_id for rule in trace.won]
        assert won == [row[f"{level}_rule_id"] for level in ("mdc", "adrg", "drg") if row["drg_rule_id"]]
        assert trace.retried_procedure_code == row["retried_procedure_code"]
        if trace.status == "invalid":
            assert not trace.gates and not trace.missed
        else:
            patient = as_tried(naive, case, trace.retried_procedure_code)
            assert trace.complication_level == patient.complication_level


def test_every_condition_that_fails_is_found_and_no_other(naive, alone):
    rules, failing = rules_of(naive), 0
    for case, _, trace, failures in alone:
        patient = as_tried(naive, case, trace.retried_procedure_code)
        for rule_id, found in failures.items():
            missed = rules[rule_id].missed(patient)
            values = {
                re.sub("_(from|below)$", "", name) for name in missed if not name.startswith("condition_")
            }
            assert {one.bound.name for one in found if one.bound} == values, (case, rule_id)
            codes = [name for name in missed if name.startswith("condition_")]
            assert len([one for one in found if not one.bound]) == len(codes), (case, rule_id)
            failing += bool(found)
    assert failing > 100


def test_what_is_missed_was_near_and_could_have_been_reached(naive, alone):
    rules, levels, firsts = rules_of(naive), set(), set()
    for case, _, trace, failures in alone:
        opened = {gate.target_code for gate in trace.gates}
        patient = as_tried(naive, case, trace.retried_procedure_code)
        for rule in trace.missed:
            assert not rules[rule.rule_id].holds(patient)
            assert 1 <= len(rule.failures) == len(failures[rule.rule_id]) <= 2
            if rule.level == "ADRG":
                assert rule.parent_code in opened
            if trace.won and rule.level == "ADRG":
                assert rule.comes_first == (rule.sequence < trace.won[1].sequence)
            levels.add(rule.level)
            firsts.add(rule.comes_first)
    assert levels == {"MDC", "ADRG", "DRG"} and firsts == {True, False}
