"""The months that are judged, and what is kept of each: its rows in the lake, its pages under `<home>/drift/<month>/`.

A month depends on its own rows, those of its baseline, and the code and policy that judge them. Their digest is kept with
the result: a run with nothing new reads what is there and does not load Evidently.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.drift.announcement import publish_announcements
from pipelines.drift.feature import WatchedFeature, load_policy
from pipelines.drift.reading import CITY, ComparedRows
from pipelines.intake.lake import write_if_different, write_parquet
from pipelines.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from models.drift import Comparison

# A month is complete when nine in ten of the institutions that reported in the year before have reported.
COMPLETE_SHARE = 0.9
BASELINE_MONTHS = 12
# The institutions with most drifted features get a page; the rest are in the mart. A page takes about a second and 4 MB.
INSTITUTION_PAGES = 5
NUMBER = pa.decimal128(18, 6)
SCHEMA = pa.schema(
    [
        ("period_month", pa.string()),
        ("org_level", pa.string()),
        ("institution_code", pa.string()),
        ("feature", pa.string()),
        ("feature_name", pa.string()),
        ("subject", pa.string()),
        ("method", pa.string()),
        ("statistic", NUMBER),
        ("threshold", NUMBER),
        ("current_count", pa.int64()),
        ("baseline_count", pa.int64()),
        ("baseline_first_month", pa.string()),
        ("baseline_last_month", pa.string()),
        ("status", pa.string()),
        ("direction", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class MonthDrift:
    """A judged month: features × organisations by status, whether it was computed now, and its pages."""

    month: str
    baseline_first_month: str
    baseline_last_month: str
    status_counts: dict[str, int]
    is_new: bool
    pages: Path


def watch_drift(settings: Settings, progress: Callable[[str], object] = lambda _: None) -> list[MonthDrift]:
    """Judge the newest complete months (`settings.drift_months`) and write `<lake>/drift/result.parquet`.

    Beside it the announced changes. `progress` hears of each month that is computed. Months come back in order.
    Raises AnnouncementError where the ledger of announced changes cannot be read.
    """
    publish_announcements(settings)
    tables, judged = [SCHEMA.empty_table()], []
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        for month, baseline in _months(connection, settings):
            table, item = _judge_month(settings, connection, month, baseline, progress)
            tables.append(table)
            judged.append(item)
    write_if_different(settings.lake, settings.lake / "drift" / "result.parquet", pa.concat_tables(tables))
    return judged


def _months(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[tuple[str, list[str]]]:
    """The months to judge, each with the months of its baseline that have cases."""
    counts = dict(
        connection.execute(
            "select period_month, count(distinct institution_code) from marts.fct_case group by 1 order by 1"
        ).fetchall()
    )
    complete = [
        month
        for month, count in counts.items()
        if count
        >= COMPLETE_SHARE
        * max((counts[before] for before in _preceding(month) if before in counts), default=count)
    ]
    found = []
    for month in complete[-settings.drift_months :] if settings.drift_months else []:
        wanted = (
            _preceding(month)
            if settings.drift_baseline == "preceding"
            else [f"{settings.reference_period}-{month[5:]}"]
        )
        baseline = [before for before in wanted if before in counts and before != month]
        if baseline:
            found.append((month, baseline))
    return found


def _preceding(month: str) -> list[str]:
    number = int(month[:4]) * 12 + int(month[5:]) - 1
    months = range(number - BASELINE_MONTHS, number)
    return [f"{before // 12}-{before % 12 + 1:02d}" for before in months]


def _judge_month(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    month: str,
    baseline: list[str],
    progress: Callable[[str], object],
) -> tuple[pa.Table, MonthDrift]:
    rows = ComparedRows(connection, load_policy(), month, baseline)
    digest = hashlib.sha256(f"{_code_digest()} {month} {baseline} {rows.digest()}".encode()).hexdigest()
    path = settings.lake / "drift" / "month" / f"{month}.parquet"
    pages = settings.drift / month
    table = _kept(path, digest) if pages.is_dir() else None
    is_new = table is None
    if table is None:
        progress(f"{month}，基线 {baseline[0]} 至 {baseline[-1]}")
        rows.sample()
        table = _compare(rows, month, baseline, pages)
        write_parquet(
            settings.lake, path, table.replace_schema_metadata({"input_digest": digest}), keep_metadata=True
        )
    statuses = table.column("status").to_pylist()
    counts = {status: statuses.count(status) for status in ("drifted", "stable", "insufficient")}
    table = table.replace_schema_metadata(None)
    return table, MonthDrift(month, baseline[0], baseline[-1], counts, is_new, pages)


def _kept(path: Path, digest: str) -> pa.Table | None:
    """The result of a month, if it was computed from these inputs by this code."""
    if not path.exists():
        return None
    table = pq.read_table(path)
    kept = (table.schema.metadata or {}).get(b"input_digest", b"").decode()
    return table if kept == digest else None


@cache
def _code_digest() -> str:
    """Hash of the modules and the policy that a result depends on."""
    digest = hashlib.sha256()
    for folder in ("models/drift", "pipelines/drift"):
        for path in sorted((PROJECT_ROOT / folder).glob("*.*")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _compare(rows: ComparedRows, month: str, baseline: list[str], pages: Path) -> pa.Table:
    """Judge the city and every institution; write the pages aside and put them in place together."""
    found: dict[str, list[tuple[WatchedFeature, Comparison]]] = {CITY: []}
    for relation in load_policy().relations:
        for org_code in (CITY, *rows.institutions(relation)):
            found.setdefault(org_code, []).extend(_compare_one(rows, relation, org_code))
    aside = pages.with_name(f".{month}-{secrets.token_hex(4)}")
    aside.mkdir(parents=True)
    alarmed = {org: sum(item.status == "drifted" for _, item in pairs) for org, pairs in found.items()}
    most = sorted(
        (org for org in found if org != CITY and alarmed[org]), key=lambda org: (-alarmed[org], org)
    )
    for org_code in (CITY, *most[:INSTITUTION_PAGES]):
        heading = (
            f"{month} 数据漂移：{'全市' if org_code == CITY else org_code}。Current＝本月，Reference＝基线"
            f"（{baseline[0]} 至 {baseline[-1]}）；Drift Detected＝达到界限"
        )
        _write_page(aside / f"{org_code}.html", rows, org_code, found[org_code], heading)
    shutil.rmtree(pages, ignore_errors=True)
    aside.replace(pages)
    records = [
        _record(month, baseline, org_code, watched, item)
        for org_code in (CITY, *sorted(found.keys() - {CITY}))
        for watched, item in found[org_code]
    ]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def _compare_one(rows: ComparedRows, relation: str, org_code: str) -> list[tuple[WatchedFeature, Comparison]]:
    from models.drift import compare  # noqa: PLC0415

    watched = load_policy().of_relation(relation)
    current, before = rows.frames(relation, org_code)
    return list(
        zip(
            watched,
            compare([item.feature for item in watched], current, before, load_policy().limits),
            strict=True,
        )
    )


def _write_page(
    path: Path,
    rows: ComparedRows,
    org_code: str,
    pairs: list[tuple[WatchedFeature, Comparison]],
    heading: str,
) -> None:
    """The city's page shows all features that were judged, an institution's those that drifted."""
    from models.drift import report_html  # noqa: PLC0415

    shown = [
        (watched, item)
        for watched, item in pairs
        if item.status == "drifted" or (org_code == CITY and item.status == "stable")
    ]
    if not shown:
        return
    frames = [rows.frames(name, org_code) for name in dict.fromkeys(watched.relation for watched, _ in shown)]
    # Cases and prescriptions lie side by side without belonging together: each column is compared by itself.
    current, before = (pd.concat(parts, axis=1) for parts in zip(*frames, strict=True))
    shown.sort(key=lambda pair: pair[1].status != "drifted")
    path.write_text(report_html([item for _, item in shown], current, before, heading), encoding="utf-8")


def _record(
    month: str, baseline: list[str], org_code: str, watched: WatchedFeature, item: Comparison
) -> dict[str, object]:
    return {
        "period_month": month,
        "org_level": "city" if org_code == CITY else "institution",
        "institution_code": None if org_code == CITY else org_code,
        "feature": item.feature.id,
        "feature_name": item.feature.name,
        "subject": watched.subject,
        "method": item.feature.method,
        "statistic": _number(item.statistic),
        "threshold": _number(item.threshold),
        "current_count": item.current_count,
        "baseline_count": item.baseline_count,
        "baseline_first_month": baseline[0],
        "baseline_last_month": baseline[-1],
        "status": item.status,
        "direction": item.direction,
        "reason": item.reason,
    }


def _number(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(f"{value:.6f}")
