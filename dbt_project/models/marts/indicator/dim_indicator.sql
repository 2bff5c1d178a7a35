{%- for indicator in var('indicators') %}
select
    '{{ indicator.id }}' as indicator_id,
    date '{{ indicator.valid_from }}' as valid_from,
    {% if indicator.valid_to %}date '{{ indicator.valid_to }}'{% else %}cast(null as date){% endif %} as valid_to,
    '{{ indicator.name | replace('{excellent_score}', excellent_score()) }}' as indicator_name,
    '{{ indicator.question }}' as question,
    '{{ indicator.unit }}' as unit,
    '{{ indicator.direction }}' as direction,
    '{{ indicator.source }}' as source,
    '{{ indicator.clause }}' as clause,
    '{{ indicator.owner }}' as owner,
    {{ part_definition(indicator.numerator) }} as numerator_definition,
    {{ part_definition(indicator.denominator) }} as denominator_definition,
    {% if indicator.denominator %}true{% else %}false{% endif %} as has_denominator,
    cast({{ indicator.minimum_denominator }} as integer) as minimum_denominator,
    {{ indicator.is_additive }} as is_additive,
    {{ indicator.uses_scheme }} as is_scheme_dependent,
    '{{ indicator.numerator.fact }}' as fact,
    {% if indicator.other_readings %}'{{ indicator.other_readings[0] }}'{% else %}cast(null as string){% endif %} as other_reading_id
{{ 'union all' if not loop.last }}
{%- endfor %}
