-- One row is a case and an MDC rule whose gate it passes.
{{ rules_that_hold('MDC', "select case_number, scheme_code, '' as parent_code from " ~ ref('int_grouping__subject')) }}
