"""Random draws that stays and prescriptions share: weighted choices, ages, months, and people who come again.

Every function takes its random numbers or its generator from the caller; nothing here knows what is drawn.
"""

from __future__ import annotations

import numpy as np


def month_start(months: np.ndarray) -> np.ndarray:
    """Return the first day (`datetime64[D]`) of month numbers `year * 12 + month - 1`."""
    return (months - 1970 * 12).astype("datetime64[M]").astype("datetime64[D]")


def days(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers as spans of days."""
    return np.floor(numbers).astype(np.int64).astype("timedelta64[D]")


def choose(rng: np.random.Generator, count: int, weights) -> np.ndarray:
    """Draw indexes with the given weights."""
    share = np.cumsum(np.asarray(weights, dtype=float))
    return np.searchsorted(share / share[-1], rng.random(count), side="right").clip(0, len(share) - 1)


def full_years(birth: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return completed years between two `datetime64[D]` arrays."""
    months = day.astype("datetime64[M]").astype(np.int64) - birth.astype("datetime64[M]").astype(np.int64)
    birth_day = (birth - birth.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    this_day = (day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    return (months - (this_day < birth_day)) // 12


def triangular(low: np.ndarray, mode: np.ndarray, high: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return values of a triangular distribution by inversion; equal bounds give the bound."""
    width = np.maximum(high - low, 1e-9)
    peak = (mode - low) / width
    rising = low + np.sqrt(u * width * np.maximum(mode - low, 0))
    falling = high - np.sqrt((1 - u) * width * np.maximum(high - mode, 0))
    return np.where(u < peak, rising, falling)


def link_returns(
    rng: np.random.Generator,
    kind: np.ndarray,
    *,
    eligible: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    chance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Make some rows later visits of the person of an earlier row of the same kind.

    `kind` is any integer key; a row follows another only if it starts at least two days after the other's
    `end`. Returns for every row the index of the person's first row, and the visit's number counted from 1.
    """
    order = np.lexsort((start, kind))
    k, s, e, ok = kind[order], start[order], end[order], eligible[order]
    linked = np.zeros(len(order), dtype=bool)
    linked[1:] = (
        (k[1:] == k[:-1])
        & ok[1:]
        & ok[:-1]
        & (s[1:] > e[:-1] + np.timedelta64(1, "D"))
        & (rng.random(max(len(order) - 1, 0)) < chance)
    )
    position = np.arange(len(order))
    first = np.maximum.accumulate(np.where(linked, 0, position)) if len(order) else position
    leader = np.empty(len(order), dtype=np.int64)
    ordinal = np.empty(len(order), dtype=np.int64)
    leader[order] = order[first]
    ordinal[order] = position - first + 1
    return leader, ordinal
