-- One row is a rule of a scheme by number; its code conditions are int_grouping__rule_condition.
with

r as (
    select * from {{ ref('stg_scheme__grouping_rule') }}
)

select
    row_number() over (order by r.scheme_code nulls last, r.rule_level nulls last, r.rule_sequence nulls last, r.rule_id nulls last) as rule_number,
    r.scheme_code,
    r.rule_id,
    r.rule_level,
    r.rule_sequence,
    r.parent_code,
    r.target_code,
    r.sex,
    r.age_years_from,
    r.age_years_below,
    r.age_days_from,
    r.age_days_below,
    r.birth_weight_from,
    r.birth_weight_below,
    r.length_of_stay_from,
    r.length_of_stay_below,
    r.icu_hours_from,
    r.icu_hours_below,
    r.discharge_status,
    r.department,
    r.complication_level,
    {{ has_bounds('r') }} as is_bounded
from r
