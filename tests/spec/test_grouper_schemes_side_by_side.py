"""Several schemes in force at once, as in the pipeline: each groups every case as if it were the only one.

The grouping statements run as dbt runs them, all of them over all schemes, on front sheets that stand for the pipeline's.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.grouper.statements import grouping_statements
from pipelines.scheme.loader import TABLES, Scheme, read_scheme
from tests.engine import typed_cases
from tests.naive_grouper import NaiveGrouper
from tests.random_scheme import random_cases, random_tables, write_scheme

SCHEME_COUNT, CASE_COUNT = 4, 150
FRONT_SHEET = """
    select
        case_id, sex as sex_code, age_years, age_days, birth_weight, length_of_stay, icu_hours, discharge_status,
        department, coalesce(split_part(diagnoses, '|', 1), '') <> '' as has_principal_diagnosis
    from listed
"""
CODES = """
    select case_id, '{code_type}' as code_type, place as position, codes[place] as code
    from (select case_id, string_split({column}, '|') as codes from listed where {column} is not null),
        unnest(range(1, len(codes) + 1)) as places (place)
"""


def group_under_all(schemes: list[Scheme], cases: pa.Table) -> dict[tuple[str, str], dict[str, str | None]]:
    """(scheme, case) -> status, codes and reason."""
    with duckdb.connect() as connection:
        for name in TABLES:
            connection.register("rows", pa.concat_tables([scheme.tables[name] for scheme in schemes]))
            connection.execute(f"create table stg_scheme__{name} as select * from rows")
        connection.register("listed", cases)
        codes = " union all ".join(
            CODES.format(code_type=code_type, column=column)
            for code_type, column in (("DIAGNOSIS", "diagnoses"), ("PROCEDURE", "procedures"))
        )
        connection.execute(f"create table int_front_sheet__grouper_input as {FRONT_SHEET}")
        connection.execute(f"create table int_front_sheet__grouper_code as {codes}")
        for statement in grouping_statements(given=()):
            connection.execute(f"create table {statement.name} as {statement.query}")
        rows = connection.sql(
            "select scheme_code, case_id, grouping_status as status, mdc_code, adrg_code, drg_code, reason "
            "from int_grouping__result"
        ).to_arrow_table()
    found = {(row.pop("scheme_code"), row.pop("case_id")): row for row in rows.to_pylist()}
    assert len(found) == rows.num_rows, "a case has one result under each scheme"
    return found


@pytest.mark.parametrize("seed", range(6))
def test_each_scheme_groups_as_if_alone(seed, tmp_path: Path):
    random = Random(seed)
    schemes = []
    for number in range(SCHEME_COUNT):
        tables = random_tables(random)
        # Not in the order in which they are given.
        tables["scheme"][0]["scheme_code"] = f"scheme_{(number * 3 + 1) % SCHEME_COUNT}"
        schemes.append(read_scheme(write_scheme(tmp_path / str(number), tables)))
    cases = random_cases(random, CASE_COUNT)
    found = group_under_all(schemes, typed_cases(pd.DataFrame(cases)))
    assert len(found) == SCHEME_COUNT * CASE_COUNT
    for scheme in schemes:
        naive = NaiveGrouper(scheme)
        for case in cases:
            assert found[scheme.scheme_code, case["case_id"]] == naive.group(case), (scheme.scheme_code, case)
