"""The first sheet of an `.xlsx` workbook as rows of text, within bounded memory.

A workbook is an archive of XML that a small file can make arbitrarily large, and the library that reads it
believes what the file says of itself. So every part is unpacked and measured here first, and the library is
given a plain copy. What the cells mean is not known here.
"""

from __future__ import annotations

import datetime
import io
import math
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from pipelines.intake.reject import UnusableFile

# Unpacked; some 8,000 front sheets of HQMS or 20,000 of 卫统4-1. What is larger has to come as CSV.
MAX_UNPACKED_BYTES = 128 << 20
MAX_PARTS = 10_000
# The library lays the used area out cell by cell, 32 bytes each, however few cells hold something.
MAX_CELLS = 8_000_000
MAX_ERROR_CELLS = 10_000
CHUNK_BYTES = 1 << 20
# The tags of a cell are short: what straddles two chunks is looked at with the second.
OVERLAP_BYTES = 4096
# Excel keeps 15 digits of a number; what was longer is lost.
EXCEL_DIGITS = 10**15
PLACE = re.compile(rb"""\sr=["']([A-Z]{0,3})([0-9]{1,7})["']""")
FORMULA = re.compile(rb"""\sr=["']([A-Z]{1,3}[0-9]{1,7})["'][^>]*>\s*<(?:\w+:)?f[\s/>]""")
ERROR = re.compile(
    rb"""<(?:\w+:)?c\s(?=[^>]*\bt=["']e["'])[^>]*\br=["']([A-Z]{1,3})([0-9]{1,7})["'][^>]*>"""
    rb"""\s*<(?:\w+:)?v>(#[^<]{1,12})</"""
)


@dataclass
class _Look:
    """What a look through a sheet's XML shows: how far it reaches, and its error cells (row -> column -> text)."""

    last_row: int = 0
    last_column: int = 0
    errors: dict[int, dict[int, str]] = field(default_factory=dict)


def read_sheet(content: bytes) -> Iterator[list[str]]:
    """Yield the rows of the first sheet, the header first, each cell as the text that a CSV export would have.

    A number that lost digits keeps its exponent, an error cell its `#` text. Raises UnusableFile where the
    workbook is none, is too large or has formulas.
    """
    # Imported here: text deliveries, the rule, do not need it.
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415

    parts = _unpack(content)
    look = _look_through(parts.get(_first_sheet(parts), b""))
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        while parts:
            archive.writestr(*parts.popitem())
    copy.seek(0)
    try:
        with CalamineWorkbook.from_filelike(copy) as workbook:
            sheet = workbook.get_sheet_by_index(0)
            # Columns left of the first used one are not given; the rows above it are.
            left = (sheet.start or (0, 0))[1]
            for number, cells in enumerate(sheet.iter_rows()):
                texts = [""] * left + [_cell_text(cell) for cell in cells]
                for column, text in look.errors.get(number, {}).items():
                    texts[column] = text
                yield texts
    except (CalamineError, OSError, ValueError, IndexError, zipfile.BadZipFile):
        # The error's text may quote a cell.
        raise UnusableFile("file_unreadable", "工作簿无法打开") from None


def _unpack(content: bytes) -> dict[str, bytes]:
    """Return the parts of the archive by name; nothing is written, whatever the names are."""
    parts, size = {}, 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_PARTS:
                raise UnusableFile("file_too_large", f"工作簿有 {len(entries)} 个部分，上限为 {MAX_PARTS}")
            for entry in entries:
                with archive.open(entry) as part:
                    # What the archive says of the size is not believed.
                    data = part.read(MAX_UNPACKED_BYTES - size + 1)
                size += len(data)
                if size > MAX_UNPACKED_BYTES:
                    limit = MAX_UNPACKED_BYTES >> 20
                    raise UnusableFile("file_too_large", f"工作簿解压后超过 {limit} MB，请改用 CSV 或拆分")
                parts[entry.filename] = data
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError):
        raise UnusableFile("file_unreadable", "不是有效的 .xlsx 文件（可能已损坏或加密）") from None
    return parts


def _first_sheet(parts: dict[str, bytes]) -> str:
    """Return the name of the part that holds the first sheet."""
    try:
        sheets = ElementTree.fromstring(parts["xl/workbook.xml"])
        sheet = next(node for node in sheets.iter() if node.tag.endswith("}sheet"))
        link = next(value for name, value in sheet.items() if name.endswith("}id"))
        links = ElementTree.fromstring(parts["xl/_rels/workbook.xml.rels"])
        target = next(node.get("Target", "") for node in links if node.get("Id") == link)
    except (KeyError, StopIteration, ElementTree.ParseError):
        raise UnusableFile("file_unreadable", "不是有效的 .xlsx 文件（没有工作表）") from None
    return posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")


def _look_through(xml: bytes) -> _Look:
    """Find out what the library would not tell, or not survive."""
    look = _Look()
    if b"\0" in xml[:CHUNK_BYTES]:
        raise UnusableFile("file_unreadable", "工作表不是 UTF-8 编码的 XML")
    columns: set[bytes] = set()
    for start in range(0, len(xml), CHUNK_BYTES):
        chunk = xml[max(0, start - OVERLAP_BYTES) : start + CHUNK_BYTES]
        if formula := FORMULA.search(chunk):
            raise UnusableFile("file_formula", f"工作表含有公式（单元格 {formula[1].decode()}）")
        places = PLACE.findall(chunk)
        columns.update({column for column, _ in places})
        look.last_row = max(look.last_row, max((int(row) for _, row in places), default=1) - 1)
        if b"#" in chunk:
            for column, row, text in ERROR.findall(chunk):
                look.errors.setdefault(int(row) - 1, {})[_column_number(column)] = text.decode(
                    "utf-8", "replace"
                )
        if len(look.errors) > MAX_ERROR_CELLS:
            raise UnusableFile("file_unreadable", f"工作表有 {MAX_ERROR_CELLS} 行以上含错误值（#N/A 之类）")
    look.last_column = max(map(_column_number, columns), default=0)
    rows, width = look.last_row + 1, look.last_column + 1
    if rows * width > MAX_CELLS:
        raise UnusableFile(
            "file_too_large",
            f"工作表占用 {rows} 行 × {width} 列，超过 {MAX_CELLS} 个单元格，请改用 CSV 或拆分",
        )
    return look


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return max(0, number - 1)


def _cell_text(cell: object) -> str:
    """Return a cell as the text a CSV export would have; a number that lost digits keeps its exponent."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, int | float):
        if math.isfinite(cell) and cell == int(cell):
            return str(int(cell)) if abs(cell) < EXCEL_DIGITS else f"{cell:.5E}"
        return repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S")
    return str(cell)
