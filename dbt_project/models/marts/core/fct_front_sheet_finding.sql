select
    row_key as case_id,
    institution_code,
    month,
    rule_id,
    field,
    severity,
    delivery_id,
    source_file,
    source_row
from {{ ref('int_delivery__finding_in_force') }}
where dataset = 'front_sheet'
