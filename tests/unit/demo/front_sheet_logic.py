"""The logic list L01-L50 once more, in plain Python over parsed sheets, written apart from generator and
product.

It exists so that "a clean city breaks no rule" is judged by something that neither wrote the city nor judges
it later.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from pathlib import Path

from pipelines.demo.institution import Institution
from pipelines.demo.sheet import layout

FEMALE = re.compile(r"^(A34|C5[1-8]|D06|D2[5-8]|E28|F53|N7[0-7]|N8\d|N9[0-8]|O|Z3[2-7])")
MALE = re.compile(r"^(C6[0-3]|D29|E29|N4\d|N5[01]|Q5[345])")
ITEMS = (
    "general_service general_treatment nursing other_service pathology laboratory imaging clinical_diagnosis "
    "nonsurgical_treatment surgical_treatment rehabilitation tcm_treatment western_drug patent_drug herbal_drug blood "
    "albumin globulin clotting_factor cytokine examination_consumable treatment_consumable surgical_consumable other"
).split()
DOMAINS = {
    "sex_code": "1 2",
    "marital_status_code": "1 2 3 4 9",
    "admission_route_code": "1 2 3 9",
    "discharge_status_code": "1 2 3 4 5 9",
    "readmission_plan_code": "1 2",
    "abo_code": "1 2 3 4 5 6",
    "rh_code": "1 2 3 4",
    "drug_allergy_code": "1 2",
    "record_quality_code": "1 2 3",
    "occupation_code": "11 13 17 21 24 27 31 37 51 54 70 80 90",
    "contact_relation_code": "0 1 2 3 4 5 6 7 8 9",
}
CHECK = "10X98765432"
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class Sheet:
    """A sheet by field name; "-" counts as empty."""

    def __init__(self, keys, cells):
        self._cells = dict(zip(keys, cells, strict=True))

    def __call__(self, field, slot=0):
        value = self._cells.get((field, slot), "")
        return "" if value == "-" else value

    def raw(self, field, slot=0):
        return self._cells.get((field, slot), "")

    def day(self, field, slot=0):
        digits = self(field, slot).replace("-", "")[:8]
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))

    def cents(self, field):
        return round(float(self(field) or 0) * 100)

    def diagnoses(self):
        return [self("diagnosis_code", n) for n in range(1, 42) if self("diagnosis_code", n)]

    def procedures(self):
        return [n for n in range(1, 42) if self("procedure_code", n)]


def read_sheets(path: Path, institution: Institution) -> list[Sheet]:
    form = layout(institution.layout)
    text = path.read_bytes().decode(institution.encoding)
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == form.columns(institution.has_extension)
    keys = form.all_keys(institution.has_extension)
    return [Sheet(keys, row) for row in rows[1:]]


def completed_years(birth: dt.date, day: dt.date) -> int:
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def broken_rules(s: Sheet, is_hqms: bool, month: str) -> set[str]:
    """Return the ids of the rules that the sheet breaks."""
    broken: set[str] = set()

    def need(rule: str, condition: object) -> None:
        if not condition:
            broken.add(rule)

    birth, admitted, left = s.day("birth_date"), s.day("admission_date"), s.day("discharge_date")
    if is_hqms:
        start, end = s("admission_date"), s("discharge_date")
    else:
        start = f"{s('admission_date')}{int(s('admission_hour')):02d}"
        end = f"{s('discharge_date')}{int(s('discharge_hour')):02d}"
    need("L01", birth <= admitted)
    need("L02", start <= end)
    need("L03", int(s("length_of_stay")) == max(1, (left - admitted).days))
    need("L05", f"{left:%Y-%m}" == month)
    need("L06", s.day("qc_date") >= left)
    years = completed_years(birth, admitted)
    need("L07", int(s("age_years")) == years)
    days = (admitted - birth).days
    if years == 0:
        need("L08", s("infant_age") == str(days) if is_hqms else 0 <= float(s("infant_age")) <= 12)
    else:
        need("L08", not s("infant_age"))
    need("L09", 0 <= years <= 120)
    if days <= 28:
        need("L10", s("admission_weight_grams") and s("birth_weight_grams"))
    else:
        need("L12", not s("admission_weight_grams"))
    for field, high in (("birth_weight_grams", 5000), ("admission_weight_grams", 10000)):
        if s(field):
            need("L11", 500 <= int(s(field)) <= high and int(s(field)) % 10 == 0)
    codes = s.diagnoses()
    principal = codes[0]
    need("L13", principal[0] != "P" or years < 1)
    need("L14", s("sex_code") == "2" or not any(FEMALE.match(c) for c in codes))
    need("L15", s("sex_code") == "1" or not any(MALE.match(c) for c in codes))
    operations = s.procedures()
    for n in operations:
        chapter = int(s("procedure_code", n)[:2])
        need(
            "L16",
            not (65 <= chapter <= 75 and s("sex_code") == "1")
            and not (60 <= chapter <= 64 and s("sex_code") == "2"),
        )
        need("L04", admitted <= s.day("procedure_date", n) <= left)
        need("L36", s("procedure_name", n) and s("surgeon_id", n))
        level = s("procedure_level_code", n)
        need("L37", level in ("", "1", "2", "3", "4"))
        anaesthesia = s("anaesthesia_code", n)
        if anaesthesia and not anaesthesia.startswith("03"):
            need("L38", s("anaesthetist_id", n))
            need("L47", s.cents("anaesthesia_fee_yuan") > 0)
        if level:
            if is_hqms:
                need(
                    "L39",
                    s("incision_healing_code", n)
                    in {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "20", "30"},
                )
            else:
                need("L39", s("incision_class_code", n) in {"0", "1", "2", "3"})
                need(
                    "L39",
                    s("incision_class_code", n) == "0" or s("healing_class_code", n) in {"1", "2", "3", "9"},
                )
    number = s("patient_id")
    if number:
        need("L17", number[6:14] == f"{birth:%Y%m%d}" and int(number[16]) % 2 == int(s("sex_code")) % 2)
        need(
            "L17",
            CHECK[sum(int(d) * w for d, w in zip(number[:17], WEIGHTS, strict=True)) % 11] == number[17],
        )
    need("L18", re.match(r"^[A-Z]\d{2}", principal) and s("diagnosis_name", 1))
    need("L19", not re.match(r"^(V|W|X|Y|Z37|R65|U)|^[A-Z][\d.x]+\*$", principal))
    for n in range(1, 42):
        need("L20", bool(s("diagnosis_code", n)) == bool(s("diagnosis_name", n)))
        need("L20", not s("diagnosis_code", n) or s("present_on_admission_code", n) in {"1", "2", "3", "4"})
    need("L21", len(set(codes)) == len(codes))
    if any(c[:3] in ("O80", "O81", "O82", "O83", "O84") for c in codes) and not any(
        re.match(r"^O0[0-8]", c) for c in codes
    ):
        need("L22", any(c.startswith("Z37") for c in codes))
    done = [s("procedure_code", n) for n in operations]
    need("L23", not principal.startswith("O82") or any(c.startswith("74") for c in done))
    need("L24", not principal.startswith("Z51.0") or any(c.startswith("92.2") for c in done))
    need("L24", not principal.startswith("Z51.1") or any(c.startswith("99.25") for c in done))
    injured = any(c[0] in "ST" for c in codes)
    cause = s("external_cause_code")
    need("L25", not injured or re.match(r"^[VWXY]\d", cause))
    need("L26", injured or not cause)
    morphology = s("morphology_code")
    is_tumour = principal[0] == "C" or (principal[0] == "D" and int(principal[1:3]) <= 48)
    need("L27", not (is_tumour and s("pathology_id")) or morphology)
    if morphology:
        site = int(principal[1:3])
        wanted = (
            ("6" if 77 <= site <= 80 else "3")
            if principal[0] == "C"
            else "2"
            if site <= 9
            else "0"
            if site <= 36
            else "1"
        )
        need("L28", is_tumour and re.match(r"^M\d{4,5}/[01236]$", morphology) and morphology[-1] == wanted)
    need("L29", (s.cents("pathology_fee_yuan") > 0) == bool(s("pathology_id")))
    died = s("discharge_status_code") == "5"
    need("L30", s("autopsy_code") in ("1", "2") if died else s.raw("autopsy_code") == "-")
    need("L31", s("discharge_status_code") != "2" or s("receiving_institution_name"))
    receiver = s("receiving_institution_name") if is_hqms else s("receiving_primary_care_name")
    need("L31", s("discharge_status_code") != "3" or receiver)
    need("L32", s("readmission_plan_code") != "2" or (s("readmission_purpose") and not died))
    need("L34", s("drug_allergy_code") != "2" or s("allergen_name"))
    if any(c.startswith("S06") for c in codes):
        need("L35", s("coma_before_admission_hours") and s("coma_after_admission_minutes"))
    total = s.cents("total_fee_yuan")
    items = {item: s.cents(f"{item}_fee_yuan") for item in ITEMS}
    need("L40", total == sum(items.values()))
    need("L41", 0 <= s.cents("self_paid_yuan") <= total)
    need("L42", s.cents("physical_therapy_fee_yuan") <= items["nonsurgical_treatment"])
    need(
        "L42", s.cents("anaesthesia_fee_yuan") + s.cents("operation_fee_yuan") <= items["surgical_treatment"]
    )
    need("L42", s.cents("antimicrobial_fee_yuan") <= items["western_drug"])
    need("L43", total > 0)
    need("L44", min(items.values()) >= 0)
    if int(s("length_of_stay")) > 1:
        need("L45", items["general_service"] > 0 and items["nursing"] > 0)
    need("L46", items["surgical_treatment"] == 0 or s("procedure_code", 1))
    need("L48", items["blood"] == 0 or s("rh_code") in ("1", "2"))
    need("L49", items["other"] < total)
    for field, values in DOMAINS.items():
        need("L52", not s(field) or s(field) in values.split())
    return broken
