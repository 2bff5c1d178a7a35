-- One row is a rule's verdict on the delivery of an institution, month and dataset that arrived last; verdicts on what
-- it replaced stay in the lake.
with

verdict as (
    select * from {{ ref('stg_delivery__gate_verdict') }}
),

last_arrival as (
    select institution_code, month, dataset, delivery_id
    from {{ ref('stg_delivery__state') }}
    qualify row_number() over (
        partition by institution_code, month, dataset order by sequence desc nulls last, delivery_id nulls last
    ) = 1
)

select
    verdict.institution_code,
    verdict.month,
    verdict.dataset,
    verdict.rule_id,
    verdict.rule_title,
    verdict.severity,
    verdict.failing_count,
    verdict.checked_count,
    verdict.tolerance,
    verdict.verdict,
    verdict.reason,
    verdict.delivery_id
from verdict
inner join last_arrival
    on verdict.institution_code = last_arrival.institution_code
    and verdict.month = last_arrival.month
    and verdict.dataset = last_arrival.dataset
    and verdict.delivery_id = last_arrival.delivery_id
