select
    case_id,
    scheme_code,
    grouping_status,
    mdc_code,
    adrg_code,
    drg_code,
    relative_weight,
    reason
from {{ ref('int_weight__grouped_case') }}
