-- One row is a code of the cases that stands in a list, with a role that some rule asks for, the category it has there, and the
-- position in which it satisfies the role; where either does, the code stands here twice.
with

known_code as (
    select * from {{ ref('int_grouping__known_code') }}
),

list_entry as (
    select * from {{ ref('stg_scheme__code_list') }}
),

role_list as (
    select * from {{ ref('int_grouping__role_list') }}
),

position as (
    select * from (values (true), (false)) as position (is_principal)
),

awaited as (
    select distinct awaited_list_id from {{ ref('int_grouping__way_demand') }}
)

select distinct
    known_code.code_number,
    role_list.role_list_id,
    role_list.decided_by,
    position.is_principal,
    role_list.minimum_categories,
    list_entry.category,
    awaited.awaited_list_id is not null as is_awaited
from known_code
inner join list_entry
    on known_code.scheme_code = list_entry.scheme_code
    and known_code.code_type = list_entry.code_type
    and known_code.known_as = list_entry.code
    and known_code.match = list_entry.match
inner join role_list
    on list_entry.scheme_code = role_list.scheme_code
    and list_entry.code_type = role_list.code_type
    and list_entry.code_list_id = role_list.code_list_id
inner join position on case when position.is_principal then role_list.takes_principal else role_list.takes_other end
left join awaited on role_list.role_list_id = awaited.awaited_list_id
