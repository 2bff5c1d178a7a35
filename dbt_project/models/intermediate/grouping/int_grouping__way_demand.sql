-- One row is a way, and a complication level under which its rules can hold, with what else it asks for and how it is found: by
-- codes, if it awaits a list that any code may satisfy and asks nothing of the principal diagnosis; by procedure, if it requires
-- a list of principal procedures that only its own MDC asks for ("any operation at all" singles nothing out); else by diagnosis.
-- What a way found by diagnosis demands of the principal procedure has the number of the first way that demands the same.
with

way as (
    select way_number, scheme_code, mdc_rule_number
    from {{ ref('int_grouping__way') }}
    where is_open
),

way_condition as (
    select * from {{ ref('int_grouping__way_condition') }}
),

of_one_gate as (
    select way_condition.role_list_id
    from way_condition
    inner join way on way_condition.way_number = way.way_number
    where way_condition.decided_by = 'principal_procedure'
        and not way_condition.is_forbidden
    group by way_condition.role_list_id
    having count(distinct way.mdc_rule_number) = 1
),

condition as (
    select
        way_condition.way_number,
        sum(case when way_condition.decided_by = 'principal_diagnosis' and not way_condition.is_forbidden then 1 else 0 end) as diagnosis_count,
        sum(case when way_condition.decided_by = 'principal_diagnosis' then 1 else 0 end) as any_diagnosis_count,
        sum(case when way_condition.decided_by = 'principal_procedure' and not way_condition.is_forbidden then 1 else 0 end) as procedure_count,
        sum(case when of_one_gate.role_list_id is not null and not way_condition.is_forbidden then 1 else 0 end) as of_one_gate_count,
        sum(case when way_condition.decided_by = 'all_codes' then 1 else 0 end) as open_count,
        min(case when way_condition.decided_by = 'all_codes' and not way_condition.is_forbidden then way_condition.role_list_id end) as awaited_list_id
    from way_condition
    left join of_one_gate on way_condition.role_list_id = of_one_gate.role_list_id
    group by way_condition.way_number
),

procedure_condition as (
    select
        way_number,
        {{ joined_text("concat(cast(role_list_id as string), case when is_forbidden then '-' else '+' end)") }} as conditions
    from way_condition
    where decided_by = 'principal_procedure'
    group by way_number
),

rule as (
    select
        way_rule.way_number,
        sum(case when r.is_bounded then 1 else 0 end) as bounded_count,
        max(case r.complication_level when 'MCC' then 2 when 'CC' then 1 when 'MCC_OR_CC' then 1 else 0 end) as lowest_rank,
        min(case when r.complication_level = 'CC' then 1 else 2 end) as highest_rank
    from {{ ref('int_grouping__way_rule') }} as way_rule
    inner join {{ ref('int_grouping__rule') }} as r on way_rule.rule_number = r.rule_number
    group by way_rule.way_number
),

complication as (
    select * from (values (0), (1), (2)) as complication (complication_rank)
)

select
    way.way_number,
    way.scheme_code,
    complication.complication_rank,
    coalesce(condition.diagnosis_count, 0) as diagnosis_count,
    coalesce(condition.procedure_count, 0) as procedure_count,
    case
        when condition.of_one_gate_count > 0 and condition.any_diagnosis_count > 0 then 'procedure'
        when condition.awaited_list_id is not null then 'codes'
        when condition.of_one_gate_count > 0 then 'procedure'
        else 'diagnosis'
    end as found_by,
    case when coalesce(condition.of_one_gate_count, 0) = 0 or condition.any_diagnosis_count = 0 then condition.awaited_list_id end as awaited_list_id,
    min(way.way_number) over (
        partition by way.scheme_code, coalesce(procedure_condition.conditions, '')
    ) as procedure_demand,
    coalesce(condition.open_count, 0) + coalesce(rule.bounded_count, 0) = 0 as is_certain
from way
cross join complication
left join condition on way.way_number = condition.way_number
left join procedure_condition on way.way_number = procedure_condition.way_number
left join rule on way.way_number = rule.way_number
where complication.complication_rank between coalesce(rule.lowest_rank, 0) and coalesce(rule.highest_rank, 2)
