"""`drgq query`: read-only SQL over the current release.

A query sees the release's tables and views and nothing else: no file, no other database, no change of
configuration. How the answer is printed is decided here too; which numbers exist is not.
"""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from pipelines.release.cell_text import neutralise
from pipelines.release.current import NO_RELEASE, current_folder
from pipelines.settings import Settings

FORMATS = ("table", "csv", "json")
# A table is for reading; whoever needs more rows asks for CSV.
TABLE_ROWS = 1000
FETCH_ROWS = 10_000
LISTING = "select table_name, table_type from information_schema.tables where table_schema = 'main'"


class QueryError(Exception):
    """A query cannot be answered; the message says why and what to do."""


def query(settings: Settings, sql: str, format: str = "table") -> str:
    """Answer one SQL statement from the current release as text: `table`, `csv` (with header) or `json` (a
    list of objects).

    The database is opened read-only, without access to files or extensions, and with its configuration
    locked. In CSV, text that a spreadsheet would take for a formula gets an apostrophe in front. Raises
    QueryError where there is no release, the format is unknown or the statement fails.
    """
    if format not in FORMATS:
        raise QueryError(f"输出格式 {format!r} 不存在，可用：{'、'.join(FORMATS)}")
    folder = current_folder(settings)
    if folder is None:
        raise QueryError(NO_RELEASE.format(settings.releases))
    try:
        statements = duckdb.extract_statements(sql)
        if len(statements) != 1:
            raise QueryError(f"一次只能查询一条 SQL 语句（收到 {len(statements)} 条）")
        with duckdb.connect(
            str(folder / "marts.duckdb"),
            read_only=True,
            config={
                "enable_external_access": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "temp_directory": "",
                "lock_configuration": True,
            },
        ) as connection:
            cursor = connection.execute(sql)
            if cursor.description is None:
                return ""
            names = [column[0] for column in cursor.description]
            return {"table": _as_table, "csv": _as_csv, "json": _as_json}[format](names, cursor)
    except duckdb.Error as error:
        raise QueryError(f"查询失败：{_explain(error)}") from error


def _explain(error: duckdb.Error) -> str:
    text = str(error).strip()
    words = ("external access", "read-only", "configuration has been locked")
    if isinstance(error, duckdb.PermissionException) or any(word in text for word in words):
        return f"发布只读，且不能读写文件、附加其他数据库或改变设置（{text.splitlines()[0]}）"
    if isinstance(error, duckdb.CatalogException):
        return f'{text}\n可用的表和视图：drgq query "{LISTING}"'
    return text


def _rows(cursor: duckdb.DuckDBPyConnection) -> Any:
    while batch := cursor.fetchmany(FETCH_ROWS):
        yield from batch


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _as_table(names: list[str], cursor: duckdb.DuckDBPyConnection) -> str:
    rows = cursor.fetchmany(TABLE_ROWS + 1)
    table = Table(show_header=True, header_style="bold")
    numeric = {
        index
        for index in range(len(names))
        if any(
            isinstance(row[index], int | float | Decimal) and not isinstance(row[index], bool)
            for row in rows[:50]
        )
    }
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if index in numeric else "left", overflow="fold")
    for row in rows[:TABLE_ROWS]:
        table.add_row(*(_escape(_text(value)) for value in row))
    out = io.StringIO()
    console = Console(file=out, width=_console_width(names, rows[:TABLE_ROWS]))
    console.print(table)
    if len(rows) > TABLE_ROWS:
        console.print(f"（只显示前 {TABLE_ROWS:,} 行；全部请用 --format csv）")
    else:
        console.print(f"（{len(rows):,} 行）")
    return out.getvalue()


def _escape(text: str) -> str:
    """Square brackets are markup to rich."""
    return text.replace("[", "\\[")


def _console_width(names: list[str], rows: list[tuple]) -> int:
    """Wide enough for every cell up to 60 columns; the terminal may fold what is wider than itself."""
    widths = []
    for index, name in enumerate(names):
        longest = max(
            (sum(2 if ord(c) > 0x2E7F else 1 for c in _text(row[index])) for row in rows), default=0
        )
        widths.append(min(max(longest, sum(2 if ord(c) > 0x2E7F else 1 for c in name)), 60) + 3)
    return max(40, sum(widths) + 1)


def _as_csv(names: list[str], cursor: duckdb.DuckDBPyConnection) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([neutralise(name) for name in names])
    for row in _rows(cursor):
        writer.writerow(
            [
                _text(value) if isinstance(value, int | float | Decimal) else neutralise(_text(value))
                for value in row
            ]
        )
    return out.getvalue()


def _as_json(names: list[str], cursor: duckdb.DuckDBPyConnection) -> str:
    rows = [dict(zip(names, map(_jsonable, row), strict=True)) for row in _rows(cursor)]
    return json.dumps(rows, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, date | datetime | time):
        value = value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
