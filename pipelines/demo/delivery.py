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
from pipelines.demo.prescription import (
    ISSUES,
    LINE_COLUMNS,
    PRESCRIPTION_COLUMNS,
    REVIEW_COLUMNS,
    Prescriptions,
    draw_prescriptions,
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
    fee: int = 0
    amount: int = 0
    line_amount: int = 0


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


def write_year(
    request: CityRequest,
    deliveries: Path,
    truth: Path | None,
    number: int,
    year: int,
    faults: list[Fault],
    only_month: int | None = None,
) -> YearResult:
    """Write the deliveries of institution `number` in `year` and return what was written.

    `truth` is the folder of the case truth, None to leave it out; `only_month` limits what is written, not
    what is drawn, so that one month comes out as it does in the whole city.
    """
    city = city_of(request)
    institution = city.institutions[number - 1]
    result = YearResult(number, year)
    months: dict[int, _Month] = {}
    totals = _Totals()
    writer: pq.ParquetWriter | None = None
    for chunk, pieces in enumerate(city.chunks(institution, year)):
        stays = draw_stays(city, institution, year, chunk, pieces)
        rx = draw_prescriptions(city, institution, year, chunk, pieces, stays)
        if only_month is None:
            totals.add(stays, rx)
            table = _truth_table(city, institution, stays, pieces)
            if truth is not None:
                writer = writer or pq.ParquetWriter(
                    truth / f"{institution.code}-{year}.parquet", table.schema
                )
                writer.write_table(table)
        _write_chunk(city, institution, deliveries, pieces, stays, rx, months, only_month)
    if writer:
        writer.close()
    by_month: dict[int, list[Fault]] = {}
    for fault in faults:
        by_month.setdefault(fault.month, []).append(fault)
    for month in sorted(months):
        _finish_month(city, institution, deliveries, month, months[month], by_month.get(month, []), result)
    if only_month is None:
        result.year_row = totals.row(institution, year)
        result.issues = totals.issue_rows(institution, year)
    return result


def _write_chunk(city, institution, deliveries, pieces, stays, rx, months, only_month) -> None:
    """Write the rows of a chunk into their months' files."""
    if only_month is not None and all(piece.month != only_month for piece in pieces):
        return
    lines = {"front_sheet": sheet_lines(city, institution, stays)}
    lines |= prescription_lines(city, institution, stays, rx)
    line_edges = np.searchsorted(rx.line_row, np.arange(len(rx) + 1))
    review_edges = np.concatenate([[0], np.cumsum(rx.is_reviewed)])
    header = headers(institution)
    stay, script = 0, 0
    for piece in pieces:
        a, b = stay, stay + piece.stay_count
        c, d = script, script + piece.prescription_count
        stay, script = b, d
        if only_month is not None and piece.month != only_month:
            continue
        spans = {
            "front_sheet": (a, b),
            "prescription": (c, d),
            "prescription_line": (int(line_edges[c]), int(line_edges[d])),
            "prescription_review": (int(review_edges[c]), int(review_edges[d])),
        }
        folder = deliveries / institution.code / month_name(piece.month)
        folder.mkdir(parents=True, exist_ok=True)
        total = months.setdefault(piece.month, _Month())
        for dataset, (start, stop) in spans.items():
            body = text.joined(lines[dataset], start, stop)
            _append(folder / f"{dataset}.csv", institution, header[dataset], body)
            total.rows[dataset] += stop - start
        total.fee += int(stays.fees.total[a:b].sum())
        total.amount += int(rx.amount[c:d].sum())
        start, stop = spans["prescription_line"]
        total.line_amount += int(rx.line_cents[start:stop].sum())


def _finish_month(city, institution, deliveries, month, total, faults, result) -> None:
    """Apply the month's faults, write its envelope, and add to the result."""
    folder = deliveries / institution.code / month_name(month)
    kinds = {fault.kind for fault in faults}
    key = FaultWriter(city, institution, month, faults)
    declared = {
        "front_sheet": (total.rows["front_sheet"], total.fee),
        "prescription": (total.rows["prescription"], total.amount),
        "prescription_line": (total.rows["prescription_line"], total.line_amount),
        "prescription_review": (total.rows["prescription_review"], None),
    }
    delivered = dict(total.rows)
    if "missing_month" in kinds:
        shutil.rmtree(folder)
        key.note(next(fault for fault in faults if fault.kind == "missing_month"))
        delivered = dict.fromkeys(DATASETS, 0)
    else:
        hashes = {}
        concerned = {fault.dataset for fault in faults} & set(DATASETS)
        files = {
            name: DeliveryFile.read(name, folder / f"{name}.csv", institution.encoding, institution.line_end)
            for name in sorted(concerned)
        }
        overrides = key.apply(files)
        for name, file in files.items():
            declared[name] = (len(file.lines) - 1, total_of(file, institution))
            delivered[name] = len(file.lines) - 1
            file.path.write_bytes(overrides.get(name, file.content()))
        for name in DATASETS:
            content = (folder / f"{name}.csv").read_bytes()
            hashes[name] = hash_of(content)
            result.size += len(content)
        result.files += len(DATASETS)
        _write_envelope(institution, month, folder, declared, hashes, kinds)
        if "stray_names" in kinds:
            (folder / "说明.txt").write_text("本月数据已核对。\n", encoding="utf-8")
            (folder / "备份").mkdir()
            (folder / "备份" / "front_sheet.csv").write_bytes(b"")
            key.note(next(fault for fault in faults if fault.kind == "stray_names"))
    for name in DATASETS:
        result.rows[name] += delivered[name]
    result.faults += key.key
    result.months.append(
        [
            institution.code,
            month_name(month),
            *(str(delivered[name]) for name in DATASETS),
            f"{total.fee / 100:.2f}",
            f"{total.amount / 100:.2f}",
            str(int("missing_month" not in kinds)),
        ]
    )


def _write_envelope(institution, month, folder, declared, hashes, kinds) -> None:
    """Write what the sender declares, wrong where a fault says so."""
    following = dt.date((month + 1) // 12, (month + 1) % 12 + 1, 8)
    files = []
    for name in DATASETS:
        rows, fee = declared[name]
        digest = hashes[name]
        if name == "front_sheet":
            rows += 7 * ("declared_rows" in kinds)
            fee += 100_000 * ("declared_fee" in kinds)
            digest = hash_of(digest.encode()) if "declared_hash" in kinds else digest
        if name == "prescription":
            fee += 100_000 * ("declared_amount" in kinds)
        entry = {"name": f"{name}.csv", "rows": rows, "sha256": digest}
        files.append(entry | ({} if fee is None else {"total_fee_yuan": f"{fee / 100:.2f}"}))
    envelope = {
        "institution_code": institution.code,
        "period": month_name(month),
        "submitted_at": f"{following.isoformat()}T09:{institution.number % 60:02d}:00+08:00",
        "files": files,
    }
    body = json.dumps(envelope, ensure_ascii=False, indent=2)
    (folder / "envelope.json").write_text(body + "\n", encoding="utf-8", newline="\n")


def _truth_table(city: City, institution: Institution, stays: Stays, pieces: list[Piece]) -> pa.Table:
    """Return what is known about each stay beyond its sheet; one row per stay, `source_row` as written before faults."""
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
