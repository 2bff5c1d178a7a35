"""The tables that a hospital gets, as rows under Chinese headings: findings, scores, rejects; and as CSV.

A table is written as CSV and as a sheet of a workbook alike. Text is made harmless where it is written, never here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from expectations.rules import code_names, load_score
from pipelines.intake.check import CheckedSheets, Finding, Sheet, field_names
from pipelines.intake.reject import Reject
from pipelines.release.cell_text import neutralise
from pipelines.return_pack.summary import explain_score
from pipelines.rule_table import SEVERITY_NAMES

Cell = str | int | Decimal | None

FINDING_COLUMNS = (
    ("病案号", 14), ("住院次数", 6), ("文件", 18), ("行号", 7), ("出院科别", 16), ("规则", 7), ("级别", 7),
    ("字段", 18), ("列名", 10), ("内容", 44), ("问题", 40), ("改法", 44), ("扣分", 7),
)  # fmt: skip
SCORE_COLUMNS = (
    ("病案号", 14), ("住院次数", 6), ("文件", 18), ("行号", 7), ("出院科别", 16), ("出院日期", 11), ("得分", 7),
    ("等级", 6), ("优秀", 6), ("扣分说明", 90),
)  # fmt: skip
REJECT_COLUMNS = (("文件", 22), ("行号", 8), ("字段", 22), ("内容", 18), ("原因", 60), ("改法", 60))


@dataclass
class Table:
    """A table: name of its sheet, name of its CSV file, headings with column widths, rows."""

    title: str
    file_name: str
    columns: Sequence[tuple[str, float]]
    rows: list[list[Cell]] = field(default_factory=list)


def finding_cells(item: Finding, sheet: Sheet | None) -> list[Cell]:
    """Return a finding under `FINDING_COLUMNS`; without its sheet the record number is not known."""
    return [
        sheet.record_number if sheet else None,
        sheet.admission_ordinal if sheet else None,
        item.source_file,
        item.source_row,
        department_name(sheet.department_code) if sheet else None,
        item.rule_id,
        SEVERITY_NAMES[item.severity],
        item.field_zh,
        item.column,
        item.value,
        item.title_zh,
        item.hint_zh,
        item.points_lost,
    ]


def score_table(sheets: Iterable[Sheet], excellent: Decimal) -> Table:
    """Return the scores of sheets, the lowest first."""
    table = Table("逐份评分", "scores.csv", SCORE_COLUMNS)
    for sheet in sorted(sheets, key=lambda item: (item.score, item.source_file, item.source_row)):
        table.rows.append(
            [
                sheet.record_number,
                sheet.admission_ordinal,
                sheet.source_file,
                sheet.source_row,
                department_name(sheet.department_code),
                str(sheet.discharge_date or ""),
                sheet.score,
                load_score().grade(sheet.score).name,
                "是" if sheet.score >= excellent else "否",
                explain_score(sheet),
            ]
        )
    return table


def reject_table(rejects: Iterable[Reject]) -> Table:
    """Return what was not accepted, in the order of the files."""
    table = Table("拒收", "rejects.csv", REJECT_COLUMNS)
    table.rows = [
        [
            item.source_file,
            item.source_row,
            field_names().get(item.field or "", item.field),
            item.value,
            item.message_zh,
            item.remedy_zh,
        ]
        for item in rejects
    ]
    return table


def check_tables(checked: CheckedSheets, excellent: Decimal) -> list[Table]:
    """Return the tables of a check: findings in the order of the file, scores, rejects."""
    sheets = {(item.source_file, item.source_row): item for item in checked.sheets}
    findings = Table("逐条问题", "findings.csv", FINDING_COLUMNS)
    findings.rows = [
        finding_cells(item, sheets[item.source_file, item.source_row]) for item in checked.findings
    ]
    return [findings, score_table(checked.sheets, excellent), reject_table(checked.rejects)]


def department_name(code: str | None) -> str:
    """Return a department's code with its name, as far as the list of departments knows it."""
    names = code_names("RC023")
    name = names.get(code or "") or names.get((code or "")[:2], "")
    return f"{code or '未填'} {name}".strip()


def write_csv(table: Table, folder: Path) -> Path:
    """Write a table as UTF-8 with a mark, as Excel expects it; text cannot become a formula. Returns the path."""
    path = folder / table.file_name
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([title for title, _ in table.columns])
        for row in table.rows:
            writer.writerow([neutralise(cell) if isinstance(cell, str) else cell for cell in row])
    return path
