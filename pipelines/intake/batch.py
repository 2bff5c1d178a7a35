"""A batch: the read files of some deliveries, stacked in memory, and what came of them.

The steps shared by front sheets and prescriptions live here: stacking text columns, naming what could not
be typed, counting, evaluating the rules. What a dataset's columns mean is told by `front_sheet` and
`prescription`.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.rules import RuleSet, render_evaluation, rule_expression
from pipelines.intake.delivery import Delivery
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.register import InstitutionRegister
from pipelines.intake.reject import Reject, showable
from pipelines.intake.schema import DAY, FLAG, MOMENT, MONEY, REAL, TEXT, WHOLE
from pipelines.intake.source_file import SourceTable

TYPING = Path(__file__).with_name("typing.sql")
SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
EXCEL_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|#+)")
EXCEL_DATE = re.compile(
    r"\d{1,4}/\d{1,2}/\d{1,4}.*|\d{1,4}年\d{1,2}月.*|[1-9]\d{4}(\.\d+)?|.*\d{1,2}月\d{1,2}日.*"
)
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
BLANKS = " \t\r\n\u3000\ufeff"
BAD_VALUE = pa.schema([("row_no", pa.int32()), ("field", TEXT), ("value", TEXT)])
NOTHING = pa.array(["", "-", "--", "－", "—", "——", "NULL", "null"])
TYPE_NAMES = {
    "whole": "整数（至多六位）",
    "grams": "数值（克，至多六位）",
    "money": "金额（元，至多两位小数，不带千分位，小于十亿）",
    "real": "数值",
    "infant_age": "数值或 n/30 月龄",
    "date": "日期 YYYYMMDD 或 YYYY-MM-DD",
    "moment": "日期时间 YYYY-MM-DD HH:MM",
    "flag": "0 或 1",
    "text": "文本",
    "issues": "问题代码，以 | 分隔",
}


@dataclass
class BatchFile:
    """One file, the block of it that is in memory, its place in the batch, and how its rows fared so far."""

    number: int
    delivery_number: int
    table: SourceTable
    accepted_count: int = 0
    rejected_count: int = 0
    total_fee_yuan: Decimal | None = None
    unread_fee_count: int = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return self.table.file.name


@dataclass
class Batch:
    """Deliveries taken in together, block by block.

    `outputs` maps dataset -> rows by delivery, file, row, of what is in memory now; so are `rejects`. `profiles` are
    counts per delivery, dataset and metric, to be added up over the blocks. `is_split` tells that the batch does not
    fit into memory at once: keys of its sheets are kept from block to block in `seen_sheet`.
    """

    deliveries: Sequence[Delivery]
    files: list[BatchFile]
    connection: duckdb.DuckDBPyConnection
    pseudonymiser: Pseudonymiser
    outputs: dict[str, pa.Table] = field(default_factory=dict)
    rejects: list[tuple[int, Reject]] = field(default_factory=list)
    profiles: list[tuple[int, str, str, int, int]] = field(default_factory=list)
    relations: dict[str, pa.Table] = field(default_factory=dict)
    is_split: bool = False

    def readable(self, dataset: str) -> list[BatchFile]:
        """Return the files of a dataset of which records are in memory."""
        return [
            item for item in self.files if item.table.file.dataset == dataset and len(item.table.source_row)
        ]

    def table(self, query: str) -> pa.Table:
        """Run a query and return its rows as an Arrow table."""
        return self.connection.sql(query).to_arrow_table()

    def lay_out(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table a relation of the connection, without a copy, in place of an older one."""
        self.connection.register(name, table)
        self.relations[name] = table

    def forget(self) -> None:
        """Let go of what is in memory: blocks, relations, outputs and rejects."""
        for item in self.files:
            item.table.clear()
            item.table.rejects = []
        self.outputs.clear()
        self.rejects.clear()
        for name in self.relations:
            self.connection.unregister(name)
        self.relations.clear()
        for (name,) in self.connection.execute(
            "select table_name from duckdb_tables() where temporary and table_name <> 'seen_sheet'"
        ).fetchall():
            self.connection.execute(f"drop table {name}")

    def reject_rows(
        self, dataset: str, rows: Iterable[tuple[int, int, str, str | None, str | None, str]]
    ) -> None:
        """Note rejected rows given as (file number, source row, rule, field, value, message)."""
        for file_number, source_row, rule_id, field_name, value, message in rows:
            item = self.files[file_number]
            self.rejects.append(
                (
                    item.delivery_number,
                    Reject(dataset, item.name, source_row, rule_id, message, field_name, showable(value)),
                )
            )


