"""What a case was expected to cost, from the baseline year alone: a mean per DRG and small linear terms.

The expectation never uses what the hospital decides during the stay (length of stay, operations, wards). It
is a plain dictionary of rounded numbers, so that the text of it reproduces every residual. Comparing
residuals belongs to `growth`.
"""

from __future__ import annotations

import numpy as np

from models.cost_growth.case import COVARIATES, CaseArrays
from models.cost_growth.parameters import CostGrowthParameters

# Diagnoses beyond the 15th say more about the form than about the patient.
LARGEST_DIAGNOSIS_COUNT = 15.0
TERMS = ("age_decades", "age_decades_squared", "is_female", "is_emergency", "diagnosis_count")
_PLACES = 8  # of log yuan: far below a cent, far above the noise of a linear algebra library


def fit_expectation(cases: CaseArrays, channel: str, parameters: CostGrowthParameters) -> dict:
    """Return the expectation of log fee in one channel, fitted on the cases of the baseline year.

    Keys: `channel`, `baseline_year`, `case_count`, `fill` (value of a missing covariate), `coefficient` (log
    yuan per unit of a term), `intercept` and `floor_yuan` (per DRG code; DRGs with too few cases are absent
    from both).
    """
    fee = cases.fees[channel]
    floor = _floors(cases, fee, parameters)
    used = ~cases.is_judged & (fee >= floor[cases.drg])  # nan floor or fee compares false
    drg = cases.drg[used]
    log_fee = np.log(fee[used])
    fill = {name: _baseline_mean(cases.covariates[name], ~cases.is_judged) for name in COVARIATES}
    terms = _terms(cases, fill, used)
    size = len(cases.drgs)
    count = np.bincount(drg, minlength=size)
    kept = count >= parameters.minimum_drg_case_count
    divisor = np.maximum(count, 1)
    log_mean = np.bincount(drg, weights=log_fee, minlength=size) / divisor
    term_mean = np.column_stack(
        [np.bincount(drg, weights=column, minlength=size) / divisor for column in terms]
    )
    rows = kept[drg]
    coefficient = np.zeros(len(TERMS))
    if rows.sum() > 10 * len(TERMS):  # ten cases a term, or the DRG means have to do
        deviations = np.column_stack([column - term_mean[drg, number] for number, column in enumerate(terms)])
        coefficient = _fit_linear(deviations[rows], (log_fee - log_mean[drg])[rows])
    coefficient = np.round(coefficient, _PLACES)
    intercept = np.round(log_mean - term_mean @ coefficient, _PLACES)
    return {
        "channel": channel,
        "baseline_year": cases.baseline_year,
        "case_count": int(rows.sum()),
        "fill": fill,
        "coefficient": dict(zip(TERMS, coefficient.tolist(), strict=True)),
        "intercept": {cases.drgs[d]: float(intercept[d]) for d in np.flatnonzero(kept)},
        "floor_yuan": {cases.drgs[d]: float(floor[d]) for d in np.flatnonzero(kept)},
    }


def compute_residuals(
    cases: CaseArrays, expectation: dict, parameters: CostGrowthParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Return (used, residual): a mask over the n cases, and log(fee) - expected log fee of the used ones.

    A case is used if its DRG has an expectation and its fee reaches the DRG's floor; residuals are cut at
    `residual_limit` robust standard deviations of the baseline year's residuals.
    """
    fee = cases.fees[expectation["channel"]]
    nothing = float("nan")
    floor = np.array([expectation["floor_yuan"].get(code, nothing) for code in cases.drgs])
    intercept = np.array([expectation["intercept"].get(code, nothing) for code in cases.drgs])
    used = fee >= floor[cases.drg]
    expected = intercept[cases.drg[used]]
    for name, column in zip(TERMS, _terms(cases, expectation["fill"], used), strict=True):
        expected += expectation["coefficient"][name] * column
    residual = np.log(fee[used]) - expected
    baseline = residual[~cases.is_judged[used]]
    if baseline.size:
        centre = np.median(baseline)
        limit = parameters.residual_limit * 1.4826 * float(np.median(np.abs(baseline - centre)))
        if limit > 0:
            np.clip(residual, centre - limit, centre + limit, out=residual)
    return used, residual


def _floors(cases: CaseArrays, fee: np.ndarray, parameters: CostGrowthParameters) -> np.ndarray:
    """Return per DRG the fee from which a case has the component: a share of the median of real fees."""
    has_fee = np.flatnonzero(~cases.is_judged & (fee >= parameters.minimum_fee_yuan))
    ordered = has_fee[np.lexsort((fee[has_fee], cases.drg[has_fee]))]
    count = np.bincount(cases.drg[ordered], minlength=len(cases.drgs))
    floor = np.full(len(cases.drgs), np.nan)
    start = np.concatenate(([0], np.cumsum(count)[:-1]))
    present = count > 0
    low, high = start + (count - 1) // 2, start + count // 2
    sorted_fee = fee[ordered]
    median = (sorted_fee[low[present]] + sorted_fee[high[present]]) / 2
    floor[present] = np.maximum(parameters.minimum_fee_yuan, parameters.minimum_fee_share * median)
    return np.round(floor, 2)


def _baseline_mean(values: np.ndarray, rows: np.ndarray) -> float:
    known = values[rows & ~np.isnan(values)]
    return round(float(known.sum() / known.size), _PLACES) if known.size else 0.0


def _terms(cases: CaseArrays, fill: dict[str, float], rows: np.ndarray) -> list[np.ndarray]:
    """Return the columns of TERMS for the chosen rows; a missing covariate takes the baseline's mean."""
    values = {}
    for name in COVARIATES:
        column = cases.covariates[name][rows]
        values[name] = np.where(np.isnan(column), fill[name], column)
    decades = values["age_years"] / 10
    diagnoses = np.minimum(values["diagnosis_count"], LARGEST_DIAGNOSIS_COUNT)
    return [decades, decades**2, values["is_female"], values["is_emergency"], diagnoses]


def _fit_linear(terms: np.ndarray, target: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - a second to import, needed only here

    return LinearRegression(fit_intercept=False).fit(terms, target).coef_
