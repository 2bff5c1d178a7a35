"""Small data tables of this package: read a CSV, refuse what cannot be used, name file, row and column.

Row numbers count records with the header as 1, as a spreadsheet shows them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
DATA_DIR = Path(__file__).resolve().parent / "data"


class TableError(ValueError):
    """A data table cannot be used; the message lists file, row, column, value and the reason."""


@dataclass
class Row:
    """One record of a table, with typed access that collects complaints instead of stopping at the first."""

    file: str
    number: int
    cells: dict[str, str]
    complaints: list[str] = field(repr=False)

    def complain(self, column: str, reason: str) -> None:
        """Note that the cell `column` cannot be used."""
        value = self.cells.get(column, "")
        shown = value if len(value) <= 60 else value[:57] + "..."
        self.complaints.append(f"{self.file} row {self.number} column {column}: {reason} (found {shown!r})")

    def text(self, column: str) -> str:
        """Return the stripped cell, empty where it is blank."""
        return (self.cells.get(column) or "").strip()

    def number_in(self, column: str, low: float, high: float) -> float:
        """Return a number within [low, high]; complain and return `low` otherwise."""
        try:
            value = float(self.text(column))
        except ValueError:
            self.complain(column, "is not a number")
            return low
        if not low <= value <= high:
            self.complain(column, f"is outside {low:g} to {high:g}")
            return low
        return value

    def choice(self, column: str, allowed: tuple[str, ...]) -> str:
        """Return the cell if it is one of `allowed`; complain and return the first of them otherwise."""
        value = self.text(column)
        if value in allowed:
            return value
        self.complain(column, f"is none of {', '.join(allowed)}")
        return allowed[0]

    def parts(self, column: str) -> list[str]:
        """Return the cell split at `|`, blanks left out."""
        return [part.strip() for part in self.text(column).split("|") if part.strip()]


def read_rows(path: Path, columns: tuple[str, ...], complaints: list[str]) -> Iterator[Row]:
    """Yield the records of a UTF-8 CSV; a missing column is a complaint and yields nothing."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            complaints.append(f"{path.name} row 1: column {', '.join(missing)} is missing")
            return
        for number, cells in enumerate(reader, 2):
            if cells.get(None):
                complaints.append(f"{path.name} row {number}: more cells than the header has")
                continue
            if None in cells.values():
                complaints.append(f"{path.name} row {number}: fewer cells than the header has")
                continue
            yield Row(path.name, number, cells, complaints)


def refuse(complaints: list[str], error: type[TableError] = TableError) -> None:
    """Raise `error` with the complaints, the first twenty in full; do nothing if there are none."""
    if complaints:
        more = f"\n... and {len(complaints) - 20} more" if len(complaints) > 20 else ""
        raise error("the demonstration tables cannot be used:\n" + "\n".join(complaints[:20]) + more)


def read_table(name: str, columns: tuple[str, ...], build: Callable[[Row], T]) -> list[T]:
    """Read `data/<name>` and build one object per record. Raises TableError."""
    complaints: list[str] = []
    built: list[Any] = [build(row) for row in read_rows(DATA_DIR / name, columns, complaints)]
    refuse(complaints)
    return built
