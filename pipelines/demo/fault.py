"""Faults put into deliveries on purpose: what, where, and how the finished files are changed.

Files are first written right and then changed in place, so that everything else about them stays right and
each fault is known by file and record. Source rows count records with the header as 1. Institutions' habits
(a badly written prescription, a sheet with blanks) are not faults and not here.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.demo.institution import Institution
from pipelines.demo.plan import City, month_name
from pipelines.demo.sheet import Key, layout

KEY_COLUMNS = (
    "fault_id",
    "institution_code",
    "month",
    "dataset",
    "file",
    "source_row",
    "field",
    "rule_id",
    "kind",
    "expected",
    "also_breaks",
    "description_zh",
)
DATASETS = ("front_sheet", "prescription", "prescription_line", "prescription_review")
FEE_COLUMNS = {"prescription": "amount_yuan", "prescription_line": "amount_yuan"}


@dataclass(frozen=True)
class Fault:
    """One planned fault: a kind, one file of one institution's month, and how many rows it should hit."""

    fault_id: str
    kind: str
    institution_number: int
    month: int
    dataset: str
    rows: int


@dataclass
class DeliveryFile:
    """One finished file in memory, with its records still as lines; parsed only when a fault looks inside."""

    dataset: str
    path: Path
    encoding: str
    end: str
    lines: list[str]
    declared_rows: int = 0
    declared_fee: int | None = 0
    changed: set[int] = field(default_factory=set)

    @staticmethod
    def read(dataset: str, path: Path, encoding: str, end: str) -> DeliveryFile:
        """Read a file that this package wrote."""
        lines = path.read_bytes().decode(encoding).split(end)
        return DeliveryFile(dataset, path, encoding, end, lines[:-1] if lines[-1] == "" else lines)

    def record(self, number: int) -> list[str]:
        """Return the cells of a source row."""
        return next(csv.reader([self.lines[number - 1]]))

    def replace(self, number: int, cells: list[str]) -> None:
        """Put other cells into a source row and protect it from further faults."""
        buffer = io.StringIO()
        csv.writer(buffer).writerow(cells)  # its own \r\n makes it quote cells with line breaks
        self.lines[number - 1] = buffer.getvalue().removesuffix("\r\n")
        self.changed.add(number)

    def append(self, cells: list[str]) -> int:
        """Add a record at the end and return its source row."""
        self.lines.append("")
        self.replace(len(self.lines), cells)
        return len(self.lines)

    def content(self) -> bytes:
        """Return the bytes of the file."""
        return "".join(line + self.end for line in self.lines).encode(self.encoding)


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


@dataclass(frozen=True)
class SheetFault:
    """A fault of single front sheets: which sheets it suits, what it changes, which rule should notice."""

    kind: str
    rule_id: str
    field_name: str
    expected: str
    description_zh: str
    suits: Test
    change: Change
    also_breaks: str = ""


def _always(_: SheetRecord) -> bool:
    return True


def _grown_up(s: SheetRecord) -> bool:
    return int(s.get("age_years")) >= 2


def _plain(s: SheetRecord) -> bool:
    return s.principal[0] in "EGHIJK" and not s.get("procedure_code", 1)


def _free_slot(s: SheetRecord) -> bool:
    return not s.get("diagnosis_code", 12)


def _swap_admission(s: SheetRecord) -> None:
    s.put_day("admission_date", s.day("discharge_date") + dt.timedelta(days=3))
    s.put("length_of_stay", "1")


def _as_principal(s: SheetRecord, code: str, name: str) -> None:
    s.put("diagnosis_code", code, 1)
    s.put("diagnosis_name", name, 1)


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


def _other_month(s: SheetRecord) -> None:
    s.put_day("discharge_date", s.day("discharge_date") + dt.timedelta(days=40))


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


