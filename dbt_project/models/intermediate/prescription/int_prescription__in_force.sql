-- One row is what its staging model has, of deliveries in force only: held and superseded ones end here.
with

accepted as (
    select * from {{ ref('stg_prescription__prescription') }}
),

in_force as (
    select delivery_id
    from {{ ref('stg_delivery__state') }}
    where dataset = 'prescription'
        and state = 'in_force'
)

select
    accepted.prescription_id,
    accepted.institution_code,
    accepted.month,
    accepted.delivery_id,
    accepted.source_file,
    accepted.source_row,
    accepted.visit_type_code,
    accepted.prescribed_at,
    accepted.prescribed_date,
    accepted.department_code,
    accepted.patient_id,
    accepted.sex_code,
    accepted.age_years,
    accepted.diagnosis_codes,
    accepted.prescription_class_code,
    accepted.amount_yuan,
    accepted.is_signed_resident,
    accepted.chronic_disease_code,
    accepted.is_reviewed,
    accepted.is_reasonable,
    accepted.issue_codes,
    accepted.action_code
from accepted
inner join in_force on accepted.delivery_id = in_force.delivery_id
