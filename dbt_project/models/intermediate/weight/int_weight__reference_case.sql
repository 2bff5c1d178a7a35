-- One row is a grouped case of the reference period that is no cost outlier of its DRG.
-- Trimming: Q1 - 1.5 IQR to Q3 + 1.5 IQR of the cost within the DRG (domain C.4), for weights and benchmarks only.
with

grouped as (
    select
        result.scheme_code,
        result.mdc_code,
        result.adrg_code,
        result.drg_code,
        sheet.case_id,
        sheet.total_fee_yuan,
        sheet.length_of_stay,
        sheet.discharge_status_code
    from {{ ref('int_grouping__result') }} as result
    inner join {{ ref('int_front_sheet__sheet_in_force') }} as sheet on result.case_id = sheet.case_id
    where result.grouping_status = 'grouped'
        and cast(extract(year from sheet.discharge_date) as string) = '{{ env_var('DRGQ_REFERENCE_PERIOD', '2018') }}'
),

quartile as (
    select
        scheme_code,
        drg_code,
        percentile_cont(0.25) within group (order by cast(total_fee_yuan as double)) as first_quartile,
        percentile_cont(0.75) within group (order by cast(total_fee_yuan as double)) as third_quartile
    from grouped
    group by scheme_code, drg_code
)

select
    grouped.*,
    cast(grouped.total_fee_yuan as double) between
        quartile.first_quartile - 1.5 * (quartile.third_quartile - quartile.first_quartile)
        and quartile.third_quartile + 1.5 * (quartile.third_quartile - quartile.first_quartile) as is_within_limits
from grouped
inner join quartile
    on grouped.scheme_code = quartile.scheme_code
    and grouped.drg_code = quartile.drg_code
