-- One row is a flag, as the model gave it; what reviewers say of it joins here.
select
    flag_id,
    institution_code,
    mdc_code,
    adrg_code,
    period,
    channel,
    tier,
    z,
    growth,
    growth_low,
    growth_high,
    excess_yuan,
    false_discovery_rate,
    case_count,
    previous_case_count,
    method
from {{ ref('stg_cost_growth__flag') }}
