-- One row is a flag with the answer that holds for it: its own, or else the last one given to the same unit and channel in
-- an earlier or the same window. Such an earlier answer suppresses the flag while it is in force; a confirmed one never does.
with

flag as (
    select
        flag_id,
        institution_code,
        department_code,
        mdc_code,
        adrg_code,
        channel,
        case when length(period) = 4 then concat(period, '-12') else period end as last_month
    from {{ ref('int_cost_growth__flagged') }}
),

answer as (
    select
        *,
        case when length(period) = 4 then concat(period, '-12') else period end as last_month
    from {{ ref('stg_flag_review__answer') }}
),

holding as (
    select
        flag.flag_id,
        flag.last_month,
        answer.flag_id as answer_flag_id,
        answer.answer,
        answer.answer_reason,
        answer.answer_until,
        answer.answered_by
    from flag
    inner join answer
        on flag.institution_code = answer.institution_code
        and flag.department_code is not distinct from answer.department_code
        and flag.mdc_code is not distinct from answer.mdc_code
        and flag.adrg_code is not distinct from answer.adrg_code
        and flag.channel = answer.channel
        and flag.last_month >= answer.last_month
    qualify row_number() over (
        partition by flag.flag_id
        order by
            case when flag.flag_id = answer.flag_id then 0 else 1 end nulls last,
            answer.last_month desc nulls last,
            answer.line_number desc nulls last
    ) = 1
)

select
    flag_id,
    answer,
    answer_reason,
    answer_until,
    answered_by,
    answer_flag_id,
    flag_id <> answer_flag_id and answer <> 'confirmed' and coalesce(answer_until >= last_month, false) as is_suppressed
from holding