SHEET_FAULTS: tuple[SheetFault, ...] = (
    SheetFault(
        "missing_record_number", "", "record_id", "row_rejected", "病案号为空", _always, _clear("record_id")
    ),
    SheetFault(
        "missing_discharge_date",
        "",
        "discharge_date",
        "row_rejected",
        "出院时间为空",
        _always,
        _blank("discharge_date"),
    ),
    SheetFault(
        "untypable_number",
        "",
        "length_of_stay",
        "row_rejected",
        "实际住院天数填为 abc",
        _always,
        lambda s: s.put("length_of_stay", "abc"),
    ),
    SheetFault(
        "untypable_date",
        "",
        "admission_date",
        "row_rejected",
        "入院时间填为不存在的日期",
        _always,
        _untypable_date,
    ),
    SheetFault(
        "wrong_month",
        "L05",
        "discharge_date",
        "row_rejected",
        "出院时间不在所报月份",
        _always,
        _other_month,
        "L03 L06",
    ),
    SheetFault(
        "institution_mismatch",
        "",
        "institution_name",
        "row_rejected",
        "机构名称与报送机构不符",
        _always,
        _other_institution,
    ),
    SheetFault(
        "admission_after_discharge",
        "L02",
        "admission_date",
        "finding",
        "入院时间晚于出院时间",
        _plain,
        _swap_admission,
    ),
    SheetFault(
        "wrong_stay",
        "L03",
        "length_of_stay",
        "finding",
        "实际住院天数与入出院日期不符",
        _always,
        lambda s: s.put("length_of_stay", str(int(s.get("length_of_stay")) + 5)),
    ),
    SheetFault(
        "operation_after_discharge",
        "L04",
        "procedure_date",
        "finding",
        "手术日期晚于出院日期",
        _has("procedure_date", 1),
        lambda s: s.put_day("procedure_date", s.day("discharge_date") + dt.timedelta(days=2), 1),
    ),
    SheetFault(
        "early_quality_check",
        "L06",
        "qc_date",
        "finding",
        "质控日期早于出院日期",
        _has("qc_date"),
        lambda s: s.put_day("qc_date", s.day("discharge_date") - dt.timedelta(days=3)),
    ),
    SheetFault(
        "wrong_age",
        "L07",
        "age_years",
        "finding",
        "年龄与出生日期不符",
        _grown_up,
        lambda s: s.put("age_years", str(int(s.get("age_years")) + 7)),
    ),
    SheetFault(
        "infant_age_missing",
        "L08",
        "infant_age",
        "finding",
        "不足1周岁年龄为空",
        _is("age_years", "0"),
        _blank("infant_age"),
    ),
    SheetFault(
        "newborn_weight_missing",
        "L10",
        "admission_weight_grams",
        "finding",
        "新生儿体重为空",
        _has("admission_weight_grams"),
        _blank("admission_weight_grams", "birth_weight_grams"),
    ),
    SheetFault(
        "weight_of_adult",
        "L12",
        "admission_weight_grams",
        "finding",
        "非新生儿填写了新生儿入院体重",
        _grown_up,
        lambda s: s.put("admission_weight_grams", "3200"),
    ),
    SheetFault(
        "female_diagnosis",
        "L14",
        "diagnosis_code",
        "finding",
        "男性患者出现女性诊断",
        lambda s: s.get("sex_code") == "1" and _free_slot(s),
        lambda s: s.add_diagnosis("N80.900", "子宫内膜异位症"),
    ),
    SheetFault(
        "male_diagnosis",
        "L15",
        "diagnosis_code",
        "finding",
        "女性患者出现男性诊断",
        lambda s: s.get("sex_code") == "2" and _free_slot(s),
        lambda s: s.add_diagnosis("N40.x00", "前列腺增生"),
    ),
    SheetFault(
        "identity_check_digit",
        "L17",
        "patient_id",
        "finding",
        "身份证号校验位错误",
        _has("patient_id"),
        _wrong_check_digit,
    ),
    SheetFault(
        "forbidden_principal",
        "L19",
        "diagnosis_code",
        "finding",
        "主要诊断使用了不得作主要诊断的编码",
        _plain,
        lambda s: _as_principal(s, "R65.300", "脏器衰竭的非感染性全身炎症反应综合征"),
    ),
    SheetFault(
        "diagnosis_name_missing",
        "L20",
        "diagnosis_name",
        "finding",
        "其他诊断有编码无名称",
        _has("diagnosis_code", 2),
        _clear("diagnosis_name", slot=2),
    ),
    SheetFault(
        "birth_outcome_missing",
        "L22",
        "diagnosis_code",
        "finding",
        "分娩病例缺少分娩结局 Z37",
        lambda s: s.principal[:3] in ("O80", "O81", "O82", "O83", "O84"),
        _lose_birth_outcome,
    ),
    SheetFault(
        "external_cause_missing",
        "L25",
        "external_cause_code",
        "finding",
        "损伤中毒诊断缺少外部原因",
        _has("external_cause_code"),
        _clear("external_cause_code", "external_cause_name"),
    ),
    SheetFault(
        "external_cause_alone",
        "L26",
        "external_cause_code",
        "finding",
        "无损伤中毒诊断却有外部原因",
        lambda s: not s.get("external_cause_code"),
        lambda s: (s.put("external_cause_code", "W01.900"), s.put("external_cause_name", "在同一平面上滑倒")),
    ),
    SheetFault(
        "morphology_behaviour",
        "L28",
        "morphology_code",
        "finding",
        "形态学编码的动态与部位编码不符",
        _has("morphology_code"),
        _wrong_behaviour,
    ),
    SheetFault(
        "autopsy_missing",
        "L30",
        "autopsy_code",
        "finding",
        "死亡病例未填尸检",
        _is("discharge_status_code", "5"),
        lambda s: s.put("autopsy_code", "-"),
    ),
    SheetFault(
        "receiver_missing",
        "L31",
        "receiving_institution_name",
        "finding",
        "医嘱转院未填拟接收机构",
        _is("discharge_status_code", "2"),
        _clear("receiving_institution_name"),
    ),
    SheetFault(
        "purpose_missing",
        "L32",
        "readmission_purpose",
        "finding",
        "有再住院计划而未填目的",
        _is("readmission_plan_code", "2"),
        _clear("readmission_purpose"),
    ),
    SheetFault(
        "allergen_missing",
        "L34",
        "allergen_name",
        "finding",
        "有药物过敏而未填过敏药物",
        _is("drug_allergy_code", "2"),
        _clear("allergen_name"),
    ),
    SheetFault(
        "surgeon_missing",
        "L36",
        "surgeon_id",
        "finding",
        "有手术而无术者",
        _has("surgeon_id", 1),
        _clear("surgeon_id", slot=1),
    ),
    SheetFault(
        "operation_level",
        "L37",
        "procedure_level_code",
        "finding",
        "手术级别超出值域",
        _has("procedure_level_code", 1),
        lambda s: s.put("procedure_level_code", "7", 1),
        "L52",
    ),
    SheetFault(
        "fee_sum",
        "L40",
        "total_fee_yuan",
        "finding",
        "总费用与分项之和相差100元",
        _always,
        lambda s: s.put_cents("total_fee_yuan", s.cents("total_fee_yuan") + 10_000),
    ),
    SheetFault(
        "self_paid",
        "L41",
        "self_paid_yuan",
        "finding",
        "自付金额大于总费用",
        _always,
        lambda s: s.put_cents("self_paid_yuan", s.cents("total_fee_yuan") + 5_000),
    ),
    SheetFault(
        "antimicrobial_fee",
        "L42",
        "antimicrobial_fee_yuan",
        "finding",
        "抗菌药物费大于西药费",
        _always,
        lambda s: s.put_cents("antimicrobial_fee_yuan", s.cents("western_drug_fee_yuan") + 1_000),
    ),
    SheetFault(
        "zero_total",
        "L43",
        "total_fee_yuan",
        "finding",
        "总费用为0",
        _always,
        lambda s: s.put("total_fee_yuan", "0.00"),
        "L40 L41 L49 L53",
    ),
    SheetFault(
        "negative_fee",
        "L44",
        "general_treatment_fee_yuan",
        "finding",
        "分项费用为负数",
        _grown_up,
        _negative_item,
    ),
    SheetFault(
        "blood_without_rh",
        "L48",
        "rh_code",
        "finding",
        "有血费而Rh未查",
        lambda s: s.cents("blood_fee_yuan") > 0,
        lambda s: s.put("rh_code", "4"),
    ),
    SheetFault(
        "value_domain",
        "L52",
        "marital_status_code",
        "finding",
        "婚姻状况超出值域",
        _always,
        lambda s: s.put("marital_status_code", "7"),
    ),
    SheetFault(
        "formula_text",
        "",
        "discharge_ward",
        "nothing",
        "文本以等号开头,导出到表格时不得成为公式",
        _always,
        lambda s: s.put("discharge_ward", "=cmd|' /C calc'!A0"),
    ),
    SheetFault(
        "quoted_newline",
        "",
        "admission_ward",
        "nothing",
        "文本中含换行,记录数不变",
        _always,
        lambda s: s.put("admission_ward", "3病区\n(东)"),
    ),
)
_BY_KIND = {item.kind: item for item in SHEET_FAULTS}
# Kinds that change the shape of single records or add records; (dataset, expected, wording).
RECORD_FAULTS: dict[str, tuple[str, str, str]] = {
    "too_few_columns": ("front_sheet", "row_rejected", "该行列数少于表头"),
    "too_many_columns": ("front_sheet", "row_rejected", "该行列数多于表头"),
    "duplicate_key": ("front_sheet", "row_rejected", "同一病案号与住院次数重复报送"),
    "duplicate_discharge": ("front_sheet", "finding", "同一病案号同一出院时间而住院次数不同"),
    "orphan_line": ("prescription_line", "row_rejected", "处方明细找不到处方"),
    "orphan_review": ("prescription_review", "row_rejected", "点评记录找不到处方"),
    "duplicate_prescription": ("prescription", "row_rejected", "处方号重复"),
    "missing_prescription_id": ("prescription", "row_rejected", "处方号为空"),
    "untypable_time": ("prescription", "row_rejected", "开方时间填为不存在的日期"),
    "wrong_month_prescription": ("prescription", "row_rejected", "开方时间不在所报月份"),
    "untypable_quantity": ("prescription_line", "row_rejected", "数量填为 abc"),
}
# Kinds that concern a whole file or month.
FILE_FAULTS: dict[str, tuple[str, str, str]] = {
    "mixed_encoding": ("front_sheet", "file_rejected", "文件前后两半使用不同编码"),
    "binary_file": ("front_sheet", "file_rejected", "文件不是文本"),
    "empty_file": ("front_sheet", "file_rejected", "文件为空(0字节)"),
    "unknown_header": ("front_sheet", "file_rejected", "表头不属于任何已知版式"),
    "missing_month": ("", "missing", "整月未报送"),
    "declared_rows": ("front_sheet", "gate", "申报行数与文件不符(多报7行)"),
    "declared_fee": ("front_sheet", "gate", "申报总费用与文件不符(多报1000元)"),
    "declared_hash": ("front_sheet", "gate", "申报摘要与文件不符"),
    "declared_amount": ("prescription", "gate", "申报处方金额与文件不符(多报1000元)"),
    "many_fee_errors": ("front_sheet", "gate", "三成首页总费用与分项不符,整月应被扣留"),
    "unknown_column": ("front_sheet", "noted", "多出一列未知字段"),
    "stray_names": ("", "noted", "目录内有无法识别的文件和子目录"),
}
_DESTROYED = {"mixed_encoding", "binary_file", "empty_file", "unknown_header"}


