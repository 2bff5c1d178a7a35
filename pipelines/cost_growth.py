"""Feed the cost-growth model from the warehouse and keep what it says: flags as Parquet, the fitted model as text.

The judgement is in `models/cost_growth`; here is only which cases it sees, which periods it is asked for, and
where its answers go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evidence.gather import EVIDENCE_SCHEMA, gather_evidence
from pipelines.model_card import write_model_card
from pipelines.settings import Settings

NUMBER = pa.decimal128(18, 6)
MONEY = pa.decimal128(18, 2)
FLAG_SCHEMA = pa.schema(
    [
        ("flag_id", pa.string()),
        ("unit_level", pa.string()),
        ("institution_code", pa.string()),
        ("department_code", pa.string()),
        ("mdc_code", pa.string()),
        ("adrg_code", pa.string()),
        ("period", pa.string()),
        ("channel", pa.string()),
        ("tier", pa.string()),
        ("score", NUMBER),
        ("z", NUMBER),
        ("growth", NUMBER),
        ("growth_low", NUMBER),
        ("growth_high", NUMBER),
        ("excess_yuan", MONEY),
        ("newly_severe_count", pa.int64()),
        ("false_discovery_rate", NUMBER),
        ("case_count", pa.int64()),
        ("previous_case_count", pa.int64()),
        ("method", pa.string()),
    ]
)
# Months count from the year 0: year * 12 + month - 1.
MONTH = "cast(extract(year from c.discharge_date) * 12 + extract(month from c.discharge_date) - 1 as integer)"
# The judged cases of 24 months: what the judgement and the evidence behind its flags both read.
COST_CASE = """
    create or replace temp table cost_case as
    select
        c.case_id, c.institution_code, i.institution_level, c.department_code, g.mdc_code, g.adrg_code, g.drg_code,
        case g.complication_level when 'MCC' then 2 when 'CC' then 1 when 'none' then 0 end as complication_level,
        g.relative_weight,
        {month} as discharge_month,
        c.age_years, c.sex_code = '2' as is_female,
        coalesce(c.admission_route_code = '1', false) as is_emergency, c.diagnosis_count,
        c.total_fee_yuan, c.drug_fee_yuan, c.consumable_fee_yuan, c.examination_fee_yuan, c.service_fee_yuan
    from marts.fct_case c
    join marts.dim_institution i
        on c.institution_code = i.institution_code and c.discharge_date between i.valid_from and i.valid_to
    -- Both windows under the scheme of the later one: what is compared must be the same groups.
    join marts.fct_case_grouping g
        on c.case_id = g.case_id
        and g.scheme_code = (select max(scheme_code) from marts.fct_case c where {month} = $last)
    where g.grouping_status = 'grouped' and {month} between $last - 23 and $last and c.age_years is not null
"""
TEXTS = ("institution_code", "institution_level", "department_code", "mdc_code", "adrg_code", "drg_code")
NUMBERS = (
    "complication_level", "relative_weight", "age_years", "is_female", "is_emergency", "diagnosis_count",
    "total_fee_yuan", "drug_fee_yuan", "consumable_fee_yuan", "examination_fee_yuan", "service_fee_yuan",
)  # fmt: skip
COUNTS = """
    with scheme as (
        select max(scheme_code) as scheme_code from marts.fct_case c where {month} = $last
    )
    select
        max(scheme.scheme_code) as scheme_code,
        count(*) as accepted_count,
        count(*) filter (g.grouping_status is distinct from 'grouped') as ungrouped_count,
        count(*) filter (g.grouping_status = 'grouped' and c.age_years is null) as without_age_count
    from marts.fct_case c
    cross join scheme
    left join marts.fct_case_grouping g on c.case_id = g.case_id and scheme.scheme_code = g.scheme_code
    where {month} between $last - 23 and $last
