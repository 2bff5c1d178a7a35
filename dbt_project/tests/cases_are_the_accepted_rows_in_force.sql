-- Cases = accepted rows of the front-sheet files of deliveries in force, for every institution and month.
with

accepted as (
    select institution_code, month, sum(accepted_count) as accepted_count
    from {{ ref('fct_delivery_file') }}
    where dataset = 'front_sheet'
        and state = 'in_force'
    group by institution_code, month
),

counted as (
    select institution_code, period_month as month, count(*) as case_count
    from {{ ref('fct_case') }}
    group by institution_code, period_month
)

select
    coalesce(accepted.institution_code, counted.institution_code) as institution_code,
    coalesce(accepted.month, counted.month) as month,
    accepted.accepted_count,
    counted.case_count
from accepted
full outer join counted
    on accepted.institution_code = counted.institution_code
    and accepted.month = counted.month
where coalesce(accepted.accepted_count, 0) <> coalesce(counted.case_count, 0)
