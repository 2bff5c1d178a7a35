select
    scheme_code,
    mdc_code,
    mdc_sequence,
    mdc_name
from {{ source('scheme', 'mdc') }}
