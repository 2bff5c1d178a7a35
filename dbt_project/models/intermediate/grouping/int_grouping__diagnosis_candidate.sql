-- One row is a way that is found by diagnosis, for a class of principal diagnoses, a kind of principal procedures and a
-- complication level under which it can be taken.
select
    diagnosis_way.diagnosis_class,
    procedure_kind_demand.procedure_kind,
    way_demand.complication_rank,
    way_demand.way_number,
    way_demand.is_certain
from {{ ref('int_grouping__diagnosis_way') }} as diagnosis_way
inner join {{ ref('int_grouping__way_demand') }} as way_demand
    on diagnosis_way.way_number = way_demand.way_number
inner join {{ ref('int_grouping__procedure_kind_demand') }} as procedure_kind_demand
    on way_demand.procedure_demand = procedure_kind_demand.procedure_demand
where way_demand.found_by = 'diagnosis'
