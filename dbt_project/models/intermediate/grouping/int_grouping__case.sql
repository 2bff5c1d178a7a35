-- One row is a case with everything that the grouper may look at besides the codes; `invalid_reason` says why it cannot be grouped.
{{ config(materialized='view') }}
select
    case_number,
    case_id,
    sex_code,
    age_years,
    age_days,
    birth_weight,
    length_of_stay,
    icu_hours,
    discharge_status,
    department,
    has_principal_diagnosis,
    principal_diagnosis_number,
    principal_procedure_number,
    case
        when sex_code is null or sex_code not in ('1', '2') then 'sex_missing'
        when age_years is null then 'age_missing'
        when age_years = 0 and age_days is null then 'age_days_missing'
        when age_years = 0 and age_days <= 28 and birth_weight is null then 'birth_weight_missing'
    end as invalid_reason
from {{ ref('int_grouping__listed_case') }}
