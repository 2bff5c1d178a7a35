-- One row is a code of the cases as a scheme knows it, translated if need be: whole, and by the beginnings that it lists codes by.
with

code as (
    select * from {{ ref('int_grouping__code') }}
),

whole as (
    select
        scheme.scheme_code,
        code.code_type,
        code.code_number,
        coalesce(translation.grouper_code, code.code) as grouper_code
    from code
    cross join {{ ref('int_grouping__scheme') }} as scheme
    left join {{ ref('int_grouping__translation') }} as translation
        on scheme.scheme_code = translation.scheme_code
        and code.code_type = translation.code_type
        and code.code = translation.source_code
)

select
    scheme_code,
    code_type,
    code_number,
    grouper_code as known_as,
    'exact' as match
from whole

union all

select
    whole.scheme_code,
    whole.code_type,
    whole.code_number,
    substr(whole.grouper_code, 1, prefix_length.prefix_length) as known_as,
    'prefix' as match
from whole
inner join {{ ref('int_grouping__prefix_length') }} as prefix_length
    on whole.scheme_code = prefix_length.scheme_code
    and whole.code_type = prefix_length.code_type
where prefix_length.prefix_length <= length(whole.grouper_code)
