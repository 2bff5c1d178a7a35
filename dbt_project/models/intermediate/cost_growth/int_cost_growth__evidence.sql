-- One row is a piece of evidence behind a flag, as it was gathered.
select
    flag_id,
    evidence_type,
    item_number,
    item_code,
    previous_case_count,
    case_count,
    cast(previous_value as double) as previous_value,
    cast(value as double) as value,
    cast(change_value as double) as change_value
from {{ ref('stg_cost_growth__evidence') }}
