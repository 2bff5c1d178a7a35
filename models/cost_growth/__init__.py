"""Unreasonable cost growth: whose costs rose, within DRGs and against peers, by more than chance.

`case` orders and encodes the input, `residual` says what a case was expected to cost, `growth` compares the
years of an institution's MDC with each other and with its peers, `threshold` turns scores into a
false-discovery rate, `flag` puts them together. `parameters` holds every policy number. A flag is a lead for
a reviewer, not a finding.
"""

from models.cost_growth.flag import CostGrowthResult, flag_cost_growth
from models.cost_growth.parameters import CHANNELS, CostGrowthParameters

__all__ = ["CHANNELS", "CostGrowthParameters", "CostGrowthResult", "flag_cost_growth"]
