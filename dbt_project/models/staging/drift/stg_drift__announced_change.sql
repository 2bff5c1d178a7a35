select
    announced_change_id,
    first_month,
    last_month,
    institution_code,
    feature,
    reason,
    announced_by
from {{ source('drift', 'announced_change') }}
