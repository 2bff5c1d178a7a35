"""Write stays as front sheets in the 卫统4-1 layout (232 columns) or the HQMS layout (642 columns).

Columns are found by field name through the field table of the intake, the one list of what a column means;
the order of the header is in `data/layout_*.csv`. Differences between the layouts (dates, age of infants,
codes of payment and province, incision and healing, empty text) are all here.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.demo import identity, text
from pipelines.demo.codebook import OTHER_DIAGNOSES, PROCEDURES
from pipelines.demo.fee import FEE_ITEMS
from pipelines.demo.institution import Institution
from pipelines.demo.plan import City
from pipelines.demo.stay import OCCUPATIONS, PAYMENTS, STAFF_ROLES, Stays
from pipelines.demo.table import DATA_DIR
from pipelines.demo.text import Cell, Vocabulary

FIELD_TABLE = Path(__file__).resolve().parents[1] / "intake" / "front_sheet_fields.csv"
EXTENSION_FIELDS = (
    "pathway_managed_code", "pathway_completed_code", "pathway_exit_reason", "pathway_variation_code",
    "pathway_variation_reason", "day_surgery_code", "elective_code",
)  # fmt: skip
Key = tuple[str, int]

_ALLERGENS = Vocabulary(
    ["青霉素类", "头孢菌素类", "磺胺类", "喹诺酮类", "碘造影剂", "破伤风抗毒素", "解热镇痛药", "链霉素"]
)
_EXIT_REASONS = Vocabulary(
    [
        "出现严重并发症",
        "合并其他疾病需调整治疗",
        "患者要求退出",
        "转科治疗",
        "诊断变更",
        "检查结果异常需进一步诊治",
    ]
)
_VARIATION_REASONS = Vocabulary(["住院时间延长", "增加检查项目", "术后恢复缓慢", "用药调整", "等待会诊"])
_PURPOSES = Vocabulary(["继续化疗", "取内固定", "择期手术", "复查", "继续放疗"])
_RECEIVERS = Vocabulary(["省级示范医院", "杭州示范第一医院", "杭州示范康复医院", "县级示范医院"])
_PRIMARY_RECEIVERS = Vocabulary(["示范街道社区卫生服务中心", "示范镇卫生院", "示范乡卫生院"])
_BIRTHPLACES = Vocabulary(
    ["浙江省杭州市", "浙江省绍兴市", "浙江省金华市", "安徽省黄山市", "江西省上饶市", "河南省信阳市"]
)
_PROVINCES = {
    "wt41": Vocabulary(["浙江省", "安徽省", "江西省", "河南省"]),
    "hqms": Vocabulary(["11", "12", "14", "16"]),
}
_BIRTHPLACE_PROVINCE = np.array([0, 0, 0, 1, 2, 3])
_POSTCODES = Vocabulary(["310000", "311100", "311200", "311400", "311500", "311700", "311600"])
_PAYMENTS = {"wt41": Vocabulary([a for a, _, _ in PAYMENTS]), "hqms": Vocabulary([b for _, b, _ in PAYMENTS])}
_OCCUPATIONS = Vocabulary(list(OCCUPATIONS))
_STAFF_FIELDS = {
    "director": ("department_director_id", "Z"), "chief": ("chief_physician_id", "F"),
    "attending": ("attending_physician_id", "G"), "resident": ("resident_physician_id", "S"),
    "nurse": ("nurse_id", "N"), "trainee": ("trainee_physician_id", "T"), "intern": ("intern_id", "I"),
    "coder": ("coder_id", "C"), "qc_physician": ("qc_physician_id", "Q"), "qc_nurse": ("qc_nurse_id", "H"),
}  # fmt: skip
# What a hastily filled sheet leaves out. None of it is demanded by a logic rule; together it costs more than
# ten points.
_OFTEN_MISSING = frozenset(
    { "health_card_id", "birthplace", "native_place", "current_postcode", "registered_address",
    "registered_postcode", "employer", "employer_phone", "employer_postcode", "contact_relation_code",
    "contact_address", "contact_phone", "admission_ward", "discharge_ward", "department_director_id",
    "chief_physician_id", "resident_physician_id", "trainee_physician_id", "intern_id", "nurse_id",
    "coder_id", "record_quality_code", "qc_physician_id", "qc_nurse_id", "outpatient_diagnosis_code",
    "outpatient_diagnosis_name", }
)  # fmt: skip


class Layout:
    """One layout: header in delivery order, with the field, slot and data type of every column."""

    def __init__(self, name: str):
        self.name = name
        header_text = (DATA_DIR / f"layout_{name}.csv").read_text(encoding="utf-8").strip()
        self.header: list[str] = header_text.split(",")
        fields: dict[str, tuple[Key, str]] = {}
        extension: dict[str, str] = {}
        with FIELD_TABLE.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = (row["field"], int(row["slot"] or 0))
                if row["field"] in EXTENSION_FIELDS:
                    extension[row["field"]] = row["wt41_column"]
                elif row[f"{name}_column"]:
                    fields[row[f"{name}_column"].upper()] = (key, row["data_type"])
        self.keys: list[Key] = [fields[column.upper()][0] for column in self.header]
        self.types: list[str] = [fields[column.upper()][1] for column in self.header]
        self.extension_header = [extension[field] for field in EXTENSION_FIELDS]

    @property
    def empty_text(self) -> str:
        """What stands in a text cell without content."""
        return "-" if self.name == "hqms" else ""

    def columns(self, has_extension: bool) -> list[str]:
        """Return the header row."""
        return self.header + (self.extension_header if has_extension else [])

    def all_keys(self, has_extension: bool) -> list[Key]:
        """Return (field, slot) of every column of `columns`."""
        return self.keys + ([(field, 0) for field in EXTENSION_FIELDS] if has_extension else [])


@lru_cache(maxsize=2)
def layout(name: str) -> Layout:
    """Return the layout `wt41` or `hqms`."""
    return Layout(name)


class _Sheet:
    """Collects the cells of a chunk under their field names."""

    def __init__(self, city: City, institution: Institution, stays: Stays):
        self.city, self.institution, self.stays = city, institution, stays
        self.layout = layout(institution.layout)
        self.is_hqms = institution.layout == "hqms"
        self.empty = self.layout.empty_text
        self.cells: dict[Key, Cell] = {}

    def put(self, field: str, cell: Cell, slot: int = 0) -> None:
        """Set the cell of a field; what hasty sheets leave out is blanked in those rows."""
        if field in _OFTEN_MISSING and not isinstance(cell, str):
            complete = pa.array(self.stays.is_complete)
            cell = pc.if_else(complete, cell, self.empty)
        self.cells[field, slot] = cell

    def day(self, days: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
        """Return days in the layout's pattern."""
        return text.dates(days, "%Y-%m-%d" if self.is_hqms else "%Y%m%d", known)


