select
    code.case_id,
    code.code_type,
    code.position,
    code.code as icd_code
from {{ ref('int_front_sheet__grouper_code') }} as code
inner join {{ ref('fct_case') }} as fct_case on code.case_id = fct_case.case_id
where code.code is not null
