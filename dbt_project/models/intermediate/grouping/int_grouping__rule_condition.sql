-- One row is a code condition of a rule, by the numbers on which cases and rules meet.
with

condition as (
    select * from {{ ref('stg_scheme__rule_code_condition') }}
)

select
    rule.rule_number,
    rule.rule_level,
    condition.condition_number,
    condition.is_excluded = 1 as is_forbidden,
    role_list.role_list_id
from condition
inner join {{ ref('int_grouping__rule') }} as rule
    on condition.scheme_code = rule.scheme_code
    and condition.rule_id = rule.rule_id
inner join {{ ref('int_grouping__role_list') }} as role_list
    on condition.scheme_code = role_list.scheme_code
    and condition.code_role = role_list.code_role
    and condition.code_list_id = role_list.code_list_id
    and condition.minimum_categories = role_list.minimum_categories
