-- One row is a valid case that found no group under a scheme that then tries other procedures.
with

no_group as (
    select way.way_number, scheme.scheme_number
    from {{ ref('int_grouping__way') }} as way
    inner join {{ ref('int_grouping__scheme') }} as scheme on way.scheme_code = scheme.scheme_code
    where way.grouping_status = 'ungrouped'
        and scheme.retries_procedures
)

select
    no_group.scheme_number,
    subject.subject_number,
    subject.case_number,
    subject.diagnosis_class,
    subject.diagnosis_kind,
    subject.complication_rank
from {{ ref('int_grouping__subject') }} as subject
inner join no_group on subject.certain_way = no_group.way_number
left join {{ ref('int_grouping__earlier_way') }} as earlier_way
    on subject.subject_number = earlier_way.subject_number
left join no_group as taken on earlier_way.way_number = taken.way_number
where earlier_way.way_number is null
    or taken.way_number is not null
