-- One row is a code that occurs in the cases, translated into the code that the scheme knows it by.
with

used as (
    select distinct scheme_code, code_type, code
    from {{ ref('int_grouping__case_code') }}
),

-- Only a code that the scheme names nowhere, neither in its dictionary nor in a list, is translated.
listed as (
    select distinct scheme_code, code_type, code
    from {{ ref('stg_scheme__code_list') }}
),

code_map as (
    select code_map.*
    from {{ ref('stg_scheme__code_map') }} as code_map
    left join {{ ref('stg_scheme__code') }} as dictionary
        on code_map.scheme_code = dictionary.scheme_code
        and code_map.code_type = dictionary.code_type
        and code_map.source_code = dictionary.code
    left join listed
        on code_map.scheme_code = listed.scheme_code
        and code_map.code_type = listed.code_type
        and code_map.source_code = listed.code
    where dictionary.code is null
        and listed.code is null
)

select
    used.scheme_code,
    used.code_type,
    used.code,
    coalesce(code_map.grouper_code, used.code) as grouper_code
from used
left join code_map
    on used.scheme_code = code_map.scheme_code
    and used.code_type = code_map.code_type
    and used.code = code_map.source_code
