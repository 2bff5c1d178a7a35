"""Faults put into deliveries on purpose: where they go, and how finished files are changed.

Files are first written right and then changed in place, so that everything else about them stays right and
each fault is known by file and record. Source rows count records with the header as 1. Institutions' habits
(a badly written prescription, a sheet with blanks) are not faults and not here.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.demo.institution import Institution
from pipelines.demo.plan import City, month_name
from pipelines.demo.sheet import layout
from pipelines.demo.sheet_fault import SHEET_CHANGES, SheetRecord
from pipelines.demo.table import TableError, read_table

KEY_COLUMNS = (
    "fault_id",
    "institution_code",
    "month",
    "dataset",
    "file",
    "source_row",
    "field",
    "rule_id",
    "kind",
    "expected",
    "also_breaks",
    "description_zh",
)
DATASETS = ("front_sheet", "prescription", "prescription_line", "prescription_review")
FEE_COLUMNS = {"prescription": "amount_yuan", "prescription_line": "amount_yuan"}


@dataclass(frozen=True)
class FaultKind:
    """One row of `data/fault.csv`: what is wrong, which rule should notice it, what should happen.

    `scope`: `sheet` (cells of a front sheet), `record` (shape or keys of records), `file` (a whole file or
    month). `expected`: file_rejected, row_rejected, finding, gate, missing, noted, or nothing (a look-alike).
    """

    kind: str
    scope: str
    dataset: str
    field: str
    rule_id: str
    expected: str
    also_breaks: str
    description_zh: str


@lru_cache(maxsize=1)
def fault_kinds() -> dict[str, FaultKind]:
    """Return the kinds of faults in the order of the table."""
    columns = tuple(FaultKind.__dataclass_fields__)
    rows = read_table("fault.csv", columns, lambda row: FaultKind(*(row.text(column) for column in columns)))
    sheets = {row.kind for row in rows if row.scope == "sheet"}
    if sheets != set(SHEET_CHANGES):
        raise TableError(
            f"fault.csv and the changes of sheets differ in {sorted(sheets ^ set(SHEET_CHANGES))}"
        )
    return {row.kind: row for row in rows}


_DESTROYED = ("mixed_encoding", "binary_file", "empty_file", "unknown_header")
_LARGE_CITY = 100_000  # front sheets from which each fault of rows hits three rows instead of two
_MANY = 0.3
_DECLARED = ("declared_rows", "declared_fee", "declared_hash", "declared_amount")


@dataclass(frozen=True)
class Fault:
    """One planned fault: a kind, one file of one institution's month, and how many rows it should hit."""

    fault_id: str
    kind: str
    institution_number: int
    month: int
    dataset: str
    rows: int


@dataclass
class DeliveryFile:
    """One finished file in memory, with its records still as lines; parsed only when a fault looks inside."""

    dataset: str
    path: Path
    encoding: str
    end: str
    lines: list[str]
    declared_rows: int = 0
    declared_fee: int | None = 0
    changed: set[int] = field(default_factory=set)

    @staticmethod
    def read(dataset: str, path: Path, encoding: str, end: str) -> DeliveryFile:
        """Read a file that this package wrote."""
        lines = path.read_bytes().decode(encoding).split(end)
        return DeliveryFile(dataset, path, encoding, end, lines[:-1] if lines[-1] == "" else lines)

    def record(self, number: int) -> list[str]:
        """Return the cells of a source row."""
        return next(csv.reader([self.lines[number - 1]]))

    def replace(self, number: int, cells: list[str]) -> None:
        """Put other cells into a source row and protect it from further faults."""
        buffer = io.StringIO()
        csv.writer(buffer).writerow(cells)  # its own \r\n makes it quote cells with line breaks
        self.lines[number - 1] = buffer.getvalue().removesuffix("\r\n")
        self.changed.add(number)

    def append(self, cells: list[str]) -> int:
        """Add a record at the end and return its source row."""
        self.lines.append("")
        self.replace(len(self.lines), cells)
        return len(self.lines)

    def content(self) -> bytes:
        """Return the bytes of the file."""
        return "".join(line + self.end for line in self.lines).encode(self.encoding)


