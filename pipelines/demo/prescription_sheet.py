"""Write prescriptions, their lines and their reviews as the three files of a delivery.

What a prescription holds is drawn in `prescription`; here is only how the files say it, and what a badly
written one leaves out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.demo import identity, text
from pipelines.demo.institution import Institution
from pipelines.demo.plan import City
from pipelines.demo.prescription import ISSUES, Prescriptions
from pipelines.demo.stay import Stays
from pipelines.demo.text import Vocabulary

PRESCRIPTION_COLUMNS = (
    "prescription_id", "visit_type", "prescribed_at", "department_code", "patient_id", "sex", "age_years",
    "age_months", "age_days", "diagnosis_codes", "diagnosis_text", "prescription_class", "amount_yuan",
    "prescriber_id", "prescriber_title", "reviewer_id", "dispenser_id", "is_signed_resident",
    "chronic_disease_code", "long_supply_reason", "inpatient_record_no",
)  # fmt: skip
LINE_COLUMNS = (
    "prescription_id", "line_no", "group_no", "drug_code", "generic_name", "product_name", "drug_class",
    "atc_code", "specification", "dosage_form", "single_dose", "dose_unit", "frequency", "route", "days",
    "quantity", "quantity_unit", "units_per_pack", "dose_per_unit", "unit_price_yuan", "amount_yuan",
    "is_essential", "antimicrobial_grade", "is_injection", "controlled_class", "is_key_monitored",
    "ddd_value", "ddd_unit", "usage_text",
)  # fmt: skip
REVIEW_COLUMNS = (
    "prescription_id", "reviewed_at", "pharmacist_id", "is_reasonable", "issue_codes", "action_code",
    "action_at",
)  # fmt: skip
_TITLES = Vocabulary(["主任医师", "副主任医师", "主治医师", "医师"])
_REASONS = Vocabulary(["慢性病病情稳定", "签约居民慢性病长期处方", "癌痛患者", "老年患者行动不便"])
_ISSUE_CODES = Vocabulary([*ISSUES, *(f"{first}|{second}" for first in ISSUES for second in ISSUES)])
_LOOSE_TALK = Vocabulary(["", "取药", "体检"])


def prescription_lines(
    city: City, institution: Institution, stays: Stays, rx: Prescriptions
) -> dict[str, pa.Array]:
    """Return CSV lines (UTF-8) of the files `prescription`, `prescription_line` and `prescription_review`."""
    identifier = text.glue(f"CF{institution.number:03d}", text.integers(rx.number))
    return {
        "prescription": text.rows(_header(city, institution, stays, rx, identifier), institution.line_end),
        "prescription_line": text.rows(_lines(city, rx, identifier), institution.line_end),
        "prescription_review": text.rows(_reviews(institution, rx, identifier), institution.line_end),
    }


def _issue(rx: Prescriptions, code: str) -> np.ndarray:
    return rx.issue == ISSUES.index(code)


def _where(condition: np.ndarray, yes: text.Cell, no: text.Cell) -> pa.Array:
    return pc.if_else(pa.array(condition), yes, no)


def _header(
    city: City, institution: Institution, stays: Stays, rx: Prescriptions, identifier
) -> list[text.Cell]:
    """Return the cells of prescription.csv."""
    book, number = city.formulary, institution.number
    ward = rx.visit == 3
    codes, names = book.codes.take(rx.condition), book.names.take(rx.condition)
    departments = book.departments.take(rx.condition)
    person = text.glue(f"MZ{number:03d}", text.integers(rx.leader_number))
    record: text.Cell = ""
    if ward.any():
        stay = np.where(ward, rx.stay, 0)
        own = text.integers(stays.record_number[stay])
        record = _where(ward, own, "")
        person = _where(ward, text.glue(f"ZY{number:03d}", own), person)
        codes = _where(ward, city.book.diagnosis_codes.take(stays.principal[stay]), codes)
        names = _where(ward, city.book.diagnosis_names.take(stays.principal[stay]), names)
        of_stays = Vocabulary(city.catalogue.departments)
        departments = _where(ward, of_stays.take(stays.department[stay]), departments)
    undiagnosed = _issue(rx, "1-10")
    codes = _where(undiagnosed, "", codes)
    names = _where(undiagnosed, _LOOSE_TALK.take(np.where(rx.minute % 10 < 7, 0, rx.minute % 2 + 1)), names)
    unsigned, odd = _issue(rx, "1-3"), rx.minute % 2 == 1
    second = np.where(rx.staff[:, 2] == rx.staff[:, 1], (rx.staff[:, 2] + 1) % 60, rx.staff[:, 2])
    reviewer = np.where(unsigned & ~odd, -1, rx.staff[:, 1])
    dispenser = np.where(unsigned & odd, rx.staff[:, 1], second)
    aged = (rx.age_years == 0) & ~_issue(rx, "1-4")
    kind = np.where(rx.visit == 2, 2, np.where(book.is_paediatric[rx.condition] & ~ward, 3, 1))
    controlled = book.controlled[rx.condition]
    kind = np.where((controlled > 0) & ~ward, controlled, kind)
    pharmacists = identity.staff(number, "P")
    cells = {
        "prescription_id": identifier,
        "visit_type": text.integers(rx.visit),
        "prescribed_at": text.glue(text.dates(rx.day), " ", text.clock(rx.minute, "{:02d}:{:02d}")),
        "department_code": departments,
        "patient_id": person,
        "sex": text.integers(rx.sex),
        "age_years": text.integers(rx.age_years),
        "age_months": text.integers(rx.age_months, aged),
        "age_days": text.integers(rx.age_days, aged & (rx.age_days <= 28)),
        "diagnosis_codes": codes,
        "diagnosis_text": names,
        "prescription_class": text.integers(kind),
        "amount_yuan": text.decimals(rx.amount),
        "prescriber_id": identity.staff(number, "S").take(rx.staff[:, 0]),
        "prescriber_title": _TITLES.take(rx.staff[:, 0] % 4),
        "reviewer_id": pharmacists.take(reviewer),
        "dispenser_id": pharmacists.take(dispenser),
        "is_signed_resident": text.integers(rx.is_signed),
        "chronic_disease_code": book.chronic.take(np.where(rx.is_chronic, rx.condition, -1)),
        "long_supply_reason": _REASONS.take(rx.reason),
        "inpatient_record_no": record,
    }
    return [cells[column] for column in PRESCRIPTION_COLUMNS]


def _lines(city: City, rx: Prescriptions, identifier: pa.Array) -> list[text.Cell]:
    """Return the cells of prescription_line.csv; `head`, `amounts` and `flags` hold several columns each."""
    book, row = city.formulary, rx.line_row
    vague = _issue(rx, "1-8")[row] & (rx.line_number == 1)
    packing = rx.line_drug + np.where(rx.line_is_loose, len(book.pack), 0)
    return [
        identifier.take(pa.array(row)),
        text.integers(rx.line_number),
        text.integers(rx.line_number),
        book.head.take(rx.line_drug),
        text.integers(rx.line_days),
        text.integers(rx.line_quantity),
        book.amounts.take(packing),
        text.decimals(rx.line_cents),
        book.flags.take(rx.line_drug),
        _where(vague, "遵医嘱", book.usage.take(rx.line_drug)),
    ]


def _reviews(institution: Institution, rx: Prescriptions, identifier: pa.Array) -> list[text.Cell]:
    """Return the cells of prescription_review.csv, one row per reviewed prescription."""
    seen = np.flatnonzero(rx.is_reviewed)
    found, second, action = rx.found[seen], rx.second[seen], rx.action[seen]
    place = np.where(second < 0, found, len(ISSUES) + found * len(ISSUES) + second)
    acted = rx.review_day[seen] + rx.action_delay[seen].astype("timedelta64[D]")
    cells = {
        "prescription_id": identifier.take(pa.array(seen)),
        "reviewed_at": text.glue(
            text.dates(rx.review_day[seen]), " ", text.clock(rx.review_minute[seen], "{:02d}:{:02d}")
        ),
        "pharmacist_id": identity.staff(institution.number, "R").take(rx.staff[seen, 3]),
        "is_reasonable": text.integers(found < 0),
        "issue_codes": _ISSUE_CODES.take(np.where(found < 0, -1, place)),
        "action_code": text.integers(action, action >= 0),
        "action_at": text.dates(acted, known=action >= 0),
    }
    return [cells[column] for column in REVIEW_COLUMNS]
