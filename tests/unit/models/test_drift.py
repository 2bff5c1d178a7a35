"""Drift on hand-made frames: the statistics, the thresholds of effect and chance, what is not judged, and the page."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from models.drift import Feature, Limits, compare, report_html

LIMITS = Limits(least_current=30, least_baseline=120, tail=0.001)
AGE = Feature("age_years", "年龄", "number", least_effect=0.2, unit="岁")
ROUTE = Feature("route", "入院途径", "category", least_effect=0.1, categories={"1": "急诊", "2": "门诊"})
FLAG = Feature("has_gap", "缺失", "category", least_effect=0.05, categories={"true": "是", "false": "否"})


def one(feature: Feature, current: list, baseline: list):
    (found,) = compare(
        [feature],
        pd.DataFrame({feature.id: pd.Series(current)}),
        pd.DataFrame({feature.id: pd.Series(baseline)}),
        LIMITS,
    )
    return found


def test_a_shift_of_one_standard_deviation_is_a_distance_of_one():
    baseline = np.tile([40.0, 50.0, 60.0, 70.0], 100)
    shift = float(np.std(baseline))
    found = one(AGE, list(baseline + shift), list(baseline))
    assert found.statistic == pytest.approx(1.0, abs=1e-6)
    assert found.status == "drifted" and found.threshold >= 0.2
    assert found.direction == "由 55.0岁 变为 66.2岁"


def test_the_distance_of_two_shares_by_hand():
    """Half and half becomes three quarters: sqrt of the mean of the two divergences from the middle (5/8, 3/8)."""
    found = one(ROUTE, ["1"] * 300 + ["2"] * 100, ["1"] * 600 + ["2"] * 600)
    p, q = np.array([0.5, 0.5]), np.array([0.75, 0.25])
    middle = (p + q) / 2
    by_hand = np.sqrt((np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2)
    assert found.statistic == pytest.approx(by_hand, abs=1e-6)
    assert found.status == "drifted"
    assert found.direction == "“急诊”由 50.0% 变为 75.0%"


def test_nothing_changed_is_stable_with_a_distance_of_nought():
    for feature, values in ((AGE, [1.0, 2.0, 3.0] * 100), (ROUTE, ["1", "2", "2"] * 100)):
        found = one(feature, values, values * 4)
        assert (found.statistic, found.status, found.reason) == (0.0, "stable", None)


def test_a_change_below_the_effect_is_stable_however_many_cases_there_are():
    generator = np.random.default_rng(1)
    baseline = generator.normal(50, 10, 60_000)
    found = one(AGE, list(generator.normal(51, 10, 5_000)), list(baseline))
    assert 0.08 < found.statistic < 0.2 == found.threshold
    assert found.status == "stable"


def test_with_few_cases_chance_sets_the_threshold():
    few, many = (one(ROUTE, ["1", "2"] * n, ["1", "2"] * 600) for n in (20, 2000))
    assert few.threshold == pytest.approx(np.sqrt(10.828 * (1 / 40 + 1 / 1200) / 8), abs=1e-4)
    assert many.threshold == 0.1


@pytest.mark.parametrize("count", [30, 60, 300])
@pytest.mark.parametrize("draw", ["normal", "beta", "poisson", "share", "chapter"])
def test_where_nothing_changed_alarms_are_rare(draw, count):
    """At most 2 in 200: at a chance of one in a thousand each, more have a probability of 0.1 %."""
    generator = np.random.default_rng(count)
    kind = "category" if draw in ("share", "chapter") else "number"
    feature = Feature("x", "x", kind, least_effect=0.0001)
    weights = np.array([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01])
    drawn = {
        "normal": lambda n: generator.normal(size=n),
        "beta": lambda n: generator.beta(1, 6, n),
        "poisson": lambda n: generator.poisson(0.7, n).astype(float),
        "share": lambda n: generator.choice(["true", "false"], n, p=[0.03, 0.97]),
        "chapter": lambda n: generator.choice(list("ABCDEFGHIJ"), n, p=weights),
    }[draw]
    alarms = sum(one(feature, list(drawn(count)), list(drawn(1500))).status == "drifted" for _ in range(200))
    assert alarms <= 2


@pytest.mark.parametrize("current, baseline", [(29, 500), (100, 119), (0, 500), (500, 0)])
def test_too_few_known_values_are_insufficient_never_stable(current, baseline):
    found = one(FLAG, ["true"] * current + [None] * 400, ["false"] * baseline + [None] * 400)
    assert (found.status, found.statistic, found.threshold, found.direction) == (
        "insufficient",
        None,
        None,
        None,
    )
    assert (found.current_count, found.baseline_count) == (current, baseline)
    assert "少于" in found.reason


def test_a_baseline_without_spread_is_insufficient():
    found = one(AGE, [1.0] * 100, [0.0] * 500)
    assert found.status == "insufficient" and "全部相同" in found.reason


def test_a_flag_tells_the_share_of_yes():
    found = one(FLAG, ["true"] * 20 + ["false"] * 180, ["true"] * 10 + ["false"] * 990)
    assert (found.status, found.direction) == ("drifted", "“是”由 1.0% 变为 10.0%")


def test_logarithms_shares_and_residuals_are_told_as_people_read_them():
    def told(shown_as, decimals, unit, before, after):
        feature = Feature("x", "x", "number", 0.1, unit, shown_as, decimals)
        spread = np.linspace(-0.1, 0.1, 200)
        return one(feature, list(after + spread), list(before + spread)).direction

    assert told("logarithm", 0, "元", np.log(10_000), np.log(12_000)) == "由 10,000元 变为 12,000元"
    assert told("share", 1, "", 0.31, 0.28) == "由 31.0% 变为 28.0%"
    assert told("deviation", 1, "", 0.0, np.log(1.1)) == "由 +0.0% 变为 +10.0%"


def test_the_page_has_the_same_figures_and_asks_nobody():
    generator = np.random.default_rng(3)
    current = pd.DataFrame({"age_years": generator.normal(60, 10, 400), "route": ["1"] * 300 + ["2"] * 100})
    baseline = pd.DataFrame({"age_years": generator.normal(50, 10, 1200), "route": ["1", "2"] * 600})
    baseline.loc[:50, "age_years"] = np.nan
    found = compare([AGE, ROUTE], current, baseline, LIMITS)
    page = report_html(found, current, baseline, "2019-07 <全市>")
    assert "<title>2019-07 &lt;全市&gt;</title>" in page
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page)
    assert not re.findall(r"url\([\"']?(?:https?:)?//", page)
    for item in found:
        # The page keeps six places, as the mart does.
        assert f"{item.statistic:.6f}".rstrip("0") in page


def test_a_page_of_nothing_is_refused():
    found = compare([AGE], pd.DataFrame({"age_years": [1.0]}), pd.DataFrame({"age_years": [1.0]}), LIMITS)
    with pytest.raises(ValueError):
        report_html(found, pd.DataFrame(), pd.DataFrame(), "x")
