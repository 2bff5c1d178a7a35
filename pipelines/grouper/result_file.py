"""Write the rows of a result: CSV, packed or not, or Parquet, by the ending of the file's name.

A row is told by its outcome: the number of one of the scheme's ways, or of one of the reasons of an unusable record.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.grouper.case_list import REASONS
from pipelines.grouper.engine import Grouper

NEEDS_QUOTES = r'[",\r\n]'


class ResultFile:
    """A file of results, open for rows; `extra_columns` are those that follow the usual ones."""

    def __init__(self, target: Path, grouper: Grouper, extra_columns: Sequence[str] = ()):
        [scheme] = grouper.scheme.tables["scheme"].to_pylist()
        invalid = {f"{level}_code": scheme[f"invalid_{level}_code"] for level in ("mdc", "adrg", "drg")}
        unusable = [{"status": "invalid", **invalid, "reason": reason} for reason in REASONS[1:]]
        self._first_reason = grouper.ways.num_rows
        self._outcomes = pa.concat_tables(
            [grouper.ways, pa.Table.from_pylist(unusable, grouper.ways.schema)]
        ).combine_chunks()
        self._endings = joined([column.chunk(0) for column in self._outcomes.columns])
        self._statuses = self._outcomes.column("status").to_pylist()
        self._names = ["case_id", *self._outcomes.column_names, *extra_columns]
        self._target = target
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        enter = self._opened.enter_context
        self._file = enter(self._target.open("wb"))
        self._parquet: pq.ParquetWriter | None = None
        if self._target.suffix.lower() == ".parquet":
            schema = pa.schema([(name, pa.string()) for name in self._names])
            self._parquet = enter(pq.ParquetWriter(self._file, schema, compression="zstd"))
            return self
        if self._target.suffix.lower() == ".gz":
            self._file = enter(gzip.open(self._file, "wb", compresslevel=1))
        self._file.write((",".join(self._names) + "\n").encode())
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def outcomes_of(self, way_number: np.ndarray, reason: np.ndarray) -> np.ndarray:
        """The outcome of each case: its way, numbered from 1, or the reason why its record cannot be used."""
        return np.where(reason, self._first_reason + reason - 1, way_number - 1)

    def count_statuses(self, outcome: np.ndarray) -> Counter[str]:
        """How many of these outcomes have which status."""
        counts: Counter[str] = Counter()
        numbers = np.bincount(outcome, minlength=len(self._statuses)).tolist()
        for status, number in zip(self._statuses, numbers, strict=True):
            counts[status] += number
        return counts

    def write(self, case_id: pa.Array, outcome: np.ndarray, extra: Sequence[pa.Array] = ()) -> None:
        """Append rows: ids (null = empty), outcomes, and a text array per extra column."""
        if not len(case_id):
            return
        place = pa.array(outcome)
        if self._parquet:
            columns = [case_id, *self._outcomes.take(place).columns, *extra]
            self._parquet.write_table(pa.table(columns, names=self._names))
            return
        lines = joined([case_id, self._endings.take(place), *extra], is_quoted=1)
        _, offsets, text = pc.binary_join_element_wise(lines, "", "\n").buffers()
        self._file.write(memoryview(text)[: np.frombuffer(offsets, np.int32)[len(lines)]])


def joined(columns: Sequence[pa.Array], is_quoted: int | None = None) -> pa.Array:
    """Cells of text columns as CSV, without an end of line; the column `is_quoted` is CSV already."""
    cells = [column if place == is_quoted else quoted(column) for place, column in enumerate(columns)]
    return pc.binary_join_element_wise(*cells, ",")


def quoted(column: pa.Array) -> pa.Array:
    """Values as cells of CSV: missing ones empty, in quotes only what needs them."""
    text = pc.fill_null(column, "")
    special = pc.match_substring_regex(text, NEEDS_QUOTES)
    if not pc.any(special).as_py():
        return text
    doubled = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    return pc.if_else(special, doubled, text)
