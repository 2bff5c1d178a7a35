-- One row is a case under a scheme: what the grouper may look at besides the codes. `invalid_reason` says why a case cannot be grouped.
with

input as (
    select * from {{ ref('int_front_sheet__grouper_input') }}
),

scheme as (
    select scheme_code from {{ ref('stg_scheme__scheme') }}
),

numbered as (
    select
        scheme.scheme_code,
        input.*,
        row_number() over (order by scheme.scheme_code, input.case_id) as case_number
    from input
    cross join scheme
)

select
    case_number,
    case_id,
    scheme_code,
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
