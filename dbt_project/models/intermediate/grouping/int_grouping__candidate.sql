-- One row is a valid case under a scheme and a way before its certain one that it may take.
{{ candidates(ref('int_grouping__subject')) }}
