{#- The exact sum of fee items that may be missing on a sheet; unknown (null) where all of them are. -#}
{% macro fee_sum(names) -%}
    case
        when coalesce({% for name in names %}{{ name }}_yuan{{ ', ' if not loop.last }}{% endfor %}) is not null then cast(
            {% for name in names %}coalesce({{ name }}_yuan, 0){{ ' + ' if not loop.last }}{% endfor %} as decimal(18, 2)
        )
    end
{%- endmacro %}
