-- The numerators and denominators of additive indicators, summed over institutions and over counties, are the city's.
with

additive as (
    select fct_indicator.*
    from {{ ref('fct_indicator') }} as fct_indicator
    inner join {{ ref('dim_indicator') }} as dim_indicator on fct_indicator.indicator_id = dim_indicator.indicator_id
    where dim_indicator.is_additive
        and fct_indicator.org_level in ('institution', 'county', 'city')
),

summed as (
    select
        indicator_id,
        period,
        org_level,
        sum(numerator) as numerator,
        sum(denominator) as denominator
    from additive
    group by indicator_id, period, org_level
)

select
    city.indicator_id,
    city.period,
    part.org_level,
    part.numerator,
    city.numerator as city_numerator
from summed as city
inner join summed as part
    on city.indicator_id = part.indicator_id
    and city.period = part.period
where city.org_level = 'city'
    and part.org_level <> 'city'
    and (city.numerator <> part.numerator or coalesce(city.denominator, 0) <> coalesce(part.denominator, 0))
