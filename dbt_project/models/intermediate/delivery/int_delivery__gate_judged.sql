-- One row is the verdict on the delivery that arrived last, in the order in which marts show it.
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
from {{ ref('stg_delivery__gate_verdict') }}
