select
    scheme_code,
    drg_code,
    adrg_code,
    drg_name,
    relative_weight
from {{ source('scheme', 'drg') }}
