{#- The exact sum of fee items that may be missing on a sheet. -#}
{% macro fee_sum(names) -%}
    cast({% for name in names %}coalesce({{ name }}_yuan, 0){{ ' + ' if not loop.last }}{% endfor %} as decimal(18, 2))
{%- endmacro %}
