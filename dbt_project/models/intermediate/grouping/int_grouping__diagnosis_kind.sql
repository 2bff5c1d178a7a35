-- One row is a class of principal diagnoses with its kind: classes of a kind leave the same ways open among those that are found by
-- procedure. For these little more than the MDC matters, so there are few kinds; a kind has the number of one of its classes.
with

class as (
    select distinct class_number, scheme_number from {{ ref('int_grouping__code_class') }}
),

by_procedure as (
    select diagnosis_way.diagnosis_class, diagnosis_way.way_number
    from {{ ref('int_grouping__diagnosis_way') }} as diagnosis_way
    inner join {{ ref('int_grouping__way_demand') }} as way_demand
        on diagnosis_way.way_number = way_demand.way_number
    where way_demand.found_by = 'procedure'
),

described as (
    select
        class.class_number,
        class.scheme_number,
        {{ joined_text('cast(by_procedure.way_number as string)') }} as ways
    from class
    left join by_procedure on class.class_number = by_procedure.diagnosis_class
    group by class.class_number, class.scheme_number
)

select
    class_number as diagnosis_class,
    min(class_number) over (partition by scheme_number, coalesce(ways, '')) as diagnosis_kind
from described
