-- One row is a class of codes and a list in a role that any of them satisfies as the principal code.
with

representative as (
    select code_number, scheme_number, class_number
    from {{ ref('int_grouping__code_class') }}
    where is_representative
),

role_list as (
    select role_list.role_list_id, scheme.scheme_number
    from {{ ref('int_grouping__role_list') }} as role_list
    inner join {{ ref('int_grouping__scheme') }} as scheme on role_list.scheme_code = scheme.scheme_code
    where role_list.decided_by <> 'all_codes'
)

select distinct
    representative.class_number,
    code_role.role_list_id
from representative
inner join {{ ref('int_grouping__code_role') }} as code_role
    on representative.code_number = code_role.code_number
inner join role_list
    on code_role.role_list_id = role_list.role_list_id
    and representative.scheme_number = role_list.scheme_number
