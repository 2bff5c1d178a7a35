with

grouped_case as (
    select * from {{ ref('int_weight__grouped_case') }}
),

complication as (
    select * from {{ ref('int_grouping__case_complication') }}
)

select
    grouped_case.case_id,
    grouped_case.scheme_code,
    grouped_case.grouping_status,
    grouped_case.mdc_code,
    grouped_case.adrg_code,
    grouped_case.drg_code,
    coalesce(complication.complication_level, 'none') as complication_level,
    grouped_case.relative_weight,
    grouped_case.reason
from grouped_case
left join complication
    on grouped_case.case_id = complication.case_id
    and grouped_case.scheme_code = complication.scheme_code
