-- One row is a rule of a scheme with the number of code conditions that a case must satisfy before its bounds are looked at.
with

rule as (
    select * from {{ ref('stg_scheme__grouping_rule') }}
),

condition_count as (
    select
        scheme_code,
        rule_id,
        count(*) filter (where is_excluded = 0) as required_count,
        count(*) filter (where is_excluded = 1) as forbidden_count
    from {{ ref('stg_scheme__rule_code_condition') }}
    group by scheme_code, rule_id
)

select
    row_number() over (order by rule.scheme_code nulls last, rule.rule_level nulls last, rule.rule_sequence nulls last, rule.rule_id nulls last) as rule_number,
    rule.scheme_code,
    rule.rule_id,
    rule.rule_level,
    rule.rule_sequence,
    coalesce(rule.parent_code, '') as parent_code,
    rule.target_code,
    rule.sex,
    rule.age_years_from,
    rule.age_years_below,
    rule.age_days_from,
    rule.age_days_below,
    rule.birth_weight_from,
    rule.birth_weight_below,
    rule.length_of_stay_from,
    rule.length_of_stay_below,
    rule.icu_hours_from,
    rule.icu_hours_below,
    rule.discharge_status,
    rule.department,
    rule.complication_level,
    coalesce(condition_count.required_count, 0) as required_count,
    coalesce(condition_count.forbidden_count, 0) as forbidden_count
from rule
left join condition_count
    on rule.scheme_code = condition_count.scheme_code
    and rule.rule_id = condition_count.rule_id
