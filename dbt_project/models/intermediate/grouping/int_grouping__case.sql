-- One row is an attempt to group a case under a scheme: what the grouper may look at besides the codes.
-- Attempt 0 is the case as it is. Where the scheme retries other procedures, attempt n has the n-th other procedure as its
-- only one; the result takes the first attempt that finds a group. `invalid_reason` says why a case cannot be grouped.
with

input as (
    select * from {{ ref('int_front_sheet__grouper_input') }}
),

scheme as (
    select scheme_code, retry_other_procedures from {{ ref('stg_scheme__scheme') }}
),

other_procedure as (
    select case_id, position - 1 as attempt
    from {{ ref('int_front_sheet__grouper_code') }}
    where code_type = 'PROCEDURE'
        and position > 1
),

attempted as (
    select scheme.scheme_code, 0 as attempt, input.*
    from input
    cross join scheme

    union all

    select scheme.scheme_code, other_procedure.attempt, input.*
    from input
    inner join other_procedure on input.case_id = other_procedure.case_id
    inner join scheme on scheme.retry_other_procedures = 'Y'
),

numbered as (
    select
        *,
        row_number() over (order by scheme_code nulls last, case_id nulls last, attempt nulls last) as case_number
    from attempted
)

select
    case_number,
    case_id,
    scheme_code,
    attempt,
    sex_code,
    age_years,
    age_days,
    birth_weight,
    length_of_stay,
    icu_hours,
    discharge_status,
    department,
    has_principal_diagnosis,
    case
        when sex_code is null or sex_code not in ('1', '2') then 'sex_missing'
        when age_years is null then 'age_missing'
        when age_years = 0 and age_days is null then 'age_days_missing'
        when age_years = 0 and age_days <= 28 and birth_weight is null then 'birth_weight_missing'
    end as invalid_reason
from numbered
