"""A scheme as an `.xlsx` workbook: one sheet per table, named and headed like the CSV files.

Codes must be text cells. What Excel makes of a code that it takes for a number or a date cannot be undone, so such a cell
is refused with its sheet, row and column; nothing is guessed. What the tables mean is not known here.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from pipelines.scheme.loader import OPTIONAL_COLUMNS, TABLES, TEXT, SchemeError

# A scheme of 1,000 groups and its dictionary is a workbook of 6 MB, unpacked 60 MB.
MAX_FILE_BYTES = 64 << 20
MAX_UNPACKED_BYTES = 512 << 20
MAX_PARTS = 1_000
# The library lays out the used area of a sheet cell by cell, however few cells hold something.
MAX_CELLS = 20_000_000
CHUNK_BYTES = 1 << 20
SHOWN_CELLS = 20
# Columns of text in which Excel does no harm to a whole number: numbers of lists and rules, and one-digit codes.
NUMBER_LIKE = frozenset(
    {"sex", "rule_id", "code_list_id", "exclusion_list_id", "category", "discharge_status"}
)
SCIENTIFIC = re.compile(r"\d+(\.\d+)?E[+-]\d+", re.IGNORECASE)
ERROR_VALUE = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NULL!|NUM!)", re.IGNORECASE)
CELL_PLACE = re.compile(rb"""<(?:\w+:)?c\s[^>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")

Rows = list[dict[str, str]]


def read_workbook(path: Path) -> dict[str, Rows]:
    """Return the tables that the workbook has sheets for: rows of text by column, blank rows left out.

    Raises SchemeError naming sheet, row and column of every cell that cannot be taken as it is.
    """
    # Imported here: schemes as folders, the rule, do not need it.
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415

    copy = _measured(path)
    tables: dict[str, Rows] = {}
    refused: list[str] = []
    try:
        with CalamineWorkbook.from_filelike(copy) as workbook:
            sheets = {name.strip().lower(): name for name in workbook.sheet_names}
            for table in TABLES:
                if table in sheets:
                    cells = workbook.get_sheet_by_name(sheets[table]).to_python(skip_empty_area=False)
                    tables[table] = _table(table, cells, refused)
    except (CalamineError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise SchemeError(f"{path}：工作簿无法打开：{error}") from error
    if refused:
        more = f"\n……共 {len(refused)} 处" if len(refused) > SHOWN_CELLS else ""
        raise SchemeError(f"{path}：有单元格不能照用，未导入\n" + "\n".join(refused[:SHOWN_CELLS]) + more)
    if not tables:
        raise SchemeError(f"{path}：没有名为 {'、'.join(TABLES)} 的工作表（见 docs/schemes.md）")
    return tables


def _table(name: str, cells: list[list[Any]], refused: list[str]) -> Rows:
    header = [str(cell).strip() for cell in cells[0]] if cells else []
    missing = [
        column for column in TABLES[name] if column not in header and (name, column) not in OPTIONAL_COLUMNS
    ]
    if missing:
        refused.append(f"工作表 {name} 第 1 行：缺少列 {'、'.join(missing)}")
    rows = []
    for number, row in enumerate(cells[1:], start=2):
        values = {}
        for column, cell in zip(header, row, strict=False):
            if column not in TABLES[name] or cell in ("", None):
                continue
            is_text = TABLES[name][column] == TEXT
            text, fault = _text(cell, is_text, not is_text or column in NUMBER_LIKE)
            if fault:
                refused.append(f"工作表 {name} 第 {number} 行 列 {column}：{fault}")
            values[column] = text
        if values:
            rows.append(values)
    return rows


def _text(cell: Any, is_text: bool, may_be_number: bool) -> tuple[str, str]:
    """Return a cell as text, and what is wrong with it ('' if nothing is)."""
    if isinstance(cell, str):
        text = cell.strip()
        if is_text and SCIENTIFIC.fullmatch(text):
            return text, f"{text} 是 Excel 的科学计数法，原编码已丢失；请把该列设为文本后重新填写"
        if ERROR_VALUE.fullmatch(text):
            return text, f"是公式错误值 {text}；请改为编码本身"
        return text, ""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return (
            "",
            f"是{'逻辑值' if isinstance(cell, bool) else '日期或时间'}而不是文本：请把该列设为文本后重新填写",
        )
    is_whole = cell == int(cell)
    shown = str(int(cell)) if is_whole else repr(cell)
    if may_be_number and (is_whole or not is_text):
        return shown, ""
    return shown, (
        f"是数字 {shown} 而不是文本：编码首尾的零在 Excel 中会丢失（如 38.5900 成为 38.59）；请把该列设为文本后重新填写"
    )


def _measured(path: Path) -> io.BytesIO:
    """Return a plain copy of the archive, unpacked part by part within limits. Raises SchemeError."""
    copy = io.BytesIO()
    size = 0
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SchemeError(f"{path}：文件超过 {MAX_FILE_BYTES >> 20} MB；请以文件夹（CSV）导入")
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as plain:
            if len(archive.infolist()) > MAX_PARTS:
                raise SchemeError(f"{path}：工作簿有 {len(archive.infolist())} 个部分，超过 {MAX_PARTS}")
            for entry in archive.infolist():
                content = bytearray()
                with archive.open(entry) as part:
                    while chunk := part.read(CHUNK_BYTES):
                        content += chunk
                        size += len(chunk)
                        if size > MAX_UNPACKED_BYTES:
                            raise SchemeError(f"{path}：工作簿解压后超过 {MAX_UNPACKED_BYTES >> 20} MB")
                if entry.filename.startswith("xl/worksheets/"):
                    _check_area(path, bytes(content))
                plain.writestr(entry.filename, bytes(content))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise SchemeError(f"{path}：不是有效的 .xlsx 文件：{error}") from error
    copy.seek(0)
    return copy


def _check_area(path: Path, sheet: bytes) -> None:
    rows = columns = 0
    for letters, digits in CELL_PLACE.findall(sheet):
        rows = max(rows, int(digits))
        column = 0
        for letter in letters:
            column = column * 26 + letter - 64
        columns = max(columns, column)
    if rows * columns > MAX_CELLS:
        raise SchemeError(f"{path}：工作表的使用范围有 {rows} 行 {columns} 列，超过 {MAX_CELLS} 个单元格")
