-- What follows from the cases, the register and the deliveries of the test city. Run in schema marts by conftest.py.

create table fct_case_grouping as
select
    case_id, scheme_code, grouping_status, mdc_code, adrg_code, drg_code, relative_weight, cast(null as varchar) as reason
from fct_case;

create table fct_front_sheet_finding as
select
    case_id, institution_code, period_month as month, 'L07' as rule_id, 'age_years' as field, 'warn' as severity,
    delivery_id, source_file, source_row
from fct_case
where source_row % 17 = 0;

create table fct_prescription as
select
    reverse(case_id) as prescription_id, institution_code, county_code, department_code, discharge_date as prescribed_date,
    period_month, period_quarter, period_year, '1' as visit_type_code,
    cast(total_fee_yuan / 100 as decimal(18, 2)) as amount_yuan,
    source_row % 3 <> 0 as is_reviewed,
    case when source_row % 3 <> 0 then source_row % 37 <> 0 end as is_reasonable,
    case when source_row % 37 = 0 then '1-12' end as issue_codes,
    source_row % 19 <> 0 as is_machine_reasonable,
    delivery_id, 'prescription.csv' as source_file, source_row
from fct_case;

create table fct_reject as
select
    delivery_id, source_file, cast(n as integer) as source_row, institution_code, month, dataset,
    case when n % 3 = 0 then 'discharge_date' else 'principal_diagnosis_code' end as field,
    case when n % 3 = 0 then 'value_type' else 'key_missing' end as rule_id,
    '=第' || n || '行的值无法识别' as message,
    case when n % 3 = 0 then '请按接口规定的格式填写' else '请补填关键项' end as remedy
from fct_delivery_file, lateral (select unnest(range(2, 2 + rejected_count)) as n);

create table gate_verdict as
select
    institution_code, month, dataset, 'L40' as rule_id, '总费用与分项之和不符' as rule_title, 'critical' as severity,
    case when state = 'held' then 31 else 0 end as failing_count, 200 as checked_count, cast(0.05 as double) as tolerance,
    case when state = 'held' then 'fail' else 'pass' end as verdict, '超过5%即无法核算次均费用' as reason, delivery_id
from fct_delivery_file;

create table fct_cost_growth_decomposition as
select
    period, org_level, org_code, 'all' as group_level, 'all' as group_code, 'decomposed' as status,
    90 as previous_month_count, 96 as month_count, 88 as matched_month_count,
    cast(1000000.00 as decimal(18, 2)) as previous_total_fee_yuan,
    cast(1234567.89 as decimal(18, 2)) as total_fee_yuan, cast(234567.89 as decimal(18, 2)) as growth_yuan,
    cast(34567.89 as decimal(18, 2)) as coverage_yuan, cast(100000 as decimal(18, 2)) as volume_yuan,
    cast(50000 as decimal(18, 2)) as case_mix_yuan, cast(10000 as decimal(18, 2)) as coding_yuan,
    cast(-20000 as decimal(18, 2)) as drug_intensity_yuan, cast(40000 as decimal(18, 2)) as consumable_intensity_yuan,
    cast(5000 as decimal(18, 2)) as examination_intensity_yuan,
    cast(10000 as decimal(18, 2)) as service_intensity_yuan, cast(5000 as decimal(18, 2)) as other_intensity_yuan
from (values ('2019'), ('2020')) as p (period),
    (values ('city', '330100'), ('county', '330102'), ('institution', '330100001')) as o (org_level, org_code);

create table fct_outpatient_drug_cost as
select
    '2020' as period, 'city' as org_level, '330100' as org_code, 400 as visit_count, 500 as previous_visit_count,
    cast(48000 as decimal(18, 2)) as amount_yuan, cast(120 as decimal(18, 2)) as mean_visit_amount_yuan,
    cast(1.25 as double) as visit_amount_ratio;

create table fct_cost_growth_flag as
select
    'F' || lpad(cast(n as varchar), 4, '0') as flag_id, 'mdc' as unit_level, '330106201' as institution_code, 'F' as mdc_code,
    'FM1' as adrg_code, '2020' as period, case when n % 2 = 0 then 'consumable' else 'drug' end as channel,
    case when n < 2 then 'red' else 'amber' end as tier, cast(4.8 - n * 0.4 as double) as z,
    cast(0.31 - n * 0.03 as double) as growth, cast(0.18 - n * 0.03 as double) as growth_low,
    cast(0.45 - n * 0.03 as double) as growth_high, cast(512000.25 - n * 90000 as decimal(18, 2)) as excess_yuan,
    cast(0.08 + n * 0.03 as double) as false_discovery_rate,
    case when n in (0, 3) then 'explained' end as answer, case when n in (0, 3) then '=新技术<b>' end as answer_reason,
    case when n in (0, 3) then '2021-12' end as answer_until, case when n in (0, 3) then '王' end as answered_by,
    case n when 0 then 'F0000' when 3 then 'EARLIER' end as answer_flag_id, n = 3 as is_suppressed
from range(4) as r (n);

create table fct_assessment as
with

addressed as (
    select
        target.*,
        left(target.target_id, 8) as family,
        cast(extract(year from period_from) as varchar) as period,
        institution.institution_code
    from dim_target as target, dim_institution as institution
    where target.indicator_id in (select indicator_id from dim_indicator)
        and cast(institution.institution_level as integer) >= target.level_min
        and cast(institution.institution_level as integer) <= coalesce(target.level_max, 3)
        and (target.grade is null or target.grade = institution.grade)
),

measured as (
    select * from fct_indicator where org_level = 'institution' and period_type = 'year'
),

judged as (
    select
        addressed.*, now.numerator, now.denominator, now.value, before.value as previous_value,
        first.threshold as floor_value,
        case
            when not coalesce(now.is_reportable, false) then 'denominator_too_small'
            when addressed.institution_code = '330106201' and addressed.period = '2019' then 'months_missing'
            when addressed.institution_code = '330122101' and addressed.period = '2020' then 'delivery_held'
            when addressed.grade = 'B' then 'outside_cohort'
            when addressed.comparator = '>=' and now.value >= addressed.threshold then 'met'
            when addressed.comparator = 'improve' and now.value > before.value and now.value >= first.threshold then 'met'
            else 'missed'
        end as reason_id
    from addressed
    left join measured as now
        on addressed.indicator_id = now.indicator_id
        and addressed.institution_code = now.org_code
        and addressed.period = now.period
    left join measured as before
        on addressed.indicator_id = before.indicator_id
        and addressed.institution_code = before.org_code
        and cast(addressed.period as integer) - 1 = cast(before.period as integer)
    left join dim_target as first
        on addressed.comparator = 'improve'
        and first.target_id = addressed.family || '-2018'
)

select
    target_id, 'institution' as org_level, institution_code as org_code, period, indicator_id, comparator, threshold,
    floor_value, numerator, denominator, value, previous_value, cast(null as double) as other_reading_value, unit,
    case
        when reason_id in ('met', 'missed') then reason_id
        when reason_id = 'delivery_held' then 'to_review'
        when reason_id = 'outside_cohort' then 'not_applicable'
        else 'insufficient'
    end as status,
    reason_id,
    case reason_id
        when 'met' then '达标。'
        when 'missed' then '未达标。'
        when 'delivery_held' then '本期有被暂缓的上报数据，待复核。'
        when 'months_missing' then '应报12个月，生效10个月，数据不足。'
        when 'outside_cohort' then '该机构不在条款规定的范围内，不适用。'
        else '分母低于最低例数，数据不足。'
    end as reason,
    'builtin_2026' as scheme_code
from judged
