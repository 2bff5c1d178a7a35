select
    case_id,
    institution_code,
    month,
    delivery_id,
    position,
    procedure_code,
    procedure_date,
    procedure_level_code,
    incision_class_code,
    healing_class_code,
    anaesthesia_code
from {{ source('front_sheet', 'procedure') }}
