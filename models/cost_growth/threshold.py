"""From scores to a false-discovery rate: the mirror tail, or Benjamini-Hochberg where flags are few.

Only arrays of scores belong here; what a score measures is not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MIRROR_TAIL = "mirror_tail"
BENJAMINI_HOCHBERG = "benjamini_hochberg"
# The upper quarter of the falls shows how fast chance thins out; a quarter of fewer than 20 falls is 4
# numbers.
TAIL_SHARE = 0.25
MINIMUM_FALL_COUNT = 20


@dataclass(frozen=True)
class Verdict:
    """All units judged at one rate: a mask, the method, and per unit the rate at which it would be flagged.

    `threshold` is the smallest flagged score (None without flags); `note` says in a sentence how it came
    about.
    """

    rate: float
    method: str
    threshold: float | None
    is_flagged: np.ndarray
    false_discovery_rate: np.ndarray
    note: str

    @property
    def is_refused(self) -> bool:
        """Return whether there were rises enough for the mirror tail, but too many falls as large."""
        return self.method == MIRROR_TAIL and self.threshold is None


def combine_channels(z: np.ndarray) -> np.ndarray:
    """Return the score W of each unit from z (units × channels, nan = not judged).

    W is the largest z, or minus the largest -z where that is larger; nan where no channel is judged.
    """
    rise = np.where(np.isnan(z), -np.inf, z).max(axis=1, initial=-np.inf)
    fall = np.where(np.isnan(z), -np.inf, -z).max(axis=1, initial=-np.inf)
    score = np.where(rise >= fall, rise, -fall)
    return np.where(np.isinf(score), np.nan, score)


def estimate_mirror_rates(scores: np.ndarray) -> np.ndarray:
    """Return per unit the smallest rate at which the mirror tail would flag it; 1 for scores up to 0.

    Flagging every W >= t is expected to include as many chance rises as there are falls W <= -t, plus one for
    the finite sample: rate(t) = (1 + #{W <= -t}) / #{W >= t}. A unit belongs to every t up to its own score.
    """
    scores = np.asarray(scores, dtype=np.float64)
    rates = np.ones(scores.shape)
    positive = np.unique(scores[scores > 0])
    if positive.size == 0:
        return rates
    rises, falls = count_tails(scores, positive)
    smallest = np.minimum.accumulate(np.minimum((1 + falls) / rises, 1.0))
    is_rise = scores > 0
    rates[is_rise] = smallest[np.searchsorted(positive, scores[is_rise])]
    return rates


def find_mirror_threshold(scores: np.ndarray, rate: float) -> float | None:
    """Return the smallest t with (1 + #{W <= -t}) / #{W >= t} <= rate, None if there is none."""
    flagged = np.asarray(scores)[estimate_mirror_rates(scores) <= rate]
    return float(flagged.min()) if flagged.size else None


def count_tails(scores: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (#{W >= t}, #{W <= -t}) for each threshold t."""
    ordered = np.sort(scores[~np.isnan(scores)])
    rises = ordered.size - np.searchsorted(ordered, thresholds, side="left")
    falls = np.searchsorted(ordered, -np.asarray(thresholds), side="right")
    return rises, falls


def compute_p_values(scores: np.ndarray, channel_counts: np.ndarray) -> np.ndarray:
    """Return one p-value per score: the normal one or the one that the falls teach, whichever is larger.

    `channel_counts` says of how many channels each score is the largest.
    """
    return np.maximum(compute_normal_tail(scores, channel_counts), compute_fall_tail(scores))


def compute_normal_tail(scores: np.ndarray, channel_counts: np.ndarray) -> np.ndarray:
    """Return the chance that the largest of several independent normal values reaches the score."""
    tail = np.array([0.5 * math.erfc(score / math.sqrt(2)) for score in scores.tolist()])
    with np.errstate(divide="ignore"):
        return np.where(tail < 1, -np.expm1(channel_counts * np.log1p(-np.minimum(tail, 1.0))), 1.0)


def compute_fall_tail(scores: np.ndarray) -> np.ndarray:
    """Return the share of units that rise this far if rises are as rare as falls; 0 if falls are too few.

    Within the falls it is counted; beyond their upper quarter it declines exponentially with the quarter's
    mean excess, so that heavy tails cost flags and a handful of real falls does not silence them.
    """
    falls = np.sort(-scores[scores < 0])
    if falls.size < MINIMUM_FALL_COUNT:
        return np.zeros(scores.shape)
    edge = float(np.quantile(falls, 1 - TAIL_SHARE))
    beyond = falls[falls > edge]
    excess = float((beyond - edge).sum() / beyond.size) if beyond.size else 0.0
    counted = (falls.size - np.searchsorted(falls, scores, side="left")) / scores.size
    extended = (
        TAIL_SHARE * falls.size / scores.size * np.exp(-np.maximum(scores - edge, 0) / max(excess, 1e-12))
    )
    return np.where(scores <= 0, 1.0, np.where(scores < edge, counted, extended))


def adjust_benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Return Benjamini-Hochberg adjusted p-values, in the order given."""
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * p_values.size / np.arange(1, p_values.size + 1)
    adjusted = np.empty(p_values.size)
    adjusted[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return adjusted


def judge_scores(scores: np.ndarray, p_values: np.ndarray, rate: float) -> Verdict:
    """Judge all units at one rate.

    The mirror tail decides where it can: it needs 1 / rate flags. Where Benjamini-Hochberg finds fewer than
    that, its flags stand; where it finds as many and the mirror refuses, the scores are wide on both sides
    and nothing is flagged.
    """
    needed = math.ceil(1 / rate - 1e-9)
    mirror = estimate_mirror_rates(scores)
    flagged = mirror <= rate
    if flagged.any():
        threshold = float(scores[flagged].min())
        return Verdict(rate, MIRROR_TAIL, threshold, flagged, mirror, f"mirror tail: {flagged.sum()} units")
    adjusted = adjust_benjamini_hochberg(p_values)
    candidates = adjusted <= rate
    number = int(candidates.sum())
    if number >= needed:
        note = f"mirror tail: {number} rises beyond chance, but too many falls are as large"
        return Verdict(rate, MIRROR_TAIL, None, np.zeros_like(candidates), mirror, note)
    note = f"under {needed} flags, too few for the mirror tail; Benjamini-Hochberg: {number}"
    threshold = float(scores[candidates].min()) if number else None
    return Verdict(rate, BENJAMINI_HOCHBERG, threshold, candidates, adjusted, note)
