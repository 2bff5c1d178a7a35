-- One row is a code that occurs in the cases, with the number that stands for it.
with

used as (
    select distinct code_type, code
    from {{ ref('int_front_sheet__grouper_code') }}
)

select
    row_number() over (order by code_type nulls last, code nulls last) as code_number,
    code_type,
    code
from used
