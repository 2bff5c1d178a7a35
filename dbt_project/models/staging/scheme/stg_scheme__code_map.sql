select
    scheme_code,
    code_type,
    source_code,
    grouper_code
from {{ source('scheme', 'code_map') }}
