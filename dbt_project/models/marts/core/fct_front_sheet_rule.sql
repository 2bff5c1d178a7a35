select
    institution_code,
    month,
    metric as rule_id,
    failing_count as broken_count,
    checked_count as applicable_count,
    cast(failing_count as double) / nullif(checked_count, 0) as broken_rate,
    delivery_id
from {{ ref('int_delivery__profile_in_force') }}
where dataset = 'front_sheet'
    and metric like 'L%'
