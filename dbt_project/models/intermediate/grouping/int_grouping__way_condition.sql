-- One row is a list in a role that a way requires or forbids.
select distinct
    way_rule.way_number,
    rule_condition.role_list_id,
    rule_condition.is_forbidden,
    role_list.decided_by
from {{ ref('int_grouping__way_rule') }} as way_rule
inner join {{ ref('int_grouping__rule_condition') }} as rule_condition
    on way_rule.rule_number = rule_condition.rule_number
inner join {{ ref('int_grouping__role_list') }} as role_list
    on rule_condition.role_list_id = role_list.role_list_id
