"""Read one file as text columns, block by block: unpack, decode, find the delimiter, recognise the layout.

The result carries every value as text exactly as delivered, under the field's name, with the record number
that Excel would show. Whatever stops a file or a record from being read becomes a reject with its place;
nothing is guessed and no value is typed here. No more of a file is in memory than a block.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipelines.intake.delivery import SourceFile
from pipelines.intake.layout import HeaderMatch, Layout, LayoutError, match_header
from pipelines.intake.reject import Reject, UnusableFile
from pipelines.intake.workbook import read_sheet

# Text taken in at a time: enough rows that planning the statements, 0.3 s, is a small part; some 600 MB of memory.
# A record has to fit into it; the widest is some 4,000 bytes.
BLOCK_BYTES = 48 << 20
# Unpacked. An institution's year is some 500 MB: what is larger is a mistake or an attack.
MAX_BYTES = 8 << 30
# What is not taken block by block has to fit into memory: prescriptions are joined, reference files are small.
MAX_WHOLE_BYTES = 512 << 20
# A cell of Excel holds 32,767 characters: a longer value is a quote that was never closed.
MAX_VALUE_BYTES = 32_767
# The wider layout has 642 columns and 7 extension columns.
MAX_COLUMNS = 2_000
HEADER_BYTES = 1 << 20
CHUNK_BYTES = 4 << 20
PARSE_BYTES = 2 << 20
MASK_BYTES = 1 << 18
WORKBOOK_ROWS = 4_000
ENCODING_SAMPLE = 1 << 16
# So many lines shorter than a row of delimiters are no mishap of single records any more.
SHORT_LINES = 10_000
CHINESE = re.compile("[\u4e00-\u9fff]")
# A line of GB18030 with so many Chinese characters is valid UTF-8 by chance once in a billion.
CHINESE_LINE = re.compile("(?:[\u4e00-\u9fff][^\u4e00-\u9fff]*){6}")
# What the layout writes where there is nothing.
EMPTY = {"hqms": ["", "-"]}
# Layout -> fields that were not empty in some file so far. The others, two thirds of HQMS, are read as empty
# (twice as fast), and as text if they turn out not to be.
_FILLED: dict[str, set[str]] = {}


@dataclass
class SourceTable:
    """One file's records, block by block. `columns`: field key -> text; `source_row`: record numbers (header = 1).

    A column without any value in the block is not in `columns`. `row_count` counts the records of all blocks
    read so far; `rejects` are those of the block. A file that was turned away as a whole has a reject without
    a row and no columns; its `row_count` is the number of records as far as they could be counted.
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
    refusal: Reject | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether the file as a whole was turned away."""
        return self.refusal is not None

    def turn_away(self, problem: UnusableFile) -> None:
        """Reject the file as a whole."""
        self.refusal = Reject(self.file.dataset, self.file.name, None, problem.rule_id, str(problem))
        self.rejects = [self.refusal]
        self.clear()

    def clear(self) -> None:
        """Let go of the present block."""
        self.columns, self.source_row = {}, pa.array([], pa.int32())


def is_large(file: SourceFile) -> bool:
    """Whether a file is taken in block by block; the others are one block."""
    name = file.name.lower()
    if file.dataset != "front_sheet" or name.endswith(".xlsx"):
        return False
    try:
        if not name.endswith(".gz"):
            return file.path.stat().st_size > BLOCK_BYTES
        # What a packed file says of its size is not believed.
        with gzip.open(file.path) as stream:
            return any(
                size > BLOCK_BYTES
                for size in accumulate(map(len, iter(lambda: stream.read(CHUNK_BYTES), b"")))
            )
    except (OSError, EOFError, zlib.error):
        return False


def read_source_file(file: SourceFile) -> SourceTable:
    """Read one file as a whole; every problem is in the result's rejects, none is raised."""
    table = SourceTable(file)
    try:
        if file.name.lower().endswith(".xlsx"):
            _read_workbook(table)
        else:
            text = _open_text(table, None)
            for _ in _read_text(table, text):
                pass
    except UnusableFile as problem:
        table.turn_away(problem)
    return table


