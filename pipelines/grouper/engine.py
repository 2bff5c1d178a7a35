"""Group cases under one scheme in an in-memory DuckDB: the statements of `statements.py`, chunk by chunk.

Cases come in typed and well-formed; reading and judging files is for the caller.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.grouper.numbering import CASE_SCHEMA, Codebook, NumberedCases
from pipelines.grouper.statements import CASES, CODE, RESULT, Statement, grouping_statements
from pipelines.scheme.loader import Scheme

__all__ = ["CASE_SCHEMA", "Grouper"]

# Codes of the cases that a scheme names nowhere: they match nothing.
UNKNOWN_CODE = """
    select code.code_number
    from int_grouping__code as code
    left join (
        select code_number from int_grouping__known_code
        inner join stg_scheme__code as named using (scheme_code, code_type)
        where known_as = named.code
        union
        select code_number from int_grouping__known_code
        inner join stg_scheme__code_list as named using (scheme_code, code_type, match)
        where known_as = named.code
        union
        select code_number from int_grouping__complication_code
        union
        select code_number from int_grouping__excluding_code
    ) as known using (code_number)
    where known.code_number is null and code.code <> ''
"""


class Grouper:
    """A scheme, loaded once, under which any number of chunks of cases is grouped.

    `connection` holds the scheme's tables (`stg_scheme__*`) and, after `group(..., keep=True)`, every relation of
    that chunk (`int_grouping__*`) until the next call. `ways` has a row per way that a case can take, by way number.
    """

    def __init__(self, scheme: Scheme, codebook: Codebook | None = None):
        self.scheme = scheme
        self.codebook = codebook or Codebook()
        self.connection = duckdb.connect()
        for name, table in scheme.tables.items():
            self.connection.register("table_of_scheme", table)
            self.connection.execute(f"create table stg_scheme__{name} as select * from table_of_scheme")
        self.connection.unregister("table_of_scheme")
        self._make("scheme")
        self.connection.execute(f"create table {CODE} (code_number integer, code_type varchar, code varchar)")
        self.ways = self.connection.sql(
            "select grouping_status as status, mdc_code, adrg_code, drg_code, reason "
            "from int_grouping__way order by way_number"
        ).to_arrow_table()
        self._code_count = 0
        self._is_unknown = np.zeros(1, bool)

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

        Returns case_id, status, mdc_code, adrg_code, drg_code, reason: a row per case, in the order of the cases.
        With `keep` the chunk's intermediate relations stay in `connection` until the next call.
        """
        taken = self.ways.take(pa.array(self.take_ways(self.codebook.number(cases, with_ids=keep), keep) - 1))
        return taken.add_column(0, "case_id", cases.column("case_id"))

    def take_ways(self, cases: NumberedCases, keep: bool = False) -> np.ndarray:
        """Return the number of the way that each case takes, in the order of the cases: row number - 1 of `ways`."""
        if cases.new_code.num_rows or not self._code_count:
            self._learn(cases.new_code)
        for name, table in zip(CASES, (cases.listed_case, cases.case_code), strict=True):
            self.connection.register(name, table)
        made = self._make("cases", omitted=() if keep else (RESULT,))
        found = self.connection.sql(
            "select case_number, way_number from int_grouping__taken_way"
        ).fetchnumpy()
        way_number = np.zeros(cases.case_count, np.int32)
        way_number[found["case_number"] - 1] = found["way_number"]
        if not keep:
            for statement in reversed(made):
                self.connection.execute(f"drop {'view' if statement.is_view else 'table'} {statement.name}")
            for name in CASES:
                self.connection.unregister(name)
        return way_number

    def count_unknown(self, cases: NumberedCases) -> int:
        """How many codes of these cases the scheme does not name: occurrences, after the cases were grouped."""
        return int(np.count_nonzero(self._is_unknown[cases.case_code.column("code_number").to_numpy()]))

    @property
    def unknown_code_count(self) -> int:
        """How many different codes the scheme does not name, of all cases so far."""
        return int(np.count_nonzero(self._is_unknown))

    def _learn(self, new_code: pa.Table) -> None:
        """Take in codes met for the first time, and what the scheme makes of them."""
        self.connection.register("new_code", new_code)
        self.connection.execute(f"insert into {CODE} from new_code")
        self.connection.unregister("new_code")
        self._make("codes")
        self._code_count += new_code.num_rows
        self._is_unknown = np.zeros(self._code_count + 1, bool)
        self._is_unknown[self.connection.sql(UNKNOWN_CODE).fetchnumpy()["code_number"]] = True

    def _make(self, depends_on: str, omitted: tuple[str, ...] = ()) -> list[Statement]:
        """Make the relations that depend on the scheme alone, on the codes, or on the cases."""
        made = [
            statement
            for statement in grouping_statements()
            if statement.depends_on == depends_on and statement.name not in omitted
        ]
        for statement in made:
            kind = "view" if statement.is_view else "table"
            self.connection.execute(f"create or replace {kind} {statement.name} as {statement.query}")
        return made
