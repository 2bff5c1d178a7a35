-- One row is an exclusion list of a scheme by number.
with

used as (
    select distinct scheme_code, exclusion_list_id
    from {{ ref('stg_scheme__complication') }}
    where exclusion_list_id is not null
)

select
    row_number() over (order by scheme_code nulls last, exclusion_list_id nulls last) as exclusion_list_number,
    scheme_code,
    exclusion_list_id
from used
