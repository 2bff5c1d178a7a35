"""Feed the cost-growth model from the warehouse and keep what it says: flags as Parquet, the fitted model as text.

The judgement is in `models/cost_growth`; here is only which cases it sees and where its answers go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import Settings

NUMBER = pa.decimal128(18, 6)
MONEY = pa.decimal128(18, 2)
FLAG_SCHEMA = pa.schema(
    [
        ("flag_id", pa.string()),
        ("institution_code", pa.string()),
        ("mdc_code", pa.string()),
        ("adrg_code", pa.string()),
        ("period", pa.string()),
        ("channel", pa.string()),
        ("tier", pa.string()),
        ("z", NUMBER),
        ("growth", NUMBER),
        ("growth_low", NUMBER),
        ("growth_high", NUMBER),
        ("excess_yuan", MONEY),
        ("false_discovery_rate", NUMBER),
        ("case_count", pa.int64()),
        ("previous_case_count", pa.int64()),
        ("method", pa.string()),
    ]
)
CASES = """
    select
        c.institution_code, i.institution_level, g.mdc_code, g.drg_code, cast(c.period_year as integer) as year,
        cast(c.age_years as double) as age_years, c.sex_code = '2' as is_female,
        coalesce(c.admission_route_code = '1', false) as is_emergency, c.diagnosis_count,
        {fees}
    from marts.fct_case c
    join marts.dim_institution i
        on c.institution_code = i.institution_code and c.discharge_date between i.valid_from and i.valid_to
    -- Both years under the scheme of the later one: what is compared must be the same groups.
    join marts.fct_case_grouping g
        on c.case_id = g.case_id
        and g.scheme_code = (select max(scheme_code) from marts.fct_case where period_year = $year)
    where g.grouping_status = 'grouped' and c.period_year in ($year, $year_before) and c.age_years is not null
"""


@dataclass(frozen=True)
class CostGrowthSummary:
    """How many flags each judged year has by tier, and why a year was not judged."""

    tier_counts: dict[str, dict[str, int]]
    reasons: dict[str, str]


def flag_years(settings: Settings) -> CostGrowthSummary:
    """Judge every year of the warehouse against the year before; write `<lake>/cost_growth/flag.parquet`.

    Beside it, `<home>/cost_growth/<year>.json` keeps the fitted expectation and the thresholds as text.
    """
    from models.cost_growth import CHANNELS, flag_cost_growth  # noqa: PLC0415  (scikit-learn takes 3 s)

    fees = ", ".join(f"cast(c.{column} as double) as {column}" for column in dict.fromkeys(CHANNELS.values()))
    tables: list[pa.Table] = []
    tiers: dict[str, dict[str, int]] = {}
    reasons: dict[str, str] = {}
    cards = settings.home / "cost_growth"
    cards.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        years = [
            row[0]
            for row in connection.execute(
                "select distinct period_year from marts.fct_case order by 1"
            ).fetchall()
        ]
        for year in years[1:]:
            cases = connection.execute(
                CASES.format(fees=fees), {"year": year, "year_before": str(int(year) - 1)}
            ).df()
            result = flag_cost_growth(cases)
            if result.reason:
                reasons[year] = result.reason
                continue
            tables.append(_typed(result.flags))
            tiers[year] = {
                str(tier): int(count) for tier, count in result.flags["tier"].value_counts().items()
            }
            (cards / f"{year}.json").write_text(
                json.dumps(
                    {"model": result.model, "summary": result.summary},
                    ensure_ascii=False, indent=1, sort_keys=True, default=str,
                ),
                encoding="utf-8",
            )  # fmt: skip
    path = settings.lake / "cost_growth" / "flag.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(".flag.parquet")
    pq.write_table(pa.concat_tables([FLAG_SCHEMA.empty_table(), *tables]), aside, compression="zstd")
    aside.replace(path)
    return CostGrowthSummary(tiers, reasons)


def _typed(flags: pd.DataFrame) -> pa.Table:
    loose = pa.Table.from_pandas(flags, preserve_index=False)
    columns = []
    for field in FLAG_SCHEMA:
        values = loose.column(field.name)
        if pa.types.is_decimal(field.type):
            # Through text: the model rounded to these places, and a binary fraction must not bring others back.
            places = field.type.scale
            values = pa.array(
                [None if value is None else f"{value:.{places}f}" for value in values.to_pylist()],
                pa.string(),
            )
        columns.append(values.cast(field.type))
    return pa.table(columns, schema=FLAG_SCHEMA)
