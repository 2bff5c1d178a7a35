with

drg as (
    select * from {{ ref('stg_scheme__drg') }} where adrg_code <> 'QY'
),

adrg as (
    select
        scheme_code,
        adrg_code,
        min(mdc_code) as mdc_code,
        min(adrg_name) as adrg_name
    from {{ ref('stg_scheme__adrg_branch') }}
    group by scheme_code, adrg_code
),

mdc as (
    select * from {{ ref('stg_scheme__mdc') }}
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
    adrg.adrg_name,
    adrg.mdc_code,
    mdc.mdc_name,
    reference_set.reference_set,
    reference_set.relative_weight,
    reference_set.weight_level,
    reference_set.reference_case_count,
    reference_set.expected_cost_yuan,
    reference_set.expected_stay_days,
    reference_set.risk_grade,
    coalesce(grouped.case_count, 0) as case_count
from drg
inner join adrg on drg.scheme_code = adrg.scheme_code and drg.adrg_code = adrg.adrg_code
inner join mdc on adrg.scheme_code = mdc.scheme_code and adrg.mdc_code = mdc.mdc_code
left join reference_set on drg.scheme_code = reference_set.scheme_code and drg.drg_code = reference_set.drg_code
left join grouped on drg.scheme_code = grouped.scheme_code and drg.drg_code = grouped.drg_code
