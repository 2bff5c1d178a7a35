"""What each organisation's growth of hospital cost is made of: sums from the warehouse, effects as Parquet.

The arithmetic is in `models/cost_growth/decomposition.py`; here is only which cases and windows it sees and where its
answers go.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.cost_growth import MONTH, list_periods
from pipelines.settings import Settings

# Level of organisation, level of group, and the columns that make the unit.
UNITS = (
    ("city", "all", ()),
    ("county", "all", ("county_code",)),
    ("institution", "all", ("institution_code",)),
    ("city", "adrg", ("adrg_code",)),
    ("institution", "adrg", ("institution_code", "adrg_code")),
)
UNGROUPED = "ungrouped"
EVERYTHING = "all"
# Every accepted case once: those without group, or not sent to the grouper, are a group of their own, so that nothing is
# left out. What no component of the front sheet names (blood products, other fees, items that do not add up) is `other`.
# A month of an institution is matched if the same month of the other window has cases of it: what is missing, or of a
# hospital that opened or closed, is then told apart from growth.
CELLS = f"""
    with accepted as (
        select c.*, {MONTH} as month from marts.fct_case as c
    ),
    windowed as (
        select *, cast(month >= $later as bigint) as "window" from accepted
        where month between $first and $last
    ),
    placed as (
        select
            c.institution_code, coalesce(c.county_code, 'unknown') as county_code, c.month, c."window",
            min(c."window") over same_month <> max(c."window") over same_month as is_matched,
            case when g.grouping_status = 'grouped' then g.adrg_code else '{UNGROUPED}' end as adrg_code,
            case when g.grouping_status = 'grouped' then g.drg_code else '{UNGROUPED}' end as drg_code,
            coalesce(total_fee_yuan, 0) as total, coalesce(drug_fee_yuan, 0) as drug,
            coalesce(consumable_fee_yuan, 0) as consumable, coalesce(examination_fee_yuan, 0) as examination,
            coalesce(service_fee_yuan, 0) as service
        from windowed as c
        -- Both windows under the scheme of the later one: what is compared must be the same groups.
        left join marts.fct_case_grouping as g on c.case_id = g.case_id and g.scheme_code = $scheme
        window same_month as (partition by c.institution_code, c.month % 12)
    )
"""
GROUP_SUMS = (
    CELLS
    + """
    select
        institution_code, county_code, adrg_code, drg_code, "window", is_matched, count(*) as case_count,
        cast(100 * sum(total) as bigint) as total_fee_cents,
        cast(100 * sum(drug) as bigint) as drug_fee_cents,
        cast(100 * sum(consumable) as bigint) as consumable_fee_cents,
        cast(100 * sum(examination) as bigint) as examination_fee_cents,
        cast(100 * sum(service) as bigint) as service_fee_cents,
        cast(100 * sum(total - drug - consumable - examination - service) as bigint) as other_fee_cents
    from placed
    group by all
    """
)
MONTH_COUNTS = (
    CELLS
    + f"""
    , institution_month as (
        select distinct institution_code, county_code, month, "window", is_matched from placed
    )
    select
        case when grouping(institution_code) = 0 then 'institution'
            when grouping(county_code) = 0 then 'county' else 'city' end as org_level,
        coalesce(institution_code, county_code, '{EVERYTHING}') as org_code,
        count(*) filter (where "window" = 0) as previous_month_count,
        count(*) filter (where "window" = 1) as month_count,
        count(*) filter (where "window" = 1 and is_matched) as matched_month_count
    from institution_month
    group by grouping sets ((), (county_code), (institution_code))
    """
)
SCHEMA = pa.schema(
    [
        ("period", pa.string()),
        ("org_level", pa.string()),
        ("org_code", pa.string()),
        ("group_level", pa.string()),
        ("group_code", pa.string()),
        ("scheme_code", pa.string()),
        ("status", pa.string()),
        *((name, pa.int64()) for name in ("previous_month_count", "month_count", "matched_month_count")),
        *(
            (name, pa.int64())
            for name in (
                "previous_case_count", "case_count", "previous_matched_case_count", "matched_case_count",
                "entrant_case_count",
            )
        ),
        *(
            (name, pa.decimal128(18, 2))
            for name in (
                "previous_total_fee_yuan", "total_fee_yuan", "growth_yuan", "coverage_yuan", "volume_yuan",
                "case_mix_yuan", "coding_yuan", "drug_intensity_yuan", "consumable_intensity_yuan",
                "examination_intensity_yuan", "service_intensity_yuan", "other_intensity_yuan",
            )
        ),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class DecompositionSummary:
    """Which periods were taken apart, by number of rows, and why a year was not."""

    row_counts: dict[str, int]
    reasons: dict[str, str]


def decompose_periods(settings: Settings) -> DecompositionSummary:
    """Take the growth of every period that is judged apart; write
    `<lake>/cost_growth/decomposition.parquet`.

    A period has rows for the city, every county and institution (`group_code` 'all'), and for every ADRG of the city
    and of each institution.
    """
    tables: list[pa.Table] = []
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        found = connection.execute(f"select distinct {MONTH} from marts.fct_case as c").fetchall()
        periods, reasons = list_periods({month for (month,) in found})
        for period, last in periods.items():
            tables.append(_decompose(connection, period, last))
    path = settings.lake / "cost_growth" / "decomposition.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(".decomposition.parquet")
    pq.write_table(pa.concat_tables([SCHEMA.empty_table(), *tables]), aside, compression="zstd")
    aside.replace(path)
    return DecompositionSummary(
        {period: table.num_rows for period, table in zip(periods, tables, strict=True)}, reasons
    )


def _decompose(connection: duckdb.DuckDBPyConnection, period: str, last: int) -> pa.Table:
    from models.cost_growth.decomposition import decompose_growth  # noqa: PLC0415  (scikit-learn takes 3 s)

    scheme = connection.execute(
        f"select max(scheme_code) from marts.fct_case as c where {MONTH} = $last", {"last": last}
    ).fetchone()[0]
    window = {"scheme": scheme, "first": last - 23, "later": last - 11, "last": last}
    sums = connection.execute(GROUP_SUMS, window).df()
    months = connection.execute(MONTH_COUNTS, window).df()
    frames = []
    for org_level, group_level, columns in UNITS:
        frame = decompose_growth(sums, columns)
        org = [name for name in columns if name != "adrg_code"]
        frames.append(
            frame.assign(
                org_level=org_level,
                org_code=frame[org[0]] if org else EVERYTHING,
                group_level=group_level,
                group_code=frame["adrg_code"] if group_level == "adrg" else EVERYTHING,
            )
        )
    found = pd.concat(frames, ignore_index=True).assign(period=period, scheme_code=scheme)
    return _typed(found.merge(months, on=["org_level", "org_code"], how="left", validate="many_to_one"))


def _typed(frame: pd.DataFrame) -> pa.Table:
    cent = pa.scalar(Decimal("0.01"), pa.decimal128(3, 2))
    columns = []
    for field in SCHEMA:
        if pa.types.is_decimal(field.type):
            cents = pa.array(frame[field.name.removesuffix("_yuan") + "_cents"].astype("Int64"), pa.int64())
            columns.append(pc.multiply(cents.cast(pa.decimal128(19, 0)), cent).cast(field.type))
        else:
            columns.append(pa.array(frame[field.name], field.type))
    return pa.table(columns, schema=SCHEMA)
