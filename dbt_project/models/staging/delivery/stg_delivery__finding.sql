select
    institution_code,
    month,
    dataset,
    row_key,
    rule_id,
    field,
    severity,
    points_lost,
    delivery_id,
    source_file,
    source_row
from {{ source('delivery', 'finding') }}
