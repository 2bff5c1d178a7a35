select
    reference_set,
    scheme_code,
    mdc_code,
    adrg_code,
    drg_code,
    weight_level,
    reference_case_count,
    relative_weight,
    expected_cost_yuan,
    expected_stay_days,
    risk_grade
from {{ source('reference_set', 'drg') }}
