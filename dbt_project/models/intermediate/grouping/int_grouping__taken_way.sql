-- One row is a case under a scheme with the way that it takes, that of its first retry that finds a group included.
with

way as (
    select way_number, scheme_code, grouping_status, reason from {{ ref('int_grouping__way') }}
),

found as (
    select
        subject.case_number,
        subject.case_id,
        subject.has_principal_diagnosis,
        coalesce(retry_way.way_number, earlier_way.way_number, subject.certain_way) as way_number
    from {{ ref('int_grouping__subject') }} as subject
    left join {{ ref('int_grouping__earlier_way') }} as earlier_way
        on subject.subject_number = earlier_way.subject_number
    left join {{ ref('int_grouping__retry_way') }} as retry_way
        on subject.subject_number = retry_way.subject_number
)

select
    case_number,
    case_id,
    way_number
from found
where has_principal_diagnosis

union all

-- Without a principal diagnosis, procedures may still lead to a group; that there is none is the reason if they do not.
select
    found.case_number,
    found.case_id,
    coalesce(without_diagnosis.way_number, found.way_number) as way_number
from found
inner join way on found.way_number = way.way_number
left join way as without_diagnosis
    on way.grouping_status = 'ungrouped'
    and way.scheme_code = without_diagnosis.scheme_code
    and without_diagnosis.reason = 'diagnosis_missing'
where not found.has_principal_diagnosis

union all

select
    grouping_case.case_number,
    grouping_case.case_id,
    way.way_number
from {{ ref('int_grouping__case') }} as grouping_case
inner join way on grouping_case.invalid_reason = way.reason