def plan_faults(city: City) -> list[Fault]:
    """Return the faults of a city, none if it is clean.

    Faults of whole files go to the smaller institutions and one month each, so that most institutions keep
    full years; faults of rows come twice each, in any month without a file fault, and never in the first
    month of the city.
    """
    if city.request.clean:
        return []
    rng = city.rng("fault")
    ranked = sorted(city.institutions, key=lambda i: (i.size, i.number))
    months = city.months[1:] or city.months
    faults: list[Fault] = []
    taken: set[tuple[int, int]] = set()
    small = ranked[: max(1, len(ranked) // 3)]
    for position, (kind, (dataset, _, _)) in enumerate(FILE_FAULTS.items()):
        # Three kinds share an institution and a year, so that few years become unfit for a yearly judgement.
        institution = small[position // 3 % len(small)]
        free = [m for m in months if (institution.number, m) not in taken]
        year = city.years[position // 3 % len(city.years)]
        free = [m for m in free if m // 12 == year] or free
        if not free:
            continue
        month = free[int(rng.integers(len(free)))]
        taken.add((institution.number, month))
        faults.append(Fault(f"F{len(faults) + 1:03d}", kind, institution.number, month, dataset, 0))
    rows = 2 if city.request.front_sheets < 100_000 else 3
    row_kinds = [(item.kind, "front_sheet") for item in SHEET_FAULTS]
    row_kinds += [(kind, dataset) for kind, (dataset, _, _) in RECORD_FAULTS.items()]
    slots = [
        (i.number, m)
        for i in reversed(ranked)
        for m in months
        if (i.number, m) not in taken and city.stay_counts[i.number - 1, city.months.index(m)] > 0
    ]
    if not slots:
        return faults
    # Rare sheets (a death, a newborn) are found more surely where there are many.
    weight = np.array([city.stay_counts[n - 1, city.months.index(m)] for n, m in slots], dtype=float)
    for kind, dataset in row_kinds:
        for _ in range(2):
            number, month = slots[int(rng.choice(len(slots), p=weight / weight.sum()))]
            faults.append(Fault(f"F{len(faults) + 1:03d}", kind, number, month, dataset, rows))
    return faults


class FaultWriter:
    """Applies the faults of one institution's month to its files and keeps the answer key."""

    def __init__(self, city: City, institution: Institution, month: int, faults: Sequence[Fault]):
        self.city, self.institution, self.month, self.faults = city, institution, month, faults
        self.key: list[list[str]] = []

    def note(
        self, fault: Fault, row: int | str = "", field_name: str = "", rule: str = "", also: str = ""
    ) -> None:
        """Add a line to the answer key."""
        catalogue = {**FILE_FAULTS, **RECORD_FAULTS}
        if fault.kind in _BY_KIND:
            expected, wording = _BY_KIND[fault.kind].expected, _BY_KIND[fault.kind].description_zh
        else:
            _, expected, wording = catalogue[fault.kind]
        file = f"{fault.dataset}.csv" if fault.dataset else ""
        self.key.append(
            [
                fault.fault_id,
                self.institution.code,
                month_name(self.month),
                fault.dataset,
                file,
                str(row),
                field_name,
                rule,
                fault.kind,
                expected,
                also,
                wording,
            ]
        )

    def apply(self, files: dict[str, DeliveryFile]) -> dict[str, bytes]:
        """Change the files and return the bytes of those that are not what their lines say."""
        overrides: dict[str, bytes] = {}
        # Faults of whole files come last: they would hide the others.
        for fault in sorted(
            self.faults, key=lambda f: (f.kind in _DESTROYED, f.kind == "quoted_newline", f.fault_id)
        ):
            file = files.get(fault.dataset)
            rng = self.city.rng("fault", int(fault.fault_id[1:]))
            if fault.kind in _BY_KIND:
                self._change_sheets(fault, file, rng)
            elif fault.kind in RECORD_FAULTS:
                self._change_records(fault, file, rng)
            elif fault.kind in _DESTROYED:
                overrides[fault.dataset] = self._destroy(fault, file, rng)
            elif fault.kind == "unknown_column":
                self._add_column(fault, file)
            elif fault.kind == "many_fee_errors":
                self._break_many(fault, file, rng)
            elif fault.kind in ("declared_rows", "declared_fee", "declared_hash", "declared_amount"):
                self.note(fault, "", fault.kind)
        return overrides

    def _candidates(self, file: DeliveryFile, rng: np.random.Generator) -> list[int]:
        rows = [n for n in range(2, len(file.lines) + 1) if n not in file.changed]
        return [rows[n] for n in rng.permutation(len(rows))]

    def _change_sheets(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> None:
        item = _BY_KIND[fault.kind]
        done = 0
        for number in self._candidates(file, rng):
            record = SheetRecord(self.institution, file.record(number))
            if not item.suits(record):
                continue
            item.change(record)
            file.replace(number, record.cells)
            self.note(fault, number, item.field_name, item.rule_id, item.also_breaks)
            done += 1
            if done >= fault.rows:
                return

    def _change_records(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> None:
        header = file.record(1)
        for count, number in enumerate(self._candidates(file, rng)[: fault.rows], 1):
            cells = file.record(number)
            row, field_name = number, ""
            fresh = f"CF{self.institution.number:03d}99{int(fault.fault_id[1:]):03d}{count:02d}"
            if fault.kind == "too_few_columns":
                file.replace(number, cells[:-3])
            elif fault.kind == "too_many_columns":
                file.replace(number, [*cells, "多", "余"])
            elif fault.kind in ("duplicate_key", "duplicate_prescription"):
                file.changed.add(number)
                row = file.append(cells)
            elif fault.kind == "duplicate_discharge":
                record = SheetRecord(self.institution, cells)
                record.put("admission_ordinal", str(int(record.get("admission_ordinal")) + 1))
                file.changed.add(number)
                row, field_name = file.append(record.cells), "admission_ordinal"
            elif fault.kind == "untypable_quantity":
                cells[header.index("quantity")] = "abc"
                file.replace(number, cells)
                field_name = "quantity"
            else:
                column, value = {
                    "orphan_line": ("prescription_id", fresh),
                    "orphan_review": ("prescription_id", fresh),
                    "missing_prescription_id": ("prescription_id", ""),
                    "untypable_time": ("prescribed_at", "2019-13-45 08:00"),
                    "wrong_month_prescription": ("prescribed_at", f"{month_name(self.month + 2)}-03 09:00"),
                }[fault.kind]
                cells[0] = fresh
                cells[header.index(column)] = value
                row, field_name = file.append(cells), column
            self.note(
                fault,
                row,
                field_name,
                "L50" if fault.kind.startswith("duplicate_") and file.dataset == "front_sheet" else "",
            )

    def _destroy(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> bytes:
        self.note(fault)
        if fault.kind == "empty_file":
            return b""
        if fault.kind == "binary_file":
            return b"\x89BIN\x00\x00" + rng.bytes(4096)
        if fault.kind == "unknown_header":
            header = ",".join(f"F{n:03d}" for n in range(1, len(file.record(1)) + 1))
            return "".join(line + file.end for line in [header, *file.lines[1:]]).encode(file.encoding)
        # A record ends in UTF-8 with characters that GB18030 cannot read, and the next ones the other way
        # round.
        half = max(2, len(file.lines) // 2)
        first = "".join(line + file.end for line in file.lines[:half]).encode("utf-8")
        rest = "".join(line + file.end for line in file.lines[half:]).encode("gb18030")
        return first + b"\xff\xfe\x81" + file.end.encode() + rest

    def _add_column(self, fault: Fault, file: DeliveryFile) -> None:
        file.lines[0] += ",ZDYBZ1"
        file.lines[1:] = [line + ",1" for line in file.lines[1:]]
        self.note(fault, "", "ZDYBZ1")

    def _break_many(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> None:
        wanted = max(1, round(0.3 * (len(file.lines) - 1)))
        for number in sorted(self._candidates(file, rng)[:wanted]):
            record = SheetRecord(self.institution, file.record(number))
            record.put_cents("total_fee_yuan", record.cents("total_fee_yuan") + 20_000)
            file.replace(number, record.cells)
            self.note(fault, number, "total_fee_yuan", "L40")


def total_of(file: DeliveryFile, institution: Institution) -> int | None:
    """Return the sum of the file's amounts in cents as its sender would add them, None where it has none.

    A record of another width than the header is left out: nobody can say which of its cells is the amount,
    and a row fault must not turn into a wrong declaration of the whole month.
    """
    width = len(file.record(1))
    if file.dataset == "front_sheet":
        column = layout(institution.layout).keys.index(("total_fee_yuan", 0))
    elif file.dataset in FEE_COLUMNS:
        column = file.record(1).index(FEE_COLUMNS[file.dataset])
    else:
        return None
    return sum(
        round(float(cells[column]) * 100) for cells in csv.reader(file.lines[1:]) if len(cells) == width
    )


def hash_of(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    return hashlib.sha256(content).hexdigest()
