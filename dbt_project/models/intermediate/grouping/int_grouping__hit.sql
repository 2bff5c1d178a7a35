-- One row is a case and a list in a role that its codes satisfy.
with

case_code as (
    select * from {{ ref('int_grouping__case_code') }}
),

member as (
    select * from {{ ref('int_grouping__list_member') }}
),

role_list as (
    select * from {{ ref('int_grouping__role_list') }}
),

-- One equality join from code to list and role: a list taken from both positions stands here twice.
role_member as (
    select
        member.scheme_code,
        member.code_type,
        member.code,
        member.category,
        true as is_principal,
        role_list.role_list_id,
        role_list.minimum_categories
    from member
    inner join role_list
        on member.scheme_code = role_list.scheme_code
        and member.code_type = role_list.code_type
        and member.code_list_id = role_list.code_list_id
    where role_list.takes_principal

    union all

    select
        member.scheme_code,
        member.code_type,
        member.code,
        member.category,
        false as is_principal,
        role_list.role_list_id,
        role_list.minimum_categories
    from member
    inner join role_list
        on member.scheme_code = role_list.scheme_code
        and member.code_type = role_list.code_type
        and member.code_list_id = role_list.code_list_id
    where role_list.takes_other
),

hit as (
    select
        case_code.case_number,
        role_member.role_list_id,
        role_member.minimum_categories,
        role_member.category
    from case_code
    inner join role_member
        on case_code.scheme_code = role_member.scheme_code
        and case_code.code_type = role_member.code_type
        and case_code.code = role_member.code
        and case_code.is_principal = role_member.is_principal
),

any_code as (
    select distinct case_number, role_list_id
    from hit
    where minimum_categories <= 1
),

several_categories as (
    select case_number, role_list_id
    from hit
    where minimum_categories > 1
    group by case_number, role_list_id, minimum_categories
    having count(distinct category) >= minimum_categories
)

select case_number, role_list_id from any_code
union all
select case_number, role_list_id from several_categories
