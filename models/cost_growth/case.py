"""The input of the judgement: checked, put into one fixed order, and held as codes and float arrays.

Only representation belongs here. The order makes every later sum independent of the order in which rows
arrived.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.cost_growth.parameters import FEES
from models.cost_growth.period import Windows, name_month

KEYS = ("institution_code", "mdc_code", "adrg_code", "drg_code")
COVARIATES = ("age_years", "is_female", "is_emergency", "diagnosis_count")
REQUIRED_COLUMNS = (
    *KEYS,
    "institution_level",
    "department_code",
    "complication_level",
    "relative_weight",
    "discharge_month",
    *COVARIATES,
    *FEES.values(),
)


@dataclass(frozen=True)
class CaseArrays:
    """Grouped cases of two adjoining windows, n rows, sorted by institution, groups, month and every number.

    `codes` (per key column and department_code, n codes, -1 = no department) index the sorted `labels`;
    `levels` and `is_relevelled` have an entry per institution: its level as text ('' = not stated), and
    whether it had more than one in the two windows. `month` counts from the first of the baseline window;
    `is_judged` marks the later window. Numbers may be nan: fees in yuan, `complication_level` (0 none, 1 CC,
    2 MCC), `relative_weight`.
    """

    windows: Windows
    labels: dict[str, tuple[str, ...]]
    codes: dict[str, np.ndarray]
    levels: tuple[str, ...]
    is_relevelled: np.ndarray
    month: np.ndarray
    is_judged: np.ndarray
    complication_level: np.ndarray
    relative_weight: np.ndarray
    covariates: dict[str, np.ndarray]
    fees: dict[str, np.ndarray]
    left_out: dict[str, int]


def encode_cases(cases: pd.DataFrame, windows: Windows) -> CaseArrays | str:
    """Return the cases of both windows as arrays, or the sentence that says why they cannot be judged.

    A row without institution, MDC, ADRG, DRG or month has no unit and is left out; so is one outside the
    windows. The level of an institution is the highest of its judged window (of the baseline window if it has
    no judged cases). Raises ValueError if a column is missing.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in cases.columns]
    if missing:
        raise ValueError(f"cases lack the columns {', '.join(missing)}")
    months = _to_float(cases["discharge_month"])
    inside = (months >= windows.baseline_first) & (months < windows.end)
    keyed = inside & cases.loc[:, list(KEYS)].notna().all(axis=1).to_numpy()
    kept = np.flatnonzero(keyed)
    month = (months[kept] - windows.baseline_first).astype(np.int64)
    is_judged = month >= windows.judged_first - windows.baseline_first
    if not inside.any():
        return f"{_span(windows.baseline_first, windows.end)} 没有病例，无从比较"
    if not kept.size:
        return "没有同时具备机构、MDC、ADRG 和 DRG 的病例"
    if is_judged.all() or not is_judged.any():
        first = windows.baseline_first if is_judged.all() else windows.judged_first
        return f"{_span(first, first + 12)} 没有病例，比较需要前后各十二个月"
    codes, labels = {}, {}
    for name in (*KEYS, "department_code"):
        codes[name], labels[name] = _encode(cases[name], kept)
    numbers = {
        name: _to_float(cases[name])[kept]
        for name in ("complication_level", "relative_weight", *COVARIATES, *FEES.values())
    }
    levels, is_relevelled = _levels(
        cases["institution_level"].to_numpy()[kept],
        codes["institution_code"],
        len(labels["institution_code"]),
        is_judged,
    )
    key = np.zeros(kept.size, dtype=np.int64)
    for name in (*KEYS, "department_code"):
        key = key * (len(labels[name]) + 1) + codes[name] + 1
    # lexsort takes the last key first; rows that are still equal are equal in everything that is summed.
    order = np.lexsort((*numbers.values(), key * (windows.end - windows.baseline_first) + month))
    numbers = {name: values[order] for name, values in numbers.items()}
    return CaseArrays(
        windows=windows,
        labels=labels,
        codes={name: values[order] for name, values in codes.items()},
        levels=levels,
        is_relevelled=is_relevelled,
        month=month[order],
        is_judged=is_judged[order],
        complication_level=numbers["complication_level"],
        relative_weight=numbers["relative_weight"],
        covariates={name: numbers[name] for name in COVARIATES},
        fees={channel: numbers[column] for channel, column in FEES.items()},
        left_out={
            "outside_windows": int((~inside).sum()),
            "without_group": int((inside & ~keyed).sum()),
        },
    )


def digest_cases(cases: CaseArrays) -> str:
    """Return the SHA-256 of everything that the judgement reads, whatever the order of the rows was."""
    digest = hashlib.sha256(cases.windows.period.encode())
    for name, labels in cases.labels.items():
        digest.update(f"{name}:{'|'.join(labels)}".encode())
        digest.update(cases.codes[name].tobytes())
    digest.update("|".join(cases.levels).encode())
    numbers = [
        cases.complication_level,
        cases.relative_weight,
        *cases.covariates.values(),
        *cases.fees.values(),
    ]
    for values in (cases.is_relevelled, cases.month, *numbers):
        digest.update(values.tobytes())
    return digest.hexdigest()


def _span(first: int, end: int) -> str:
    return f"{name_month(first)} 至 {name_month(end - 1)}"


def _encode(column: pd.Series, kept: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes of the kept rows (-1 = null) and sorted labels; labels are text whatever the type."""
    codes, found = pd.factorize(column.iloc[kept])
    texts = [str(value) for value in found]
    labels = tuple(sorted(set(texts)))
    position = {text: number for number, text in enumerate(labels)}
    # The last entry is the code of null: index -1 finds it.
    return np.array([*(position[text] for text in texts), -1], dtype=np.int64)[codes], labels


def _to_float(column: pd.Series) -> np.ndarray:
    """Return float64 with nan for what is missing or not finite."""
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _levels(
    stated: np.ndarray, institution: np.ndarray, size: int, is_judged: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return per institution the level as text ('' where none is stated), and whether it has two of them."""
    frame = pd.DataFrame({"institution": institution, "is_judged": is_judged, "level": stated})
    frame = frame.drop_duplicates().dropna(subset="level")
    levels = [""] * size
    for row in frame.sort_values(["is_judged", "level"]).itertuples(index=False):
        level = row.level
        whole = isinstance(level, float) and level.is_integer()
        levels[row.institution] = str(int(level) if whole else level)
    pairs = frame.drop_duplicates(["institution", "level"])["institution"].to_numpy(dtype=np.int64)
    return tuple(levels), np.bincount(pairs, minlength=size) > 1
