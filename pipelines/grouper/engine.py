"""Group cases under one scheme in an in-memory DuckDB: the statements of `statements.py`, chunk by chunk.

Cases come in typed and well-formed; reading and judging files is for the caller.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from pipelines.grouper.statements import grouping_statements
from pipelines.scheme.loader import Scheme

CASE_SCHEMA = pa.schema(
    [
        ("case_id", pa.string()),
        ("sex", pa.string()),
        ("age_years", pa.int32()),
        ("age_days", pa.int32()),
        ("birth_weight", pa.float64()),
        ("department", pa.string()),
        ("length_of_stay", pa.int32()),
        ("discharge_status", pa.string()),
        ("diagnoses", pa.string()),
        ("procedures", pa.string()),
        ("icu_hours", pa.float64()),
    ]
)
"""A case as `drgq group` takes it: grams, days, hours; codes between `|`, the principal one first; null = missing."""

INPUT = {
    "int_front_sheet__grouper_input": """
        select
            case_id, sex as sex_code, age_years, age_days, birth_weight, length_of_stay, icu_hours,
            discharge_status, department, coalesce(split_part(diagnoses, '|', 1), '') <> '' as has_principal_diagnosis
        from listed_case
    """,
    "int_front_sheet__grouper_code": """
        select case_id, code_type, position, codes[position] as code
        from (
            select case_id, code_type, codes, unnest(range(1, len(codes) + 1)) as position
            from (
                select case_id, 'DIAGNOSIS' as code_type, string_split(diagnoses, '|') as codes
                from listed_case where diagnoses <> ''
                union all
                select case_id, 'PROCEDURE', string_split(procedures, '|') from listed_case where procedures <> ''
            )
        )
    """,
}


class Grouper:
    """A scheme, loaded once, under which any number of chunks of cases is grouped.

    `connection` holds the scheme's tables (`stg_scheme__*`) and, after `group(..., keep=True)`, every relation of
    that chunk (`int_grouping__*`) until the next call.
    """

    def __init__(self, scheme: Scheme):
        self.scheme = scheme
        self.connection = duckdb.connect()
        for name, table in scheme.tables.items():
            self.connection.register("table_of_scheme", table)
            self.connection.execute(f"create table stg_scheme__{name} as select * from table_of_scheme")
        self.connection.unregister("table_of_scheme")
        for statement in grouping_statements():
            if statement.is_of_scheme:
                self.connection.execute(f"create table {statement.name} as {statement.query}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the memory of scheme and cases."""
        self.connection.close()

    def group(self, cases: pa.Table, keep: bool = False) -> pa.Table:
        """Group cases (columns of `CASE_SCHEMA`; `case_id` is there and occurs once).

        Returns case_id, status, mdc_code, adrg_code, drg_code, reason: a row per case, in no particular order.
        With `keep` the chunk's intermediate relations stay in `connection` until the next call.
        """
        run = self.connection.execute
        self.connection.register("listed_case", cases)
        statements = INPUT | {
            statement.name: statement.query
            for statement in grouping_statements()
            if not statement.is_of_scheme
        }
        for name, query in statements.items():
            run(f"create or replace temp table {name} as {query}")
        result = self.connection.sql(
            "select case_id, grouping_status as status, mdc_code, adrg_code, drg_code, reason "
            "from int_grouping__result"
        ).to_arrow_table()
        if not keep:
            for name in statements:
                run(f"drop table temp.{name}")
        self.connection.unregister("listed_case")
        return result
