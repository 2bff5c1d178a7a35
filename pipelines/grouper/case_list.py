"""Read a plain case list, the input of `drgq group`, in chunks: typed columns, and a finding for whatever cannot be used.

Every record of the file is a row of some chunk, in the order of the file: one that cannot be split or typed has a
reason and no values in the fields concerned. What a usable value means is not judged here.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipelines.grouper.numbering import CASE_SCHEMA

OPTIONAL_COLUMNS = {"icu_hours"}
# Bytes read at a time: half a million cases of usual length. A record that is longer has a quote that was never closed.
BLOCK_BYTES = 40 << 20
HEADER_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 16
# A quote that is open for longer was never closed.
LONGEST_VALUE_BYTES = 1 << 20
CHINESE = re.compile("[\u4e00-\u9fff]")
LINE_END = re.compile("\r\n|\n|\r")
# Field -> largest usable value, and what to enter, for the person who mends the file. All are at least 0.
LIMITS = {
    "age_years": (150, "入院时的周岁，0-150 的整数"),
    "age_days": (55_000, "入院时的日龄，0-55000 的整数"),
    "birth_weight": (20_000, "出生体重，0-20000 克"),
    "length_of_stay": (36_500, "住院天数，0-36500 的整数"),
    "icu_hours": (876_000, "重症监护小时数，0-876000"),
}
# What is wrong with a record, as `reason` of its result; nothing is the first.
REASONS = (
    "", "line_broken", "case_id_duplicate",
    *(f"{name}_unusable" for name in ("case_id", "sex", *LIMITS)),
)  # fmt: skip
FINDINGS_KEPT = 20
SHOWN_CHARACTERS = 40


class CaseListError(Exception):
    """The file as a whole cannot be used; the message names the file and the remedy."""


class WrongEncodingError(CaseListError):
    """The file is not in the encoding that it is being read in."""


@dataclass(frozen=True)
class Finding:
    """A value, or a record, that cannot be used. `source_row` counts records, the header being 1."""

    source_row: int
    field: str
    problem: str
    remedy: str


@dataclass
class Chunk:
    """Some records: `cases` has the columns of `CASE_SCHEMA`, `source_row` their numbers (header = 1), `reason` the place
    in `REASONS` of what is wrong with each. Of many findings only the first are kept, all are counted.
    """

    cases: pa.Table
    source_row: np.ndarray
    reason: np.ndarray
    findings: list[Finding] = field(default_factory=list)
    finding_count: int = 0

    def note(self, finding: Finding) -> None:
        """Add a finding."""
        self.finding_count += 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)

    def note_values(self, name: str, places: np.ndarray, remedy: str) -> None:
        """Add a finding for the value of a field in every marked record, and make this the reason if there is none yet."""
        self.reason[places & (self.reason == 0)] = REASONS.index(f"{name}_unusable")
        found = np.flatnonzero(places)
        self.finding_count += len(found)
        for place in found[:FINDINGS_KEPT]:
            value = self.cases.column(name)[int(place)].as_py()
            problem = f"“{value[:SHOWN_CHARACTERS]}”不能用" if value else "没有值"
            self.findings.append(Finding(int(self.source_row[place]), name, problem, remedy))

    def mark_repeated(self, places: np.ndarray) -> None:
        """Make the records at these places repetitions of earlier ones."""
        self.reason[places] = REASONS.index("case_id_duplicate")
        for place in places.tolist():
            case_id = self.cases.column("case_id")[place].as_py()[:SHOWN_CHARACTERS]
            problem, remedy = f"“{case_id}”在前面已有", "请去掉重复的行，或改正标识"
            self.note(Finding(int(self.source_row[place]), "case_id", problem, remedy))
        self.findings.sort(key=lambda finding: finding.source_row)


class CaseList:
    """A case list in a file: CSV or tab-separated (also `.gz`), UTF-8 or GB18030, or the first sheet of an `.xlsx`.

    Raises CaseListError where there is no usable file or a required column is missing.
    """

    def __init__(self, path: Path, encoding: str = "utf-8"):
        self.path = path
        self.encoding = encoding
        if not path.exists():
            raise CaseListError(f"{path}：文件不存在；请检查路径")
        if not path.is_file():
            raise CaseListError(f"{path}：不是文件；请给出一个 .csv、.csv.gz 或 .xlsx 文件")
        self._sheet = read_sheet(path) if path.suffix.lower() == ".xlsx" else None
        if self._sheet is None:
            header, self._delimiter = self._text_header()
        else:
            header, self._delimiter = self._sheet[0], ","
        self.width = len(header)
        self.positions = self._find_columns([cell.strip().lower() for cell in header])

    def _text_header(self) -> tuple[list[str], str]:
        try:
            with open_stream(self.path) as stream:
                start = stream.read(HEADER_BYTES)
        except OSError as error:
            why = error.strerror or "压缩文件损坏；请重新导出"
            raise CaseListError(f"{self.path}：无法读取：{why}") from None
        if not start.strip(b"\xef\xbb\xbf \t\r\n"):
            raise CaseListError(f"{self.path}：文件为空；请给出带表头的病例清单")
        if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start.splitlines()[0]:
            raise CaseListError(f"{self.path}：不是文本文件或编码为 UTF-16；请另存为 UTF-8 编码的 CSV")
        text = codecs.getincrementaldecoder(self.encoding)("ignore").decode(start).lstrip("\ufeff")
        first_line, *rest = LINE_END.split(text, maxsplit=1)
        self._has_records = bool(rest)
        delimiter = "\t" if first_line.count("\t") > first_line.count(",") else ","
        return split_line(first_line, delimiter), delimiter

    def _find_columns(self, header: list[str]) -> dict[str, int]:
        missing = [name for name in CASE_SCHEMA.names if name not in header and name not in OPTIONAL_COLUMNS]
        if not set(header) & set(CASE_SCHEMA.names):
            raise CaseListError(
                f"{self.path} 第 1 行（表头）：没有一个可用的列名；请把表头放在第 1 行，列名为 {'、'.join(missing)}，"
                "各列以逗号或制表符分隔"
            )
        if missing:
            raise CaseListError(
                f"{self.path} 第 1 行（表头）：缺少列 {'、'.join(missing)}；请补上这些列，没有的值留空"
            )
        twice = [name for name in CASE_SCHEMA.names if header.count(name) > 1]
        if twice:
            raise CaseListError(f"{self.path} 第 1 行（表头）：列 {'、'.join(twice)} 出现多次；请只保留一列")
        return {name: header.index(name) for name in CASE_SCHEMA.names if name in header}

    # --- reading ---

    def chunks(self) -> Iterator[Chunk]:
        """Yield the records in order.

        Raises WrongEncodingError where another encoding is to be tried, CaseListError where the rest of the file cannot
        be split into records.
        """
        if self._sheet is not None:
            yield self._sheet_chunk(self._sheet[1:])
            return
        if not self._has_records:  # the parser takes a single line without end for no file at all
            return
        torn: list[pa_csv.InvalidRow] = []
        try:
            with (
                undecodable_untold(),
                open_stream(self.path) as stream,
                self._reader(stream, torn) as reader,
            ):
                yield from self._text_chunks(reader, torn)
        except UnicodeDecodeError:
            raise WrongEncodingError(f"{self.path}：按 {self.encoding} 解码失败") from None
        except pa.ArrowInvalid as error:
            # The text of the error may quote a record: it is not shown. A torn record in another encoding stops the parser.
            if "UTF8" in str(error) or "columns, got" in str(error):
                raise WrongEncodingError(f"{self.path}：不是 UTF-8 编码") from None
            raise CaseListError(self._why_unsplittable()) from None
        except (OSError, EOFError):
            raise CaseListError(f"{self.path}：读取中断，文件可能损坏；请重新导出") from None

    def _reader(self, stream: pa.NativeFile, torn: list[pa_csv.InvalidRow]) -> pa_csv.CSVStreamingReader:
        def note(row: pa_csv.InvalidRow) -> str:
            torn.append(row)
            return "skip"

        columns = [f"f{position}" for position in self.positions.values()]
        return pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(
                use_threads=False,
                autogenerate_column_names=True,
                block_size=BLOCK_BYTES,
                encoding=self.encoding,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=note,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=columns,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    def _text_chunks(
        self, reader: pa_csv.CSVStreamingReader, torn: list[pa_csv.InvalidRow]
    ) -> Iterator[Chunk]:
        """Records by block. The parser tells the numbers of torn records; the others lie between them."""
        next_row = 1
        for batch in reader:
            taken, last = 0, next_row + batch.num_rows - 1
            while taken < len(torn) and torn[taken].number <= last + 1:
                taken, last = taken + 1, last + 1
            here, torn[:taken] = torn[:taken], []
            rows = np.setdiff1d(
                np.arange(next_row, last + 1), [row.number for row in here], assume_unique=True
            )
            next_row = last + 1
            table = pa.table(batch.columns, names=list(self.positions))
            if len(rows) and rows[0] == 1:  # the header was read like any other record
                table, rows = table.slice(1), rows[1:]
            yield self._chunk(table, rows, here)
        if torn:
            nothing = pa.table({name: pa.array([], pa.string()) for name in self.positions})
            yield self._chunk(nothing, np.array([], np.int64), torn)

    def _sheet_chunk(self, rows: list[list[str]]) -> Chunk:
        texts = {
            name: pa.array([row[position] or None for row in rows], pa.string())
            for name, position in self.positions.items()
        }
        return self._chunk(pa.table(texts), np.arange(2, len(rows) + 2), [])

    def _why_unsplittable(self) -> str:
        """Name the line of a quote that is not closed within a reasonable length."""
        opened, length = 0, 0
        with open_stream(self.path) as stream, io.BufferedReader(stream) as lines:
            for number, line in enumerate(lines, start=1):
                length = length + len(line) if opened else 0
                if line.count(b'"') % 2:
                    opened = 0 if opened else number
                if length > LONGEST_VALUE_BYTES:
                    break
        if opened:
            return f"{self.path} 第 {opened} 行：引号未闭合，其后内容无法分行；请补上引号"
        return f"{self.path}：无法按行列拆分；请另存为 UTF-8 编码、逗号分隔的 CSV"

    # --- judging ---

    def _chunk(self, texts: pa.Table, source_row: np.ndarray, torn: list[pa_csv.InvalidRow]) -> Chunk:
        chunk = Chunk(texts, source_row, np.zeros(len(source_row), np.int32))
        if texts.column("case_id").null_count:
            self._drop_blank(chunk)
        if torn:
            self._add_torn(chunk, torn)
        arrays = []
        for name, data_type in zip(CASE_SCHEMA.names, CASE_SCHEMA.types, strict=True):
            if name not in chunk.cases.column_names:
                arrays.append(pa.nulls(chunk.cases.num_rows, data_type))
            elif name in LIMITS:
                arrays.append(self._numbers(chunk, name, data_type))
            else:
                arrays.append(chunk.cases.column(name).combine_chunks())
        self._check_texts(chunk)
        chunk.cases = pa.table(arrays, schema=CASE_SCHEMA)
        chunk.findings.sort(key=lambda finding: finding.source_row)
        return chunk

    @staticmethod
    def _drop_blank(chunk: Chunk) -> None:
        """Take out records without any value: blank lines are no cases."""
        filled = np.zeros(chunk.cases.num_rows, bool)
        for column in chunk.cases.columns:
            filled |= column.is_valid().to_numpy()
        if not filled.all():
            chunk.cases = chunk.cases.filter(pa.array(filled))
            chunk.source_row, chunk.reason = chunk.source_row[filled], chunk.reason[filled]

    def _add_torn(self, chunk: Chunk, torn: list[pa_csv.InvalidRow]) -> None:
        """Put records of the wrong width in their place. A line that an open quote has swallowed is a record of its own."""
        rows: list[tuple[int, list[str], bool]] = []
        for row in torn:
            first, *swallowed = LINE_END.split(row.text)
            rows.append((row.number, first.split(self._delimiter), True))
            problem = f"有 {row.actual_columns} 列，表头有 {row.expected_columns} 列"
            remedy = "请补足或去掉多余的分隔符，值中有逗号时加引号"
            if swallowed:
                problem += f"；引号未闭合，并入了其后 {len(swallowed)} 行，这些行已逐行另读"
                remedy = "请补上引号"
            chunk.note(Finding(row.number, "整行", problem, remedy))
            for line in filter(str.strip, swallowed):
                cells = split_line(line, self._delimiter)
                is_torn = len(cells) != self.width
                rows.append((row.number, line.split(self._delimiter) if is_torn else cells, is_torn))
                if is_torn:
                    problem = f"并入的一行有 {len(cells)} 列，表头有 {self.width} 列"
                    chunk.note(Finding(row.number, "整行", problem, remedy))
        texts: dict[str, list[str | None]] = {name: [] for name in chunk.cases.column_names}
        for _, cells, is_torn in rows:
            for name, position in self.positions.items():
                is_known = position < len(cells) and (name == "case_id" or not is_torn)
                texts[name].append(cells[position].strip('" ') or None if is_known else None)
        added = pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})
        source_row = np.concatenate([chunk.source_row, [number for number, _, _ in rows]])
        torn_reason = REASONS.index("line_broken")
        reason = np.concatenate([chunk.reason, [torn_reason if is_torn else 0 for *_, is_torn in rows]])
        order = np.argsort(source_row, kind="stable")
        chunk.cases = pa.concat_tables([chunk.cases, added]).take(pa.array(order))
        chunk.source_row, chunk.reason = source_row[order], reason[order].astype(np.int32)

    @staticmethod
    def _numbers(chunk: Chunk, name: str, data_type: pa.DataType) -> pa.Array:
        """The numbers of a column; what is none, or out of all bounds, becomes missing and is noted."""
        largest, wanted = LIMITS[name]
        column = chunk.cases.column(name).combine_chunks()
        try:
            numbers = pc.cast(column, data_type)
        except pa.ArrowInvalid:
            text = pc.utf8_trim_whitespace(column)
            pattern = r"^[0-9]{1,9}(\.0*)?$" if pa.types.is_integer(data_type) else r"^[0-9]{1,9}(\.[0-9]*)?$"
            usable = pc.if_else(pc.match_substring_regex(text, pattern), text, None)
            numbers = pc.cast(pc.cast(usable, pa.float64()), data_type)
        low, high = pc.min_max(numbers).as_py().values()
        if low is not None and not (low >= 0 and high <= largest):
            inside = pc.and_(pc.greater_equal(numbers, 0), pc.less_equal(numbers, largest))
            numbers = pc.if_else(inside, numbers, None)
        if numbers.null_count > column.null_count:
            unusable = pc.and_(column.is_valid(), numbers.is_null()).to_numpy(zero_copy_only=False)
            chunk.note_values(name, unusable, f"请填{wanted}，或留空")
        return numbers

    @staticmethod
    def _check_texts(chunk: Chunk) -> None:
        """A case has an id; a sex that is no code at all is a mistake, and not merely an unknown one."""
        case_id = chunk.cases.column("case_id")
        blank = pc.fill_null(pc.utf8_is_space(case_id), True)
        if pc.any(blank).as_py():
            missing = blank.to_numpy() & (chunk.reason != REASONS.index("line_broken"))
            chunk.note_values("case_id", missing, "请填该病例的唯一标识")
        sex = chunk.cases.column("sex")
        no_code = [
            value for value in pc.unique(sex).to_pylist() if value and not re.fullmatch("[0-9]| +", value)
        ]
        if no_code:
            unusable = pc.is_in(sex, pa.array(no_code)).to_numpy()
            chunk.note_values("sex", unusable, "请填 1（男）或 2（女）")


def split_line(line: str, delimiter: str) -> list[str]:
    """The cells of one line; where its quotes are beyond the reader, what stands between the delimiters."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return line.split(delimiter)


