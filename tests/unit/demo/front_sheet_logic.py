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

FEMALE = re.compile(
    r"^(A34|B37\.3|C5[1-8]|C79\.6|D06|D07\.[0-3]|D2[5-8]|D39|E28|E89\.4|F52\.5|F53|I86\.3|L29\.2|L70\.5"
    r"|M8[01]\.[01]|M83\.0|N7[0-7]|N8\d|N9[0-8]|N99\.[23]|O|P54\.6|Q5[0-2]|R87|S31\.4|S37\.[4-6]|T19\.[23]|T83\.3"
    r"|Z01\.4|Z12\.4|Z30\.[135]|Z31\.[12]|Z3[2-7]|Z39|Z43\.7|Z87\.5|Z97\.5)"
)
MALE = re.compile(
    r"^(B26\.0|C6[0-3]|D07\.[4-6]|D17\.6|D29|D40|E29|E89\.5|F52\.4|I86\.1|L29\.1|N4\d|N5[01]|Q5[3-5]|R86"
    r"|S31\.[23]|Z12\.5)"
)
ITEMS = (
    "general_service",
    "general_treatment",
    "nursing",
    "other_service",
    "pathology",
    "laboratory",
    "imaging",
    "clinical_diagnosis",
    "nonsurgical_treatment",
    "surgical_treatment",
    "rehabilitation",
    "tcm_treatment",
    "western_drug",
    "patent_drug",
    "herbal_drug",
    "blood",
    "albumin",
    "globulin",
    "clotting_factor",
    "cytokine",
    "examination_consumable",
    "treatment_consumable",
    "surgical_consumable",
    "other",
)
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
DELIVERY = re.compile(r"^O8[0-4]")
ABORTIVE = re.compile(r"^O0[0-8]")
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


class Verdict:
    """Collects the rules that a sheet breaks."""

    def __init__(self, sheet: Sheet, is_hqms: bool, month: str):
        self.sheet, self.is_hqms, self.month = sheet, is_hqms, month
        self.broken: set[str] = set()
        self.birth, self.admitted = sheet.day("birth_date"), sheet.day("admission_date")
        self.left = sheet.day("discharge_date")
        self.codes = sheet.diagnoses()
        self.principal = self.codes[0]
        self.operations = sheet.procedures()

    def need(self, rule: str, condition: object) -> None:
        if not condition:
            self.broken.add(rule)


def broken_rules(sheet: Sheet, is_hqms: bool, month: str) -> set[str]:
    """Return the ids of the rules that the sheet breaks."""
    verdict = Verdict(sheet, is_hqms, month)
    for judge in (_dates, _age, _sex, _diagnoses, _injury_and_tumour, _operations, _outcome, _fees, _domains):
        judge(verdict, sheet)
    return verdict.broken


def _dates(v: Verdict, s: Sheet) -> None:
    if v.is_hqms:
        start, end = s("admission_date"), s("discharge_date")
    else:
        start = f"{s('admission_date')}{int(s('admission_hour')):02d}"
        end = f"{s('discharge_date')}{int(s('discharge_hour')):02d}"
    v.need("L01", v.birth <= v.admitted)
    v.need("L02", start <= end)
    v.need("L03", int(s("length_of_stay")) == max(1, (v.left - v.admitted).days))
    v.need("L05", f"{v.left:%Y-%m}" == v.month)
    v.need("L06", s.day("qc_date") >= v.left)


def _age(v: Verdict, s: Sheet) -> None:
    years = completed_years(v.birth, v.admitted)
    days = (v.admitted - v.birth).days
    v.need("L07", int(s("age_years")) == years)
    if years == 0:
        given = s("infant_age")
        v.need("L08", given == str(days) if v.is_hqms else given and 0 <= float(given) <= 12)
    else:
        v.need("L08", not s("infant_age"))
    v.need("L09", 0 <= years <= 120)
    if days <= 28:
        v.need("L10", s("admission_weight_grams") and s("birth_weight_grams"))
    else:
        v.need("L12", not s("admission_weight_grams"))
    for field, high in (("birth_weight_grams", 5000), ("admission_weight_grams", 10000)):
        if s(field):
            v.need("L11", 500 <= int(s(field)) <= high and int(s(field)) % 10 == 0)
    v.need("L13", v.principal[0] != "P" or years < 1)


def _sex(v: Verdict, s: Sheet) -> None:
    sex = s("sex_code")
    v.need("L14", sex == "2" or not any(FEMALE.match(code) for code in v.codes))
    v.need("L15", sex == "1" or not any(MALE.match(code) for code in v.codes))
    for n in v.operations:
        chapter = int(s("procedure_code", n)[:2])
        v.need("L16", not (65 <= chapter <= 75 and sex == "1") and not (60 <= chapter <= 64 and sex == "2"))
    number = s("patient_id")
    if number:
        check = CHECK[sum(int(d) * w for d, w in zip(number[:17], WEIGHTS, strict=True)) % 11]
        v.need("L17", number[6:14] == f"{v.birth:%Y%m%d}" and number[17] == check)
        v.need("L17", int(number[16]) % 2 == int(sex) % 2)


