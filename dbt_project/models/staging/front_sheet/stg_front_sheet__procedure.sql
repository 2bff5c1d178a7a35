with

row_in_lake as (
    select * from {{ source('front_sheet', 'procedure') }}
),

in_force as (
    select delivery_id
    from {{ ref('stg_delivery__state') }}
    where dataset = 'front_sheet'
        and state = 'in_force'
)

select
    row_in_lake.case_id,
    row_in_lake.institution_code,
    row_in_lake.month,
    row_in_lake.delivery_id,
    row_in_lake.position,
    row_in_lake.procedure_code,
    row_in_lake.procedure_date,
    row_in_lake.procedure_level_code,
    row_in_lake.incision_class_code,
    row_in_lake.healing_class_code,
    row_in_lake.anaesthesia_code
from row_in_lake
inner join in_force on row_in_lake.delivery_id = in_force.delivery_id
