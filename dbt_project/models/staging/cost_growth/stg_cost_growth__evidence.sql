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
from {{ source('cost_growth', 'evidence') }}
