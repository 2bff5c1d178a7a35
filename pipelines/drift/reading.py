"""The rows that are compared, read in SQL: a fixed random sample of bounded size per institution, month and city.

Nothing here judges; no frame holds more than one organisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import duckdb
import pandas as pd

from pipelines.drift.feature import Policy, WatchedFeature

CITY = "city"


class ComparedRows:
    """The sampled rows of one month and its baseline, in temporary tables of an open connection to the warehouse."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, policy: Policy, month: str, baseline: Sequence[str]
    ) -> None:
        self._connection = connection
        self._policy = policy
        self._months = {"month": month, "baseline": list(baseline)}

    def digest(self) -> str:
        """SHA-256 over every row that the comparison may depend on, in whatever order they lie."""
        digest = hashlib.sha256()
        for relation, sql in self._policy.relations.items():
            watched = self._policy.of_relation(relation)
            read = [item.expression or item.residual_of for item in watched]
            columns = ", ".join(["row_key", "institution_code", "period_month", "drg_code", *map(str, read)])
            counted = self._connection.execute(
                f"with source as ({sql}) select count(*), bit_xor(hash({columns})) from source", self._months
            ).fetchall()
            digest.update(f"{relation} {counted}".encode())
        return digest.hexdigest()

    def sample(self) -> None:
        """Draw the samples; call it once, before `institutions` and `frames`."""
        for relation in self._policy.relations:
            self._connection.execute(
                f"create or replace temp table {relation}_sample as {self._sample_sql(relation)}",
                {
                    **self._months,
                    "institution_rows": self._policy.samples["institution"],
                    "city_rows": self._policy.samples["city"],
                },
            )

    def institutions(self, relation: str) -> list[str]:
        """The codes of the institutions that have a row in the month or the baseline, in order."""
        rows = self._connection.execute(
            f"select distinct institution_code from {relation}_sample order by 1"
        ).fetchall()
        return [code for (code,) in rows]

    def frames(self, relation: str, org_code: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The sampled rows of an institution or of the city (`CITY`): the month's and the baseline's.

        One column per feature of the relation: float for numbers, text for categories.
        """
        where = "in_city" if org_code == CITY else "in_institution and institution_code = $org_code"
        watched = self._policy.of_relation(relation)
        columns = ", ".join(item.feature.id for item in watched)
        rows = self._connection.execute(
            f"select is_current, {columns} from {relation}_sample where {where} order by row_key",
            {} if org_code == CITY else {"org_code": org_code},
        ).df()
        current = rows["is_current"].to_numpy(dtype=bool)
        rows = rows.drop(columns="is_current")
        return rows[current].reset_index(drop=True), rows[~current].reset_index(drop=True)

    def _sample_sql(self, relation: str) -> str:
        watched = self._policy.of_relation(relation)
        residuals = [item for item in watched if item.residual_of]
        selected = ",\n".join(
            f"cast({self._expression(item)} as {'double' if item.feature.kind == 'number' else 'varchar'})"
            f" as {item.feature.id}"
            for item in watched
        )
        # Decimals are summed exactly: the mean is the same in whatever order the threads meet.
        expected = "".join(
            f", avg(cast(ln(cast({item.residual_of} as double)) as decimal(18, 6)))"
            f" filter (where {item.residual_of} >= 1) as expected_{item.feature.id}"
            f", count(*) filter (where {item.residual_of} >= 1) as count_{item.feature.id}"
            for item in residuals
        )
        return f"""
            with source as ({self._policy.relations[relation]}),
            expected as (
                select drg_code as expected_drg_code{expected}
                from source where period_month <> $month and drg_code is not null group by drg_code
            ),
            ranked as (
                select *,
                    row_number() over (partition by institution_code, period_month order by row_key) as institution_rank,
                    row_number() over (partition by period_month order by row_key) as city_rank
                from source
            )
            select row_key, institution_code, period_month = $month as is_current,
                institution_rank <= $institution_rows as in_institution, city_rank <= $city_rows as in_city,
                {selected}
            from ranked left join expected on ranked.drg_code = expected.expected_drg_code
            where institution_rank <= $institution_rows or city_rank <= $city_rows
        """

    def _expression(self, item: WatchedFeature) -> str:
        if not item.residual_of:
            return str(item.expression)
        name = item.feature.id
        return (
            f"case when {item.residual_of} >= 1 and count_{name} >= {self._policy.least_drg_cases}"
            f" then ln(cast({item.residual_of} as double)) - expected_{name} end"
        )
