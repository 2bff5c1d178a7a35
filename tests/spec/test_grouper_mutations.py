"""Faults put into the grouping statements are noticed: the comparison with the row-by-row evaluator has teeth.

A mutation replaces a piece of the rendered statements, wherever it occurs. They must still run, and must change the
result of some case of a few dozen fixed random schemes. A piece that no longer occurs fails here: then the mutation is
to be rewritten together with the statement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from pipelines.grouper import engine
from pipelines.grouper.statements import Statement, grouping_statements
from pipelines.scheme.loader import BOUNDS, Scheme, read_scheme
from tests.engine import typed_cases
from tests.naive_grouper import NaiveGrouper
from tests.random_scheme import many_in_one, write_scheme

SEEDS = range(40)
CASES_PER_SEED = 60
LEAST_MUTATIONS = 40


@dataclass(frozen=True)
class Mutation:
    """A fault: what is wrong, the piece of SQL that is replaced, and what by."""

    name: str
    piece: str
    instead: str

    def applied(self) -> tuple[Statement, ...]:
        """All statements, with the fault wherever the piece occurs."""
        statements = grouping_statements()
        assert any(self.piece in statement.query for statement in statements), (
            f"{self.name}: no grouping statement says {self.piece!r} any more"
        )
        return tuple(
            replace(statement, query=statement.query.replace(self.piece, self.instead))
            for statement in statements
        )


MUTATIONS = (
    # --- scalar conditions
    *(
        Mutation(f"{name} above its lower bound", f"c.{name} >= r.{name}_from", f"c.{name} > r.{name}_from")
        for name in BOUNDS
    ),
    *(
        Mutation(f"{name} up to its upper bound", f"c.{name} < r.{name}_below", f"c.{name} <= r.{name}_below")
        for name in BOUNDS
    ),
    Mutation("a missing value counts as 0", "c.length_of_stay < r.", "coalesce(c.length_of_stay, 0) < r."),
    Mutation("a missing value satisfies a bound", "c.icu_hours >= r.", "coalesce(c.icu_hours, 1000) >= r."),
    Mutation("sex ignored", "c.sex_code = r.sex", "true"),
    Mutation(
        "one department only",
        "instr(concat('|', r.department, '|'), concat('|', c.department, '|')) > 0",
        "r.department = c.department",
    ),
    Mutation(
        "part of a department",
        "instr(concat('|', r.department, '|'), concat('|', c.department, '|')) > 0",
        "instr(r.department, c.department) > 0",
    ),
    Mutation(
        "discharge status ignored",
        "instr(concat('|', r.discharge_status, '|'), concat('|', c.discharge_status, '|')) > 0",
        "true",
    ),
    # --- complications
    Mutation(
        "MCC is not MCC or CC",
        "'MCC_OR_CC' and c.complication_level is not null",
        "'MCC_OR_CC' and c.complication_level = 'CC'",
    ),
    Mutation(
        "CC is not MCC or CC",
        "'MCC_OR_CC' and c.complication_level is not null",
        "'MCC_OR_CC' and c.complication_level = 'MCC'",
    ),
    Mutation(
        "any complication for MCC",
        "c.complication_level = r.complication_level",
        "c.complication_level is not null",
    ),
    Mutation("CC before MCC", "= 1 then 'MCC' else 'CC' end", "= 0 then 'MCC' else 'CC' end"),
    Mutation("no exclusions", "where excluded.case_number is null", "where true"),
    Mutation("any exclusion list", "and found.exclusion_list_id = excluded.exclusion_list_id", ""),
    Mutation("principal diagnosis as complication", "where not case_code.is_principal", "where true"),
    Mutation("other diagnoses exclude", "where case_code.is_principal", "where true"),
    Mutation("no complication by prefix", "where complication.match = 'prefix'", "where false"),
    Mutation("no exclusion by prefix", "where exclusion.match = 'prefix'", "where false"),
    # --- codes
    Mutation("forbidden codes allowed", "where forbidden.case_number is null", "where true"),
    Mutation("one required condition is enough", "and satisfied.satisfied_count = rule.required_count", ""),
    Mutation("one category is enough", "having count(distinct category) >= minimum_categories", ""),
    Mutation("the same category twice", "count(distinct category)", "count(category)"),
    Mutation("no category as one", "count(distinct category)", "count(distinct coalesce(category, ''))"),
    Mutation(
        "a code twice counts twice",
        "select distinct case_number, role_list_id\n    from hit",
        "select case_number, role_list_id\n    from hit",
    ),
    Mutation(
        "OTHER takes the principal code",
        "code_role not like 'OTHER_%' as takes_principal",
        "true as takes_principal",
    ),
    Mutation(
        "PRINCIPAL takes other codes",
        "code_role not like 'PRINCIPAL_%' as takes_other",
        "true as takes_other",
    ),
    Mutation(
        "ANY is principal only",
        "code_role not like 'PRINCIPAL_%' as takes_other",
        "code_role like 'OTHER_%' as takes_other",
    ),
    Mutation(
        "principal and other swapped",
        "and case_code.is_principal = role_member.is_principal",
        "and case_code.is_principal <> role_member.is_principal",
    ),
    Mutation("diagnoses in lists of procedures", "and case_code.code_type = role_member.code_type", ""),
    Mutation(
        "prefix as exact", "and known.code_prefix = list_entry.code", "and known.code = list_entry.code"
    ),
    Mutation("exact as prefix", "where list_entry.match = 'prefix'", ""),
    Mutation("no exact entry", "where list_entry.match = 'exact'", "where false"),
    Mutation(
        "prefixes of up to 15 characters",
        "lengths.prefix_length <= length(known_code.grouper_code)",
        "lengths.prefix_length <= 15",
    ),
    Mutation("code map not used", "coalesce(code_map.grouper_code, used.code)", "used.code"),
    Mutation("code map before dictionary", "where dictionary.code is null", "where true"),
    Mutation("code map before lists", "and listed.code is null", ""),
    # --- order
    Mutation("last ADRG", "order by adrg_sequence nulls last", "order by adrg_sequence desc nulls last"),
    Mutation(
        "last way into a branch", "min(rule_sequence) as adrg_sequence", "max(rule_sequence) as adrg_sequence"
    ),
    Mutation(
        "last DRG",
        "parent_code nulls last, rule_sequence nulls last",
        "parent_code nulls last, rule_sequence desc nulls last",
    ),
    Mutation(
        "DRG before ADRG",
        "order by adrg_sequence nulls last, parent_code nulls last, rule_sequence nulls last",
        "order by rule_sequence nulls last, adrg_sequence nulls last, parent_code nulls last",
    ),
    Mutation("branch and MDC ignored", "and r.parent_code = opened.parent_code", ""),
    # --- retry
    Mutation("retry turned round", "retry_other_procedures = 'Y'", "retry_other_procedures <> 'Y'"),
    Mutation("last retry", "grouping_case.attempt nulls last", "grouping_case.attempt desc nulls last"),
    Mutation("retry keeps all procedures", "or code.position = grouping_case.attempt + 1", "or true"),
    Mutation(
        "a retried procedure stays an other one",
        "or (grouping_case.attempt > 0 and code.code_type = 'PROCEDURE')",
        "",
    ),
    # --- validation, status and reason
    Mutation("sex is not looked at", "sex_code not in ('1', '2')", "false"),
    Mutation("age may be missing", "when age_years is null then 'age_missing'", ""),
    Mutation("newborn for 27 days", "age_days <= 28", "age_days < 28"),
    Mutation("newborn for 29 days", "age_days <= 28", "age_days <= 29"),
    Mutation("ambiguous is grouped", "when branch.adrg_code = 'QY' then 'ambiguous'", ""),
    Mutation("no gate is no reason", "when judged.gate_count = 0 then 'no_mdc'", ""),
    Mutation(
        "no diagnosis is no reason", "when not judged.has_principal_diagnosis then 'diagnosis_missing'", ""
    ),
)


@dataclass(frozen=True)
class Example:
    """A scheme, its cases, and what the row-by-row evaluator says of them by case."""

    scheme: Scheme
    cases: pa.Table
    expected: dict[str, dict[str, str | None]]

    def is_as_expected(self) -> bool:
        """Whether the set-based grouper says the same."""
        with engine.Grouper(self.scheme) as grouper:
            return {row.pop("case_id"): row for row in grouper.group(self.cases).to_pylist()} == self.expected


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """The same scheme with and without retry."""
    made = []
    tables, cases = many_in_one(SEEDS, CASES_PER_SEED)
    for retry in "YN":
        tables["scheme"][0]["retry_other_procedures"] = retry
        folder: Path = tmp_path_factory.mktemp("scheme")
        scheme = read_scheme(write_scheme(folder, tables))
        naive = NaiveGrouper(scheme)
        expected = {case["case_id"]: naive.group(case) for case in cases}
        made.append(Example(scheme, typed_cases(pd.DataFrame(cases)), expected))
    return made


def test_without_a_fault_nothing_is_noticed(examples):
    assert all(example.is_as_expected() for example in examples)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_is_noticed(mutation, examples, monkeypatch):
    monkeypatch.setattr(engine, "grouping_statements", mutation.applied)
    assert not all(example.is_as_expected() for example in examples), "no case is grouped differently"


def test_there_are_enough_different_mutations():
    assert len({(mutation.piece, mutation.instead) for mutation in MUTATIONS}) >= LEAST_MUTATIONS
