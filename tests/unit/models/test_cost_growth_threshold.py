"""The false-discovery rate of scores: worked examples by hand."""

import math

import numpy as np
import pytest

from models.cost_growth.threshold import (
    BENJAMINI_HOCHBERG,
    MIRROR_TAIL,
    adjust_benjamini_hochberg,
    combine_channels,
    compute_fall_tail,
    compute_normal_tail,
    compute_p_values,
    estimate_mirror_rates,
    find_mirror_threshold,
    judge_scores,
)

# t:      8    7    6    5    4    3    2.5  1
# rises:  1    2    3    4    5    6    7    8
# falls:  0    0    0    0    0    0    1    2
# rate:   1/1  1/2  1/3  1/4  1/5  1/6  2/7  3/8
WORKED = np.array([5.0, -2.6, 8.0, 1.0, 6.0, -1.0, 3.0, 2.5, 7.0, 4.0])


def test_mirror_tail_worked_example():
    assert find_mirror_threshold(WORKED, 0.20) == 3.0
    assert find_mirror_threshold(WORKED, 0.17) == 3.0
    assert find_mirror_threshold(WORKED, 0.16) is None
    assert find_mirror_threshold(WORKED, 0.30) == 2.5
    rates = estimate_mirror_rates(WORKED)
    by_score = dict(zip(WORKED.tolist(), rates.tolist(), strict=True))
    assert all(by_score[score] == pytest.approx(1 / 6) for score in (8.0, 7.0, 6.0, 5.0, 4.0, 3.0))
    assert by_score[2.5] == pytest.approx(2 / 7)
    assert by_score[1.0] == pytest.approx(3 / 8)
    assert by_score[-1.0] == by_score[-2.6] == 1.0


def test_ten_rises_and_no_fall_are_the_least_for_one_in_ten():
    assert find_mirror_threshold(np.arange(1.0, 10.0), 0.10) is None
    assert find_mirror_threshold(np.arange(1.0, 11.0), 0.10) == 1.0


def test_equal_scores_are_flagged_together():
    scores = np.array([4.0] * 5 + [-4.0])
    assert find_mirror_threshold(scores, 0.39) is None  # (1 + 1) / 5
    assert find_mirror_threshold(scores, 0.40) == 4.0


def test_no_scores_and_no_rises():
    assert find_mirror_threshold(np.array([]), 0.1) is None
    assert find_mirror_threshold(np.array([-3.0, -1.0]), 0.5) is None
    verdict = judge_scores(np.array([]), np.array([]), 0.1)
    assert verdict.threshold is None
    assert verdict.is_flagged.size == 0


def test_score_is_the_largest_rise_or_fall_of_the_channels():
    nothing = float("nan")
    z = np.array([[1.0, 3.0], [-4.0, 3.0], [nothing, -0.5], [nothing, nothing], [2.0, -2.0]])
    np.testing.assert_array_equal(combine_channels(z), [3.0, -4.0, -0.5, nothing, 2.0])


def test_benjamini_hochberg_worked_example():
    adjusted = adjust_benjamini_hochberg(np.array([0.04, 0.001, 0.03, 0.5]))
    np.testing.assert_allclose(adjusted, [0.16 / 3, 0.004, 0.16 / 3, 0.5])


def test_normal_tail_of_the_largest_of_channels():
    single = 0.5 * math.erfc(2 / math.sqrt(2))
    tail = compute_normal_tail(np.array([2.0, 2.0, -50.0, 40.0]), np.array([1, 5, 5, 5]))
    np.testing.assert_allclose(tail, [single, 1 - (1 - single) ** 5, 1.0, 0.0], atol=1e-12)


def test_falls_teach_the_tail():
    rng = np.random.default_rng(1)
    light = rng.normal(size=400)
    heavy = rng.standard_t(2, size=400)
    at_five = np.array([5.0])
    p_light = compute_fall_tail(np.append(light, at_five))[-1]
    p_heavy = compute_fall_tail(np.append(heavy, at_five))[-1]
    assert p_light < 1e-3 < p_heavy
    assert (compute_fall_tail(np.array([3.0, -1.0])) == 0).all()  # one fall teaches nothing
    scores = np.sort(heavy)
    assert (np.diff(compute_p_values(scores, np.full(400, 5))) <= 1e-12).all()


def test_few_flags_fall_back_to_benjamini_hochberg_and_say_so():
    rng = np.random.default_rng(2)
    scores = np.append(rng.normal(size=100), [9.0, 8.0, 7.0])
    verdict = judge_scores(scores, compute_p_values(scores, np.full(scores.size, 5)), 0.10)
    assert verdict.method == BENJAMINI_HOCHBERG
    assert verdict.is_flagged.sum() == 3
    assert verdict.threshold == 7.0
    assert "under 10 flags" in verdict.note


def test_many_flags_are_judged_by_the_mirror():
    rng = np.random.default_rng(3)
    scores = np.append(rng.normal(size=100), np.linspace(5, 9, 15))
    verdict = judge_scores(scores, compute_p_values(scores, np.full(scores.size, 5)), 0.10)
    assert verdict.method == MIRROR_TAIL
    assert verdict.is_flagged[-15:].all()


def test_where_falls_are_as_large_the_mirror_refuses():
    scores = np.concatenate([np.linspace(6, 9, 15), -np.linspace(6, 9, 15), np.linspace(-1, 1, 101)])
    verdict = judge_scores(scores, np.where(scores > 5, 1e-9, 0.5), 0.10)
    assert verdict.method == MIRROR_TAIL
    assert not verdict.is_flagged.any()
    assert "falls" in verdict.note
