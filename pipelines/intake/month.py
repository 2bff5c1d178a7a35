"""Take in deliveries: read, map, type, place, evaluate, pseudonymise, write.

One call handles both layouts, all institutions and, where they are small, several months, so that statements
are planned once and not per file. Which deliveries there are is found by `delivery`; `run` spreads the work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from expectations import completeness as completeness_module
from expectations import rules as rule_module
from pipelines.intake.batch import Batch, BatchFile, open_connection, profile_files, register_files
from pipelines.intake.delivery import Delivery
from pipelines.intake.front_sheet import take_in_front_sheets
from pipelines.intake.lake import is_taken_in, write_delivery
from pipelines.intake.prescription import take_in_prescriptions
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.register import InstitutionRegister
from pipelines.intake.reject import Reject
from pipelines.intake.schema import DATASETS, arrow_schema
from pipelines.intake.source_file import SourceTable, read_source_file

# Source bytes taken together: bounds the memory of a worker at about ten times this.
BATCH_BYTES = 48 << 20
DECIDING_FILES = (
    "batch.py",
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
    "source_file.py",
    "typing.sql",
)
PRESCRIPTION_FILES = ("prescription", "prescription_line", "prescription_review")
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
        for part in split_by_size(deliveries, BATCH_BYTES)
        for record in _take_in_batch(part, lake, pseudonymiser, register)
    ]


def known_record(
    delivery: Delivery, lake: Path, pseudonymiser: Pseudonymiser, register: InstitutionRegister
) -> DeliveryRecord | None:
    """Return the record of a delivery that is in the lake already, taken in on today's basis, or None."""
    basis = intake_basis(pseudonymiser, register, delivery)
    if not is_taken_in(lake, delivery.month, delivery.delivery_id, basis):
        return None
    return DeliveryRecord(delivery.institution_code, delivery.month, delivery.delivery_id, False)


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
    total = 0
    for file in delivery.files:
        with contextlib.suppress(OSError):
            total += file.path.stat().st_size
    return total


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


def _take_in_batch(
    deliveries: list[Delivery], lake: Path, pseudonymiser: Pseudonymiser, register: InstitutionRegister
) -> list[DeliveryRecord]:
    files = []
    for delivery_number, delivery in enumerate(deliveries):
        known = register.knows(delivery.institution_code)
        for file in sorted(delivery.files, key=lambda item: item.name):
            table = read_source_file(file)
            if not known:
                _turn_away(table, delivery.institution_code)
            files.append(BatchFile(len(files), delivery_number, table))
    with open_connection() as connection:
        batch = Batch(deliveries, files, connection, pseudonymiser)
        envelopes = [_read_envelope(delivery) for delivery in deliveries]
        process(batch, register, envelopes)
        return [_write(batch, number, lake, register, envelopes[number]) for number in range(len(deliveries))]


def process(batch: Batch, register: InstitutionRegister | None, envelopes: Sequence[dict]) -> None:
    """Run the steps on a batch of read files; outputs, rejects and profiles are left in the batch."""
    register_files(batch, register)
    for item in batch.files:
        batch.rejects += [(item.delivery_number, reject) for reject in item.table.rejects]
    for number, envelope in enumerate(envelopes):
        if envelope["problem"]:
            reject = Reject("envelope", "envelope.json", None, "envelope_invalid", envelope["problem"])
            batch.rejects.append((number, reject))
    take_in_front_sheets(batch)
    take_in_prescriptions(batch)
    profile_files(batch, "front_sheet", ("front_sheet",), envelopes)
    profile_files(batch, "prescription", PRESCRIPTION_FILES, envelopes)


def _turn_away(table: SourceTable, institution_code: str) -> None:
    message = f"机构 {institution_code} 不在机构名册中,整份交付不予接收"
    table.rejects = [reject for reject in table.rejects if reject.source_row is None] or [
        Reject(table.file.dataset, table.file.name, None, "institution_unknown", message)
    ]
    table.columns = {}


def _read_envelope(delivery: Delivery) -> dict:
    """Read what the sender declares per file: rows, sha256, total_fee_yuan; problems are told, not raised."""
    if delivery.envelope is None:
        return NO_ENVELOPE
    result = {"present": True, "problem": None, "files": {}}
    try:
        document = json.loads(delivery.envelope.path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
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
                result["problem"] = f"{name} 为“{str(stated)[:32]}”,文件夹为 {folder}"
    except (OSError, ValueError, TypeError, AttributeError, KeyError, InvalidOperation, RecursionError):
        result["problem"] = "不是约定格式的 JSON(files 中每项须有 name、rows、sha256)"
        result["files"] = {}
    return result


def _write(
    batch: Batch, number: int, lake: Path, register: InstitutionRegister, envelope: dict
) -> DeliveryRecord:
    delivery = batch.deliveries[number]
    tables = delivery_tables(batch, number, envelope)
    basis = intake_basis(batch.pseudonymiser, register, delivery)
    write_delivery(lake, delivery.month, delivery.delivery_id, basis, tables)
    summaries = tuple(_summarise(item) for item in batch.files if item.delivery_number == number)
    return DeliveryRecord(delivery.institution_code, delivery.month, delivery.delivery_id, True, summaries)


def delivery_tables(batch: Batch, number: int, envelope: dict) -> dict[str, pa.Table]:
    """Return one delivery's rows of every dataset, in the lake's columns."""
    delivery = batch.deliveries[number]
    lineage = {
        "institution_code": delivery.institution_code,
        "month": delivery.month,
        "delivery_id": delivery.delivery_id,
    }
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
    tables["reject"] = _from_rows(
        "reject",
        [
            lineage
            | {
                "source_file": reject.source_file,
                "source_row": reject.source_row,
                "dataset": reject.dataset,
                "field": reject.field,
                "rule_id": reject.rule_id,
                "value": reject.value,
                "message_zh": reject.message_zh,
                "remedy_zh": reject.remedy_zh,
            }
            for reject in rejects
        ],
    )
    tables["profile"] = _from_rows(
        "profile",
        [
            lineage
            | {"dataset": dataset, "metric": metric, "failing_count": failing, "checked_count": checked}
            for owner, dataset, metric, failing, checked in batch.profiles
            if owner == number
        ],
    )
    files = [item for item in batch.files if item.delivery_number == number]
    rows = {(item.source_file, item.source_row) for item in rejects if item.source_row is not None}
    rejected = Counter(name for name, _ in rows)
    tables["file_count"] = _from_rows(
        "file_count", [lineage | _count(item, envelope, rejected[item.name]) for item in files]
    )
    return tables


def _count(item: BatchFile, envelope: dict, rejected_rows: int) -> dict:
    table = item.table
    declared = envelope["files"].get(item.name, {})
    spelling = table.layout.spelling if table.layout else {}
    rejected = table.row_count - item.accepted_count
    if not table.is_rejected and rejected != rejected_rows:
        raise AssertionError(
            f"{item.name}: {table.row_count} rows, {item.accepted_count} accepted, {rejected_rows} rejected"
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
    whole = next((reject for reject in table.rejects if reject.source_row is None), None)
    if whole is not None:
        message = f"整份拒收：{whole.message_zh}。{whole.remedy_zh}"
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
