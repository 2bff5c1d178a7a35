select
    scheme_code,
    diagnosis_code,
    complication_level,
    exclusion_list_id,
    match
from {{ source('scheme', 'complication') }}
