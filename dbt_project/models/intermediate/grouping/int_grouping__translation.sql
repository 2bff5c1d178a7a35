-- One row is a code that a scheme translates: one that it names nowhere, neither in its dictionary nor in a list.
with

code_map as (
    select * from {{ ref('stg_scheme__code_map') }}
),

named as (
    select scheme_code, code_type, code from {{ ref('stg_scheme__code') }}
    union
    select scheme_code, code_type, code from {{ ref('stg_scheme__code_list') }}
)

select
    code_map.scheme_code,
    code_map.code_type,
    code_map.source_code,
    code_map.grouper_code
from code_map
left join named
    on code_map.scheme_code = named.scheme_code
    and code_map.code_type = named.code_type
    and code_map.source_code = named.code
where named.code is null
