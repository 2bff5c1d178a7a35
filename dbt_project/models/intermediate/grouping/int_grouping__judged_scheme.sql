-- One row is a span of years of discharge and the scheme under which its cases are judged; what other schemes make of them
-- stands beside in fct_case_grouping. Spans do not overlap.
select
    scheme_code,
    first_year,
    last_year
from {{ ref('stg_scheme__judged_scheme') }}
