"""How large a statistic gets by chance alone, where nothing changed: the other half of every threshold.

Wasserstein: under no change, the difference of the two empirical distributions is a Brownian bridge over the distribution
function, times sqrt(1/n + 1/m); its area is drawn from fixed random bridges, so the same sample gives the same bound.
Jensen-Shannon: the divergence is one eighth of a chi-squared with (categories - 1) degrees of freedom, times (1/n + 1/m).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import stats

DRAWS = 10_000
STEPS = 64
SEED = 20180101


@cache
def _bridges() -> tuple[np.ndarray, np.ndarray]:
    """Levels of the distribution function, denser towards both tails, and mean |bridge| between them: draws × steps."""
    levels = (1 - np.cos(np.pi * np.arange(STEPS + 1) / STEPS)) / 2
    generator = np.random.Generator(np.random.PCG64(SEED))
    steps = generator.standard_normal((DRAWS, STEPS)) * np.sqrt(np.diff(levels))
    walks = np.concatenate([np.zeros((DRAWS, 1)), np.cumsum(steps, axis=1)], axis=1)
    heights = np.abs(walks - levels * walks[:, -1:])
    return levels, ((heights[:, 1:] + heights[:, :-1]) / 2).astype(np.float32)


def wasserstein_bound(baseline: np.ndarray, current_count: int, tail: float) -> float:
    """The normed distance that a sample of `current_count` from the baseline exceeds with probability `tail`.

    `baseline` is a sample (one dimension, no missing values) with some spread.
    """
    levels, bridges = _bridges()
    widths = np.diff(np.quantile(baseline, levels)).astype(np.float32)
    place = int(DRAWS * (1 - tail))
    # A product so small is done before the threads of `@` have met: twenty times as fast without them.
    area = float(np.partition(np.einsum("ij,j", bridges, widths), place)[place])
    scale = np.sqrt(1 / current_count + 1 / len(baseline))
    return float(area * scale / max(float(np.std(baseline)), 0.001))


def jensen_shannon_bound(category_count: int, current_count: int, baseline_count: int, tail: float) -> float:
    """The distance (natural logarithm) that chance exceeds with probability `tail`; 0 for a single category."""
    if category_count < 2:
        return 0.0
    quantile = stats.chi2.ppf(1 - tail, category_count - 1)
    return float(np.sqrt(quantile * (1 / current_count + 1 / baseline_count) / 8))
