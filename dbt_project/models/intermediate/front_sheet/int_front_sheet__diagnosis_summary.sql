-- One row is a discharge with its principal diagnosis and the number of diagnoses written down.
select
    case_id,
    max(case when position = 1 then diagnosis_code end) as principal_diagnosis_code,
    count(*) as diagnosis_count
from {{ ref('int_front_sheet__diagnosis_in_force') }}
group by case_id
