select
    institution_code,
    month,
    delivery_id,
    dataset,
    source_file,
    layout,
    encoding,
    row_count,
    accepted_count,
    rejected_count,
    total_fee_yuan,
    declared_row_count,
    declared_total_fee_yuan
from {{ source('delivery', 'file_count') }}
