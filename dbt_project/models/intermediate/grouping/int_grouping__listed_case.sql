-- One row is a case that goes to the grouper, by numbers: its own and those of its principal codes (0: none).
with

input as (
    select * from {{ ref('int_front_sheet__grouper_input') }}
),

code as (
    select * from {{ ref('int_grouping__code') }}
),

principal as (
    select
        grouper_code.case_id,
        max(case when grouper_code.code_type = 'DIAGNOSIS' then code.code_number end) as diagnosis_number,
        max(case when grouper_code.code_type = 'PROCEDURE' then code.code_number end) as procedure_number
    from {{ ref('int_front_sheet__grouper_code') }} as grouper_code
    inner join code
        on grouper_code.code_type = code.code_type
        and grouper_code.code = code.code
    where grouper_code.position = 1
    group by grouper_code.case_id
)

select
    row_number() over (order by input.case_id nulls last) as case_number,
    input.case_id,
    input.sex_code,
    input.age_years,
    input.age_days,
    input.birth_weight,
    input.length_of_stay,
    input.icu_hours,
    input.discharge_status,
    input.department,
    input.has_principal_diagnosis,
    coalesce(principal.diagnosis_number, 0) as principal_diagnosis_number,
    coalesce(principal.procedure_number, 0) as principal_procedure_number
from input
left join principal on input.case_id = principal.case_id
