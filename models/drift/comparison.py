"""The comparison of a month with its baseline, feature by feature: statistic, threshold, verdict and what moved.

The statistics are Evidently's own. A threshold is the larger of the smallest change that matters (`least_effect`) and what
chance alone would make of so few cases (`chance.py`): large numbers do not alarm by trifles, small ones not by luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.drift.chance import jensen_shannon_bound, wasserstein_bound

METHODS = {"number": "wasserstein", "category": "jensenshannon"}
# Statistics and thresholds are kept to this many places, and compared so.
PLACES = 6


@dataclass(frozen=True)
class Feature:
    """What is watched. `kind` is number or category; `shown_as` says how a value of a number is told:
    `mean`, `share` (mean of a fraction), `logarithm` (exp of the mean) or `deviation` (exp of the mean, minus 1).
    `categories` names the codes of a category."""

    id: str
    name: str
    kind: str
    least_effect: float
    unit: str = ""
    shown_as: str = "mean"
    decimals: int = 1
    categories: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """Evidently's name of the statistic."""
        return METHODS[self.kind]


@dataclass(frozen=True)
class Limits:
    """Below these counts of known values nothing is judged; `tail` is the chance of an alarm by luck per comparison."""

    least_current: int
    least_baseline: int
    tail: float


@dataclass(frozen=True)
class Comparison:
    """One feature of one organisation in one month. `statistic` and `threshold` are None where nothing was judged.

    `status` is stable, drifted or insufficient; `direction` tells what moved, `reason` why nothing was judged.
    """

    feature: Feature
    statistic: float | None
    threshold: float | None
    current_count: int
    baseline_count: int
    status: str
    direction: str | None
    reason: str | None


def compare(
    features: Sequence[Feature], current: pd.DataFrame, baseline: pd.DataFrame, limits: Limits
) -> list[Comparison]:
    """Compare two frames with one column per feature id (numbers as float, categories as text; missing is unknown).

    Returns one comparison per feature, in order. Raises KeyError where a column is missing.
    """
    return [_compare(feature, current[feature.id], baseline[feature.id], limits) for feature in features]


def _compare(feature: Feature, current: pd.Series, baseline: pd.Series, limits: Limits) -> Comparison:
    current, baseline = current.dropna(), baseline.dropna()
    counts = (len(current), len(baseline))
    reason = None
    if counts[0] < limits.least_current:
        reason = f"本月有值的仅{counts[0]}例，少于{limits.least_current}例"
    elif counts[1] < limits.least_baseline:
        reason = f"基线有值的仅{counts[1]}例，少于{limits.least_baseline}例"
    elif feature.kind == "number" and float(np.std(baseline.to_numpy())) == 0:
        reason = "基线中各例的值全部相同，无从衡量变化"
    if reason:
        return Comparison(feature, None, None, *counts, "insufficient", None, reason)
    if feature.kind == "number":
        chance = wasserstein_bound(baseline.to_numpy(), counts[0], limits.tail)
    else:
        categories = set(baseline.unique()) | set(current.unique())
        chance = jensen_shannon_bound(len(categories), *counts, limits.tail)
    threshold = round(max(feature.least_effect, chance), PLACES)
    # Two equal distributions differ by a rounding error of the library, which is none.
    statistic = round(_statistic(feature, current, baseline), PLACES)
    status = "drifted" if statistic >= threshold else "stable"
    return Comparison(
        feature, statistic, threshold, *counts, status, _direction(feature, current, baseline), None
    )


def _statistic(feature: Feature, current: pd.Series, baseline: pd.Series) -> float:
    from evidently.legacy.calculations.stattests import get_stattest  # noqa: PLC0415  (4 s to import)
    from evidently.legacy.core import ColumnType  # noqa: PLC0415

    # What ValueDrift of Evidently 0.7 calls; by itself, without the drawing, which takes a hundred times as long.
    kind = ColumnType.Numerical if feature.kind == "number" else ColumnType.Categorical
    test = get_stattest(baseline, current, kind, feature.method)
    return float(np.nan_to_num(test(baseline, current, kind, feature.least_effect).drift_score))


def _direction(feature: Feature, current: pd.Series, baseline: pd.Series) -> str:
    if feature.kind == "number":
        before, after = (_shown(feature, float(values.mean())) for values in (baseline, current))
        if before == after:
            return f"平均水平未变（{after}），分布形状改变"
        return f"由 {before} 变为 {after}"
    shares = [values.value_counts(normalize=True).to_dict() for values in (baseline, current)]
    pairs = {
        code: tuple(share.get(code, 0.0) for share in shares) for code in sorted({*shares[0], *shares[1]})
    }
    # Of yes and no, yes; else the category that moved most, of equals the one that rose, then the first by its code.
    code = min(
        pairs,
        key=lambda code: (
            code != "true", -round(abs(pairs[code][1] - pairs[code][0]), PLACES), pairs[code][1] < pairs[code][0],
        ),
    )  # fmt: skip
    before, after = (f"{share:.1%}" for share in pairs[code])
    return f"“{feature.categories.get(str(code), str(code))}”由 {before} 变为 {after}"


def _shown(feature: Feature, mean: float) -> str:
    if feature.shown_as == "share":
        return f"{mean:.{feature.decimals}%}"
    if feature.shown_as == "deviation":
        return f"{np.expm1(mean):+.{feature.decimals}%}"
    if feature.shown_as == "logarithm":
        mean = float(np.exp(mean))
    return f"{mean:,.{feature.decimals}f}{feature.unit}"
