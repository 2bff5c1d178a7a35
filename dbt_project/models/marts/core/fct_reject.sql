select
    delivery_id,
    source_file,
    source_row,
    institution_code,
    month,
    dataset,
    field,
    rule_id,
    message_zh as message,
    remedy_zh as remedy
from {{ ref('stg_delivery__reject') }}
