-- One row is a case under a scheme with its group.
select
    taken_way.case_id,
    way.scheme_code,
    way.grouping_status,
    way.mdc_code,
    way.adrg_code,
    way.drg_code,
    way.reason
from {{ ref('int_grouping__taken_way') }} as taken_way
inner join {{ ref('int_grouping__way') }} as way on taken_way.way_number = way.way_number
