select
    scheme_code,
    ungrouped_mdc_code,
    ungrouped_adrg_code,
    ungrouped_drg_code,
    invalid_mdc_code,
    invalid_adrg_code,
    invalid_drg_code,
    retry_other_procedures,
    source,
    content_hash
from {{ source('scheme', 'scheme') }}
