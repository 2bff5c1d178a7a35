"""Weights that somebody else published: read from a table or from a scheme, checked against the scheme, kept by name.

What is kept under `<home>/reference_sets/imported/` never changes: another table wants another name. How imported
weights and the region's own benchmarks become a reference set is told by `reference_set.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.intake.delivery import SourceFile
from pipelines.intake.source_file import UnusableFile, read_rows
from pipelines.scheme.loader import Scheme, SchemeError, find_scheme, read_scheme
from pipelines.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,39}")
SCHEMA = pa.schema(
    [
        ("scheme_code", pa.string()),
        ("drg_code", pa.string()),
        ("relative_weight", pa.decimal128(9, 4)),
        ("expected_cost_yuan", pa.decimal128(18, 2)),
        ("expected_stay_days", pa.decimal128(9, 4)),
        ("risk_grade", pa.int32()),
    ]
)
"""What is kept of imported weights, one row per DRG: yuan, days, grade 0-4; null = not given."""
REQUIRED = ("drg_code", "relative_weight")
# Column -> decimal places and the bound that its type sets.
NUMBERS = {"relative_weight": (4, 10**5), "expected_cost_yuan": (2, 10**9), "expected_stay_days": (4, 10**5)}
HIGHEST_GRADE = 4
SHOWN = 10


@dataclass(frozen=True)
class ImportedWeights:
    """Imported weights: name, scheme, a hash over the rows, the rows (`SCHEMA`), and which DRGs have none."""

    name: str
    scheme_code: str
    content_hash: str
    rows: pa.Table
    missing: tuple[str, ...] = ()


class WeightImportError(Exception):
    """Weights cannot be imported or used; the message names file, row, field and remedy."""


def import_weights(
    settings: Settings, name: str, scheme_name: str | None = None, file: Path | None = None
) -> ImportedWeights:
    """Check weights against a scheme (the first in force if None) and keep them under a name.

    `file` is a table (CSV or XLSX) with drg_code and relative_weight and, where known, expected_cost_yuan,
    expected_stay_days and risk_grade; without it the scheme's own column drg.relative_weight is taken. A DRG without a
    weight is listed in `missing`: it will take the region's computed weight.
    Raises WeightImportError for a table that cannot be read, a value that is none, a DRG that the scheme does not have
    or that comes twice, and for a name under which other weights are kept.
    """
    if not NAME.fullmatch(name):
        raise WeightImportError(f"名称 {name!r} 不可用：请用 1 至 40 个字母、数字或下划线，以字母或数字开头")
    try:
        scheme = read_scheme(find_scheme(scheme_name or settings.scheme_names[0], settings))
    except SchemeError as error:
        raise WeightImportError(str(error)) from error
    records = _records_of_file(file) if file else _records_of_scheme(scheme)
    rows = _checked(records, scheme, str(file.name if file else "drg.csv"))
    made = _imported(name, rows, _drg_codes(scheme))
    kept = _path(settings, name)
    if kept.is_file() and _imported(name, pq.read_table(kept)).content_hash != made.content_hash:
        raise WeightImportError(f"名称 {name} 下已有另一组权重，固定后不改写：请换一个名称")
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f".{kept.name}")
    pq.write_table(rows, aside, compression="zstd")
    aside.replace(kept)
    return made


def imported_weights_in_force(settings: Settings, scheme_codes: Iterable[str]) -> dict[str, ImportedWeights]:
    """Scheme -> the imported weights that the settings name for it.

    Raises WeightImportError for a name under which nothing is kept, a scheme that is not in force, and two sets of one
    scheme.
    """
    known = set(scheme_codes)
    found: dict[str, ImportedWeights] = {}
    for name in settings.reference_set:
        path = _path(settings, name)
        if not path.is_file():
            kept = "、".join(sorted(p.stem for p in path.parent.glob("*.parquet"))) or "无"
            raise WeightImportError(
                f"DRGQ_REFERENCE_SET 指定的权重 {name!r} 不存在（已导入：{kept}）：请先用 drgq reference-set import 导入"
            )
        weights = _imported(name, pq.read_table(path))
        if weights.scheme_code not in known:
            raise WeightImportError(
                f"权重 {name} 属于方案 {weights.scheme_code}，该方案未在用（{'、'.join(sorted(known))}）：请修改"
                " DRGQ_REFERENCE_SET 或 DRGQ_SCHEME"
            )
        if weights.scheme_code in found:
            raise WeightImportError(
                f"方案 {weights.scheme_code} 有两组权重（{found[weights.scheme_code].name}、{name}）："
                "请在 DRGQ_REFERENCE_SET 中只留一组"
            )
        found[weights.scheme_code] = weights
    return found


def names_of_scheme(settings: Settings, scheme_code: str) -> tuple[str, ...]:
    """Of the imported weights that the settings name, those of a scheme."""
    kept = [(name, _path(settings, name)) for name in settings.reference_set]
    return tuple(
        name
        for name, path in kept
        if path.is_file() and _imported(name, pq.read_table(path)).scheme_code == scheme_code
    )


def _path(settings: Settings, name: str) -> Path:
    return settings.reference_sets / "imported" / f"{name}.parquet"


def _drg_codes(scheme: Scheme) -> set[str]:
    """The DRGs of a scheme that can have a weight: ambiguous groups have none."""
    return {row["drg_code"] for row in scheme.tables["drg"].to_pylist() if row["adrg_code"] != "QY"}


def _imported(name: str, rows: pa.Table, drg_codes: Iterable[str] = ()) -> ImportedWeights:
    text = "\n".join(",".join(map(str, row.values())) for row in rows.to_pylist())
    given = set(rows.column("drg_code").to_pylist())
    return ImportedWeights(
        name,
        rows.column("scheme_code")[0].as_py(),
        hashlib.sha256(text.encode()).hexdigest()[:16],
        rows,
        tuple(sorted(set(drg_codes) - given)),
    )


def _records_of_file(file: Path) -> list[tuple[int, dict[str, str]]]:
    """The records of a table by column name, with their numbers (header = 1)."""
    if not file.is_file():
        raise WeightImportError(f"找不到文件 {file}")
    try:
        header, rows = read_rows(SourceFile("weight", file))
    except UnusableFile as error:
        raise WeightImportError(f"{file.name}：{error}") from error
    header = [column.lower() for column in header]
    if missing := [column for column in REQUIRED if column not in header]:
        raise WeightImportError(
            f"{file.name} 第1行：缺少列 {'、'.join(missing)}；需要 drg_code、relative_weight，"
            "可另有 expected_cost_yuan、expected_stay_days、risk_grade"
        )
    return [(number, dict(zip(header, map(str.strip, cells), strict=False))) for number, cells in rows]


def _records_of_scheme(scheme: Scheme) -> list[tuple[int, dict[str, str]]]:
    known = _drg_codes(scheme)
    records = [
        (number, {"drg_code": row["drg_code"], "relative_weight": str(row["relative_weight"])})
        for number, row in enumerate(scheme.tables["drg"].to_pylist(), 2)
        if row["relative_weight"] is not None and row["drg_code"] in known
    ]
    if not records:
        raise WeightImportError(
            f"方案 {scheme.scheme_code} 的 drg.csv 没有 relative_weight：请给出权重文件（列 drg_code、relative_weight）"
        )
    return records


def _checked(records: list[tuple[int, dict[str, str]]], scheme: Scheme, source: str) -> pa.Table:
    """The records as typed rows by DRG; every fault is told with its row, the first ten of them."""
    known = _drg_codes(scheme)
    rows: dict[str, dict] = {}
    faults = []
    for number, record in records:
        code = record["drg_code"]
        try:
            row = {
                "scheme_code": scheme.scheme_code,
                "drg_code": code,
                **{column: _number(record, column) for column in NUMBERS},
                "risk_grade": _grade(record),
            }
            if code not in known:
                raise ValueError(f"drg_code {code!r} 不是方案 {scheme.scheme_code} 的病组")
            if code in rows:
                raise ValueError(f"drg_code {code!r} 重复")
        except ValueError as fault:
            faults.append(f"{source} 第{number}行：{fault}")
            continue
        rows[code] = row
    if not faults and not rows:
        faults.append(f"{source}：没有数据行")
    if faults:
        more = [f"……共 {len(faults)} 处"] if len(faults) > SHOWN else []
        raise WeightImportError("\n".join([*faults[:SHOWN], *more, "请改正后重新导入；没有写入任何内容。"]))
    return pa.Table.from_pylist([rows[code] for code in sorted(rows)], schema=SCHEMA)


def _number(record: dict[str, str], column: str) -> Decimal | None:
    """A positive number rounded to the column's places; None for an empty cell that may be. Raises ValueError."""
    text = record.get(column, "")
    if not text and column not in REQUIRED:
        return None
    places, bound = NUMBERS[column]
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{column} {text!r} 不是数字") from None
    if not (value.is_finite() and 0 < value < bound):
        raise ValueError(f"{column} {text!r} 应大于0、小于{bound}")
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _grade(record: dict[str, str]) -> int | None:
    text = record.get("risk_grade", "")
    if not text:
        return None
    if not (text.isdecimal() and int(text) <= HIGHEST_GRADE):
        raise ValueError(f"risk_grade {text!r} 应为 0 至 {HIGHEST_GRADE}")
    return int(text)