@contextmanager
def undecodable_untold() -> Iterator[None]:
    """Keep the parser from printing that it could not decode a torn record; it stops there, which tells enough."""
    usual = sys.unraisablehook
    sys.unraisablehook = lambda told: None if isinstance(told.exc_value, UnicodeDecodeError) else usual(told)
    try:
        yield
    finally:
        sys.unraisablehook = usual


def open_stream(path: Path) -> pa.NativeFile:
    """Open a file for reading, unpacked if its name ends in `.gz`."""
    return pa.input_stream(str(path), compression="gzip" if path.suffix.lower() == ".gz" else None)


def read_sheet(path: Path) -> list[list[str]]:
    """Return the first sheet of a workbook as rows of texts, header first, all as wide as the header.

    Raises CaseListError.
    """
    from pipelines.intake.delivery import SourceFile  # noqa: PLC0415  (a workbook is the exception)
    from pipelines.intake.source_file import UnusableFile, read_rows  # noqa: PLC0415

    try:
        header, rows = read_rows(SourceFile("case_list", path))
    except UnusableFile as error:
        raise CaseListError(f"{path}：{error}；请重新导出，或另存为 .csv") from None
    width = len(header)
    filled = {
        number: [cell.strip() for cell in row[:width]] + [""] * (width - len(row)) for number, row in rows
    }
    return [header, *(filled.get(number, [""] * width) for number in range(2, max(filled, default=1) + 1))]


def find_encoding(path: Path) -> str:
    """Return the encoding of a file that is not UTF-8 throughout.

    Raises CaseListError, naming the line, where it is damaged UTF-8 or no GB18030 either. Nearly any two bytes are a
    character of GB18030: a text that is full of Chinese in UTF-8 is not taken for it because of one bad byte.
    """
    before, line = b"", 1
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_stream(path) as stream:
        while block := stream.read(SAMPLE_BYTES):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                line += block[: max(0, error.start)].count(b"\n")
                sample = (before + block).decode("utf-8", "replace")
                if len(CHINESE.findall(sample)) > sample.count("\ufffd"):
                    raise CaseListError(f"{path} 第 {line} 行：UTF-8 编码损坏；请重新导出该文件") from None
                break
            before, line = block, line + block.count(b"\n")
    line, decoder = 1, codecs.getincrementaldecoder("gb18030")()
    with open_stream(path) as stream:
        while block := stream.read(SAMPLE_BYTES):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                line += block[: max(0, error.start)].count(b"\n")
                raise CaseListError(
                    f"{path} 第 {line} 行：既不是 UTF-8 也不是 GB18030 编码；请另存为 UTF-8"
                ) from None
            line += block.count(b"\n")
    return "gb18030"
