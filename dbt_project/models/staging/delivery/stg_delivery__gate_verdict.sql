select
    institution_code,
    month,
    dataset,
    rule_id,
    delivery_id,
    title_zh as rule_title,
    severity,
    failing_count,
    checked_count,
    tolerance,
    verdict,
    reason
from {{ source('delivery', 'gate_verdict') }}
