select
    institution_code,
    month,
    substr(metric, 7) as field,
    checked_count - failing_count as filled_count,
    checked_count as applicable_count,
    cast(checked_count - failing_count as double) / checked_count as filled_rate,
    delivery_id
from {{ ref('int_delivery__profile_in_force') }}
where dataset = 'front_sheet'
    and metric like 'blank.%'
    and checked_count > 0
