select
    scheme_code,
    exclusion_list_id,
    principal_diagnosis_code,
    match
from {{ source('scheme', 'complication_exclusion') }}
