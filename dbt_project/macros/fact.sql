{#- The calendar periods an event belongs to: 2019-03, 2019-Q1, 2019. -#}
{% macro period_columns(date_column) -%}
    cast(concat(
        cast(extract(year from {{ date_column }}) as string), '-',
        lpad(cast(extract(month from {{ date_column }}) as string), 2, '0')
    ) as string) as period_month,
    cast(concat(
        cast(extract(year from {{ date_column }}) as string), '-Q',
        cast(extract(quarter from {{ date_column }}) as string)
    ) as string) as period_quarter,
    cast(extract(year from {{ date_column }}) as string) as period_year
{%- endmacro %}

{#- A coded answer as a boolean; anything but a stated yes or no is unknown (null), never no. -#}
{% macro yes_no(column, yes=['1'], no=['2']) -%}
    case
        when {{ column }} in ({% for code in yes %}'{{ code }}'{{ ', ' if not loop.last }}{% endfor %}) then true
        when {{ column }} in ({% for code in no %}'{{ code }}'{{ ', ' if not loop.last }}{% endfor %}) then false
    end
{%- endmacro %}
