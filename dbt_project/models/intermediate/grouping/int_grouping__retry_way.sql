-- One row is a case under a scheme that finds a group by a retry, with the way of the first retry that does.
select
    retry_subject.retried_number as subject_number,
    retry_subject.attempt,
    way.way_number
from {{ ref('int_grouping__retry_subject') }} as retry_subject
left join {{ ref('int_grouping__retry_earlier_way') }} as earlier_way
    on retry_subject.subject_number = earlier_way.subject_number
inner join {{ ref('int_grouping__way') }} as way
    on coalesce(earlier_way.way_number, retry_subject.certain_way) = way.way_number
where way.grouping_status <> 'ungrouped'
qualify row_number() over (partition by retry_subject.retried_number order by retry_subject.attempt nulls last) = 1
