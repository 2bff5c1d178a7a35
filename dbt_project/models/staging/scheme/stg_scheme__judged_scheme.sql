select
    scheme_code,
    first_year,
    last_year
from {{ source('scheme', 'judged_scheme') }}
