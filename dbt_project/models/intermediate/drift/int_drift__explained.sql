-- One row is a month × organisation × feature; what drifted within the scope and the months of an announced change is explained by it.
with

result as (
    select * from {{ ref('stg_drift__result') }}
),

announced_change as (
    select * from {{ ref('stg_drift__announced_change') }}
),

explanation as (
    select
        result.period_month,
        result.org_level,
        result.institution_code,
        result.feature,
        {{ joined_text('announced_change.announced_change_id') }} as announced_change_ids,
        {{ joined_text("concat(announced_change.reason, '（登记人 ', announced_change.announced_by, '）')") }} as reason
    from result
    inner join announced_change
        on result.feature = announced_change.feature
        and result.period_month between announced_change.first_month and announced_change.last_month
        and (announced_change.institution_code = '*' or result.institution_code = announced_change.institution_code)
    where result.status = 'drifted'
    group by result.period_month, result.org_level, result.institution_code, result.feature
)

select
    result.period_month,
    result.org_level,
    coalesce(result.institution_code, '{{ var("city_code") }}') as org_code,
    result.feature,
    result.feature_name,
    result.subject,
    result.method,
    result.statistic,
    result.threshold,
    result.current_count,
    result.baseline_count,
    result.baseline_first_month,
    result.baseline_last_month,
    case when explanation.reason is not null then 'explained' else result.status end as status,
    result.direction,
    coalesce(explanation.reason, result.reason) as reason,
    explanation.announced_change_ids
from result
left join explanation
    on result.period_month = explanation.period_month
    and result.org_level = explanation.org_level
    and coalesce(result.institution_code, '*') = coalesce(explanation.institution_code, '*')
    and result.feature = explanation.feature
