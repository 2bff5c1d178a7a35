{#- The score from which on a front sheet is excellent: a setting, since no document gives it. -#}
{% macro excellent_score() %}{{ env_var('DRGQ_EXCELLENT_SCORE', '90') }}{% endmacro %}
