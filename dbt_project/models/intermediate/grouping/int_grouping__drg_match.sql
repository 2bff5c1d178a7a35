-- One row is a case and a DRG rule that holds in a branch of an ADRG it matched.
{{ rules_that_hold(
    'DRG',
    "select case_number, scheme_code, target_code as parent_code, min(rule_sequence) as adrg_sequence from "
    ~ ref('int_grouping__adrg_match') ~ " group by case_number, scheme_code, target_code",
    carried=['parent_code', 'adrg_sequence'],
) }}
