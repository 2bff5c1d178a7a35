"""The whole intake: discover, read the register, take in what is new, record the arrivals.

Safe to kill at any time: lake files appear whole or not at all, a delivery counts only with its marker, and
the register is replaced in one step at the end; the next run does what is missing. When intake runs is not
decided here.
"""

from __future__ import annotations

import datetime
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.intake.delivery import Delivery, Discovery, Unrecognised, discover
from pipelines.intake.lake import prepare_lake, write_parquet
from pipelines.intake.month import (
    DeliveryRecord,
    known_record,
    source_bytes,
    split_by_size,
    take_in_deliveries,
)
from pipelines.intake.pseudonym import Pseudonymiser
from pipelines.intake.reference import ReferenceSummary, take_in_reference_files
from pipelines.intake.register import InstitutionRegister
from pipelines.intake.reject import Reject
from pipelines.intake.schema import ARRIVAL, arrow_schema
from pipelines.intake.source_file import BLOCK_BYTES
from pipelines.lock import exclusive

Progress = Callable[[str], None]
REGISTER_FILE = "arrival.parquet"
LOCK = ".intake.lock"  # below the home: one process at a time writes the lake
# A small city is cut so that every worker gets work, and the last one does not wait long.
PARTS_PER_WORKER = 3


class IntakeSettings(Protocol):
    """What intake needs of the application's settings."""

    @property
    def home(self) -> Path: ...  # noqa: D102
    @property
    def lake(self) -> Path: ...  # noqa: D102
    @property
    def register(self) -> Path: ...  # noqa: D102
    @property
    def deliveries(self) -> Path: ...  # noqa: D102
    @property
    def pseudonym_key(self) -> bytes | None: ...  # noqa: D102
    @property
    def workers(self) -> int: ...  # noqa: D102


@dataclass
class IntakeSummary:
    """What a run found and took in; `messages` has (path, one line in Chinese) per file of a new delivery."""

    records: list[DeliveryRecord] = field(default_factory=list)
    unrecognised: list[Unrecognised] = field(default_factory=list)
    reference_rejects: list[Reject] = field(default_factory=list)
    reference_counts: dict[str, int] = field(default_factory=dict)
    arrivals: int = 0

    @property
    def new_records(self) -> list[DeliveryRecord]:
        """The deliveries taken in by this run."""
        return [record for record in self.records if record.is_new]

    @property
    def months(self) -> list[str]:
        """The months of every delivery found."""
        return sorted({record.month for record in self.records})

    @property
    def accepted_count(self) -> int:
        """Accepted rows of every delivery found, taken in now or before."""
        return sum(record.accepted_count for record in self.records)

    @property
    def rejected_count(self) -> int:
        """Rejected rows of every delivery found."""
        return sum(record.rejected_count for record in self.records)

    @property
    def has_rejects(self) -> bool:
        """Whether a row or a whole file of some delivery found, or of the reference files, was turned away."""
        is_unread = any(file.layout is None for record in self.records for file in record.files)
        return is_unread or bool(self.rejected_count or self.reference_rejects)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """One line per file taken in by this run."""
        return [
            (f"{record.institution_code}/{record.month}/{item.name}", item.message)
            for record in self.new_records
            for item in record.files
        ]


def intake(
    settings: IntakeSettings, months: Collection[str] | None = None, progress: Progress | None = None
) -> IntakeSummary:
    """Take in every new delivery of some or all months and record the arrivals.

    Parts of the work run side by side in `settings.workers` processes. Raises PseudonymKeyError without key,
    MissingRegisterError without a register of institutions, FileNotFoundError without a deliveries folder.
    """
    Pseudonymiser(settings.pseudonym_key)
    tell = progress or (lambda _: None)
    with exclusive(settings.home / LOCK):
        prepare_lake(settings.lake)
        found = discover(settings.deliveries, months)
        reference = _take_in(found, settings.lake)
        summary = IntakeSummary(
            unrecognised=found.unrecognised,
            reference_rejects=reference.rejects,
            reference_counts=reference.counts,
        )
        pseudonymiser = Pseudonymiser(settings.pseudonym_key)
        waiting: list[Delivery] = []
        for delivery in found.deliveries:
            record = known_record(delivery, settings.lake, pseudonymiser, reference.register)
            if record is None:
                waiting.append(delivery)
            else:
                summary.records.append(record)
        for records in _take_in_new(waiting, settings, reference.register):
            summary.records += records
            tell(_describe(records))
        summary.records.sort(key=lambda record: (record.month, record.institution_code))
        summary.arrivals = record_arrivals(settings.lake, settings.register, summary.records)
    return summary


