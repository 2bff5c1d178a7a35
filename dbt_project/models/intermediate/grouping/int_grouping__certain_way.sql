-- One row is the way that a case takes at the latest, whatever else is known of it: the first one without further conditions.
-- There always is one, if only the last of the scheme, which leads to no group.
select
    diagnosis_class,
    procedure_kind,
    complication_rank,
    min(way_number) as way_number
from {{ ref('int_grouping__diagnosis_candidate') }}
where is_certain
group by diagnosis_class, procedure_kind, complication_rank
