"""From judgements to figures: rankings, rates, intervals. Only numbers belong here, no frames of the detector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
_NORMAL = 1.959964  # standard errors on either side of a 95 % interval


def average_precision(is_true: np.ndarray, score: np.ndarray) -> float:
    """Return the mean precision at each true unit, best score first; equal scores count as one step. nan without any."""
    order = np.argsort(-np.asarray(score), kind="stable")
    hits, ordered = np.asarray(is_true, dtype=bool)[order], np.asarray(score)[order]
    if not hits.any():
        return math.nan
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # the last place of each score
    found = np.cumsum(hits)[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / hits.sum())


def precision_at(is_true: np.ndarray, score: np.ndarray, count: int) -> float:
    """Return the share of true units among the `count` best; equal scores in the order given."""
    order = np.argsort(-np.asarray(score), kind="stable")[:count]
    return float(np.asarray(is_true, dtype=bool)[order].sum() / count)


def wilson(hits: int, count: int) -> tuple[float, float, float]:
    """Return (rate, low, high) with Wilson's 95 % interval; nan for 0 of 0."""
    if not count:
        return (math.nan,) * 3
    rate = hits / count
    centre = (hits + _NORMAL**2 / 2) / (count + _NORMAL**2)
    half = _NORMAL / (count + _NORMAL**2) * math.sqrt(count * rate * (1 - rate) + _NORMAL**2 / 4)
    return rate, max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, float, float]:
    """Return (ratio of the sums, low, high): the interval is that of 2000 resamplings of whole cities.

    With denominators of 1 it is the mean over the cities. nan where nothing is to be divided by.
    """
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if not bottom.sum() or np.isnan(top).any():
        return (math.nan,) * 3
    drawn = np.random.default_rng(0).integers(0, top.size, (RESAMPLES, top.size))
    sums = bottom[drawn].sum(axis=1)
    ratios = top[drawn].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(top.sum() / bottom.sum()), float(low), float(high)
