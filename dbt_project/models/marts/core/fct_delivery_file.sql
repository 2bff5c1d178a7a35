select
    delivery_id,
    source_file,
    institution_code,
    month,
    dataset,
    file_kind,
    state,
    layout,
    encoding,
    row_count,
    accepted_count,
    rejected_count,
    total_fee_yuan,
    declared_row_count,
    declared_total_fee_yuan
from {{ ref('int_delivery__file_settled') }}
