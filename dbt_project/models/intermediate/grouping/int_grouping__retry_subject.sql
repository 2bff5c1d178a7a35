-- One row is a retry of a case that found no group: attempt n has the n-th other procedure as its only one.
with

without_group as (
    select * from {{ ref('int_grouping__without_group') }}
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
