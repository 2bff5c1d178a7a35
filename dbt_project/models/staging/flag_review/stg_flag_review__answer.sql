select
    flag_id,
    institution_code,
    department_code,
    mdc_code,
    adrg_code,
    channel,
    period,
    answer,
    answer_reason,
    answer_until,
    answered_by,
    line_number
from {{ source('flag_review', 'answer') }}
