"""Announced changes: a code set, a price policy, a new department. What they cover is shown as explained, not as an alarm.

The ledger is `<home>/announced_change.csv`, one line per change, written by `drgq drift announce` and readable by people;
lines are added, never changed. The lake holds it spread out: one row per change, institution and feature.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipelines.drift.feature import load_policy
from pipelines.intake.lake import write_if_different
from pipelines.settings import Settings

MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
EVERYONE = "*"
# The baseline is twelve months: after as many months the change has become the baseline.
COVERED_MONTHS = 12
COLUMNS = (
    "announced_change_id", "first_month", "last_month", "institution_codes", "features", "reason", "announced_by",
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("announced_change_id", pa.string()),
        ("first_month", pa.string()),
        ("last_month", pa.string()),
        ("institution_code", pa.string()),
        ("feature", pa.string()),
        ("reason", pa.string()),
        ("announced_by", pa.string()),
    ]
)


class AnnouncementError(Exception):
    """An announcement cannot be used; the message says which part and what to write instead."""


@dataclass(frozen=True)
class Announcement:
    """A change that was announced. `institution_codes` is `("*",)` for all, which includes the city as a whole;
    `features` holds ids and subjects of `feature.yml`, or `*`."""

    first_month: str
    last_month: str
    institution_codes: tuple[str, ...]
    features: tuple[str, ...]
    reason: str
    announced_by: str

    @property
    def announced_change_id(self) -> str:
        """The hash of what was announced: the same announcement twice is one."""
        text = "\x1f".join(
            [self.first_month, self.last_month, *self.institution_codes, *self.features, self.reason]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def last_covered_month(first_month: str) -> str:
    """The last of the twelve months that begin with `first_month`."""
    number = int(first_month[:4]) * 12 + int(first_month[5:]) - 1 + COVERED_MONTHS - 1
    return f"{number // 12}-{number % 12 + 1:02d}"


def announce(settings: Settings, announcement: Announcement) -> bool:
    """Add an announcement to the ledger; return False where it is there already.

    Raises AnnouncementError where a month, an institution, a feature or the reason cannot be used.
    """
    _check(announcement, _known_institutions(settings))
    known = read_announcements(settings)
    if announcement.announced_change_id in {item.announced_change_id for item in known}:
        return False
    path = ledger(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", encoding="utf-8-sig" if is_new else "utf-8", newline="") as stream:
        writer = csv.writer(stream)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow(
            [
                announcement.announced_change_id,
                announcement.first_month,
                announcement.last_month,
                "|".join(announcement.institution_codes),
                "|".join(announcement.features),
                announcement.reason,
                announcement.announced_by,
            ]
        )
    return True


def ledger(settings: Settings) -> Path:
    """The file that announcements are kept in."""
    return settings.home / "announced_change.csv"


def read_announcements(settings: Settings) -> list[Announcement]:
    """Read the ledger, in its order; empty where there is none. Raises AnnouncementError naming the line that is wrong."""
    path = ledger(settings)
    if not path.exists():
        return []
    found = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                announcement = Announcement(
                    row["first_month"],
                    row["last_month"],
                    tuple(row["institution_codes"].split("|")),
                    tuple(row["features"].split("|")),
                    row["reason"],
                    row["announced_by"],
                )
                _check(announcement, None)
            except (KeyError, AttributeError) as error:
                raise AnnouncementError(f"{path} 第 {number} 行缺少列：应有 {'、'.join(COLUMNS)}") from error
            except AnnouncementError as error:
                raise AnnouncementError(f"{path} 第 {number} 行：{error}") from error
            found.append(announcement)
    return found


def publish_announcements(settings: Settings) -> int:
    """Write the ledger to the lake, a row per change, institution and feature; return the number of changes."""
    announcements = read_announcements(settings)
    rows = [
        {
            "announced_change_id": item.announced_change_id,
            "first_month": item.first_month,
            "last_month": item.last_month,
            "institution_code": code,
            "feature": feature,
            "reason": item.reason,
            "announced_by": item.announced_by,
        }
        for item in announcements
        for code in dict.fromkeys(item.institution_codes)
        for feature in _features(item.features)
    ]
    write_if_different(
        settings.lake,
        settings.lake / "drift" / "announced_change.parquet",
        pa.Table.from_pylist(rows, schema=SCHEMA),
    )
    return len(announcements)


def _features(names: tuple[str, ...]) -> tuple[str, ...]:
    policy = load_policy()
    if EVERYONE in names:
        return tuple(item.feature.id for item in policy.features)
    return policy.selected(names)


def _known_institutions(settings: Settings) -> set[str] | None:
    """The codes of the register as it was last taken in; None before the first run."""
    path = settings.lake / "reference" / "institution.parquet"
    if not path.exists():
        return None
    import pyarrow.parquet as pq  # noqa: PLC0415

    return set(pq.read_table(path, columns=["institution_code"]).column(0).to_pylist())


def _check(announcement: Announcement, institutions: set[str] | None) -> None:
    for month in (announcement.first_month, announcement.last_month):
        if not MONTH.fullmatch(month):
            raise AnnouncementError(f"月份 {month!r} 不是 YYYY-MM")
    if announcement.last_month < announcement.first_month:
        raise AnnouncementError(
            f"终止月 {announcement.last_month} 早于起始月 {announcement.first_month}：请对调或改正"
        )
    for code in announcement.institution_codes:
        if institutions is not None and code != EVERYONE and code not in institutions:
            raise AnnouncementError(
                f"机构 {code!r} 不在登记表中：请写登记表的机构代码，全部机构写 {EVERYONE}"
            )
    if not announcement.reason.strip() or not announcement.announced_by.strip():
        raise AnnouncementError("原因与登记人不能为空")
    try:
        _features(announcement.features)
    except KeyError as error:
        known = sorted({item.subject for item in load_policy().features})
        raise AnnouncementError(
            f"特征 {error.args[0]!r} 不存在：请写 fct_drift.feature 中的代码，或一类（{' '.join(known)}），全部写 {EVERYONE}"
        ) from error
