select
    delivery_id,
    source_file,
    reject_number,
    institution_code,
    month,
    dataset,
    source_row,
    field,
    rule_id,
    message,
    remedy
from {{ ref('int_delivery__reject_numbered') }}
