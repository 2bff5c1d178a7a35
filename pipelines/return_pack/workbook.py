"""The return pack as an Excel workbook: a first sheet that sums up, then the tables row by row.

Codes are text, points and weights numbers; text that begins like a formula is made harmless. Nothing is computed
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.release.workbook import Sheets
from pipelines.return_pack.table import Cell, Table

SUMMARY_COLUMNS = (("项目", 26), ("内容", 52), ("", 12), ("", 12), ("", 12), ("", 12), ("", 12))
SEVERITY_FILLS = {
    "错误": ("#FDE5DA", "#93300B"),
    "提醒": ("#FDF1CF", "#6D4A00"),
    "拒收": ("#FDE5DA", "#93300B"),
}


@dataclass(frozen=True)
class Block:
    """A part of the first sheet: a heading, then rows; the first row of a part with columns has their names."""

    title: str
    rows: Sequence[Sequence[Cell]] = field(default_factory=list)
    has_header: bool = False


def write_workbook(path: Path, title: str, blocks: Sequence[Block], tables: Sequence[Table]) -> None:
    """Write the workbook: the blocks on the first sheet, a sheet per table."""
    sheets = Sheets(path, title)
    try:
        _write_summary(sheets, title, blocks)
        for table in tables:
            _write_table(sheets, table)
    finally:
        sheets.book.close()


def _write_summary(sheets: Sheets, title: str, blocks: Sequence[Block]) -> None:
    sheet = sheets.add("概要", SUMMARY_COLUMNS)
    sheets.text(sheet, 1, 0, title, bold=True, font_size=14)
    row = 2
    for block in blocks:
        row += 1
        sheets.text(sheet, row, 0, block.title, bold=True, font_color="#1F4E79", font_size=12)
        for number, cells in enumerate(block.rows):
            row += 1
            is_header = block.has_header and number == 0
            for column, cell in enumerate(cells):
                _write_cell(
                    sheets,
                    sheet,
                    (row, column),
                    cell,
                    bold=is_header or (column == 0 and not block.has_header),
                )
        row += 1


def _write_table(sheets: Sheets, table: Table) -> None:
    sheet = sheets.add(table.title, table.columns)
    for row, cells in enumerate(table.rows, 1):
        for column, cell in enumerate(cells):
            fill = SEVERITY_FILLS.get(cell) if isinstance(cell, str) else None
            colours = {"bg_color": fill[0], "font_color": fill[1]} if fill else {}
            _write_cell(sheets, sheet, (row, column), cell, **colours)
    sheet.autofilter(0, 0, max(len(table.rows), 1), len(table.columns) - 1)


def _write_cell(sheets: Sheets, sheet: Any, place: tuple[int, int], cell: Cell, **options: Any) -> None:
    if isinstance(cell, str):
        sheets.text(sheet, *place, cell, text_wrap=True, **options)
    elif isinstance(cell, int | Decimal):
        sheets.number(sheet, *place, cell)
