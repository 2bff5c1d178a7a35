-- One row is a retry that takes a way before its certain one.
{{ earlier_way(ref('int_grouping__retry_candidate'), is_retry=true) }}
