-- One row is a case under a scheme with the gravest complication among its other diagnoses that its principal diagnosis does not exclude.
with

found as (
    select
        case_code.principal_diagnosis_number,
        {{ number_in_scheme('case_code.case_number', 'complication_code') }} as subject_number,
        complication_code.complication_rank,
        complication_code.exclusion_list_number
    from {{ ref('int_grouping__case_code') }} as case_code
    inner join {{ ref('int_grouping__complication_code') }} as complication_code
        on case_code.code_number = complication_code.code_number
    where case_code.is_diagnosis
        and not case_code.is_principal
),

counted as (
    select found.subject_number, found.complication_rank
    from found
    left join {{ ref('int_grouping__excluding_code') }} as excluding_code
        on found.principal_diagnosis_number = excluding_code.code_number
        and found.exclusion_list_number = excluding_code.exclusion_list_number
    where excluding_code.code_number is null
)

select subject_number, max(complication_rank) as complication_rank
from counted
group by subject_number
