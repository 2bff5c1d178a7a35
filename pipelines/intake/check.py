"""Check front sheets on their own, as a hospital does before it submits, and as a return pack does afterwards.

The same functions run as in the city's intake; only what needs the city (register, folder) is left out. Here
is told what intake never keeps: record numbers, the values behind a finding, what each line of the score took
off. Nothing is written, and the keys of the result are of no use outside it.
"""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

from expectations.rules import Rule, load_rules, load_score, used_columns
from pipelines.intake.batch import Batch, open_connection
from pipelines.intake.delivery import Delivery, SourceFile, hash_file
from pipelines.intake.lake import MARKER
from pipelines.intake.layout import front_sheet_fields
from pipelines.intake.month import NO_ENVELOPE, new_batch, take_in
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.reject import Reject
from pipelines.intake.source_file import find_fault, is_large

DATASET = "front_sheet"
SLOT_NAMES = {"diagnosis": "诊断", "procedure": "手术操作"}
# What rules look at and no column of a layout is called; None is not shown.
DERIVED_NAMES = {
    "stated_length_of_stay": "实际住院天数",
    "age_in_days": "入院时日龄",
    "principal_diagnosis_code": "主要诊断编码",
    "principal_diagnosis_name": "主要诊断",
    "diagnosis_codes": "全部诊断编码",
    "procedure_codes": "全部手术操作编码",
    "fee_items_yuan": "分项合计",
    "same_discharge_count": "相同的首页数",
    "month_start": "上报月份起",
    "month_end": "上报月份止",
    "layout": None,
    "fee_item_count": None,
    "position": None,
}
# Where a column is named that is none of the file's: the first of the block it comes from.
PLACE_OF = {
    "principal_diagnosis_code": "diagnosis_code",
    "diagnosis_codes": "diagnosis_code",
    "procedure_codes": "procedure_code",
}
SHOWN_CODES = 12


