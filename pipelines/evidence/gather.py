"""The evidence behind cost-growth flags as plain rows, all flags at once, in SQL over the cases that were judged.

It uses means of costs by group that a reader can check by hand, not the model's expectation: where the two disagree, the
card shows it. Money is summed as decimals, so that rows do not depend on the order of the cases. Drawing is `card.py`.
"""

from __future__ import annotations

from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from models.cost_growth.decomposition import COMPONENTS, EFFECTS, decompose_growth

# A group's own mean of the earlier window counts from this many cases; below, the city's mean stands in.
SMALLEST_OWN_COUNT = 5
# A month with fewer cases has no point on the curve: a single stay would draw it.
SMALLEST_MONTH_COUNT = 5
SECTIONS = (
    "effect", "peer", "month", "drg", "severity", "typical_case", "extreme_case", "severe_case", "volume",
)  # fmt: skip
GROUPS_SHOWN = 5
CASES_SHOWN = 5
SEVERE_CASES_SHOWN = 10

EVIDENCE_SCHEMA = pa.schema(
    [
        ("flag_id", pa.string()),
        ("evidence_type", pa.string()),
        ("item_number", pa.int64()),
        ("item_code", pa.string()),
        ("previous_case_count", pa.int64()),
        ("case_count", pa.int64()),
        ("previous_value", pa.decimal128(18, 4)),
        ("value", pa.decimal128(18, 4)),
        ("change_value", pa.decimal128(18, 4)),
    ]
)
FLAG_COLUMNS = ("flag_id", "institution_code", "mdc_code", "adrg_code", "period", "channel")

_SETUP = (
    """
create or replace temp table flag as
select
    flag_id,
    institution_code,
    mdc_code,
    nullif(adrg_code, '') as adrg_code,
    channel,
    case when channel = 'coding' then 'total' else replace(channel, '_slope', '') end as component,
    -- Months are year * 12 + month - 1; a calendar year ends with its December.
    cast(left(period, 4) as integer) * 12 + coalesce(try_cast(substr(period, 6, 2) as integer), 12) - 1 as last_month
from given_flag
""",
    """
create or replace temp table flag_case as
select
    flag.flag_id,
    flag.channel,
    c.institution_code = flag.institution_code as is_own,
    c.institution_code,
    c.case_id,
    c.adrg_code,
    c.drg_code,
    c.discharge_month,
    c.discharge_month > flag.last_month - 12 as is_judged,
    c.complication_level,
    c.total_fee_yuan,
    c.drug_fee_yuan,
    c.consumable_fee_yuan,
    c.examination_fee_yuan,
    c.service_fee_yuan,
    case flag.component
        when 'drug' then c.drug_fee_yuan
        when 'consumable' then c.consumable_fee_yuan
        when 'examination' then c.examination_fee_yuan
        when 'service' then c.service_fee_yuan
        else c.total_fee_yuan
    end as fee_yuan
from flag
inner join cost_case as c
    on flag.mdc_code = c.mdc_code
    and (flag.adrg_code is null or flag.adrg_code = c.adrg_code)
    and c.discharge_month between flag.last_month - 23 and flag.last_month
""",
    """
-- What a case of the DRG cost in the earlier window: at the institution itself, else in the city.
create or replace temp table reference as
with own as (
    select
        flag_id, institution_code, drg_code,
        count(fee_yuan) filter (where not is_judged) as fee_count,
        sum(fee_yuan) filter (where not is_judged) as fee_yuan
    from flag_case
    group by flag_id, institution_code, drg_code
),
city as (
    select flag_id, drg_code, sum(fee_count) as fee_count, sum(fee_yuan) as fee_yuan
    from own
    group by flag_id, drg_code
)
select
    own.flag_id, own.institution_code, own.drg_code,
    cast(
        case
            when own.fee_count >= $own_count then cast(own.fee_yuan as double) / own.fee_count
            when city.fee_count > 0 then cast(city.fee_yuan as double) / city.fee_count
        end as decimal(18, 2)
    ) as reference_yuan
from own
inner join city on own.flag_id = city.flag_id and own.drg_code = city.drg_code
""",
)

