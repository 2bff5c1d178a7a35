{#- What DuckDB and Spark spell differently. Nothing else may branch on the engine. -#}

{#- Distinct non-null texts of a group, sorted and joined by `|`; null where there is none. -#}
{% macro joined_text(expression) %}{{ return(adapter.dispatch('joined_text', 'drg_quality')(expression)) }}{% endmacro %}
{% macro default__joined_text(expression) %}string_agg(distinct {{ expression }}, '|' order by {{ expression }}){% endmacro %}
{% macro spark__joined_text(expression) %}nullif(array_join(sort_array(collect_set({{ expression }})), '|'), ''){% endmacro %}