def take_in_reference(settings: IntakeSettings) -> ReferenceSummary:
    """Type the reference and reported files alone. Raises MissingRegisterError without a register."""
    with exclusive(settings.home / LOCK):
        prepare_lake(settings.lake)
        return _take_in(discover(settings.deliveries, months=()), settings.lake)


def _take_in(found: Discovery, lake: Path) -> ReferenceSummary:
    return take_in_reference_files([*found.reference, *found.reported], lake)


def record_arrivals(lake: Path, register: Path, records: Sequence[DeliveryRecord]) -> int:
    """Add deliveries that are not the current one of their institution and month; return how many were added.

    The register keeps the order of arrival: the last row of an institution and month is what lies in its
    folder now.
    """
    path = register / REGISTER_FILE
    rows = pq.read_table(path, partitioning=None).to_pylist() if path.exists() else []
    current: dict[tuple[str, str], dict] = {}
    for row in rows:
        key = (row["institution_code"], row["month"])
        if key not in current or row["sequence"] > current[key]["sequence"]:
            current[key] = row
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    added = 0
    for record in sorted(records, key=lambda item: (item.month, item.institution_code)):
        last = current.get((record.institution_code, record.month))
        if last is not None and last["delivery_id"] == record.delivery_id:
            continue
        added += 1
        rows.append(
            {
                "institution_code": record.institution_code,
                "month": record.month,
                "sequence": last["sequence"] + 1 if last else 1,
                "delivery_id": record.delivery_id,
                "received_at": now,
            }
        )
    if added or not path.exists():
        rows.sort(key=lambda row: (row["month"], row["institution_code"], row["sequence"]))
        # Written aside below the lake: both lie under the same home, so the replacement is atomic.
        write_parquet(lake, path, pa.Table.from_pylist(rows, arrow_schema(ARRIVAL)))
    return added


def _take_in_new(
    deliveries: list[Delivery], settings: IntakeSettings, register: InstitutionRegister
) -> Iterator[list[DeliveryRecord]]:
    """Take in deliveries part by part, in worker processes where there is work for several."""
    total = sum(source_bytes(delivery) for delivery in deliveries)
    parts = list(
        split_by_size(deliveries, min(BLOCK_BYTES, total // (PARTS_PER_WORKER * settings.workers) + 1))
    )
    workers = min(settings.workers, len(parts))
    arguments = (settings.lake, settings.pseudonym_key, register)
    if workers <= 1:
        for part in parts:
            yield take_in_deliveries(part, *arguments)
        return
    # Spawned, not forked: a forked child would inherit the threads' locks of Arrow and DuckDB.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
        futures = [pool.submit(take_in_deliveries, part, *arguments) for part in parts]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _describe(records: Sequence[DeliveryRecord]) -> str:
    months = sorted({record.month for record in records})
    span = months[0] if len(months) == 1 else f"{months[0]} 至 {months[-1]}"
    return (
        f"{span}：接收交付 {len(records)} 份，接收 {sum(record.accepted_count for record in records)} 行，"
        f"拒收 {sum(record.rejected_count for record in records)} 行"
    )


def _prepare_worker() -> None:
    # One month per process: threads inside would only compete with the other workers.
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker when the run is killed: it would otherwise wait for work for ever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
