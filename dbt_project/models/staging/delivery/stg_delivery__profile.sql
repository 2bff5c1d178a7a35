select
    institution_code,
    month,
    delivery_id,
    dataset,
    metric,
    failing_count,
    checked_count
from {{ source('delivery', 'profile') }}
