"""What a delivery of front sheets changed against the one before it: sheets and findings, counted.

Read from the lake, where superseded and held deliveries remain. Sheets are matched by their case, findings by case, rule
and field.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

# The delivery that arrived last, and the newest one before it that was not held.
PAIRS = """
    with delivery as (
        select distinct month, institution_code, delivery_id, arrival_number, is_last_arrival, state
        from fct_delivery_file where dataset = 'front_sheet' and arrival_number is not null
    )
    select last.month, last.institution_code, last.state,
        last.delivery_id, last.arrival_number,
        earlier.delivery_id as delivery_id_before, earlier.arrival_number as arrival_number_before
    from delivery as last
    inner join delivery as earlier
        on last.institution_code = earlier.institution_code and last.month = earlier.month
        and earlier.arrival_number < last.arrival_number and earlier.state <> 'held'
    where last.is_last_arrival
    qualify row_number() over (
        partition by last.institution_code, last.month order by earlier.arrival_number desc
    ) = 1
    order by last.month, last.institution_code
"""
# A sheet is changed where any of its columns, diagnoses or procedures differs; where it stands in its file is not.
CHANGES = """
    with side as (
        select institution_code, month, delivery_id, 1 as is_new from pair
        union all
        select institution_code, month, delivery_id_before, 0 from pair
    ),
    code as (
        select delivery_id, case_id, hash(list(content order by kind, position)) as content
        from (
            select delivery_id, case_id, 'diagnosis' as kind, position,
                hash(*columns(* exclude (delivery_id, source_file, source_row))) as content
            from {diagnosis} semi join side using (delivery_id)
            union all
            select delivery_id, case_id, 'procedure', position,
                hash(*columns(* exclude (delivery_id, source_file, source_row)))
            from {procedure} semi join side using (delivery_id)
        )
        group by delivery_id, case_id
    ),
    plain_sheet as (
        select delivery_id, case_id, total_fee_yuan,
            hash(*columns(* exclude (delivery_id, source_file, source_row))) as content
        from {front_sheet} semi join side using (delivery_id)
    ),
    sheet as (
        select side.institution_code, side.month, side.is_new, case_id, total_fee_yuan,
            hash(plain_sheet.content, coalesce(code.content, 0)) as content
        from plain_sheet join side using (delivery_id) left join code using (delivery_id, case_id)
    ),
    sheet_pair as (
        select institution_code, month, case_id, count(*) filter (where is_new = 1) as new_count,
            count(*) filter (where is_new = 0) as old_count, count(distinct content) as content_count,
            sum(total_fee_yuan) filter (where is_new = 1) as new_yuan,
            sum(total_fee_yuan) filter (where is_new = 0) as old_yuan
        from sheet group by institution_code, month, case_id
    ),
    sheet_change as (
        select institution_code, month,
            count(*) filter (where old_count = 0) as added_count,
            count(*) filter (where new_count = 0) as removed_count,
            count(*) filter (where old_count > 0 and new_count > 0 and content_count > 1) as changed_count,
            count(*) filter (where old_count > 0 and new_count > 0 and content_count = 1) as kept_count,
            coalesce(sum(old_yuan), 0) as total_fee_yuan_before, coalesce(sum(new_yuan), 0) as total_fee_yuan
        from sheet_pair group by institution_code, month
    ),
    finding_pair as (
        select distinct side.institution_code, side.month, row_key, rule_id, field, is_new
        from {finding} join side using (delivery_id) where dataset = 'front_sheet'
    ),
    finding_sides as (
        select institution_code, month, row_key, rule_id, field, max(is_new) as in_new, 1 - min(is_new) as in_old
        from finding_pair group by all
    ),
    finding_change as (
        select institution_code, month,
            count(*) filter (where in_new = 0) as mended_finding_count,
            count(*) filter (where in_old = 0) as new_finding_count,
            count(*) filter (where in_new = 1 and in_old = 1) as same_finding_count
        from finding_sides group by institution_code, month
    )
    select pair.*, coalesce(added_count, 0) as added_count, coalesce(removed_count, 0) as removed_count,
        coalesce(changed_count, 0) as changed_count, coalesce(kept_count, 0) as kept_count,
        coalesce(total_fee_yuan_before, 0) as total_fee_yuan_before, coalesce(total_fee_yuan, 0) as total_fee_yuan,
        coalesce(mended_finding_count, 0) as mended_finding_count, coalesce(new_finding_count, 0) as new_finding_count,
        coalesce(same_finding_count, 0) as same_finding_count
    from pair
        left join sheet_change using (institution_code, month)
        left join finding_change using (institution_code, month)
    order by month, institution_code
"""


def compare_deliveries(lake: Path, pairs: pd.DataFrame) -> list[dict]:
    """Compare the deliveries of each pair; return its columns and the counts of sheets, yuan and findings.

    `pairs` has one row per institution and month: institution_code, month, delivery_id, delivery_id_before.
    """
    if pairs.empty:
        return []
    files = {
        name: f"read_parquet('{lake / name / '**' / '*.parquet'}', hive_partitioning = false, union_by_name = true)"
        for name in ("front_sheet", "diagnosis", "procedure", "finding")
    }
    with duckdb.connect() as connection:
        connection.register("pair", pairs)
        cursor = connection.execute(CHANGES.format(**files))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
