select
    scheme_code,
    code_type,
    code,
    code_name
from {{ source('scheme', 'code') }}