def sheet_lines(city: City, institution: Institution, stays: Stays) -> pa.Array:
    """Return one CSV line (UTF-8, ended as the institution ends lines) per stay."""
    sheet = _Sheet(city, institution, stays)
    _put_person(sheet)
    _put_stay(sheet)
    _put_diagnoses(sheet)
    _put_procedures(sheet)
    _put_fees(sheet)
    if institution.has_extension:
        _put_extension(sheet)
    form = sheet.layout
    blank = {"text": form.empty_text, "code": form.empty_text}
    cells = [
        sheet.cells.get(key, blank.get(kind, "")) for key, kind in zip(form.keys, form.types, strict=True)
    ]
    if institution.has_extension:
        cells += [sheet.cells[field, 0] for field in EXTENSION_FIELDS]
    return text.rows(cells, institution.line_end)


def _put_person(sheet: _Sheet) -> None:
    stays, people, empty = sheet.stays, sheet.stays.people, sheet.empty
    infant = stays.age_years == 0
    newborn = stays.age_days <= 28
    sheet.put("institution_name", sheet.institution.name)
    sheet.put("stated_institution_code", sheet.institution.code)
    sheet.put("payment_method_code", _PAYMENTS[sheet.layout.name].take(stays.payment))
    sheet.put("health_card_id", identity.health_cards(people.telephone))
    sheet.put("admission_ordinal", text.integers(stays.ordinal))
    sheet.put("record_id", text.integers(stays.record_number))
    sheet.put("patient_name", identity.NAMES.take(people.name))
    sheet.put("sex_code", text.integers(stays.sex))
    sheet.put("birth_date", sheet.day(stays.birth))
    sheet.put("age_years", text.integers(stays.age_years))
    sheet.put("nationality_code", "CHN")
    if sheet.is_hqms:
        sheet.put("infant_age", text.integers(stays.age_days, infant))
    else:
        hundredths = np.floor(stays.age_days / 30.4375 * 100).astype(np.int64)
        sheet.put("infant_age", text.decimals(hundredths, 2, infant))
    sheet.put("birth_weight_grams", text.integers(stays.birth_weight, stays.birth_weight >= 0))
    sheet.put("admission_weight_grams", text.integers(stays.admission_weight, stays.admission_weight >= 0))
    place = people.telephone % len(_BIRTHPLACES)
    sheet.put("birthplace", _BIRTHPLACES.take(place))
    sheet.put("native_place", _PROVINCES[sheet.layout.name].take(_BIRTHPLACE_PROVINCE[place]))
    sheet.put("ethnic_group_code", "1")
    number = identity.identity_numbers(stays.birth, stays.sex, people.serial)
    sheet.put("patient_id", pc.if_else(pa.array(newborn), empty, number))
    sheet.put("occupation_code", _OCCUPATIONS.take(stays.occupation))
    sheet.put("marital_status_code", text.integers(stays.marital))
    address = identity.ADDRESSES.take(people.address)
    postcode = _POSTCODES.take(people.address % len(_POSTCODES))
    for field in ("current_address", "registered_address", "contact_address"):
        sheet.put(field, address)
    for field in ("current_postcode", "registered_postcode", "employer_postcode"):
        sheet.put(field, postcode)
    sheet.put("patient_phone", identity.telephones(people.telephone))
    sheet.put("employer", identity.EMPLOYERS.take(people.employer))
    sheet.put("employer_phone", text.glue("0571-0099", text.integers(1000 + people.employer)))
    sheet.put("contact_name", identity.NAMES.take(people.contact))
    sheet.put("contact_relation_code", text.integers(stays.relation))
    sheet.put("contact_phone", identity.telephones(people.contact_telephone))


