"""Asset checks of our own: the gate's rules, and the sums that must agree before a release is believed."""
