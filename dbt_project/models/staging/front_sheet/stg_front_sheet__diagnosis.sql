select
    case_id,
    institution_code,
    month,
    delivery_id,
    position,
    diagnosis_code,
    present_on_admission_code
from {{ source('front_sheet', 'diagnosis') }}
