with

prescription as (
    select
        institution_code,
        cast(extract(year from prescribed_date) as integer) as prescribed_year,
        prescribed_date,
        coalesce(patient_id, prescription_id) as patient_id,
        amount_yuan
    from {{ ref('int_prescription__in_force') }}
    where visit_type_code in ('1', '2')
),

-- All prescriptions that a patient got from an institution in a day: what comes closest to a visit.
visit as (
    select
        institution_code,
        prescribed_year,
        count(amount_yuan) as prescription_count,
        count(*) - count(amount_yuan) as unpriced_prescription_count,
        sum(amount_yuan) as amount_yuan
    from prescription
    group by institution_code, prescribed_year, prescribed_date, patient_id
),

organisation_year as (
    select
        case when grouping(institution_code) = 0 then 'institution' else 'city' end as org_level,
        case when grouping(institution_code) = 0 then institution_code else '{{ var('city_code') }}' end as org_code,
        prescribed_year,
        cast(sum(prescription_count) as bigint) as prescription_count,
        cast(sum(unpriced_prescription_count) as bigint) as unpriced_prescription_count,
        count(*) filter (where prescription_count > 0) as visit_count,
        cast(sum(amount_yuan) as decimal(18, 2)) as amount_yuan
    from visit
    group by grouping sets ((prescribed_year), (institution_code, prescribed_year))
),

compared as (
    select
        judged.*,
        cast(judged.amount_yuan as double) / nullif(judged.prescription_count, 0) as mean_prescription_amount,
        cast(judged.amount_yuan as double) / nullif(judged.visit_count, 0) as mean_visit_amount,
        before.prescription_count as previous_prescription_count,
        before.visit_count as previous_visit_count,
        before.amount_yuan as previous_amount_yuan,
        cast(before.amount_yuan as double) / nullif(before.visit_count, 0) as previous_mean_visit_amount
    from organisation_year as judged
    left join organisation_year as before
        on judged.org_level = before.org_level
        and judged.org_code = before.org_code
        and judged.prescribed_year = before.prescribed_year + 1
)

select
    cast(prescribed_year as string) as period,
    org_level,
    org_code,
    prescription_count,
    unpriced_prescription_count,
    visit_count,
    amount_yuan,
    cast(mean_prescription_amount as decimal(18, 2)) as mean_prescription_amount_yuan,
    cast(mean_visit_amount as decimal(18, 2)) as mean_visit_amount_yuan,
    previous_prescription_count,
    previous_visit_count,
    previous_amount_yuan,
    mean_visit_amount / nullif(previous_mean_visit_amount, 0) as visit_amount_ratio
from compared
