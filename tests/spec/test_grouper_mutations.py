"""Faults put into the grouping statements are noticed: the comparison with the row-by-row evaluator has teeth.

A mutation replaces a piece of the rendered statements, wherever it occurs. They must still run, and must change the
result of some case of a few dozen fixed random schemes. A piece that no longer occurs fails here: then the mutation is
to be rewritten together with the statement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pandas as pd
import pyarrow as pa
import pytest

from pipelines.grouper import engine
from pipelines.grouper.statements import Statement, grouping_statements
from pipelines.scheme.loader import BOUNDS, Scheme, read_scheme
from tests.engine import typed_cases
from tests.naive_grouper import NaiveGrouper
from tests.random_scheme import many_in_one, random_cases, random_tables, write_scheme

SEEDS = range(40)
# Found by trying: schemes in which rare conditions meet.
SEEDS_ALONE, CASES_ALONE = (100, 101, 144, 247), 300
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
        "case when r.complication_level = 'CC' then 1 else 2",
        "case when r.complication_level in ('CC', 'MCC_OR_CC') then 1 else 2",
    ),
    Mutation("CC is not MCC or CC", "when 'MCC_OR_CC' then 1 else 0", "when 'MCC_OR_CC' then 2 else 0"),
    Mutation("no complication for MCC or CC", "when 'MCC_OR_CC' then 1 else 0", "else 0"),
    Mutation(
        "any complication for MCC",
        "case r.complication_level when 'MCC' then 2",
        "case r.complication_level when 'MCC' then 1",
    ),
    Mutation(
        "MCC for CC", "case when r.complication_level = 'CC' then 1 else 2", "case when false then 1 else 2"
    ),
    Mutation("CC before MCC", "max(complication_rank)", "min(complication_rank)"),
    Mutation("no exclusions", "where excluding_code.code_number is null", "where true"),
    Mutation(
        "any exclusion list", "and found.exclusion_list_number = excluding_code.exclusion_list_number", ""
    ),
    Mutation(
        "principal diagnosis as complication",
        "and not case_code.is_principal\n),\n\ncounted",
        "\n),\n\ncounted",
    ),
    Mutation(
        "no complication by prefix",
        "and known_code.match = complication.match",
        "and known_code.match = complication.match and complication.match = 'exact'",
    ),
    Mutation("exact complication by prefix", "and known_code.match = complication.match", ""),
    Mutation(
        "no exclusion by prefix",
        "and known_code.match = exclusion.match",
        "and known_code.match = exclusion.match and exclusion.match = 'exact'",
    ),
    # --- codes
    Mutation(
        "forbidden principal diagnosis allowed",
        "where hit.forbidden_count = 0\n    and demand.diagnosis_count > 0",
        "where demand.diagnosis_count > 0",
    ),
    Mutation(
        "forbidden principal diagnosis allowed where none is required",
        "and coalesce(hit.forbidden_count, 0) = 0",
        "",
    ),
    Mutation(
        "one required principal diagnosis is enough", "and hit.required_count = demand.diagnosis_count", ""
    ),
    Mutation(
        "forbidden principal procedure allowed",
        "where hit.forbidden_count = 0\n    and way_demand.found_by = 'procedure'",
        "where way_demand.found_by = 'procedure'",
    ),
    Mutation(
        "one required principal procedure is enough",
        "and hit.required_count = way_demand.procedure_count",
        "",
    ),
    Mutation("a demanded procedure is not looked at", "where missed.class_number is null", "where true"),
    Mutation(
        "demanded and forbidden swapped",
        "where condition.is_forbidden = (class_hit.class_number is not null)",
        "where condition.is_forbidden <> (class_hit.class_number is not null)",
    ),
    Mutation(
        "a procedure besides awaited codes is not looked at",
        "and way_condition.is_forbidden = (class_hit.class_number is not null)",
        "and false",
    ),
    Mutation(
        "other codes are not looked at",
        "where open_condition.is_forbidden = (hit.role_list_id is not null)",
        "where false",
    ),
    Mutation("what failed holds", "where failed.subject_number is null", "where true"),
    Mutation(
        "nothing is uncertain",
        "coalesce(condition.open_count, 0) + coalesce(rule.bounded_count, 0) = 0 as is_certain",
        "true as is_certain",
    ),
    Mutation(
        "codes make nothing uncertain",
        "coalesce(condition.open_count, 0) + coalesce(rule.bounded_count, 0) = 0",
        "coalesce(rule.bounded_count, 0) = 0",
    ),
    Mutation(
        "bounds make nothing uncertain",
        "coalesce(condition.open_count, 0) + coalesce(rule.bounded_count, 0) = 0",
        "coalesce(condition.open_count, 0) = 0",
    ),
    Mutation(
        "uncertain ways after the certain one only",
        "where candidate.way_number < certain_way.way_number",
        "where candidate.way_number > certain_way.way_number",
    ),
    Mutation("one category is enough", "having count(distinct category) >= minimum_categories", ""),
    Mutation("the same category twice", "count(distinct category)", "count(category)"),
    Mutation("no category as one", "count(distinct category)", "count(distinct coalesce(category, ''))"),
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
        "and subject_code.is_principal = code_role.is_principal",
        "and subject_code.is_principal <> code_role.is_principal",
    ),
    Mutation("diagnoses in lists of procedures", "and known_code.code_type = list_entry.code_type", ""),
    Mutation("prefix as exact", "as known_as,\n    'prefix' as match", "as known_as,\n    'exact' as match"),
    Mutation("exact as prefix", "and known_code.match = list_entry.match", ""),
    Mutation(
        "no prefix of the whole code",
        "prefix_length.prefix_length <= length(whole.grouper_code)",
        "prefix_length.prefix_length < length(whole.grouper_code)",
    ),
    Mutation("code map not used", "coalesce(translation.grouper_code, code.code)", "code.code"),
    Mutation("code map before dictionary and lists", "where named.code is null", "where true"),
    Mutation(
        "code map before lists",
        "union\n    select scheme_code, code_type, code from stg_scheme__code_list",
        "",
    ),
    Mutation(
        "code map before dictionary",
        "select scheme_code, code_type, code from stg_scheme__code\n    union",
        "",
    ),
    Mutation("all codes of one class", "partition by scheme_code, role_lists", "partition by scheme_code"),
    Mutation(
        "all procedures of one kind", "partition by scheme_number, demands", "partition by scheme_number"
    ),
    Mutation(
        "all diagnoses of one kind",
        "partition by scheme_number, coalesce(ways, '')",
        "partition by scheme_number",
    ),
    # --- order
    Mutation("last ADRG", "chain.adrg_sequence nulls last", "chain.adrg_sequence desc nulls last"),
    Mutation("last DRG", "chain.drg_sequence nulls last", "chain.drg_sequence desc nulls last"),
    Mutation(
        "DRG before ADRG",
        "chain.adrg_sequence nulls last,\n            chain.adrg_branch nulls last,\n",
        "chain.drg_sequence nulls last,\n            chain.adrg_branch nulls last,\n",
    ),
    Mutation(
        "last way",
        "min(way_number) as way_number\nfrom holding",
        "max(way_number) as way_number\nfrom holding",
    ),
    Mutation("MDC ignored", "and mdc.target_code = adrg.parent_code", ""),
    # --- retry
    Mutation("retry turned round", "retry_other_procedures = 'Y'", "retry_other_procedures <> 'Y'"),
    Mutation("last retry", "retry_subject.attempt nulls last", "retry_subject.attempt desc nulls last"),
    Mutation(
        "a retry before the case itself",
        "where earlier_way.way_number is null\n    or taken.way_number is not null",
        "",
    ),
    Mutation(
        "retry keeps all procedures",
        "case_code.is_diagnosis or case_code.position = subject.attempt + 1",
        "true",
    ),
    Mutation(
        "a retried procedure stays an other one",
        "or (subject.attempt > 0 and not case_code.is_diagnosis) as is_principal",
        "as is_principal",
    ),
    Mutation("a retry without group counts", "where way.grouping_status <> 'ungrouped'\nqualify", "qualify"),
    # --- validation, status and reason
    Mutation("sex is not looked at", "sex_code not in ('1', '2')", "false"),
    Mutation("age may be missing", "when age_years is null then 'age_missing'", ""),
    Mutation("newborn for 27 days", "age_days <= 28", "age_days < 28"),
    Mutation("newborn for 29 days", "age_days <= 28", "age_days <= 29"),
    Mutation("ambiguous is grouped", "when branch.adrg_code = 'QY' then 'ambiguous'", ""),
    Mutation("no gate is no reason", "(3, 'no_mdc')", "(3, 'no_group_in_mdc')"),
    Mutation(
        "no diagnosis is no reason",
        "and without_diagnosis.reason = 'diagnosis_missing'",
        "and without_diagnosis.reason = 'no_mdc'",
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
    """Many schemes in one, with and without retry; then some alone, in which a gate may ask for no principal diagnosis."""
    made, worlds = [], []
    tables, cases = many_in_one(SEEDS, CASES_PER_SEED)
    for retry in "YN":
        row = {**tables["scheme"][0], "retry_other_procedures": retry}
        worlds.append(({**tables, "scheme": [row]}, cases))
    for seed in SEEDS_ALONE:
        random = Random(seed)
        worlds.append((random_tables(random), random_cases(random, CASES_ALONE)))
    for tables, cases in worlds:
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
