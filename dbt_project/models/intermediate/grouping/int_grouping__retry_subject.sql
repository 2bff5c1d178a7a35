-- One row is a retry of a case that found no group: attempt n has the n-th other procedure as its only one.
with

scheme as (
    select * from {{ ref('int_grouping__scheme') }} where retries_procedures
),

way as (
    select * from {{ ref('int_grouping__way') }}
),

without_group as (
    select
        scheme.scheme_number,
        subject.subject_number,
        subject.case_number,
        subject.diagnosis_class,
        subject.diagnosis_kind,
        subject.complication_rank
    from {{ ref('int_grouping__subject') }} as subject
    inner join way on subject.certain_way = way.way_number
    inner join scheme on way.scheme_code = scheme.scheme_code
    left join {{ ref('int_grouping__earlier_way') }} as earlier_way
        on subject.subject_number = earlier_way.subject_number
    left join way as taken on earlier_way.way_number = taken.way_number
    where way.grouping_status = 'ungrouped'
        and coalesce(taken.grouping_status, 'ungrouped') = 'ungrouped'
)

select
    row_number() over (order by without_group.subject_number nulls last, case_code.position nulls last) as subject_number,
    without_group.subject_number as retried_number,
    without_group.case_number,
    case_code.position - 1 as attempt,
    certain_way.diagnosis_class,
    without_group.diagnosis_kind,
    procedure_kind.procedure_class,
    certain_way.procedure_kind,
    certain_way.complication_rank,
    certain_way.way_number as certain_way
from without_group
inner join {{ ref('int_grouping__case_code') }} as case_code
    on without_group.case_number = case_code.case_number
inner join {{ ref('int_grouping__code_class') }} as code_class
    on case_code.code_number = code_class.code_number
    and without_group.scheme_number = code_class.scheme_number
inner join {{ ref('int_grouping__procedure_kind') }} as procedure_kind
    on code_class.class_number = procedure_kind.procedure_class
inner join {{ ref('int_grouping__certain_way') }} as certain_way
    on without_group.diagnosis_class = certain_way.diagnosis_class
    and procedure_kind.procedure_kind = certain_way.procedure_kind
    and without_group.complication_rank = certain_way.complication_rank
where not case_code.is_diagnosis
    and not case_code.is_principal
