-- One row is a reject, numbered within its file in the order of rows (whole-file rejects last).
select
    delivery_id,
    source_file,
    row_number() over (
        partition by delivery_id, source_file
        order by source_row nulls last, field nulls last, rule_id nulls last, message_zh nulls last
    ) as reject_number,
    institution_code,
    month,
    dataset,
    source_row,
    field,
    rule_id,
    message_zh as message,
    remedy_zh as remedy
from {{ ref('stg_delivery__reject') }}
