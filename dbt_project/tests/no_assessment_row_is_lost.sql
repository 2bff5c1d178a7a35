-- Every clause that is computed has a row for every institution it addresses, in every year it covers.
with

expected as (
    select
        dim_target.target_id,
        dim_institution.institution_code,
        years.period
    from {{ ref('dim_target') }} as dim_target
    inner join {{ ref('dim_indicator') }} as dim_indicator on dim_target.indicator_id = dim_indicator.indicator_id
    cross join (values {% for year in var('assessed_years') %}('{{ year }}'){{ ', ' if not loop.last }}{% endfor %}) as years (period)
    inner join {{ ref('dim_institution') }} as dim_institution
        on cast(concat(years.period, '-12-31') as date) between dim_institution.valid_from and dim_institution.valid_to
    where dim_target.org_level = 'institution'
        and dim_target.kind <> 'note'
        and years.period between cast(extract(year from dim_target.period_from) as string) and cast(extract(year from dim_target.period_to) as string)
        and coalesce(dim_target.level_min, 0) <= cast(dim_institution.institution_level as integer)
        and coalesce(dim_target.level_max, 9) >= cast(dim_institution.institution_level as integer)
        and (dim_target.grade is null or dim_institution.grade in (dim_target.grade, 'U'))
        and coalesce(dim_target.ownership, dim_institution.ownership) = dim_institution.ownership
)

select expected.*
from expected
left join {{ ref('fct_assessment') }} as fct_assessment
    on expected.target_id = fct_assessment.target_id
    and expected.institution_code = fct_assessment.org_code
    and expected.period = fct_assessment.period
where fct_assessment.target_id is null
