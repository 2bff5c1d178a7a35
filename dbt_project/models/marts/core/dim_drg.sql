select
    scheme_code,
    drg_code,
    drg_name,
    adrg_code,
    adrg_name,
    mdc_code,
    mdc_name,
    reference_set,
    relative_weight,
    weight_level,
    reference_case_count,
    expected_cost_yuan,
    expected_stay_days,
    risk_grade,
    case_count
from {{ ref('int_weight__drg_benchmark') }}