def _put_stay(sheet: _Sheet) -> None:
    stays, empty, city = sheet.stays, sheet.empty, sheet.city
    departments = Vocabulary(city.catalogue.departments)
    wards = Vocabulary([f"{number}病区" for number in range(1, 25)])
    sheet.put("admission_route_code", text.integers(stays.route))
    if sheet.is_hqms:
        sheet.put(
            "admission_date", text.glue(sheet.day(stays.admission), " ", text.clock(stays.admission_minute))
        )
        sheet.put(
            "discharge_date", text.glue(sheet.day(stays.discharge), " ", text.clock(stays.discharge_minute))
        )
    else:
        sheet.put("admission_date", sheet.day(stays.admission))
        sheet.put("admission_hour", text.integers(stays.admission_minute // 60))
        sheet.put("discharge_date", sheet.day(stays.discharge))
        sheet.put("discharge_hour", text.integers(stays.discharge_minute // 60))
    came_to = np.where(stays.transfer >= 0, stays.transfer, stays.department)
    sheet.put("admission_department_code", departments.take(came_to))
    sheet.put(
        "transfer_department_codes",
        departments.take(np.where(stays.transfer >= 0, stays.department, -1), empty),
    )
    sheet.put("department_code", departments.take(stays.department))
    sheet.put("admission_ward", wards.take(stays.ward))
    sheet.put("discharge_ward", wards.take(stays.ward))
    sheet.put("length_of_stay", text.integers(stays.length_of_stay))
    sheet.put("discharge_status_code", text.integers(stays.status))
    transferred = np.where(stays.status == 2, stays.ward % len(_RECEIVERS), -1)
    to_primary = np.where(stays.status == 3, stays.ward % len(_PRIMARY_RECEIVERS), -1)
    if sheet.is_hqms:  # one column for both kinds of receiving institution
        both = pc.if_else(
            pa.array(stays.status == 3),
            _PRIMARY_RECEIVERS.take(to_primary, empty),
            _RECEIVERS.take(transferred, empty),
        )
        sheet.put("receiving_institution_name", both)
    else:
        sheet.put("receiving_institution_name", _RECEIVERS.take(transferred))
        sheet.put("receiving_primary_care_name", _PRIMARY_RECEIVERS.take(to_primary))
    sheet.put("readmission_plan_code", text.integers(np.where(stays.has_plan, 2, 1)))
    sheet.put(
        "readmission_purpose",
        _PURPOSES.take(np.where(stays.has_plan, stays.ward % len(_PURPOSES), -1), empty),
    )
    for position, field in enumerate(
        (
            "coma_before_admission_days", "coma_before_admission_hours", "coma_before_admission_minutes",
            "coma_after_admission_days", "coma_after_admission_hours", "coma_after_admission_minutes",
        )
    ):  # fmt: skip
        sheet.put(field, text.integers(stays.coma[:, position], stays.coma[:, position] >= 0))
    sheet.put("drug_allergy_code", text.integers(np.where(stays.allergy >= 0, 2, 1)))
    sheet.put("allergen_name", _ALLERGENS.take(stays.allergy, empty))
    sheet.put("autopsy_code", text.integers(stays.autopsy, stays.autopsy >= 0, "-"))
    sheet.put("abo_code", text.integers(stays.blood_group))
    sheet.put("rh_code", text.integers(stays.rhesus))
    for position, role in enumerate(STAFF_ROLES):
        field, letter = _STAFF_FIELDS[role]
        sheet.put(field, identity.staff(sheet.institution.number, letter).take(stays.staff[:, position]))
    sheet.put("record_quality_code", text.integers(stays.record_quality))
    sheet.put("qc_date", sheet.day(stays.qc_day))


def _put_diagnoses(sheet: _Sheet) -> None:
    stays, book, empty = sheet.stays, sheet.city.book, sheet.empty
    for slot in range(1, OTHER_DIAGNOSES + 2):
        term = stays.principal if slot == 1 else stays.other[:, slot - 2]
        if not (term >= 0).any():
            continue
        sheet.put("diagnosis_code", book.diagnosis_codes.take(term, empty), slot)
        sheet.put("diagnosis_name", book.diagnosis_names.take(term, empty), slot)
        present = np.ones(len(stays)) if slot == 1 else stays.present[:, slot - 2]
        sheet.put("present_on_admission_code", text.integers(present, present > 0, empty), slot)
    sheet.put("outpatient_diagnosis_code", book.diagnosis_codes.take(stays.principal))
    sheet.put("outpatient_diagnosis_name", book.diagnosis_names.take(stays.principal))
    sheet.put("external_cause_code", book.cause_codes.take(stays.cause, empty))
    sheet.put("external_cause_name", book.cause_names.take(stays.cause, empty))
    growth = np.where(stays.has_pathology, book.morphology[stays.principal], -1)
    sheet.put("morphology_code", book.morphology_codes.take(growth, empty))
    name = book.morphology_names.take(growth, empty)
    other_specimen = stays.has_pathology & (growth < 0)
    sheet.put("pathology_diagnosis_name", pc.if_else(pa.array(other_specimen), "慢性炎症", name))
    number = text.glue("B", text.integers(stays.record_number % 10_000_000 * 10 + stays.ordinal % 10))
    sheet.put("pathology_id", pc.if_else(pa.array(stays.has_pathology), number, empty))


def _put_procedures(sheet: _Sheet) -> None:
    stays, book, empty, number = sheet.stays, sheet.city.book, sheet.empty, sheet.institution.number
    surgeons, assistants = identity.staff(number, "O"), identity.staff(number, "G")
    anaesthetists = identity.staff(number, "A")
    roles = len(STAFF_ROLES)
    for slot in range(1, PROCEDURES + 1):
        term = stays.procedures[:, slot - 1]
        if not (term >= 0).any():
            continue
        known = term >= 0
        level = np.where(known, book.procedure_level[term], 0)
        operated = level > 0
        incision, healing = stays.incision[:, slot - 1], stays.healing[:, slot - 1]
        anaesthesia = stays.anaesthesia[:, slot - 1]
        local = (anaesthesia < 0) | book.anaesthesia_is_local[anaesthesia]
        sheet.put("procedure_code", book.procedure_codes.take(term, empty), slot)
        sheet.put("procedure_name", book.procedure_names.take(term, empty), slot)
        sheet.put("procedure_date", sheet.day(stays.procedure_day[:, slot - 1], known), slot)
        sheet.put("procedure_level_code", text.integers(level, operated, empty), slot)
        sheet.put("surgeon_id", surgeons.take(np.where(known, stays.staff[:, roles], -1), empty), slot)
        first = np.where(operated & (level >= 2), stays.staff[:, roles + 1], -1)
        second = np.where(operated & (level >= 3), stays.staff[:, roles + 2], -1)
        sheet.put("first_assistant_id", assistants.take(first, empty), slot)
        sheet.put("second_assistant_id", assistants.take(second, empty), slot)
        if sheet.is_hqms:
            place = np.where(healing == 9, incision * 10, (incision - 1) * 3 + healing)
            code = np.where(incision <= 0, 0, place)
            sheet.put("incision_healing_code", text.integers(code, incision >= 0, empty), slot)
        else:
            sheet.put("incision_class_code", text.integers(incision, incision >= 0), slot)
            sheet.put("healing_class_code", text.integers(healing, healing > 0), slot)
        sheet.put("anaesthesia_code", book.anaesthesia_codes.take(anaesthesia, empty), slot)
        staff = np.where(local, -1, stays.staff[:, roles + 3])
        sheet.put("anaesthetist_id", anaesthetists.take(staff, empty), slot)


def _put_fees(sheet: _Sheet) -> None:
    fees = sheet.stays.fees
    sheet.put("total_fee_yuan", text.decimals(fees.total))
    sheet.put("self_paid_yuan", text.decimals(fees.self_paid))
    for position, item in enumerate(FEE_ITEMS):
        sheet.put(f"{item}_fee_yuan", text.decimals(fees.items[:, position]))
    sheet.put("physical_therapy_fee_yuan", text.decimals(fees.physical_therapy))
    sheet.put("anaesthesia_fee_yuan", text.decimals(fees.anaesthesia))
    sheet.put("operation_fee_yuan", text.decimals(fees.operation))
    sheet.put("antimicrobial_fee_yuan", text.decimals(fees.antimicrobial))


def _put_extension(sheet: _Sheet) -> None:
    stays = sheet.stays
    managed = stays.is_managed
    gone = managed & ~stays.is_finished
    sheet.put("pathway_managed_code", text.integers(np.where(managed, 1, 2)))
    sheet.put("pathway_completed_code", text.integers(np.where(stays.is_finished, 1, 2), managed))
    sheet.put("pathway_exit_reason", _EXIT_REASONS.take(np.where(gone, stays.ward % len(_EXIT_REASONS), -1)))
    sheet.put("pathway_variation_code", text.integers(np.where(stays.is_varied, 1, 2), managed))
    reason = np.where(stays.is_varied, stays.ward % len(_VARIATION_REASONS), -1)
    sheet.put("pathway_variation_reason", _VARIATION_REASONS.take(reason))
    sheet.put("day_surgery_code", text.integers(stays.is_day_surgery))
    sheet.put("elective_code", text.integers(stays.elective))
