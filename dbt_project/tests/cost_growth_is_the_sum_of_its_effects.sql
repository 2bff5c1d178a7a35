-- Growth = cost − cost before = the sum of the effects, to the cent, where it is taken apart; otherwise there are no
-- effects. The parts of a city (its counties, its institutions, its ADRGs) add up to its growth.
with

decomposition as (
    select
        *,
        coverage_yuan + volume_yuan + case_mix_yuan + coding_yuan + drug_intensity_yuan + consumable_intensity_yuan
            + examination_intensity_yuan + service_intensity_yuan + other_intensity_yuan as effect_yuan
    from {{ ref('fct_cost_growth_decomposition') }}
),

part as (
    select period, org_level, group_level, sum(growth_yuan) as growth_yuan
    from decomposition
    group by period, org_level, group_level
)

select period, org_level, org_code, group_level, group_code
from decomposition
where growth_yuan <> total_fee_yuan - previous_total_fee_yuan
    or (status = 'decomposed') <> (effect_yuan is not null)
    or effect_yuan <> growth_yuan
union all
select part.period, part.org_level, 'all', part.group_level, 'all'
from part
inner join part as city
    on part.period = city.period
    and city.org_level = 'city'
    and city.group_level = 'all'
where part.growth_yuan <> city.growth_yuan
