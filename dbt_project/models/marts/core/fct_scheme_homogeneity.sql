-- One row is a group of a scheme (DRG, ADRG, MDC, or the whole scheme) in a year: how much alike its cases are.
-- CV = standard deviation / mean. RIV = the share of the spread that the split into DRGs explains: 1 - within / total.
-- Every grouped case counts, outliers too. Sums are exact; what is divided is divided last. Nineteen digits, so that a
-- product is computed in the wide type of either engine.
with

grouped as (
    select
        grouped_case.scheme_code,
        grouped_case.mdc_code,
        grouped_case.adrg_code,
        grouped_case.drg_code,
        fct_case.period_year,
        cast(fct_case.total_fee_yuan as decimal(19, 2)) as total_fee_yuan,
        cast(fct_case.length_of_stay as decimal(9, 0)) as stay_days
    from {{ ref('fct_case_grouping') }} as grouped_case
    inner join {{ ref('fct_case') }} as fct_case on grouped_case.case_id = fct_case.case_id
    where grouped_case.grouping_status = 'grouped'
),

drg_sum as (
    select
        scheme_code,
        mdc_code,
        adrg_code,
        drg_code,
        period_year,
        count(*) as case_count,
        cast(sum(total_fee_yuan) as decimal(19, 2)) as fee_sum,
        cast(sum(total_fee_yuan * total_fee_yuan) as decimal(28, 4)) as fee_square_sum,
        count(stay_days) as stay_case_count,
        cast(sum(stay_days) as decimal(19, 0)) as stay_sum,
        cast(sum(stay_days * stay_days) as decimal(20, 0)) as stay_square_sum
    from grouped
    group by scheme_code, mdc_code, adrg_code, drg_code, period_year
),

-- What the spread would be if every case stood on the mean of its DRG.
drg_level as (
    select
        *,
        cast(cast(fee_sum * fee_sum as double) / case_count as decimal(28, 4)) as fee_explained,
        cast(cast(stay_sum * stay_sum as double) / nullif(stay_case_count, 0) as decimal(28, 12)) as stay_explained
    from drg_sum
),

level_sum as (
    select
        scheme_code,
        period_year,
        case
            when grouping(mdc_code) = 1 then 'scheme'
            when grouping(adrg_code) = 1 then 'mdc'
            when grouping(drg_code) = 1 then 'adrg'
            else 'drg'
        end as group_level,
        coalesce(drg_code, adrg_code, mdc_code, scheme_code) as group_code,
        count(*) as drg_count,
        cast(sum(case_count) as decimal(9, 0)) as case_count,
        cast(sum(fee_sum) as decimal(19, 2)) as fee_sum,
        cast(sum(fee_square_sum) as decimal(28, 4)) as fee_square_sum,
        cast(sum(fee_explained) as decimal(28, 4)) as fee_explained,
        cast(sum(stay_case_count) as decimal(9, 0)) as stay_case_count,
        cast(sum(stay_sum) as decimal(19, 0)) as stay_sum,
        cast(sum(stay_square_sum) as decimal(20, 0)) as stay_square_sum,
        cast(sum(stay_explained) as decimal(28, 12)) as stay_explained
    from drg_level
    group by grouping sets (
        (scheme_code, period_year), (scheme_code, period_year, mdc_code), (scheme_code, period_year, mdc_code, adrg_code),
        (scheme_code, period_year, mdc_code, adrg_code, drg_code)
    )
),

-- Sums of squares around the mean, multiplied by the number of cases so that nothing is divided yet.
spread as (
    select
        *,
        case_count * fee_square_sum - fee_sum * fee_sum as fee_spread,
        case_count * fee_explained - fee_sum * fee_sum as fee_spread_explained,
        stay_case_count * stay_square_sum - stay_sum * stay_sum as stay_spread,
        stay_case_count * stay_explained - stay_sum * stay_sum as stay_spread_explained
    from level_sum
)

select
    scheme_code,
    period_year,
    group_level,
    group_code,
    drg_count,
    cast(case_count as bigint) as case_count,
    cast(fee_sum as decimal(18, 2)) as total_fee_yuan,
    cast(stay_sum as bigint) as stay_days,
    sqrt(cast(fee_spread as double) * cast(case_count as double) / cast(nullif(case_count - 1, 0) as double))
        / cast(nullif(fee_sum, 0) as double) as fee_cv,
    sqrt(cast(stay_spread as double) * cast(stay_case_count as double) / cast(nullif(stay_case_count - 1, 0) as double))
        / cast(nullif(stay_sum, 0) as double) as stay_cv,
    case when drg_count > 1 then cast(fee_spread_explained as double) / cast(nullif(fee_spread, 0) as double) end as fee_riv,
    case when drg_count > 1 then cast(stay_spread_explained as double) / cast(nullif(stay_spread, 0) as double) end as stay_riv
from spread
