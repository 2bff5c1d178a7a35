-- One row is an institution in a validity span with the name of its county.
with

institution as (
    select * from {{ ref('stg_reference__institution') }}
),

county as (
    select * from {{ ref('county') }}
)

select
    institution.institution_code,
    institution.valid_from,
    institution.valid_to,
    institution.institution_name,
    institution.institution_level,
    institution.grade,
    institution.institution_type,
    institution.ownership,
    institution.owner_level,
    institution.county_code,
    county.county_name,
    institution.is_day_surgery_pilot,
    institution.is_residency_base
from institution
left join county on institution.county_code = county.county_code
