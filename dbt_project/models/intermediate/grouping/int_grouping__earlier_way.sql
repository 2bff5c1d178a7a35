-- One row is a valid case under a scheme that takes a way before its certain one.
{{ earlier_way(ref('int_grouping__candidate')) }}
