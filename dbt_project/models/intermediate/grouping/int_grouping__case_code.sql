-- One row is a code of a case, beside its principal diagnosis.
with

grouper_code as (
    select * from {{ ref('int_front_sheet__grouper_code') }}
),

listed_case as (
    select * from {{ ref('int_grouping__listed_case') }}
),

code as (
    select * from {{ ref('int_grouping__code') }}
)

select
    listed_case.case_number,
    grouper_code.code_type = 'DIAGNOSIS' as is_diagnosis,
    grouper_code.position = 1 as is_principal,
    grouper_code.position,
    code.code_number,
    listed_case.principal_diagnosis_number
from grouper_code
inner join listed_case on grouper_code.case_id = listed_case.case_id
inner join code
    on grouper_code.code_type = code.code_type
    and grouper_code.code = code.code
