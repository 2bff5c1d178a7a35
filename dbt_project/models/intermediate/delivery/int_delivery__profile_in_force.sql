-- One row is a count that intake made of a delivery in force: of so many checked, so many failing.
with

profile as (
    select * from {{ ref('stg_delivery__profile') }}
),

in_force as (
    select delivery_id, dataset
    from {{ ref('stg_delivery__state') }}
    where state = 'in_force'
)

select
    profile.institution_code,
    profile.month,
    profile.dataset,
    profile.metric,
    profile.failing_count,
    profile.checked_count,
    profile.delivery_id
from profile
inner join in_force
    on profile.delivery_id = in_force.delivery_id
    and profile.dataset = in_force.dataset
