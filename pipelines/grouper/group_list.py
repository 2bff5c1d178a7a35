"""Group a case list from file to file: read ahead, group, write, and find ids that occur twice.

Memory does not grow with the list: chunks pass through, and of earlier ones only hashes of their ids are kept, in DuckDB.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.grouper.case_list import (
    FINDINGS_KEPT,
    CaseList,
    Chunk,
    Finding,
    WrongEncodingError,
    find_encoding,
)
from pipelines.grouper.engine import Grouper
from pipelines.grouper.numbering import Codebook, NumberedCases
from pipelines.grouper.result_file import ResultFile
from pipelines.grouper.trace import TRACE_COLUMNS, trace_columns
from pipelines.scheme.loader import Scheme, read_scheme

Item = TypeVar("Item")


class ResultFileError(Exception):
    """The result cannot be written; the message names the place and the remedy."""


@dataclass
class Summary:
    """What became of a case list: results by status, the first findings and how many there are, codes that the scheme does
    not name (how many, and how often they occur), and the seconds it took.
    """

    scheme: Scheme
    status_counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    finding_count: int = 0
    unknown_code_count: int = 0
    unknown_code_occurrences: int = 0
    seconds: float = 0.0

    @property
    def case_count(self) -> int:
        """Rows of the result: one per record of the list."""
        return self.status_counts.total()


def group_list(path: Path, scheme_folder: Path, out: Path, is_traced: bool = False) -> Summary:
    """Group the cases of `path` and write `out` (`.csv`, `.csv.gz` or `.parquet`): a row per record, in their order.

    Traced rows have the columns of `trace.TRACE_COLUMNS` as well.
    Raises CaseListError, SchemeError or ResultFileError; then nothing is at `out` that was not there before.
    """
    started = time.monotonic()
    if out.is_dir() or not out.parent.is_dir():
        raise ResultFileError(f"{out}：不能写入；请给出已有目录下的文件名")
    if out.exists() and path.exists() and out.samefile(path):
        raise ResultFileError(f"{out}：结果不能覆盖病例清单；请另给一个文件名")
    aside = out.with_name(f".{os.getpid()}.{out.name}")
    case_list = CaseList(path)
    try:
        try:
            summary, repeated = _group(case_list, scheme_folder, aside, is_traced)
        except WrongEncodingError:
            case_list = CaseList(path, find_encoding(path))
            summary, repeated = _group(case_list, scheme_folder, aside, is_traced)
        if len(repeated):
            # Which ids stand in earlier records is known only now: once more, with that.
            summary, _ = _group(case_list, scheme_folder, aside, is_traced, repeated)
        os.replace(aside, out)
    except OSError as error:
        raise ResultFileError(f"{out}：写入失败：{error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)
    summary.seconds = time.monotonic() - started
    return summary


def _group(
    case_list: CaseList,
    scheme_folder: Path,
    target: Path,
    is_traced: bool,
    repeated: np.ndarray | None = None,
) -> tuple[Summary, np.ndarray]:
    """Group once. Returns the places, from 0, of records whose id stands in an earlier one; given these, marks them."""
    codebook = Codebook()
    # Reading, grouping and writing have a thread each; none is more than a chunk ahead of the next.
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as writing, CaseIds() as ids:
        chunks = ahead(reading, read_numbered(case_list, codebook, repeated))
        scheme = read_scheme(scheme_folder)
        summary = Summary(scheme)
        extra_columns = TRACE_COLUMNS if is_traced else ()
        with Grouper(scheme, codebook) as grouper, ResultFile(target, grouper, extra_columns) as file:
            write: Future[None] | None = None
            for chunk, cases in chunks:
                outcome = file.outcomes_of(grouper.take_ways(cases, keep=is_traced), chunk.reason)
                extra = traced(grouper, chunk) if is_traced else ()
                summary.status_counts += file.count_statuses(outcome)
                summary.findings += chunk.findings[: FINDINGS_KEPT - len(summary.findings)]
                summary.finding_count += chunk.finding_count
                summary.unknown_code_occurrences += grouper.count_unknown(cases)
                if write:
                    write.result()
                case_id = chunk.cases.column("case_id").combine_chunks()
                write = writing.submit(write_chunk, file, ids, case_id, outcome, extra)
            if write:
                write.result()
            summary.unknown_code_count = grouper.unknown_code_count
        return summary, ids.repeated()


def traced(grouper: Grouper, chunk: Chunk) -> list[pa.Array]:
    """The columns of the trace for the cases of a chunk; a record that cannot be used has none."""
    columns = trace_columns(grouper.connection).drop_columns("case_id").columns
    usable = pa.array(chunk.reason == 0)
    return [pc.if_else(usable, column.combine_chunks(), None) for column in columns]


def ahead(pool: ThreadPoolExecutor, items: Iterator[Item]) -> Iterator[Item]:
    """Yield items while the pool's thread makes the next one."""
    waiting = pool.submit(next, items, None)
    while (item := waiting.result()) is not None:
        waiting = pool.submit(next, items, None)
        yield item


def read_numbered(
    case_list: CaseList, codebook: Codebook, repeated: np.ndarray | None
) -> Iterator[tuple[Chunk, NumberedCases]]:
    """Yield the chunks of a case list and their cases by numbers, records at the places `repeated` marked as such."""
    next_place = 0
    for chunk in case_list.chunks():
        if repeated is not None:
            inside = (repeated >= next_place) & (repeated < next_place + len(chunk.reason))
            chunk.mark_repeated(repeated[inside] - next_place)
        next_place += len(chunk.reason)
        yield chunk, codebook.number(chunk.cases)


def write_chunk(
    file: ResultFile, ids: CaseIds, case_id: pa.Array, outcome: np.ndarray, extra: Sequence[pa.Array]
) -> None:
    """Write the results of a chunk and remember its ids."""
    file.write(case_id, outcome, extra)
    ids.add(case_id)


class CaseIds:
    """The ids of all records so far, as two hashes each: enough to tell them apart, and not to name anybody."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("create table case_id (first_hash ubigint, second_hash ubigint)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, case_id: pa.Array) -> None:
        """Add the ids of the next records; a missing one is like no other."""
        self._connection.register("added", pa.table({"id": case_id}))
        self._connection.execute(
            "insert into case_id select case when id is not null then hash(id) end, hash(id || '.') from added"
        )
        self._connection.unregister("added")

    def repeated(self) -> np.ndarray:
        """The places, from 0 and in order, of records whose id stands in an earlier one."""
        return self._connection.sql(
            """
            select rowid as place
            from case_id
            where first_hash in (
                select first_hash from case_id where first_hash is not null group by first_hash having count(*) > 1
            )
            qualify row_number() over (partition by first_hash, second_hash order by rowid) > 1
            order by place
            """
        ).fetchnumpy()["place"]
