"""Read one file as text columns: unpack, decode, find the delimiter, recognise the layout, split records.

The result carries every value as text exactly as delivered, under the field's name, with the record number
that Excel would show. Whatever stops a file or a record from being read becomes a reject with its place;
nothing is guessed and no value is typed here.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import hashlib
import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipelines.intake.delivery import SourceFile
from pipelines.intake.layout import HeaderMatch, Layout, LayoutError, match_header
from pipelines.intake.reject import Reject

# One institution's month is some 30 MB; a file beyond this is a mistake or an attack, and can be split.
MAX_BYTES = 1 << 30
MAX_ARCHIVE_ENTRIES = 10_000
# A cell of Excel holds 32,767 characters: a longer value is a quote that was never closed.
MAX_VALUE_BYTES = 32_767
HEADER_BYTES = 1 << 20
ENCODING_SAMPLE = 1 << 16
CHINESE = re.compile("[\u4e00-\u9fff]")
# Excel keeps 15 digits of a number; what was longer is lost.
EXCEL_DIGITS = 10**15


@dataclass
class SourceTable:
    """One file's records. `columns`: field key -> text; `source_row`: record numbers (header = 1).

    A file that was turned away as a whole has `layout` None or a reject without a row; its `row_count` is
    the number of records as far as they could be counted.
    """

    file: SourceFile
    layout: Layout | None = None
    encoding: str | None = None
    columns: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    source_row: pa.Array = field(default_factory=lambda: pa.array([], pa.int32()))
    row_count: int = 0
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    is_reordered: bool = False
    rejects: list[Reject] = field(default_factory=list)

    @property
    def is_rejected(self) -> bool:
        """Whether the file as a whole was turned away."""
        return any(reject.source_row is None for reject in self.rejects)


class UnusableFile(Exception):
    """The whole file is turned away; `rule_id` is the reject rule, the text its message."""

    def __init__(self, rule_id: str, message: str):
        super().__init__(message)
        self.rule_id = rule_id


def read_source_file(file: SourceFile) -> SourceTable:
    """Read one file of a delivery; every problem is in the result's rejects, none is raised."""
    result = SourceTable(file)
    try:
        content = _read_content(file)
        if file.name.lower().endswith(".xlsx"):
            result.encoding = "xlsx"
            _read_workbook(content, result)
        else:
            _read_text(content, result)
    except UnusableFile as problem:
        result.rejects.append(Reject(file.dataset, file.name, None, problem.rule_id, str(problem)))
        result.columns, result.source_row = {}, pa.array([], pa.int32())
    return result


def read_rows(file: SourceFile) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return header and (record number, cells) of a small file of any accepted format, without blank records.

    Raises UnusableFile.
    """
    content = _read_content(file)
    if file.name.lower().endswith(".xlsx"):
        records = [[_cell_text(cell) for cell in row] for row in _open_workbook(content)]
    else:
        body, _ = _decode_text(content)
        delimiter = _read_header(body)[1]
        try:
            reader = csv.reader(io.StringIO(str(body, "utf-8"), newline=""), delimiter=delimiter, strict=True)
            records = list(reader)
        except csv.Error as error:
            raise UnusableFile("file_unreadable", f"无法按行列拆分:{error}") from None
    rows = [
        (number, row) for number, row in enumerate(records[1:], start=2) if any(cell.strip() for cell in row)
    ]
    return [cell.strip() for cell in records[0]], rows


def decode(content: bytes) -> tuple[bytes, str]:
    """Return the content as UTF-8 without BOM, and the encoding it came in (utf-8, utf-8-sig, gb18030).

    Raises UnusableFile with the byte offset where the content is neither. Damaged UTF-8 is not taken for
    GB18030 merely because nearly any two bytes are a character there.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnusableFile("file_encoding", "文件为 UTF-16 编码,应为 UTF-8 或 GB18030")
    marked = content.startswith(b"\xef\xbb\xbf")
    body = content[3:] if marked else content
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        if marked or _looks_like_utf8(body, error.start):
            raise _wrong_encoding("UTF-8", content, error.start + (3 if marked else 0)) from None
    else:
        return body, "utf-8-sig" if marked else "utf-8"
    try:
        return str(body, "gb18030").encode(), "gb18030"
    except UnicodeDecodeError as error:
        raise _wrong_encoding("GB18030", content, error.start) from None


