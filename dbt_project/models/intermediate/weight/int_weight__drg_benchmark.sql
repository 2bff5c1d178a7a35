-- One row is a DRG of a scheme with its names, its frozen weight and benchmarks, and how many cases it has.
with

drg as (
    select * from {{ ref('int_grouping__drg_named') }}
),

reference_set as (
    select * from {{ ref('stg_reference_set__drg') }}
),

grouped as (
    select scheme_code, drg_code, count(*) as case_count
    from {{ ref('int_grouping__result') }}
    where grouping_status = 'grouped'
    group by scheme_code, drg_code
)

select
    drg.scheme_code,
    drg.drg_code,
    drg.drg_name,
    drg.adrg_code,
    drg.adrg_name,
    drg.mdc_code,
    drg.mdc_name,
    reference_set.reference_set,
    reference_set.relative_weight,
    reference_set.weight_level,
    reference_set.reference_case_count,
    reference_set.expected_cost_yuan,
    reference_set.expected_stay_days,
    reference_set.risk_grade,
    coalesce(grouped.case_count, 0) as case_count
from drg
left join reference_set on drg.scheme_code = reference_set.scheme_code and drg.drg_code = reference_set.drg_code
left join grouped on drg.scheme_code = grouped.scheme_code and drg.drg_code = grouped.drg_code
