-- One row is a code of the cases under a scheme with its class: codes of a class stand in the same lists, so as principal codes
-- they open the same ways. A class has the number of one of its codes, its representative; the class of all codes in no list
-- that matters, and of no code at all (0), has a number below 0.
with

scheme as (
    select * from {{ ref('int_grouping__scheme') }}
),

code as (
    select code_number from {{ ref('int_grouping__code') }}
    union all
    select 0 as code_number
),

described as (
    select
        role_list.scheme_code,
        code_role.code_number,
        {{ joined_text('cast(code_role.role_list_id as string)') }} as role_lists
    from {{ ref('int_grouping__code_role') }} as code_role
    inner join {{ ref('int_grouping__role_list') }} as role_list
        on code_role.role_list_id = role_list.role_list_id
    where role_list.decided_by <> 'all_codes'
    group by role_list.scheme_code, code_role.code_number
),

represented as (
    select
        scheme_code,
        code_number,
        min(code_number) over (partition by scheme_code, role_lists) as representative_number
    from described
)

select
    code.code_number,
    scheme.scheme_number,
    coalesce({{ number_in_scheme('represented.representative_number') }}, scheme.scheme_number - scheme.scheme_count) as class_number,
    coalesce(represented.code_number = represented.representative_number, false) as is_representative
from code
cross join scheme
left join represented
    on code.code_number = represented.code_number
    and scheme.scheme_code = represented.scheme_code
