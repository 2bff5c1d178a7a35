{#- Organisations and periods at which a fact is summed: institution, county, city × month, quarter, year; department × year
    where the fact tells departments apart. -#}
{% macro indicator_grouping_sets(has_departments) -%}
    {%- set sets = ['institution_code, department_code, period_year'] if has_departments else [] -%}
    {%- for organisation in ['institution_code, ', 'county_code, ', ''] -%}
        {%- for period in ['period_month', 'period_quarter', 'period_year'] -%}
            {%- do sets.append(organisation ~ period) -%}
        {%- endfor -%}
    {%- endfor -%}
    grouping sets (({{ sets | join('), (') }}))
{%- endmacro %}

{#- Evaluate the registry: one scan per fact over all grouping sets, then one row per indicator, organisation and period.
    A part of a block (numerator, denominator, unknown) names its own fact, so parts may come from different facts. -#}
{% macro evaluate_indicators(indicators) %}
{%- set parts = [] -%}
{%- for indicator in indicators -%}
    {%- for part in ['numerator', 'denominator', 'unknown'] -%}
        {%- if indicator[part] -%}
            {%- do parts.append({
                'indicator': indicator, 'part': part, 'fact': indicator[part]['fact'],
                'column': 'measure_' ~ loop.index ~ '_' ~ indicator.id ~ '_' ~ (indicator.valid_from | string).replace('-', ''),
                'expression': indicator[part]['expression'], 'where': indicator[part]['where'],
            }) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endfor -%}
{%- set facts = parts | map(attribute='fact') | unique | list -%}
with

{% for fact in facts %}
{%- set has_departments = fact not in var('facts_without_department') %}
{{ fact }}_summed as (
    select
        case
            {%- if has_departments %}
            when grouping(department_code) = 0 then 'department'
            {%- endif %}
            when grouping(institution_code) = 0 then 'institution'
            when grouping(county_code) = 0 then 'county'
            else 'city'
        end as org_level,
        case
            {%- if has_departments %}
            when grouping(department_code) = 0 then concat(institution_code, '/', coalesce(department_code, ''))
            {%- endif %}
            when grouping(institution_code) = 0 then institution_code
            when grouping(county_code) = 0 then county_code
            else '{{ var("city_code") }}'
        end as org_code,
        case
            when grouping(period_month) = 0 then 'month'
            when grouping(period_quarter) = 0 then 'quarter'
            else 'year'
        end as period_type,
        coalesce(period_month, period_quarter, period_year) as period,
        {%- for part in parts if part.fact == fact %}
        cast(coalesce({{ part.expression }} filter (where {{ part.where }}), 0) as decimal(28, 8)) as {{ part.column }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from {{ ref(fact) }}
    group by {{ indicator_grouping_sets(has_departments) }}
),
{% endfor %}

measured as (
    {%- for part in parts %}
    select
        '{{ part.indicator.id }}' as indicator_id,
        org_level,
        org_code,
        period_type,
        period,
        {%- for name in ['numerator', 'denominator', 'unknown'] %}
        {% if part.part == name %}{{ part.column }}{% else %}cast(null as decimal(28, 8)){% endif %} as {{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from {{ part.fact }}_summed
    where period >= '{{ (part.indicator.valid_from | string)[:4] }}'
        {%- if part.indicator.valid_to %}
        and period < '{{ (part.indicator.valid_to | string)[:4] | int + 1 }}'
        {%- endif %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    indicator_id,
    org_level,
    org_code,
    period_type,
    period,
    max(numerator) as numerator,
    max(denominator) as denominator,
    max(unknown) as unknown_count
from measured
group by indicator_id, org_level, org_code, period_type, period
{% endmacro %}

{#- A part of an indicator in words, for the reader of dim_indicator. -#}
{% macro part_definition(part) -%}
    {%- if part -%}
        '{{ (part.expression ~ " from " ~ part.fact ~ " where " ~ part.where) | replace("'", "''") }}'
    {%- else -%}
        cast(null as string)
    {%- endif -%}
{%- endmacro %}
