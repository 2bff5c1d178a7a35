"""Write one institution's year of deliveries: files, planned faults, envelopes, and the truth beside them.

A task is one institution and one year, so that work can be shared between processes without any file having
two writers. Rows go to disk chunk by chunk; only months that carry a fault are read back whole.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.demo import text
from pipelines.demo.fault import DATASETS, DeliveryFile, Fault, FaultWriter, hash_of, total_of
from pipelines.demo.institution import Institution
from pipelines.demo.plan import City, CityRequest, Piece, city_of, month_name
from pipelines.demo.prescription import ISSUES, Prescriptions, draw_prescriptions
from pipelines.demo.prescription_sheet import (
    LINE_COLUMNS,
    PRESCRIPTION_COLUMNS,
    REVIEW_COLUMNS,
    prescription_lines,
)
from pipelines.demo.sheet import layout, sheet_lines
from pipelines.demo.stay import Stays, draw_stays

YEAR_COLUMNS = (
    "institution_code",
    "year",
    "discharges",
    "pathway_managed",
    "pathway_completed",
    "operated",
    "operated_level_34",
    "operated_level_2_up",
    "elective",
    "day_surgery",
    "deaths",
    "complete_sheets",
    "total_fee_yuan",
    "outpatient_emergency",
    "outpatient_emergency_reviewed",
    "outpatient_emergency_reasonable",
)
MONTH_COLUMNS = (
    "institution_code", "month", "front_sheet", "prescription", "prescription_line", "prescription_review",
    "front_sheet_fee_yuan", "prescription_amount_yuan", "is_delivered",
)  # fmt: skip
_WITH_AMOUNTS = ("front_sheet", "prescription", "prescription_line")
ISSUE_COLUMNS = ("institution_code", "year", "issue_code", "written", "found_by_pharmacist")


@dataclass
class YearResult:
    """What one task wrote: rows of the answer key's tables and totals of the files as delivered."""

    institution_number: int
    year: int
    faults: list[list[str]] = field(default_factory=list)
    months: list[list[str]] = field(default_factory=list)
    year_row: list[str] = field(default_factory=list)
    issues: list[list[str]] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DATASETS, 0))
    files: int = 0
    size: int = 0


