-- One row is a way to a group: a rule of an MDC's gate, one of an ADRG behind it and one of a DRG in that. A case takes the
-- first way, by number, all of whose rules hold. After these come the ways of a scheme that lead to no group: through a gate and
-- no further, not even through a gate; and, without rules, those of cases that have no principal diagnosis or are invalid.
with

rule as (
    select rule_number, scheme_code, rule_level, rule_sequence, parent_code, target_code
    from {{ ref('int_grouping__rule') }}
),

scheme as (
    select * from {{ ref('int_grouping__scheme') }}
),

branch as (
    select * from {{ ref('stg_scheme__adrg_branch') }}
),

reason as (
    select *
    from (values
        (2, 'no_group_in_mdc'), (3, 'no_mdc'), (4, 'diagnosis_missing'),
        (5, 'sex_missing'), (6, 'age_missing'), (7, 'age_days_missing'), (8, 'birth_weight_missing')
    ) as reason (chain_order, reason)
),

chain as (
    select
        mdc.scheme_code,
        1 as chain_order,
        mdc.rule_number as mdc_rule_number,
        adrg.rule_number as adrg_rule_number,
        drg.rule_number as drg_rule_number,
        adrg.rule_sequence as adrg_sequence,
        adrg.target_code as adrg_branch,
        drg.rule_sequence as drg_sequence,
        drg.target_code as drg_code
    from rule as mdc
    inner join rule as adrg
        on mdc.scheme_code = adrg.scheme_code
        and mdc.target_code = adrg.parent_code
        and adrg.rule_level = 'ADRG'
    inner join rule as drg
        on adrg.scheme_code = drg.scheme_code
        and adrg.target_code = drg.parent_code
        and drg.rule_level = 'DRG'
    where mdc.rule_level = 'MDC'

    union all

    select
        scheme_code,
        2 as chain_order,
        rule_number as mdc_rule_number,
        null as adrg_rule_number,
        null as drg_rule_number,
        null as adrg_sequence,
        null as adrg_branch,
        null as drg_sequence,
        null as drg_code
    from rule
    where rule_level = 'MDC'

    union all

    select
        scheme_code,
        3 as chain_order,
        null as mdc_rule_number,
        null as adrg_rule_number,
        null as drg_rule_number,
        null as adrg_sequence,
        null as adrg_branch,
        null as drg_sequence,
        null as drg_code
    from scheme

    union all

    select
        scheme.scheme_code,
        reason.chain_order,
        null as mdc_rule_number,
        null as adrg_rule_number,
        null as drg_rule_number,
        null as adrg_sequence,
        null as adrg_branch,
        null as drg_sequence,
        null as drg_code
    from scheme
    cross join reason
    where reason.chain_order > 3
)

select
    row_number() over (
        order by
            chain.scheme_code nulls last,
            chain.chain_order nulls last,
            chain.adrg_sequence nulls last,
            chain.adrg_branch nulls last,
            chain.drg_sequence nulls last,
            chain.drg_rule_number nulls last,
            chain.adrg_rule_number nulls last,
            chain.mdc_rule_number nulls last
    ) as way_number,
    chain.scheme_code,
    chain.mdc_rule_number,
    chain.adrg_rule_number,
    chain.drg_rule_number,
    chain.chain_order <= 3 as is_open,
    case
        when chain.chain_order > 4 then 'invalid'
        when chain.chain_order > 1 then 'ungrouped'
        when branch.adrg_code = 'QY' then 'ambiguous'
        else 'grouped'
    end as grouping_status,
    case
        when chain.chain_order > 4 then scheme.invalid_mdc_code
        when chain.chain_order > 1 then scheme.ungrouped_mdc_code
        else branch.mdc_code
    end as mdc_code,
    case
        when chain.chain_order > 4 then scheme.invalid_adrg_code
        when chain.chain_order > 1 then scheme.ungrouped_adrg_code
        else branch.adrg_code
    end as adrg_code,
    case
        when chain.chain_order > 4 then scheme.invalid_drg_code
        when chain.chain_order > 1 then scheme.ungrouped_drg_code
        else chain.drg_code
    end as drg_code,
    case when branch.adrg_code = 'QY' then 'operation_outside_mdc' else reason.reason end as reason
from chain
inner join scheme on chain.scheme_code = scheme.scheme_code
left join branch
    on chain.scheme_code = branch.scheme_code
    and chain.adrg_branch = branch.adrg_branch
left join reason on chain.chain_order = reason.chain_order
