select
    institution_code,
    institution_name,
    cast(level as string) as institution_level,
    grade,
    institution_type,
    ownership,
    owner_level,
    district_code as county_code,
    cast(is_day_surgery_pilot as boolean) as is_day_surgery_pilot,
    cast(is_residency_base as boolean) as is_residency_base,
    coalesce(valid_from, date '1900-01-01') as valid_from,
    coalesce(valid_to, date '9999-12-31') as valid_to
from {{ source('reference', 'institution') }}
