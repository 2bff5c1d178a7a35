-- One row is a kind of principal procedures and a demand that it meets.
select
    procedure_demand_met.procedure_class as procedure_kind,
    procedure_demand_met.procedure_demand
from {{ ref('int_grouping__procedure_demand_met') }} as procedure_demand_met
inner join {{ ref('int_grouping__procedure_kind') }} as procedure_kind
    on procedure_demand_met.procedure_class = procedure_kind.procedure_class
where procedure_kind.procedure_class = procedure_kind.procedure_kind
