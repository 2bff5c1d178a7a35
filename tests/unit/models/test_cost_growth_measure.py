"""Expectation, residuals and growth on cities small enough to reckon by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from models.cost_growth import CostGrowthParameters
from models.cost_growth.case import encode_cases
from models.cost_growth.growth import (
    choose_circles,
    compare_severe_with_others,
    discount_coding,
    find_medians_of_others,
    judge_change,
    measure_level,
    measure_trend,
    place_residuals,
    remove_season,
    solve_overdispersion,
)
from models.cost_growth.money import price_growth
from models.cost_growth.parameters import CODING, SLOPES
from models.cost_growth.period import find_windows
from models.cost_growth.residual import compute_residuals, find_group_column, fit_expectation
from models.cost_growth.unit import find_cells, find_units

# No shrinkage, no pooling of DRGs, no cut: what is left is arithmetic.
PLAIN = CostGrowthParameters(
    minimum_case_count=2,
    minimum_drg_case_count=1,
    minimum_peer_count=1,
    minimum_month_count=2,
    shrinkage_case_count=0.0,
    residual_limit=1e6,
)


def rows(institution, drg, year, fees, *, level=3, mdc="B", months=0, severe=0.0, weight=1.0):
    """Cases without any difference in age, sex, route or number of diagnoses; `months` counts from 0."""
    return pd.DataFrame(
        {
            "institution_code": institution,
            "institution_level": level,
            "mdc_code": mdc,
            "adrg_code": drg[:3],
            "drg_code": drg,
            "department_code": "01",
            "complication_level": np.broadcast_to(np.asarray(severe, dtype=float), len(fees)),
            "relative_weight": np.broadcast_to(np.asarray(weight, dtype=float), len(fees)),
            "discharge_month": year * 12 + np.broadcast_to(np.asarray(months), len(fees)),
            "age_years": 50.0,
            "is_female": False,
            "is_emergency": False,
            "diagnosis_count": 3,
            "total_fee_yuan": np.asarray(fees, dtype=float),
            "drug_fee_yuan": 100.0,
            "consumable_fee_yuan": 0.0,
            "examination_fee_yuan": 100.0,
            "service_fee_yuan": 100.0,
        }
    )


def encode(*parts):
    return encode_cases(pd.concat(parts, ignore_index=True), find_windows("2019"))


def place(encoded, channel, parameters=PLAIN, level="mdc"):
    """Units, cells and residuals of a channel (of a trend: of its component)."""
    channel = SLOPES.get(channel, channel)
    used, residual = compute_residuals(encoded, fit_expectation(encoded, channel, parameters), parameters)
    units = find_units(encoded, level)
    cells = find_cells(encoded, units, find_group_column(channel))
    return units, cells, place_residuals(encoded, cells, channel, used, residual)


def measure(encoded, channel="total", parameters=PLAIN, level="mdc"):
    units, cells, residuals = place(encoded, channel, parameters, level)
    measured = measure_trend if channel in SLOPES else measure_level
    change = measured(encoded, units, cells, residuals, parameters)
    return judge_change(encoded, units, channel, change, parameters)


def test_expectation_is_the_mean_log_cost_of_the_drg_in_the_baseline_year():
    encoded = encode(
        rows("H1", "BR11", 2018, [1000, 4000]),
        rows("H1", "BR13", 2018, [500]),
        rows("H1", "BR11", 2019, [8000]),
    )
    expectation = fit_expectation(encoded, "total", PLAIN)
    assert expectation["intercept"]["BR11"] == pytest.approx(np.log(2000))
    assert expectation["intercept"]["BR13"] == pytest.approx(np.log(500))
    assert json.loads(json.dumps(expectation)) == expectation
    _, residual = compute_residuals(encoded, json.loads(json.dumps(expectation)), PLAIN)
    np.testing.assert_allclose(residual, np.log([0.5, 2, 4, 1]), atol=1e-7)


def test_judged_year_does_not_move_the_expectation():
    baseline = rows("H1", "BR11", 2018, [1000, 4000, 3000])
    one = fit_expectation(encode(baseline, rows("H1", "BR11", 2019, [10])), "total", PLAIN)
    other = fit_expectation(encode(baseline, rows("H1", "BR11", 2019, [9e6, 3e6])), "total", PLAIN)
    assert one == other


def test_linear_terms_are_recovered():
    rng = np.random.default_rng(5)
    cases = rows("H1", "BR11", 2018, np.ones(4000))
    cases["age_years"] = rng.uniform(0, 90, 4000)
    cases["is_emergency"] = rng.random(4000) < 0.4
    cases["total_fee_yuan"] = np.exp(
        8 + 0.05 * cases["age_years"] / 10 + 0.2 * cases["is_emergency"] + rng.normal(0, 0.3, 4000)
    )
    coefficient = fit_expectation(encode(cases, rows("H1", "BR11", 2019, [1.0])), "total", PLAIN)[
        "coefficient"
    ]
    assert coefficient["is_emergency"] == pytest.approx(0.2, abs=0.04)
    slope_at_45 = coefficient["age_decades"] + 2 * 4.5 * coefficient["age_decades_squared"]
    assert slope_at_45 == pytest.approx(0.05, abs=0.01)


def test_missing_covariates_take_the_baseline_mean():
    cases = rows("H1", "BR11", 2018, np.arange(100, 200))
    cases.loc[3, "age_years"] = np.nan
    cases["is_female"] = cases["is_female"].astype("object")
    cases.loc[4, "is_female"] = None
    encoded = encode(cases, rows("H1", "BR11", 2019, [100.0]))
    expectation = fit_expectation(encoded, "total", PLAIN)
    assert expectation["fill"]["age_years"] == 50.0
    used, residual = compute_residuals(encoded, expectation, PLAIN)
    assert used.all()
    assert np.isfinite(residual).all()


def test_cases_of_drgs_without_a_baseline_are_left_out():
    encoded = encode(rows("H1", "BR11", 2018, [100] * 3), rows("H1", "BR15", 2019, [100] * 4))
    used, residual = compute_residuals(encoded, fit_expectation(encoded, "total", PLAIN), PLAIN)
    assert used.sum() == residual.size == 3


def test_token_and_missing_fees_count_as_without_the_component():
    parameters = CostGrowthParameters(minimum_drg_case_count=1)
    encoded = encode(
        rows("H1", "BR11", 2018, [1000, 1000, 1000, 0]),
        rows("H1", "BR11", 2019, [1000, 49, 51, 0, np.nan, np.inf, -5]),
    )
    expectation = fit_expectation(encoded, "total", parameters)
    assert expectation["floor_yuan"] == {"BR11": 50.0}
    used, _ = compute_residuals(encoded, expectation, parameters)
    assert sorted(encoded.fees["total"][used].tolist()) == [51, 1000, 1000, 1000, 1000]


def test_growth_is_the_difference_of_means_against_the_median_peer():
    parts = []
    for number, factor in enumerate((1.0, 1.1, 1.2, 1.1, 2.0)):
        parts.append(rows(f"H{number}", "BR11", 2018, [1000, 2000]))
        parts.append(rows(f"H{number}", "BR11", 2019, np.array([1000, 2000]) * factor))
    growth = measure(encode(*parts))
    np.testing.assert_allclose(np.exp(growth.own), [1.0, 1.1, 1.2, 1.1, 2.0], rtol=1e-6)
    # Medians of the others: of (1.1 1.2 1.1 2), (1 1.2 1.1 2), (1 1.1 1.1 2), (1 1.1 1.2 2), (1 1.1 1.2 1.1).
    between = np.sqrt(1.1 * 1.2)
    np.testing.assert_allclose(np.exp(growth.peer), [between, between, 1.1, between, 1.1], rtol=1e-6)
    np.testing.assert_allclose(growth.growth, growth.own - growth.peer)


def test_a_dear_hospital_that_moves_between_drgs_has_not_grown():
    others = [
        rows(f"P{n}", drg, year, [1000, 1100])
        for n in range(3)
        for drg in ("BR11", "BR13")
        for year in (2018, 2019)
    ]
    # H1 costs twice the others in BR13 only, in both years; its mix moves from BR11 to BR13.
    own = [
        rows("H1", "BR11", 2018, [1000, 1100] * 6),
        rows("H1", "BR13", 2018, [2000, 2200] * 3),
        rows("H1", "BR11", 2019, [1000, 1100] * 3),
        rows("H1", "BR13", 2019, [2000, 2200] * 6),
    ]
    growth = measure(encode(*others, *own))
    np.testing.assert_allclose(growth.own, 0, atol=1e-7)


def test_peers_are_of_the_level_and_mdc_or_of_the_next_wider_circle():
    parts = []
    for number in range(5):
        for year in (2018, 2019):
            level = 3 if number < 3 else 2
            parts.append(rows(f"H{number}", "BR11", year, [1000, 1100], level=level))
    for year in (2018, 2019):
        parts.append(rows("H0", "CR11", year, [1000, 1100], mdc="C"))
    units = find_units(encode(*parts), "mdc")
    # Units in order: H0 B, H0 C, H1 B, H2 B, H3 B, H4 B.
    circle, others = choose_circles(units, np.full(6, True), 2)
    assert [list(units.circles)[number] for number in circle] == [
        "level_mdc", "city", "level_mdc", "level_mdc", "mdc", "mdc"
    ]  # fmt: skip
    assert others.tolist() == [2, 5, 2, 2, 4, 4]


def test_level_is_that_of_the_judged_year():
    encoded = encode(rows("H1", "BR11", 2018, [1, 2], level=2), rows("H1", "BR11", 2019, [1, 2], level=3.0))
    assert encoded.levels == ("3",)
    assert encoded.is_relevelled.tolist() == [True]


def test_an_institution_whose_level_changed_is_neither_judged_nor_a_peer():
    parts = []
    for number, factor in enumerate((3.0, 1.0, 1.0, 1.0)):
        before = 2 if number == 0 else 3
        parts.append(rows(f"H{number}", "BR11", 2018, [1000, 2000], level=before))
        parts.append(rows(f"H{number}", "BR11", 2019, np.array([1000, 2000]) * factor))
    growth = measure(encode(*parts))
    assert growth.status.tolist() == ["level_changed", "judged", "judged", "judged"]
    assert np.isnan(growth.z[0])
    np.testing.assert_allclose(growth.peer[1:], 0, atol=1e-7)
    assert growth.peer_count.tolist() == [0, 2, 2, 2]


def test_median_of_others_leaves_oneself_out():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 9, 60)
    group[0] = 9  # alone
    values = rng.normal(size=60).round(1)  # with ties
    expected = []
    for index in range(60):
        others = (group == group[index]) & (np.arange(60) != index)
        expected.append(np.median(values[others]) if others.any() else 0.0)
    np.testing.assert_allclose(find_medians_of_others(values, group), expected)


def test_coding_is_the_share_of_severe_cases_against_own_history_and_peers():
    parts = []
    for number in range(4):
        for year in (2018, 2019):
            # A quarter of the cases is severe and weighs 2 instead of 1; in H0 it becomes three quarters.
            severe = np.array([0, 1, 1, 1] if number == 0 and year == 2019 else [0, 0, 0, 1])
            parts.append(rows(f"H{number}", "BR11", year, [1000] * 4, severe=severe, weight=1 + severe))
    encoded = encode(*parts)
    growth = measure(encoded, CODING)
    np.testing.assert_allclose(growth.own, [0.5, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(growth.growth, [0.5, 0, 0, 0], atol=1e-7)
    money = price_growth(encoded, find_units(encoded, "mdc"), growth)
    # Two of four cases are newly severe; each brings one weight more, at 4000 yuan per 5 weights.
    np.testing.assert_allclose(money.newly_severe_count, [2, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(money.excess_yuan, [1600, 0, 0, 0], atol=1e-3)


def test_coding_compares_within_the_adrg_so_that_a_turn_to_sicker_patients_is_none():
    parts = []
    for number in range(3):
        for year in (2018, 2019):
            # Nobody is severe in BR1, everybody in BS1; H0 turns from the one to the other.
            sick = 6 if number == 0 and year == 2019 else 2
            parts.append(rows(f"H{number}", "BR11", year, [1000] * (8 - sick)))
            parts.append(rows(f"H{number}", "BS11", year, [1000] * sick, severe=1.0))
    np.testing.assert_allclose(measure(encode(*parts), CODING).own, 0, atol=1e-7)


def costs_of_severity(*, is_real: bool):
    """Score of severe cases' cost in H0, where half of the plain cases are called severe in the later year.

    A severe case costs 1.5 times a plain one; a case that is only called severe costs what it did.
    """
    rng = np.random.default_rng(1)
    parts = []
    for number in range(8):
        for year in (2018, 2019):
            truly = np.repeat([0.0, 1.0], 200)
            called = truly.copy()
            if number == 0 and year == 2019:
                called[:100] = 1.0
            costly = called if is_real else truly
            fees = 1000 * np.where(costly > 0, 1.5, 1.0) * np.exp(rng.normal(0, 0.2, 400))
            drg = np.where(called > 0, "BR11", "BR15")
            for code in ("BR11", "BR15"):
                rows_of = drg == code
                parts.append(rows(f"H{number}", code, year, fees[rows_of], severe=called[rows_of]))
    encoded = encode(*parts)
    units = find_units(encoded, "mdc")
    expectation = fit_expectation(encoded, "total", CostGrowthParameters())
    used, residual = compute_residuals(encoded, expectation, CostGrowthParameters())
    severe_z = compare_severe_with_others(encoded, units, used, residual, CostGrowthParameters())
    coding = measure(encoded, CODING)
    return coding.z[0], discount_coding(coding, severe_z, CostGrowthParameters()).z[0]


def test_a_rise_of_coding_needs_severe_cases_that_became_cheaper():
    share, borne_out = costs_of_severity(is_real=False)
    assert share > 5 and borne_out > 4
    share, borne_out = costs_of_severity(is_real=True)
    assert share > 5 and borne_out < 3


def test_coding_without_weights_has_cases_and_no_yuan():
    parts = [
        rows(f"H{number}", "BR11", year, [1000] * 4, severe=[0, 0, number == year - 2019, 1], weight=np.nan)
        for number in range(4)
        for year in (2018, 2019)
    ]
    encoded = encode(*parts)
    money = price_growth(encoded, find_units(encoded, "mdc"), measure(encoded, CODING))
    np.testing.assert_allclose(money.newly_severe_count, [1, 0, 0, 0], atol=1e-6)
    assert np.isnan(money.excess_yuan).all()


def test_a_trend_is_the_rise_from_the_first_to_the_last_month():
    month = np.arange(12)
    parts = []
    for number in range(4):
        for year in (2018, 2019):
            rise = 0.02 * month if number == 0 and year == 2019 else 0.0
            # Two cases a month, 10 % around the mean; everybody's drugs rise by 0.01 a month in 2019.
            shared = 0.01 * month * (year == 2019)
            for around in (-0.1, 0.1):
                cases = rows(f"H{number}", "BR11", year, np.full(12, 1000.0), months=month)
                parts.append(cases.assign(drug_fee_yuan=100 * np.exp(rise + shared + around)))
    encoded = encode(*parts)
    growth = measure(encoded, "drug_slope")
    np.testing.assert_allclose(growth.own, [0.33, 0.11, 0.11, 0.11], atol=1e-6)
    np.testing.assert_allclose(growth.growth, [0.22, 0, 0, 0], atol=1e-6)
    # Half of the rise is the mean of the window against its start.
    money = price_growth(encoded, find_units(encoded, "mdc"), growth)
    fee = 2 * 100 * np.cosh(0.1) * np.exp(0.03 * month).sum()
    assert growth.fee_yuan[0] == pytest.approx(fee, rel=1e-6)
    assert money.excess_yuan[0] == pytest.approx(fee * (1 - np.exp(-0.11)), rel=1e-6)


def test_a_move_to_dear_drgs_during_the_window_is_no_trend():
    parts = []
    for number in range(3):
        for year in (2018, 2019):
            for month in range(12):
                dear = month if number == 0 and year == 2019 else 5
                parts.append(rows(f"H{number}", "BR11", year, [1000] * (12 - dear), months=month))
                cases = rows(f"H{number}", "BR13", year, [9000] * dear, months=month)
                parts.append(cases.assign(drug_fee_yuan=2000.0))
    np.testing.assert_allclose(measure(encode(*parts), "drug_slope").own, 0, atol=1e-7)


def test_few_months_have_no_trend():
    parts = [
        rows(f"H{number}", "BR11", year, [1000] * 12, months=np.arange(12) % (3 if number == 0 else 12))
        for number in range(4)
        for year in (2018, 2019)
    ]
    parameters = CostGrowthParameters(
        minimum_case_count=2, minimum_drg_case_count=1, minimum_peer_count=1, minimum_month_count=6
    )
    growth = measure(encode(*parts), "drug_slope", parameters)
    assert growth.status.tolist() == ["too_few_months", "judged", "judged", "judged"]


def test_missing_months_bring_no_growth_when_the_city_changes_within_the_year():
    month = np.arange(12)
    parts = []
    for number in range(6):
        for year in (2018, 2019):
            fees = 1000 * np.where((month >= 6) & (year == 2019), 1.1, 1.0)
            cases = rows(f"H{number}", "BR11", year, fees, months=month)
            # The second half of 2019 of H0 has not arrived.
            parts.append(cases[(month < 6) | (number > 0) | (year == 2018)])
    encoded = encode(*parts)
    units, cells, residuals = place(encoded, "total")
    naive = measure_level(encoded, units, cells, residuals, PLAIN).own
    residuals.value[:] = remove_season(residuals, cells)
    own = measure_level(encoded, units, cells, residuals, PLAIN).own
    assert naive[0] - naive[1] == pytest.approx(-np.log(1.1) / 2, abs=1e-6)
    assert own[0] - own[1] == pytest.approx(0, abs=5e-4)
    assert own[1] == pytest.approx(np.log(1.1) / 2, abs=5e-3)  # what the city changed stays


def test_units_of_each_level():
    parts = []
    for year in (2018, 2019):
        for drg, department in (("BR11", "01"), ("BR15", "01"), ("BS11", None)):
            parts.append(rows("H1", drg, year, [1000] * 2).assign(department_code=department))
    encoded = encode(*parts)
    assert find_units(encoded, "mdc").count == 1
    assert find_units(encoded, "adrg").count == 2
    departments = find_units(encoded, "department")
    assert departments.count == 1
    assert (departments.of_case >= 0).sum() == 8  # the cases without department are in no unit


def test_overdispersion_is_found_and_a_tenth_of_anomalies_raises_it_in_bounds():
    rng = np.random.default_rng(7)
    variances = rng.uniform(0.001, 0.01, 4000)
    deviations = rng.normal(0, np.sqrt(variances + 0.004))
    assert solve_overdispersion(deviations, variances) == pytest.approx(0.004, rel=0.15)
    # A tenth far out moves the median of the others to their 0.5 / 0.9 quantile: 0.586 / 0.455 = 1.29 times
    # as wide, of a mean variance of 0.0095 in all.
    deviations[:400] += 1.0
    assert solve_overdispersion(deviations, variances) == pytest.approx(0.004 + 0.29 * 0.0095, rel=0.15)
    assert solve_overdispersion(rng.normal(0, 0.01, 500), np.full(500, 0.01)) == 0.0
    assert solve_overdispersion(np.array([]), np.array([])) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"red_rate": 0.3}, {"grey_rate": 1.0}, {"minimum_case_count": 0}, {"minimum_excess_yuan": -1.0}]
)
def test_policy_numbers_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        CostGrowthParameters(**wrong)
