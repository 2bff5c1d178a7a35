-- One row is a discharge that goes to the grouper (domain: stay over 60 days or a fee under 5 yuan does not).
with

sheet as (
    select * from {{ ref('int_front_sheet__sheet_in_force') }}
),

principal as (
    select case_id
    from {{ ref('int_front_sheet__diagnosis_in_force') }}
    where position = 1
)

select
    sheet.case_id,
    sheet.sex_code,
    sheet.age_years,
    sheet.age_days,
    sheet.birth_weight_grams as birth_weight,
    sheet.length_of_stay,
    cast(null as double) as icu_hours,
    sheet.discharge_status_code as discharge_status,
    sheet.department_code as department,
    principal.case_id is not null as has_principal_diagnosis
from sheet
left join principal on sheet.case_id = principal.case_id
where not coalesce(sheet.length_of_stay > {{ var('longest_grouped_stay_days') }}, false)
    and not coalesce(sheet.total_fee_yuan < {{ var('lowest_grouped_fee_yuan') }}, false)
