-- One row is what its staging model has, of deliveries in force only: held and superseded ones end here.
with

accepted as (
    select * from {{ ref('stg_front_sheet__procedure') }}
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
    accepted.procedure_code,
    accepted.procedure_date,
    accepted.procedure_level_code,
    accepted.incision_class_code,
    accepted.healing_class_code,
    accepted.anaesthesia_code
from accepted
inner join in_force on accepted.delivery_id = in_force.delivery_id
