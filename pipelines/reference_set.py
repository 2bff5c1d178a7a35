"""The reference set: relative weights, expected cost and stay, risk grades, frozen once per scheme and reference period.

dbt computes a candidate (`int_weight__computed`) at every run; this module keeps the first one and gives it a name.
Indicators compare years only because this set does not move when an old month is corrected.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import duckdb

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
    """A frozen reference set: its name, a hash over its rows, how many rows, and whether this run made it."""

    name: str
    content_hash: str
    row_count: int
    is_new: bool


class ReferenceSetError(Exception):
    """The reference set cannot be made or read; the message says why and what to do."""


def freeze_reference_set(settings: Settings, *, rebuild: bool = False) -> ReferenceSet:
    """Freeze the candidate of the warehouse as the reference set in force, unless one is in force already.

    A set belongs to the schemes (by content hash) and the reference period it was computed from; another scheme version
    makes a set of its own. `rebuild` replaces the set in force by the present candidate.
    Raises ReferenceSetError where the reference period holds no grouped case.
    """
    folder = settings.reference_sets
    folder.mkdir(parents=True, exist_ok=True)
    published = settings.lake / "reference_set" / "reference_set.parquet"
    published.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        scheme_hash = connection.execute(
            f"select string_agg(scheme_code || '-' || content_hash, '+' order by scheme_code)"
            f" from read_parquet('{settings.lake / 'scheme' / 'scheme.parquet'}')"
        ).fetchall()[0][0]
        name = f"{scheme_hash}-{settings.reference_period}"
        kept = folder / f"{name}.parquet"
        is_new = rebuild or not kept.is_file()
        if is_new:
            connection.execute(f"attach '{settings.warehouse}' as warehouse (read_only)")
            count = connection.execute(
                "select count(*) from warehouse.intermediate.int_weight__computed"
            ).fetchall()[0][0]
            if not count:
                raise ReferenceSetError(
                    f"基期 {settings.reference_period} 没有可分组的病例，无法生成权重：请先接收该年度的病案首页，"
                    "或用 DRGQ_REFERENCE_PERIOD 指定另一基期"
                )
            columns = ", ".join(COLUMNS)
            aside = folder / f".{name}.parquet"
            connection.execute(
                f"copy (select '{name}' as reference_set, {columns} from warehouse.intermediate.int_weight__computed"
                f" order by scheme_code, drg_code) to '{aside}' (format parquet, compression zstd)"
            )
            connection.execute("detach warehouse")
            aside.replace(kept)
        aside = published.with_name(".reference_set.parquet")
        aside.write_bytes(kept.read_bytes())
        aside.replace(published)
        row_count = connection.execute(f"select count(*) from read_parquet('{kept}')").fetchall()[0][0]
    content_hash = hashlib.sha256(kept.read_bytes()).hexdigest()[:16]
    return ReferenceSet(name, content_hash, row_count, is_new)
