-- One row is a discharge with an operation: its highest level and, for reports, its principal procedure.
-- An operation is a procedure with a level 1-4 and an incision class or an anaesthesia (domain C.6).
with

operation as (
    select
        case_id,
        cast(procedure_level_code as integer) as operation_level
    from {{ ref('int_front_sheet__procedure_in_force') }}
    where procedure_code is not null
        and procedure_level_code in ('1', '2', '3', '4')
        and (incision_class_code is not null or anaesthesia_code is not null)
)

select
    case_id,
    count(*) as operation_count,
    count(*) filter (where operation_level >= 2) as operation_level_2plus_count,
    count(*) filter (where operation_level >= 3) as operation_level_34_count,
    max(operation_level) as highest_operation_level
from operation
group by case_id
