"""Take in deliveries: read, map, type, place, evaluate, pseudonymise, write.

One call handles both layouts, all institutions and, where they are small, several months, so that statements
are planned once and not per file. Which deliveries there are is found by `delivery`; `run` spreads the work.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import duckdb
import numpy as np
import pyarrow as pa

from expectations import completeness as completeness_module
from expectations import rules as rule_module
from pipelines.intake.batch import Batch, BatchFile, constant, open_connection, profile_files, register_files
from pipelines.intake.delivery import Delivery, SourceFile
from pipelines.intake.front_sheet import take_in_front_sheets
from pipelines.intake.lake import MARKER, DeliveryWriter, taken_in_counts
from pipelines.intake.prescription import take_in_prescriptions
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.register import InstitutionRegister
from pipelines.intake.reject import Reject, UnusableFile
from pipelines.intake.schema import DATASETS, arrow_schema
from pipelines.intake.source_file import (
    BLOCK_BYTES,
    SourceTable,
    find_fault,
    is_large,
    read_blocks,
    read_source_file,
)

DECIDING_FILES = (
    "batch.py",
    "column_content.py",
    "completeness.py",
    "front_sheet.py",
    "front_sheet_fields.csv",
    "layout.py",
    "month.py",
    "prescription.py",
    "pseudonym.py",
    "register.py",
    "reject.py",
    "schema.py",
    "sheet_acceptance.py",
    "sheet_conversion.py",
    "sheet_judgement.py",
    "source_file.py",
    "typing.sql",
    "workbook.py",
)
PRESCRIPTION_FILES = ("prescription", "prescription_line", "prescription_review")
# A line per file of the delivery; 2 GB of something else would be read into memory as a whole.
MAX_ENVELOPE_BYTES = 1 << 20
NO_ENVELOPE = {"present": False, "problem": None, "files": {}}


@dataclass(frozen=True)
class FileSummary:
    """How one file fared; `is_reordered` tells that its columns come in another order than in the layout."""

    dataset: str
    name: str
    layout: str | None
    encoding: str | None
    row_count: int
    accepted_count: int
    message: str
    is_reordered: bool = False


@dataclass(frozen=True)
class DeliveryRecord:
    """How one delivery fared; `is_new` is false where it was in the lake already."""

    institution_code: str
    month: str
    delivery_id: str
    is_new: bool
    files: tuple[FileSummary, ...] = ()

    @property
    def accepted_count(self) -> int:
        """Accepted rows over all files."""
        return sum(item.accepted_count for item in self.files)

    @property
    def rejected_count(self) -> int:
        """Rejected rows over all files."""
        return sum(item.row_count - item.accepted_count for item in self.files)


def take_in_deliveries(
    deliveries: Sequence[Delivery], lake: Path, pseudonym_key: bytes | None, register: InstitutionRegister
) -> list[DeliveryRecord]:
    """Take in deliveries, as many at once as memory allows, and write each to the lake.

    Raises PseudonymKeyError without a key. Faults of the data are rejects, never exceptions.
    """
    pseudonymiser = Pseudonymiser(pseudonym_key)
    return [
        record
        for part in split_by_size(deliveries, BLOCK_BYTES)
        for record in _take_in_part(part, lake, pseudonymiser, register)
    ]


def known_record(
    delivery: Delivery, lake: Path, pseudonymiser: Pseudonymiser, register: InstitutionRegister
) -> DeliveryRecord | None:
    """Return the record of a delivery that is in the lake already, taken in on today's basis, or None."""
    basis = intake_basis(pseudonymiser, register, delivery)
    counts = taken_in_counts(lake, delivery.month, delivery.delivery_id, basis)
    if counts is None:
        return None
    files = tuple(
        FileSummary(
            row["dataset"],
            row["source_file"],
            row["layout"],
            row["encoding"],
            row["row_count"],
            row["accepted_count"],
            f"{row['row_count']} 行，接收 {row['accepted_count']}，拒收 {row['rejected_count']}",
        )
        for row in counts
    )
    return DeliveryRecord(delivery.institution_code, delivery.month, delivery.delivery_id, False, files)


def split_by_size(deliveries: Sequence[Delivery], limit: int) -> Iterator[list[Delivery]]:
    """Split deliveries into parts of at least `limit` bytes of files; the last may be smaller."""
    part, size = [], 0
    for delivery in deliveries:
        part.append(delivery)
        size += source_bytes(delivery)
        if size >= limit:
            yield part
            part, size = [], 0
    if part:
        yield part


def source_bytes(delivery: Delivery) -> int:
    """Return the size of a delivery's files; what cannot be looked at counts nothing."""
    return sum(map(file_bytes, delivery.files))


