-- One row is a code of a case in one of its positions, under a scheme; the first diagnosis and the first procedure are principal.
with

code as (
    select * from {{ ref('int_front_sheet__grouper_code') }}
),

grouping_case as (
    select case_number, case_id, scheme_code
    from {{ ref('int_grouping__case') }}
    where invalid_reason is null
)

select
    grouping_case.case_number,
    grouping_case.scheme_code,
    code.code_type,
    code.is_principal,
    code.code
from code
inner join grouping_case on code.case_id = grouping_case.case_id
