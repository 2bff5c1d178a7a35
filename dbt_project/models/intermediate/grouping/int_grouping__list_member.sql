-- One row is a code that occurs in the cases and stands, itself or by its category, in a code list of the scheme.
with

list_entry as (
    select * from {{ ref('stg_scheme__code_list') }}
),

exact_member as (
    select
        known.scheme_code,
        known.code_type,
        known.code,
        list_entry.code_list_id,
        list_entry.category
    from {{ ref('int_grouping__known_code') }} as known
    inner join list_entry
        on known.scheme_code = list_entry.scheme_code
        and known.code_type = list_entry.code_type
        and known.grouper_code = list_entry.code
    where list_entry.match = 'exact'
),

prefix_member as (
    select
        known.scheme_code,
        known.code_type,
        known.code,
        list_entry.code_list_id,
        list_entry.category
    from {{ ref('int_grouping__known_code_prefix') }} as known
    inner join list_entry
        on known.scheme_code = list_entry.scheme_code
        and known.code_type = list_entry.code_type
        and known.code_prefix = list_entry.code
    where list_entry.match = 'prefix'
)

select scheme_code, code_type, code, code_list_id, category from exact_member
union
select scheme_code, code_type, code, code_list_id, category from prefix_member
