"""Expectation, residuals and growth on cities small enough to reckon by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from models.cost_growth import CostGrowthParameters
from models.cost_growth.case import encode_cases, find_years
from models.cost_growth.growth import find_peer_circles, measure_growth, solve_overdispersion
from models.cost_growth.residual import compute_residuals, fit_expectation

# No shrinkage, no pooling of DRGs, no cut: what is left is arithmetic.
PLAIN = CostGrowthParameters(
    minimum_case_count=2,
    minimum_drg_case_count=1,
    minimum_peer_count=1,
    shrinkage_case_count=0.0,
    residual_limit=1e6,
)


def rows(institution, drg, year, fees, *, level=3, mdc="B"):
    """Cases without any difference in age, sex, route or number of diagnoses."""
    return pd.DataFrame(
        {
            "institution_code": institution,
            "institution_level": level,
            "mdc_code": mdc,
            "drg_code": drg,
            "year": year,
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
    cases = pd.concat(parts, ignore_index=True)
    return encode_cases(cases, find_years(cases))


def measure(encoded, channel="total", parameters=PLAIN):
    expectation = fit_expectation(encoded, channel, parameters)
    used, residual = compute_residuals(encoded, expectation, parameters)
    return measure_growth(encoded, channel, used, residual, parameters)


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
    encoded = encode(*parts)
    circles = dict(zip(encoded.units, find_peer_circles(encoded, np.full(6, True), 2), strict=True))
    members = {unit: (name, [encoded.units[i][0] for i in index]) for unit, (name, index) in circles.items()}
    assert members["H0", "B"] == ("level_mdc", ["H1", "H2"])
    assert members["H3", "B"] == ("mdc", ["H0", "H1", "H2", "H4"])
    assert members["H0", "C"] == ("city", ["H0", "H1", "H2", "H3", "H4"])


def test_level_is_that_of_the_judged_year():
    encoded = encode(rows("H1", "BR11", 2018, [1, 2], level=2), rows("H1", "BR11", 2019, [1, 2], level=3.0))
    assert encoded.levels == {"H1": "3"}
    assert encoded.relevelled == {"H1"}


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
