-- One row is what its staging model has, of deliveries in force only: held and superseded ones end here.
with

accepted as (
    select * from {{ ref('stg_prescription__line') }}
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
    accepted.line_no,
    accepted.drug_code,
    accepted.generic_name,
    accepted.drug_class,
    accepted.atc_code,
    accepted.route,
    accepted.days,
    accepted.quantity,
    accepted.amount_yuan,
    accepted.is_essential,
    accepted.antimicrobial_grade,
    accepted.is_injection
from accepted
inner join in_force on accepted.delivery_id = in_force.delivery_id
