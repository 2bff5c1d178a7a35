"""Reference and reported files: the institution register, the drug master, reported values and evidence.

They are small, exist once for the city and hold no patients. Typed strictly; a row that cannot be typed is
rejected with its place. What the values mean is the warehouse's business.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.intake import schema
from pipelines.intake.delivery import SourceFile
from pipelines.intake.lake import write_if_different
from pipelines.intake.register import InstitutionRegister
from pipelines.intake.reject import Reject, showable
from pipelines.intake.source_file import UnusableFile, read_rows

EMPTY = {"", "-", "NULL", "null"}
KEYS = {
    "institution": ("institution_code", "institution_name"),
    "drug": ("drug_code",),
    "reported_value": ("indicator_code", "org_level", "org_code", "period"),
    "evidence": ("indicator_code", "org_level", "org_code", "achieved_on"),
}
DOMAINS = {
    ("institution", "level"): {"1", "2", "3"},
    ("institution", "grade"): {"A", "B", "C", "U"},
    ("institution", "ownership"): {"public", "private"},
    ("institution", "owner_level"): {"province", "city", "county"},
    ("institution", "institution_type"): {
        "general",
        "tcm",
        "children",
        "obstetrics",
        "oncology",
        "psychiatric",
        "stomatology",
        "infectious",
        "rehabilitation",
        "primary",
        "station",
        "village",
    },
    ("reported_value", "org_level"): {"institution", "county", "city", "consortium"},
    ("evidence", "org_level"): {"institution", "county", "city", "consortium"},
}
PERIOD = re.compile(r"(19|20)\d\d(-(0[1-9]|1[0-2]))?")
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d")
MOMENT_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", *DATE_FORMATS)
COLUMNS = {
    "institution": schema.INSTITUTION,
    "drug": schema.DRUG,
    "reported_value": schema.REPORTED_VALUE,
    "evidence": schema.EVIDENCE,
}
TARGETS = {
    "institution": "reference/institution.parquet",
    "drug": "reference/drug.parquet",
    "reported_value": "reported/reported_value.parquet",
    "evidence": "reported/evidence.parquet",
}


class MissingRegisterError(Exception):
    """The register of institutions is missing or has no usable row: no delivery can be placed without it."""


@dataclass
class ReferenceSummary:
    """What was read: rows per table, rejects, and the register for intake."""

    counts: dict[str, int] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    register: InstitutionRegister = field(default_factory=InstitutionRegister)


def take_in_reference_files(files: Iterable[SourceFile], lake: Path) -> ReferenceSummary:
    """Type the reference and reported files into the lake; a missing optional file becomes one without rows.

    Raises MissingRegisterError where the register of institutions is missing or holds no usable row.
    """
    summary = ReferenceSummary()
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TARGETS}
    places: list[tuple[str, int]] = []
    for file in sorted(files, key=lambda item: (item.dataset, item.name)):
        read = _read_table(file, summary.rejects)
        rows[file.dataset] += [row for _, row in read]
        if file.dataset == "institution":
            places += [(file.name, number) for number, _ in read]
    rows["institution"], faulty = _check_validity(rows["institution"], places)
    summary.rejects += faulty
    if not rows["institution"]:
        found = [reject.message_zh for reject in summary.rejects if reject.dataset == "institution"]
        raise MissingRegisterError(
            "机构名册 reference/institution.csv 缺失或没有可用的行" + (f":{found[0]}" if found else "")
        )
    for table, target in TARGETS.items():
        data = pa.Table.from_pylist(rows[table], schema.arrow_schema(COLUMNS[table]))
        write_if_different(lake, lake / target, data)
        summary.counts[table] = data.num_rows
    rejects = [
        {
            "dataset": reject.dataset,
            "source_file": reject.source_file,
            "source_row": reject.source_row,
            "field": reject.field,
            "rule_id": reject.rule_id,
            "value": reject.value,
            "message_zh": reject.message_zh,
            "remedy_zh": reject.remedy_zh,
        }
        for reject in summary.rejects
    ]
    table = pa.Table.from_pylist(rejects, schema.arrow_schema(schema.REFERENCE_REJECT))
    write_if_different(lake, lake / "reference/reject.parquet", table)
    summary.register = InstitutionRegister.from_rows(rows["institution"])
    return summary


def _read_table(file: SourceFile, rejects: list[Reject]) -> list[tuple[int, dict[str, Any]]]:
    table = file.dataset
    try:
        header, records = read_rows(file)
        positions = _match_columns(table, header)
    except UnusableFile as problem:
        rejects.append(Reject(table, file.name, None, problem.rule_id, str(problem)))
        return []
    result, seen = [], {}
    for number, cells in records:
        row, problems = _type_row(table, cells, positions, len(header))
        key = tuple(str(row.get(name)) for name in (*KEYS[table], "valid_from") if name in COLUMNS[table])
        if not problems and key in seen and table in ("institution", "drug"):
            problems = [(KEYS[table][0], "duplicate_key", None, f"与第 {seen[key]} 行重复")]
        if problems:
            rejects += [
                Reject(table, file.name, number, rule_id, message, name, showable(value))
                for name, rule_id, value, message in problems
            ]
            continue
        seen[key] = number
        for name, value in (("source_file", file.name), ("source_row", number)):
            if name in COLUMNS[table]:
                row[name] = value
        result.append((number, row))
    return result


def _check_validity(
    rows: Sequence[dict[str, Any]], places: Sequence[tuple[str, int]]
) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Split the register's rows, with the file and row of each, into those that can stand and the rejects.

    Both days of a span count. Of two spans that overlap the earlier row stands: a discharge must find one
    row of its institution, never two.
    """
    standing, rejects = [], []
    spans: dict[str, list[tuple[datetime.date, datetime.date, str, int]]] = {}
    for row, (name, number) in zip(rows, places, strict=True):
        code = row["institution_code"]
        begins = row.get("valid_from") or datetime.date.min
        ends = row.get("valid_to") or datetime.date.max
        if begins > ends:
            message = f"机构 {code} 的有效期颠倒：valid_from {begins} 晚于 valid_to {ends}"
            rejects.append(
                Reject("institution", name, number, "validity_reversed", message, "valid_from", str(begins))
            )
            continue
        known = spans.setdefault(code, [])
        other = next((span for span in known if begins <= span[1] and span[0] <= ends), None)
        if other is not None:
            where = f"第 {other[3]} 行" if other[2] == name else f"{other[2]} 第 {other[3]} 行"
            message = (
                f"机构 {code} 的有效期（{_span_text(begins, ends)}）与{where}的有效期"
                f"（{_span_text(other[0], other[1])}）重叠，该行不予采用"
            )
            field_name = "valid_from" if row.get("valid_from") else "valid_to"
            value = row.get(field_name)
            rejects.append(
                Reject(
                    "institution", name, number, "validity_overlap", message, field_name, value and str(value)
                )
            )
            continue
        known.append((begins, ends, name, number))
        standing.append(row)
    return standing, rejects


