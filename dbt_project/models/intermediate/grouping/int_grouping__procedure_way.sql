-- One row is a way that is found by procedure, for the kinds of principal diagnoses and classes of principal procedures that leave
-- it open and a complication level under which it can be taken.
select
    diagnosis_kind.diagnosis_kind,
    candidate.procedure_class,
    candidate.complication_rank,
    candidate.way_number,
    candidate.is_certain
from {{ ref('int_grouping__procedure_candidate') }} as candidate
inner join {{ ref('int_grouping__diagnosis_way') }} as diagnosis_way
    on candidate.way_number = diagnosis_way.way_number
inner join {{ ref('int_grouping__diagnosis_kind') }} as diagnosis_kind
    on diagnosis_way.diagnosis_class = diagnosis_kind.diagnosis_class
where diagnosis_kind.diagnosis_class = diagnosis_kind.diagnosis_kind
