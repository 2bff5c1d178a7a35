-- One row is a class of principal diagnoses and a way that it leaves open.
with

class as (
    select distinct class_number, scheme_number from {{ ref('int_grouping__code_class') }}
),

demand as (
    select distinct way_demand.way_number, scheme.scheme_number, way_demand.diagnosis_count
    from {{ ref('int_grouping__way_demand') }} as way_demand
    inner join {{ ref('int_grouping__scheme') }} as scheme on way_demand.scheme_code = scheme.scheme_code
),

hit as (
    select
        class_hit.class_number,
        way_condition.way_number,
        sum(case when way_condition.is_forbidden then 0 else 1 end) as required_count,
        sum(case when way_condition.is_forbidden then 1 else 0 end) as forbidden_count
    from {{ ref('int_grouping__class_hit') }} as class_hit
    inner join {{ ref('int_grouping__way_condition') }} as way_condition
        on class_hit.role_list_id = way_condition.role_list_id
    where way_condition.decided_by = 'principal_diagnosis'
    group by class_hit.class_number, way_condition.way_number
)

select
    hit.class_number as diagnosis_class,
    hit.way_number
from hit
inner join demand
    on hit.way_number = demand.way_number
    and hit.required_count = demand.diagnosis_count
where hit.forbidden_count = 0
    and demand.diagnosis_count > 0

union all

select
    class.class_number as diagnosis_class,
    demand.way_number
from class
inner join demand on class.scheme_number = demand.scheme_number
left join hit
    on class.class_number = hit.class_number
    and demand.way_number = hit.way_number
where demand.diagnosis_count = 0
    and coalesce(hit.forbidden_count, 0) = 0