def open_connection(memory_limit: str = "1GB") -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB for one worker, with the typing macros."""
    connection = duckdb.connect(config={"threads": 1, "memory_limit": memory_limit})
    connection.execute("set autoinstall_known_extensions = false")
    connection.execute("set preserve_insertion_order = false")
    for statement in _typing_statements():
        connection.execute(statement)
    return connection


@cache
def _typing_statements() -> tuple[str, ...]:
    text = TYPING.read_text(encoding="utf-8")
    return tuple(statement for statement in text.split(";\n") if statement.strip())


def register_files(batch: Batch, register: InstitutionRegister | None) -> None:
    """Lay out the table `file`: what the folder says of each file, to be compared with what its rows say.

    Without a register (a single file checked on its own) nothing is known, and nothing is compared.
    """
    rows = []
    for item in batch.files:
        delivery = batch.deliveries[item.delivery_number]
        code = delivery.institution_code
        start, end = _month_bounds(delivery.month)
        rows.append(
            {
                "file_number": item.number,
                "delivery_number": item.delivery_number,
                "institution_code": code,
                "month": delivery.month,
                "month_start": start,
                "month_end": end,
                "delivery_id": delivery.delivery_id,
                "source_file": item.name,
                "layout": item.table.layout.name if item.table.layout else None,
                "institution_names": register.names(code) if register else None,
                "institution_level": register.level(code, delivery.month) if register else None,
                "is_placed": register is not None,
            }
        )
    schema = pa.schema(
        [
            ("file_number", pa.int32()),
            ("delivery_number", pa.int32()),
            ("institution_code", pa.string()),
            ("month", pa.string()),
            ("month_start", pa.date32()),
            ("month_end", pa.date32()),
            ("delivery_id", pa.string()),
            ("source_file", pa.string()),
            ("layout", pa.string()),
            ("institution_names", pa.list_(pa.string())),
            ("institution_level", pa.string()),
            ("is_placed", pa.bool_()),
        ]
    )
    load(batch.connection, "file", pa.Table.from_pylist(rows, schema))


def _month_bounds(month: str) -> tuple[datetime.date | None, datetime.date | None]:
    if not month:
        return None, None
    year, number = int(month[:4]), int(month[5:])
    return datetime.date(year, number, 1), datetime.date(year, number, calendar.monthrange(year, number)[1])


def load(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Copy an Arrow table into a temporary table of the connection, replacing an older one."""
    connection.register("incoming", table)
    connection.execute(f"create or replace temp table {name} as select * from incoming")
    connection.unregister("incoming")


def stack(files: Sequence[BatchFile], keys: Sequence[str]) -> pa.Table:
    """Put the cleaned text columns of files on each other, with `row_no`, file number and `source_row`.

    A column that a file does not have is null there. `row_no` runs over the whole batch in the order of the
    files.
    """
    counts = [len(item.table.source_row) for item in files]
    total = sum(counts)
    numbers = np.repeat(np.array([item.number for item in files], np.int32), counts)
    rows = [item.table.source_row for item in files]
    columns = {
        "row_no": pa.array(np.arange(total, dtype=np.int32)),
        "file_number": pa.array(numbers, pa.int32()),
        "source_row": pa.chunked_array(rows, pa.int32()),
    }
    return pa.table(columns | {key: clean(gather(files, key)) for key in keys})


def gather(files: Sequence[BatchFile], key: str) -> pa.ChunkedArray:
    """Return one field over all files in the order of `row_no`; null where a file lacks the column."""
    chunks = []
    for item in files:
        column = item.table.columns.get(key)
        if column is None:
            chunks.append(pa.nulls(len(item.table.source_row), pa.string()))
        else:
            chunks += column.chunks
    # One array: a kernel per file and column costs more than the copy.
    return pa.chunked_array(chunks, pa.string()).combine_chunks()


