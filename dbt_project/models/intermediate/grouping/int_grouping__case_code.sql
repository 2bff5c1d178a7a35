-- One row is a code of an attempt; the first diagnosis and the first procedure are principal, and so is the only procedure of a retry.
with

code as (
    select * from {{ ref('int_front_sheet__grouper_code') }}
),

grouping_case as (
    select case_number, case_id, scheme_code, attempt
    from {{ ref('int_grouping__case') }}
    where invalid_reason is null
)

select
    grouping_case.case_number,
    grouping_case.scheme_code,
    code.code_type,
    code.position = 1 or (grouping_case.attempt > 0 and code.code_type = 'PROCEDURE') as is_principal,
    code.code
from code
inner join grouping_case on code.case_id = grouping_case.case_id
where grouping_case.attempt = 0
    or code.code_type = 'DIAGNOSIS'
    or code.position = grouping_case.attempt + 1
