-- One row is a delivery and a dataset with its state, for the marts.
select
    institution_code,
    month,
    dataset,
    delivery_id,
    sequence,
    state
from {{ ref('stg_delivery__state') }}
