-- One row is a case and an ADRG rule that holds in an MDC it entered.
{{ rules_that_hold('ADRG', "select distinct case_number, scheme_code, target_code as parent_code from " ~ ref('int_grouping__mdc_open')) }}
