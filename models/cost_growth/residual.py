"""What was expected of a case, from the baseline window alone: a mean per group and small linear terms.

Expected are log fees of a DRG and, for coding intensity, a complication or comorbidity (0 or 1) of an ADRG.
The expectation never uses what the hospital decides during the stay (length of stay, operations, wards). It
is a plain dictionary of rounded numbers, so that the text of it reproduces every residual. Comparing
residuals belongs to `growth`.
"""

from __future__ import annotations

import numpy as np

from models.cost_growth.case import COVARIATES, CaseArrays
from models.cost_growth.parameters import CODING, CostGrowthParameters
from models.cost_growth.period import name_month

# Diagnoses beyond the 15th say more about the form than about the patient.
LARGEST_DIAGNOSIS_COUNT = 15.0
TERMS = ("age_decades", "age_decades_squared", "is_female", "is_emergency", "diagnosis_count")
# Whoever codes more diagnoses must not thereby be expected to have more complications.
CODING_TERMS = ("age_decades", "age_decades_squared")
_PLACES = 8  # of log yuan: far below a cent, far above the noise of a linear algebra library


def fit_expectation(cases: CaseArrays, channel: str, parameters: CostGrowthParameters) -> dict:
    """Return the expectation of one channel, fitted on the cases of the baseline window.

    Keys: `channel`, `group` (column that `intercept` is by), `baseline_first_month`, `case_count`, `fill`
    (value of a missing covariate), `coefficient` (log yuan, for coding a fraction of cases, per unit of a
    term), `intercept` per group (groups with too few cases are absent) and, of log fees, `floor_yuan` per
    DRG.
    """
    group_column = find_group_column(channel)
    codes, labels = cases.codes[group_column], cases.labels[group_column]
    size = len(labels)
    if channel == CODING:
        floor = None
        used = ~cases.is_judged & ~np.isnan(cases.complication_level)
    else:
        floor = _floors(cases, cases.fees[channel], parameters)
        used = ~cases.is_judged & (cases.fees[channel] >= floor[codes])  # nan floor or fee compares false
    group, target = codes[used], _target(cases, channel, used)
    names = CODING_TERMS if channel == CODING else TERMS
    fill = {name: _baseline_mean(cases.covariates[name], ~cases.is_judged) for name in COVARIATES}
    terms = _terms(cases, names, fill, used)
    count = np.bincount(group, minlength=size)
    kept = count >= parameters.minimum_drg_case_count
    divisor = np.maximum(count, 1)
    mean = np.bincount(group, weights=target, minlength=size) / divisor
    term_mean = np.column_stack(
        [np.bincount(group, weights=column, minlength=size) / divisor for column in terms]
    )
    rows = kept[group]
    coefficient = np.zeros(len(names))
    if rows.sum() > 10 * len(names):  # ten cases a term, or the group's means have to do
        deviations = np.column_stack(
            [column - term_mean[group, number] for number, column in enumerate(terms)]
        )
        coefficient = _fit_linear(deviations[rows], (target - mean[group])[rows])
    coefficient = np.round(coefficient, _PLACES)
    intercept = np.round(mean - term_mean @ coefficient, _PLACES)
    found = np.flatnonzero(kept)
    expectation = {
        "channel": channel,
        "group": group_column,
        "baseline_first_month": name_month(cases.windows.baseline_first),
        "case_count": int(rows.sum()),
        "fill": fill,
        "coefficient": dict(zip(names, coefficient.tolist(), strict=True)),
        "intercept": {labels[number]: float(intercept[number]) for number in found},
    }
    if floor is not None:
        expectation["floor_yuan"] = {labels[number]: float(floor[number]) for number in found}
    return expectation


def compute_residuals(
    cases: CaseArrays, expectation: dict, parameters: CostGrowthParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Return (used, residual): a mask over the n cases, and observed - expected of the used ones.

    A case is used if its group has an expectation and its fee reaches the DRG's floor (for coding: if its
    complication level is known); residuals of log fees are cut at `residual_limit` robust standard deviations
    of the baseline window's residuals.
    """
    channel = expectation["channel"]
    codes, labels = cases.codes[expectation["group"]], cases.labels[expectation["group"]]
    intercept = _by_label(labels, expectation["intercept"])
    if channel == CODING:
        used = ~np.isnan(cases.complication_level) & ~np.isnan(intercept)[codes]
    else:
        used = cases.fees[channel] >= _by_label(labels, expectation["floor_yuan"])[codes]
    residual = _target(cases, channel, used) - intercept[codes[used]]
    coefficient = expectation["coefficient"]
    for name, column in zip(coefficient, _terms(cases, coefficient, expectation["fill"], used), strict=True):
        residual -= coefficient[name] * column
    baseline = residual[~cases.is_judged[used]]
    if channel != CODING and baseline.size:
        centre = np.median(baseline)
        limit = parameters.residual_limit * 1.4826 * float(np.median(np.abs(baseline - centre)))
        if limit > 0:
            np.clip(residual, centre - limit, centre + limit, out=residual)
    return used, residual


def find_group_column(channel: str) -> str:
    """Return what cases of a channel are compared within: the ADRG for coding, which moves cases between DRGs."""
    return "adrg_code" if channel == CODING else "drg_code"


def _target(cases: CaseArrays, channel: str, rows: np.ndarray) -> np.ndarray:
    if channel == CODING:
        return (cases.complication_level[rows] > 0).astype(np.float64)
    return np.log(cases.fees[channel][rows])


def _by_label(labels: tuple[str, ...], values: dict[str, float]) -> np.ndarray:
    """Return the value of each label, nan where there is none."""
    return np.array([values.get(label, float("nan")) for label in labels])


def _floors(cases: CaseArrays, fee: np.ndarray, parameters: CostGrowthParameters) -> np.ndarray:
    """Return per DRG the fee from which a case has the component: a share of the median of real fees."""
    drg, size = cases.codes["drg_code"], len(cases.labels["drg_code"])
    has_fee = np.flatnonzero(~cases.is_judged & (fee >= parameters.minimum_fee_yuan))
    ordered = has_fee[np.lexsort((fee[has_fee], drg[has_fee]))]
    count = np.bincount(drg[ordered], minlength=size)
    floor = np.full(size, np.nan)
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


def _terms(cases: CaseArrays, names, fill: dict[str, float], rows: np.ndarray) -> list[np.ndarray]:
    """Return the columns of the terms for the chosen rows; a missing covariate takes the baseline's mean."""
    values = {}
    for name in COVARIATES:
        column = cases.covariates[name][rows]
        values[name] = np.where(np.isnan(column), fill[name], column)
    decades = values["age_years"] / 10
    terms = {
        "age_decades": decades,
        "age_decades_squared": decades**2,
        "is_female": values["is_female"],
        "is_emergency": values["is_emergency"],
        "diagnosis_count": np.minimum(values["diagnosis_count"], LARGEST_DIAGNOSIS_COUNT),
    }
    return [terms[name] for name in names]


def _fit_linear(terms: np.ndarray, target: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - a second to import, needed only here

    return LinearRegression(fit_intercept=False).fit(terms, target).coef_
