"""The policy numbers of the cost-growth judgement, each with its reason. No computation belongs here."""

from __future__ import annotations

from dataclasses import dataclass

COMPONENTS = ("drug", "consumable", "examination", "service")
# Channel of cost -> its fee column, in yuan.
FEES = {"total": "total_fee_yuan"} | {component: f"{component}_fee_yuan" for component in COMPONENTS}
CODING = "coding"
# Channel of a trend within the window -> the component that it is the trend of.
SLOPES = {f"{component}_slope": component for component in COMPONENTS}
# The order breaks ties between equal scores.
CHANNELS = (*FEES, CODING, *SLOPES)


@dataclass(frozen=True)
class CostGrowthParameters:
    """Policy numbers. Rates are fractions, money is in yuan; a value out of range raises ValueError."""

    # Below 30 cases in a year one long stay moves the mean by more than any growth worth asking about.
    minimum_case_count: int = 30
    # A DRG mean of fewer than 10 cases in the city's baseline year is no expectation; its cases are left out
    # and counted.
    minimum_drg_case_count: int = 10
    # An institution's own level in a DRG counts n / (n + 15): half its own word at 15 cases.
    shrinkage_case_count: float = 15.0
    # A trend over fewer than half of a window's months is a guess about the others.
    minimum_month_count: int = 6
    # The median of fewer than 5 others follows any one of them; the next wider circle of peers is asked
    # instead.
    minimum_peer_count: int = 5
    # A fee below 1 yuan, or below 5 % of what the DRG usually costs in the channel, is a token charge: the
    # case counts as without the component. Otherwise a 3-yuan item newly billed to everybody would swing a
    # logarithm by several units.
    minimum_fee_yuan: float = 1.0
    minimum_fee_share: float = 0.05
    # Residuals are cut at 4 robust standard deviations: a few extreme bills are a question about bills, not
    # about growth.
    residual_limit: float = 4.0
    # A unit's variance is pooled with that of its MDC as if the MDC brought 30 cases.
    variance_case_count: float = 30.0
    # The 5 % quantile of the falls is a tail only when at least two units lie beyond it.
    minimum_tail_unit_count: int = 40
    # Red: at most one flag in ten by chance. Amber: one in five. Grey: three in ten, shown but not called
    # significant; beyond that a city in which nothing happened regularly has a list.
    red_rate: float = 0.10
    amber_rate: float = 0.20
    grey_rate: float = 0.30
    # Below 50,000 yuan a year the review costs more than it can recover.
    minimum_excess_yuan: float = 50_000.0
    # Without weights the money that added complications bring is unknown; fewer than 10 of them are fewer than
    # a reviewer draws as a sample.
    minimum_severe_count: float = 10.0
    # A unit whose patients really became sicker codes more as well, but then its severe cases cost what severe
    # cases cost. Such units are few, so their test may be laxer than that of all units: a score of 3.3 (1 in
    # 2000) asks for 2.2 (1 in 70) of it.
    backing_factor: float = 1.5

    def __post_init__(self) -> None:
        """Refuse numbers with which the method has no meaning."""
        if not 0 < self.red_rate <= self.amber_rate <= self.grey_rate < 1:
            raise ValueError("rates must satisfy 0 < red_rate <= amber_rate <= grey_rate < 1")
        if not 0 <= self.minimum_fee_share < 1:
            raise ValueError("minimum_fee_share must be in [0, 1)")
        for name in (
            "minimum_case_count",
            "minimum_drg_case_count",
            "minimum_month_count",
            "minimum_peer_count",
            "minimum_fee_yuan",
            "residual_limit",
            "variance_case_count",
            "minimum_tail_unit_count",
            "minimum_severe_count",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        for name in ("shrinkage_case_count", "minimum_excess_yuan"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