def clean(column: pa.Array) -> pa.Array:
    """Return text without surrounding blanks; what senders write for "nothing" is null, never a default."""
    text = pc.utf8_trim(column, BLANKS)
    return pc.if_else(pc.is_in(text, NOTHING), None, text)


# Kind of a column -> the macro that reads its text, and the type of what it reads.
READERS = {
    "whole": ("to_whole", WHOLE),
    "grams": ("to_grams", WHOLE),
    "money": ("to_money", MONEY),
    "real": ("to_real", REAL),
    "infant_age": ("to_infant_age", REAL),
    "date": ("to_day", DAY),
    "moment": ("to_moment", MOMENT),
    "flag": ("to_flag", FLAG),
}
# What a spreadsheet makes of an identifier, and of an issue code like 1-12.
MANGLED_IDENTIFIER = r"^(\d(\.\d+)?[eE]\+?\d+|#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|#+))$"
MANGLED_ISSUE = r"月|/|[A-Za-z]{3}|\d{4}-|^\d{5}$"


def type_rows(
    batch: Batch, raw: pa.Table, kinds: dict[str, str], mangled: dict[str, str] | None = None
) -> pa.Table:
    """Type columns of text, row by row; leaves what could not be typed in `bad_value` (row_no, field, value).

    `kinds` maps column -> kind: `text` or one of READERS. `mangled` maps a text column -> pattern of values that a
    spreadsheet spoilt.
    """
    given = {name: raw.column(name) for name in kinds if raw.column(name).null_count < len(raw)}
    read = {name: READERS[kind][0] for name, kind in kinds.items() if kind in READERS}
    columns = ["row_no", *(f'{read[name]}("{name}") as "{name}"' for name in given if name in read)]
    batch.lay_out("raw", raw)
    typed = batch.table(f"select {', '.join(columns)} from raw order by row_no")
    bad = {
        name: pc.and_(column.is_valid(), typed.column(name).is_null())
        for name, column in given.items()
        if kinds[name] in READERS and typed.column(name).null_count > column.null_count
    }
    for name in (mangled or {}).keys() & given:
        found = pc.match_substring_regex(given[name], mangled[name])
        if pc.any(found).as_py():
            bad[name] = found
    parts = [
        pa.table(
            [
                raw.column("row_no").filter(mask),
                constant(name, pc.sum(mask).as_py()),
                given[name].filter(mask),
            ],
            schema=BAD_VALUE,
        )
        for name, mask in sorted(bad.items())
    ]
    load(batch.connection, "bad_value", pa.concat_tables([BAD_VALUE.empty_table(), *parts]))
    result = raw.select(["row_no", "file_number", "source_row"])
    for name, kind in kinds.items():
        if name not in given:
            column = pa.nulls(len(raw), READERS[kind][1] if kind in READERS else TEXT)
        else:
            column = typed.column(name) if name in read else given[name]
        result = result.append_column(name, column)
    return result


def explain_bad(kind: str, label: str, value: str) -> tuple[str, str]:
    """Return reject rule and message for a value that could not be typed; `label` names its column."""
    shown = showable(value)
    quoted = f"“{shown}”" if shown is not None else "的值"
    if SCIENTIFIC.fullmatch(value) or EXCEL_ERROR.fullmatch(value) or kind in ("text", "issues"):
        return "excel_mangled", f"{label} {quoted}被 Excel 改写，原值已丢失"
    if kind in ("date", "moment") and EXCEL_DATE.fullmatch(value):
        return "excel_mangled", f"{label} {quoted}是 Excel 的日期写法"
    if kind in ("money", "real", "whole", "grams") and THOUSANDS.fullmatch(value):
        return "excel_mangled", f"{label} {quoted}带千分位"
    return "value_type", f"{label} {quoted}不是{TYPE_NAMES[kind]}"