def read_blocks(file: SourceFile) -> Iterator[SourceTable]:
    """Read a file block by block; yields the same table, each time with the next block in it, at least once.

    Raises UnusableFile where a file of several blocks turns out unusable after the first: see `find_fault`.
    """
    if not is_large(file):
        yield read_source_file(file)
        return
    table = SourceTable(file)
    try:
        text = _open_text(table, BLOCK_BYTES)
    except UnusableFile as problem:
        table.turn_away(problem)
        yield table
    else:
        yield from _read_text(table, text)


def find_fault(file: SourceFile) -> UnusableFile | None:
    """Look through a file of several blocks, and return what makes it unusable."""
    try:
        for _ in _open_text(SourceTable(file), BLOCK_BYTES).blocks:
            pass
    except UnusableFile as problem:
        return problem
    return None


def read_rows(file: SourceFile) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return header and (record number, cells) of a small file of any accepted format, without blank records.

    Raises UnusableFile.
    """
    if file.name.lower().endswith(".xlsx"):
        records = list(read_sheet(b"".join(_chunks(file))))
    else:
        body = b"".join(_Text(SourceTable(file)))
        delimiter = _read_header(body)[1]
        try:
            reader = csv.reader(io.StringIO(str(body, "utf-8"), newline=""), delimiter=delimiter, strict=True)
            records = list(reader)
        except csv.Error as error:
            raise UnusableFile("file_unreadable", f"无法按行列拆分：{error}") from None
    if not records:
        raise UnusableFile("file_empty", "文件为空")
    rows = [
        (number, row) for number, row in enumerate(records[1:], start=2) if any(cell.strip() for cell in row)
    ]
    return [cell.strip() for cell in records[0]], rows


def _chunks(file: SourceFile, limit: int = MAX_WHOLE_BYTES) -> Iterator[bytes]:
    """Yield a file's content, unpacked, chunk by chunk. Raises UnusableFile."""
    digest, size, is_blank = hashlib.sha256(), 0, True
    is_packed = file.name.lower().endswith(".gz")
    try:
        with file.path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=_Hashing(raw, digest)) if is_packed else _Hashing(raw, digest)
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise UnusableFile("file_too_large", f"文件{'解压后' * is_packed}超过 {limit >> 20} MB")
                is_blank = is_blank and not chunk.strip(b"\xef\xbb\xbf \t\r\n")
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnusableFile("file_unreadable", "压缩文件损坏，无法解压") from None
    except OSError as error:
        raise UnusableFile("file_unreadable", f"文件不可读：{error.strerror}") from None
    if file.sha256 and digest.hexdigest() != file.sha256:
        raise UnusableFile("file_changed", "文件在清点之后又有变化")
    if is_blank:
        raise UnusableFile("file_empty", "文件为空")


class _Hashing(io.RawIOBase):
    """Passes a stream on and hashes what goes through."""

    def __init__(self, stream: io.BufferedReader, digest: hashlib._Hash):
        self._stream, self._digest = stream, digest

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data


