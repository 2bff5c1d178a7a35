"""The city's institutions: register, layout of their deliveries and how they behave from year to year.

Behaviour (pathways, prescriptions, case mix) is a row of `data/conduct.csv` with a small deviation of each
institution's own, so that some meet a target in some years and others do not. What a target is stays unknown
here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from pipelines.demo.table import Row, read_table

LEVEL_COST = {(3, "A"): 1.0, (3, "B"): 0.86, (2, "A"): 0.72, (2, "B"): 0.63, (3, "U"): 0.9, (2, "U"): 0.68}
LEVEL_TILT = {
    (3, "A"): 0.0,
    (3, "B"): -0.12,
    (2, "A"): -0.28,
    (2, "B"): -0.42,
    (3, "U"): -0.1,
    (2, "U"): -0.45,
}
REGISTER_COLUMNS = (
    "institution_code", "institution_name", "level", "grade", "institution_type", "ownership", "owner_level",
    "district_code", "is_day_surgery_pilot", "is_residency_base", "valid_from", "valid_to",
)  # fmt: skip
DISTRICTS = {
    "330102": "上城",
    "330103": "下城",
    "330104": "江干",
    "330105": "拱墅",
    "330106": "西湖",
    "330108": "滨江",
    "330109": "萧山",
    "330110": "余杭",
    "330111": "富阳",
    "330112": "临安",
    "330122": "桐庐",
    "330127": "淳安",
    "330182": "建德",
    "3301F1": "西湖风景名胜区",
    "3301F2": "下沙",
    "3301F3": "大江东",
}
_TEMPLATE_COLUMNS = (
    "name", "level", "grade", "level_before", "grade_before", "changed_on", "institution_type", "ownership",
    "owner_level", "district_code", "is_day_surgery_pilot", "is_residency_base", "size", "layout", "encoding",
    "has_extension", "conduct",
)  # fmt: skip
_LARGE = 9.0  # size from which an institution counts as a large tertiary hospital; there are exactly three


@dataclass(frozen=True)
class Institution:
    """One institution; `number` counts from 1, `size` is its relative volume."""

    number: int
    name: str
    level: int
    grade: str
    level_before: int
    grade_before: str
    changed_on: dt.date | None
    institution_type: str
    ownership: str
    owner_level: str
    district_code: str
    is_pilot: bool
    is_residency_base: bool
    size: float
    layout: str
    encoding: str
    has_extension: bool
    conduct: str

    @property
    def code(self) -> str:
        """The institution code, HZ and three digits."""
        return f"HZ{self.number:03d}"

    @property
    def line_end(self) -> str:
        """GB18030 files come from Windows programs and end their lines as those do."""
        return "\r\n" if self.encoding == "gb18030" else "\n"

    def standing(self, year: int) -> tuple[int, str]:
        """Return level and grade in force on 1 July of the year."""
        if self.changed_on and dt.date(year, 7, 1) < self.changed_on:
            return self.level_before, self.grade_before
        return self.level, self.grade

    def register_rows(self) -> list[list[str]]:
        """Return the rows of institution.csv, one per validity span."""
        flags = [str(int(self.is_pilot)), str(int(self.is_residency_base))]
        place = [self.institution_type, self.ownership, self.owner_level, self.district_code, *flags]
        if not self.changed_on:
            return [[self.code, self.name, str(self.level), self.grade, *place, "2012-01-01", ""]]
        last = (self.changed_on - dt.timedelta(days=1)).isoformat()
        return [
            [self.code, self.name, str(self.level_before), self.grade_before, *place, "2012-01-01", last],
            [self.code, self.name, str(self.level), self.grade, *place, self.changed_on.isoformat(), ""],
        ]


def _template(row: Row) -> dict:
    changed = row.text("changed_on")
    return {
        "name": row.text("name"),
        "level": int(row.number_in("level", 2, 3)),
        "grade": row.choice("grade", ("A", "B", "C", "U")),
        "level_before": int(row.text("level_before") or 0),
        "grade_before": row.text("grade_before"),
        "changed_on": dt.date.fromisoformat(changed) if changed else None,
        "institution_type": row.choice(
            "institution_type", ("general", "tcm", "children", "obstetrics", "oncology")
        ),
        "ownership": row.choice("ownership", ("public", "private")),
        "owner_level": row.choice("owner_level", ("province", "city", "county")),
        "district_code": row.choice("district_code", tuple(DISTRICTS)),
        "is_pilot": row.text("is_day_surgery_pilot") == "1",
        "is_residency_base": row.text("is_residency_base") == "1",
        "size": row.number_in("size", 0.1, 20),
        "layout": row.choice("layout", ("wt41", "hqms")),
        "encoding": row.choice("encoding", ("utf-8", "utf-8-sig", "gb18030")),
        "has_extension": row.text("has_extension") == "1",
        "conduct": row.text("conduct"),
    }


def build_institutions(count: int) -> list[Institution]:
    """Return `count` institutions: the first ones of the list, and beyond it further small ones in turn.

    Raises ValueError below 2 or above 999.
    """
    if not 2 <= count <= 999:
        raise ValueError(f"a city has 2 to 999 institutions, not {count}")
    templates = read_table("institution.csv", _TEMPLATE_COLUMNS, _template)
    small = [t for t in templates if t["size"] < _LARGE and t["institution_type"] in ("general", "tcm")]
    districts = list(DISTRICTS)
    chosen = templates[:count]
    for extra in range(count - len(chosen)):
        template = small[extra % len(small)]
        district = districts[extra % len(districts)]
        kind = "中医院" if template["institution_type"] == "tcm" else "医院"
        name = f"{DISTRICTS[district]}示范第{extra + 11}{kind}"
        chosen.append(
            {**template, "name": name, "district_code": district, "changed_on": None, "is_pilot": False}
        )
    return [Institution(number=number, **template) for number, template in enumerate(chosen, 1)]


def read_conduct() -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return the values of 2018, 2019 and 2020 by (conduct, measure)."""
    columns = ("conduct", "measure", "value_2018", "value_2019", "value_2020")
    rows = read_table(
        "conduct.csv",
        columns,
        lambda row: (
            (row.text("conduct"), row.text("measure")),
            tuple(row.number_in(f"value_{year}", -1, 1) for year in (2018, 2019, 2020)),
        ),
    )
    return dict(rows)


def behaviour(institution: Institution, year: int, conduct: dict, deviation: np.ndarray) -> dict[str, float]:
    """Return the measures of one institution and year.

    `deviation` holds one standard normal number per measure, the same in every year; it moves a rate by 6 %
    of its distance to the nearer end, so that institutions of one conduct are not copies. Years outside
    2018-2020 take the nearest one.
    """
    column = min(max(year, 2018), 2020) - 2018
    measures = sorted(measure for kind, measure in conduct if kind == institution.conduct)
    values = {}
    for position, measure in enumerate(measures):
        value = conduct[institution.conduct, measure][column]
        step = 0.02 if measure == "case_mix_tilt" else 0.06 * max(min(value, 1 - value), 0)
        values[measure] = value + step * float(np.clip(deviation[position], -2, 2))
    return values
