-- One row is a code of the cases that is a complication under a scheme, with the list of principal diagnoses that exclude it.
select distinct
    known_code.code_number,
    scheme.scheme_number,
    scheme.scheme_count,
    {{ complication_rank('complication.complication_level') }} as complication_rank,
    exclusion_list.exclusion_list_number
from {{ ref('int_grouping__known_code') }} as known_code
inner join {{ ref('stg_scheme__complication') }} as complication
    on known_code.scheme_code = complication.scheme_code
    and known_code.known_as = complication.diagnosis_code
    and known_code.match = complication.match
inner join {{ ref('int_grouping__scheme') }} as scheme on known_code.scheme_code = scheme.scheme_code
left join {{ ref('int_grouping__exclusion_list') }} as exclusion_list
    on complication.scheme_code = exclusion_list.scheme_code
    and complication.exclusion_list_id = exclusion_list.exclusion_list_id
where known_code.code_type = 'DIAGNOSIS'
