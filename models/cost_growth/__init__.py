"""Unreasonable cost growth: whose costs rose, within DRGs and against peers, by more than chance.

`period` says which twelve months are compared, `case` orders and encodes the input, `unit` says what is judged
as one, `residual` what a case was expected to cost, `growth` compares the windows with each other and with
peers, `naming` finds the channel that a unit is named after, `money` prices it, `threshold` turns scores into
a false-discovery rate, `flag` puts them together. `yardstick` holds a flexible expectation against the simple
one. `parameters` holds every policy number. A flag is a lead for a reviewer, not a finding.
"""

from models.cost_growth.flag import CostGrowthResult, flag_cost_growth
from models.cost_growth.parameters import CHANNELS, FEES, CostGrowthParameters
from models.cost_growth.unit import UNIT_LEVELS
from models.cost_growth.yardstick import compare_expectations

__all__ = [
    "CHANNELS",
    "FEES",
    "UNIT_LEVELS",
    "CostGrowthParameters",
    "CostGrowthResult",
    "compare_expectations",
    "flag_cost_growth",
]