_MONTHS = """
with month as (
    select
        flag_case.flag_id, flag_case.institution_code, flag_case.is_own, flag_case.discharge_month,
        count(*) as case_count,
        case
            when count(*) >= $month_count and sum(reference_yuan) > 0
                then cast(sum(fee_yuan) as double) / cast(sum(reference_yuan) as double)
        end as cost_index
    from flag_case
    inner join reference
        on flag_case.flag_id = reference.flag_id
        and flag_case.institution_code = reference.institution_code
        and flag_case.drg_code = reference.drg_code
    where fee_yuan is not null and reference_yuan is not null
    group by flag_case.flag_id, flag_case.institution_code, flag_case.is_own, flag_case.discharge_month
),
span as (
    select flag_id, institution_code, last_month - 23 + position as discharge_month, position + 1 as item_number
    from flag, (select unnest(range(24)) as position)
),
peer as (
    select month.flag_id, month.discharge_month, median(month.cost_index) as cost_index
    from month
    inner join (select distinct flag_id, institution_code from given_peer) as p
        on month.flag_id = p.flag_id and month.institution_code = p.institution_code
    where not month.is_own
    group by month.flag_id, month.discharge_month
)
select
    span.flag_id, 'month' as evidence_type, span.item_number,
    (span.discharge_month // 12) || '-' || lpad(cast(span.discharge_month % 12 + 1 as varchar), 2, '0') as item_code,
    cast(null as bigint) as previous_case_count,
    coalesce(month.case_count, 0) as case_count,
    round(peer.cost_index, 4) as previous_value,
    round(month.cost_index, 4) as value,
    round(month.cost_index, 4) - round(peer.cost_index, 4) as change_value
from span
left join month
    on span.flag_id = month.flag_id
    and span.institution_code = month.institution_code
    and span.discharge_month = month.discharge_month
left join peer on span.flag_id = peer.flag_id and span.discharge_month = peer.discharge_month
"""

_GROUPS = """
with own_group as (
    select
        flag_case.flag_id, flag_case.drg_code,
        count(*) filter (where not is_judged) as previous_case_count,
        count(*) filter (where is_judged) as case_count,
        max(reference_yuan) as reference_yuan,
        sum(fee_yuan) filter (where is_judged) as fee_yuan
    from flag_case
    inner join reference
        on flag_case.flag_id = reference.flag_id
        and flag_case.institution_code = reference.institution_code
        and flag_case.drg_code = reference.drg_code
    where is_own and fee_yuan is not null and channel <> 'coding'
    group by flag_case.flag_id, flag_case.drg_code
    having count(*) filter (where is_judged) > 0 and max(reference_yuan) is not null
)
select
    flag_id, 'drg' as evidence_type,
    row_number() over (partition by flag_id order by fee_yuan - reference_yuan * case_count desc, drg_code) as item_number,
    drg_code as item_code, previous_case_count, case_count,
    reference_yuan as previous_value,
    round(cast(fee_yuan as double) / case_count, 2) as value,
    fee_yuan - reference_yuan * case_count as change_value
from own_group
qualify item_number <= $groups
"""

# For a coding flag: in which ADRGs the share of cases with CC or MCC rose most, by the cases that this makes.
_SEVERITY = """
with own_group as (
    select
        flag_id, adrg_code,
        count(*) filter (where not is_judged) as previous_case_count,
        count(*) filter (where is_judged) as case_count,
        count(*) filter (where not is_judged and complication_level > 0) as previous_severe_count,
        count(*) filter (where is_judged and complication_level > 0) as severe_count
    from flag_case
    where is_own and channel = 'coding' and complication_level is not null
    group by flag_id, adrg_code
),
share as (
    select
        *,
        round(cast(previous_severe_count as double) / previous_case_count, 4) as previous_value,
        round(cast(severe_count as double) / case_count, 4) as value
    from own_group
    where previous_case_count > 0 and case_count > 0
)
select
    flag_id, 'severity' as evidence_type,
    row_number() over (partition by flag_id order by (value - previous_value) * case_count desc, adrg_code) as item_number,
    adrg_code as item_code, previous_case_count, case_count, previous_value, value, value - previous_value as change_value
from share
qualify item_number <= $groups
"""

_CASES = """
with excess as (
    select
        flag_case.flag_id, case_id, fee_yuan, reference_yuan, fee_yuan - reference_yuan as excess_yuan,
        median(fee_yuan - reference_yuan) over (partition by flag_case.flag_id) as middle_yuan
    from flag_case
    inner join reference
        on flag_case.flag_id = reference.flag_id
        and flag_case.institution_code = reference.institution_code
        and flag_case.drg_code = reference.drg_code
    where is_own and is_judged and channel <> 'coding' and fee_yuan is not null and reference_yuan is not null
),
ranked as (
    select
        *,
        row_number() over (partition by flag_id order by abs(excess_yuan - middle_yuan), case_id) as typical_rank,
        row_number() over (partition by flag_id order by excess_yuan desc, case_id) as extreme_rank
    from excess
),
shown as (
    select *, 'typical_case' as evidence_type, typical_rank as item_number from ranked where typical_rank <= $cases
    union all
    select *, 'extreme_case' as evidence_type, extreme_rank as item_number from ranked where extreme_rank <= $cases
)
select
    flag_id, evidence_type, item_number, case_id as item_code,
    cast(null as bigint) as previous_case_count, cast(null as bigint) as case_count,
    reference_yuan as previous_value, fee_yuan as value, excess_yuan as change_value
from shown
"""

