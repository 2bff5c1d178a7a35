-- One row is a valid case under a scheme, with what decides on the ways open to it: the classes of its principal codes and its
-- gravest complication; and the certain way that follows from these.
with

valid_case as (
    select
        scheme.scheme_number,
        {{ number_in_scheme('grouping_case.case_number') }} as subject_number,
        grouping_case.case_number,
        grouping_case.case_id,
        grouping_case.has_principal_diagnosis,
        grouping_case.principal_diagnosis_number,
        grouping_case.principal_procedure_number
    from {{ ref('int_grouping__case') }} as grouping_case
    cross join {{ ref('int_grouping__scheme') }} as scheme
    where grouping_case.invalid_reason is null
),

principal_code as (
    select
        code_class.code_number,
        code_class.scheme_number,
        code_class.class_number,
        diagnosis_kind.diagnosis_kind,
        procedure_kind.procedure_kind
    from {{ ref('int_grouping__code_class') }} as code_class
    inner join {{ ref('int_grouping__diagnosis_kind') }} as diagnosis_kind
        on code_class.class_number = diagnosis_kind.diagnosis_class
    inner join {{ ref('int_grouping__procedure_kind') }} as procedure_kind
        on code_class.class_number = procedure_kind.procedure_class
)

select
    valid_case.subject_number,
    valid_case.case_number,
    valid_case.case_id,
    valid_case.has_principal_diagnosis,
    0 as attempt,
    certain_way.diagnosis_class,
    diagnosis.diagnosis_kind,
    procedure.class_number as procedure_class,
    certain_way.procedure_kind,
    certain_way.complication_rank,
    certain_way.way_number as certain_way
from valid_case
inner join principal_code as diagnosis
    on valid_case.principal_diagnosis_number = diagnosis.code_number
    and valid_case.scheme_number = diagnosis.scheme_number
inner join principal_code as procedure
    on valid_case.principal_procedure_number = procedure.code_number
    and valid_case.scheme_number = procedure.scheme_number
left join {{ ref('int_grouping__complication') }} as complication
    on valid_case.subject_number = complication.subject_number
inner join {{ ref('int_grouping__certain_way') }} as certain_way
    on diagnosis.class_number = certain_way.diagnosis_class
    and procedure.procedure_kind = certain_way.procedure_kind
    and coalesce(complication.complication_rank, 0) = certain_way.complication_rank