class _Text:
    """A file's text as UTF-8 without BOM, in chunks that end between characters and, at last, with a line break.

    The table is told the encoding as far as it was read (utf-8, utf-8-sig, gb18030). Raises UnusableFile with the
    byte's place where the content is neither. Damaged UTF-8 is not taken for GB18030 merely because nearly any two
    bytes are a character there, nor UTF-8 within GB18030 for text.
    """

    def __init__(self, table: SourceTable, limit: int = MAX_WHOLE_BYTES):
        self._table, self._limit = table, limit
        self._is_ascii = True
        self._offset = 0

    def __iter__(self) -> Iterator[bytes]:
        rest, last = b"", b""
        for chunk in _chunks(self._table.file, self._limit):
            data = rest + chunk if last or rest else self._start(chunk)
            text, used = self._decode(data, is_last=False)
            rest = data[used:]
            self._offset += used
            if text:
                last = text
                yield text
        if rest:
            yield self._decode(rest, is_last=True)[0] + b"\n"
        elif not last.endswith((b"\n", b"\r")):
            yield b"\n"

    def _start(self, chunk: bytes) -> bytes:
        self._table.encoding = "utf-8"
        if chunk.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise UnusableFile("file_binary", "内容是 Excel 或压缩文件，与扩展名 .csv 不符")
        if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise UnusableFile("file_encoding", "文件为 UTF-16 编码，应为 UTF-8 或 GB18030")
        if chunk.startswith(codecs.BOM_UTF8):
            self._table.encoding, self._offset = "utf-8-sig", len(codecs.BOM_UTF8)
            return chunk[len(codecs.BOM_UTF8) :]
        return chunk

    def _decode(self, data: bytes, is_last: bool) -> tuple[bytes, int]:
        """Return the UTF-8 of a chunk and how many of its bytes are used up."""
        if b"\0" in data:
            place = self._offset + data.index(0)
            raise UnusableFile("file_binary", f"第 {place} 字节（从 0 起）为空字节，不是文本文件")
        if data.isascii():
            return data, len(data)
        if self._table.encoding != "gb18030":
            try:
                used = codecs.utf_8_decode(data, "strict", is_last)[1]
            except UnicodeDecodeError as error:
                is_utf8 = self._table.encoding == "utf-8-sig" or not self._is_ascii
                if is_utf8 or _looks_like_utf8(data, error.start):
                    raise self._wrong_place("UTF-8", error.start) from None
                self._table.encoding = "gb18030"
            else:
                self._is_ascii = False
                return data[:used], used
        decoder = codecs.getincrementaldecoder("gb18030")()
        try:
            text = decoder.decode(data, is_last)
        except UnicodeDecodeError as error:
            raise self._wrong_place("GB18030", error.start) from None
        self._refuse_utf8(data)
        return text.encode(), len(data) - len(decoder.getstate()[0])

    def _refuse_utf8(self, data: bytes) -> None:
        """Refuse lines of UTF-8 in text of GB18030."""
        place = 0
        for line in data.split(b"\n")[:-1]:
            try:
                if CHINESE_LINE.search(str(line, "utf-8")):
                    number = self._line_number(place)
                    raise UnusableFile(
                        "file_encoding",
                        f"文件为 GB18030 编码，但文本第 {number} 行是 UTF-8，不应拼接不同编码的片段",
                    )
            except UnicodeDecodeError:
                pass
            place += len(line) + 1

    def _wrong_place(self, name: str, place: int) -> UnusableFile:
        return UnusableFile(
            "file_encoding",
            f"按 {name} 解码失败：第 {self._offset + place} 字节（从 0 起，"
            f"文本第 {self._line_number(place)} 行）不是合法字符",
        )

    def _line_number(self, place: int) -> int:
        """Return the line of a place in the present chunk; read once more, since counting lines takes time."""
        left, lines = self._offset + place, 1
        for chunk in _chunks(self._table.file, self._limit):
            lines += chunk.count(b"\n", 0, left)
            left -= len(chunk)
            if left <= 0:
                break
        return lines


def _looks_like_utf8(body: bytes, offset: int) -> bool:
    sample = body[:ENCODING_SAMPLE] + body[max(0, offset - ENCODING_SAMPLE) : offset + ENCODING_SAMPLE]
    text = str(sample, "utf-8", "replace")
    return len(CHINESE.findall(text)) > text.count("\ufffd")


@dataclass
class _OpenText:
    """A text file whose header is known, and its text to come in blocks that end with a record."""

    delimiter: str
    width: int
    match: HeaderMatch
    blocks: Iterator[bytes]


