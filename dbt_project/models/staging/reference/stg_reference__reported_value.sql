select
    indicator_code as indicator_id,
    org_level,
    org_code,
    period,
    -- What is summed is decimal.
    cast(numerator as decimal(28, 8)) as numerator,
    cast(denominator as decimal(28, 8)) as denominator,
    value as reported_value,
    unit,
    submitted_at,
    source_file,
    source_row
from {{ source('reference', 'reported_value') }}