@dataclass(frozen=True)
class FileCounts:
    """One file's counts: rows = accepted + rejected."""

    source_file: str
    layout: str | None
    encoding: str | None
    row_count: int
    accepted_count: int
    rejected_count: int
    missing_columns: tuple[str, ...]
    unknown_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """An accepted sheet: place (record number in the file, header = 1), score, what each line of it took off, in points,
    and the fields that the score found blank.

    Record number, birth date and ID number are the hospital's own; they are for its eyes only.
    """

    source_file: str
    source_row: int
    record_number: str = field(repr=False)
    admission_ordinal: int
    department_code: str | None
    discharge_date: datetime.date | None
    birth_date: datetime.date | None = field(repr=False)
    patient_number: str | None = field(repr=False)
    score: Decimal
    lost: dict[str, Decimal]
    blanks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A sheet and a rule it breaks, in the rule's words; `value` is what the rule saw, `column` as the file calls it.

    Of a repeated field the first place that breaks the rule is named; `value` has them all.
    """

    source_file: str
    source_row: int
    rule_id: str
    field: str
    field_zh: str
    column: str
    value: str = field(repr=False)
    severity: str
    title_zh: str
    hint_zh: str
    points_lost: Decimal


@dataclass
class CheckedSheets:
    """What a check found, all in the order of the files."""

    files: list[FileCounts] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        """Whether something has to be mended: a rejected file or row, or a finding of severity error."""
        return bool(self.rejects) or any(item.severity == "error" for item in self.findings)


def check_front_sheets(paths: Sequence[Path], month: str = "") -> CheckedSheets:
    """Check the front-sheet files of one delivery; `month` (YYYY-MM) says which discharges belong in it.

    Raises FileNotFoundError where there is no such file; every fault of the content is a reject.
    """
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"没有这个文件：{path}")
    files = tuple(SourceFile(DATASET, path, hash_file(path)) for path in paths)
    faults = {file.path: find_fault(file) for file in files if is_large(file)}
    refused = {path: fault for path, fault in faults.items() if fault is not None}
    result = CheckedSheets()
    counts: list[dict] = []
    with open_connection() as connection:
        batch = new_batch([Delivery("", month, files)], connection, Pseudonymiser(secrets.token_bytes(32)))
        for _, tables in take_in(batch, None, [NO_ENVELOPE], refused):
            result.rejects += [reject for _, reject in batch.rejects]
            if tables["front_sheet"] is not None:
                result.sheets += _read_sheets(batch)
                result.findings += _describe_findings(batch, tables["finding"].to_pylist())
            counts = tables[MARKER].to_pylist() if MARKER in tables else counts
    result.files = [_count(batch, row) for row in counts]
    result.rejects.sort(key=lambda item: (item.source_file, item.source_row or 0, item.field or ""))
    return result


@cache
def field_names() -> dict[str, str]:
    """Return the Chinese names of the fields and of what rules derive; a repeated field goes without its number."""
    names: dict[str, str] = {}
    for item in front_sheet_fields():
        name = item.name_zh.removesuffix("1") if item.slot == 1 else item.name_zh
        is_diagnosis = item.slot == 1 and item.field != "procedure_code"
        names.setdefault(item.field, name.removeprefix("主要") if is_diagnosis else name)
    shown = {name: title for name, title in DERIVED_NAMES.items() if title}
    return names | {"coma_before_admission_hours": "昏迷时间"} | shown


def _count(batch: Batch, row: dict) -> FileCounts:
    [table] = [item.table for item in batch.files if item.name == row["source_file"]]
    spelling = table.layout.spelling if table.layout else {}
    return FileCounts(
        row["source_file"],
        row["layout"],
        row["encoding"],
        row["row_count"],
        row["accepted_count"],
        row["rejected_count"],
        tuple(spelling.get(key, key) for key in table.missing),
        table.unknown,
    )


def _read_sheets(batch: Batch) -> Iterator[Sheet]:
    """Read the accepted sheets in memory with their scores, in order."""
    score = load_score()
    items = [item.id for item in score.items]
    fields = list(dict.fromkeys(name for item in score.items for name in item.blank_fields))
    columns = ", ".join([*(f"lost_{item}" for item in items), *(f"is_blank_{name}" for name in fields)])
    for number, row, record, ordinal, department, discharged, born, patient, *rest in batch.connection.sql(
        f"""
        select file_number, source_row, record_id, admission_ordinal, department_code, discharge_date::date, birth_date,
            patient_id, {columns}
        from accepted_sheet join score_line using (row_no) join sheet_blank using (row_no) order by row_no
        """
    ).fetchall():
        lost = {item: value for item, value in zip(items, rest, strict=False) if value}
        yield Sheet(
            batch.files[number].name,
            row,
            record,
            ordinal,
            department,
            discharged,
            born,
            patient,
            score.total - sum(lost.values(), Decimal(0)),
            lost,
            tuple(name for name, is_blank in zip(fields, rest[len(items) :], strict=True) if is_blank),
        )


@dataclass
class _Evidence:
    """What the checks of one rule and field saw on one sheet."""

    rule: Rule
    position: int | None
    values: list[str] = field(default_factory=list)


def _describe_findings(batch: Batch, rows: list[dict]) -> Iterator[Finding]:
    evidence = _gather_evidence(batch)
    spelling = {item.name: item.table.layout.spelling for item in batch.files if item.table.layout}
    for row in rows:
        seen = evidence[row["source_file"], row["source_row"], row["rule_id"], row["field"]]
        base = PLACE_OF.get(row["field"], row["field"])
        key = base if seen.position is None else f"{base}@{seen.position}"
        known = spelling[row["source_file"]]
        yield Finding(
            row["source_file"],
            row["source_row"],
            row["rule_id"],
            row["field"],
            field_names().get(row["field"], row["field"]),
            known.get(key, known.get(f"{base}@1", "")),
            "；".join(seen.values),
            row["severity"],
            seen.rule.title,
            seen.rule.hint,
            row["points_lost"],
        )


def _gather_evidence(batch: Batch) -> dict[tuple[str, int, str, str], _Evidence]:
    """Return what every broken check saw, by file, row, rule and field."""
    rules = load_rules(DATASET)
    con = batch.connection
    counts = ", ".join(f"count(*) filter (where check_{index})" for index in range(len(rules.checks)))
    [broken] = con.sql(f"select {counts} from rule_result").fetchall()
    result: dict[tuple[str, int, str, str], _Evidence] = {}
    for index, (rule, name) in enumerate(rules.checks):
        if not broken[index]:
            continue
        columns = [
            column for column in used_columns(rules, index) if DERIVED_NAMES.get(column, column) is not None
        ]
        is_slot = rule.grain != rules.grain
        [(applies, predicate)] = [check[1:] for check in rule.checks if check[0] == name]
        conditions = [part for part in (rule.in_force, applies, predicate) if part]
        narrowed = f"where ({') and ('.join(conditions)})" if is_slot else ""
        selected = ", ".join(f"seen.{column}" for column in columns) or "null"
        for number, row, position, *values in con.sql(f"""
            select accepted.file_number, accepted.source_row, {"seen.position" if is_slot else "null"}, {selected}
            from (from rule_{rule.grain} {narrowed}) as seen join accepted_sheet as accepted using (row_no)
            where row_no in (select row_no from rule_result where check_{index})
            order by row_no, 3
        """).fetchall():
            key = (batch.files[number].name, row, rule.reported_as, name)
            seen = result.setdefault(key, _Evidence(rule, position))
            shown = "，".join(
                f"{field_names().get(column, column)}：{_shown(column, value)}"
                for column, value in zip(columns, values, strict=bool(columns))
            )
            seen.values.append(f"第{position}个{SLOT_NAMES[rule.grain]} {shown}" if is_slot else shown)
    return result


def _shown(column: str, value: object) -> str:
    """Return a value for the hospital's eyes; of an ID number only what rules look at."""
    if value is None:
        return "空"
    if isinstance(value, list):
        more = "……" if len(value) > SHOWN_CODES else ""
        return " ".join(value[:SHOWN_CODES]) + more
    if isinstance(value, float):
        return f"{value:g}"
    if column == "patient_id":
        return re.sub(r"^(.{6})(.{8})(.{2})", r"******\2**", str(value))
    return str(value)