def _open_text(table: SourceTable, block_bytes: int | None) -> _OpenText:
    """Read the header of a file; notes layout and columns in the table. Raises UnusableFile."""
    text = _Text(table, MAX_BYTES if block_bytes else MAX_WHOLE_BYTES)
    chunks = iter(text)
    head = b"".join(_until(chunks, HEADER_BYTES))
    header, delimiter = _read_header(head)
    blocks = _blocks(_chain(head, chunks), delimiter, block_bytes, len(header))
    try:
        return _OpenText(delimiter, len(header), _match(table, header), blocks)
    except UnusableFile:
        table.row_count = max(0, sum(_count_records(body, delimiter) for body in blocks) - 1)
        raise


def _read_text(table: SourceTable, text: _OpenText) -> Iterator[SourceTable]:
    number = 1
    for body in text.blocks:
        number = _read_block(body, text, table, number)
        yield table


def _until(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield chunks until they hold `size` bytes."""
    for chunk in chunks:
        yield chunk
        size -= len(chunk)
        if size <= 0:
            return


def _chain(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _read_header(body: bytes) -> tuple[list[str], str]:
    text = str(body[:HEADER_BYTES], "utf-8", "ignore")
    lines = text.lstrip("\r\n").splitlines()
    if len(body) > HEADER_BYTES and len(lines) < 2:
        raise UnusableFile("file_layout", f"第一行超过 {HEADER_BYTES >> 20} MB，不是表头")
    delimiter = "\t" if lines[0].count("\t") > lines[0].count(",") else ","
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (csv.Error, StopIteration):
        raise UnusableFile("file_layout", "表头无法读取") from None
    return header, delimiter


def _match(table: SourceTable, header: list[str]) -> HeaderMatch:
    if len(header) > MAX_COLUMNS:
        raise UnusableFile("file_layout", f"表头共 {len(header)} 列，上限为 {MAX_COLUMNS} 列")
    try:
        match = match_header(table.file.dataset, header)
    except LayoutError as error:
        raise UnusableFile(error.rule_id, str(error)) from None
    table.layout, table.missing, table.unknown = match.layout, match.missing, match.unknown
    table.is_reordered = match.is_reordered
    return match


def _records_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """Return what matches as many complete records as there are; a quote counts only where a value begins."""
    value = rb'(?:"(?:[^"]++|"")*+"[^%b\r\n]*+|(?!")[^%b\r\n]*+)' % (delimiter, delimiter)
    return re.compile(rb'(?:[^"\n]*+\n|(?:%b%b)*+%b(?:\r\n?|\n))*+' % (value, delimiter, value))


RECORDS = {",": _records_pattern(b","), "\t": _records_pattern(b"\t")}


def _blocks(chunks: Iterable[bytes], delimiter: str, size: int | None, width: int) -> Iterator[bytes]:
    """Yield the text in blocks of about `size` bytes (None: all at once) that end with a record. Raises UnusableFile."""
    held, length, line = [], 0, 1
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if size is None or length < size:
            continue
        body = b"".join(held)
        end = _end_of_records(body, delimiter, is_last=False)
        if not end:
            raise UnusableFile("record_too_long", f"文本第 {line} 行起的一条记录超过 {length >> 20} MB")
        held, length = [body[end:]], len(body) - end
        body = body[:end]
        line = _count_lines(body, line, width)
        yield body
    body = b"".join(held)
    if (end := _end_of_records(body, delimiter, is_last=True)) < len(body):
        line += body.count(b"\n", 0, end)
        raise UnusableFile("quote_unclosed", f"文本第 {line} 行起引号未闭合，其后的内容全部并入该行")
    if body:
        _count_lines(body, line, width)
        yield body


def _count_lines(body: bytes, line: int, width: int) -> int:
    """Return the number of the line after a block; refuse one of so many short lines that it is no table."""
    lines = body.count(b"\n") or body.count(b"\r")
    if lines > len(body) // width + SHORT_LINES:
        raise UnusableFile(
            "file_layout",
            f"文本第 {line} 行起的 {lines} 行多数没有表头所列的 {width} 列（空行或残缺的行过多）",
        )
    return line + lines


def _end_of_records(body: bytes, delimiter: str, is_last: bool) -> int:
    """Return where the last complete record ends; 0 where none does."""
    # A line break of two characters is not taken apart.
    end = len(body) if is_last else body.rfind(b"\n") + 1 or body.rfind(b"\r", 0, -1) + 1
    if b'"' not in body:
        return end
    view = np.frombuffer(body, np.uint8)
    # Bit by bit: a mask of the whole block would cost more than looking for the quotes.
    quotes = np.concatenate(
        [
            np.flatnonzero(view[start : start + MASK_BYTES] == ord('"')) + start
            for start in range(0, len(view), MASK_BYTES)
        ]
    )
    # Every second quote closes. That holds if each stands at the edge of a value, or beside another quote.
    edges = np.zeros(256, bool)
    edges[list(b'"\r\n' + delimiter.encode())] = True
    before, after = view[quotes[::2] - 1], view[np.minimum(quotes[1::2] + 1, len(view) - 1)]
    if not (edges[before[int(quotes[0] == 0) :]].all() and edges[after].all()):
        return RECORDS[delimiter].match(body).end()
    while (count := int(np.searchsorted(quotes, end))) % 2:
        end = body.rfind(b"\n", 0, int(quotes[count - 1])) + 1
    return end


def _read_block(body: bytes, text: _OpenText, table: SourceTable, number: int) -> int:
    """Read the records of a block, the first of which has the given number; return the number after the last."""
    keys = tuple(text.match.positions)
    has_header = number == 1
    parsed, torn = _parse(body, text, has_header)
    number += has_header
    numbers = np.arange(number, number + parsed.num_rows + len(torn), dtype=np.int32)
    following = number + len(numbers)
    if torn:
        numbers = np.delete(numbers, [place for place, *_ in torn])
    columns = zip(keys, parsed.columns, strict=True)
    table.columns = {key: column for key, column in columns if column.null_count < len(column)}
    table.source_row = pa.array(numbers)
    table.rejects = []
    _drop_blank(table)
    table.row_count += len(table.source_row) + len(torn)
    _reject_torn([(number + place, *rest) for place, *rest in torn], table)
    _reject_oversized(table)
    return following


Torn = list[tuple[int, int, int, str]]


def _parse(body: bytes, text: _OpenText, has_header: bool) -> tuple[pa.Table, Torn]:
    """Return the known columns as text in the order of the match, and the records of another width.

    The latter as (place in the block without the header, columns it has, columns it should have, text).
    """
    layout, positions = text.match.layout, text.match.positions
    filled = _FILLED.setdefault(layout.name, set())
    names = {key: f"f{position}" for key, position in positions.items()}
    torn: Torn = []

    def note_torn(row: pa_csv.InvalidRow) -> str:
        torn.append((row.number - 1 - has_header, row.actual_columns, row.expected_columns, row.text))
        return "skip"

    def parse(empty: set[str], block_size: int) -> pa.Table:
        torn.clear()
        return pa_csv.read_csv(
            pa.BufferReader(body),
            read_options=pa_csv.ReadOptions(
                use_threads=False,
                column_names=[f"f{position}" for position in range(text.width)],
                skip_rows_after_names=int(has_header),
                block_size=block_size,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=text.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=note_torn,
            ),
            convert_options=pa_csv.ConvertOptions(
                check_utf8=False,
                column_types={
                    name: pa.null() if key in empty else pa.string() for key, name in names.items()
                },
                include_columns=list(names.values()),
                strings_can_be_null=True,
                null_values=EMPTY.get(layout.name, [""]),
            ),
        )

    if filled:
        with contextlib.suppress(pa.ArrowInvalid):
            return parse(names.keys() - filled, PARSE_BYTES), torn
    try:
        parsed = parse(set(), len(body) + 1)
    except pa.ArrowInvalid:
        # The error's text may quote the record.
        raise UnusableFile("file_unreadable", "无法按行列拆分") from None
    filled.update(
        key for key, column in zip(names, parsed.columns, strict=True) if column.null_count < len(column)
    )
    return parsed, torn


def _count_records(body: bytes, delimiter: str) -> int:
    """Count the records of a block whose columns mean nothing to us; blank records are none."""
    if b'"' not in body:
        return sum(1 for line in body.splitlines() if line.strip(b", \t"))
    try:
        reader = csv.reader(io.StringIO(str(body, "utf-8"), newline=""), delimiter=delimiter)
        return sum(any(cell.strip() for cell in record) for record in reader)
    except csv.Error:
        return 0


def _drop_blank(table: SourceTable) -> None:
    """Take out records without any value: trailing lines of an export, not rows of data."""
    keys = table.layout.keys
    blank = pa.array(np.ones(len(table.source_row), bool))
    for key in (*keys, *table.columns):
        column = table.columns.get(key)
        if column is not None:
            blank = pc.and_(blank, pc.is_null(column))
        if not pc.any(blank).as_py():
            return
    _keep(table, pc.invert(blank))


def _keep(table: SourceTable, mask: pa.Array) -> None:
    table.columns = {key: column.filter(mask) for key, column in table.columns.items()}
    table.source_row = table.source_row.filter(mask)


def _reject_torn(torn: Torn, table: SourceTable) -> None:
    for number, actual, expected, text in torn:
        message = f"该行有 {actual} 列，表头有 {expected} 列"
        lines = text.strip("\r\n").count("\n")
        if lines:
            message += f"；该行含 {lines} 个换行，可能因引号未闭合并入了后面的行"
        table.rejects.append(Reject(table.file.dataset, table.file.name, number, "row_width", message))


def _reject_oversized(table: SourceTable) -> None:
    """Turn away records with a value that no sheet can hold."""
    bad: dict[int, str] = {}
    for key, column in table.columns.items():
        lengths = pc.binary_length(column)
        if pc.max(lengths).as_py() > MAX_VALUE_BYTES:
            for index in np.flatnonzero(lengths.fill_null(0).to_numpy() > MAX_VALUE_BYTES):
                bad.setdefault(int(index), key)
    for index, key in sorted(bad.items()):
        table.rejects.append(
            Reject(
                table.file.dataset,
                table.file.name,
                table.source_row[index].as_py(),
                "value_too_long",
                f"字段 {table.layout.spelling[key]} 超过 {MAX_VALUE_BYTES} 字节",
                key.split("@")[0],
            )
        )
    if bad:
        mask = np.ones(len(table.source_row), bool)
        mask[list(bad)] = False
        _keep(table, pa.array(mask))


def _read_workbook(table: SourceTable) -> None:
    table.encoding = "xlsx"
    rows = read_sheet(b"".join(_chunks(table.file)))
    header = next(rows, None)
    if header is None:
        raise UnusableFile("file_empty", "第一个工作表为空")
    try:
        match = _match(table, header)
    except UnusableFile:
        table.row_count = sum(any(row) for row in rows)
        raise
    empty = set(EMPTY.get(match.layout.name, [""]))
    parts: dict[str, list[pa.Array]] = {key: [] for key in match.positions}
    count = 0
    while part := list(islice(rows, WORKBOOK_ROWS)):
        count += len(part)
        for key, position in match.positions.items():
            cells = [None if row[position] in empty else row[position] for row in part]
            parts[key].append(pa.array(cells, pa.string()))
    columns = {key: pa.chunked_array(chunks, pa.string()) for key, chunks in parts.items()}
    table.columns = {key: column for key, column in columns.items() if column.null_count < count}
    table.source_row = pa.array(np.arange(2, count + 2, dtype=np.int32))
    _drop_blank(table)
    table.row_count = len(table.source_row)
    _reject_oversized(table)
