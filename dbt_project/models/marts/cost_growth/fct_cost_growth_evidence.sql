select
    flag_id,
    evidence_type,
    item_number,
    item_code,
    previous_case_count,
    case_count,
    previous_value,
    value,
    change_value
from {{ ref('int_cost_growth__evidence') }}
