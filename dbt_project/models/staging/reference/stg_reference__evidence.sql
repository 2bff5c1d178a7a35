select
    indicator_code as indicator_id,
    org_level,
    org_code,
    achieved_on as achieved_date,
    reference
from {{ source('reference', 'evidence') }}