def plan_faults(city: City) -> list[Fault]:
    """Return the faults of a city, none if it is clean.

    Faults of whole files go to the smaller institutions and one month each, three kinds to an institution and
    a year, so that few years become unfit for a yearly judgement. Faults of sheets and records come twice
    each, in any month without a file fault, and never in the first month of the city.
    """
    if city.request.clean:
        return []
    rng = city.rng("fault")
    ranked = sorted(city.institutions, key=lambda i: (i.size, i.number))
    months = city.months[1:]
    faults: list[Fault] = []
    taken: set[tuple[int, int]] = set()

    def add(kind: FaultKind, number: int, month: int, rows: int) -> None:
        faults.append(Fault(f"F{len(faults) + 1:03d}", kind.kind, number, month, kind.dataset, rows))

    small = ranked[: max(1, len(ranked) // 3)]
    of_files = [kind for kind in fault_kinds().values() if kind.scope == "file"]
    for position, kind in enumerate(of_files):
        year = city.years[position // 3 % len(city.years)]
        for institution in (small[position // 3 % len(small)], *ranked):
            free = [m for m in months if (institution.number, m) not in taken]
            free = [m for m in free if m // 12 == year] or free
            if free:
                month = free[int(rng.integers(len(free)))]
                taken.add((institution.number, month))
                add(kind, institution.number, month, 0)
                break
    sizes = {
        (i.number, month): int(city.stay_counts[i.number - 1, city.months.index(month)])
        for i in ranked
        for month in months
        if (i.number, month) not in taken
    }
    slots = [slot for slot, size in sizes.items() if size > 0]
    if not slots:
        return faults
    # Rare sheets (a death, a newborn) are found more surely where there are many.
    weight = np.array([sizes[slot] for slot in slots], dtype=float)
    rows = 2 if city.request.front_sheets < _LARGE_CITY else 3
    for kind in fault_kinds().values():
        for _ in range(2 if kind.scope != "file" else 0):
            number, month = slots[int(rng.choice(len(slots), p=weight / weight.sum()))]
            add(kind, number, month, rows)
    return faults


class FaultWriter:
    """Applies the faults of one institution's month to its files and keeps the answer key."""

    def __init__(self, city: City, institution: Institution, month: int, faults: Sequence[Fault]):
        self.city, self.institution, self.month, self.faults = city, institution, month, faults
        self.key: list[list[str]] = []

    def note(self, fault: Fault, row: int | str = "") -> None:
        """Add a line to the answer key; without `row` the fault concerns the whole file or month."""
        kind = fault_kinds()[fault.kind]
        file = f"{fault.dataset}.csv" if fault.dataset else ""
        place = [fault.fault_id, self.institution.code, month_name(self.month), fault.dataset, file, str(row)]
        self.key.append(
            [
                *place,
                kind.field,
                kind.rule_id,
                kind.kind,
                kind.expected,
                kind.also_breaks,
                kind.description_zh,
            ]
        )

    def apply(self, files: dict[str, DeliveryFile]) -> dict[str, bytes]:
        """Change the files and return the bytes of those that are not what their lines say."""
        overrides: dict[str, bytes] = {}
        for fault in self.faults:
            kind, file = fault_kinds()[fault.kind], files.get(fault.dataset)
            rng = self.city.rng("fault", int(fault.fault_id[1:]))
            if kind.scope == "sheet":
                self._change_sheets(fault, file, rng)
            elif kind.scope == "record":
                self._change_records(fault, file, rng)
            elif fault.kind in _DESTROYED:
                overrides[fault.dataset] = self._destroy(fault, file, rng)
            elif fault.kind == "unknown_column":
                self._add_column(fault, file)
            elif fault.kind == "many_fee_errors":
                self._break_many(fault, file, rng)
            elif fault.kind in _DECLARED:
                self.note(fault)
        return overrides

    def _candidates(self, file: DeliveryFile, rng: np.random.Generator) -> list[int]:
        """Return the source rows that no fault has touched yet, in random order."""
        rows = [number for number in range(2, len(file.lines) + 1) if number not in file.changed]
        return [rows[place] for place in rng.permutation(len(rows))]

    def _change_sheets(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> None:
        suits, change = SHEET_CHANGES[fault.kind]
        done = 0
        for number in self._candidates(file, rng):
            record = SheetRecord(self.institution, file.record(number))
            if done >= fault.rows:
                break
            if suits(record):
                change(record)
                file.replace(number, record.cells)
                self.note(fault, number)
                done += 1

    def _change_records(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> None:
        for count, number in enumerate(self._candidates(file, rng)[: fault.rows], 1):
            cells = file.record(number)
            if fault.kind == "too_few_columns":
                file.replace(number, cells[:-3])
                self.note(fault, number)
            elif fault.kind == "too_many_columns":
                file.replace(number, [*cells, "多", "余"])
                self.note(fault, number)
            elif fault.kind == "untypable_quantity":
                cells[file.record(1).index("quantity")] = "abc"
                file.replace(number, cells)
                self.note(fault, number)
            else:
                file.changed.add(number)
                if fault.kind == "duplicate_discharge":
                    self.note(fault, number)  # neither of the two is more right than the other
                self.note(fault, file.append(self._further_record(fault, file, cells, count)))

    def _further_record(self, fault: Fault, file: DeliveryFile, cells: list[str], count: int) -> list[str]:
        """Return a record to be added: a repetition of `cells`, or one with another key and a wrong cell."""
        if fault.kind in ("duplicate_key", "duplicate_prescription"):
            return cells
        if fault.kind == "duplicate_discharge":
            record = SheetRecord(self.institution, cells)
            record.put("admission_ordinal", str(int(record.get("admission_ordinal")) + 1))
            return record.cells
        fresh = f"CF{self.institution.number:03d}99{int(fault.fault_id[1:]):03d}{count:02d}"
        column, value = {
            "orphan_line": ("prescription_id", fresh),
            "orphan_review": ("prescription_id", fresh),
            "missing_prescription_id": ("prescription_id", ""),
            "untypable_time": ("prescribed_at", "2019-13-45 08:00"),
            "wrong_month_prescription": ("prescribed_at", f"{month_name(self.month + 2)}-03 09:00"),
        }[fault.kind]
        header = file.record(1)
        changed = dict(zip(header, cells, strict=True)) | {"prescription_id": fresh} | {column: value}
        return list(changed.values())

    def _destroy(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> bytes:
        """Return the bytes that are sent instead of a readable file."""
        self.note(fault)
        if fault.kind == "empty_file":
            return b""
        if fault.kind == "binary_file":
            return b"\x89BIN\x00\x00" + rng.bytes(4096)
        lines = [line + file.end for line in file.lines]
        if fault.kind == "unknown_header":
            lines[0] = ",".join(f"F{number:03d}" for number in range(1, len(file.record(1)) + 1)) + file.end
            return "".join(lines).encode(file.encoding)
        # The bytes between the halves are valid in neither encoding, however few Chinese characters there
        # are.
        half = max(2, len(lines) // 2)
        first, rest = "".join(lines[:half]), "".join(lines[half:])
        return first.encode("utf-8") + b"\xff\xfe\x81" + file.end.encode() + rest.encode("gb18030")

    def _add_column(self, fault: Fault, file: DeliveryFile) -> None:
        file.lines[0] += f",{fault_kinds()[fault.kind].field}"
        file.lines[1:] = [line + ",1" for line in file.lines[1:]]
        self.note(fault)

    def _break_many(self, fault: Fault, file: DeliveryFile, rng: np.random.Generator) -> None:
        wanted = max(1, round(_MANY * (len(file.lines) - 1)))
        for number in sorted(self._candidates(file, rng)[:wanted]):
            record = SheetRecord(self.institution, file.record(number))
            record.put_cents("total_fee_yuan", record.cents("total_fee_yuan") + 20_000)
            file.replace(number, record.cells)
            self.note(fault, number)


def total_of(file: DeliveryFile, institution: Institution) -> int | None:
    """Return the sum of the file's amounts in cents as its sender would add them, None where it has none.

    A record of another width than the header is left out: nobody can say which of its cells is the amount,
    and a row fault must not turn into a wrong declaration of the whole month.
    """
    width = len(file.record(1))
    if file.dataset == "front_sheet":
        column = layout(institution.layout).keys.index(("total_fee_yuan", 0))
    elif file.dataset in FEE_COLUMNS:
        column = file.record(1).index(FEE_COLUMNS[file.dataset])
    else:
        return None
    return sum(
        round(float(cells[column]) * 100) for cells in csv.reader(file.lines[1:]) if len(cells) == width
    )


def hash_of(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    return hashlib.sha256(content).hexdigest()
