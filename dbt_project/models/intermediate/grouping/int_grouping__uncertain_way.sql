-- One row is a way found by diagnosis that comes before the certain one, and has further conditions.
select
    candidate.diagnosis_class,
    candidate.procedure_kind,
    candidate.complication_rank,
    candidate.way_number
from {{ ref('int_grouping__diagnosis_candidate') }} as candidate
inner join {{ ref('int_grouping__certain_way') }} as certain_way
    on candidate.diagnosis_class = certain_way.diagnosis_class
    and candidate.procedure_kind = certain_way.procedure_kind
    and candidate.complication_rank = certain_way.complication_rank
where candidate.way_number < certain_way.way_number
