-- One row is what an organisation reported last of an indicator for a period: a later submission replaces an earlier one.
with

reported as (
    select * from {{ ref('stg_reference__reported_value') }}
),

settled as (
    select *
    from reported
    qualify row_number() over (
        partition by indicator_id, org_level, org_code, period
        order by submitted_at desc nulls last, source_file desc nulls last, source_row desc nulls last
    ) = 1
)

select
    indicator_id,
    org_level,
    org_code,
    period,
    length(period) = 4 as is_of_year,
    max(case when length(period) = 4 then 1 else 0 end) over (
        partition by indicator_id, org_level, org_code, substr(period, 1, 4)
    ) = 1 as has_value_of_year,
    -- A share needs both of its parts; one alone says nothing.
    case when denominator > 0 then numerator end as numerator,
    case when numerator is not null and denominator > 0 then denominator end as denominator,
    reported_value,
    unit,
    source_file,
    source_row
from settled