def convert(column: pa.Array | pa.ChunkedArray, function: Callable[[str], str | None]) -> pa.Array:
    """Return text converted by a function that is called once per distinct value; nulls stay null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    known = array.dictionary_encode()
    return pa.array(map(function, known.dictionary.to_pylist()), TEXT).take(known.indices)


def count_files(batch: Batch, dataset: str, accepted: str, typed: str, fee: str | None) -> None:
    """Count accepted rows per file and sum the fee over every row that has one, accepted or not."""
    for number, count in batch.connection.sql(
        f"select file_number, count(*) from {accepted} group by file_number"
    ).fetchall():
        batch.files[number].accepted_count += count
    if fee is None:
        return
    for number, total, unread in batch.connection.sql(f"""
        select file_number, sum({fee})::decimal(18, 2),
            count(*) filter (where row_no in (select row_no from bad_value where field = '{fee}'))
        from {typed} group by file_number
    """).fetchall():
        item = batch.files[number]
        if total is not None:
            item.total_fee_yuan = total + (item.total_fee_yuan or 0)
        # A torn row has no fee either: it was never a record.
        item.unread_fee_count += unread + len(item.table.rejects)


def evaluate_rules(batch: Batch, rules: RuleSet, relations: dict[str, str], accepted: str) -> None:
    """Evaluate a dataset's rules over its accepted rows; leaves `rule_result`, a column per check, and
    `rule_verdict`, a column per rule and per rule and field where a rule looks at several.

    The counts per delivery and rule go to the batch's profiles, with `any_error`: rows that break at least one
    rule of severity error.
    """
    con = batch.connection
    con.execute(f"create or replace temp table rule_result as {render_evaluation(rules, relations)}")
    ids = rules.rule_ids
    errors = [rule.reported_as for rule in rules.rules if rule.severity == "error"]
    names = dict.fromkeys((*ids, *rules.verdict_names))
    verdicts = ", ".join(f'{rule_expression(rules, name)} as "{name}"' for name in names)
    con.execute(f"create or replace temp table rule_verdict as select row_no, {verdicts} from rule_result")
    any_error = " or ".join(f'coalesce("{rule_id}", false)' for rule_id in dict.fromkeys(errors))
    counts = ", ".join(f'count(*) filter (where "{rule_id}"), count("{rule_id}")' for rule_id in ids)
    for row in con.sql(f"""
        select file.delivery_number, {counts}, count(*) filter (where {any_error}), count(*)
        from rule_verdict join {accepted} as accepted using (row_no) join file using (file_number)
        group by file.delivery_number order by file.delivery_number
    """).fetchall():
        delivery_number, values = row[0], row[1:]
        for index, metric in enumerate((*ids, "any_error")):
            batch.profiles.append(
                (delivery_number, rules.dataset, metric, values[2 * index], values[2 * index + 1])
            )


def collect_findings(
    batch: Batch, rules: RuleSet, keys: pa.Array, accepted: str, point_lost: str | None = None
) -> pa.Table:
    """Return the findings of the evaluated rules with lineage, in the order of rows and rules.

    `keys` are the row keys in the order of `row_no` in `accepted`. `point_lost` names a relation with the points
    lost by `row_no` and `verdict`, where the dataset has a score.
    """
    con = batch.connection
    lost, scored = "null::decimal(5, 2)", ""
    if point_lost:
        lost = "coalesce(point_lost.points, 0)"
        scored = f"left join {point_lost} as point_lost using (row_no, verdict)"
    checks = pa.table(
        {
            "check_number": pa.array(range(len(rules.checks)), pa.int32()),
            "rule_id": [rule.reported_as for rule, _ in rules.checks],
            "verdict": [rules.verdict_name(rule, name) for rule, name in rules.checks],
            "field": [name for _, name in rules.checks],
            "severity": [rule.severity for rule, _ in rules.checks],
        }
    )
    load(con, "rule_check", checks)
    # Checks of one rule and field are one finding: they report under the number of the first.
    first: dict[tuple[str, str], int] = {}
    broken = ", ".join(
        f"case when check_{index} then {first.setdefault((rule.reported_as, name), index)} end"
        for index, (rule, name) in enumerate(rules.checks)
    )
    findings = batch.table(f"""
        with ordered as (
            select row_no, file_number, source_row, row_number() over (order by row_no) - 1 as ordinal
            from {accepted}
        ),
        broken as (
            select row_no, unnest(list_distinct([{broken}])) as check_number
            from rule_result
        )
        select file.delivery_number, file.institution_code, file.month, file.delivery_id, file.source_file,
            ordered.source_row, '{rules.dataset}' as dataset, ordered.ordinal, rule_check.rule_id,
            rule_check.field, rule_check.severity, {lost} as points_lost
        from broken join ordered using (row_no) join file using (file_number)
            join rule_check using (check_number) {scored}
        order by ordered.row_no, broken.check_number
    """)
    row_key = keys.take(findings.column("ordinal").combine_chunks())
    index = findings.schema.get_field_index("ordinal")
    return findings.set_column(index, "row_key", row_key)


def profile_files(
    batch: Batch, delivery_number: int, dataset: str, members: Sequence[str], envelope: dict
) -> None:
    """Note the counts about a delivery's files: rows rejected, files unreadable, declared and not arrived.

    `members` are the datasets whose files make up the dataset judged; the first carries its rows.
    """
    files = [
        item
        for item in batch.files
        if item.delivery_number == delivery_number and item.table.file.dataset in members
    ]
    if not files:
        return
    declared = envelope["files"]
    main = [item for item in files if item.table.file.dataset == members[0]]
    accepted = sum(item.accepted_count for item in main)
    count = Counter()
    for item in files:
        entry = declared.get(item.name)
        if entry is None:
            continue
        count["declared"] += 1
        if entry.get("rows") is not None:
            count["rows_declared"] += 1
            count["rows_differ"] += entry["rows"] != item.table.row_count
        # With an unreadable fee sums cannot be compared; the row itself is rejected and counted.
        if (
            entry.get("total_fee_yuan") is not None
            and item.table.file.dataset != "prescription_review"
            and not item.unread_fee_count
        ):
            count["yuan_declared"] += 1
            count["yuan_differ"] += entry["total_fee_yuan"] != (item.total_fee_yuan or Decimal(0))
        if entry.get("sha256"):
            count["sha_declared"] += 1
            count["sha_differ"] += entry["sha256"].lower() != item.table.file.sha256
    promised = [name for name in declared if declared_dataset(name) in members]
    rows = sum(item.table.row_count for item in files)
    taken = sum(item.accepted_count for item in files)
    has_envelope = int(envelope["present"])
    required = [item for item in files if item.table.layout is not None]
    for metric, failing, checked in (
        ("accepted_rows", accepted, sum(item.table.row_count for item in main)),
        ("rows_rejected", rows - taken, rows),
        ("files_unreadable", sum(item.table.is_rejected for item in files), len(files)),
        ("zero_rows", int(accepted == 0), 1),
        ("required_column_missing", sum(_lacks_required(item) for item in required), len(required)),
        ("envelope_invalid", int(bool(envelope["problem"])), has_envelope),
        ("declared_rows_mismatch", count["rows_differ"], count["rows_declared"]),
        ("declared_yuan_mismatch", count["yuan_differ"], count["yuan_declared"]),
        ("sha_mismatch", count["sha_differ"], count["sha_declared"]),
        (
            "declared_file_missing",
            len(set(promised) - {item.name for item in files}),
            len(promised),
        ),
        (
            "file_undeclared",
            len(files) - count["declared"] if has_envelope else 0,
            len(files) * has_envelope,
        ),
    ):
        batch.profiles.append((delivery_number, dataset, metric, failing, checked))


def declared_dataset(name: str) -> str | None:
    """Return the dataset that a file name announces, or None."""
    for dataset in ("front_sheet", "prescription_line", "prescription_review", "prescription"):
        if name.lower().startswith(dataset):
            return dataset
    return None


def _lacks_required(item: BatchFile) -> bool:
    return any(key in item.table.layout.required for key in item.table.missing)


def combined(table: pa.Table, name: str) -> pa.Array:
    """Return a column as one array."""
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def replace_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Return the table with one column's values replaced."""
    return table.set_column(table.schema.get_field_index(name), name, values)


def constant(value: str, count: int) -> pa.Array:
    """Return an array of one repeated text."""
    return pc.fill_null(pa.nulls(count, pa.string()), value)
