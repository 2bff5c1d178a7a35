"""What growth means in money: yuan beyond what the cases would have cost without it.

Whether that much is material is policy and not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.cost_growth.case import CaseArrays
from models.cost_growth.growth import UnitGrowth
from models.cost_growth.parameters import CODING, SLOPES
from models.cost_growth.unit import Units


@dataclass(frozen=True)
class Money:
    """Arrays of u units, nan where unknown: the excess in yuan, and of coding the number of added complications.

    `newly_severe_count` = cases with CC or MCC beyond what own history and peers led to expect.
    """

    excess_yuan: np.ndarray
    newly_severe_count: np.ndarray


def price_growth(cases: CaseArrays, units: Units, growth: UnitGrowth) -> Money:
    """Return the shrunken growth of one channel in yuan.

    A fee's growth g: (exp(g) - 1) × what the cases would have cost without it. A trend's rise: half of it,
    the mean of the window against its start. Coding: added complications × the weight that one adds × the
    city's baseline yuan per weight; nan where weights are unknown.
    """
    if growth.channel == CODING:
        severe_count = growth.shrunken * growth.case_count
        return Money(severe_count * _gain_per_severe_case(cases, units), severe_count)
    shrunken = growth.shrunken / 2 if growth.channel in SLOPES else growth.shrunken
    return Money(-np.expm1(-shrunken) * growth.fee_yuan, np.full(units.count, np.nan))


def _gain_per_severe_case(cases: CaseArrays, units: Units) -> np.ndarray:
    """Return per unit what one more CC or MCC brings in yuan, nan where no ADRG tells.

    Per ADRG the mean weight of the city's baseline cases with one minus that of those without, weighted by
    the unit's judged cases.
    """
    adrg, size = cases.codes["adrg_code"], len(cases.labels["adrg_code"])
    weight, fee = cases.relative_weight, cases.fees["total"]
    baseline = ~cases.is_judged & ~np.isnan(weight) & ~np.isnan(cases.complication_level)
    severe = cases.complication_level > 0
    mean = {}
    for is_severe in (False, True):
        rows = baseline & (severe == is_severe)
        count = np.bincount(adrg[rows], minlength=size)
        total = np.bincount(adrg[rows], weights=weight[rows], minlength=size)
        mean[is_severe] = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    gain = mean[True] - mean[False]
    paid = baseline & ~np.isnan(fee)
    weight_sum = weight[paid].sum()
    if not weight_sum > 0:
        return np.full(units.count, np.nan)
    rows = cases.is_judged & (units.of_case >= 0) & ~np.isnan(gain)[adrg]
    count = np.bincount(units.of_case[rows], minlength=units.count)
    total = np.bincount(units.of_case[rows], weights=gain[adrg[rows]], minlength=units.count)
    per_case = np.divide(total, count, out=np.full(units.count, np.nan), where=count > 0)
    return per_case * float(fee[paid].sum() / weight_sum)