def _wrong_encoding(name: str, content: bytes, offset: int) -> UnusableFile:
    line = content.count(b"\n", 0, offset) + 1
    return UnusableFile(
        "file_encoding", f"按 {name} 解码失败:第 {offset} 字节(从 0 起,文本第 {line} 行)不是合法字符"
    )


def _looks_like_utf8(body: bytes, offset: int) -> bool:
    sample = body[:ENCODING_SAMPLE] + body[max(0, offset - ENCODING_SAMPLE) : offset + ENCODING_SAMPLE]
    text = str(sample, "utf-8", "replace")
    return len(CHINESE.findall(text)) > text.count("\ufffd")


def _read_content(file: SourceFile) -> bytes:
    try:
        raw = file.path.read_bytes()
    except OSError as error:
        raise UnusableFile("file_unreadable", f"文件不可读:{error.strerror}") from None
    if file.sha256 and hashlib.sha256(raw).hexdigest() != file.sha256:
        raise UnusableFile("file_changed", "文件在清点之后又有变化")
    if file.name.lower().endswith(".gz"):
        try:
            with gzip.open(io.BytesIO(raw)) as stream:
                raw = stream.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error):
            raise UnusableFile("file_unreadable", "压缩文件损坏,无法解压") from None
    if len(raw) > MAX_BYTES:
        raise UnusableFile("file_too_large", f"文件超过 {MAX_BYTES >> 20} MB")
    if not raw.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UnusableFile("file_empty", "文件为空")
    return raw


def _read_text(content: bytes, result: SourceTable) -> None:
    body, result.encoding = _decode_text(content)
    header, delimiter = _read_header(body)
    try:
        match = _match(result, header)
    except UnusableFile:
        result.row_count = _count_records(body, delimiter)
        raise
    _read_records(body, delimiter, match, result)


def _decode_text(content: bytes) -> tuple[bytes, str]:
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UnusableFile("file_binary", "内容是 Excel 或压缩文件,与扩展名 .csv 不符")
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnusableFile("file_binary", f"第 {content.index(0)} 字节(从 0 起)为空字节,不是文本文件")
    body, encoding = decode(content)
    return (body if body.endswith((b"\n", b"\r")) else body + b"\n"), encoding


def _read_header(body: bytes) -> tuple[list[str], str]:
    text = str(body[:HEADER_BYTES], "utf-8", "ignore")
    first_line = text.lstrip("\r\n").splitlines()[0]
    delimiter = "\t" if first_line.count("\t") > first_line.count(",") else ","
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (csv.Error, StopIteration):
        raise UnusableFile("file_layout", "表头无法读取") from None
    return header, delimiter


def _match(result: SourceTable, header: list[str]) -> HeaderMatch:
    try:
        match = match_header(result.file.dataset, header)
    except LayoutError as error:
        raise UnusableFile(error.rule_id, str(error)) from None
    result.layout, result.missing, result.unknown = match.layout, match.missing, match.unknown
    result.is_reordered = match.is_reordered
    return match


