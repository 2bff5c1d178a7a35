"""Faults of single front sheets: which sheets a kind suits and what it changes.

What each kind is called, which rule should notice it and what should happen are rows of `data/fault.csv`;
here is only how a right sheet is made wrong, by field name, in either layout.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from pipelines.demo.institution import Institution
from pipelines.demo.sheet import Key, layout


class SheetRecord:
    """One front-sheet record of either layout, read and changed by field name."""

    def __init__(self, institution: Institution, cells: list[str]):
        self.form = layout(institution.layout)
        self.place: dict[Key, int] = {
            key: n for n, key in enumerate(self.form.all_keys(institution.has_extension))
        }
        self.cells = list(cells)
        self.is_hqms = institution.layout == "hqms"

    def get(self, field_name: str, slot: int = 0) -> str:
        """Return a cell, empty where it holds nothing."""
        position = self.place.get((field_name, slot))
        value = self.cells[position] if position is not None else ""
        return "" if value == "-" else value

    def put(self, field_name: str, value: str, slot: int = 0) -> None:
        """Set a cell."""
        self.cells[self.place[field_name, slot]] = value

    def clear(self, field_name: str, slot: int = 0) -> None:
        """Empty a cell as the layout does for text."""
        self.put(field_name, self.form.empty_text, slot)

    def day(self, field_name: str, slot: int = 0) -> dt.date:
        """Return the date of a cell."""
        digits = self.get(field_name, slot).replace("-", "")[:8]
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))

    def put_day(self, field_name: str, day: dt.date, slot: int = 0) -> None:
        """Set the date of a cell and keep its time of day."""
        old = self.get(field_name, slot)
        self.put(field_name, f"{day:%Y-%m-%d}{old[10:]}" if self.is_hqms else f"{day:%Y%m%d}", slot)

    def cents(self, field_name: str) -> int:
        """Return a fee in cents."""
        return round(float(self.get(field_name) or 0) * 100)

    def put_cents(self, field_name: str, cents: int) -> None:
        """Set a fee."""
        self.put(field_name, f"{cents / 100:.2f}")

    def slots(self, field_name: str) -> list[int]:
        """Return the filled slots of a repeated block."""
        return [n for n in range(1, 42) if (field_name, n) in self.place and self.get(field_name, n)]

    def add_diagnosis(self, code: str, name: str) -> None:
        """Put a further diagnosis into the first free slot."""
        slot = next(n for n in range(2, 17) if not self.get("diagnosis_code", n))
        self.put("diagnosis_code", code, slot)
        self.put("diagnosis_name", name, slot)
        self.put("present_on_admission_code", "1", slot)

    @property
    def principal(self) -> str:
        """The principal diagnosis code."""
        return self.get("diagnosis_code", 1)


Test = Callable[[SheetRecord], object]
Change = Callable[[SheetRecord], object]


def _always(_: SheetRecord) -> bool:
    return True


def _grown_up(s: SheetRecord) -> bool:
    return int(s.get("age_years")) >= 2


def _plain(s: SheetRecord) -> bool:
    return s.principal[0] in "EGHIJK" and not s.get("procedure_code", 1)


def _with_room(sex: str) -> Test:
    return lambda s: s.get("sex_code") == sex and not s.get("diagnosis_code", 12)


def _is_delivery(s: SheetRecord) -> bool:
    return s.principal[:3] in ("O80", "O81", "O82", "O83", "O84")


def _swap_admission(s: SheetRecord) -> None:
    s.put_day("admission_date", s.day("discharge_date") + dt.timedelta(days=3))
    s.put("length_of_stay", "1")


def _reaction_as_principal(s: SheetRecord) -> None:
    s.put("diagnosis_code", "R65.300", 1)
    s.put("diagnosis_name", "脏器衰竭的非感染性全身炎症反应综合征", 1)


def _fall(s: SheetRecord) -> None:
    s.put("external_cause_code", "W01.900")
    s.put("external_cause_name", "在同一平面上滑倒")


def _add_to_total(s: SheetRecord) -> None:
    s.put_cents("total_fee_yuan", s.cents("total_fee_yuan") + 10_000)


def _lose_birth_outcome(s: SheetRecord) -> None:
    for slot in s.slots("diagnosis_code"):
        if s.get("diagnosis_code", slot).startswith("Z37"):
            for name in ("diagnosis_code", "diagnosis_name", "present_on_admission_code"):
                s.clear(name, slot)


def _clear(*names: str, slot: int = 0) -> Change:
    def change(s: SheetRecord) -> None:
        for name in names:
            if (name, slot) in s.place:
                s.clear(name, slot)

    return change


def _blank(*names: str) -> Change:
    return lambda s: [s.put(name, "") for name in names]


def _negative_item(s: SheetRecord) -> None:
    old = s.cents("general_treatment_fee_yuan")
    s.put_cents("general_treatment_fee_yuan", -1_000)
    s.put_cents("total_fee_yuan", s.cents("total_fee_yuan") - old - 1_000)
    s.put_cents("self_paid_yuan", 0)


def _wrong_check_digit(s: SheetRecord) -> None:
    number = s.get("patient_id")
    s.put("patient_id", number[:-1] + ("0" if number[-1] != "0" else "1"))


def _wrong_behaviour(s: SheetRecord) -> None:
    code = s.get("morphology_code")
    s.put("morphology_code", code[:-1] + ("0" if code[-1] != "0" else "3"))


def _untypable_date(s: SheetRecord) -> None:
    s.put("admission_date", "2019-13-45 10:00:00" if s.is_hqms else "20191345")


def _other_institution(s: SheetRecord) -> None:
    s.put("institution_name", "外市示范医院")
    if s.is_hqms:
        s.put("stated_institution_code", "HZ999")


def _has(name: str, slot: int = 0) -> Test:
    return lambda s: s.get(name, slot)


def _is(name: str, value: str) -> Test:
    return lambda s: s.get(name) == value


def _set(name: str, value: str, slot: int = 0) -> Change:
    return lambda s: s.put(name, value, slot)


def _raise(name: str, by: int) -> Change:
    return lambda s: s.put(name, str(int(s.get(name)) + by))


def _move(name: str, beside: str, by: int, slot: int = 0) -> Change:
    return lambda s: s.put_day(name, s.day(beside) + dt.timedelta(days=by), slot)


def _exceed(name: str, limit: str) -> Change:
    return lambda s: s.put_cents(name, s.cents(limit) + 5_000)


# kind: (which sheets it suits, what it changes)
SHEET_CHANGES: dict[str, tuple[Test, Change]] = {
    "missing_record_number": (_always, _clear("record_id")),
    "missing_discharge_date": (_always, _blank("discharge_date")),
    "untypable_number": (_always, _set("length_of_stay", "abc")),
    "untypable_date": (_always, _untypable_date),
    "wrong_month": (_always, _move("discharge_date", "discharge_date", 40)),
    "institution_mismatch": (_always, _other_institution),
    "admission_after_discharge": (_plain, _swap_admission),
    "wrong_stay": (_always, _raise("length_of_stay", 5)),
    "operation_after_discharge": (
        _has("procedure_date", 1),
        _move("procedure_date", "discharge_date", 2, slot=1),
    ),
    "early_quality_check": (_has("qc_date"), _move("qc_date", "discharge_date", -3)),
    "wrong_age": (_grown_up, _raise("age_years", 7)),
    "infant_age_missing": (_is("age_years", "0"), _blank("infant_age")),
    "newborn_weight_missing": (
        _has("admission_weight_grams"),
        _blank("admission_weight_grams", "birth_weight_grams"),
    ),
    "weight_of_adult": (_grown_up, _set("admission_weight_grams", "3200")),
    "female_diagnosis": (_with_room("1"), lambda s: s.add_diagnosis("N80.900", "子宫内膜异位症")),
    "male_diagnosis": (_with_room("2"), lambda s: s.add_diagnosis("N40.x00", "前列腺增生")),
    "identity_check_digit": (_has("patient_id"), _wrong_check_digit),
    "forbidden_principal": (_plain, _reaction_as_principal),
    "diagnosis_name_missing": (_has("diagnosis_code", 2), _clear("diagnosis_name", slot=2)),
    "birth_outcome_missing": (_is_delivery, _lose_birth_outcome),
    "external_cause_missing": (
        _has("external_cause_code"),
        _clear("external_cause_code", "external_cause_name"),
    ),
    "external_cause_alone": (lambda s: not s.get("external_cause_code"), _fall),
    "morphology_behaviour": (_has("morphology_code"), _wrong_behaviour),
    "autopsy_missing": (_is("discharge_status_code", "5"), _set("autopsy_code", "-")),
    "receiver_missing": (_is("discharge_status_code", "2"), _clear("receiving_institution_name")),
    "purpose_missing": (_is("readmission_plan_code", "2"), _clear("readmission_purpose")),
    "allergen_missing": (_is("drug_allergy_code", "2"), _clear("allergen_name")),
    "surgeon_missing": (_has("surgeon_id", 1), _clear("surgeon_id", slot=1)),
    "operation_level": (_has("procedure_level_code", 1), _set("procedure_level_code", "7", slot=1)),
    "fee_sum": (_always, _add_to_total),
    "self_paid": (_always, _exceed("self_paid_yuan", "total_fee_yuan")),
    "antimicrobial_fee": (_always, _exceed("antimicrobial_fee_yuan", "western_drug_fee_yuan")),
    "zero_total": (_always, _set("total_fee_yuan", "0.00")),
    "negative_fee": (_grown_up, _negative_item),
    "blood_without_rh": (lambda s: s.cents("blood_fee_yuan") > 0, _set("rh_code", "4")),
    "value_domain": (_always, _set("marital_status_code", "7")),
    "formula_text": (_always, _set("discharge_ward", "=cmd|' /C calc'!A0")),
    "quoted_newline": (_always, _set("admission_ward", "3病区\n(东)")),
}
