-- One row is a discharge with its principal procedure and the number of procedures written down.
select
    case_id,
    max(case when position = 1 then procedure_code end) as principal_procedure_code,
    count(*) as procedure_count
from {{ ref('int_front_sheet__procedure_in_force') }}
group by case_id
