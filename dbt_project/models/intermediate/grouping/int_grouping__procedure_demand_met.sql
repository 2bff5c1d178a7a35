-- One row is a class of principal procedures and what ways demand of the principal procedure, where the class meets it.
with

class as (
    select distinct class_number, scheme_number from {{ ref('int_grouping__code_class') }}
),

demand as (
    select distinct way_demand.procedure_demand, scheme.scheme_number
    from {{ ref('int_grouping__way_demand') }} as way_demand
    inner join {{ ref('int_grouping__scheme') }} as scheme on way_demand.scheme_code = scheme.scheme_code
    where way_demand.found_by = 'diagnosis'
),

condition as (
    select way_number as procedure_demand, role_list_id, is_forbidden
    from {{ ref('int_grouping__way_condition') }}
    where decided_by = 'principal_procedure'
),

missed as (
    select distinct class.class_number, demand.procedure_demand
    from class
    inner join demand on class.scheme_number = demand.scheme_number
    inner join condition on demand.procedure_demand = condition.procedure_demand
    left join {{ ref('int_grouping__class_hit') }} as class_hit
        on class.class_number = class_hit.class_number
        and condition.role_list_id = class_hit.role_list_id
    where condition.is_forbidden = (class_hit.class_number is not null)
)

select
    class.class_number as procedure_class,
    class.scheme_number,
    demand.procedure_demand
from class
inner join demand on class.scheme_number = demand.scheme_number
left join missed
    on class.class_number = missed.class_number
    and demand.procedure_demand = missed.procedure_demand
where missed.class_number is null