def file_bytes(file: SourceFile) -> int:
    """Return the size of a file; 0 where it cannot be looked at."""
    try:
        return file.path.stat().st_size
    except OSError:
        return 0


def intake_basis(pseudonymiser: Pseudonymiser, register: InstitutionRegister, delivery: Delivery) -> str:
    """Return a hash of everything but the files that decides how a delivery is taken in."""
    parts = [
        _code_basis(),
        pseudonymiser.fingerprint(),
        register.fingerprint(delivery.institution_code, delivery.month),
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


@cache
def _code_basis() -> str:
    """Hash the rules, the field table and the modules that decide what a delivery becomes."""
    here = Path(__file__).parent
    files = [
        *sorted(path for path in rule_module.RULES_DIR.iterdir() if path.is_file()),
        Path(completeness_module.__file__),
        Path(rule_module.__file__),
        *sorted(here / name for name in DECIDING_FILES),
    ]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _take_in_part(
    deliveries: list[Delivery], lake: Path, pseudonymiser: Pseudonymiser, register: InstitutionRegister
) -> list[DeliveryRecord]:
    """Take in deliveries; where a large file turns out unusable on the way, begin again without it."""
    envelopes = [_read_envelope(delivery) for delivery in deliveries]
    refused: dict[Path, UnusableFile] = {}
    while True:
        writers = [DeliveryWriter(lake, item.month, item.delivery_id) for item in deliveries]
        records = []
        try:
            with open_connection() as connection:
                batch = new_batch(deliveries, connection, pseudonymiser)
                for number, tables in take_in(batch, register, envelopes, refused):
                    marker = tables.pop(MARKER, None)
                    writers[number].add(tables)
                    if marker is not None:
                        basis = intake_basis(pseudonymiser, register, deliveries[number])
                        writers[number].commit(basis, marker)
                        records.append(_summarise_delivery(batch, number))
            return records
        except _LateRefusal as late:
            refused[late.file.path] = late.problem
            others = (file for item in deliveries for file in item.files if is_large(file))
            refused |= {
                file.path: fault
                for file in others
                if file.path not in refused and (fault := find_fault(file))
            }
        finally:
            for writer in writers:
                writer.discard()


class _LateRefusal(Exception):
    """A file turned out unusable after some of its blocks had been taken in."""

    def __init__(self, file: SourceFile, problem: UnusableFile):
        super().__init__(str(problem))
        self.file, self.problem = file, problem


def new_batch(
    deliveries: Sequence[Delivery], connection: duckdb.DuckDBPyConnection, pseudonymiser: Pseudonymiser
) -> Batch:
    """Return a batch of deliveries of which nothing has been read."""
    files: list[BatchFile] = []
    for number, delivery in enumerate(deliveries):
        for file in sorted(delivery.files, key=lambda item: (item.dataset in PRESCRIPTION_FILES, item.name)):
            files.append(BatchFile(len(files), number, SourceTable(file)))
    return Batch(deliveries, files, connection, pseudonymiser)


def take_in(
    batch: Batch,
    register: InstitutionRegister | None,
    envelopes: Sequence[dict],
    refused: Mapping[Path, UnusableFile] = MappingProxyType({}),
) -> Iterator[tuple[int, dict[str, pa.Table | None]]]:
    """Take in a batch; yields delivery number and rows by dataset, in the lake's columns, part by part.

    The last part of a delivery has its counts, `profile` and `file_count`. A register of None stands for a file on
    its own. `refused` are files that are not to be read, and why.
    """
    for number, envelope in enumerate(envelopes):
        if envelope["problem"]:
            reject = Reject("envelope", "envelope.json", None, "envelope_invalid", envelope["problem"])
            batch.rejects.append((number, reject))
    last_files = [
        max(item.number for item in batch.files if item.delivery_number == number)
        for number in range(len(batch.deliveries))
    ]
    first = 0
    for read_count in _load(batch, register, refused):
        process(batch, register)
        while first < len(last_files):
            tables = _tables_in_memory(batch, first)
            is_complete = last_files[first] < read_count
            yield first, tables | (_counts(batch, first, envelopes[first]) if is_complete else {})
            if not is_complete:
                break
            first += 1
        batch.forget()


def process(batch: Batch, register: InstitutionRegister | None) -> None:
    """Run the steps on what is in memory of a batch; rows, rejects and profiles are left in the batch."""
    register_files(batch, register)
    for item in batch.files:
        batch.rejects += [(item.delivery_number, reject) for reject in item.table.rejects]
    take_in_front_sheets(batch)
    take_in_prescriptions(batch)


def _load(
    batch: Batch, register: InstitutionRegister | None, refused: Mapping[Path, UnusableFile]
) -> Iterator[int]:
    """Load the files of a batch, as much at a time as memory allows; yields how many have been read to their end.

    The prescriptions of a delivery are loaded together. Raises _LateRefusal.
    """
    size = 0
    for unit in _units(batch.files):
        file = unit[0].table.file
        if is_large(file) and file.path not in refused:
            batch.is_split = True
            if size:
                yield unit[0].number
                size = 0
            yield from _load_blocks(batch, unit[0], register)
            continue
        for item in unit:
            file = item.table.file
            if file.path in refused:
                item.table.turn_away(refused[file.path])
            else:
                item.table = read_source_file(file)
            _check_institution(batch, item, register)
            size += file_bytes(file)
        if size >= BLOCK_BYTES and unit[-1] is not batch.files[-1]:
            batch.is_split = True
            yield unit[-1].number + 1
            size = 0
    yield len(batch.files)


def _units(files: Sequence[BatchFile]) -> Iterator[list[BatchFile]]:
    """Group files that have to be in memory together: the prescriptions of a delivery."""
    for (_, is_prescription), group in groupby(
        files, key=lambda item: (item.delivery_number, item.table.file.dataset in PRESCRIPTION_FILES)
    ):
        unit = list(group)
        yield from [unit] if is_prescription else ([item] for item in unit)


def _load_blocks(batch: Batch, item: BatchFile, register: InstitutionRegister | None) -> Iterator[int]:
    file, is_told = item.table.file, False
    try:
        for table in read_blocks(file):
            item.table = table
            # What was turned away is only read on to count its records.
            if table.is_rejected:
                table.clear()
                table.rejects = [] if is_told else [table.refusal]
            else:
                _check_institution(batch, item, register)
                is_told = True
                yield item.number
    except UnusableFile as problem:
        raise _LateRefusal(file, problem) from None


def _check_institution(batch: Batch, item: BatchFile, register: InstitutionRegister | None) -> None:
    code = batch.deliveries[item.delivery_number].institution_code
    if register is not None and not register.knows(code) and not item.table.is_rejected:
        problem = f"机构 {code} 不在机构名册中，整份交付不予接收"
        item.table.turn_away(UnusableFile("institution_unknown", problem))


def _read_envelope(delivery: Delivery) -> dict:
    """Read what the sender declares per file: rows, sha256, total_fee_yuan; problems are told, not raised."""
    if delivery.envelope is None:
        return NO_ENVELOPE
    result = {"present": True, "problem": None, "files": {}}
    try:
        with delivery.envelope.path.open("rb") as stream:
            content = stream.read(MAX_ENVELOPE_BYTES + 1)
        if len(content) > MAX_ENVELOPE_BYTES:
            return result | {"problem": f"超过 {MAX_ENVELOPE_BYTES >> 20} MB，不是交付说明"}
        document = json.loads(content.decode("utf-8-sig"), parse_float=Decimal)
        for entry in document.get("files", []):
            fee = entry.get("total_fee_yuan")
            result["files"][str(entry["name"])] = {
                "rows": None if entry.get("rows") is None else int(entry["rows"]),
                "sha256": entry.get("sha256") and str(entry["sha256"]),
                "total_fee_yuan": None if fee is None else Decimal(str(fee)).quantize(Decimal("0.01")),
            }
        for name, folder in (("institution_code", delivery.institution_code), ("period", delivery.month)):
            stated = document.get(name)
            if stated is not None and str(stated) != folder:
                result["problem"] = f"{name} 为“{str(stated)[:32]}”，文件夹为 {folder}"
    except (OSError, ValueError, TypeError, AttributeError, KeyError, InvalidOperation, RecursionError):
        result["problem"] = "不是约定格式的 JSON(files 中每项须有 name、rows、sha256)"
        result["files"] = {}
    return result


def _summarise_delivery(batch: Batch, number: int) -> DeliveryRecord:
    delivery = batch.deliveries[number]
    summaries = tuple(_summarise(item) for item in batch.files if item.delivery_number == number)
    return DeliveryRecord(delivery.institution_code, delivery.month, delivery.delivery_id, True, summaries)


def _lineage(delivery: Delivery) -> dict[str, str]:
    return {
        "institution_code": delivery.institution_code,
        "month": delivery.month,
        "delivery_id": delivery.delivery_id,
    }


def _tables_in_memory(batch: Batch, number: int) -> dict[str, pa.Table | None]:
    """Return the rows of one delivery that are in memory, by dataset, in the lake's columns."""
    tables = {
        dataset: _slice(batch, dataset, number)
        for dataset in ("front_sheet", "diagnosis", "procedure", "prescription", "prescription_line")
    }
    findings = [_slice(batch, f"finding_{dataset}", number) for dataset in ("front_sheet", "prescription")]
    tables["finding"] = pa.concat_tables(
        [table.cast(arrow_schema(DATASETS["finding"])) for table in findings if table is not None]
        or [arrow_schema(DATASETS["finding"]).empty_table()]
    )
    rejects = [reject for owner, reject in batch.rejects if owner == number]
    rejects.sort(key=lambda item: (item.dataset, item.source_file, item.source_row or 0, item.field or ""))
    rows = Counter(name for name, row in {(item.source_file, item.source_row) for item in rejects} if row)
    for item in batch.files:
        if item.delivery_number == number:
            item.rejected_count += rows[item.name]
    lineage = _lineage(batch.deliveries[number])
    tables["reject"] = pa.table(
        [
            constant(lineage[name], len(rejects))
            if name in lineage
            else pa.array([getattr(reject, name) for reject in rejects], data_type)
            for name, data_type in DATASETS["reject"].items()
        ],
        schema=arrow_schema(DATASETS["reject"]),
    )
    return tables


def _counts(batch: Batch, number: int, envelope: dict) -> dict[str, pa.Table]:
    """Return the counts of a delivery that was read to its end."""
    profile_files(batch, number, "front_sheet", ("front_sheet",), envelope)
    profile_files(batch, number, "prescription", PRESCRIPTION_FILES, envelope)
    totals: dict[tuple[str, str], list[int]] = {}
    for owner, dataset, metric, failing, checked in batch.profiles:
        if owner == number:
            total = totals.setdefault((dataset, metric), [0, 0])
            total[0] += failing
            total[1] += checked
    lineage = _lineage(batch.deliveries[number])
    profiles = [
        lineage | {"dataset": dataset, "metric": metric, "failing_count": failing, "checked_count": checked}
        for (dataset, metric), (failing, checked) in totals.items()
    ]
    files = [item for item in batch.files if item.delivery_number == number]
    return {
        "profile": _from_rows("profile", profiles),
        MARKER: _from_rows(MARKER, [lineage | _count(item, envelope) for item in files]),
    }


def _count(item: BatchFile, envelope: dict) -> dict:
    table = item.table
    declared = envelope["files"].get(item.name, {})
    spelling = table.layout.spelling if table.layout else {}
    rejected = table.row_count - item.accepted_count
    if not table.is_rejected and rejected != item.rejected_count:
        raise AssertionError(
            f"{item.name}: {table.row_count} rows, {item.accepted_count} accepted, {item.rejected_count} rejected"
        )
    return {
        "source_file": item.name,
        "dataset": table.file.dataset,
        "layout": table.layout.name if table.layout else None,
        "encoding": table.encoding,
        "sha256": table.file.sha256,
        "row_count": table.row_count,
        "accepted_count": item.accepted_count,
        "rejected_count": rejected,
        "total_fee_yuan": item.total_fee_yuan,
        "declared_row_count": declared.get("rows"),
        "declared_total_fee_yuan": declared.get("total_fee_yuan"),
        "declared_sha256": declared.get("sha256"),
        "missing_columns": "、".join(spelling.get(key, key) for key in table.missing) or None,
        "unknown_columns": "、".join(table.unknown) or None,
    }


def _slice(batch: Batch, dataset: str, number: int) -> pa.Table | None:
    """Cut one delivery out of a table sorted by delivery; the column it was sorted by goes."""
    table = batch.outputs.get(dataset)
    if table is None:
        return None
    owners = table.column("delivery_number").to_numpy()
    start, end = np.searchsorted(owners, [number, number + 1])
    part = table.slice(start, end - start).drop_columns("delivery_number")
    name = "finding" if dataset.startswith("finding") else dataset
    return part.select(list(DATASETS[name])).cast(arrow_schema(DATASETS[name]))


def _from_rows(dataset: str, rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, arrow_schema(DATASETS[dataset]))


def _summarise(item: BatchFile) -> FileSummary:
    table = item.table
    if table.refusal is not None:
        message = f"整份拒收：{table.refusal.message_zh}。{table.refusal.remedy_zh}"
    else:
        rejected = table.row_count - item.accepted_count
        message = (
            f"{table.layout.title_zh}，{table.encoding}，{table.row_count} 行，"
            f"接收 {item.accepted_count}，拒收 {rejected}"
        )
        if table.missing:
            message += f"；缺少 {len(table.missing)} 列"
        if table.unknown:
            message += f"；不认识的列：{'、'.join(table.unknown)}"
        if table.is_reordered:
            message += "；列的顺序与版式不同，已按列名对应"
    return FileSummary(
        table.file.dataset,
        item.name,
        table.layout.name if table.layout else None,
        table.encoding,
        table.row_count,
        item.accepted_count,
        message,
        table.is_reordered,
    )
