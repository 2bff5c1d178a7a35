"""What a resubmission changed: the findings of the last two deliveries of an institution and month, side by side.

A sheet is the same where record number and ordinal are; the lake knows them as hashes. Rules that compare sheets are
findings of a release, not of a delivery, and are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.intake.check import check_front_sheets, field_names
from pipelines.return_pack.delivery import (
    DATASET,
    LakeDelivery,
    NoDeliveryError,
    find_deliveries,
    find_files,
)
from pipelines.return_pack.table import Table, write_csv
from pipelines.rule_table import SEVERITY_NAMES, rule_titles
from pipelines.settings import Settings

MENDED, NEW, UNCHANGED = "mended", "new", "unchanged"
STATUS_NAMES = {MENDED: "已改正", NEW: "新增", UNCHANGED: "未改"}
COLUMNS = (
    ("状态", 8), ("病案号", 14), ("原文件", 18), ("原行号", 7), ("新文件", 18), ("新行号", 7), ("规则", 7), ("级别", 7),
    ("字段", 18), ("问题", 40), ("说明", 24),
)  # fmt: skip


@dataclass(frozen=True)
class ChangedFinding:
    """A finding and what became of it; `place_before`, `place_after` are (file, row), None where the sheet is not there."""

    status: str
    case_id: str
    rule_id: str
    field: str
    severity: str
    place_before: tuple[str, int] | None
    place_after: tuple[str, int] | None


@dataclass(frozen=True)
class Difference:
    """Two deliveries compared. Sheets: in both, only before, only after; findings in the order of status, place, rule."""

    before: LakeDelivery
    after: LakeDelivery
    kept_sheet_count: int
    withdrawn_sheet_count: int
    added_sheet_count: int
    findings: tuple[ChangedFinding, ...]
    is_same_basis: bool

    def counts(self) -> dict[str, Counter[str]]:
        """Return how many findings of each rule have each status."""
        result: dict[str, Counter[str]] = {}
        for item in self.findings:
            result.setdefault(item.rule_id, Counter())[item.status] += 1
        return dict(sorted(result.items()))


def compare_deliveries(settings: Settings, institution_code: str, month: str) -> Difference:
    """Compare the last two deliveries of an institution and month by sheet, rule and field.

    Raises NoDeliveryError where there are fewer than two.
    """
    deliveries = find_deliveries(settings, institution_code, month)
    if len(deliveries) < 2:
        raise NoDeliveryError(f"机构 {institution_code} {month} 只收到过一次病案首页，没有可比较的上一次")
    before, after = deliveries[-2:]
    places_before, places_after = _places(before), _places(after)
    found_before, found_after = _findings(before), _findings(after)
    changed = []
    for key in {**found_before, **found_after}:
        case_id, rule_id, field = key
        status = (
            UNCHANGED
            if key in found_before and key in found_after
            else MENDED
            if key in found_before
            else NEW
        )
        changed.append(
            ChangedFinding(
                status,
                case_id,
                rule_id,
                field,
                found_after.get(key) or found_before[key],
                places_before.get(case_id),
                places_after.get(case_id),
            )
        )
    order = [NEW, UNCHANGED, MENDED]
    changed.sort(
        key=lambda item: (
            order.index(item.status),
            item.place_after or item.place_before,
            item.rule_id,
            item.field,
        )
    )
    kept = places_before.keys() & places_after.keys()
    return Difference(
        before,
        after,
        len(kept),
        len(places_before) - len(kept),
        len(places_after) - len(kept),
        tuple(changed),
        before.basis == after.basis,
    )


def write_difference(settings: Settings, difference: Difference, out: Path) -> Path:
    """Write the compared findings as CSV; record numbers only where the new delivery's files are as they were taken in.

    Raises OSError where the folder cannot be written.
    """
    files = find_files(settings, difference.after)
    numbers: dict[tuple[str, int], str] = {}
    if files.is_whole:
        checked = check_front_sheets(files.unchanged, difference.after.month)
        numbers = {(sheet.source_file, sheet.source_row): sheet.record_number for sheet in checked.sheets}
    out.mkdir(parents=True, exist_ok=True)
    return write_csv(_table(difference, numbers), out)


def _table(difference: Difference, numbers: Mapping[tuple[str, int], str]) -> Table:
    table = Table("整改对比", "difference.csv", COLUMNS)
    for item in difference.findings:
        before, after = item.place_before or (None, None), item.place_after or (None, None)
        note = (
            "首页已撤下"
            if item.place_after is None
            else "新上报的首页"
            if item.place_before is None
            else None
        )
        table.rows.append(
            [
                STATUS_NAMES[item.status],
                numbers.get(after) if item.place_after else None,
                *before,
                *after,
                item.rule_id,
                SEVERITY_NAMES[item.severity],
                field_names().get(item.field, item.field),
                rule_titles().get(item.rule_id, (item.rule_id, ""))[0],
                note,
            ]
        )
    return table


def _places(delivery: LakeDelivery) -> dict[str, tuple[str, int]]:
    return {row["case_id"]: (row["source_file"], row["source_row"]) for row in delivery.rows("front_sheet")}


def _findings(delivery: LakeDelivery) -> dict[tuple[str, str, str], str]:
    return {
        (row["row_key"], row["rule_id"], row["field"]): row["severity"]
        for row in delivery.rows("finding")
        if row["dataset"] == DATASET
    }
