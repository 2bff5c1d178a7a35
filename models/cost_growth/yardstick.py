"""Does a flexible model expect cost better than DRG means and small linear terms? The yardstick, not the method.

Used by the evaluation; no run of the pipeline needs it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.cost_growth.case import COVARIATES, encode_cases
from models.cost_growth.parameters import FEES, CostGrowthParameters
from models.cost_growth.period import find_windows
from models.cost_growth.residual import compute_residuals, fit_expectation

COMPARISON_COLUMNS = {
    "channel": "str",
    "expectation": "str",
    "case_count": "int64",
    "mean_error": "float64",
    "mean_absolute_error": "float64",
    "error_deviation": "float64",
}


def compare_expectations(
    cases: pd.DataFrame, period: str, parameters: CostGrowthParameters | None = None
) -> pd.DataFrame:
    """Return the errors out of time of both expectations: fitted on the baseline window, asked of the judged.

    A row per fee channel and expectation (`linear`, `gradient_boosting`), in log yuan over the same cases,
    uncut: `mean_error` (what the window as a whole changed), and about it the mean absolute error and the
    standard deviation. Gradient boosting sees what the linear one sees: the DRG as its mean log fee, age, sex,
    admission route, number of diagnoses. Raises ValueError as `flag_cost_growth` does, and if the period
    cannot be judged.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 - seconds to import
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    parameters = parameters or CostGrowthParameters(residual_limit=float("inf"))
    encoded = encode_cases(cases, find_windows(period))
    if isinstance(encoded, str):
        raise ValueError(encoded)
    rows = []
    for channel in FEES:
        expectation = fit_expectation(encoded, channel, parameters)
        used, linear = compute_residuals(encoded, expectation, parameters)
        log_fee = np.log(encoded.fees[channel][used])
        judged = encoded.is_judged[used]
        if judged.all() or not judged.any():
            continue
        group = encoded.codes["drg_code"][used]
        size = len(encoded.labels["drg_code"])
        count = np.bincount(group[~judged], minlength=size)
        mean = np.bincount(group[~judged], weights=log_fee[~judged], minlength=size) / np.maximum(count, 1)
        inputs = np.column_stack([mean[group], *(encoded.covariates[name][used] for name in COVARIATES)])
        # The library's usual 100 trees of 31 leaves. No early stopping: it would draw a validation sample.
        boosting = HistGradientBoostingRegressor(early_stopping=False, random_state=0)
        with threadpool_limits(1):  # its threads wait for each other on a busy machine
            boosting.fit(inputs[~judged], log_fee[~judged])
            boosted = log_fee[judged] - boosting.predict(inputs[judged])
        for name, error in (("linear", linear[judged]), ("gradient_boosting", boosted)):
            about = error - error.mean()
            rows.append((channel, name, error.size, error.mean(), np.abs(about).mean(), about.std()))
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)).astype(COMPARISON_COLUMNS)
