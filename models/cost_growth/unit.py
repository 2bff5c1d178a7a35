"""What is judged as one: an institution's MDC, its ADRG, or the MDC of one of its departments.

Which cases a unit has, and which other units are its peers. Growth is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.cost_growth.case import CaseArrays

# Unit level -> the columns that make a unit beside the institution.
UNIT_LEVELS = {
    "mdc": ("mdc_code",),
    "adrg": ("mdc_code", "adrg_code"),
    "department": ("department_code", "mdc_code"),
}
# Unit level -> circles of peers from near to far: what units of one circle share. The last is the city.
PEER_CIRCLES = {
    "mdc": {"level_mdc": ("level", "mdc_code"), "mdc": ("mdc_code",), "city": ()},
    "adrg": {
        "level_adrg": ("level", "mdc_code", "adrg_code"),
        "adrg": ("mdc_code", "adrg_code"),
        "mdc": ("mdc_code",),
        "city": (),
    },
    "department": {
        "level_department": ("level", "department_code", "mdc_code"),
        "level_mdc": ("level", "mdc_code"),
        "mdc": ("mdc_code",),
        "city": (),
    },
}


@dataclass(frozen=True)
class Units:
    """The u units of one level, in the order of their codes.

    `codes`: per column u codes into the labels of the cases (a column that does not make the unit is absent);
    `of_case`: n unit numbers, -1 = in no unit. `circles`: per circle of peers u group numbers.
    """

    level: str
    codes: dict[str, np.ndarray]
    of_case: np.ndarray
    circles: dict[str, np.ndarray]

    @property
    def count(self) -> int:
        """Return u."""
        return self.codes["institution_code"].size


@dataclass(frozen=True)
class Cells:
    """The parts of units that are compared like with like: unit × group (a DRG; for coding an ADRG).

    `of_case`: n cell numbers, -1 = in no unit; `unit`: the unit of each cell.
    """

    of_case: np.ndarray
    unit: np.ndarray


def find_units(cases: CaseArrays, level: str) -> Units:
    """Return the units of a level. A case without department has no department's unit."""
    columns = ("institution_code", *UNIT_LEVELS[level])
    sizes = [len(cases.labels[column]) for column in columns]
    key = np.zeros(cases.month.size, dtype=np.int64)
    placed = np.ones(cases.month.size, dtype=bool)
    for column, size in zip(columns, sizes, strict=True):
        placed &= cases.codes[column] >= 0
        key = key * size + cases.codes[column]
    keys, number = np.unique(key[placed], return_inverse=True)
    of_case = np.full(key.size, -1, dtype=np.int64)
    of_case[placed] = number
    codes = dict(zip(columns, np.unravel_index(keys, sizes), strict=True)) if keys.size else {}
    codes = {column: np.asarray(codes.get(column, []), dtype=np.int64) for column in columns}
    level_code = np.unique(np.array(cases.levels, dtype=object), return_inverse=True)[1]
    shared = {**codes, "level": level_code[codes["institution_code"]]}
    circles = {}
    for name, parts in PEER_CIRCLES[level].items():
        group = np.zeros(keys.size, dtype=np.int64)
        for part in parts:
            group = group * (shared[part].max(initial=0) + 1) + shared[part]
        circles[name] = np.unique(group, return_inverse=True)[1]
    return Units(level, codes, of_case, circles)


def find_cells(cases: CaseArrays, units: Units, column: str) -> Cells:
    """Return the cells of the units by a group column (drg_code or adrg_code)."""
    size = len(cases.labels[column])
    placed = units.of_case >= 0
    keys, number = np.unique(units.of_case[placed] * size + cases.codes[column][placed], return_inverse=True)
    of_case = np.full(placed.size, -1, dtype=np.int64)
    of_case[placed] = number
    return Cells(of_case, keys // max(size, 1))
