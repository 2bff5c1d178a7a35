"""The reference set: relative weights, expected cost and stay, risk grades, frozen once per scheme and reference period.

dbt computes a candidate (`int_weight__computed`) at every run; this module keeps the first complete one of each scheme
and names it. Indicators compare years only because a set does not move when an old month is corrected. Weights that
somebody else published come from `imported_weight.py` and stand before the computed ones.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.imported_weight import ImportedWeights, WeightImportError, imported_weights_in_force
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
MONTHS_OF_A_PERIOD = 12


@dataclass(frozen=True)
class ReferenceSet:
    """A scheme's reference set: its name, a hash over its rows, rows by the level a weight comes from (`drg`, `adrg`,
    `mdc`, `region`, `imported`), whether this call made it, whether it will stay.
    """

    scheme_code: str
    name: str
    content_hash: str
    level_counts: dict[str, int]
    is_new: bool
    is_provisional: bool

    @property
    def row_count(self) -> int:
        """How many DRGs the set has."""
        return sum(self.level_counts.values())


class ReferenceSetError(Exception):
    """The reference set cannot be made or read; the message says why and what to do."""


def freeze_reference_sets(settings: Settings, *, rebuild: bool = False) -> list[ReferenceSet]:
    """Freeze the candidate of each scheme in force, unless it has a set already, and lay the sets out for dbt.

    A set belongs to a scheme (by content hash), the reference period and the trimming method; another of any of them
    makes a set of its own. While the period has fewer than twelve months in force the set is provisional: named so, and
    computed again by the next run. `rebuild` replaces the sets in force by the present candidates. Where the settings
    name imported weights of a scheme, these replace the computed ones; the benchmarks that they leave out stay.
    Raises ReferenceSetError where the reference period holds no grouped case or imported weights cannot be used.
    """
    try:
        imported = imported_weights_in_force(settings, [code for code, _ in _schemes(settings)])
    except WeightImportError as error:
        raise ReferenceSetError(str(error)) from error
    tables, described = [], []
    for scheme_code, scheme_hash in _schemes(settings):
        computed, is_new = _computed_set(settings, scheme_code, scheme_hash, rebuild)
        table = _with_imported(computed, imported.get(scheme_code))
        tables.append(table)
        described.append(_describe(table, is_new))
    _write(pa.concat_tables(tables), _published(settings))
    return described


def read_reference_sets(settings: Settings) -> list[ReferenceSet]:
    """Return the reference sets that the last run used, by scheme. Raises ReferenceSetError before the first run."""
    if not _published(settings).is_file():
        raise ReferenceSetError("还没有标准集：请先运行 `drgq run` 或 `drgq demo`")
    table = pq.read_table(_published(settings))
    return [
        _describe(table.filter(pc.field("scheme_code") == scheme_code), is_new=False)
        for scheme_code in sorted(set(table.column("scheme_code").to_pylist()))
    ]


def _published(settings: Settings) -> Path:
    return settings.lake / "reference_set" / "reference_set.parquet"


def _schemes(settings: Settings) -> list[tuple[str, str]]:
    """The schemes in force as laid out for dbt: (scheme_code, content_hash), by code."""
    laid_out = settings.lake / "scheme" / "scheme.parquet"
    if not laid_out.is_file():
        raise ReferenceSetError("还没有数据仓库：请先运行 `drgq run` 或 `drgq demo`")
    return sorted((row["scheme_code"], row["content_hash"]) for row in pq.read_table(laid_out).to_pylist())


def _computed_set(
    settings: Settings, scheme_code: str, scheme_hash: str, rebuild: bool
) -> tuple[pa.Table, bool]:
    """The scheme's own set, kept or made now from the candidate, and whether it was made now."""
    name = f"{scheme_code}-{scheme_hash}-{settings.reference_period}-{settings.weight_trimming}"
    kept = settings.reference_sets / f"{name}.parquet"
    if kept.is_file() and not rebuild:
        return pq.read_table(kept), False
    months = _count_reference_months(settings)
    if months < MONTHS_OF_A_PERIOD:
        return _read_candidate(settings, scheme_code, f"{name}-provisional-{months}-months"), True
    table = _read_candidate(settings, scheme_code, name)
    _write(table, kept)
    return table, True


def _count_reference_months(settings: Settings) -> int:
    if not settings.warehouse.is_file():
        raise ReferenceSetError("还没有数据仓库：请先运行 `drgq run` 或 `drgq demo`")
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        return warehouse.execute(
            "select count(distinct month) from intermediate.int_front_sheet__sheet_in_force"
            " where starts_with(month, $period || '-')",
            {"period": settings.reference_period},
        ).fetchall()[0][0]


def _read_candidate(settings: Settings, scheme_code: str, name: str) -> pa.Table:
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        rows = warehouse.sql(
            f"select $name as reference_set, {', '.join(COLUMNS)} from intermediate.int_weight__computed"
            " where scheme_code = $scheme_code order by drg_code",
            params={"name": name, "scheme_code": scheme_code},
        ).to_arrow_table()
    if not rows.num_rows:
        raise ReferenceSetError(
            f"基期 {settings.reference_period} 没有按方案 {scheme_code} 可分组的病例，无法生成权重："
            "请先接收该年度的病案首页，或用 DRGQ_REFERENCE_PERIOD 指定另一基期"
        )
    return rows


def _with_imported(computed: pa.Table, imported: ImportedWeights | None) -> pa.Table:
    """The computed set with what was imported in its place, under a name that tells both."""
    if imported is None:
        return computed
    with duckdb.connect() as connection:
        connection.register("computed", computed)
        connection.register("imported", imported.rows)
        columns = ", ".join(
            "case when imported.relative_weight is null then computed.weight_level else 'imported' end as weight_level"
            if column == "weight_level"
            else f"coalesce(imported.{column}, computed.{column}) as {column}"
            if column in imported.rows.column_names and column != "drg_code"
            else f"computed.{column}"
            for column in COLUMNS
        )
        return connection.sql(
            f"select $name || '+' || computed.reference_set as reference_set, {columns}"
            " from computed left join imported on computed.drg_code = imported.drg_code order by computed.drg_code",
            params={"name": f"{imported.name}-{imported.content_hash}"},
        ).to_arrow_table()


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(path)


def _describe(table: pa.Table, is_new: bool) -> ReferenceSet:
    [name] = set(table.column("reference_set").to_pylist())
    [scheme_code] = set(table.column("scheme_code").to_pylist())
    levels = Counter(table.column("weight_level").to_pylist())
    return ReferenceSet(
        scheme_code, name, content_hash(table), dict(sorted(levels.items())), is_new, "-provisional-" in name
    )


def content_hash(table: pa.Table) -> str:
    """The first sixteen characters of SHA-256 over the rows of a table, column names included."""
    rows = [[str(value) for value in row.values()] for row in table.to_pylist()]
    return hashlib.sha256(json.dumps([table.column_names, rows]).encode()).hexdigest()[:16]
