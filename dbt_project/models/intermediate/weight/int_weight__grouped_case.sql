-- One row is a case under a scheme: its group, and for a grouped case its weight and benchmarks from the reference set.
with

result as (
    select * from {{ ref('int_grouping__result') }}
),

reference_set as (
    select * from {{ ref('stg_reference_set__drg') }}
)

select
    result.case_id,
    result.scheme_code,
    result.grouping_status,
    result.mdc_code,
    result.adrg_code,
    result.drg_code,
    result.reason,
    reference_set.relative_weight,
    reference_set.weight_level,
    reference_set.risk_grade,
    reference_set.expected_cost_yuan,
    reference_set.expected_stay_days
from result
left join reference_set
    on result.scheme_code = reference_set.scheme_code
    and result.drg_code = reference_set.drg_code
    and result.grouping_status = 'grouped'
