-- One row is a retry and a way before its certain one that it may take.
{{ candidates(ref('int_grouping__retry_subject'), is_retry=true) }}
