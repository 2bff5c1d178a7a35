with

row_in_lake as (
    select * from {{ source('prescription', 'prescription_line') }}
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
    row_in_lake.line_no,
    row_in_lake.drug_code,
    row_in_lake.generic_name,
    row_in_lake.drug_class,
    row_in_lake.atc_code,
    row_in_lake.route,
    row_in_lake.days,
    row_in_lake.quantity,
    row_in_lake.amount_yuan,
    row_in_lake.is_essential,
    row_in_lake.antimicrobial_grade,
    row_in_lake.is_injection
from row_in_lake
inner join in_force on row_in_lake.delivery_id = in_force.delivery_id
