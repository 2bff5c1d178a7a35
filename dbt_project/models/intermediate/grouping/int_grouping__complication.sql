-- One row is a case with the gravest complication among its other diagnoses that its principal diagnosis does not exclude.
with

case_code as (
    select case_number, scheme_code, is_principal, code
    from {{ ref('int_grouping__case_code') }}
    where code_type = 'DIAGNOSIS'
),

known_prefix as (
    select scheme_code, code, code_prefix
    from {{ ref('int_grouping__known_code_prefix') }}
    where code_type = 'DIAGNOSIS'
),

known_code as (
    select scheme_code, code, grouper_code
    from {{ ref('int_grouping__known_code') }}
    where code_type = 'DIAGNOSIS'
),

complication as (
    select * from {{ ref('stg_scheme__complication') }}
),

exclusion as (
    select * from {{ ref('stg_scheme__complication_exclusion') }}
),

complication_code as (
    select known_code.scheme_code, known_code.code, complication.complication_level, complication.exclusion_list_id
    from known_code
    inner join complication
        on known_code.scheme_code = complication.scheme_code
        and known_code.grouper_code = complication.diagnosis_code
    where complication.match = 'exact'
    union
    select known_prefix.scheme_code, known_prefix.code, complication.complication_level, complication.exclusion_list_id
    from known_prefix
    inner join complication
        on known_prefix.scheme_code = complication.scheme_code
        and known_prefix.code_prefix = complication.diagnosis_code
    where complication.match = 'prefix'
),

excluding_code as (
    select known_code.scheme_code, known_code.code, exclusion.exclusion_list_id
    from known_code
    inner join exclusion
        on known_code.scheme_code = exclusion.scheme_code
        and known_code.grouper_code = exclusion.principal_diagnosis_code
    where exclusion.match = 'exact'
    union
    select known_prefix.scheme_code, known_prefix.code, exclusion.exclusion_list_id
    from known_prefix
    inner join exclusion
        on known_prefix.scheme_code = exclusion.scheme_code
        and known_prefix.code_prefix = exclusion.principal_diagnosis_code
    where exclusion.match = 'prefix'
),

found as (
    select
        case_code.case_number,
        complication_code.complication_level,
        complication_code.exclusion_list_id
    from case_code
    inner join complication_code
        on case_code.scheme_code = complication_code.scheme_code
        and case_code.code = complication_code.code
    where not case_code.is_principal
),

excluded as (
    select case_code.case_number, excluding_code.exclusion_list_id
    from case_code
    inner join excluding_code
        on case_code.scheme_code = excluding_code.scheme_code
        and case_code.code = excluding_code.code
    where case_code.is_principal
),

counted as (
    select found.case_number, found.complication_level
    from found
    left join excluded
        on found.case_number = excluded.case_number
        and found.exclusion_list_id = excluded.exclusion_list_id
    where excluded.case_number is null
)

select
    case_number,
    case when max(case when complication_level = 'MCC' then 1 else 0 end) = 1 then 'MCC' else 'CC' end as complication_level
from counted
group by case_number
