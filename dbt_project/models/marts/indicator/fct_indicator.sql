with

evaluated as (
    {{ evaluate_indicators(var('indicators')) | indent }}
),

indicator as (
    select * from {{ ref('dim_indicator') }}
),

judged_scheme as (
    select * from {{ ref('int_grouping__judged_scheme') }}
)

select
    evaluated.indicator_id,
    evaluated.org_level,
    evaluated.org_code,
    evaluated.period_type,
    evaluated.period,
    evaluated.numerator,
    evaluated.denominator,
    cast(evaluated.unknown_count as bigint) as unknown_count,
    case
        when not indicator.has_denominator then cast(evaluated.numerator as double)
        when evaluated.denominator > 0 then cast(evaluated.numerator as double) / cast(evaluated.denominator as double)
    end as value,
    coalesce(
        not indicator.has_denominator
        or (
            evaluated.denominator > 0
            and evaluated.denominator >= indicator.minimum_denominator
            -- An empty flag is unknown, not no: a rate over flags that few have filled says nothing.
            and coalesce(cast(evaluated.unknown_count as double), 0)
            <= {{ var('largest_unknown_share') }} * cast(evaluated.denominator as double)
        ),
        false
    ) as is_reportable,
    case when indicator.is_scheme_dependent then judged_scheme.scheme_code end as scheme_code
from evaluated
inner join indicator
    on evaluated.indicator_id = indicator.indicator_id
    and evaluated.period >= cast(extract(year from indicator.valid_from) as string)
    and (indicator.valid_to is null or evaluated.period < cast(extract(year from indicator.valid_to) + 1 as string))
left join judged_scheme
    on cast(substr(evaluated.period, 1, 4) as integer) between judged_scheme.first_year and judged_scheme.last_year
