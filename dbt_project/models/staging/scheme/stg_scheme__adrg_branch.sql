select
    scheme_code,
    adrg_branch,
    adrg_code,
    mdc_code,
    adrg_name
from {{ source('scheme', 'adrg_branch') }}
