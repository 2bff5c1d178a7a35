"""What would be used without the detector: simple scores of institution × MDC units, and their usual limits.

Each baseline sees the same cases. A score orders the units, a limit says which of them it would flag.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

UNIT = ["institution_code", "mdc_code"]
FEES = ["total_fee_yuan", "drug_fee_yuan", "consumable_fee_yuan", "examination_fee_yuan", "service_fee_yuan"]
BASELINES = {
    "growth": "growth of mean cost > 10 %",
    "o_e": "O/E > 1.2",
    "z": "z of growth > 2",
    "forest_raw": "IsolationForest, raw",
    "forest_adjusted": "IsolationForest, adjusted",
}


def score_baselines(
    cases: pd.DataFrame, units: pd.MultiIndex, year: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return baseline -> (score, is flagged) for `units` (institution, MDC), judging `year` against the year before.

    growth: of the mean total fee. O/E: total fee over what the DRG means of the city's earlier year expect. z:
    change of the mean log total fee over its standard error. The forests see the growth of the five fees, of
    volume and the level of cost: as they are, or adjusted for DRG.
    """
    judged = (cases["discharge_month"] // 12 == year).to_numpy()
    earlier = (cases["discharge_month"] // 12 == year - 1).to_numpy()
    before, after = cases[earlier], cases[judged]
    means = [frame.groupby(UNIT)[FEES].mean().reindex(units) for frame in (before, after)]
    growth = (means[1] / means[0]).to_numpy() - 1
    logs = [
        np.log(frame["total_fee_yuan"].clip(lower=1)).groupby([frame[key] for key in UNIT])
        for frame in (before, after)
    ]
    size, mean, variance = (
        [getattr(group, name)().reindex(units).to_numpy() for group in logs]
        for name in ("size", "mean", "var")
    )
    z = (mean[1] - mean[0]) / np.sqrt(variance[0] / size[0] + variance[1] / size[1])
    ratios = []
    expected = before.groupby("drg_code")[FEES].mean()
    for frame in (before, after):
        known = frame[FEES].notna().to_numpy()
        should = expected.reindex(frame["drg_code"]).to_numpy()
        table = pd.DataFrame(np.where(known, should, np.nan), columns=FEES, index=frame.index)
        observed = frame[FEES].where(~np.isnan(table.to_numpy()))
        by_unit = [
            part.groupby([frame[key] for key in UNIT]).sum().reindex(units) for part in (observed, table)
        ]
        ratios.append((by_unit[0] / by_unit[1]).to_numpy())
    volume = np.log(size[1] / size[0])[:, None]
    features = {
        "forest_raw": np.column_stack([growth, volume, mean[1]]),
        "forest_adjusted": np.column_stack([ratios[1] / ratios[0] - 1, volume, ratios[1][:, 0]]),
    }
    found = {
        "growth": (growth[:, 0], growth[:, 0] > 0.10),
        "o_e": (ratios[1][:, 0], ratios[1][:, 0] > 1.2),
        "z": (z, z > 2),
    }
    return found | {name: _isolate(values) for name, values in features.items()}


def _isolate(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.ensemble import IsolationForest

    known = np.nan_to_num(features, nan=0.0, posinf=0.0, neginf=0.0)
    forest = IsolationForest(random_state=0).fit(known)
    return -forest.score_samples(known), forest.predict(known) == -1
