{#- The scalar bounds of a grouping rule `r` on a case `c`. An empty bound is no condition; a missing value of the case
    never satisfies one (a comparison with null is not true). -#}
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
{% endmacro %}

{#- Whether a grouping rule `r` has scalar bounds at all. -#}
{% macro has_bounds(rule='r') %}
    coalesce(
        {{ rule }}.sex, {{ rule }}.discharge_status, {{ rule }}.department
        {%- for name in ['age_years', 'age_days', 'birth_weight', 'length_of_stay', 'icu_hours'] -%}
        , cast({{ rule }}.{{ name }}_from as string), cast({{ rule }}.{{ name }}_below as string)
        {%- endfor %}
    ) is not null
{% endmacro %}

{#- A number that is unique within each scheme, made unique over all schemes that stand side by side. -#}
{% macro number_in_scheme(number, scheme='scheme') -%}
    {{ number }} * {{ scheme }}.scheme_count + {{ scheme }}.scheme_number
{%- endmacro %}

{#- What a complication level weighs: 2 MCC, 1 CC, 0 none. -#}
{% macro complication_rank(level) -%}
    case {{ level }} when 'MCC' then 2 when 'CC' then 1 else 0 end
{%- endmacro %}

{#- The lists in roles, those that `only` selects, that codes satisfy: by `subject_number` those of the relation `subject`, where in
    a retry, attempt > 0, the `attempt`-th other procedure is the only and the principal one; or by `case_number`, where there is
    no retry, those of all cases or of the cases in `subject`. Gives the CTE `hit` (`key`, role_list_id). -#}
{% macro hits(key, subject, only) %}
subject_code as (
    {%- if key == 'subject_number' %}
    select
        subject.subject_number,
        case_code.code_number,
        case_code.is_principal or (subject.attempt > 0 and not case_code.is_diagnosis) as is_principal
    from {{ ref('int_grouping__case_code') }} as case_code
    inner join {{ subject }} as subject
        on case_code.case_number = subject.case_number
        and (subject.attempt = 0 or case_code.is_diagnosis or case_code.position = subject.attempt + 1)
    {%- else %}
    select case_number, code_number, is_principal
    from {{ ref('int_grouping__case_code') }}
    {%- if subject %}
    where case_number in (select case_number from {{ subject }})
    {%- endif %}
    {%- endif %}
),

code_hit as (
    select
        subject_code.{{ key }},
        code_role.role_list_id,
        code_role.minimum_categories,
        code_role.category
    from subject_code
    inner join {{ ref('int_grouping__code_role') }} as code_role
        on subject_code.code_number = code_role.code_number
        and subject_code.is_principal = code_role.is_principal
    where {{ only }}
),

hit as (
    select distinct {{ key }}, role_list_id
    from code_hit
    where minimum_categories <= 1
    union all
    select {{ key }}, role_list_id
    from code_hit
    where minimum_categories > 1
    group by {{ key }}, role_list_id, minimum_categories
    having count(distinct category) >= minimum_categories
)
{%- endmacro %}

{#- The ways before the certain one that a case of `subject` may take. They are found by its principal diagnosis, with further
    conditions; by its principal procedure; or by a list that any of its codes satisfies. -#}
{% macro candidates(subject, is_retry=false) %}
{%- set key = 'subject_number' if is_retry else 'case_number' %}
with

subject as (
    select * from {{ subject }}
),

way_demand as (
    select * from {{ ref('int_grouping__way_demand') }}
),

{{ hits(key, subject if is_retry else none, 'code_role.is_awaited') }},

by_code as (
    select
        subject.subject_number,
        subject.case_number,
        subject.attempt,
        subject.procedure_class,
        subject.diagnosis_class,
        way_demand.way_number
    from hit
    inner join subject
        on hit.{{ key }} = subject.{{ key }}
    inner join way_demand
        on hit.role_list_id = way_demand.awaited_list_id
        and subject.complication_rank = way_demand.complication_rank
    where way_demand.way_number < subject.certain_way
)

select
    subject.subject_number,
    subject.case_number,
    subject.attempt,
    subject.procedure_class,
    uncertain_way.way_number,
    false as is_certain
from subject
inner join {{ ref('int_grouping__uncertain_way') }} as uncertain_way
    on subject.diagnosis_class = uncertain_way.diagnosis_class
    and subject.procedure_kind = uncertain_way.procedure_kind
    and subject.complication_rank = uncertain_way.complication_rank

union all

select
    subject.subject_number,
    subject.case_number,
    subject.attempt,
    subject.procedure_class,
    procedure_way.way_number,
    procedure_way.is_certain
from subject
inner join {{ ref('int_grouping__procedure_way') }} as procedure_way
    on subject.diagnosis_kind = procedure_way.diagnosis_kind
    and subject.procedure_class = procedure_way.procedure_class
    and subject.complication_rank = procedure_way.complication_rank
where procedure_way.way_number < subject.certain_way

union all

select
    by_code.subject_number,
    by_code.case_number,
    by_code.attempt,
    by_code.procedure_class,
    by_code.way_number,
    false as is_certain
from by_code
inner join {{ ref('int_grouping__diagnosis_way') }} as diagnosis_way
    on by_code.diagnosis_class = diagnosis_way.diagnosis_class
    and by_code.way_number = diagnosis_way.way_number
{% endmacro %}

{#- The first of the ways in `candidate` that a case takes, if there is one: what is left of their conditions is looked at case
    by case. -#}
{% macro earlier_way(candidate, is_retry=false) %}
{%- set key = 'subject_number' if is_retry else 'case_number' %}
with

candidate as (
    select * from {{ candidate }}
),

uncertain as (
    select * from candidate where not is_certain
),

beyond_bounds as (
    select uncertain.subject_number, uncertain.way_number
    from uncertain
    inner join {{ ref('int_grouping__way_rule') }} as way_rule on uncertain.way_number = way_rule.way_number
    inner join {{ ref('int_grouping__rule') }} as r on way_rule.rule_number = r.rule_number
    inner join {{ ref('int_grouping__case') }} as c on uncertain.case_number = c.case_number
    where r.is_bounded
        and not coalesce({{ bounds_hold('r', 'c') }}, false)
),

by_procedure as (
    select uncertain.subject_number, uncertain.way_number
    from uncertain
    inner join {{ ref('int_grouping__way_condition') }} as way_condition
        on uncertain.way_number = way_condition.way_number
    left join {{ ref('int_grouping__class_hit') }} as class_hit
        on uncertain.procedure_class = class_hit.class_number
        and way_condition.role_list_id = class_hit.role_list_id
    where way_condition.decided_by = 'principal_procedure'
        and way_condition.is_forbidden = (class_hit.class_number is not null)
),

open_condition as (
    select
        uncertain.subject_number,
        uncertain.case_number,
        uncertain.attempt,
        uncertain.way_number,
        way_condition.role_list_id,
        way_condition.is_forbidden
    from uncertain
    inner join {{ ref('int_grouping__way_condition') }} as way_condition
        on uncertain.way_number = way_condition.way_number
    where way_condition.decided_by = 'all_codes'
),

asked as (
    select distinct subject_number, case_number, attempt from open_condition
),

{{ hits(key, 'asked', "code_role.decided_by = 'all_codes'") }},

by_codes as (
    select open_condition.subject_number, open_condition.way_number
    from open_condition
    left join hit
        on open_condition.{{ key }} = hit.{{ key }}
        and open_condition.role_list_id = hit.role_list_id
    where open_condition.is_forbidden = (hit.role_list_id is not null)
),

failed as (
    select subject_number, way_number from beyond_bounds
    union all
    select subject_number, way_number from by_procedure
    union all
    select subject_number, way_number from by_codes
),

holding as (
    select candidate.subject_number, candidate.way_number
    from candidate
    left join failed
        on candidate.subject_number = failed.subject_number
        and candidate.way_number = failed.way_number
    where failed.subject_number is null
)

select subject_number, min(way_number) as way_number
from holding
group by subject_number
{% endmacro %}