@dataclass
class _Month:
    """Running totals of one month while its chunks are written."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DATASETS, 0))
    cents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_WITH_AMOUNTS, 0))


def headers(institution: Institution) -> dict[str, str]:
    """Return the header line of each of the four files."""
    return {
        "front_sheet": ",".join(layout(institution.layout).columns(institution.has_extension)),
        "prescription": ",".join(PRESCRIPTION_COLUMNS),
        "prescription_line": ",".join(LINE_COLUMNS),
        "prescription_review": ",".join(REVIEW_COLUMNS),
    }


def _append(path: Path, institution: Institution, header: str, body: bytes) -> None:
    """Write rows to a delivery file, the header before the first ones. `body` is UTF-8."""
    first = not path.exists()
    with path.open("ab") as file:
        if first:
            file.write((header + institution.line_end).encode(institution.encoding))
        file.write(body if institution.encoding != "gb18030" else body.decode("utf-8").encode("gb18030"))


@dataclass(frozen=True)
class YearTask:
    """What one call of `write_year` has to do; small and picklable.

    `truth` is the folder of the case truth, None to leave it out. `only_month` limits what is written, not
    what is drawn, so that one month comes out as it does in the whole city.
    """

    request: CityRequest
    deliveries: Path
    number: int
    year: int
    faults: tuple[Fault, ...] = ()
    truth: Path | None = None
    only_month: int | None = None


def write_year(task: YearTask) -> YearResult:
    """Write the deliveries of one institution and year and return what was written."""
    writer = _YearWriter(task)
    for chunk, pieces in enumerate(writer.city.chunks(writer.institution, task.year)):
        writer.write_chunk(chunk, pieces)
    return writer.finish()


class _YearWriter:
    """Writes one institution's year: rows chunk by chunk, then faults and envelopes month by month."""

    def __init__(self, task: YearTask):
        self.task = task
        self.city = city_of(task.request)
        self.institution = self.city.institutions[task.number - 1]
        self.result = YearResult(task.number, task.year)
        self.months: dict[int, _Month] = {}
        self.totals = _Totals()
        self._truth: pq.ParquetWriter | None = None

    def folder(self, month: int) -> Path:
        """Return the folder of a month."""
        return self.task.deliveries / self.institution.code / month_name(month)

    def write_chunk(self, chunk: int, pieces: list[Piece]) -> None:
        """Draw a chunk and append its rows to the files of its months."""
        place = (self.city, self.institution, self.task.year, chunk, pieces)
        wanted = self.task.only_month
        stays = draw_stays(*place)
        rx = draw_prescriptions(*place, stays=stays)
        if wanted is None:
            self.totals.add(stays, rx)
        if self.task.truth is not None:
            table = _truth_table(self.city, self.institution, stays, pieces)
            path = self.task.truth / f"{self.institution.code}-{self.task.year}.parquet"
            self._truth = self._truth or pq.ParquetWriter(path, table.schema)
            self._truth.write_table(table)
        if wanted is None or any(piece.month == wanted for piece in pieces):
            self._append_rows(pieces, stays, rx)

    def _append_rows(self, pieces: list[Piece], stays: Stays, rx: Prescriptions) -> None:
        lines = {"front_sheet": sheet_lines(self.city, self.institution, stays)}
        lines |= prescription_lines(self.city, self.institution, stays, rx)
        line_edges = np.searchsorted(rx.line_row, np.arange(len(rx) + 1))
        review_edges = np.concatenate([[0], np.cumsum(rx.is_reviewed)])
        header = headers(self.institution)
        stay, script = 0, 0
        for piece in pieces:
            a, b = stay, stay + piece.stay_count
            c, d = script, script + piece.prescription_count
            stay, script = b, d
            if self.task.only_month not in (None, piece.month):
                continue
            first, last = int(line_edges[c]), int(line_edges[d])
            spans = {
                "front_sheet": (a, b),
                "prescription": (c, d),
                "prescription_line": (first, last),
                "prescription_review": (int(review_edges[c]), int(review_edges[d])),
            }
            self.folder(piece.month).mkdir(parents=True, exist_ok=True)
            total = self.months.setdefault(piece.month, _Month())
            for dataset, (start, stop) in spans.items():
                path = self.folder(piece.month) / f"{dataset}.csv"
                _append(path, self.institution, header[dataset], text.joined(lines[dataset], start, stop))
                total.rows[dataset] += stop - start
            total.cents["front_sheet"] += int(stays.fees.total[a:b].sum())
            total.cents["prescription"] += int(rx.amount[c:d].sum())
            total.cents["prescription_line"] += int(rx.line_cents[first:last].sum())

    def finish(self) -> YearResult:
        """Apply faults, write envelopes, and return what was written."""
        if self._truth:
            self._truth.close()
        for month in sorted(self.months):
            self._finish_month(month, [fault for fault in self.task.faults if fault.month == month])
        if self.task.only_month is None:
            self.result.year_row = self.totals.row(self.institution, self.task.year)
            self.result.issues = self.totals.issue_rows(self.institution, self.task.year)
        return self.result

    def _finish_month(self, month: int, faults: list[Fault]) -> None:
        total, folder = self.months[month], self.folder(month)
        fault_of = {fault.kind: fault for fault in faults}
        key = FaultWriter(self.city, self.institution, month, faults)
        written = (total.cents["front_sheet"], total.cents["prescription"])
        if "missing_month" in fault_of:
            shutil.rmtree(folder)
            key.note(fault_of["missing_month"])
            total.rows = dict.fromkeys(DATASETS, 0)
        else:
            self._change_files(folder, total, key)
            self._write_envelope(month, total, set(fault_of))
            if "stray_names" in fault_of:
                (folder / "说明.txt").write_text("本月数据已核对。\n", encoding="utf-8", newline="\n")
                (folder / "备份").mkdir()
                (folder / "备份" / "front_sheet.csv").write_bytes(b"")
                key.note(fault_of["stray_names"])
        for name in DATASETS:
            self.result.rows[name] += total.rows[name]
        self.result.faults += key.key
        self.result.months.append(
            [self.institution.code, month_name(month), *(str(total.rows[name]) for name in DATASETS)]
            + [f"{cents / 100:.2f}" for cents in written]
            + [str(int("missing_month" not in fault_of))]
        )

    def _change_files(self, folder: Path, total: _Month, key: FaultWriter) -> None:
        """Apply the month's faults to its files; declared totals follow what is then in them."""
        encoding, end = self.institution.encoding, self.institution.line_end
        files = {
            name: DeliveryFile.read(name, folder / f"{name}.csv", encoding, end)
            for name in DATASETS
            if any(fault.dataset == name for fault in key.faults)
        }
        overrides = key.apply(files)
        for name, file in files.items():
            total.rows[name] = len(file.lines) - 1
            cents = total_of(file, self.institution)
            if cents is not None:
                total.cents[name] = cents
            file.path.write_bytes(overrides.get(name, file.content()))

    def _write_envelope(self, month: int, total: _Month, kinds: set[str]) -> None:
        """Write what the sender declares, wrong where a fault says so."""
        following = dt.date((month + 1) // 12, (month + 1) % 12 + 1, 8)
        files = []
        for name in DATASETS:
            content = (self.folder(month) / f"{name}.csv").read_bytes()
            self.result.size += len(content)
            self.result.files += 1
            entry = {"name": f"{name}.csv", "rows": total.rows[name], "sha256": hash_of(content)}
            cents = total.cents.get(name)
            if name == "front_sheet":
                entry["rows"] += 7 * ("declared_rows" in kinds)
                cents += 100_000 * ("declared_fee" in kinds)
                if "declared_hash" in kinds:
                    entry["sha256"] = hash_of(content + b"?")
            if name == "prescription":
                cents += 100_000 * ("declared_amount" in kinds)
            files.append(entry if cents is None else entry | {"total_fee_yuan": f"{cents / 100:.2f}"})
        envelope = {
            "institution_code": self.institution.code,
            "period": month_name(month),
            "submitted_at": f"{following.isoformat()}T09:{self.institution.number % 60:02d}:00+08:00",
            "files": files,
        }
        body = json.dumps(envelope, ensure_ascii=False, indent=2)
        (self.folder(month) / "envelope.json").write_text(body + "\n", encoding="utf-8", newline="\n")


def _truth_table(city: City, institution: Institution, stays: Stays, pieces: list[Piece]) -> pa.Table:
    """Return what is known of each stay beyond its sheet; `source_row` is where it stands in the file."""
    place = [np.arange(piece.stay_count) + piece.stay_first + 2 for piece in pieces]
    source_row = np.concatenate(place) if place else np.zeros(0)
    catalogue = city.catalogue
    months, month_index = np.unique(stays.month, return_inverse=True)
    return pa.table(
        {
            "institution_code": pa.array([institution.code] * len(stays), pa.string()),
            "month": pa.array([month_name(int(m)) for m in months], pa.string()).take(pa.array(month_index)),
            "source_row": pa.array(source_row.astype(np.int32)),
            "profile_id": pa.array(catalogue.profile_id).take(pa.array(stays.profile)),
            "adrg_code": pa.array(catalogue.adrg_code).take(pa.array(stays.profile)),
            "total_fee_cents": pa.array(stays.fees.total),
            "highest_operation_level": pa.array(stays.highest_level.astype(np.int8)),
            "is_complete": pa.array(stays.is_complete),
        }
    )


class _Totals:
    """Counts of one institution's year, before any fault."""

    def __init__(self):
        self.count = dict.fromkeys(YEAR_COLUMNS[2:], 0)
        self.written: dict[int, int] = {}
        self.found: dict[int, int] = {}

    def add(self, stays: Stays, rx: Prescriptions) -> None:
        """Add the rows of a chunk."""
        seen = rx.visit < 3
        values = {
            "discharges": len(stays),
            "pathway_managed": stays.is_managed.sum(),
            "pathway_completed": stays.is_finished.sum(),
            "operated": stays.is_operated.sum(),
            "operated_level_34": (stays.highest_level >= 3).sum(),
            "operated_level_2_up": (stays.highest_level >= 2).sum(),
            "elective": (stays.elective == 1).sum(),
            "day_surgery": (stays.is_day_surgery & (stays.elective == 1)).sum(),
            "deaths": (stays.status == 5).sum(),
            "complete_sheets": stays.is_complete.sum(),
            "total_fee_yuan": stays.fees.total.sum(),
            "outpatient_emergency": seen.sum(),
            "outpatient_emergency_reviewed": (seen & rx.is_reviewed).sum(),
            "outpatient_emergency_reasonable": (seen & rx.is_reviewed & rx.is_reasonable).sum(),
        }
        for name, value in values.items():
            self.count[name] += int(value)
        for counts, column in ((self.written, rx.issue), (self.found, rx.found[rx.is_reviewed])):
            codes, sizes = np.unique(column[column >= 0], return_counts=True)
            for code, size in zip(codes, sizes, strict=True):
                counts[int(code)] = counts.get(int(code), 0) + int(size)

    def row(self, institution: Institution, year: int) -> list[str]:
        """Return the row of the year."""
        cells = [str(self.count[name]) for name in YEAR_COLUMNS[2:]]
        cells[YEAR_COLUMNS.index("total_fee_yuan") - 2] = f"{self.count['total_fee_yuan'] / 100:.2f}"
        return [institution.code, str(year), *cells]

    def issue_rows(self, institution: Institution, year: int) -> list[list[str]]:
        """Return one row per issue code that was written or found."""
        codes = sorted(set(self.written) | set(self.found))
        return [
            [institution.code, str(year), ISSUES[c], str(self.written.get(c, 0)), str(self.found.get(c, 0))]
            for c in codes
        ]
