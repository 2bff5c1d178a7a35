"""Canonical front sheets at random: every field over its whole range, from nothing filled in to everything.

A set of sheets is a dictionary from field key (`sex_code`, `diagnosis_code@3`) to one value per sheet, typed as the lake
types it; identifiers are in clear, `discharge_date` lies in MONTH. Which file brings them is told by `sheet_writer`.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from pipelines.intake.schema import DATASETS, FEES, PROCEDURE_STAFF, STAFF

Sheets = dict[str, list[Any]]
MONTH = "2019-03"
DIAGNOSES = PROCEDURES = 41
FIRST_DAY = datetime.date(1850, 1, 1)
LAST_DAY = datetime.date(2100, 12, 31)
LARGEST_MONEY = 10**9 * 100 - 1  # in cents
LARGEST_WHOLE = 999_999
COMPUTED = {
    "institution_code", "month", "delivery_id", "source_file", "source_row", "case_id", "layout",
    "front_sheet_score", "required_item_count", "blank_required_item_count",
}  # fmt: skip
SHEET_FIELDS = [name for name in DATASETS["front_sheet"] if name not in COMPUTED]
HOURS, DAYS = {"admission_hour", "discharge_hour"}, {"qc_date"}
# A column without wards would be taken for another one.
WARDS = {"admission_ward": "三病区", "discharge_ward": "ICU 2"}
WHOLE = {name for name in SHEET_FIELDS if str(DATASETS["front_sheet"][name]) == "int32"} - HOURS
ICD10 = {"outpatient_diagnosis_code", "external_cause_code", "morphology_code"}
IDENTIFIERS = {"patient_id", "health_card_id", "pathology_id", *STAFF}
TRICKY = [
    "肺炎，重症", "a,b", 'say "x"', '"', '""', "'", "first\nsecond", "first\r\nsecond", "a\tb", "𠮷野家", "😀", "龘", "é",
    "0012", "007", "1E5", "1.50", "=1+1", "@x", "+86", "-5", "—a", "NULL值", "nan", "None", "true", "N/A", "%", "\\", "\\n",
    "a|b", ";", "€", "〇", "㐀", "ǹ", "a  b", "a\u3000b", "ﾊ", "x" * 3000, "_x0041_", "<b>&amp;", "#", "20190301",
    "2019/3/1", "\u3400\U00020000",
]  # fmt: skip
ALPHABET = [
    *map(chr, range(0x21, 0x7F)),
    *map(chr, range(0xA1, 0x180)),
    *map(chr, range(0x4E00, 0x9FA5, 13)),
    *map(chr, range(0x20000, 0x2A6D0, 997)),
    *map(chr, range(0x1F300, 0x1F600, 17)),
    *map(chr, range(0xE000, 0xE100, 16)),
    *" \n\u3000",
]
NOTHING = {"", "-", "--", "－", "—", "——", "NULL", "null"}
CODES = {
    "payment_method_code": ["1", "2", "3", "1.1", "1.2", "2.1", "2.2", "3.1", "3.2", *"456789"],
    "ethnic_group_code": [*map(str, range(1, 59)), "97", "98", "99"],
    "discharge_status_code": list("123459"),
}
OTHER_CODES = ["0", "1", "2", "9", "01", "010", "03.01", "0301", "CHN", "A1", "自定", "10", "a"]


def draw_sheets(rng: np.random.Generator, count: int) -> Sheets:
    """So many sheets; record numbers are unique among them."""
    return _Draw(rng, count).sheets()


class _Draw:
    def __init__(self, rng: np.random.Generator, count: int):
        self.rng, self.count = rng, count
        # How much of a sheet is filled in: nothing beyond the keys, a little, most, all.
        self.fullness = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], count, p=[0.05, 0.25, 0.3, 0.2, 0.2])
        self.texts = [*TRICKY, *(self.random_text() for _ in range(200))]

    def random_text(self) -> str:
        letters = self.rng.choice(len(ALPHABET), self.rng.integers(1, 40))
        text = "".join(ALPHABET[letter] for letter in letters).strip(" \t\r\n\u3000\ufeff")
        return "无内容" if text in NOTHING else text

    def some(self, values: list[Any], fullness: np.ndarray | None = None) -> list[Any]:
        """The values, each left out unless its sheet is full enough."""
        kept = self.rng.random(self.count) < (self.fullness if fullness is None else fullness)
        return [value if keep else None for value, keep in zip(values, kept.tolist(), strict=True)]

    def of(self, pool: list[Any]) -> list[Any]:
        return [pool[place] for place in self.rng.integers(0, len(pool), self.count).tolist()]

    def numbers(self, low: int, high: int) -> list[int]:
        """Numbers of every size: as many digits are as likely as others, and the ends occur."""
        sizes = np.exp2(self.rng.uniform(0, np.log2(high + 1), self.count)).astype(np.int64)
        ends = self.rng.random(self.count)
        drawn = np.where(ends < 0.02, low, np.where(ends > 0.98, high, np.minimum(sizes, high)))
        return np.maximum(drawn, low).tolist()

    def days(self, first: datetime.date = FIRST_DAY, last: datetime.date = LAST_DAY) -> list[datetime.date]:
        drawn = self.rng.integers(first.toordinal(), last.toordinal() + 1, self.count).tolist()
        return [datetime.date.fromordinal(day) for day in drawn]

    def money(self) -> list[Decimal]:
        signs = self.rng.choice([1, 1, 1, -1], self.count).tolist()
        cents = self.numbers(0, LARGEST_MONEY)
        return [Decimal(sign * cent).scaleb(-2) for sign, cent in zip(signs, cents, strict=True)]

    def icd10(self) -> list[str]:
        letters = self.of(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        digits = self.rng.integers(0, 10**6, self.count).tolist()
        ends = self.of(["", "+", "*", "†", "x001", "/3", "x", "A"])
        middles = self.of([".", ".x", "", "x"])
        return [
            f"{letter}{digit // 10**4:02d}{middle}{digit % 10**4:04d}{end}"
            for letter, digit, middle, end in zip(letters, digits, middles, ends, strict=True)
        ]

    def icd9(self) -> list[str]:
        digits = self.rng.integers(0, 10**6, self.count).tolist()
        ends = self.of(["", "x001", "x", "x1"])
        return [
            f"{digit // 10**4:02d}.{digit % 10**4:04d}{end}" for digit, end in zip(digits, ends, strict=True)
        ]

    def identifiers(self) -> list[str]:
        serial = self.rng.integers(0, 10**9, self.count).tolist()
        forms = self.of(
            [
                "33010{:09d}123X",
                "33010{:09d}1234",
                "33010{:09d}0",
                "E{:09d}",
                "{:09d}a",
                "王医师{}",
                "00{}A",
                "工号 {}",
            ]
        )
        return [form.format(number) for form, number in zip(forms, serial, strict=True)]

    def sheets(self) -> Sheets:
        sheets = {name: self.some(self.field(name)) for name in SHEET_FIELDS}
        sheets |= self.keys()
        sheets["age_days"] = [
            days if years == 0 else None
            for days, years in zip(
                self.some(self.rng.integers(0, 366, self.count).tolist()), sheets["age_years"], strict=True
            )
        ]
        for slot in range(1, DIAGNOSES + 1):
            there = self.rng.random(self.count) < self.fullness
            sheets |= self.slot("diagnosis", slot, there)
            sheets[f"present_on_admission_code@{slot}"] = self.some(
                self.of(OTHER_CODES), there * self.fullness
            )
        for slot in range(1, PROCEDURES + 1):
            there = self.rng.random(self.count) < self.fullness
            sheets |= self.slot("procedure", slot, there)
            rest = there * self.fullness
            sheets[f"procedure_date@{slot}"] = self.some(self.days(), rest)
            sheets[f"procedure_level_code@{slot}"] = self.some(self.of(list("1234")), rest)
            sheets[f"incision_class_code@{slot}"] = self.some(self.of(list("0123")), rest)
            sheets[f"healing_class_code@{slot}"] = self.some(self.of(list("1239")), rest)
            sheets[f"anaesthesia_code@{slot}"] = self.some(self.of(OTHER_CODES), rest)
            for name in PROCEDURE_STAFF:
                sheets[f"{name}@{slot}"] = self.some(self.identifiers(), rest)
        return sheets

    def keys(self) -> Sheets:
        """What every sheet has, and what hangs on the dates."""
        start = datetime.date.fromisoformat(f"{MONTH}-01")
        discharge = self.days(start, start + datetime.timedelta(days=30))
        stays = np.minimum(self.rng.geometric(0.05, self.count) - 1, 40000).tolist()
        admission = [day - datetime.timedelta(days=stay) for day, stay in zip(discharge, stays, strict=True)]
        numbers = self.rng.permutation(self.count).tolist()
        forms = self.of(["{:07d}", "B{}", "{}", "门-{}", "{}a,b", '{}"x'])
        stated = self.some(self.numbers(0, LARGEST_WHOLE))
        return {
            "record_id": [form.format(number) for form, number in zip(forms, numbers, strict=True)],
            "admission_ordinal": self.numbers(1, LARGEST_WHOLE),
            "admission_date": self.some(admission),
            "discharge_date": discharge,
            "length_of_stay": stated,
            "age_years": self.some(self.of([0, 0, 1, 2, 17, 64, 65, 124, LARGEST_WHOLE])),
        }

    def slot(self, block: str, slot: int, there: np.ndarray) -> Sheets:
        """Code and name; what is there has one of them at least."""
        form = self.rng.integers(0, 4, self.count)
        codes = self.icd10() if block == "diagnosis" else self.icd9()
        return {
            f"{block}_code@{slot}": self.some(codes, (there & (form > 0)).astype(float)),
            f"{block}_name@{slot}": self.some(self.of(self.texts), (there & (form != 1)).astype(float)),
        }

    def field(self, name: str) -> list[Any]:
        drawers = (
            (FEES, self.money),
            (HOURS, lambda: self.rng.integers(0, 24, self.count).tolist()),
            (WHOLE, lambda: self.numbers(0, LARGEST_WHOLE)),
            (ICD10, self.icd10),
            (IDENTIFIERS, self.identifiers),
            (CODES.keys(), lambda: self.of(CODES[name])),
            (DAYS, self.days),
            (WARDS, lambda: self.of([WARDS[name]] * len(self.texts) + self.texts)),
        )
        for names, draw in drawers:
            if name in names:
                return draw()
        return self.of(OTHER_CODES if name.endswith("_code") else self.texts)