def _span_text(begins: datetime.date, ends: datetime.date) -> str:
    first = "起始不限" if begins == datetime.date.min else str(begins)
    last = "至今" if ends == datetime.date.max else f"至 {ends}"
    return f"{first} {last}"


def _match_columns(table: str, header: Sequence[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    positions = {name: names.index(name) for name in COLUMNS[table] if name in names}
    missing = [name for name in KEYS[table] if name not in positions]
    if missing:
        raise UnusableFile("key_column_missing", f"缺少关键列：{'、'.join(missing)}")
    return positions


def _type_row(
    table: str, cells: Sequence[str], positions: dict[str, int], width: int
) -> tuple[dict[str, Any], list[tuple[str, str, str | None, str]]]:
    if len(cells) != width:
        return {}, [(None, "row_width", None, f"该行有 {len(cells)} 列，表头有 {width} 列")]
    row: dict[str, Any] = {}
    problems = []
    for name, position in positions.items():
        text = cells[position].strip()
        if text in EMPTY:
            if name in KEYS[table]:
                problems.append((name, "key_missing", None, f"关键项 {name} 为空"))
            continue
        try:
            row[name] = READERS[COLUMNS[table][name]](text)
        except ValueError:
            problems.append((name, "value_type", text, f"{name} “{text[:40]}”不合要求的格式"))
            continue
        domain = DOMAINS.get((table, name))
        if domain and row[name] not in domain:
            problems.append(
                (name, "value_type", text, f"{name} “{text[:40]}”应为 {'、'.join(sorted(domain))} 之一")
            )
        if name == "period" and not PERIOD.fullmatch(text):
            problems.append((name, "value_type", text, f"period “{text[:40]}”应为 YYYY 或 YYYY-MM"))
    return row, problems


def _read_number(text: str) -> float:
    if not re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)", text):
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _read_moment(text: str, formats: Sequence[str] = MOMENT_FORMATS) -> datetime.datetime:
    for pattern in formats:
        try:
            return datetime.datetime.strptime(text, pattern)
        except ValueError:
            continue
    raise ValueError(text)


def _read_date(text: str) -> datetime.date:
    return _read_moment(text, (*DATE_FORMATS, "%Y-%m-%d %H:%M:%S")).date()


READERS: dict[pa.DataType, Callable[[str], Any]] = {
    schema.TEXT: str,
    schema.REAL: _read_number,
    schema.WHOLE: int,
    schema.FLAG: _read_flag,
    schema.DAY: _read_date,
    schema.MOMENT: _read_moment,
}
