select
    prescription_id,
    institution_code,
    month,
    delivery_id,
    line_no,
    drug_code,
    generic_name,
    drug_class,
    atc_code,
    route,
    days,
    quantity,
    amount_yuan,
    is_essential,
    antimicrobial_grade,
    is_injection
from {{ source('prescription', 'prescription_line') }}
