select
    scheme_code,
    code_list_id,
    code_type,
    code,
    category,
    match
from {{ source('scheme', 'code_list') }}
