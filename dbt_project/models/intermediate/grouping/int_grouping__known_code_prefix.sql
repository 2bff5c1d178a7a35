-- One row is a beginning of a code that occurs in the cases: what turns a prefix match into an equality.
with

known_code as (
    select * from {{ ref('int_grouping__known_code') }}
),

lengths as (
    {{ prefix_lengths() }}
)

select
    known_code.scheme_code,
    known_code.code_type,
    known_code.code,
    substr(known_code.grouper_code, 1, lengths.prefix_length) as code_prefix
from known_code
inner join lengths on lengths.prefix_length <= length(known_code.grouper_code)