"""


@dataclass(frozen=True)
class CostGrowthSummary:
    """How many flags of an institution × MDC each judged period has by tier, and why a period was not judged."""

    tier_counts: dict[str, dict[str, int]]
    reasons: dict[str, str]


def list_periods(months: set[int]) -> tuple[dict[str, int], dict[str, str]]:
    """Return (period -> its last month, period -> why it is not judged) for the months in force.

    Asked for are the calendar years after the first and, where the last month is not December, the twelve
    months that end with it. Both windows must be complete: what a month without cases would have cost is
    unknown.
    """
    if not months:
        return {}, {}
    last = max(months)
    asked = {str(year): year * 12 + 11 for year in range(min(months) // 12 + 1, last // 12 + 1)}
    if last % 12 < 11 and last - min(months) >= 12:
        asked[f"{last // 12}-{last % 12 + 1:02d}"] = last
    periods, reasons = {}, {}
    for period, end in asked.items():
        missing = [month for month in range(end - 23, end + 1) if month not in months]
        if missing:
            named = "、".join(f"{month // 12}-{month % 12 + 1:02d}" for month in missing[:6])
            more = f"等{len(missing)}个月" if len(missing) > 6 else ""
            reasons[period] = f"{named}{more}无生效病例，比较需要前后各十二个完整月份"
        else:
            periods[period] = end
    return periods, reasons


def flag_periods(settings: Settings) -> CostGrowthSummary:
    """Judge every period of the warehouse; write `flag.parquet` and `evidence.parquet` under `<lake>/cost_growth`.

    `<home>/cost_growth/<period>.json` keeps the fitted expectation and the thresholds as text, `<period>.md` is its
    model card.
    """
    from models.cost_growth import flag_cost_growth  # noqa: PLC0415  (scikit-learn takes 3 s)

    flags, evidence = [FLAG_SCHEMA.empty_table()], [EVIDENCE_SCHEMA.empty_table()]
    tiers: dict[str, dict[str, int]] = {}
    cards = settings.home / "cost_growth"
    cards.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        found = connection.execute(f"select distinct {MONTH} from marts.fct_case c").fetchall()
        periods, reasons = list_periods({month for (month,) in found})
        for period, last in periods.items():
            connection.execute(COST_CASE.format(month=MONTH), {"last": last}).fetchall()
            result = flag_cost_growth(read_frame(connection), period)
            if result.reason:
                reasons[period] = result.reason
                continue
            flags.append(_typed(result.flags))
            evidence.append(gather_evidence(connection, result.flags, result.units))
            of_mdc = result.flags[result.flags["unit_level"] == "mdc"]
            tiers[period] = {str(tier): int(count) for tier, count in of_mdc["tier"].value_counts().items()}
            counts = count_cases(connection, last)
            kept = {"model": result.model, "summary": result.summary, "cases": counts}
            text = json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True)
            (cards / f"{period}.json").write_text(text, encoding="utf-8")
            card = write_model_card(result.model, result.summary, counts)
            (cards / f"{period}.md").write_text(card, encoding="utf-8")
    folder = settings.lake / "cost_growth"
    folder.mkdir(parents=True, exist_ok=True)
    # A flag without its evidence is no harm to a rerun, evidence without its flag would be.
    for name, tables in (("flag", flags), ("evidence", evidence)):
        aside = folder / f".{name}.parquet"
        pq.write_table(pa.concat_tables(tables), aside, compression="zstd")
        aside.replace(folder / f"{name}.parquet")
    return CostGrowthSummary(tiers, reasons)


def read_frame(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return the relation `cost_case` as the frame that the judgement takes, numbers as doubles.

    Text is categorical, so that a city of millions of cases fits into memory.
    """
    numbers = ", ".join(f"cast({name} as double) as {name}" for name in NUMBERS)
    table = connection.sql(
        f"select {', '.join(TEXTS)}, discharge_month, {numbers} from cost_case"
    ).to_arrow_table()
    return table.to_pandas(strings_to_categorical=True, self_destruct=True, split_blocks=True)


def count_cases(connection: duckdb.DuckDBPyConnection, last: int) -> dict[str, int | str]:
    """Return the scheme, the cases in force of the 24 months that end with `last`, and why some are not in the frame."""
    return connection.sql(COUNTS.format(month=MONTH), params={"last": last}).to_arrow_table().to_pylist()[0]


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
