"""Which channel a unit is named after: the one whose story leaves least of its growth unexplained.

The largest score alone would often call the growth of one component "total", or that of all components by the
one that is least noisy. Whether a unit is flagged is not decided here.
"""

from __future__ import annotations

import numpy as np

from models.cost_growth.growth import UnitGrowth
from models.cost_growth.parameters import CODING, COMPONENTS, SLOPES

_CORRELATION_CUT = (
    2.5  # scores beyond it are what is looked for, and say nothing about how noise runs together
)


def name_channels(growths: dict[str, UnitGrowth], signs: np.ndarray) -> np.ndarray:
    """Return per unit the channel that names it, '' for a unit with nothing judged.

    `growths`: by channel; `signs`: 1 where the unit's score is a rise, -1 where it is a fall. Coding names a
    unit where it has the largest score. Otherwise the stories "this component alone" and "all components
    alike" are compared by how much of the components' growth, and of their trends, each explains; a component
    is called by its trend where that has the larger score.
    """
    z = {channel: np.where(signs > 0, growth.z, -growth.z) for channel, growth in growths.items()}
    rank = np.column_stack([np.where(np.isnan(column), -np.inf, column) for column in z.values()])
    leading = np.array([*z], dtype=object)[rank.argmax(axis=1)]
    names = np.where(np.isneginf(rank.max(axis=1)), "", leading)
    level = [growths[component] for component in COMPONENTS]
    trend = [growths[channel] for channel in SLOPES]
    one, all_alike = (
        sum(parts) for parts in zip(explain_growth(level, signs), explain_growth(trend, signs), strict=True)
    )
    best = one.argmax(axis=1)
    open_question = (names != "") & (names != CODING)
    is_total = open_question & (all_alike >= one.max(axis=1)) & ~np.isnan(growths["total"].z)
    names[is_total] = "total"
    slope_of = {component: channel for channel, component in SLOPES.items()}
    for number, component in enumerate(COMPONENTS):
        rows = open_question & ~is_total & (best == number) & (one.max(axis=1) > 0)
        steeper = np.nan_to_num(z[slope_of[component]], nan=-np.inf) > np.nan_to_num(
            z[component], nan=-np.inf
        )
        names[rows] = np.where(steeper[rows], slope_of[component], component)
    return names


def explain_growth(growths: list[UnitGrowth], signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of k components' growth (as chi-square) each story explains: (u × k alone, u alike).

    With z the scores, R their correlation by chance and s the standard errors, a story says that z is a
    multiple of some x: of the component's unit vector, or of 1 / s if all grew alike. It explains
    (x'R⁻¹z)² / (x'R⁻¹x) of z'R⁻¹z; a multiple against the sign explains nothing.
    """
    z = np.column_stack([growth.z * signs for growth in growths])
    precision = 1 / np.column_stack([np.maximum(growth.deviation, 1e-9) for growth in growths])
    correlation = _correlate(z)
    alone, alike = np.zeros(z.shape), np.zeros(len(z))
    known = ~np.isnan(z)
    for pattern in np.unique(known, axis=0):
        columns = np.flatnonzero(pattern)
        if not columns.size:
            continue
        rows = np.flatnonzero((known == pattern).all(axis=1))
        inverse = np.linalg.inv(correlation[np.ix_(columns, columns)])
        weighted = z[np.ix_(rows, columns)] @ inverse
        alone[np.ix_(rows, columns)] = np.maximum(weighted, 0) ** 2 / np.diag(inverse)
        x = precision[np.ix_(rows, columns)]
        alike[rows] = np.maximum((x * weighted).sum(axis=1), 0) ** 2 / ((x @ inverse) * x).sum(axis=1)
    return alone, alike


def _correlate(z: np.ndarray) -> np.ndarray:
    """Return the correlation of the columns by chance; that of none where fewer than 20 units tell."""
    complete = z[~np.isnan(z).any(axis=1)]
    size = z.shape[1]
    if len(complete) < 20:
        return np.eye(size)
    cut = np.clip(complete, -_CORRELATION_CUT, _CORRELATION_CUT)
    deviation = cut - cut.mean(axis=0)
    spread = np.sqrt((deviation**2).sum(axis=0))
    spread[spread == 0] = 1.0
    correlation = (deviation / spread).T @ (deviation / spread)
    # A tenth towards none keeps the inverse tame where components run together by rule.
    return 0.9 * correlation + 0.1 * np.eye(size) if size else correlation
