"""The input of the judgement: checked, put into one fixed order, and held as codes and float arrays.

Only representation belongs here. The order makes every later sum independent of the order in which rows
arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.cost_growth.parameters import CHANNELS

KEYS = ("institution_code", "mdc_code", "drg_code", "year")
COVARIATES = ("age_years", "is_female", "is_emergency", "diagnosis_count")
REQUIRED_COLUMNS = (*KEYS, "institution_level", *COVARIATES, *CHANNELS.values())


@dataclass(frozen=True)
class CaseArrays:
    """Grouped cases of two consecutive years, n rows, sorted by unit, DRG, year and then by every number.

    A unit is an institution × MDC, a cell an institution × MDC × DRG. `unit`, `cell`, `drg` index the tuples
    beside them; `cell_unit` and `cell_drg` (one entry per cell) lead back; `is_judged` marks the later year;
    `relevelled` are the institutions that had more than one level in the two years; fees in yuan may be nan.
    """

    units: tuple[tuple[str, str], ...]
    drgs: tuple[str, ...]
    levels: dict[str, str]
    relevelled: frozenset[str]
    baseline_year: int
    judged_year: int
    unit: np.ndarray
    cell: np.ndarray
    drg: np.ndarray
    is_judged: np.ndarray
    cell_unit: np.ndarray
    cell_drg: np.ndarray
    covariates: dict[str, np.ndarray]
    fees: dict[str, np.ndarray]


def find_years(cases: pd.DataFrame) -> tuple[int, int] | str:
    """Return (baseline year, judged year), or the sentence that says why the rows cannot be judged.

    Raises ValueError if a column is missing or more than two years are given.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in cases.columns]
    if missing:
        raise ValueError(f"cases lack the columns {', '.join(missing)}")
    years = sorted({int(year) for year in cases["year"].dropna().unique()})
    if not years:
        return "no cases: nothing to compare"
    if len(years) == 1:
        return f"cases of {years[0]} only: growth needs the year before or after"
    if len(years) > 2:
        raise ValueError(f"cases of {len(years)} years {years}: hand over two consecutive years at a time")
    if years[1] - years[0] != 1:
        return f"cases of {years[0]} and {years[1]}: growth is judged between consecutive years"
    return years[0], years[1]


def encode_cases(cases: pd.DataFrame, years: tuple[int, int]) -> CaseArrays:
    """Return the cases as arrays; a row without institution, MDC, DRG or year has no unit and is left out.

    The level of an institution is the highest of its judged year (of the baseline year if it has no judged
    cases).
    """
    keyed = cases.loc[:, list(KEYS)].notna().all(axis=1).to_numpy()
    if not keyed.all():
        cases = cases.loc[keyed]
    codes, labels = {}, {}
    for name in KEYS[:3]:
        codes[name], labels[name] = _encode(cases[name])
    judged = cases["year"].to_numpy(dtype=np.int64) == years[1]
    covariates = {name: _to_float(cases[name]) for name in COVARIATES}
    fees = {channel: _to_float(cases[column]) for channel, column in CHANNELS.items()}
    levels, relevelled = _levels(
        cases["institution_level"], codes["institution_code"], labels["institution_code"], judged
    )
    mdc_count, drg_count = len(labels["mdc_code"]), len(labels["drg_code"])
    unit_key = codes["institution_code"].astype(np.int64) * mdc_count + codes["mdc_code"]
    cell_key = unit_key * drg_count + codes["drg_code"]
    # lexsort takes the last key first; rows that are still equal are equal in everything that is summed.
    order = np.lexsort((*fees.values(), *covariates.values(), cell_key * 2 + judged))
    cell_keys, cell = np.unique(cell_key[order], return_inverse=True)
    unit_keys, cell_unit = np.unique(cell_keys // drg_count, return_inverse=True)
    institutions, mdcs = labels["institution_code"], labels["mdc_code"]
    return CaseArrays(
        units=tuple((institutions[key // mdc_count], mdcs[key % mdc_count]) for key in unit_keys.tolist()),
        drgs=labels["drg_code"],
        levels=levels,
        relevelled=relevelled,
        baseline_year=years[0],
        judged_year=years[1],
        unit=cell_unit[cell],
        cell=cell,
        drg=(cell_keys % drg_count)[cell],
        is_judged=judged[order],
        cell_unit=cell_unit,
        cell_drg=cell_keys % drg_count,
        covariates={name: values[order] for name, values in covariates.items()},
        fees={name: values[order] for name, values in fees.items()},
    )


def _encode(column: pd.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes and sorted labels; labels are text whatever the column's type."""
    codes, found = pd.factorize(column)
    texts = [str(value) for value in found]
    labels = tuple(sorted(set(texts)))
    position = {text: number for number, text in enumerate(labels)}
    return np.array([position[text] for text in texts], dtype=np.int64)[codes], labels


def _to_float(column: pd.Series) -> np.ndarray:
    """Return float64 with nan for what is missing or not finite."""
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _levels(
    column: pd.Series, institution: np.ndarray, labels: tuple[str, ...], judged: np.ndarray
) -> tuple[dict[str, str], frozenset[str]]:
    """Return institution -> level as text ('' where none is stated), and the institutions of two levels."""
    stated = pd.DataFrame({"institution": institution, "judged": judged, "level": column.to_numpy()})
    stated = stated.drop_duplicates().dropna(subset="level")
    levels = dict.fromkeys(labels, "")
    for row in stated.sort_values(["judged", "level"]).itertuples(index=False):
        level = row.level
        whole = isinstance(level, float) and level.is_integer()
        levels[labels[row.institution]] = str(int(level) if whole else level)
    stated_count = stated.drop_duplicates(["institution", "level"])["institution"].value_counts()
    return levels, frozenset(labels[code] for code in stated_count.index[stated_count > 1])
