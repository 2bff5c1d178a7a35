select
    institution_code,
    month,
    dataset,
    delivery_id,
    sequence,
    state
from {{ source('delivery', 'delivery_state') }}
