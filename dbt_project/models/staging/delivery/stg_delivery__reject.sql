select
    institution_code,
    month,
    delivery_id,
    dataset,
    source_file,
    source_row,
    field,
    rule_id,
    message_zh,
    remedy_zh
from {{ source('delivery', 'reject') }}
