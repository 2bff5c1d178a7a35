-- One row is a code of the cases that excludes, as the principal diagnosis, the complications of a list.
select distinct
    known_code.code_number,
    exclusion_list.exclusion_list_number
from {{ ref('int_grouping__known_code') }} as known_code
inner join {{ ref('stg_scheme__complication_exclusion') }} as exclusion
    on known_code.scheme_code = exclusion.scheme_code
    and known_code.known_as = exclusion.principal_diagnosis_code
    and known_code.match = exclusion.match
inner join {{ ref('int_grouping__exclusion_list') }} as exclusion_list
    on exclusion.scheme_code = exclusion_list.scheme_code
    and exclusion.exclusion_list_id = exclusion_list.exclusion_list_id
where known_code.code_type = 'DIAGNOSIS'
