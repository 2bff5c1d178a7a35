-- One row is a valid case under a scheme with the level of the gravest complication that counts; a case without one is not here.
select
    grouping_case.case_id,
    scheme.scheme_code,
    case complication.complication_rank when 2 then 'MCC' else 'CC' end as complication_level
from {{ ref('int_grouping__case') }} as grouping_case
cross join {{ ref('int_grouping__scheme') }} as scheme
inner join {{ ref('int_grouping__complication') }} as complication
    on {{ number_in_scheme('grouping_case.case_number') }} = complication.subject_number
where grouping_case.invalid_reason is null