def _read_records(body: bytes, delimiter: str, match: HeaderMatch, result: SourceTable) -> None:
    width = {key: f"f{position}" for key, position in match.positions.items()}
    torn: list[tuple[int, int, int, str]] = []

    def note_invalid(row: pa_csv.InvalidRow) -> str:
        torn.append((row.number, row.actual_columns, row.expected_columns, row.text))
        return "skip"

    try:
        table = pa_csv.read_csv(
            pa.BufferReader(body),
            # The whole file is one block: no record is too long for it, and record numbers are exact.
            read_options=pa_csv.ReadOptions(
                use_threads=False, autogenerate_column_names=True, block_size=len(body) + 1
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=note_invalid,
            ),
            convert_options=pa_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(width.values(), pa.string()),
                include_columns=list(width.values()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        # The error's text may quote the record.
        raise UnusableFile("file_unreadable", "无法按行列拆分") from None
    numbers = np.arange(1, table.num_rows + len(torn) + 1, dtype=np.int32)
    if torn:
        numbers = np.delete(numbers, [number - 1 for number, *_ in torn])
    # The header is the first record and was read like any other.
    columns = dict(zip(width, table.slice(1).columns, strict=True))
    result.columns, result.source_row = columns, pa.array(numbers[1:])
    _drop_blank(result, match.layout.keys[0])
    result.row_count = len(result.source_row) + len(torn)
    _reject_torn(torn, result)
    _reject_oversized(body, result)


def _count_records(body: bytes, delimiter: str) -> int:
    """Count the records of a file whose columns mean nothing to us; the header and blank records are none."""
    try:
        reader = csv.reader(io.StringIO(str(body, "utf-8"), newline=""), delimiter=delimiter)
        return max(0, sum(any(cell.strip() for cell in record) for record in reader) - 1)
    except csv.Error:
        return 0


def _drop_blank(result: SourceTable, key: str) -> None:
    """Take out records without any value: trailing lines of an export, not rows of data."""
    blank = pc.equal(pc.binary_length(result.columns[key]), 0)
    if not pc.any(blank).as_py():
        return
    for column in result.columns.values():
        blank = pc.and_(blank, pc.equal(pc.binary_length(column), 0))
    _keep(result, pc.invert(blank))


def _keep(result: SourceTable, mask: pa.Array) -> None:
    result.columns = {key: column.filter(mask) for key, column in result.columns.items()}
    result.source_row = result.source_row.filter(mask)


def _reject_torn(torn: Iterable[tuple[int, int, int, str]], result: SourceTable) -> None:
    for number, actual, expected, text in torn:
        message = f"该行有 {actual} 列,表头有 {expected} 列"
        lines = text.strip("\r\n").count("\n")
        if lines:
            message += f";该行含 {lines} 个换行,可能因引号未闭合并入了后面的行"
        result.rejects.append(Reject(result.file.dataset, result.file.name, number, "row_width", message))


def _reject_oversized(body: bytes, result: SourceTable) -> None:
    """Turn away records with a value that no sheet can hold, and a file whose last quote stays open."""
    view = np.frombuffer(body, np.uint8)
    breaks = np.flatnonzero(view == 0x0A)
    longest = int(np.diff(breaks, prepend=-1).max(initial=0))
    if b'"' not in body and longest <= MAX_VALUE_BYTES:
        return
    if body.count(b'"') % 2 and len(result.source_row):
        for column in result.columns.values():
            if "\n" in column[-1].as_py():
                raise UnusableFile(
                    "quote_unclosed",
                    f"第 {result.source_row[-1].as_py()} 行起引号未闭合,其后的内容全部并入该行",
                )
    bad: dict[int, str] = {}
    for key, column in result.columns.items():
        lengths = pc.binary_length(column)
        if (pc.max(lengths).as_py() or 0) > MAX_VALUE_BYTES:
            for index in np.flatnonzero(lengths.to_numpy(zero_copy_only=False) > MAX_VALUE_BYTES):
                bad.setdefault(int(index), key)
    for index, key in sorted(bad.items()):
        result.rejects.append(
            Reject(
                result.file.dataset,
                result.file.name,
                result.source_row[index].as_py(),
                "value_too_long",
                f"字段 {result.layout.spelling[key]} 超过 {MAX_VALUE_BYTES} 字节",
                key.split("@")[0],
            )
        )
    if bad:
        mask = np.ones(len(result.source_row), bool)
        mask[list(bad)] = False
        _keep(result, pa.array(mask))


def _open_workbook(content: bytes) -> list[list[object]]:
    # Imported here: text deliveries, the rule, do not need it.
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415

    _check_archive(content)
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(content)) as workbook:
            rows = workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except (CalamineError, OSError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise UnusableFile("file_unreadable", f"工作簿无法打开:{error}") from None
    if not rows:
        raise UnusableFile("file_empty", "第一个工作表为空")
    return rows


def _read_workbook(content: bytes, result: SourceTable) -> None:
    rows = _open_workbook(content)
    body = rows[1:]
    result.row_count = len(body)
    match = _match(result, [_cell_text(cell) for cell in rows[0]])
    positions = match.positions.items()
    result.columns = {
        key: pa.chunked_array([[_cell_text(row[position]) for row in body]], pa.string())
        for key, position in positions
    }
    result.source_row = pa.array(np.arange(2, len(body) + 2, dtype=np.int32))
    _drop_blank(result, match.layout.keys[0])
    result.row_count = len(result.source_row)


def _check_archive(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise UnusableFile("file_unreadable", "不是有效的 .xlsx 文件") from None
    size = sum(entry.file_size for entry in entries)
    if size > MAX_BYTES or len(entries) > MAX_ARCHIVE_ENTRIES:
        raise UnusableFile("file_too_large", f"工作簿解压后 {size >> 20} MB、{len(entries)} 个部分,超过上限")


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
