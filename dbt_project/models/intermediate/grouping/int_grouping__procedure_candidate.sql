-- One row is a way that is found by procedure, for a class of principal procedures and a complication level under which it can be taken.
with

hit as (
    select
        class_hit.class_number,
        way_condition.way_number,
        sum(case when way_condition.is_forbidden then 0 else 1 end) as required_count,
        sum(case when way_condition.is_forbidden then 1 else 0 end) as forbidden_count
    from {{ ref('int_grouping__class_hit') }} as class_hit
    inner join {{ ref('int_grouping__way_condition') }} as way_condition
        on class_hit.role_list_id = way_condition.role_list_id
    where way_condition.decided_by = 'principal_procedure'
    group by class_hit.class_number, way_condition.way_number
)

select
    hit.class_number as procedure_class,
    way_demand.complication_rank,
    hit.way_number,
    way_demand.is_certain
from hit
inner join {{ ref('int_grouping__way_demand') }} as way_demand
    on hit.way_number = way_demand.way_number
    and hit.required_count = way_demand.procedure_count
where hit.forbidden_count = 0
    and way_demand.found_by = 'procedure'
