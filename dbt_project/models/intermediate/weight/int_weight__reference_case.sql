-- One row is a grouped case of the reference period, and whether its cost lies within the trimming limits of its DRG.
-- Trimming (domain C.4) is for weights and benchmarks only: no case is left out of a count. A cost on a limit stays, so
-- quantiles and sums are exact: nothing here depends on rounding or on the order of the rows.
{%- set trimming = env_var('DRGQ_WEIGHT_TRIMMING', 'log_3sd') %}
{#- Method -> two percentiles, and how many times their distance the limits lie below the lower and above the upper. #}
{%- set percentiles = {'iqr': (25, 75, 0.5, 1.5), 'iqr_symmetric': (25, 75, 1.5, 1.5), 'percentile': (1, 99, 0, 0)} %}
{%- if trimming not in percentiles and trimming not in ('log_3sd', 'third_to_triple') %}
    {{ exceptions.raise_compiler_error("DRGQ_WEIGHT_TRIMMING " ~ trimming ~ " is no trimming method") }}
{%- endif %}
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

{% if trimming in percentiles -%}
{%- set lower, upper, below, above = percentiles[trimming] -%}
ranked as (
    select
        scheme_code,
        drg_code,
        total_fee_yuan,
        row_number() over (partition by scheme_code, drg_code order by total_fee_yuan nulls last) - 1 as place,
        count(*) over (partition by scheme_code, drg_code) - 1 as last_place
    from grouped
),

-- A percentile lies at last_place * p / 100, between two neighbours: a hundred times it is a whole multiple of each.
spread as (
    select
        scheme_code,
        drg_code,
        {%- for percentile, name in [(lower, 'lower'), (upper, 'upper')] %}
        {%- set part = 'mod(last_place * ' ~ percentile ~ ', 100)' %}
        cast(sum(total_fee_yuan * case
            when place * 100 = last_place * {{ percentile }} - {{ part }} then 100 - {{ part }}
            when place * 100 = last_place * {{ percentile }} - {{ part }} + 100 then {{ part }}
            else 0
        end) as decimal(24, 2)) as {{ name }}_hundredfold{{ ',' if not loop.last }}
        {%- endfor %}
    from ranked
    group by scheme_code, drg_code
)
{%- else -%}
{%- set log_fee = 'cast(ln(cast(greatest(total_fee_yuan, 0.01) as double)) as decimal(9, 6))' -%}
spread as (
    select
        scheme_code,
        drg_code,
        cast(count(*) as decimal(9, 0)) as case_count,
        {%- if trimming == 'log_3sd' %}
        cast(sum({{ log_fee }}) as decimal(19, 6)) as log_sum,
        cast(sum({{ log_fee }} * {{ log_fee }}) as decimal(27, 12)) as square_sum
        {%- else %}
        cast(sum(total_fee_yuan) as decimal(20, 2)) as fee_sum
        {%- endif %}
    from grouped
    group by scheme_code, drg_code
)
{%- endif %}

select
    grouped.scheme_code,
    grouped.mdc_code,
    grouped.adrg_code,
    grouped.drg_code,
    grouped.case_id,
    grouped.total_fee_yuan,
    grouped.length_of_stay,
    grouped.discharge_status_code,
    {%- if trimming in percentiles %}
    100 * grouped.total_fee_yuan between
        spread.lower_hundredfold - {{ below }} * (spread.upper_hundredfold - spread.lower_hundredfold)
        and spread.upper_hundredfold + {{ above }} * (spread.upper_hundredfold - spread.lower_hundredfold) as is_within_limits
    {%- elif trimming == 'log_3sd' %}
    -- (x - mean) squared <= 9 variances, both sides multiplied by n squared times (n - 1): equal costs have no outlier.
    power(cast(cast(spread.case_count * {{ log_fee }} as decimal(19, 6)) - spread.log_sum as double), 2)
        * cast(spread.case_count - 1 as double)
        <= 9 * cast(spread.case_count as double)
        * cast(spread.case_count * spread.square_sum - spread.log_sum * spread.log_sum as double) as is_within_limits
    {%- else %}
    3 * spread.case_count * grouped.total_fee_yuan >= spread.fee_sum
        and spread.case_count * grouped.total_fee_yuan <= 3 * spread.fee_sum as is_within_limits
    {%- endif %}
from grouped
inner join spread
    on grouped.scheme_code = spread.scheme_code
    and grouped.drg_code = spread.drg_code
