"""Columns of text for CSV files, built whole with Arrow: vocabularies, numbers, money, dates, and rows joined
from cells.

Nothing here knows what a column means. A cell is an Arrow string array as long as the chunk, or one Python
string that stands in every row; the latter costs nothing however many columns there are.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Cell = pa.Array | str
FIRST_DAY = dt.date(1890, 1, 1)
LAST_DAY = dt.date(2035, 12, 31)
_FIRST = np.datetime64(FIRST_DAY, "D")


def quoted(value: str) -> str:
    """Return the value as a CSV cell, in quotes only where it must be."""
    if any(mark in value for mark in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


class Vocabulary:
    """A fixed list of cell values that rows refer to by index; index -1 is the empty value of the layout."""

    def __init__(self, values: list[str]):
        self._values = [quoted(value) for value in values]
        self._arrays: dict[str, pa.Array] = {}

    def __len__(self) -> int:
        return len(self._values)

    def take(self, index: np.ndarray, empty: str = "") -> pa.Array:
        """Return the values at `index` (any integer array); -1 becomes `empty`."""
        if empty not in self._arrays:
            self._arrays[empty] = pa.array([*self._values, empty], type=pa.string())
        array = self._arrays[empty]
        return pc.take(array, pa.array(np.where(index < 0, len(self._values), index).astype(np.int32)))


def integers(values: np.ndarray, known: np.ndarray | None = None, empty: str = "") -> pa.Array:
    """Return whole numbers as text; rows where `known` is False become `empty`."""
    text = pa.array(values.astype(np.int64)).cast(pa.string())
    return text if known is None else pc.if_else(pa.array(known), text, empty)


def decimals(units: np.ndarray, scale: int = 2, known: np.ndarray | None = None, empty: str = "") -> pa.Array:
    """Return integers counted in 10**-scale (cents for money) as exact decimal text."""
    words = np.zeros((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = np.where(words[:, 0] < 0, -1, 0)
    array = pa.Array.from_buffers(pa.decimal128(18, scale), len(units), [None, pa.py_buffer(words)])
    text = array.cast(pa.string())
    return text if known is None else pc.if_else(pa.array(known), text, empty)


@lru_cache(maxsize=4)
def _days(pattern: str) -> Vocabulary:
    count = (LAST_DAY - FIRST_DAY).days + 1
    return Vocabulary([(FIRST_DAY + dt.timedelta(days=n)).strftime(pattern) for n in range(count)])


def dates(
    days: np.ndarray, pattern: str = "%Y-%m-%d", known: np.ndarray | None = None, empty: str = ""
) -> pa.Array:
    """Return `datetime64[D]` values in a strftime pattern; rows where `known` is False become `empty`."""
    index = (days - _FIRST).astype(np.int64)
    return _days(pattern).take(index if known is None else np.where(known, index, -1), empty)


@lru_cache(maxsize=2)
def _minutes(pattern: str) -> Vocabulary:
    return Vocabulary([pattern.format(n // 60, n % 60) for n in range(1440)])


def clock(minutes: np.ndarray, pattern: str = "{:02d}:{:02d}:00") -> pa.Array:
    """Return minutes after midnight as the time of day."""
    return _minutes(pattern).take(minutes)


def glue(*pieces: Cell, separator: str = "") -> pa.Array:
    """Return the pieces joined row by row; at least one piece is an array."""
    return pc.binary_join_element_wise(
        *(pa.scalar(p) if isinstance(p, str) else p for p in pieces), separator
    )


def rows(cells: list[Cell], end: str) -> pa.Array:
    """Return CSV lines of the cells, each ended by `end`; runs of constant cells are joined once."""
    pieces: list[Cell] = []
    for cell in cells:
        if isinstance(cell, str) and pieces and isinstance(pieces[-1], str):
            pieces[-1] = f"{pieces[-1]},{cell}"
        else:
            pieces.append(cell)
    last = pieces[-1]
    pieces[-1] = last + end if isinstance(last, str) else glue(last, end)
    return glue(*pieces, separator=",")


def joined(lines: pa.Array, start: int, stop: int) -> bytes:
    """Return lines start to stop as one piece of UTF-8, without copying line by line."""
    if stop <= start:
        return b""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset :]
    return lines.buffers()[2].slice(int(offsets[start]), int(offsets[stop] - offsets[start])).to_pybytes()
