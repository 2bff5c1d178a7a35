-- One row is the scheme under which cases are judged; the others stand beside it in fct_case_grouping.
select scheme_code
from {{ ref('stg_scheme__scheme') }}
where is_judged
