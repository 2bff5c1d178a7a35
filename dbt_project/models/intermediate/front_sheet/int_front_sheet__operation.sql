-- One row is a discharge with an operation: how many, of which levels, and whether a level was left out.
-- An operation is a procedure with a level 1-4 and an incision class or an anaesthesia (domain C.6). A procedure with an
-- incision but no level is an operation whose level is unknown.
with

procedure_done as (
    select
        case_id,
        case when procedure_level_code in ('1', '2', '3', '4') then cast(procedure_level_code as integer) end as operation_level,
        coalesce(incision_class_code in ('1', '2', '3'), false) as has_incision
    from {{ ref('int_front_sheet__procedure_in_force') }}
    where procedure_code is not null
        and (incision_class_code is not null or anaesthesia_code is not null)
)

select
    case_id,
    count(operation_level) as operation_count,
    count(*) filter (where operation_level >= 2) as operation_level_2plus_count,
    count(*) filter (where operation_level >= 3) as operation_level_34_count,
    max(operation_level) as highest_operation_level,
    count(*) filter (where operation_level is null and has_incision) as unlevelled_operation_count
from procedure_done
group by case_id
