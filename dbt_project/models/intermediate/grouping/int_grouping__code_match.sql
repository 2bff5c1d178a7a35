-- One row is a case and a rule all of whose required code conditions it satisfies (rules without any are not here).
with

required as (
    select rule_number, role_list_id
    from {{ ref('int_grouping__rule_condition') }}
    where not is_forbidden
),

satisfied as (
    select
        hit.case_number,
        required.rule_number,
        count(*) as satisfied_count
    from {{ ref('int_grouping__hit') }} as hit
    inner join required on hit.role_list_id = required.role_list_id
    group by hit.case_number, required.rule_number
)

select
    satisfied.case_number,
    satisfied.rule_number
from satisfied
inner join {{ ref('int_grouping__rule') }} as rule
    on satisfied.rule_number = rule.rule_number
    and satisfied.satisfied_count = rule.required_count
