select
    institution_code,
    month,
    dataset,
    rule_id,
    rule_title,
    severity,
    failing_count,
    checked_count,
    tolerance,
    verdict,
    reason,
    delivery_id
from {{ ref('int_delivery__gate_judged') }}
