{#- The scalar conditions of a grouping rule `r` on a case `c`. An empty bound is no condition; a missing value of the
    case never satisfies one (a comparison with null is not true). -#}
{% macro bounds_hold(rule='r', case='c') %}
    ({{ rule }}.sex is null or {{ case }}.sex_code = {{ rule }}.sex)
    {%- for name in ['age_years', 'age_days', 'birth_weight', 'length_of_stay', 'icu_hours'] %}
    and ({{ rule }}.{{ name }}_from is null or {{ case }}.{{ name }} >= {{ rule }}.{{ name }}_from)
    and ({{ rule }}.{{ name }}_below is null or {{ case }}.{{ name }} < {{ rule }}.{{ name }}_below)
    {%- endfor %}
    {%- for name in ['discharge_status', 'department'] %}
    and (
        {{ rule }}.{{ name }} is null
        or instr(concat('|', {{ rule }}.{{ name }}, '|'), concat('|', {{ case }}.{{ name }}, '|')) > 0
    )
    {%- endfor %}
    and (
        {{ rule }}.complication_level is null
        or {{ case }}.complication_level = {{ rule }}.complication_level
        or ({{ rule }}.complication_level = 'MCC_OR_CC' and {{ case }}.complication_level is not null)
    )
{% endmacro %}

{#- Prefix lengths from a chapter's letter to the longest code in use. -#}
{% macro prefix_lengths() %}
    select * from (values {% for n in range(1, 33) %}({{ n }}){{ ',' if not loop.last }}{% endfor %}) as lengths (prefix_length)
{% endmacro %}

{#- The rules of one level that hold for the cases in a relation `opened` (case_number, scheme_code, parent_code): those
    whose required codes match, and those that require none, filtered by bounds and then by forbidden codes. A case keeps
    what it carries in `carried`. -#}
{% macro rules_that_hold(level, opened, carried=[]) %}
with

opened as (
    {{ opened }}
),

rule as (
    select * from {{ ref('int_grouping__rule') }} where rule_level = '{{ level }}'
),

subject as (
    select * from {{ ref('int_grouping__subject') }}
),

by_code as (
    select opened.*, r.rule_number
    from {{ ref('int_grouping__code_match') }} as code_match
    inner join rule as r on code_match.rule_number = r.rule_number
    inner join opened
        on code_match.case_number = opened.case_number
        and r.parent_code = opened.parent_code
),

without_code as (
    select opened.*, r.rule_number
    from opened
    inner join rule as r
        on opened.scheme_code = r.scheme_code
        and opened.parent_code = r.parent_code
    where r.required_count = 0
),

candidate as (
    select * from by_code
    union all
    select * from without_code
),

within_bounds as (
    select candidate.*, r.rule_sequence, r.target_code, r.forbidden_count
    from candidate
    inner join rule as r on candidate.rule_number = r.rule_number
    inner join subject as c on candidate.case_number = c.case_number
    where {{ bounds_hold('r', 'c') }}
),

forbidden as (
    select distinct within_bounds.case_number, within_bounds.rule_number
    from within_bounds
    inner join {{ ref('int_grouping__rule_condition') }} as condition
        on within_bounds.rule_number = condition.rule_number
        and condition.is_forbidden
    inner join {{ ref('int_grouping__hit') }} as hit
        on within_bounds.case_number = hit.case_number
        and condition.role_list_id = hit.role_list_id
    where within_bounds.forbidden_count > 0
)

select
    within_bounds.case_number,
    within_bounds.scheme_code,
    {%- for column in carried %}
    within_bounds.{{ column }},
    {%- endfor %}
    within_bounds.rule_number,
    within_bounds.rule_sequence,
    within_bounds.target_code
from within_bounds
left join forbidden
    on within_bounds.case_number = forbidden.case_number
    and within_bounds.rule_number = forbidden.rule_number
where forbidden.case_number is null
{% endmacro %}
