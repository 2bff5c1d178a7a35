-- One row is a valid case with everything that the scalar bounds of rules are compared with.
select
    grouping_case.case_number,
    grouping_case.scheme_code,
    grouping_case.sex_code,
    grouping_case.age_years,
    grouping_case.age_days,
    grouping_case.birth_weight,
    grouping_case.length_of_stay,
    grouping_case.icu_hours,
    grouping_case.discharge_status,
    grouping_case.department,
    complication.complication_level
from {{ ref('int_grouping__case') }} as grouping_case
left join {{ ref('int_grouping__complication') }} as complication
    on grouping_case.case_number = complication.case_number
where grouping_case.invalid_reason is null
