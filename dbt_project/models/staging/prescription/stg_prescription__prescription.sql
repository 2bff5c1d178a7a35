with

row_in_lake as (
    select * from {{ source('prescription', 'prescription') }}
),

in_force as (
    select delivery_id
    from {{ ref('stg_delivery__state') }}
    where dataset = 'prescription'
        and state = 'in_force'
)

select
    row_in_lake.prescription_id,
    row_in_lake.institution_code,
    row_in_lake.month,
    row_in_lake.delivery_id,
    row_in_lake.source_file,
    row_in_lake.source_row,
    row_in_lake.visit_type_code,
    row_in_lake.prescribed_at,
    row_in_lake.prescribed_date,
    row_in_lake.department_code,
    row_in_lake.patient_id,
    row_in_lake.sex_code,
    row_in_lake.age_years,
    row_in_lake.diagnosis_codes,
    row_in_lake.prescription_class_code,
    row_in_lake.amount_yuan,
    row_in_lake.is_signed_resident,
    row_in_lake.chronic_disease_code,
    row_in_lake.is_reviewed,
    row_in_lake.is_reasonable,
    row_in_lake.issue_codes,
    row_in_lake.action_code
from row_in_lake
inner join in_force on row_in_lake.delivery_id = in_force.delivery_id
