-- One row is a flag, as the model gave it.
select
    flag_id,
    unit_level,
    institution_code,
    department_code,
    mdc_code,
    adrg_code,
    period,
    channel,
    tier,
    score,
    z,
    growth,
    growth_low,
    growth_high,
    excess_yuan,
    newly_severe_count,
    false_discovery_rate,
    case_count,
    previous_case_count,
    method
from {{ ref('stg_cost_growth__flag') }}
