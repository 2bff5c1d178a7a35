"""The reference set: relative weights, expected cost and stay, risk grades, frozen once per scheme and reference period.

dbt computes a candidate (`int_weight__computed`) at every run; this module keeps the first complete one and names it.
Indicators compare years only because this set does not move when an old month is corrected.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipelines.settings import Settings

COLUMNS = (
    "scheme_code",
    "mdc_code",
    "adrg_code",
    "drg_code",
    "weight_level",
    "reference_case_count",
    "relative_weight",
    "expected_cost_yuan",
    "expected_stay_days",
    "risk_grade",
)


@dataclass(frozen=True)
class ReferenceSet:
    """A reference set: its name, a hash over its rows, how many rows, whether this call made it, whether it will stay."""

    name: str
    content_hash: str
    row_count: int
    is_new: bool
    is_provisional: bool


class ReferenceSetError(Exception):
    """The reference set cannot be made or read; the message says why and what to do."""


def freeze_reference_set(settings: Settings, *, rebuild: bool = False) -> ReferenceSet:
    """Freeze the candidate of the warehouse as the reference set in force, unless one is in force already.

    A set belongs to the schemes (by content hash) and the reference period it was computed from; another scheme version
    makes a set of its own. While the period has fewer than twelve months in force the set is provisional: named so, and
    computed again by the next run. `rebuild` replaces the set in force by the present candidate.
    Raises ReferenceSetError where the reference period holds no grouped case.
    """
    settings.reference_sets.mkdir(parents=True, exist_ok=True)
    published = settings.lake / "reference_set" / "reference_set.parquet"
    published.parent.mkdir(parents=True, exist_ok=True)
    name = f"{_scheme_name(settings)}-{settings.reference_period}"
    kept = settings.reference_sets / f"{name}.parquet"
    if kept.is_file() and not rebuild:
        _copy(kept, published)
        return _describe(published, name, is_new=False, is_provisional=False)
    months = _count_reference_months(settings)
    is_provisional = months < 12
    if is_provisional:
        name = f"{name}-provisional-{months}-months"
    _write_candidate(settings, name, published)
    if not is_provisional:
        _copy(published, kept)
    return _describe(published, name, is_new=True, is_provisional=is_provisional)


def read_reference_set(settings: Settings) -> ReferenceSet:
    """Return the reference set that the last run used. Raises ReferenceSetError before the first run."""
    published = settings.lake / "reference_set" / "reference_set.parquet"
    if not published.is_file():
        raise ReferenceSetError("还没有标准集：请先运行 `drgq run` 或 `drgq demo`")
    name = pq.read_table(published, columns=["reference_set"]).column(0)[0].as_py()
    return _describe(published, name, is_new=False, is_provisional="-provisional-" in name)


def _scheme_name(settings: Settings) -> str:
    if not (settings.lake / "scheme" / "scheme.parquet").is_file():
        raise ReferenceSetError("还没有数据仓库：请先运行 `drgq run` 或 `drgq demo`")
    schemes = pq.read_table(settings.lake / "scheme" / "scheme.parquet").to_pylist()
    return "+".join(sorted(f"{row['scheme_code']}-{row['content_hash']}" for row in schemes))


def _count_reference_months(settings: Settings) -> int:
    if not settings.warehouse.is_file():
        raise ReferenceSetError("还没有数据仓库：请先运行 `drgq run` 或 `drgq demo`")
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        return warehouse.execute(
            "select count(distinct month) from intermediate.int_front_sheet__sheet_in_force"
            " where starts_with(month, $period || '-')",
            {"period": settings.reference_period},
        ).fetchall()[0][0]


def _write_candidate(settings: Settings, name: str, path: Path) -> None:
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        rows = warehouse.sql(
            f"select $name as reference_set, {', '.join(COLUMNS)} from intermediate.int_weight__computed"
            " order by scheme_code, drg_code",
            params={"name": name},
        ).to_arrow_table()
    if not rows.num_rows:
        raise ReferenceSetError(
            f"基期 {settings.reference_period} 没有可分组的病例，无法生成权重：请先接收该年度的病案首页，"
            "或用 DRGQ_REFERENCE_PERIOD 指定另一基期"
        )
    aside = path.with_name(f".{path.name}")
    pq.write_table(rows, aside, compression="zstd")
    aside.replace(path)


def _copy(source: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}")
    aside.write_bytes(source.read_bytes())
    aside.replace(target)


def _describe(path: Path, name: str, *, is_new: bool, is_provisional: bool) -> ReferenceSet:
    content_hash = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return ReferenceSet(name, content_hash, pq.read_metadata(path).num_rows, is_new, is_provisional)