def _diagnoses(v: Verdict, s: Sheet) -> None:
    v.need("L18", re.match(r"^[A-Z]\d{2}", v.principal) and s("diagnosis_name", 1))
    v.need("L19", not re.match(r"^(V|W|X|Y|Z37|R65|U)|.*\*$", v.principal))
    for n in range(1, 42):
        v.need("L20", bool(s("diagnosis_code", n)) == bool(s("diagnosis_name", n)))
        v.need("L20", not s("diagnosis_code", n) or s("present_on_admission_code", n) in set("1234"))
    v.need("L21", len(set(v.codes)) == len(v.codes))
    if any(DELIVERY.match(c) for c in v.codes) and not any(ABORTIVE.match(c) for c in v.codes):
        v.need("L22", any(c.startswith("Z37") for c in v.codes))
    done = [s("procedure_code", n) for n in v.operations]
    for rule, diagnosis, procedure in (
        ("L23", "O82", "74"),
        ("L24", "Z51.0", "92.2"),
        ("L24", "Z51.1", "99.25"),
    ):
        v.need(rule, not v.principal.startswith(diagnosis) or any(c.startswith(procedure) for c in done))


def _injury_and_tumour(v: Verdict, s: Sheet) -> None:
    injured = any(code[0] in "ST" for code in v.codes)
    cause = s("external_cause_code")
    v.need("L25", not injured or re.match(r"^[VWXY]\d", cause))
    v.need("L26", injured or not cause)
    morphology, code = s("morphology_code"), v.principal
    is_tumour = code[0] == "C" or (code[0] == "D" and int(code[1:3]) <= 48)
    v.need("L27", not (is_tumour and s("pathology_id")) or morphology)
    if morphology:
        site = int(code[1:3])
        benign = "2" if site <= 9 else "0" if site <= 36 else "1"
        wanted = ("6" if 77 <= site <= 80 else "3") if code[0] == "C" else benign
        v.need("L28", is_tumour and re.match(r"^M\d{4,5}/[01236]$", morphology))
        v.need("L28", morphology[-1] == wanted)
    v.need("L29", (s.cents("pathology_fee_yuan") > 0) == bool(s("pathology_id")))
    if any(item.startswith("S06") for item in v.codes):
        v.need("L35", s("coma_before_admission_hours") and s("coma_after_admission_minutes"))


def _operations(v: Verdict, s: Sheet) -> None:
    for n in v.operations:
        v.need("L04", v.admitted <= s.day("procedure_date", n) <= v.left)
        v.need("L36", s("procedure_name", n) and s("surgeon_id", n))
        level, anaesthesia = s("procedure_level_code", n), s("anaesthesia_code", n)
        v.need("L37", level in {"", "1", "2", "3", "4"})
        if anaesthesia and not anaesthesia.startswith("03"):
            v.need("L38", s("anaesthetist_id", n))
            v.need("L47", s.cents("anaesthesia_fee_yuan") > 0)
        if level and v.is_hqms:
            v.need("L39", s("incision_healing_code", n) in {*"0123456789", "10", "20", "30"})
        elif level:
            v.need("L39", s("incision_class_code", n) in set("0123"))
            v.need("L39", s("incision_class_code", n) == "0" or s("healing_class_code", n) in set("1239"))


def _outcome(v: Verdict, s: Sheet) -> None:
    status = s("discharge_status_code")
    v.need("L30", s("autopsy_code") in {"1", "2"} if status == "5" else s.raw("autopsy_code") == "-")
    v.need("L31", status != "2" or s("receiving_institution_name"))
    receiver = s("receiving_institution_name") if v.is_hqms else s("receiving_primary_care_name")
    v.need("L31", status != "3" or receiver)
    v.need("L32", s("readmission_plan_code") != "2" or (s("readmission_purpose") and status != "5"))
    v.need("L34", s("drug_allergy_code") != "2" or s("allergen_name"))


def _fees(v: Verdict, s: Sheet) -> None:
    total = s.cents("total_fee_yuan")
    items = {item: s.cents(f"{item}_fee_yuan") for item in ITEMS}
    operation = s.cents("anaesthesia_fee_yuan") + s.cents("operation_fee_yuan")
    v.need("L40", total == sum(items.values()))
    v.need("L41", 0 <= s.cents("self_paid_yuan") <= total)
    v.need("L42", s.cents("physical_therapy_fee_yuan") <= items["nonsurgical_treatment"])
    v.need("L42", operation <= items["surgical_treatment"])
    v.need("L42", s.cents("antimicrobial_fee_yuan") <= items["western_drug"])
    v.need("L43", total > 0)
    v.need("L44", min(items.values()) >= 0)
    if int(s("length_of_stay")) > 1:
        v.need("L45", items["general_service"] > 0 and items["nursing"] > 0)
    v.need("L46", items["surgical_treatment"] == 0 or s("procedure_code", 1))
    v.need("L48", items["blood"] == 0 or s("rh_code") in {"1", "2"})
    v.need("L49", items["other"] < total)


def _domains(v: Verdict, s: Sheet) -> None:
    for field, values in DOMAINS.items():
        v.need("L52", not s(field) or s(field) in values.split())
    for n in v.operations:
        v.need("L52", s("procedure_level_code", n) in {"", "1", "2", "3", "4"})
