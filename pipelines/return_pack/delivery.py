"""The deliveries of an institution and month as the city has them: which came last, in which state, with which rows.

Read from register and lake, which hold no record numbers; whether the delivered files still lie in the folder is
found out here too. Nothing is judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.intake.delivery import INSTITUTION_FOLDER, MONTH_FOLDER, hash_file
from pipelines.intake.lake import BASIS_KEY, MARKER
from pipelines.intake.run import REGISTER_FILE
from pipelines.intake.schema import DATASETS, arrow_schema, dataset_path
from pipelines.settings import Settings

DATASET = "front_sheet"


class NoDeliveryError(Exception):
    """There is no such delivery, or not enough of them; the message says what is missing."""


@dataclass(frozen=True)
class LakeDelivery:
    """One delivery in the lake. `state` is that of its front sheets, None where the gate has not judged it."""

    institution_code: str
    month: str
    delivery_id: str
    received_at: datetime
    state: str | None
    lake: Path = field(repr=False)

    def rows(self, dataset: str) -> list[dict[str, Any]]:
        """Return the delivery's rows of a dataset."""
        path = dataset_path(self.lake, dataset, self.month, self.delivery_id)
        if not path.is_file():
            return []
        return pq.read_table(path, schema=arrow_schema(DATASETS[dataset]), partitioning=None).to_pylist()

    @property
    def basis(self) -> str:
        """Under which rules, register and key it was taken in: an opaque text."""
        path = dataset_path(self.lake, MARKER, self.month, self.delivery_id)
        metadata = pq.read_schema(path).metadata or {} if path.is_file() else {}
        return metadata.get(BASIS_KEY, b"").decode()


@dataclass(frozen=True)
class DeliveredFiles:
    """The front-sheet files of a delivery in the folder: those that are as they were taken in, and what became of others."""

    unchanged: tuple[Path, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all files are there as they were taken in, and there is at least one."""
        return bool(self.unchanged) and not self.changed and not self.missing

    def explain(self) -> str:
        """Say in Chinese why the record numbers cannot be read, or nothing."""
        parts = []
        if self.missing:
            parts.append(f"上报文件 {'、'.join(self.missing)} 已不在上报目录中")
        if self.changed:
            parts.append(f"上报文件 {'、'.join(self.changed)} 已被改动（与接收时的校验码不同）")
        if not parts and not self.unchanged:
            parts.append("该次上报没有病案首页文件")
        return "，".join(parts)


def find_deliveries(settings: Settings, institution_code: str, month: str) -> list[LakeDelivery]:
    """Return the deliveries of an institution and month that brought front sheets, in the order of their last arrival.

    Raises NoDeliveryError where there is none, or where code or month could not name one.
    """
    if not INSTITUTION_FOLDER.fullmatch(institution_code) or not MONTH_FOLDER.fullmatch(month):
        raise NoDeliveryError(f"{institution_code!r} {month!r} 不是机构代码和 YYYY-MM 月份")
    register = settings.register / REGISTER_FILE
    arrivals = pq.read_table(register, partitioning=None) if register.is_file() else None
    rows = _only(arrivals, institution_code, month) if arrivals is not None else []
    last = {row["delivery_id"]: row for row in sorted(rows, key=lambda row: row["sequence"])}
    states = _states(settings, institution_code, month)
    found = [
        LakeDelivery(
            institution_code,
            month,
            row["delivery_id"],
            row["received_at"],
            states.get(row["delivery_id"]),
            settings.lake,
        )
        for row in sorted(last.values(), key=lambda row: row["sequence"])
    ]
    found = [item for item in found if any(row["dataset"] == DATASET for row in item.rows(MARKER))]
    if not found:
        raise NoDeliveryError(
            f"没有收到机构 {institution_code} {month} 的病案首页：请先运行 drgq run 或 drgq intake"
        )
    return found


def find_files(settings: Settings, delivery: LakeDelivery) -> DeliveredFiles:
    """Look for the delivery's front-sheet files in the deliveries folder and compare their hashes."""
    folder = settings.deliveries / delivery.institution_code / delivery.month
    unchanged, changed, missing = [], [], []
    for row in sorted(delivery.rows(MARKER), key=lambda row: row["source_file"]):
        if row["dataset"] != DATASET:
            continue
        path = folder / row["source_file"]
        if not path.is_file():
            missing.append(row["source_file"])
        elif hash_file(path) != row["sha256"]:
            changed.append(row["source_file"])
        else:
            unchanged.append(path)
    return DeliveredFiles(tuple(unchanged), tuple(changed), tuple(missing))


def find_institution_name(settings: Settings, delivery: LakeDelivery) -> str:
    """Return the name that the register has for the institution in that month, or nothing."""
    path = settings.lake / "reference" / "institution.parquet"
    rows = pq.read_table(path, partitioning=None).to_pylist() if path.is_file() else []
    day = f"{delivery.month}-01"
    named = [
        row["institution_name"]
        for row in rows
        if row["institution_code"] == delivery.institution_code and str(row["valid_from"] or "") <= day
    ]
    return named[-1] if named else ""


def find_failed_gate_rules(settings: Settings, delivery: LakeDelivery) -> list[dict[str, Any]]:
    """Return the gate's rules that the delivery's front sheets failed: title, severity, reason."""
    path = settings.lake / "gate_verdict" / "gate_verdict.parquet"
    if not path.is_file():
        return []
    table = pq.read_table(path, partitioning=None)
    return [
        row
        for row in _only(table, delivery.institution_code, delivery.month)
        if row["delivery_id"] == delivery.delivery_id
        and row["dataset"] == DATASET
        and row["verdict"] in ("fail", "crash")
    ]


def short_id(delivery: LakeDelivery) -> str:
    """Return the beginning of a delivery's id, as people compare it."""
    return delivery.delivery_id[:12]


def _states(settings: Settings, institution_code: str, month: str) -> dict[str, str]:
    path = settings.lake / "delivery_state" / "delivery_state.parquet"
    if not path.is_file():
        return {}
    rows = _only(pq.read_table(path, partitioning=None), institution_code, month)
    return {row["delivery_id"]: row["state"] for row in rows if row["dataset"] == DATASET}


def _only(table: pa.Table, institution_code: str, month: str) -> list[dict[str, Any]]:
    mask = pc.and_(
        pc.equal(table.column("institution_code"), institution_code), pc.equal(table.column("month"), month)
    )
    return table.filter(mask).to_pylist()
