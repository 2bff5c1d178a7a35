select
    period_month,
    org_level,
    institution_code,
    feature,
    feature_name,
    subject,
    method,
    statistic,
    threshold,
    current_count,
    baseline_count,
    baseline_first_month,
    baseline_last_month,
    status,
    direction,
    reason
from {{ source('drift', 'result') }}
