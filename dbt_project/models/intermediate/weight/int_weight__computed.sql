-- One row is a DRG of a scheme: weight, expected cost and stay, and risk grade from the region's reference period.
-- A DRG with too few cases takes the values of its ADRG, then of its MDC, then of the region; the level used is kept.
with

reference_case as (
    select * from {{ ref('int_weight__reference_case') }}
),

within_limits as (
    select * from reference_case where is_within_limits
),

drg as (
    select
        drg.scheme_code,
        branch.mdc_code,
        drg.adrg_code,
        drg.drg_code
    from {{ ref('stg_scheme__drg') }} as drg
    inner join (
        select distinct scheme_code, adrg_code, mdc_code
        from {{ ref('stg_scheme__adrg_branch') }}
    ) as branch
        on drg.scheme_code = branch.scheme_code
        and drg.adrg_code = branch.adrg_code
    where drg.adrg_code <> 'QY'
),

benchmark as (
    select
        scheme_code,
        mdc_code,
        adrg_code,
        drg_code,
        grouping(drg_code) as without_drg,
        grouping(adrg_code) as without_adrg,
        grouping(mdc_code) as without_mdc,
        count(*) as case_count,
        sum(total_fee_yuan) as total_fee_yuan,
        sum(length_of_stay) as stay_days
    from within_limits
    group by grouping sets (
        (scheme_code, mdc_code, adrg_code, drg_code), (scheme_code, mdc_code, adrg_code), (scheme_code, mdc_code), (scheme_code)
    )
),

drg_benchmark as (
    select * from benchmark where without_drg = 0 and case_count >= {{ var('weight_minimum_cases') }}
),

adrg_benchmark as (
    select * from benchmark where without_drg = 1 and without_adrg = 0 and case_count >= {{ var('weight_minimum_cases') }}
),

mdc_benchmark as (
    select * from benchmark where without_adrg = 1 and without_mdc = 0 and case_count >= {{ var('weight_minimum_cases') }}
),

region as (
    select * from benchmark where without_mdc = 1
),

mortality as (
    select
        scheme_code,
        drg_code,
        count(*) as case_count,
        count(*) filter (where discharge_status_code = '5') as death_count
    from reference_case
    group by scheme_code, drg_code
),

log_mortality as (
    select scheme_code, drg_code, cast(ln(cast(death_count as double) / case_count) as decimal(18, 10)) as log_rate
    from mortality
    where death_count > 0
),

-- Sums and products of decimals: they do not depend on the order in which rows are added, and a border is met exactly.
log_mortality_sum as (
    select
        scheme_code,
        cast(count(*) as decimal(6, 0)) as group_count,
        cast(sum(log_rate) as decimal(18, 10)) as log_sum,
        cast(sum(log_rate * log_rate) as decimal(32, 20)) as square_sum
    from log_mortality
    group by scheme_code
),

-- Distance from the mean and variance, both multiplied so that nothing is divided: by n, and by n squared times (n - 1).
deviation as (
    select
        log_mortality.scheme_code,
        log_mortality.drg_code,
        group_count,
        cast(group_count * log_rate - log_sum as decimal(16, 10)) as distance,
        group_count * cast(group_count * square_sum - log_sum * log_sum as decimal(32, 20)) as spread
    from log_mortality
    inner join log_mortality_sum on log_mortality.scheme_code = log_mortality_sum.scheme_code
),

-- Borders: the mean and one standard deviation (0 with a single group) to either side; what stands on one is above it.
graded as (
    select
        scheme_code,
        drg_code,
        case
            when distance < 0 and cast(group_count - 1 as decimal(6, 0)) * (distance * distance) > spread then 1
            when distance < 0 then 2
            when cast(group_count - 1 as decimal(6, 0)) * (distance * distance) < spread then 3
            else 4
        end as risk_grade
    from deviation
),

chosen as (
    select
        drg.*,
        case
            when drg_benchmark.case_count is not null then 'drg'
            when adrg_benchmark.case_count is not null then 'adrg'
            when mdc_benchmark.case_count is not null then 'mdc'
            else 'region'
        end as weight_level,
        coalesce(drg_benchmark.case_count, adrg_benchmark.case_count, mdc_benchmark.case_count, region.case_count) as reference_case_count,
        coalesce(drg_benchmark.total_fee_yuan, adrg_benchmark.total_fee_yuan, mdc_benchmark.total_fee_yuan, region.total_fee_yuan) as total_fee_yuan,
        coalesce(drg_benchmark.stay_days, adrg_benchmark.stay_days, mdc_benchmark.stay_days, region.stay_days) as stay_days,
        region.total_fee_yuan as region_fee_yuan,
        region.case_count as region_case_count
    from drg
    inner join region on drg.scheme_code = region.scheme_code
    left join drg_benchmark
        on drg.scheme_code = drg_benchmark.scheme_code
        and drg.drg_code = drg_benchmark.drg_code
    left join adrg_benchmark
        on drg.scheme_code = adrg_benchmark.scheme_code
        and drg.adrg_code = adrg_benchmark.adrg_code
    left join mdc_benchmark
        on drg.scheme_code = mdc_benchmark.scheme_code
        and drg.mdc_code = mdc_benchmark.mdc_code
)

select
    chosen.scheme_code,
    chosen.mdc_code,
    chosen.adrg_code,
    chosen.drg_code,
    chosen.weight_level,
    chosen.reference_case_count,
    cast(
        (cast(chosen.total_fee_yuan as double) / chosen.reference_case_count)
        / (cast(chosen.region_fee_yuan as double) / chosen.region_case_count) as decimal(9, 4)
    ) as relative_weight,
    cast(cast(chosen.total_fee_yuan as double) / chosen.reference_case_count as decimal(18, 2)) as expected_cost_yuan,
    cast(cast(chosen.stay_days as double) / chosen.reference_case_count as decimal(9, 4)) as expected_stay_days,
    coalesce(graded.risk_grade, 0) as risk_grade
from chosen
left join graded
    on chosen.scheme_code = graded.scheme_code
    and chosen.drg_code = graded.drg_code
