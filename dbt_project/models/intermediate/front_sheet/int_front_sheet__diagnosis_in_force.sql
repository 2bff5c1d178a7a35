-- One row is what its staging model has, of deliveries in force only: held and superseded ones end here.
with

accepted as (
    select * from {{ ref('stg_front_sheet__diagnosis') }}
),

in_force as (
    select delivery_id
    from {{ ref('stg_delivery__state') }}
    where dataset = 'front_sheet'
        and state = 'in_force'
)

select
    accepted.case_id,
    accepted.institution_code,
    accepted.month,
    accepted.delivery_id,
    accepted.position,
    accepted.diagnosis_code,
    accepted.present_on_admission_code
from accepted
inner join in_force on accepted.delivery_id = in_force.delivery_id
