-- One row is a case under a scheme with its group: the pair of ADRG and DRG that comes first in the scheme's order.
with

grouping_case as (
    select case_number, case_id, scheme_code, attempt, has_principal_diagnosis, invalid_reason from {{ ref('int_grouping__case') }}
),

scheme as (
    select * from {{ ref('stg_scheme__scheme') }}
),

branch as (
    select * from {{ ref('stg_scheme__adrg_branch') }}
),

first_match as (
    select
        case_number,
        scheme_code,
        parent_code as adrg_branch,
        target_code as drg_code
    from {{ ref('int_grouping__drg_match') }}
    qualify row_number() over (
        partition by case_number order by adrg_sequence nulls last, parent_code nulls last, rule_sequence nulls last, rule_number nulls last
    ) = 1
),

entered as (
    select case_number, count(*) as gate_count
    from {{ ref('int_grouping__mdc_open') }}
    group by case_number
),

judged as (
    select
        grouping_case.case_id,
        grouping_case.scheme_code,
        grouping_case.has_principal_diagnosis,
        grouping_case.invalid_reason,
        branch.mdc_code,
        branch.adrg_code,
        first_match.drg_code,
        coalesce(entered.gate_count, 0) as gate_count,
        case
            when grouping_case.invalid_reason is not null then 'invalid'
            when first_match.drg_code is null then 'ungrouped'
            when branch.adrg_code = 'QY' then 'ambiguous'
            else 'grouped'
        end as grouping_status
    from grouping_case
    left join first_match on grouping_case.case_number = first_match.case_number
    left join branch
        on first_match.scheme_code = branch.scheme_code
        and first_match.adrg_branch = branch.adrg_branch
    left join entered on grouping_case.case_number = entered.case_number
    where grouping_case.attempt = 0 or first_match.drg_code is not null
    qualify row_number() over (
        partition by grouping_case.scheme_code, grouping_case.case_id
        order by case when first_match.drg_code is null then 1 else 0 end nulls last, grouping_case.attempt nulls last
    ) = 1
)

select
    judged.case_id,
    judged.scheme_code,
    judged.grouping_status,
    case judged.grouping_status
        when 'invalid' then scheme.invalid_mdc_code
        when 'ungrouped' then scheme.ungrouped_mdc_code
        else judged.mdc_code
    end as mdc_code,
    case judged.grouping_status
        when 'invalid' then scheme.invalid_adrg_code
        when 'ungrouped' then scheme.ungrouped_adrg_code
        else judged.adrg_code
    end as adrg_code,
    case judged.grouping_status
        when 'invalid' then scheme.invalid_drg_code
        when 'ungrouped' then scheme.ungrouped_drg_code
        else judged.drg_code
    end as drg_code,
    case judged.grouping_status
        when 'invalid' then judged.invalid_reason
        when 'ambiguous' then 'operation_outside_mdc'
        when 'ungrouped' then case
            when not judged.has_principal_diagnosis then 'diagnosis_missing'
            when judged.gate_count = 0 then 'no_mdc'
            else 'no_group_in_mdc'
        end
    end as reason
from judged
inner join scheme on judged.scheme_code = scheme.scheme_code