# Severe on paper: the cases with CC or MCC that cost least of what a case without cost in the ADRG before.
_SEVERE_CASES = """
with plain as (
    select
        flag_id, adrg_code,
        cast(cast(sum(total_fee_yuan) as double) / count(total_fee_yuan) as decimal(18, 2)) as plain_yuan
    from flag_case
    where is_own and not is_judged and channel = 'coding' and complication_level = 0
    group by flag_id, adrg_code
    having count(total_fee_yuan) >= $own_count
)
select
    flag_case.flag_id, 'severe_case' as evidence_type,
    row_number() over (
        partition by flag_case.flag_id order by total_fee_yuan / plain_yuan, case_id
    ) as item_number,
    case_id as item_code, cast(null as bigint) as previous_case_count, cast(null as bigint) as case_count,
    plain_yuan as previous_value, total_fee_yuan as value, total_fee_yuan - plain_yuan as change_value
from flag_case
inner join plain on flag_case.flag_id = plain.flag_id and flag_case.adrg_code = plain.adrg_code
where is_own and is_judged and complication_level > 0 and total_fee_yuan <= plain_yuan
qualify item_number <= $severe
"""

_VOLUMES = """
with volume as (
    select
        flag_id,
        count(*) filter (where not is_judged) as case_0, count(*) filter (where is_judged) as case_1,
        count(*) filter (where not is_judged and fee_yuan is null) as unknown_0,
        count(*) filter (where is_judged and fee_yuan is null) as unknown_1,
        count(distinct discharge_month) filter (where not is_judged) as month_0,
        count(distinct discharge_month) filter (where is_judged) as month_1,
        sum(fee_yuan) filter (where not is_judged) as fee_0, sum(fee_yuan) filter (where is_judged) as fee_1
    from flag_case
    where is_own
    group by flag_id
)
select
    flag_id, 'volume' as evidence_type, 1 as item_number, 'case' as item_code,
    case_0 as previous_case_count, case_1 as case_count,
    fee_0 as previous_value, fee_1 as value, fee_1 - fee_0 as change_value
from volume
union all
select flag_id, 'volume', 2, 'fee_unknown', unknown_0, unknown_1, null, null, null from volume
union all
select flag_id, 'volume', 3, 'month_with_cases', month_0, month_1, null, null, null from volume
"""

# The institution first, then its peers by growth.
_PEERS = """
select
    flag_id, 'peer' as evidence_type,
    row_number() over (partition by flag_id order by is_own desc, own_growth desc, institution_code) as item_number,
    institution_code as item_code, previous_case_count, case_count,
    cast(null as double) as previous_value, round(own_growth, 4) as value, cast(null as double) as change_value
from given_peer
"""

# A month that an institution has in one window only is told apart from growth.
_CELLS = """
with institution_month as (
    select distinct institution_code, discharge_month from cost_case
)
select
    flag_case.flag_id, flag_case.institution_code, is_own, adrg_code, drg_code,
    cast(is_judged as integer) as "window",
    counterpart.institution_code is not null as is_matched,
    count(*) as case_count,
    cast(sum(total_fee_yuan) * 100 as bigint) as total_fee_cents,
    {sums}
from flag_case
left join institution_month as counterpart
    on flag_case.institution_code = counterpart.institution_code
    and flag_case.discharge_month + case when is_judged then -12 else 12 end = counterpart.discharge_month
where total_fee_yuan is not null
group by all
order by all
"""


