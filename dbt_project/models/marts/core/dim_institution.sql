select
    institution_code,
    valid_from,
    valid_to,
    institution_name,
    institution_level,
    grade,
    institution_type,
    ownership,
    owner_level,
    county_code,
    county_name,
    is_day_surgery_pilot,
    is_residency_base
from {{ ref('int_institution__located') }}
