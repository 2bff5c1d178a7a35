-- One row is a sheet in force that breaks a cross-sheet rule together with another one; both sheets of a pair are told.
with

pair as (
    select * from {{ ref('int_front_sheet__stay_pair') }}
),

broken as (
    {%- for rule in var('cross_sheet_rules') %}
    select
        '{{ rule.id }}' as rule_id,
        '{{ rule.field }}' as field,
        '{{ rule.severity }}' as severity,
        earlier_case_id,
        later_case_id
    from pair
    where {{ rule.predicate }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

sided as (
    select rule_id, field, severity, earlier_case_id as case_id, later_case_id as related_case_id from broken
    union all
    select rule_id, field, severity, later_case_id as case_id, earlier_case_id as related_case_id from broken
)

select
    case_id,
    rule_id,
    field,
    severity,
    -- With several others one is named; the rest show on their own rows.
    min(related_case_id) as related_case_id
from sided
group by case_id, rule_id, field, severity