def gather_evidence(
    connection: duckdb.DuckDBPyConnection, flags: pd.DataFrame, units: pd.DataFrame
) -> pa.Table:
    """Return the evidence of all flags, in EVIDENCE_SCHEMA, sorted by flag, section and item_number.

    `connection` has the relation `cost_case`: the judged cases of both windows with decimal fees and a case id. `flags` and
    `units` are those of `CostGrowthResult`. Sections: effect (what the change of cost consists of, in yuan), peer (own
    growth of each), month (cost against the earlier window's mean of the same groups: previous_value = peers' median),
    drg and severity (by group), typical_case, extreme_case, severe_case (reference and fee), volume.
    """
    if flags.empty:
        return EVIDENCE_SCHEMA.empty_table()
    connection.register("given_flag", flags.loc[:, list(FLAG_COLUMNS)])
    connection.register("given_peer", find_peers(flags, units))
    try:
        parameters = {
            "own_count": SMALLEST_OWN_COUNT,
            "month_count": SMALLEST_MONTH_COUNT,
            "groups": GROUPS_SHOWN,
            "cases": CASES_SHOWN,
            "severe": SEVERE_CASES_SHOWN,
        }
        for statement in _SETUP:
            connection.execute(statement, _used(statement, parameters))
        parts = [_effects(connection)]
        for sql in (_PEERS, _MONTHS, _GROUPS, _SEVERITY, _CASES, _SEVERE_CASES, _VOLUMES):
            found = connection.sql(sql, params=_used(sql, parameters)).to_arrow_table()
            parts.append(found.select(EVIDENCE_SCHEMA.names).cast(EVIDENCE_SCHEMA))
    finally:
        connection.unregister("given_flag")
        connection.unregister("given_peer")
    order = [("flag_id", "ascending"), ("evidence_type", "ascending"), ("item_number", "ascending")]
    return pa.concat_tables(parts).sort_by(order)


def find_peers(flags: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Return a row per flag and unit of its circle of peers: flag_id, institution_code, is_own, own_growth, counts.

    The circle is the one that the judgement took: from the units of the same group and level to all of the city.
    """
    flags, units = (frame.fillna({"adrg_code": ""}) for frame in (flags, units))
    judged = units[units["status"] == "judged"]
    key = ["unit_level", "period", "channel"]
    own = flags[["flag_id", "institution_code", "mdc_code", "adrg_code", *key]].merge(
        judged.rename(columns={"peer_group": "circle", "institution_level": "own_level"})[
            ["institution_code", "mdc_code", "adrg_code", "circle", "own_level", *key]
        ],
        on=["institution_code", "mdc_code", "adrg_code", *key],
    )
    pairs = own.rename(columns={"institution_code": "flagged_code"}).merge(
        judged, on=[*key], suffixes=("_own", "")
    )
    same_mdc = pairs["mdc_code"] == pairs["mdc_code_own"]
    same_group = same_mdc & (pairs["adrg_code"] == pairs["adrg_code_own"])
    same_level = pairs["institution_level"] == pairs["own_level"]
    # As `models.cost_growth.unit.PEER_CIRCLES` draws them.
    inside = {"city": True, "mdc": same_mdc, "adrg": same_group, "level_mdc": same_mdc & same_level}
    circle = pairs["circle"]
    pairs = pairs[
        np.select(
            [circle == name for name in inside], list(inside.values()), default=same_group & same_level
        ).astype(bool)
    ]
    same_group = same_group[pairs.index]
    is_own = (pairs["institution_code"] == pairs["flagged_code"]) & same_group
    return pairs.assign(is_own=is_own)[
        ["flag_id", "institution_code", "is_own", "own_growth", "previous_case_count", "case_count"]
    ]


def _effects(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the section `effect`: cost before, each effect, cost after, in yuan; nothing where a window has no case."""
    sums = ", ".join(
        f"cast(sum(coalesce({name}_fee_yuan, 0)) * 100 as bigint) as {name}_fee_cents"
        for name in COMPONENTS[:-1]
    )
    cells = connection.execute(_CELLS.format(sums=sums)).df()
    known = cells[[f"{name}_fee_cents" for name in COMPONENTS[:-1]]].sum(axis=1)
    cells["other_fee_cents"] = cells["total_fee_cents"] - known
    rows = []
    for flag_id, city in cells.groupby("flag_id", sort=True):
        whose = city.loc[city["is_own"], "institution_code"].iloc[0]
        found = decompose_growth(city, ("institution_code",)).set_index("institution_code").loc[whose]
        if found["status"] != "decomposed":
            continue
        items = {
            "cost_before": found["previous_total_fee_cents"],
            **{effect: found[f"{effect}_cents"] for effect in EFFECTS},
            "cost_after": found["total_fee_cents"],
        }
        counts = (int(found["previous_case_count"]), int(found["case_count"]))
        for item_number, (name, cents) in enumerate(items.items(), start=1):
            rows.append(
                (flag_id, "effect", item_number, name, *counts, None, Decimal(int(cents)) / 100, None)
            )
    columns = list(zip(*rows, strict=True)) or [()] * len(EVIDENCE_SCHEMA)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, EVIDENCE_SCHEMA, strict=True)],
        schema=EVIDENCE_SCHEMA,
    )


def _used(sql: str, parameters: dict[str, int]) -> dict[str, int]:
    """DuckDB refuses parameters that a statement does not name."""
    return {name: value for name, value in parameters.items() if f"${name}" in sql}
