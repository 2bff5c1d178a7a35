with

reported as (
    select * from {{ ref('int_reported__value_settled') }} where org_level = 'institution'
),

institution as (
    select * from {{ ref('dim_institution') }}
),

-- The county is the last one before the end of the period; what an institution reports after it closed is kept.
located as (
    select
        reported.*,
        institution.county_code,
        cast(concat(case when is_of_year then concat(reported.period, '-12') else reported.period end, '-01') as date) as last_month
    from reported
    inner join institution
        on reported.org_code = institution.institution_code
        and substr(cast(institution.valid_from as string), 1, 7)
        <= case when reported.is_of_year then concat(reported.period, '-12') else reported.period end
    qualify row_number() over (
        partition by reported.indicator_id, reported.org_code, reported.period
        order by institution.valid_from desc nulls last
    ) = 1
),

dated as (
    select
        *,
        {{ period_columns('last_month') | indent(8) }}
    from located
)

select
    indicator_id,
    org_code as institution_code,
    period,
    county_code,
    case when not is_of_year then period_month end as period_month,
    case when not is_of_year then period_quarter end as period_quarter,
    case when is_of_year or not has_value_of_year then period_year end as period_year,
    numerator,
    denominator,
    reported_value,
    unit,
    source_file,
    source_row
from dated
